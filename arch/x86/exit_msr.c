/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit_msr.c -- RDMSR and WRMSR of guests.
 *
 * A guest's MSRs are virtual, or switched with it and then direct
 * (guest_direct_msrs); what is not listed does not exist and gives #GP.
 */
#include "arch/x86/exit.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/msr.h"
#include "arch/x86/msr_policy.h"
#include "arch/x86/mtrr.h"
#include "arch/x86/regs.h"
#include "core/errno.h"

const struct msr_range guest_direct_msrs[] = {
	{ MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_RW },
	{ MSR_STAR, MSR_SFMASK, MSR_RW },
	{ MSR_FS_BASE, MSR_KERNEL_GS_BASE, MSR_RW },
	{ }
};

#define MTRR_CAP	0x508		/* 8 variable, fixed ones, write-combining */
#define MTRR_DEF_BITS	(MTRR_DEF_ON | MTRR_DEF_FIX | MTRR_DEF_TYPE)

/* Types a PAT or an MTRR may hold: SDM, "Memory Cache Control". */
static bool memory_type_valid(u8 t, bool pat)
{
	return t == 0 || t == 1 || (t >= 4 && t <= 6) || (pat && t == 7);
}

static bool types_valid(u64 val, bool pat)
{
	unsigned i;

	for (i = 0; i < 8; i++)
		if (!memory_type_valid((u8)(val >> 8 * i), pat))
			return false;
	return true;
}

bool pat_valid(u64 pat)
{
	return types_valid(pat, true);
}

bool canonical(u64 addr)
{
	return (u64)((s64)(addr << 16) >> 16) == addr;
}

bool spec_ctrl_valid(u64 val)
{
	return guest_features.spec_ctrl && !(val & ~guest_features.spec_ctrl);
}

/* EFER as the guest may set it: SDM and APM, "Extended Feature Enable". */
int efer_write(struct vcpu *v, u64 val)
{
	u64 old = backend->reg_get(v, VREG_EFER);

	if (val & ~(guest_features.efer | EFER_LMA))
		return -EINVAL;
	if ((backend->reg_get(v, VREG_CR0) & CR0_PG) && ((val ^ old) & EFER_LME))
		return -EINVAL;
	backend->reg_set(v, VREG_EFER, (val & ~EFER_LMA) | (old & EFER_LMA));
	return 0;
}

static int fixed_index(u32 msr)
{
	unsigned i;

	for (i = 0; i < MTRR_FIXED; i++)
		if (mtrr_fixed_msr[i] == msr)
			return (int)i;
	return -1;
}

static u64 mtrr_index(u32 msr)
{
	return index_mask(msr - MSR_MTRR_PHYS0, MSR_MTRR_PHYS_END - MSR_MTRR_PHYS0 + 1);
}

static int mtrr_read(struct vcpu *v, u32 msr, u64 *val)
{
	int i = fixed_index(msr);

	if (msr == MSR_MTRR_CAP)
		*val = MTRR_CAP;
	else if (msr == MSR_MTRR_DEF_TYPE)
		*val = v->gs.mtrr_def_type;
	else if (msr >= MSR_MTRR_PHYS0 && msr <= MSR_MTRR_PHYS_END)
		*val = v->gs.mtrr_var[mtrr_index(msr)];
	else if (i >= 0)
		*val = v->gs.mtrr_fixed[i];
	else
		return -EINVAL;
	return 0;
}

/* Kept for the guest to read back; memory types come from the PAT alone. */
static int mtrr_write(struct vcpu *v, u32 msr, u64 val)
{
	int i = fixed_index(msr);
	u64 addr_mask = (BIT(guest_features.phys_bits) - 1) & ~(PAGE_SIZE - 1);

	if (msr == MSR_MTRR_DEF_TYPE) {
		if ((val & ~MTRR_DEF_BITS) || !memory_type_valid((u8)val, false))
			return -EINVAL;
		v->gs.mtrr_def_type = val;
	} else if (msr >= MSR_MTRR_PHYS0 && msr <= MSR_MTRR_PHYS_END) {
		u64 bits = (msr & 1) ? BIT(11) : 0xff;

		if ((val & ~(addr_mask | bits)) ||
		    (!(msr & 1) && !memory_type_valid((u8)val, false)))
			return -EINVAL;
		v->gs.mtrr_var[mtrr_index(msr)] = val;
	} else if (i >= 0) {
		if (!types_valid(val, false))
			return -EINVAL;
		v->gs.mtrr_fixed[i] = val;
	} else {
		return -EINVAL;
	}
	return 0;
}

/*
 * MSRs that exist on every CPU of a vendor that CPUID can show, with nothing
 * behind them: no microcode, machine-check banks, SMM, performance counters
 * before those that CPUID announces.  Kernels touch them unasked.  SDM volume
 * 4, "Architectural MSRs" and those common to family 6; APM volume 2, appendix
 * "MSR Cross-Reference", and what all families since 0Fh have.
 */
#define INTEL	BIT(0)
#define AMD	BIT(1)
#define DROPS	BIT(2)		/* takes any value, keeps none; else #GP */
static const struct idle_msr {
	u32 first, last;
	u32 how;
	u64 val;
} idle_msrs[] = {
	{ 0x0, 0x1, INTEL | AMD | DROPS, 0 },			/* P5_MC_ADDR, P5_MC_TYPE */
	{ MSR_PLATFORM_ID, MSR_PLATFORM_ID, INTEL, 0 },
	{ 0x2a, 0x2a, INTEL | AMD | DROPS, 0 },			/* EBL_CR_POWERON */
	{ MSR_UCODE_WRITE, MSR_UCODE_WRITE, INTEL | DROPS, 0 },
	{ MSR_UCODE_REV, MSR_UCODE_REV, INTEL | AMD | DROPS, 0 },
	{ 0xc1, 0xc2, INTEL | DROPS, 0 },			/* PERFCTR0, 1: P6's */
	{ 0xcd, 0xce, INTEL, 0 },				/* FSB_FREQ, PLATFORM_INFO */
	{ 0x11e, 0x11e, INTEL | DROPS, 0xbe702111 },		/* BBL_CR_CTL3: an L2 cache, on */
	{ 0x140, 0x140, INTEL | DROPS, 0 },			/* MISC_FEATURES_ENABLES */
	{ MSR_MCG_CAP, MSR_MCG_CAP, INTEL | AMD, 0 },
	{ MSR_MCG_STATUS, MSR_MCG_STATUS, INTEL | AMD | DROPS, 0 },
	{ 0x186, 0x187, INTEL | DROPS, 0 },			/* PERFEVTSEL0, 1: P6's */
	{ 0x198, 0x198, INTEL, 0 },				/* PERF_STATUS */
	{ 0x199, 0x199, INTEL | DROPS, 0 },			/* PERF_CTL */
	{ 0x1db, 0x1de, INTEL | AMD, 0 },			/* last branch, last exception */
	{ MSR_PERF_CTL0, MSR_PERF_CTR3, AMD | DROPS, 0 },
	{ MSR_SYSCFG, MSR_SYSCFG, AMD | DROPS, 0 },
	{ MSR_HWCR, MSR_HWCR, AMD | DROPS, 0 },
	{ MSR_IORR_FIRST, MSR_IORR_LAST, AMD | DROPS, 0 },
	{ MSR_TOP_MEM, MSR_TOP_MEM, AMD | DROPS, 0 },
	{ MSR_TOP_MEM2, MSR_TOP_MEM2, AMD | DROPS, 0 },
	{ 0xc001001f, 0xc001001f, AMD | DROPS, 0 },		/* NB_CFG */
	{ MSR_PATCH_LOADER, MSR_PATCH_LOADER, AMD | DROPS, 0 },
	{ MSR_INT_PENDING, MSR_INT_PENDING, AMD | DROPS, 0 },
	{ MSR_MMIO_CFG_BASE, MSR_MMIO_CFG_BASE, AMD | DROPS, 0 },
	{ 0xc0011020, 0xc0011023, AMD | DROPS, 0 },		/* LS, IC, DC, TW_CFG */
	{ 0xc0011028, 0xc001102e, AMD | DROPS, 0 },		/* FP, DE, BU, EX, LS2, BP_CFG */
};

static const struct idle_msr *find_idle(u32 msr)
{
	const struct idle_msr *m;

	for (m = idle_msrs; m < idle_msrs + ARRAY_SIZE(idle_msrs); m++)
		if (msr >= m->first && msr <= m->last)
			return m->how & (guest_features.amd ? AMD : INTEL) ? m : NULL;
	return NULL;
}

static int guest_msr_read(struct vcpu *v, u32 msr, u64 *val)
{
	const struct idle_msr *idle;

	*val = 0;
	switch (msr) {
	case MSR_TSC:
		*val = vcpu_tsc(v);
		return 0;
	case MSR_APIC_BASE:
		*val = v->lapic.base;
		return 0;
	case MSR_TSC_ADJUST:
		*val = v->gs.tsc_adjust;
		return 0;
	case MSR_MISC_ENABLE:
		*val = v->gs.misc_enable | MISC_ENABLE_RO;
		return 0;
	case MSR_PAT:
		*val = v->gs.pat;
		return 0;
	case MSR_EFER:
		*val = backend->reg_get(v, VREG_EFER);
		return 0;
	case MSR_DEBUGCTL:
		*val = backend->reg_get(v, VREG_DEBUGCTL);
		return 0;
	case MSR_TSC_DEADLINE:
		vlapic_timer_check(&v->lapic, vcpu_tsc(v));
		*val = vlapic_get_tsc_deadline(&v->lapic);
		return 0;
	case MSR_TSC_AUX:
		*val = v->gs.tsc_aux;
		return guest_features.tsc_aux ? 0 : -EINVAL;
	case MSR_SPEC_CTRL:
		*val = v->gs.spec_ctrl;
		return guest_features.spec_ctrl ? 0 : -EINVAL;
	case MSR_ARCH_CAPABILITIES:
		*val = mitigations.arch_cap;
		return *val ? 0 : -EINVAL;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*val = v->gs.system_time;
		return 0;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*val = v->vm->wall_clock_gpa;
		return 0;
	}
	if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST) {
		if (!(v->lapic.base & APIC_BASE_X2))
			return -EINVAL;
		return vlapic_read(&v->lapic, msr - MSR_X2APIC_FIRST, true, vcpu_tsc(v), val);
	}
	idle = find_idle(msr);
	if (!idle)
		return mtrr_read(v, msr, val);
	*val = idle->val;
	return 0;
}

enum verdict exit_rdmsr(struct vcpu *v)
{
	u64 val;

	if (guest_msr_read(v, (u32)v->gpr[JOIST_RCX], &val))
		return exit_gp(v);
	v->gpr[JOIST_RAX] = (u32)val;
	v->gpr[JOIST_RDX] = val >> 32;
	return DONE;
}

void tsc_shift(struct vcpu *v, u64 delta)
{
	v->tsc_offset += delta;
	backend->tsc_offset_set(v, v->tsc_offset);
	vlapic_tsc_moved(&v->lapic, delta);
	pvclock_update(v);
}

/* STAR, LSTAR, CSTAR and SFMASK: the same order in both. */
static enum vreg syscall_vreg(u32 msr)
{
	return (enum vreg)(VREG_STAR + ((msr - MSR_STAR) & 3));
}

/* Where their writes exit: SDM, "Fast System Calls in 64-Bit Mode". */
static int syscall_msr_write(struct vcpu *v, u32 msr, u64 val)
{
	if ((msr == MSR_LSTAR || msr == MSR_CSTAR) && !canonical(val))
		return -EINVAL;
	if (msr == MSR_SFMASK && val >> 32)
		return -EINVAL;
	backend->reg_set(v, syscall_vreg(msr), val);
	return 0;
}

static int guest_msr_write(struct vcpu *v, u32 msr, u64 val)
{
	const struct idle_msr *idle;

	switch (msr) {
	case MSR_STAR ... MSR_SFMASK:
		return syscall_msr_write(v, msr, val);
	case MSR_TSC:
		/* SDM, "Time-Stamp Counter Adjustment": both move by as much. */
		val -= vcpu_tsc(v);
		v->gs.tsc_adjust += val;
		tsc_shift(v, val);
		return 0;
	case MSR_TSC_ADJUST:
		tsc_shift(v, val - v->gs.tsc_adjust);
		v->gs.tsc_adjust = val;
		return 0;
	case MSR_APIC_BASE:
		return vlapic_set_base(&v->lapic, val);
	case MSR_MISC_ENABLE:
		v->gs.misc_enable = val & ~MISC_ENABLE_RO;
		return 0;
	case MSR_PAT:
		if (!pat_valid(val))
			return -EINVAL;
		v->gs.pat = val;
		backend->reg_set(v, VREG_PAT, val);
		return 0;
	case MSR_EFER:
		return efer_write(v, val);
	case MSR_DEBUGCTL:
		/* Neither LBR nor BTF is switched. */
		return val ? -EINVAL : 0;
	case MSR_TSC_DEADLINE:
		/* One that is due already is not overwritten unseen. */
		vlapic_timer_check(&v->lapic, vcpu_tsc(v));
		vlapic_set_tsc_deadline(&v->lapic, val);
		return 0;
	case MSR_TSC_AUX:
		if (!guest_features.tsc_aux || val >> 32)
			return -EINVAL;
		v->gs.tsc_aux = val;
		wrmsr_try(MSR_TSC_AUX, val);
		return 0;
	case MSR_SPEC_CTRL:
		if (!spec_ctrl_valid(val))
			return -EINVAL;
		v->gs.spec_ctrl = val;
		guard_spec_ctrl(current_cpu(), v);
		return 0;
	case MSR_PRED_CMD:
		if (!guest_features.pred_cmd || (val & ~guest_features.pred_cmd))
			return -EINVAL;
		return wrmsr_safe(MSR_PRED_CMD, val) ? 0 : -EINVAL;
	case MSR_FLUSH_CMD:
		if (!mitigations.flush_cmd || (val & ~1ull))
			return -EINVAL;
		return wrmsr_safe(MSR_FLUSH_CMD, val) ? 0 : -EINVAL;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		v->gs.system_time = val;
		pvclock_update(v);
		return 0;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		v->vm->wall_clock_gpa = val;
		pvclock_wall_clock(v->vm);
		return 0;
	}
	idle = find_idle(msr);
	if (idle)
		return idle->how & DROPS ? 0 : -EINVAL;
	return mtrr_write(v, msr, val);
}

enum verdict exit_wrmsr(struct vcpu *v)
{
	u32 msr = (u32)v->gpr[JOIST_RCX];
	u64 val = (u32)v->gpr[JOIST_RAX] | v->gpr[JOIST_RDX] << 32;

	if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST) {
		struct vlapic_action a;

		if (!(v->lapic.base & APIC_BASE_X2) ||
		    vlapic_write(&v->lapic, msr - MSR_X2APIC_FIRST, true, val, vcpu_tsc(v), &a))
			return exit_gp(v);
		return likely(!a.what) ? DONE : apic_act(v, &a, DONE);
	}
	return guest_msr_write(v, msr, val) ? exit_gp(v) : DONE;
}
