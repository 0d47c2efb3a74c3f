/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_pic.c -- the 8259s of joist-vm.
 */
#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/pic.c"

#define EOI	0x20

static struct pic p;

static void init(u8 icw4)
{
	unsigned c;

	for (c = 0; c < 2; c++) {
		pic_write(&p, c, 0, 0x11);
		pic_write(&p, c, 1, (u8)(0x30 + 8 * c));
		pic_write(&p, c, 1, c ? 2 : 4);
		pic_write(&p, c, 1, icw4);
		pic_write(&p, c, 1, 0);		/* nothing masked */
	}
}

static int setup(void **state)
{
	(void)state;
	board_clear();
	pic_init(&p);
	init(1);
	return 0;
}

static void pulse(unsigned line)
{
	pic_irq(&p, line, true);
	pic_irq(&p, line, false);
}

static void test_silent_before_init(void **state)
{
	(void)state;
	pic_init(&p);
	pic_irq(&p, 0, true);
	assert_false(board.intr);
}

static void test_edge(void **state)
{
	(void)state;
	pic_irq(&p, 4, true);
	assert_true(board.intr);
	assert_int_equal(pic_ack(&p), 0x34);
	assert_false(board.intr);
	pic_write(&p, 0, 0, EOI);
	assert_false(board.intr);		/* still high: no new edge */
	pic_irq(&p, 4, false);
	pic_irq(&p, 4, true);
	assert_true(board.intr);
}

static void test_priority_and_nesting(void **state)
{
	(void)state;
	pulse(4);
	pulse(1);
	assert_int_equal(pic_ack(&p), 0x31);
	assert_false(board.intr);		/* 4 waits for 1's EOI */
	pulse(0);
	assert_true(board.intr);
	assert_int_equal(pic_ack(&p), 0x30);
	pic_write(&p, 0, 0, EOI);		/* of 0 */
	assert_false(board.intr);
	pic_write(&p, 0, 0, EOI);		/* of 1 */
	assert_int_equal(pic_ack(&p), 0x34);
	pic_write(&p, 0, 0, EOI);
	assert_false(board.intr);
}

static void test_slave(void **state)
{
	(void)state;
	pulse(8);
	pulse(12);
	assert_int_equal(pic_ack(&p), 0x38);
	assert_false(board.intr);
	pic_write(&p, 1, 0, EOI);
	pic_write(&p, 0, 0, EOI);
	assert_true(board.intr);
	assert_int_equal(pic_ack(&p), 0x3c);
	pic_write(&p, 1, 0, EOI);
	pic_write(&p, 0, 0, EOI);
	assert_false(board.intr);
	pulse(2);				/* the cascade is no input */
	assert_false(board.intr);
}

static void test_mask_and_spurious(void **state)
{
	(void)state;
	pic_irq(&p, 5, true);
	assert_true(board.intr);
	pic_write(&p, 0, 1, 0xff);
	assert_false(board.intr);
	assert_int_equal(pic_ack(&p), 0x37);
	pic_write(&p, 0, 0, 0x0b);		/* read ISR: untouched */
	assert_int_equal(pic_read(&p, 0, 0), 0);
	pic_write(&p, 0, 1, 0);
	assert_int_equal(pic_ack(&p), 0x35);
	assert_int_equal(pic_read(&p, 0, 0), 0x20);
	pic_write(&p, 0, 0, 0x0a);		/* read IRR */
	assert_int_equal(pic_read(&p, 0, 0), 0);
}

static void test_level(void **state)
{
	(void)state;
	pic_elcr_write(&p, 1, 0xff);
	assert_int_equal(pic_elcr_read(&p, 1), 0xde);
	pic_irq(&p, 11, true);
	assert_int_equal(pic_ack(&p), 0x3b);
	pic_write(&p, 1, 0, EOI);
	pic_write(&p, 0, 0, EOI);
	assert_true(board.intr);		/* high: again */
	pic_irq(&p, 11, false);
	assert_false(board.intr);
}

static void test_auto_eoi(void **state)
{
	(void)state;
	init(3);
	pulse(3);
	assert_int_equal(pic_ack(&p), 0x33);
	pulse(3);
	assert_int_equal(pic_ack(&p), 0x33);
	assert_false(board.intr);
}

static void test_rotate_specific(void **state)
{
	(void)state;
	pulse(3);
	pulse(5);
	assert_int_equal(pic_ack(&p), 0x33);
	pic_write(&p, 0, 0, 0xa0);		/* rotate on EOI: 3 is lowest */
	pulse(3);
	assert_int_equal(pic_ack(&p), 0x35);
	pic_write(&p, 0, 0, 0x60 | 5);		/* specific EOI */
	assert_int_equal(pic_ack(&p), 0x33);
	pic_write(&p, 0, 0, 0xc7);		/* set priority back */
}

static void test_poll(void **state)
{
	(void)state;
	pulse(6);
	pic_write(&p, 0, 0, 0x0c);
	assert_int_equal(pic_read(&p, 0, 0), 0x86);
	assert_false(board.intr);
	pic_write(&p, 0, 0, EOI);
	pic_write(&p, 0, 0, 0x0c);
	assert_int_equal(pic_read(&p, 0, 0) & 0x80, 0);
}

static void test_special_mask(void **state)
{
	(void)state;
	pulse(1);
	assert_int_equal(pic_ack(&p), 0x31);
	pulse(4);
	assert_false(board.intr);
	pic_write(&p, 0, 0, 0x68);
	pic_write(&p, 0, 1, 0x02);
	assert_true(board.intr);		/* 1 is masked: 4 may come */
	assert_int_equal(pic_ack(&p), 0x34);
}

/* Anything a guest may do, under the sanitizers. */
static void test_random(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < RANDOM_STEPS; i++) {
		unsigned r = board_random();

		if (r & 0x100)
			pic_write(&p, r & 1, r >> 1 & 1, (u8)(r >> 16));
		else
			pic_read(&p, r & 1, r >> 1 & 1);
		pic_irq(&p, r >> 2 & 15, r >> 6 & 1);
		if (!(r & 0x600))
			pic_elcr_write(&p, r & 1, (u8)(r >> 24));
		if (board.intr && (r & 0x800))
			pic_ack(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_silent_before_init, setup),
		cmocka_unit_test_setup(test_edge, setup),
		cmocka_unit_test_setup(test_priority_and_nesting, setup),
		cmocka_unit_test_setup(test_slave, setup),
		cmocka_unit_test_setup(test_mask_and_spurious, setup),
		cmocka_unit_test_setup(test_level, setup),
		cmocka_unit_test_setup(test_auto_eoi, setup),
		cmocka_unit_test_setup(test_rotate_specific, setup),
		cmocka_unit_test_setup(test_poll, setup),
		cmocka_unit_test_setup(test_special_mask, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
