/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uart.c -- a 16550A serial port, after the PC16550D data sheet.
 *
 * Bytes take no time on the wire: THR is empty again at once unless the
 * outside has no room, and a receive FIFO below its trigger level counts as
 * timed out at once.  The interrupt is a function of the registers, computed
 * anew after every change by uart_update().  Only that THR ran empty is told
 * a little later, when the outside takes the bytes or IIR is read: a burst
 * into the FIFO is one interrupt then, as on the real thing.
 */
#include <string.h>

#include "board.h"
#include "uart.h"

enum {
	REG_DATA = 0, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR,
	REG_SCR,
	REG_FCR = 2,
};

#define IER_RX		BIT(0)
#define IER_TX		BIT(1)
#define IER_LINE	BIT(2)
#define IER_MODEM	BIT(3)
#define IER_MASK	0x0f

#define IIR_NONE	0x01
#define IIR_MODEM	0x00
#define IIR_TX		0x02
#define IIR_RX		0x04
#define IIR_LINE	0x06
#define IIR_TIMEOUT	0x0c
#define IIR_FIFO	0xc0

#define FCR_ENABLE	BIT(0)
#define FCR_CLEAR_RX	BIT(1)
#define FCR_CLEAR_TX	BIT(2)
#define FCR_KEEP	0xc9	/* enable, DMA mode, trigger level */

#define LCR_DLAB	BIT(7)

#define MCR_DTR		BIT(0)
#define MCR_RTS		BIT(1)
#define MCR_OUT1	BIT(2)
#define MCR_OUT2	BIT(3)
#define MCR_LOOP	BIT(4)
#define MCR_MASK	0x1f

#define LSR_READY	BIT(0)
#define LSR_OVERRUN	BIT(1)
#define LSR_THRE	BIT(5)
#define LSR_IDLE	BIT(6)

#define MSR_CTS		BIT(4)
#define MSR_DSR		BIT(5)
#define MSR_RI		BIT(6)
#define MSR_DCD		BIT(7)
#define MSR_TERI	BIT(2)

static bool fifo_on(const struct uart *u)
{
	return u->fcr & FCR_ENABLE;
}

static unsigned rx_trigger(const struct uart *u)
{
	static const u8 levels[4] = { 1, 4, 8, 14 };

	return fifo_on(u) ? levels[u->fcr >> 6] : 1;
}

static u8 modem_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u8)((u->mcr & MCR_RTS ? MSR_CTS : 0) |
		    (u->mcr & MCR_DTR ? MSR_DSR : 0) |
		    (u->mcr & MCR_OUT1 ? MSR_RI : 0) |
		    (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

/* The interrupt to report, highest priority first. */
static u8 uart_iir(const struct uart *u)
{
	if ((u->ier & IER_LINE) && u->errors)
		return IIR_LINE;
	if ((u->ier & IER_RX) && u->rx_count >= rx_trigger(u))
		return IIR_RX;
	if ((u->ier & IER_RX) && u->rx_count)
		return IIR_TIMEOUT;
	if ((u->ier & IER_TX) && u->thre)
		return IIR_TX;
	if ((u->ier & IER_MODEM) && u->delta)
		return IIR_MODEM;
	return IIR_NONE;
}

static void uart_update(struct uart *u)
{
	/*
	 * On a PC the OUT2 pin gates the interrupt; in loopback mode the
	 * pin is inactive whatever MCR says.
	 */
	bool gate = (u->mcr & MCR_OUT2) && !(u->mcr & MCR_LOOP);
	u8 level = gate && uart_iir(u) != IIR_NONE;

	if (level != u->line) {
		u->line = level;
		board_irq(u->irq, level);
	}
}

void uart_init(struct uart *u, unsigned port, unsigned irq)
{
	memset(u, 0, sizeof(*u));
	u->irq = (u8)irq;
	u->port = (u8)port;
	u->dll = 12;		/* 9600, as firmware leaves it */
	u->lcr = 3;
	u->thre = 1;
	board_irq(irq, false);
}

unsigned uart_rx_room(const struct uart *u)
{
	unsigned depth = fifo_on(u) ? UART_FIFO : 1;

	if (u->mcr & MCR_LOOP)
		return 0;
	return u->rx_count < depth ? depth - u->rx_count : 0;
}

static void rx_push(struct uart *u, u8 byte)
{
	unsigned depth = fifo_on(u) ? UART_FIFO : 1;

	if (u->rx_count == depth) {
		u->errors |= LSR_OVERRUN;
		/* The holding register is overwritten, a full FIFO is not. */
		if (!fifo_on(u))
			u->rx[u->rx_head] = byte;
		return;
	}
	u->rx[(u->rx_head + u->rx_count) % UART_FIFO] = byte;
	u->rx_count++;
}

static u8 rx_pop(struct uart *u)
{
	u8 byte;

	if (!u->rx_count)
		return 0;
	byte = u->rx[u->rx_head];
	u->rx_head = (u8)((u->rx_head + 1) % UART_FIFO);
	u->rx_count--;
	if (!u->rx_count || uart_rx_room(u) >= UART_FIFO / 2)
		board_serial_room(u->port);
	return byte;
}

void uart_rx(struct uart *u, u8 byte)
{
	rx_push(u, byte);
	uart_update(u);
}

static void tell_empty(struct uart *u)
{
	u->thre |= u->thre_due;
	u->thre_due = 0;
}

static void tx_byte(struct uart *u, u8 byte)
{
	u->thre = 0;
	if (u->mcr & MCR_LOOP)
		rx_push(u, byte);
	else if (u->tx_count || !board_serial_put(u->port, byte)) {
		if (u->tx_count < (fifo_on(u) ? UART_FIFO : 1))
			u->tx[u->tx_count++] = byte;
	}
	u->thre_due = !u->tx_count;
	/* Nobody outside will report a byte that came back. */
	if (u->mcr & MCR_LOOP)
		tell_empty(u);
}

void uart_tx_room(struct uart *u)
{
	unsigned i, n = 0;

	while (n < u->tx_count && board_serial_put(u->port, u->tx[n]))
		n++;
	for (i = n; i < u->tx_count; i++)
		u->tx[i - n] = u->tx[i];
	u->tx_count = (u8)(u->tx_count - n);
	u->thre_due |= n && !u->tx_count;
	tell_empty(u);
	uart_update(u);
}

static void write_fcr(struct uart *u, u8 val)
{
	bool flip = (val ^ u->fcr) & FCR_ENABLE;

	/* The other bits are not programmed unless bit 0 is written as 1. */
	if (!(val & FCR_ENABLE))
		val = 0;
	if (flip || (val & FCR_CLEAR_RX)) {
		u->rx_count = 0;
		board_serial_room(u->port);
	}
	if (flip || (val & FCR_CLEAR_TX)) {
		if (u->tx_count)
			u->thre = 1;
		u->tx_count = 0;
	}
	u->fcr = val & FCR_KEEP;
}

static void write_ier(struct uart *u, u8 val)
{
	/* Enabling the interrupt while THR is empty raises it. */
	if ((val & ~u->ier & IER_TX) && !u->tx_count) {
		u->thre = 1;
		u->thre_due = 0;
	}
	u->ier = val & IER_MASK;
}

static void write_mcr(struct uart *u, u8 val)
{
	u8 before = modem_lines(u), changed;

	u->mcr = val & MCR_MASK;
	changed = before ^ modem_lines(u);
	u->delta |= (changed >> 4) & ~MSR_TERI & 0x0f;
	if (before & changed & MSR_RI)
		u->delta |= MSR_TERI;
	if (!(u->mcr & MCR_LOOP))
		board_serial_room(u->port);
}

void uart_write(struct uart *u, unsigned reg, u8 val)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			u->dll = val;
		else
			tx_byte(u, val);
		break;
	case REG_IER:
		if (dlab)
			u->dlm = val;
		else
			write_ier(u, val);
		break;
	case REG_FCR:
		write_fcr(u, val);
		break;
	case REG_LCR:
		u->lcr = val;
		break;
	case REG_MCR:
		write_mcr(u, val);
		break;
	case REG_SCR:
		u->scr = val;
		break;
	}
	uart_update(u);
}

static u8 read_lsr(struct uart *u)
{
	u8 val = u->errors;

	if (u->rx_count)
		val |= LSR_READY;
	if (!u->tx_count)
		val |= LSR_THRE | LSR_IDLE;
	u->errors = 0;
	return val;
}

u8 uart_read(struct uart *u, unsigned reg)
{
	bool dlab = u->lcr & LCR_DLAB;
	u8 val = 0;

	switch (reg) {
	case REG_DATA:
		val = dlab ? u->dll : rx_pop(u);
		break;
	case REG_IER:
		val = dlab ? u->dlm : u->ier;
		break;
	case REG_IIR:
		tell_empty(u);
		val = uart_iir(u);
		if (val == IIR_TX)
			u->thre = 0;
		if (fifo_on(u))
			val |= IIR_FIFO;
		break;
	case REG_LCR:
		val = u->lcr;
		break;
	case REG_MCR:
		val = u->mcr;
		break;
	case REG_LSR:
		val = read_lsr(u);
		break;
	case REG_MSR:
		val = modem_lines(u) | u->delta;
		u->delta = 0;
		break;
	case REG_SCR:
		val = u->scr;
		break;
	}
	uart_update(u);
	return val;
}
