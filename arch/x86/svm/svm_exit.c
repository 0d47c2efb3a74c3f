/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * svm_exit.c -- a VMCB's exit code in neutral terms.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/regs.h"
#include "arch/x86/svm/vmcb.h"
#include "core/vm.h"
#include "drivers/apic.h"

void svm_take_nmi(void);

#define EVENT_TYPE	BITS(10, 8)
#define TYPE_INTR	0
#define TYPE_EXCEPTION	3
#define TYPE_SOFT	4

/* Exits whose only content is their kind.  Length: see insn_len(). */
static const u8 plain[0xa8] = {
#define P(code, kind) [SVM_EXIT_##code] = JOIST_STAT_##kind + 1
	P(INTR, INTR), P(VINTR, INTR_WINDOW), P(RDPMC, RDPMC),
	P(CPUID, CPUID), P(RSM, VIRT_INSN), P(INVD, WBINVD), P(PAUSE, PAUSE),
	P(HLT, HLT), P(INVLPGA, VIRT_INSN), P(SHUTDOWN, SHUTDOWN),
	P(VMRUN, VIRT_INSN), P(VMMCALL, HYPERCALL), P(VMLOAD, VIRT_INSN),
	P(VMSAVE, VIRT_INSN), P(STGI, VIRT_INSN), P(CLGI, VIRT_INSN),
	P(SKINIT, VIRT_INSN), P(WBINVD, WBINVD), P(MONITOR, MWAIT),
	P(MWAIT, MWAIT), P(MWAIT_ARMED, MWAIT), P(XSETBV, XSETBV),
	P(RDPRU, VIRT_INSN), P(INVLPGB, VIRT_INSN), P(INVLPGB_BAD, VIRT_INSN),
	P(MCOMMIT, VIRT_INSN), P(TLBSYNC, VIRT_INSN),
#undef P
};

/* 0: to be found by decoding; next_rip is 0 on a CPU without NRIP save. */
static u8 insn_len(const struct vmcb *b)
{
	return b->next_rip ? (u8)(b->next_rip - b->rip) : 0;
}

/*
 * The CPU clears V_IRQ when it takes the interrupt; QEMU, only when its
 * delivery did not end in an exit.
 */
static void note_offered(struct vcpu *v, struct vmcb *b)
{
	u32 info = (u32)b->exit_int_info;

	v->svm.offered = false;
	if ((b->int_ctl & VINTR_IRQ) &&
	    (!(info & JOIST_EVENT_VALID) ||
	     (info & JOIST_EVENT_VECTOR) != field_get(VINTR_VECTOR, b->int_ctl)))
		return;
	svm_offer_end(v);
	vcpu_intr_taken(v);
}

/*
 * An event whose delivery the exit cut short goes in again.  Software
 * interrupts, #BP and #OF are simply executed again: RIP still points at their
 * instruction.  Some implementations report an injected interrupt as type
 * "exception": a vector above 31 is no exception.
 */
static void note_vectoring(struct vcpu *v, const struct vmcb *b)
{
	u32 info = (u32)b->exit_int_info, vector = info & JOIST_EVENT_VECTOR;
	u32 type = field_get(EVENT_TYPE, info);

	v->reinject.info = 0;
	if (!(info & JOIST_EVENT_VALID) || type == TYPE_SOFT)
		return;
	if (type == TYPE_EXCEPTION && vector > 31)
		info = (info & ~(u32)(EVENT_TYPE | JOIST_EVENT_ERROR)) | JOIST_EVENT_TYPE(TYPE_INTR);
	else if (type == TYPE_EXCEPTION && (vector == EXC_BP || vector == EXC_OF))
		return;
	v->reinject.info = info;
	v->reinject.error = (u32)(b->exit_int_info >> 32);
}

/* The IRET of an NMI handler: from the next instruction on NMIs may come. */
static void iret_seen(struct vcpu *v, struct vmcb *b)
{
	b->intercept3 &= ~(u32)INTERCEPT_IRET;
	v->svm.iret_rip = v->rip;
	v->svm.watch = true;
	v->x.kind = JOIST_STAT_NMI_WINDOW;
}

static void iret_done(struct vcpu *v)
{
	v->svm.iret_rip = 0;
	v->svm.nmi_blocked = false;
}

/*
 * Whatever ends the step over an IRET ends it for good; if it was not executed, the
 * next entry begins another.  TF is as the guest had it, or as the IRET left it.
 */
static void step_end(struct vcpu *v, struct vmcb *b)
{
	v->svm.iret_step = false;
	b->intercept_exc = v->control ? 0 : GUEST_EXCEPTIONS;
	if (v->rip == v->svm.iret_rip && !v->svm.step_flags)
		v->rflags &= ~RFLAGS_TF;
}

/* What does not happen at most exits. */
static __noinline void note_events(struct vcpu *v, struct vmcb *b)
{
	/* QEMU: VMRUN with V_IRQ may have lost a physical interrupt. */
	if (guest_features.offer)
		apic_look_again();
	if (v->svm.offered)
		note_offered(v, b);
	if (b->exit_int_info & JOIST_EVENT_VALID)
		note_vectoring(v, b);
	if (v->svm.iret_step)
		step_end(v, b);
	if (v->svm.iret_rip && v->rip != v->svm.iret_rip)
		iret_done(v);
	v->svm.watch = v->svm.iret_rip || (b->int_ctl & VINTR_IRQ);
}

static void decode_io(struct vcpu *v, const struct vmcb *b)
{
	u64 info = b->exit_info1;

	v->x.kind = JOIST_STAT_IO;
	v->x.io.port = (u16)field_get(IOIO_PORT, info);
	v->x.io.size = (u8)field_get(IOIO_SIZE, info);
	v->x.io.in = info & IOIO_IN;
	v->x.io.string = info & IOIO_STRING;
	v->x.io.rep = info & IOIO_REP;
	/* EXITINFO2 is the next RIP, on every CPU. */
	v->x.insn_len = (u8)(b->exit_info2 - b->rip);
}

/* The step over an IRET: done, or the IRET raised an exception, whose handler will
 * end with the one that counts. */
static void decode_stepped(struct vcpu *v, struct vmcb *b, u32 vector)
{
	if (vector == EXC_DB) {
		iret_done(v);
		if (v->svm.step_flags)
			return;			/* the guest's own, too */
		b->dr6 &= ~BIT(14);		/* BS */
		v->x.kind = JOIST_STAT_NMI_WINDOW;
	} else if (v->svm.iret_rip) {
		v->svm.iret_rip = 0;
		b->intercept3 |= (u32)INTERCEPT_IRET;
		if (vector == EXC_PF)
			b->cr2 = b->exit_info2;
	}
}

static void decode_exception(struct vcpu *v, struct vmcb *b, u32 vector, bool stepped)
{
	v->x.kind = JOIST_STAT_EXCEPTION;
	v->x.vector = vector;
	v->x.error = (u32)b->exit_info1;
	if (stepped)
		decode_stepped(v, b, vector);
}

static void decode_npf(struct vcpu *v, const struct vmcb *b)
{
	u64 info = b->exit_info1;

	v->x.kind = JOIST_STAT_STAGE2;
	v->x.s2.gpa = b->exit_info2;
	v->x.s2.write = info & NPF_WRITE;
	v->x.s2.exec = info & NPF_FETCH;
	v->x.s2.present = info & NPF_PRESENT;
	v->x.s2.in_walk = info & NPF_TABLE;
}

/*
 * VMRUN refused the state.  QEMU also ends guest mode so where a CPU would
 * raise #GP, on a MOV to a control register; RIP is still at it then.
 */
static __noinline void decode_invalid(struct vcpu *v)
{
	struct insn in;

	v->x.kind = JOIST_STAT_ENTRY_FAIL;
	if (!guest_insn(v, &in) && in.kind == INSN_MOV_TO_CR)
		v->x.kind = JOIST_STAT_CR;
}

void svm_exit_raw(struct vcpu *v)
{
	const struct vmcb *b = v->svm.vmcb;

	v->x.raw[0] = b->exit_code;
	v->x.raw[1] = b->exit_info1;
	v->x.raw[2] = b->exit_info2;
	v->x.raw[3] = b->exit_int_info;
}

void svm_exit_decode(struct vcpu *v)
{
	struct vmcb *b = v->svm.vmcb;
	u64 code = b->exit_code;
	bool stepped = v->svm.iret_step;

	if (unlikely(b->exit_int_info & JOIST_EVENT_VALID) || unlikely(v->svm.watch))
		note_events(v, b);

	if (code == SVM_EXIT_IOIO) {
		decode_io(v, b);
		return;
	}
	if (code < sizeof(plain) && plain[code]) {
		v->x.kind = plain[code] - 1u;
		v->x.insn_len = insn_len(b);
		return;
	}
	v->x.insn_len = 0;
	switch (code) {
	case SVM_EXIT_INVALID:
	case (u32)SVM_EXIT_INVALID:
		decode_invalid(v);
		break;
	case SVM_EXIT_MSR:
		v->x.kind = b->exit_info1 & 1 ? JOIST_STAT_MSR_WRITE : JOIST_STAT_MSR_READ;
		v->x.insn_len = insn_len(b);
		break;
	case SVM_EXIT_NPF:
		decode_npf(v, b);
		break;
	case SVM_EXIT_NMI:
		/* It is still pending: take it here, with the trap handler. */
		svm_take_nmi();
		v->x.kind = JOIST_STAT_NMI;
		break;
	case SVM_EXIT_INIT:
		svm_take_nmi();		/* VM_CR.R_INIT: it is a #SX now, dropped */
		v->x.kind = JOIST_STAT_INIT;
		break;
	case SVM_EXIT_IRET:
		iret_seen(v, b);
		break;
	case SVM_EXIT_FERR_FREEZE:
		/* No pin leads from a guest's FPU to an interrupt controller: it
		 * gets what it would with CR0.NE set, as VMX has it set always. */
		v->x.kind = JOIST_STAT_EXCEPTION;
		v->x.vector = EXC_MF;
		break;
	case SVM_EXIT_EXCP0 ... SVM_EXIT_EXCP31:
		decode_exception(v, b, (u32)(code - SVM_EXIT_EXCP0), stepped);
		break;
	case SVM_EXIT_READ_CR0 ... SVM_EXIT_WRITE_CR0 + 15:
		v->x.kind = JOIST_STAT_CR;
		break;
	case SVM_EXIT_READ_DR0 ... SVM_EXIT_WRITE_DR15:
		v->x.kind = JOIST_STAT_DR;
		break;
	default:
		v->x.kind = JOIST_STAT_OTHER;
	}
}
