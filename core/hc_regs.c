/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hc_regs.c -- reading and writing a vCPU's registers.
 *
 * A write is checked as a whole before anything changes.  The checks are those
 * that the CPU makes at entry (SDM, "Checks on Guest Control Registers, Debug
 * Registers, and MSRs" and following; APM, "Canonicalization and Consistency
 * Checks"): state that passes here can be entered.
 */
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "arch/x86/xstate.h"
#include "core/hypercall.h"
#include "core/log.h"
#include "core/string.h"

#define ATTR_BITS	(BITS(16, 12) | BITS(7, 0))
#define ATTR_UNUSABLE	BIT(16)
#define ATTR_P		BIT(7)
#define ATTR_S		BIT(4)
#define ATTR_CODE	BIT(3)
#define ATTR_CONFORMING	BIT(2)
#define ATTR_READABLE	BIT(1)		/* of code */
#define ATTR_WRITABLE	BIT(1)		/* of data */
#define ATTR_KIND	(ATTR_P | BITS(4, 0))	/* S and type */
#define ATTR_LONG	BIT(13)
#define ATTR_DB		BIT(14)
#define SEL_LDT		BIT(2)		/* the selector's table indicator */
#define JOIST_REGS_WHOLE (JOIST_REGS_GPR | JOIST_REGS_SEG | JOIST_REGS_CR | JOIST_REGS_MSR)
#define SHADOW_BITS	(JOIST_SHADOW_STI | JOIST_SHADOW_MOVSS | JOIST_NMI_BLOCKED | \
			 JOIST_NMI_PENDING)

/* joist_msr -> where it lives: a register of the backend ... */
static const s8 msr_vreg[JOIST_MSRS] = {
	[JOIST_MSR_EFER] = VREG_EFER,
	[JOIST_MSR_STAR] = VREG_STAR,
	[JOIST_MSR_LSTAR] = VREG_LSTAR,
	[JOIST_MSR_CSTAR] = VREG_CSTAR,
	[JOIST_MSR_SFMASK] = VREG_SFMASK,
	[JOIST_MSR_KERNEL_GS_BASE] = VREG_KERNEL_GS_BASE,
	[JOIST_MSR_SYSENTER_CS] = VREG_SYSENTER_CS,
	[JOIST_MSR_SYSENTER_ESP] = VREG_SYSENTER_ESP,
	[JOIST_MSR_SYSENTER_EIP] = VREG_SYSENTER_EIP,
	[JOIST_MSR_DEBUGCTL] = VREG_DEBUGCTL,
};

/* ... or one that the hypervisor keeps. */
static u64 *msr_kept(struct vcpu *v, enum joist_msr m)
{
	switch (m) {
	case JOIST_MSR_PAT: return &v->gs.pat;
	case JOIST_MSR_APIC_BASE: return &v->lapic.base;
	case JOIST_MSR_TSC_AUX: return &v->gs.tsc_aux;
	case JOIST_MSR_TSC_ADJUST: return &v->gs.tsc_adjust;
	case JOIST_MSR_SPEC_CTRL: return &v->gs.spec_ctrl;
	case JOIST_MSR_XSS: return &v->gs.xss;
	case JOIST_MSR_MISC_ENABLE: return &v->gs.misc_enable;
	case JOIST_MSR_KVM_SYSTEM_TIME: return &v->gs.system_time;
	case JOIST_MSR_KVM_WALL_CLOCK: return &v->vm->wall_clock_gpa;
	default: return NULL;
	}
}

static void read_table(struct vcpu *v, struct joist_segment *s, enum vreg base, enum vreg limit)
{
	*s = (struct joist_segment){ .base = backend->reg_get(v, base),
				     .limit = (u32)backend->reg_get(v, limit) };
}

static void read_regs(struct vcpu *v, u32 mask, struct joist_regs *r)
{
	unsigned i;

	/* First: an INIT that was posted changes all groups. */
	if (mask & JOIST_REGS_EVENT)
		event_absorb(v);
	if (mask & JOIST_REGS_GPR) {
		memcpy(r->gpr, v->gpr, sizeof(r->gpr));
		r->rip = v->rip;
		r->rflags = v->rflags;
	}
	if (mask & JOIST_REGS_SEG) {
		for (i = 0; i < JOIST_SEGS; i++)
			backend->seg_get(v, i, &r->seg[i]);
		read_table(v, &r->gdtr, VREG_GDTR_BASE, VREG_GDTR_LIMIT);
		read_table(v, &r->idtr, VREG_IDTR_BASE, VREG_IDTR_LIMIT);
	}
	if (mask & JOIST_REGS_CR) {
		r->cr0 = backend->reg_get(v, VREG_CR0);
		r->cr2 = backend->reg_get(v, VREG_CR2);
		r->cr3 = backend->reg_get(v, VREG_CR3);
		r->cr4 = backend->reg_get(v, VREG_CR4);
		r->cr8 = vlapic_tpr(&v->lapic);
		r->xcr0 = v->gs.xcr0;
	}
	if (mask & JOIST_REGS_DR) {
		memcpy(r->dr, v->gs.dr, sizeof(r->dr));
		r->dr6 = backend->reg_get(v, VREG_DR6);
		r->dr7 = backend->reg_get(v, VREG_DR7);
	}
	if (mask & JOIST_REGS_MSR) {
		for (i = 0; i < JOIST_MSRS; i++) {
			u64 *kept = msr_kept(v, i);

			r->msr[i] = kept ? *kept : backend->reg_get(v, (enum vreg)msr_vreg[i]);
		}
		r->tsc = vcpu_tsc(v);
	}
	if (mask & JOIST_REGS_EVENT) {
		r->activity = v->activity;
		r->interruptibility = backend->shadow_get(v) |
				      (v->nmi_pending ? JOIST_NMI_PENDING : 0);
		struct event ev = v->reinject.info ? v->reinject :
				  v->exception.info ? v->exception :
				  (struct event){ v->extint, 0 };

		r->event = ev.info;
		r->event_error = ev.error;
	}
}

static bool seg_ok(const struct joist_segment *s)
{
	/* A limit of 1 MiB and more is one in pages. */
	if (s->limit >> 20 && (s->limit & 0xfff) != 0xfff)
		return false;
	return !(s->attr & ~ATTR_BITS) && !s->reserved && !s->reserved2 && canonical(s->base) &&
	       !((s->attr & ATTR_LONG) && (s->attr & ATTR_DB) && (s->attr & ATTR_CODE));
}

static bool usable(const struct joist_segment *s)
{
	return !(s->attr & ATTR_UNUSABLE) && (s->attr & ATTR_P);
}

static u32 dpl(const struct joist_segment *s)
{
	return (u32)field_get(BITS(6, 5), s->attr);
}

static bool tables_ok(const struct joist_regs *r)
{
	return r->gdtr.limit <= 0xffff && r->idtr.limit <= 0xffff && canonical(r->gdtr.base) &&
	       canonical(r->idtr.base);
}

/* Code, whose privilege goes with the stack's; real mode may run in a data
 * segment: type 3. */
static bool cs_ok(const struct joist_segment *cs, const struct joist_segment *ss, bool real)
{
	if (!usable(cs) || !(cs->attr & ATTR_S) || cs->base >> 32)
		return false;
	if (!(cs->attr & ATTR_CODE))
		return real && (cs->attr & 0xf) == 3 && !dpl(cs) && !dpl(ss);
	if (real && dpl(ss))
		return false;
	return cs->attr & ATTR_CONFORMING ? dpl(cs) <= dpl(ss) : dpl(cs) == dpl(ss);
}

/* Data, or code that can be read; a stack can be written. */
static bool data_ok(const struct joist_segment *s, enum joist_seg which)
{
	if (!usable(s))
		return true;
	if (!(s->attr & ATTR_S) || (which < JOIST_FS && s->base >> 32))
		return false;
	if (which == JOIST_SS)
		return (s->attr & (ATTR_CODE | ATTR_WRITABLE)) == ATTR_WRITABLE;
	return !(s->attr & ATTR_CODE) || (s->attr & ATTR_READABLE);
}

static bool system_ok(const struct joist_segment *ldtr, const struct joist_segment *tr, bool lma)
{
	u32 kind = tr->attr & ATTR_KIND;

	/* A task register must be there: a busy TSS, present. */
	if (!usable(tr) || (tr->selector & SEL_LDT) || (kind != 0x8b && (lma || kind != 0x83)))
		return false;
	return !usable(ldtr) || ((ldtr->attr & ATTR_KIND) == 0x82 && !(ldtr->selector & SEL_LDT));
}

static bool v8086_ok(const struct joist_regs *r)
{
	enum joist_seg s;

	for (s = JOIST_ES; s <= JOIST_GS; s++)
		if (r->seg[s].attr != 0xf3 || r->seg[s].limit != 0xffff ||
		    r->seg[s].base != (u64)r->seg[s].selector << 4)
			return false;
	return true;
}

/* What must fit together, from all groups: SDM, "Checks on Guest Segment
 * Registers" and "Checks on Guest RIP, RFLAGS, and SSP". */
static bool whole_ok(const struct joist_regs *r)
{
	const struct joist_segment *seg = r->seg, *cs = &seg[JOIST_CS];
	bool lma = r->msr[JOIST_MSR_EFER] & EFER_LMA, real = !(r->cr0 & CR0_PE);
	enum joist_seg s;

	if (!(lma && (cs->attr & ATTR_LONG)) && r->rip >> 32)
		return false;
	if (!system_ok(&seg[JOIST_LDTR], &seg[JOIST_TR], lma))
		return false;
	if (r->rflags & RFLAGS_VM)
		return !lma && !real && v8086_ok(r);
	for (s = JOIST_ES; s <= JOIST_GS; s++)
		if (s != JOIST_CS && !data_ok(&seg[s], s))
			return false;
	return cs_ok(cs, &seg[JOIST_SS], real);
}

/* The groups of mask from one, the others as they are. */
static void complete(struct vcpu *v, u32 mask, const struct joist_regs *from,
		     struct joist_regs *to)
{
	memset(to, 0, sizeof(*to));
	read_regs(v, JOIST_REGS_WHOLE & ~mask, to);
	if (mask & JOIST_REGS_GPR) {
		to->rip = from->rip;
		to->rflags = from->rflags;
	}
	if (mask & JOIST_REGS_SEG)
		memcpy(to->seg, from->seg, sizeof(to->seg));
	if (mask & JOIST_REGS_CR)
		to->cr0 = from->cr0;
	if (mask & JOIST_REGS_MSR)
		memcpy(to->msr, from->msr, sizeof(to->msr));
}

/* Control registers and EFER together: those not in the mask as they are. */
static bool crs_ok(struct vcpu *v, u32 mask, const struct joist_regs *r)
{
	u64 efer = mask & JOIST_REGS_MSR ? r->msr[JOIST_MSR_EFER] : backend->reg_get(v, VREG_EFER);
	u64 cr0 = mask & JOIST_REGS_CR ? r->cr0 : backend->reg_get(v, VREG_CR0);
	u64 cr4 = mask & JOIST_REGS_CR ? r->cr4 : backend->reg_get(v, VREG_CR4);
	u64 cr3 = mask & JOIST_REGS_CR ? r->cr3 : backend->reg_get(v, VREG_CR3);
	bool lma = efer & EFER_LMA;

	if ((cr0 & ~CR0_ALL) || ((cr0 & CR0_PG) && !(cr0 & CR0_PE)) ||
	    ((cr0 & CR0_NW) && !(cr0 & CR0_CD)))
		return false;
	if ((cr4 & ~guest_features.cr4) || (efer & ~guest_features.efer))
		return false;
	if (cr3 >> guest_features.phys_bits)
		return false;
	if (lma != ((efer & EFER_LME) && (cr0 & CR0_PG)))
		return false;
	if (lma && !(cr4 & CR4_PAE))
		return false;
	return lma || !(cr4 & CR4_PCIDE);
}

/* from: the LAPIC that APIC_BASE is written to. */
static bool msrs_ok(const struct vlapic *from, const struct joist_regs *r)
{
	struct vlapic trial = *from;
	const u64 *m = r->msr;

	return canonical(m[JOIST_MSR_LSTAR]) && canonical(m[JOIST_MSR_CSTAR]) &&
	       canonical(m[JOIST_MSR_KERNEL_GS_BASE]) && canonical(m[JOIST_MSR_SYSENTER_ESP]) &&
	       canonical(m[JOIST_MSR_SYSENTER_EIP]) && pat_valid(m[JOIST_MSR_PAT]) &&
	       !(m[JOIST_MSR_SYSENTER_CS] >> 32) && !(m[JOIST_MSR_SFMASK] >> 32) &&
	       !(m[JOIST_MSR_TSC_AUX] >> 32) && !m[JOIST_MSR_XSS] && !m[JOIST_MSR_DEBUGCTL] &&
	       (!m[JOIST_MSR_SPEC_CTRL] || spec_ctrl_valid(m[JOIST_MSR_SPEC_CTRL])) &&
	       (m[JOIST_MSR_APIC_BASE] == trial.base ||
		!vlapic_set_base(&trial, m[JOIST_MSR_APIC_BASE]));
}

static bool event_ok(const struct joist_regs *r)
{
	u32 type = (u32)field_get(BITS(10, 8), r->event), vector = r->event & JOIST_EVENT_VECTOR;
	u32 shadows = JOIST_SHADOW_STI | JOIST_SHADOW_MOVSS;

	if (r->activity > JOIST_VCPU_WAIT_SIPI || r->activity == JOIST_VCPU_RUNNING ||
	    (r->interruptibility & ~SHADOW_BITS) || (r->interruptibility & shadows) == shadows)
		return false;
	if (!(r->event & JOIST_EVENT_VALID))
		return !r->event;
	if (r->event & ~(JOIST_EVENT_VALID | JOIST_EVENT_ERROR | 0x7ffu))
		return false;
	if ((r->event & JOIST_EVENT_ERROR) &&
	    (type != 3 || !(EXC_WITH_ERROR & BIT(vector & 63)) || r->event_error >> 16))
		return false;
	return type == 0 || (type == 2 && vector == EXC_NMI) ||
	       (type == 3 && vector < 32 && (EXC_OF_GUESTS & BIT(vector)));
}

static bool segs_ok(const struct joist_regs *r)
{
	unsigned i;

	for (i = 0; i < JOIST_SEGS; i++)
		if (!seg_ok(&r->seg[i]))
			return false;
	return tables_ok(r);
}

static bool regs_ok(struct vcpu *v, u32 mask, const struct joist_regs *r,
		    const struct vlapic *from)
{
	u64 rflags = mask & JOIST_REGS_GPR ? r->rflags : v->rflags;
	struct joist_regs all;

	if ((mask & JOIST_REGS_GPR) &&
	    ((r->rflags & ~RFLAGS_ALL) || !(r->rflags & RFLAGS_ONE) || !canonical(r->rip)))
		return false;
	if ((mask & JOIST_REGS_SEG) && !segs_ok(r))
		return false;
	if ((mask & (JOIST_REGS_CR | JOIST_REGS_MSR)) && !crs_ok(v, mask, r))
		return false;
	if (mask & JOIST_REGS_WHOLE) {
		complete(v, mask, r, &all);
		if (!whole_ok(&all))
			return false;
	}
	if ((mask & JOIST_REGS_CR) &&
	    (r->cr8 > 15 || !xcr0_valid(r->xcr0, guest_features.xcr0 | XCR0_X87)))
		return false;
	if ((mask & JOIST_REGS_DR) && (r->dr6 >> 32 || r->dr7 >> 32))
		return false;
	if ((mask & JOIST_REGS_MSR) && !msrs_ok(from, r))
		return false;
	if (!(mask & JOIST_REGS_EVENT))
		return true;
	return event_ok(r) && (!(r->interruptibility & JOIST_SHADOW_STI) || (rflags & RFLAGS_IF));
}

static void write_msrs(struct vcpu *v, const struct joist_regs *r)
{
	unsigned i;

	if (r->msr[JOIST_MSR_APIC_BASE] != v->lapic.base)
		vlapic_set_base(&v->lapic, r->msr[JOIST_MSR_APIC_BASE]);
	for (i = 0; i < JOIST_MSRS; i++) {
		u64 *kept = msr_kept(v, i);

		if (i == JOIST_MSR_APIC_BASE)
			continue;
		if (kept)
			*kept = r->msr[i];
		else
			backend->reg_set(v, (enum vreg)msr_vreg[i], r->msr[i]);
	}
	backend->reg_set(v, VREG_PAT, v->gs.pat);
	tsc_shift(v, r->tsc - vcpu_tsc(v));
}

static void write_regs(struct vcpu *v, u32 mask, const struct joist_regs *r)
{
	unsigned i;

	if (mask)
		v->dead = 0;
	if (mask & JOIST_REGS_GPR) {
		memcpy(v->gpr, r->gpr, sizeof(v->gpr));
		v->rip = r->rip;
		/* SDM, "Checks on Guest Non-Register State": not without IF. */
		if (!(r->rflags & RFLAGS_IF)) {
			backend->shadow_set(v, backend->shadow_get(v) & ~JOIST_SHADOW_STI);
			event_hold_back(v);
		}
		v->rflags = r->rflags;
		v->pending.kind = PENDING_NONE;
	}
	if (mask & JOIST_REGS_SEG) {
		for (i = 0; i < JOIST_SEGS; i++)
			backend->seg_set(v, i, &r->seg[i]);
		backend->reg_set(v, VREG_GDTR_BASE, r->gdtr.base);
		backend->reg_set(v, VREG_GDTR_LIMIT, r->gdtr.limit);
		backend->reg_set(v, VREG_IDTR_BASE, r->idtr.base);
		backend->reg_set(v, VREG_IDTR_LIMIT, r->idtr.limit);
	}
	if (mask & JOIST_REGS_CR) {
		backend->reg_set(v, VREG_CR0, r->cr0);
		backend->reg_set(v, VREG_CR2, r->cr2);
		backend->reg_set(v, VREG_CR3, r->cr3);
		backend->reg_set(v, VREG_CR4, r->cr4);
		v->gs.xcr0 = r->xcr0;
	}
	if (mask & JOIST_REGS_DR) {
		memcpy(v->gs.dr, r->dr, sizeof(v->gs.dr));
		v->dr_live = true;
		backend->dr_intercept(v, false);
		backend->reg_set(v, VREG_DR6, r->dr6);
		backend->reg_set(v, VREG_DR7, r->dr7);
	}
	if (mask & JOIST_REGS_MSR)
		write_msrs(v, r);
	/* After APIC_BASE, which clears it when it switches the LAPIC off. */
	if (mask & JOIST_REGS_CR)
		vlapic_set_tpr(&v->lapic, (u32)r->cr8);
	if (mask & JOIST_REGS_EVENT) {
		v->activity = r->activity;
		backend->shadow_set(v, r->interruptibility & ~JOIST_NMI_PENDING);
		v->nmi_pending = r->interruptibility & JOIST_NMI_PENDING;
		event_place(v, (struct event){ r->event, r->event_error });
	}
}

static bool mask_ok(const struct joist_regs_args *a)
{
	return !(a->mask & ~JOIST_REGS_ALL) && !a->reserved;
}

/* Groups that the caller leaves out, as they are after power-on: what the
 * other groups are judged by. */
static void fill_power_on(const struct vlapic *fresh, u32 mask, struct joist_regs *r)
{
	if (!(mask & JOIST_REGS_GPR)) {
		r->rip = 0xfff0;
		r->rflags = RFLAGS_ONE;
	}
	if (!(mask & JOIST_REGS_SEG)) {
		memcpy(r->seg, power_on_segments, sizeof(r->seg));
		memset(&r->gdtr, 0, sizeof(r->gdtr));
		memset(&r->idtr, 0, sizeof(r->idtr));
	}
	if (!(mask & JOIST_REGS_CR)) {
		r->cr0 = CR0_CD | CR0_NW | CR0_ET;
		r->cr2 = r->cr3 = r->cr4 = r->cr8 = 0;
		r->xcr0 = XCR0_X87;
	}
	if (!(mask & JOIST_REGS_MSR)) {
		memset(r->msr, 0, sizeof(r->msr));
		r->msr[JOIST_MSR_PAT] = PAT_RESET;
		r->msr[JOIST_MSR_APIC_BASE] = fresh->base;
	}
}

int hc_resetcpu(struct hc_context *c, void *args)
{
	struct joist_regs_args *a = args;
	struct vcpu *v = c->vcpu;
	struct vlapic fresh;

	if (!mask_ok(a))
		return fail(-EINVAL);
	vcpu_lapic_sync(v);
	vlapic_reset(&fresh, v->id, v->id == 0);
	fill_power_on(&fresh, a->mask, &a->regs);
	if (a->mask && !regs_ok(v, a->mask | JOIST_REGS_WHOLE, &a->regs, &fresh))
		return fail(-EINVAL);
	vcpu_reset(v);
	write_regs(v, a->mask, &a->regs);
	return 0;
}

int hc_readregs(struct hc_context *c, void *args)
{
	struct joist_regs_args *a = args;

	if (!mask_ok(a))
		return fail(-EINVAL);
	memset(&a->regs, 0, sizeof(a->regs));
	vcpu_lapic_sync(c->vcpu);
	read_regs(c->vcpu, a->mask, &a->regs);
	return 0;
}

int hc_writeregs(struct hc_context *c, void *args)
{
	struct joist_regs_args *a = args;

	if (!mask_ok(a))
		return fail(-EINVAL);
	vcpu_lapic_sync(c->vcpu);
	if (!regs_ok(c->vcpu, a->mask, &a->regs, &c->vcpu->lapic))
		return fail(-EINVAL);
	write_regs(c->vcpu, a->mask, &a->regs);
	return 0;
}

int hc_readxstate(struct hc_context *c, void *args)
{
	struct joist_xstate *a = args;

	if (a->size != xstate_size() || a->reserved)
		return fail(-EINVAL);
	memset(a->data, 0, sizeof(a->data));
	memcpy(a->data, c->vcpu->xstate, a->size);
	return 0;
}

int hc_writexstate(struct hc_context *c, void *args)
{
	struct joist_xstate *a = args;

	if (a->size != xstate_size() || a->reserved)
		return fail(-EINVAL);
	if (xstate_check(a->data))
		return fail(-EINVAL);
	memcpy(c->vcpu->xstate, a->data, a->size);
	return 0;
}
