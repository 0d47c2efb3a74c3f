/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load.h -- puts a kernel into guest memory and says how to enter it.
 *
 * Files are hostile: every offset and length in them is checked against the
 * file and against guest memory before it is used.
 */
#ifndef VM_LOAD_H
#define VM_LOAD_H

#include "joist.h"
#include "guests/control/lib/util.h"

/* Guest RAM: [0, low_size), at most up to 3 GiB, and from 4 GiB on. */
#define MEM_LOW_MAX	(3 * GiB)
#define MEM_HIGH_BASE	(4 * GiB)

struct guest_mem {
	u8 *low, *high;
	u64 low_size, high_size;
};

/* Guest memory [gpa, gpa + len) of RAM below 4 GiB or above; else NULL. */
static inline u8 *guest_ptr(const struct guest_mem *m, u64 gpa, u64 len)
{
	if (gpa <= m->low_size && len <= m->low_size - gpa)
		return m->low + gpa;
	if (gpa < MEM_HIGH_BASE)
		return NULL;
	gpa -= MEM_HIGH_BASE;
	if (gpa <= m->high_size && len <= m->high_size - gpa)
		return m->high + gpa;
	return NULL;
}

struct image {
	const char *name;	/* for messages */
	const u8 *data;		/* NULL: there is none */
	u64 size;
};

struct load_range {
	u64 start, end;		/* [start, end) */
};

#define LOAD_RANGES	64
#define LOAD_ERROR	256

struct load {
	struct guest_mem mem;
	struct image kernel, initrd;
	const char *cmdline;
	struct joist_regs regs;	/* in: after reset; out: to start with */
	char error[LOAD_ERROR];

	unsigned ranges;	/* taken, in no order */
	struct load_range taken[LOAD_RANGES];
};

/* 0, or -1 with the reason in l->error. */
int load_guest(struct load *l);

/* What the loaders share. */

/* Sets the error and gives -1. */
int load_fail(struct load *l, const char *fmt, ...) PRINTF(2, 3);
/* guest_ptr() of its memory. */
u8 *load_ptr(const struct load *l, u64 gpa, u64 len);
/* Mark as taken; false: overlaps something that is, or no slot. */
bool load_take(struct load *l, u64 gpa, u64 len);
bool load_is_free(const struct load *l, u64 gpa, u64 len);
/* Free room of below-4-GiB RAM, lowest resp. highest in [min, max); 0: none. */
u64 load_place(struct load *l, u64 len, u64 align, u64 min, u64 max);
u64 load_place_top(struct load *l, u64 len, u64 align, u64 min, u64 max);

/* The memory map, as e820 types. */
#define LOAD_MAP_MAX	8
#define MAP_RAM		1u
#define MAP_RESERVED	2u
struct load_map {
	u64 base, len;
	u32 type;
};
unsigned load_map(const struct load *l, struct load_map map[LOAD_MAP_MAX]);

#define LOW_RAM_END	0x9fc00ull	/* then the BIOS data area, as on a PC */
#define BIOS_START	0xe0000ull
/*
 * From here to 1 MiB is memory as well, though the map does not offer it: a
 * linker told to begin at 1 MiB puts the ELF headers into the page before.
 */
#define TABLES_END	0xf1000ull

/* Flat 32-bit protected mode without paging, interrupts off. */
void load_enter_flat32(struct load *l, u32 entry);

int load_linux(struct load *l);
int load_elf(struct load *l);

#endif
