/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_msr.c -- RDMSR and WRMSR of the control VM.
 *
 * It has the machine's MSRs to read.  Writes exit, but for those in
 * control_direct_msrs, and do only what `rules` lets: what a newer CPU adds
 * stays as it is until it is known what it can reach.  Nothing may be written
 * that makes a CPU access memory past stage 2, or by linear addresses while the
 * hypervisor or a guest runs: trace and event buffers, feedback tables, MTRRs,
 * TSEG, a hypervisor's shared pages when Joist is itself a guest.
 *
 * Sections: SDM volume 4, "Model-Specific Registers"; APM volume 2, appendix
 * "MSR Cross-Reference".
 */
#include "arch/x86/exit.h"
#include "arch/x86/msr.h"
#include "arch/x86/msr_policy.h"
#include "arch/x86/regs.h"
#include "core/errno.h"
#include "core/log.h"

/* Written without an exit: often, or kept in the VMCB or VMCS. */
const struct msr_range control_direct_msrs[] = {
	{ MSR_SPEC_CTRL, MSR_PRED_CMD, MSR_W },
	{ 0xc1, 0xc8, MSR_W },			/* performance counters */
	{ 0x10b, 0x10b, MSR_W },		/* FLUSH_CMD */
	{ MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_W },
	{ 0x186, 0x18d, MSR_W },		/* PERFEVTSEL */
	{ 0x199, 0x199, MSR_W },		/* PERF_CTL: the clock */
	{ 0x1a6, 0x1a7, MSR_W },		/* OFFCORE_RSP */
	{ 0x1c4, 0x1c5, MSR_W },		/* XFD, XFD_ERR */
	{ 0x1c8, 0x1c9, MSR_W },		/* LBR_SELECT, LBR_TOS */
	{ MSR_PAT, MSR_PAT, MSR_W },
	{ 0x309, 0x318, MSR_W },		/* FIXED_CTR */
	{ 0x329, 0x329, MSR_W },		/* PERF_METRICS */
	{ 0x38d, 0x38d, MSR_W },		/* FIXED_CTR_CTRL */
	{ 0x38f, 0x391, MSR_W },		/* PERF_GLOBAL_CTRL, _OVF_CTRL, _STATUS_SET */
	{ 0x4c1, 0x4c8, MSR_W },		/* performance counters, full width */
	{ 0x680, 0x69f, MSR_W },		/* LBR_FROM */
	{ 0x6a0, 0x6a2, MSR_W },		/* U_CET, S_CET */
	{ 0x6a4, 0x6a8, MSR_W },		/* shadow stack pointers: linear, the OS's */
	{ 0x6c0, 0x6df, MSR_W },		/* LBR_TO */
	{ MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, MSR_W },
	{ 0x774, 0x774, MSR_W },		/* HWP_REQUEST */
	{ MSR_X2APIC_FIRST, MSR_X2APIC_LAST, MSR_W },
	{ 0xc8d, 0xc8d, MSR_W },		/* QM_EVTSEL */
	{ 0xc8f, 0xc8f, MSR_W },		/* PQR_ASSOC */
	{ MSR_STAR, MSR_SFMASK, MSR_W },
	{ MSR_FS_BASE, MSR_TSC_AUX, MSR_W },
	{ 0xc0000300, 0xc0000303, MSR_W },	/* AMD: PerfCntrGlobal */
	{ MSR_PERF_CTL0, MSR_PERF_CTR3, MSR_W },
	{ 0xc0010062, 0xc0010062, MSR_W },	/* P-state control */
	{ 0xc0010200, 0xc001020b, MSR_W },	/* PERF_CTL, PERF_CTR */
	{ 0xc0010230, 0xc0010247, MSR_W },	/* L3 and northbridge counters */
	{ 0xc0011030, 0xc001103d, MSR_W },	/* instruction-based sampling: into MSRs */
	{ 0xc00102b3, 0xc00102b3, MSR_W },	/* CPPC_REQ */
	{ }
};

/* Their reads exit, too: not there, or not all of it. */
const struct msr_range control_trapped_reads[] = {
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, MSR_R },
	{ MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL, MSR_R },
	{ MSR_SMM_MONITOR, MSR_SMM_MONITOR, MSR_R },
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, MSR_R },
	{ MSR_PERF_CAPABILITIES, MSR_PERF_CAPABILITIES, MSR_R },
	{ MSR_PEBS_ENABLE, MSR_PEBS_INDEX, MSR_R },
	{ MSR_VMX_FIRST, MSR_VMX_LAST, MSR_R },
	{ MSR_RTIT_FIRST, MSR_RTIT_LAST, MSR_R },
	{ MSR_DS_AREA, MSR_DS_AREA, MSR_R },
	{ MSR_HW_FEEDBACK_PTR, MSR_HW_FEEDBACK_CONFIG, MSR_R },
	{ MSR_EFER, MSR_EFER, MSR_R },
	{ MSR_VM_CR, MSR_SVM_KEY, MSR_R },
	{ }
};

/* As if the CPU had none of them, to read and to write. */
static const struct msr_range hidden[] = {
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME },
	{ MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL },
	{ MSR_SMM_MONITOR, MSR_SMM_MONITOR },
	{ MSR_PEBS_ENABLE, MSR_PEBS_INDEX },
	{ MSR_VMX_FIRST, MSR_VMX_LAST },
	{ MSR_RTIT_FIRST, MSR_RTIT_LAST },
	{ MSR_DS_AREA, MSR_DS_AREA },
	{ MSR_HW_FEEDBACK_PTR, MSR_HW_FEEDBACK_CONFIG },
	{ MSR_HYPERVISOR_FIRST, MSR_HYPERVISOR_LAST },
	{ MSR_VM_CR, MSR_SVM_KEY },
};

/*
 * What may be written with an exit: these bits may change, from what is there.
 * All other MSRs: the same value again.  Read-only ones, and those that the CPU
 * lacks, it refuses itself.
 */
#define ALL_BITS	~0ull
static const struct rule {
	u32 first, last;
	u64 bits;
} rules[] = {
	{ 0x4e, 0x4e, ALL_BITS },			/* PPIN_CTL */
	{ MSR_UCODE_REV, MSR_UCODE_REV, ALL_BITS },	/* 0, before it is read */
	{ 0xe1, 0xe2, ALL_BITS },			/* UMWAIT_CONTROL, PKG_CST_CONFIG */
	{ 0xe7, 0xe8, ALL_BITS },			/* MPERF, APERF */
	{ 0x10f, 0x10f, ALL_BITS },			/* TSX_FORCE_ABORT */
	{ 0x122, 0x123, ALL_BITS },			/* TSX_CTRL, MCU_OPT_CTRL */
	{ 0x140, 0x140, BIT(0) },		/* CPUID faulting, of user programs */
	{ MSR_MCG_STATUS, 0x17b, ALL_BITS },		/* MCG_STATUS, MCG_CTL */
	{ 0x17f, 0x17f, BIT(1) },		/* ERROR_CONTROL */
	{ 0x19a, 0x19c, ALL_BITS },			/* clock modulation, thermal interrupt, status */
	{ 0x1a2, 0x1a2, ALL_BITS },			/* temperature target */
	{ 0x1a4, 0x1a4, ALL_BITS },			/* prefetchers */
	{ 0x1aa, 0x1aa, ALL_BITS },			/* MISC_PWR_MGMT */
	{ 0x1b0, 0x1b2, ALL_BITS },			/* energy bias, package thermal */
	{ MSR_DEBUGCTL, MSR_DEBUGCTL, BITS(15, 11) | BITS(5, 0) },
	{ 0x1fc, 0x1fc, BIT(1) | BIT(19) },	/* C1E, energy-efficient turbo */
	{ 0x280, 0x29f, ALL_BITS },			/* MCi_CTL2 */
	{ 0x3f6, 0x3f7, ALL_BITS },			/* thresholds of sampling */
	{ 0x400, 0x47f, ALL_BITS },			/* machine-check banks */
	{ 0x4d0, 0x4d0, ALL_BITS },			/* MCG_EXT_CTL */
	{ 0x610, 0x610, ALL_BITS },			/* power limits: package, ... */
	{ 0x618, 0x618, ALL_BITS },			/* ... memory */
	{ 0x638, 0x63a, ALL_BITS },			/* ... cores */
	{ 0x640, 0x642, ALL_BITS },			/* ... graphics */
	{ 0x64b, 0x64c, ALL_BITS },			/* configurable TDP */
	{ 0x65c, 0x65c, ALL_BITS },			/* ... platform */
	{ 0x770, 0x777, ALL_BITS },			/* HWP */
	{ 0xc80, 0xc82, ALL_BITS },			/* cache allocation: configuration, ... */
	{ 0xc90, 0xd8f, ALL_BITS },			/* ... masks */
	{ 0xdb0, 0xdb2, ALL_BITS },			/* hardware duty cycling */
	{ MSR_STAR, MSR_SFMASK, ALL_BITS },		/* where they exit: vmx.c */
	{ 0xc0000108, 0xc0000108, ALL_BITS },	/* prefetchers */
	{ 0xc0000408, 0xc0000410, ALL_BITS },	/* MCA: further counters, interrupts */
	{ 0xc0002000, 0xc0002fff, ALL_BITS },	/* scalable MCA's banks */
	/* McStatusWrEn, boost off, IRPERF, CPUID faulting */
	{ MSR_HWCR, MSR_HWCR, BIT(18) | BIT(25) | BIT(30) | BIT(35) },
	{ 0xc0010044, 0xc001004a, ALL_BITS },	/* MCA: masks */
	{ 0xc0010400, 0xc001043f, ALL_BITS },	/* the same, scalable */
	{ 0xc00102b1, 0xc00102b1, ALL_BITS },	/* CPPC_ENABLE */
	{ 0xc00102f0, 0xc00102f0, ALL_BITS },	/* PPIN_CTL */
	/* What kernels work around faults of a model by. */
	{ 0xc0011005, 0xc0011005, BIT(54) },	/* CPUID: topology extensions */
	{ 0xc0011020, 0xc0011020, BIT(10) | BIT(15) | BIT(33) | BIT(54) },	/* LS_CFG */
	{ 0xc0011021, 0xc0011021, BITS(4, 1) | BIT(14) },	/* IC_CFG */
	{ 0xc0011028, 0xc0011028, BIT(4) },	/* FP_CFG */
	{ MSR_DE_CFG, MSR_DE_CFG, BIT(1) | BIT(9) | BIT(31) },
	{ 0xc001102a, 0xc001102a, BIT(24) | BIT(50) },	/* BU_CFG2 */
	{ 0xc001102e, 0xc001102e, BIT(4) | BIT(5) },	/* BP_CFG */
	{ 0xc00110e3, 0xc00110e3, BIT(1) },	/* branch prediction of no-branches */
};

/*
 * IA32_MISC_ENABLE: fast strings, thermal control, SpeedStep, MONITOR, xTPR,
 * turbo.  The limit of CPUID and "no execute-disable" may only go.
 */
#define MISC_ENABLE_WRITE	(BIT(0) | BIT(3) | BIT(16) | BIT(18) | BIT(23) | BIT(38))
#define MISC_ENABLE_CLEAR	(BIT(22) | BIT(34))
/* IA32_PERF_CAPABILITIES: what is about PEBS. */
#define PERF_CAPS_PEBS		(BITS(11, 6) | BIT(14) | BITS(17, 16))

static bool in_ranges(const struct msr_range *r, unsigned n, u32 msr)
{
	while (n--)
		if (msr >= r[n].first && msr <= r[n].last)
			return true;
	return false;
}

static bool is_hidden(u32 msr)
{
	return in_ranges(hidden, ARRAY_SIZE(hidden), msr);
}

static u64 rule_bits(u32 msr)
{
	unsigned i;

	/* Outside the bitmaps, or trapped for another reason. */
	for (i = 0; control_direct_msrs[i].access; i++)
		if (msr >= control_direct_msrs[i].first && msr <= control_direct_msrs[i].last)
			return ALL_BITS;
	for (i = 0; i < ARRAY_SIZE(rules); i++)
		if (msr >= rules[i].first && msr <= rules[i].last)
			return rules[i].bits;
	return 0;
}

/* The value as the control VM sees it; false: there is no such MSR. */
static bool msr_visible(struct vcpu *v, u32 msr, u64 *val)
{
	if (msr == MSR_EFER) {
		*val = backend->reg_get(v, VREG_EFER);
		return true;
	}
	/* An exit clears the real one, where the vendor switches it. */
	if (msr == MSR_DEBUGCTL && rdmsr_safe(msr, val)) {
		*val = backend->reg_get(v, VREG_DEBUGCTL);
		return true;
	}
	if (is_hidden(msr) || !rdmsr_safe(msr, val))
		return false;
	if (msr == MSR_MISC_ENABLE)
		*val |= MISC_ENABLE_RO;
	else if (msr == MSR_PERF_CAPABILITIES)
		*val &= ~PERF_CAPS_PEBS;
	return true;
}

enum verdict control_rdmsr(struct vcpu *v)
{
	u64 val;

	if (!msr_visible(v, (u32)v->gpr[JOIST_RCX], &val))
		return exit_gp(v);
	v->gpr[JOIST_RAX] = (u32)val;
	v->gpr[JOIST_RDX] = val >> 32;
	return DONE;
}

static int control_efer(struct vcpu *v, u64 val)
{
	u64 old = backend->reg_get(v, VREG_EFER);

	if ((val & ~control_features.efer) || ((backend->reg_get(v, VREG_CR0) & CR0_PG) &&
					       ((val ^ old) & EFER_LME)))
		return -EINVAL;
	backend->reg_set(v, VREG_EFER, (val & ~EFER_LMA) | (old & EFER_LMA));
	return 0;
}

/* Kept, so that load_guest() need not ask the CPU. */
static int control_xss(struct vcpu *v, u64 val)
{
	if ((val & ~control_features.xss) || !wrmsr_safe(MSR_XSS, val))
		return -EINVAL;
	v->gs.xss = val;
	return 0;
}

static int control_debugctl(struct vcpu *v, u64 val)
{
	u64 now;

	/* The CPU's word on bits that it lacks; then where it is kept. */
	if (!rdmsr_safe(MSR_DEBUGCTL, &now) || !wrmsr_safe(MSR_DEBUGCTL, val))
		return -EINVAL;
	if (backend->vendor == JOIST_VENDOR_VMX) {
		wrmsr_try(MSR_DEBUGCTL, now);
		backend->reg_set(v, VREG_DEBUGCTL, val);
	}
	return 0;
}

/*
 * Kernels switch the MTRRs off while they write back what is there (SDM,
 * "MTRR Maintenance Programming Interface"): nothing happens.
 */
static bool mtrrs_off(u32 msr, u64 val, u64 now)
{
	return msr == MSR_MTRR_DEF_TYPE && !(val & ~now);
}

static bool change_ok(u32 msr, u64 val, u64 now)
{
	u64 changed = val ^ now;

	if (msr == MSR_MISC_ENABLE)
		return !(changed & ~(MISC_ENABLE_WRITE | MISC_ENABLE_CLEAR)) &&
		       !(changed & val & MISC_ENABLE_CLEAR);
	if (msr == MSR_APIC_BASE)	/* its mode may change, not its place */
		return !(changed & APIC_BASE_ADDR);
	return !(changed & ~rule_bits(msr));
}

static enum verdict control_refuse(struct vcpu *v)
{
	static struct ratelimit limit;

	if (ratelimit_ok(&limit, 5))
		log_warn("the control VM may not write MSR %x", (u32)v->gpr[JOIST_RCX]);
	return exit_gp(v);
}

static enum verdict write_checked(struct vcpu *v, u32 msr, u64 val)
{
	bool readable;
	u64 now;

	readable = msr_visible(v, msr, &now);
	/* Commands cannot be read; they are in control_direct_msrs or refused. */
	if (!readable)
		return rule_bits(msr) == ALL_BITS && wrmsr_safe(msr, val) ? DONE : exit_gp(v);
	if (!change_ok(msr, val, now))
		return mtrrs_off(msr, val, now) ? DONE : control_refuse(v);
	/* Writing back what is there changes nothing; but some are cleared so. */
	if (val == now && rule_bits(msr) != ALL_BITS)
		return DONE;
	/* What is shown otherwise than it is stays as it is. */
	if (msr == MSR_MISC_ENABLE)
		val = (val & ~MISC_ENABLE_RO) | (rdmsr(msr) & MISC_ENABLE_RO);
	return wrmsr_safe(msr, val) ? DONE : exit_gp(v);
}

enum verdict control_wrmsr(struct vcpu *v)
{
	u32 msr = (u32)v->gpr[JOIST_RCX];
	u64 val = (u32)v->gpr[JOIST_RAX] | v->gpr[JOIST_RDX] << 32;
	enum verdict verdict;

	switch (msr) {
	case MSR_EFER:
		return control_efer(v, val) ? exit_gp(v) : DONE;
	case MSR_XSS:
		return control_xss(v, val) ? exit_gp(v) : DONE;
	case MSR_DEBUGCTL:
		if ((val ^ backend->reg_get(v, VREG_DEBUGCTL)) & ~rule_bits(msr))
			return control_refuse(v);
		return control_debugctl(v, val) ? exit_gp(v) : DONE;
	}
	verdict = write_checked(v, msr, val);
	/* The backend may want to know what is in them. */
	if (verdict == DONE && msr >= MSR_STAR && msr <= MSR_SFMASK)
		backend->reg_set(v, (enum vreg)(VREG_STAR + (msr - MSR_STAR)), val);
	return verdict;
}

/*
 * What firmware may have left on, and the control VM does not know of; each
 * core.  After this only Joist writes them.
 */
void control_msrs_init(void)
{
	u32 leaves = cpuid(0, 0).eax;
	struct cpuid f1 = cpuid(1, 0), f7 = {};

	if (leaves >= 7)
		f7 = cpuid(7, 0);
	if (leaves >= 0x14 && (f7.ebx & CPUID_7_EBX_PT))
		wrmsr_safe(MSR_RTIT_CTL, 0);
	if (f1.edx & CPUID_1_EDX_DS) {
		wrmsr_safe(MSR_PEBS_ENABLE, 0);
		wrmsr_safe(MSR_DS_AREA, 0);
	}
	if (leaves >= 6 && (cpuid(6, 0).eax & CPUID_6_EAX_HFI))
		wrmsr_safe(MSR_HW_FEEDBACK_CONFIG, 0);
	if ((f1.ecx & CPUID_1_ECX_XSAVE) && (cpuid(0xd, 1).eax & CPUID_D1_EAX_XSAVES))
		wrmsr_safe(MSR_XSS, 0);
}
