/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_event.c -- events on their way into a vCPU: none is lost, whoever
 * posts them and whenever, and a sleeper is told of exactly once it sleeps.
 */
#include "tests/unit/host_vcpu.h"

#include <pthread.h>

#include "core/hc_vcpu.c"

#undef fail
#include <cmocka.h>

#define VCPUS		4

struct vm *control_vm;
static struct vm the_vm;
static struct vcpu *vcpu;

static int start(void **state)
{
	u32 i;

	host_pool(0, 16 * MiB);
	host_features();
	memset(&the_vm, 0, sizeof(the_vm));
	the_vm.owner = OWNER_GUEST;
	the_vm.vcpu_count = VCPUS;
	if (stage2_init(&the_vm.s2, backend->stage2))
		return -1;
	for (i = 0; i < VCPUS; i++) {
		struct vlapic_action a;

		if (vcpu_create(&the_vm, i, &the_vm.vcpu[i]) ||
		    vlapic_write(&the_vm.vcpu[i]->lapic, VLAPIC_SVR, false, 0x1ff, 0, &a))
			return -1;
	}
	vcpu = the_vm.vcpu[0];
	asked_exit = 0;
	return 0;
}

static bool irr(const struct vcpu *v, u32 vector)
{
	struct joist_lapic a = {};

	vlapic_export(&v->lapic, 0, &a);
	return a.regs[0x20 + vector / 32] >> vector % 32 & 1;
}

static bool tmr(const struct vcpu *v, u32 vector)
{
	struct joist_lapic a = {};

	vlapic_export(&v->lapic, 0, &a);
	return a.regs[0x18 + vector / 32] >> vector % 32 & 1;
}

static void test_each_vector_arrives(void **state)
{
	u32 i;

	for (i = 16; i < 256; i++)
		assert_false(event_post_vector(vcpu, i, i % 3 == 0));
	for (i = 16; i < 256; i++)
		assert_false(irr(vcpu, i));
	event_absorb(vcpu);
	for (i = 16; i < 256; i++) {
		assert_true(irr(vcpu, i));
		assert_int_equal(tmr(vcpu, i), i % 3 == 0);
	}
	assert_int_equal(vcpu->posted.what, 0);
	for (i = 0; i < 4; i++)
		assert_true(!vcpu->posted.irr[i] && !vcpu->posted.tmr[i]);
	/* Edge after level: the trigger mode is that of the last one. */
	event_post_vector(vcpu, 48, false);
	event_absorb(vcpu);
	assert_false(tmr(vcpu, 48));
}

/* In RUN: its core is asked.  Asleep: the caller is told.  Else: neither. */
static void test_who_is_told(void **state)
{
	assert_false(event_post(vcpu, POST_NMI));
	assert_int_equal(asked_exit, 0);
	vcpu->sleeping = 1;
	assert_true(event_post(vcpu, POST_NMI));
	assert_true(event_post_vector(vcpu, 33, false));
	assert_int_equal(asked_exit, 0);
	vcpu->on_cpu = 1;
	assert_false(event_post(vcpu, POST_NMI));
	assert_int_equal(asked_exit, 1);
	vcpu->on_cpu = vcpu->sleeping = 0;
	event_absorb(vcpu);
	assert_true(vcpu->nmi_pending);
	assert_true(irr(vcpu, 33));
}

static void send_mode(u32 mode, u32 dest, u32 vector)
{
	struct vlapic_msg m = { .mode = mode, .assert = true, .dest = dest, .vector = vector };

	event_send(&the_vm, 0, &m);
}

static void test_init_and_sipi(void **state)
{
	struct vcpu *v = the_vm.vcpu[2];
	struct joist_segment cs;

	assert_int_equal(v->activity, JOIST_VCPU_WAIT_SIPI);
	send_mode(APIC_STARTUP, 2, 0x9a);
	event_absorb(v);
	assert_int_equal(v->activity, JOIST_VCPU_IDLE);
	assert_int_equal(v->rip, 0);
	backend->seg_get(v, JOIST_CS, &cs);
	assert_int_equal(cs.selector, 0x9a00);
	assert_int_equal(cs.base, 0x9a000);
	/* A second one finds it running: dropped. */
	v->rip = 0x1234;
	send_mode(APIC_STARTUP, 2, 0x10);
	event_absorb(v);
	assert_int_equal(v->rip, 0x1234);
	/* INIT and SIPI in one look: INIT first. */
	v->gpr[JOIST_RBX] = 5;
	send_mode(APIC_INIT, 2, 0);
	send_mode(APIC_STARTUP, 2, 0x20);
	event_absorb(v);
	assert_int_equal(v->activity, JOIST_VCPU_IDLE);
	assert_int_equal(v->gpr[JOIST_RBX], 0);
	backend->seg_get(v, JOIST_CS, &cs);
	assert_int_equal(cs.base, 0x20000);
	/* The boot CPU does not wait: SDM, "MP Initialization". */
	vcpu->rip = 0x5555;
	send_mode(APIC_INIT, 0, 0);
	event_absorb(vcpu);
	assert_int_equal(vcpu->activity, JOIST_VCPU_IDLE);
	assert_int_equal(vcpu->rip, 0xfff0);
}

/* A vCPU that has not looked yet, as its thread waits for a core. */
static void test_init_ends_what_came_before(void **state)
{
	struct vcpu *v = the_vm.vcpu[2];
	struct vlapic_action a;

	send_mode(APIC_STARTUP, 2, 0x9a);
	event_absorb(v);
	send_mode(APIC_STARTUP, 2, 0x9a);
	send_mode(APIC_NMI, 2, 0);
	event_post_vector(v, 0x41, true);
	send_mode(APIC_INIT, 2, 0);
	event_absorb(v);
	assert_int_equal(v->activity, JOIST_VCPU_WAIT_SIPI);
	assert_false(v->nmi_pending);
	vlapic_write(&v->lapic, VLAPIC_SVR, false, 0x1ff, 0, &a);
	event_post_vector(v, 0x42, false);
	event_absorb(v);
	assert_false(irr(v, 0x41));
	assert_true(irr(v, 0x42));
	send_mode(APIC_STARTUP, 2, 0x9b);
	event_absorb(v);
	assert_int_equal(v->activity, JOIST_VCPU_IDLE);
}

static void test_send_reaches_its_targets(void **state)
{
	struct vlapic_msg m = { .mode = APIC_FIXED, .assert = true, .vector = 0x40 };
	u32 i;

	for (i = 0; i < VCPUS; i++)
		the_vm.vcpu[i]->sleeping = i != 1;
	m.dest = 2;
	assert_int_equal(event_send(&the_vm, ~0u, &m), 1 << 2);
	m.dest = 1;
	assert_int_equal(event_send(&the_vm, ~0u, &m), 0);
	m.dest = 7;
	assert_int_equal(event_send(&the_vm, ~0u, &m), 0);
	m.dest = 0xff;
	m.vector = 0x41;
	assert_int_equal(event_send(&the_vm, ~0u, &m), 0xd);
	for (i = 0; i < VCPUS; i++) {
		event_absorb(the_vm.vcpu[i]);
		assert_int_equal(irr(the_vm.vcpu[i], 0x40), i == 1 || i == 2);
		assert_true(irr(the_vm.vcpu[i], 0x41));
	}
}

/* SDM, "Conditions for Generating a Double Fault". */
static void test_double_faults(void **state)
{
	static const u32 contrib[] = { EXC_DE, EXC_TS, EXC_NP, EXC_SS, EXC_GP };
	static const u32 benign[] = { EXC_DB, EXC_BP, EXC_UD, EXC_NM, EXC_AC };
	u32 first, second, i, k;

	for (i = 0; i < 6; i++)
		for (k = 0; k < 6 + ARRAY_SIZE(benign); k++) {
			first = i < 5 ? contrib[i] : EXC_PF;
			second = k < 5 ? contrib[k] : k == 5 ? EXC_PF : benign[k - 6];
			vcpu->exception.info = 0;
			event_exception_error(vcpu, first, 1);
			event_exception_error(vcpu, second, 2);
			/* A page fault after a contributory one is taken as it is. */
			if (k >= 6 || (i < 5 && k == 5)) {
				assert_int_equal(vcpu->exception.info & 0xff, second);
				assert_int_equal(vcpu->exception.error, 2);
				continue;
			}
			assert_int_equal(vcpu->exception.info, EXC_DF | JOIST_EVENT_ERROR |
					 JOIST_EVENT_TYPE(3) | JOIST_EVENT_VALID);
			assert_int_equal(vcpu->exception.error, 0);
			assert_int_equal(vcpu->dead, 0);
			vcpu->rip = 0x1234 + k;
			event_exception(vcpu, EXC_GP);
			assert_int_equal(vcpu->dead, JOIST_EXIT_SHUTDOWN);
			assert_int_equal(vcpu->run->rip, vcpu->rip);
			assert_int_equal(vcpu->run->shutdown.exact, 1);
			vcpu->dead = 0;
		}
	for (i = 0; i < ARRAY_SIZE(benign); i++) {
		vcpu->exception.info = 0;
		event_exception(vcpu, benign[i]);
		event_exception_error(vcpu, EXC_GP, 3);
		assert_int_equal(vcpu->exception.info & 0xff, EXC_GP);
	}
}

#define EXC(vector)	(JOIST_EVENT_VALID | JOIST_EVENT_TYPE(3) | (vector))

/* A #AC met in the delivery of something: what it was is not lost, and not first. */
static void test_displaced(void **state)
{
	vcpu->reinject.info = EXC(EXC_UD);
	event_displace(vcpu);
	assert_int_equal(vcpu->reinject.info | vcpu->extint, 0);
	vcpu->reinject.info = JOIST_EVENT_VALID | JOIST_EVENT_TYPE(2) | EXC_NMI;
	event_displace(vcpu);
	assert_int_equal(vcpu->reinject.info, 0);
	assert_true(vcpu->nmi_pending);
	vcpu->reinject.info = JOIST_EVENT_VALID | 0x41;
	event_displace(vcpu);
	assert_int_equal(vcpu->reinject.info, 0);
	assert_int_equal(vcpu->extint, JOIST_EVENT_VALID | 0x41);
	/* One place: it stays where it is. */
	vcpu->reinject.info = JOIST_EVENT_VALID | 0x42;
	event_displace(vcpu);
	assert_int_equal(vcpu->reinject.info, JOIST_EVENT_VALID | 0x42);
}

/* SDM, "RF". */
static void test_resume_flag(void **state)
{
	u32 vector;

	for (vector = 0; vector < 32; vector++) {
		bool fault = vector != EXC_DB && vector != EXC_BP && vector != EXC_OF &&
			     vector != EXC_DF && vector != EXC_MC && vector != EXC_NMI;

		vcpu->rflags = RFLAGS_ONE;
		vcpu->exception.info = vector == EXC_NMI ? 0 : EXC(vector);
		vcpu->nmi_pending = vector == EXC_NMI;
		assert_true(prepare_events(vcpu, 0));
		assert_int_equal(vcpu->svm.vmcb->event_inj & 0xff, vector);
		assert_int_equal(!!(vcpu->rflags & RFLAGS_RF), fault);
	}
	vcpu->rflags = RFLAGS_ONE | RFLAGS_IF;
	vcpu->reinject.info = JOIST_EVENT_VALID | 0x41;
	assert_true(prepare_events(vcpu, 0));
	assert_false(vcpu->rflags & RFLAGS_RF);
}

/* The guest chooses its deadline and, nearly, its TSC. */
static void test_host_deadline(void **state)
{
	static const u64 points[] = {
		0, 1, 1000, BIT(32), BIT(62), BIT(63) - 1, BIT(63), BIT(63) + 1, ~0ull - 1,
	};
	u32 i, k;

	for (i = 0; i < ARRAY_SIZE(points); i++)
		for (k = 0; k < ARRAY_SIZE(points); k++) {
			u64 now = rdtsc(), d;
			bool due;

			vcpu->tsc_offset = points[i] - now;
			vcpu->lapic.timer_next = points[k];
			due = vcpu_tsc(vcpu) >= points[k];
			d = host_deadline(vcpu);
			/* As joist.ko compares, too. */
			assert_int_equal((s64)(d - now) <= 0, due && d <= now);
			if (!due)
				assert_true(d > now);
			if (due)
				assert_true(d <= rdtsc());
		}
	vcpu->lapic.timer_next = VLAPIC_NEVER;
	assert_int_equal(host_deadline(vcpu), JOIST_NO_DEADLINE);
}

static void test_turn(void **state)
{
	u64 now = rdtsc();
	u32 i;

	for (i = 1; i < TURN_EXITS; i++)
		assert_false(turn_over(vcpu, rdtsc(), i));
	assert_true(turn_over(vcpu, rdtsc(), i));
	assert_int_equal(vcpu->forward, JOIST_EXIT_INTR);
	now -= (u64)tsc_khz * TURN_MS;
	assert_false(turn_over(vcpu, now, TURN_LOOK - 1));
	assert_true(turn_over(vcpu, now, TURN_LOOK));
}

static u32 windows;

static void count_window(struct vcpu *v, bool intr, bool nmi, u32 priority)
{
	windows += nmi;
}

/* The control VM's NMI and machine check wait for what goes in first, and go in as
 * soon as that is delivered. */
static void test_control_delivers(void **state)
{
	struct backend counting = svm_backend;
	const struct backend *was = backend;

	counting.want_window = count_window;
	backend = &counting;
	windows = 0;
	vcpu->control = true;
	backend->reg_set(vcpu, VREG_CR4, CR4_MCE);
	vcpu->nmi_pending = vcpu->mc_pending = true;
	vcpu->reinject.info = JOIST_EVENT_VALID | 0x41;
	control_deliver(vcpu);
	assert_int_equal(vcpu->svm.vmcb->event_inj & 0xff, 0x41);
	assert_int_equal(windows, 1);
	control_deliver(vcpu);
	assert_int_equal(vcpu->svm.vmcb->event_inj & 0xffffffff, EXC(EXC_MC));
	assert_false(vcpu->mc_pending);
	assert_int_equal(windows, 2);
	control_deliver(vcpu);
	assert_int_equal(vcpu->svm.vmcb->event_inj & 0xff, EXC_NMI);
	assert_int_equal(windows, 2);
	backend = was;
}

static int intr(u32 type, u32 vector, u32 flags, u32 error, u64 *wake)
{
	struct hc_context c = { .vm = &the_vm, .vcpu = vcpu };
	struct joist_intr a = { .type = type, .vector = vector, .flags = flags, .error = error,
				.wake = ~0ull };
	int err = hc_intr(&c, &a);

	*wake = a.wake;
	return err;
}

static void test_hc_intr(void **state)
{
	u64 wake;
	u32 v;

	vcpu->sleeping = 1;
	for (v = 0; v < 300; v++) {
		bool ok = v >= 16 && v < 256;

		assert_int_equal(intr(JOIST_INTR_FIXED, v, 0, 0, &wake), ok ? 0 : -EINVAL);
		assert_int_equal(wake, ok);
		assert_int_equal(intr(JOIST_INTR_LEVEL, v, 0, 0, &wake), ok ? 0 : -EINVAL);
	}
	assert_int_equal(intr(JOIST_INTR_NMI, 0, 0, 0, &wake), 0);
	assert_int_equal(wake, 1);
	assert_int_equal(intr(JOIST_INTR_TYPES, 32, 0, 0, &wake), -EINVAL);
	assert_int_equal(intr(~0u, 32, 0, 0, &wake), -EINVAL);
	assert_int_equal(intr(JOIST_INTR_FIXED, 32, 1, 0, &wake), -EINVAL);
	assert_int_equal(intr(JOIST_INTR_FIXED, 32, 0, 1, &wake), -EINVAL);
	assert_int_equal(intr(JOIST_INTR_EXCEPTION, 13, 2, 0, &wake), -EINVAL);
	for (v = 0; v < 300; v++) {
		bool error = v == 8 || (v >= 10 && v <= 14) || v == 17;
		bool plain = error || v < 2 || (v >= 3 && v <= 7) || v == 16 || v == 18 || v == 19;

		vcpu->exception.info = 0;
		assert_int_equal(intr(JOIST_INTR_EXCEPTION, v, 0, 0, &wake), plain ? 0 : -EINVAL);
		/* One at a time. */
		if (plain)
			assert_int_equal(intr(JOIST_INTR_EXCEPTION, v, 0, 0, &wake), -EBUSY);
		vcpu->exception.info = 0;
		assert_int_equal(intr(JOIST_INTR_EXCEPTION, v, JOIST_INTR_ERROR, 0x10000, &wake),
				 -EINVAL);
		assert_int_equal(intr(JOIST_INTR_EXCEPTION, v, JOIST_INTR_ERROR, 0xffff, &wake),
				 error ? 0 : -EINVAL);
	}
	vcpu->exception.info = 0;
	/* Not while it runs. */
	vcpu->busy = 1;
	assert_int_equal(intr(JOIST_INTR_EXCEPTION, 6, 0, 0, &wake), -EBUSY);
	vcpu->busy = 0;
	/* The 8259's vector only when it was asked for. */
	assert_int_equal(intr(JOIST_INTR_EXTINT, 8, 0, 0, &wake), -EBUSY);
	vcpu->forward = JOIST_EXIT_EXTINT;
	assert_int_equal(intr(JOIST_INTR_EXTINT, 256, 0, 0, &wake), -EINVAL);
	assert_int_equal(intr(JOIST_INTR_EXTINT, 8, 0, 0, &wake), 0);
	assert_int_equal(vcpu->extint, JOIST_EVENT_VALID | 8);
	assert_int_equal(intr(JOIST_INTR_EXTINT, 8, 0, 0, &wake), -EBUSY);
	assert_int_equal(intr(JOIST_INTR_EXCEPTION, 6, 0, 0, &wake), -EBUSY);
	assert_int_equal(vcpu->busy, 0);
}

/* What the next entry offers the CPU; -1: nothing. */
static int offered(void)
{
	u64 ctl;

	assert_true(prepare_events(vcpu, 0));
	assert_int_equal(vcpu->svm.vmcb->event_inj & JOIST_EVENT_VALID, 0);
	ctl = vcpu->svm.vmcb->int_ctl;
	return ctl & VINTR_IRQ ? (int)field_get(VINTR_VECTOR, ctl) : -1;
}

/* A CPU that keeps an interrupt gets the one that is next, until it took it. */
static void test_offer(void **state)
{
	struct vlapic_action a;

	guest_features.offer = true;
	assert_int_equal(offered(), -1);
	vlapic_accept(&vcpu->lapic, 0x40, false);
	assert_int_equal(offered(), 0x40);
	assert_true(irr(vcpu, 0x40));
	vlapic_accept(&vcpu->lapic, 0x80, false);
	assert_int_equal(offered(), 0x80);
	/* The 8259's goes before the LAPIC's. */
	vcpu->extint = JOIST_EVENT_VALID | 8;
	assert_int_equal(offered(), 8);
	vcpu_intr_taken(vcpu);
	assert_int_equal(vcpu->extint, 0);
	assert_int_equal(offered(), 0x80);
	vcpu_intr_taken(vcpu);
	assert_false(irr(vcpu, 0x80));
	/* The lower one waits for the end of the higher, or of TPR's veto. */
	assert_int_equal(offered(), -1);
	assert_int_equal(vlapic_write(&vcpu->lapic, VLAPIC_EOI, false, 0, 0, &a), 0);
	assert_int_equal(offered(), 0x40);
	assert_true(vcpu->svm.vmcb->intercept_cr_write & BIT(8));
	vlapic_set_tpr(&vcpu->lapic, 4);
	backend->tpr_set(vcpu, 4);
	assert_int_equal(offered(), -1);
	assert_true(vcpu->svm.vmcb->intercept_cr_write & BIT(8));
	vlapic_set_tpr(&vcpu->lapic, 3);
	backend->tpr_set(vcpu, 3);
	assert_int_equal(offered(), 0x40);
	vcpu_intr_taken(vcpu);
	assert_int_equal(offered(), -1);
	assert_false(vcpu->svm.vmcb->intercept_cr_write & BIT(8));
}

static void test_intr_msi(void **state)
{
	struct hc_context c = { .vm = &the_vm, .vcpu = vcpu };
	struct joist_intr a = { .type = JOIST_INTR_MSI, .msi_address = 0xfee03000,
				.msi_data = 0x55 };

	the_vm.vcpu[3]->sleeping = 1;
	assert_int_equal(hc_intr(&c, &a), 0);
	assert_int_equal(a.wake, 1 << 3);
	event_absorb(the_vm.vcpu[3]);
	assert_true(irr(the_vm.vcpu[3], 0x55));
	assert_false(tmr(the_vm.vcpu[3], 0x55));
	a = (struct joist_intr){ .type = JOIST_INTR_MSI, .msi_address = 0xfed03000,
				 .msi_data = 0x55 };
	assert_int_equal(hc_intr(&c, &a), -EINVAL);
	a = (struct joist_intr){ .type = JOIST_INTR_FIXED, .vector = 0x30, .msi_data = 1 };
	assert_int_equal(hc_intr(&c, &a), -EINVAL);
}

static int param(hc_handler f, u32 which, u64 *val)
{
	struct hc_context c = { .vm = &the_vm, .vcpu = vcpu };
	struct joist_vmparam_args a = { .param = which, .value = *val };
	int err = f(&c, &a);

	*val = a.value;
	return err;
}

static void test_vmparams(void **state)
{
	static const struct { u32 which; u64 val; int err; } writes[] = {
		{ JOIST_PARAM_PVCLOCK_VERSION, 2, -EPERM },
		{ JOIST_PARAM_TSC_KHZ, 2000000, -EPERM },
		{ JOIST_PARAM_PVCLOCK_GPA, 0x1001, 0 },
		{ JOIST_PARAM_PVCLOCK_GPA, 0, 0 },
		{ JOIST_PARAM_PVCLOCK_GPA, 0x1003, -EINVAL },
		{ JOIST_PARAM_PVCLOCK_GPA, BIT(40) | 1, -EINVAL },
		{ JOIST_PARAM_PVCLOCK_GPA, ~0ull, -EINVAL },
		{ JOIST_PARAM_WALL_CLOCK, ~0ull, 0 },
		{ JOIST_PARAM_WALL_CLOCK_GPA, 0x2000, 0 },
		{ JOIST_PARAM_WALL_CLOCK_GPA, 0x2001, -EINVAL },
		{ JOIST_PARAM_WALL_CLOCK_GPA, BIT(40), -EINVAL },
		{ JOIST_PARAM_TSC_OFFSET, 0x123456789, 0 },
		{ JOIST_PARAMS, 0, -EINVAL },
		{ ~0u, 0, -EINVAL },
	};
	unsigned i;
	u64 val;

	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		u64 before = 0, after = 0;

		param(hc_readvmparams, writes[i].which, &before);
		val = writes[i].val;
		assert_int_equal(param(hc_writevmparams, writes[i].which, &val), writes[i].err);
		param(hc_readvmparams, writes[i].which, &after);
		assert_int_equal(after, writes[i].err ? before : writes[i].val);
	}
	val = 0;
	assert_int_equal(param(hc_readvmparams, JOIST_PARAMS, &val), -EINVAL);
	assert_int_equal(param(hc_readvmparams, JOIST_PARAM_TSC_KHZ, &val), 0);
	assert_int_equal(val, tsc_khz);
}

/* Posters on other cores against the owner, for real. */
#define ROUNDS		100000

static void *post_many(void *arg)
{
	u32 vector = (u32)(u64)arg, i;

	for (i = 0; i < ROUNDS; i++) {
		event_post_vector(vcpu, vector, vector & 1);
		/* The owner's answer: without it the next would merge. */
		while (__atomic_load_n(&vcpu->gpr[vector - 32], __ATOMIC_ACQUIRE) == i)
			sched_yield();
	}
	return NULL;
}

static void test_no_post_is_lost(void **state)
{
	pthread_t t[2];
	u32 i, total = 0;

	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, post_many, (void *)(u64)(32 + i)), 0);
	while (total < 2 * ROUNDS) {
		int vector;

		event_absorb(vcpu);
		vector = vlapic_ack(&vcpu->lapic);
		if (vector < 0) {
			sched_yield();
			continue;
		}
		assert_in_range(vector, 32, 33);
		/* Level-triggered is what was posted so. */
		assert_int_equal(vlapic_eoi(&vcpu->lapic), vector & 1 ? vector : -1);
		total++;
		__atomic_fetch_add(&vcpu->gpr[vector - 32], 1, __ATOMIC_RELEASE);
	}
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(vcpu->gpr[i], ROUNDS);
	}
	assert_int_equal(vcpu->posted.irr[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_each_vector_arrives, start),
		cmocka_unit_test_setup(test_who_is_told, start),
		cmocka_unit_test_setup(test_init_and_sipi, start),
		cmocka_unit_test_setup(test_init_ends_what_came_before, start),
		cmocka_unit_test_setup(test_send_reaches_its_targets, start),
		cmocka_unit_test_setup(test_double_faults, start),
		cmocka_unit_test_setup(test_displaced, start),
		cmocka_unit_test_setup(test_resume_flag, start),
		cmocka_unit_test_setup(test_host_deadline, start),
		cmocka_unit_test_setup(test_turn, start),
		cmocka_unit_test_setup(test_control_delivers, start),
		cmocka_unit_test_setup(test_hc_intr, start),
		cmocka_unit_test_setup(test_offer, start),
		cmocka_unit_test_setup(test_intr_msi, start),
		cmocka_unit_test_setup(test_vmparams, start),
		cmocka_unit_test_setup(test_no_post_is_lost, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
