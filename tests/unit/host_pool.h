/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host_pool.h -- the real page allocator under a test, which can be made to
 * fail at any chosen allocation.
 */
#ifndef TESTS_UNIT_HOST_POOL_H
#define TESTS_UNIT_HOST_POOL_H

#include "tests/unit/host.h"

#define page_alloc	real_page_alloc
#define page_alloc_hyp	real_page_alloc_hyp
#define page_alloc_urgent	real_page_alloc_urgent
#include "core/page.c"
#undef page_alloc
#undef page_alloc_hyp
#undef page_alloc_urgent

bool page_alloc(unsigned order, u16 owner, hpa_t *pa);
void *page_alloc_hyp(void);
void *page_alloc_urgent(void);

/* How many allocations succeed from now on, and how many there have been. */
static u64 alloc_budget = ~0ull, alloc_calls;

static inline bool alloc_allowed(void)
{
	alloc_calls++;
	if (!alloc_budget)
		return false;
	if (alloc_budget != ~0ull)
		alloc_budget--;
	return true;
}

bool page_alloc(unsigned order, u16 owner, hpa_t *pa)
{
	return alloc_allowed() && real_page_alloc(order, owner, pa);
}

void *page_alloc_hyp(void)
{
	return alloc_allowed() ? real_page_alloc_hyp() : NULL;
}

void *page_alloc_urgent(void)
{
	return alloc_allowed() ? real_page_alloc_urgent() : NULL;
}

/* RAM [0, top), of it [base, top) in the pool. */
static inline void host_pool(u64 base, u64 top)
{
	host_ram(top);
	free(frames);
	memset(&stats, 0, sizeof(stats));
	memset(&pool_lock, 0, sizeof(pool_lock));
	pool_lock.rank = LOCK_POOL;
	the_cpu.locks_held = 0;
	alloc_budget = ~0ull;
	kept_back = 0;
	page_init(calloc(top >> PAGE_SHIFT, sizeof(struct frame)), HPA(top));
	page_pool_add(HPA(base), (top - base) >> PAGE_SHIFT);
}

static inline u64 pool_free(void)
{
	struct pool_stats s;

	page_pool_stats(&s);
	return s.free;
}

#endif
