/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit.c -- the tables of exits, and the exits that need only a line.
 *
 * Only dispatch() counts and moves RIP.  A guest's exit with an empty row
 * stops that VM; nothing a guest does gets further.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/mce.h"
#include "arch/x86/regs.h"
#include "core/hypercall.h"
#include "core/log.h"

#define HYPERCALL_LEN	3	/* joist.h: no prefix */

/*
 * What compilers and assemblers make of the instructions that exit most.  Only
 * for a CPU that does not tell the length, so SVM's spelling of a hypercall.
 */
#define CODE_CPUID	0xa20f
#define CODE_HLT	0xf4
#define CODE_RDMSR	0x320f
#define CODE_WRMSR	0x300f
#define CODE_VMMCALL	0xd9010f

struct exit_row {
	enum verdict (*handle)(struct vcpu *v);
	bool steps;		/* may be DONE: the length is needed */
	u8 len;			/* the length, where the interface fixes it; or */
	u32 code;		/* ... if the instruction has no prefix: its bytes */
};

enum verdict exit_gp(struct vcpu *v)
{
	event_exception_error(v, EXC_GP, 0);
	return RETRY;
}

enum verdict exit_ud(struct vcpu *v)
{
	event_exception(v, EXC_UD);
	return RETRY;
}

/* The loop looks at posted events, windows and timers before each entry. */
static enum verdict exit_again(struct vcpu *v)
{
	return RETRY;
}

static enum verdict exit_skip(struct vcpu *v)
{
	return DONE;
}

static enum verdict exit_intr(struct vcpu *v)
{
	v->forward = JOIST_EXIT_INTR;
	return FORWARD;
}

static enum verdict exit_hlt(struct vcpu *v)
{
	v->activity = JOIST_VCPU_HALTED;
	return DONE;
}

static enum verdict exit_shutdown(struct vcpu *v)
{
	vcpu_shutdown(v, !v->x.vague, v->x.left);
	v->forward = v->dead;
	return FORWARD;
}

/* The control VM's, not the guest's. */
static enum verdict machine_check(struct vcpu *v)
{
	mce_hand_over(current_cpu());
	if (v->control)
		return RETRY;
	if (!mce_restartable())
		return exit_error(v, JOIST_ERR_EXIT);
	v->forward = JOIST_EXIT_INTR;
	return FORWARD;
}

/*
 * #DB and #AC are intercepted so that they cannot loop in the CPU: hand them on,
 * also where one hit while another event was being delivered.  That one would
 * only meet it again.
 */
static enum verdict exit_exception(struct vcpu *v)
{
	if (v->x.vector == EXC_MC)
		return machine_check(v);
	if (!v->control)
		event_displace(v);
	if (EXC_WITH_ERROR & BIT(v->x.vector))
		event_exception_error(v, v->x.vector, v->x.error);
	else
		event_exception(v, v->x.vector);
	return RETRY;
}

static enum verdict exit_entry_fail(struct vcpu *v)
{
	return exit_error(v, JOIST_ERR_ENTRY);
}

static enum verdict exit_other(struct vcpu *v)
{
	return exit_error(v, JOIST_ERR_EXIT);
}

static const struct exit_row guest_rows[JOIST_STAT_COUNT] = {
	[JOIST_STAT_CPUID] = { exit_cpuid, true, 2, CODE_CPUID },
	[JOIST_STAT_HLT] = { exit_hlt, true, 1, CODE_HLT },
	[JOIST_STAT_IO] = { exit_io },
	[JOIST_STAT_MSR_READ] = { exit_rdmsr, true, 2, CODE_RDMSR },
	[JOIST_STAT_MSR_WRITE] = { exit_wrmsr, true, 2, CODE_WRMSR },
	[JOIST_STAT_CR] = { exit_cr },
	[JOIST_STAT_DR] = { exit_dr },
	[JOIST_STAT_STAGE2] = { exit_stage2 },
	[JOIST_STAT_HYPERCALL] = { exit_hypercall, true, 3, CODE_VMMCALL },
	[JOIST_STAT_INTR] = { exit_intr },
	[JOIST_STAT_NMI] = { exit_again },
	[JOIST_STAT_INTR_WINDOW] = { exit_again },
	[JOIST_STAT_NMI_WINDOW] = { exit_again },
	[JOIST_STAT_EXCEPTION] = { exit_exception },
	[JOIST_STAT_SHUTDOWN] = { exit_shutdown },
	[JOIST_STAT_INIT] = { exit_again },
	[JOIST_STAT_SIPI] = { exit_again },
	[JOIST_STAT_TASK_SWITCH] = { exit_other },
	[JOIST_STAT_VIRT_INSN] = { exit_ud },
	[JOIST_STAT_XSETBV] = { exit_xsetbv, true },
	[JOIST_STAT_WBINVD] = { exit_skip, true },
	[JOIST_STAT_MWAIT] = { exit_ud },
	[JOIST_STAT_PAUSE] = { exit_skip, true },
	[JOIST_STAT_RDPMC] = { exit_gp },
	[JOIST_STAT_TIMER] = { exit_again },
	[JOIST_STAT_TPR] = { exit_again },
	[JOIST_STAT_ENTRY_FAIL] = { exit_entry_fail },
	[JOIST_STAT_OTHER] = { exit_other },
};

/* INVD would throw away what other VMs have in the caches. */
static enum verdict control_wbinvd(struct vcpu *v)
{
	wbinvd();
	return DONE;
}

/* What a triple fault does to a machine. */
enum verdict control_shutdown(struct vcpu *v)
{
	log_sinks_quiet(false);
	log_error("the control VM shut down (triple fault) on core %u, rip %lx",
		  v->id, v->rip);
	reset_machine();
}

static enum verdict control_dead(struct vcpu *v)
{
	backend->exit_raw(v);
	smp_stop_others();
	log_sinks_quiet(false);
	log_error("the control VM cannot go on: core %u, exit %lx %lx %lx %lx, rip %lx",
		  v->id, v->x.raw[0], v->x.raw[1], v->x.raw[2], v->x.raw[3], v->rip);
	cpu_stop_machine();
}

/*
 * Only an instruction that is newer than this table can be it: one that the CPU
 * has, but CPUID does not show.
 */
static enum verdict control_unknown(struct vcpu *v)
{
	static struct ratelimit limit;

	backend->exit_raw(v);
	if (ratelimit_ok(&limit, 5))
		log_warn("core %u, exit %lx %lx of the control VM at rip %lx is unknown: #UD",
			 v->id, v->x.raw[0], v->x.raw[1], v->rip);
	return exit_ud(v);
}

static const struct exit_row control_rows[JOIST_STAT_COUNT] = {
	[JOIST_STAT_CPUID] = { control_cpuid, true, 2, CODE_CPUID },
	[JOIST_STAT_IO] = { control_io },
	[JOIST_STAT_MSR_READ] = { control_rdmsr, true, 2, CODE_RDMSR },
	[JOIST_STAT_MSR_WRITE] = { control_wrmsr, true, 2, CODE_WRMSR },
	[JOIST_STAT_CR] = { exit_cr },
	[JOIST_STAT_STAGE2] = { control_stage2 },
	[JOIST_STAT_HYPERCALL] = { hypercall, true, HYPERCALL_LEN },
	[JOIST_STAT_NMI] = { exit_again },
	[JOIST_STAT_INTR] = { exit_again },
	[JOIST_STAT_INTR_WINDOW] = { exit_again },
	[JOIST_STAT_NMI_WINDOW] = { exit_again },
	[JOIST_STAT_EXCEPTION] = { exit_exception },
	[JOIST_STAT_SHUTDOWN] = { control_shutdown },
	[JOIST_STAT_INIT] = { exit_again },
	[JOIST_STAT_SIPI] = { exit_again },
	[JOIST_STAT_VIRT_INSN] = { exit_ud },
	[JOIST_STAT_XSETBV] = { exit_xsetbv, true },
	[JOIST_STAT_WBINVD] = { control_wbinvd, true },
	[JOIST_STAT_ENTRY_FAIL] = { control_dead },
	/* By 32-bit code, on VMX: a 64-bit kernel gets it from the CPU. */
	[JOIST_STAT_TASK_SWITCH] = { exit_gp },
	[JOIST_STAT_OTHER] = { control_unknown },
};

static __noinline void wrap_rip(struct vcpu *v)
{
	if (guest_mode(v) != INSN_64)
		v->rip = (u32)v->rip;
}

/*
 * The trap after the instruction is the guest's own business.  With DEBUGCTL.BTF
 * only branches trap (SDM, "Single-Stepping on Branches"), and none of the
 * instructions that are stepped over is one.
 */
static __noinline void single_step(struct vcpu *v)
{
	if (backend->reg_get(v, VREG_DEBUGCTL) & DEBUGCTL_BTF)
		return;
	backend->reg_set(v, VREG_DR6, backend->reg_get(v, VREG_DR6) | BIT(14));
	event_exception(v, EXC_DB);
}

void exit_step(struct vcpu *v, unsigned len)
{
	u64 from = v->rip;

	v->rip += len;
	/* SDM, "Instruction-Breakpoint Exception Condition": it is for one instruction. */
	v->rflags &= ~RFLAGS_RF;
	/* Only 64-bit code lies or goes above 4 GiB. */
	if (unlikely((from ^ v->rip) >> 32))
		wrap_rip(v);
	if (unlikely(v->rflags & RFLAGS_TF))
		single_step(v);
	backend->shadow_end(v);
}

enum verdict exit_error(struct vcpu *v, u32 code)
{
	v->dead = v->forward = JOIST_EXIT_ERROR;
	v->run->rip = v->rip;
	v->run->error.code = code;
	v->run->error.len = guest_insn_bytes(v, v->run->error.insn);
	backend->exit_raw(v);
	v->run->error.detail[0] = v->x.raw[0];
	v->run->error.detail[1] = v->x.raw[1];
	v->run->error.detail[2] = v->x.raw[2];
	v->run->error.detail[3] = v->x.kind == JOIST_STAT_STAGE2 ? v->x.s2.gpa : v->x.raw[3];
	log_info("VM %s, vCPU %u: cannot go on (%u): exit %lx %lx %lx, rip %lx", v->vm->name,
		 v->id, code, v->x.raw[0], v->x.raw[1], v->x.raw[2], v->rip);
	return FORWARD;
}

/* How long the instruction is, where the CPU does not tell. */
static __noinline bool decode_length(struct vcpu *v)
{
	struct insn in;

	/* Another vCPU may have taken the code away: then fault there. */
	if (guest_insn(v, &in))
		return false;
	v->x.insn_len = in.len;
	return true;
}

static bool find_length(struct vcpu *v, const struct exit_row *row)
{
	if (!row->len || (row->code && !guest_insn_is(v, row->code, row->len)))
		return decode_length(v);
	v->x.insn_len = row->len;
	return true;
}

static inline enum verdict dispatch(struct vcpu *v, const struct exit_row *row,
				    enum verdict (*unknown)(struct vcpu *v))
{
	enum verdict verdict;

	v->exits[v->x.kind]++;
	if (unlikely(!row->handle))
		return unknown(v);
	if (row->steps && !v->x.insn_len && !find_length(v, row))
		return RETRY;
	verdict = row->handle(v);
	if (verdict == DONE) {
		exit_step(v, v->x.insn_len);
		verdict = RETRY;
	}
	return verdict;
}

enum verdict exit_guest(struct vcpu *v)
{
	return dispatch(v, &guest_rows[v->x.kind], exit_other);
}

enum verdict exit_control(struct vcpu *v)
{
	return dispatch(v, &control_rows[v->x.kind], control_unknown);
}
