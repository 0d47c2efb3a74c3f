/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.h -- spinlocks, and the one order in which they are taken.
 *
 * The hypervisor runs with interrupts off and never blocks, so every lock is
 * held for a short, bounded time.  Locks that RUN would hold for long (a
 * vCPU's) are only ever tried.  Debug builds refuse an acquire out of order.
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include "core/types.h"

/* Outer ranks first. */
enum lock_rank {
	LOCK_VMS,		/* table of VMs: create and destroy */
	LOCK_MEMSEGS,		/* one VM's memory segments */
	LOCK_CONTROL_S2,	/* the control VM's stage-2 tables */
	LOCK_POOL,		/* page allocator and page owners */
	LOCK_LOG,
};

/*
 * Taken in the order in which it was asked for: who waits is served after at
 * most one turn of every other core.
 */
struct spinlock {
	u32 next;		/* [a] the ticket for who comes */
	u32 serving;		/* [a] the ticket that holds it; next: nobody's */
	enum lock_rank rank;
};

/*
 * Many readers or one writer; the writer is the top bit of count.  It sets that
 * first and then waits for the readers that are in to leave: no reader comes in
 * after it.
 */
struct rwspin {
	u32 count;
	enum lock_rank rank;
};

#define SPINLOCK(r)	{ .rank = (r) }

#ifdef JOIST_DEBUG
void lock_enter(const void *lock, enum lock_rank rank);
void lock_leave(const void *lock);
void assert_held(const void *lock);
#else
#define lock_enter(l, r)	((void)0)
#define lock_leave(l)		((void)0)
#define assert_held(l)		((void)0)
#endif

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline void spin_lock(struct spinlock *l)
{
	u32 mine;

	lock_enter(l, l->rank);
	mine = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != mine)
		cpu_relax();
}

static inline void spin_unlock(struct spinlock *l)
{
	/* Nobody else writes it: no locked instruction is needed. */
	__atomic_store_n(&l->serving, l->serving + 1, __ATOMIC_RELEASE);
	lock_leave(l);
}

/* For panic: nobody else runs any more. */
static inline void spin_bust(struct spinlock *l)
{
	l->next = l->serving;
}

#define RW_WRITER	(1u << 31)

static inline void read_lock(struct rwspin *l)
{
	lock_enter(l, l->rank);
	while (__atomic_add_fetch(&l->count, 1, __ATOMIC_ACQUIRE) & RW_WRITER) {
		__atomic_sub_fetch(&l->count, 1, __ATOMIC_RELAXED);
		while (__atomic_load_n(&l->count, __ATOMIC_RELAXED) & RW_WRITER)
			cpu_relax();
	}
}

static inline void read_unlock(struct rwspin *l)
{
	__atomic_sub_fetch(&l->count, 1, __ATOMIC_RELEASE);
	lock_leave(l);
}

static inline void write_lock(struct rwspin *l)
{
	lock_enter(l, l->rank);
	while (__atomic_fetch_or(&l->count, RW_WRITER, __ATOMIC_ACQUIRE) & RW_WRITER)
		cpu_relax();
	while (__atomic_load_n(&l->count, __ATOMIC_ACQUIRE) != RW_WRITER)
		cpu_relax();
}

static inline void write_unlock(struct rwspin *l)
{
	__atomic_and_fetch(&l->count, ~RW_WRITER, __ATOMIC_RELEASE);
	lock_leave(l);
}

#endif
