/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm_board.h -- the machine around a device model under test: it keeps what
 * the device asked for.
 */
#ifndef TEST_VM_BOARD_H
#define TEST_VM_BOARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guests/control/joist-vm/board.h"

#define MSI_KEPT	8

static struct {
	u64 ns, wall;
	bool irq[24];
	unsigned rises[24];
	bool intr;
	unsigned msis;
	u64 msi_address[MSI_KEPT], msi_data[MSI_KEPT];
	u64 timer[TIMER_COUNT];
	unsigned serial_room;
	u8 serial[256];
	unsigned serial_len, rooms;
	unsigned resets, power_offs;
	u64 kicks, changes;	/* bit by PCI slot */
	int watched;		/* a descriptor, or -1 */
} board;

static inline void board_clear(void)
{
	memset(&board, 0, sizeof(board));
	board.ns = 1000000000;
	board.wall = 1700000000ull * 1000000000;
	board.serial_room = sizeof(board.serial);
}

static inline void board_pass(u64 ns)
{
	board.ns += ns;
	board.wall += ns;
}

/* For tests that do anything at all: the same sequence each time. */
static inline unsigned board_random(void)
{
	static u64 x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (unsigned)(x >> 16);
}

#define RANDOM_STEPS	200000

void board_irq(unsigned line, bool level)
{
	assert_true(line < 24);
	board.rises[line] += level && !board.irq[line];
	board.irq[line] = level;
}

void board_intr(bool level)
{
	board.intr = level;
}

void board_msi(u64 address, u64 data)
{
	board.msi_address[board.msis % MSI_KEPT] = address;
	board.msi_data[board.msis++ % MSI_KEPT] = data;
}

void board_kick(unsigned slot)
{
	board.kicks |= BIT(slot);
}

void board_virtio(unsigned slot)
{
	board.changes |= BIT(slot);
}

void board_watch(int fd, bool on)
{
	board.watched = on ? fd : -1;
}

u64 board_ns(void)
{
	return board.ns;
}

u64 board_wall_ns(void)
{
	return board.wall;
}

void board_timer(enum board_timer timer, u64 when)
{
	board.timer[timer] = when;
}

bool board_serial_put(unsigned port, u8 byte)
{
	(void)port;
	if (!board.serial_room)
		return false;
	board.serial_room--;
	board.serial[board.serial_len++ % sizeof(board.serial)] = byte;
	return true;
}

void board_serial_room(unsigned port)
{
	(void)port;
	board.rooms++;
}

void board_reset(const char *how)
{
	(void)how;
	board.resets++;
}

void board_power_off(void)
{
	board.power_offs++;
}

void board_debug_exit(u32 value)
{
	(void)value;
}

#endif
