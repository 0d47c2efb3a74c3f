/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io.c -- file I/O by io_uring.
 *
 * A transfer may stop part-way: it goes on where it stopped.  Not every file
 * system can punch holes or make zeros: then the next best way is taken, and
 * zeros are written in the end.
 *
 * A hole in a block device would be written zeros: what it calls a discard is a
 * request of its own, which waits, and which no ring of Linux 6.1 can do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "io.h"

#define ENTRIES		128
#define ZEROS		(64 * KiB)

static struct io_uring ring;
static struct io_op *waiting, **waiting_end = &waiting;
static int event;

/*
 * The ring can do these and no more: open() or connect() by it would pass
 * every filter of system calls.
 */
static int restrict_ring(void)
{
	static const u8 ops[] = {
		IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
		IORING_OP_FALLOCATE,
	};
	struct io_uring_restriction r[ARRAY_SIZE(ops)] = { 0 };
	unsigned i;
	int err;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		r[i].opcode = IORING_RESTRICTION_SQE_OP;
		r[i].sqe_op = ops[i];
	}
	err = io_uring_register_restrictions(&ring, r, ARRAY_SIZE(r));
	return err < 0 ? err : io_uring_enable_rings(&ring);
}

int io_init(void)
{
	int err = io_uring_queue_init(ENTRIES, &ring, IORING_SETUP_R_DISABLED);

	if (err < 0)
		return err;
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		return -errno;
	err = io_uring_register_eventfd(&ring, event);
	if (err >= 0)
		err = restrict_ring();
	return err < 0 ? err : event;
}

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define RANGE	(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

/* fallocate() modes in the order they are tried; 0: there is no more. */
static int zero_mode(const struct io_op *op)
{
	static const int modes[][3] = {
		[IO_DISCARD] = { PUNCH, 0 },
		[IO_ZERO] = { RANGE, 0 },
		[IO_ZERO_FREE] = { PUNCH, RANGE, 0 },
	};

	return modes[op->kind][op->attempt];
}

static void prepare(struct io_uring_sqe *sqe, struct io_op *op)
{
	static u8 zeros[ZEROS];

	switch (op->syncing ? IO_SYNC : op->kind) {
	case IO_READ:
		io_uring_prep_readv(sqe, op->fd, op->iov, op->count,
				    op->offset);
		break;
	case IO_WRITE:
		io_uring_prep_writev2(sqe, op->fd, op->iov, op->count,
				      op->offset, op->durable ? RWF_DSYNC : 0);
		break;
	case IO_SYNC:
		io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		if (zero_mode(op)) {
			io_uring_prep_fallocate(sqe, op->fd, zero_mode(op),
						(off_t)op->offset,
						(off_t)op->len);
			break;
		}
		op->zeros.iov_base = zeros;
		op->zeros.iov_len = MIN(op->len, ZEROS);
		io_uring_prep_writev2(sqe, op->fd, &op->zeros, 1, op->offset,
				      op->durable ? RWF_DSYNC : 0);
		break;
	}
	io_uring_sqe_set_data(sqe, op);
}

/* Into the ring, as many as there is room for. */
static void fill(void)
{
	struct io_uring_sqe *sqe;
	struct io_op *op;

	while ((op = waiting)) {
		sqe = io_uring_get_sqe(&ring);
		if (!sqe)
			return;
		waiting = op->next;
		if (!waiting)
			waiting_end = &waiting;
		prepare(sqe, op);
	}
}

static void enqueue(struct io_op *op)
{
	op->next = NULL;
	*waiting_end = op;
	waiting_end = &op->next;
}

/* ---- discards of block devices ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct io_op *todo, *done;	/* [lock], the last one first */
} discards = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL };

static void *discard_all(void *arg)
{
	struct io_op *op;

	(void)arg;
	pthread_mutex_lock(&discards.lock);
	for (;;) {
		op = discards.todo;
		if (!op) {
			pthread_cond_wait(&discards.work, &discards.lock);
			continue;
		}
		discards.todo = op->next;
		pthread_mutex_unlock(&discards.lock);
		op->error = ioctl(op->fd, BLKDISCARD, (u64 []){
				  op->offset, op->len }) ? -errno : 0;
		pthread_mutex_lock(&discards.lock);
		op->next = discards.done;
		discards.done = op;
		eventfd_write(event, 1);
	}
	return NULL;
}

int io_start_discards(void)
{
	pthread_t t;

	return -pthread_create(&t, NULL, discard_all, NULL);
}

static void discard_later(struct io_op *op)
{
	pthread_mutex_lock(&discards.lock);
	op->next = discards.todo;
	discards.todo = op;
	pthread_cond_signal(&discards.work);
	pthread_mutex_unlock(&discards.lock);
}

static void reap_discards(void)
{
	struct io_op *op, *next;

	pthread_mutex_lock(&discards.lock);
	op = discards.done;
	discards.done = NULL;
	pthread_mutex_unlock(&discards.lock);
	for (; op; op = next) {
		next = op->next;
		/* A hint; EINVAL: not in multiples of the device's blocks. */
		if (op->error == -EOPNOTSUPP || op->error == -EINVAL)
			op->error = 0;
		op->done(op);
	}
}

void io_submit(struct io_op *op)
{
	op->attempt = 0;
	op->syncing = false;
	if (op->kind == IO_DISCARD && op->device)
		discard_later(op);
	else
		enqueue(op);
}

void io_flush(void)
{
	do {
		fill();
		if (!io_uring_sq_ready(&ring))
			return;
	} while (io_uring_submit(&ring) > 0);
	/* Refused for now: completions wait, and io_reap() comes back here. */
}

static void advance(struct io_op *op, u64 n)
{
	op->offset += n;
	op->len -= n;
	while (op->count && n >= op->iov->iov_len) {
		n -= op->iov->iov_len;
		op->iov++;
		op->count--;
	}
	if (op->count && n) {
		op->iov->iov_base = (u8 *)op->iov->iov_base + n;
		op->iov->iov_len -= n;
	}
}

/* What an answer means: true: to be submitted again, for the rest. */
static bool goes_on(struct io_op *op, int res)
{
	bool zeroing = op->kind >= IO_DISCARD;

	op->error = res < 0 ? res : 0;
	if (res == -EINTR || res == -EAGAIN)
		return true;
	if (op->syncing)
		return false;
	if (zeroing && zero_mode(op)) {
		/* EINVAL: not in multiples of the medium's blocks. */
		if (!res && op->durable && op->kind != IO_DISCARD) {
			op->syncing = true;
			return true;
		}
		if (res != -EOPNOTSUPP && res != -EINVAL && res != -ENOSYS)
			return false;
		op->attempt++;
		op->error = 0;
		/* To discard is a hint. */
		return op->kind != IO_DISCARD;
	}
	if (res < 0 || op->kind == IO_SYNC)
		return false;
	if (!res && op->len)
		op->error = -EIO;	/* the file has become shorter */
	else if ((u64)res > op->len)
		op->error = -EIO;
	else
		advance(op, (u64)res);
	return !op->error && op->len;
}

void io_reap(void)
{
	struct io_uring_cqe *cqe;
	struct io_op *op;
	eventfd_t count;
	int res;

	eventfd_read(event, &count);
	reap_discards();
	while (!io_uring_peek_cqe(&ring, &cqe)) {
		op = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&ring, cqe);
		if (goes_on(op, res))
			enqueue(op);
		else
			op->done(op);
	}
}
