/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmx_exit.c -- a VMCS's exit information in neutral terms.
 */
#include "arch/x86/backend.h"
#include "arch/x86/regs.h"
#include "arch/x86/vmx/vmcs.h"
#include "core/log.h"
#include "core/vm.h"

#define EVENT_BITS	(JOIST_EVENT_VALID | JOIST_EVENT_ERROR | EVENT_TYPE | JOIST_EVENT_VECTOR)

/* Exits whose only content is their kind; whether an instruction's length
 * comes with them: SDM, "Information for VM Exits Due to Instruction Execution". */
#define HAS_LEN	0x80
static const u8 plain[96] = {
#define P(code, kind) [VMX_EXIT_##code] = JOIST_STAT_##kind + 1
#define I(code, kind) [VMX_EXIT_##code] = (JOIST_STAT_##kind + 1) | HAS_LEN
	P(INTR, INTR), P(TRIPLE_FAULT, SHUTDOWN), P(INIT, INIT), P(SIPI, SIPI),
	P(INTR_WINDOW, INTR_WINDOW), P(NMI_WINDOW, NMI_WINDOW),
	P(TASK_SWITCH, TASK_SWITCH), P(TPR, TPR),
	I(CPUID, CPUID), I(GETSEC, VIRT_INSN), I(HLT, HLT), I(INVD, WBINVD),
	I(INVLPG, INVLPG), I(RDPMC, RDPMC), I(RSM, VIRT_INSN), I(VMCALL, HYPERCALL),
	I(VMCLEAR, VIRT_INSN), I(VMLAUNCH, VIRT_INSN), I(VMPTRLD, VIRT_INSN),
	I(VMPTRST, VIRT_INSN), I(VMREAD, VIRT_INSN), I(VMRESUME, VIRT_INSN),
	I(VMWRITE, VIRT_INSN), I(VMXOFF, VIRT_INSN), I(VMXON, VIRT_INSN),
	I(CR, CR), I(DR, DR), I(RDMSR, MSR_READ), I(WRMSR, MSR_WRITE),
	I(MWAIT, MWAIT), I(MONITOR, MWAIT), I(PAUSE, PAUSE), I(INVEPT, VIRT_INSN),
	I(INVVPID, VIRT_INSN), I(WBINVD, WBINVD), I(XSETBV, XSETBV),
	I(VMFUNC, VIRT_INSN),
	/* What no guest is shown; nothing turns these exits on but the CPU itself. */
	I(ENCLS, VIRT_INSN), I(PCONFIG, VIRT_INSN), I(LOADIWKEY, VIRT_INSN),
	I(ENCLV, VIRT_INSN), I(SEAMCALL, VIRT_INSN), I(TDCALL, VIRT_INSN),
	I(RDMSRLIST, VIRT_INSN), I(WRMSRLIST, VIRT_INSN), I(URDMSR, VIRT_INSN),
	I(UWRMSR, VIRT_INSN),
#undef P
#undef I
};

void vmx_take_nmi(void);

/*
 * An event whose delivery the exit cut short goes in again.  Software
 * interrupts and exceptions are simply executed again: RIP still points at
 * their instruction.
 */
static void note_vectoring(struct vcpu *v, u32 info)
{
	u32 type = (u32)field_get(EVENT_TYPE, info);

	if (type != EVENT_INTR && type != EVENT_NMI && type != EVENT_EXCEPTION)
		return;
	v->reinject.info = (u32)(info & EVENT_BITS);
	v->reinject.error = info & JOIST_EVENT_ERROR ? (u32)vmcs_read(VMCS_VECTORING_ERROR) : 0;
}

/* The IRET that ended NMI blocking did not complete: SDM, "Resuming Guest
 * Software after Handling an Exception". */
static void block_nmi_again(struct vcpu *v)
{
	v->vmx.nmi_blocked = true;
	vmcs_write(VMCS_GUEST_SHADOW, vmcs_read(VMCS_GUEST_SHADOW) | SHADOW_NMI);
}

/* The exit came before the #DB changed DR6 and DR7: SDM, "Exit Qualification
 * for Debug Exceptions". */
static __noinline void debug_registers(struct vcpu *v)
{
	u64 happened = vmcs_read(VMCS_QUALIFICATION) & (BITS(14, 13) | BITS(3, 0));
	u64 dr7 = vmcs_read(VMCS_GUEST_DR7);

	backend->reg_set(v, VREG_DR6, (backend->reg_get(v, VREG_DR6) & ~BITS(3, 0)) | happened);
	if (dr7 & DR7_GD)
		vmcs_write(VMCS_GUEST_DR7, dr7 & ~DR7_GD);
}

static __noinline void decode_exception(struct vcpu *v, bool vectoring)
{
	u32 info = (u32)vmcs_read(VMCS_EXIT_EVENT);

	if (field_get(EVENT_TYPE, info) == EVENT_NMI) {
		vmx_take_nmi();
		v->x.kind = JOIST_STAT_NMI;
		return;
	}
	v->x.kind = JOIST_STAT_EXCEPTION;
	v->x.vector = info & JOIST_EVENT_VECTOR;
	v->x.error = info & JOIST_EVENT_ERROR ? (u32)vmcs_read(VMCS_EXIT_EVENT_ERROR) : 0;
	if ((info & EVENT_NMI_UNBLOCKED) && !vectoring && v->x.vector != EXC_DF)
		block_nmi_again(v);
	if (v->x.vector == EXC_DB)
		debug_registers(v);
	/* INT1's #DB is a trap: it is handed on from behind the instruction. */
	if (field_get(EVENT_TYPE, info) == EVENT_INT1)
		v->rip += vmcs_read(VMCS_EXIT_INSN_LEN);
}

static void decode_io(struct vcpu *v)
{
	u64 qual = vmcs_read(VMCS_QUALIFICATION);

	v->x.kind = JOIST_STAT_IO;
	v->x.io.port = (u16)field_get(IO_QUAL_PORT, qual);
	v->x.io.size = (u8)(field_get(IO_QUAL_SIZE, qual) + 1);
	v->x.io.in = qual & IO_QUAL_IN;
	v->x.io.string = qual & IO_QUAL_STRING;
	v->x.io.rep = qual & IO_QUAL_REP;
	v->x.insn_len = (u8)vmcs_read(VMCS_EXIT_INSN_LEN);
}

static void decode_ept(struct vcpu *v, bool vectoring)
{
	u64 qual = vmcs_read(VMCS_QUALIFICATION);

	v->x.kind = JOIST_STAT_STAGE2;
	v->x.s2.gpa = vmcs_read(VMCS_GUEST_PHYSICAL);
	v->x.s2.write = qual & EPT_QUAL_WRITE;
	v->x.s2.exec = qual & EPT_QUAL_FETCH;
	v->x.s2.present = qual & EPT_QUAL_ALLOWED;
	v->x.s2.in_walk = (qual & (EPT_QUAL_LINEAR | EPT_QUAL_FINAL)) !=
			  (EPT_QUAL_LINEAR | EPT_QUAL_FINAL);
	if ((qual & EPT_QUAL_NMI_UNBLOCKED) && !vectoring)
		block_nmi_again(v);
}

/*
 * SDM, "Notify VM Exits": for too long there was no instruction boundary, so an
 * interrupt may wait.
 */
static void decode_notify(struct vcpu *v, bool vectoring)
{
	u64 qual = vmcs_read(VMCS_QUALIFICATION);

	v->x.kind = qual & NOTIFY_QUAL_INVALID ? JOIST_STAT_OTHER : JOIST_STAT_INTR;
	if ((qual & NOTIFY_QUAL_NMI_UNBLOCKED) && !vectoring)
		block_nmi_again(v);
}

/* The guest was not entered; what should have been injected waits. */
static void not_entered(struct vcpu *v)
{
	u32 info = (u32)vmcs_read(VMCS_ENTRY_EVENT);

	if (!(info & JOIST_EVENT_VALID))
		return;
	v->reinject.info = info;
	v->reinject.error = info & JOIST_EVENT_ERROR ?
			    (u32)vmcs_read(VMCS_ENTRY_EVENT_ERROR) : 0;
	vmcs_write(VMCS_ENTRY_EVENT, 0);
}

static __noinline void entry_failed(struct vcpu *v, bool refused)
{
	static struct ratelimit limit;

	v->x.kind = JOIST_STAT_ENTRY_FAIL;
	v->x.raw[0] = refused ? ~0ull : vmcs_read(VMCS_EXIT_REASON);
	v->x.raw[2] = v->x.raw[3] = 0;
	v->x.raw[1] = refused ? vmcs_read(VMCS_INSN_ERROR) : vmcs_read(VMCS_QUALIFICATION);
	vmcs_write(VMCS_ENTRY_EVENT, 0);
	/* A guest's state comes from the control VM, and can be bad at will. */
	if (!v->control && !ratelimit_ok(&limit, 2))
		return;
	if (refused)
		vmcs_explain_refusal(v);
	else
		vmcs_explain_state(v);
}

/* The handler looks at the LAPIC, changes its mode, or may find its timer due. */
static bool is_lapic_msr(u32 msr)
{
	return msr - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST ||
	       msr == MSR_TSC_DEADLINE || msr == MSR_APIC_BASE;
}

/* What is not the exit of an instruction: an event may have been on its way. */
static __noinline void decode_other(struct vcpu *v, u32 reason)
{
	u32 vectoring;

	v->x.insn_len = 0;
	if (unlikely(reason & VMX_EXIT_ENTRY_FAILED)) {
		/* No fault of the guest's: it can be entered again. */
		if ((reason & VMX_EXIT_BASIC) == VMX_EXIT_ENTRY_MC) {
			not_entered(v);
			v->x.kind = JOIST_STAT_EXCEPTION;
			v->x.vector = EXC_MC;
			return;
		}
		entry_failed(v, false);
		return;
	}
	vectoring = (u32)vmcs_read(VMCS_VECTORING);
	if (unlikely(vectoring & JOIST_EVENT_VALID))
		note_vectoring(v, vectoring);
	if (reason < sizeof(plain) && plain[reason]) {
		v->x.kind = plain[reason] - 1u;
		return;
	}
	switch (reason) {
	case VMX_EXIT_EXCEPTION:
		decode_exception(v, vectoring & JOIST_EVENT_VALID);
		break;
	case VMX_EXIT_EPT_VIOLATION:
		decode_ept(v, vectoring & JOIST_EVENT_VALID);
		break;
	case VMX_EXIT_APIC_WRITE:
		vid_apic_write(v, (u32)vmcs_read(VMCS_QUALIFICATION) & 0xfff);
		v->x.kind = JOIST_STAT_TPR;
		break;
	case VMX_EXIT_NOTIFY:
		decode_notify(v, vectoring & JOIST_EVENT_VALID);
		break;
	case VMX_EXIT_TIMER:
		v->vmx.timer = ~0ull;		/* used up: must be written again */
		/* With IF clear: see vmx_timer_set(). */
		v->x.kind = v->rflags & RFLAGS_IF ? JOIST_STAT_TIMER : JOIST_STAT_INTR;
		break;
	default:
		v->x.kind = JOIST_STAT_OTHER;
	}
}

static __noinline void no_exit(struct vcpu *v, enum vmx_came_back how)
{
	v->x.insn_len = 0;
	if (how == VMX_FAILED) {
		entry_failed(v, true);
		return;
	}
	v->x.kind = JOIST_STAT_NMI;
	not_entered(v);
}

/*
 * Exits of instructions come first and are nearly all: none is left in the
 * middle of an event's delivery (SDM, "Information for VM Exits During Event
 * Delivery"; a task switch is, and has no length here).
 */
void vmx_exit_decode(struct vcpu *v, enum vmx_came_back how)
{
	u32 reason;

	if (unlikely(how != VMX_EXITED)) {
		no_exit(v, how);
		return;
	}
	/* Its upper half: enclaves, pending events, a failed entry. */
	reason = (u32)vmcs_read(VMCS_EXIT_REASON) & (VMX_EXIT_BASIC | VMX_EXIT_ENTRY_FAILED);
	/* One that failed leaves the VMCS's launch state as it was. */
	v->vmx.launched |= !(reason & VMX_EXIT_ENTRY_FAILED);
	if (unlikely(v->vmx.nmi_blocked))
		v->vmx.nmi_blocked = vmcs_read(VMCS_GUEST_SHADOW) & SHADOW_NMI;
	if (reason == VMX_EXIT_IO) {
		decode_io(v);
		return;
	}
	if (unlikely(reason >= sizeof(plain) || !(plain[reason] & HAS_LEN))) {
		decode_other(v, reason);
		return;
	}
	v->x.kind = (plain[reason] & ~(u32)HAS_LEN) - 1;
	v->x.insn_len = (u8)vmcs_read(VMCS_EXIT_INSN_LEN);
	if (v->vmx.vid_live && (reason == VMX_EXIT_RDMSR || reason == VMX_EXIT_WRMSR) &&
	    is_lapic_msr((u32)v->gpr[JOIST_RCX]))
		vid_pull(v);
}
