/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vm_virtio.c -- a hostile guest against joist-vm's PCI bus, virtio
 * registers, disk, network card, random numbers, console, vsock, CD drive and balloon.
 *
 * The input is a program: each step writes configuration space, a register,
 * or memory, lets the devices work, or lets the outside do something.  One
 * step sets a device up as a driver would, so that what follows reaches the
 * queues.  Guest memory is heap blocks of their exact size.
 *
 * A short input goes on with numbers that follow from it, so that every run
 * has some depth.
 */
#include "tests/unit/vm_virtio.h"

#define STEPS	150
#define QUEUES	5		/* those of the card: two pairs, control */

struct input {
	const u8 *p, *end;
	u64 more;
};

static u8 take_more(struct input *in)
{
	in->more ^= in->more << 13;
	in->more ^= in->more >> 7;
	in->more ^= in->more << 17;
	return (u8)(in->more >> 24);
}

static u64 take(struct input *in, unsigned bytes)
{
	u64 v = 0;

	while (bytes--)
		v = v << 8 | (in->p < in->end ? *in->p++ : take_more(in));
	return v;
}

static u64 regs_of(const struct virtio *v)
{
	return get32(pci.dev[v->slot].config + 0x10);
}

static void set(const struct virtio *v, unsigned at, unsigned size, u64 val)
{
	bus_write(&mmio, regs_of(v) + at, size, val);
}

/* Rings at 0x1000 * queue, of 16 entries; features as the input says. */
static void driver(struct virtio *v, u64 features)
{
	unsigned q;

	pci.dev[v->slot].config[4] = 6;
	pci_write(&pci, 0, 4, 0x80000004 | v->slot << 11);
	pci_write(&pci, 4, 2, 6);
	set(v, C_STATUS, 1, 0);
	set(v, C_STATUS, 1, 3);
	set(v, C_FEATURES_SEL, 4, 0);
	/* Mostly with what the device must have. */
	if (features & 0x3)
		features |= v->model->needs;
	set(v, C_FEATURES, 4, features & v->offered);
	set(v, C_FEATURES_SEL, 4, 1);
	set(v, C_FEATURES, 4, 1);
	set(v, C_STATUS, 1, 11);
	for (q = 0; q < MIN(v->queues, QUEUES); q++) {
		set(v, C_QUEUE_SEL, 2, q);
		set(v, C_SIZE, 2, 16);
		set(v, C_DESC, 4, 0x1000 * q);
		set(v, C_AVAIL, 4, 0x1000 * q + 0x400);
		set(v, C_USED, 4, 0x1000 * q + 0x800);
		set(v, C_ENABLE, 2, 1);
	}
	set(v, C_STATUS, 1, 15);
}

/* A descriptor of a queue: mostly plausible. */
static void descriptor(struct input *in)
{
	u8 kind = (u8)take(in, 1), n = (u8)take(in, 1);
	u8 *d = mem.low + 0x1000 * (n / 16 % QUEUES) + 16 * (n & 15);
	u64 addr = take(in, 2) << 4;
	u32 len = (u32)take(in, 2);

	if (kind & 0x80)
		addr += MEM_HIGH_BASE;
	if (kind & 0x40)
		len = len << 16 | len;
	put64(d, addr);
	put32(d + 8, len);
	put16(d + 12, kind & 7);
	put16(d + 14, kind >> 3 & (kind & 0x40 ? 0xff : 0x0f));
}

/* The next head into a queue's ring. */
static void publish(struct input *in, struct virtio *v)
{
	unsigned n = (unsigned)take(in, 1), q = (unsigned)take(in, 1) % QUEUES;
	u8 *avail = mem.low + 0x1000 * q + 0x400;
	u16 idx = get16(avail + 2);

	put16(avail + 4 + 2 * (idx % 16), n & 0x1f);
	put16(avail + 2, (u16)(idx + (n & 0x40 ? 30 : 1)));
	set(v, NOTIFY + 4 * q, 2, q);
	serve_kicks();
}

/* A header such as a request begins with, where descriptors point to. */
static void header(struct input *in)
{
	static const u8 types[] = { 0, 1, 4, 8, 11, 13, 0, 99 };
	static const u8 commands[] = {
		TEST_UNIT_READY, REQUEST_SENSE, INQUIRY, MODE_SENSE_6,
		START_STOP, READ_CAPACITY, READ_10, READ_TOC, READ_10,
		GET_CONFIGURATION, GET_EVENT, MODE_SENSE_10, REPORT_LUNS,
		READ_12, 0xff,
	};
	u8 *h = mem.low + (take(in, 2) << 4) % (LOW - 64);
	unsigned t = (unsigned)take(in, 1), i;

	put32(h, types[t & 7]);
	put64(h + 8, take(in, t & 8 ? 8 : 1));
	put64(h + 16, take(in, t & 16 ? 8 : 1));
	put32(h + 24, (u32)take(in, t & 32 ? 4 : 1));
	put32(h + 28, t >> 6);
	/* Or a command for the CD drive. */
	if (t & 0x40) {
		memset(h, 0, R_LEN);
		h[0] = 1;
		h[R_CDB] = commands[(u8)take(in, 1) % sizeof(commands)];
		for (i = 1; i < 10; i++)
			h[R_CDB + i] = (u8)(take(in, 1) & take(in, 1));
	}
	/* Or what the card's control queue takes. */
	if (t & 0x80) {
		h[0] = (u8)(t & 0x40 ? 4 : t);
		h[1] = 0;
		put16(h + 2, t & 3);
	}
}

static void frame(struct input *in)
{
	static u8 f[NET_PACKET];
	size_t len = 12 + take(in, 2) % 9000;
	unsigned i;

	for (i = 0; i < PAIRS; i++) {
		send(wires[i], f, len, MSG_DONTWAIT);
		if (net.pair[i].watching)
			net_receive(&net, i);
		while (recv(wires[i], f, sizeof(f), MSG_DONTWAIT) > 0)
			;
	}
}

/* A BAR onto another's, or onto what is no place for one. */
static void move_window(struct input *in, const struct virtio *v)
{
	static const u32 bad[] = {
		0, LOW - 0x1000, PCI_MMIO_MIN - 0x4000, PCI_MMIO_END - 0x1000,
		PCI_MMIO_END, 0xfee00000, 0xffffc000,
	};
	unsigned n = (unsigned)take(in, 1), other = n >> 4 & 7;
	u32 to = other < DEVICES ? get32(pci.dev[devices[other]->slot].config +
					 0x10 + 4 * (n & 1)) :
		 bad[(n & 15) % ARRAY_SIZE(bad)];

	pci_write(&pci, 0, 4, 0x80000010 | v->slot << 11 | (n & 2) << 1);
	pci_write(&pci, 4, 4, to + (n & 4 ? 0x1000 : 0));
}

/* The console's other side: bytes for it, and room for its own. */
static void typed(struct input *in)
{
	static const u8 bytes[CONSOLE_IN];
	unsigned room = console_rx_room(&console), len;

	len = (unsigned)take(in, 2) % (CONSOLE_IN + 1);
	if (room && len)
		console_rx(&console, bytes, MIN(room, len));
	board.serial_room = (unsigned)take(in, 1) * 8;
	console_tx_room(&console);
}

/* The balloon's other side: who asks for memory, and who uses the pool. */
static void pressed(struct input *in)
{
	u8 what = (u8)take(in, 1);

	if (what & 1)
		balloon_ask(&balloon, (what >> 4) * 4);
	if (what & 2)
		balloon_answer(&balloon);
	if (what & 4)
		pool.free = (u8)take(in, 1) % 16;
	if (what & 8)
		pool.drops_left = (u8)take(in, 1);
	balloon_retry(&balloon);
}

static u32 page_number(struct input *in)
{
	u8 n = (u8)take(in, 1);

	/* Now and then one behind the end. */
	if (n & 0x80)
		return HIGH_PFN + n % (PAGES(HIGH) + (n == 0xff));
	return n % (PAGES(LOW) + (n == 0x7f));
}

/* What a balloon's driver sends: page numbers, mostly of pages there are. */
static void pages(struct input *in)
{
	unsigned q = (unsigned)take(in, 1) % QUEUE_COUNT, n, i;
	u8 *list = mem.low + 0x8000, *d = mem.low + 0x1000 * q;
	u8 what = (u8)take(in, 1);

	if (!virtio_runs(&balloon.virtio))
		driver(&balloon.virtio, F_STATS_VQ);
	/* Long ones now and then, of what was there before. */
	n = what >= 0xe0 ? (unsigned)take(in, 2) % 0x2000 : what % 32;
	for (i = 0; i < n && i < 32; i++)
		put32(list + 4 * i, page_number(in));
	put64(d, 0x8000);
	put32(d + 8, 4 * n + !(what & 0x78));
	put16(d + 12, 0);
	put16(mem.low + 0x1000 * q + 0x404 + 2 * (get16(d + 0x402) % 16), 0);
	put16(d + 0x402, (u16)(get16(d + 0x402) + 1));
	set(&balloon.virtio, NOTIFY + 4 * q, 2, q);
	serve_kicks();
}

static void step(struct input *in)
{
	u8 op = (u8)take(in, 1), who = (u8)take(in, 1);
	/* The disk most often: it has most to get wrong. */
	struct virtio *v = who & 0x80 ? &blk.virtio : devices[who % DEVICES];
	unsigned size = 1u << (op >> 5 & 3), at;

	switch (op & 15) {
	case 0:
		pci_write(&pci, 0, 4, 0x80000000 | v->slot << 11 |
			  (u32)take(in, 1));
		size = MIN(size, 2u);
		pci_write(&pci, 4 + (unsigned)take(in, 1) % (5 - size), size,
			  (u32)take(in, 4));
		break;
	case 1:
		if (who & 0x40) {
			move_window(in, v);
			break;
		}
		pci_write(&pci, 0, 4, 0x80000000 | v->slot << 11 |
			  (u32)take(in, 1));
		pci_write(&pci, 4, 4, (u32)take(in, 4));
		pci_read(&pci, 4, 4);
		break;
	case 2:
		at = (unsigned)take(in, 1);
		set(v, at & 0x3f, size, take(in, 4));
		break;
	case 3:
		at = (unsigned)take(in, 2) & 0x7fff;
		bus_write(&mmio, regs_of(v) + at, size, take(in, 4));
		bus_read(&mmio, regs_of(v) + at, size);
		break;
	case 4:
		mem.low[take(in, 2) % (0x1000 * QUEUES)] = (u8)take(in, 1);
		break;
	case 5:
	case 6:
		descriptor(in);
		break;
	case 7:
		header(in);
		break;
	case 8:
	case 9:
	case 10:
		publish(in, v);
		break;
	case 11:
		io_finish();
		serve_kicks();
		break;
	case 12:
		if (who & 2)
			pressed(in);
		else if (who & 1)
			frame(in);
		else
			typed(in);
		break;
	case 13:
		driver(v, take(in, 5));
		break;
	case 14:
		set(v, C_STATUS, 1, take(in, 1));
		break;
	case 15:
		if (who & 1)
			pages(in);
		serve_kicks();
		break;
	}
}

static void check(const struct virtio *v, unsigned most)
{
	if (v->pending > most)
		abort();
	if (v->broken && (v->status & S_DRIVER_OK) &&
	    !(v->status & S_NEEDS_RESET))
		abort();
}

/* No window where it must not be; that two overlap the bus refuses. */
static void check_windows(void)
{
	const struct pci_bar *b;
	unsigned i, n;

	for (i = 0; i < DEVICES; i++)
		for (n = 0; n < PCI_BARS; n++) {
			b = &pci.dev[devices[i]->slot].bar[n];
			if (b->at && (b->at < PCI_MMIO_MIN ||
				      b->size > PCI_MMIO_END - b->at))
				abort();
		}
	for (i = 1; i < mmio.count; i++)
		if (mmio.windows[i - 1].base + mmio.windows[i - 1].len >
		    mmio.windows[i].base)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size, 88172645463325252ull };
	unsigned i;

	for (i = 0; i < size; i++)
		in.more = (in.more ^ data[i]) * 1099511628211ull | 1;
	virtio_machine(size & 1);
	for (i = 0; i < STEPS || in.p < in.end; i++) {
		step(&in);
		check(&blk.virtio, BLK_REQUESTS);
		check(&net.virtio, 0);
		check(&rng.virtio, 0);
		check(&console.virtio, 1);
		check(&vsock.virtio, 0);
		check_windows();
		check(&cd.virtio, CD_REQUESTS);
		check(&balloon.virtio, 3);
	}
	/* Whatever it did, a driver that behaves finds working devices. */
	io_finish();
	serve_kicks();
	memset(mem.low, 0, 0x1000 * QUEUES);
	pci_write(&pci, 0, 4, 0x80000010 | blk.virtio.slot << 11);
	pci_write(&pci, 4, 4, PCI_MMIO_BASE + 0x100000);
	driver(&blk.virtio, F_FLUSH);
	if (blk.virtio.status != 15 || !blk.virtio.queue[1].enabled)
		abort();
	return 0;
}
