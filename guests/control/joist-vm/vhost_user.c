/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_user.c -- the front-end of the vhost-user protocol ("Vhost-user
 * Protocol" in QEMU's documentation of interoperability).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_user.h"

#define ANSWER_MS	60000

/* "Message types". */
#define GET_FEATURES		1
#define SET_FEATURES		2
#define SET_OWNER		3
#define SET_MEM_TABLE		5
#define SET_VRING_NUM		8
#define SET_VRING_ADDR		9
#define SET_VRING_BASE		10
#define SET_VRING_KICK		12
#define SET_VRING_CALL		13
#define GET_PROTOCOL_FEATURES	15
#define SET_PROTOCOL_FEATURES	16
#define SET_VRING_ENABLE	18
#define GET_CONFIG		24
#define SET_CONFIG		25

#define F_PROTOCOL_FEATURES	BIT(30)	/* among the device's */
#define P_REPLY_ACK		BIT(3)
#define P_CONFIG		BIT(9)

/* "Message Specification": the header's flags. */
#define VERSION		1u
#define VERSION_MASK	3u
#define IS_REPLY	4u
#define NEED_REPLY	8u

struct head {
	u32 request, flags, size;
};

/* Payloads. */
struct state {
	u32 index, value;
};

struct addresses {
	u32 index, flags;
	u64 desc, used, avail, log;
};

struct table {
	u32 count, padding;
	struct {
		u64 gpa, size, at, offset;
	} region[VHOST_USER_REGIONS];
};

#define CONFIG_MAX	256
struct config {
	u32 offset, size, flags;
	u8 bytes[CONFIG_MAX];
};
#define CONFIG_HEAD	offsetof(struct config, bytes)

static int send_request(struct vhost_user *u, u32 request, const char *step,
			const void *payload, size_t size, const int *fds,
			unsigned count)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(VHOST_USER_REGIONS * sizeof(int))];
	} control = { 0 };
	struct head h = {
		request, VERSION | (u->acks ? NEED_REPLY : 0), (u32)size,
	};
	struct iovec iov[2] = {
		{ &h, sizeof(h) }, { (void *)(uintptr_t)payload, size },
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = size ? 2 : 1 };
	ssize_t n;

	u->step = step;
	if (count) {
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	do
		n = sendmsg(u->fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* They are short, and the buffer was empty. */
	return (size_t)n == sizeof(h) + size ? 0 : -EPROTO;
}

/* Descriptors that come along are closed by the kernel. */
static int receive(struct vhost_user *u, void *to, size_t len)
{
	struct pollfd p = { .fd = u->fd, .events = POLLIN };
	u8 *at = to;
	ssize_t n;
	int got;

	while (len) {
		got = poll(&p, 1, ANSWER_MS);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -ETIMEDOUT;
		n = recv(u->fd, at, len, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Of that request, with that many bytes. */
static int receive_reply(struct vhost_user *u, u32 request, void *payload,
			 size_t size)
{
	struct head h;
	int err = receive(u, &h, sizeof(h));

	if (err)
		return err;
	if (h.request != request || h.size != size ||
	    (h.flags & VERSION_MASK) != VERSION || !(h.flags & IS_REPLY))
		return -EPROTO;
	return receive(u, payload, size);
}

/* One that has no answer of its own. */
static int tell(struct vhost_user *u, u32 request, const char *step,
		const void *payload, size_t size, const int *fds,
		unsigned count)
{
	int err = send_request(u, request, step, payload, size, fds, count);
	u64 result = 0;

	if (!err && u->acks)
		err = receive_reply(u, request, &result, sizeof(result));
	return err ? err : result ? -EPROTO : 0;
}

static int ask64(struct vhost_user *u, u32 request, const char *step,
		 u64 *value)
{
	int err = send_request(u, request, step, NULL, 0, NULL, 0);

	return err ? err : receive_reply(u, request, value, sizeof(*value));
}

int vhost_user_start(struct vhost_user *u, u64 needed, u64 *features)
{
	u64 offered, protocol, chosen = P_REPLY_ACK | P_CONFIG;
	int err;

	u->acks = false;
	err = ask64(u, GET_FEATURES, "GET_FEATURES", &offered);
	if (err)
		return err;
	needed |= F_PROTOCOL_FEATURES;
	if (needed & ~offered)
		return -EOPNOTSUPP;
	err = ask64(u, GET_PROTOCOL_FEATURES, "GET_PROTOCOL_FEATURES",
		    &protocol);
	if (err)
		return err;
	if (chosen & ~protocol)
		return -EOPNOTSUPP;
	err = tell(u, SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES", &chosen,
		   sizeof(chosen), NULL, 0);
	if (err)
		return err;
	u->acks = true;
	err = tell(u, SET_OWNER, "SET_OWNER", NULL, 0, NULL, 0);
	if (err)
		return err;
	*features = (*features | needed) & offered;
	return tell(u, SET_FEATURES, "SET_FEATURES", features,
		    sizeof(*features), NULL, 0);
}

int vhost_user_config(struct vhost_user *u, u8 *config, u32 len)
{
	struct config c = { .size = len };
	int err = -EINVAL;

	if (len <= CONFIG_MAX)
		err = send_request(u, GET_CONFIG, "GET_CONFIG", &c,
				   CONFIG_HEAD + len, NULL, 0);
	if (!err)
		err = receive_reply(u, GET_CONFIG, &c, CONFIG_HEAD + len);
	if (err)
		return err;
	if (c.offset || c.size != len)
		return -EPROTO;
	memcpy(config, c.bytes, len);
	return 0;
}

int vhost_user_config_set(struct vhost_user *u, u32 at, u8 value)
{
	struct config c = { .offset = at, .size = 1, .bytes = { value } };

	return tell(u, SET_CONFIG, "SET_CONFIG", &c, CONFIG_HEAD + 1, NULL, 0);
}

int vhost_user_memory(struct vhost_user *u,
		      const struct vhost_user_region *region, unsigned count)
{
	struct table t = { .count = count };
	int fds[VHOST_USER_REGIONS];
	unsigned i;

	if (count > VHOST_USER_REGIONS)
		return -EINVAL;
	for (i = 0; i < count; i++) {
		fds[i] = region[i].fd;
		t.region[i].gpa = region[i].gpa;
		t.region[i].size = region[i].size;
		t.region[i].at = (uintptr_t)region[i].at;
	}
	return tell(u, SET_MEM_TABLE, "SET_MEM_TABLE", &t,
		    offsetof(struct table, region) +
		    count * sizeof(t.region[0]), fds, count);
}

int vhost_user_queue(struct vhost_user *u, const struct vhost_user_queue *q)
{
	const struct state num = { 0, q->size }, base = { 0, 0 };
	const struct state on = { 0, 1 };
	const struct addresses addr = {
		.desc = (uintptr_t)q->desc, .avail = (uintptr_t)q->avail,
		.used = (uintptr_t)q->used,
	};
	const u64 index = 0;
	int err;

	err = tell(u, SET_VRING_NUM, "SET_VRING_NUM", &num, sizeof(num),
		   NULL, 0);
	if (!err)
		err = tell(u, SET_VRING_BASE, "SET_VRING_BASE", &base,
			   sizeof(base), NULL, 0);
	if (!err)
		err = tell(u, SET_VRING_ADDR, "SET_VRING_ADDR", &addr,
			   sizeof(addr), NULL, 0);
	if (!err)
		err = tell(u, SET_VRING_CALL, "SET_VRING_CALL", &index,
			   sizeof(index), &q->call, 1);
	if (!err)
		err = tell(u, SET_VRING_KICK, "SET_VRING_KICK", &index,
			   sizeof(index), &q->kick, 1);
	if (!err)
		err = tell(u, SET_VRING_ENABLE, "SET_VRING_ENABLE", &on,
			   sizeof(on), NULL, 0);
	return err;
}
