/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_timer.c -- the TSC's rate out of two stamps of the PM timer, which wraps.
 */
#include "tests/unit/host.h"

#include "arch/x86/timer.c"

#undef fail
#include <cmocka.h>

#define MASK_24	0xffffffu
#define KHZ	2096190u
#define ROUGH	(KHZ + KHZ / 1000)	/* what a short look gives */

/* What the PM timer says that many ticks after it said `from`. */
static u32 measured(u32 from, u64 ticks, u32 mask, u32 rough)
{
	struct stamp a = { .tsc = 1ull << 40, .ticks = from & mask };
	struct stamp b = { .tsc = a.tsc + (u64)((unsigned __int128)ticks * KHZ *
						1000 / PM_HZ),
			   .ticks = (u32)(from + ticks) & mask };

	return refined(a, b, mask, rough);
}

static void assert_near(u32 khz)
{
	/* 20 ppm, asked of kvmclock; one tick in 50 ms is less than 6. */
	assert_in_range(khz, KHZ - KHZ / 50000, KHZ + KHZ / 50000);
}

static void test_short(void **state)
{
	assert_near(measured(0, PM_HZ / 20, MASK_24, ROUGH));
	assert_near(measured(0xffff00, PM_HZ / 20, MASK_24, ROUGH));
	assert_near(measured(0xffffff00, PM_HZ / 20, ~0u, ROUGH));
	assert_near(measured(12345, PM_HZ / 2, MASK_24, KHZ - KHZ / 1000));
}

/* A 24-bit timer wraps every 4.7 s; booting may take minutes. */
static void test_wraps(void **state)
{
	u64 s;

	for (s = 1; s < 300; s++) {
		assert_near(measured(0x123456, PM_HZ * s, MASK_24, ROUGH));
		assert_near(measured(0xfedcba98, PM_HZ * s, ~0u, ROUGH));
	}
}

static void test_broken(void **state)
{
	struct stamp a = { .tsc = 1000, .ticks = 5 }, b = { .tsc = 1000 + 50 * KHZ, .ticks = 5 };

	/* It stands still; it runs twice as fast; so long that it says nothing. */
	assert_int_equal(refined(a, b, MASK_24, KHZ), 0);
	b.ticks = 5 + PM_HZ / 10;
	assert_int_equal(refined(a, b, MASK_24, KHZ), 0);
	b.tsc = 1000 + REFINE_MAX;
	assert_int_equal(refined(a, b, MASK_24, KHZ), 0);
	b.tsc = a.tsc;
	assert_int_equal(refined(a, a, MASK_24, KHZ), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_wraps),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
