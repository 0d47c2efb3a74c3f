/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io.h -- file I/O that goes on beside the guest, by io_uring.
 *
 * One thread, the main one, calls all of this, and done() is called in it.
 */
#ifndef VM_IO_H
#define VM_IO_H

#include <sys/uio.h>

#include "guests/control/lib/util.h"

enum io_kind {
	IO_READ,
	IO_WRITE,
	IO_SYNC,	/* what has been written is on the medium afterwards */
	IO_DISCARD,	/* the content does not matter any more */
	IO_ZERO,	/* reads as zeros, the room stays taken */
	IO_ZERO_FREE,	/* reads as zeros, the room may be given back */
};

/* Lives from io_submit() until done() is called. */
struct io_op {
	enum io_kind kind;
	int fd;
	u64 offset, len;
	struct iovec *iov;	/* of READ and WRITE: len bytes; consumed */
	unsigned count;
	bool durable;		/* what is written is on the medium when done */
	bool device;		/* fd is a block device */
	int error;		/* at done(): 0 or -errno */
	void (*done)(struct io_op *op);

	/* io.c's own. */
	unsigned attempt;	/* which way of making zeros */
	bool syncing;		/* they are made, and not durable yet */
	struct iovec zeros;
	struct io_op *next;	/* waits for room in the ring */
};

/* Gives a descriptor that is readable when io_reap() has work; or -errno. */
int io_init(void);
/*
 * Before a DISCARD of a block device is submitted: a thread does those.  0 or
 * -errno.
 */
int io_start_discards(void);
void io_submit(struct io_op *op);
/* Hand what was submitted to the kernel. */
void io_flush(void);
/* Call done() of what is finished. */
void io_reap(void);

#endif
