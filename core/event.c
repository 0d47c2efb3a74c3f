/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event.c -- interrupts and other events on their way into a vCPU.
 *
 * Any core may post to any vCPU; only the vCPU's owner touches its LAPIC.  A
 * post sets bits first and looks second: if the vCPU is in RUN its core is
 * asked to exit, if its thread sleeps the caller learns that it must be woken.
 * The owner clears `sleeping`, or sets it, before it looks at the bits, so one
 * of the two always sees the other.
 */
#include "arch/x86/regs.h"
#include "core/log.h"
#include "core/vm.h"

#define TYPE_INTR	0
#define TYPE_NMI	2
#define TYPE_EXCEPTION	3

static bool notify(struct vcpu *v)
{
	u32 cpu = __atomic_load_n(&v->on_cpu, __ATOMIC_SEQ_CST);

	if (cpu) {
		smp_ask(cpus[cpu - 1], REQ_EXIT);
		return false;
	}
	return __atomic_load_n(&v->sleeping, __ATOMIC_SEQ_CST);
}

bool event_post(struct vcpu *v, u32 what)
{
	__atomic_fetch_or(&v->posted.what, what, __ATOMIC_SEQ_CST);
	return notify(v);
}

bool event_post_vector(struct vcpu *v, u32 vector, bool level)
{
	u64 bit = BIT(vector & 63);

	if (level)
		__atomic_fetch_or(&v->posted.tmr[vector >> 6], bit, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&v->posted.irr[vector >> 6], bit, __ATOMIC_SEQ_CST);
	return event_post(v, POST_VECTOR);
}

static const struct vlapic *lapic_of(void *ctx, unsigned i)
{
	struct vm *vm = ctx;

	return &vm->vcpu[index_mask(i, vm->vcpu_count)]->lapic;
}

/* INIT clears what came before it, a SIPI that found the vCPU running too. */
static bool post_init(struct vcpu *v)
{
	u32 i;

	__atomic_store_n(&v->posted.what, POST_INIT, __ATOMIC_SEQ_CST);
	for (i = 0; i < 4; i++) {
		__atomic_store_n(&v->posted.irr[i], 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&v->posted.tmr[i], 0, __ATOMIC_SEQ_CST);
	}
	return notify(v);
}

static bool send_one(struct vcpu *v, const struct vlapic_msg *m)
{
	switch (m->mode) {
	case APIC_FIXED:
	case APIC_LOWEST:
		return event_post_vector(v, m->vector, m->level);
	case APIC_NMI:
		return event_post(v, POST_NMI);
	case APIC_INIT:
		return post_init(v);
	case APIC_STARTUP:
		__atomic_store_n(&v->posted.sipi_vector, m->vector, __ATOMIC_SEQ_CST);
		return event_post(v, POST_SIPI);
	default:
		return false;
	}
}

u64 event_send(struct vm *vm, u32 self, const struct vlapic_msg *m)
{
	u64 targets = vlapic_targets(m, self, vm->vcpu_count, lapic_of, vm), wake = 0;

	while (targets) {
		u32 i = (u32)__builtin_ctzll(targets);

		targets &= targets - 1;
		if (send_one(vm->vcpu[index_mask(i, vm->vcpu_count)], m))
			wake |= BIT(i);
	}
	return wake;
}

static void absorb_vectors(struct vcpu *v)
{
	u32 i;

	for (i = 0; i < 4; i++) {
		u64 irr, tmr;

		if (!__atomic_load_n(&v->posted.irr[i], __ATOMIC_RELAXED))
			continue;
		irr = __atomic_exchange_n(&v->posted.irr[i], 0, __ATOMIC_SEQ_CST);
		tmr = __atomic_fetch_and(&v->posted.tmr[i], ~irr, __ATOMIC_SEQ_CST);
		while (irr) {
			u32 bit = (u32)__builtin_ctzll(irr);

			irr &= irr - 1;
			vlapic_accept(&v->lapic, i * 64 + bit, tmr & BIT(bit));
		}
	}
}

/* SDM, "MP Initialization": INIT waits, the first SIPI after it starts. */
static void absorb_sipi(struct vcpu *v)
{
	u32 vector = __atomic_load_n(&v->posted.sipi_vector, __ATOMIC_SEQ_CST) & 0xff;
	struct joist_segment cs;

	if (v->activity != JOIST_VCPU_WAIT_SIPI)
		return;
	v->exits[JOIST_STAT_SIPI]++;
	backend->seg_get(v, JOIST_CS, &cs);
	cs.selector = (u16)(vector << 8);
	cs.base = (u64)vector << 12;
	backend->seg_set(v, JOIST_CS, &cs);
	v->rip = 0;
	v->activity = JOIST_VCPU_IDLE;
}

void event_absorb(struct vcpu *v)
{
	u32 what;

	if (likely(!__atomic_load_n(&v->posted.what, __ATOMIC_RELAXED)))
		return;
	what = __atomic_exchange_n(&v->posted.what, 0, __ATOMIC_SEQ_CST);
	if (what & POST_INIT) {
		v->exits[JOIST_STAT_INIT]++;
		vcpu_init_signal(v);
	}
	if (what & POST_SIPI)
		absorb_sipi(v);
	if (what & POST_NMI)
		v->nmi_pending = true;
	if (what & POST_VECTOR)
		absorb_vectors(v);
}

/* SDM, "Conditions for Generating a Double Fault". */
static bool contributory(u32 vector)
{
	return vector == EXC_DE || (vector >= EXC_TS && vector <= EXC_GP);
}

static void queue(struct vcpu *v, u32 vector, u32 info, u32 error)
{
	u32 old = v->exception.info;

	if (old & JOIST_EVENT_VALID) {
		u32 first = old & JOIST_EVENT_VECTOR;

		if (first == EXC_DF) {
			/* A fault while delivering #DF: shutdown. */
			vcpu_shutdown(v, true, 0);
			return;
		}
		if ((contributory(first) && contributory(vector)) ||
		    (first == EXC_PF && (contributory(vector) || vector == EXC_PF))) {
			info = EXC_DF | JOIST_EVENT_ERROR;
			error = 0;
		}
	}
	v->exception.info = info | JOIST_EVENT_TYPE(TYPE_EXCEPTION) | JOIST_EVENT_VALID;
	v->exception.error = error;
}

static u32 event_type(u32 info)
{
	return (u32)field_get(BITS(10, 8), info);
}

/* An external interrupt waits for IF, anything else goes in at once. */
void event_place(struct vcpu *v, struct event ev)
{
	v->reinject.info = v->exception.info = v->extint = 0;
	if (event_type(ev.info) == TYPE_INTR)
		v->extint = ev.info;
	else
		v->exception = ev;
}

/* One whose delivery had begun, too, when its IF is taken away from outside. */
void event_hold_back(struct vcpu *v)
{
	if (!v->reinject.info || event_type(v->reinject.info) != TYPE_INTR)
		return;
	v->extint = v->reinject.info;
	v->reinject.info = 0;
}

/*
 * SDM, "Conditions for Generating a Double Fault": two of which one is benign are
 * handled one after the other.  An exception comes again by itself, when the
 * instruction that raised it is executed again; an interrupt or NMI would be lost.
 */
void event_displace(struct vcpu *v)
{
	u32 info = v->reinject.info, type = event_type(info);

	if (!info || (type == TYPE_INTR && v->extint))
		return;
	v->reinject.info = 0;
	if (type == TYPE_INTR)
		v->extint = info;
	else if (type == TYPE_NMI)
		v->nmi_pending = true;
}

/*
 * What the CPU saves with RF set, so that a breakpoint at the instruction does
 * not hit again (SDM, "Instruction-Breakpoint Exception Condition"): faults.  Not
 * traps and aborts; a #DB says itself what it is.
 */
bool event_is_fault(struct event ev)
{
	const u32 others = BIT(EXC_DB) | BIT(EXC_BP) | BIT(EXC_OF) | BIT(EXC_DF) | BIT(EXC_MC);

	return event_type(ev.info) == TYPE_EXCEPTION &&
	       !(others >> (ev.info & 31) & 1);
}

void event_exception(struct vcpu *v, u32 vector)
{
	queue(v, vector, vector, 0);
}

void event_exception_error(struct vcpu *v, u32 vector, u32 error)
{
	queue(v, vector, vector | JOIST_EVENT_ERROR, error);
}
