/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit_cr.c -- control registers, debug registers, XCR0.
 *
 * Which accesses exit differs by vendor; what they mean does not.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/msr.h"
#include "arch/x86/operand.h"
#include "arch/x86/regs.h"
#include "core/errno.h"

#define ATTR_LONG	BIT(13)
#define CR3_PCID	BITS(11, 0)
#define CR3_NO_FLUSH	BIT(63)
#define REX_W		0x08

static u64 gpr_read(struct vcpu *v, const struct insn *in)
{
	u64 val = v->gpr[in->reg];

	return guest_mode(v) == INSN_64 ? val : (u32)val;
}

/* SDM, "Control Registers": what gives #GP. */
static bool cr0_valid(struct vcpu *v, u64 val)
{
	u64 cr4 = backend->reg_get(v, VREG_CR4), efer = backend->reg_get(v, VREG_EFER);
	u64 old = backend->reg_get(v, VREG_CR0);
	struct joist_segment cs;

	if (val >> 32 || ((val & CR0_PG) && !(val & CR0_PE)) || ((val & CR0_NW) && !(val & CR0_CD)))
		return false;
	/* Into and out of long mode only from outside 64-bit mode. */
	if ((efer & EFER_LME) && ((val ^ old) & CR0_PG)) {
		backend->seg_get(v, JOIST_CS, &cs);
		if ((cs.attr & ATTR_LONG) || !(cr4 & CR4_PAE))
			return false;
	}
	return (val & CR0_PG) || !(cr4 & CR4_PCIDE);
}

/*
 * Whether an instruction that leaves these values behind may complete, as far
 * as PAE's page-directory-pointer entries go: it loads them.  SDM, "PDPTE
 * Registers".  The control VM's own CPU looks after it.
 */
static bool pdptes_ok(struct vcpu *v, u64 cr0, u64 cr3, u64 cr4, u64 efer)
{
	u64 pdpte[4];

	if (v->control || !(cr0 & CR0_PG) || !(cr4 & CR4_PAE) || (efer & EFER_LMA))
		return true;
	return !guest_pdptes(v, cr3, pdpte);
}

static enum verdict write_cr0_guest(struct vcpu *v, u64 val)
{
	u64 efer = backend->reg_get(v, VREG_EFER), old = backend->reg_get(v, VREG_CR0);

	if (!cr0_valid(v, val))
		return exit_gp(v);
	if ((val ^ old) & CR0_PG) {
		efer &= ~EFER_LMA;
		if ((val & CR0_PG) && (efer & EFER_LME))
			efer |= EFER_LMA;
	}
	if (((val ^ old) & (CR0_PG | CR0_CD | CR0_NW)) &&
	    !pdptes_ok(v, val, backend->reg_get(v, VREG_CR3), backend->reg_get(v, VREG_CR4), efer))
		return exit_gp(v);
	if ((val ^ old) & CR0_PG)
		backend->reg_set(v, VREG_EFER, efer);
	backend->reg_set(v, VREG_CR0, (val & CR0_ALL) | CR0_ET);
	return DONE;
}

static enum verdict write_cr3_guest(struct vcpu *v, u64 val)
{
	u64 cr4 = backend->reg_get(v, VREG_CR4);

	if (cr4 & CR4_PCIDE)
		val &= ~CR3_NO_FLUSH;
	if ((backend->reg_get(v, VREG_EFER) & EFER_LMA) && (val >> guest_features.phys_bits))
		return exit_gp(v);
	if (!pdptes_ok(v, backend->reg_get(v, VREG_CR0), val, cr4, backend->reg_get(v, VREG_EFER)))
		return exit_gp(v);
	backend->reg_set(v, VREG_CR3, val);
	return DONE;
}

static enum verdict write_cr4_guest(struct vcpu *v, u64 val)
{
	u64 old = backend->reg_get(v, VREG_CR4);
	bool lma = backend->reg_get(v, VREG_EFER) & EFER_LMA;

	/* The control VM exits only if it sets what it may not have: VMXE, SMXE. */
	if (v->control)
		return exit_gp(v);
	if ((val & ~guest_features.cr4) || (lma && !(val & CR4_PAE)))
		return exit_gp(v);
	if ((val & ~old & CR4_PCIDE) &&
	    (!lma || (backend->reg_get(v, VREG_CR3) & CR3_PCID)))
		return exit_gp(v);
	if (((val ^ old) & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) &&
	    !pdptes_ok(v, backend->reg_get(v, VREG_CR0), backend->reg_get(v, VREG_CR3), val,
		       backend->reg_get(v, VREG_EFER)))
		return exit_gp(v);
	backend->reg_set(v, VREG_CR4, val);
	return DONE;
}

static enum verdict write_cr8_guest(struct vcpu *v, u64 val)
{
	if (val > 15)
		return exit_gp(v);
	vlapic_set_tpr(&v->lapic, (u32)val);
	return DONE;
}

static enum verdict mov_to_cr(struct vcpu *v, u32 cr, u64 val)
{
	switch (cr) {
	case 0: return write_cr0_guest(v, val);
	case 3: return write_cr3_guest(v, val);
	case 4: return write_cr4_guest(v, val);
	case 8: return write_cr8_guest(v, val);
	default: return exit_ud(v);
	}
}

static enum verdict mov_from_cr(struct vcpu *v, u32 cr, u8 gpr)
{
	switch (cr) {
	case 0: v->gpr[gpr] = backend->reg_get(v, VREG_CR0); return DONE;
	case 3: v->gpr[gpr] = backend->reg_get(v, VREG_CR3); return DONE;
	case 4: v->gpr[gpr] = backend->reg_get(v, VREG_CR4); return DONE;
	case 8: v->gpr[gpr] = vlapic_tpr(&v->lapic); return DONE;
	default: return exit_ud(v);
	}
}

/* The operand of LMSW in memory; -ENOENT: a device's, at *gpa. */
static int lmsw_operand(struct vcpu *v, const struct insn *in, u16 *val, u64 *gpa)
{
	struct places p;
	u64 left;
	u32 i;
	int err = operand_find(v, in, false, false, &p);

	for (i = 0; i < sizeof(*val) && !err; i++) {
		places_gpa(&p, p.linear + i, gpa, &left);
		if (guest_read(v, GPA(*gpa), (u8 *)val + i, 1))
			return -ENOENT;
	}
	return err;
}

/* LMSW changes the low four bits, and cannot clear PE. */
static enum verdict lmsw(struct vcpu *v, const struct insn *in)
{
	u64 old = backend->reg_get(v, VREG_CR0);
	u64 gpa = 0;
	u16 val = (u16)v->gpr[in->reg];
	int err;

	if (in->flags & INSN_F_MEM) {
		err = lmsw_operand(v, in, &val, &gpa);
		if (err == -ENOENT)
			return v->control ? exit_gp(v) : exit_emulate(v, gpa);
		if (err)
			return operand_failed(v, err);
	}
	return write_cr0_guest(v, (old & ~0xeull) | (val & 0xf) | (old & CR0_PE));
}

/* Only where a guest's CR0 is not the real one, which has no bits in memory's
 * half: there the register form differs. */
static enum verdict smsw_memory(struct vcpu *v, const struct insn *in, u16 val)
{
	struct places p;
	u64 gpa = 0, left;
	u32 i;
	int err = operand_find(v, in, false, true, &p);

	for (i = 0; i < sizeof(val) && !err; i++) {
		places_gpa(&p, p.linear + i, &gpa, &left);
		if (guest_write(v, GPA(gpa), (u8 *)&val + i, 1))
			return exit_emulate(v, gpa);
	}
	return err ? operand_failed(v, err) : DONE;
}

static enum verdict smsw(struct vcpu *v, const struct insn *in)
{
	u64 cr0 = backend->reg_get(v, VREG_CR0), *reg = &v->gpr[in->reg];
	bool wide = guest_mode(v) != INSN_16;

	if ((backend->reg_get(v, VREG_CR4) & CR4_UMIP) && backend->reg_get(v, VREG_CPL))
		return exit_gp(v);
	if (in->flags & INSN_F_MEM)
		return smsw_memory(v, in, (u16)cr0);
	if ((in->rex & REX_W) || wide != !!(in->flags & INSN_F_OPSIZE))
		*reg = cr0;
	else
		*reg = (*reg & ~0xffffull) | (cr0 & 0xffff);
	return DONE;
}

static void step(struct vcpu *v, const struct insn *in, enum verdict verdict)
{
	if (verdict == DONE)
		exit_step(v, in->len);
}

enum verdict exit_cr(struct vcpu *v)
{
	enum verdict verdict;
	struct insn in;

	if (guest_insn(v, &in))
		return RETRY;
	switch (in.kind) {
	case INSN_MOV_TO_CR:
		verdict = mov_to_cr(v, in.cr, gpr_read(v, &in));
		break;
	case INSN_MOV_FROM_CR:
		verdict = mov_from_cr(v, in.cr, in.reg);
		break;
	case INSN_CLTS:
		verdict = write_cr0_guest(v, backend->reg_get(v, VREG_CR0) & ~CR0_TS);
		break;
	case INSN_LMSW:
		verdict = lmsw(v, &in);
		break;
	case INSN_SMSW:
		verdict = smsw(v, &in);
		break;
	default:
		/* The code changed under us: execute what is there now. */
		return RETRY;
	}
	step(v, &in, verdict);
	return verdict == DONE ? RETRY : verdict;
}

/* The first use: from now on the guest has the real ones. */
enum verdict exit_dr(struct vcpu *v)
{
	u64 *control = current_cpu()->control->gs.dr;

	control[0] = read_dr0();
	control[1] = read_dr1();
	control[2] = read_dr2();
	control[3] = read_dr3();
	v->dr_live = true;
	write_dr0(v->gs.dr[0]);
	write_dr1(v->gs.dr[1]);
	write_dr2(v->gs.dr[2]);
	write_dr3(v->gs.dr[3]);
	backend->dr_intercept(v, false);
	return RETRY;
}

enum verdict exit_xsetbv(struct vcpu *v)
{
	u64 val = (u32)v->gpr[JOIST_RAX] | v->gpr[JOIST_RDX] << 32;

	if (!(backend->reg_get(v, VREG_CR4) & CR4_OSXSAVE))
		return exit_ud(v);
	if ((u32)v->gpr[JOIST_RCX] || backend->reg_get(v, VREG_CPL) ||
	    !xcr0_valid(val, v->control ? control_features.xcr0 : guest_features.xcr0) ||
	    !xsetbv_safe(val))
		return exit_gp(v);
	v->gs.xcr0 = val;
	return DONE;
}
