/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * board.h -- what a device model may ask of the machine it sits in.
 *
 * Device models call nothing else, hold no pointers, and are called with the
 * machine's lock held; a unit test links its own version of these.
 */
#ifndef VM_BOARD_H
#define VM_BOARD_H

#include "guests/control/lib/util.h"

/* Interrupt lines by GSI; ISA interrupt n is line n. */
#define IRQ_PIT		0
#define IRQ_KBD		1
#define IRQ_COM2	3
#define IRQ_COM1	4
#define IRQ_RTC		8
#define IRQ_SCI		9

void board_irq(unsigned line, bool level);

/* The 8259s' INTR output to vCPU 0. */
void board_intr(bool level);

/* A message-signalled interrupt, as a device or IOAPIC writes it. */
void board_msi(u64 address, u64 data);

/*
 * The device in that PCI slot has work: virtio_serve() is called for it soon,
 * and not by a thread that runs a vCPU.
 */
void board_kick(unsigned slot);

/* The virtio device has become ready or not so, or its doorbells have moved. */
void board_virtio(unsigned slot);

/* Call the device when there is something to read from its descriptor. */
void board_watch(int fd, bool on);

/* Monotonic time; wall-clock time since 1970. */
u64 board_ns(void);
u64 board_wall_ns(void);

enum board_timer {
	TIMER_PIT,
	TIMER_RTC,
	TIMER_PM,
	TIMER_BALLOON,
	TIMER_BALLOON_ANSWER,
	TIMER_COUNT
};

/* One shot at that board_ns(); 0 is off. */
void board_timer(enum board_timer timer, u64 when);
#define TIMER_OFF	0ull

/*
 * A byte out of serial port COM1 (0) or COM2 (1), or of the virtio console;
 * false: no room.  uart_tx_room() or console_tx_room() follows.
 */
bool board_serial_put(unsigned port, u8 byte);
/* It has room for input again. */
void board_serial_room(unsigned port);

/*
 * The flash memory: whether the guest reads it as memory now; bytes that have
 * changed, false: they cannot be kept; all that was kept is to be durable.
 */
void board_flash_show(bool memory);
bool board_flash_store(u32 at, u32 len);
void board_flash_sync(void);

/*
 * Give pages of guest memory back (drop), or get them again: 0, or -ENOMEM with
 * what is left to do in *p.
 */
struct joist_pages;
int board_pages(bool drop, struct joist_pages *p);
/* What balloon_ask() was about. */
struct balloon_state;
void board_balloon(const struct balloon_state *s);

/*
 * A request of a disk has failed, for which op->error says why.  full: room is
 * what it lacked, or may be; true: it is to be kept, as the guest stops soon,
 * and blk_retry() follows when it goes on.
 */
struct disk;
struct io_op;
bool board_disk_error(const struct disk *d, const struct io_op *op, bool full);

void board_reset(const char *how);
void board_power_off(void);
void board_debug_exit(u32 value);

#endif
