/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_blk.c -- virtio's "Block Device".
 *
 * A flush is done when the host's fdatasync() is.  A driver that does not
 * negotiate flushes gets writes that are durable each.
 */
#include <errno.h>
#include <string.h>

#include "blk_numbers.h"
#include "board.h"
#include "vhost_blk.h"
#include "virtio_blk.h"

#define HEADER_LEN	16
#define RANGE_LEN	16
#define RANGE_MAX	(2 * GiB / BLK_SECTOR)	/* sectors of a discard */
#define CLASS_DISK	0x010000

static void finish(struct blk_request *r, u8 status)
{
	struct blk *b = r->blk;

	*r->status = status;
	virtq_put(&b->virtio, r->queue, r->chain.head,
		  status == S_OK ? r->written : 1);
	r->next = b->free;
	b->free = r;
	if (b->stalled) {
		b->stalled = false;
		board_kick(b->virtio.slot);
	}
}

/*
 * Could it succeed once there is room?  A daemon does not say what it has met.
 * A flush could not: what it has failed to write is forgotten by the host, and
 * the next one would succeed without it.
 */
static bool lacks_room(const struct blk *b, const struct io_op *op)
{
	if (op->kind != IO_WRITE && op->kind != IO_ZERO &&
	    op->kind != IO_ZERO_FREE)
		return false;
	return op->error == -ENOSPC || op->error == -EDQUOT ||
	       (op->error == -EIO && b->daemon && !b->daemon->gone);
}

static void done(struct io_op *op)
{
	struct blk_request *r = (struct blk_request *)op;
	struct blk *b = r->blk;

	if (op->error && board_disk_error(b->disk, op, lacks_room(b, op))) {
		r->next = b->kept;
		b->kept = r;
		return;
	}
	finish(r, op->error ? S_IOERR : S_OK);
	virtq_signal(&b->virtio, r->queue);
}

static void hand_over(struct blk_request *r)
{
	if (r->blk->daemon)
		vhost_blk_submit(r->blk->daemon, &r->op);
	else
		io_submit(&r->op);
}

void blk_retry(struct blk *b)
{
	struct blk_request *r = b->kept, *next;

	b->kept = NULL;
	for (; r; r = next) {
		next = r->next;
		hand_over(r);
	}
}

static void submit(struct blk_request *r, enum io_kind kind, u64 sector,
		   u64 len)
{
	struct io_op *op = &r->op;

	op->kind = kind;
	op->fd = r->blk->disk->fd;
	op->offset = sector * BLK_SECTOR;
	op->len = len;
	op->device = r->blk->disk->device.is;
	op->durable = !virtio_has(&r->blk->virtio, F_FLUSH);
	op->done = done;
	hand_over(r);
}

/* Is [sector, sector + count) on the disk? */
static bool on_disk(const struct blk *b, u64 sector, u64 count)
{
	return sector <= b->sectors && count <= b->sectors - sector;
}

static void transfer(struct blk_request *r, enum io_kind kind, u64 sector,
		     struct iovec *iov, unsigned count)
{
	u64 len = iov_len(iov, count);

	if (len % BLK_SECTOR || !on_disk(r->blk, sector, len / BLK_SECTOR) ||
	    (kind == IO_WRITE && r->blk->disk->read_only)) {
		finish(r, S_IOERR);
		return;
	}
	if (!len) {
		finish(r, S_OK);
		return;
	}
	if (kind == IO_READ)
		r->written += (u32)len;
	r->op.iov = iov;
	r->op.count = count;
	submit(r, kind, sector, len);
}

/* DISCARD and WRITE_ZEROES, of one range. */
static void clear_range(struct blk_request *r, bool zeroes, struct iovec *iov,
			unsigned count)
{
	u8 range[RANGE_LEN];
	u64 sector, sectors;
	u32 flags;

	if (iov_len(iov, count) != RANGE_LEN) {
		finish(r, S_IOERR);
		return;
	}
	iov_take(&iov, &count, range, RANGE_LEN);
	sector = get64(range);
	sectors = get32(range + 8);
	flags = get32(range + 12);
	if (flags & ~(zeroes ? RANGE_UNMAP : 0)) {
		finish(r, S_UNSUPP);
		return;
	}
	if (r->blk->disk->read_only || !on_disk(r->blk, sector, sectors) ||
	    sectors > RANGE_MAX) {
		finish(r, S_IOERR);
		return;
	}
	if (!sectors) {
		finish(r, S_OK);
		return;
	}
	r->op.count = 0;
	submit(r, !zeroes ? IO_DISCARD : flags ? IO_ZERO_FREE : IO_ZERO,
	       sector, sectors * BLK_SECTOR);
}

static void get_id(struct blk_request *r, struct iovec *iov, unsigned count)
{
	u64 len = MIN(iov_len(iov, count), (u64)BLK_SERIAL);
	char id[BLK_SERIAL] = { 0 };

	memcpy(id, r->blk->disk->serial, strlen(r->blk->disk->serial));
	iov_give(&iov, &count, id, len);
	r->written += (u32)len;
	finish(r, S_OK);
}

/* The status is the last byte the device may write; false: there is none. */
static bool take_status(struct blk_request *r)
{
	struct virtq_chain *c = &r->chain;
	struct iovec *last;

	if (!c->in)
		return false;
	last = &c->iov[c->out + c->in - 1];
	r->status = (u8 *)last->iov_base + --last->iov_len;
	if (!last->iov_len)
		c->in--;
	r->written = 1;
	return true;
}

static void start(struct blk_request *r)
{
	struct virtq_chain *c = &r->chain;
	struct iovec *out = c->iov, *in = c->iov + c->out;
	unsigned outs = c->out;
	u8 header[HEADER_LEN], none;
	u64 sector;

	if (!take_status(r) || !iov_take(&out, &outs, header, HEADER_LEN)) {
		virtio_break(&r->blk->virtio);
		r->status = &none;
		finish(r, S_IOERR);
		return;
	}
	sector = get64(header + 8);
	switch (get32(header)) {
	case T_IN:
		transfer(r, IO_READ, sector, in, c->in);
		break;
	case T_OUT:
		transfer(r, IO_WRITE, sector, out, outs);
		break;
	case T_FLUSH:
		submit(r, IO_SYNC, 0, 0);
		break;
	case T_GET_ID:
		get_id(r, in, c->in);
		break;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		clear_range(r, get32(header) == T_WRITE_ZEROES, out, outs);
		break;
	default:
		finish(r, S_UNSUPP);
		break;
	}
}

static void blk_serve(struct virtio *v, unsigned queue)
{
	struct blk *b = (struct blk *)v;
	struct blk_request *r;
	unsigned n = 0;

	while ((r = b->free) && virtq_next(v, queue, &r->chain, &n)) {
		b->free = r->next;
		r->queue = (u16)queue;
		start(r);
	}
	if (!r)
		b->stalled = true;
	virtq_signal(v, queue);
}

static const struct virtio_model blk_model = {
	.id = VIRTIO_ID_BLOCK,
	.class = CLASS_DISK,
	.serve = blk_serve,
};

static void discards_init(struct virtio *v, const struct disk_device *d)
{
	if (d->is && !d->discard)
		return;
	v->offered |= F_DISCARD;
	put32(v->config + B_DISCARD_MAX, RANGE_MAX);
	put32(v->config + B_DISCARD_SEGS, 1);
	put32(v->config + B_DISCARD_ALIGN, MAX(d->discard / BLK_SECTOR, 1u));
}

/* In blocks of 512 bytes, as ours are; but the first field is a power of two. */
static void topology_init(struct virtio *v, const struct disk_device *d)
{
	u32 block = MAX(d->block, BLK_SECTOR);

	if (!d->is)
		return;
	v->offered |= F_TOPOLOGY;
	v->config[B_BLOCK_EXP] = (u8)__builtin_ctz(block / BLK_SECTOR);
	v->config[B_BLOCK_ALIGN] = (u8)(d->align % block / BLK_SECTOR);
	put16(v->config + B_IO_MIN, (u16)MIN(d->io_min / BLK_SECTOR, 0xffffu));
	put32(v->config + B_IO_BEST, d->io_best / BLK_SECTOR);
}

int blk_init(struct blk *b, const struct disk *disk, unsigned queues,
	     struct pci *pci, const struct guest_mem *mem)
{
	struct virtio *v = &b->virtio;
	unsigned i;

	memset(b, 0, sizeof(*b));
	b->disk = disk;
	b->sectors = disk->size / BLK_SECTOR;
	for (i = 0; i < BLK_REQUESTS; i++) {
		b->request[i].blk = b;
		b->request[i].next = b->free;
		b->free = &b->request[i];
	}
	v->queues = MIN(queues, VIRTIO_QUEUES);
	v->offered = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_MQ |
		     (disk->read_only ? F_RO : F_WRITE_ZEROES);
	v->config_len = B_LEN;
	put64(v->config + B_CAPACITY, b->sectors);
	/* A request has a header and a status besides. */
	put32(v->config + B_SEG_MAX, disk->segments ? disk->segments :
	      VIRTQ_CHAIN - 2);
	put32(v->config + B_BLK_SIZE, BLK_SECTOR);
	put16(v->config + B_QUEUES, (u16)v->queues);
	topology_init(v, &disk->device);
	if (!disk->read_only) {
		discards_init(v, &disk->device);
		put32(v->config + B_ZEROES_MAX, RANGE_MAX);
		put32(v->config + B_ZEROES_SEGS, 1);
		v->config[B_ZEROES_UNMAP] = 1;
	}
	return virtio_init(v, &blk_model, pci, mem);
}
