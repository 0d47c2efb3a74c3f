/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_kbd.c -- the keyboard controller of joist-vm.
 */
#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/kbd.c"

static struct kbd k;

static int setup(void **state)
{
	(void)state;
	board_clear();
	kbd_init(&k);
	return 0;
}

static void test_self_test(void **state)
{
	(void)state;
	assert_false(kbd_read_status(&k) & STATUS_FULL);
	kbd_write_command(&k, CMD_SELF_TEST);
	assert_true(kbd_read_status(&k) & STATUS_FULL);
	assert_int_equal(kbd_read_data(&k), SELF_TEST_OK);
	assert_false(kbd_read_status(&k) & STATUS_FULL);
}

static void test_config(void **state)
{
	(void)state;
	kbd_write_command(&k, CMD_WRITE_CONFIG);
	kbd_write_data(&k, 0x47);
	kbd_write_command(&k, CMD_READ_CONFIG);
	assert_true(board.irq[IRQ_KBD]);	/* its interrupt is enabled now */
	assert_int_equal(kbd_read_data(&k), 0x47);
	assert_false(board.irq[IRQ_KBD]);
	kbd_write_command(&k, CMD_DISABLE_AUX);
	kbd_write_command(&k, CMD_READ_CONFIG);
	assert_int_equal(kbd_read_data(&k), 0x67);
}

static void test_reset(void **state)
{
	(void)state;
	kbd_write_command(&k, 0xff);		/* pulses nothing */
	kbd_write_command(&k, 0xf1);		/* not the reset line */
	assert_int_equal(board.resets, 0);
	kbd_write_command(&k, 0xfe);
	assert_int_equal(board.resets, 1);
	kbd_write_command(&k, CMD_WRITE_PORT);
	kbd_write_data(&k, 0xde);
	assert_int_equal(board.resets, 2);
	kbd_write_port92(&k, 0x02);
	assert_int_equal(board.resets, 2);
	kbd_write_port92(&k, 0x03);
	assert_int_equal(board.resets, 3);
}

/* There is no keyboard: its commands get no answer. */
static void test_no_keyboard(void **state)
{
	(void)state;
	assert_int_equal(kbd_read_status(&k) & 0xc0, 0xc0);
	kbd_write_data(&k, 0xff);
	assert_false(kbd_read_status(&k) & STATUS_FULL);
	kbd_write_command(&k, CMD_WRITE_AUX);
	kbd_write_data(&k, 0xf2);
	assert_false(kbd_read_status(&k) & STATUS_FULL);
}

static void test_a20(void **state)
{
	(void)state;
	assert_int_equal(kbd_read_port92(&k), 2);
	kbd_write_port92(&k, 0);
	assert_int_equal(kbd_read_port92(&k), 0);
	kbd_write_command(&k, CMD_WRITE_PORT);
	kbd_write_data(&k, 0xdf);
	assert_int_equal(kbd_read_port92(&k), 2);
}

/* Anything a guest may do, under the sanitizers. */
static void test_random(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < RANDOM_STEPS; i++) {
		unsigned r = board_random();

		if (r & 1)
			kbd_write_command(&k, (u8)(r >> 8));
		if (r & 2)
			kbd_write_data(&k, (u8)(r >> 16));
		if (r & 4)
			kbd_read_data(&k);
		kbd_read_status(&k);
		kbd_write_port92(&k, (u8)(r >> 24));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_self_test, setup),
		cmocka_unit_test_setup(test_config, setup),
		cmocka_unit_test_setup(test_reset, setup),
		cmocka_unit_test_setup(test_no_keyboard, setup),
		cmocka_unit_test_setup(test_a20, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
