/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pit.h -- the PC's 8254 timer and system control port B (0x61).
 */
#ifndef VM_PIT_H
#define VM_PIT_H

#include "guests/control/lib/util.h"

#define PIT_HZ		1193182ull

struct pit_channel {
	u64 start;		/* board_ns() of the last load or trigger */
	u64 held;		/* ticks counted when the gate closed */
	u16 count;		/* as loaded; 0 means 65536 */
	u16 latch;
	u8 mode, bcd, access;
	u8 gate, running;
	u8 write_low, have_low;	/* first half of a two-byte load */
	u8 read_high;		/* next read gives the high byte */
	u8 latched;		/* bytes of latch not read yet */
	u8 status, status_latched;
};

struct pit {
	struct pit_channel ch[3];
	u8 speaker;
	u64 fired;		/* channel 0: of a one-shot, done */
};

void pit_init(struct pit *p);
u8 pit_read(struct pit *p, unsigned reg);
void pit_write(struct pit *p, unsigned reg, u8 val);
u8 pit_portb_read(struct pit *p);
void pit_portb_write(struct pit *p, u8 val);
void pit_timer(struct pit *p);	/* TIMER_PIT has run out */

#endif
