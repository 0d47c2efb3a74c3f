/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer.c -- the TSC's rate, and short waits at boot.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/insn.h"
#include "arch/x86/paging.h"
#include "core/log.h"

#define PM_HZ		3579545u
#define PM_TICKS	(PM_HZ / 100)		/* 10 ms */
#define PM_TRIES	50
#define PM_SHARP	1000			/* a thousandth of the time */
#define PM_SPINS	10000000u
#define REFINE_MS	50			/* at least, from the first stamp on */
#define REFINE_READS	16			/* the sharpest of them counts */
#define REFINE_MAX	BIT(41)			/* TSC ticks: no overflow below */
#define REFINE_TRUST	100			/* a hundredth: else a clock is broken */

#define PIT_HZ		1193182u
#define PIT_TICKS	(PIT_HZ / 50)
#define PIT_CH2		0x42
#define PIT_COMMAND	0x43
#define PIT_CH2_MODE0	0xb0			/* channel 2, both bytes, mode 0 */
#define PORT_SPEAKER	0x61
#define SPEAKER_GATE	0x01
#define SPEAKER_ON	0x02
#define SPEAKER_OUT	0x20

u32 tsc_khz __ro_after_init = 1000000;	/* until it is measured */

/* CPUID leaf 0x15: SDM, "Time Stamp Counter and Nominal Core Crystal Clock". */
static u32 from_cpuid(void)
{
	struct cpuid c;

	if (cpuid(0, 0).eax < 0x15)
		return 0;
	c = cpuid(0x15, 0);
	if (!c.eax || !c.ebx || !c.ecx)
		return 0;
	return (u32)((u64)c.ecx * c.ebx / c.eax / 1000);
}

struct stamp {
	u64 tsc;		/* middle of the read */
	u64 width;		/* how long it took: the error */
	u32 ticks;
};

/* The PM timer, and the stamp that the TSC's rate was first measured from. */
static u16 pm_port __ro_after_init;
static u32 pm_mask __ro_after_init;
static struct stamp pm_first __ro_after_init;

static struct stamp pm_read(u16 port, u32 mask)
{
	u64 before = rdtsc();
	u32 ticks = inl(port) & mask;
	u64 after = rdtsc();

	return (struct stamp){ before + (after - before) / 2, after - before, ticks };
}

/*
 * Something may hold us up at either end (an SMI, a busy emulator): try until
 * the readings are sharp, and take the best.
 */
static u32 from_pm_timer(u16 port, bool wide)
{
	u32 mask = wide ? ~0u : 0xffffff, spins = 0, khz = 0;
	u64 best = ~0ull, sharp = 0;
	int try;

	for (try = 0; try < PM_TRIES && best > sharp; try++) {
		struct stamp a = pm_read(port, mask), b;
		u32 ticks;

		do {
			b = pm_read(port, mask);
			if (++spins == PM_SPINS)
				return 0;
			ticks = (b.ticks - a.ticks) & mask;
		} while (ticks < PM_TICKS);
		if (a.width + b.width >= best)
			continue;
		best = a.width + b.width;
		pm_first = a;
		sharp = (b.tsc - a.tsc) / PM_SHARP;
		khz = (u32)((b.tsc - a.tsc) * PM_HZ / ticks / 1000);
	}
	return khz;
}

static u32 from_pit(void)
{
	u8 speaker = inb(PORT_SPEAKER);
	u32 spins = 0;
	u64 tsc;

	outb(PORT_SPEAKER, (speaker & ~SPEAKER_ON) | SPEAKER_GATE);
	outb(PIT_COMMAND, PIT_CH2_MODE0);
	outb(PIT_CH2, PIT_TICKS & 0xff);
	outb(PIT_CH2, PIT_TICKS >> 8);
	tsc = rdtsc();
	while (!(inb(PORT_SPEAKER) & SPEAKER_OUT))
		if (++spins == PM_SPINS)
			break;
	tsc = rdtsc() - tsc;
	outb(PORT_SPEAKER, speaker);
	return spins == PM_SPINS ? 0 : (u32)(tsc * 50 / 1000);
}

void tsc_calibrate(u16 pm_timer_port, bool pm_timer_32)
{
	u32 khz = from_cpuid();

	if (!khz && pm_timer_port) {
		khz = from_pm_timer(pm_timer_port, pm_timer_32);
		pm_port = khz ? pm_timer_port : 0;
		pm_mask = pm_timer_32 ? ~0u : 0xffffff;
	}
	if (!khz)
		khz = from_pit();
	if (!khz)
		refuse("the TSC's rate cannot be measured: no CPUID leaf 0x15, no ACPI PM timer, no PIT");
	tsc_khz = khz;
}

/*
 * The TSC's rate between two stamps.  The PM timer may have wrapped meanwhile:
 * how often, the rate known so far tells.  0: these clocks do not agree.
 */
static u32 refined(struct stamp a, struct stamp b, u32 mask, u32 khz)
{
	u64 elapsed = b.tsc - a.tsc, expected = elapsed / khz * (PM_HZ / 1000), ticks, r;
	u64 off = (b.ticks - a.ticks - expected) & mask;

	if (elapsed >= REFINE_MAX)
		return 0;
	/* Half of the timer's range either way. */
	ticks = expected + (off > mask / 2 ? off - mask - 1ull : off);
	if (!ticks)
		return 0;
	r = elapsed * PM_HZ / ticks / 1000;
	if (r > khz + khz / REFINE_TRUST || r < khz - khz / REFINE_TRUST)
		return 0;
	return (u32)r;
}

/* The sharpest of several readings. */
static struct stamp pm_sharp(void)
{
	struct stamp best = pm_read(pm_port, pm_mask);
	int i;

	for (i = 1; i < REFINE_READS; i++) {
		struct stamp s = pm_read(pm_port, pm_mask);

		if (s.width < best.width)
			best = s;
	}
	return best;
}

void tsc_refine(void)
{
	u64 ready = pm_first.tsc + (u64)tsc_khz * REFINE_MS;
	struct stamp now;
	u32 khz;

	if (!pm_port)
		return;
	while ((s64)(rdtsc() - ready) < 0)
		pause();
	now = pm_sharp();
	khz = refined(pm_first, now, pm_mask, tsc_khz);
	if (!khz) {
		log_warn("the TSC and the ACPI PM timer do not keep the same time");
		return;
	}
	tsc_khz = khz;
	/* A stamp is wrong by half its width at the most. */
	log_debug("TSC measured over %lu ms, to %lu ppm", (now.tsc - pm_first.tsc) / khz,
		  (now.width + pm_first.width) * 500000 / (now.tsc - pm_first.tsc));
}

void udelay(u32 us)
{
	u64 start = rdtsc(), ticks = (u64)tsc_khz * us / 1000;

	while (rdtsc() - start < ticks)
		pause();
}
