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

	if (!khz && pm_timer_port)
		khz = from_pm_timer(pm_timer_port, pm_timer_32);
	if (!khz)
		khz = from_pit();
	if (!khz)
		refuse("the TSC's rate cannot be measured: no CPUID leaf 0x15, no ACPI PM timer, no PIT");
	tsc_khz = khz;
}

void udelay(u32 us)
{
	u64 start = rdtsc(), ticks = (u64)tsc_khz * us / 1000;

	while (rdtsc() - start < ticks)
		pause();
}
