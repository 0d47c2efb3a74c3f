/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus.c -- which device answers at an I/O port or a memory address.
 */
#include <errno.h>
#include <string.h>

#include "bus.h"

/* Index of the first window that ends behind addr. */
static unsigned bus_search(const struct bus *b, u64 addr)
{
	unsigned lo = 0, hi = b->count, mid;
	const struct bus_window *w;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		w = &b->windows[mid];
		if (w->base + (w->len - 1) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The first window that the access meets, or NULL. */
static const struct bus_window *bus_find(const struct bus *b, u64 addr,
					 unsigned size)
{
	unsigned i = bus_search(b, addr);

	if (i == b->count || (b->windows[i].base > addr &&
			      b->windows[i].base - addr >= size))
		return NULL;
	return &b->windows[i];
}

int bus_add(struct bus *b, const struct bus_window *w)
{
	unsigned i = bus_search(b, w->base);

	if (!w->len || w->len - 1 > ~0ull - w->base)
		return -EINVAL;
	if (b->count == BUS_WINDOWS)
		return -ENOSPC;
	if (i < b->count && b->windows[i].base <= w->base + (w->len - 1))
		return -EEXIST;
	memmove(&b->windows[i + 1], &b->windows[i],
		(b->count - i) * sizeof(*w));
	b->windows[i] = *w;
	b->count++;
	return 0;
}

void bus_remove(struct bus *b, u64 base)
{
	unsigned i = bus_search(b, base);

	if (i == b->count || b->windows[i].base != base)
		return;
	b->count--;
	memmove(&b->windows[i], &b->windows[i + 1],
		(b->count - i) * sizeof(b->windows[0]));
}

static u64 ones(unsigned size)
{
	return size >= 8 ? ~0ull : (1ull << (8 * size)) - 1;
}

/* Does the window take the access as it is? */
static bool takes(const struct bus_window *w, u64 addr, unsigned size)
{
	return addr >= w->base && size <= w->width &&
	       size <= w->len - (addr - w->base);
}

u64 bus_read(const struct bus *b, u64 addr, unsigned size)
{
	const struct bus_window *w = bus_find(b, addr, size);
	unsigned half = size / 2;

	if (!w)
		return ones(size);
	if (takes(w, addr, size))
		return w->read(w->dev, addr - w->base, size) & ones(size);
	if (size == 1)
		return ones(1);
	return bus_read(b, addr, half) |
	       bus_read(b, addr + half, half) << (8 * half);
}

void bus_write(const struct bus *b, u64 addr, unsigned size, u64 value)
{
	const struct bus_window *w = bus_find(b, addr, size);
	unsigned half = size / 2;

	if (!w)
		return;
	if (takes(w, addr, size)) {
		w->write(w->dev, addr - w->base, size, value & ones(size));
	} else if (size > 1) {
		bus_write(b, addr, half, value & ones(half));
		bus_write(b, addr + half, half, value >> (8 * half));
	}
}
