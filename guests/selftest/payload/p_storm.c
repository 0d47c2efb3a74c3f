/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * p_storm.c -- payloads: timers that a host could not follow, and what a fault
 * that the hypervisor injects has in its frame.
 */
#include "guests/selftest/payload/lib.h"

#define LVT_TIMER	0x320
#define TMICT		0x380
#define TDCR		0x3e0
#define ICR		0x300
#define MASKED		BIT(16)
#define PERIODIC	BIT(17)
#define DEADLINE	BIT(18)
#define VEC		0x63

/* Exits now and then: a guest that gets on ends this. */
static void work(u32 rounds)
{
	u32 r[4], i;

	for (i = 0; i < rounds; i++) {
		pause();
		if (!(i & 63))
			cpuid(0, 0, r);
	}
}

/* Deadlines whose host time does not fit 64 bits, or lies beyond any. */
PAYLOAD(far_deadline)
{
	u64 far[] = { ~0ull - 1, ~0ull, BIT(63), BIT(63) - 1, -rdtsc(), ~0ull - rdtsc() };
	u32 i;

	apic_on(SHARE->arg[0]);
	apic_write(LVT_TIMER, VEC | DEADLINE);
	sti();
	for (i = 0; i < ARRAY_SIZE(far); i++) {
		wrmsr(MSR_TSC_DEADLINE, far[i]);
		work(5000);
		CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), far[i], "TSC_DEADLINE");
		sync(i);
	}
	CHECK_EQ(self()->irqs[VEC], 0, "timer interrupts");
}

/*
 * The fifth one is the last.  Where an exit takes longer than Joist's shortest
 * period the guest does nothing but take interrupts, as it would on a CPU.
 */
static bool fifth_hook(struct frame *f)
{
	if (f->vector == VEC && self()->irqs[VEC] == 4)
		apic_write(TMICT, 0);
	return false;
}

/* A period of one tick, masked first. */
PAYLOAD(tiny_period)
{
	u32 i;

	apic_on(SHARE->arg[0]);
	apic_write(TDCR, 0xb);
	apic_write(LVT_TIMER, VEC | PERIODIC | MASKED);
	apic_write(TMICT, 1);
	sti();
	work(5000);
	CHECK_EQ(self()->irqs[VEC], 0, "masked timer interrupts");
	sync(0);
	trap_hook = fifth_hook;
	apic_write(LVT_TIMER, VEC | PERIODIC);
	for (i = 0; i < 10000 && self()->irqs[VEC] < 5; i++)
		work(100);
	trap_hook = NULL;
	cli();
	CHECK(self()->irqs[VEC] >= 5, "timer interrupts");
	sync(1);
}

#define RF	BIT(16)

static volatile u64 flags;

static bool flags_hook(struct frame *f)
{
	flags = f->rflags;
	return f->vector == X_BP;
}

/* SDM, "RF": set in what a fault saves, clear in a trap's and an interrupt's. */
PAYLOAD(resume_flag)
{
	u64 val, zero = 0;
	u32 f;

	apic_on(false);
	trap_hook = flags_hook;
	CHECK_EQ(try_write_cr4(~0ull), FAULT(X_GP), "CR4");
	CHECK(flags & RF, "RF of a #GP at MOV to CR4");
	flags = 0;
	CHECK_EQ(try_rdmsr(0x12345678, &val), FAULT(X_GP), "RDMSR");
	CHECK(flags & RF, "RF of a #GP at RDMSR");
	flags = 0;
	TRY(f, "monitor", LIST(, "+c"(zero)), NO_IN, , "memory");
	CHECK_EQ(f, FAULT(X_UD), "MONITOR");
	CHECK(flags & RF, "RF of a #UD at MONITOR");
	flags = RF;
	asm volatile("int3");
	CHECK(!(flags & RF), "RF of INT3");
	flags = RF;
	asm volatile("int $0x51");
	CHECK(!(flags & RF), "RF of INT");
	flags = RF;
	apic_write(ICR, 1 << 18 | 0x52);
	irq_window();
	CHECK_EQ(self()->irqs[0x52], 1, "interrupts");
	CHECK(!(flags & RF), "RF of an interrupt");
	trap_hook = NULL;
}
