/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page.c -- page owners and the pool, a buddy allocator of 4 KiB to 1 GiB.
 *
 * A free block's list links lie in its own first bytes: frames in the pool
 * are nobody else's.  They are dirty there; page_alloc() clears what it hands
 * out, and who uses page_take() must, so that nothing of a former owner is ever
 * seen.
 */
#include "arch/x86/paging.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/page.h"
#include "core/string.h"

struct free_block {
	struct free_block *next, *prev;
};

static struct spinlock pool_lock = SPINLOCK(LOCK_POOL);
struct frame *frames;
u64 frame_count;
static struct free_block lists[ORDER_MAX + 1];	/* heads, circular */
static struct pool_stats stats;
static u64 kept_back;		/* [c] bytes that only page_alloc_urgent() hands out */

void page_init(struct frame *f, hpa_t top)
{
	unsigned i;

	frames = f;
	frame_count = top.v >> PAGE_SHIFT;
	for (i = 0; i <= ORDER_MAX; i++)
		lists[i].next = lists[i].prev = &lists[i];
}

u64 page_top(void)
{
	return frame_count << PAGE_SHIFT;
}

static void set_owner_locked(u64 pfn, u64 n, u16 from, u16 to)
{
	u64 i;

	assert_held(&pool_lock);
	assert(pfn <= frame_count && n <= frame_count - pfn);
	for (i = pfn; i < pfn + n; i++) {
		if (unlikely(frames[i].owner != from))
			panic("page %lx: owner is %u, not %u (to become %u)",
			      i << PAGE_SHIFT, frames[i].owner, from, to);
		if (unlikely(frames[i].flags & FRAME_MAPPED))
			panic("page %lx: its owner changes while the control VM sees it",
			      i << PAGE_SHIFT);
		frames[i].owner = to;
	}
}

void page_set_owner(hpa_t pa, u64 n, u16 from, u16 to)
{
	spin_lock(&pool_lock);
	set_owner_locked(pa.v >> PAGE_SHIFT, n, from, to);
	spin_unlock(&pool_lock);
}

void page_set_mapped(hpa_t pa, u64 n, bool mapped)
{
	u64 i, pfn = pa.v >> PAGE_SHIFT;

	spin_lock(&pool_lock);
	assert(pfn <= frame_count && n <= frame_count - pfn);
	for (i = pfn; i < pfn + n; i++) {
		assert(frames[i].owner >= OWNER_GUEST);
		/* A guest's frame has no other flag. */
		frames[i].flags = mapped ? FRAME_MAPPED : 0;
	}
	spin_unlock(&pool_lock);
}

bool page_is_mapped(hpa_t pa)
{
	u64 pfn = pa.v >> PAGE_SHIFT;

	return pfn < frame_count && (frames[pfn].flags & FRAME_MAPPED);
}

static struct free_block *block_at(u64 pfn)
{
	return hpa_ptr(HPA(pfn << PAGE_SHIFT));
}

static void list_add(u64 pfn, unsigned order)
{
	struct free_block *b = block_at(pfn), *head = &lists[order];

	b->next = head->next;
	b->prev = head;
	head->next->prev = b;
	head->next = b;
	frames[pfn].order = (u8)order;
	frames[pfn].flags = FRAME_FREE_HEAD;
}

static void list_del(u64 pfn)
{
	struct free_block *b = block_at(pfn);

	/* What a stray write has made of them must not choose where to write. */
	if (unlikely(b->next->prev != b || b->prev->next != b))
		panic("page %lx: free, but its links were overwritten", pfn << PAGE_SHIFT);
	b->prev->next = b->next;
	b->next->prev = b->prev;
	frames[pfn].flags = 0;
}

/* Joins the block with its buddy as long as that one is free as a whole. */
static void free_locked(u64 pfn, unsigned order)
{
	for (; order < ORDER_MAX; order++) {
		u64 buddy = pfn ^ BIT(order);

		if (buddy >= frame_count || !(frames[buddy].flags & FRAME_FREE_HEAD) ||
		    frames[buddy].order != order)
			break;
		list_del(buddy);
		pfn &= ~BIT(order);
	}
	list_add(pfn, order);
}

/* In the largest blocks that fit. */
static void free_range_locked(u64 pfn, u64 n)
{
	u64 end = pfn + n;

	while (pfn < end) {
		unsigned order = pfn ? (unsigned)__builtin_ctzll(pfn) : ORDER_MAX;

		order = MIN(order, ORDER_MAX);
		while (BIT(order) > end - pfn)
			order--;
		free_locked(pfn, order);
		pfn += BIT(order);
	}
}

void page_pool_add(hpa_t pa, u64 n)
{
	u64 pfn = pa.v >> PAGE_SHIFT;

	spin_lock(&pool_lock);
	set_owner_locked(pfn, n, OWNER_NONE, OWNER_POOL);
	stats.total += n << PAGE_SHIFT;
	stats.free += n << PAGE_SHIFT;
	free_range_locked(pfn, n);
	spin_unlock(&pool_lock);
}

void page_keep_back(u64 n)
{
	kept_back = n << PAGE_SHIFT;
}

static bool take_block(unsigned order, u16 owner, hpa_t *pa, u64 keep)
{
	unsigned o;
	u64 pfn;

	spin_lock(&pool_lock);
	for (o = order; o <= ORDER_MAX; o++)
		if (lists[o].next != &lists[o])
			break;
	if (o > ORDER_MAX || stats.free < keep + (BIT(order) << PAGE_SHIFT)) {
		spin_unlock(&pool_lock);
		return false;
	}
	pfn = ptr_hpa(lists[o].next).v >> PAGE_SHIFT;
	list_del(pfn);
	while (o > order) {
		o--;
		list_add(pfn + BIT(o), o);
	}
	set_owner_locked(pfn, BIT(order), OWNER_POOL, owner);
	stats.free -= BIT(order) << PAGE_SHIFT;
	spin_unlock(&pool_lock);
	*pa = HPA(pfn << PAGE_SHIFT);
	return true;
}

bool page_hold_1g(hpa_t *pa)
{
	struct free_block *head = &lists[ORDER_1G];
	bool there;
	u64 pfn;

	spin_lock(&pool_lock);
	there = head->next != head && stats.free >= kept_back + PAGE_SIZE_1G;
	if (there) {
		*pa = ptr_hpa(head->next);
		pfn = pa->v >> PAGE_SHIFT;
		list_del(pfn);
		frames[pfn].flags = FRAME_HELD;
		stats.free -= PAGE_SIZE_1G;
	}
	spin_unlock(&pool_lock);
	return there;
}

/* Frames from pfn to the end of its GiB, which is what is held at most. */
static u64 held_frames(u64 pfn)
{
	return BIT(ORDER_1G) - (pfn & (BIT(ORDER_1G) - 1));
}

void page_claim_2m(hpa_t pa, u16 owner)
{
	u64 pfn = pa.v >> PAGE_SHIFT, n = BIT(ORDER_2M);

	spin_lock(&pool_lock);
	assert(IS_ALIGNED(pfn, n) && frames[pfn].flags == FRAME_HELD);
	frames[pfn].flags = 0;
	if (held_frames(pfn) > n)
		frames[pfn + n].flags = FRAME_HELD;
	set_owner_locked(pfn, n, OWNER_POOL, owner);
	spin_unlock(&pool_lock);
}

void page_unhold(hpa_t pa)
{
	u64 pfn = pa.v >> PAGE_SHIFT, n = held_frames(pfn);

	spin_lock(&pool_lock);
	assert(frames[pfn].flags == FRAME_HELD);
	frames[pfn].flags = 0;
	stats.free += n << PAGE_SHIFT;
	free_range_locked(pfn, n);
	spin_unlock(&pool_lock);
}

bool page_take(unsigned order, u16 owner, hpa_t *pa)
{
	return take_block(order, owner, pa, kept_back);
}

bool page_alloc(unsigned order, u16 owner, hpa_t *pa)
{
	if (!page_take(order, owner, pa))
		return false;
	page_clear(hpa_ptr(*pa), BIT(order) << PAGE_SHIFT);
	return true;
}

void page_free(hpa_t pa, unsigned order, u16 owner)
{
	u64 pfn = pa.v >> PAGE_SHIFT;

	assert(IS_ALIGNED(pfn, BIT(order)) && owner != OWNER_POOL);
	spin_lock(&pool_lock);
	set_owner_locked(pfn, BIT(order), owner, OWNER_POOL);
	stats.free += BIT(order) << PAGE_SHIFT;
	free_locked(pfn, order);
	spin_unlock(&pool_lock);
}

void page_pool_stats(struct pool_stats *s)
{
	spin_lock(&pool_lock);
	*s = stats;
	s->free -= MIN(s->free, kept_back);
	spin_unlock(&pool_lock);
}

bool page_verify(const char **why)
{
	u64 pfn = 0, pool = 0, i;

	*why = NULL;
	spin_lock(&pool_lock);
	while (pfn < frame_count && !*why) {
		struct frame *f = &frames[pfn];
		u64 n = 1;

		if (f->flags & FRAME_FREE_HEAD) {
			n = BIT(f->order);
			if (!IS_ALIGNED(pfn, n) || n > frame_count - pfn)
				*why = "a free block is misaligned";
			for (i = 0; i < n && !*why; i++)
				if (f[i].owner != OWNER_POOL || (i && f[i].flags))
					*why = "a frame of a free block is not free";
			pool += n;
		} else if (f->flags & FRAME_HELD) {
			n = held_frames(pfn);
			for (i = 0; i < n && !*why; i++)
				if (f[i].owner != OWNER_POOL || (i && f[i].flags))
					*why = "a frame of a held block is not the pool's";
		} else if (f->owner == OWNER_POOL) {
			*why = "a free frame is in no block";
		} else if ((f->flags & FRAME_MAPPED) && f->owner < OWNER_GUEST) {
			*why = "a frame is shown to the control VM that is no guest's";
		}
		pfn += n;
	}
	if (!*why && pool << PAGE_SHIFT != stats.free)
		*why = "the count of free frames is wrong";
	spin_unlock(&pool_lock);
	return !*why;
}

void *page_alloc_hyp(void)
{
	hpa_t pa;

	return page_alloc(ORDER_4K, OWNER_HYPERVISOR, &pa) ? hpa_ptr(pa) : NULL;
}

void *page_alloc_urgent(void)
{
	hpa_t pa;

	if (!take_block(ORDER_4K, OWNER_HYPERVISOR, &pa, 0))
		return NULL;
	page_clear(hpa_ptr(pa), PAGE_SIZE);
	return hpa_ptr(pa);
}

void page_free_hyp(void *p)
{
	page_free(ptr_hpa(p), ORDER_4K, OWNER_HYPERVISOR);
}
