/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus.h -- which device answers at an I/O port or a memory address.
 */
#ifndef VM_BUS_H
#define VM_BUS_H

#include "guests/control/lib/util.h"

/*
 * `offset` is from the window's base; `size` is 1, 2, 4 or 8 and at most the
 * window's width, and the access lies inside the window.
 */
typedef u64 bus_read_fn(void *dev, u64 offset, unsigned size);
typedef void bus_write_fn(void *dev, u64 offset, unsigned size, u64 value);

struct bus_window {
	u64 base;
	u64 len;
	unsigned width;		/* widest access the device takes in one */
	void *dev;
	bus_read_fn *read;
	bus_write_fn *write;
};

#define BUS_WINDOWS	96

struct bus {
	unsigned count;
	struct bus_window windows[BUS_WINDOWS];	/* by base, not overlapping */
};

/* -EEXIST: overlaps another window; -ENOSPC. */
int bus_add(struct bus *b, const struct bus_window *w);
/* The window at that base, if there is one. */
void bus_remove(struct bus *b, u64 base);

/*
 * As on a PC: a wide access to narrow registers is split, lowest first;
 * where nobody answers, reads give ones and writes are dropped.
 */
u64 bus_read(const struct bus *b, u64 addr, unsigned size);
void bus_write(const struct bus *b, u64 addr, unsigned size, u64 value);

#endif
