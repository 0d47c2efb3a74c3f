/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stage2.h -- second-level page tables: one walk, two entry formats.
 */
#ifndef ARCH_X86_STAGE2_H
#define ARCH_X86_STAGE2_H

#include "core/types.h"

#define STAGE2_READ	BIT(0)
#define STAGE2_WRITE	BIT(1)
#define STAGE2_EXEC	BIT(2)
#define STAGE2_RWX	(STAGE2_READ | STAGE2_WRITE | STAGE2_EXEC)

#define STAGE2_LEVELS	4
#define STAGE2_GPA_BITS	48

/*
 * How a vendor spells an entry.  level: 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB.  Both
 * keep the address in bits 51:12 and mark a large page by bit 7.
 */
struct stage2_format {
	u64 present;			/* any of these bits: present */
	u64 (*leaf)(u64 hpa, unsigned level, u32 prot);
	u64 (*table)(u64 hpa);
	u32 (*prot)(u64 entry);		/* of a present entry: STAGE2_* */
	bool (*has_1g)(void);
	/* Largest leaf that has one memory type throughout; level <= given. */
	unsigned (*uniform)(u64 hpa, unsigned level);
};

struct stage2 {
	const struct stage2_format *fmt;
	u64 *root;
	u64 tables;		/* pages in use, root included */
	u64 changes;		/* times that translations got to be old ones */
	u64 garbage;		/* empty tables, linked: free after a TLB flush */
	unsigned max_level;	/* of a leaf */
	bool urgent;		/* tables may come out of what the pool keeps back */
	/*
	 * No leaf above 4 KiB is executable to the CPU: some Intel CPUs stop with a
	 * machine check when a guest changes the size of a page that it executes.
	 */
	bool nx_large;
};

/* -ENOMEM. */
int stage2_init(struct stage2 *s, const struct stage2_format *fmt);
/* All tables go back to the pool; what they map is the caller's. */
void stage2_fini(struct stage2 *s);
/*
 * Maps [gpa, gpa + len) to hpa with the largest pages that fit, up to
 * max_level.  -EEXIST: something is mapped there; -ENOMEM.  On failure what
 * was mapped up to there stays: unmap it.  Tables made for what failed are to be
 * collected after a flush, as after stage2_unmap().
 */
int stage2_map(struct stage2 *s, u64 gpa, u64 hpa, u64 len, u32 prot, unsigned max_level);
/*
 * Unmaps [gpa, gpa + len): what is mapped there, holes are fine.  -ENOMEM when
 * a large page must be split and cannot be: then nothing of that page is
 * changed.  The caller flushes all TLBs, then calls stage2_collect(), which
 * frees the tables that became empty: until the flush a core may still walk
 * them.
 */
int stage2_unmap(struct stage2 *s, u64 gpa, u64 len);
/* Bytes of the largest page there may be around hpa: of one memory type. */
u64 stage2_page_size(const struct stage2 *s, u64 hpa);
void stage2_collect(struct stage2 *s);
/*
 * What is mapped in [gpa, gpa + len) may be used so from now on; holes are
 * fine.  0: not at all, but it stays known what belongs there.  -ENOMEM when a
 * large page must be split and cannot be: what lies before it is changed.  The
 * caller flushes all TLBs.
 */
int stage2_protect(struct stage2 *s, u64 gpa, u64 len, u32 prot);
/*
 * A fetch from gpa was stopped.  0: it may be tried again, what was a large page is
 * split; -ENOENT: nothing to execute there; -ENOMEM.  Any vCPU of the VM in RUN may
 * call it.  No flush: what a TLB has forbids more.
 */
int stage2_execute(struct stage2 *s, u64 gpa);
/*
 * Looks gpa up: protection (0: no access) and *hpa; *len: bytes to the page's
 * end, or as far as there is surely nothing.
 */
u32 stage2_walk(const struct stage2 *s, u64 gpa, u64 *hpa, u64 *len);
/* The same for memory with any protection; false: there is none. */
bool stage2_find(const struct stage2 *s, u64 gpa, u64 *hpa, u64 *len);
/* The size of the page at gpa, or of the hole as the table it is in sees it. */
u64 stage2_size(const struct stage2 *s, u64 gpa);
/*
 * If the pages around gpa could be one of this level, makes them one.  Their
 * table is to be collected after a flush.
 */
bool stage2_join(struct stage2 *s, u64 gpa, unsigned level);
/* For checks: calls f for every leaf, with any protection, until it returns false. */
bool stage2_each(const struct stage2 *s, bool (*f)(void *ctx, u64 gpa, u64 hpa, u64 len, u32 prot),
		 void *ctx);

#endif
