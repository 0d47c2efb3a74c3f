/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xstate.c -- switching the floating-point and vector state.
 *
 * All components that a guest can have are switched whatever XCR0 says, so
 * that nothing of one VM is ever left for another to find.  What is loaded was
 * checked; an area or an XCR0 that the CPU refuses all the same ends that RUN.
 * SDM, "Managing State Using the XSAVE Feature Set".
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
#define MXCSR_MASK_AT	28
#define MXCSR_RESET	0x1f80
#define MXCSR_MASK_OLD	0xffbf	/* of a CPU that leaves the field 0 */

#define COMPONENTS	32		/* that Joist or the control VM knows */
#define FIRST_EXTENDED	2		/* x87 and SSE are in the legacy region */
#define COMPONENT_ALIGN	BIT(1)		/* of CPUID(0Dh, n).ECX */

#define D1_EAX_XSAVEC	BIT(1)		/* of CPUID(0Dh, 1) */
#define TRIES		3

static u32 mask __ro_after_init;	/* components; 0: FXSAVE only */
static u32 size __ro_after_init = LEGACY_SIZE;
static u32 mxcsr_mask __ro_after_init;
bool xstate_compacts __ro_after_init;
static struct component {
	u32 size, offset;	/* offset: in the standard form */
	bool align;		/* to 64 bytes, in the compacted form */
} component[COMPONENTS] __ro_after_init;

/* SDM, "Determining XSAVE-Managed Features"; "Extended Region of an XSAVE Area". */
u32 xstate_area_size(u64 components, bool compacted)
{
	u32 end = LEGACY_SIZE + HEADER_SIZE, i;

	for (i = FIRST_EXTENDED; i < COMPONENTS; i++) {
		const struct component *c = &component[i];

		if (!(components & BIT(i)))
			continue;
		if (!compacted)
			end = MAX(end, c->offset + c->size);
		else
			end = (c->align ? ALIGN_UP(end, 64u) : end) + c->size;
	}
	return end;
}

/* SDM, "Checking for Additional SSE Features": which bits MXCSR has. */
static void read_mxcsr_mask(void)
{
	static u8 area[LEGACY_SIZE] __aligned(16);

	__asm__ volatile("fxsave64 %0" : "=m"(area));
	memcpy(&mxcsr_mask, area + MXCSR_MASK_AT, sizeof(mxcsr_mask));
	if (!mxcsr_mask)
		mxcsr_mask = MXCSR_MASK_OLD;
}

/* A nested hypervisor may take the value and load another one. */
static bool xcr0_set(u64 val)
{
	return xsetbv_safe(val) && xgetbv(0) == val;
}

/*
 * Bochs' XSAVEC does not save what is in the upper halves of the YMM registers, so
 * that a kernel which switches by it mixes up its programs.  Nobody is shown it
 * where one register does not come out as it went in.
 */
static bool xsavec_works(void)
{
	static const u64 pattern[4] = { 1, 2, 3, 0x5a5a5a5a5a5a5a5a };
	static u8 area[LEGACY_SIZE + HEADER_SIZE + 256] __aligned(64);
	u64 now = xgetbv(0);
	bool same;

	if (!(cpuid(0xd, 1).eax & D1_EAX_XSAVEC))
		return false;
	if (!(mask & XCR0_AVX))
		return true;
	xsetbv_safe(now | XCR0_X87 | XCR0_SSE | XCR0_AVX);
	__asm__ volatile("vmovups %1, %%ymm0\n\t"
			 "xsavec64 %0\n\t"
			 "vzeroall"
			 : "+m"(area) : "m"(pattern), "a"(XCR0_AVX), "d"(0));
	xsetbv_safe(now);
	same = !memcmp(area + LEGACY_SIZE + HEADER_SIZE, &pattern[2], 16);
	if (!same)
		log_warn("this CPU's XSAVEC loses registers: it is hidden");
	return same;
}

void xstate_setup(void)
{
	u64 host;
	u32 i;

	read_mxcsr_mask();
	mask = (u32)guest_features.xcr0;	/* none that we know is above */
	if (!mask)
		return;
	for (i = FIRST_EXTENDED; i < COMPONENTS; i++) {
		struct cpuid c = cpuid(0xd, i);

		component[i] = (struct component){ c.eax, c.ebx, c.ecx & COMPONENT_ALIGN };
	}
	size = xstate_area_size(mask, false);
	if (size > JOIST_XSTATE_MAX)
		refuse("this CPU's XSAVE area (%u bytes) is larger than expected", size);
	host = xgetbv(0);
	if (!xcr0_set(mask) || !xcr0_set(host))
		refuse("this CPU does not keep what is written to XCR0");
	xstate_compacts = xsavec_works();
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

static bool load(const void *area)
{
	return mask ? xrstor_safe(area, mask) : fxrstor_safe(area);
}

/*
 * The CPU refuses what was checked: somebody beneath Joist has changed XCR0, as
 * a KVM does that is not told of XSETBV.  With no component but x87 and SSE all
 * others are as after reset, so that nothing of `from` is left.
 */
static __noinline void load_again(struct vcpu *to, u64 xcr0)
{
	static struct ratelimit limit;
	u64 *xstate_bv = (u64 *)((u8 *)to->xstate + HEADER_OFFSET);
	unsigned i;

	for (i = 0; mask && i < TRIES; i++)
		if (xcr0_set(xcr0) && load(to->xstate))
			return;
	if (ratelimit_ok(&limit, 5))
		log_error("%s, vCPU %u: the CPU refuses its XSAVE area, XCR0 is %lx",
			  to->control ? "control VM" : to->vm->name, to->id, mask ? xgetbv(0) : 0);
	if (mask)
		*xstate_bv &= XCR0_X87 | XCR0_SSE;
	if (!load(to->xstate)) {
		xstate_reset(to->xstate);
		load(to->xstate);
	}
	if (!to->control)
		exit_error(to, JOIST_ERR_ENTRY);
}

void xstate_switch(struct vcpu *from, struct vcpu *to)
{
	char (*old)[PAGE_SIZE] = from->xstate;
	u64 now;

	if (unlikely(!mask)) {
		__asm__ volatile("fxsave64 %0" : "=m"(*old));
		if (!load(to->xstate))
			load_again(to, 0);
		return;
	}
	/* A guest may have set it without an exit. */
	now = from->gs.xcr0 = xgetbv(0);
	if (~now & mask)
		xsetbv_safe(now |= mask);
	__asm__ volatile("xsave64 %0" : "+m"(*old) : "a"(mask), "d"(0));
	if (unlikely(!xrstor_safe(to->xstate, mask)))
		load_again(to, now);
	if (now != to->gs.xcr0 && unlikely(!xcr0_set(to->gs.xcr0)) && !to->control)
		exit_error(to, JOIST_ERR_ENTRY);
}

int xstate_check(const void *area)
{
	const u8 *header = (const u8 *)area + HEADER_OFFSET;
	u64 xstate_bv;
	u32 mxcsr;
	unsigned i;

	memcpy(&mxcsr, (const u8 *)area + MXCSR_OFFSET, sizeof(mxcsr));
	if (mxcsr & ~mxcsr_mask)
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

/* SDM, "Protection Keys": RDPKRU wants CR4.PKE of the hypervisor's own. */
u32 xstate_pkru(struct vcpu *v)
{
	u32 leaf = (u32)__builtin_ctzll(XCR0_PKRU), val = 0;
	const u8 *area = v->xstate;
	u64 there;

	if (v->control || __atomic_load_n(&v->on_cpu, __ATOMIC_RELAXED))
		return rdpkru();
	memcpy(&there, area + HEADER_OFFSET, sizeof(there));
	if (there & XCR0_PKRU)
		memcpy(&val, area + cpuid(0xd, leaf).ebx, sizeof(val));
	return val;
}
