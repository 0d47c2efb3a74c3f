/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load.c -- what the kernel loaders share: guest memory, the memory map, who
 * has taken which part of it, and the choice of loader.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "acpi.h"
#include "load.h"

/* Segment attributes: present code/data descriptors, 4 KiB granular. */
#define ATTR_CODE32	0xc09bu
#define ATTR_DATA32	0xc093u
#define ATTR_TSS32	0x008bu
#define ATTR_UNUSABLE	0x10000u

#define CR0_PE		BIT(0)
#define CR0_ET		BIT(4)

int load_fail(struct load *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->error, sizeof(l->error), fmt, ap);
	va_end(ap);
	return -1;
}

u8 *load_ptr(const struct load *l, u64 gpa, u64 len)
{
	return guest_ptr(&l->mem, gpa, len);
}

static const struct load_range *overlaps(const struct load *l, u64 gpa,
					 u64 len)
{
	unsigned i;

	for (i = 0; i < l->ranges; i++)
		if (gpa < l->taken[i].end && l->taken[i].start < gpa + len)
			return &l->taken[i];
	return NULL;
}

bool load_is_free(const struct load *l, u64 gpa, u64 len)
{
	return !overlaps(l, gpa, len);
}

bool load_take(struct load *l, u64 gpa, u64 len)
{
	if (!len)
		return true;
	if (l->ranges == LOAD_RANGES || overlaps(l, gpa, len))
		return false;
	l->taken[l->ranges].start = gpa;
	l->taken[l->ranges++].end = gpa + len;
	return true;
}

u64 load_place(struct load *l, u64 len, u64 align, u64 min, u64 max)
{
	const struct load_range *r;
	u64 at = ALIGN_UP(min, align);

	max = MIN(max, l->mem.low_size);
	while (at <= max && len <= max - at) {
		r = overlaps(l, at, len);
		if (!r)
			return load_take(l, at, len) ? at : 0;
		at = ALIGN_UP(r->end, align);
	}
	return 0;
}

u64 load_place_top(struct load *l, u64 len, u64 align, u64 min, u64 max)
{
	const struct load_range *r;
	u64 at;

	max = MIN(max, l->mem.low_size);
	while (len <= max) {
		at = ALIGN_DOWN(max - len, align);
		if (at < min)
			break;
		r = overlaps(l, at, len);
		if (!r)
			return load_take(l, at, len) ? at : 0;
		max = r->start;
	}
	return 0;
}

unsigned load_map(const struct load *l, struct load_map map[LOAD_MAP_MAX])
{
	const struct guest_mem *m = &l->mem;
	unsigned n = 0;

	map[n++] = (struct load_map){ 0, LOW_RAM_END, MAP_RAM };
	map[n++] = (struct load_map){ LOW_RAM_END, 0xa0000 - LOW_RAM_END,
				      MAP_RESERVED };
	map[n++] = (struct load_map){ BIOS_START, MiB - BIOS_START,
				      MAP_RESERVED };
	map[n++] = (struct load_map){ MiB, m->low_size - MiB, MAP_RAM };
	if (m->high_size)
		map[n++] = (struct load_map){ MEM_HIGH_BASE, m->high_size,
					      MAP_RAM };
	return n;
}

void load_enter_flat32(struct load *l, u32 entry)
{
	struct joist_regs *r = &l->regs;
	const struct joist_segment data = {
		.limit = 0xffffffff, .selector = 0x18, .attr = ATTR_DATA32,
	};

	memset(r->gpr, 0, sizeof(r->gpr));
	r->rip = entry;
	r->rflags = 2;
	r->seg[JOIST_CS] = (struct joist_segment){
		.limit = 0xffffffff, .selector = 0x10, .attr = ATTR_CODE32,
	};
	r->seg[JOIST_DS] = r->seg[JOIST_ES] = r->seg[JOIST_SS] = data;
	r->seg[JOIST_FS] = r->seg[JOIST_GS] = data;
	r->seg[JOIST_TR] = (struct joist_segment){
		.limit = 0x67, .attr = ATTR_TSS32,
	};
	r->seg[JOIST_LDTR] = (struct joist_segment){ .attr = ATTR_UNUSABLE };
	r->cr0 = CR0_PE | CR0_ET;
	r->cr3 = r->cr4 = 0;
	r->msr[JOIST_MSR_EFER] = 0;
}

int load_guest(struct load *l)
{
	const struct image *k = &l->kernel;

	l->ranges = 0;
	l->error[0] = 0;
	/* The first page stays free of anything: a null pointer is there. */
	load_take(l, 0, PAGE_SIZE);
	load_take(l, LOW_RAM_END, TABLES_END - LOW_RAM_END);
	if (!k->size)
		return load_fail(l, "%s: the kernel file is empty", k->name);
	if (k->size >= 4 && !memcmp(k->data, "\177ELF", 4))
		return load_elf(l);
	if (k->size >= 0x206 && !memcmp(k->data + 0x202, "HdrS", 4))
		return load_linux(l);
	return load_fail(l, "%s: neither a Linux bzImage nor an ELF file",
			 k->name);
}
