/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_lock.c -- who waits for a lock gets it in its turn.
 *
 * Real threads; what is checked is an order, which no speed changes.  A lock
 * that does not announce who waits hangs here until the alarm.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* Not as in a debug build: the checks there are of one core. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "core/lock.h"

#include <cmocka.h>

#define PATIENCE	60		/* seconds until SIGALRM */
#define ROUNDS		50
#define WAITERS		4
#define HITS		50000u

static struct spinlock spin;
static struct rwspin rw;
static u32 order[WAITERS + 1], arrived;
static u64 counter;

static void note(u32 who)
{
	order[__atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST)] = who;
}

static void wait_for(const u32 *word, u32 val)
{
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != val)
		sched_yield();
}

static void *spin_waiter(void *arg)
{
	spin_lock(&spin);
	note((u32)(u64)arg);
	spin_unlock(&spin);
	return NULL;
}

/* In the order in which they asked. */
static void test_spin_is_fair(void **state)
{
	pthread_t t[WAITERS];
	u32 k, first;
	u64 i;

	alarm(PATIENCE);
	for (k = 0; k < ROUNDS; k++) {
		arrived = 0;
		spin_lock(&spin);
		first = spin.next;
		for (i = 0; i < WAITERS; i++) {
			assert_int_equal(pthread_create(&t[i], NULL, spin_waiter, (void *)i), 0);
			wait_for(&spin.next, first + (u32)i + 1);
		}
		spin_unlock(&spin);
		for (i = 0; i < WAITERS; i++)
			pthread_join(t[i], NULL);
		for (i = 0; i < WAITERS; i++)
			assert_int_equal(order[i], i);
	}
	alarm(0);
}

static void *rw_writer(void *arg)
{
	write_lock(&rw);
	note(0);
	write_unlock(&rw);
	return NULL;
}

static void *rw_reader(void *arg)
{
	read_lock(&rw);
	note(1);
	read_unlock(&rw);
	return NULL;
}

/* Who reads already is waited for; who comes after the writer waits for it. */
static void test_writer_announces(void **state)
{
	pthread_t w, r[WAITERS];
	u32 k, i;

	alarm(PATIENCE);
	for (k = 0; k < ROUNDS; k++) {
		arrived = 0;
		read_lock(&rw);
		assert_int_equal(pthread_create(&w, NULL, rw_writer, NULL), 0);
		while (!(__atomic_load_n(&rw.count, __ATOMIC_SEQ_CST) & RW_WRITER))
			sched_yield();
		for (i = 0; i < WAITERS; i++)
			assert_int_equal(pthread_create(&r[i], NULL, rw_reader, NULL), 0);
		sched_yield();
		assert_int_equal(__atomic_load_n(&arrived, __ATOMIC_SEQ_CST), 0);
		read_unlock(&rw);
		pthread_join(w, NULL);
		for (i = 0; i < WAITERS; i++)
			pthread_join(r[i], NULL);
		assert_int_equal(order[0], 0);
		assert_int_equal(rw.count, 0);
	}
	alarm(0);
}

static void *hit(void *arg)
{
	u32 i;

	for (i = 0; i < HITS; i++) {
		if (arg)
			write_lock(&rw);
		else
			spin_lock(&spin);
		counter++;
		if (arg)
			write_unlock(&rw);
		else
			spin_unlock(&spin);
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void test_exclusion(void **state)
{
	pthread_t t[2];
	u64 kind;
	u32 i;

	for (kind = 0; kind < 2; kind++) {
		counter = 0;
		for (i = 0; i < ARRAY_SIZE(t); i++)
			assert_int_equal(pthread_create(&t[i], NULL, hit, (void *)kind), 0);
		for (i = 0; i < ARRAY_SIZE(t); i++)
			pthread_join(t[i], NULL);
		assert_int_equal(counter, ARRAY_SIZE(t) * HITS);
	}
	assert_int_equal(spin.next, spin.serving);
	/* Tickets wrap. */
	spin.next = spin.serving = ~0u;
	spin_lock(&spin);
	spin_unlock(&spin);
	assert_int_equal(spin.serving, 0);
	spin_lock(&spin);
	spin_bust(&spin);
	spin_lock(&spin);
	spin_unlock(&spin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spin_is_fair),
		cmocka_unit_test(test_writer_announces),
		cmocka_unit_test(test_exclusion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
