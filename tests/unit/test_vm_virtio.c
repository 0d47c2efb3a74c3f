/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_virtio.c -- virtio's transport, queues, disk and network card, as a
 * driver sees them: through config space, registers and rings.
 */
#include "tests/unit/vm_virtio.h"

#include <pthread.h>

/* Where the driver here keeps things: a queue's parts are 16 KiB apart. */
#define Q_DESC(q)	(0x10000ull + 0x4000 * (q))
#define Q_AVAIL(q)	(Q_DESC(q) + 0x1000)
#define Q_USED(q)	(Q_DESC(q) + 0x2000)
#define Q_SIZE		8
#define DATA		0x20000ull
#define MSI_ADDR	0xfee00000u

static u32 regs[DEVICES];	/* BAR 0 of devices[] */
static u16 avail[DEVICES][2];

static void config_set(unsigned slot, unsigned at, unsigned size, u32 val)
{
	pci_write(&pci, 0, 4, 0x80000000 | slot << 11 | (at & 0xfc));
	pci_write(&pci, 4 + at % 4, size, val);
}

static u32 config_get(unsigned slot, unsigned at)
{
	pci_write(&pci, 0, 4, 0x80000000 | slot << 11 | (at & 0xfc));
	return pci_read(&pci, 4, 4);
}

static u64 get(unsigned i, unsigned at, unsigned size)
{
	return bus_read(&mmio, regs[i] + at, size);
}

static void set(unsigned i, unsigned at, unsigned size, u64 val)
{
	bus_write(&mmio, regs[i] + at, size, val);
}

static void bus_on(unsigned i)
{
	unsigned slot = devices[i]->slot;

	config_set(slot, 4, 2, 6);
	regs[i] = config_get(slot, 0x10);
}

static int setup(void **state)
{
	unsigned i;

	(void)state;
	virtio_machine(false);
	for (i = 0; i < DEVICES; i++)
		bus_on(i);
	memset(avail, 0, sizeof(avail));
	return 0;
}

static u8 *at(u64 gpa)
{
	u8 *p = guest_ptr(&mem, gpa, 1);

	assert_non_null(p);
	return p;
}

static void set_features(unsigned i, u64 features)
{
	set(i, C_FEATURES_SEL, 4, 0);
	set(i, C_FEATURES, 4, (u32)features);
	set(i, C_FEATURES_SEL, 4, 1);
	set(i, C_FEATURES, 4, (u32)(features >> 32));
}

static void set_queue(unsigned i, unsigned q)
{
	set(i, C_QUEUE_SEL, 2, q);
	set(i, C_SIZE, 2, Q_SIZE);
	set(i, C_VECTOR, 2, q + 1);
	set(i, C_DESC, 4, Q_DESC(q));
	set(i, C_AVAIL, 4, Q_AVAIL(q));
	set(i, C_USED, 8, Q_USED(q));
	set(i, C_ENABLE, 2, 1);
}

/* As a driver does, with both queues. */
static void driver_start(unsigned i, u64 features)
{
	set(i, C_STATUS, 1, 0);
	assert_int_equal(get(i, C_STATUS, 1), 0);
	set(i, C_STATUS, 1, 1);
	set(i, C_STATUS, 1, 3);
	set_features(i, features | devices[i]->model->needs |
		     VIRTIO_VERSION_1);
	set(i, C_STATUS, 1, 11);
	assert_int_equal(get(i, C_STATUS, 1), 11);
	set_queue(i, 0);
	set_queue(i, 1);
	set(i, C_STATUS, 1, 15);
	assert_int_equal(get(i, C_STATUS, 1), 15);
}

static void desc(unsigned q, unsigned n, u64 addr, u32 len, u16 flags, u16 next)
{
	u8 *d = at(Q_DESC(q) + 16 * n);

	put64(d, addr);
	put32(d + 8, len);
	put16(d + 12, flags);
	put16(d + 14, next);
}

static void push(unsigned i, unsigned q, u16 head)
{
	put16(at(Q_AVAIL(q) + 4 + 2 * (avail[i][q] % Q_SIZE)), head);
	put16(at(Q_AVAIL(q) + 2), ++avail[i][q]);
	set(i, NOTIFY + 4 * q, 2, q);
	serve_kicks();
}

static u16 used(unsigned q)
{
	return get16(at(Q_USED(q) + 2));
}

/* The used element before the last `back`. */
static u8 *used_at_back(unsigned q, unsigned back)
{
	return at(Q_USED(q) + 4 + 8 * ((u16)(used(q) - 1 - back) % Q_SIZE));
}

static bool broke(unsigned i)
{
	return get(i, C_STATUS, 1) & S_NEEDS_RESET;
}

/* A disk request in three descriptors; gives where the status will be. */
static u8 *request(unsigned q, u32 type, u64 sector, u32 len)
{
	u8 *h = at(DATA);
	bool in = type == T_IN || type == T_GET_ID;

	put32(h, type);
	put32(h + 4, 0);
	put64(h + 8, sector);
	desc(q, 0, DATA, 16, DESC_NEXT, len ? 1 : 2);
	desc(q, 1, DATA + 0x1000, len, DESC_NEXT | (in ? DESC_WRITE : 0), 2);
	desc(q, 2, DATA + 0x800, 1, DESC_WRITE, 0);
	*at(DATA + 0x800) = 0xff;
	push(0, q, 0);
	return at(DATA + 0x800);
}

/* ---- transport ---- */

static void test_capabilities(void **state)
{
	unsigned i, seen;

	(void)state;
	for (i = 0; i < DEVICES; i++) {
		static const u16 ids[] = { 0x1042, 0x1041, 0x1044, 0x1043, 0x1053,
					   0x1048, 0x1045 };
		unsigned slot = devices[i]->slot;
		u32 cap = config_get(slot, 0x34) & 0xff;

		assert_int_equal(config_get(slot, 0),
				 (u32)ids[i] << 16 | 0x1af4);
		for (seen = 0; cap; cap = config_get(slot, cap) >> 8 & 0xff) {
			u32 head = config_get(slot, cap);

			if ((head & 0xff) == 9)
				seen |= 1u << (head >> 24);
			else if ((head & 0xff) == 0x11)
				seen |= 1;
		}
		assert_int_equal(seen, devices[i]->config_len ? 0x3f : 0x2f);
	}
}

static void test_features(void **state)
{
	u64 f;

	(void)state;
	set(0, C_OFFERED_SEL, 4, 0);
	f = get(0, C_OFFERED, 4);
	set(0, C_OFFERED_SEL, 4, 1);
	f |= get(0, C_OFFERED, 4) << 32;
	assert_int_equal(f, blk.virtio.offered);
	assert_true(f & VIRTIO_VERSION_1);
	set(0, C_OFFERED_SEL, 4, 2);
	assert_int_equal(get(0, C_OFFERED, 4), 0);
	/* What is not offered, or a driver of the old kind: refused. */
	set(0, C_STATUS, 1, 3);
	set_features(0, VIRTIO_VERSION_1 | BIT(63));
	set(0, C_STATUS, 1, 11);
	assert_int_equal(get(0, C_STATUS, 1), 3);
	set_features(0, F_FLUSH);
	set(0, C_STATUS, 1, 15);
	assert_int_equal(get(0, C_STATUS, 1), 3);
	set_features(0, VIRTIO_VERSION_1);
	set(0, C_STATUS, 1, 11);
	assert_int_equal(get(0, C_STATUS, 1), 11);
	/* Settled. */
	set_features(0, VIRTIO_VERSION_1 | F_FLUSH);
	assert_int_equal(blk.virtio.features, VIRTIO_VERSION_1);
}

static void test_device_config(void **state)
{
	(void)state;
	assert_int_equal(get(0, DEVICE, 8), DISK / 512);
	assert_int_equal(get(0, DEVICE + 20, 4), 512);
	assert_int_equal(get(0, DEVICE + 34, 2), 2);
	assert_int_equal(get(0, DEVICE + 0x100, 4), 0);
	set(0, DEVICE, 4, 0);
	assert_int_equal(get(0, DEVICE, 4), DISK / 512);
	assert_int_equal(get(1, DEVICE, 4), 0x02016f4a);
	assert_int_equal(get(1, DEVICE + 4, 2), 0x0403);
}

static void test_config_window(void **state)
{
	unsigned slot = blk.virtio.slot, cap = blk.virtio.window;

	(void)state;
	config_set(slot, cap + 4, 1, 0);
	config_set(slot, cap + 8, 4, DEVICE);
	config_set(slot, cap + 12, 4, 4);
	assert_int_equal(config_get(slot, cap + 16), DISK / 512);
	config_set(slot, cap + 8, 4, C_STATUS);
	config_set(slot, cap + 12, 4, 1);
	config_set(slot, cap + 16, 1, 3);
	assert_int_equal(get(0, C_STATUS, 1), 3);
	/* Elsewhere: nothing happens. */
	config_set(slot, cap + 4, 1, 1);
	config_set(slot, cap + 16, 1, 7);
	config_set(slot, cap + 4, 1, 0);
	config_set(slot, cap + 8, 4, 0xfffffffc);
	config_set(slot, cap + 16, 4, 7);
	config_set(slot, cap + 8, 4, REGS_SIZE);
	config_get(slot, cap + 16);
	config_set(slot, cap + 8, 4, C_STATUS);
	config_set(slot, cap + 12, 4, 3);
	config_set(slot, cap + 16, 4, 7);
	assert_int_equal(get(0, C_STATUS, 1), 3);
}

static void test_bad_queues(void **state)
{
	static const struct {
		u64 desc, avail, used;
		u16 size;
	} bad[] = {
		{ 0x10001, 0x11000, 0x12000, 8 },
		{ 0x10000, 0x11001, 0x12000, 8 },
		{ 0x10000, 0x11000, 0x12002, 8 },
		{ 0x10000, 0x11000, 0x12000, 0 },
		{ 0x10000, 0x11000, 0x12000, 3 },
		{ 0x10000, 0x11000, 0x12000, 512 },
		{ LOW - 64, 0x11000, 0x12000, 8 },
		{ 0x10000, LOW - 20, 0x12000, 8 },
		{ 0x10000, 0x11000, LOW - 68, 8 },
		{ 0x10000, 0x11000, MEM_HIGH_BASE - 4, 8 },
		{ 0x10000, 0x11000, MEM_HIGH_BASE + HIGH, 8 },
		{ ~0ull << 4, 0x11000, 0x12000, 8 },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		set(0, C_STATUS, 1, 0);
		set(0, C_STATUS, 1, 3);
		set_features(0, VIRTIO_VERSION_1);
		set(0, C_STATUS, 1, 11);
		set(0, C_QUEUE_SEL, 2, 0);
		set(0, C_SIZE, 2, bad[i].size);
		set(0, C_DESC, 8, bad[i].desc);
		set(0, C_AVAIL, 8, bad[i].avail);
		set(0, C_USED, 8, bad[i].used);
		set(0, C_ENABLE, 2, 1);
		assert_int_equal(get(0, C_ENABLE, 2), 0);
		assert_true(broke(0));
	}
	driver_start(0, 0);
	/* No such queue. */
	set(0, C_QUEUE_SEL, 2, 2);
	assert_int_equal(get(0, C_SIZE, 2), 0);
	set(0, C_ENABLE, 2, 1);
	assert_false(broke(0));
	set(0, NOTIFY + 4 * 2, 2, 2);
	set(0, NOTIFY + 0xffc, 2, 2);
}

/* ---- queues ---- */

static void test_bad_chains(void **state)
{
	static const struct {
		u64 addr;
		u32 len;
		u16 flags, next;
	} bad[] = {
		{ DATA, 16, DESC_NEXT, 0 },		/* a loop */
		{ DATA, 16, DESC_NEXT, Q_SIZE },
		{ LOW - 8, 16, DESC_NEXT, 1 },
		{ MEM_HIGH_BASE - 8, 16, DESC_NEXT, 1 },
		{ ~0ull, 16, DESC_NEXT, 1 },
		{ DATA, 0xffffffff, DESC_NEXT, 1 },
		{ DATA, 16, DESC_WRITE | DESC_NEXT, 1 }, /* then readable */
		{ DATA, 64, DESC_INDIRECT | DESC_NEXT, 1 },
		{ DATA, 0, DESC_INDIRECT, 0 },
		{ DATA, 17, DESC_INDIRECT, 0 },
		{ LOW, 16, DESC_INDIRECT, 0 },
		{ DATA, 16, DESC_INDIRECT, 0 },		/* in itself: below */
		{ DATA, 16, 0, 0 },			/* no status */
		{ DATA, 16, DESC_WRITE, 0 },		/* no header */
		{ DATA, 0, 0, 0 },			/* nothing at all */
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		setup(NULL);
		driver_start(0, VIRTIO_INDIRECT_DESC);
		memset(at(DATA), 0, 0x1000);
		put64(at(DATA), DATA);
		put32(at(DATA) + 8, 16);
		put16(at(DATA) + 12, DESC_INDIRECT);
		desc(0, 0, bad[i].addr, bad[i].len, bad[i].flags, bad[i].next);
		desc(0, 1, DATA, 16, 0, 0);
		push(0, 0, 0);
		assert_true(broke(0));
		assert_int_equal(used(0), 0);
		assert_int_equal(blk.virtio.pending, 0);
		/* Nothing more until it is reset; then all is well. */
		memset(avail, 0, sizeof(avail));
		memset(at(Q_DESC(0)), 0, 0x3000);
		driver_start(0, 0);
		assert_int_equal(request(0, T_FLUSH, 0, 0)[0], 0xff);
		io_finish();
		assert_int_equal(*at(DATA + 0x800), S_OK);
	}
}

static void test_bad_rings(void **state)
{
	(void)state;
	driver_start(0, 0);
	push(0, 0, Q_SIZE);			/* no such descriptor */
	assert_true(broke(0));
	setup(NULL);
	driver_start(0, 0);
	avail[0][0] = Q_SIZE;			/* more than the ring holds */
	push(0, 0, 0);
	assert_true(broke(0));
}

static void test_indirect(void **state)
{
	u8 *t = at(DATA + 0x4000);

	(void)state;
	driver_start(0, VIRTIO_INDIRECT_DESC);
	put32(at(DATA), T_GET_ID);
	put64(t, DATA);
	put32(t + 8, 16);
	put16(t + 12, DESC_NEXT);
	put16(t + 14, 2);
	put64(t + 32, DATA + 0x1000);
	put32(t + 40, 21);
	put16(t + 44, DESC_WRITE);
	desc(0, 5, DATA + 0x4000, 48, DESC_INDIRECT, 0);
	push(0, 0, 5);
	assert_int_equal(used(0), 1);
	assert_int_equal(get32(used_at_back(0, 0)), 5);
	assert_int_equal(get32(used_at_back(0, 0) + 4), 21);
	assert_string_equal((char *)at(DATA + 0x1000), disk.serial);
	/* A driver that has not negotiated it may not use it. */
	setup(NULL);
	driver_start(0, 0);
	desc(0, 5, DATA + 0x4000, 48, DESC_INDIRECT, 0);
	push(0, 0, 5);
	assert_true(broke(0));
}

/* A read of a sector in `data` segments by an indirect table, with header and
 * status; `direct` descriptors come before that in the queue. */
static void indirect_read(unsigned data, unsigned direct)
{
	u8 *t = at(DATA + 0x4000);
	unsigned i;

	memset(at(DATA), 0, 16);
	put32(at(DATA), T_IN);
	for (i = 0; i < data + 2; i++) {
		bool first = !i && !direct, last = i == data + 1;

		put64(t + 16 * i, first ? DATA : last ? DATA + 0x800 :
		      DATA + 0x1000 + 2 * i);
		put32(t + 16 * i + 8, first ? 16 : last ? 1 :
		      i < data ? 2 : 512 - 2 * (data - 1));
		put16(t + 16 * i + 12, (first ? 0 : DESC_WRITE) | (last ? 0 : DESC_NEXT));
		put16(t + 16 * i + 14, i + 1);
	}
	for (i = 0; i < direct; i++)
		desc(0, i, DATA + i, 16, DESC_NEXT, i + 1);
	desc(0, i, DATA + 0x4000, 16 * (data + 2), DESC_INDIRECT, 0);
	*at(DATA + 0x800) = 0xff;
	push(0, 0, 0);
}

/* As many segments as the device says it takes, and the table is no segment. */
static void test_full_request(void **state)
{
	unsigned most, i;

	(void)state;
	driver_start(0, VIRTIO_INDIRECT_DESC | F_FLUSH);
	most = get(0, DEVICE + B_SEG_MAX, 4);
	for (i = most - 2; i <= most; i++) {
		indirect_read(i, 0);
		assert_false(broke(0));
		io_finish();
		assert_int_equal(*at(DATA + 0x800), S_OK);
		assert_int_equal(get32(used_at_back(0, 0) + 4), 512 + 1);
	}
	indirect_read(most + 1, 0);
	assert_true(broke(0));
	setup(NULL);
	driver_start(0, VIRTIO_INDIRECT_DESC | F_FLUSH);
	indirect_read(most, 4);
	assert_true(broke(0));
}

static void msix_on(unsigned i)
{
	unsigned slot = devices[i]->slot, v;
	u32 table = config_get(slot, 0x14);

	for (v = 0; v < 3; v++) {
		bus_write(&mmio, table + 16 * v, 4, MSI_ADDR);
		bus_write(&mmio, table + 16 * v + 8, 4, 0x30 + v);
		bus_write(&mmio, table + 16 * v + 12, 4, 0);
	}
	config_set(slot, pci.dev[slot].msix + 2, 2, 0x8000);
}

static void test_interrupts(void **state)
{
	unsigned line = PCI_LINE(blk.virtio.slot, 0);

	(void)state;
	driver_start(0, 0);
	request(0, T_GET_ID, 0, 20);
	assert_true(board.irq[line]);
	assert_int_equal(get(0, ISR, 1), ISR_QUEUE);
	assert_false(board.irq[line]);
	assert_int_equal(get(0, ISR, 1), 0);
	put16(at(Q_AVAIL(0)), AVAIL_NO_INTERRUPT);
	request(0, T_GET_ID, 0, 20);
	assert_false(board.irq[line]);
	put16(at(Q_AVAIL(0)), 0);
	msix_on(0);
	request(0, T_GET_ID, 0, 20);
	assert_false(board.irq[line]);
	assert_int_equal(board.msis, 1);
	assert_int_equal(board.msi_data[0], 0x31);
	/* Changes have a vector of their own. */
	set(0, C_CONFIG_VECTOR, 2, 0);
	push(0, 0, 100);
	assert_true(broke(0));
	assert_int_equal(board.msis, 2);
	assert_int_equal(board.msi_data[1], 0x30);
	/* No such vector: reads back as none. */
	set(0, C_CONFIG_VECTOR, 2, 3);
	assert_int_equal(get(0, C_CONFIG_VECTOR, 2), 0xffff);
}

/* A message that waited behind a mask does not outlive its device's reset. */
static void test_pending_at_reset(void **state)
{
	u32 control;

	(void)state;
	driver_start(0, 0);
	msix_on(0);
	control = config_get(devices[0]->slot, 0x14) + 16 + 12;
	bus_write(&mmio, control, 4, 1);
	request(0, T_GET_ID, 0, 20);
	assert_int_equal(board.msis, 0);
	set(0, C_STATUS, 1, 0);
	assert_int_equal(get(0, C_STATUS, 1), 0);
	bus_write(&mmio, control, 4, 0);
	assert_int_equal(board.msis, 0);
}

static void test_event_idx(void **state)
{
	unsigned i;

	(void)state;
	driver_start(0, VIRTIO_EVENT_IDX);
	msix_on(0);
	for (i = 0; i < 40; i++) {
		/* Every third one is asked for. */
		put16(at(Q_AVAIL(0) + 4 + 2 * Q_SIZE), (u16)(i / 3 * 3 + 2));
		request(0, T_GET_ID, 0, 20);
		assert_int_equal(board.msis, (i + 1) / 3);
		/* And the doorbell for the next one. */
		assert_int_equal(get16(at(Q_USED(0) + 4 + 8 * Q_SIZE)), i + 1);
	}
}

static void test_bus_master(void **state)
{
	(void)state;
	driver_start(0, 0);
	config_set(blk.virtio.slot, 4, 2, 2);
	request(0, T_GET_ID, 0, 20);
	assert_int_equal(used(0), 0);
	config_set(blk.virtio.slot, 4, 2, 6);
	serve_kicks();
	assert_int_equal(used(0), 1);
}

/* A second core of the guest, which writes all over descriptors and rings. */
static bool vandal_stop;

static void *vandal(void *arg)
{
	static const u64 places[] = { DATA, LOW - 8, ~0ull, MEM_HIGH_BASE };
	u8 *d = at(Q_DESC(0));
	u64 x = 1;

	(void)arg;
	while (!__atomic_load_n(&vandal_stop, __ATOMIC_RELAXED)) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		put64(d + 16 * (x >> 60 & 3), places[x >> 40 & 3]);
		put32(d + 16 * (x >> 56 & 3) + 8, (u32)(x >> 33) & 0x1ffff);
		put32(at(DATA), (u32)(x >> 50) % 14);
		put64(at(DATA) + 8, x >> 20 & 255);
		put64(d, DATA);
		put32(d + 8, 16);
	}
	return NULL;
}

static void test_underfoot(void **state)
{
	unsigned i, good = 0, bad = 0;
	pthread_t t;

	(void)state;
	vandal_stop = false;
	assert_int_equal(pthread_create(&t, NULL, vandal, NULL), 0);
	for (i = 0; i < 20000 || ((!good || !bad) && i < 1000000); i++) {
		if (broke(0) || !i) {
			bad += i != 0;
			driver_start(0, F_FLUSH);
			memset(at(Q_AVAIL(0)), 0, 0x2000);
			avail[0][0] = 0;
		}
		put16(at(Q_DESC(0)) + 12, DESC_NEXT);
		put16(at(Q_DESC(0)) + 14, 1);
		put16(at(Q_DESC(0)) + 28, DESC_NEXT | DESC_WRITE);
		put16(at(Q_DESC(0)) + 30, 2);
		put16(at(Q_DESC(0)) + 44, DESC_WRITE);
		push(0, 0, 0);
		io_finish();
		good += used(0) != 0;
	}
	__atomic_store_n(&vandal_stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	/* Both kinds were seen, and no sanitizer said a word. */
	assert_true(good && bad);
}

/* The same for each other device, in both queues that have a ring here. */
static void *vandal_all(void *arg)
{
	static const u64 places[] = { DATA, LOW - 8, ~0ull, MEM_HIGH_BASE };
	u64 x = 1;

	(void)arg;
	while (!__atomic_load_n(&vandal_stop, __ATOMIC_RELAXED)) {
		u8 *d;

		x = x * 6364136223846793005ull + 1442695040888963407ull;
		d = at(Q_DESC(x >> 59 & 1)) + 16 * (x >> 60 & 3);
		put64(d, places[x >> 40 & 3]);
		put32(d + 8, x >> 20 & 1 ? (u32)(x >> 33) & 0x1ffff : 64);
		put16(d + 12, x >> 45 & 3);
		put16(d + 14, x >> 48 & 3);
	}
	return NULL;
}

static void test_underfoot_all(void **state)
{
	static const u8 typed[100];
	unsigned i, k, bad = 0, good = 0;
	u8 frame[512] = { 0 };
	pthread_t t;

	(void)state;
	vandal_stop = false;
	assert_int_equal(pthread_create(&t, NULL, vandal_all, NULL), 0);
	for (k = 0; k < 30000 || ((!good || !bad) && k < 1000000); k++) {
		i = 1 + k % (DEVICES - 1);
		bad += !!broke(i);
		good += used(0) || used(1);
		driver_start(i, VIRTIO_INDIRECT_DESC);
		memset(at(Q_AVAIL(0)), 0, 0x2000);
		memset(at(Q_AVAIL(1)), 0, 0x2000);
		memset(avail, 0, sizeof(avail));
		push(i, 0, 0);
		push(i, 1, 0);
		if (i == 1) {
			send(wire, frame, sizeof(frame), MSG_DONTWAIT);
			net_receive(&net, 0);
			while (recv(wire, frame, sizeof(frame),
				    MSG_DONTWAIT) > 0)
				;
		} else if (i == 3) {
			if (console_rx_room(&console))
				console_rx(&console, typed, sizeof(typed));
			board.serial_room = 100;
			console_tx_room(&console);
		}
	}
	__atomic_store_n(&vandal_stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_true(good && bad);
}

/* ---- the disk ---- */

static void test_read_write(void **state)
{
	u8 block[1024];
	unsigned i;
	u8 *s;

	(void)state;
	driver_start(0, F_FLUSH);
	for (i = 0; i < 1024; i++)
		at(DATA + 0x1000)[i] = (u8)(i * 7);
	s = request(0, T_OUT, 5, 1024);
	assert_int_equal(*s, 0xff);
	assert_int_equal(used(0), 0);
	assert_false(ops[0]->durable);
	io_finish();
	assert_int_equal(*s, S_OK);
	assert_int_equal(get32(used_at_back(0, 0) + 4), 1);
	assert_int_equal(pread(disk.fd, block, 1024, 5 * 512), 1024);
	assert_memory_equal(block, at(DATA + 0x1000), 1024);
	memset(at(DATA + 0x1000), 0, 1024);
	s = request(1, T_IN, 5, 1024);
	io_finish();
	assert_int_equal(*s, S_OK);
	assert_memory_equal(block, at(DATA + 0x1000), 1024);
	assert_int_equal(get32(used_at_back(1, 0) + 4), 1025);
	/* Where the medium fails. */
	io_error = EIO;
	s = request(0, T_OUT, 5, 512);
	io_finish();
	assert_int_equal(*s, S_IOERR);
	assert_int_equal(disk_errors, 1);
}

#define NOTHING	0xff	/* a status that nobody has written yet */

/* Full: the request is kept, until it succeeds or the error is another. */
static void test_full(void **state)
{
	static struct vhost_blk daemon;
	u8 block[512], *s;

	(void)state;
	driver_start(0, F_FLUSH);
	keeps = true;
	io_error = ENOSPC;
	memset(at(DATA + 0x1000), 0x3c, 512);
	s = request(0, T_OUT, 5, 512);
	io_finish();
	assert_int_equal(*s, NOTHING);
	assert_int_equal(disk_errors, 1);
	blk_retry(&blk);
	io_finish();
	assert_int_equal(*s, NOTHING);
	assert_int_equal(disk_errors, 2);
	/* A reset of the device waits for it. */
	set(0, C_STATUS, 1, 0);
	assert_int_not_equal(get(0, C_STATUS, 1), 0);
	io_error = 0;
	blk_retry(&blk);
	io_finish();
	assert_int_equal(*s, S_OK);
	assert_int_equal(get(0, C_STATUS, 1), 0);
	assert_int_equal(pread(disk.fd, block, 512, 5 * 512), 512);
	assert_memory_equal(block, at(DATA + 0x1000), 512);
	blk_retry(&blk);
	assert_int_equal(ops_count, 0);
	/* Neither a flush nor what reads is tried again. */
	setup(state);
	driver_start(0, F_FLUSH);
	keeps = true;
	io_error = ENOSPC;
	s = request(0, T_FLUSH, 0, 0);
	io_finish();
	assert_int_equal(*s, S_IOERR);
	s = request(0, T_IN, 5, 512);
	io_finish();
	assert_int_equal(*s, S_IOERR);
	/* Whatever a daemon's error was, while it is there. */
	blk.daemon = &daemon;
	io_error = EIO;
	s = request(0, T_OUT, 5, 512);
	io_finish();
	assert_int_equal(*s, NOTHING);
	daemon.gone = true;
	blk_retry(&blk);
	io_finish();
	assert_int_equal(*s, S_IOERR);
	blk.daemon = NULL;
}

/* The same by another process, with as many buffers as that takes. */
static void test_daemon(void **state)
{
	struct vhost_blk *daemon = (struct vhost_blk *)&disk;
	u8 *s;

	(void)state;
	assert_int_equal(get(0, DEVICE + B_SEG_MAX, 4), VIRTQ_CHAIN - 2);
	driver_start(0, F_FLUSH);
	daemon_ops = 0;
	s = request(0, T_OUT, 0, 512);
	io_finish();
	assert_int_equal(daemon_ops, 0);
	blk.daemon = daemon;
	s = request(0, T_OUT, 0, 512);
	assert_int_equal(daemon_ops, 1);
	io_finish();
	assert_int_equal(*s, S_OK);
	s = request(0, T_FLUSH, 0, 0);
	assert_int_equal(daemon_ops, 2);
	io_finish();
	/* It has no other serial number than the disk's. */
	s = request(1, T_GET_ID, 0, 20);
	assert_int_equal(*s, S_OK);
	assert_memory_equal(at(DATA + 0x1000), disk.serial, 20);
	assert_int_equal(daemon_ops, 2);
	disk.segments = 126;
	virtio_machine(false);
	disk.segments = 0;
	assert_int_equal(get32(blk.virtio.config + B_SEG_MAX), 126);
	assert_int_equal(get32(cd.virtio.config + G_SEG_MAX), 126);
}

static void test_bounds(void **state)
{
	u64 last = DISK / 512 - 1;

	(void)state;
	driver_start(0, 0);
	request(0, T_IN, last, 512);
	assert_int_equal(ops_count, 1);
	io_finish();
	assert_int_equal(*at(DATA + 0x800), S_OK);
	assert_int_equal(*request(0, T_IN, last, 1024), S_IOERR);
	assert_int_equal(*request(0, T_IN, last + 1, 512), S_IOERR);
	assert_int_equal(*request(0, T_OUT, ~0ull, 512), S_IOERR);
	assert_int_equal(*request(0, T_OUT, ~0ull / 512, 1024), S_IOERR);
	assert_int_equal(*request(0, T_IN, 0, 511), S_IOERR);
	assert_int_equal(*request(0, T_IN, last + 1, 0), S_OK);
	assert_int_equal(*request(0, 77, 0, 512), S_UNSUPP);
	assert_int_equal(*request(0, 0xffffffff, 0, 0), S_UNSUPP);
	assert_int_equal(ops_count, 0);
}

/* What a block device is like, its guest is told. */
static void test_device(void **state)
{
	(void)state;
	assert_int_equal(blk.virtio.offered & F_TOPOLOGY, 0);
	assert_int_equal(get32(blk.virtio.config + B_DISCARD_ALIGN), 1);
	disk.device = (struct disk_device){
		.is = true, .discard = 64 * 1024, .block = 4096, .align = 3584,
		.io_min = 4096, .io_best = 1024 * 1024,
	};
	virtio_machine(false);
	assert_int_equal(get32(blk.virtio.config + B_DISCARD_ALIGN), 128);
	assert_true(blk.virtio.offered & F_TOPOLOGY);
	assert_int_equal(blk.virtio.config[B_BLOCK_EXP], 3);
	assert_int_equal(blk.virtio.config[B_BLOCK_ALIGN], 7);
	assert_int_equal(get16(blk.virtio.config + B_IO_MIN), 8);
	assert_int_equal(get32(blk.virtio.config + B_IO_BEST), 2048);
	/* One without discards. */
	disk.device.discard = 0;
	virtio_machine(false);
	assert_int_equal(blk.virtio.offered & F_DISCARD, 0);
	assert_true(blk.virtio.offered & F_WRITE_ZEROES);
	disk.device.is = false;
	virtio_machine(false);
	assert_true(blk.virtio.offered & F_DISCARD);
}

static void test_flush(void **state)
{
	u8 *s;

	(void)state;
	driver_start(0, F_FLUSH);
	s = request(0, T_FLUSH, 0, 0);
	assert_int_equal(*s, 0xff);
	assert_int_equal(ops[0]->kind, IO_SYNC);
	io_finish();
	assert_int_equal(*s, S_OK);
	/* Without flushes each write is durable. */
	driver_start(0, 0);
	avail[0][0] = 0;
	memset(at(Q_AVAIL(0)), 0, 0x2000);
	request(0, T_OUT, 0, 512);
	assert_true(ops[0]->durable);
	io_finish();
}

static void range(u64 sector, u32 sectors, u32 flags)
{
	put64(at(DATA + 0x1000), sector);
	put32(at(DATA + 0x1008), sectors);
	put32(at(DATA + 0x100c), flags);
}

static void test_discard_zeroes(void **state)
{
	(void)state;
	driver_start(0, F_DISCARD | F_WRITE_ZEROES);
	range(3, 4, 0);
	request(0, T_DISCARD, 0, 16);
	assert_int_equal(ops[0]->kind, IO_DISCARD);
	assert_int_equal(ops[0]->offset, 3 * 512);
	assert_int_equal(ops[0]->len, 4 * 512);
	io_finish();
	request(0, T_WRITE_ZEROES, 0, 16);
	assert_int_equal(ops[0]->kind, IO_ZERO);
	io_finish();
	range(3, 4, 1);
	request(0, T_WRITE_ZEROES, 0, 16);
	assert_int_equal(ops[0]->kind, IO_ZERO_FREE);
	io_finish();
	assert_int_equal(*at(DATA + 0x800), S_OK);
	assert_int_equal(*request(0, T_DISCARD, 0, 16), S_UNSUPP);
	range(3, 4, 2);
	assert_int_equal(*request(0, T_WRITE_ZEROES, 0, 16), S_UNSUPP);
	range(DISK / 512 - 1, 2, 0);
	assert_int_equal(*request(0, T_DISCARD, 0, 16), S_IOERR);
	range(~0ull, 0xffffffff, 0);
	assert_int_equal(*request(0, T_DISCARD, 0, 16), S_IOERR);
	range(0, 1, 0);
	assert_int_equal(*request(0, T_DISCARD, 0, 15), S_IOERR);
	assert_int_equal(*request(0, T_DISCARD, 0, 32), S_IOERR);
	assert_int_equal(ops_count, 0);
}

static void test_read_only(void **state)
{
	(void)state;
	virtio_machine(true);
	bus_on(0);
	assert_true(blk.virtio.offered & F_RO);
	assert_false(blk.virtio.offered & (F_DISCARD | F_WRITE_ZEROES));
	driver_start(0, F_RO);
	assert_int_equal(*request(0, T_OUT, 0, 512), S_IOERR);
	range(0, 1, 0);
	assert_int_equal(*request(0, T_DISCARD, 0, 16), S_IOERR);
	assert_int_equal(*request(0, T_WRITE_ZEROES, 0, 16), S_IOERR);
	request(0, T_IN, 0, 512);
	io_finish();
	assert_int_equal(*at(DATA + 0x800), S_OK);
}

/* More than can be under way: the rest waits and is served. */
static void test_many(void **state)
{
	unsigned i, n = 0;

	(void)state;
	driver_start(0, 0);
	for (i = 0; i < 3 * BLK_REQUESTS; i++) {
		/* Lies to the device: the same chain again and again. */
		request(i % 2, T_IN, 0, 512);
		assert_true(ops_count <= BLK_REQUESTS);
		if (ops_count == BLK_REQUESTS) {
			n += ops_count;
			io_finish();
			serve_kicks();
		}
	}
	n += ops_count;
	io_finish();
	serve_kicks();
	io_finish();
	assert_int_equal(used(0) + used(1), 3 * BLK_REQUESTS);
	assert_true(n >= 2 * BLK_REQUESTS);
	assert_false(broke(0));
}

/* A reset waits for what is under way, which must not touch the rings. */
static void test_reset_under_way(void **state)
{
	(void)state;
	driver_start(0, 0);
	request(0, T_IN, 0, 512);
	set(0, C_STATUS, 1, 0);
	assert_int_equal(get(0, C_STATUS, 1), 15);
	/* Meanwhile it does nothing. */
	set(0, C_QUEUE_SEL, 2, 1);
	set(0, C_STATUS, 1, 3);
	push(0, 1, 0);
	assert_int_equal(ops_count, 1);
	io_finish();
	assert_int_equal(get(0, C_STATUS, 1), 0);
	assert_int_equal(used(0), 0);
	assert_int_equal(get(0, C_ENABLE, 2), 0);
}

/* ---- the network card ---- */

static const u8 frame[60] = {
	1, 2, 3, 4, 5, 6, 0x4a, 0x6f, 1, 2, 3, 4, 8, 0, 0x45,
};

static ssize_t sent(u8 *to, size_t size)
{
	return recv(wire, to, size, MSG_DONTWAIT);
}

static void test_transmit(void **state)
{
	u8 got[256];

	(void)state;
	driver_start(1, 0);
	memcpy(at(DATA + 12), frame, sizeof(frame));
	desc(1, 0, DATA, 12, DESC_NEXT, 1);
	desc(1, 1, DATA + 12, sizeof(frame), 0, 0);
	push(1, 1, 0);
	assert_int_equal(sent(got, sizeof(got)), 12 + sizeof(frame));
	assert_memory_equal(got + 12, frame, sizeof(frame));
	/* In one piece. */
	desc(1, 0, DATA, 12 + sizeof(frame), 0, 0);
	push(1, 1, 0);
	assert_int_equal(sent(got, sizeof(got)), 12 + sizeof(frame));
	/* Another's address. */
	at(DATA + 12)[11] ^= 1;
	push(1, 1, 0);
	assert_int_equal(sent(got, sizeof(got)), -1);
	nic.allow = true;
	push(1, 1, 0);
	assert_int_equal(sent(got, sizeof(got)), 12 + sizeof(frame));
	nic.allow = false;
	/* Too short, too long, not to be read: dropped, given back. */
	desc(1, 0, DATA, 25, 0, 0);
	push(1, 1, 0);
	desc(1, 0, DATA, NET_PACKET + 1, 0, 0);
	push(1, 1, 0);
	desc(1, 0, DATA, 100, DESC_WRITE, 0);
	push(1, 1, 0);
	assert_int_equal(sent(got, sizeof(got)), -1);
	assert_int_equal(used(1), 7);
	assert_false(broke(1));
}

static void receive_frame(size_t len)
{
	static u8 out[NET_PACKET];

	memset(out, 0, 12);
	memset(out + 12, 0x5a, len);
	memcpy(out + 12, frame, MIN(len, sizeof(frame)));
	assert_int_equal(send(wire, out, 12 + len, 0), 12 + len);
	if (board.watched == nic.fd[0])
		net_receive(&net, 0);
}

static void test_receive(void **state)
{
	(void)state;
	driver_start(1, 0);
	serve_kicks();
	/* No buffer: it waits. */
	receive_frame(60);
	assert_int_equal(board.watched, -1);
	desc(0, 0, DATA, 12, DESC_NEXT | DESC_WRITE, 1);
	desc(0, 1, DATA + 0x100, 1514, DESC_WRITE, 0);
	push(1, 0, 0);
	assert_int_equal(used(0), 1);
	assert_int_equal(get32(used_at_back(0, 0) + 4), 72);
	assert_int_equal(get16(at(DATA + 10)), 1);
	assert_memory_equal(at(DATA + 0x100), frame, sizeof(frame));
	assert_int_equal(board.watched, nic.fd[0]);
	/* One that does not fit is dropped, the next one is not. */
	push(1, 0, 0);
	receive_frame(2000);
	assert_int_equal(used(0), 1);
	receive_frame(64);
	assert_int_equal(used(0), 2);
	assert_int_equal(get32(used_at_back(0, 0) + 4), 76);
	/* A buffer that cannot be written to. */
	desc(0, 0, DATA, 1514, 0, 0);
	push(1, 0, 0);
	receive_frame(64);
	assert_true(broke(1));
	assert_int_equal(net.virtio.pending, 0);
}

static void test_merged(void **state)
{
	unsigned i;

	(void)state;
	driver_start(1, NET_F_MRG_RXBUF);
	serve_kicks();
	for (i = 0; i < 5; i++)
		desc(0, i, DATA + 0x200 * i, i ? 0x100 : 11, DESC_WRITE, 0);
	/* Not enough for it yet: none is used. */
	push(1, 0, 0);
	push(1, 0, 1);
	receive_frame(700);
	assert_int_equal(used(0), 0);
	assert_int_equal(net.virtio.pending, 0);
	push(1, 0, 2);
	assert_int_equal(used(0), 0);
	push(1, 0, 3);
	assert_int_equal(used(0), 4);
	/* The count straddles two buffers. */
	assert_int_equal(at(DATA)[10], 4);
	assert_int_equal(at(DATA + 0x200)[0], 0);
	assert_int_equal(get32(used_at_back(0, 0) + 4), 712 - 11 - 512);
	/* More buffers than the queue has could not hold it: dropped. */
	for (i = 0; i < Q_SIZE; i++) {
		desc(0, i, DATA + 0x200 * i, 0x100, DESC_WRITE, 0);
		push(1, 0, (u16)i);
	}
	receive_frame(0x100 * Q_SIZE);
	assert_int_equal(used(0), 4);
	receive_frame(0x100);
	assert_int_equal(used(0), 6);
}

static void test_net_reset(void **state)
{
	(void)state;
	driver_start(1, 0);
	serve_kicks();
	receive_frame(60);
	set(1, C_STATUS, 1, 0);
	assert_int_equal(get(1, C_STATUS, 1), 0);
	assert_int_equal(board.watched, -1);
	assert_int_equal(net.pair[0].held, 0);
	/* An event that was on its way. */
	net_receive(&net, 0);
	assert_int_equal(used(0), 0);
}

/* ---- its control queue, and more pairs ---- */

/* Commands come by queue 4 if the driver knows of both pairs, else by 2. */
static u8 control(unsigned q, const u8 *command, unsigned len)
{
	memcpy(at(DATA), command, len);
	*at(DATA + 0x100) = 0xff;
	put64(at(0x30000), DATA);
	put32(at(0x30000) + 8, len);
	put16(at(0x30000) + 12, DESC_NEXT);
	put16(at(0x30000) + 14, 1);
	put64(at(0x30010), DATA + 0x100);
	put32(at(0x30010) + 8, 1);
	put16(at(0x30010) + 12, DESC_WRITE);
	put16(at(0x31004) + 0, 0);
	put16(at(0x31002), (u16)(get16(at(0x31002)) + 1));
	set(1, NOTIFY + 4 * q, 2, q);
	serve_kicks();
	return *at(DATA + 0x100);
}

static void control_start(u64 features, unsigned q)
{
	driver_start(1, features);
	memset(at(0x30000), 0, 0x3000);
	set(1, C_QUEUE_SEL, 2, q);
	set(1, C_SIZE, 2, 2);
	set(1, C_DESC, 4, 0x30000);
	set(1, C_AVAIL, 4, 0x31000);
	set(1, C_USED, 4, 0x32000);
	set(1, C_ENABLE, 2, 1);
	assert_int_equal(get(1, C_ENABLE, 2), 1);
}

static void test_pairs(void **state)
{
	static const u8 one[] = { 4, 0, 1, 0 }, two[] = { 4, 0, 2, 0 };
	static const u8 bad[][4] = {
		{ 4, 0, 0, 0 }, { 4, 0, 3, 0 }, { 4, 0, 2, 1 }, { 4, 1, 1, 0 },
		{ 3, 0, 1, 0 }, { 0xff, 0xff, 0xff, 0xff },
	};
	unsigned i;
	u8 got[256];

	(void)state;
	assert_int_equal(get(1, DEVICE + N_MAX_PAIRS, 2), PAIRS);
	control_start(F_CTRL_VQ | NET_F_MQ, 4);
	/* The second pair, at the end of memory. */
	for (i = 2; i < 4; i++) {
		set(1, C_QUEUE_SEL, 2, i);
		set(1, C_SIZE, 2, Q_SIZE);
		set(1, C_DESC, 4, 0x34000 + 0x4000 * (i - 2));
		set(1, C_AVAIL, 4, 0x35000 + 0x4000 * (i - 2));
		set(1, C_USED, 4, 0x36000 + 0x4000 * (i - 2));
		set(1, C_ENABLE, 2, 1);
	}
	/* A frame of 0x7000 by the second pair: not before it is in use. */
	memcpy(at(0x7000 + 12), frame, sizeof(frame));
	put64(at(0x38000), 0x7000);
	put32(at(0x38000) + 8, 12 + sizeof(frame));
	put16(at(0x39002), 1);
	set(1, NOTIFY + 4 * 3, 2, 3);
	serve_kicks();
	assert_int_equal(recv(wires[1], got, sizeof(got), MSG_DONTWAIT), -1);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(control(4, bad[i], 4), CTRL_ERR);
	assert_int_equal(control(4, two, 1), CTRL_ERR);
	assert_int_equal(control(4, two, 3), CTRL_ERR);
	assert_int_equal(net.active, 1);
	assert_int_equal(control(4, two, 4), CTRL_OK);
	assert_int_equal(net.active, 2);
	assert_int_equal(recv(wires[1], got, sizeof(got), MSG_DONTWAIT),
			 12 + sizeof(frame));
	/* And to the driver. */
	put64(at(0x34000), 0x8000);
	put32(at(0x34000) + 8, 2000);
	put16(at(0x34000) + 12, DESC_WRITE);
	put16(at(0x35002), 1);
	memset(got, 0, 12);
	memcpy(got + 12, frame, sizeof(frame));
	assert_int_equal(send(wires[1], got, 72, 0), 72);
	set(1, NOTIFY + 4 * 2, 2, 2);
	serve_kicks();
	assert_int_equal(get16(at(0x36002)), 1);
	assert_memory_equal(at(0x8000 + 12), frame, sizeof(frame));
	/* No more. */
	assert_int_equal(control(4, one, 4), CTRL_OK);
	put16(at(0x39002), 2);
	set(1, NOTIFY + 4 * 3, 2, 3);
	serve_kicks();
	assert_int_equal(recv(wires[1], got, sizeof(got), MSG_DONTWAIT), -1);
	assert_int_equal(control(4, two, 4), CTRL_OK);
	assert_false(broke(1));
	/* A reset is back to one. */
	set(1, C_STATUS, 1, 0);
	assert_int_equal(net.active, 1);
}

static void test_control(void **state)
{
	static const u8 two[] = { 4, 0, 2, 0 };

	(void)state;
	/* A driver that does not know of pairs: queue 2, and it has none. */
	control_start(F_CTRL_VQ, 2);
	assert_int_equal(control(2, two, 4), CTRL_ERR);
	assert_false(broke(1));
	/* No place for an answer. */
	put16(at(0x30000) + 12, 0);
	put16(at(0x31002), (u16)(get16(at(0x31002)) + 1));
	set(1, NOTIFY + 4 * 2, 2, 2);
	serve_kicks();
	assert_true(broke(1));
	assert_int_equal(net.virtio.pending, 0);
	/* Without a control queue, that one is a card's like the others. */
	control_start(0, 2);
	assert_int_equal(control(2, two, 4), 0xff);
	assert_int_equal(net.active, 1);
}

/* What serves a user network has died: the driver is told, once. */
static void test_link_down(void **state)
{
	u8 before;

	(void)state;
	driver_start(1, F_STATUS);
	msix_on(1);
	set(1, C_CONFIG_VECTOR, 2, 0);
	serve_kicks();
	assert_int_equal(get(1, DEVICE + N_STATUS, 2), STATUS_UP);
	before = (u8)get(1, C_GENERATION, 1);
	close(wire);
	wire = -1;
	net_receive(&net, 0);
	assert_int_equal(get(1, DEVICE + N_STATUS, 2), 0);
	assert_int_not_equal(get(1, C_GENERATION, 1), before);
	assert_int_equal(board.msis, 1);
	assert_int_equal(board.msi_data[0], 0x30);
	assert_int_equal(board.watched, -1);
	net_receive(&net, 0);
	assert_int_equal(board.msis, 1);
	/* The next driver finds it so. */
	driver_start(1, F_STATUS);
	serve_kicks();
	assert_int_equal(get(1, DEVICE + N_STATUS, 2), 0);
	assert_false(broke(1));
}

/* ---- random numbers ---- */

static unsigned zeros(u64 gpa, unsigned len)
{
	const u8 *p = at(gpa);
	unsigned n = 0;

	while (len--)
		n += !*p++;
	return n;
}

static void test_rng(void **state)
{
	(void)state;
	assert_int_equal(config_get(rng.virtio.slot, 0), 0x10441af4);
	driver_start(2, 0);
	memset(at(DATA), 0, 0x4000);
	desc(0, 0, DATA, 100, DESC_WRITE | DESC_NEXT, 1);
	desc(0, 1, DATA + 0x1000, 0x2000, DESC_WRITE, 0);
	push(2, 0, 0);
	assert_int_equal(used(0), 1);
	assert_int_equal(get32(used_at_back(0, 0) + 4), RNG_MOST);
	/* One byte in 256 is zero; that so many are does not happen. */
	assert_true(zeros(DATA, 100) < 50);
	assert_int_equal(zeros(DATA + 100, 0x1000 - 100), 0x1000 - 100);
	assert_true(zeros(DATA + 0x1000, RNG_MOST - 100) < RNG_MOST / 8);
	assert_int_equal(zeros(DATA + 0x1000 + RNG_MOST - 100, 100), 100);
	/* It reads nothing. */
	desc(0, 2, DATA, 100, 0, 0);
	push(2, 0, 2);
	assert_true(broke(2));
	driver_start(2, 0);
}

/* ---- the console ---- */

static void said(const char *text)
{
	assert_int_equal(board.serial_len, strlen(text));
	assert_memory_equal(board.serial, text, strlen(text));
}

static void test_console_out(void **state)
{
	(void)state;
	driver_start(3, 0);
	strcpy((char *)at(DATA), "one, two, three");
	desc(1, 0, DATA, 5, DESC_NEXT, 1);
	desc(1, 1, DATA + 5, 5, 0, 0);
	push(3, 1, 0);
	said("one, two, ");
	assert_int_equal(used(1), 1);
	/* No room outside: the buffer is given back when all of it is out. */
	board.serial_room = 2;
	desc(1, 2, DATA + 10, 5, 0, 0);
	push(3, 1, 2);
	push(3, 1, 0);
	assert_int_equal(used(1), 1);
	board.serial_room = 4;
	console_tx_room(&console);
	assert_int_equal(used(1), 2);
	said("one, two, threeo");
	board.serial_room = 100;
	console_tx_room(&console);
	said("one, two, threeone, two, ");
	assert_int_equal(used(1), 3);
	/* A buffer of the device's, or with nothing in it, is nothing to say. */
	desc(1, 3, DATA, 5, DESC_WRITE, 0);
	push(3, 1, 3);
	desc(1, 3, DATA, 0, 0, 0);
	push(3, 1, 3);
	assert_int_equal(used(1), 5);
	said("one, two, threeone, two, ");
	assert_false(broke(3));
}

static void test_console_in(void **state)
{
	(void)state;
	/* Nobody there yet: it waits outside. */
	assert_int_equal(console_rx_room(&console), 0);
	driver_start(3, 0);
	serve_kicks();
	assert_true(board.rooms > 0);
	assert_int_equal(console_rx_room(&console), CONSOLE_IN);
	console_rx(&console, (const u8 *)"hello", 5);
	assert_int_equal(used(0), 0);
	assert_int_equal(console_rx_room(&console), 0);
	desc(0, 0, DATA, 1, DESC_WRITE | DESC_NEXT, 1);
	desc(0, 1, DATA + 8, 2, DESC_WRITE, 0);
	desc(0, 2, DATA + 16, 100, DESC_WRITE, 0);
	push(3, 0, 0);
	assert_int_equal(get32(used_at_back(0, 0) + 4), 3);
	assert_memory_equal(at(DATA), "h", 1);
	assert_memory_equal(at(DATA + 8), "el", 2);
	board.rooms = 0;
	push(3, 0, 2);
	assert_int_equal(get32(used_at_back(0, 0) + 4), 2);
	assert_memory_equal(at(DATA + 16), "lo", 2);
	assert_true(board.rooms > 0);
	assert_int_equal(console_rx_room(&console), CONSOLE_IN);
	/* A buffer that cannot be written to, when there is something. */
	desc(0, 3, DATA, 100, 0, 0);
	push(3, 0, 3);
	assert_false(broke(3));
	console_rx(&console, (const u8 *)"x", 1);
	assert_true(broke(3));
	assert_int_equal(console.virtio.pending, 0);
	assert_int_equal(console_rx_room(&console), 0);
}

static void test_console_reset(void **state)
{
	(void)state;
	driver_start(3, 0);
	serve_kicks();
	board.serial_room = 1;
	desc(1, 0, DATA, 100, 0, 0);
	push(3, 1, 0);
	console_rx(&console, (const u8 *)"hello", 5);
	set(3, C_STATUS, 1, 0);
	assert_int_equal(get(3, C_STATUS, 1), 0);
	assert_int_equal(console.virtio.pending, 0);
	/* What was under way is forgotten, the next driver starts afresh. */
	board.serial_room = 100;
	console_tx_room(&console);
	assert_int_equal(board.serial_len, 1);
	memset(at(Q_AVAIL(0)), 0, 0x2000);
	memset(at(Q_AVAIL(1)), 0, 0x2000);
	memset(avail, 0, sizeof(avail));
	driver_start(3, 0);
	serve_kicks();
	desc(0, 0, DATA, 100, DESC_WRITE, 0);
	push(3, 0, 0);
	assert_int_equal(used(0), 0);
}

/* ---- vsock: what is not the kernel's ---- */

static void test_vsock(void **state)
{
	(void)state;
	assert_int_equal(get(4, DEVICE, 8), 5);
	set(4, DEVICE, 4, 6);
	assert_int_equal(get(4, DEVICE, 8), 5);
	driver_start(4, VSOCK_F_SEQPACKET);
	/* Nobody touches the queues here. */
	desc(0, 0, DATA, 100, DESC_WRITE, 0);
	push(4, 0, 0);
	push(4, 1, 0);
	set(4, NOTIFY + 4 * 2, 2, 2);
	serve_kicks();
	assert_int_equal(used(0), 0);
	assert_false(broke(4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_capabilities, setup),
		cmocka_unit_test_setup(test_features, setup),
		cmocka_unit_test_setup(test_device_config, setup),
		cmocka_unit_test_setup(test_config_window, setup),
		cmocka_unit_test_setup(test_bad_queues, setup),
		cmocka_unit_test_setup(test_bad_chains, setup),
		cmocka_unit_test_setup(test_bad_rings, setup),
		cmocka_unit_test_setup(test_indirect, setup),
		cmocka_unit_test_setup(test_full_request, setup),
		cmocka_unit_test_setup(test_interrupts, setup),
		cmocka_unit_test_setup(test_pending_at_reset, setup),
		cmocka_unit_test_setup(test_event_idx, setup),
		cmocka_unit_test_setup(test_bus_master, setup),
		cmocka_unit_test_setup(test_underfoot, setup),
		cmocka_unit_test_setup(test_underfoot_all, setup),
		cmocka_unit_test_setup(test_read_write, setup),
		cmocka_unit_test_setup(test_full, setup),
		cmocka_unit_test_setup(test_daemon, setup),
		cmocka_unit_test_setup(test_device, setup),
		cmocka_unit_test_setup(test_bounds, setup),
		cmocka_unit_test_setup(test_flush, setup),
		cmocka_unit_test_setup(test_discard_zeroes, setup),
		cmocka_unit_test_setup(test_read_only, setup),
		cmocka_unit_test_setup(test_many, setup),
		cmocka_unit_test_setup(test_reset_under_way, setup),
		cmocka_unit_test_setup(test_transmit, setup),
		cmocka_unit_test_setup(test_receive, setup),
		cmocka_unit_test_setup(test_merged, setup),
		cmocka_unit_test_setup(test_net_reset, setup),
		cmocka_unit_test_setup(test_pairs, setup),
		cmocka_unit_test_setup(test_control, setup),
		cmocka_unit_test_setup(test_link_down, setup),
		cmocka_unit_test_setup(test_rng, setup),
		cmocka_unit_test_setup(test_console_out, setup),
		cmocka_unit_test_setup(test_console_in, setup),
		cmocka_unit_test_setup(test_console_reset, setup),
		cmocka_unit_test_setup(test_vsock, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
