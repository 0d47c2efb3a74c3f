/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_vhost_blk.c -- joist-vm's side of vhost-user disks, with a back-end
 * made here: one that serves a small disk, and breaks the rules when told to.
 */
#include "tests/unit/vm_vhost.h"

#include <pthread.h>
#include <stdio.h>

#define DISK		(1 * MiB)
#define RANGE_SECTORS	64u		/* of a discard */
#define SEGMENTS	20u

/* ---- the back-end ---- */

enum fault {
	NO_FAULT, CLOSES, SILENT, SHORT, BIG, OTHER_REQUEST, NO_REPLY_FLAG,
	OTHER_VERSION, REFUSES, FAULTS,
};

static struct {
	int fd;
	pthread_t thread;
	/* What it is, and does. */
	u64 features, protocol;
	u8 config[B_LEN];
	u32 bad_request;
	enum fault fault;
	/* What it was told. */
	u64 set_features, set_protocol;
	unsigned wce, owners, enabled;
	struct table table;
	u8 *map[VHOST_USER_REGIONS];
	struct addresses addr;
	u32 size, base;
	int kick, call;
	/* The queue. */
	u16 avail, used;
	unsigned types[16], requests, flushes;
	u8 status;
	u8 disk[DISK];
} far;

#define FAR_FEATURES	(F_SEG_MAX | F_FLUSH | F_CONFIG_WCE | F_DISCARD | \
			 F_WRITE_ZEROES | F_PROTOCOL_FEATURES | BIT(6) | \
			 BIT(12) | VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | \
			 VIRTIO_EVENT_IDX)

static void far_reply(u32 request, const void *payload, u32 size)
{
	struct head h = { request, VERSION | IS_REPLY, size };
	u8 more[300] = { 0 };

	if (request == far.bad_request) {
		if (far.fault == SILENT) {
			__atomic_store_n(&silent, true, __ATOMIC_RELEASE);
			return;
		}
		if (far.fault == SHORT)
			h.size = size -= 4;
		if (far.fault == BIG)
			h.size = sizeof(more);
		if (far.fault == OTHER_REQUEST)
			h.request++;
		if (far.fault == NO_REPLY_FLAG)
			h.flags &= ~IS_REPLY;
		if (far.fault == OTHER_VERSION)
			h.flags ^= 3;
	}
	memcpy(more, payload, size);
	send(far.fd, &h, sizeof(h), MSG_NOSIGNAL);
	send(far.fd, more, h.size, MSG_NOSIGNAL);
}

static void far_ack(const struct head *h)
{
	u64 result = h->request == far.bad_request && far.fault == REFUSES;

	if (h->flags & NEED_REPLY)
		far_reply(h->request, &result, sizeof(result));
}

static bool far_message(void)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(VHOST_USER_REGIONS * sizeof(int))];
	} control;
	union {
		u64 value;
		struct state state;
		struct addresses addr;
		struct table table;
		struct config config;
	} p = { 0 };
	int fds[VHOST_USER_REGIONS] = { -1 };
	struct head h;
	struct iovec iov = { &h, sizeof(h) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	unsigned i;

	if (recvmsg(far.fd, &m, MSG_WAITALL) != sizeof(h))
		return false;
	assert_int_equal(h.flags & ~NEED_REPLY, VERSION);
	assert_in_range(h.size, 0, sizeof(p));
	if (h.size)
		assert_int_equal(recv(far.fd, &p, h.size, MSG_WAITALL), h.size);
	if (m.msg_controllen)
		memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)),
		       control.head.cmsg_len - CMSG_LEN(0));
	if (h.request == far.bad_request && far.fault == CLOSES)
		return false;
	switch (h.request) {
	case GET_FEATURES:
		far_reply(h.request, &far.features, 8);
		return true;
	case GET_PROTOCOL_FEATURES:
		far_reply(h.request, &far.protocol, 8);
		return true;
	case GET_CONFIG:
		memcpy(p.config.bytes, far.config, p.config.size);
		far_reply(h.request, &p, h.size);
		return true;
	case SET_FEATURES:
		far.set_features = p.value;
		break;
	case SET_PROTOCOL_FEATURES:
		far.set_protocol = p.value;
		break;
	case SET_OWNER:
		far.owners++;
		break;
	case SET_CONFIG:
		assert_int_equal(p.config.offset, B_WCE);
		assert_int_equal(p.config.size, 1);
		far.wce = p.config.bytes[0];
		break;
	case SET_MEM_TABLE:
		far.table = p.table;
		for (i = 0; i < p.table.count; i++) {
			/* From 0 on, over offset and size: as libvhost-user. */
			far.map[i] = mmap(NULL, p.table.region[i].size +
					  p.table.region[i].offset,
					  PROT_READ | PROT_WRITE, MAP_SHARED,
					  fds[i], 0);
			assert_ptr_not_equal(far.map[i], MAP_FAILED);
			close(fds[i]);
		}
		break;
	case SET_VRING_NUM:
		far.size = p.state.value;
		break;
	case SET_VRING_BASE:
		far.base = p.state.value;
		break;
	case SET_VRING_ADDR:
		far.addr = p.addr;
		break;
	case SET_VRING_KICK:
		assert_int_equal(p.value, 0);
		far.kick = fds[0];
		break;
	case SET_VRING_CALL:
		assert_int_equal(p.value, 0);
		far.call = fds[0];
		break;
	case SET_VRING_ENABLE:
		far.enabled = p.state.value;
		break;
	default:
		fail_msg("request %u", h.request);
	}
	far_ack(&h);
	return true;
}

static void *far_main(void *arg)
{
	(void)arg;
	while (far_message())
		;
	close(far.fd);
	return NULL;
}

/* A back-end as it should be; gives our end of the connection. */
static int far_make(void)
{
	int pair[2];

	memset(&far, 0, sizeof(far));
	far.features = FAR_FEATURES;
	far.protocol = P_REPLY_ACK | P_CONFIG | BIT(0) | BIT(5);
	far.kick = far.call = -1;
	put64(far.config + B_CAPACITY, DISK / BLK_SECTOR);
	put32(far.config + B_SEG_MAX, SEGMENTS);
	put32(far.config + B_DISCARD_MAX, RANGE_SECTORS);
	put32(far.config + B_ZEROES_MAX, RANGE_SECTORS + 7);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    pair), 0);
	far.fd = pair[0];
	return pair[1];
}

static void far_start(void)
{
	assert_int_equal(pthread_create(&far.thread, NULL, far_main, NULL), 0);
}

static void far_end(int fd)
{
	unsigned i;

	close(fd);
	pthread_join(far.thread, NULL);
	for (i = 0; i < far.table.count; i++)
		munmap(far.map[i], far.table.region[i].size);
	if (far.kick >= 0)
		close(far.kick);
	if (far.call >= 0)
		close(far.call);
}

static u8 *far_at(u64 addr, u64 len, bool ours)
{
	unsigned i;

	for (i = 0; i < far.table.count; i++) {
		u64 base = ours ? far.table.region[i].at :
			   far.table.region[i].gpa;
		u64 size = far.table.region[i].size;

		if (addr >= base && addr - base <= size &&
		    len <= size - (addr - base))
			return far.map[i] + (addr - base);
	}
	fail_msg("address %llx + %llx", (unsigned long long)addr,
		 (unsigned long long)len);
	return NULL;
}

/* Data descriptors from `d` on: to or from the disk. */
static void far_transfer(const u8 *d, unsigned count, u64 at, bool in)
{
	for (; count--; d += DESC_LEN) {
		u32 len = get32(d + 8);
		u8 *p = far_at(get64(d), len, false);

		assert_int_equal(!!(get16(d + 12) & DESC_WRITE), in);
		assert_true(at <= DISK && len <= DISK - at);
		memcpy(in ? p : far.disk + at, in ? far.disk + at : p, len);
		at += len;
	}
}

static void far_request(unsigned head)
{
	const u8 *d = far_at(far.addr.desc, 16 * SLOTS, true) + 16 * head;
	unsigned count = get32(d + 8) / DESC_LEN, i;
	const u8 *t, *h, *r;
	u64 sector;
	u32 type;
	u8 *status;

	assert_int_equal(get16(d + 12), DESC_INDIRECT);
	t = far_at(get64(d), get32(d + 8), false);
	assert_in_range(count, 2, SEGMENTS + 2);
	/* One after the other: readable ones, then those to be written. */
	for (i = 0; i < count; i++) {
		assert_int_equal(!!(get16(t + 16 * i + 12) & DESC_NEXT),
				 i < count - 1);
		if (i < count - 1)
			assert_int_equal(get16(t + 16 * i + 14), i + 1);
	}
	assert_int_equal(get32(t + 8), 16);
	h = far_at(get64(t), 16, false);
	type = get32(h);
	sector = get64(h + 8);
	far.types[far.requests++ % 16] = type;
	if (type == T_IN || type == T_OUT) {
		far_transfer(t + 16, count - 2, sector * BLK_SECTOR,
			     type == T_IN);
	} else if (type == T_FLUSH) {
		assert_int_equal(count, 2);
		far.flushes++;
	} else {
		assert_int_equal(count, 3);
		r = far_at(get64(t + 16), 16, false);
		assert_in_range(get32(r + 8), 1, RANGE_SECTORS);
		memset(far.disk + get64(r) * BLK_SECTOR,
		       type == T_DISCARD ? 0xdd : get32(r + 12) ? 0xee : 0,
		       get32(r + 8) * BLK_SECTOR);
	}
	status = far_at(get64(t + 16 * (count - 1)), 1, false);
	*status = far.status;
}

static void far_put(u32 id)
{
	u8 *used = far_at(far.addr.used, 6 + 8 * SLOTS, true);

	put32(used + 4 + 8 * (far.used % SLOTS), id);
	far.used++;
	__atomic_store_n((u16 *)(void *)(used + 2), far.used,
			 __ATOMIC_RELEASE);
	assert_int_equal(eventfd_write(far.call, 1), 0);
}

/* What it was kicked for, the last one first; gives how many. */
static unsigned far_serve(void)
{
	const u8 *avail = far_at(far.addr.avail, 6 + 2 * SLOTS, true);
	unsigned heads[SLOTS], n = 0, i;
	eventfd_t count;

	if (eventfd_read(far.kick, &count))
		return 0;
	while (far.avail != get16(avail + 2)) {
		heads[n] = get16(avail + 4 + 2 * (far.avail++ % SLOTS));
		assert_in_range(heads[n], 0, SLOTS - 1);
		far_request(heads[n++]);
	}
	for (i = n; i--; )
		far_put(heads[i]);
	return n;
}

static void run(struct vhost_blk *b)
{
	do {
		vhost_blk_flush(b);
		if (!far_serve())
			break;
		assert_true(vhost_blk_reap(b));
	} while (true);
}

/* ---- the start ---- */

static struct vhost_blk blk;
static int conn;

static void start(bool read_only)
{
	memory_make();
	conn = far_make();
	if (read_only)
		far.features |= F_RO;
	far_start();
	assert_int_equal(vhost_blk_start(&blk, conn, read_only, &mem,
					 segments), 0);
}

static void stop(void)
{
	blk_end(&blk);
	far_end(conn);
}

static void starts(void **state)
{
	(void)state;
	start(false);
	assert_int_equal(blk.info.size, DISK);
	assert_int_equal(blk.info.segments, SEGMENTS);
	assert_int_equal(blk.range_max, RANGE_SECTORS * BLK_SECTOR);
	assert_int_equal(far.set_protocol, P_REPLY_ACK | P_CONFIG);
	assert_int_equal(far.set_features, NEEDED | F_DISCARD |
			 F_WRITE_ZEROES | F_PROTOCOL_FEATURES);
	assert_int_equal(far.owners, 1);
	/* Our flushes make durable, not each write. */
	assert_int_equal(far.wce, 1);
	assert_int_equal(far.table.count, 3);
	assert_int_equal(far.table.region[1].gpa, 0);
	assert_int_equal(far.table.region[1].size, LOW);
	assert_int_equal(far.table.region[1].offset, 0);
	assert_int_equal(far.table.region[2].gpa, MEM_HIGH_BASE);
	assert_int_equal(far.table.region[2].size, HIGH);
	assert_int_equal(far.size, SLOTS);
	assert_int_equal(far.base, 0);
	assert_int_equal(far.enabled, 1);
	/* Nobody makes the queue smaller under us. */
	assert_int_equal(ftruncate(blk.area_fd, 4096), -1);
	stop();
	start(true);
	assert_int_equal(far.wce, 0);
	assert_true(far.set_features & F_RO);
	assert_false(far.set_features & F_DISCARD);
	stop();
}

static int try_start(bool read_only)
{
	int err;

	far_start();
	err = vhost_blk_start(&blk, conn, read_only, &mem, segments);
	stop();
	return err;
}

/* Each answer, wrong in each way: an error, which names the step. */
static void wrong_answers(void **state)
{
	static const struct { u32 request; const char *step; bool acked; } all[] = {
		{ GET_FEATURES, "GET_FEATURES", false },
		{ GET_PROTOCOL_FEATURES, "GET_PROTOCOL_FEATURES", false },
		{ GET_CONFIG, "GET_CONFIG", false },
		{ SET_OWNER, "SET_OWNER", true },
		{ SET_FEATURES, "SET_FEATURES", true },
		{ SET_CONFIG, "SET_CONFIG", true },
		{ SET_MEM_TABLE, "SET_MEM_TABLE", true },
		{ SET_VRING_NUM, "SET_VRING_NUM", true },
		{ SET_VRING_ADDR, "SET_VRING_ADDR", true },
		{ SET_VRING_BASE, "SET_VRING_BASE", true },
		{ SET_VRING_KICK, "SET_VRING_KICK", true },
		{ SET_VRING_CALL, "SET_VRING_CALL", true },
		{ SET_VRING_ENABLE, "SET_VRING_ENABLE", true },
	};
	unsigned i, f;
	int err;

	(void)state;
	memory_make();
	for (i = 0; i < ARRAY_SIZE(all); i++)
		for (f = CLOSES; f < FAULTS; f++) {
			if (f == REFUSES && !all[i].acked)
				continue;
			conn = far_make();
			far.bad_request = all[i].request;
			far.fault = f;
			silent = false;
			err = try_start(false);
			assert_int_equal(err, f == CLOSES ? -ECONNRESET :
					 f == SILENT ? -ETIMEDOUT : -EPROTO);
			assert_string_equal(blk.user.step, all[i].step);
		}
}

static void wrong_disks(void **state)
{
	static const u64 needed[] = {
		F_SEG_MAX, F_FLUSH, F_CONFIG_WCE, F_DISCARD, F_WRITE_ZEROES,
		F_PROTOCOL_FEATURES, VIRTIO_VERSION_1, VIRTIO_INDIRECT_DESC,
	};
	struct vhost_blk_info info;
	const char *step;
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		conn = far_make();
		far.features &= ~needed[i];
		assert_int_equal(try_start(false), -EOPNOTSUPP);
	}
	conn = far_make();
	far.protocol &= ~P_CONFIG;
	assert_int_equal(try_start(false), -EOPNOTSUPP);
	conn = far_make();
	far.features |= F_RO;
	assert_int_equal(try_start(false), -EROFS);
	conn = far_make();
	put32(far.config + B_SEG_MAX, 0);
	assert_int_equal(try_start(false), -EPROTO);
	conn = far_make();
	put32(far.config + B_ZEROES_MAX, 0);
	assert_int_equal(try_start(false), -EPROTO);
	conn = far_make();
	put64(far.config + B_CAPACITY, 1ull << 60);
	assert_int_equal(try_start(false), -EPROTO);
	/* More buffers than there is room for are as many as there is. */
	conn = far_make();
	put32(far.config + B_SEG_MAX, ~0u);
	far_start();
	assert_int_equal(vhost_blk_ask(conn, false, &info, &step), 0);
	assert_int_equal(info.segments, SEGMENTS_MAX);
	assert_int_equal(info.size, DISK);
	far_end(conn);
}

/* ---- requests ---- */

static struct test_op op, more[2 * SLOTS];

static void submit(void)
{
	vhost_blk_submit(&blk, &op.op);
	run(&blk);
	assert_int_equal(op.done, 1);
}

static void transfers(void **state)
{
	unsigned i;

	(void)state;
	start(false);
	for (i = 0; i < LOW; i++)
		mem.low[i] = (u8)(i * 7 + i / 256);
	/* Buffers of any size, up to both memories' last byte. */
	op_make(&op, IO_WRITE, 5 * BLK_SECTOR, 2 * BLK_SECTOR);
	op_buffer(&op, mem.low + 100, 1);
	op_buffer(&op, mem.low + LOW - 600, 600);
	op_buffer(&op, mem.high + HIGH - 423, 423);
	memset(mem.high, 0x33, HIGH);
	submit();
	assert_int_equal(op.op.error, 0);
	assert_int_equal(far.disk[5 * BLK_SECTOR], mem.low[100]);
	assert_memory_equal(far.disk + 5 * BLK_SECTOR + 1, mem.low + LOW - 600,
			    600);
	assert_int_equal(far.disk[7 * BLK_SECTOR - 1], 0x33);
	assert_int_equal(far.disk[7 * BLK_SECTOR], 0);
	op_make(&op, IO_READ, 5 * BLK_SECTOR, 2 * BLK_SECTOR);
	op_buffer(&op, mem.high, 2 * BLK_SECTOR);
	submit();
	assert_int_equal(op.op.error, 0);
	assert_memory_equal(mem.high, far.disk + 5 * BLK_SECTOR, 2 * BLK_SECTOR);
	assert_int_equal(far.flushes, 0);
	op_make(&op, IO_SYNC, 0, 0);
	submit();
	assert_int_equal(far.flushes, 1);
	/* As many buffers as it takes, and one more. */
	op_make(&op, IO_READ, 0, SEGMENTS * BLK_SECTOR);
	for (i = 0; i < SEGMENTS; i++)
		op_buffer(&op, mem.low + 1024 * i, BLK_SECTOR);
	submit();
	assert_int_equal(op.op.error, 0);
	op_make(&op, IO_READ, 0, (SEGMENTS + 1) * BLK_SECTOR);
	for (i = 0; i < SEGMENTS + 1; i++)
		op_buffer(&op, mem.low + 1024 * i, BLK_SECTOR);
	submit();
	assert_int_equal(op.op.error, -EINVAL);
	stop();
}

/* Nothing but the guest's memory is named to the other process. */
static void foreign_memory(void **state)
{
	static u8 own[BLK_SECTOR];
	u8 *bad[5];
	unsigned i;

	(void)state;
	start(false);
	bad[0] = own;
	bad[1] = NULL;
	bad[2] = (u8 *)-(intptr_t)BLK_SECTOR;
	bad[3] = blk.area;
	/* The end of the block that has the higher address. */
	bad[4] = mem.low > mem.high ? mem.low + LOW - BLK_SECTOR + 1 :
		 mem.high + HIGH - BLK_SECTOR + 1;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		op_make(&op, IO_READ, 0, BLK_SECTOR);
		op_buffer(&op, bad[i], BLK_SECTOR);
		submit();
		assert_int_equal(op.op.error, -EFAULT);
	}
	stop();
}

static void ranges(void **state)
{
	const u64 len = 3 * RANGE_SECTORS * BLK_SECTOR + BLK_SECTOR;
	unsigned i;

	(void)state;
	start(false);
	memset(far.disk, 0x11, DISK);
	/* In pieces as large as it takes. */
	op_make(&op, IO_ZERO, 2 * BLK_SECTOR, len);
	submit();
	assert_int_equal(op.op.error, 0);
	assert_int_equal(far.requests, 4);
	for (i = 0; i < len; i++)
		assert_int_equal(far.disk[2 * BLK_SECTOR + i], 0);
	assert_int_equal(far.disk[2 * BLK_SECTOR - 1], 0x11);
	assert_int_equal(far.disk[2 * BLK_SECTOR + len], 0x11);
	op_make(&op, IO_ZERO_FREE, 0, BLK_SECTOR);
	submit();
	assert_int_equal(far.disk[0], 0xee);
	op_make(&op, IO_DISCARD, 0, BLK_SECTOR);
	submit();
	assert_int_equal(far.disk[0], 0xdd);
	/* To discard is a hint, to make zeros is not. */
	far.status = S_UNSUPP;
	op_make(&op, IO_DISCARD, 0, BLK_SECTOR);
	submit();
	assert_int_equal(op.op.error, 0);
	op_make(&op, IO_ZERO, 0, BLK_SECTOR);
	submit();
	assert_int_equal(op.op.error, -EOPNOTSUPP);
	/* An error ends it, at the first piece. */
	far.status = 1;
	far.requests = 0;
	op_make(&op, IO_DISCARD, 0, len);
	submit();
	assert_int_equal(op.op.error, -EIO);
	assert_int_equal(far.requests, 1);
	stop();
}

/* For a driver without flushes each write is followed by one. */
static void durable(void **state)
{
	(void)state;
	start(false);
	op_make(&op, IO_WRITE, 0, BLK_SECTOR);
	op_buffer(&op, mem.low, BLK_SECTOR);
	op.op.durable = true;
	vhost_blk_submit(&blk, &op.op);
	vhost_blk_flush(&blk);
	assert_int_equal(far_serve(), 1);
	assert_true(vhost_blk_reap(&blk));
	assert_int_equal(op.done, 0);
	run(&blk);
	assert_int_equal(op.done, 1);
	assert_int_equal(op.op.error, 0);
	assert_int_equal(far.types[0], T_OUT);
	assert_int_equal(far.types[1], T_FLUSH);
	assert_int_equal(far.requests, 2);
	/* And fails where that does. */
	op_make(&op, IO_WRITE, 0, BLK_SECTOR);
	op_buffer(&op, mem.low, BLK_SECTOR);
	op.op.durable = true;
	vhost_blk_submit(&blk, &op.op);
	vhost_blk_flush(&blk);
	far_serve();
	assert_true(vhost_blk_reap(&blk));
	far.status = 1;
	run(&blk);
	assert_int_equal(op.done, 1);
	assert_int_equal(op.op.error, -EIO);
	stop();
}

/* More than there are slots: all of them, each once. */
static void many(void **state)
{
	unsigned i;

	(void)state;
	start(false);
	for (i = 0; i < ARRAY_SIZE(more); i++) {
		op_make(&more[i], IO_WRITE, i * BLK_SECTOR, BLK_SECTOR);
		mem.low[i * BLK_SECTOR] = (u8)(i + 1);
		op_buffer(&more[i], mem.low + i * BLK_SECTOR, BLK_SECTOR);
		vhost_blk_submit(&blk, &more[i].op);
	}
	assert_int_equal(blk.busy, SLOTS);
	run(&blk);
	for (i = 0; i < ARRAY_SIZE(more); i++) {
		assert_int_equal(more[i].done, 1);
		assert_int_equal(more[i].op.error, 0);
		assert_int_equal(far.disk[i * BLK_SECTOR], (u8)(i + 1));
	}
	assert_int_equal(blk.busy, 0);
	stop();
}

/* ---- the end ---- */

static void read_one(struct test_op *t)
{
	op_make(t, IO_READ, 0, BLK_SECTOR);
	op_buffer(t, mem.low, BLK_SECTOR);
	vhost_blk_submit(&blk, &t->op);
	vhost_blk_flush(&blk);
}

/* The ring says what cannot be: that is the end, but nothing fails yet. */
static void broken_ring(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++) {
		start(false);
		read_one(&more[0]);
		read_one(&more[1]);
		if (i == 0) {
			far_put(SLOTS);		/* no slot */
		} else if (i == 1) {
			far_put(2);		/* a free one */
		} else if (i == 2) {
			far_put(0);		/* twice the same */
			far_put(0);
		} else {
			far.used = 2;		/* more than there are */
			far_put(0);
		}
		assert_false(vhost_blk_reap(&blk));
		assert_true(vhost_blk_reap(&blk));	/* said once */
		assert_int_equal(more[0].done, i == 2);
		assert_int_equal(more[1].done, 0);
		read_one(&op);
		assert_int_equal(op.done, 0);
		vhost_blk_gone(&blk);
		assert_int_equal(more[0].done, 1);
		assert_int_equal(more[1].done, 1);
		assert_int_equal(op.done, 1);
		assert_int_equal(more[1].op.error, -EIO);
		assert_int_equal(op.op.error, -EIO);
		stop();
	}
}

/* Its connection closes: what is under way waits until the process is gone. */
static void lost(void **state)
{
	unsigned i;

	(void)state;
	start(false);
	for (i = 0; i < ARRAY_SIZE(more); i++)
		read_one(&more[i]);
	vhost_blk_lost(&blk);
	read_one(&op);
	/* What it still says is not heard. */
	far_serve();
	assert_true(vhost_blk_reap(&blk));
	for (i = 0; i < ARRAY_SIZE(more); i++)
		assert_int_equal(more[i].done, 0);
	vhost_blk_gone(&blk);
	for (i = 0; i < ARRAY_SIZE(more); i++) {
		assert_int_equal(more[i].done, 1);
		assert_int_equal(more[i].op.error, -EIO);
	}
	assert_int_equal(op.done, 1);
	read_one(&op);
	assert_int_equal(op.done, 1);
	assert_int_equal(op.op.error, -EIO);
	vhost_blk_gone(&blk);
	stop();
	/* One that was never there. */
	vhost_blk_start_gone(&blk);
	read_one(&op);
	assert_int_equal(op.done, 1);
	assert_int_equal(op.op.error, -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts),
		cmocka_unit_test(wrong_answers),
		cmocka_unit_test(wrong_disks),
		cmocka_unit_test(transfers),
		cmocka_unit_test(foreign_memory),
		cmocka_unit_test(ranges),
		cmocka_unit_test(durable),
		cmocka_unit_test(many),
		cmocka_unit_test(broken_ring),
		cmocka_unit_test(lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
