/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uart.c -- write-only 16550, polled.
 *
 * The control VM drives the same port with interrupts, and its driver must
 * not notice us: after uart_init() nothing is written but the transmit
 * register, and the line control register for as long as that takes.
 */
#include "drivers/uart.h"
#include "arch/x86/insn.h"
#include "core/errno.h"

/* 16550 registers; the first two are the divisor while LCR_DLAB is set. */
#define THR		0
#define DLL		0
#define DLM		1
#define IER		1
#define FCR		2
#define LCR		3
#define MCR		4
#define LSR		5
#define SCR		7

#define FCR_ENABLE_CLEAR	0x07	/* FIFOs on, both emptied */
#define LCR_8N1			0x03
#define LCR_DLAB		0x80
#define MCR_DTR_RTS		0x03	/* without OUT2: no interrupts */
#define LSR_THR_EMPTY		0x20
#define LSR_NONE		0xff	/* what an empty bus reads as */

#define CLOCK		115200

/*
 * Reads of the line status while waiting for room.  One takes about a
 * microsecond on a real bus; 16 characters at 1200 baud take 133,000.
 */
#define PATIENCE	200000

static bool scratch_holds(u16 port, u8 val)
{
	outb(port + SCR, val);
	return inb(port + SCR) == val;
}

int uart_init(struct uart *u, u16 port, u32 baud)
{
	u32 divisor = CLOCK / baud;

	*u = (struct uart){ .port = port };
	if (!scratch_holds(port, 0x5a) || !scratch_holds(port, 0xa5) ||
	    inb(port + LSR) == LSR_NONE)
		return -ENODEV;
	outb(port + LCR, LCR_8N1);
	outb(port + IER, 0);
	outb(port + LCR, LCR_8N1 | LCR_DLAB);
	outb(port + DLL, divisor & 0xff);
	outb(port + DLM, divisor >> 8);
	outb(port + LCR, LCR_8N1);
	outb(port + FCR, FCR_ENABLE_CLEAR);
	outb(port + MCR, MCR_DTR_RTS);
	return 0;
}

static void uart_send(struct uart *u, char c)
{
	/* A port that has jammed costs the full wait only once. */
	u32 left = u->stuck ? 1 : PATIENCE;
	u8 lcr;

	while (!(inb(u->port + LSR) & LSR_THR_EMPTY)) {
		if (!--left) {
			u->stuck = true;
			return;
		}
	}
	u->stuck = false;

	/* The control VM may be halfway through setting its baud rate. */
	lcr = inb(u->port + LCR);
	if (lcr & LCR_DLAB)
		outb(u->port + LCR, lcr & ~LCR_DLAB);
	outb(u->port + THR, c);
	if (lcr & LCR_DLAB)
		outb(u->port + LCR, lcr);
}

void uart_putc(struct uart *u, char c)
{
	if (c == '\n')
		uart_send(u, '\r');
	uart_send(u, c);
}
