/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * work.h -- how much a hypercall has done, so that it can end in time.
 *
 * Interrupts are off as long as a call lasts.  Whoever does something over and
 * over counts here what it costs, roughly in instructions, and its caller
 * gives up with -EAGAIN when there is no room left.  Counted, not timed: the
 * same call ends at the same place on each machine.
 */
#ifndef CORE_WORK_H
#define CORE_WORK_H

#include "arch/x86/cpu.h"

#define WORK_LIMIT	90000u		/* of one call */

/* What things cost, somewhat more than they do. */
#define WORK_FRAME	12		/* a frame's owner or flags */
#define WORK_SCAN	5		/* a table's entry, one of many in a row */
#define WORK_ENTRY	25		/* a table's entry, gone through or taken away */
#define WORK_TYPE	60		/* the memory type of an address */
#define WORK_MAP	250		/* a page is mapped */
#define WORK_LOOK	100		/* what lies at an address, and so on */
#define WORK_BLOCK	200		/* a block of the pool, taken or given back */
#define WORK_VCPU	3000		/* a vCPU is freed */
#define WORK_CLEAR_4K	350
#define WORK_CLEAR_2M	(512 * 310)

static inline void work_begin(void)
{
	current_cpu()->work = 0;
}

static inline void work_add(u64 n)
{
	current_cpu()->work += (u32)n;
}

/* Whether so much more can be done in this call; the first thing always can. */
static inline bool work_room(u64 n)
{
	u32 done = current_cpu()->work;

	return !done || done + n <= WORK_LIMIT;
}

#endif
