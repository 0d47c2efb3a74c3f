/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * msr_policy.h -- which MSRs exit; the backends build their bitmaps from it.
 *
 * A guest's MSRs all exit but for a few; so do the control VM's writes, and few
 * of its reads.
 */
#ifndef ARCH_X86_MSR_POLICY_H
#define ARCH_X86_MSR_POLICY_H

#include "core/types.h"

#define MSR_R	BIT(0)
#define MSR_W	BIT(1)
#define MSR_RW	(MSR_R | MSR_W)

struct msr_range {
	u32 first, last;
	u32 access;		/* MSR_R, MSR_W */
};

/* A guest uses these directly: they are switched with it. */
extern const struct msr_range guest_direct_msrs[];
/* The control VM writes these directly; it exits when it reads these. */
extern const struct msr_range control_direct_msrs[], control_trapped_reads[];

#endif
