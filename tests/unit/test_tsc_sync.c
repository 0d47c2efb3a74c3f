/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tsc_sync.c -- cores whose TSCs differ are found out, others are not.
 */
#include "tests/unit/host.h"

#include <pthread.h>

/* Each thread is a core with a TSC of its own. */
#include "arch/x86/insn.h"
static __thread s64 skew;
static u64 host_rdtsc(void)
{
	return rdtsc() + (u64)skew;
}
#define rdtsc	host_rdtsc
#include "arch/x86/tsc_sync.c"
#undef rdtsc

#undef fail
#include <cmocka.h>

u32 tsc_khz = 2000000, cpu_count = 2;
static bool done;

static void *other_core(void *arg)
{
	skew = (s64)(intptr_t)arg;
	while (!__atomic_load_n(&done, __ATOMIC_RELAXED))
		tsc_compare();
	return NULL;
}

static void check(s64 other)
{
	pthread_t t;
	u32 i;

	latest = warp = 0;
	host_said[0] = 0;
	done = false;
	pthread_create(&t, NULL, other_core, (void *)(intptr_t)other);
	/* Long enough for both to have had a turn, on one core, too. */
	for (i = 0; i < 200 && !warp; i++)
		tsc_check();
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
}

static void test_same(void **state)
{
	check(0);
	assert_int_equal(warp, 0);
}

static void test_behind(void **state)
{
	check(-1000000000);
	assert_true(warp && !tsc_stable && strstr(host_said, "differ"));
}

static void test_ahead(void **state)
{
	check(1000000000);
	assert_true(warp && !tsc_stable && strstr(host_said, "differ"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
