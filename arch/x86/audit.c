/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * audit.c -- for debug builds: no entry can use an old translation.
 *
 * A shadow of each core's TLB by tag, not by address: a few places, the newest
 * entry in each.  What falls out is not checked; what is there is known.
 */
#include "arch/x86/audit.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "core/log.h"
#include "core/vm.h"

#define PLACES		32

#define CR0_BITS	(CR0_PG | CR0_WP)
#define CR4_BITS	(CR4_PSE | CR4_PAE | CR4_PGE | CR4_LA57 | CR4_PCIDE | CR4_SMEP | \
			 CR4_SMAP | CR4_PKE)
#define EFER_BITS	(EFER_NXE | EFER_LMA)

static struct {
	/* Linear translations under a tag ... */
	struct {
		const struct vcpu *v;	/* NULL: nothing */
		u32 tag;
		u64 root, changes;	/* of its stage 2 */
		struct audit_mode m;	/* at its last exit */
	} tag[PLACES];
	/* ... and those of guest-physical addresses. */
	struct {
		u64 root;		/* | 1; 0: nothing */
		u64 changes;
	} stage2[PLACES];
} core[MAX_CPUS];

static u64 root_of(const struct vcpu *v)
{
	return ptr_hpa(v->vm->s2.root).v | 1;
}

const char *audit_rule(const struct cpu *c, const struct vcpu *v, u32 tag,
		       const struct audit_mode *m)
{
	const struct audit_mode *was = &core[c->id].tag[tag % PLACES].m;
	const typeof(core[0].tag[0]) *t = &core[c->id].tag[tag % PLACES];

	if (!t->v || t->tag != tag)
		return NULL;
	if (t->v != v)
		return "the tag is another vCPU's";
	/* The control VM's are flushed by asking its cores, while they run. */
	if (!v->control && t->changes != v->vm->s2.changes)
		return "memory was taken away, and no flush has followed";
	if (((was->cr0 ^ m->cr0) & CR0_BITS) || ((was->cr4 ^ m->cr4) & CR4_BITS) ||
	    ((was->efer ^ m->efer) & EFER_BITS))
		return "the paging mode was changed, and no flush has followed";
	if (was->cr3 != m->cr3)
		return "CR3 was changed, and no flush has followed";
	return NULL;
}

const char *audit_stage2_rule(const struct cpu *c, const struct vcpu *v)
{
	const typeof(core[0].stage2[0]) *s = &core[c->id].stage2[root_of(v) / PAGE_SIZE % PLACES];

	if (!v->control && s->root == root_of(v) && s->changes != v->vm->s2.changes)
		return "memory was taken away, and no flush of guest-physical translations has followed";
	return NULL;
}

void audit_enter(const struct cpu *c, const struct vcpu *v, u32 tag, const struct audit_mode *m)
{
	const char *why = audit_rule(c, v, tag, m);

	if (why)
		panic("core %u, vCPU %u of VM %u, tag %u: %s", c->id, v->id, v->vm->id, tag, why);
}

void audit_exit(const struct cpu *c, const struct vcpu *v, u32 tag, const struct audit_mode *m)
{
	typeof(core[0].tag[0]) *t = &core[c->id].tag[tag % PLACES];
	typeof(core[0].stage2[0]) *s = &core[c->id].stage2[root_of(v) / PAGE_SIZE % PLACES];

	t->v = v;
	t->tag = tag;
	t->root = s->root = root_of(v);
	t->changes = s->changes = v->vm->s2.changes;
	t->m = *m;
}

void audit_flushed(const struct cpu *c)
{
	u32 i;

	for (i = 0; i < PLACES; i++)
		core[c->id].tag[i].v = NULL;
}

void audit_stage2_flushed(const struct cpu *c, u64 root)
{
	u32 i;

	for (i = 0; i < PLACES; i++) {
		if (root == AUDIT_ALL || core[c->id].stage2[i].root == (root | 1))
			core[c->id].stage2[i].root = 0;
		/* They go with it: SDM, "INVEPT". */
		if (root == AUDIT_ALL || core[c->id].tag[i].root == (root | 1))
			core[c->id].tag[i].v = NULL;
	}
}
