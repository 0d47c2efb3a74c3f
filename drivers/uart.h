/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uart.h -- a 16550 serial port as a console of Joist's own.
 */
#ifndef DRIVERS_UART_H
#define DRIVERS_UART_H

#include "core/types.h"

struct uart {
	u16 port;			/* of the first register */
	bool stuck;			/* it has not taken a byte for long */
};

/*
 * 8 data bits, no parity, 1 stop bit; baud is at least 50 and divides 115200.
 * -ENODEV: no 16550 answers there.
 */
int uart_init(struct uart *u, u16 port, u32 baud);

/* Waits a bounded time for room, then drops c; newline goes as CR LF. */
void uart_putc(struct uart *u, char c);

#endif
