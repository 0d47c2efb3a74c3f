/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.c -- debug builds: which locks a core holds, and in what order.
 *
 * Linked into debug builds only.
 */
#include "arch/x86/cpu.h"
#include "core/lock.h"
#include "core/log.h"

void lock_enter(const void *lock, enum lock_rank rank)
{
	struct cpu *c = this_cpu();

	if (!c)
		return;
	if (c->locks_held && c->locks[c->locks_held - 1].rank >= rank)
		panic("lock of rank %u taken after one of rank %u", rank,
		      c->locks[c->locks_held - 1].rank);
	if (c->locks_held == ARRAY_SIZE(c->locks))
		panic("too many locks held");
	c->locks[c->locks_held].lock = lock;
	c->locks[c->locks_held++].rank = rank;
}

void lock_leave(const void *lock)
{
	struct cpu *c = this_cpu();

	if (!c)
		return;
	if (!c->locks_held || c->locks[c->locks_held - 1].lock != lock)
		panic("lock released out of order");
	c->locks_held--;
}

void assert_held(const void *lock)
{
	struct cpu *c = this_cpu();
	u32 i;

	for (i = 0; c && i < c->locks_held; i++)
		if (c->locks[i].lock == lock)
			return;
	if (c)
		panic("a lock is not held that should be");
}
