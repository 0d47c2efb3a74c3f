/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mtrr.h -- memory type range registers (SDM, "Memory Type Range Registers").
 */
#ifndef ARCH_X86_MTRR_H
#define ARCH_X86_MTRR_H

#include "arch/x86/regs.h"

struct cpu;

#define MTRR_CAP_VCNT	BITS(7, 0)
#define MTRR_CAP_FIX	BIT(8)
#define MTRR_DEF_TYPE	BITS(7, 0)
#define MTRR_DEF_FIX	BIT(10)
#define MTRR_DEF_ON	BIT(11)
#define MTRR_MASK_VALID	BIT(11)
#define MTRR_MAX_VAR	32
#define MTRR_FIXED	11

/* The fixed-range ones: eight ranges of 64 KiB, then of 16 KiB, of 4 KiB. */
static const u16 mtrr_fixed_msr[MTRR_FIXED] = {
	0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
};

/* On each core, the boot core first: the others get its values. */
void mtrr_init(struct cpu *c);

#endif
