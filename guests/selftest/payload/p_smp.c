/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * p_smp.c -- payloads: several vCPUs that send each other interrupts.
 *
 * arg[0]: x2APIC; arg[1]: how many vCPUs; arg[2]: events for each; arg[3]:
 * seed.  vCPU 0 starts the others by INIT and SIPI.
 */
#include "guests/selftest/payload/lib.h"

extern const u8 sipi_code[], sipi_code_end[];

#define RUNNING		0		/* flag[]: vCPUs that have come up */
#define FINISHED	1
#define GO		2
#define READY		3

static u32 count;
static bool x2;

static u64 flag_add(u32 i, u64 n)
{
	return __atomic_add_fetch(&SHARE->flag[i], n, __ATOMIC_SEQ_CST);
}

static void flag_wait(u32 i, u64 val)
{
	while (SHARE->flag[i] < val)
		irq_window();
}

/* Everyone has its interrupts taken while it waits. */
static void delay(u64 ticks)
{
	u64 start = rdtsc();

	while (rdtsc() - start < ticks)
		irq_window();
}

static void start_others(void (*fn)(void))
{
	u32 i;

	x2 = SHARE->arg[0];
	count = (u32)SHARE->arg[1];
	ap_fn = fn;
	memcpy((void *)GUEST_SIPI, sipi_code,
	       (u64)(sipi_code_end - sipi_code));
	apic_on(x2);
	flag_add(RUNNING, 1);
	for (i = 1; i < count; i++) {
		apic_ipi_low(i, 5 << 8 | 1 << 14);	/* INIT */
		apic_ipi_low(i, 6 << 8 | 1 << 14 | GUEST_SIPI >> 12);
		/* The second one must not start it again. */
		apic_ipi_low(i, 6 << 8 | 1 << 14 | GUEST_SIPI >> 12);
		flag_wait(RUNNING, i + 1);
	}
	delay(100000);
	CHECK_EQ(SHARE->flag[RUNNING], count, "vCPUs that have come up");
}

static void smp_up(void)
{
	u32 id;

	apic_on(x2);
	id = (u32)apic_read(0x20) >> (x2 ? 0 : 24);
	CHECK_EQ(id, self()->index, "APIC id");
	CHECK_EQ(rdmsr(MSR_APIC_BASE) & BIT(8), 0, "BSP flag");
	flag_add(RUNNING, 1);
}

static void start_ap(void)
{
	smp_up();
	flag_wait(GO, 1);
	flag_add(FINISHED, 1);
}

PAYLOAD(smp_start)
{
	start_others(start_ap);
	flag_add(GO, 1);
	flag_wait(FINISHED, count - 1);
}

/* A token that goes round by IPI, everyone in HLT but one. */
static void ring(void)
{
	struct gcpu *c = self();
	u32 next = (c->index + 1) % count, i;

	for (i = 0; i < SHARE->arg[2]; i++) {
		if (c->index || i) {
			while (c->irqs[0x50] < i + !!c->index)
				sti_hlt();
			CHECK_EQ(c->irqs[0x50], i + !!c->index,
				 "tokens that came");
		}
		apic_ipi_low(next, 0x50);
	}
}

static void ring_ap(void)
{
	smp_up();
	flag_wait(GO, 1);
	ring();
	flag_add(FINISHED, 1);
}

PAYLOAD(smp_ring)
{
	u64 last = SHARE->arg[2];

	start_others(ring_ap);
	flag_add(GO, 1);
	ring();
	while (self()->irqs[0x50] < last)
		sti_hlt();
	flag_wait(FINISHED, count - 1);
	CHECK_EQ(self()->irqs[0x50], last, "tokens that came back");
}

/* Shorthands, logical destinations, lowest priority. */
static void dest_ap(void)
{
	smp_up();
	if (!x2)
		apic_write(0xd0, 1u << (24 + self()->index));
	flag_add(READY, 1);
	while (!SHARE->flag[GO])
		irq_window();
	flag_add(FINISHED, 1);
}

static u32 sum(u32 vec)
{
	u32 i, n = 0;

	for (i = 0; i < count; i++)
		n += gcpus[i].irqs[vec];
	return n;
}

static void want_sum(u32 vec, u32 want, const char *what)
{
	u64 start = rdtsc();

	while (sum(vec) < want && rdtsc() - start < SHARE->arg[4])
		irq_window();
	delay(100000);
	CHECK(sum(vec) == want, "delivered to as many as it should be");
	(void)what;
}

PAYLOAD(smp_dest)
{
	u32 i, all, logical = 0;

	start_others(dest_ap);
	if (!x2)
		apic_write(0xd0, 1u << 24);
	flag_wait(READY, count - 1);
	all = x2 ? 0xffffffff : 0xff;
	apic_ipi_low(0, 3 << 18 | 0x50);
	want_sum(0x50, count - 1, "all but self");
	CHECK_EQ(gcpus[0].irqs[0x50], 0, "all but self came to self");
	apic_ipi_low(0, 2 << 18 | 0x51);
	want_sum(0x51, count, "all");
	apic_ipi_low(all, 0x52);
	want_sum(0x52, count, "physical broadcast");
	for (i = 0; i < count; i++)
		logical |= x2 ? 1u << i : 1u << i;
	apic_ipi_low(logical, 1 << 11 | 0x53);
	want_sum(0x53, count, "logical, all");
	apic_ipi_low(2, 1 << 11 | 0x54);
	want_sum(0x54, 1, "logical, one");
	CHECK_EQ(gcpus[1].irqs[0x54], 1, "logical, vCPU 1");
	apic_ipi_low(logical, 1 << 11 | 1 << 8 | 0x55);
	want_sum(0x55, 1, "lowest priority");
	apic_ipi_low(logical & ~1u, 1 << 11 | 1 << 8 | 0x56);
	want_sum(0x56, 1, "lowest priority, not us");
	CHECK_EQ(gcpus[0].irqs[0x56], 0, "lowest priority came to us");
	apic_ipi_low(count, 0x57);
	want_sum(0x57, 0, "nobody");
	apic_ipi_low(0, 3 << 18 | 4 << 8 | 1 << 14);
	want_sum(X_NMI, count - 1, "NMI, all but self");
	flag_add(GO, 1);
	flag_wait(FINISHED, count - 1);
}

/*
 * Everybody sends everybody, at random: fixed interrupts, NMIs, and each its
 * own timer.  A sender has a vector of its own at each target and waits until
 * the one before has been counted; NMIs have no sender, so a lock for each
 * target makes them single.  So every event must be counted exactly once.
 */
#define VEC_FROM(v)	(0x50 + (v))
#define VEC_TIMER	0x70
#define NMI_LOCK(v)	(16 + (v))

static u64 draw(u64 *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1dull;
}

static void until(volatile u32 *p, u32 val, bool hlt, const char *what)
{
	u64 start = rdtsc();

	while (*p < val) {
		if (hlt && p == &self()->irqs[VEC_TIMER])
			sti_hlt();
		else
			irq_window();
		if (rdtsc() - start > SHARE->arg[4])
			failed(what, *p, val);
	}
	if (*p != val)
		failed(what, *p, val);
}

static void random_events(void)
{
	struct gcpu *c = self();
	u64 s = SHARE->arg[3] + c->index * 0x9e3779b97f4a7c15ull + 1, r;
	u32 sent[GUEST_VCPUS] = { 0 }, timers = 0, i, to, nmi;
	volatile u64 *lock;

	apic_write(0x320, VEC_TIMER | BIT(18));	/* TSC-deadline */
	for (i = 0; i < SHARE->arg[2]; i++) {
		r = draw(&s);
		to = (u32)(r >> 8) % count;
		switch (r & 7) {
		default:
			if (to == c->index)
				to = (to + 1) % count;
			until(&gcpus[to].irqs[VEC_FROM(c->index)], sent[to],
			      false, "IPIs that arrived, sent");
			sent[to]++;
			apic_ipi_low(to, VEC_FROM(c->index));
			break;
		case 1:
			lock = &SHARE->flag[NMI_LOCK(to)];
			while (__atomic_exchange_n(lock, 1, __ATOMIC_SEQ_CST))
				irq_window();
			nmi = gcpus[to].irqs[X_NMI];
			apic_ipi_low(to, 4 << 8 | 1 << 14);
			until(&gcpus[to].irqs[X_NMI], nmi + 1, false,
			      "NMIs that arrived, sent");
			flag_add(32 + to, 1);
			__atomic_store_n(lock, 0, __ATOMIC_SEQ_CST);
			break;
		case 2:
		case 3:
			until(&c->irqs[VEC_TIMER], timers, r & 0x100,
			      "timer interrupts that arrived, armed");
			timers++;
			wrmsr(MSR_TSC_DEADLINE, rdtsc() + (r >> 40) %
			      SHARE->arg[5]);
			break;
		case 4:
			until(&c->irqs[VEC_TIMER], timers, true,
			      "timer interrupts that arrived, armed");
			break;
		}
		if (r & 0x1000)
			irq_window();
	}
	until(&c->irqs[VEC_TIMER], timers, true, "timer interrupts at the end");
	for (to = 0; to < count; to++)
		until(&gcpus[to].irqs[VEC_FROM(c->index)], sent[to], false,
		      "IPIs at the end");
	__atomic_add_fetch(&SHARE->val[0], timers, __ATOMIC_SEQ_CST);
	for (to = 0; to < count; to++)
		__atomic_add_fetch(&SHARE->val[1], sent[to], __ATOMIC_SEQ_CST);
}

static void random_ap(void)
{
	smp_up();
	flag_wait(GO, 1);
	random_events();
	flag_add(FINISHED, 1);
	/* Interrupts from those still at work must find us. */
	flag_wait(FINISHED, count);
}

PAYLOAD(smp_random)
{
	u32 i, j;
	u64 nmis = 0, ipis = 0, timers = 0;

	start_others(random_ap);
	flag_add(GO, 1);
	random_events();
	flag_add(FINISHED, 1);
	flag_wait(FINISHED, count);
	delay(1000000);
	for (i = 0; i < count; i++) {
		timers += gcpus[i].irqs[VEC_TIMER];
		nmis += gcpus[i].irqs[X_NMI];
		CHECK_EQ(gcpus[i].irqs[X_NMI], SHARE->flag[32 + i], "NMIs");
		for (j = 0; j < count; j++)
			ipis += gcpus[i].irqs[VEC_FROM(j)];
		for (j = 0x20; j < 256; j++)
			if (j != VEC_TIMER && (j < VEC_FROM(0) ||
					       j >= VEC_FROM(count)) &&
			    gcpus[i].irqs[j])
				failed("an interrupt nobody sent", i, j);
	}
	CHECK_EQ(timers, SHARE->val[0], "timer interrupts in all");
	CHECK_EQ(ipis, SHARE->val[1], "IPIs in all");
	SHARE->val[2] = nmis;
}

/* At once: one that comes before HLT does not end that. */
static bool count_nmi(struct frame *f)
{
	if (f->vector == X_NMI)
		SHARE->val[1]++;
	return false;
}

/* Counts what comes in, for a self-test that injects from another core. */
PAYLOAD(smp_count)
{
	struct gcpu *c = self();

	apic_on(SHARE->arg[0]);
	trap_hook = count_nmi;
	sync(1);
	while (!SHARE->flag[GO]) {
		if (SHARE->arg[1])
			sti_hlt();
		else
			irq_window();
		SHARE->val[0] = c->irqs[0x50];
	}
	trap_hook = NULL;
}

/*
 * kvmclock on all vCPUs: who holds the lock must not read less than whoever
 * held it before.
 */
struct pvclock {
	volatile u32 version;
	u32 pad;
	u64 tsc_timestamp;
	u64 system_time;
	u32 mul;
	signed char shift;
	u8 flags;
	u8 pad2[2];
} __packed;

#define CLOCK_LOCK	4
#define CLOCK_LAST	5

static u64 clock_ns(const struct pvclock *p)
{
	u64 delta, ns;
	u32 version;

	do {
		version = p->version;
		asm volatile("lfence" : : : "memory");
		delta = rdtsc() - p->tsc_timestamp;
		delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
		ns = p->system_time +
		     (u64)(((unsigned __int128)delta * p->mul) >> 32);
	} while ((version & 1) || p->version != version);
	return ns;
}

static void clock_run(void)
{
	struct pvclock *p = (struct pvclock *)(GUEST_SCRATCH + 0ull +
					       self()->index * 64);
	u64 now;
	u32 i;

	wrmsr(MSR_KVM_SYSTEM_TIME, (u64)p | 1);
	cpuid(0, 0, (u32[4]){ 0 });
	CHECK(p->version && !(p->version & 1), "pvclock version");
	for (i = 0; i < SHARE->arg[2]; i++) {
		while (__atomic_exchange_n(&SHARE->flag[CLOCK_LOCK], 1,
					   __ATOMIC_SEQ_CST))
			irq_window();
		now = clock_ns(p);
		if (now < SHARE->flag[CLOCK_LAST])
			failed("the clock of another vCPU was ahead", now,
			       SHARE->flag[CLOCK_LAST]);
		SHARE->flag[CLOCK_LAST] = now;
		__atomic_store_n(&SHARE->flag[CLOCK_LOCK], 0,
				 __ATOMIC_SEQ_CST);
		irq_window();
	}
}

static void clock_ap(void)
{
	smp_up();
	flag_wait(GO, 1);
	clock_run();
	flag_add(FINISHED, 1);
}

PAYLOAD(smp_clock)
{
	start_others(clock_ap);
	flag_add(GO, 1);
	clock_run();
	flag_wait(FINISHED, count - 1);
}

/* vCPU 1 is stopped by INIT in all it may be doing, and started again. */
#define ALIVE		8
#define ROUND		9

extern const u8 sipi_next[];

static void init_ap(void)
{
	u64 round = SHARE->flag[ROUND];

	if (x2)
		apic_on(true);
	CHECK_EQ(rdmsr(MSR_STAR), 0, "STAR after INIT");
	flag_add(RUNNING, 1);
	switch (round % 4) {
	case 0:				/* spins, interrupts off */
		for (;;)
			flag_add(ALIVE, 1);
	case 1:				/* sleeps for ever */
		asm volatile("cli; hlt");
		failed("HLT after INIT ended", round, 0);
	case 2:				/* exits all the time */
		for (;;) {
			cpuid(0, 0, (u32[4]){ 0 });
			flag_add(ALIVE, 1);
		}
	default:			/* sleeps, interrupts on */
		for (;;) {
			sti_hlt();
			flag_add(ALIVE, 1);
		}
	}
}

PAYLOAD(smp_init)
{
	volatile u32 *next = (volatile u32 *)(GUEST_SIPI +
					      (sipi_next - sipi_code));
	u64 alive, round;
	u32 tries;

	x2 = SHARE->arg[0];
	ap_fn = init_ap;
	memcpy((void *)GUEST_SIPI, sipi_code,
	       (u64)(sipi_code_end - sipi_code));
	apic_on(x2);
	for (round = 0; round < SHARE->arg[2]; round++) {
		*next = 1;
		SHARE->flag[ROUND] = round;
		apic_ipi_low(1, 5 << 8 | 1 << 14);
		/* Not started by anything but SIPI. */
		apic_ipi_low(1, 0x50);
		/* It may take a moment to reach the other core. */
		for (tries = 0; tries < 1000; tries++) {
			alive = SHARE->flag[ALIVE];
			delay(200000);
			if (SHARE->flag[ALIVE] == alive)
				break;
		}
		CHECK(tries < 1000, "it runs on after INIT");
		CHECK_EQ(SHARE->flag[RUNNING], round, "it starts without SIPI");
		apic_ipi_low(1, 6 << 8 | 1 << 14 | GUEST_SIPI >> 12);
		flag_wait(RUNNING, round + 1);
		delay(50000);
	}
}
