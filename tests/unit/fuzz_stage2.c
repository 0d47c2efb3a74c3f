/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_stage2.c -- bytes as a list of maps, unmaps and failures to allocate:
 * what is mapped is known to the page, no table is empty or lost, and all is
 * free again in the end.
 */
#include "tests/unit/host_pool.h"

#include "arch/x86/stage2.c"
#include "arch/x86/svm/npt.c"
#include "core/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 16 MiB over the border of two top-level entries. */
#define BASE		(512 * GiB - 8 * MiB)
#define PAGES		(16 * MiB >> PAGE_SHIFT)

struct op {
	u8 what;		/* 0, 1: map with up to level 1..3; 2: unmap; 3: collect */
	u8 level, prot, budget;
	u16 at, len, to;
};

static u64 model[PAGES];

static bool one_gib_pages(void)
{
	return true;
}

static void must(bool ok)
{
	if (!ok)
		abort();
}

static u64 tables_below(const struct stage2 *s, const u64 *t, unsigned level)
{
	u64 n = 1, used = 0;
	unsigned i;

	for (i = 0; i < 512; i++) {
		used += present(s, t[i]);
		if (present(s, t[i]) && !is_leaf(t[i], level))
			n += tables_below(s, table_of(t[i]), level - 1);
	}
	must(used || level == STAGE2_LEVELS);
	return n;
}

static bool leaf_known(void *ctx, u64 gpa, u64 hpa, u64 len, u32 prot)
{
	u64 *sum = ctx, off;

	for (off = 0; off < len; off += PAGE_SIZE)
		must(model[(gpa - BASE + off) >> PAGE_SHIFT] == ((hpa + off) | prot));
	*sum += len >> PAGE_SHIFT;
	return true;
}

static void check(const struct stage2 *s, u64 mapped)
{
	u64 sum = 0;

	must(stage2_each(s, leaf_known, &sum));
	must(sum == mapped);
	must(s->garbage || tables_below(s, s->root, STAGE2_LEVELS) == s->tables);
}

/* After a failure: takes into the model what is there now, which may only be
 * what was there or what was asked for, and only up to a point. */
static u64 take_over(const struct stage2 *s, u64 first, u64 n, bool map, u64 hpa, u32 prot)
{
	u64 i, h, len, changed = 0;
	bool over = false;

	for (i = 0; i < n; i++) {
		u64 now = 0, want = map ? (hpa + (i << PAGE_SHIFT)) | prot : 0;
		u32 p = stage2_walk(s, BASE + ((first + i) << PAGE_SHIFT), &h, &len);

		if (p)
			now = h | p;
		if (now == model[first + i]) {
			over = over || now != want;
			continue;
		}
		must(!over && now == want);
		model[first + i] = now;
		changed++;
	}
	return changed;
}

/* Large and small, aligned and not, from 16 bits. */
static u64 spread(u16 v, u64 limit)
{
	u64 n = v & 0x3fff;

	return v & 0x8000 ? (n * 512) % limit : v & 0x4000 ? n % limit : n % 16 % limit;
}

static u64 run(struct stage2 *s, const struct op *o, u64 mapped)
{
	u64 first = spread(o->at, PAGES), n = 1 + spread(o->len, PAGES - first), i;
	u64 gpa = BASE + (first << PAGE_SHIFT), len = n << PAGE_SHIFT;
	u64 hpa = o->level & 4 ? gpa : (u64)o->to << (o->level & 8 ? 21 : 12);
	u32 prot = STAGE2_READ | (o->prot & 6);
	bool taken = false, map = (o->what & 3) < 2;
	int err;

	if ((o->what & 3) == 3) {
		stage2_collect(s);
		return mapped;
	}
	for (i = 0; i < n; i++)
		taken = taken || model[first + i];
	alloc_budget = o->budget < 8 ? o->budget : ~0ull;
	err = map ? stage2_map(s, gpa, hpa, len, prot, 1 + o->level % 3) :
	      stage2_unmap(s, gpa, len);
	alloc_budget = ~0ull;
	must(!err || (err == -ENOMEM && o->budget < 8) || (err == -EEXIST && map && taken));
	must(err || !map || !taken);
	if (err) {
		i = take_over(s, first, n, map, hpa, prot);
		return map ? mapped + i : mapped - i;
	}
	for (i = 0; i < n; i++) {
		mapped -= !map && model[first + i];
		model[first + i] = map ? (hpa + (i << PAGE_SHIFT)) | prot : 0;
	}
	return map ? mapped + n : mapped;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stage2_format format = npt_format;
	struct stage2 s;
	struct op o;
	unsigned ops;
	u64 mapped = 0, before;

	host_pool(0, MiB);
	before = pool_free();
	format.has_1g = one_gib_pages;
	memset(model, 0, sizeof(model));
	must(!stage2_init(&s, &format));
	for (ops = 0; size >= sizeof(o) && ops < 12; ops++) {
		memcpy(&o, data, sizeof(o));
		mapped = run(&s, &o, mapped);
		data += sizeof(o);
		size -= sizeof(o);
	}
	check(&s, mapped);
	if (size & 1) {
		must(!stage2_unmap(&s, BASE, PAGES << PAGE_SHIFT));
		stage2_collect(&s);
		must(s.tables == 1);
	}
	stage2_fini(&s);
	must(pool_free() == before);
	return 0;
}
