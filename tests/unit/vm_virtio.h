/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm_virtio.h -- a small machine for virtio devices under test: guest memory
 * in heap blocks of its exact size, a PCI bus, a disk whose requests wait
 * until they are told to finish, a socket pair as a tap, random numbers, a
 * console, a vsock, a CD drive, and a balloon over a pool of pages.
 */
#ifndef TEST_VM_VIRTIO_H
#define TEST_VM_VIRTIO_H

#define _GNU_SOURCE
#include "tests/unit/vm_board.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guests/control/joist-vm/bus.c"
#include "guests/control/joist-vm/pci.c"
#include "guests/control/joist-vm/virtio_pci.c"
#include "guests/control/joist-vm/virtio_blk.c"
#include "guests/control/joist-vm/virtio_net.c"
#include "guests/control/joist-vm/virtio_rng.c"
#undef CLASS_OTHER
#include "guests/control/joist-vm/virtio_console.c"
#undef CLASS_OTHER
#include "guests/control/joist-vm/virtio_vsock.c"
#undef CLASS_OTHER
#include "guests/control/joist-vm/virtio_balloon.c"
#undef S_OK
#include "guests/control/joist-vm/virtio_scsi.c"

#define LOW	(256 * KiB)
#define HIGH	(64 * KiB)
#define DISK	(64 * KiB + 100)	/* not a whole number of sectors */

static struct bus mmio;
static struct pci pci;
static struct guest_mem mem;
static struct blk blk;
static struct net net;
static struct rng rng;
static struct console console;
static struct vsock vsock;
static struct cd cd;
static struct balloon balloon;

#define DEVICES	7
static struct virtio *const devices[DEVICES] = {
	&blk.virtio, &net.virtio, &rng.virtio, &console.virtio, &vsock.virtio,
	&cd.virtio, &balloon.virtio,
};
static struct disk disk = { .path = "test", .serial = "serial-number-of-20" };
#define PAIRS	2
static struct nic nic = { .mac = { 0x4a, 0x6f, 1, 2, 3, 4 }, .pairs = PAIRS };
static int wires[PAIRS] = { -1, -1 };	/* the tap's other sides */
#define wire	wires[0]

/* ---- io.c's place ---- */

#define OPS_MAX	(2 * BLK_REQUESTS + CD_REQUESTS)
static struct io_op *ops[OPS_MAX];
static unsigned ops_count;
static int io_error;		/* errno of all there is, or 0 */
static bool keeps;		/* what fails for want of room */
static unsigned disk_errors;

bool board_disk_error(const struct disk *d, const struct io_op *op, bool full)
{
	assert_ptr_equal(d, &disk);
	assert_int_not_equal(op->error, 0);
	disk_errors++;
	return full && keeps;
}

void io_submit(struct io_op *op)
{
	assert_true(ops_count < OPS_MAX);
	ops[ops_count++] = op;
}

/* ---- vhost_blk.c's place ---- */

static unsigned daemon_ops;

void vhost_blk_submit(struct vhost_blk *b, struct io_op *op)
{
	assert_non_null(b);
	daemon_ops++;
	io_submit(op);
}

static inline void io_do(struct io_op *op)
{
	static const u8 zeros[4096];
	ssize_t n = 0;
	u64 at;

	op->error = -io_error;
	if (io_error)
		return;
	/* The model has checked the range: nothing reaches the file's end. */
	assert_true(op->offset <= disk.size && op->len <= disk.size - op->offset);
	if (op->kind == IO_READ || op->kind == IO_WRITE)
		assert_int_equal(iov_len(op->iov, op->count), op->len);
	if (op->kind == IO_READ)
		n = preadv(op->fd, op->iov, (int)op->count, (off_t)op->offset);
	else if (op->kind == IO_WRITE)
		n = pwritev(op->fd, op->iov, (int)op->count,
			    (off_t)op->offset);
	else if (op->kind != IO_SYNC)
		for (at = 0; at < op->len; at += (u64)n) {
			n = pwrite(op->fd, zeros, MIN(sizeof(zeros),
						      op->len - at),
				   (off_t)(op->offset + at));
			assert_true(n > 0);
		}
	assert_true(n >= 0);
}

/* Finish what is under way, the last one first. */
static inline void io_finish(void)
{
	struct io_op *op;

	while (ops_count) {
		op = ops[--ops_count];
		io_do(op);
		op->done(op);
	}
}

/* ---- the pool's place ---- */

#define PAGES(size)	((unsigned)((size) / PAGE_SIZE))

static struct {
	bool hole[2][PAGES(LOW)];	/* by segment: SEG_LOW, SEG_HIGH */
	unsigned free;			/* pages that others could have */
	unsigned calls, ranges;		/* how often, and what with */
	unsigned drops_left;		/* then there is none for tables */
	unsigned answers;
	struct balloon_state answer;
} pool;

static inline bool page_change(bool drop, unsigned seg, u32 page)
{
	u8 *p = (seg == SEG_LOW ? mem.low : mem.high) + page * PAGE_SIZE;

	if (pool.hole[seg][page] == drop)
		return true;
	if (drop ? !pool.drops_left : !pool.free)
		return false;
	pool.drops_left -= drop;
	pool.free += drop ? 1 : -1u;
	pool.hole[seg][page] = drop;
	/* Of a hole we see a page that nobody has a use for. */
	memset(p, drop ? 0x5a : 0, PAGE_SIZE);
	return true;
}

int board_pages(bool drop, struct joist_pages *p)
{
	struct joist_page_range *r;
	unsigned pages, i;

	assert_true(p->seg == SEG_LOW || p->seg == SEG_HIGH);
	assert_int_equal(p->head.vm | p->head.vcpu, 0);
	assert_in_range(p->ranges, 1, JOIST_PAGE_RANGES);
	pages = PAGES(p->seg == SEG_LOW ? LOW : HIGH);
	for (i = 0; i < p->ranges; i++)
		assert_true(p->range[i].page <= pages &&
			    p->range[i].count <= pages - p->range[i].page);
	pool.calls++;
	pool.ranges += p->ranges;
	for (r = p->range; r < p->range + p->ranges; r++)
		for (; r->count; r->page++, r->count--)
			if (!page_change(drop, p->seg, r->page))
				return -ENOMEM;
	return 0;
}

void board_balloon(const struct balloon_state *s)
{
	pool.answers++;
	pool.answer = *s;
}

/* ---- the machine ---- */

static inline void virtio_machine(bool read_only)
{
	int pair[2], i;

	board_clear();
	board.watched = -1;
	ops_count = 0;
	io_error = 0;
	keeps = false;
	disk_errors = 0;
	memset(&pool, 0, sizeof(pool));
	pool.drops_left = ~0u;
	free(mem.low);
	free(mem.high);
	mem = (struct guest_mem){ calloc(1, LOW), calloc(1, HIGH), LOW, HIGH };
	if (disk.fd > 0)
		close(disk.fd);
	disk.fd = memfd_create("disk", 0);
	assert_int_equal(ftruncate(disk.fd, DISK), 0);
	disk.size = DISK;
	disk.read_only = read_only;
	for (i = 0; i < PAIRS; i++) {
		if (wires[i] >= 0)
			close(wires[i]);
		if (nic.fd[i] > 0)
			close(nic.fd[i]);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET |
					    SOCK_NONBLOCK, 0, pair), 0);
		wires[i] = pair[0];
		nic.fd[i] = pair[1];
	}
	memset(&mmio, 0, sizeof(mmio));
	pci_init(&pci, &mmio);
	assert_int_equal(blk_init(&blk, &disk, 2, &pci, &mem), 0);
	assert_int_equal(net_init(&net, &nic, &pci, &mem), 0);
	assert_int_equal(rng_init(&rng, &pci, &mem), 0);
	assert_int_equal(console_init(&console, 2, &pci, &mem), 0);
	assert_int_equal(vsock_init(&vsock, 5, &pci, &mem), 0);
	assert_int_equal(cd_init(&cd, &disk, &pci, &mem), 0);
	assert_int_equal(balloon_init(&balloon, PAGES(LOW + HIGH), &pci, &mem),
			 0);
}

/* What the main thread does after board_kick(). */
static inline void serve_kicks(void)
{
	unsigned n = 0, i;

	while (board.kicks && n++ < 1000) {
		u64 k = board.kicks;

		board.kicks = 0;
		for (i = 0; i < DEVICES; i++)
			if (k & BIT(devices[i]->slot)) {
				virtio_serve(devices[i]);
				k &= ~BIT(devices[i]->slot);
			}
		assert_int_equal(k, 0);
	}
}

#endif
