/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tsc_sync.c -- whether one TSC stands for all cores' and keeps its rate, which
 * is what a guest's clock rests on.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/insn.h"
#include "core/log.h"

#define CHECK_MS		2
#define EXT7_EDX_INVARIANT	BIT(8)

bool tsc_stable __ro_after_init;

static u64 latest __aligned(64);	/* [a] the latest TSC that any core has read */
static u64 warp;			/* [a] how far behind it one was then */

/*
 * No core may read less than another has read before.  LFENCE: the TSC is not
 * read before the load that it is compared with is done.
 */
void tsc_compare(void)
{
	u64 seen = __atomic_load_n(&latest, __ATOMIC_ACQUIRE), now, most;

	__asm__ volatile("lfence" : : : "memory");
	now = rdtsc();
	if (unlikely(now < seen)) {
		most = __atomic_load_n(&warp, __ATOMIC_RELAXED);
		while (most < seen - now &&
		       !__atomic_compare_exchange_n(&warp, &most, seen - now, false,
						    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			;
		return;
	}
	while (seen < now && !__atomic_compare_exchange_n(&latest, &seen, now, false,
							  __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

/* Other hypervisors hide the bit, so that they can move a VM elsewhere. */
static bool invariant(void)
{
	return (cpuid(1, 0).ecx & BIT(31)) || (cpuid(0x80000000, 0).eax >= 0x80000007 &&
	       (cpuid(0x80000007, 0).edx & EXT7_EDX_INVARIANT));
}

void tsc_check(void)
{
	u64 end = rdtsc() + (u64)tsc_khz * CHECK_MS;

	if (cpu_count > 1)
		do
			tsc_compare();
		while (rdtsc() < end);
	tsc_stable = !warp && invariant();
	if (warp)
		log_warn("the cores' TSCs differ, by %lu ticks: guests are not told that their clock is stable",
			 warp);
	else if (!tsc_stable)
		log_warn("this CPU's TSC is not invariant: guests are not told that their clock is stable");
}
