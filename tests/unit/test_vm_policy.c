/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_policy.c -- what becomes of a VM whose machine has ended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "guests/control/joist-vm/policy.c"

static struct vm_config cfg;

static void expect(struct ending e, enum verdict verdict, int code)
{
	struct outcome o = policy_decide(&cfg, &e);

	assert_int_equal(o.verdict, verdict);
	if (verdict == VERDICT_END || verdict == VERDICT_PRESERVE)
		assert_int_equal(o.code, code);
}

static const enum policy policies[] = {
	POLICY_DESTROY, POLICY_RESTART, POLICY_PRESERVE,
};
static const enum verdict slow[] = {
	VERDICT_END, VERDICT_RESTART, VERDICT_PRESERVE,
};
static const enum verdict fast[] = {
	VERDICT_END, VERDICT_REBOOT, VERDICT_PRESERVE,
};

/* Each of the three decides about its own kind of end, and no other. */
static void test_configured(void **state)
{
	unsigned c, r, p;

	(void)state;
	for (c = 0; c < 3; c++)
		for (r = 0; r < 3; r++)
			for (p = 0; p < 3; p++) {
				cfg.on_crash = policies[c];
				cfg.on_reboot = policies[r];
				cfg.on_poweroff = policies[p];
				expect((struct ending){ .how = END_CRASH,
				       .ready = true }, slow[c], EXIT_CRASH);
				expect((struct ending){ .how = END_ERROR,
				       .ready = true }, slow[c], EXIT_VM_ERROR);
				expect((struct ending){ .how = END_NONE,
				       .ready = true }, slow[c], EXIT_DEVICE);
				expect((struct ending){ .how = END_RESET,
				       .ready = true }, fast[r], EXIT_REBOOT);
				expect((struct ending){ .how = END_POWER_OFF,
				       .ready = true }, slow[p], EXIT_OK);
				expect((struct ending){ .how = END_DEBUG_EXIT,
				       .value = 21, .ready = true },
				       VERDICT_END, 43);
				expect((struct ending){ .how = END_GONE,
				       .ready = true }, VERDICT_END, EXIT_GONE);
			}
}

static void test_never_ran(void **state)
{
	static const enum vm_end how[] = {
		END_NONE, END_CRASH, END_ERROR, END_REFUSED,
	};
	unsigned i, p;

	(void)state;
	for (p = 0; p < 3; p++)
		for (i = 0; i < ARRAY_SIZE(how); i++) {
			cfg.on_crash = policies[p];
			expect((struct ending){ .how = how[i] }, VERDICT_END,
			       EXIT_FAIL);
		}
}

static void test_operator(void **state)
{
	enum vm_end how;
	unsigned p;

	(void)state;
	for (p = 0; p < 3; p++) {
		cfg.on_crash = cfg.on_reboot = cfg.on_poweroff = policies[p];
		for (how = END_NONE; how <= END_REFUSED; how++) {
			expect((struct ending){ .how = how, .ready = true,
			       .want_kill = true, .want_reset = true },
			       VERDICT_END, EXIT_KILLED);
			expect((struct ending){ .how = how, .ready = true,
			       .want_reset = true }, VERDICT_REBOOT, 0);
		}
		/* A stop that was asked for is not undone. */
		expect((struct ending){ .how = END_POWER_OFF, .ready = true,
		       .want_stop = true }, VERDICT_END, EXIT_OK);
		expect((struct ending){ .how = END_CRASH, .ready = true,
		       .want_stop = true }, VERDICT_END, EXIT_CRASH);
		expect((struct ending){ .how = END_RESET, .ready = true,
		       .want_stop = true }, VERDICT_END, EXIT_REBOOT);
	}
}

/* Five at once, then one a second; and five again after a rest. */
static void test_pace(void **state)
{
	const u64 s = 1000000000;
	struct restarts r = { 0 };
	u64 now = 1000 * s;
	unsigned i;

	(void)state;
	for (i = 0; i < 5; i++)
		assert_int_equal(policy_restart_at(&r, now), now);
	for (i = 0; i < 100; i++) {
		assert_int_equal(policy_restart_at(&r, now), now + s);
		now += s;
	}
	now += 3 * s;
	for (i = 0; i < 3; i++)
		assert_int_equal(policy_restart_at(&r, now), now);
	assert_int_equal(policy_restart_at(&r, now), now + s);
	now += 3600 * s;
	for (i = 0; i < 5; i++)
		assert_int_equal(policy_restart_at(&r, now), now);
	assert_int_equal(policy_restart_at(&r, now), now + s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configured),
		cmocka_unit_test(test_never_ran),
		cmocka_unit_test(test_operator),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
