/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_stage2.c -- bytes as a list of maps, unmaps, protections and failures to
 * allocate:
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

enum op_kind { OP_MAP, OP_MAP_TOO, OP_UNMAP, OP_COLLECT, OP_PROTECT, OP_KINDS };

#define THERE	BIT(3)		/* of a model's entry: beside STAGE2_* and the address */

struct op {
	u8 what;		/* enum op_kind */
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
		used += !!t[i];
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
		must(model[(gpa - BASE + off) >> PAGE_SHIFT] == ((hpa + off) | prot | THERE));
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

static u64 wanted(u64 old, enum op_kind kind, u64 hpa, u32 prot)
{
	if (kind == OP_UNMAP)
		return 0;
	if (kind == OP_PROTECT)
		return old ? (old & ~(u64)STAGE2_RWX) | prot : 0;
	return hpa | prot | THERE;
}

/* After a failure: takes into the model what is there now, which may only be
 * what was there or what was asked for, and only up to a point. */
static u64 take_over(const struct stage2 *s, u64 first, u64 n, enum op_kind kind, u64 hpa,
		     u32 prot)
{
	u64 i, h, len, changed = 0;
	bool over = false;

	for (i = 0; i < n; i++) {
		u64 gpa = BASE + ((first + i) << PAGE_SHIFT), now = 0;
		u64 want = wanted(model[first + i], kind, hpa + (i << PAGE_SHIFT), prot);
		u32 p = stage2_walk(s, gpa, &h, &len);

		must(!p || stage2_find(s, gpa, &h, &len));
		if (stage2_find(s, gpa, &h, &len))
			now = h | p | THERE;
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
	enum op_kind kind = o->what % OP_KINDS;
	bool taken = false, map = kind <= OP_MAP_TOO;
	int err;

	if (kind == OP_COLLECT) {
		stage2_collect(s);
		return mapped;
	}
	if (kind == OP_PROTECT && o->level & 0x10)
		prot = 0;
	for (i = 0; i < n; i++)
		taken = taken || model[first + i];
	alloc_budget = o->budget < 8 ? o->budget : ~0ull;
	err = map ? stage2_map(s, gpa, hpa, len, prot, 1 + o->level % 3) :
	      kind == OP_UNMAP ? stage2_unmap(s, gpa, len) : stage2_protect(s, gpa, len, prot);
	alloc_budget = ~0ull;
	must(!err || (err == -ENOMEM && o->budget < 8) || (err == -EEXIST && map && taken));
	must(err || !map || !taken);
	if (err) {
		i = take_over(s, first, n, kind, hpa, prot);
		return map ? mapped + i : kind == OP_UNMAP ? mapped - i : mapped;
	}
	for (i = 0; i < n; i++) {
		mapped -= kind == OP_UNMAP && model[first + i];
		model[first + i] = wanted(model[first + i], kind, hpa + (i << PAGE_SHIFT), prot);
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
