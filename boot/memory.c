/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c -- splits RAM between control VM, hypervisor and pool.
 *
 * The control VM gets the lowest RAM, so that devices with narrow DMA reach
 * it; the hypervisor's early memory is cut from the top of the rest, which
 * then becomes the pool.  Until memory_fill_pool() the boot modules lie where
 * GRUB put them, and nothing here hands that memory out.
 */
#include "arch/x86/paging.h"
#include "boot/memory.h"
#include "core/log.h"
#include "core/page.h"
#include "core/string.h"

#define CONTROL_MIN	(256 * MiB)
#define POOL_MIN	(16 * MiB)
#define LOW_END		MiB
#define TABLES_SIZE	MiB

struct control_memory control_memory;

static struct mem_piece pool[CONTROL_PIECES];
static unsigned pool_count;
static struct mem_piece busy[MB2_MODULES + 32];	/* not to be handed out yet */
static unsigned busy_count;
static struct mem_piece early[64];	/* taken by early_alloc */
static unsigned early_count;
static struct mem_piece tables;		/* for early_alloc_table */
static u64 tables_next;
static u64 early_bytes;
static u64 image_bytes;
static bool direct_ready;
static bool pool_filled;		/* what is left in pool[] is no longer ours */

static u64 ram_total(const struct boot_info *bi)
{
	u64 sum = 0;
	unsigned i;

	for (i = 0; i < bi->mem.count; i++)
		if (bi->mem.range[i].type == MEM_RAM)
			sum += bi->mem.range[i].len;
	return sum;
}

/* A quarter of RAM, at least 384 MiB, but never more than half. */
static u64 control_default(u64 total)
{
	u64 want = MAX(total / 4, 384 * MiB);

	return ALIGN_DOWN(MIN(want, total / 2), PAGE_SIZE_2M);
}

static void piece_add(struct mem_piece *p, unsigned *n, u64 base, u64 end)
{
	if (base >= end)
		return;
	if (*n && p[*n - 1].end == base) {
		p[*n - 1].end = end;
		return;
	}
	if (*n == CONTROL_PIECES)
		refuse("the firmware's memory map has too many pieces");
	p[*n].base = base;
	p[(*n)++].end = end;
}

/* One stretch of RAM: to the control VM as long as it wants more, then pool. */
static void give(u64 base, u64 end, u64 want)
{
	u64 take = 0;

	if (control_memory.total < want) {
		take = MIN(end - base, want - control_memory.total);
		/* The border to the pool lies on 2 MiB: large pages on both sides. */
		if (base + take < end)
			take = MIN(end, ALIGN_UP(base + take, PAGE_SIZE_2M)) - base;
		piece_add(control_memory.piece, &control_memory.count, base, base + take);
		control_memory.total += take;
	}
	piece_add(pool, &pool_count, base + take, end);
}

/* RAM [base, end) without what `hole`.. cut out of it. */
static void give_around(u64 base, u64 end, u64 want, const struct mem_piece *hole, unsigned n)
{
	for (; n; hole++, n--) {
		if (hole->base >= end || hole->end <= base)
			continue;
		if (base < hole->base)
			give(base, hole->base, want);
		base = hole->end;
	}
	if (base < end)
		give(base, end, want);
}

static bool is_busy(u64 base, u64 end, u64 *below)
{
	unsigned i;

	for (i = 0; i < busy_count; i++)
		if (base < busy[i].end && busy[i].base < end) {
			*below = busy[i].base;
			return true;
		}
	return false;
}

/* The highest size bytes below 4 GiB in [base, end) that nobody uses. */
static u64 highest_free(u64 base, u64 end, u64 size)
{
	u64 below;

	end = MIN(end, 4 * GiB);
	while (end > base && end - base >= size) {
		if (!is_busy(end - size, end, &below))
			return end - size;
		end = below;
	}
	return 0;
}

/* The tables at entry reach 4 GiB only: what paging_init() needs lies there. */
static void reserve_tables(const struct boot_info *bi)
{
	unsigned i = bi->mem.count;

	while (!tables.base && i--) {
		const struct mem_range *r = &bi->mem.range[i];

		if (r->type == MEM_RAM)
			tables.base = highest_free(ALIGN_UP(MAX(r->base, LOW_END), PAGE_SIZE),
						   ALIGN_DOWN(r->base + r->len, PAGE_SIZE),
						   TABLES_SIZE);
	}
	if (!tables.base)
		refuse("there is no RAM for page tables below 4 GiB");
	tables.end = tables.base + TABLES_SIZE;
	tables_next = tables.base;
}

void memory_split(const struct boot_info *bi, const struct params *p, u64 image_base,
		  u64 image_end)
{
	u64 total = ram_total(bi), want = p->control_mem;
	struct mem_piece hole[2];
	unsigned i;

	if (!want)
		want = control_default(total);
	if (want < CONTROL_MIN || want > total - MIN(total, POOL_MIN))
		refuse("control_mem: %lu MiB for the control VM is not possible with %lu MiB of RAM "
		       "(at least %lu MiB for it, and %lu MiB for the rest)",
		       want / MiB, total / MiB, CONTROL_MIN / MiB, POOL_MIN / MiB);
	for (i = 0; i < bi->module_count; i++) {
		const struct boot_module *m = &bi->module[i];

		if (m->start < m->end && !mem_map_is_ram(&bi->mem, m->start, m->end))
			refuse("a boot module (%lx to %lx) lies outside of RAM", m->start, m->end);
		if (m->start < image_end && image_base < m->end)
			refuse("a boot module (%lx to %lx) overlaps the hypervisor", m->start, m->end);
		busy[busy_count].base = ALIGN_DOWN(bi->module[i].start, PAGE_SIZE);
		busy[busy_count++].end = ALIGN_UP(bi->module[i].end, PAGE_SIZE);
	}
	busy[busy_count].base = image_base;
	busy[busy_count++].end = image_end;
	reserve_tables(bi);

	hole[image_base > tables.base] = (struct mem_piece){ image_base, image_end };
	hole[image_base < tables.base] = tables;
	for (i = 0; i < bi->mem.count; i++) {
		const struct mem_range *r = &bi->mem.range[i];

		if (r->type == MEM_RAM)
			give_around(ALIGN_UP(r->base, PAGE_SIZE),
				    ALIGN_DOWN(r->base + r->len, PAGE_SIZE), want, hole, 2);
	}
	image_bytes = image_end - image_base;
}

/* Cuts size bytes from the top of a pool piece. */
static u64 cut(u64 size)
{
	unsigned i = pool_count;

	while (i--) {
		u64 end = pool[i].end, below;

		while (end > pool[i].base && end - pool[i].base >= size) {
			if (is_busy(end - size, end, &below)) {
				end = below;
				continue;
			}
			/* What lies above a hole that modules leave stays pool. */
			if (end < pool[i].end) {
				if (pool_count == CONTROL_PIECES)
					break;
				memmove(&pool[i + 1], &pool[i],
					(pool_count - i) * sizeof(pool[0]));
				pool_count++;
				pool[i + 1].base = end;
			}
			pool[i].end = end - size;
			return end - size;
		}
	}
	return 0;
}

static u64 take(u64 size)
{
	unsigned i;
	u64 pa;

	if (pool_filled)
		panic("boot memory is wanted when boot is over");
	pa = cut(size);
	if (!pa)
		refuse("there is not enough RAM for the hypervisor itself");
	early_bytes += size;
	for (i = 0; i < early_count; i++)
		if (early[i].base == pa + size) {
			early[i].base = pa;
			return pa;
		}
	if (early_count == ARRAY_SIZE(early))
		refuse("the hypervisor's boot memory is in too many pieces");
	early[early_count].base = pa;
	early[early_count++].end = pa + size;
	return pa;
}

u64 early_alloc_table(void)
{
	u64 pa;

	if (tables_next == tables.end) {
		if (!direct_ready)
			refuse("too much RAM for a CPU without 1 GiB pages");
		return early_alloc(PAGE_SIZE).v;
	}
	pa = tables_next;
	tables_next += PAGE_SIZE;
	memset((void *)(direct_ready ? DIRECT_BASE + pa : pa), 0, PAGE_SIZE);
	return pa;
}

hpa_t early_alloc(u64 size)
{
	hpa_t pa = HPA(take(ALIGN_UP(size, PAGE_SIZE)));

	direct_ready = true;
	memset(hpa_ptr(pa), 0, ALIGN_UP(size, PAGE_SIZE));
	return pa;
}

static u64 highest_ram(const struct boot_info *bi)
{
	u64 top = 0;
	unsigned i;

	for (i = 0; i < bi->mem.count; i++)
		if (bi->mem.range[i].type == MEM_RAM)
			top = MAX(top, bi->mem.range[i].base + bi->mem.range[i].len);
	return ALIGN_UP(top, PAGE_SIZE);
}

void memory_init_frames(const struct boot_info *bi, u64 image_base, u64 image_end)
{
	u64 top = highest_ram(bi);
	struct frame *frames = hpa_ptr(early_alloc((top >> PAGE_SHIFT) * sizeof(*frames)));
	unsigned i;

	page_init(frames, HPA(top));
	page_set_owner(HPA(image_base), (image_end - image_base) >> PAGE_SHIFT,
		       OWNER_NONE, OWNER_HYPERVISOR);
	page_set_owner(HPA(tables.base), TABLES_SIZE >> PAGE_SHIFT, OWNER_NONE,
		       OWNER_HYPERVISOR);
	for (i = 0; i < control_memory.count; i++)
		page_set_owner(HPA(control_memory.piece[i].base),
			       (control_memory.piece[i].end - control_memory.piece[i].base)
			       >> PAGE_SHIFT, OWNER_NONE, OWNER_CONTROL);
}

void memory_fill_pool(void)
{
	unsigned i;

	pool_filled = true;
	for (i = 0; i < early_count; i++)
		page_set_owner(HPA(early[i].base), (early[i].end - early[i].base) >> PAGE_SHIFT,
			       OWNER_NONE, OWNER_HYPERVISOR);
	for (i = 0; i < pool_count; i++)
		if (pool[i].base < pool[i].end)
			page_pool_add(HPA(pool[i].base),
				      (pool[i].end - pool[i].base) >> PAGE_SHIFT);
}

const struct mem_piece *memory_pool_piece(u32 *index)
{
	while (*index < pool_count) {
		const struct mem_piece *p = &pool[(*index)++];

		if (p->base < p->end)
			return p;
	}
	return NULL;
}

u64 memory_hypervisor_bytes(void)
{
	return image_bytes + TABLES_SIZE + early_bytes;
}

u64 control_take(u64 size, u64 align, u64 min, u64 max)
{
	unsigned i, k;

	for (i = 0; i < control_memory.count; i++) {
		u64 at = ALIGN_UP(MAX(control_memory.piece[i].base, min), align);
		u64 end = MIN(control_memory.piece[i].end, max);

		for (k = 0; k < busy_count; k++)
			if (at < busy[k].end && busy[k].base < at + size) {
				at = ALIGN_UP(busy[k].end, align);
				k = -1u;	/* look at all again */
			}
		if (at >= end || end - at < size)
			continue;
		if (busy_count == ARRAY_SIZE(busy))
			refuse("too many pieces of boot data");
		busy[busy_count].base = at;
		busy[busy_count++].end = at + size;
		return at;
	}
	return 0;
}

void control_release(u64 base)
{
	unsigned i;

	for (i = 0; i < busy_count; i++)
		if (busy[i].base == ALIGN_DOWN(base, PAGE_SIZE)) {
			busy[i] = busy[--busy_count];
			return;
		}
}

bool control_owns(u64 base, u64 end)
{
	unsigned i;

	for (i = 0; i < control_memory.count; i++)
		if (base >= control_memory.piece[i].base && end <= control_memory.piece[i].end)
			return true;
	return false;
}

void control_gaps(u64 base, u64 end, void (*f)(void *ctx, u64 base, u64 end), void *ctx)
{
	unsigned i;

	for (i = 0; i < control_memory.count && base < end; i++) {
		const struct mem_piece *p = &control_memory.piece[i];

		if (p->end <= base || p->base >= end)
			continue;
		if (base < p->base)
			f(ctx, base, p->base);
		base = p->end;
	}
	if (base < end)
		f(ctx, base, end);
}
