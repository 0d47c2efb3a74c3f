/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_balloon.h -- memory that the guest gives back while it runs, and what
 * it says about the rest.
 */
#ifndef VM_VIRTIO_BALLOON_H
#define VM_VIRTIO_BALLOON_H

#include "virtio.h"

/* A guest is not asked to do with less. */
#define BALLOON_LEAST	(16 * MiB)

#define BALLOON_BATCH	256	/* page numbers that are looked at together */
_Static_assert(BALLOON_BATCH <= JOIST_PAGE_RANGES, "a range a page, at worst");

/* "Memory Statistics Tags", in their order. */
#define BALLOON_STATS(S)						\
	S("swap_in") S("swap_out") S("major_faults") S("minor_faults")	\
	S("free") S("total") S("available") S("disk_caches")		\
	S("hugetlb_allocations") S("hugetlb_failures")
#define BALLOON_STAT_COUNT	10
#define BALLOON_NOT_SAID	(~0ull)

/* What is known of the guest's memory, to be shown to people. */
struct balloon_state {
	u8 driver;		/* there is one at work */
	u8 starved;		/* it waits for memory the pool has not got */
	u32 actual;		/* pages that it says it has given back */
	u64 age;		/* ns since it has said what follows */
	u64 stat[BALLOON_STAT_COUNT];	/* or BALLOON_NOT_SAID */
};

/* Pages that the driver gives, or wants to have again. */
struct balloon_request {
	bool busy;
	bool starved;		/* goes on when the pool has pages */
	struct virtq_chain chain;
	struct iovec *iov;	/* what of it has not been looked at yet */
	unsigned count;
	unsigned at, pfns;	/* of pfn[], which ascends: next one, end */
	u32 pfn[BALLOON_BATCH];
	struct joist_pages pages;	/* to be called for now */
};

struct balloon {
	struct virtio virtio;
	u64 pages;		/* the guest's, none given back */
	struct balloon_request request[2];	/* by queue */
	struct virtq_chain stats;
	bool has_stats;		/* its buffer is here: giving it back asks */
	bool asked;		/* board_balloon() is to be called */
	u64 said;		/* board_ns() when stat[] came; 0: never */
	u64 stat[BALLOON_STAT_COUNT];
};

/* target: how many pages it is to keep. */
int balloon_init(struct balloon *b, u64 target, struct pci *pci,
		 const struct guest_mem *mem);
/*
 * The same while it runs; and answer by board_balloon(), when the guest has
 * said its numbers, or does not for a second.
 */
void balloon_ask(struct balloon *b, u64 target);
/* TIMER_BALLOON and TIMER_BALLOON_ANSWER have expired. */
void balloon_retry(struct balloon *b);
void balloon_answer(struct balloon *b);

#endif
