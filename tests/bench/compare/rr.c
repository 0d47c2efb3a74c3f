/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rr.c -- requests and responses of one byte by TCP, one after the other.
 *
 * `rr PORT` answers for ever; `rr PORT ADDRESS` asks, and prints what a
 * round took in TSC ticks, on average.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <x86intrin.h>

#define WARM_UP	100
#define ROUNDS	1000

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		die("rr: socket");
	return fd;
}

static void serve(const struct sockaddr_in *addr)
{
	int s = tcp_socket(), fd;
	char c;

	if (bind(s, (const void *)addr, sizeof(*addr)) || listen(s, 1))
		die("rr: listen");
	while ((fd = accept(s, NULL, NULL)) >= 0) {
		while (read(fd, &c, 1) == 1 && write(fd, &c, 1) == 1)
			;
		close(fd);
	}
	die("rr: accept");
}

static void ask(const struct sockaddr_in *addr)
{
	int fd = tcp_socket(), i;
	uint64_t start = 0;
	char c = 0;

	if (connect(fd, (const void *)addr, sizeof(*addr)))
		die("rr: connect");
	for (i = -WARM_UP; i < ROUNDS; i++) {
		if (!i)
			start = __rdtsc();
		if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
			die("rr: connection");
	}
	printf("bench: rr %llu\n",
	       (unsigned long long)(__rdtsc() - start) / ROUNDS);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };

	if (argc != 2 && argc != 3) {
		fputs("usage: rr PORT [ADDRESS]\n", stderr);
		return 64;
	}
	addr.sin_port = htons((uint16_t)atoi(argv[1]));
	if (argc == 2)
		serve(&addr);
	if (inet_pton(AF_INET, argv[2], &addr.sin_addr) != 1) {
		fprintf(stderr, "rr: %s: not an IPv4 address\n", argv[2]);
		return 64;
	}
	ask(&addr);
	return 0;
}
