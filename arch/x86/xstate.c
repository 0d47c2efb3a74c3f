/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xstate.c -- switching the floating-point and vector state.
 *
 * All components that a guest can have are switched whatever XCR0 says, so
 * that nothing of one VM is ever left for another to find.  SDM, "Managing
 * State Using the XSAVE Feature Set".
 */
#include "arch/x86/exit.h"
#include "arch/x86/regs.h"
#include "arch/x86/xstate.h"
#include "core/log.h"
#include "core/string.h"

#define LEGACY_SIZE	512
#define HEADER_OFFSET	512
#define HEADER_SIZE	64
#define FCW_RESET	0x37f
#define MXCSR_OFFSET	24
#define MXCSR_RESET	0x1f80
#define MXCSR_MASK	0xffff

static u32 mask __ro_after_init;	/* components; 0: FXSAVE only */
static u32 size __ro_after_init = LEGACY_SIZE;

void xstate_setup(void)
{
	u64 host = 0;

	mask = (u32)guest_features.xcr0;	/* none that we know is above */
	if (!mask)
		return;
	host = xgetbv(0);
	xsetbv(0, mask);
	size = cpuid(0xd, 0).ebx;
	xsetbv(0, host);
	if (size > JOIST_XSTATE_MAX)
		refuse("this CPU's XSAVE area (%u bytes) is larger than expected", size);
}

u32 xstate_size(void)
{
	return size;
}

void xstate_reset(void *area)
{
	memset(area, 0, PAGE_SIZE);
	*(u16 *)area = FCW_RESET;
	*(u32 *)((char *)area + MXCSR_OFFSET) = MXCSR_RESET;
}

void xstate_switch(struct vcpu *from, struct vcpu *to)
{
	char (*old)[PAGE_SIZE] = from->xstate, (*new)[PAGE_SIZE] = to->xstate;
	u64 now;

	if (unlikely(!mask)) {
		__asm__ volatile("fxsave64 %0\n\tfxrstor64 %1" : "+m"(*old) : "m"(*new));
		return;
	}
	/* A guest may have set it without an exit. */
	now = from->gs.xcr0 = xgetbv(0);
	if (~now & mask) {
		now |= mask;
		xsetbv(0, now);
	}
	__asm__ volatile("xsave64 %0\n\txrstor64 %1" : "+m"(*old) : "m"(*new), "a"(mask), "d"(0));
	if (now != to->gs.xcr0)
		xsetbv(0, to->gs.xcr0);
}

int xstate_check(const void *area)
{
	const u8 *header = (const u8 *)area + HEADER_OFFSET;
	u64 xstate_bv;
	u32 mxcsr;
	unsigned i;

	memcpy(&mxcsr, (const u8 *)area + MXCSR_OFFSET, sizeof(mxcsr));
	if (mxcsr & ~MXCSR_MASK)
		return fail(-EINVAL);
	if (!mask)
		return 0;
	memcpy(&xstate_bv, header, sizeof(xstate_bv));
	if (xstate_bv & ~(u64)mask)
		return fail(-EINVAL);
	/* XCOMP_BV and the rest of the header: standard form. */
	for (i = 8; i < HEADER_SIZE; i++)
		if (header[i])
			return fail(-EINVAL);
	return 0;
}
