/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit_cpuid.c -- what CPUID tells a guest.
 *
 * A guest sees the CPU's features that are listed here and no others, so that
 * what a newer CPU adds is hidden until it is known to be switched.  APIC
 * features are virtual and there on every CPU.
 */
#include "arch/x86/exit.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "arch/x86/xstate.h"

#define LEAF1_ECX_X2APIC	BIT(21)
#define LEAF1_ECX_DEADLINE	BIT(24)
#define LEAF1_ECX_XSAVE		BIT(26)
#define LEAF1_ECX_OSXSAVE	BIT(27)
#define LEAF1_ECX_HYPERVISOR	BIT(31)
#define LEAF1_EDX_APIC		BIT(9)
#define LEAF1_EDX_HTT		BIT(28)
#define LEAF7_EBX_TSC_ADJUST	BIT(1)
#define LEAF7_ECX_OSPKE		BIT(4)
#define EXT1_EDX_RDTSCP		BIT(27)

#define MAX_LEAF		0xd
#define MAX_EXT_LEAF		0x80000021
#define KVM_BASE		0x40000000
#define KVM_FEATURES		(BIT(0) | BIT(1) | BIT(3) | BIT(15) | BIT(24))

/* Features that guests may have, if the CPU has them. */
#define ALLOW_1_ECX	(BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | \
			 BIT(20) | BIT(22) | BIT(23) | BIT(25) | BIT(26) | BIT(28) | \
			 BIT(29) | BIT(30))
#define ALLOW_1_EDX	(BITS(9, 0) | BITS(17, 11) | BIT(19) | BITS(26, 23))
#define ALLOW_7_EBX	(BIT(0) | BIT(3) | BIT(5) | BITS(10, 7) | BITS(21, 16) | \
			 BIT(23) | BIT(24) | BITS(31, 28))
#define ALLOW_7_ECX	(BITS(3, 1) | BIT(6) | BITS(12, 8) | BIT(14) | BIT(22))
#define ALLOW_7_EDX	(BIT(2) | BIT(3) | BIT(4) | BIT(26) | BIT(27) | BIT(31))
#define ALLOW_7_1_EAX	(BIT(4) | BIT(5))
#define LEAF7_EDX_MD_CLEAR	BIT(10)	/* VERW does not exit */
#define LEAF7_EDX_FLUSH_L1D	BIT(28)
#define LEAF7_EDX_ARCH_CAP	BIT(29)
#define D1_EAX_XSAVEC	BIT(1)
#define ALLOW_D1_EAX	BITS(2, 0)	/* XSAVEOPT, XSAVEC, XGETBV(1); no XSAVES */
#define ALLOW_EXT1_ECX	(BIT(0) | BITS(8, 4) | BIT(11) | BIT(16) | BIT(21))
#define ALLOW_EXT1_EDX	(BITS(9, 0) | BIT(11) | BITS(17, 12) | BIT(20) | BITS(24, 22) | \
			 BIT(26) | BIT(27) | BITS(31, 29))
#define ALLOW_EXT7_EDX	BIT(8)		/* invariant TSC */
/* With what SPEC_CTRL and PRED_CMD have, how they are meant, what is not needed. */
#define ALLOW_EXT8_EBX	(BIT(0) | BIT(2) | BIT(12) | BITS(19, 14) | BIT(24) | BIT(26) | \
			 BITS(30, 28))
/* LFENCE waits, VERW clears, null selectors clear the base, Automatic IBRS, and
 * what of SRSO and TSA there is not. */
#define ALLOW_EXT21_EAX	(BIT(2) | BIT(5) | BIT(6) | BIT(8) | BITS(30, 28))
#define ALLOW_EXT21_ECX	(BIT(1) | BIT(2))
#define EXT21_EAX_LFENCE	BIT(2)
#define EXT21_EAX_AUTO_IBRS	BIT(8)

struct guest_features guest_features __ro_after_init;

/* SDM, "Extended Control Registers (Including XCR0)". */
bool xcr0_valid(u64 xcr0, u64 features)
{
	if (!(xcr0 & XCR0_X87) || (xcr0 & ~features))
		return false;
	if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
		return false;
	return !(xcr0 & XCR0_AVX512) ||
	       ((xcr0 & XCR0_AVX512) == XCR0_AVX512 && (xcr0 & XCR0_AVX));
}

u64 cpuid_cr4_bits(struct cpuid f1, struct cpuid f7)
{
	u64 m = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE |
		CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	m |= f1.ecx & BIT(17) ? CR4_PCIDE : 0;
	m |= f1.ecx & LEAF1_ECX_XSAVE ? CR4_OSXSAVE : 0;
	m |= f7.ebx & BIT(0) ? CR4_FSGSBASE : 0;
	m |= f7.ebx & BIT(7) ? CR4_SMEP : 0;
	m |= f7.ebx & BIT(20) ? CR4_SMAP : 0;
	m |= f7.ecx & BIT(2) ? CR4_UMIP : 0;
	m |= f7.ecx & BIT(3) ? CR4_PKE : 0;
	return m;
}

#define SPEC_CTRL_IBRS	BIT(0)
#define SPEC_CTRL_STIBP	BIT(1)
#define SPEC_CTRL_SSBD	BIT(2)
#define SPEC_CTRL_PSFD	BIT(7)
#define PRED_CMD_IBPB	BIT(0)

/*
 * The bits that each CPUID bit brings, Intel's and AMD's: SDM, "Speculation
 * Control MSRs"; APM, "Speculation Control MSRs".  intel: of leaf 7's EDX; else
 * of 80000008h's EBX.
 */
static const struct {
	bool intel;
	u8 bit;
	u16 spec_ctrl, pred_cmd;
} speculation[] = {
	{ true, 26, SPEC_CTRL_IBRS, PRED_CMD_IBPB },
	{ true, 27, SPEC_CTRL_STIBP },
	{ true, 31, SPEC_CTRL_SSBD },
	{ false, 12, 0, PRED_CMD_IBPB },
	{ false, 14, SPEC_CTRL_IBRS },
	{ false, 15, SPEC_CTRL_STIBP },
	{ false, 24, SPEC_CTRL_SSBD },
	{ false, 28, SPEC_CTRL_PSFD },
};

/* What the CPU says it has and in fact takes: a nested hypervisor may say more. */
static void speculation_init(struct guest_features *g, u32 leaf7_edx, u32 ext8_ebx)
{
	u64 before, bit;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(speculation); i++)
		if ((speculation[i].intel ? leaf7_edx : ext8_ebx) & BIT(speculation[i].bit)) {
			g->spec_ctrl |= speculation[i].spec_ctrl;
			g->pred_cmd |= speculation[i].pred_cmd;
		}
	if (!g->spec_ctrl)
		return;
	if (!rdmsr_safe(MSR_SPEC_CTRL, &before)) {
		g->spec_ctrl = 0;
		return;
	}
	for (bit = 1; bit <= g->spec_ctrl; bit <<= 1)
		if ((g->spec_ctrl & bit) && !wrmsr_safe(MSR_SPEC_CTRL, before | bit))
			g->spec_ctrl &= ~bit;
	wrmsr_try(MSR_SPEC_CTRL, before);
}

/* Those of the bits that name what is there. */
static u32 speculation_bits(bool intel, u32 bits)
{
	const struct guest_features *g = &guest_features;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(speculation); i++)
		if (speculation[i].intel == intel &&
		    ((speculation[i].spec_ctrl & ~g->spec_ctrl) |
		     (speculation[i].pred_cmd & ~g->pred_cmd)))
			bits &= ~(u32)BIT(speculation[i].bit);
	return bits;
}

static u32 ext_max(void)
{
	return cpuid(0x80000000, 0).eax;
}

static bool is_amd(u32 ebx)
{
	return ebx == 0x68747541 || ebx == 0x6f677948;	/* "Auth", "Hygo" */
}

void guest_features_init(void)
{
	struct guest_features *g = &guest_features;
	struct cpuid f1 = cpuid(1, 0), f7 = {}, d = {}, e1 = cpuid(0x80000001, 0);

	g->max_leaf = cpuid(0, 0).eax;
	g->amd = is_amd(cpuid(0, 0).ebx);
	if (g->max_leaf >= 7)
		f7 = cpuid(7, 0);
	if (f1.ecx & LEAF1_ECX_XSAVE)
		d = cpuid(0xd, 0);
	g->xcr0 = (d.eax | (u64)d.edx << 32) & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU);
	g->cr4 = cpuid_cr4_bits(f1, f7);
	g->efer = EFER_SCE | EFER_LME | EFER_LMA | (e1.edx & BIT(20) ? EFER_NXE : 0);
	speculation_init(g, f7.edx, ext_max() >= 0x80000008 ? cpuid(0x80000008, 0).ebx : 0);
	if (ext_max() >= 0x80000021 && (cpuid(0x80000021, 0).eax & EXT21_EAX_AUTO_IBRS))
		g->efer |= EFER_AIBRSE;
	g->tsc_aux = e1.edx & EXT1_EDX_RDTSCP;
	g->timer = backend->features() & BACKEND_TIMER;
	g->offer = backend->features() & BACKEND_OFFER;
	g->vid = backend->features() & BACKEND_VID;
	g->phys_bits = ext_max() >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
	g->phys_bits = MIN(g->phys_bits, STAGE2_GPA_BITS);
}

/* Bits that mirror CR4, in place of the hypervisor's own. */
void cpuid_mirror_cr4(struct vcpu *v, u32 leaf, struct cpuid *r)
{
	u64 cr4 = backend->reg_get(v, VREG_CR4);

	if (leaf == 1)
		r->ecx = (r->ecx & ~(u32)LEAF1_ECX_OSXSAVE) |
			 (cr4 & CR4_OSXSAVE ? (u32)LEAF1_ECX_OSXSAVE : 0);
	else
		r->ecx = (r->ecx & ~(u32)LEAF7_ECX_OSPKE) |
			 (cr4 & CR4_PKE ? (u32)LEAF7_ECX_OSPKE : 0);
}

bool cpuid_joist(struct vcpu *v, u32 leaf, struct cpuid *r)
{
	if (leaf == JOIST_CPUID_BASE)
		*r = (struct cpuid){ JOIST_CPUID_BASE + 1, JOIST_CPUID_EBX, JOIST_CPUID_ECX,
				     JOIST_CPUID_EDX };
	else if (leaf == JOIST_CPUID_BASE + 1)
		*r = (struct cpuid){ JOIST_ABI_VERSION,
				     backend->cpuid_call | (v->control ? JOIST_CPUID_CONTROL : 0), 0, 0 };
	else
		return false;
	return true;
}

static void leaf_1(struct vcpu *v, struct cpuid *r)
{
	r->ebx = (r->ebx & 0xffff) | v->vm->vcpu_count << 16 | v->id << 24;
	r->ecx = (r->ecx & ALLOW_1_ECX) | LEAF1_ECX_X2APIC | LEAF1_ECX_DEADLINE |
		 LEAF1_ECX_HYPERVISOR;
	r->edx &= ALLOW_1_EDX & ~LEAF1_EDX_APIC;
	if (v->lapic.base & APIC_BASE_EN)
		r->edx |= LEAF1_EDX_APIC;
	if (v->vm->vcpu_count > 1)
		r->edx |= LEAF1_EDX_HTT;
	cpuid_mirror_cr4(v, 1, r);
}

static void leaf_7(struct vcpu *v, u32 sub, struct cpuid *r)
{
	if (sub == 0) {
		r->eax = MIN(r->eax, 1u);
		r->ebx = (r->ebx & ALLOW_7_EBX) | LEAF7_EBX_TSC_ADJUST;
		r->ecx &= ALLOW_7_ECX;
		r->edx = speculation_bits(true, r->edx & (ALLOW_7_EDX | LEAF7_EDX_MD_CLEAR)) |
			 (mitigations.flush_cmd ? (u32)LEAF7_EDX_FLUSH_L1D : 0) |
			 (mitigations.arch_cap ? (u32)LEAF7_EDX_ARCH_CAP : 0);
		cpuid_mirror_cr4(v, 7, r);
	} else if (sub == 1) {
		*r = (struct cpuid){ r->eax & ALLOW_7_1_EAX, 0, 0, 0 };
	} else {
		*r = (struct cpuid){};
	}
}

/* Bits that count a VM's vCPUs in an APIC id. */
static u32 id_bits(const struct vm *vm)
{
	return vm->vcpu_count > 1 ? 32 - (u32)__builtin_clz(vm->vcpu_count - 1) : 0;
}

/* One package, one thread a core. */
static void leaf_b(struct vcpu *v, u32 sub, struct cpuid *r)
{
	if (sub == 0)
		*r = (struct cpuid){ 0, 1, 0x100, v->id };
	else if (sub == 1)
		*r = (struct cpuid){ id_bits(v->vm), v->vm->vcpu_count, 0x201, v->id };
	else
		*r = (struct cpuid){ 0, 0, sub, v->id };
}

/*
 * Sizes are of what the guest has and has enabled; the CPU's own count what the
 * control VM has, too.  No supervisor state: XSS is 0.
 */
static void leaf_d(u32 sub, struct cpuid *r)
{
	u64 mask = guest_features.xcr0, now = mask ? xgetbv(0) & mask : 0;

	if (!mask || sub > 63 || (sub > 1 && !(mask & BIT(sub))))
		*r = (struct cpuid){};
	else if (sub == 0)
		*r = (struct cpuid){ (u32)mask, xstate_area_size(now, false),
				     xstate_area_size(mask, false), (u32)(mask >> 32) };
	else if (sub == 1 && !xstate_compacts)
		*r = (struct cpuid){ r->eax & ALLOW_D1_EAX & ~(u32)D1_EAX_XSAVEC };
	else if (sub == 1)
		*r = (struct cpuid){ r->eax & ALLOW_D1_EAX,
				     r->eax & D1_EAX_XSAVEC ? xstate_area_size(now, true) : 0 };
}

static void basic_leaf(struct vcpu *v, u32 leaf, u32 sub, struct cpuid *r)
{
	switch (leaf) {
	case 0:
		/* Leaf 0xb tells the topology of x2APIC ids, on any CPU. */
		r->eax = MIN(MAX(r->eax, 0xbu), (u32)MAX_LEAF);
		break;
	case 1:
		leaf_1(v, r);
		break;
	case 2:
		break;
	case 4:
		/* Caches are a core's own; the package has vcpu_count cores. */
		if (r->eax & 0x1f)
			r->eax = (r->eax & 0x3fff) | ((1u << id_bits(v->vm)) - 1) << 26;
		break;
	case 6:
		*r = (struct cpuid){ BIT(2), 0, 0, 0 };	/* the APIC timer never stops */
		break;
	case 7:
		leaf_7(v, sub, r);
		break;
	case 0xb:
		leaf_b(v, sub, r);
		break;
	case 0xd:
		leaf_d(sub, r);
		break;
	default:
		*r = (struct cpuid){};
	}
}

static void extended_leaf(struct vcpu *v, u32 leaf, struct cpuid *r)
{
	switch (leaf) {
	case 0x80000000:
		r->eax = MIN(r->eax, MAX_EXT_LEAF);
		break;
	case 0x80000001:
		r->ecx &= ALLOW_EXT1_ECX;
		r->edx &= ALLOW_EXT1_EDX;
		break;
	case 0x80000007:
		*r = (struct cpuid){ 0, 0, 0, r->edx & ALLOW_EXT7_EDX };
		break;
	case 0x80000008:
		r->eax = (r->eax & 0xff00) | guest_features.phys_bits;
		r->ebx = speculation_bits(false, r->ebx & ALLOW_EXT8_EBX);
		r->ecx = v->vm->vcpu_count - 1;
		r->edx = 0;
		break;
	case 0x80000021:
		/* Intel's CPUs answer with some other leaf's. */
		if (ext_max() < leaf) {
			*r = (struct cpuid){};
			break;
		}
		*r = (struct cpuid){ r->eax & ALLOW_EXT21_EAX, 0, r->ecx & ALLOW_EXT21_ECX, 0 };
		r->eax |= mitigations.lfence ? (u32)EXT21_EAX_LFENCE : 0;
		break;
	case 0x80000002 ... 0x80000006:
		break;
	default:
		*r = (struct cpuid){};
	}
}

void cpuid_put(struct vcpu *v, const struct cpuid *r)
{
	v->gpr[JOIST_RAX] = r->eax;
	v->gpr[JOIST_RBX] = r->ebx;
	v->gpr[JOIST_RCX] = r->ecx;
	v->gpr[JOIST_RDX] = r->edx;
}

enum verdict exit_cpuid(struct vcpu *v)
{
	u32 leaf = (u32)v->gpr[JOIST_RAX], sub = (u32)v->gpr[JOIST_RCX];
	struct cpuid r = {};

	if (leaf <= MAX_LEAF) {
		if (leaf <= guest_features.max_leaf)
			r = cpuid(leaf, sub);
		basic_leaf(v, leaf, sub, &r);
	} else if (leaf >= 0x80000000 && leaf <= MAX_EXT_LEAF) {
		r = cpuid(leaf, sub);
		extended_leaf(v, leaf, &r);
	} else if (leaf == KVM_BASE) {
		r = (struct cpuid){ KVM_BASE + 1, 0x4b4d564b, 0x564b4d56, 0x4d };
	} else if (leaf == KVM_BASE + 1) {
		r = (struct cpuid){ KVM_FEATURES, 0, 0, 0 };
	} else {
		cpuid_joist(v, leaf, &r);
	}
	cpuid_put(v, &r);
	return DONE;
}
