/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * p_clock.c -- payloads: kvmclock (pvclock).
 */
#include "guests/selftest/payload/lib.h"

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

struct wall_clock {
	volatile u32 version;
	u32 sec, nsec;
};

/* As Linux reads it: again while the version is odd or has changed. */
static u64 clock_ns(struct pvclock *p)
{
	u64 delta, ns;
	u32 version;

	do {
		version = p->version;
		asm volatile("lfence" : : : "memory");
		delta = rdtsc() - p->tsc_timestamp;
		if (p->shift < 0)
			delta >>= -p->shift;
		else
			delta <<= p->shift;
		ns = p->system_time +
		     (u64)(((unsigned __int128)delta * p->mul) >> 32);
		asm volatile("lfence" : : : "memory");
	} while ((version & 1) || p->version != version);
	return ns;
}

/* arg[0]: TSC kHz as the self-test knows it. */
PAYLOAD(clock)
{
	struct pvclock *p = (struct pvclock *)(GUEST_SCRATCH + 0x40);
	struct wall_clock *w = (struct wall_clock *)(GUEST_SCRATCH + 0x100);
	u64 last, now, t0, t1, n0, n1, ns, ticks;
	u32 i;

	CHECK_EQ(rdmsr(MSR_KVM_SYSTEM_TIME), 0, "SYSTEM_TIME before use");
	wrmsr(MSR_KVM_SYSTEM_TIME, (u64)p | 1);
	CHECK_EQ(rdmsr(MSR_KVM_SYSTEM_TIME), (u64)p | 1, "SYSTEM_TIME");
	cpuid(0, 0, (u32[4]){ 0 });		/* one exit at least */
	CHECK(p->version, "the record is not filled in");
	CHECK(!(p->version & 1), "the version is odd");
	CHECK(p->mul, "the multiplier is 0");
	last = clock_ns(p);
	for (i = 0; i < 2000; i++) {
		if (i % 50 == 0)
			sync(i / 50);
		now = clock_ns(p);
		if (now < last)
			failed("the clock goes back", now, last);
		last = now;
	}
	/* It runs at the TSC's rate, to 0.1 %. */
	t0 = rdtsc();
	n0 = clock_ns(p);
	while (rdtsc() - t0 < SHARE->arg[0] * 5)	/* 5 ms */
		pause();
	t1 = rdtsc();
	n1 = clock_ns(p);
	ns = n1 - n0;
	ticks = (t1 - t0) * 1000000 / SHARE->arg[0];
	if (ns < ticks - ticks / 10 || ns > ticks + ticks / 10)
		failed("the clock's rate: ns, expected", ns, ticks);
	SHARE->val[0] = clock_ns(p);
	SHARE->val[1] = p->version;

	/* Moved, and off. */
	wrmsr(MSR_KVM_SYSTEM_TIME, (u64)(p + 4) | 1);
	CHECK((p + 4)->version && !((p + 4)->version & 1), "moved record");
	now = clock_ns(p + 4);
	CHECK(now >= last, "the moved clock goes back");
	wrmsr(MSR_KVM_SYSTEM_TIME, 0);
	CHECK_EQ(rdmsr(MSR_KVM_SYSTEM_TIME), 0, "SYSTEM_TIME off");

	/* The wall clock at TSC 0, once for each write. */
	wrmsr(MSR_KVM_WALL_CLOCK, (u64)w);
	CHECK(!(w->version & 1) && w->version, "wall clock version");
	SHARE->val[2] = w->sec;
	SHARE->val[3] = w->nsec;
	CHECK(w->nsec < 1000000000, "wall clock nanoseconds");

	/* Addresses where there is nothing: refused, or nothing happens. */
	static const u64 bad[] = {
		0xd0000001, 0xfee00001, 0xfffffffffffff001, 0x7ffffffffffff001,
		GUEST_RAM - 8 + 1, GUEST_RAM + 1,
	};
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		try_wrmsr(MSR_KVM_SYSTEM_TIME, bad[i]);
		cpuid(0, 0, (u32[4]){ 0 });
		try_wrmsr(MSR_KVM_WALL_CLOCK, bad[i] & ~1ull);
		cpuid(0, 0, (u32[4]){ 0 });
	}
	wrmsr(MSR_KVM_SYSTEM_TIME, 0);
	wrmsr(MSR_KVM_SYSTEM_TIME, (u64)p | 1);
	CHECK(!(p->version & 1) && clock_ns(p) >= last, "the clock at the end");
	sync(100);
}
