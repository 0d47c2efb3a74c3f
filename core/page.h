/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page.h -- every page frame has one owner; the pool hands frames out.
 *
 * The owner of a frame is kept in one place, struct frame, and changed by one
 * function, page_set_owner().  Frames that are no RAM have OWNER_NONE.
 */
#ifndef CORE_PAGE_H
#define CORE_PAGE_H

#include "core/types.h"

enum owner {
	OWNER_NONE,			/* not RAM */
	OWNER_HYPERVISOR,
	OWNER_CONTROL,
	OWNER_POOL,			/* free */
	OWNER_GUEST,			/* + slot of the VM */
};

#define ORDER_4K	0
#define ORDER_2M	9
#define ORDER_1G	18
#define ORDER_MAX	ORDER_1G

struct frame {
	u16 owner;		/* [LOCK_POOL] enum owner */
	u8 order;		/* [LOCK_POOL] of the free block that starts here */
	u8 flags;		/* [LOCK_POOL] FRAME_* */
};

extern struct frame *frames;	/* page.c's alone, but for page_owner() */
extern u64 frame_count;

#define FRAME_FREE_HEAD	BIT(0)		/* first frame of a free block */
#define FRAME_MAPPED	BIT(1)		/* a guest's, shown to the control VM */
#define FRAME_HELD	BIT(2)		/* first frame of what is left of a held block */

struct pool_stats {
	u64 total;		/* bytes given to the pool at boot */
	u64 free;		/* bytes free now, without those kept back */
};

/* All frames below top are described by frames[], zeroed by the caller. */
void page_init(struct frame *frames, hpa_t top);
u64 page_top(void);

/* Frame range [pa, pa + n * 4 KiB) goes from one owner to another. */
void page_set_owner(hpa_t pa, u64 n, u16 from, u16 to);
static inline u16 page_owner(hpa_t pa)
{
	u64 pfn = pa.v >> PAGE_SHIFT;

	return pfn < frame_count ? frames[pfn].owner : OWNER_NONE;
}
/* Marks guest frames as shown to the control VM, or not. */
void page_set_mapped(hpa_t pa, u64 n, bool mapped);
bool page_is_mapped(hpa_t pa);

/* Boot: so many pages of the pool are for page_alloc_urgent() only. */
void page_keep_back(u64 n);
/* Boot: RAM that nobody owns yet becomes free. */
void page_pool_add(hpa_t pa, u64 n);

/* A zeroed block of 2^order frames for owner; false if there is none. */
bool page_alloc(unsigned order, u16 owner, hpa_t *pa);
/* The same, to be cleared by the caller before anybody sees it. */
bool page_take(unsigned order, u16 owner, hpa_t *pa);
/*
 * A whole GiB for somebody who cannot take it at once: it is no longer free,
 * but still the pool's until it is claimed, from its begin on, 2 MiB at a time,
 * dirty.  What is left from pa on can be given back.
 */
bool page_hold_1g(hpa_t *pa);
void page_claim_2m(hpa_t pa, u16 owner);
void page_unhold(hpa_t pa);
/* The whole block, or an aligned part of it, goes back. */
void page_free(hpa_t pa, unsigned order, u16 owner);
void page_pool_stats(struct pool_stats *s);

/* Debug: walks all frames; false if free lists, owners or counts disagree. */
bool page_verify(const char **why);

/* Hypervisor-owned, zeroed 4 KiB; NULL if there is none. */
void *page_alloc_hyp(void);
/* The same, also when the pool is empty to what is kept back. */
void *page_alloc_urgent(void);
void page_free_hyp(void *p);

#endif
