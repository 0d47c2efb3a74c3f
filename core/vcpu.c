/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vcpu.c -- a vCPU's life, and the loop that runs it.
 *
 * RUN is a loop of: take in events, choose what to inject, enter, handle the
 * exit, until something needs the control VM.  It takes no lock that another
 * VM's RUN takes too.
 */
#include "arch/x86/exit.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "arch/x86/xstate.h"
#include "core/log.h"
#include "core/string.h"

#define TYPE_NMI	2
#define TYPE_EXCEPTION	3
#define ABOVE_TPR	16	/* window priority: whatever TPR says */
#define FAR_AHEAD	BIT(62)	/* TSC ticks */
/* A turn ends after so long, which is looked at now and then, and after so many
 * exits in any case. */
#define TURN_MS		5
#define TURN_LOOK	64
#define TURN_EXITS	0x10000

static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "a vCPU is one page");
static_assert(JOIST_VCPU_IDLE == 0, "what is not idle is told by any bit");

/* The run page: the guest's by owner, shown to the control VM at once. */
static int run_page_init(struct vcpu *v)
{
	hpa_t pa;
	int err;

	if (!page_alloc(ORDER_4K, v->vm->owner, &pa))
		return fail(-ENOMEM);
	err = control_show(pa.v, PAGE_SIZE);
	if (err) {
		page_free(pa, ORDER_4K, v->vm->owner);
		return err;
	}
	v->run = hpa_ptr(pa);
	return 0;
}

void vcpu_shutdown(struct vcpu *v, bool exact, u64 left)
{
	v->dead = JOIST_EXIT_SHUTDOWN;
	if (!v->run)
		return;			/* the control VM's: control_shutdown() */
	v->run->rip = v->rip;
	v->run->shutdown.exact = exact;
	v->run->shutdown.left = left;
}

/* The control VM does not see it any more. */
static void run_page_fini(struct vcpu *v)
{
	if (v->run)
		page_free(ptr_hpa(v->run), ORDER_4K, v->vm->owner);
}

void vcpus_hide(struct vcpu *const *v, u32 n)
{
	u64 run[JOIST_MAX_VCPUS];
	u32 i, pages = 0;

	for (i = 0; i < n; i++)
		if (v[i] && v[i]->run)
			run[pages++] = ptr_hpa(v[i]->run).v;
	if (pages)
		control_hide(run, pages);
}

int vcpu_create(struct vm *vm, u32 id, struct vcpu **out)
{
	struct vcpu *v = page_alloc_hyp();
	int err = -ENOMEM;

	if (!v)
		return fail(-ENOMEM);
	v->vm = vm;
	v->id = id;
	v->control = vm == control_vm;
	v->xstate = page_alloc_hyp();
	if (!v->xstate)
		goto free_vcpu;
	err = v->control ? 0 : run_page_init(v);
	if (err)
		goto free_xstate;
	err = backend->vcpu_init(v);
	if (err)
		goto free_run;
	vcpu_reset(v);
	vcpu_disown(v);
	*out = v;
	return 0;

free_run:
	vcpus_hide(&v, 1);
	run_page_fini(v);
free_xstate:
	page_free_hyp(v->xstate);
free_vcpu:
	page_free_hyp(v);
	return fail(err);
}

void vcpu_destroy(struct vcpu *v)
{
	backend->vcpu_fini(v);
	run_page_fini(v);
	page_free_hyp(v->xstate);
	page_free_hyp(v);
}

/* What power-on and INIT have in common: SDM, "Processor State After Reset". */
static void reset_common(struct vcpu *v)
{
	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[JOIST_RDX] = cpuid(1, 0).eax;
	v->rip = 0xfff0;
	v->rflags = RFLAGS_ONE;
	v->reinject.info = v->exception.info = v->extint = 0;
	v->nmi_pending = v->mc_pending = false;
	v->dead = 0;
	v->pending.kind = PENDING_NONE;
	memset(v->gs.dr, 0, sizeof(v->gs.dr));
	backend->vcpu_reset(v);
	backend->dr_intercept(v, !v->control && !v->dr_live);
	backend->reg_set(v, VREG_PAT, v->gs.pat);
	backend->tpr_set(v, 0);
	backend->want_window(v, false, false, 0);
	v->window = false;
	v->tpr = 0;
	v->activity = v->id ? JOIST_VCPU_WAIT_SIPI : JOIST_VCPU_IDLE;
}

/* SDM, "Processor State After Reset"; APM, "Processor Initialization State". */
const struct joist_segment power_on_segments[JOIST_SEGS] = {
#define DATA { .limit = 0xffff, .attr = 0x93 }
	[JOIST_ES] = DATA, [JOIST_SS] = DATA, [JOIST_DS] = DATA, [JOIST_FS] = DATA,
	[JOIST_GS] = DATA,
#undef DATA
	[JOIST_CS] = { .base = 0xffff0000, .limit = 0xffff, .selector = 0xf000, .attr = 0x9b },
	[JOIST_LDTR] = { .limit = 0xffff, .attr = 0x82 },
	[JOIST_TR] = { .limit = 0xffff, .attr = 0x8b },
};

void vcpu_reset(struct vcpu *v)
{
	memset(&v->gs, 0, sizeof(v->gs));
	v->gs.pat = PAT_RESET;
	v->gs.misc_enable = BIT(0);	/* fast strings */
	v->gs.xcr0 = XCR0_X87;
	memset(&v->posted, 0, sizeof(v->posted));
	xstate_reset(v->xstate);
	v->dr_live = false;
	reset_common(v);
	if (v->control)
		return;
	vlapic_reset(&v->lapic, v->id, v->id == 0);
	v->tsc_offset = -v->vm->tsc_base;
	v->deadline_told = JOIST_NO_DEADLINE;
	backend->tsc_offset_set(v, v->tsc_offset);
	if (!v->id)
		v->vm->wall_clock_gpa = 0;
}

void vcpu_init_signal(struct vcpu *v)
{
	u64 cache_bits = backend->reg_get(v, VREG_CR0) & (CR0_CD | CR0_NW);

	/* FPU, TSC, MTRRs, PAT and the like survive an INIT. */
	reset_common(v);
	/* In RUN its debug registers are the core's. */
	if (v->dr_live && v->on_cpu) {
		write_dr0(0);
		write_dr1(0);
		write_dr2(0);
		write_dr3(0);
	}
	backend->reg_set(v, VREG_CR0, cache_bits | CR0_ET);
	vlapic_init(&v->lapic);
	if (!v->id)
		v->activity = JOIST_VCPU_IDLE;
}

static __noinline void serve_requests(struct cpu *c)
{
	u32 asked;

	__atomic_store_n(&c->in_guest, 0, __ATOMIC_SEQ_CST);
	asked = __atomic_exchange_n(&c->request, 0, __ATOMIC_SEQ_CST);
	if (asked & REQ_FLUSH_CONTROL)
		backend->flush_control(c);
	if (asked & REQ_STOP)
		cpu_halt();
}

/* True if this core may enter now; asks of other cores are served first. */
static inline bool entry_begin(struct cpu *c)
{
	__atomic_exchange_n(&c->in_guest, 1, __ATOMIC_SEQ_CST);
	if (likely(!__atomic_load_n(&c->request, __ATOMIC_SEQ_CST)))
		return true;
	serve_requests(c);
	return false;
}

static void enter(struct cpu *c, struct vcpu *v)
{
	backend->enter(v);
	__atomic_store_n(&c->in_guest, 0, __ATOMIC_RELEASE);
}

static void inject_nmi(struct vcpu *v)
{
	v->nmi_pending = false;
	backend->inject(v, (struct event){
		JOIST_EVENT_VALID | JOIST_EVENT_TYPE(TYPE_NMI) | EXC_NMI, 0 });
}

/* What goes before all else, if there is any. */
static bool inject_first(struct vcpu *v)
{
	struct event *ev = v->reinject.info ? &v->reinject : &v->exception;

	if (!ev->info)
		return false;
	/* The CPU saves what it finds. */
	if (event_is_fault(*ev))
		v->rflags |= RFLAGS_RF;
	backend->inject(v, *ev);
	ev->info = 0;
	return true;
}

static void inject_mc(struct vcpu *v)
{
	v->mc_pending = false;
	/* SDM, "CR4.MCE": a CPU that is not to be interrupted by one shuts down. */
	if (!(backend->reg_get(v, VREG_CR4) & CR4_MCE))
		control_shutdown(v);
	backend->inject(v, (struct event){
		JOIST_EVENT_VALID | JOIST_EVENT_TYPE(TYPE_EXCEPTION) | EXC_MC, 0 });
}

/* What goes into the control VM: its interrupts are its own. */
static __noinline void control_deliver(struct vcpu *v)
{
	/* A fault while its #DF went in. */
	if (v->dead)
		control_shutdown(v);
	if (!inject_first(v)) {
		if (v->mc_pending)
			inject_mc(v);
		else if (v->nmi_pending && !(backend->shadow_get(v) & JOIST_NMI_BLOCKED))
			inject_nmi(v);
	}
	/* What waits goes in as soon as this is delivered. */
	backend->want_window(v, false, v->mc_pending || v->nmi_pending, 0);
}

void control_run(void)
{
	struct cpu *c = current_cpu();
	struct vcpu *v = c->control;

	/* Of before its OS was there. */
	v->nmi_pending = false;
	for (;;) {
		if (!entry_begin(c))
			continue;
		if (unlikely(v->reinject.info | v->exception.info |
			     (u32)(v->nmi_pending | v->mc_pending)))
			control_deliver(v);
		enter(c, v);
		exit_control(v);
	}
}

static bool can_take_intr(struct vcpu *v)
{
	return (v->rflags & RFLAGS_IF) &&
	       !(backend->shadow_get(v) & (JOIST_SHADOW_STI | JOIST_SHADOW_MOVSS));
}

/* Whether something ends HLT: SDM, "HLT". */
static bool wakes(struct vcpu *v)
{
	if (v->nmi_pending || v->exception.info || v->reinject.info)
		return true;
	if (!(v->rflags & RFLAGS_IF))
		return false;
	return v->extint || vlapic_pending(&v->lapic) >= 0 ||
	       ((v->run->flags & JOIST_RUN_EXTINT) && vlapic_accepts_extint(&v->lapic));
}

/* Most entries want none, and had none. */
static void window(struct vcpu *v, bool intr, bool nmi, u32 priority)
{
	if (likely(!(intr || nmi || v->window)))
		return;
	v->window = intr || nmi;
	backend->want_window(v, intr, nmi, priority);
}

/* The delivery of the interrupt that came next has begun. */
void vcpu_intr_taken(struct vcpu *v)
{
	if (v->extint)
		v->extint = 0;
	else
		vlapic_ack(&v->lapic);
}

/*
 * Chooses what goes in at this entry.  Order: what was being delivered, an
 * exception, NMI, interrupt (SDM, "Priority Among Concurrent Events").  Where
 * the CPU does not keep an interrupt until it can be taken, we must: VMX
 * refuses an entry with one before (SDM, "Checks on Guest RIP, RFLAGS, and
 * SSP").  False: RUN ends with v->forward.
 */
static bool prepare_events(struct vcpu *v, u32 flags)
{
	bool vid = guest_features.vid && vlapic_x2_enabled(&v->lapic), pic;
	/* With VID the CPU delivers the LAPIC's, and knows when it can. */
	int vector = vid ? -1 : vlapic_pending(&v->lapic);
	int waiting = vid ? -1 : vlapic_waiting(&v->lapic);

	/* It is given what has come, with all it has. */
	if (vid)
		vcpu_lapic_sync(v);
	pic = (flags & JOIST_RUN_EXTINT) && vlapic_accepts_extint(&v->lapic);
	if (likely(waiting < 0 && !(v->reinject.info | v->exception.info | v->extint) &&
		   !v->nmi_pending && !pic)) {
		window(v, false, false, 0);
		return true;
	}
	if (v->extint)
		vector = v->extint & JOIST_EVENT_VECTOR;
	if (inject_first(v)) {
		/* nothing else fits in */
	} else if (v->nmi_pending && !(backend->shadow_get(v) &
				       (JOIST_NMI_BLOCKED | JOIST_SHADOW_MOVSS))) {
		inject_nmi(v);
	} else if (vector >= 0 && !guest_features.offer && can_take_intr(v)) {
		backend->inject(v, (struct event){ JOIST_EVENT_VALID | (u32)vector, 0 });
		vcpu_intr_taken(v);
		waiting = vid ? -1 : vlapic_waiting(&v->lapic);
	} else if (vector < 0 && pic && can_take_intr(v)) {
		v->forward = JOIST_EXIT_EXTINT;
		return false;
	}
	if (vector >= 0 && guest_features.offer) {
		/* Its end brings an exit, at which the next one is chosen. */
		backend->want_window(v, false, v->nmi_pending, 0);
		backend->offer(v, (u32)vector);
		v->window = true;
		return true;
	}
	/* Also for a vector that only TPR holds back: the guest may lower it
	 * without an exit. */
	pic |= !!v->extint;
	window(v, waiting >= 0 || pic, v->nmi_pending, pic ? ABOVE_TPR : (u32)waiting >> 4);
	return true;
}

/*
 * Host TSC of the vCPU's next timer expiry.  The guest may choose any deadline:
 * one that is not due lies ahead of now, and no further than half of what a TSC
 * can count; one that is due does not.
 */
static u64 host_deadline(struct vcpu *v)
{
	u64 d = vlapic_deadline(&v->lapic), now, guest_now;

	if (likely(d == VLAPIC_NEVER))
		return JOIST_NO_DEADLINE;
	now = rdtsc();
	guest_now = now + v->tsc_offset;
	return d > guest_now ? now + MIN(d - guest_now, FAR_AHEAD) :
			       now - MIN(guest_now - d, now);
}

/*
 * joist.ko must know a deadline before the guest runs on, since its interrupt
 * is what ends guest mode; a later one than it knows does no harm.
 */
static bool deadline_changed(struct vcpu *v)
{
	u64 d = host_deadline(v);

	if (likely(d >= v->deadline_told))
		return false;
	v->deadline_told = d;
	v->forward = JOIST_EXIT_TIMER;
	return true;
}

static bool halted(struct vcpu *v)
{
	if (likely(v->activity == JOIST_VCPU_IDLE))
		return false;
	if (v->activity == JOIST_VCPU_HALTED && wakes(v)) {
		v->activity = JOIST_VCPU_IDLE;
		return false;
	}
	/* Tell first, look again second: see event.c. */
	__atomic_store_n(&v->on_cpu, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&v->sleeping, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&v->posted.what, __ATOMIC_SEQ_CST) ||
	    __atomic_load_n(&v->vm->dying, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&v->sleeping, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&v->on_cpu, current_cpu()->id + 1, __ATOMIC_SEQ_CST);
		return false;
	}
	v->forward = JOIST_EXIT_HALTED;
	return true;
}

/* False: the instruction goes on with another access, RUN ends at once. */
static bool complete_pending(struct vcpu *v)
{
	if (v->pending.kind == PENDING_IO)
		return io_complete(v) != FORWARD;
	return mmio_complete(v) != FORWARD;
}

/* Nothing has happened that attend() looks for, as mostly: at one glance. */
static inline bool quiet(const struct cpu *c, const struct vcpu *v)
{
	return !(__atomic_load_n(&v->vm->dying, __ATOMIC_RELAXED) |
		 __atomic_load_n(&v->posted.what, __ATOMIC_RELAXED) |
		 c->control->nmi_pending | c->control->mc_pending | v->dead | v->activity) &&
	       vcpu_tsc(v) < vlapic_deadline(&v->lapic);
}

/* Nothing for deliver() to do: nothing waits, and no window is open. */
static inline bool idle(const struct vcpu *v, u32 flags)
{
	return !(v->wake | flags | v->lapic.irr.sum | v->reinject.info | v->exception.info |
		 v->extint | v->nmi_pending | v->window);
}

/* Takes in what has happened.  False: RUN ends with v->forward. */
static __noinline bool attend(struct cpu *c, struct vcpu *v)
{
	vcpu_lapic_sync(v);
	do {
		if (unlikely(__atomic_load_n(&v->vm->dying, __ATOMIC_RELAXED))) {
			v->forward = JOIST_EXIT_TERM;
			return false;
		}
		event_absorb(v);
		/* An NMI or machine check of the control VM's came while this ran. */
		if (unlikely(c->control->nmi_pending | c->control->mc_pending)) {
			v->forward = JOIST_EXIT_INTR;
			return false;
		}
		if (unlikely(v->dead)) {
			v->forward = v->dead;
			return false;
		}
		vlapic_timer_check(&v->lapic, vcpu_tsc(v));
		if (halted(v))
			return false;
	} while (v->activity != JOIST_VCPU_IDLE);
	return true;
}

/* What was asked of this RUN, then what goes in. */
static __noinline bool deliver(struct vcpu *v, u32 flags)
{
	if (v->wake || (flags & JOIST_RUN_RETURN)) {
		v->forward = flags & JOIST_RUN_RETURN ? JOIST_EXIT_INTR : JOIST_EXIT_WAKE;
		return false;
	}
	return prepare_events(v, flags);
}

/*
 * Everything that must be settled before guest mode.  The core is marked as
 * in a guest already: an event posted from now on brings an NMI, which ends
 * guest mode at once.  False: RUN ends with v->forward.
 */
static inline bool prepare(struct cpu *c, struct vcpu *v, u32 flags)
{
	if (unlikely(!quiet(c, v)) && !attend(c, v))
		return false;
	if (guest_features.timer)
		backend->timer_set(v, host_deadline(v));
	else if (deadline_changed(v))
		return false;
	if (unlikely(vlapic_tpr(&v->lapic) != v->tpr)) {
		v->tpr = vlapic_tpr(&v->lapic);
		backend->tpr_set(v, v->tpr);
	}
	return likely(idle(v, flags)) || deliver(v, flags);
}

/*
 * A physical interrupt ends a turn if the CPU reports it.  It reports others
 * first: faults of an injected event's delivery, debug traps, the VMX-preemption
 * timer (SDM, "Other Causes of VM Exits"), and a guest can arrange for one at each
 * entry.  So its turn ends in any case.
 */
static bool turn_over(struct vcpu *v, u64 begin, u32 exits)
{
	if (likely(exits % TURN_LOOK) ||
	    (rdtsc() - begin < (u64)tsc_khz * TURN_MS && exits < TURN_EXITS))
		return false;
	v->forward = JOIST_EXIT_INTR;
	return true;
}

static void run_loop(struct cpu *c, struct vcpu *v, u32 flags)
{
	u64 begin = rdtsc();
	u32 tpr, exits = 0;

	do {
		while (!entry_begin(c))
			;
		if (!prepare(c, v, flags)) {
			__atomic_store_n(&c->in_guest, 0, __ATOMIC_RELEASE);
			return;
		}
		enter(c, v);
		tpr = backend->tpr_get(v);
		if (unlikely(tpr != v->tpr)) {
			v->tpr = tpr;
			/* The LAPIC may know its low bits, too. */
			if (vlapic_tpr(&v->lapic) != tpr)
				vlapic_set_tpr(&v->lapic, tpr);
		}
	} while (exit_guest(v) != FORWARD && !turn_over(v, begin, ++exits));
}

/* MSRs and registers that neither vendor switches. */
static void load_guest(struct cpu *c, struct vcpu *v)
{
	struct guest_state *host = &c->control->gs;

	xstate_switch(c->control, v);
	/* XSAVES would give a guest the control VM's shadow stack, and XRSTORS
	 * change it: not every CPU can take them from a guest. */
	if (unlikely(host->xss))
		wrmsr_try(MSR_XSS, 0);
	if (guest_features.tsc_aux) {
		host->tsc_aux = rdmsr(MSR_TSC_AUX);
		/* A core's number mostly: alike where vCPU N runs on core N. */
		if (host->tsc_aux != v->gs.tsc_aux)
			wrmsr_try(MSR_TSC_AUX, v->gs.tsc_aux);
	}
	if (v->dr_live) {
		host->dr[0] = read_dr0();
		host->dr[1] = read_dr1();
		host->dr[2] = read_dr2();
		host->dr[3] = read_dr3();
		write_dr0(v->gs.dr[0]);
		write_dr1(v->gs.dr[1]);
		write_dr2(v->gs.dr[2]);
		write_dr3(v->gs.dr[3]);
	}
	if (backend->load)
		backend->load(v);
	guard_load(c, v);
}

static void unload_guest(struct cpu *c, struct vcpu *v)
{
	const struct guest_state *host = &c->control->gs;

	guard_unload(c);
	if (backend->unload)
		backend->unload(v);
	if (v->dr_live) {
		v->gs.dr[0] = read_dr0();
		v->gs.dr[1] = read_dr1();
		v->gs.dr[2] = read_dr2();
		v->gs.dr[3] = read_dr3();
		write_dr0(host->dr[0]);
		write_dr1(host->dr[1]);
		write_dr2(host->dr[2]);
		write_dr3(host->dr[3]);
	}
	if (guest_features.tsc_aux && host->tsc_aux != v->gs.tsc_aux)
		wrmsr_try(MSR_TSC_AUX, host->tsc_aux);
	if (unlikely(host->xss))
		wrmsr_try(MSR_XSS, host->xss);
	xstate_switch(v, c->control);
}

u32 vcpu_run(struct vcpu *v)
{
	struct cpu *c = current_cpu();
	u32 flags = __atomic_load_n(&v->run->flags, __ATOMIC_RELAXED);

	v->runs++;
	v->wake = 0;
	v->forward = JOIST_EXIT_NONE;
	/* The second store orders both before the look at what was posted. */
	__atomic_store_n(&v->sleeping, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&v->on_cpu, c->id + 1, __ATOMIC_SEQ_CST);
	if (likely(v->pending.kind == PENDING_NONE) || complete_pending(v)) {
		load_guest(c, v);
		run_loop(c, v, flags);
		unload_guest(c, v);
	}
	/* Who still sees it set asks this core in vain: what was posted stays. */
	__atomic_store_n(&v->on_cpu, 0, __ATOMIC_RELEASE);
	/* What joist.ko is told now is what it knows. */
	v->deadline_told = host_deadline(v);
	v->run->exit = v->forward;
	return v->forward;
}
