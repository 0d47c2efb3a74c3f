/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memseg.c -- a VM's memory: segments of guest-physical space, backed by pool.
 *
 * Work goes in steps, by what it costs (core/work.h), so that no call keeps a
 * core's interrupts off for long.  How far a segment has come is in the segment:
 * who stops half-way can go on, or go back by FREE or UNMAP.  What backs it, and
 * what of it was dropped, is known from the stage-2 tables alone.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/paging.h"
#include "boot/memory.h"
#include "core/forbidden.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"
#include "core/work.h"

#define QUERY_BLOCKS	1024		/* that one QUERY looks at */
/* Kept back of the pool for the control VM's tables: three for each page of
 * ones, and what the devices of a machine take that lie above its RAM. */
#define KEPT_PAGES	128

struct spinlock control_s2_lock = SPINLOCK(LOCK_CONTROL_S2);

static unsigned order_for(u64 gpa, u64 len)
{
	if (IS_ALIGNED(gpa, PAGE_SIZE_2M) && len >= PAGE_SIZE_2M)
		return ORDER_2M;
	return ORDER_4K;
}

static u64 order_size(unsigned order)
{
	return PAGE_SIZE << order;
}

/* What add_block() will cost, at most. */
static u64 block_cost(u64 gpa, u64 len)
{
	return WORK_LOOK + WORK_BLOCK + WORK_MAP +
	       (order_for(gpa, len) == ORDER_2M ? WORK_CLEAR_2M + 512 * WORK_FRAME :
		WORK_CLEAR_4K);
}

static int map_block(struct vm *vm, struct memseg *s, u64 gpa, hpa_t pa, unsigned order)
{
	int err = stage2_map(&vm->s2, gpa, pa.v, order_size(order), s->prot, 3);

	if (err) {
		stage2_unmap(&vm->s2, gpa, order_size(order));
		page_free(pa, order, vm->owner);
		return err;
	}
	s->held += order_size(order);
	return 0;
}

/* One block at gpa; the next smaller when there is none of the best size. */
static int add_block(struct vm *vm, struct memseg *s, u64 gpa, u64 len, hpa_t *pa, u64 *added)
{
	unsigned order = order_for(gpa, len);

	if (!page_alloc(order, vm->owner, pa)) {
		if (order == ORDER_4K || !page_alloc(ORDER_4K, vm->owner, pa))
			return fail(-ENOMEM);
		order = ORDER_4K;
	}
	*added = order_size(order);
	work_add(WORK_BLOCK + (order ? WORK_CLEAR_2M + 512 * WORK_FRAME : WORK_CLEAR_4K));
	return map_block(vm, s, gpa, *pa, order);
}

static bool wants_1g(const struct vm *vm, const struct memseg *s)
{
	return IS_ALIGNED(s->gpa + s->done, PAGE_SIZE_1G) && s->size - s->done >= PAGE_SIZE_1G &&
	       vm->s2.max_level == 3;
}

/* The next 2 MiB of a GiB that is held for this segment; with the last it becomes one page. */
static int add_part(struct vm *vm, struct memseg *s, u64 *added)
{
	u64 gpa = s->gpa + s->done;
	hpa_t pa = s->block;
	int err;

	s->block = IS_ALIGNED(gpa + PAGE_SIZE_2M, PAGE_SIZE_1G) ? HPA(0) :
		   HPA(pa.v + PAGE_SIZE_2M);
	page_claim_2m(pa, vm->owner);
	page_clear(hpa_ptr(pa), PAGE_SIZE_2M);
	work_add(WORK_CLEAR_2M + 512 * WORK_FRAME);
	*added = PAGE_SIZE_2M;
	err = map_block(vm, s, gpa, pa, ORDER_2M);
	if (!err && !s->block.v)
		stage2_join(&vm->s2, gpa, 3);
	return err;
}

/* Whatever is left of a held GiB. */
static void drop_block(struct memseg *s)
{
	if (s->block.v)
		page_unhold(s->block);
	s->block = HPA(0);
}

static bool overlaps(const struct vm *vm, u64 gpa, u64 size)
{
	u32 i;

	for (i = 0; i < JOIST_MAX_MEMSEGS; i++) {
		const struct memseg *s = &vm->seg[i];

		if (s->size && gpa < s->gpa + s->size && s->gpa < gpa + size)
			return true;
	}
	return false;
}

static int alloc_check(const struct vm *vm, const struct joist_memseg *a)
{
	u64 limit = BIT(guest_features.phys_bits);

	if (a->seg >= JOIST_MAX_MEMSEGS || a->flags || !a->size || a->hpa || a->len ||
	    !IS_ALIGNED(a->gpa | a->size, PAGE_SIZE))
		return fail(-EINVAL);
	if (a->size > limit || a->gpa > limit - a->size)
		return fail(-EINVAL);
	if (a->gpa <= VLAPIC_BASE_ADDR && a->gpa + a->size > VLAPIC_BASE_ADDR)
		return fail(-EINVAL);
	return 0;
}

/* Frees [gpa, gpa + len), in which there is no part of a page only. */
static int free_range(struct vm *vm, struct memseg *s, u64 gpa, u64 len)
{
	while (len) {
		u64 hpa, n;

		work_add(WORK_LOOK);
		if (!stage2_find(&vm->s2, gpa, &hpa, &n)) {
			n = MIN(n, len);
		} else {
			unsigned order = ORDER_2M;
			int err;

			/* The largest block that lies in this page and range. */
			if (!IS_ALIGNED(gpa | hpa, PAGE_SIZE_2M) || MIN(n, len) < PAGE_SIZE_2M)
				order = ORDER_4K;
			n = order_size(order);
			err = stage2_unmap(&vm->s2, gpa, n);
			if (err)
				return err;
			page_free(HPA(hpa), order, vm->owner);
			work_add(WORK_BLOCK + (n >> PAGE_SHIFT) * WORK_FRAME);
			s->held -= n;
		}
		gpa += n;
		len -= n;
	}
	stage2_collect(&vm->s2);
	return 0;
}

static void flush_vcpus(struct vm *vm)
{
	u32 i;

	/* None of them runs: each takes a new address space id when it does. */
	for (i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpu[i]) {
			backend->flush(vm->vcpu[i]);
			fetch_forget(vm->vcpu[i]);
		}
}

/* What is at the end of a segment, and is freed next: a page, or a hole. */
static u64 last_piece(const struct vm *vm, const struct memseg *s, u64 end)
{
	work_add(WORK_LOOK);
	return MAX(ALIGN_DOWN(end - 1, stage2_size(&vm->s2, end - 1)), s->gpa);
}

/* A 1 GiB page goes as a whole, so that no table is needed; its frames follow. */
static void loosen_1g(struct vm *vm, struct memseg *s, u64 gpa)
{
	u64 len;

	stage2_find(&vm->s2, gpa, &s->loose.v, &len);
	stage2_unmap(&vm->s2, gpa, PAGE_SIZE_1G);
	s->loose_len = PAGE_SIZE_1G;
	s->held -= PAGE_SIZE_1G;
	s->done = gpa - s->gpa;
}

static void free_loose(struct vm *vm, struct memseg *s)
{
	s->loose_len -= PAGE_SIZE_2M;
	page_free(HPA(s->loose.v + s->loose_len), ORDER_2M, vm->owner);
	work_add(WORK_BLOCK + 512 * WORK_FRAME);
}

/* From its end.  -EAGAIN while there is more; then the segment is no more. */
static int free_step(struct vm *vm, struct memseg *s)
{
	int err = 0;

	drop_block(s);
	s->going = true;
	while ((s->done || s->loose_len) && !err && work_room(WORK_BLOCK + 512 * WORK_FRAME)) {
		u64 end = s->gpa + s->done, begin, hpa, len;

		if (s->loose_len) {
			free_loose(vm, s);
			continue;
		}
		begin = last_piece(vm, s, end);
		if (stage2_find(&vm->s2, begin, &hpa, &len) && len == PAGE_SIZE_1G) {
			loosen_1g(vm, s, begin);
			continue;
		}
		err = free_range(vm, s, begin, end - begin);
		if (!err)
			s->done = begin - s->gpa;
	}
	flush_vcpus(vm);
	stage2_collect(&vm->s2);
	if (err || s->done || s->loose_len)
		return err ? err : -EAGAIN;
	*s = (struct memseg){};
	return 0;
}

static int alloc_step(struct vm *vm, struct memseg *s)
{
	int err = 0;

	while (s->done < s->size && !err) {
		u64 gpa = s->gpa + s->done, left = s->size - s->done, n = 0;
		hpa_t pa;

		if (!work_room(block_cost(gpa, left)))
			break;
		if (!s->block.v && wants_1g(vm, s))
			page_hold_1g(&s->block);
		err = s->block.v ? add_part(vm, s, &n) : add_block(vm, s, gpa, left, &pa, &n);
		if (!err)
			s->done += n;
	}
	if (vm->s2.garbage) {
		flush_vcpus(vm);
		stage2_collect(&vm->s2);
	}
	return err;
}

int memseg_alloc(struct vm *vm, struct joist_memseg *a)
{
	struct memseg *s;
	int err = alloc_check(vm, a);

	if (err)
		return err;
	s = &vm->seg[index_mask(a->seg, JOIST_MAX_MEMSEGS)];
	if (!s->size) {
		if (a->offset)
			return fail(-EINVAL);
		if (overlaps(vm, a->gpa, a->size))
			return fail(-EEXIST);
		*s = (struct memseg){ .gpa = a->gpa, .size = a->size, .prot = STAGE2_RWX };
	} else if (s->gpa != a->gpa || s->size != a->size || s->done != a->offset ||
		   s->done == s->size) {
		return fail(-EEXIST);
	}
	/* There was no memory for all of it: what there is goes back. */
	if (s->going || alloc_step(vm, s)) {
		err = free_step(vm, s);
		a->offset = s->done;
		return err ? err : fail(-ENOMEM);
	}
	a->offset = s->done;
	return s->done < s->size ? -EAGAIN : 0;
}

static struct memseg *seg_of(struct vm *vm, u32 seg)
{
	return seg < JOIST_MAX_MEMSEGS ? &vm->seg[index_mask(seg, JOIST_MAX_MEMSEGS)] : NULL;
}

static struct memseg *complete_seg(struct vm *vm, u32 seg)
{
	struct memseg *s = seg_of(vm, seg);

	return s && s->size && s->done == s->size && !s->going ? s : NULL;
}

int memseg_free(struct vm *vm, u32 seg)
{
	struct memseg *s = seg_of(vm, seg);

	if (!s || !s->size)
		return fail(-ENOENT);
	if (s->shown)
		return fail(-EBUSY);
	return free_step(vm, s);
}

/*
 * Never in pages of 1 GiB: what is shown can be hidden piece by piece then,
 * without a split, which needs memory.
 */
static int show_locked(u64 hpa, u64 len)
{
	int err;

	forbidden_unmap_ones_locked(hpa, len);
	err = stage2_map(&control_vm->s2, hpa, hpa, len, STAGE2_READ | STAGE2_WRITE, 2);
	if (err)
		stage2_unmap(&control_vm->s2, hpa, len);
	else
		page_set_mapped(HPA(hpa), len >> PAGE_SHIFT, true);
	work_add(WORK_LOOK + (len >> PAGE_SHIFT) * WORK_FRAME);
	return err;
}

static void hide_locked(u64 hpa, u64 len)
{
	int err;

	work_add(3 * WORK_LOOK + (len >> PAGE_SHIFT) * WORK_FRAME);
	if (!page_is_mapped(HPA(hpa)))
		return;
	err = stage2_unmap(&control_vm->s2, hpa, len);
	/* show_locked() made these very pages, or smaller ones: no split. */
	assert(!err);
	page_set_mapped(HPA(hpa), len >> PAGE_SHIFT, false);
}

static void control_flushed_collect(void)
{
	smp_ask_all_wait(REQ_FLUSH_CONTROL);
	stage2_collect(&control_vm->s2);
}

int control_show(u64 hpa, u64 len)
{
	int err;

	spin_lock(&control_s2_lock);
	err = show_locked(hpa, len);
	/* Part of it may have been seen. */
	if (err)
		control_flushed_collect();
	spin_unlock(&control_s2_lock);
	return err;
}

void control_hide(const u64 *hpa, u32 pages)
{
	u32 i;

	spin_lock(&control_s2_lock);
	for (i = 0; i < pages; i++)
		hide_locked(hpa[i], PAGE_SIZE);
	control_flushed_collect();
	spin_unlock(&control_s2_lock);
}

/* The work of one piece of 2 MiB at most. */
#define PIECE_COST	(2 * WORK_LOOK + WORK_MAP + 512 * (WORK_FRAME + WORK_SCAN))

/* Shows more of it, from `shown` on; what was dropped is passed over. */
static int show_step(struct vm *vm, struct memseg *s)
{
	int err = 0;

	while (s->shown < s->size && !err && work_room(PIECE_COST)) {
		u64 gpa = s->gpa + s->shown, hpa, len;
		bool there = stage2_find(&vm->s2, gpa, &hpa, &len);

		len = MIN(len, s->size - s->shown);
		if (there) {
			len = MIN(len, PAGE_SIZE_2M - (gpa & (PAGE_SIZE_2M - 1)));
			err = show_locked(hpa, len);
		}
		work_add(WORK_LOOK);
		if (!err)
			s->shown += len;
	}
	return err;
}

/* Hides more of it, from `shown` back. */
static void hide_step(struct vm *vm, struct memseg *s)
{
	while (s->shown && work_room(PIECE_COST)) {
		u64 end = s->gpa + s->shown, begin = last_piece(vm, s, end), hpa, len;

		if (stage2_find(&vm->s2, begin, &hpa, &len)) {
			if (end - begin > PAGE_SIZE_2M) {
				begin = ALIGN_DOWN(end - 1, PAGE_SIZE_2M);
				stage2_find(&vm->s2, begin, &hpa, &len);
			}
			hide_locked(hpa, end - begin);
		}
		s->shown = begin - s->gpa;
	}
}

/*
 * A segment that is shown in part only is mapped for nobody.  Cores are made to
 * forget when all is done: until then it cannot be freed.
 */
int memseg_map(struct vm *vm, u32 seg)
{
	struct memseg *s = complete_seg(vm, seg);

	if (!s)
		return fail(-ENOENT);
	if (memseg_mapped(s) && !s->hiding)
		return fail(-EEXIST);
	spin_lock(&control_s2_lock);
	if (!s->hiding)
		s->hiding = show_step(vm, s);
	if (s->hiding)
		hide_step(vm, s);
	if (s->hiding ? !s->shown : memseg_mapped(s))
		/* Also when nothing was taken away: pages of ones may have been. */
		control_flushed_collect();
	spin_unlock(&control_s2_lock);
	if (s->hiding ? s->shown : !memseg_mapped(s))
		return -EAGAIN;
	if (!s->hiding)
		return 0;
	s->hiding = false;
	return fail(-ENOMEM);
}

int memseg_unmap(struct vm *vm, u32 seg)
{
	struct memseg *s = complete_seg(vm, seg);

	if (!s || !s->shown)
		return fail(-ENOENT);
	spin_lock(&control_s2_lock);
	hide_step(vm, s);
	if (!s->shown)
		control_flushed_collect();
	spin_unlock(&control_s2_lock);
	s->hiding = false;
	return s->shown ? -EAGAIN : 0;
}

int memseg_protect(struct vm *vm, struct joist_memseg *a)
{
	struct memseg *s = complete_seg(vm, a->seg);
	u32 access = a->flags, prot = access & JOIST_SEG_READ ? STAGE2_READ | STAGE2_EXEC : 0;
	u64 size, begin;
	int err;

	/* No CPU has memory that can be written and not read (SDM, "EPT Misconfigurations"). */
	if (access & ~(u32)JOIST_SEG_RW || access == JOIST_SEG_WRITE)
		return fail(-EINVAL);
	if (!s)
		return fail(-ENOENT);
	if (access & JOIST_SEG_WRITE)
		prot |= STAGE2_WRITE;
	/* The next step of one that is under way, or a new one. */
	if (a->offset && (a->offset != s->protected || prot != s->prot))
		return fail(-EINVAL);
	s->prot = prot;
	for (s->protected = a->offset; s->protected < s->size; s->protected += size) {
		if (!work_room(WORK_LOOK + 512 * (WORK_ENTRY + WORK_TYPE)))
			break;
		begin = s->gpa + s->protected;
		size = stage2_size(&vm->s2, begin);
		/* Small pages by the table. */
		if (size == PAGE_SIZE)
			size = PAGE_SIZE_2M;
		size = MIN(size - (begin & (size - 1)), s->size - s->protected);
		err = stage2_protect(&vm->s2, begin, size, prot);
		/* Pages never reach beyond their segment: no split, no memory needed. */
		assert(!err);
		work_add(WORK_LOOK);
	}
	flush_vcpus(vm);
	a->offset = s->protected;
	if (s->protected < s->size)
		return -EAGAIN;
	s->protected = 0;
	return 0;
}

/* The segment that the ranges are of, and all in. */
static int ranges_check(struct vm *vm, const struct joist_pages *a, struct memseg **seg)
{
	struct memseg *s = complete_seg(vm, a->seg);
	u64 pages;
	u32 i;

	if (!s)
		return fail(-ENOENT);
	if (a->ranges > JOIST_PAGE_RANGES)
		return fail(-EINVAL);
	if (s->shown && !memseg_mapped(s))
		return fail(-EBUSY);
	pages = s->size >> PAGE_SHIFT;
	for (i = 0; i < a->ranges; i++)
		if (a->range[i].page > pages || a->range[i].count > pages - a->range[i].page)
			return fail(-EINVAL);
	*seg = s;
	return 0;
}

static u64 range_gpa(const struct memseg *s, const struct joist_page_range *r)
{
	return s->gpa + ((u64)r->page << PAGE_SHIFT);
}

static void range_advance(struct joist_page_range *r, u64 len)
{
	r->page += (u32)(len >> PAGE_SHIFT);
	r->count -= (u32)(len >> PAGE_SHIFT);
}

static int ranges_left(const struct joist_pages *a)
{
	u32 i;

	for (i = 0; i < a->ranges; i++)
		if (a->range[i].count)
			return -EAGAIN;
	return 0;
}

/* So much of a large page is dropped at once, if it is not all of it. */
#define DROP_PART	(32 * PAGE_SIZE)

/*
 * To give back [gpa, gpa + len) later, which has to follow in the same call; what
 * came before ended at `last`.  At the end of a run of pages it is looked whether
 * their table is empty, and at the end of each table about those above.
 */
static u64 give_back_cost(u64 gpa, u64 len, u64 last)
{
	u64 pages = len >> PAGE_SHIFT, blocks = len == PAGE_SIZE_2M ? 1 : pages;
	u64 cost = blocks * (WORK_LOOK + WORK_BLOCK + 4 * WORK_ENTRY) + pages * WORK_FRAME;

	if (gpa != last)
		cost += 512 * WORK_SCAN;
	if (!last || gpa / PAGE_SIZE_2M != (last - 1) / PAGE_SIZE_2M)
		cost += 2 * 512 * WORK_SCAN;
	return cost;
}

/*
 * Takes [gpa, gpa + len) from guest and control VM, as far as there is room for
 * all that is to be done with it.  It stays the segment's, to be found again once
 * no core has a translation.  *done: bytes up to there, or to an error; *last: the
 * end of what was taken last, 0 before the first.
 */
static int take_locked(struct vm *vm, const struct memseg *s, u64 gpa, u64 len, u64 *done,
		       u64 *last)
{
	u64 hpa, n;

	for (*done = 0; *done < len; *done += n) {
		u64 at = gpa + *done;
		bool there;
		int err = 0;

		if (!work_room(4 * PIECE_COST))
			break;
		there = stage2_find(&vm->s2, at, &hpa, &n);
		n = MIN(n, len - *done);
		work_add(WORK_LOOK);
		if (!there)
			continue;
		n = MIN(n, PAGE_SIZE_2M - (at & (PAGE_SIZE_2M - 1)));
		if (n < PAGE_SIZE_2M)
			n = MIN(n, DROP_PART);
		/* Large pages are split, which needs memory, before anything changes. */
		if (s->shown)
			err = stage2_protect(&control_vm->s2, hpa, n, STAGE2_READ | STAGE2_WRITE);
		if (!err)
			err = stage2_protect(&vm->s2, at, n, 0);
		if (err)
			return err;
		if (s->shown)
			hide_locked(hpa, n);
		work_add(give_back_cost(at, n, *last));
		*last = at + n;
	}
	return 0;
}

int memseg_drop(struct vm *vm, struct joist_pages *a)
{
	u64 total = 0, want, len = 0, last = 0;
	struct memseg *s;
	int err = ranges_check(vm, a, &s);
	u32 i, paid;

	if (err)
		return err;
	spin_lock(&control_s2_lock);
	for (i = 0; i < a->ranges && !err; i++) {
		struct joist_page_range *r = &a->range[i];

		want = (u64)r->count << PAGE_SHIFT;
		err = take_locked(vm, s, range_gpa(s, r), want, &len, &last);
		total += len;
		if (len < want)
			break;
	}
	if (s->shown)
		control_flushed_collect();
	spin_unlock(&control_s2_lock);
	flush_vcpus(vm);
	/* take_locked() has counted what follows. */
	paid = current_cpu()->work;
	for (i = 0; i < a->ranges && total; i++) {
		struct joist_page_range *r = &a->range[i];

		len = MIN((u64)r->count << PAGE_SHIFT, total);
		if (free_range(vm, s, range_gpa(s, r), len))
			panic("VM %s: a page to be dropped is still part of a large one", vm->name);
		range_advance(r, len);
		total -= len;
	}
	current_cpu()->work = paid;
	return err ? err : ranges_left(a);
}

/* The next page or hole of [gpa, gpa + len), which is *n bytes; 0: no room for it. */
static int fill_next(struct vm *vm, struct memseg *s, u64 gpa, u64 len, u64 *n)
{
	hpa_t pa;
	bool there = stage2_find(&vm->s2, gpa, &pa.v, n);
	int err;

	len = *n = MIN(*n, len);
	if (!work_room(there ? WORK_LOOK : block_cost(gpa, len) + WORK_LOOK + WORK_MAP)) {
		*n = 0;
		return 0;
	}
	work_add(WORK_LOOK);
	if (there)
		return 0;
	err = add_block(vm, s, gpa, len, &pa, n);
	if (!err && s->shown) {
		err = control_show(pa.v, *n);
		if (err)
			free_range(vm, s, gpa, *n);
	}
	/* What was one page may be one again. */
	if (!err && *n == PAGE_SIZE)
		stage2_join(&vm->s2, gpa, 2);
	return err;
}

int memseg_fill(struct vm *vm, struct joist_pages *a)
{
	struct memseg *s;
	int err = ranges_check(vm, a, &s);
	u64 n = 1;
	u32 i;

	if (err)
		return err;
	for (i = 0; i < a->ranges && n && !err; i++) {
		struct joist_page_range *r = &a->range[i];

		while (r->count && n && !err) {
			err = fill_next(vm, s, range_gpa(s, r), (u64)r->count << PAGE_SHIFT, &n);
			if (!err)
				range_advance(r, n);
		}
	}
	if (vm->s2.garbage) {
		flush_vcpus(vm);
		stage2_collect(&vm->s2);
	}
	/* No guest has seen what was not there; the control VM may have read ones. */
	if (s->shown) {
		spin_lock(&control_s2_lock);
		control_flushed_collect();
		spin_unlock(&control_s2_lock);
	}
	return err ? err : ranges_left(a);
}

int memseg_query(struct vm *vm, struct joist_memseg *a)
{
	struct memseg *s;
	u64 hpa, len;
	u32 n = 0;

	if (a->seg == JOIST_SEG_RUN) {
		u64 v = a->offset >> PAGE_SHIFT;

		if (v >= vm->vcpu_count || !IS_ALIGNED(a->offset, PAGE_SIZE))
			return fail(-EINVAL);
		a->flags = 1;
		a->gpa = 0;
		a->size = vm->vcpu_count * PAGE_SIZE;
		a->hpa = ptr_hpa(vm->vcpu[index_mask(v, vm->vcpu_count)]->run).v;
		a->len = PAGE_SIZE;
		return 0;
	}
	s = complete_seg(vm, a->seg);
	if (!s)
		return fail(-ENOENT);
	if (a->offset >= s->size)
		return fail(-EINVAL);
	a->flags = memseg_mapped(s);
	a->gpa = s->gpa;
	a->size = s->size;
	if (!stage2_find(&vm->s2, s->gpa + a->offset, &a->hpa, &a->len))
		a->hpa = JOIST_NO_PAGE;
	/* Neighbouring blocks that lie side by side count as one. */
	while (a->hpa != JOIST_NO_PAGE && n++ < QUERY_BLOCKS && a->len < s->size - a->offset &&
	       stage2_find(&vm->s2, s->gpa + a->offset + a->len, &hpa, &len) &&
	       hpa == a->hpa + a->len)
		a->len += len;
	a->len = MIN(a->len, s->size - a->offset);
	return 0;
}

int memseg_free_all(struct vm *vm)
{
	u32 i;

	for (i = 0; i < JOIST_MAX_MEMSEGS; i++) {
		struct memseg *s = &vm->seg[i];
		int err = 0;

		if (s->shown)
			err = memseg_unmap(vm, i);
		if (!err && s->size)
			err = free_step(vm, s);
		if (err)
			return err;
	}
	return 0;
}

/* All below 4 GiB and all RAM, at its own address, but for what is not its. */
void control_stage2_init(void)
{
	struct stage2 *s2 = &control_vm->s2;
	u64 pa = 0, end = MAX(page_top(), 4 * GiB), start;
	int err = 0;

	while (pa < end && !err) {
		if (forbidden(pa)) {
			pa += PAGE_SIZE;
			continue;
		}
		for (start = pa; pa < end && !forbidden(pa); pa += PAGE_SIZE)
			;
		err = stage2_map(s2, start, start, pa - start, STAGE2_RWX, 3);
	}
	if (err)
		refuse("there is not enough memory for the control VM's page tables");
	page_keep_back(KEPT_PAGES + 2 * cpu_count);
}
