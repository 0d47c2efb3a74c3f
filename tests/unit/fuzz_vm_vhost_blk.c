/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vm_vhost_blk.c -- a hostile process behind a vhost-user disk: what it
 * answers, and what it writes into the queue's memory.
 *
 * An input of an odd first byte is all it says on the connection.  Else the
 * connection is past its start, and the input is a program: operations, and
 * writes into the area.  However it goes, each operation ends once.
 */
#include "tests/unit/vm_vhost.h"

#define OPS	100

static struct vhost_blk blk;
static struct test_op ops[OPS];

static void answers(const u8 *data, size_t size)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    pair), 0);
	assert_int_equal(send(pair[1], data, size, MSG_NOSIGNAL), size);
	shutdown(pair[1], SHUT_WR);
	if (!vhost_blk_start(&blk, pair[0], size & 1, &mem, segments)) {
		assert_int_equal(blk.info.size % BLK_SECTOR, 0);
		assert_in_range(blk.info.segments, 1, SEGMENTS_MAX);
	}
	blk_end(&blk);
	close(pair[0]);
	close(pair[1]);
}

/* A good start, of answers that say yes. */
static size_t good_start(u8 *to)
{
	const u64 features = ~0ull, none = 0;
	struct config config = { .size = B_LEN };
	struct { u32 request; const void *payload; u32 size; } all[] = {
		{ GET_FEATURES, &features, 8 },
		{ GET_PROTOCOL_FEATURES, &features, 8 },
		{ SET_OWNER, &none, 8 }, { SET_FEATURES, &none, 8 },
		{ GET_CONFIG, &config, CONFIG_HEAD + B_LEN },
		{ SET_MEM_TABLE, &none, 8 }, { SET_VRING_NUM, &none, 8 },
		{ SET_VRING_BASE, &none, 8 }, { SET_VRING_ADDR, &none, 8 },
		{ SET_VRING_CALL, &none, 8 }, { SET_VRING_KICK, &none, 8 },
		{ SET_VRING_ENABLE, &none, 8 },
	};
	size_t at = 0;
	unsigned i;

	put64(config.bytes + B_CAPACITY, 1000);
	put32(config.bytes + B_SEG_MAX, 6);
	put32(config.bytes + B_DISCARD_MAX, 8);
	put32(config.bytes + B_ZEROES_MAX, 8);
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		struct head h = { all[i].request, VERSION | IS_REPLY,
				  all[i].size };

		memcpy(to + at, &h, sizeof(h));
		memcpy(to + at + sizeof(h), all[i].payload, all[i].size);
		at += sizeof(h) + all[i].size;
	}
	return at;
}

struct input {
	const u8 *p, *end;
};

static u32 take(struct input *in, unsigned bytes)
{
	u32 v = 0;

	while (bytes--)
		v = v << 8 | (in->p < in->end ? *in->p++ : 0);
	return v;
}

static void one_op(struct test_op *t, struct input *in)
{
	u32 how = take(in, 1);
	unsigned i;

	op_make(t, how % 6, take(in, 1) * BLK_SECTOR, take(in, 1) * BLK_SECTOR);
	t->op.durable = how & 0x40;
	for (i = 0; how % 6 < IO_SYNC && i < how >> 4; i++)
		op_buffer(t, mem.low + take(in, 2), take(in, 1));
	vhost_blk_submit(&blk, &t->op);
}

/* Mostly what is looked at: the used ring and statuses. */
static void scribble(struct input *in)
{
	u32 how = take(in, 1), at, v = take(in, 2);

	if (how < 0x40)
		at = USED_AT + RING_IDX;
	else if (how < 0x80)
		at = USED_AT + RING_ENTRIES + 8 * (v >> 8) % SLOTS;
	else if (how < 0xc0)
		at = REQUEST_AT + R_STATUS + REQUEST_LEN * (v >> 8) % SLOTS;
	else
		at = take(in, 3) % (AREA_LEN - 1);
	put16(blk.area + at, how < 0x40 ? (u16)(blk.used + (v & 7)) :
	      how < 0xc0 ? (u16)(v & 0xff) : (u16)v);
}

static void program(struct input *in)
{
	static u8 start[2048];
	unsigned n = 0, i;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    pair), 0);
	i = (unsigned)good_start(start);
	assert_int_equal(send(pair[1], start, i, MSG_NOSIGNAL), i);
	assert_int_equal(vhost_blk_start(&blk, pair[0], true, &mem, segments),
			 0);
	while (in->p < in->end) {
		switch (take(in, 1) % 8) {
		case 0:
		case 1:
			if (n < OPS)
				one_op(&ops[n++], in);
			break;
		case 2:
		case 3:
			vhost_blk_flush(&blk);
			vhost_blk_reap(&blk);
			break;
		case 4:
			if (take(in, 1) == 7)
				vhost_blk_lost(&blk);
			break;
		default:
			scribble(in);
			break;
		}
	}
	vhost_blk_gone(&blk);
	for (i = 0; i < n; i++) {
		assert_int_equal(ops[i].done, 1);
		assert_true(ops[i].op.error <= 0);
	}
	blk_end(&blk);
	close(pair[0]);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data + 1, data + size };
	u8 said[8192];
	size_t good;

	if (!mem.low)
		memory_make();
	if (!size)
		return 0;
	if (!(data[0] & 1)) {
		program(&in);
		return 0;
	}
	/* Good answers but for a few bytes, or anything. */
	good = data[0] & 2 ? good_start(said) : 0;
	if (good) {
		while (in.p < in.end) {
			u32 at = take(&in, 2) % good;

			said[at] = (u8)take(&in, 1);
		}
		answers(said, good);
	} else {
		answers(data + 1, MIN(size - 1, sizeof(said)));
	}
	return 0;
}
