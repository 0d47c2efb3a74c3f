/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stage2.c -- building, changing and walking second-level page tables.
 *
 * Invariant: no table but the root is empty, so that mapping and unmapping
 * the same range leaves the count of tables as it was.
 *
 * A leaf that allows nothing is parked: not present to the CPU, which ignores
 * all other bits of it then, but it still says what memory belongs there.
 */
#include "arch/x86/paging.h"
#include "arch/x86/stage2.h"
#include "core/errno.h"
#include "core/log.h"
#include "core/page.h"
#include "core/work.h"

#define ENTRY_ADDR	BITS(51, 12)
#define ENTRY_LARGE	BIT(7)
#define ENTRY_PARKED	BIT(9)		/* of an entry that is not present */
#define ENTRY_EXEC	BIT(11)		/* of a large leaf: executable once it is split */

static u64 level_size(unsigned level)
{
	return 1ull << (12 + 9 * (level - 1));
}

static unsigned level_index(u64 gpa, unsigned level)
{
	return (gpa >> (12 + 9 * (level - 1))) & 511;
}

static bool present(const struct stage2 *s, u64 entry)
{
	return entry & s->fmt->present;
}

/* Present or parked: something belongs there. */
static bool used(const struct stage2 *s, u64 entry)
{
	return entry & (s->fmt->present | ENTRY_PARKED);
}

static bool is_leaf(u64 entry, unsigned level)
{
	return level == 1 || (entry & ENTRY_LARGE);
}

static u64 *table_of(u64 entry)
{
	return hpa_ptr(HPA(entry & ENTRY_ADDR));
}

static u64 leaf_addr(u64 entry, unsigned level)
{
	return entry & ENTRY_ADDR & ~(level_size(level) - 1);
}

static u64 leaf_entry(const struct stage2 *s, u64 hpa, unsigned level, u32 prot)
{
	if (level > 1 && s->nx_large && (prot & STAGE2_EXEC))
		return s->fmt->leaf(hpa, level, prot & ~(u32)STAGE2_EXEC) | ENTRY_EXEC;
	if (prot)
		return s->fmt->leaf(hpa, level, prot);
	return hpa | ENTRY_PARKED | (level > 1 ? ENTRY_LARGE : 0);
}

static u32 leaf_prot(const struct stage2 *s, u64 entry)
{
	if (!present(s, entry))
		return 0;
	return s->fmt->prot(entry) | (entry & ENTRY_EXEC ? STAGE2_EXEC : 0);
}

static u64 *table_new(struct stage2 *s)
{
	u64 *t = s->urgent ? page_alloc_urgent() : page_alloc_hyp();

	work_add(WORK_CLEAR_4K);
	/* RUN may split, too. */
	if (t)
		__atomic_fetch_add(&s->tables, 1, __ATOMIC_RELAXED);
	return t;
}

static void table_free(struct stage2 *s, u64 *t)
{
	page_free_hyp(t);
	__atomic_fetch_sub(&s->tables, 1, __ATOMIC_RELAXED);
}

int stage2_init(struct stage2 *s, const struct stage2_format *fmt)
{
	s->fmt = fmt;
	s->tables = 0;
	s->garbage = 0;
	s->urgent = false;
	s->max_level = fmt->has_1g() ? 3 : 2;
	s->nx_large = false;
	s->root = table_new(s);
	return s->root ? 0 : fail(-ENOMEM);
}

static void free_below(struct stage2 *s, u64 *t, unsigned level)
{
	unsigned i;

	for (i = 0; i < 512 && level > 1; i++)
		if (used(s, t[i]) && !is_leaf(t[i], level))
			free_below(s, table_of(t[i]), level - 1);
	table_free(s, t);
}

void stage2_fini(struct stage2 *s)
{
	stage2_collect(s);
	if (s->root)
		free_below(s, s->root, STAGE2_LEVELS);
	s->root = NULL;
}

static unsigned leaf_level(const struct stage2 *s, u64 gpa, u64 hpa, u64 len, unsigned max)
{
	unsigned level = MIN(max, s->max_level);

	while (level > 1 && (!IS_ALIGNED(gpa | hpa, level_size(level)) ||
			     len < level_size(level)))
		level--;
	return s->fmt->uniform(hpa, level);
}

u64 stage2_page_size(const struct stage2 *s, u64 hpa)
{
	return level_size(s->fmt->uniform(hpa, s->max_level));
}

static bool table_empty(const struct stage2 *s, const u64 *t)
{
	u64 bits = s->fmt->present | ENTRY_PARKED;
	unsigned i;

	for (i = 0; i < 512; i++)
		if (t[i] & bits)
			break;
	work_add(i * WORK_SCAN);
	return i == 512;
}

/*
 * The same once [gpa, next) of what this table, below an entry of `level`, maps
 * is gone.  Who unmaps much goes up or down: a look at both sides mostly does.
 */
static bool table_emptied(const struct stage2 *s, const u64 *t, unsigned level, u64 gpa, u64 next)
{
	unsigned first = level_index(gpa, level - 1), last = level_index(next - 1, level - 1);

	if ((first && used(s, t[first - 1])) || (last < 511 && used(s, t[last + 1])))
		return false;
	return (first == 0 && last == 511) || table_empty(s, t);
}

/* Unlinks an empty table.  A core may be walking it: it is freed after a flush. */
static void discard(struct stage2 *s, u64 *e)
{
	u64 *t = table_of(*e);

	__atomic_store_n(e, 0, __ATOMIC_RELEASE);
	/* The link is a page address: not present in any format. */
	t[0] = s->garbage;
	s->garbage = ptr_hpa(t).v;
}

/* Tables on the way to gpa that hold nothing, after a failure part-way. */
static void prune(struct stage2 *s, u64 *t, u64 gpa, unsigned level)
{
	u64 *e = &t[level_index(gpa, level)];

	if (level == 1 || !used(s, *e) || is_leaf(*e, level))
		return;
	prune(s, table_of(*e), gpa, level - 1);
	if (table_empty(s, table_of(*e)))
		discard(s, e);
}

static int map_leaf(struct stage2 *s, u64 gpa, u64 hpa, unsigned level, u32 prot)
{
	u64 *t = s->root, *e;
	unsigned l;

	for (l = STAGE2_LEVELS; l > level; l--) {
		e = &t[level_index(gpa, l)];
		if (!used(s, *e)) {
			u64 *new = table_new(s);

			if (!new) {
				prune(s, s->root, gpa, STAGE2_LEVELS);
				return fail(-ENOMEM);
			}
			*e = s->fmt->table(ptr_hpa(new).v);
		} else if (is_leaf(*e, l)) {
			return fail(-EEXIST);
		}
		t = table_of(*e);
	}
	e = &t[level_index(gpa, level)];
	if (used(s, *e))
		return fail(-EEXIST);
	__atomic_store_n(e, leaf_entry(s, hpa, level, prot), __ATOMIC_RELEASE);
	work_add(WORK_MAP);
	return 0;
}

int stage2_map(struct stage2 *s, u64 gpa, u64 hpa, u64 len, u32 prot, unsigned max_level)
{
	while (len) {
		unsigned level = leaf_level(s, gpa, hpa, len, max_level);
		int err = map_leaf(s, gpa, hpa, level, prot);

		if (err)
			return err;
		gpa += level_size(level);
		hpa += level_size(level);
		len -= level_size(level);
	}
	return 0;
}

/*
 * Replaces a large leaf by a table that maps the same.  Nobody else changes it
 * meanwhile, but by doing likewise.
 */
static int split(struct stage2 *s, u64 *e, unsigned level)
{
	u64 old = __atomic_load_n(e, __ATOMIC_ACQUIRE);
	u64 hpa = leaf_addr(old, level), size = level_size(level - 1);
	u64 *t = table_new(s), first;
	unsigned i;

	if (!t)
		return fail(-ENOMEM);
	/* One memory type throughout: only the address differs. */
	first = leaf_entry(s, hpa, level - 1, leaf_prot(s, old));
	for (i = 0; i < 512; i++)
		t[i] = first + i * size;
	work_add(512 * WORK_SCAN);
	if (!__atomic_compare_exchange_n(e, &old, s->fmt->table(ptr_hpa(t).v), false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		table_free(s, t);
	return 0;
}

/* *gone: an entry of t is no longer used. */
static int unmap_in(struct stage2 *s, u64 *t, unsigned level, u64 gpa, u64 end, bool *gone)
{
	while (gpa < end) {
		u64 *e = &t[level_index(gpa, level)];
		u64 next = MIN(ALIGN_DOWN(gpa, level_size(level)) + level_size(level), end);
		bool whole = next - gpa == level_size(level), below = false;
		int err;

		work_add(WORK_ENTRY);
		if (!used(s, *e)) {
			gpa = next;
			continue;
		}
		if (is_leaf(*e, level) && whole) {
			__atomic_store_n(e, 0, __ATOMIC_RELEASE);
			*gone = true;
			gpa = next;
			continue;
		}
		if (is_leaf(*e, level)) {
			err = split(s, e, level);
			if (err)
				return err;
		}
		err = unmap_in(s, table_of(*e), level - 1, gpa, next, &below);
		if (err)
			return err;
		if (below && table_emptied(s, table_of(*e), level, gpa, next)) {
			discard(s, e);
			*gone = true;
		}
		gpa = next;
	}
	return 0;
}

int stage2_unmap(struct stage2 *s, u64 gpa, u64 len)
{
	bool gone;

	s->changes++;
	return unmap_in(s, s->root, STAGE2_LEVELS, gpa, gpa + len, &gone);
}

static int protect_in(struct stage2 *s, u64 *t, unsigned level, u64 gpa, u64 end, u32 prot)
{
	while (gpa < end) {
		u64 *e = &t[level_index(gpa, level)];
		u64 next = MIN(ALIGN_DOWN(gpa, level_size(level)) + level_size(level), end);
		bool whole = next - gpa == level_size(level);
		int err = 0;

		work_add(WORK_ENTRY);
		if (used(s, *e) && is_leaf(*e, level) && whole) {
			work_add(WORK_TYPE);
			__atomic_store_n(e, leaf_entry(s, leaf_addr(*e, level), level, prot),
					 __ATOMIC_RELEASE);
		} else if (used(s, *e)) {
			if (is_leaf(*e, level))
				err = split(s, e, level);
			if (!err)
				err = protect_in(s, table_of(*e), level - 1, gpa, next, prot);
		}
		if (err)
			return err;
		gpa = next;
	}
	return 0;
}

int stage2_protect(struct stage2 *s, u64 gpa, u64 len, u32 prot)
{
	s->changes++;
	return protect_in(s, s->root, STAGE2_LEVELS, gpa, gpa + len, prot);
}

int stage2_execute(struct stage2 *s, u64 gpa)
{
	u64 *t = s->root, *e, entry;
	unsigned l = STAGE2_LEVELS;
	int err;

	if (!s->nx_large || gpa >> STAGE2_GPA_BITS)
		return -ENOENT;
	for (;;) {
		e = &t[level_index(gpa, l)];
		entry = __atomic_load_n(e, __ATOMIC_ACQUIRE);
		if (!present(s, entry))
			return -ENOENT;
		if (!is_leaf(entry, l)) {
			t = table_of(entry);
			l--;
			continue;
		}
		if (!(leaf_prot(s, entry) & STAGE2_EXEC))
			return -ENOENT;
		if (l == 1)
			return 0;
		err = split(s, e, l);
		if (err)
			return err;
	}
}

void stage2_collect(struct stage2 *s)
{
	while (s->garbage) {
		u64 *t = hpa_ptr(HPA(s->garbage));

		s->garbage = t[0];
		table_free(s, t);
	}
}

bool stage2_join(struct stage2 *s, u64 gpa, unsigned level)
{
	u64 *t = s->root, *e = NULL, hpa, size = level_size(level - 1);
	unsigned i, l;

	if (level > s->max_level)
		return false;
	for (l = STAGE2_LEVELS; l >= level; l--) {
		e = &t[level_index(gpa, l)];
		if (!used(s, *e) || is_leaf(*e, l))
			return false;
		t = table_of(*e);
	}
	hpa = leaf_addr(t[0], level - 1);
	if (!used(s, t[0]) || !is_leaf(t[0], level - 1) || !IS_ALIGNED(hpa, level_size(level)) ||
	    s->fmt->uniform(hpa, level) != level)
		return false;
	/* The last one first: where it does not fit, it is seldom the only one. */
	for (i = 512; i--; )
		if (t[i] != t[0] + i * size)
			break;
	work_add((512 - i) * WORK_SCAN);
	if (i != ~0u)
		return false;
	__atomic_store_n(e, leaf_entry(s, hpa, level, leaf_prot(s, t[0])), __ATOMIC_RELEASE);
	t[0] = s->garbage;
	s->garbage = ptr_hpa(t).v;
	return true;
}

/* The leaf at gpa, present or parked; 0 if there is none, and *len of nothing. */
static inline u64 lookup(const struct stage2 *s, u64 gpa, u64 *hpa, u64 *len)
{
	const u64 *t = s->root;
	unsigned l;

	*len = PAGE_SIZE;
	if (gpa >> STAGE2_GPA_BITS)
		return 0;
	for (l = STAGE2_LEVELS; l; l--) {
		u64 e = __atomic_load_n(&t[level_index(gpa, l)], __ATOMIC_ACQUIRE);
		u64 offset = gpa & (level_size(l) - 1);

		*len = level_size(l) - offset;
		if (!used(s, e))
			return 0;
		if (is_leaf(e, l)) {
			*hpa = leaf_addr(e, l) + offset;
			return e;
		}
		t = table_of(e);
	}
	return 0;
}

u32 stage2_walk(const struct stage2 *s, u64 gpa, u64 *hpa, u64 *len)
{
	return leaf_prot(s, lookup(s, gpa, hpa, len));
}

bool stage2_find(const struct stage2 *s, u64 gpa, u64 *hpa, u64 *len)
{
	return lookup(s, gpa, hpa, len);
}

u64 stage2_size(const struct stage2 *s, u64 gpa)
{
	const u64 *t = s->root;
	unsigned l;

	for (l = STAGE2_LEVELS; l > 1; l--) {
		u64 e = t[level_index(gpa, l)];

		if (!used(s, e) || is_leaf(e, l))
			break;
		t = table_of(e);
	}
	return level_size(l);
}

static bool each_in(const struct stage2 *s, const u64 *t, unsigned level, u64 gpa,
		    bool (*f)(void *ctx, u64 gpa, u64 hpa, u64 len, u32 prot), void *ctx)
{
	unsigned i;

	for (i = 0; i < 512; i++, gpa += level_size(level)) {
		if (!used(s, t[i]))
			continue;
		if (is_leaf(t[i], level)) {
			if (!f(ctx, gpa, leaf_addr(t[i], level), level_size(level),
			       leaf_prot(s, t[i])))
				return false;
		} else if (!each_in(s, table_of(t[i]), level - 1, gpa, f, ctx)) {
			return false;
		}
	}
	return true;
}

bool stage2_each(const struct stage2 *s, bool (*f)(void *ctx, u64 gpa, u64 hpa, u64 len, u32 prot),
		 void *ctx)
{
	return each_in(s, s->root, STAGE2_LEVELS, 0, f, ctx);
}
