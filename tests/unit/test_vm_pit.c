/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_pit.c -- the 8254 of joist-vm.
 */
#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/pit.c"

#define MS	1000000ull

static struct pit p;

static int setup(void **state)
{
	(void)state;
	board_clear();
	pit_init(&p);
	return 0;
}

static void program(unsigned ch, unsigned mode, unsigned count)
{
	pit_write(&p, 3, (u8)(ch << 6 | 0x30 | mode << 1));
	pit_write(&p, ch, (u8)count);
	pit_write(&p, ch, (u8)(count >> 8));
}

static unsigned count_of(unsigned ch)
{
	unsigned v;

	pit_write(&p, 3, (u8)(ch << 6));
	v = pit_read(&p, ch);
	return v | (unsigned)pit_read(&p, ch) << 8;
}

/* Let time go on to the timer's next edge. */
static void next_edge(void)
{
	assert_true(board.timer[TIMER_PIT] > board.ns);
	board_pass(board.timer[TIMER_PIT] - board.ns);
	pit_timer(&p);
}

static void test_periodic(void **state)
{
	u64 start = board.ns;
	unsigned i;

	(void)state;
	program(0, 2, 11932);			/* 100 Hz */
	for (i = 1; i <= 100; i++) {
		next_edge();
		assert_int_equal(board.rises[IRQ_PIT], i);
	}
	/* No drift: a second is a second. */
	assert_in_range(board.ns - start, 1000 * MS, 1001 * MS);
}

/* A timer that comes late gives one interrupt, and the phase stays. */
static void test_late(void **state)
{
	u64 start = board.ns;

	(void)state;
	program(0, 3, 11932);
	board_pass(95 * MS);
	pit_timer(&p);
	assert_int_equal(board.rises[IRQ_PIT], 1);
	assert_in_range(board.timer[TIMER_PIT] - start, 100 * MS - MS,
			100 * MS + MS);
}

static void test_one_shot(void **state)
{
	(void)state;
	program(0, 0, 1193);
	assert_false(board.irq[IRQ_PIT]);
	next_edge();
	assert_true(board.irq[IRQ_PIT]);
	assert_int_equal(board.timer[TIMER_PIT], 0);
	program(0, 0, 1193);
	assert_false(board.irq[IRQ_PIT]);
	pit_timer(&p);				/* an old one that came late */
	assert_false(board.irq[IRQ_PIT]);
	next_edge();
	assert_int_equal(board.rises[IRQ_PIT], 2);
}

static void test_count(void **state)
{
	(void)state;
	program(0, 2, 10000);
	assert_int_equal(count_of(0), 10000);
	board_pass(ticks_to_ns(100));
	assert_int_equal(count_of(0), 9900);
	board_pass(ticks_to_ns(10000));
	assert_in_range(count_of(0), 9898, 9900);
	program(0, 0, 0);			/* 65536 */
	board_pass(ticks_to_ns(65535));
	assert_int_equal(count_of(0), 1);
}

static void test_latch_holds(void **state)
{
	unsigned lo;

	(void)state;
	program(0, 2, 0x1234);
	pit_write(&p, 3, 0x00);
	board_pass(MS);
	lo = pit_read(&p, 0);
	assert_int_equal(lo, 0x34);
	assert_int_equal(pit_read(&p, 0), 0x12);
}

static void test_read_back(void **state)
{
	(void)state;
	program(0, 2, 0x1234);
	pit_write(&p, 3, 0xc2);			/* count and status of 0 */
	assert_int_equal(pit_read(&p, 0), 0xb4);
	assert_int_equal(pit_read(&p, 0), 0x34);
	assert_int_equal(pit_read(&p, 0), 0x12);
}

static void test_bcd(void **state)
{
	(void)state;
	pit_write(&p, 3, 0x35);
	pit_write(&p, 0, 0x00);
	pit_write(&p, 0, 0x10);			/* 1000 */
	board_pass(ticks_to_ns(1));
	assert_int_equal(count_of(0), 0x0999);
}

/* How Linux calibrates: channel 2, one-shot, watched through port 0x61. */
static void test_channel2(void **state)
{
	(void)state;
	pit_portb_write(&p, 0x01);
	program(2, 0, 11932);
	assert_false(pit_portb_read(&p) & PORTB_OUT2);
	board_pass(9 * MS);
	assert_false(pit_portb_read(&p) & PORTB_OUT2);
	board_pass(2 * MS);
	assert_true(pit_portb_read(&p) & PORTB_OUT2);
	assert_int_equal(board.rises[IRQ_PIT], 0);
}

static void test_gate_holds(void **state)
{
	unsigned before;

	(void)state;
	pit_portb_write(&p, 0x01);
	program(2, 0, 60000);
	board_pass(MS);
	pit_portb_write(&p, 0x00);
	before = count_of(2);
	board_pass(10 * MS);
	assert_int_equal(count_of(2), before);
	pit_portb_write(&p, 0x01);
	board_pass(MS);
	assert_in_range(before - count_of(2), 1190, 1196);
}

static void test_low_byte_only(void **state)
{
	(void)state;
	pit_write(&p, 3, 0x14);			/* channel 0, low byte, mode 2 */
	pit_write(&p, 0, 100);
	assert_int_equal(pit_read(&p, 0), 100);
	assert_int_equal(pit_read(&p, 0), 100);
	assert_true(board.timer[TIMER_PIT] > board.ns);
}

/* Anything a guest may do, under the sanitizers. */
static void test_random(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < RANDOM_STEPS; i++) {
		unsigned r = board_random();

		if (r & 4)
			pit_write(&p, r & 3, (u8)(r >> 16));
		else
			pit_read(&p, r & 3);
		if (r & 8)
			pit_portb_write(&p, (u8)(r >> 24));
		pit_portb_read(&p);
		board_pass(r >> 8 & 0xfffff);
		if (board.timer[TIMER_PIT] && board.timer[TIMER_PIT] <= board.ns)
			pit_timer(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_periodic, setup),
		cmocka_unit_test_setup(test_late, setup),
		cmocka_unit_test_setup(test_one_shot, setup),
		cmocka_unit_test_setup(test_count, setup),
		cmocka_unit_test_setup(test_latch_holds, setup),
		cmocka_unit_test_setup(test_read_back, setup),
		cmocka_unit_test_setup(test_bcd, setup),
		cmocka_unit_test_setup(test_channel2, setup),
		cmocka_unit_test_setup(test_gate_holds, setup),
		cmocka_unit_test_setup(test_low_byte_only, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
