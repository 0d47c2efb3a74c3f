/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm_virtio.h -- a small machine for virtio devices under test: guest memory
 * in heap blocks of its exact size, a PCI bus, a disk whose requests wait
 * until they are told to finish, a socket pair as a tap, and random numbers.
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

#define LOW	(256 * KiB)
#define HIGH	(64 * KiB)
#define DISK	(64 * KiB + 100)	/* not a whole number of sectors */

static struct bus mmio;
static struct pci pci;
static struct guest_mem mem;
static struct blk blk;
static struct net net;
static struct rng rng;
static struct disk disk = { .path = "test", .serial = "serial-number-of-20" };
static struct nic nic = { .mac = { 0x4a, 0x6f, 1, 2, 3, 4 } };
static int wire = -1;		/* the tap's other side */

/* ---- io.c's place ---- */

#define OPS_MAX	(2 * BLK_REQUESTS)
static struct io_op *ops[OPS_MAX];
static unsigned ops_count;
static bool io_fails;

void io_submit(struct io_op *op)
{
	assert_true(ops_count < OPS_MAX);
	ops[ops_count++] = op;
}

static inline void io_do(struct io_op *op)
{
	static const u8 zeros[4096];
	ssize_t n = 0;
	u64 at;

	op->error = 0;
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
	if (io_fails)
		op->error = -EIO;
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

/* ---- the machine ---- */

static inline void virtio_machine(bool read_only)
{
	int pair[2];

	board_clear();
	board.watched = -1;
	ops_count = 0;
	io_fails = false;
	free(mem.low);
	free(mem.high);
	mem = (struct guest_mem){ calloc(1, LOW), calloc(1, HIGH), LOW, HIGH };
	if (disk.fd > 0)
		close(disk.fd);
	disk.fd = memfd_create("disk", 0);
	assert_int_equal(ftruncate(disk.fd, DISK), 0);
	disk.size = DISK;
	disk.read_only = read_only;
	if (wire >= 0)
		close(wire);
	if (nic.fd > 0)
		close(nic.fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0,
				    pair), 0);
	wire = pair[0];
	nic.fd = pair[1];
	memset(&mmio, 0, sizeof(mmio));
	pci_init(&pci, &mmio);
	assert_int_equal(blk_init(&blk, &disk, 2, &pci, &mem), 0);
	assert_int_equal(net_init(&net, &nic, &pci, &mem), 0);
	assert_int_equal(rng_init(&rng, &pci, &mem), 0);
}

/* What the main thread does after board_kick(). */
static inline void serve_kicks(void)
{
	unsigned n = 0;

	while (board.kicks && n++ < 1000) {
		u64 k = board.kicks;

		board.kicks = 0;
		if (k & BIT(blk.virtio.slot))
			virtio_serve(&blk.virtio);
		if (k & BIT(net.virtio.slot))
			virtio_serve(&net.virtio);
		if (k & BIT(rng.virtio.slot))
			virtio_serve(&rng.virtio);
		assert_int_equal(k & ~(BIT(blk.virtio.slot) |
				       BIT(net.virtio.slot) |
				       BIT(rng.virtio.slot)), 0);
	}
}

#endif
