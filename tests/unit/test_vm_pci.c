/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_pci.c -- the PCI bus of joist-vm.
 */
#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/bus.c"
#include "guests/control/joist-vm/pci.c"

static struct pci p;
static struct bus bus;

static int setup(void **state)
{
	(void)state;
	board_clear();
	memset(&bus, 0, sizeof(bus));
	pci_init(&p, &bus);
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
	assert_int_equal(config(0, 1, 0, 0), 0x70008086);
	assert_int_equal(config(0, 1, 0, 8) >> 16, ISA_CLASS);
	assert_int_equal(config(1, 0, 0, 0), 0xffffffff);
	for (dev = 0; dev < 32; dev++)
		for (fn = dev < 2; fn < 8; fn++)
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

static u32 function_get(unsigned dev, unsigned fn, unsigned at)
{
	pci_write(&p, 0, 4, 0x80000000 | dev << 11 | fn << 8 | at);
	return pci_read(&p, 4, 4);
}

/* PIIX4's function 3, as OVMF looks for it (BaseAcpiTimerLib). */
static void test_pm_function(void **state)
{
	(void)state;
	assert_int_equal(function_get(1, 3, 0), ~0u);
	assert_int_equal(function_get(1, 0, 0x0c) >> 16 & 0x80, 0);
	pci_add_pm(&p, 0xb000);
	assert_int_equal(function_get(1, 3, 0), 0x71138086);
	assert_int_equal(function_get(1, 3, 0x40), 0xb001);
	assert_int_equal(function_get(1, 3, 0x80) & 1, 1);
	assert_int_equal(function_get(1, 0, 0x0c) >> 16 & 0x80, 0x80);
	/* It cannot be moved, and there is no other function. */
	pci_write(&p, 0, 4, 0x80000000 | 1 << 11 | 3 << 8 | 0x40);
	pci_write(&p, 4, 4, 0x601);
	assert_int_equal(function_get(1, 3, 0x40), 0xb001);
	assert_int_equal(function_get(1, 3, 0x04) & 0xffff, 7);
	pci_write(&p, 4, 2, 0);
	assert_int_equal(function_get(1, 2, 0), ~0u);
	assert_int_equal(function_get(0, 3, 0), ~0u);
	assert_int_equal(function_get(2, 3, 0), ~0u);
}

static const struct pci_ids ids = {
	.vendor = 0x1af4, .device = 0x1042, .subsystem = 2, .revision = 1,
	.class = 0x010000,
};

static u64 bar_read(void *dev, u64 at, unsigned size)
{
	(void)size;
	return *(u32 *)dev + at;
}

static void bar_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)at;
	(void)size;
	*(u32 *)dev = (u32)val;
}

static u32 reg[PCI_SLOTS];

/* A device with a window of registers and one of MSI-X. */
static unsigned add(unsigned vectors)
{
	struct pci_bar b = {
		.size = 0x4000, .read = bar_read, .write = bar_write,
	};
	int slot = pci_add(&p, &ids);

	assert_true(slot > 0);
	b.dev = &reg[slot];
	reg[slot] = (u32)slot << 16;
	assert_int_equal(pci_add_bar(&p, (unsigned)slot, 0, &b), 0);
	assert_int_equal(pci_add_msix(&p, (unsigned)slot, 1, vectors), 0);
	return (unsigned)slot;
}

static void config_set(unsigned dev, unsigned at, unsigned size, u32 val);

/* Device windows answer above RAM and 2 GiB. */
static void test_window(void **state)
{
	unsigned slot = add(1);

	(void)state;
	assert_int_equal(pci_window(0), 0x80000000);
	assert_int_equal(pci_window(3 * GiB), 0xc0000000);
	config_set(slot, 4, 2, 2);
	config_set(slot, 0x10, 4, 0x80000000);
	assert_int_equal(p.dev[slot].bar[0].at, 0);
	p.window = pci_window(GiB);
	config_set(slot, 0x10, 4, 0x7fffc000);
	assert_int_equal(p.dev[slot].bar[0].at, 0);
	config_set(slot, 0x10, 4, 0x80000000);
	assert_int_equal(p.dev[slot].bar[0].at, 0x80000000);
	p.window = pci_window(3 * GiB);
	config_set(slot, 0x10, 4, 0xbfffc000);
	assert_int_equal(p.dev[slot].bar[0].at, 0);
	config_set(slot, 0x10, 4, 0xc0000000);
	assert_int_equal(p.dev[slot].bar[0].at, 0xc0000000);
}

static void config_set(unsigned dev, unsigned at, unsigned size, u32 val)
{
	pci_write(&p, 0, 4, 0x80000000 | dev << 11 | (at & 0xfc));
	pci_write(&p, 4 + at % 4, size, val);
}

static void test_bars(void **state)
{
	unsigned a = add(2), b = add(2);
	u32 at;

	(void)state;
	/* Sized, while memory is off. */
	at = config(0, a, 0, 0x10);
	assert_in_range(at, PCI_MMIO_BASE, PCI_MMIO_END - 1);
	config_set(a, 0x10, 4, 0xffffffff);
	assert_int_equal(config(0, a, 0, 0x10), 0xffffc000);
	config_set(a, 0x10, 4, at);
	config_set(a, 0x18, 4, 0xffffffff);	/* there is no BAR 2 */
	assert_int_equal(config(0, a, 0, 0x18), 0);
	assert_int_equal(bus_read(&bus, at, 4), 0xffffffff);
	config_set(a, 4, 2, 2);
	assert_int_equal(bus_read(&bus, at + 8, 4), reg[a] + 8);
	/* Moved. */
	config_set(a, 0x10, 4, 0xe0000000);
	assert_int_equal(bus_read(&bus, at, 4), 0xffffffff);
	assert_int_equal(bus_read(&bus, 0xe0000000, 4), reg[a]);
	/* Onto the other: the first slot wins, whoever came first. */
	config_set(b, 4, 2, 2);
	config_set(b, 0x10, 4, 0xe0000000);
	assert_int_equal(bus_read(&bus, 0xe0000000, 4), reg[a]);
	config_set(a, 0x10, 4, 0xe0010000);
	assert_int_equal(bus_read(&bus, 0xe0000000, 4), reg[b]);
}

static void test_bars_elsewhere(void **state)
{
	static const u32 places[] = {
		0, 0x100000, 0xbfffc000, 0xcfffc000, 0xfec00000, 0xfee00000,
		0xffffc000,
	};
	unsigned a = add(2), i;

	(void)state;
	config_set(a, 4, 2, 2);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		config_set(a, 0x10, 4, places[i]);
		assert_int_equal(p.dev[a].bar[0].at, 0);
		assert_int_equal(bus_read(&bus, places[i], 4), 0xffffffff);
		assert_int_equal(config(0, a, 0, 0x10), places[i]);
	}
	/* The window ends below the IOAPIC. */
	config_set(a, 0x10, 4, 0xfebfc000);
	assert_int_equal(bus_read(&bus, 0xfebfc000, 4), reg[a]);
	assert_int_equal(bus.count, 2);
}

static void test_msix(void **state)
{
	unsigned a = add(3), cap;
	u32 table;

	(void)state;
	cap = config(0, a, 0, 0x34) & 0xff;
	assert_int_equal(config(0, a, 0, cap) & 0xff, CAP_MSIX);
	assert_int_equal(config(0, a, 0, cap) >> 16, 2);	/* 3 vectors */
	config_set(a, 4, 2, 6);
	table = config(0, a, 0, 0x14);
	bus_write(&bus, table + 16, 4, 0xfee01000);
	bus_write(&bus, table + 24, 4, 0x4123);
	assert_int_equal(bus_read(&bus, table + 16, 8), 0xfee01000);
	/* Not enabled: nothing is kept. */
	pci_msix_raise(&p.dev[a], 1);
	assert_int_equal(board.msis, 0);
	config_set(a, cap + 2, 2, 0x8000);
	assert_true(pci_msix_enabled(&p.dev[a]));
	assert_int_equal(board.msis, 0);
	/* Masked at first: pending, sent once when unmasked. */
	pci_msix_raise(&p.dev[a], 1);
	pci_msix_raise(&p.dev[a], 1);
	assert_int_equal(bus_read(&bus, table + 0x800, 4), 2);
	bus_write(&bus, table + 28, 4, 0);
	assert_int_equal(board.msis, 1);
	assert_int_equal(board.msi_address[0], 0xfee01000);
	assert_int_equal(board.msi_data[0], 0x4123);
	assert_int_equal(bus_read(&bus, table + 0x800, 4), 0);
	/* All masked by the function's bit. */
	config_set(a, cap + 2, 2, 0xc000);
	pci_msix_raise(&p.dev[a], 1);
	assert_int_equal(board.msis, 1);
	config_set(a, cap + 2, 2, 0x8000);
	assert_int_equal(board.msis, 2);
	/* What is pending when it is disabled does not come any more. */
	bus_write(&bus, table + 28, 4, 1);
	pci_msix_raise(&p.dev[a], 1);
	assert_int_equal(bus_read(&bus, table + 0x800, 4), 2);
	config_set(a, cap + 2, 2, 0);
	assert_int_equal(bus_read(&bus, table + 0x800, 4), 0);
	config_set(a, cap + 2, 2, 0x8000);
	bus_write(&bus, table + 28, 4, 0);
	assert_int_equal(board.msis, 2);
	/* No such vector. */
	pci_msix_raise(&p.dev[a], 3);
	pci_msix_raise(&p.dev[a], 0xffff);
	assert_int_equal(board.msis, 2);
	assert_int_equal(bus_read(&bus, table + 48, 4), 0);
}

static void test_intx(void **state)
{
	unsigned slot[9], i, line;

	(void)state;
	for (i = 0; i < 9; i++)
		slot[i] = add(1);
	/* The first and the ninth share a line. */
	line = PCI_LINE(slot[0], 0);
	assert_int_equal(line, PCI_LINE(slot[8], 0));
	pci_intx(&p, slot[0], true);
	pci_intx(&p, slot[8], true);
	assert_true(board.irq[line]);
	assert_int_equal(config(0, slot[0], 0, 4) >> 16 & 8, 8);
	pci_intx(&p, slot[0], false);
	assert_true(board.irq[line]);
	config_set(slot[8], 4, 2, 0x400);
	assert_false(board.irq[line]);
	config_set(slot[8], 4, 2, 0);
	assert_true(board.irq[line]);
	pci_intx(&p, slot[8], false);
	assert_false(board.irq[line]);
}

static void test_full(void **state)
{
	struct pci_bar b = { .size = 0x80000000, .read = bar_read };
	unsigned i;

	(void)state;
	for (i = 2; i < PCI_SLOTS; i++)
		add(1);
	assert_int_equal(pci_add(&p, &ids), -ENOSPC);
	assert_int_equal(pci_add_bar(&p, 2, 0, &b), -ENOSPC);
	assert_int_equal(pci_add_msix(&p, 2, 1, 0), -EINVAL);
	assert_int_equal(pci_add_msix(&p, 2, 1, PCI_VECTORS + 1), -EINVAL);
	for (i = 0; pci_add_cap(&p.dev[2], 9, 20) > 0; i++)
		;
	assert_int_equal(i, (PCI_CONFIG - 0x40 - 12) / 20);
	/* All windows fit on the bus at once. */
	for (i = 2; i < PCI_SLOTS; i++)
		config_set(i, 4, 2, 2);
	assert_int_equal(bus.count, 2 * (PCI_SLOTS - 2));
}

/* Anything a guest may do, under the sanitizers. */
static void test_random(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 5; i++)
		add(1 + i);
	for (i = 0; i < RANDOM_STEPS; i++) {
		unsigned r = board_random(), size = 1u << r % 3;
		unsigned at = (r >> 8) % (8 - size + 1);

		if (r & 8)
			bus_write(&bus, PCI_MMIO_BASE + board_random() %
				  0x40000, 1u << (r >> 4) % 4, board_random());
		if (r & 16)
			pci_msix_raise(&p.dev[1 + (r >> 9) % 5],
				       (r >> 12) % 8);
		if (r & 32)
			pci_intx(&p, (r >> 9) % PCI_SLOTS, r >> 14 & 1);
		assert_true(bus.count <= 10);
		pci_write(&p, 0, 4, 0x80000000 | (board_random() & 0x3fff));
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
		cmocka_unit_test_setup(test_pm_function, setup),
		cmocka_unit_test_setup(test_window, setup),
		cmocka_unit_test_setup(test_bars, setup),
		cmocka_unit_test_setup(test_bars_elsewhere, setup),
		cmocka_unit_test_setup(test_msix, setup),
		cmocka_unit_test_setup(test_intx, setup),
		cmocka_unit_test_setup(test_full, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
