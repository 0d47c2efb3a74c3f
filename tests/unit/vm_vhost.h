/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm_vhost.h -- guest memory as another process can have it, and operations on
 * it, for tests of disks that other processes serve.
 */
#ifndef TEST_VM_VHOST_H
#define TEST_VM_VHOST_H

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>

/* Who does not answer says so here, however slow the host: then time is over. */
#include <poll.h>
static bool silent;

static inline int poll_silent(struct pollfd *p, nfds_t n)
{
	int got;

	while (!(got = poll(p, n, 10)) &&
	       !__atomic_load_n(&silent, __ATOMIC_ACQUIRE))
		;
	return got;
}
#define poll(p, n, ms)	((void)(ms), poll_silent(p, n))

#include "guests/control/joist-vm/vhost_blk.c"
#include "guests/control/joist-vm/vhost_user.c"

#define LOW	(256 * KiB)
#define HIGH	(64 * KiB)

static struct guest_mem mem;
static int segments[2] = { -1, -1 };

static inline u8 *segment_make(unsigned i, u64 size)
{
	if (segments[i] >= 0)
		close(segments[i]);
	segments[i] = memfd_create("segment", MFD_CLOEXEC);
	assert_int_equal(ftruncate(segments[i], (off_t)size), 0);
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    segments[i], 0);
}

static inline void memory_make(void)
{
	if (mem.low) {
		munmap(mem.low, LOW);
		munmap(mem.high, HIGH);
	}
	mem = (struct guest_mem){ segment_make(0, LOW), segment_make(1, HIGH),
				  LOW, HIGH };
	assert_ptr_not_equal(mem.low, MAP_FAILED);
	assert_ptr_not_equal(mem.high, MAP_FAILED);
}

static inline void blk_end(struct vhost_blk *b)
{
	if (b->area)
		munmap(b->area, AREA_LEN);
	if (b->area_fd >= 0)
		close(b->area_fd);
	if (b->kick >= 0)
		close(b->kick);
	if (b->call >= 0)
		close(b->call);
	b->area = NULL;
	b->area_fd = b->kick = b->call = -1;
}

/* ---- operations ---- */

#define TEST_SEGMENTS	300

struct test_op {
	struct io_op op;
	unsigned done;		/* how many times */
	struct iovec iov[TEST_SEGMENTS];
};

static void op_done(struct io_op *op)
{
	((struct test_op *)op)->done++;
}

static inline void op_make(struct test_op *t, enum io_kind kind, u64 offset,
			   u64 len)
{
	memset(t, 0, sizeof(*t));
	t->op = (struct io_op){
		.kind = kind, .fd = -1, .offset = offset, .len = len,
		.iov = t->iov, .done = op_done, .error = 1,
	};
}

static inline void op_buffer(struct test_op *t, u8 *p, size_t len)
{
	t->iov[t->op.count++] = (struct iovec){ p, len };
}

#endif
