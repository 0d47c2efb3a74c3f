/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mtrr.c -- all cores have the MTRRs of the boot core.
 *
 * They must (SDM, "MTRR Considerations in MP Systems"), firmware sees to it, and
 * some forgets; QEMU clears them upon INIT.  The control VM's kernel would put
 * that right on each core, but may not write them.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/insn.h"
#include "arch/x86/mtrr.h"
#include "core/log.h"

#define CPUID_1_EDX_MTRR	BIT(12)

static struct mtrrs {
	u64 cap, def;
	u64 fixed[MTRR_FIXED], var[2 * MTRR_MAX_VAR];
} boot_core __ro_after_init;

/* Halves of pairs: base, mask. */
static u32 vars(const struct mtrrs *m)
{
	return 2 * (u32)MIN(field_get(MTRR_CAP_VCNT, m->cap), (u64)MTRR_MAX_VAR);
}

static void read_all(struct mtrrs *m)
{
	u32 i;

	m->cap = rdmsr(MSR_MTRR_CAP);
	m->def = rdmsr(MSR_MTRR_DEF_TYPE);
	for (i = 0; i < MTRR_FIXED && (m->cap & MTRR_CAP_FIX); i++)
		m->fixed[i] = rdmsr(mtrr_fixed_msr[i]);
	for (i = 0; i < vars(m); i++)
		m->var[i] = rdmsr(MSR_MTRR_PHYS0 + i);
}

static bool alike(const struct mtrrs *a, const struct mtrrs *b)
{
	u32 i;

	if (a->cap != b->cap || a->def != b->def)
		return false;
	for (i = 0; i < MTRR_FIXED; i++)
		if (a->fixed[i] != b->fixed[i])
			return false;
	for (i = 0; i < vars(a); i++)
		if (a->var[i] != b->var[i])
			return false;
	return true;
}

/* SDM, "MTRR Maintenance Programming Interface": caches off and empty meanwhile. */
static void write_all(const struct mtrrs *m)
{
	u64 cr0 = read_cr0();
	u32 i;

	write_cr0((cr0 | CR0_CD) & ~CR0_NW);
	wbinvd();
	wrmsr_try(MSR_MTRR_DEF_TYPE, m->def & ~MTRR_DEF_ON);
	for (i = 0; i < MTRR_FIXED && (m->cap & MTRR_CAP_FIX); i++)
		wrmsr_try(mtrr_fixed_msr[i], m->fixed[i]);
	for (i = 0; i < vars(m); i++)
		wrmsr_try(MSR_MTRR_PHYS0 + i, m->var[i]);
	wrmsr_try(MSR_MTRR_DEF_TYPE, m->def);
	wbinvd();
	write_cr0(cr0);
}

void mtrr_init(struct cpu *c)
{
	struct mtrrs own = {};

	if (!(cpuid(1, 0).edx & CPUID_1_EDX_MTRR))
		return;
	if (!c->id) {
		read_all(&boot_core);
		return;
	}
	read_all(&own);
	/* Another number of them is nothing that could be put right. */
	if (own.cap != boot_core.cap || alike(&own, &boot_core))
		return;
	write_all(&boot_core);
	log_debug("core %u had other MTRRs than the first", c->id);
}
