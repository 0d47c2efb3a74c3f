/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * audit.h -- debug builds: what a core may still have in its TLB.
 *
 * Told of each entry, exit and flush, it knows which translations a tag (ASID,
 * VPID) may stand for, and stops the machine at an entry that could use old ones.
 */
#ifndef ARCH_X86_AUDIT_H
#define ARCH_X86_AUDIT_H

#include "core/types.h"

struct cpu;
struct vcpu;

/* What translations depend on. */
struct audit_mode {
	u64 cr0, cr3, cr4, efer;
};

#ifdef JOIST_DEBUG
/* Rule that is broken, or NULL. */
const char *audit_rule(const struct cpu *c, const struct vcpu *v, u32 tag,
		       const struct audit_mode *m);
const char *audit_stage2_rule(const struct cpu *c, const struct vcpu *v);
void audit_enter(const struct cpu *c, const struct vcpu *v, u32 tag, const struct audit_mode *m);
void audit_exit(const struct cpu *c, const struct vcpu *v, u32 tag, const struct audit_mode *m);
/* This core has dropped the translations of all tags; of a stage 2, or of all. */
#define AUDIT_ALL	~0ull
void audit_flushed(const struct cpu *c);
void audit_stage2_flushed(const struct cpu *c, u64 root);
#else
static inline void audit_flushed(const struct cpu *c)
{
}
static inline void audit_stage2_flushed(const struct cpu *c, u64 root)
{
}
#endif

#endif
