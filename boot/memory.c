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

struct control_memory control_memory;

static struct mem_piece pool[CONTROL_PIECES];
static unsigned pool_count;
static struct mem_piece busy[MB2_MODULES + 1];
static unsigned busy_count;
static struct mem_piece early[64];	/* taken by early_alloc */
static unsigned early_count;
static u64 early_bytes;
static u64 image_bytes;
static u64 area;
static bool direct_ready;

static u64 ram_total(const struct boot_info *bi)
{
	u64 sum = 0;
	unsigned i;

	for (i = 0; i < bi->mmap_count; i++)
		if (bi->mmap[i].type == MEM_RAM)
			sum += bi->mmap[i].len;
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

void memory_split(const struct boot_info *bi, const struct params *p, u64 image_base,
		  u64 image_end)
{
	u64 total = ram_total(bi), want = p->control_mem;
	unsigned i;

	if (!want)
		want = control_default(total);
	if (want < CONTROL_MIN || want > total - MIN(total, POOL_MIN))
		refuse("control_mem: %lu MiB for the control VM is not possible with %lu MiB of RAM "
		       "(at least %lu MiB for it, and %lu MiB for the rest)",
		       want / MiB, total / MiB, CONTROL_MIN / MiB, POOL_MIN / MiB);
	for (i = 0; i < bi->mmap_count; i++) {
		u64 base = ALIGN_UP(bi->mmap[i].base, PAGE_SIZE);
		u64 end = ALIGN_DOWN(bi->mmap[i].base + bi->mmap[i].len, PAGE_SIZE);

		if (bi->mmap[i].type != MEM_RAM || base >= end)
			continue;
		if (image_base < end && image_end > base) {
			if (base < image_base)
				give(base, image_base, want);
			if (image_end < end)
				give(image_end, end, want);
		} else {
			give(base, end, want);
		}
	}
	for (i = 0; i < bi->module_count; i++) {
		busy[busy_count].base = ALIGN_DOWN(bi->modules[i].start, PAGE_SIZE);
		busy[busy_count++].end = ALIGN_UP(bi->modules[i].end, PAGE_SIZE);
	}
	image_bytes = image_end - image_base;
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

/* Cuts size bytes from the top of a pool piece, below limit. */
static u64 cut(u64 size, u64 limit)
{
	unsigned i = pool_count;

	while (i--) {
		u64 end = MIN(pool[i].end, limit), below;

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

static u64 take(u64 size, u64 limit)
{
	u64 pa = cut(size, limit);
	unsigned i;

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
	/* The tables at entry map 4 GiB; the root must lie there for ever,
	 * since other cores load it in 32-bit mode. */
	u64 pa = take(PAGE_SIZE, 4 * GiB);

	memset((void *)(direct_ready ? DIRECT_BASE + pa : pa), 0, PAGE_SIZE);
	return pa;
}

hpa_t early_alloc(u64 size)
{
	hpa_t pa = HPA(take(ALIGN_UP(size, PAGE_SIZE), ~0ull));

	direct_ready = true;
	memset(hpa_ptr(pa), 0, ALIGN_UP(size, PAGE_SIZE));
	return pa;
}

static u64 highest_ram(const struct boot_info *bi)
{
	u64 top = 0;
	unsigned i;

	for (i = 0; i < bi->mmap_count; i++)
		if (bi->mmap[i].type == MEM_RAM)
			top = MAX(top, bi->mmap[i].base + bi->mmap[i].len);
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
	for (i = 0; i < control_memory.count; i++)
		page_set_owner(HPA(control_memory.piece[i].base),
			       (control_memory.piece[i].end - control_memory.piece[i].base)
			       >> PAGE_SHIFT, OWNER_NONE, OWNER_CONTROL);
}

void memory_fill_pool(void)
{
	unsigned i;

	for (i = 0; i < early_count; i++)
		page_set_owner(HPA(early[i].base), (early[i].end - early[i].base) >> PAGE_SHIFT,
			       OWNER_NONE, OWNER_HYPERVISOR);
	for (i = 0; i < pool_count; i++)
		if (pool[i].base < pool[i].end)
			page_pool_add(HPA(pool[i].base),
				      (pool[i].end - pool[i].base) >> PAGE_SHIFT);
}

u64 memory_hypervisor_bytes(void)
{
	return image_bytes + early_bytes;
}

u64 control_area(void)
{
	unsigned i = control_memory.count;

	while (!area && i--) {
		u64 end = MIN(control_memory.piece[i].end, 4 * GiB), below;

		end = ALIGN_DOWN(end, PAGE_SIZE);
		while (end > control_memory.piece[i].base + CONTROL_AREA_SIZE + LOW_END) {
			if (!is_busy(end - CONTROL_AREA_SIZE, end, &below)) {
				area = end - CONTROL_AREA_SIZE;
				memset(hpa_ptr(HPA(area)), 0, CONTROL_AREA_SIZE);
				break;
			}
			end = below;
		}
	}
	if (!area)
		refuse("there is no room for boot data below 4 GiB");
	return area;
}
