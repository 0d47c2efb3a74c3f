/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_stage2.c -- building second-level tables, against a flat model of what
 * every 4 KiB page maps to.
 */
#include "tests/unit/host_pool.h"

#include "arch/x86/stage2.c"
#include "arch/x86/svm/npt.c"
#include "arch/x86/vmx/ept.c"

#undef fail
#include <cmocka.h>

/* Three GiB across the border of two top-level entries. */
#define BASE		(511 * GiB)
#define PAGES		(3 * GiB >> PAGE_SHIFT)
#define END		(BASE + (PAGES << PAGE_SHIFT))
#define POOL		(64 * MiB)
#define PROTS		4

struct variant {
	const char *name;
	const struct stage2_format *base;
	bool has_1g;
	bool patchy;		/* memory types that part large pages */
	bool nx_large;
};

struct vmx_caps vmx_caps;

void audit_stage2_flushed(const struct cpu *c, u64 root)
{
}

static struct stage2_format format;
static const struct variant *variant;
static struct stage2 s2;
static u64 *model;		/* hpa | prot << 1 | 1, 0: nothing there */
static u64 pool_at_start;

static const struct variant variants[] = {
	{ "NPT", &npt_format, true, false },
	{ "NPT without 1 GiB pages", &npt_format, false, false },
	{ "NPT, types part pages", &npt_format, true, true },
	{ "EPT", &ept_format, true, false },
	{ "EPT without 1 GiB pages", &ept_format, false, false },
	{ "EPT of a guest", &ept_guest_format, true, false },
	{ "NPT, large pages not executable", &npt_format, true, false, true },
	{ "EPT, large pages not executable", &ept_guest_format, true, true, true },
};

static bool has_1g(void)
{
	return variant->has_1g;
}

/* As if memory types changed inside every other 1 GiB and every third 2 MiB. */
static unsigned uniform(u64 hpa, unsigned level)
{
	if (!variant->patchy)
		return variant->base->uniform(hpa, level);
	if (level == 3 && (hpa / PAGE_SIZE_1G & 1))
		level = 2;
	if (level == 2 && hpa / PAGE_SIZE_2M % 3 == 0)
		level = 1;
	return level;
}

static void begin(const struct variant *v)
{
	variant = v;
	/* MTRRs as firmware sets them: all WB but holes, one off any 2 MiB border. */
	default_type = TYPE_WB;
	var_count = 2;
	var[0].base = 3 * GiB;
	var[0].mask = BITS(51, 30);
	var[1].base = 5 * GiB + 0x10000;
	var[1].mask = BITS(51, 16);
	var[0].type = var[1].type = TYPE_UC;
	format = *v->base;
	format.has_1g = has_1g;
	format.uniform = uniform;
	host_pool(0, POOL);
	pool_at_start = pool_free();
	free(model);
	model = calloc(PAGES, sizeof(*model));
	assert_int_equal(stage2_init(&s2, &format), 0);
	s2.nx_large = v->nx_large;
}

static void finish(void)
{
	const char *why;

	stage2_fini(&s2);
	assert_null(s2.root);
	assert_int_equal(s2.tables, 0);
	assert_int_equal(pool_free(), pool_at_start);
	assert_true(page_verify(&why));
}

static u32 a_prot(void)
{
	static const u32 prots[PROTS] = {
		STAGE2_READ, STAGE2_READ | STAGE2_WRITE, STAGE2_READ | STAGE2_EXEC, STAGE2_RWX,
	};

	return prots[rnd_below(PROTS)];
}

static u64 *model_at(u64 gpa)
{
	return &model[(gpa - BASE) >> PAGE_SHIFT];
}

static u64 model_entry(u64 hpa, u32 prot)
{
	return hpa | prot << 1 | 1;
}

static bool compare_leaf(void *ctx, u64 gpa, u64 hpa, u64 len, u32 prot)
{
	u64 *sum = ctx, off;

	assert_true(gpa >= BASE && gpa + len <= END);
	for (off = 0; off < len; off += PAGE_SIZE)
		if (*model_at(gpa + off) != model_entry(hpa + off, prot))
			fail_msg("%s: %lx maps %lx (%x), not %lx", variant->name, gpa + off,
				 hpa + off, prot, *model_at(gpa + off));
	*sum += len >> PAGE_SHIFT;
	return true;
}

/* Tables below this one, itself included; only the root may be empty. */
static u64 count_tables(const u64 *t, unsigned level)
{
	u64 n = 1;
	unsigned i, used = 0;

	assert_int_equal(page_owner(ptr_hpa(t)), OWNER_HYPERVISOR);
	for (i = 0; i < 512; i++) {
		if (!t[i])
			continue;
		used++;
		/* What the CPU sees, whatever is meant. */
		if (s2.nx_large && level > 1 && is_leaf(t[i], level) && present(&s2, t[i]))
			assert_false(s2.fmt->prot(t[i]) & STAGE2_EXEC);
		if (!is_leaf(t[i], level))
			n += count_tables(table_of(t[i]), level - 1);
	}
	if (level < STAGE2_LEVELS && !used)
		fail_msg("an empty table at level %u", level);
	return n;
}

static void check_walk(u64 gpa)
{
	u64 hpa = 0, len = 0, m = *model_at(gpa), off = rnd_below(PAGE_SIZE);
	u32 prot = stage2_walk(&s2, gpa + off, &hpa, &len);

	if (!m) {
		assert_int_equal(prot, 0);
		assert_false(stage2_find(&s2, gpa + off, &hpa, &len));
		return;
	}
	assert_true(stage2_find(&s2, gpa + off, &hpa, &len));
	assert_int_equal(model_entry(hpa - off, prot), m);
	assert_true(len && len <= PAGE_SIZE_1G - off);
	/* What is left of the leaf maps on without a break. */
	assert_int_equal(*model_at(gpa + off + len - 1),
			 model_entry(ALIGN_DOWN(hpa + len - 1, PAGE_SIZE), prot));
}

static void check_all(void)
{
	u64 i, want = 0, sum = 0;

	assert_true(stage2_each(&s2, compare_leaf, &sum));
	for (i = 0; i < PAGES; i++)
		want += model[i] != 0;
	assert_int_equal(sum, want);
	for (i = 0; i < 2000; i++)
		check_walk(BASE + (rnd_below(PAGES) << PAGE_SHIFT));
	if (!s2.garbage)
		assert_int_equal(count_tables(s2.root, STAGE2_LEVELS), s2.tables);
	assert_int_equal(pool_free(), pool_at_start - s2.tables * PAGE_SIZE);
}

static void model_map(u64 gpa, u64 hpa, u64 len, u32 prot)
{
	u64 off;

	for (off = 0; off < len; off += PAGE_SIZE)
		*model_at(gpa + off) = model_entry(hpa + off, prot);
}

static void model_unmap(u64 gpa, u64 len)
{
	memset(model_at(gpa), 0, (len >> PAGE_SHIFT) * sizeof(*model));
}

/* Bytes at gpa that are free in the model, at most len. */
static u64 model_free(u64 gpa, u64 len)
{
	u64 off;

	for (off = 0; off < len && !*model_at(gpa + off); off += PAGE_SIZE)
		;
	return off;
}

/* Lengths and places that meet every leaf size, whole and in part. */
static void a_range(u64 *gpa, u64 *len)
{
	static const u64 units[] = { PAGE_SIZE, PAGE_SIZE, PAGE_SIZE_2M, PAGE_SIZE_2M,
				     PAGE_SIZE_1G };
	u64 unit = units[rnd_below(ARRAY_SIZE(units))];

	*gpa = BASE + ALIGN_DOWN(rnd_below(PAGES) << PAGE_SHIFT, unit);
	*len = unit * (1 + rnd_below(unit == PAGE_SIZE ? 1200 : unit == PAGE_SIZE_2M ? 40 : 3));
	if (rnd_below(4) == 0)
		*len += PAGE_SIZE * rnd_below(600);
	*len = MIN(*len, END - *gpa);
}

static u64 an_hpa(u64 gpa)
{
	switch (rnd_below(4)) {
	case 0: return gpa;
	case 1: return rnd_below(64) * GiB + (gpa & (PAGE_SIZE_1G - 1));
	case 2: return rnd_below(1 << 14) * PAGE_SIZE_2M + (gpa & (PAGE_SIZE_2M - 1));
	default: return rnd_below(1 << 24) << PAGE_SHIFT;
	}
}

/* A map that meets something: all before it may be there, nothing else is. */
static void check_partial_map(u64 gpa, u64 hpa, u64 len, u64 room, u32 prot)
{
	u64 off, h, n, done = 0;

	for (off = 0; off < room; off += PAGE_SIZE)
		if (stage2_walk(&s2, gpa + off, &h, &n)) {
			assert_int_equal(done, off);
			assert_int_equal(h, hpa + off);
			done = off + PAGE_SIZE;
		}
	assert_true(done < len);
	model_map(gpa, hpa, done, prot);
}

static void random_map(void)
{
	u64 gpa, len, hpa, room;
	u32 prot = a_prot();
	int err;

	a_range(&gpa, &len);
	room = model_free(gpa, len);
	if (room && rnd_below(8))
		len = room;
	hpa = an_hpa(gpa);
	err = stage2_map(&s2, gpa, hpa, len, prot, 1 + rnd_below(3));
	assert_int_equal(err, room < len ? -EEXIST : 0);
	if (err)
		check_partial_map(gpa, hpa, len, room, prot);
	else
		model_map(gpa, hpa, len, prot);
}

/* Out of memory: all before some page is unmapped, nothing from there on. */
static void check_partial_unmap(u64 gpa, u64 len)
{
	u64 off, h, n;

	for (off = 0; off < len; off += PAGE_SIZE) {
		if (!*model_at(gpa + off))
			continue;
		if (stage2_find(&s2, gpa + off, &h, &n))
			break;
		*model_at(gpa + off) = 0;
	}
}

static void random_unmap(bool scarce)
{
	u64 gpa, len;
	int err;

	a_range(&gpa, &len);
	if (scarce)
		alloc_budget = rnd_below(3);
	err = stage2_unmap(&s2, gpa, len);
	alloc_budget = ~0ull;
	if (err) {
		assert_true(scarce);
		assert_int_equal(err, -ENOMEM);
		check_partial_unmap(gpa, len);
		return;
	}
	model_unmap(gpa, len);
}

/* Out of memory: all before some page has the protection, nothing from there on. */
static void check_partial_protect(u64 gpa, u64 len, u32 prot)
{
	u64 off, h, n, *m;

	for (off = 0; off < len; off += PAGE_SIZE) {
		m = model_at(gpa + off);
		if (!*m)
			continue;
		assert_true(stage2_find(&s2, gpa + off, &h, &n));
		if (stage2_walk(&s2, gpa + off, &h, &n) != prot)
			break;
		*m = model_entry(h, prot);
	}
}

static void random_protect(bool scarce)
{
	u32 prot = rnd_below(2) ? 0 : a_prot();
	u64 gpa, len, off, *m;
	int err;

	a_range(&gpa, &len);
	if (scarce)
		alloc_budget = rnd_below(3);
	err = stage2_protect(&s2, gpa, len, prot);
	alloc_budget = ~0ull;
	if (err) {
		assert_true(scarce);
		assert_int_equal(err, -ENOMEM);
		check_partial_protect(gpa, len, prot);
		return;
	}
	for (off = 0; off < len; off += PAGE_SIZE) {
		m = model_at(gpa + off);
		if (*m)
			*m = model_entry(*m & ENTRY_ADDR, prot);
	}
}

/* Nothing of what is mapped changes, and code can be fetched or not as is meant. */
static void random_execute(bool scarce)
{
	u64 gpa = BASE + (rnd_below(PAGES) << PAGE_SHIFT), len, hpa, m = *model_at(gpa);
	bool exec = m && (m >> 1 & STAGE2_EXEC);
	int err;

	if (scarce)
		alloc_budget = rnd_below(3);
	err = stage2_execute(&s2, gpa + rnd_below(PAGE_SIZE));
	alloc_budget = ~0ull;
	if (err == -ENOMEM) {
		assert_true(scarce && exec);
		return;
	}
	assert_int_equal(err, exec && s2.nx_large ? 0 : -ENOENT);
	if (err)
		return;
	assert_true(stage2_walk(&s2, gpa, &hpa, &len) & STAGE2_EXEC);
	assert_int_equal(len, PAGE_SIZE);
}

static void test_random_against_model(void **state)
{
	unsigned i, k;

	for (k = 0; k < ARRAY_SIZE(variants); k++) {
		begin(&variants[k]);
		for (i = 0; i < 1200; i++) {
			if (rnd_below(6) < 3)
				random_map();
			else if (rnd_below(3))
				random_unmap(rnd_below(3) == 0);
			else
				random_protect(rnd_below(3) == 0);
			random_execute(rnd_below(3) == 0);
			if (rnd_below(4))
				stage2_collect(&s2);
			if (i % 40 == 0)
				check_all();
		}
		check_all();
		stage2_collect(&s2);
		assert_int_equal(stage2_unmap(&s2, BASE, END - BASE), 0);
		model_unmap(BASE, END - BASE);
		check_all();
		stage2_collect(&s2);
		assert_int_equal(s2.tables, 1);
		check_all();
		finish();
	}
}

/* What is mapped and in use goes back as a whole, garbage included. */
static void test_fini_frees_all(void **state)
{
	unsigned i, k;

	for (k = 0; k < ARRAY_SIZE(variants); k++) {
		begin(&variants[k]);
		for (i = 0; i < 60; i++) {
			random_map();
			if (i % 3 == 0)
				random_unmap(false);
		}
		finish();
	}
}

struct fresh {
	u64 gpa, hpa, len;
	unsigned max;
};

static unsigned best_level(const struct fresh *f, u64 gpa)
{
	u64 hpa = f->hpa + (gpa - f->gpa);
	unsigned level = MIN(f->max, variant->has_1g ? 3u : 2u);

	for (; level > 1; level--) {
		u64 size = PAGE_SIZE << 9 * (level - 1);

		if (gpa % size == 0 && hpa % size == 0 && f->gpa + f->len - gpa >= size)
			break;
	}
	return uniform(hpa, level);
}

static bool leaf_is_best(void *ctx, u64 gpa, u64 hpa, u64 len, u32 prot)
{
	const struct fresh *f = ctx;

	assert_int_equal(hpa - gpa, f->hpa - f->gpa);
	assert_int_equal(len, PAGE_SIZE << 9 * (best_level(f, gpa) - 1));
	return true;
}

static void test_largest_pages(void **state)
{
	struct fresh f;
	unsigned i, k;

	for (k = 0; k < ARRAY_SIZE(variants); k++) {
		begin(&variants[k]);
		for (i = 0; i < 150; i++) {
			a_range(&f.gpa, &f.len);
			f.hpa = an_hpa(f.gpa);
			f.max = 1 + rnd_below(3);
			assert_int_equal(stage2_map(&s2, f.gpa, f.hpa, f.len, a_prot(), f.max), 0);
			assert_true(stage2_each(&s2, leaf_is_best, &f));
			assert_int_equal(stage2_unmap(&s2, f.gpa, f.len), 0);
			stage2_collect(&s2);
			assert_int_equal(s2.tables, 1);
		}
		finish();
	}
}

/* Any page out of a large one leaves all the others as they were. */
static void test_split(void **state)
{
	static const u64 holes[] = { 0, PAGE_SIZE, PAGE_SIZE_2M - PAGE_SIZE, PAGE_SIZE_2M,
				     PAGE_SIZE_1G / 2 + 0x7000, PAGE_SIZE_1G - PAGE_SIZE };
	unsigned i, k;

	for (k = 0; k < ARRAY_SIZE(variants); k++) {
		begin(&variants[k]);
		for (i = 0; i < ARRAY_SIZE(holes); i++) {
			u64 gpa = 512 * GiB, hpa = 4 * GiB;

			assert_int_equal(stage2_map(&s2, gpa, hpa, PAGE_SIZE_1G, STAGE2_RWX, 3), 0);
			model_map(gpa, hpa, PAGE_SIZE_1G, STAGE2_RWX);
			assert_int_equal(stage2_unmap(&s2, gpa + holes[i], PAGE_SIZE), 0);
			model_unmap(gpa + holes[i], PAGE_SIZE);
			check_all();
			/* The hole takes a page again, of other rights. */
			assert_int_equal(stage2_map(&s2, gpa + holes[i], 0x5000, PAGE_SIZE,
						    STAGE2_READ, 1), 0);
			model_map(gpa + holes[i], 0x5000, PAGE_SIZE, STAGE2_READ);
			check_all();
			assert_int_equal(stage2_unmap(&s2, gpa, PAGE_SIZE_1G), 0);
			model_unmap(gpa, PAGE_SIZE_1G);
			stage2_collect(&s2);
			assert_int_equal(s2.tables, 1);
		}
		finish();
	}
}

static u64 count_garbage(void)
{
	u64 n = 0, g;

	for (g = s2.garbage; g; g = *(u64 *)hpa_ptr(HPA(g))) {
		assert_int_equal(page_owner(HPA(g)), OWNER_HYPERVISOR);
		n++;
	}
	return n;
}

/*
 * Each allocation of a map in turn fails; unmapping then restores the start.
 * What was linked for it, and is no more, is not the pool's before a flush.
 */
static void test_map_without_memory(void **state)
{
	/* Ends of a range that needs all levels on both sides of a border. */
	u64 gpa = 512 * GiB - PAGE_SIZE_2M - 3 * PAGE_SIZE, len = 2 * PAGE_SIZE_2M + 0x9000;
	u64 before, k, i, garbage, seen = 0;
	int err;

	begin(&variants[0]);
	assert_int_equal(stage2_map(&s2, BASE, 0, PAGE_SIZE, STAGE2_RWX, 3), 0);
	model_map(BASE, 0, PAGE_SIZE, STAGE2_RWX);
	before = s2.tables;
	for (k = 0, err = -ENOMEM; err; k++) {
		assert_in_range(k, 0, 20);
		alloc_budget = k;
		err = stage2_map(&s2, gpa, 0x3000, len, STAGE2_RWX, 3);
		alloc_budget = ~0ull;
		assert_true(err == 0 || err == -ENOMEM);
		/* No table was made for nothing. */
		garbage = count_garbage();
		seen += garbage;
		assert_int_equal(count_tables(s2.root, STAGE2_LEVELS) + garbage, s2.tables);
		assert_int_equal(pool_free(), pool_at_start - s2.tables * PAGE_SIZE);
		assert_int_equal(stage2_unmap(&s2, gpa, len), 0);
		stage2_collect(&s2);
		assert_int_equal(s2.tables, before);
		check_all();
	}
	assert_true(k > 3 && seen);
	alloc_budget = 0;
	for (i = 0; i < 3; i++) {
		struct stage2 other;

		assert_int_equal(stage2_init(&other, &format), -ENOMEM);
		assert_int_equal(other.tables, 0);
	}
	alloc_budget = ~0ull;
	finish();
}

static void test_unmap_without_memory(void **state)
{
	u64 k;
	int err = -ENOMEM;

	begin(&variants[0]);
	assert_int_equal(stage2_map(&s2, 512 * GiB, GiB, GiB, STAGE2_RWX, 3), 0);
	model_map(512 * GiB, GiB, GiB, STAGE2_RWX);
	/* A 1 GiB leaf, of which 4 KiB go: two tables. */
	for (k = 0; err; k++) {
		assert_in_range(k, 0, 2);
		alloc_budget = k;
		err = stage2_unmap(&s2, 512 * GiB + 0x1000, PAGE_SIZE);
		alloc_budget = ~0ull;
		if (!err)
			model_unmap(512 * GiB + 0x1000, PAGE_SIZE);
		else
			assert_int_equal(err, -ENOMEM);
		check_all();
	}
	finish();
}

/* Until collected, tables that became empty are still theirs to walk. */
static void test_garbage_waits(void **state)
{
	u64 tables, hpa, len;

	begin(&variants[0]);
	assert_int_equal(stage2_map(&s2, BASE, 0x1000, 8 * PAGE_SIZE, STAGE2_RWX, 3), 0);
	tables = s2.tables;
	assert_int_equal(tables, 4);
	assert_int_equal(stage2_unmap(&s2, BASE, 8 * PAGE_SIZE), 0);
	assert_int_equal(s2.tables, tables);
	assert_int_equal(pool_free(), pool_at_start - tables * PAGE_SIZE);
	assert_int_equal(stage2_walk(&s2, BASE, &hpa, &len), 0);
	/* Mapping again before that is fine, and does not use them. */
	assert_int_equal(stage2_map(&s2, BASE, 0x1000, PAGE_SIZE, STAGE2_RWX, 3), 0);
	stage2_collect(&s2);
	assert_int_equal(s2.tables, 4);
	assert_int_equal(stage2_walk(&s2, BASE, &hpa, &len), STAGE2_RWX);
	finish();
}

/* What is parked is not present in either format, and keeps its place. */
static void test_parked(void **state)
{
	u64 hpa, len, *t;
	unsigned k;

	for (k = 0; k < ARRAY_SIZE(variants); k++) {
		begin(&variants[k]);
		assert_int_equal(stage2_map(&s2, 0, 4 * MiB, 2 * MiB, STAGE2_RWX, 3), 0);
		assert_int_equal(stage2_protect(&s2, 0, 2 * MiB, 0), 0);
		t = table_of(table_of(s2.root[0])[0]);
		assert_true(t[0] && !(t[0] & format.present));
		assert_int_equal(stage2_walk(&s2, 0x1234, &hpa, &len), 0);
		assert_true(stage2_find(&s2, 0x1234, &hpa, &len));
		assert_int_equal(hpa, 4 * MiB + 0x1234);
		assert_int_equal(len, 2 * MiB - 0x1234);
		assert_int_equal(stage2_map(&s2, 0, 0, PAGE_SIZE, STAGE2_RWX, 3), -EEXIST);
		assert_int_equal(stage2_protect(&s2, 0, 2 * MiB, STAGE2_READ), 0);
		assert_int_equal(stage2_walk(&s2, 0, &hpa, &len), STAGE2_READ);
		assert_int_equal(t[0], format.leaf(4 * MiB, 2, STAGE2_READ));
		assert_int_equal(stage2_protect(&s2, 0, 2 * MiB, 0), 0);
		assert_int_equal(stage2_unmap(&s2, 0, 2 * MiB), 0);
		stage2_collect(&s2);
		assert_int_equal(s2.tables, 1);
		finish();
	}
}

static bool count_to(void *ctx, u64 gpa, u64 hpa, u64 len, u32 prot)
{
	return --*(int *)ctx > 0;
}

static void test_walk_ends(void **state)
{
	u64 hpa, len, top = 1ull << STAGE2_GPA_BITS;
	int n = 3;

	begin(&variants[0]);
	assert_int_equal(stage2_map(&s2, top - 8 * PAGE_SIZE, 0, 8 * PAGE_SIZE, STAGE2_RWX, 3), 0);
	assert_int_equal(stage2_map(&s2, 0, 0x8000, PAGE_SIZE, STAGE2_READ, 3), 0);
	assert_int_equal(stage2_walk(&s2, top - 1, &hpa, &len), STAGE2_RWX);
	assert_int_equal(hpa, 0x7fff);
	assert_int_equal(len, 1);
	/* No alias of address 0 above what the tables reach. */
	assert_int_equal(stage2_walk(&s2, 0, &hpa, &len), STAGE2_READ);
	assert_int_equal(stage2_walk(&s2, top, &hpa, &len), 0);
	assert_int_equal(stage2_walk(&s2, ~0ull, &hpa, &len), 0);
	assert_int_equal(stage2_walk(&s2, 1ull << 63, &hpa, &len), 0);
	assert_false(stage2_each(&s2, count_to, &n));
	assert_int_equal(n, 0);
	finish();
}

/* APM, "Nested Paging": entries as the CPU reads them. */
static void test_npt_entries(void **state)
{
	assert_int_equal(npt_format.leaf(0x123456000, 1, STAGE2_RWX), 0x123456067);
	assert_int_equal(npt_format.leaf(0x40000000, 2, STAGE2_RWX), 0x400000e7);
	assert_true(npt_format.leaf(0x40000000, 3, STAGE2_READ | STAGE2_WRITE) ==
		    (0x400000e7 | 1ull << 63));
	assert_int_equal(npt_format.leaf(0x5000, 1, STAGE2_READ | STAGE2_EXEC), 0x5065);
	assert_int_equal(npt_format.table(0x7000), 0x7027);
	assert_int_equal(npt_format.present, 1);
	assert_int_equal(npt_format.prot(0x5067), STAGE2_RWX);
	assert_int_equal(npt_format.prot(0x5065), STAGE2_READ | STAGE2_EXEC);
	assert_int_equal(npt_format.prot(0x5065 | 1ull << 63), STAGE2_READ);
}

/* SDM, "EPT and Memory Typing": entries as the CPU reads them. */
static void test_ept_entries(void **state)
{
	begin(&variants[3]);
	assert_int_equal(ept_format.present, 7);
	assert_int_equal(ept_format.leaf(0x123456000, 1, STAGE2_RWX), 0x123456037);
	assert_int_equal(ept_format.leaf(0x40000000, 2, STAGE2_READ), 0x400000b1);
	assert_int_equal(ept_format.leaf(3 * GiB, 3, STAGE2_READ | STAGE2_WRITE), 0xc0000083);
	assert_int_equal(ept_format.leaf(5 * GiB + 0x10000, 1, STAGE2_RWX), 0x140010007);
	assert_int_equal(ept_format.leaf(5 * GiB + 0x20000, 1, STAGE2_RWX), 0x140020037);
	/* Guests' memory: what is write-back stays so, whatever their PAT says. */
	assert_int_equal(ept_guest_format.leaf(0x123456000, 1, STAGE2_RWX), 0x123456077);
	assert_int_equal(ept_guest_format.leaf(0x40000000, 2, STAGE2_READ), 0x400000f1);
	assert_int_equal(ept_guest_format.leaf(5 * GiB + 0x10000, 1, STAGE2_RWX), 0x140010007);
	assert_int_equal(ept_guest_format.prot(0x5073), STAGE2_READ | STAGE2_WRITE);
	assert_int_equal(ept_format.table(0x7000), 0x7007);
	assert_int_equal(ept_format.prot(0x5003), STAGE2_READ | STAGE2_WRITE);
	/* A large page has one type: split where an MTRR begins or ends. */
	assert_int_equal(ept_format.uniform(3 * GiB, 3), 3);
	assert_int_equal(ept_format.uniform(5 * GiB, 3), 1);
	assert_int_equal(ept_format.uniform(5 * GiB + 2 * MiB, 3), 2);
	assert_int_equal(ept_format.uniform(6 * GiB, 3), 3);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_against_model),
		cmocka_unit_test(test_fini_frees_all),
		cmocka_unit_test(test_largest_pages),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_map_without_memory),
		cmocka_unit_test(test_unmap_without_memory),
		cmocka_unit_test(test_garbage_waits),
		cmocka_unit_test(test_parked),
		cmocka_unit_test(test_walk_ends),
		cmocka_unit_test(test_npt_entries),
		cmocka_unit_test(test_ept_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
