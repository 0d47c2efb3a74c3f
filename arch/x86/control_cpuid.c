/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_cpuid.c -- what CPUID tells the control VM.
 *
 * The real CPU, as far as it is known here: leaves and bits that are not listed
 * are hidden.  A bit is left out for one of these reasons, given by letter:
 *   v  virtualization, Joist's own        a  writes memory at addresses of its own
 *   m  its MSRs may not be written        d  changes how addresses or instructions
 *   e  its events are not handed on          are decoded, which Joist does, too
 */
#include "arch/x86/exit.h"
#include "arch/x86/regs.h"
#include "arch/x86/xstate.h"

#define HYPERVISOR_FIRST	0x40000000
#define HYPERVISOR_LAST		0x4fffffff
#define LEAF1_ECX_HYPERVISOR	BIT(31)
#define D1_EAX_XSAVEC		BIT(1)

/* x87 to AVX, AVX-512, PKRU, AMX.  Not MPX, LWP (m), APX (d). */
#define XCR0_CONTROL	(BITS(2, 0) | BITS(7, 5) | BIT(9) | BITS(18, 17))
/* Shadow stacks.  Not PT (a), PASID, HDC, UINTR, LBR, HWP (m). */
#define XSS_CONTROL	BITS(12, 11)

#define SHOW	0xffffffff
/* EAX, EBX, ECX, EDX: bits that the control VM sees, if the CPU has them. */
static const struct cpuid_row {
	u32 leaf, sub;		/* sub: SHOW, where it is no matter */
	u32 mask[4];
} known[] = {
	{ 0x00, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* DTES64, DS_CPL, DS (a); VMX, SMX (v); SDBG (m) */
	{ 0x01, SHOW, { SHOW, SHOW, ~(u32)(BIT(2) | BITS(6, 4) | BIT(11)), ~(u32)CPUID_1_EDX_DS } },
	{ 0x02, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x04, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x05, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* HFI, Thread Director (a) */
	{ 0x06, SHOW, { ~(u32)(CPUID_6_EAX_HFI | BIT(23)), SHOW, BIT(0) | BIT(3), 0 } },
	/*
	 * TSC_ADJUST (m: would move guests' clocks), SGX (v), MPX (m), PT (a).
	 * TME, PKS, KL, ENQCMD (m), LA57 (d).  UINTR (a), PCONFIG (m), LBR (m: it
	 * goes on in the hypervisor), CORE_CAPABILITIES (m: split-lock #AC).
	 */
	{ 0x07, 0, { SHOW, ~(u32)(BIT(1) | BIT(2) | BIT(14) | CPUID_7_EBX_PT),
		     BITS(12, 0) | BIT(14) | BIT(22) | BIT(24) | BIT(25) | BITS(28, 27),
		     BITS(4, 2) | BITS(11, 8) | BITS(16, 13) | BIT(20) | BITS(29, 22) | BIT(31) } },
	/* LASS, FRED (e), WRMSRNS, HRESET, MSRLIST (m), LAM (d), perfmon v6 (a) */
	{ 0x07, 1, { BITS(5, 0) | BIT(7) | BITS(12, 10) | BIT(18) | BIT(21) | BIT(23) | BIT(31), 0, 0,
		     BITS(5, 4) | BIT(8) | BIT(10) | BIT(14) | BITS(19, 18) } },
	{ 0x07, 2, { 0, 0, 0, BITS(5, 0) | BIT(7) } },
	{ 0x0a, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x0b, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x0d, SHOW, { SHOW, SHOW, SHOW, SHOW } },	/* and control_leaf_d() */
	{ 0x0f, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x10, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* 12h SGX (v), 14h PT (a) */
	{ 0x15, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x16, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x17, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x18, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x1a, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* 19h KL, 1bh PCONFIG, 1ch LBR (m) */
	{ 0x1d, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x1e, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x1f, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* 20h HRESET (m), 21h TDX (v), 23h perfmon v6 (a) */
	{ 0x24, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x80000000, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* SVM, SKINIT (v), LWP (a) */
	{ 0x80000001, SHOW, { SHOW, SHOW, ~(u32)(BIT(2) | BIT(12) | BIT(15)), SHOW } },
	{ 0x80000002, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x80000003, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x80000004, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x80000005, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x80000006, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x80000007, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* INVLPGB (v: it flushes by ASID), MCOMMIT (m) */
	{ 0x80000008, SHOW, { SHOW, ~(u32)(BIT(3) | BIT(8) | BIT(21)), SHOW, 0xffff0000 } },
	/* 8000000ah SVM (v) */
	{ 0x80000019, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x8000001a, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x8000001b, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* 8000001ch LWP (a) */
	{ 0x8000001d, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x8000001e, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* 8000001fh SME, SEV, SNP (v) */
	{ 0x80000020, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	/* SMM page locks (m), upper address ignore (d) */
	{ 0x80000021, SHOW, { ~(u32)(BIT(3) | BIT(7)), SHOW, SHOW, SHOW } },
	{ 0x80000022, SHOW, { SHOW, SHOW, SHOW, SHOW } },
	{ 0x80000026, SHOW, { SHOW, SHOW, SHOW, SHOW } },
};

struct control_features control_features __ro_after_init;

static const struct cpuid_row *find_row(u32 leaf, u32 sub)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].leaf == leaf && (known[i].sub == SHOW || known[i].sub == sub))
			return &known[i];
	return NULL;
}

/* A leaf of the CPU's, without what is hidden. */
static struct cpuid masked_leaf(u32 leaf, u32 sub)
{
	const struct cpuid_row *row = find_row(leaf, sub);
	struct cpuid r;

	/* Past the end Intel's CPUs give another leaf's values. */
	if (!row || leaf > cpuid(leaf & 0x80000000, 0).eax)
		return (struct cpuid){};
	r = cpuid(leaf, sub);
	return (struct cpuid){ r.eax & row->mask[0], r.ebx & row->mask[1],
			       r.ecx & row->mask[2], r.edx & row->mask[3] };
}

void control_features_init(void)
{
	struct control_features *c = &control_features;
	struct cpuid f1 = masked_leaf(1, 0), f7 = masked_leaf(7, 0), d0 = {}, d1 = {};
	struct cpuid e1 = masked_leaf(0x80000001, 0), e8 = masked_leaf(0x80000008, 0);
	struct cpuid e21 = masked_leaf(0x80000021, 0);

	if (f1.ecx & CPUID_1_ECX_XSAVE) {
		d0 = cpuid(0xd, 0);
		d1 = cpuid(0xd, 1);
	}
	c->xcr0 = (d0.eax | (u64)d0.edx << 32) & XCR0_CONTROL;
	if (d1.eax & CPUID_D1_EAX_XSAVES)
		c->xss = (d1.ecx | (u64)d1.edx << 32) & XSS_CONTROL;
	c->cr4 = cpuid_cr4_bits(f1, f7);
	/* Shadow stacks, indirect branch tracking. */
	c->cr4 |= (f7.ecx & BIT(7)) || (f7.edx & BIT(20)) ? CR4_CET : 0;
	c->efer = guest_features.efer;
	c->efer |= e1.edx & BIT(25) ? EFER_FFXSR : 0;
	c->efer |= e1.ecx & BIT(17) ? EFER_TCE : 0;
	c->efer |= e8.ebx & BIT(13) ? EFER_INTWB : 0;
	c->efer |= e21.eax & BIT(8) ? EFER_AIBRSE : 0;
}

/* Sizes without what is hidden; the compacted form holds XSS's state, too. */
static void control_leaf_d(struct vcpu *v, u32 sub, struct cpuid *r)
{
	const struct control_features *c = &control_features;
	u64 all = c->xcr0 | c->xss, now = c->xcr0 ? xgetbv(0) & c->xcr0 : 0;

	if (!c->xcr0 || sub > 63 || (sub > 1 && !(all & BIT(sub))))
		*r = (struct cpuid){};
	else if (sub == 0)
		*r = (struct cpuid){ (u32)c->xcr0, xstate_area_size(now, false),
				     xstate_area_size(c->xcr0, false), (u32)(c->xcr0 >> 32) };
	else if (sub == 1 && !xstate_compacts)
		*r = (struct cpuid){ r->eax & ~(u32)(D1_EAX_XSAVEC | CPUID_D1_EAX_XSAVES) };
	else if (sub == 1)
		*r = (struct cpuid){ r->eax, r->eax & (D1_EAX_XSAVEC | CPUID_D1_EAX_XSAVES) ?
				     xstate_area_size(now | v->gs.xss, true) : 0, (u32)c->xss, 0 };
}

enum verdict control_cpuid(struct vcpu *v)
{
	u32 leaf = (u32)v->gpr[JOIST_RAX], sub = (u32)v->gpr[JOIST_RCX];
	struct cpuid r = {};

	/* Whoever Joist is a guest of is nobody else's business. */
	if (leaf >= HYPERVISOR_FIRST && leaf <= HYPERVISOR_LAST) {
		cpuid_joist(v, leaf, &r);
	} else {
		r = masked_leaf(leaf, sub);
		if (leaf == 1)
			r.ecx |= (u32)LEAF1_ECX_HYPERVISOR;
		if (leaf == 1 || (leaf == 7 && !sub))
			cpuid_mirror_cr4(v, leaf, &r);
		/* An OS must not put devices where no table reaches. */
		if (leaf == 0x80000008 && (r.eax & 0xff) > STAGE2_GPA_BITS)
			r.eax = (r.eax & ~0xffu) | STAGE2_GPA_BITS;
		if (leaf == 0xd)
			control_leaf_d(v, sub, &r);
	}
	cpuid_put(v, &r);
	return DONE;
}
