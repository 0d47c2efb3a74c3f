/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forbidden.h -- memory that the control VM must not see.
 */
#ifndef CORE_FORBIDDEN_H
#define CORE_FORBIDDEN_H

#include "core/types.h"

struct vcpu;

struct forbidden_counts {
	u64 reads, writes;
};
extern struct forbidden_counts forbidden_counts;

/* Whether this address is RAM of the hypervisor, the pool or a guest. */
bool forbidden(u64 gpa);
void forbidden_count(struct vcpu *v, u64 gpa, bool write);
void forbidden_init(void);
/* The page there shows all ones, read-only, until the next hypercall. */
int forbidden_map_ones(u64 gpa);
/* All such pages are gone; their tables are the pool's again. */
void forbidden_unmap_all(void);
extern u32 forbidden_windows;
/* Takes the ones away in a range that the control VM is about to be shown;
 * control_s2_lock is held, the caller flushes. */
void forbidden_unmap_ones_locked(u64 gpa, u64 len);
/* Device memory that is not in the control VM's map yet, as large a page as can be. */
int control_map_device(u64 gpa);

#endif
