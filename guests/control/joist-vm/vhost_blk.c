/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_blk.c -- the driver's side of virtio's "Block Device", to a process
 * that serves a disk by vhost-user.
 *
 * Descriptor i is slot i's, and names its table of descriptors, so that there
 * is nothing to allocate.  The other process can write to all of it at any
 * time: nothing but the used ring and the status is read, once, and checked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blk_numbers.h"
#include "vhost_blk.h"
#include "virtio_blk.h"

#define SLOTS		VHOST_BLK_SLOTS
#define TABLE_ENTRIES	256
#define SEGMENTS_MAX	(TABLE_ENTRIES - 2)	/* a header, a status */

/* The area, and where it is to the other process: above any guest's memory. */
#define AREA_GPA	BIT(56)
#define DESC_AT		0u
#define AVAIL_AT	1024u
#define USED_AT		2048u
#define REQUEST_AT	4096u
#define REQUEST_LEN	64u
#define TABLE_AT	(REQUEST_AT + SLOTS * REQUEST_LEN)
#define TABLE_LEN	(TABLE_ENTRIES * DESC_LEN)
#define AREA_LEN	(TABLE_AT + SLOTS * TABLE_LEN)
_Static_assert(DESC_AT + SLOTS * DESC_LEN <= AVAIL_AT, "the area");
_Static_assert(AVAIL_AT + RING_ENTRIES + 2 * SLOTS <= USED_AT, "the area");
_Static_assert(USED_AT + RING_ENTRIES + 8 * SLOTS <= REQUEST_AT, "the area");

/* In a request's place there. */
#define R_HEADER	0u
#define R_RANGE		16u
#define R_STATUS	32u

/* ---- the start ---- */

/*
 * Not VIRTIO_EVENT_IDX: libvhost-user of QEMU 7.2 has no barrier between what
 * it writes there and its next look at the ring, so that a kick could be lost.
 */
#define NEEDED		(F_SEG_MAX | F_FLUSH | F_CONFIG_WCE | \
			 VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC)

static int ask(struct vhost_user *u, bool read_only,
	       struct vhost_blk_info *info, u64 *range_max)
{
	const u64 writes = F_DISCARD | F_WRITE_ZEROES;
	u64 features = F_RO;
	u8 c[B_LEN];
	u64 sectors;
	int err;

	err = vhost_user_start(u, NEEDED | (read_only ? 0 : writes),
			       &features);
	if (!err)
		err = vhost_user_config(u, c, sizeof(c));
	if (err)
		return err;
	if (!read_only && (features & F_RO))
		return -EROFS;
	sectors = get64(c + B_CAPACITY);
	info->segments = MIN(get32(c + B_SEG_MAX), SEGMENTS_MAX);
	*range_max = (u64)MIN(get32(c + B_DISCARD_MAX),
			      get32(c + B_ZEROES_MAX)) * BLK_SECTOR;
	if (sectors > INT64_MAX / BLK_SECTOR || !info->segments ||
	    (!read_only && !*range_max))
		return -EPROTO;
	info->size = sectors * BLK_SECTOR;
	return 0;
}

int vhost_blk_ask(int fd, bool read_only, struct vhost_blk_info *info,
		  const char **step)
{
	struct vhost_user u = { .fd = fd };
	u64 range_max;
	int err = ask(&u, read_only, info, &range_max);

	*step = u.step;
	return err;
}

/* Of a size that cannot change: else who has it could make us fault. */
static int area_make(struct vhost_blk *b)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	unsigned i;
	u8 *d;

	b->area_fd = memfd_create("disk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (b->area_fd < 0 || ftruncate(b->area_fd, AREA_LEN) ||
	    fcntl(b->area_fd, F_ADD_SEALS, seals))
		return -errno;
	b->area = mmap(NULL, AREA_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		       b->area_fd, 0);
	if (b->area == MAP_FAILED) {
		b->area = NULL;
		return -errno;
	}
	for (i = 0; i < SLOTS; i++) {
		d = b->area + DESC_AT + i * DESC_LEN;
		put64(d, AREA_GPA + TABLE_AT + i * TABLE_LEN);
		put16(d + 12, DESC_INDIRECT);
	}
	return 0;
}

static int give_memory(struct vhost_blk *b, const int segment[2])
{
	const struct vhost_user_region region[] = {
		{ b->area_fd, AREA_GPA, AREA_LEN, b->area },
		{ segment[0], 0, b->mem->low_size, b->mem->low },
		{ segment[1], MEM_HIGH_BASE, b->mem->high_size, b->mem->high },
	};

	return vhost_user_memory(&b->user, region, b->mem->high_size ? 3 : 2);
}

static int give_queue(struct vhost_blk *b)
{
	struct vhost_user_queue q = {
		.desc = b->area + DESC_AT, .avail = b->area + AVAIL_AT,
		.used = b->area + USED_AT, .size = SLOTS,
	};

	b->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->kick < 0 || b->call < 0)
		return -errno;
	q.kick = b->kick;
	q.call = b->call;
	return vhost_user_queue(&b->user, &q);
}

static void clear(struct vhost_blk *b, int fd)
{
	memset(b, 0, sizeof(*b));
	b->user.fd = fd;
	b->area_fd = b->kick = b->call = -1;
	b->waiting_end = &b->waiting;
}

int vhost_blk_start(struct vhost_blk *b, int fd, bool read_only,
		    const struct guest_mem *mem, const int segment[2])
{
	int err;

	clear(b, fd);
	b->mem = mem;
	err = ask(&b->user, read_only, &b->info, &b->range_max);
	if (!err)
		err = area_make(b);
	/* A flush of ours makes durable; without that each write would be. */
	if (!err && !read_only)
		err = vhost_user_config_set(&b->user, B_WCE, 1);
	if (!err)
		err = give_memory(b, segment);
	if (!err)
		err = give_queue(b);
	return err;
}

void vhost_blk_start_gone(struct vhost_blk *b)
{
	clear(b, -1);
	b->lost = b->gone = true;
}

/* ---- requests ---- */

static u8 *request_of(const struct vhost_blk *b, unsigned i)
{
	return b->area + REQUEST_AT + i * REQUEST_LEN;
}

/* Descriptors of slot i's table, so far. */
struct chain {
	u8 *table;
	unsigned count;
};

static void add(struct chain *c, u64 gpa, u64 len, u16 flags)
{
	u8 *d = c->table + c->count++ * DESC_LEN;

	put64(d, gpa);
	put32(d + 8, (u32)len);
	put16(d + 12, flags);
	put16(d + 14, (u16)c->count);
}

static bool within(const u8 *block, u64 size, const u8 *p, u64 len, u64 *at)
{
	*at = (u64)((uintptr_t)p - (uintptr_t)block);
	return (uintptr_t)p >= (uintptr_t)block && *at <= size &&
	       len <= size - *at;
}

/* The operation's buffers, which are the guest's memory. */
static int add_data(const struct vhost_blk *b, struct chain *c,
		    const struct io_op *op)
{
	const struct guest_mem *m = b->mem;
	u16 flags = DESC_NEXT | (op->kind == IO_READ ? DESC_WRITE : 0);
	const struct iovec *v;
	u64 at;

	if (op->count > b->info.segments)
		return -EINVAL;
	for (v = op->iov; v < op->iov + op->count; v++) {
		if (within(m->low, m->low_size, v->iov_base, v->iov_len, &at))
			add(c, at, v->iov_len, flags);
		else if (within(m->high, m->high_size, v->iov_base,
				v->iov_len, &at))
			add(c, MEM_HIGH_BASE + at, v->iov_len, flags);
		else
			return -EFAULT;
	}
	return 0;
}

static void add_range(const struct vhost_blk *b, struct chain *c, unsigned i)
{
	const struct io_op *op = b->slot[i].op;
	u8 *range = request_of(b, i) + R_RANGE;

	put64(range, op->offset / BLK_SECTOR);
	put32(range + 8, (u32)(b->slot[i].part / BLK_SECTOR));
	put32(range + 12, op->kind == IO_ZERO_FREE ? RANGE_UNMAP : 0);
	add(c, AREA_GPA + (u64)(range - b->area), 16, DESC_NEXT);
}

static u32 type_of(const struct vhost_blk_slot *s)
{
	static const u32 types[] = {
		[IO_READ] = T_IN, [IO_WRITE] = T_OUT, [IO_SYNC] = T_FLUSH,
		[IO_DISCARD] = T_DISCARD, [IO_ZERO] = T_WRITE_ZEROES,
		[IO_ZERO_FREE] = T_WRITE_ZEROES,
	};

	return s->flushing ? T_FLUSH : types[s->op->kind];
}

static u16 *ring_at(const struct vhost_blk *b, unsigned at)
{
	return (u16 *)(void *)(b->area + at);
}

/* What the slot is at now, to the other process; or -errno. */
static int issue(struct vhost_blk *b, unsigned i)
{
	struct vhost_blk_slot *s = &b->slot[i];
	struct chain c = { b->area + TABLE_AT + i * TABLE_LEN, 0 };
	u8 *r = request_of(b, i);
	u32 type = type_of(s);
	int err = 0;

	put32(r + R_HEADER, type);
	put32(r + R_HEADER + 4, 0);
	put64(r + R_HEADER + 8, s->op->offset / BLK_SECTOR);
	r[R_STATUS] = 0xff;
	add(&c, AREA_GPA + (u64)(r + R_HEADER - b->area), 16, DESC_NEXT);
	if (type == T_IN || type == T_OUT) {
		err = add_data(b, &c, s->op);
	} else if (type != T_FLUSH) {
		s->part = MIN(s->op->len, b->range_max);
		add_range(b, &c, i);
	}
	if (err)
		return err;
	add(&c, AREA_GPA + (u64)(r + R_STATUS - b->area), 1, DESC_WRITE);
	put32(b->area + DESC_AT + i * DESC_LEN + 8, c.count * DESC_LEN);
	*ring_at(b, AVAIL_AT + RING_ENTRIES + 2 * (b->avail % SLOTS)) = (u16)i;
	b->avail++;
	b->busy++;
	__atomic_store_n(ring_at(b, AVAIL_AT + RING_IDX), b->avail,
			 __ATOMIC_RELEASE);
	return 0;
}

static void enqueue(struct vhost_blk *b, struct io_op *op)
{
	op->next = NULL;
	*b->waiting_end = op;
	b->waiting_end = &op->next;
}

static struct io_op *dequeue(struct vhost_blk *b)
{
	struct io_op *op = b->waiting;

	b->waiting = op->next;
	if (!b->waiting)
		b->waiting_end = &b->waiting;
	return op;
}

static void end(struct vhost_blk_slot *s, int error)
{
	struct io_op *op = s->op;

	s->op = NULL;
	op->error = error;
	op->done(op);
}

/* Into slots, as many as there are. */
static void fill(struct vhost_blk *b)
{
	struct vhost_blk_slot *s;
	int err;

	for (s = b->slot; s < b->slot + SLOTS && b->waiting && !b->lost; s++) {
		if (s->op)
			continue;
		s->op = dequeue(b);
		s->flushing = false;
		err = issue(b, (unsigned)(s - b->slot));
		if (err)
			end(s, err);
	}
}

void vhost_blk_submit(struct vhost_blk *b, struct io_op *op)
{
	if (b->gone) {
		op->error = -EIO;
		op->done(op);
		return;
	}
	enqueue(b, op);
	fill(b);
}

void vhost_blk_flush(struct vhost_blk *b)
{
	if (b->told == b->avail || b->lost)
		return;
	b->told = b->avail;
	eventfd_write(b->kick, 1);
}

/* Is there more to do in that slot? */
static bool goes_on(struct vhost_blk_slot *s, int *error)
{
	struct io_op *op = s->op;

	/* To discard is a hint. */
	if (op->kind == IO_DISCARD && *error == -EOPNOTSUPP)
		*error = 0;
	if (*error || s->flushing || op->kind == IO_READ ||
	    op->kind == IO_SYNC)
		return false;
	if (op->kind != IO_WRITE) {
		op->offset += s->part;
		op->len -= s->part;
		if (op->len)
			return true;
	}
	s->flushing = op->durable;
	return op->durable;
}

static void finish(struct vhost_blk *b, unsigned i)
{
	struct vhost_blk_slot *s = &b->slot[i];
	u8 status = __atomic_load_n(request_of(b, i) + R_STATUS,
				    __ATOMIC_RELAXED);
	int error = status == S_OK ? 0 :
		    status == S_UNSUPP ? -EOPNOTSUPP : -EIO;

	b->busy--;
	if (goes_on(s, &error)) {
		error = issue(b, i);
		if (!error)
			return;
	}
	end(s, error);
}

/* False: no such request is under way. */
static bool take_used(struct vhost_blk *b)
{
	const u8 *entry = b->area + USED_AT + RING_ENTRIES +
			  8 * (b->used % SLOTS);
	u32 id = __atomic_load_n((const u32 *)(const void *)entry,
				 __ATOMIC_RELAXED);

	if (id >= SLOTS || !b->slot[id].op)
		return false;
	b->used++;
	finish(b, id);
	return true;
}

bool vhost_blk_reap(struct vhost_blk *b)
{
	eventfd_t count;
	u16 idx;

	if (b->lost)
		return true;
	eventfd_read(b->call, &count);
	idx = __atomic_load_n(ring_at(b, USED_AT + RING_IDX),
			      __ATOMIC_ACQUIRE);
	b->lost = (u16)(idx - b->used) > b->busy;
	while (!b->lost && b->used != idx)
		b->lost = !take_used(b);
	fill(b);
	return !b->lost;
}

void vhost_blk_lost(struct vhost_blk *b)
{
	b->lost = true;
}

void vhost_blk_gone(struct vhost_blk *b)
{
	struct vhost_blk_slot *s;

	b->lost = b->gone = true;
	for (s = b->slot; s < b->slot + SLOTS; s++)
		if (s->op)
			end(s, -EIO);
	b->busy = 0;
	while (b->waiting) {
		struct io_op *op = dequeue(b);

		op->error = -EIO;
		op->done(op);
	}
}
