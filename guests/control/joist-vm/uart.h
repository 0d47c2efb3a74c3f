/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uart.h -- a 16550A serial port.
 */
#ifndef VM_UART_H
#define VM_UART_H

#include "guests/control/lib/util.h"

#define UART_FIFO	16

struct uart {
	u8 rx[UART_FIFO];
	u8 rx_head, rx_count;
	u8 tx[UART_FIFO];	/* bytes the outside has no room for */
	u8 tx_count;
	u8 ier, fcr, lcr, mcr, scr, dll, dlm;
	u8 errors;		/* of LSR, until read */
	u8 delta;		/* of MSR, until read */
	u8 thre;		/* THR ran empty: an interrupt cause */
	u8 thre_due;		/* the same, not told yet */
	u8 line;		/* interrupt line's level */
	u8 irq;
	u8 port;		/* which of the board's serial ports */
};

void uart_init(struct uart *u, unsigned port, unsigned irq);
u8 uart_read(struct uart *u, unsigned reg);
void uart_write(struct uart *u, unsigned reg, u8 val);

/* Bytes that can be received now, and one of them. */
unsigned uart_rx_room(const struct uart *u);
void uart_rx(struct uart *u, u8 byte);
/* The outside has taken bytes. */
void uart_tx_room(struct uart *u);

#endif
