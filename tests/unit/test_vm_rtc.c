/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_rtc.c -- the real-time clock of joist-vm.
 */
#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/rtc.c"

static struct rtc r;

/* 2023-11-14 22:13:20 UTC, a Tuesday */
static int setup(void **state)
{
	(void)state;
	board_clear();
	rtc_init(&r, 3 * GiB, 5 * GiB);
	return 0;
}

static void set(unsigned reg, unsigned val)
{
	rtc_write(&r, 0, (u8)reg);
	rtc_write(&r, 1, (u8)val);
}

static unsigned get(unsigned reg)
{
	rtc_write(&r, 0, (u8)reg);
	return rtc_read(&r, 1);
}

static void next_timer(void)
{
	assert_true(board.timer[TIMER_RTC] > board.ns);
	board_pass(board.timer[TIMER_RTC] - board.ns);
	rtc_timer(&r);
}

static void test_time(void **state)
{
	(void)state;
	assert_int_equal(get(SEC), 0x20);
	assert_int_equal(get(MIN_), 0x13);
	assert_int_equal(get(HOUR), 0x22);
	assert_int_equal(get(WDAY), 3);
	assert_int_equal(get(MDAY), 0x14);
	assert_int_equal(get(MONTH), 0x11);
	assert_int_equal(get(YEAR), 0x23);
	assert_int_equal(get(CENTURY), 0x20);
	set(REG_B, B_BINARY);			/* binary, 12 hours */
	assert_int_equal(get(HOUR), 10 | HOUR_PM);
	assert_int_equal(get(SEC), 20);
	board_pass(5 * NS);
	assert_int_equal(get(SEC), 25);
	assert_int_equal(get(REG_D), D_VALID);
}

static void test_set_time(void **state)
{
	(void)state;
	set(REG_B, B_SET | B_24H);
	board_pass(3 * NS);
	assert_int_equal(get(SEC), 0x20);	/* held */
	set(SEC, 0x58);
	set(MIN_, 0x59);
	set(HOUR, 0x23);
	set(MDAY, 0x31);
	set(MONTH, 0x12);
	set(YEAR, 0x99);
	set(CENTURY, 0x19);
	set(REG_B, B_24H);
	board_pass(2 * NS);
	assert_int_equal(get(CENTURY), 0x20);
	assert_int_equal(get(YEAR), 0x00);
	assert_int_equal(get(MONTH), 1);
	assert_int_equal(get(HOUR), 0);
	assert_int_equal(get(SEC), 0);
	set(HOUR, 0x05);			/* without SET too */
	assert_int_equal(get(HOUR), 0x05);
}

static void test_nonsense_time(void **state)
{
	unsigned i, v;

	(void)state;
	for (v = 0; v < 256; v += 5)
		for (i = 0; i < 128; i++) {
			set(i, v);
			get(i);
		}
	rtc_timer(&r);
}

static void test_uip(void **state)
{
	(void)state;
	assert_false(get(REG_A) & A_UIP);
	board_pass(NS - 100000);
	assert_true(get(REG_A) & A_UIP);
	board_pass(100000);
	assert_false(get(REG_A) & A_UIP);
}

static void test_update_interrupt(void **state)
{
	(void)state;
	board_pass(NS / 3);
	get(REG_C);
	assert_int_equal(board.timer[TIMER_RTC], 0);
	set(REG_B, B_24H | B_UIE);
	next_timer();
	assert_true(board.irq[IRQ_RTC]);
	assert_int_equal(board.wall % NS, 0);
	assert_int_equal(get(REG_C) & (C_IRQF | C_UF), C_IRQF | C_UF);
	assert_false(board.irq[IRQ_RTC]);
	assert_int_equal(get(REG_C), 0);
	next_timer();
	assert_true(board.irq[IRQ_RTC]);
	set(REG_B, B_24H);
	assert_false(board.irq[IRQ_RTC]);
	assert_int_equal(board.timer[TIMER_RTC], 0);
}

static void test_alarm(void **state)
{
	unsigned i;

	(void)state;
	set(SEC_ALARM, 0x25);
	set(MIN_ALARM, 0x13);
	set(HOUR_ALARM, 0xff);			/* any hour */
	set(REG_B, B_24H | B_AIE);
	for (i = 0; i < 4; i++) {
		next_timer();
		assert_false(board.irq[IRQ_RTC]);
	}
	next_timer();
	assert_true(board.irq[IRQ_RTC]);
	assert_true(get(REG_C) & C_AF);
}

static void test_periodic(void **state)
{
	u64 start = board.ns;
	unsigned i;

	(void)state;
	set(REG_A, A_DIVIDER_RUN | 6);
	set(REG_B, B_24H | B_PIE);
	for (i = 1; i <= 1024; i++) {
		next_timer();
		assert_int_equal(board.rises[IRQ_RTC], i);
		assert_true(get(REG_C) & C_PF);
	}
	assert_in_range(board.ns - start, NS - NS / 512, NS + NS / 512);
}

/* Flags without their interrupts, for those who poll. */
static void test_polled_flags(void **state)
{
	(void)state;
	get(REG_C);
	board_pass(NS);
	assert_int_equal(get(REG_C), C_UF | C_PF);
	assert_int_equal(get(REG_C), 0);
	assert_false(board.irq[IRQ_RTC]);
}

static void test_memory(void **state)
{
	(void)state;
	assert_int_equal(get(CMOS_BASE_LOW) | get(CMOS_BASE_HIGH) << 8, 640);
	assert_int_equal(get(CMOS_EXT_LOW) | get(CMOS_EXT_HIGH) << 8, 0xffff);
	assert_int_equal(get(CMOS_16M_LOW) | get(CMOS_16M_HIGH) << 8,
			 (3 * 1024 - 16) * 16);
	assert_int_equal(get(CMOS_4G) | get(CMOS_4G + 1) << 8 |
			 get(CMOS_4G + 2) << 16,
			 5 * 1024 * 16);
	set(0x40, 0xa5);
	assert_int_equal(get(0x40), 0xa5);
	assert_int_equal(get(0x80 | 0x40), 0xa5);	/* NMI mask ignored */
}

/* Anything a guest may do, under the sanitizers. */
static void test_random(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < RANDOM_STEPS; i++) {
		unsigned x = board_random();

		set(x & 0x0f, x >> 16 & 0xff);
		get(x >> 8 & 0x7f);
		board_pass(x >> 4 & 0xffffff);
		if (board.timer[TIMER_RTC] && board.timer[TIMER_RTC] <= board.ns)
			rtc_timer(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_time, setup),
		cmocka_unit_test_setup(test_set_time, setup),
		cmocka_unit_test_setup(test_nonsense_time, setup),
		cmocka_unit_test_setup(test_uip, setup),
		cmocka_unit_test_setup(test_update_interrupt, setup),
		cmocka_unit_test_setup(test_alarm, setup),
		cmocka_unit_test_setup(test_periodic, setup),
		cmocka_unit_test_setup(test_polled_flags, setup),
		cmocka_unit_test_setup(test_memory, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
