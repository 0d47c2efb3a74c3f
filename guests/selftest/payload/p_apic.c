/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * p_apic.c -- payloads: the virtual local APIC and its timer.
 *
 * arg[0] says in which mode: 0 xAPIC, 1 x2APIC.
 */
#include "guests/selftest/payload/lib.h"
#include "include/joist.h"

#define ID		0x20
#define VERSION		0x30
#define TPR		0x80
#define PPR		0xa0
#define EOI		0xb0
#define LDR		0xd0
#define DFR		0xe0
#define SVR		0xf0
#define ISR		0x100
#define TMR		0x180
#define IRR		0x200
#define ESR		0x280
#define ICR		0x300
#define LVT_TIMER	0x320
#define LVT_LINT0	0x350
#define LVT_LINT1	0x360
#define LVT_ERROR	0x370
#define TMICT		0x380
#define TMCCT		0x390
#define TDCR		0x3e0
#define SELF_IPI	0x3f0
#define MASKED		BIT(16)
#define PERIODIC	BIT(17)
#define DEADLINE	BIT(18)

static void self_ipi(u32 vec)
{
	if (apic_x2())
		wrmsr(MSR_X2APIC + 0x3f, vec);
	else
		apic_write(ICR, 1 << 18 | vec);
}

static bool bit(u32 reg, u32 vec)
{
	return apic_read(reg + vec / 32 * 16) >> (vec % 32) & 1;
}

static void window(void)
{
	irq_window();
}

PAYLOAD(apic_regs)
{
	bool x2 = SHARE->arg[0];
	u64 v, r;
	u32 i;

	apic_on(x2);
	CHECK_EQ(apic_x2(), x2, "the mode");
	CHECK_EQ(apic_read(ID), x2 ? 0 : 0 << 24, "ID");
	v = apic_read(VERSION);
	CHECK((v & 0xff) >= 0x10 && (v & 0xff) <= 0x1f, "VERSION");
	CHECK((v >> 16 & 0xff) >= 4, "highest LVT entry");
	CHECK_EQ(apic_read(SVR), 0x1ff, "SVR");
	CHECK(apic_read(LVT_TIMER) & MASKED, "LVT timer is not masked");
	CHECK(apic_read(LVT_ERROR) & MASKED, "LVT error is not masked");
	for (i = 0; i < 8; i++)
		CHECK_EQ(apic_read(ISR + i * 16) | apic_read(IRR + i * 16) |
			 apic_read(TMR + i * 16), 0, "ISR, IRR, TMR");
	for (i = 0; i < 256; i += 17) {
		apic_write(TPR, i);
		CHECK_EQ(apic_read(TPR), i, "TPR");
		CHECK_EQ(apic_read(PPR), i, "PPR");
	}
	apic_write(TPR, 0);
	apic_write(LVT_ERROR, 0x44 | MASKED);
	CHECK_EQ(apic_read(LVT_ERROR), 0x44 | MASKED, "LVT error");
	if (x2) {
		CHECK_EQ(apic_read(LDR), 1, "LDR");
		for (i = 0; i < 0x40; i++) {
			static const u64 readable = BITS(2, 2) | BIT(3) |
				BIT(8) | BIT(0xa) | BIT(0xd) | BIT(0xf) |
				BITS(0x27, 0x10) | BIT(0x28) | BIT(0x30) |
				BITS(0x37, 0x32) | BIT(0x38) | BIT(0x39) |
				BIT(0x3e);

			/* CMCI may be there or not. */
			if (i == 0x2f || i == 0x33 || i == 0x34)
				continue;
			r = try_rdmsr(MSR_X2APIC + i, &v);
			if (r != (readable & BIT(i) ? NOFAULT : FAULT(X_GP)))
				failed("x2APIC register read", i, r);
		}
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 0xb, 1), FAULT(X_GP),
			 "EOI of 1");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 2, 0), FAULT(X_GP),
			 "write to ID");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 3, 0), FAULT(X_GP),
			 "write to VERSION");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 0xd, 0), FAULT(X_GP),
			 "write to LDR");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 8, 0x100), FAULT(X_GP),
			 "TPR bit 8");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 8, BIT(32)), FAULT(X_GP),
			 "TPR bit 32");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 0xf, BIT(31)), FAULT(X_GP),
			 "SVR bit 31");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 0x28, 1), FAULT(X_GP),
			 "ESR of 1");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 0x3f, 0x100), FAULT(X_GP),
			 "SELF IPI bit 8");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 0x10, 0), FAULT(X_GP),
			 "write to ISR");
		CHECK_EQ(try_wrmsr(MSR_X2APIC + 0x31, 0), FAULT(X_GP),
			 "write to ICR2");
		/* Straight back to xAPIC is not a legal step. */
		v = rdmsr(MSR_APIC_BASE);
		CHECK_EQ(try_wrmsr(MSR_APIC_BASE, v & ~BIT(10)), FAULT(X_GP),
			 "x2APIC to xAPIC");
		CHECK_EQ(try_wrmsr(MSR_APIC_BASE, v & ~(BIT(10) | BIT(11))),
			 NOFAULT, "x2APIC to disabled");
		CHECK_EQ(try_wrmsr(MSR_APIC_BASE, v), FAULT(X_GP),
			 "disabled to x2APIC");
		CHECK_EQ(try_wrmsr(MSR_APIC_BASE, v & ~BIT(10)), NOFAULT,
			 "disabled to xAPIC");
		CHECK_EQ(apic_read(SVR) & 0x100, 0, "SVR after disabling");
		return;
	}
	apic_write(LDR, 0x5a000000);
	CHECK_EQ(apic_read(LDR), 0x5a000000, "LDR");
	apic_write(DFR, 0x0fffffff);
	CHECK_EQ(apic_read(DFR) >> 28, 0, "DFR cluster");
	apic_write(DFR, 0xffffffff);
	/* Odd accesses within the page are undefined, but harmless. */
	*(volatile u32 *)0xfee00004 = 1;
	*(volatile u32 *)0xfee00ff0 = 1;
	(void)*(volatile u32 *)0xfee000f4;
	(void)*(volatile u32 *)0xfee00000;
	(void)*(volatile u8 *)0xfee000f0;
	*(volatile u8 *)0xfee000f0 = 0xff;
	(void)*(volatile u64 *)0xfee00030;
}

PAYLOAD(apic_ipi)
{
	struct gcpu *c = self();
	u32 vec, i;

	apic_on(SHARE->arg[0]);
	/* Held while IF is 0, delivered once after. */
	self_ipi(0x51);
	CHECK(bit(IRR, 0x51), "IRR");
	CHECK_EQ(c->irqs[0x51], 0, "early");
	window();
	CHECK_EQ(c->irqs[0x51], 1, "self-IPI");
	CHECK(!bit(IRR, 0x51) && !bit(ISR, 0x51), "IRR, ISR after");
	/* Twice the same before delivery is once. */
	self_ipi(0x52);
	self_ipi(0x52);
	window();
	CHECK_EQ(c->irqs[0x52], 1, "merged");
	/* Every vector, highest first. */
	c->order_len = 0;
	for (vec = 0x20; vec < 0x40; vec++)
		self_ipi(vec);
	sti();
	for (i = 0; i < 100 && c->order_len < 32; i++)
		pause();
	cli();
	CHECK_EQ(c->order_len, 32, "count of 32 vectors");
	for (i = 0; i < 32; i++)
		CHECK_EQ(c->order[i], 0x3f - i, "order of delivery");
	for (vec = 0x20; vec < 0x100; vec++) {
		if (vec == 0x80 || vec == 0xff)
			continue;
		c->irqs[vec] = 0;
		self_ipi(vec);
		window();
		CHECK_EQ(c->irqs[vec], 1, "each vector");
	}
	/* TPR and CR8 hold back what is not above them. */
	memset((void *)c->irqs, 0, sizeof(c->irqs));
	write_cr8(5);
	self_ipi(0x4f);
	self_ipi(0x51);
	self_ipi(0x5f);
	window();
	CHECK_EQ(c->irqs[0x4f] + c->irqs[0x51] + c->irqs[0x5f], 0,
		 "delivered below the TPR");
	self_ipi(0x60);
	window();
	CHECK_EQ(c->irqs[0x60], 1, "above the TPR");
	write_cr8(4);
	window();
	CHECK_EQ(c->irqs[0x51] + c->irqs[0x5f], 2, "after CR8 went to 4");
	CHECK_EQ(c->irqs[0x4f], 0, "0x4f with CR8 4");
	apic_write(TPR, 0x30);
	window();
	CHECK_EQ(c->irqs[0x4f], 1, "after TPR went to 0x30");
	write_cr8(0);
	/* In service: nothing of the same class until EOI. */
	no_eoi[0x61] = true;
	self_ipi(0x61);
	window();
	CHECK(bit(ISR, 0x61), "ISR");
	CHECK_EQ(apic_read(PPR), 0x60, "PPR in service");
	self_ipi(0x62);
	self_ipi(0x58);
	window();
	CHECK_EQ(c->irqs[0x62] + c->irqs[0x58], 0, "delivered within service");
	self_ipi(0x71);
	window();
	CHECK_EQ(c->irqs[0x71], 1, "a higher class within service");
	apic_write(EOI, 0);
	CHECK(!bit(ISR, 0x61), "ISR after EOI");
	sti();
	for (i = 0; i < 100; i++)
		pause();
	cli();
	CHECK_EQ(c->irqs[0x62] + c->irqs[0x58], 2, "after EOI");
	CHECK_EQ(apic_read(PPR), 0, "PPR after all");
	no_eoi[0x61] = false;
	/* Shorthands, and our own id. */
	memset((void *)c->irqs, 0, sizeof(c->irqs));
	apic_ipi_low(0, 1 << 18 | 0x91);	/* self */
	apic_ipi_low(0, 2 << 18 | 0x92);	/* all */
	apic_ipi_low(0, 3 << 18 | 0x93);	/* all but self: nobody */
	apic_ipi_low(0, 0x94);
	apic_ipi_low(7, 0x95);			/* nobody */
	apic_ipi_low(apic_x2() ? 0xffffffff : 0xff, 0x96);
	sti();
	for (i = 0; i < 100; i++)
		pause();
	cli();
	CHECK_EQ(c->irqs[0x91], 1, "shorthand self");
	CHECK_EQ(c->irqs[0x92], 1, "shorthand all");
	CHECK_EQ(c->irqs[0x93], 0, "shorthand all but self");
	CHECK_EQ(c->irqs[0x94], 1, "physical");
	CHECK_EQ(c->irqs[0x95], 0, "physical, nobody");
	CHECK_EQ(c->irqs[0x96], 1, "broadcast");
	/* NMI to ourselves. */
	apic_ipi_low(0, 4 << 8 | 1 << 14);
	for (i = 0; i < 100; i++)
		pause();
	CHECK_EQ(c->irqs[X_NMI], 1, "NMI by ICR");
	/* An illegal vector is an error, not an interrupt. */
	apic_write(ESR, 0);
	apic_write(LVT_ERROR, 0x77);
	apic_ipi_low(0, 0x05);
	window();
	apic_write(ESR, 0);
	CHECK(apic_read(ESR) & 0x60, "ESR of an illegal vector");
	window();
	CHECK_EQ(c->irqs[0x77], 1, "error interrupt");
	/* Software-disabled: fixed ones are not accepted. */
	apic_write(SVR, 0xff);
	self_ipi(0x99);
	window();
	CHECK_EQ(c->irqs[0x99], 0, "delivered while software-disabled");
	CHECK(apic_read(LVT_ERROR) & MASKED, "LVT while software-disabled");
}

/* HLT ends by a self-IPI that is pending already: STI; HLT never sleeps. */
PAYLOAD(apic_hlt)
{
	u32 i;

	apic_on(SHARE->arg[0]);
	for (i = 0; i < 200; i++) {
		self_ipi(0x50);
		sti_hlt();
		CHECK_EQ(self()->irqs[0x50], i + 1, "self-IPI and HLT");
	}
}

static void timer_wait(u32 vec, u32 count, bool hlt, const char *what)
{
	struct gcpu *c = self();
	u64 start = rdtsc(), limit = SHARE->arg[2] * 1000000;

	while (c->irqs[vec] < count) {
		if (hlt)
			sti_hlt();
		else
			window();
		if (rdtsc() - start > limit)
			failed(what, c->irqs[vec], count);
	}
}

/* arg[1]: HLT or spin; arg[2]: TSC ticks in 20 us. */
PAYLOAD(apic_timer)
{
	struct gcpu *c = self();
	bool hlt = SHARE->arg[1];
	u64 start, t, span = SHARE->arg[2] * 100, a, b;	/* 2 ms */
	u32 i;

	apic_on(SHARE->arg[0]);
	apic_write(TDCR, 0xb);
	CHECK_EQ(apic_read(TMCCT), 0, "TMCCT before the first start");

	/* One-shot. */
	for (i = 0; i < 10; i++) {
		c->irqs[0x60] = 0;
		apic_write(LVT_TIMER, 0x60);
		start = rdtsc();
		apic_write(TMICT, span);
		CHECK_EQ(apic_read(TMICT), span, "TMICT");
		a = apic_read(TMCCT);
		CHECK(a <= span, "TMCCT is above TMICT");
		timer_wait(0x60, 1, hlt, "one-shot");
		t = rdtsc() - start;
		if (t < span)
			failed("one-shot comes early", t, span);
		CHECK_EQ(apic_read(TMCCT), 0, "TMCCT after a one-shot");
	}
	window();
	CHECK_EQ(c->irqs[0x60], 1, "a one-shot comes once");

	/* The divider. */
	apic_write(TDCR, 0x3);			/* 16 */
	c->irqs[0x60] = 0;
	start = rdtsc();
	apic_write(TMICT, span / 16);
	timer_wait(0x60, 1, hlt, "one-shot, divided");
	t = rdtsc() - start;
	if (t < span / 16 * 16)
		failed("divided one-shot comes early", t, span);
	apic_write(TDCR, 0xb);

	/* Stopped by 0, and masked. */
	c->irqs[0x60] = 0;
	start = rdtsc();
	apic_write(TMICT, 10 * span);
	apic_write(TMICT, 0);
	/* On a busy machine it may have come before it was stopped. */
	t = rdtsc() - start;
	apic_write(LVT_TIMER, 0x61 | MASKED);
	apic_write(TMICT, span);
	start = rdtsc();
	while (rdtsc() - start < 12 * span)
		window();
	CHECK_EQ(c->irqs[0x61], 0, "masked timer");
	CHECK(!c->irqs[0x60] || t > 10 * span, "stopped timer");

	/* Periodic: not late by more and more. */
	c->irqs[0x62] = 0;
	apic_write(LVT_TIMER, 0x62 | PERIODIC);
	start = rdtsc();
	apic_write(TMICT, span);
	timer_wait(0x62, 20, hlt, "periodic");
	t = rdtsc() - start;
	if (t < 20 * span)
		failed("periodic comes early", t, 20 * span);
	a = apic_read(TMCCT);
	b = apic_read(TMCCT);
	CHECK(a <= span && b <= span, "TMCCT of a periodic timer");
	apic_write(TMICT, 0);
	window();
	a = c->irqs[0x62];
	start = rdtsc();
	while (rdtsc() - start < 3 * span)
		window();
	CHECK_EQ(c->irqs[0x62], a, "periodic after its stop");

	/* TSC-deadline. */
	apic_write(LVT_TIMER, 0x63 | DEADLINE);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0, "TSC_DEADLINE before use");
	for (i = 0; i < 10; i++) {
		c->irqs[0x63] = 0;
		t = rdtsc() + span;
		wrmsr(MSR_TSC_DEADLINE, t);
		if (rdtsc() < t) {
			a = rdmsr(MSR_TSC_DEADLINE);
			if (a != t && rdtsc() < t)
				failed("TSC_DEADLINE", a, t);
		}
		timer_wait(0x63, 1, hlt, "TSC-deadline");
		CHECK(rdtsc() >= t, "TSC-deadline comes early");
		CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0, "TSC_DEADLINE after");
	}
	/* In the past: at once.  Disarmed: never. */
	c->irqs[0x63] = 0;
	wrmsr(MSR_TSC_DEADLINE, 1);
	timer_wait(0x63, 1, hlt, "TSC-deadline in the past");
	start = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, start + 10 * span);
	wrmsr(MSR_TSC_DEADLINE, 0);
	t = rdtsc() - start;
	while (rdtsc() - start < 12 * span)
		window();
	CHECK(c->irqs[0x63] == 1 || t > 10 * span, "TSC-deadline after 0");
	/* The initial count does not count in this mode, nor the MSR in the
	 * others. */
	apic_write(TMICT, span);
	CHECK_EQ(apic_read(TMCCT), 0, "TMCCT in TSC-deadline mode");
	apic_write(LVT_TIMER, 0x64);
	wrmsr(MSR_TSC_DEADLINE, rdtsc());
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0, "TSC_DEADLINE in one-shot mode");
	window();
	CHECK_EQ(c->irqs[0x64], 0, "TSC_DEADLINE fires in one-shot mode");
}

/* Interrupts from the self-test, one per sync point; counts go out. */
PAYLOAD(apic_msi)
{
	u32 i;

	apic_on(SHARE->arg[0]);
	if (!apic_x2()) {
		apic_write(LDR, 0x04000000);
		apic_write(DFR, 0xffffffff);
	}
	for (i = 0; i < SHARE->arg[3]; i++) {
		sync(i);
		window();
	}
	for (i = 0; i < 64; i++)
		SHARE->val[i] = self()->irqs[0x40 + i];
}

/* Level-triggered vectors: the self-test wants to see each EOI. */
PAYLOAD(apic_level)
{
	u32 i;

	apic_on(SHARE->arg[0]);
	for (i = 0; i < 10; i++) {
		sync(i);
		no_eoi[0x55] = true;
		window();
		CHECK_EQ(self()->irqs[0x55], i + 1, "level-triggered");
		CHECK(bit(TMR, 0x55), "TMR");
		apic_write(EOI, 0);
		no_eoi[0x56] = false;
		sync(100 + i);
		window();
		CHECK_EQ(self()->irqs[0x56], i + 1, "edge-triggered");
		CHECK(!bit(TMR, 0x56), "TMR of an edge");
	}
}

/* 8259 interrupts through LINT0. */
PAYLOAD(apic_extint)
{
	struct gcpu *c = self();
	u32 i;

	apic_on(SHARE->arg[0]);
	apic_write(LVT_LINT0, 0x700);		/* ExtINT */
	no_eoi[0x28] = no_eoi[0x29] = true;
	for (i = 0; i < 5; i++) {
		/* One waits, interrupts are off: it must not come. */
		sync(2 * i);
		pause();
		CHECK_EQ(c->irqs[0x28], i, "ExtINT with IF 0");
		sti();
		while (c->irqs[0x28] != i + 1)
			pause();
		cli();
		/* Into HLT. */
		sync(2 * i + 1);
		while (c->irqs[0x29] != i + 1)
			sti_hlt();
	}
	apic_write(LVT_LINT0, 0x700 | MASKED);
	sync(100);
	for (i = 0; i < 100; i++)
		window();
	CHECK_EQ(c->irqs[0x28], 5, "ExtINT through a masked LINT0");
}

/* Self-IPIs, each taken with IF still clear when it was sent; TPR and EOI. */
PAYLOAD(apic_self)
{
	struct gcpu *c = self();
	u64 i;

	apic_on(true);
	sync(0);
	for (i = 0; i < SHARE->arg[2]; i++) {
		wrmsr(MSR_X2APIC + 0x08, i & 0x40);
		wrmsr(MSR_X2APIC + 0x3f, 0x61);
		CHECK_EQ(rdmsr(MSR_X2APIC + 0x08), i & 0x40, "TPR");
		irq_window();
		CHECK_EQ(c->irqs[0x61], i + 1, "self-IPIs");
	}
	sync(1);
	/* TPR holds the first back, IF the second. */
	wrmsr(MSR_X2APIC + 0x08, 0x60);
	wrmsr(MSR_X2APIC + 0x3f, 0x61);
	irq_window();
	wrmsr(MSR_X2APIC + 0x3f, 0x72);
	sync(2);
	CHECK_EQ(c->irqs[0x61], i, "a vector that TPR holds back");
	irq_window();
	CHECK_EQ(c->irqs[0x72], 1, "a vector above TPR");
	wrmsr(MSR_X2APIC + 0x08, 0);
	irq_window();
	CHECK_EQ(c->irqs[0x61], i + 1, "a vector that TPR let go");
}

/* A vector waits for IF, whatever interrupts the CPU itself meanwhile. */
PAYLOAD(apic_masked)
{
	struct gcpu *c = self();

	apic_on(SHARE->arg[0]);
	self_ipi(0x61);
	while (!SHARE->flag[0]) {
		cli();			/* as it is: some emulators look then */
		CHECK_EQ(c->irqs[0x61], 0, "an interrupt with IF 0");
	}
	irq_window();
	CHECK_EQ(c->irqs[0x61], 1, "an interrupt behind STI");
}

/* MOVS, STOS and LODS reach the LAPIC's registers as MOV does. */
PAYLOAD(apic_string)
{
	u64 si = 0xfee00000 + VERSION, di = GUEST_SCRATCH, ax = 0x30;
	volatile u32 *ram = (volatile u32 *)GUEST_SCRATCH;

	apic_on(false);
	asm volatile("movsl" : "+S"(si), "+D"(di) : : "memory");
	CHECK_EQ(ram[0], apic_read(VERSION), "VERSION by MOVSD");
	CHECK_EQ(si, 0xfee00004 + VERSION, "RSI after MOVSD");
	ram[1] = 0x20;
	si = GUEST_SCRATCH + 4;
	di = 0xfee00000 + TPR;
	asm volatile("movsl" : "+S"(si), "+D"(di) : : "memory");
	CHECK_EQ(read_cr8(), 2, "CR8 after MOVSD to TPR");
	CHECK_EQ(apic_read(TPR), 0x20, "TPR after MOVSD");
	di = 0xfee00000 + TPR;
	asm volatile("stosl" : "+D"(di) : "a"(ax) : "memory");
	CHECK_EQ(read_cr8(), 3, "CR8 after STOSD to TPR");
	si = 0xfee00000 + TPR;
	asm volatile("lodsl" : "+S"(si), "=a"(ax) : : "memory");
	CHECK_EQ(ax, 0x30, "TPR by LODSD");
	/* From one register to another. */
	apic_write(TPR, 0);
	apic_write(LVT_ERROR, MASKED | 0x44);
	si = 0xfee00000 + LVT_ERROR;
	di = 0xfee00000 + LVT_TIMER;
	asm volatile("movsl" : "+S"(si), "+D"(di) : : "memory");
	CHECK_EQ(apic_read(LVT_TIMER), MASKED | 0x44, "LVT timer by MOVSD");
}
