/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * npt.c -- the format of nested page tables: that of ordinary long-mode ones.
 *
 * APM, "Nested Paging": every access to them counts as a user access, so U is
 * set throughout.  Memory types are combined from the guest's PAT, this entry's
 * (write-back) and the MTRRs; there is nothing to compute here.
 */
#include "arch/x86/insn.h"
#include "arch/x86/paging.h"
#include "arch/x86/stage2.h"

static u64 npt_leaf(u64 hpa, unsigned level, u32 prot)
{
	return hpa | PTE_P | PTE_U | PTE_A | PTE_D | (level > 1 ? PTE_PS : 0) |
	       (prot & STAGE2_WRITE ? PTE_W : 0) | (prot & STAGE2_EXEC ? 0 : PTE_NX);
}

static u64 npt_table(u64 hpa)
{
	return hpa | PTE_P | PTE_U | PTE_W | PTE_A;
}

static u32 npt_prot(u64 e)
{
	return STAGE2_READ | (e & PTE_W ? STAGE2_WRITE : 0) | (e & PTE_NX ? 0 : STAGE2_EXEC);
}

static bool npt_has_1g(void)
{
	return cpuid(0x80000001, 0).edx & BIT(26);
}

static unsigned npt_uniform(u64 hpa, unsigned level)
{
	return level;
}

extern const struct stage2_format npt_format;
const struct stage2_format npt_format = {
	.present = PTE_P,
	.leaf = npt_leaf,
	.table = npt_table,
	.prot = npt_prot,
	.has_1g = npt_has_1g,
	.uniform = npt_uniform,
};
