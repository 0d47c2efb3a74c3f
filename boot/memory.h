/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.h -- who gets which RAM: control VM, hypervisor, pool.
 */
#ifndef BOOT_MEMORY_H
#define BOOT_MEMORY_H

#include "boot/mb2.h"
#include "boot/param.h"
#include "core/types.h"

struct mem_piece {
	u64 base, end;
};

#define CONTROL_PIECES	MEM_FIRMWARE

/* The RAM of the control VM: the lowest RAM there is. */
struct control_memory {
	struct mem_piece piece[CONTROL_PIECES];
	unsigned count;
	u64 total;		/* bytes */
};
extern struct control_memory control_memory;

/* Splits RAM; refuses a machine that has too little. */
void memory_split(const struct boot_info *bi, const struct params *p, u64 image_base,
		  u64 image_end);
/*
 * Zeroed memory for the hypervisor during boot, taken from the top of what
 * will be the pool; never given back.  Before paging_init() only a 4 KiB page
 * below 4 GiB is to be had (early_alloc_table).  To ask for any after
 * memory_fill_pool() is a panic: it would have two owners.
 */
u64 early_alloc_table(void);
hpa_t early_alloc(u64 size);
/* Frame array and owners set up; what is left becomes the pool. */
void memory_init_frames(const struct boot_info *bi, u64 image_base, u64 image_end);
void memory_fill_pool(void);
/* What the pool was made of: the piece at or after *index, which moves past it. */
const struct mem_piece *memory_pool_piece(u32 *index);
/* Bytes the hypervisor took: image and early memory. */
u64 memory_hypervisor_bytes(void);

/*
 * Unused memory of the control VM, lowest first: size bytes at a multiple of
 * align in [min, max).  It is taken: not handed out again.  0: there is none.
 */
u64 control_take(u64 size, u64 align, u64 min, u64 max);
/* What starts at base need not be kept free any more. */
void control_release(u64 base);
/* Whether all of [base, end) is the control VM's. */
bool control_owns(u64 base, u64 end);
/* What is left of [base, end) belongs to others: calls f for each stretch. */
void control_gaps(u64 base, u64 end, void (*f)(void *ctx, u64 base, u64 end), void *ctx);

#endif
