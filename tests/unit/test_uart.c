/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_uart.c -- the serial driver on a 16550 made of variables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/string.h"
#include "core/types.h"

/* In place of arch/x86/insn.h. */
#define ARCH_X86_INSN_H
static u8 inb(u16 port);
static void outb(u16 port, u8 val);

#include "drivers/uart.c"

#define BASE	0x2f8

static struct {
	bool absent, scratch_only;	/* nothing there; or not a UART */
	u8 reg[8];
	u8 divisor[2];
	u32 full;			/* LSR reads until there is room */
	u64 lsr_reads;
	char sent[256];
	u32 len;
} dev;

static u8 inb(u16 port)
{
	u16 r = port - BASE;

	assert_in_range(port, BASE, BASE + 7);
	if (dev.absent || (dev.scratch_only && r != SCR))
		return 0xff;
	if (r == LSR) {
		dev.lsr_reads++;
		if (dev.full) {
			dev.full -= dev.full != ~0u;
			return 0;
		}
		return LSR_THR_EMPTY;
	}
	return dev.reg[r];
}

static void outb(u16 port, u8 val)
{
	u16 r = port - BASE;

	assert_in_range(port, BASE, BASE + 7);
	if (dev.absent)
		return;
	if (r <= DLM && dev.reg[LCR] & LCR_DLAB) {
		dev.divisor[r] = val;
	} else if (r == THR) {
		/* Room must have been seen. */
		assert_int_equal(dev.full, 0);
		assert_true(dev.len < sizeof(dev.sent) - 1);
		dev.sent[dev.len++] = val;
	} else {
		dev.reg[r] = val;
	}
}

static struct uart uart;

static int start(u32 baud)
{
	memset(&dev, 0, sizeof(dev));
	return uart_init(&uart, BASE, baud);
}

static void print(const char *s)
{
	while (*s)
		uart_putc(&uart, *s++);
}

static void test_init(void **state)
{
	(void)state;

	assert_int_equal(start(115200), 0);
	assert_int_equal(dev.divisor[0], 1);
	assert_int_equal(dev.divisor[1], 0);
	assert_int_equal(dev.reg[LCR], LCR_8N1);
	assert_int_equal(dev.reg[IER], 0);
	assert_int_equal(dev.reg[MCR], MCR_DTR_RTS);
	assert_int_equal(start(9600), 0);
	assert_int_equal(dev.divisor[0], 12);
	assert_int_equal(start(50), 0);
	assert_int_equal(dev.divisor[0] | dev.divisor[1] << 8, 2304);
	assert_int_equal(dev.len, 0);

	/* Firmware left the divisor latch open and interrupts on. */
	memset(&dev, 0, sizeof(dev));
	dev.reg[LCR] = LCR_DLAB;
	dev.reg[IER] = 0x0f;
	assert_int_equal(uart_init(&uart, BASE, 115200), 0);
	assert_int_equal(dev.reg[IER], 0);
}

static void test_absent(void **state)
{
	(void)state;

	memset(&dev, 0, sizeof(dev));
	dev.absent = true;
	assert_int_equal(uart_init(&uart, BASE, 115200), -ENODEV);
	dev.absent = false;
	dev.scratch_only = true;
	assert_int_equal(uart_init(&uart, BASE, 115200), -ENODEV);
}

static void test_print(void **state)
{
	(void)state;

	assert_int_equal(start(115200), 0);
	dev.full = 1000;
	print("a\nb\n");
	assert_string_equal(dev.sent, "a\r\nb\r\n");
	assert_false(uart.stuck);
}

static void test_jam(void **state)
{
	(void)state;

	/* One long wait, then one look a character. */
	assert_int_equal(start(115200), 0);
	dev.full = ~0u;
	dev.lsr_reads = 0;
	print("x");
	assert_int_equal(dev.lsr_reads, PATIENCE);
	print("yyyyyyyyyy");
	assert_int_equal(dev.lsr_reads, PATIENCE + 10);
	assert_int_equal(dev.len, 0);

	/* It recovers by itself, and is waited for again. */
	dev.full = 0;
	print("z");
	dev.full = 100;
	print("!");
	assert_string_equal(dev.sent, "z!");
}

static void test_divisor_latch(void **state)
{
	(void)state;

	/* The control VM has it open: nothing of its is lost. */
	assert_int_equal(start(115200), 0);
	dev.reg[LCR] = LCR_DLAB | 0x1b;
	dev.divisor[0] = 3;
	print("hi");
	assert_string_equal(dev.sent, "hi");
	assert_int_equal(dev.divisor[0], 3);
	assert_int_equal(dev.reg[LCR], LCR_DLAB | 0x1b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_jam),
		cmocka_unit_test(test_divisor_latch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
