/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_pci.c -- the PCI bus of joist-vm.
 */
#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/pci.c"

static struct pci p;

static int setup(void **state)
{
	(void)state;
	board_clear();
	pci_init(&p);
	return 0;
}

static u32 config(unsigned bus, unsigned dev, unsigned fn, unsigned reg)
{
	pci_write(&p, 0, 4, 0x80000000 | bus << 16 | dev << 11 | fn << 8 | reg);
	return pci_read(&p, 4, 4);
}

static void test_scan(void **state)
{
	unsigned dev, fn;

	(void)state;
	assert_int_equal(config(0, 0, 0, 0), 0x12378086);
	assert_int_equal(config(0, 0, 0, 8) >> 16, HOST_CLASS);
	assert_int_equal(config(1, 0, 0, 0), 0xffffffff);
	for (dev = 0; dev < 32; dev++)
		for (fn = !dev; fn < 8; fn++)
			assert_int_equal(config(0, dev, fn, 0), 0xffffffff);
}

static void test_disabled(void **state)
{
	(void)state;
	pci_write(&p, 0, 4, 0);
	assert_int_equal(pci_read(&p, 4, 4), 0xffffffff);
	pci_write(&p, 0, 4, 0xffffffff);
	assert_int_equal(pci_read(&p, 0, 4), 0x80fffffc);
}

static void test_bytes_and_words(void **state)
{
	(void)state;
	config(0, 0, 0, 0);
	assert_int_equal(pci_read(&p, 4, 2), 0x8086);
	assert_int_equal(pci_read(&p, 6, 2), 0x1237);
	assert_int_equal(pci_read(&p, 7, 1), 0x12);
	config(0, 0, 0, 0xfc);
	pci_write(&p, 7, 1, 0xff);
	assert_int_equal(pci_read(&p, 7, 1), 0);
}

static void test_read_only_and_writable(void **state)
{
	(void)state;
	p.dev[3].present = 1;
	p.dev[3].writable[0x3c] = 0xf0;
	config(0, 3, 0, 0x3c);
	pci_write(&p, 4, 4, 0xffffffff);
	assert_int_equal(pci_read(&p, 4, 4), 0xf0);
	config(0, 0, 0, 0);
	pci_write(&p, 4, 4, 0);
	assert_int_equal(pci_read(&p, 4, 4), 0x12378086);
}

static void test_reset(void **state)
{
	(void)state;
	pci_write(&p, 0, 4, 0x80000600);	/* no reset: a dword */
	assert_int_equal(board.resets, 0);
	pci_write(&p, 1, 1, 0x02);
	assert_int_equal(board.resets, 0);
	pci_write(&p, 1, 1, 0x06);
	assert_int_equal(board.resets, 1);
	assert_int_equal(pci_read(&p, 1, 1), 0x06);
	pci_write(&p, 1, 1, 0x06);		/* no rising edge */
	assert_int_equal(board.resets, 1);
}

/* Anything a guest may do, under the sanitizers. */
static void test_random(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < RANDOM_STEPS; i++) {
		unsigned r = board_random(), size = 1u << r % 3;
		unsigned at = (r >> 8) % (8 - size + 1);

		pci_write(&p, 0, 4, 0x80000000 | (board_random() & 0xffff));
		if (r & 4)
			pci_write(&p, at, size, board_random());
		else
			pci_read(&p, at, size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_scan, setup),
		cmocka_unit_test_setup(test_disabled, setup),
		cmocka_unit_test_setup(test_bytes_and_words, setup),
		cmocka_unit_test_setup(test_read_only_and_writable, setup),
		cmocka_unit_test_setup(test_reset, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
