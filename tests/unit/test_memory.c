/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_memory.c -- who gets which RAM, on machines of all shapes: every page
 * of RAM has one owner, nobody gets what is in use, and the control VM gets
 * the lowest RAM, as much as was asked for.
 */
#include "tests/unit/host.h"

#include "boot/mb2.c"
#include "boot/memory.c"
#include "core/page.c"

#undef fail
#include <cmocka.h>

#define TOP		(34 * GiB)
#define IMAGE_SIZE	(3 * MiB)

static struct boot_info bi;
static struct params params;
static u64 image_base, image_end;
static struct mem_piece taken[128];
static unsigned taken_count;

static void forget(void)
{
	memset(&control_memory, 0, sizeof(control_memory));
	memset(pool, 0, sizeof(pool));
	memset(busy, 0, sizeof(busy));
	memset(early, 0, sizeof(early));
	memset(&tables, 0, sizeof(tables));
	pool_count = busy_count = early_count = 0;
	tables_next = early_bytes = image_bytes = 0;
	direct_ready = false;
	frames = NULL;
	frame_count = 0;
	memset(&stats, 0, sizeof(stats));
	memset(&pool_lock, 0, sizeof(pool_lock));
	pool_lock.rank = LOCK_POOL;
	pool_filled = false;
	the_cpu.locks_held = 0;
	taken_count = 0;
	memset(&bi, 0, sizeof(bi));
	memset(&params, 0, sizeof(params));
	host_ram(TOP);
}

static void ram(u64 base, u64 end, u32 type)
{
	struct mem_range *r = &bi.mem.range[bi.mem.count++];

	assert_true(bi.mem.count <= MEM_RANGES && base < end);
	assert_true(bi.mem.count == 1 || r[-1].base + r[-1].len <= base);
	*r = (struct mem_range){ .base = base, .len = end - base, .type = type };
}

static void image(u64 base)
{
	image_base = base;
	image_end = base + IMAGE_SIZE;
}

static void module(u64 start, u64 len)
{
	bi.module[bi.module_count].start = start;
	bi.module[bi.module_count++].end = start + len;
}

static bool inside(u64 pa, u64 base, u64 end)
{
	return pa >= base && pa < end;
}

static bool in_module(u64 pa)
{
	unsigned i;

	for (i = 0; i < bi.module_count; i++)
		if (inside(pa, ALIGN_DOWN(bi.module[i].start, PAGE_SIZE), bi.module[i].end))
			return true;
	return false;
}

static bool in_taken(u64 pa)
{
	unsigned i;

	for (i = 0; i < taken_count; i++)
		if (inside(pa, taken[i].base, taken[i].end))
			return true;
	return false;
}

static bool is_ram(u64 page)
{
	unsigned i;

	for (i = 0; i < bi.mem.count; i++) {
		const struct mem_range *r = &bi.mem.range[i];

		if (r->type == MEM_RAM && page >= r->base && page + PAGE_SIZE <= r->base + r->len)
			return true;
	}
	return false;
}

static u64 whole_pages(void)
{
	u64 sum = 0;
	unsigned i;

	for (i = 0; i < bi.mem.count; i++) {
		const struct mem_range *r = &bi.mem.range[i];
		u64 base = ALIGN_UP(r->base, PAGE_SIZE);
		u64 end = ALIGN_DOWN(r->base + r->len, PAGE_SIZE);

		if (r->type == MEM_RAM && base < end)
			sum += end - base;
	}
	return sum;
}

static void note(u64 base, u64 size)
{
	u64 pa;

	assert_true(base && IS_ALIGNED(base, PAGE_SIZE) && taken_count < ARRAY_SIZE(taken));
	for (pa = base; pa < base + size; pa += PAGE_SIZE)
		if (!is_ram(pa) || in_module(pa) || in_taken(pa) ||
		    inside(pa, image_base, image_end) || inside(pa, tables.base, tables.end))
			fail_msg("%lx was handed out, which is in use or no RAM", pa);
	taken[taken_count++] = (struct mem_piece){ base, base + size };
}

static void early_some(void)
{
	unsigned i, k;

	for (i = 0; i < 12; i++) {
		u64 size = PAGE_SIZE * (1 + rnd_below(rnd() & 1 ? 4 : 200));
		u64 pa = early_alloc(size - rnd_below(PAGE_SIZE)).v;
		const u64 *p = hpa_ptr(HPA(pa));

		note(pa, size);
		for (k = 0; k < PAGE_SIZE / 8; k++)
			assert_int_equal(p[k], 0);
		memset(hpa_ptr(HPA(pa)), 0x77, PAGE_SIZE);
	}
	for (i = 0; i < 20; i++) {
		u64 pa = early_alloc_table();

		assert_true(inside(pa, tables.base, tables.end));
		assert_true(pa < 4 * GiB && is_ram(pa) && !in_module(pa));
	}
}

/* As main.c: split, early memory, owners, more early memory, the pool. */
static void boot_all(void *arg)
{
	memory_split(&bi, &params, image_base, image_end);
	early_some();
	memory_init_frames(&bi, image_base, image_end);
	early_some();
	memory_fill_pool();
}

static bool booted(void)
{
	return !stops(boot_all, NULL);
}

static u16 owner_wanted(u64 pa)
{
	unsigned i;

	if (inside(pa, image_base, image_end) || inside(pa, tables.base, tables.end) ||
	    in_taken(pa))
		return OWNER_HYPERVISOR;
	if (!is_ram(pa))
		return OWNER_NONE;
	for (i = 0; i < control_memory.count; i++)
		if (inside(pa, control_memory.piece[i].base, control_memory.piece[i].end))
			return OWNER_CONTROL;
	return OWNER_POOL;
}

/* Where owners may change, and pages at random in between. */
static void check_owners(void)
{
	u64 sum[OWNER_GUEST] = { 0 }, last_control = 0, first_pool = ~0ull, pfn, pa;
	struct pool_stats s;
	u16 before = OWNER_GUEST;
	const char *why;
	u64 frames_end = page_top() >> PAGE_SHIFT, frame_pages;

	/* The frame array is early memory that boot_all() took by itself. */
	pa = ptr_hpa(frames).v;
	frame_pages = ALIGN_UP(frame_count * sizeof(struct frame), PAGE_SIZE);
	note(pa, frame_pages);
	for (pfn = 0; pfn < frames_end; pfn++) {
		u16 owner = frames[pfn].owner;

		pa = pfn << PAGE_SHIFT;
		assert_in_range(owner, 0, OWNER_POOL);
		sum[owner] += PAGE_SIZE;
		if (owner == OWNER_CONTROL)
			last_control = pa;
		if (owner == OWNER_POOL && first_pool == ~0ull)
			first_pool = pa;
		if (owner != before || pfn % 61 == 0) {
			if (owner != owner_wanted(pa))
				fail_msg("%lx is %u's, not %u's", pa, owner, owner_wanted(pa));
			if (pfn && frames[pfn - 1].owner != owner_wanted(pa - PAGE_SIZE))
				fail_msg("%lx is %u's", pa - PAGE_SIZE, frames[pfn - 1].owner);
		}
		before = owner;
	}
	assert_int_equal(sum[OWNER_CONTROL] + sum[OWNER_HYPERVISOR] + sum[OWNER_POOL],
			 whole_pages());
	assert_int_equal(sum[OWNER_CONTROL], control_memory.total);
	assert_int_equal(sum[OWNER_HYPERVISOR], memory_hypervisor_bytes());
	page_pool_stats(&s);
	assert_int_equal(s.total, sum[OWNER_POOL]);
	assert_int_equal(s.free, sum[OWNER_POOL]);
	if (!page_verify(&why))
		fail_msg("page_verify: %s", why);
	/* The lowest RAM is the control VM's. */
	assert_true(last_control < first_pool);
}

/* A quarter of RAM, at least 384 MiB, never more than half. */
static u64 usual(void)
{
	u64 total = ram_total(&bi);

	return MIN(MAX(total / 4, 384 * MiB), total / 2) - PAGE_SIZE_2M + 1;
}

static void check_size(u64 want)
{
	assert_true(control_memory.total >= want);
	assert_true(control_memory.total < want + 2 * PAGE_SIZE_2M);
}

static void pc_below_4g(u64 end)
{
	ram(0, 0x9fc00, MEM_RAM);
	ram(0x9fc00, 0xa0000, MEM_RESERVED);
	ram(0xf0000, 0x100000, MEM_RESERVED);
	ram(MiB, end - 0x20000, MEM_RAM);
	ram(end - 0x20000, end, MEM_RESERVED);
	ram(0xfffc0000, 4 * GiB, MEM_RESERVED);
}

static void test_ordinary_machines(void **state)
{
	static const u64 sizes[] = { 768 * MiB, GiB, 2 * GiB, 3 * GiB };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		forget();
		pc_below_4g(sizes[i]);
		image(2 * MiB);
		module(16 * MiB, 8 * MiB);
		module(24 * MiB + 5, 30 * MiB);
		assert_true(booted());
		check_owners();
		check_size(usual());
	}
}

static void test_above_4g(void **state)
{
	static const u64 asked[] = { 0, 256 * MiB, 2 * GiB, 3 * GiB, 8 * GiB, 15 * GiB };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		forget();
		pc_below_4g(3 * GiB);
		ram(4 * GiB, 17 * GiB, MEM_RAM);
		image(2 * MiB);
		module(100 * MiB, 40 * MiB);
		params.control_mem = asked[i];
		assert_true(booted());
		check_owners();
		check_size(asked[i] ? asked[i] : usual());
	}
	/* All RAM to count lies above 4 GiB but some: tables are still below. */
	forget();
	ram(MiB, 64 * MiB, MEM_RAM);
	ram(4 * GiB, 8 * GiB, MEM_RAM);
	image(2 * MiB);
	assert_true(booted());
	check_owners();
	assert_true(tables.end <= 64 * MiB);
}

/* The image where UEFI puts it: anywhere, at the top or next to the tables. */
static void test_image_anywhere(void **state)
{
	u64 base, end = 2 * GiB - 0x20000;
	unsigned i;

	for (i = 0; i < 24; i++) {
		forget();
		pc_below_4g(2 * GiB);
		base = i < 8 ? end - IMAGE_SIZE - i * 64 * KiB :
		       ALIGN_DOWN(MiB + rnd_below(end - IMAGE_SIZE - MiB), PAGE_SIZE);
		image(base);
		params.control_mem = i & 1 ? 1536 * MiB : 0;
		assert_true(booted());
		check_owners();
		check_size(i & 1 ? 1536 * MiB : usual());
	}
}

/* A module in the middle of what would be cut, and at its very top. */
static void test_modules_are_kept(void **state)
{
	u64 top = 2 * GiB - 0x20000, pa;
	unsigned i;

	for (i = 0; i < 20; i++) {
		forget();
		pc_below_4g(2 * GiB);
		image(2 * MiB);
		module(top - 8 * MiB, 8 * MiB);
		module(top - 9 * MiB - 0x1000 * i, 0x1000 * i + 1);
		module(top - 200 * MiB, 100 * MiB);
		assert_true(booted());
		for (pa = top - 200 * MiB; pa < top; pa += PAGE_SIZE)
			if (in_module(pa))
				assert_int_equal(page_owner(HPA(pa)), OWNER_POOL);
		check_owners();
	}
}

/* Maps of many shapes; what cannot be served is refused in words. */
static void random_machine(void)
{
	u64 at = rnd_below(3) ? 0 : rnd_below(MiB), len, base;
	unsigned n = 3 + rnd_below(40), i;
	u64 span = (u64[]){ 16 * MiB, 300 * MiB, 2 * GiB }[rnd_below(3)];

	for (i = 0; i < n && at < 20 * GiB; i++) {
		len = 1 + rnd_below(rnd_below(4) ? span : 3 * PAGE_SIZE);
		if (rnd() & 1)
			len = ALIGN_UP(len, PAGE_SIZE);
		if (rnd() & 1)
			at = ALIGN_UP(at, PAGE_SIZE);
		ram(at, at + len, rnd_below(4) ? MEM_RAM : 2 + rnd_below(4));
		at += len + (rnd_below(3) ? 0 : rnd_below(64 * MiB));
		/* Neighbours of one type that touch would be one range. */
		at += bi.mem.count && rnd_below(2) ? PAGE_SIZE / 2 : 1;
	}
	at = ALIGN_UP(at, 64 * MiB);
	ram(at, at + 700 * MiB, MEM_RAM);
	base = bi.mem.range[bi.mem.count - 1].base;
	image(base + (rnd_below(600 * MiB) & ~0xfffull));
	if (rnd() & 1)
		module(image_end + rnd_below(4 * MiB), rnd_below(20 * MiB));
	if (rnd() & 1)
		params.control_mem = ALIGN_DOWN(256 * MiB + rnd_below(4 * GiB), MiB);
}

static void test_random_machines(void **state)
{
	unsigned i, good = 0;

	for (i = 0; i < 120; i++) {
		forget();
		random_machine();
		if (!booted()) {
			assert_non_null(strstr(host_said, "RAM"));
			continue;
		}
		good++;
		check_owners();
		if (params.control_mem)
			assert_true(control_memory.total < params.control_mem + PAGE_SIZE_2M);
	}
	assert_true(good > 40);
}

struct refusal {
	const char *says;
	void (*machine)(void);
};

static void too_small(void)
{
	ram(MiB, 200 * MiB, MEM_RAM);
	image(2 * MiB);
}

static void no_ram(void)
{
	ram(MiB, 2 * GiB, MEM_RESERVED);
	image(2 * MiB);
}

static void asks_too_much(void)
{
	pc_below_4g(GiB);
	image(2 * MiB);
	params.control_mem = GiB;
}

static void asks_too_little(void)
{
	pc_below_4g(GiB);
	image(2 * MiB);
	params.control_mem = 255 * MiB;
}

static void asks_all_there_is(void)
{
	pc_below_4g(GiB);
	image(2 * MiB);
	params.control_mem = ~0ull;
}

static void none_below_4g(void)
{
	ram(4 * GiB, 8 * GiB, MEM_RAM);
	image(4 * GiB);
}

static void crumbs(void)
{
	u64 i;

	for (i = 1; i <= 600; i++)
		ram(i * 4 * MiB, i * 4 * MiB + MiB, MEM_RAM);
	ram(4 * GiB, 6 * GiB, MEM_RAM);
	image(16 * MiB);
	image_end = image_base + MiB;
}

/* What GRUB cannot have done, but a map can say. */
static void module_outside(void)
{
	pc_below_4g(GiB);
	image(2 * MiB);
	module(GiB - 0x20000 - PAGE_SIZE, 2 * PAGE_SIZE);
}

static void module_in_hole(void)
{
	pc_below_4g(GiB);
	image(2 * MiB);
	module(2 * GiB, PAGE_SIZE);
}

static void module_on_image(void)
{
	pc_below_4g(GiB);
	image(2 * MiB);
	module(image_end - 1, PAGE_SIZE);
}

static const struct refusal refusals[] = {
	{ "outside of RAM", module_outside },
	{ "outside of RAM", module_in_hole },
	{ "overlaps the hypervisor", module_on_image },
	{ "control_mem", too_small },
	{ "control_mem", no_ram },
	{ "control_mem", asks_too_much },
	{ "control_mem", asks_too_little },
	{ "control_mem", asks_all_there_is },
	{ "below 4 GiB", none_below_4g },
	{ "too many pieces", crumbs },
};

static void test_refusals(void **state)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		forget();
		refusals[i].machine();
		if (booted())
			fail_msg("machine %u was not refused", i);
		if (!strstr(host_said, refusals[i].says))
			fail_msg("machine %u: \"%s\"", i, host_said);
	}
}

static void eat(void *arg)
{
	for (;;)
		early_alloc(MiB);
}

/* Early memory to the last piece: then a sentence, not a wrong address. */
static void test_early_exhausted(void **state)
{
	forget();
	pc_below_4g(GiB);
	image(2 * MiB);
	memory_split(&bi, &params, image_base, image_end);
	assert_true(stops(eat, NULL));
	assert_non_null(strstr(host_said, "RAM"));
}

static void one_more(void *arg)
{
	early_alloc(PAGE_SIZE);
}

static void tables_without_end(void *arg)
{
	unsigned i;

	for (i = 0; i <= TABLES_SIZE >> PAGE_SHIFT; i++)
		early_alloc_table();
}

/* What the pool has been given is nobody else's. */
static void test_early_is_over(void **state)
{
	forget();
	pc_below_4g(GiB);
	image(2 * MiB);
	assert_true(booted());
	assert_true(stops(one_more, NULL));
	assert_non_null(strstr(host_said, "boot is over"));
	assert_true(stops(tables_without_end, NULL));
}

static bool place_exists(u64 size, u64 align, u64 min, u64 max)
{
	unsigned i, k;
	u64 at;

	for (i = 0; i < control_memory.count; i++) {
		const struct mem_piece *p = &control_memory.piece[i];

		for (at = ALIGN_UP(MAX(p->base, min), align);
		     at < MIN(p->end, max) && MIN(p->end, max) - at >= size; at += align) {
			for (k = 0; k < busy_count; k++)
				if (at < busy[k].end && busy[k].base < at + size)
					break;
			if (k == busy_count)
				return true;
		}
	}
	return false;
}

static void test_control_take(void **state)
{
	unsigned round, i, got = 0, none = 0;
	u64 first;

	for (round = 0; round < 10; round++) {
		forget();
		pc_below_4g(768 * MiB);
		image(2 * MiB);
		module(16 * MiB, 8 * MiB);
		module(60 * MiB + 5, 30 * MiB);
		memory_split(&bi, &params, image_base, image_end);
		for (i = 0; i < 13; i++) {
			u64 align = BIT(12 + rnd_below(10)), min = 0x1000 + rnd_below(400 * MiB);
			u64 max = rnd() & 1 ? ~0ull : min + rnd_below(400 * MiB);
			u64 size = 1 + rnd_below(rnd() & 1 ? 200 * MiB : MiB), pa;
			bool there = place_exists(size, align, min, max);

			pa = control_take(size, align, min, max);
			assert_int_equal(pa != 0, there);
			if (!pa) {
				none++;
				continue;
			}
			got++;
			note(pa, ALIGN_UP(size, PAGE_SIZE));
			assert_true(IS_ALIGNED(pa, align) && pa >= min && pa + size <= max);
			assert_true(control_owns(pa, pa + size));
		}
	}
	assert_true(got > 30 && none > 10);
	/* What is released is to be had again. */
	first = control_take(MiB, PAGE_SIZE, MiB, ~0ull);
	assert_true(first);
	assert_int_not_equal(control_take(PAGE_SIZE, PAGE_SIZE, MiB, ~0ull), first);
	control_release(first);
	assert_int_equal(control_take(MiB, PAGE_SIZE, MiB, ~0ull), first);
	control_release(bi.module[1].start);
	assert_false(is_busy(bi.module[1].start, bi.module[1].end, &first) &&
		     first == ALIGN_DOWN(bi.module[1].start, PAGE_SIZE));
}

static void add_gap(void *ctx, u64 base, u64 end)
{
	u64 *sum = ctx, pa;

	assert_true(base < end);
	for (pa = base; pa < end; pa += PAGE_SIZE)
		assert_false(control_owns(pa, pa + 1));
	*sum += end - base;
}

static void test_gaps_and_owns(void **state)
{
	unsigned i, k;
	u64 sum, owned;

	forget();
	pc_below_4g(768 * MiB);
	image(200 * MiB);
	memory_split(&bi, &params, image_base, image_end);
	for (i = 0; i < 200; i++) {
		u64 base = rnd_below(600 * MiB) & ~0xfffull;
		u64 end = base + (rnd_below(300 * MiB) & ~0xfffull);

		sum = owned = 0;
		control_gaps(base, end, add_gap, &sum);
		for (k = 0; k < control_memory.count; k++) {
			u64 b = MAX(base, control_memory.piece[k].base);
			u64 e = MIN(end, control_memory.piece[k].end);

			owned += b < e ? e - b : 0;
		}
		assert_int_equal(sum + owned, end - base);
		assert_int_equal(control_owns(base, end), base < end && !sum);
	}
	assert_false(control_owns(image_base - PAGE_SIZE, image_base + 1));
	assert_false(control_owns(0x9e000, 0xa0000));
	assert_true(control_owns(0, 0x9f000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ordinary_machines),
		cmocka_unit_test(test_above_4g),
		cmocka_unit_test(test_image_anywhere),
		cmocka_unit_test(test_modules_are_kept),
		cmocka_unit_test(test_random_machines),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_early_exhausted),
		cmocka_unit_test(test_early_is_over),
		cmocka_unit_test(test_control_take),
		cmocka_unit_test(test_gaps_and_owns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
