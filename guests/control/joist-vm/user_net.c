/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user_net.c -- starts joist-net, one for each card of a user network.
 *
 * It reads what the guest sends and makes sockets, so it is no part of us:
 * under root it gets a user number that is nobody else's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sandbox.h"
#include "user_net.h"

#define PROGRAM		"joist-net"
#define READY		"ready\n"

static void child_fail(const char *what)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

static void child(const struct nic *n, int out, pid_t parent)
{
	const char *argv[NET_FORWARDS + 3] = { PROGRAM };
	uid_t own = SANDBOX_UID + (uid_t)getpid();
	int null = open("/dev/null", O_RDONLY);
	char fd[16];
	sigset_t none;

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!geteuid() && (setgroups(0, NULL) || setresgid(own, own, own) ||
			   setresuid(own, own, own)))
		child_fail("a user of its own");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	fcntl(n->far, F_SETFD, 0);
	snprintf(fd, sizeof(fd), "%d", n->far);
	argv[1] = fd;
	memcpy(argv + 2, n->forward, n->forwards * sizeof(argv[0]));
	execvp(PROGRAM, (char **)(uintptr_t)argv);
	child_fail(PROGRAM);
}

/* Until it is ready, or has ended: then what it has said is in text. */
static bool await_ready(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	text[0] = 0;
	while (len < size - 1) {
		n = read(fd, text + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = 0;
		if (!strcmp(text, READY))
			return true;
	}
	text[strcspn(text, "\n")] = 0;
	return false;
}

static bool start(struct nic *n, char *text, size_t size)
{
	pid_t parent = getpid(), pid;
	bool ready;
	int out[2];

	if (pipe2(out, O_CLOEXEC)) {
		snprintf(text, size, "%s", strerror(errno));
		return false;
	}
	pid = fork();
	if (!pid)
		child(n, out[1], parent);
	close(out[1]);
	close(n->far);
	snprintf(text, size, "%s", strerror(errno));
	ready = pid > 0 && await_ready(out[0], text, size);
	close(out[0]);
	return ready;
}

bool user_net_start(struct vm_config *cfg, char *error, size_t size)
{
	struct nic *n;
	char text[256];

	for (n = cfg->nic; n < cfg->nic + cfg->nics; n++) {
		if (!n->user || start(n, text, sizeof(text)))
			continue;
		snprintf(error, size, "user network: %s", text);
		return false;
	}
	return true;
}
