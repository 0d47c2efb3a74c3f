/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vsock.c -- one connection of an AF_VSOCK stream, as nc makes one of TCP:
 *	vsock listen PORT		says "listening" on standard error
 *	vsock connect CID PORT
 * Standard input goes out, what comes in goes to standard output, and it ends
 * when both have.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

static int fail(const char *what)
{
	fprintf(stderr, "vsock: %s: %s\n", what, strerror(errno));
	return 1;
}

/* What there is to read at one is written to the other; -1: its end. */
static int pass(int from, int to)
{
	static char buf[65536];
	ssize_t len = read(from, buf, sizeof(buf)), at = 0, n;

	if (len <= 0)
		return -1;
	for (; at < len; at += n) {
		n = write(to, buf + at, (size_t)(len - at));
		if (n < 0)
			return -1;
	}
	return 0;
}

static int talk(int s)
{
	struct pollfd p[2] = { { 0, POLLIN, 0 }, { s, POLLIN, 0 } };

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (poll(p, 2, -1) < 0)
			return fail("poll");
		if (p[0].revents && pass(0, s) < 0) {
			shutdown(s, SHUT_WR);
			p[0].fd = -1;
		}
		if (p[1].revents && pass(s, 1) < 0)
			p[1].fd = -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_vm sa = { .svm_family = AF_VSOCK };
	int listens = argc == 3 && !strcmp(argv[1], "listen");
	int s = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (s < 0)
		return fail("socket");
	if (!listens && (argc != 4 || strcmp(argv[1], "connect"))) {
		fprintf(stderr, "usage: vsock listen PORT | connect CID PORT\n");
		return 64;
	}
	sa.svm_cid = listens ? VMADDR_CID_ANY :
		     (unsigned)strtoul(argv[2], NULL, 0);
	sa.svm_port = (unsigned)strtoul(argv[argc - 1], NULL, 0);
	if (!listens) {
		if (connect(s, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			return fail("connect");
		return talk(s);
	}
	if (bind(s, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(s, 1) < 0)
		return fail("listen");
	fprintf(stderr, "listening\n");
	s = accept(s, NULL, NULL);
	return s < 0 ? fail("accept") : talk(s);
}
