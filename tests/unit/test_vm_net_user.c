/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_net_user.c -- joist-net, from the machine's end of its socket.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/wait.h>

#include "guests/control/lib/err.c"
#include "guests/control/lib/landlock.c"
#include "guests/control/joist-net/sandbox.c"
#define main	net_main
#include "guests/control/joist-net/main.c"
#undef main

static int sock;		/* ours */
static pid_t pid;

/* It runs; false: it has ended, and its words are in text. */
static bool net_start(const char *forward, char text[256])
{
	char fd[16], arg[64], *argv[] = { "joist-net", fd, arg };
	int pair[2], out[2];
	size_t len = 0;
	ssize_t n;

	snprintf(arg, sizeof(arg), "%s", forward ? forward : "");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (!pid) {
		close(pair[0]);
		dup2(out[1], 1);
		dup2(out[1], 2);
		close(out[0]);
		snprintf(fd, sizeof(fd), "%d", pair[1]);
		/* Not by _exit(): the leak check wants calls that are gone. */
		syscall(SYS_exit_group, net_main(forward ? 3 : 2, argv));
	}
	close(pair[1]);
	close(out[1]);
	sock = pair[0];
	do {
		n = read(out[0], text + len, 255 - len);
		len += (size_t)MAX(n, 0);
		text[len] = 0;
	} while (n > 0 && strcmp(text, "ready\n"));
	close(out[0]);
	return !strcmp(text, "ready\n");
}

static int net_status(void)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void good_start(const char *forward)
{
	char text[256];

	if (!net_start(forward, text))
		fail_msg("%s", text);
}

/* "Who has 10.0.2.2?", with the header of the device in front. */
static void ask(u8 *f)
{
	static const u8 arp[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x4a, 0x6f, 1, 2, 3, 4,
		8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
		0x4a, 0x6f, 1, 2, 3, 4, 10, 0, 2, 15,
		0, 0, 0, 0, 0, 0, 10, 0, 2, 2,
	};

	memset(f, 0, HEADER);
	memcpy(f + HEADER, arp, sizeof(arp));
	assert_int_equal(send(sock, f, HEADER + sizeof(arp), 0),
			 HEADER + sizeof(arp));
}

static void answers(void **state)
{
	static u8 f[FRAME];
	unsigned i;
	ssize_t n;

	(void)state;
	good_start(NULL);
	/* What is no frame, too short, or the longest there is: no harm. */
	for (i = 1; i < 40; i++)
		assert_int_equal(send(sock, f, i, 0), i);
	assert_int_equal(send(sock, f, sizeof(f), 0), sizeof(f));
	ask(f);
	n = recv(sock, f, sizeof(f), 0);
	assert_true(n >= HEADER + 42);
	assert_int_equal(f[HEADER + 12] << 8 | f[HEADER + 13], 0x0806);
	assert_int_equal(f[HEADER + 21], 2);		/* a reply */
	assert_memory_equal(f + HEADER + 28, "\x0a\x00\x02\x02", 4);
	for (i = 0; i < HEADER; i++)
		assert_int_equal(f[i], 0);
	/* It ends with the machine. */
	close(sock);
	assert_int_equal(net_status(), 0);
}

/* A datagram to that address of the host's port, from the guest. */
static void send_udp(u32 to, u16 port)
{
	u8 f[HEADER + 14 + 20 + 8 + 4] = { 0 }, *ip = f + HEADER + 14;
	static const u8 head[] = { 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0,
				   10, 0, 2, 15 };
	u32 sum = 0;
	unsigned i;

	memcpy(f + HEADER, "\x52\x55\x0a\x00\x02\x02\x4a\x6f\x01\x02\x03\x04\x08", 13);
	memcpy(ip, head, sizeof(head));
	memcpy(ip + 16, &(u32){ htonl(to) }, 4);
	for (i = 0; i < 20; i += 2)
		sum += (u32)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	ip[10] = (u8)(sum >> 8);
	ip[11] = (u8)sum;
	memcpy(ip + 20, (u16[]){ htons(1000), htons(port), htons(12), 0 }, 8);
	memcpy(ip + 28, "text", 4);
	assert_int_equal(send(sock, f, sizeof(f), 0), sizeof(f));
}

/* Frames are taken in order: what went before its answer has gone out. */
static void settle(void)
{
	static u8 f[FRAME];

	ask(f);
	do
		assert_true(recv(sock, f, sizeof(f), 0) > HEADER + 14);
	while (f[HEADER + 12] != 8 || f[HEADER + 13] != 6 || f[HEADER + 21] != 2);
}

/* This host's loopback is out of reach, by all its names, unless asked for. */
static void loopback(void **state)
{
	static const struct {
		u32 to;
		bool asked, there;
	} row[] = {
		{ 0x0a000202, true, true },
		{ 0x7f000001, true, true },
		{ 0x0a000202, false, false },
		{ 0x7f000001, false, false },
		{ 0x7f010203, false, false },
		{ 0, false, false },
		{ 0x0a0002ff, false, false },
		{ 0xffffffff, false, false },
	};
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	unsigned i;
	char text[8];

	(void)state;
	assert_int_equal(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&sa, &len), 0);
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		good_start(row[i].asked ? "loopback" : NULL);
		settle();
		send_udp(row[i].to, ntohs(sa.sin_port));
		settle();
		if ((recv(s, text, sizeof(text), MSG_DONTWAIT) == 4) != row[i].there)
			fail_msg("%#x: %s", row[i].to, row[i].there ?
				 "nothing comes" : "it is reached");
		close(sock);
		assert_int_equal(net_status(), 0);
	}
	close(s);
}

static void forwards(void **state)
{
	static const struct {
		const char *arg, *names;
	} bad[] = {
		{ "tcp", "tcp" },
		{ "sctp::1:2", "sctp" },
		{ "tcp:nowhere:1:2", "nowhere" },
		{ "tcp::0:2", "'0'" },
		{ "tcp::70000:2", "70000" },
		{ "tcp::2000x:2", "2000x" },
		{ "tcp::2000", "not a port" },
		{ "tcp::2000:", "not a port" },
		{ "tcp::2000:2:3", "more than" },
		{ "tcp:192.0.2.1:2000:22", "192.0.2.1" },  /* not ours */
		{ "", "''" },
	};
	char text[256], arg[64];
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) },
	};
	socklen_t len = sizeof(sa);
	unsigned i;
	int s;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(net_start(bad[i].arg, text));
		assert_non_null(strstr(text, bad[i].names));
		close(sock);
		assert_int_equal(net_status(), EXIT_FAIL);
	}
	/* A port that somebody has; then one that is free. */
	s = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(s, 1), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&sa, &len), 0);
	snprintf(arg, sizeof(arg), "tcp::%u:22", ntohs(sa.sin_port));
	assert_false(net_start(arg, text));
	assert_non_null(strstr(text, "in use"));
	close(sock);
	assert_int_equal(net_status(), EXIT_FAIL);
	close(s);
	good_start(arg);
	s = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(s);
	close(sock);
	assert_int_equal(net_status(), 0);
}

/* In a child: libslirp has been taken over. */
static int taken_over(void)
{
	const char *failed = sandbox_enter();
	char *argv[] = { NULL };
	int fd;

	if (failed)
		return 1;
	if (landlock_can() && (open("/root", O_RDONLY) >= 0 ||
			       open("/proc/self/status", O_RDONLY) >= 0))
		return 2;
	if (open("/tmp/joist-net-test", O_RDWR | O_CREAT, 0600) >= 0 ||
	    open("/dev/null", O_WRONLY) >= 0 || unlink("/etc/hostname") == 0)
		return 3;
	if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM ||
	    socket(AF_NETLINK, SOCK_RAW, 0) >= 0)
		return 4;
	if (execve("/bin/true", argv, argv) == 0 || fork() >= 0 ||
	    kill(getppid(), 0) == 0)
		return 5;
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0) != MAP_FAILED)
		return 6;
	/* What it is for. */
	fd = open("/etc/resolv.conf", O_RDONLY);
	if (fd < 0 && errno != ENOENT)
		return 7;
	if (socket(AF_INET, SOCK_DGRAM, 0) < 0)
		return 8;
	return 0;
}

static void sandbox(void **state)
{
	int status;

	(void)state;
	pid = fork();
	if (!pid)
		syscall(SYS_exit_group, taken_over());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(loopback),
		cmocka_unit_test(sandbox),
		cmocka_unit_test(forwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
