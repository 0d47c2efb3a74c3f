/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memseg.c -- a VM's memory: segments of guest-physical space, backed by pool.
 *
 * Work goes in steps of STEP bytes, so that no call keeps a core's interrupts
 * off for long.  What backs a segment, and what of it was dropped, is known from
 * the stage-2 tables alone.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/paging.h"
#include "boot/memory.h"
#include "core/forbidden.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"

#define STEP		(32 * MiB)
#define FREE_STEP	(256 * MiB)
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

/* One block at gpa; the next smaller when there is none of the best size. */
static int add_block(struct vm *vm, struct memseg *s, u64 gpa, u64 len, hpa_t *pa, u64 *added)
{
	unsigned order = order_for(gpa, len);
	int err;

	if (!page_alloc(order, vm->owner, pa)) {
		if (order == ORDER_4K || !page_alloc(ORDER_4K, vm->owner, pa))
			return fail(-ENOMEM);
		order = ORDER_4K;
	}
	*added = order_size(order);
	err = stage2_map(&vm->s2, gpa, pa->v, *added, s->prot, 3);
	if (err) {
		stage2_unmap(&vm->s2, gpa, *added);
		page_free(*pa, order, vm->owner);
		return err;
	}
	s->held += *added;
	return 0;
}

static bool wants_1g(const struct vm *vm, const struct memseg *s)
{
	return IS_ALIGNED(s->gpa + s->done, PAGE_SIZE_1G) && s->size - s->done >= PAGE_SIZE_1G &&
	       vm->s2.max_level == 3;
}

/* A 1 GiB block is cleared in parts, and mapped when all of it is clean. */
static int add_part(struct vm *vm, struct memseg *s, u64 *added)
{
	u64 gpa = s->gpa + s->done, offset = gpa & (PAGE_SIZE_1G - 1);
	int err;

	page_clear(hpa_ptr(HPA(s->block.v + offset)), PAGE_SIZE_2M);
	*added = PAGE_SIZE_2M;
	if (offset + PAGE_SIZE_2M < PAGE_SIZE_1G)
		return 0;
	err = stage2_map(&vm->s2, gpa - offset, s->block.v, PAGE_SIZE_1G, s->prot, 3);
	if (!err) {
		s->block = HPA(0);
		s->held += PAGE_SIZE_1G;
	}
	return err;
}

/* Gives back a block that is not mapped, or not all of it. */
static void drop_block(struct vm *vm, struct memseg *s)
{
	u64 start = ALIGN_DOWN(s->gpa + s->done, PAGE_SIZE_1G);

	if (!s->block.v)
		return;
	stage2_unmap(&vm->s2, start, PAGE_SIZE_1G);
	page_free(s->block, ORDER_1G, vm->owner);
	s->block = HPA(0);
	s->done = start - s->gpa;
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

/* Frees [gpa, gpa + len) of a segment; nothing runs and nobody else maps it. */
static int free_range(struct vm *vm, struct memseg *s, u64 gpa, u64 len)
{
	while (len) {
		u64 hpa, n;

		if (!stage2_find(&vm->s2, gpa, &hpa, &n)) {
			n = MIN(n, len);
		} else {
			unsigned order = ORDER_1G;
			int err;

			/* The largest block that lies in this page and range. */
			while (order && (!IS_ALIGNED(gpa | hpa, order_size(order)) ||
					 MIN(n, len) < order_size(order)))
				order -= ORDER_2M;
			n = order_size(order);
			err = stage2_unmap(&vm->s2, gpa, n);
			if (err)
				return err;
			page_free(HPA(hpa), order, vm->owner);
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

int memseg_alloc(struct vm *vm, struct joist_memseg *a)
{
	struct memseg *s;
	u64 step = 0;
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
	while (s->done < s->size && step < STEP) {
		u64 n = 0;
		hpa_t pa;

		if (!s->block.v && wants_1g(vm, s))
			page_take(ORDER_1G, vm->owner, &s->block);
		err = s->block.v ? add_part(vm, s, &n) :
		      add_block(vm, s, s->gpa + s->done, s->size - s->done, &pa, &n);
		if (err) {
			drop_block(vm, s);
			free_range(vm, s, s->gpa, s->done);
			flush_vcpus(vm);
			s->size = 0;
			return err;
		}
		s->done += n;
		step += n;
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

	return s && s->size && s->done == s->size ? s : NULL;
}

/*
 * Frees up to a step's worth from the end, or a 1 GiB page; -EAGAIN while there
 * is more.  A step begins where a page does: to split a large one would need
 * memory, and there may be none.
 */
static int free_step(struct vm *vm, struct memseg *s)
{
	u64 end, begin = s->gpa, page, hpa, len;
	int err;

	drop_block(vm, s);
	end = s->gpa + s->done;
	if (s->done > FREE_STEP) {
		begin = ALIGN_UP(end - FREE_STEP, PAGE_SIZE_2M);
		page = ALIGN_DOWN(begin, PAGE_SIZE_1G);
		if (stage2_find(&vm->s2, page, &hpa, &len) && len == PAGE_SIZE_1G)
			begin = begin > page && page + len < end ? page + len : page;
	}
	err = free_range(vm, s, begin, end - begin);
	if (err)
		return err;
	s->done = begin - s->gpa;
	if (s->done)
		return -EAGAIN;
	s->size = 0;
	return 0;
}

int memseg_free(struct vm *vm, u32 seg)
{
	struct memseg *s = seg_of(vm, seg);
	int err;

	if (!s || !s->size)
		return fail(-ENOENT);
	if (s->mapped)
		return fail(-EBUSY);
	err = free_step(vm, s);
	flush_vcpus(vm);
	return err;
}

/* What map and unmap do, extent by extent; what was dropped is passed over. */
static int for_extents(struct vm *vm, const struct memseg *s,
		       int (*f)(struct vm *vm, u64 hpa, u64 len))
{
	u64 off = 0;
	int err;

	while (off < s->size) {
		u64 hpa, len;
		bool there = stage2_find(&vm->s2, s->gpa + off, &hpa, &len);

		len = MIN(len, s->size - off);
		err = there ? f(vm, hpa, len) : 0;
		if (err)
			return err;
		off += len;
	}
	return 0;
}

static int show_locked(struct vm *vm, u64 hpa, u64 len)
{
	int err;

	forbidden_unmap_ones_locked(hpa, len);
	err = stage2_map(&control_vm->s2, hpa, hpa, len, STAGE2_READ | STAGE2_WRITE, 3);
	if (err)
		stage2_unmap(&control_vm->s2, hpa, len);
	else
		page_set_mapped(HPA(hpa), len >> PAGE_SHIFT, true);
	return err;
}

static int hide_locked(struct vm *vm, u64 hpa, u64 len)
{
	int err;

	if (!page_is_mapped(HPA(hpa)))
		return 0;
	err = stage2_unmap(&control_vm->s2, hpa, len);
	/* show_locked() made these very pages: no split, no memory needed. */
	assert(!err);
	page_set_mapped(HPA(hpa), len >> PAGE_SHIFT, false);
	return 0;
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
	err = show_locked(NULL, hpa, len);
	/* Part of it may have been seen. */
	if (err)
		control_flushed_collect();
	spin_unlock(&control_s2_lock);
	return err;
}

void control_hide(u64 hpa, u64 len)
{
	spin_lock(&control_s2_lock);
	hide_locked(NULL, hpa, len);
	control_flushed_collect();
	spin_unlock(&control_s2_lock);
}

int memseg_map(struct vm *vm, u32 seg)
{
	struct memseg *s = complete_seg(vm, seg);
	int err;

	if (!s)
		return fail(-ENOENT);
	if (s->mapped)
		return fail(-EEXIST);
	spin_lock(&control_s2_lock);
	err = for_extents(vm, s, show_locked);
	if (err)
		for_extents(vm, s, hide_locked);
	/* Also when nothing was taken away: pages of ones may have been. */
	control_flushed_collect();
	spin_unlock(&control_s2_lock);
	s->mapped = !err;
	return err;
}

int memseg_unmap(struct vm *vm, u32 seg)
{
	struct memseg *s = complete_seg(vm, seg);

	if (!s || !s->mapped)
		return fail(-ENOENT);
	spin_lock(&control_s2_lock);
	for_extents(vm, s, hide_locked);
	control_flushed_collect();
	spin_unlock(&control_s2_lock);
	s->mapped = false;
	return 0;
}

int memseg_protect(struct vm *vm, u32 seg, u32 access)
{
	struct memseg *s = complete_seg(vm, seg);
	u32 prot = access & JOIST_SEG_READ ? STAGE2_READ | STAGE2_EXEC : 0;
	int err;

	/* No CPU has memory that can be written and not read (SDM, "EPT Misconfigurations"). */
	if (access & ~(u32)JOIST_SEG_RW || access == JOIST_SEG_WRITE)
		return fail(-EINVAL);
	if (!s)
		return fail(-ENOENT);
	if (access & JOIST_SEG_WRITE)
		prot |= STAGE2_WRITE;
	err = stage2_protect(&vm->s2, s->gpa, s->size, prot);
	/* Pages never reach beyond their segment: no split, no memory needed. */
	assert(!err);
	s->prot = prot;
	flush_vcpus(vm);
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

/*
 * Takes [gpa, gpa + len) from guest and control VM.  It stays the segment's, to
 * be found again once no core has a translation.  *done: bytes up to an error.
 */
static int take_locked(struct vm *vm, const struct memseg *s, u64 gpa, u64 len, u64 *done)
{
	u64 hpa, n;

	for (*done = 0; *done < len; *done += n) {
		bool there = stage2_find(&vm->s2, gpa + *done, &hpa, &n);
		int err = 0;

		n = MIN(n, len - *done);
		if (!there)
			continue;
		/* Large pages are split, which needs memory, before anything changes. */
		if (s->mapped)
			err = stage2_protect(&control_vm->s2, hpa, n, STAGE2_READ | STAGE2_WRITE);
		if (!err)
			err = stage2_protect(&vm->s2, gpa + *done, n, 0);
		if (err)
			return err;
		hide_locked(vm, hpa, n);
	}
	return 0;
}

int memseg_drop(struct vm *vm, struct joist_pages *a)
{
	u64 total = 0, len;
	struct memseg *s;
	int err = ranges_check(vm, a, &s);
	u32 i;

	if (err)
		return err;
	spin_lock(&control_s2_lock);
	for (i = 0; i < a->ranges && total < STEP && !err; i++) {
		struct joist_page_range *r = &a->range[i];

		len = MIN((u64)r->count << PAGE_SHIFT, STEP - total);
		err = take_locked(vm, s, range_gpa(s, r), len, &len);
		total += len;
	}
	if (s->mapped)
		control_flushed_collect();
	spin_unlock(&control_s2_lock);
	flush_vcpus(vm);
	for (i = 0; i < a->ranges && total; i++) {
		struct joist_page_range *r = &a->range[i];

		len = MIN((u64)r->count << PAGE_SHIFT, total);
		if (free_range(vm, s, range_gpa(s, r), len))
			panic("VM %s: a page to be dropped is still part of a large one", vm->name);
		range_advance(r, len);
		total -= len;
	}
	return err ? err : ranges_left(a);
}

/* The next page or hole of [gpa, gpa + len), which is *n bytes. */
static int fill_next(struct vm *vm, struct memseg *s, u64 gpa, u64 len, u64 *n)
{
	hpa_t pa;
	int err;

	if (stage2_find(&vm->s2, gpa, &pa.v, n)) {
		*n = MIN(*n, len);
		return 0;
	}
	err = add_block(vm, s, gpa, MIN(*n, len), &pa, n);
	if (err || !s->mapped)
		return err;
	err = control_show(pa.v, *n);
	if (err)
		free_range(vm, s, gpa, *n);
	return err;
}

int memseg_fill(struct vm *vm, struct joist_pages *a)
{
	u64 total = 0, n;
	struct memseg *s;
	int err = ranges_check(vm, a, &s);
	u32 i;

	if (err)
		return err;
	for (i = 0; i < a->ranges && !err; i++) {
		struct joist_page_range *r = &a->range[i];

		while (r->count && total < STEP && !err) {
			err = fill_next(vm, s, range_gpa(s, r), (u64)r->count << PAGE_SHIFT, &n);
			if (!err) {
				range_advance(r, n);
				total += n;
			}
		}
	}
	if (vm->s2.garbage) {
		flush_vcpus(vm);
		stage2_collect(&vm->s2);
	}
	/* No guest has seen what was not there; the control VM may have read ones. */
	if (s->mapped) {
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
	a->flags = s->mapped;
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
		int err;

		if (!s->size)
			continue;
		if (s->mapped)
			memseg_unmap(vm, i);
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
