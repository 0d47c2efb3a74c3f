/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_balloon.c -- the memory balloon, as its driver and the operator see
 * it: pages that go and come, a pool that is empty, statistics, and what no
 * driver may send.
 */
#include "tests/unit/vm_virtio.h"
#include "tests/unit/vm_driver.h"

#define DATA		DRIVER_DATA	/* a page of it a queue */
#define ALL		PAGES(LOW + HIGH)
#define FEATURES	(F_MUST_TELL_HOST | F_STATS_VQ)

static int setup(void **state)
{
	(void)state;
	virtio_machine(true);
	driver_finds(&balloon.virtio);
	driver_start(FEATURES);
	return 0;
}

static void push(unsigned q, u16 head)
{
	offer(q, head);
	serve_kicks();
}

static void send_pfns(unsigned q, const u32 *pfn, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++)
		put32(mem_at(DATA + 0x1000 * q + 4 * i), pfn[i]);
	desc(q, 0, DATA + 0x1000 * q, 4 * count, 0, 0);
	push(q, 0);
}

#define SEND(q, ...) ({							\
	const u32 list[] = { __VA_ARGS__ };				\
	send_pfns(q, list, ARRAY_SIZE(list));				\
})

static unsigned holes(void)
{
	unsigned n = 0, i;

	for (i = 0; i < PAGES(LOW); i++)
		n += pool.hole[SEG_LOW][i] + pool.hole[SEG_HIGH][i];
	return n;
}

static void test_configuration(void **state)
{
	(void)state;
	pci_write(&pci, 0, 4, 0x80000000 | balloon.virtio.slot << 11);
	assert_int_equal(pci_read(&pci, 4, 4), 0x10451af4);
	assert_int_equal(get(C_QUEUES, 2), 3);
	assert_int_equal(get(DEVICE + BN_NUM_PAGES, 4), 0);
	/* The driver writes one field, and that one only. */
	set(DEVICE + BN_NUM_PAGES, 4, 7);
	set(DEVICE + BN_ACTUAL, 4, 9);
	set(DEVICE + BN_ACTUAL, 1, 1);
	set(DEVICE + BN_LEN, 4, ~0u);
	assert_int_equal(get(DEVICE + BN_NUM_PAGES, 4), 0);
	assert_int_equal(get(DEVICE + BN_ACTUAL, 4), 9);
	/* Who would use pages again untold is refused. */
	driver_resets();
	set(C_FEATURES_SEL, 4, 0);
	set(C_FEATURES, 4, F_STATS_VQ);
	set(C_FEATURES_SEL, 4, 1);
	set(C_FEATURES, 4, VIRTIO_VERSION_1 >> 32);
	set(C_STATUS, 1, 11);
	assert_int_equal(get(C_STATUS, 1), 3);
	assert_int_equal(get(DEVICE + BN_ACTUAL, 4), 0);
}

static void test_target(void **state)
{
	u8 generation = (u8)get(C_GENERATION, 1);
	unsigned line = PCI_LINE(balloon.virtio.slot, 0);

	(void)state;
	assert_false(board.irq[line]);
	balloon_ask(&balloon, ALL - 30);
	assert_int_equal(get(DEVICE + BN_NUM_PAGES, 4), 30);
	assert_true(board.irq[line]);
	assert_int_equal(get(ISR, 1), ISR_CONFIG);
	assert_int_not_equal(get(C_GENERATION, 1), generation);
	/* The same again is no news. */
	balloon_ask(&balloon, ALL - 30);
	assert_false(board.irq[line]);
	/* It stays over a reset of the driver. */
	driver_start(FEATURES);
	assert_int_equal(get(DEVICE + BN_NUM_PAGES, 4), 30);
}

static void test_pages(void **state)
{
	(void)state;
	/* Out of order, twice the same, and in both segments: three ranges. */
	SEND(Q_INFLATE, HIGH_PFN + 3, 7, 5, 6, 6, 9, HIGH_PFN + 2);
	assert_int_equal(used(Q_INFLATE), 1);
	assert_int_equal(holes(), 6);
	assert_int_equal(pool.calls, 2);
	assert_int_equal(pool.ranges, 3);
	assert_true(pool.hole[SEG_LOW][5] && pool.hole[SEG_LOW][6] &&
		    pool.hole[SEG_LOW][7] && pool.hole[SEG_LOW][9] &&
		    pool.hole[SEG_HIGH][2] && pool.hole[SEG_HIGH][3]);
	SEND(Q_DEFLATE, 6, HIGH_PFN + 2);
	assert_int_equal(used(Q_DEFLATE), 1);
	assert_int_equal(holes(), 4);
	assert_false(pool.hole[SEG_LOW][6] || pool.hole[SEG_HIGH][2]);
	/* What is there already may be asked for again. */
	SEND(Q_DEFLATE, 6, 0, PAGES(LOW) - 1, HIGH_PFN + PAGES(HIGH) - 1);
	assert_int_equal(used(Q_DEFLATE), 2);
	assert_int_equal(holes(), 4);
	assert_false(broke());
}

/* Longer than what is looked at together, in pieces cut anywhere. */
static void test_long(void **state)
{
	unsigned n = 0, i, many = 6000;

	(void)state;
	for (i = 0; i < many; i++)
		put32(mem_at(DATA + 4 * i), 0x30 + i % 16);
	desc(Q_INFLATE, 0, DATA, 4097, DESC_NEXT, 1);
	desc(Q_INFLATE, 1, DATA + 4097, 1, DESC_NEXT, 2);
	desc(Q_INFLATE, 2, DATA + 4098, 4 * many - 4098, 0, 0);
	put16(mem_at(Q_AVAIL(Q_INFLATE) + 2), 1);
	set(NOTIFY, 2, 0);
	/* In turns: the rest of the machine is not kept waiting. */
	while (!used(Q_INFLATE) && n++ < 100) {
		assert_true(board.kicks & BIT(balloon.virtio.slot));
		board.kicks = 0;
		virtio_serve(&balloon.virtio);
	}
	assert_in_range(n, 2, 10);
	assert_int_equal(holes(), 16);
	assert_false(broke());
	assert_int_equal(balloon.virtio.pending, 0);
}

/* Any order: as few ranges as there can be. */
static void test_order(void **state)
{
	u32 list[BALLOON_BATCH];
	unsigned round, n, i;

	(void)state;
	for (round = 0; round < 200; round++) {
		n = 1 + board_random() % BALLOON_BATCH;
		for (i = 0; i < n; i++)
			list[i] = round ? board_random() : n - i;
		sort(list, n);
		for (i = 1; i < n; i++)
			assert_true(list[i - 1] <= list[i]);
	}
	for (i = 0; i < 64; i++)
		list[i] = i % 2 ? 8 - i / 8 : 1 + i / 8;
	send_pfns(Q_INFLATE, list, 64);
	assert_int_equal(holes(), 8);
	assert_int_equal(pool.ranges, 1);
}

static void test_no_driver_may(void **state)
{
	static const u32 outside[] = {
		PAGES(LOW), HIGH_PFN - 1, HIGH_PFN + PAGES(HIGH), 0xffffffff,
	};
	unsigned i, q;

	(void)state;
	for (q = Q_INFLATE; q <= Q_DEFLATE; q++) {
		for (i = 0; i < ARRAY_SIZE(outside); i++) {
			driver_start(FEATURES);
			SEND(q, 5, outside[i]);
			assert_true(broke());
		}
		driver_start(FEATURES);
		desc(q, 0, DATA, 4, DESC_WRITE, 0);
		push(q, 0);
		assert_true(broke());
		driver_start(FEATURES);
		desc(q, 0, DATA, 6, 0, 0);
		push(q, 0);
		assert_true(broke());
		driver_start(FEATURES);
		desc(q, 0, DATA, 0, 0, 0);
		push(q, 0);
		assert_true(broke());
	}
	driver_start(FEATURES);
	desc(Q_STATS, 0, DATA, 10, DESC_WRITE, 0);
	push(Q_STATS, 0);
	assert_true(broke());
	/* Nothing of all that was done. */
	assert_int_equal(pool.calls, 0);
	assert_int_equal(balloon.virtio.pending, 0);
}

static void ask(u64 target)
{
	unsigned before = pool.answers;

	balloon_ask(&balloon, target);
	if (pool.answers == before)
		balloon_answer(&balloon);	/* the timer */
	assert_int_equal(pool.answers, before + 1);
}

/* Pages that another VM has got: the request waits, and goes on by itself. */
static void test_empty_pool(void **state)
{
	(void)state;
	SEND(Q_INFLATE, 5, 6, 7);
	assert_int_equal(pool.free, 3);
	pool.free = 1;
	SEND(Q_DEFLATE, 5, 6, 7);
	assert_int_equal(used(Q_DEFLATE), 0);
	assert_int_equal(holes(), 2);
	assert_int_equal(board.timer[TIMER_BALLOON], board.ns + RETRY_NS);
	ask(ALL);
	assert_true(pool.answer.starved && pool.answer.driver);
	board_pass(RETRY_NS);
	board.timer[TIMER_BALLOON] = 0;
	balloon_retry(&balloon);
	assert_int_equal(used(Q_DEFLATE), 0);
	assert_int_equal(board.timer[TIMER_BALLOON], board.ns + RETRY_NS);
	pool.free = 2;
	balloon_retry(&balloon);
	assert_int_equal(used(Q_DEFLATE), 1);
	assert_int_equal(holes(), 0);
	ask(ALL);
	assert_false(pool.answer.starved);
	/* What came behind it meanwhile was not forgotten. */
	SEND(Q_INFLATE, 5, 6);
	pool.free = 0;
	SEND(Q_DEFLATE, 5);
	SEND(Q_DEFLATE, 6);
	/* And the other queue works: its page makes it go on. */
	SEND(Q_INFLATE, 10);
	assert_int_equal(used(Q_INFLATE), 3);
	balloon_retry(&balloon);
	assert_int_equal(used(Q_DEFLATE), 2);
	pool.free = 1;
	balloon_retry(&balloon);
	assert_int_equal(used(Q_DEFLATE), 3);
	assert_int_equal(holes(), 1);
}

/* Splitting a large page takes pages, too. */
static void test_no_tables(void **state)
{
	(void)state;
	pool.drops_left = 2;
	SEND(Q_INFLATE, 5, 7, 9);
	assert_int_equal(used(Q_INFLATE), 0);
	assert_int_equal(holes(), 2);
	pool.drops_left = 10;
	balloon_retry(&balloon);
	assert_int_equal(used(Q_INFLATE), 1);
	assert_int_equal(holes(), 3);
}

/* A reset drops what waits, and leaves the pages where they are. */
static void test_reset(void **state)
{
	(void)state;
	SEND(Q_INFLATE, 5, 6, 7);
	pool.free = 0;
	SEND(Q_DEFLATE, 5, 6);
	assert_int_equal(balloon.virtio.pending, 1);
	set(C_STATUS, 1, 0);
	assert_int_equal(get(C_STATUS, 1), 0);
	assert_int_equal(balloon.virtio.pending, 0);
	assert_int_equal(board.timer[TIMER_BALLOON], TIMER_OFF);
	pool.free = 3;
	balloon_retry(&balloon);
	assert_int_equal(holes(), 3);
	ask(ALL);
	assert_false(pool.answer.driver || pool.answer.starved);
	driver_start(FEATURES);
	SEND(Q_DEFLATE, 5, 6, 7);
	assert_int_equal(used(Q_DEFLATE), 1);
	assert_int_equal(holes(), 0);
}

static void send_stats(unsigned count, const u64 *pairs)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		put16(mem_at(DATA + STAT_LEN * i), (u16)pairs[2 * i]);
		put64(mem_at(DATA + STAT_LEN * i + 2), pairs[2 * i + 1]);
	}
	desc(Q_STATS, 0, DATA, STAT_LEN * count + 3, 0, 0);
	push(Q_STATS, 0);
}

static void test_stats(void **state)
{
	const u64 some[] = { 4, 1000, 5, 4000, 99, 1, 6, 2000 };
	const u64 others[] = { 6, ~1ull, 0xffff, 5 };

	(void)state;
	/* Before the driver has said anything. */
	balloon_ask(&balloon, ALL);
	assert_int_equal(pool.answers, 0);
	assert_int_equal(board.timer[TIMER_BALLOON_ANSWER],
			 board.ns + ANSWER_NS);
	send_stats(4, some);
	assert_int_equal(pool.answers, 1);
	assert_int_equal(board.timer[TIMER_BALLOON_ANSWER], TIMER_OFF);
	assert_true(pool.answer.driver);
	assert_int_equal(pool.answer.age, 0);
	assert_int_equal(pool.answer.stat[4], 1000);
	assert_int_equal(pool.answer.stat[5], 4000);
	assert_int_equal(pool.answer.stat[6], 2000);
	assert_int_equal(pool.answer.stat[0], BALLOON_NOT_SAID);
	/* Its buffer stays until we want to know again. */
	assert_int_equal(used(Q_STATS), 0);
	board_pass(5000);
	balloon_ask(&balloon, ALL);
	assert_int_equal(used(Q_STATS), 1);
	assert_int_equal(pool.answers, 1);
	/* Asked twice, answered once. */
	balloon_ask(&balloon, ALL);
	assert_int_equal(used(Q_STATS), 1);
	send_stats(2, others);
	assert_int_equal(pool.answers, 2);
	assert_int_equal(pool.answer.stat[6], ~1ull);
	assert_int_equal(pool.answer.stat[4], BALLOON_NOT_SAID);
	/* A guest that does not answer: what it said before. */
	set(DEVICE + BN_ACTUAL, 4, 12);
	balloon_ask(&balloon, ALL);
	assert_int_equal(used(Q_STATS), 2);
	board_pass(ANSWER_NS);
	balloon_answer(&balloon);
	assert_int_equal(pool.answers, 3);
	assert_int_equal(pool.answer.age, ANSWER_NS);
	assert_int_equal(pool.answer.actual, 12);
	balloon_answer(&balloon);
	assert_int_equal(pool.answers, 3);
	/* One that goes meanwhile is answered for, and one without any. */
	balloon_ask(&balloon, ALL);
	assert_int_equal(pool.answers, 3);
	set(C_STATUS, 1, 0);
	assert_int_equal(pool.answers, 4);
	assert_int_equal(pool.answer.age, BALLOON_NOT_SAID);
	driver_start(F_MUST_TELL_HOST);
	balloon_ask(&balloon, ALL);
	assert_int_equal(pool.answers, 5);
	assert_true(pool.answer.driver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_configuration, setup),
		cmocka_unit_test_setup(test_target, setup),
		cmocka_unit_test_setup(test_pages, setup),
		cmocka_unit_test_setup(test_long, setup),
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_no_driver_may, setup),
		cmocka_unit_test_setup(test_empty_pool, setup),
		cmocka_unit_test_setup(test_no_tables, setup),
		cmocka_unit_test_setup(test_reset, setup),
		cmocka_unit_test_setup(test_stats, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
