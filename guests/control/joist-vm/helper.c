/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helper.c -- programs that the manager starts to serve the machine.
 *
 * One stream socket is a helper's standard input, output and error: what it
 * prints comes to us, it never sees an end of input, and our end closing is
 * how its own end is known.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"

#define START_MS	60000
#define END_MS		60000

/* ---- the child, until it is the program; its error is what it prints ---- */

void helper_fail(const char *what)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

static void child(const struct helper_start *s, int fd, pid_t parent)
{
	sigset_t none;

	if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
	    dup2(fd, STDERR_FILENO) < 0)
		_exit(1);
	/* Whoever has started us may have left us anything. */
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (s->prepare)
		s->prepare(s->arg);
	/* A change of user clears it, so not before. */
	prctl(PR_SET_PDEATHSIG, s->death_signal);
	if (getppid() != parent)
		_exit(0);
	execvp(s->argv[0], (char **)(uintptr_t)s->argv);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", s->argv[0],
		strerror(errno));
	_exit(1);
}

/* ---- the manager ---- */

/* One line of what it printed, without its name and the option it dislikes. */
static void make_line(const char *program, char *text)
{
	size_t len = strlen(program);
	char *p = text, *end;

	if (!strncmp(p, program, len) && !strncmp(p + len, ": ", 2)) {
		p += len + 2;
		end = strncmp(p, "--", 2) ? NULL : strstr(p, ": ");
		if (end)
			p = end + 2;
		memmove(text, p, strlen(p) + 1);
	}
	for (p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
		else if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';	/* not for a terminal */
	while (p > text && p[-1] == ' ')
		*--p = 0;
}

/* Until it serves; false: what came instead is in text. */
static bool await_ready(const struct helper *h, const char *ready, char *text,
			size_t size)
{
	struct pollfd p = { .fd = h->fd, .events = POLLIN };
	size_t len = 0;
	ssize_t n;
	int got;

	text[0] = 0;
	while (len < size - 1) {
		got = poll(&p, 1, START_MS);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			snprintf(text, size, "does not start");
			return false;
		}
		n = read(h->fd, text + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = 0;
		if (strstr(text, ready))
			return true;
	}
	make_line(h->program, text);
	if (!*text)
		snprintf(text, size, "ends at once");
	return false;
}

bool helper_start(struct helper *h, const struct helper_start *s, char *text,
		  size_t size)
{
	pid_t parent = getpid();
	int pair[2];

	*h = (struct helper){ .fd = -1, .program = s->argv[0] };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		snprintf(text, size, "%s", strerror(errno));
		return false;
	}
	h->pid = fork();
	if (!h->pid)
		child(s, pair[1], parent);
	close(pair[1]);
	h->fd = pair[0];
	if (h->pid < 0) {
		h->pid = 0;
		close(h->fd);
		snprintf(text, size, "%s", strerror(errno));
		return false;
	}
	if (!await_ready(h, s->ready, text, size))
		return false;
	fcntl(h->fd, F_SETFL, O_NONBLOCK);
	return true;
}

int helper_fd(const struct helper *h)
{
	return h->pid ? h->fd : -1;
}

static int reap(struct helper *h)
{
	int status = 0;

	while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(h->fd);
	h->pid = 0;
	return status;
}

bool helper_event(struct helper *h, char *text, size_t size)
{
	char says[HELPER_SAYS];
	ssize_t n = read(h->fd, says, sizeof(says) - 1);
	int status;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0) {
		says[n] = 0;
		make_line(h->program, says);
		/* JSON is for programs. */
		if (says[0] == '{')
			return false;
		snprintf(text, size, "%s", says);
		return true;
	}
	status = reap(h);
	if (WIFSIGNALED(status))
		snprintf(text, size, "%s died of signal %d (%s)", h->program,
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "%s ended (status %d)", h->program,
			 WEXITSTATUS(status));
	return true;
}

void helper_stop(const struct helper *h)
{
	if (h->pid)
		kill(h->pid, SIGTERM);
}

/* It has closed its output when it has closed what it serves. */
void helper_end(struct helper *h)
{
	struct pollfd p = { .fd = h->fd, .events = POLLIN };
	char drop[HELPER_SAYS];
	ssize_t n;
	int got;

	if (!h->pid)
		return;
	for (;;) {
		got = poll(&p, 1, END_MS);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			kill(h->pid, SIGKILL);
			break;
		}
		n = read(h->fd, drop, sizeof(drop));
		if (!n || (n < 0 && errno != EINTR && errno != EAGAIN))
			break;
	}
	reap(h);
}
