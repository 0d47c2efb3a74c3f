/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_ioapic.c -- the I/O APIC of joist-vm.
 */
#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/ioapic.c"

static struct ioapic a;

static int setup(void **state)
{
	(void)state;
	board_clear();
	ioapic_init(&a);
	return 0;
}

static void set(unsigned reg, u32 val)
{
	ioapic_write(&a, REG_SELECT, reg);
	ioapic_write(&a, REG_WINDOW, val);
}

static u32 get(unsigned reg)
{
	ioapic_write(&a, REG_SELECT, reg);
	return ioapic_read(&a, REG_WINDOW);
}

static void entry(unsigned pin, u64 e)
{
	set(SEL_ENTRY + 2 * pin + 1, (u32)(e >> 32));
	set(SEL_ENTRY + 2 * pin, (u32)e);
}

static void test_registers(void **state)
{
	(void)state;
	assert_int_equal(get(SEL_VERSION), 0x00170011);
	set(SEL_ID, 0x0f000000);
	assert_int_equal(get(SEL_ID), 0x0f000000);
	assert_int_equal(get(SEL_ENTRY), 0x10000);	/* masked at reset */
	entry(23, ~0ull);
	assert_int_equal(get(SEL_ENTRY + 46), 0x1afff);
	assert_int_equal(get(SEL_ENTRY + 47), 0xff000000);
	set(SEL_ENTRY + 48, 1);				/* none such */
	assert_int_equal(get(SEL_ENTRY + 48), 0);
	assert_int_equal(get(0xff), 0);
}

static void test_edge(void **state)
{
	(void)state;
	entry(2, 0x0300000000000030ull);
	ioapic_irq(&a, 2, true);
	assert_int_equal(board.msis, 1);
	assert_int_equal(board.msi_address[0], 0xfee03000);
	assert_int_equal(board.msi_data[0], 0x4030);
	ioapic_irq(&a, 2, true);
	assert_int_equal(board.msis, 1);
	ioapic_irq(&a, 2, false);
	ioapic_irq(&a, 2, true);
	assert_int_equal(board.msis, 2);
}

/* 82093AA: "not delivered or held pending"; the next one comes. */
static void test_edge_while_masked(void **state)
{
	(void)state;
	ioapic_irq(&a, 5, true);
	ioapic_irq(&a, 5, false);
	entry(5, 0x40);
	assert_int_equal(board.msis, 0);
	entry(5, ENTRY_MASKED | 0x40);
	ioapic_irq(&a, 5, true);
	entry(5, 0x40);
	/* Nor is a line that is high when its entry opens an edge. */
	assert_int_equal(board.msis, 0);
	ioapic_irq(&a, 5, true);
	assert_int_equal(board.msis, 0);
	ioapic_irq(&a, 5, false);
	ioapic_irq(&a, 5, true);
	assert_int_equal(board.msis, 1);
	assert_int_equal(board.msi_data[0], 0x4040);
}

/* What came while an entry was level-triggered is no edge later. */
static void test_edge_after_level(void **state)
{
	(void)state;
	entry(5, ENTRY_LEVEL | 0x40);
	ioapic_irq(&a, 5, true);
	assert_int_equal(board.msis, 1);
	entry(5, 0x40);
	ioapic_irq(&a, 5, false);
	assert_int_equal(board.msis, 1);
	ioapic_irq(&a, 5, true);
	assert_int_equal(board.msis, 2);
}

static void test_level(void **state)
{
	(void)state;
	entry(9, ENTRY_LEVEL | ENTRY_LOGICAL | MODE_LOWEST | 0x51 |
	      0x0full << 56);
	ioapic_irq(&a, 9, true);
	assert_int_equal(board.msis, 1);
	assert_int_equal(board.msi_address[0], 0xfee0f00c);
	assert_int_equal(board.msi_data[0], 0xc151);
	assert_true(get(SEL_ENTRY + 18) & ENTRY_REMOTE);
	ioapic_irq(&a, 9, false);
	ioapic_irq(&a, 9, true);
	assert_int_equal(board.msis, 1);	/* not before the EOI */
	ioapic_eoi(&a, 0x50);
	assert_int_equal(board.msis, 1);
	ioapic_eoi(&a, 0x51);
	assert_int_equal(board.msis, 2);	/* still high */
	ioapic_irq(&a, 9, false);
	ioapic_eoi(&a, 0x51);
	assert_int_equal(board.msis, 2);
	assert_false(get(SEL_ENTRY + 18) & ENTRY_REMOTE);
}

/* Read-only bits cannot be written, turning to edge clears remote IRR. */
static void test_remote_irr(void **state)
{
	(void)state;
	entry(9, ENTRY_LEVEL | ENTRY_REMOTE | 0x51);
	assert_false(get(SEL_ENTRY + 18) & ENTRY_REMOTE);
	ioapic_irq(&a, 9, true);
	entry(9, ENTRY_LEVEL | ENTRY_MASKED | 0x51);
	assert_true(get(SEL_ENTRY + 18) & ENTRY_REMOTE);
	entry(9, ENTRY_MASKED | 0x51);
	assert_false(get(SEL_ENTRY + 18) & ENTRY_REMOTE);
	entry(9, ENTRY_LEVEL | 0x51);
	assert_int_equal(board.msis, 2);
}

static void test_two_pins_one_vector(void **state)
{
	(void)state;
	entry(10, ENTRY_LEVEL | 0x61);
	entry(11, ENTRY_LEVEL | 0x61);
	ioapic_irq(&a, 10, true);
	ioapic_irq(&a, 11, true);
	assert_int_equal(board.msis, 2);
	ioapic_irq(&a, 10, false);
	ioapic_eoi(&a, 0x61);
	assert_int_equal(board.msis, 3);
	ioapic_irq(&a, 30, true);		/* no such pin */
}

/* Anything a guest may do, under the sanitizers. */
static void test_random(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < RANDOM_STEPS; i++) {
		unsigned r = board_random();

		ioapic_write(&a, REG_SELECT, r >> 8 & 0x3f);
		if (r & 1)
			ioapic_write(&a, REG_WINDOW, board_random());
		else
			ioapic_read(&a, REG_WINDOW);
		ioapic_irq(&a, r >> 1 & 31, r >> 6 & 1);
		ioapic_eoi(&a, (u8)(r >> 16));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_registers, setup),
		cmocka_unit_test_setup(test_edge, setup),
		cmocka_unit_test_setup(test_edge_while_masked, setup),
		cmocka_unit_test_setup(test_edge_after_level, setup),
		cmocka_unit_test_setup(test_level, setup),
		cmocka_unit_test_setup(test_remote_irr, setup),
		cmocka_unit_test_setup(test_two_pins_one_vector, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
