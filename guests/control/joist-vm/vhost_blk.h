/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_blk.h -- a disk that another process serves by vhost-user: file I/O as
 * io.h has it, by a virtqueue of our own.
 *
 * That process reads and writes the guest's memory itself.  It never sees the
 * guest's queues: what a guest asks for is looked at by the device models, and
 * requests here are ours, whole, and in memory that the guest does not have.
 */
#ifndef VM_VHOST_BLK_H
#define VM_VHOST_BLK_H

#include "io.h"
#include "load.h"
#include "vhost_user.h"

#define VHOST_BLK_SLOTS		64	/* requests under way; a power of two */

/* What a disk is like. */
struct vhost_blk_info {
	u64 size;		/* bytes */
	unsigned segments;	/* buffers that a request can have, at most */
};

struct vhost_blk_slot {
	struct io_op *op;	/* NULL: free */
	bool flushing;		/* its data is written, and has to be durable */
	u64 part;		/* bytes of a DISCARD or ZERO under way */
};

struct vhost_blk {
	struct vhost_user user;
	const struct guest_mem *mem;
	struct vhost_blk_info info;
	u64 range_max;		/* bytes of a DISCARD or ZERO */
	u8 *area;		/* the queue, and what requests consist of */
	int area_fd, kick, call;
	u16 avail, used, told;	/* told: avail at the last kick */
	unsigned busy;
	bool lost;		/* not to be talked to any more */
	bool gone;		/* and what it had taken is failed */
	bool watched;		/* the caller's: somebody waits for `call` */
	struct io_op *waiting, **waiting_end;
	struct vhost_blk_slot slot[VHOST_BLK_SLOTS];
};

/*
 * Ask over a connection.  0 or -errno; *step: what was asked for then.  The
 * connection stays the caller's.
 */
int vhost_blk_ask(int fd, bool read_only, struct vhost_blk_info *info,
		  const char **step);
/*
 * Over a new connection: what is submitted is served from now on.  The
 * segments are descriptors of memory below and above 4 GiB.
 */
int vhost_blk_start(struct vhost_blk *b, int fd, bool read_only,
		    const struct guest_mem *mem, const int segment[2]);
/* One that does not answer any more. */
void vhost_blk_start_gone(struct vhost_blk *b);

/* As io.h's: one thread calls them. */
void vhost_blk_submit(struct vhost_blk *b, struct io_op *op);
void vhost_blk_flush(struct vhost_blk *b);
/* When `call` is readable; false: it has broken the rules, and is lost. */
bool vhost_blk_reap(struct vhost_blk *b);

/*
 * Lost: nothing is submitted, and what was waits, as the process may still be
 * at work in the guest's memory.  Gone: the process has ended; all of it fails,
 * and whatever comes.
 */
void vhost_blk_lost(struct vhost_blk *b);
void vhost_blk_gone(struct vhost_blk *b);

#endif
