/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c -- joist-net: a network for one card of a VM, by libslirp, for hosts
 * without a bridge and users who may not make taps.
 *
 *	joist-net FD [loopback] [tcp|udp:ADDRESS:PORT:GUEST-PORT]...
 *
 * FD is a socket of packets to the machine process: frames, each behind the
 * header that a tap would have.  The guest sees 10.0.2.0/24, with DHCP; its
 * connections are sockets of this process.  What listens on this host's loopback
 * addresses does so because it asks for no password: the guest does not get there
 * unless told so by that word.  A process of its own, because
 * the machine may make no socket, and because what is in here reads the
 * guest's packets.  It ends when the machine's last end is closed.
 *
 * Started by joist-vm, not by people.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "guests/control/lib/err.h"
#include "sandbox.h"

#define HEADER		12	/* struct virtio_net_hdr_v1: all zero here */
#define FRAME		(64 * KiB)
#define ETH_TYPE	12
#define IP_DEST		30	/* of a frame */
#define TURN		64	/* frames in one go */
#define TIMERS		8

struct timer {
	SlirpTimerCb run;
	void *arg;
	s64 when;		/* ms; -1: not set */
	bool used;
};

struct net {
	Slirp *slirp;
	int fd;
	bool loopback;		/* may the guest go there? */
	struct pollfd *poll;
	unsigned polls, room;
	struct timer timer[TIMERS];
};

/* ---- what libslirp asks for ---- */

static s64 now_ns(void *opaque)
{
	struct timespec t;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (s64)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* What the machine does not take now is lost, as on a wire. */
static ssize_t send_packet(const void *frame, size_t len, void *opaque)
{
	static const u8 header[HEADER];
	struct net *n = opaque;
	struct iovec iov[2] = {
		{ (void *)(uintptr_t)header, HEADER },
		{ (void *)(uintptr_t)frame, len },
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	sendmsg(n->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	return (ssize_t)len;
}

static void guest_error(const char *msg, void *opaque)
{
	(void)msg;		/* the guest's own business */
	(void)opaque;
}

static void *timer_new(SlirpTimerCb run, void *arg, void *opaque)
{
	struct net *n = opaque;
	unsigned i;

	for (i = 0; i < TIMERS; i++)
		if (!n->timer[i].used) {
			n->timer[i] = (struct timer){ run, arg, -1, true };
			return &n->timer[i];
		}
	die("libslirp wants more than %d timers", TIMERS);
}

static void timer_free(void *timer, void *opaque)
{
	struct timer *t = timer;

	(void)opaque;
	t->used = false;
}

static void timer_mod(void *timer, int64_t when, void *opaque)
{
	struct timer *t = timer;

	(void)opaque;
	t->when = when;
}

static void no_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void no_notify(void *opaque)
{
	(void)opaque;
}

/* ---- the loop ---- */

static int add_poll(int fd, int events, void *opaque)
{
	struct net *n = opaque;
	struct pollfd *more;

	if (n->polls == n->room) {
		more = realloc(n->poll, (n->room * 2 + 16) * sizeof(*more));
		if (!more)
			die("out of memory");
		n->poll = more;
		n->room = n->room * 2 + 16;
	}
	n->poll[n->polls] = (struct pollfd){ .fd = fd, .events = (short)(
		(events & SLIRP_POLL_IN ? POLLIN : 0) |
		(events & SLIRP_POLL_OUT ? POLLOUT : 0) |
		(events & SLIRP_POLL_PRI ? POLLPRI : 0)) };
	return (int)n->polls++;
}

static int get_revents(int i, void *opaque)
{
	struct net *n = opaque;
	int r = n->poll[i].revents;

	return (r & POLLIN ? SLIRP_POLL_IN : 0) |
	       (r & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (r & POLLPRI ? SLIRP_POLL_PRI : 0) |
	       (r & POLLERR ? SLIRP_POLL_ERR : 0) |
	       (r & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void run_timers(struct net *n)
{
	s64 now = now_ns(NULL) / 1000000;
	struct timer *t;

	for (t = n->timer; t < n->timer + TIMERS; t++) {
		if (!t->used || t->when < 0 || t->when > now)
			continue;
		t->when = -1;
		t->run(t->arg);
	}
}

static int until_timer(const struct net *n, u32 most)
{
	s64 now = now_ns(NULL) / 1000000, left = most;
	const struct timer *t;

	for (t = n->timer; t < n->timer + TIMERS; t++)
		if (t->used && t->when >= 0)
			left = MIN(left, MAX(t->when - now, 0));
	return (int)MIN(left, INT_MAX);
}

/* 127.0.0.0/8, or 0.0.0.0/8, which Linux takes for it: libslirp connects there. */
static bool to_loopback(const u8 *frame, ssize_t len)
{
	return len > IP_DEST && frame[ETH_TYPE] == 8 && !frame[ETH_TYPE + 1] &&
	       (frame[IP_DEST] == 127 || !frame[IP_DEST]);
}

/* Frames of the guest; false: the machine has gone for good. */
static bool take_frames(struct net *n)
{
	static u8 frame[FRAME];
	unsigned i;
	ssize_t len;

	for (i = 0; i < TURN; i++) {
		len = recv(n->fd, frame, sizeof(frame), MSG_DONTWAIT);
		if (len < 0)
			return errno == EAGAIN || errno == EINTR;
		if (!len)
			return false;
		if (len > HEADER && (n->loopback ||
		    !to_loopback(frame + HEADER, len - HEADER)))
			slirp_input(n->slirp, frame + HEADER,
				    (int)len - HEADER);
	}
	return true;
}

static void loop(struct net *n)
{
	u32 most;
	int err;

	for (;;) {
		n->polls = 0;
		most = INT_MAX;
		add_poll(n->fd, SLIRP_POLL_IN, n);
		slirp_pollfds_fill(n->slirp, &most, add_poll, n);
		err = poll(n->poll, n->polls, until_timer(n, most));
		if (err < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		slirp_pollfds_poll(n->slirp, err < 0, get_revents, n);
		run_timers(n);
		if (err > 0 && n->poll[0].revents && !take_frames(n))
			return;
	}
}

/* ---- start ---- */

static int parse_port(const char *text, const char *s)
{
	char *end;
	long v = strtol(s ? s : "", &end, 10);

	if (!s || !*s || *end || v < 1 || v > 65535)
		die("forward '%s': '%s' is not a port", text, s ? s : "");
	return (int)v;
}

/* tcp|udp:ADDRESS:PORT:GUEST-PORT; no ADDRESS: this host only. */
static void forward(struct net *n, struct in_addr guest, char *arg)
{
	char text[128], *kind, *addr;
	struct in_addr host;
	int from, to;

	snprintf(text, sizeof(text), "%s", arg);
	kind = strsep(&arg, ":");
	addr = strsep(&arg, ":");
	if ((strcmp(kind, "tcp") && strcmp(kind, "udp")) || !addr)
		die("forward '%s': it is tcp:ADDRESS:PORT:GUEST-PORT, or udp",
		    text);
	if (inet_pton(AF_INET, *addr ? addr : "127.0.0.1", &host) != 1)
		die("forward '%s': '%s' is not an IPv4 address", text, addr);
	from = parse_port(text, strsep(&arg, ":"));
	to = parse_port(text, strsep(&arg, ":"));
	if (arg)
		die("forward '%s': more than it may have", text);
	if (slirp_add_hostfwd(n->slirp, *kind == 'u', host, from, guest, to))
		die("forward '%s': %s", text, strerror(errno));
}

static struct in_addr ip(u8 last)
{
	return (struct in_addr){ htonl(0x0a000200u + last) };
}

int main(int argc, char **argv)
{
	static const SlirpCb calls = {
		.send_packet = send_packet, .guest_error = guest_error,
		.clock_get_ns = now_ns, .timer_new = timer_new,
		.timer_free = timer_free, .timer_mod = timer_mod,
		.register_poll_fd = no_fd, .unregister_poll_fd = no_fd,
		.notify = no_notify,
	};
	SlirpConfig cfg = {
		.version = 1, .in_enabled = true,
		.vnetwork = ip(0), .vnetmask = { htonl(0xffffff00u) },
		.vhost = ip(2), .vdhcp_start = ip(15), .vnameserver = ip(3),
	};
	struct net n = { 0 };
	const char *failed;
	int i = 2;

	err_prog = "joist-net";
	if (argc < 2)
		die_usage("joist-vm starts this, with a socket");
	n.fd = atoi(argv[1]);
	signal(SIGPIPE, SIG_IGN);
	n.loopback = argc > i && !strcmp(argv[i], "loopback");
	i += n.loopback;
	cfg.disable_host_loopback = !n.loopback;
	n.slirp = slirp_new(&cfg, &calls, &n);
	if (!n.slirp)
		die("libslirp does not start");
	for (; i < argc; i++)
		forward(&n, ip(15), argv[i]);
	failed = sandbox_enter();
	if (failed)
		die("%s: %s", failed, strerror(errno));
	puts("ready");
	fflush(stdout);
	loop(&n);
	return EXIT_OK;
}
