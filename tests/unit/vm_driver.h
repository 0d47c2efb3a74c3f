/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm_driver.h -- a driver of one virtio device that keeps the rules, in small
 * steps, so that a test can break them.  After vm_virtio.h.
 */
#ifndef TEST_VM_DRIVER_H
#define TEST_VM_DRIVER_H

#define Q_DESC(q)	(0x10000ull + 0x4000 * (q))
#define Q_AVAIL(q)	(Q_DESC(q) + 0x1000)
#define Q_USED(q)	(Q_DESC(q) + 0x2000)
#define Q_SIZE		8
#define DRIVER_QUEUES	4
/* Free for buffers, after all queues and below the end of low memory. */
#define DRIVER_DATA	Q_DESC(DRIVER_QUEUES)

static struct virtio *driven;
static u32 regs;
static u16 pushed[DRIVER_QUEUES];

static inline void set(unsigned at, unsigned size, u64 val)
{
	bus_write(&mmio, regs + at, size, val);
}

static inline u64 get(unsigned at, unsigned size)
{
	return bus_read(&mmio, regs + at, size);
}

static inline u8 *mem_at(u64 gpa)
{
	u8 *p = guest_ptr(&mem, gpa, 1);

	assert_non_null(p);
	return p;
}

static inline void driver_resets(void)
{
	memset(pushed, 0, sizeof(pushed));
	set(C_STATUS, 1, 0);
	assert_int_equal(get(C_STATUS, 1), 0);
	set(C_STATUS, 1, 3);
}

static inline void driver_start(u64 features)
{
	unsigned q;

	driver_resets();
	memset(mem_at(Q_DESC(0)), 0, driven->queues * 0x4000);
	set(C_FEATURES_SEL, 4, 0);
	set(C_FEATURES, 4, (u32)features);
	set(C_FEATURES_SEL, 4, 1);
	set(C_FEATURES, 4, VIRTIO_VERSION_1 >> 32);
	set(C_STATUS, 1, 11);
	assert_int_equal(get(C_STATUS, 1), 11);
	for (q = 0; q < driven->queues; q++) {
		set(C_QUEUE_SEL, 2, q);
		set(C_SIZE, 2, Q_SIZE);
		set(C_DESC, 4, Q_DESC(q));
		set(C_AVAIL, 4, Q_AVAIL(q));
		set(C_USED, 4, Q_USED(q));
		set(C_ENABLE, 2, 1);
	}
	set(C_STATUS, 1, 15);
	assert_int_equal(get(C_STATUS, 1), 15);
}

/* Memory decoding and bus mastering on; where its registers are. */
static inline void driver_finds(struct virtio *v)
{
	assert_true(v->queues <= DRIVER_QUEUES);
	driven = v;
	pci_write(&pci, 0, 4, 0x80000004 | v->slot << 11);
	pci_write(&pci, 4, 2, 6);
	pci_write(&pci, 0, 4, 0x80000010 | v->slot << 11);
	regs = pci_read(&pci, 4, 4);
}

static inline void desc(unsigned q, unsigned n, u64 addr, u32 len, u16 flags,
			u16 next)
{
	u8 *d = mem_at(Q_DESC(q) + 16 * n);

	put64(d, addr);
	put32(d + 8, len);
	put16(d + 12, flags);
	put16(d + 14, next);
}

/* Available, and told so; nobody has served it yet. */
static inline void offer(unsigned q, u16 head)
{
	put16(mem_at(Q_AVAIL(q) + 4 + 2 * (pushed[q] % Q_SIZE)), head);
	put16(mem_at(Q_AVAIL(q) + 2), ++pushed[q]);
	set(NOTIFY + 4 * q, 2, q);
}

static inline u16 used(unsigned q)
{
	return get16(mem_at(Q_USED(q) + 2));
}

static inline bool broke(void)
{
	return get(C_STATUS, 1) & S_NEEDS_RESET;
}

#endif
