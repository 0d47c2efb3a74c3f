/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_page.c -- the pool and page owners: whatever is done, every frame is
 * somewhere exactly once, and giving all back restores the start exactly.
 */
#include "tests/unit/host.h"

#include "core/page.c"

#undef fail
#include <cmocka.h>

#define TOP		(5 * GiB)
#define FRAMES		(TOP >> PAGE_SHIFT)
#define GUEST		(OWNER_GUEST + 3)
#define LIVE		512

static struct frame *frame_array;
static u32 before[ORDER_MAX + 1], after[ORDER_MAX + 1];

/* Free blocks by order; every block on a list agrees with its frame. */
static void census(u32 *count)
{
	struct free_block *b;
	unsigned o;

	for (o = 0; o <= ORDER_MAX; o++) {
		count[o] = 0;
		assert_ptr_equal(lists[o].next->prev, &lists[o]);
		for (b = lists[o].next; b != &lists[o]; b = b->next) {
			u64 pfn = ptr_hpa(b).v >> PAGE_SHIFT;

			assert_true(pfn < FRAMES);
			assert_ptr_equal(b->next->prev, b);
			assert_int_equal(frames[pfn].order, o);
			assert_true(frames[pfn].flags & FRAME_FREE_HEAD);
			count[o]++;
		}
	}
}

/* page_verify(), and what it does not say: no two free buddies are apart. */
static void check(void)
{
	const char *why;
	u32 count[ORDER_MAX + 1], heads = 0, listed = 0;
	u64 pfn;
	unsigned o;

	if (!page_verify(&why))
		fail_msg("page_verify: %s", why);
	census(count);
	for (o = 0; o <= ORDER_MAX; o++)
		listed += count[o];
	for (pfn = 0; pfn < FRAMES; pfn++) {
		const struct frame *f = &frames[pfn];
		u64 buddy = pfn ^ BIT(f->order);

		if (!(f->flags & FRAME_FREE_HEAD))
			continue;
		heads++;
		if (f->order < ORDER_MAX && buddy < FRAMES &&
		    (frames[buddy].flags & FRAME_FREE_HEAD) && frames[buddy].order == f->order)
			fail_msg("free buddies %lx and %lx", pfn, buddy);
	}
	assert_int_equal(heads, listed);
}

static u64 free_bytes(void)
{
	struct pool_stats s;

	page_pool_stats(&s);
	return s.free;
}

/* RAM with a ragged start, a hole, and an end that is no 2 MiB border. */
static int start(void **state)
{
	host_ram(TOP);
	free(frame_array);
	frame_array = calloc(FRAMES, sizeof(*frame_array));
	memset(&stats, 0, sizeof(stats));
	memset(&pool_lock, 0, sizeof(pool_lock));
	pool_lock.rank = LOCK_POOL;
	the_cpu.locks_held = 0;
	page_init(frame_array, HPA(TOP));
	page_pool_add(HPA(0x7000), 0x98);
	page_pool_add(HPA(MiB), (3 * GiB - MiB - 0x5000) >> PAGE_SHIFT);
	page_pool_add(HPA(4 * GiB), (GiB - 0x3000) >> PAGE_SHIFT);
	check();
	census(before);
	return 0;
}

static void same_as_before(void)
{
	check();
	census(after);
	assert_memory_equal(before, after, sizeof(before));
}

static void test_add_counts_all(void **state)
{
	struct pool_stats s;
	u64 pfn, n = 0;

	page_pool_stats(&s);
	for (pfn = 0; pfn < FRAMES; pfn++)
		n += page_owner(HPA(pfn << PAGE_SHIFT)) == OWNER_POOL;
	assert_int_equal(s.total, n << PAGE_SHIFT);
	assert_int_equal(s.free, s.total);
	assert_int_equal(s.total, 0x98000 + 3 * GiB - MiB - 0x5000 + GiB - 0x3000);
	assert_int_equal(before[ORDER_1G], 1);
	assert_int_equal(page_top(), TOP);
	assert_int_equal(page_owner(HPA(0)), OWNER_NONE);
	assert_int_equal(page_owner(HPA(3 * GiB + GiB / 2)), OWNER_NONE);
	assert_int_equal(page_owner(HPA(TOP)), OWNER_NONE);
	assert_int_equal(page_owner(HPA(~0ull)), OWNER_NONE);
}

static bool is_zero(const void *p, u64 len)
{
	const u64 *q = p;
	u64 i;

	for (i = 0; i < len / 8; i++)
		if (q[i])
			return false;
	return true;
}

static void test_alloc_each_order(void **state)
{
	static const unsigned orders[] = { ORDER_4K, 1, 4, ORDER_2M, 12, ORDER_1G };
	u64 total = free_bytes(), k;
	unsigned i;
	hpa_t pa;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		u64 size = PAGE_SIZE << orders[i];

		assert_true(page_alloc(orders[i], GUEST, &pa));
		assert_true(IS_ALIGNED(pa.v, size));
		assert_int_equal(free_bytes(), total - size);
		for (k = 0; k < size; k += PAGE_SIZE)
			assert_int_equal(page_owner(HPA(pa.v + k)), GUEST);
		assert_true(is_zero(hpa_ptr(pa), MIN(size, 4 * MiB)));
		check();
		page_free(pa, orders[i], GUEST);
		same_as_before();
	}
	assert_false(page_alloc(ORDER_MAX + 1, GUEST, &pa));
}

/* What a former owner left is gone, also under the links of free blocks. */
static void test_memory_comes_cleared(void **state)
{
	hpa_t pa[64];
	unsigned round, i;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(pa); i++) {
			assert_true(page_alloc(i % 3, GUEST, &pa[i]));
			assert_true(is_zero(hpa_ptr(pa[i]), PAGE_SIZE << i % 3));
			memset(hpa_ptr(pa[i]), 0xa5, PAGE_SIZE << i % 3);
		}
		for (i = 0; i < ARRAY_SIZE(pa); i++)
			page_free(pa[i], i % 3, GUEST);
	}
	same_as_before();
}

static void test_random_sequences_restore(void **state)
{
	static struct { hpa_t pa; u8 order; u16 owner; } live[LIVE];
	u64 total = free_bytes(), used = 0;
	unsigned step, i, n = 0;

	for (step = 0; step < 60000; step++) {
		unsigned order = rnd_below(8) ? rnd_below(4) : rnd_below(ORDER_2M + 3);
		u16 owner = OWNER_GUEST + rnd_below(128);

		if (n < LIVE && (rnd() & 1)) {
			if (!page_alloc(order, owner, &live[n].pa))
				continue;
			live[n].order = order;
			live[n++].owner = owner;
			used += PAGE_SIZE << order;
		} else if (n) {
			i = rnd_below(n);
			page_free(live[i].pa, live[i].order, live[i].owner);
			used -= PAGE_SIZE << live[i].order;
			live[i] = live[--n];
		}
		assert_int_equal(free_bytes(), total - used);
		if (step % 10000 == 0)
			check();
	}
	check();
	while (n--)
		page_free(live[n].pa, live[n].order, live[n].owner);
	same_as_before();
}

/* A large block may go back in aligned parts, in any order. */
static void test_free_in_parts(void **state)
{
	u64 size = PAGE_SIZE_2M * 4, k;
	hpa_t pa;

	assert_true(page_alloc(ORDER_2M + 2, GUEST, &pa));
	for (k = PAGE_SIZE; k < size; k += 2 * PAGE_SIZE)
		page_free(HPA(pa.v + k), ORDER_4K, GUEST);
	check();
	for (k = size; k; k -= 2 * PAGE_SIZE)
		page_free(HPA(pa.v + k - 2 * PAGE_SIZE), ORDER_4K, GUEST);
	same_as_before();

	assert_true(page_alloc(ORDER_1G, GUEST, &pa));
	for (k = 0; k < PAGE_SIZE_1G; k += PAGE_SIZE_2M)
		page_free(HPA(pa.v + k), ORDER_2M, GUEST);
	same_as_before();
}

/* To the last byte, by the largest blocks and then by what is left. */
static void test_exhaust(void **state)
{
	static struct { hpa_t pa; unsigned order; } got[256];
	u64 sum = 0, total = free_bytes();
	unsigned order, n = 0;

	for (order = ORDER_MAX + 1; order--; )
		while (page_alloc(order, GUEST, &got[n].pa)) {
			got[n++].order = order;
			sum += PAGE_SIZE << order;
			assert_in_range(n, 1, ARRAY_SIZE(got) - 1);
		}
	assert_int_equal(sum, total);
	assert_int_equal(free_bytes(), 0);
	check();
	assert_false(page_alloc(ORDER_4K, GUEST, &got[n].pa));
	assert_null(page_alloc_hyp());
	while (n--)
		page_free(got[n].pa, got[n].order, GUEST);
	same_as_before();
}

/* What is kept back is not to be seen, but to be had in need. */
static void test_kept_back(void **state)
{
	void *p[3];
	hpa_t pa;
	unsigned i, n = 0;
	static struct { hpa_t pa; unsigned order; } got[256];

	page_keep_back(ARRAY_SIZE(p));
	for (i = ORDER_MAX + 1; i--; )
		while (page_alloc(i, GUEST, &got[n].pa)) {
			got[n++].order = i;
			assert_in_range(n, 1, ARRAY_SIZE(got) - 1);
		}
	assert_int_equal(free_bytes(), 0);
	assert_null(page_alloc_hyp());
	assert_false(page_take(ORDER_4K, GUEST, &pa));
	check();
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = page_alloc_urgent();
		assert_non_null(p[i]);
		assert_true(is_zero(p[i], PAGE_SIZE));
		assert_int_equal(page_owner(ptr_hpa(p[i])), OWNER_HYPERVISOR);
	}
	assert_null(page_alloc_urgent());
	/* It fills up before anybody else is served. */
	page_free_hyp(p[0]);
	assert_null(page_alloc_hyp());
	assert_int_equal(free_bytes(), 0);
	page_free_hyp(p[1]);
	page_free_hyp(p[2]);
	assert_null(page_alloc_hyp());
	for (i = 0; i < n; i++)
		page_free(got[i].pa, got[i].order, GUEST);
	page_keep_back(0);
	same_as_before();
}

static void test_hypervisor_pages(void **state)
{
	void *p = page_alloc_hyp(), *q = page_alloc_hyp();

	assert_non_null(p);
	assert_ptr_not_equal(p, q);
	assert_int_equal(page_owner(ptr_hpa(p)), OWNER_HYPERVISOR);
	page_free_hyp(p);
	page_free_hyp(q);
	same_as_before();
}

struct misuse {
	const char *name;
	void (*act)(void *pa);
};

static void free_as_other(void *pa)
{
	page_free(*(hpa_t *)pa, ORDER_4K, GUEST + 1);
}

static void free_too_much(void *pa)
{
	page_free(*(hpa_t *)pa, ORDER_2M, GUEST);
}

static void free_misaligned(void *pa)
{
	page_free(HPA(((hpa_t *)pa)->v + PAGE_SIZE), 1, GUEST);
}

static void free_twice(void *pa)
{
	page_free(*(hpa_t *)pa, ORDER_4K, GUEST);
	page_free(*(hpa_t *)pa, ORDER_4K, GUEST);
}

static void free_of_pool(void *pa)
{
	page_free(*(hpa_t *)pa, ORDER_4K, OWNER_POOL);
}

static void free_beyond(void *pa)
{
	page_free(HPA(TOP), ORDER_4K, GUEST);
}

static void set_wrong_from(void *pa)
{
	page_set_owner(*(hpa_t *)pa, 1, OWNER_CONTROL, OWNER_HYPERVISOR);
}

static void set_beyond(void *pa)
{
	page_set_owner(HPA(TOP - PAGE_SIZE), 2, OWNER_POOL, OWNER_CONTROL);
}

static void set_wraps(void *pa)
{
	page_set_owner(HPA(PAGE_SIZE), ~0ull, OWNER_NONE, OWNER_CONTROL);
}

static void add_owned(void *pa)
{
	page_pool_add(*(hpa_t *)pa, 1);
}

static void map_unowned(void *pa)
{
	page_set_mapped(HPA(2 * GiB), 1, true);
}

static void free_shown(void *pa)
{
	page_set_mapped(*(hpa_t *)pa, 1, true);
	page_free(*(hpa_t *)pa, 1, GUEST);
}

/* Somebody has written to a page after it was freed. */
static void take_overwritten(void *pa)
{
	static struct free_block elsewhere = { &elsewhere, &elsewhere };
	struct free_block *b = block_at(((hpa_t *)pa)->v >> PAGE_SHIFT);

	page_free(*(hpa_t *)pa, 1, GUEST);
	/* Whatever it has become part of. */
	while (!(frames[ptr_hpa(b).v >> PAGE_SHIFT].flags & FRAME_FREE_HEAD))
		b = (void *)((u8 *)b - PAGE_SIZE);
	b->next = &elsewhere;
	list_del(ptr_hpa(b).v >> PAGE_SHIFT);
}

static const struct misuse misuses[] = {
	{ "free by another owner", free_as_other },
	{ "free of more than is owned", free_too_much },
	{ "free off its alignment", free_misaligned },
	{ "free twice", free_twice },
	{ "free of what is free", free_of_pool },
	{ "free beyond all RAM", free_beyond },
	{ "owner change from a wrong owner", set_wrong_from },
	{ "owner change beyond all RAM", set_beyond },
	{ "owner change that wraps", set_wraps },
	{ "add to the pool what is owned", add_owned },
	{ "show a frame that is no guest's", map_unowned },
	{ "free of what the control VM sees", free_shown },
	{ "a free block's links overwritten", take_overwritten },
};

static void test_misuse_panics(void **state)
{
	unsigned i;
	hpa_t pa;

	for (i = 0; i < ARRAY_SIZE(misuses); i++) {
		start(state);
		assert_true(page_alloc(1, GUEST, &pa));
		if (!stops(misuses[i].act, &pa))
			fail_msg("%s was let pass", misuses[i].name);
	}
}

static void test_mapped_flag(void **state)
{
	hpa_t pa;

	assert_true(page_alloc(3, GUEST, &pa));
	assert_false(page_is_mapped(pa));
	page_set_mapped(HPA(pa.v + PAGE_SIZE), 2, true);
	assert_false(page_is_mapped(pa));
	assert_true(page_is_mapped(HPA(pa.v + PAGE_SIZE)));
	assert_true(page_is_mapped(HPA(pa.v + 2 * PAGE_SIZE)));
	assert_false(page_is_mapped(HPA(pa.v + 3 * PAGE_SIZE)));
	assert_false(page_is_mapped(HPA(TOP)));
	check();
	page_set_mapped(HPA(pa.v + PAGE_SIZE), 2, false);
	page_free(pa, 3, GUEST);
	same_as_before();
}

/* Each way in which the books can be wrong is told. */
static void test_verify_sees(void **state)
{
	const char *why;
	hpa_t pa;
	struct frame *f, saved;

	assert_true(page_alloc(1, GUEST, &pa));
	f = &frames[pa.v >> PAGE_SHIFT];
	saved = *f;

	f->owner = OWNER_POOL;
	assert_false(page_verify(&why));
	assert_string_equal(why, "a free frame is in no block");
	*f = saved;

	f->owner = OWNER_CONTROL;
	f->flags = FRAME_MAPPED;
	assert_false(page_verify(&why));
	assert_non_null(strstr(why, "shown to the control VM"));
	*f = saved;

	frames[2 * GiB >> PAGE_SHIFT].owner = GUEST;
	assert_false(page_verify(&why));
	assert_string_equal(why, "a frame of a free block is not free");
	frames[2 * GiB >> PAGE_SHIFT].owner = OWNER_POOL;

	stats.free += PAGE_SIZE;
	assert_false(page_verify(&why));
	assert_string_equal(why, "the count of free frames is wrong");
	stats.free -= PAGE_SIZE;

	f[1].flags = FRAME_FREE_HEAD;
	f[1].order = 1;
	assert_false(page_verify(&why));
	assert_string_equal(why, "a free block is misaligned");
	f[1] = saved;
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_add_counts_all, start),
		cmocka_unit_test_setup(test_alloc_each_order, start),
		cmocka_unit_test_setup(test_memory_comes_cleared, start),
		cmocka_unit_test_setup(test_random_sequences_restore, start),
		cmocka_unit_test_setup(test_free_in_parts, start),
		cmocka_unit_test_setup(test_exhaust, start),
		cmocka_unit_test_setup(test_kept_back, start),
		cmocka_unit_test_setup(test_hypervisor_pages, start),
		cmocka_unit_test_setup(test_misuse_panics, start),
		cmocka_unit_test_setup(test_mapped_flag, start),
		cmocka_unit_test_setup(test_verify_sees, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
