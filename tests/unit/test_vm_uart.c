/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_uart.c -- the 16550A of joist-vm.
 */
#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/uart.c"

static struct uart u;

static int setup(void **state)
{
	(void)state;
	board_clear();
	uart_init(&u, 0, 4);
	uart_write(&u, REG_MCR, MCR_OUT2);
	return 0;
}

/* What Linux's 8250 driver does to find out which chip it is. */
static void test_autodetect(void **state)
{
	(void)state;
	uart_write(&u, REG_IER, 0);
	assert_int_equal(uart_read(&u, REG_IER), 0);
	uart_write(&u, REG_IER, 0x0f);
	assert_int_equal(uart_read(&u, REG_IER), 0x0f);
	uart_write(&u, REG_IER, 0);
	uart_write(&u, REG_MCR, MCR_LOOP | 0x0a);
	assert_int_equal(uart_read(&u, REG_MSR) & 0xf0, 0x90);
	uart_write(&u, REG_MCR, 0);
	uart_write(&u, REG_LCR, 0);
	uart_write(&u, REG_FCR, FCR_ENABLE);
	assert_int_equal(uart_read(&u, REG_IIR) >> 6, 3);
	uart_write(&u, REG_FCR, 0);
	assert_int_equal(uart_read(&u, REG_IIR) >> 6, 0);
	uart_write(&u, REG_SCR, 0x5a);
	assert_int_equal(uart_read(&u, REG_SCR), 0x5a);
	/* A 16750 would keep bit 5, the 64-byte FIFO, under DLAB. */
	uart_write(&u, REG_LCR, LCR_DLAB);
	uart_write(&u, REG_FCR, 0x21);
	assert_int_equal(uart_read(&u, REG_IIR) & 0x20, 0);
}

static void test_transmit(void **state)
{
	unsigned i;

	(void)state;
	uart_write(&u, REG_IER, IER_TX);
	assert_true(board.irq[4]);
	assert_int_equal(uart_read(&u, REG_IIR), IIR_TX);
	assert_false(board.irq[4]);		/* reading IIR tells it */
	for (i = 0; i < 5; i++)
		uart_write(&u, REG_DATA, (u8)('a' + i));
	assert_int_equal(board.serial_len, 5);
	assert_memory_equal(board.serial, "abcde", 5);
	assert_int_equal(uart_read(&u, REG_LSR), LSR_THRE | LSR_IDLE);
	assert_int_equal(board.rises[4], 1);
	uart_tx_room(&u);			/* they are gone: one edge */
	assert_int_equal(board.rises[4], 2);
	uart_tx_room(&u);
	assert_int_equal(board.rises[4], 2);
	/* A write, too, acknowledges: the next edge is a new one. */
	uart_write(&u, REG_DATA, 'f');
	assert_false(board.irq[4]);
	uart_tx_room(&u);
	assert_int_equal(board.rises[4], 3);
	/* Who asks before is told, without an interrupt. */
	uart_write(&u, REG_DATA, 'g');
	assert_int_equal(uart_read(&u, REG_IIR), IIR_TX);
	assert_int_equal(uart_read(&u, REG_IIR), IIR_NONE);
	uart_tx_room(&u);
	assert_int_equal(board.rises[4], 3);
}

/* No room outside: THR stays full, and nothing is lost. */
static void test_transmit_blocked(void **state)
{
	unsigned i;

	(void)state;
	uart_write(&u, REG_FCR, FCR_ENABLE);
	uart_write(&u, REG_IER, IER_TX);
	uart_read(&u, REG_IIR);
	board.serial_room = 0;
	for (i = 0; i < 16; i++)
		uart_write(&u, REG_DATA, (u8)('a' + i));
	assert_int_equal(uart_read(&u, REG_LSR) & (LSR_THRE | LSR_IDLE), 0);
	assert_false(board.irq[4]);
	board.serial_room = 10;
	uart_tx_room(&u);
	assert_false(board.irq[4]);
	assert_int_equal(board.serial_len, 10);
	board.serial_room = 10;
	uart_tx_room(&u);
	assert_true(board.irq[4]);
	assert_int_equal(board.serial_len, 16);
	assert_memory_equal(board.serial, "abcdefghijklmnop", 16);
	assert_int_equal(uart_read(&u, REG_LSR) & LSR_THRE, LSR_THRE);
}

static void test_receive(void **state)
{
	unsigned i;

	(void)state;
	uart_write(&u, REG_FCR, FCR_ENABLE | 0x80);	/* trigger at 8 */
	uart_write(&u, REG_IER, IER_RX | IER_LINE);
	assert_int_equal(uart_rx_room(&u), 16);
	uart_rx(&u, 'x');
	assert_true(board.irq[4]);
	assert_int_equal(uart_read(&u, REG_IIR) & 0x0f, IIR_TIMEOUT);
	for (i = 1; i < 16; i++)
		uart_rx(&u, (u8)i);
	assert_int_equal(uart_rx_room(&u), 0);
	assert_int_equal(uart_read(&u, REG_IIR) & 0x0f, IIR_RX);
	uart_rx(&u, 'z');			/* one too many */
	assert_int_equal(uart_read(&u, REG_IIR) & 0x0f, IIR_LINE);
	assert_int_equal(uart_read(&u, REG_LSR) & 0x03, 0x03);
	assert_int_equal(uart_read(&u, REG_LSR) & 0x03, 0x01);
	assert_int_equal(uart_read(&u, REG_DATA), 'x');
	for (i = 1; i < 16; i++)
		assert_int_equal(uart_read(&u, REG_DATA), i);
	assert_false(board.irq[4]);
	assert_int_equal(uart_read(&u, REG_LSR) & LSR_READY, 0);
	assert_true(board.rooms > 0);
}

static void test_loopback(void **state)
{
	(void)state;
	uart_write(&u, REG_MCR, MCR_LOOP | MCR_OUT2);
	uart_write(&u, REG_IER, IER_RX);
	uart_write(&u, REG_DATA, 'q');
	assert_int_equal(board.serial_len, 0);
	assert_false(board.irq[4]);		/* OUT2's pin is off */
	assert_int_equal(uart_rx_room(&u), 0);	/* nothing from outside */
	assert_int_equal(uart_read(&u, REG_DATA), 'q');
}

static void test_out2_gates(void **state)
{
	(void)state;
	uart_write(&u, REG_IER, IER_TX);
	assert_true(board.irq[4]);
	uart_write(&u, REG_MCR, 0);
	assert_false(board.irq[4]);
}

static void test_modem_delta(void **state)
{
	(void)state;
	uart_read(&u, REG_MSR);
	uart_write(&u, REG_MCR, MCR_LOOP | MCR_OUT1 | MCR_OUT2);
	uart_read(&u, REG_MSR);
	uart_write(&u, REG_MCR, MCR_LOOP | MCR_OUT2);	/* ring falls */
	assert_int_equal(uart_read(&u, REG_MSR) & 0x0f, MSR_TERI);
	assert_int_equal(uart_read(&u, REG_MSR) & 0x0f, 0);
	uart_write(&u, REG_MCR, MCR_LOOP | MCR_OUT2 | MCR_RTS);
	assert_int_equal(uart_read(&u, REG_MSR), 0x90 | 1);
}

static void test_divisor(void **state)
{
	(void)state;
	uart_write(&u, REG_LCR, LCR_DLAB);
	uart_write(&u, REG_DATA, 1);
	uart_write(&u, REG_IER, 2);
	assert_int_equal(board.serial_len, 0);
	assert_int_equal(uart_read(&u, REG_DATA), 1);
	assert_int_equal(uart_read(&u, REG_IER), 2);
	uart_write(&u, REG_LCR, 3);
	assert_int_equal(uart_read(&u, REG_IER), 0);
}

/* Anything a guest may do, under the sanitizers. */
static void test_random(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < RANDOM_STEPS; i++) {
		unsigned r = board_random();

		if (r & 0x100)
			uart_write(&u, r & 7, (u8)(r >> 16));
		else
			uart_read(&u, r & 7);
		if (!(r & 0x600) && uart_rx_room(&u))
			uart_rx(&u, (u8)r);
		if (!(r & 0x1800)) {
			board.serial_room = r >> 24 & 3;
			uart_tx_room(&u);
		}
		assert_in_range(u.rx_count, 0, UART_FIFO);
		assert_in_range(u.tx_count, 0, UART_FIFO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_autodetect, setup),
		cmocka_unit_test_setup(test_transmit, setup),
		cmocka_unit_test_setup(test_transmit_blocked, setup),
		cmocka_unit_test_setup(test_receive, setup),
		cmocka_unit_test_setup(test_loopback, setup),
		cmocka_unit_test_setup(test_out2_gates, setup),
		cmocka_unit_test_setup(test_modem_delta, setup),
		cmocka_unit_test_setup(test_divisor, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
