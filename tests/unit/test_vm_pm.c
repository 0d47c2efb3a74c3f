/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_pm.c -- ACPI fixed hardware of joist-vm.
 */
#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/pm.c"

static struct pm p;

static int setup(void **state)
{
	(void)state;
	board_clear();
	pm_init(&p);
	return 0;
}

static void test_power_button(void **state)
{
	(void)state;
	pm_power_button(&p);
	assert_false(board.irq[IRQ_SCI]);
	pm_write(&p, 2, 2, STS_BUTTON);
	assert_true(board.irq[IRQ_SCI]);
	assert_int_equal(pm_read(&p, 0, 2) & 0xffff, STS_BUTTON);
	assert_int_equal(pm_read(&p, 1, 1) & 0xff, STS_BUTTON >> 8);
	pm_write(&p, 0, 2, 0);			/* writing 0 clears nothing */
	assert_true(board.irq[IRQ_SCI]);
	pm_write(&p, 0, 2, STS_BUTTON);
	assert_false(board.irq[IRQ_SCI]);
	assert_int_equal(pm_read(&p, 2, 2) & 0xffff, STS_BUTTON);
}

static void test_power_off(void **state)
{
	(void)state;
	assert_int_equal(pm_read(&p, PM_CNT, 2) & 0xffff, CNT_SCI);
	pm_write(&p, PM_CNT, 2, PM_SLP_TYP_S5 << 10);
	assert_int_equal(board.power_offs, 0);
	pm_write(&p, PM_CNT, 2, 3 << 10 | CNT_SLP_EN);	/* no such state */
	assert_int_equal(board.power_offs, 0);
	pm_write(&p, PM_CNT, 2, PM_SLP_TYP_S5 << 10 | CNT_SLP_EN);
	assert_int_equal(board.power_offs, 1);
}

static void test_power_off_by_bytes(void **state)
{
	(void)state;
	pm_write(&p, PM_CNT, 1, 0);
	pm_write(&p, PM_CNT + 1, 1, PM_SLP_TYP_S5 << 2 | CNT_SLP_EN >> 8);
	assert_int_equal(board.power_offs, 1);
}

static void test_timer(void **state)
{
	u32 t = pm_read(&p, PM_TMR, 4);

	(void)state;
	board_pass(NS);
	assert_int_equal(pm_read(&p, PM_TMR, 4) - t, PM_HZ);
	pm_write(&p, PM_TMR, 4, 0);		/* read-only */
	assert_int_equal(pm_read(&p, PM_TMR, 4) - t, PM_HZ);
}

static void test_timer_overflow(void **state)
{
	(void)state;
	assert_int_equal(board.timer[TIMER_PM], 0);
	pm_write(&p, 2, 2, STS_TIMER);
	assert_true(board.timer[TIMER_PM] > board.ns + 599 * NS);
	board_pass(board.timer[TIMER_PM] - board.ns);
	pm_timer(&p);
	assert_true(board.irq[IRQ_SCI]);
	assert_true(pm_read(&p, PM_TMR, 4) >= HALF_TURN);
	pm_write(&p, 0, 2, STS_TIMER);
	assert_false(board.irq[IRQ_SCI]);
	assert_true(board.timer[TIMER_PM] > board.ns + 599 * NS);
}

static void test_every_access(void **state)
{
	unsigned at, size;

	(void)state;
	for (size = 1; size <= 4; size *= 2)
		for (at = 0; at + size <= PM_LEN; at++) {
			pm_write(&p, at, size, ~(u32)CNT_SLP_EN);
			pm_read(&p, at, size);
		}
}

/* Anything a guest may do, under the sanitizers. */
static void test_random(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < RANDOM_STEPS; i++) {
		unsigned r = board_random(), size = 1u << r % 3;
		unsigned at = (r >> 8) % (PM_LEN - size + 1);

		if (r & 4)
			pm_write(&p, at, size, board_random());
		else
			pm_read(&p, at, size);
		board_pass((u64)board_random() * 16);
		if (board.timer[TIMER_PM] && board.timer[TIMER_PM] <= board.ns)
			pm_timer(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_power_button, setup),
		cmocka_unit_test_setup(test_power_off, setup),
		cmocka_unit_test_setup(test_power_off_by_bytes, setup),
		cmocka_unit_test_setup(test_timer, setup),
		cmocka_unit_test_setup(test_timer_overflow, setup),
		cmocka_unit_test_setup(test_every_access, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
