/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serial.c -- where serial ports and the virtio console lead: files, pseudo-terminals, sockets.
 *
 * They are the manager's: what the guest can reach has no part in them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "guests/control/lib/err.h"
#include "serial.h"

static void parse(struct serial *s, const char *option, char *text)
{
	static const struct {
		const char *name;
		enum serial_kind kind;
		bool path;
	} kinds[] = {
		{ "console", SERIAL_CONSOLE, false },
		{ "none", SERIAL_NONE, false },
		{ "pty", SERIAL_PTY, false },
		{ "file", SERIAL_FILE, true },
		{ "unix", SERIAL_UNIX, true },
	};
	size_t i, len = strcspn(text, ":");
	bool path = text[len] && text[len + 1];

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i].name) != len ||
		    strncmp(kinds[i].name, text, len) ||
		    kinds[i].path != path || (!path && text[len]))
			continue;
		s->kind = kinds[i].kind;
		if (path)
			s->path = text + len + 1;
		return;
	}
	die_usage("%s '%s': it is console, none, pty, file:PATH or "
		  "unix:PATH", option, text);
}

void serial_parse(struct vm_config *cfg, char *text)
{
	if (cfg->serials == VM_SERIALS)
		die_usage("--serial '%s': a VM has %d serial ports", text,
			  VM_SERIALS);
	parse(&cfg->serial[cfg->serials++], "--serial", text);
}

void console_parse(struct vm_config *cfg, char *text)
{
	cfg->serial[PORT_HVC].path = NULL;
	parse(&cfg->serial[PORT_HVC], "--console", text);
}

/* O_NONBLOCK: a FIFO without a reader is not to hold us. */
static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
		      O_NONBLOCK | O_NOCTTY, 0660);

	if (fd < 0)
		die("serial file %s: %s", path, strerror(errno));
	return fd;
}

/* We hold the other end open, too: nobody there is not a hang-up. */
static int open_pty(struct serial *s)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), other = -1;
	struct termios t;
	char name[64];

	if (fd >= 0 && !grantpt(fd) && !unlockpt(fd) &&
	    !ptsname_r(fd, name, sizeof(name)))
		other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (other < 0)
		die("pseudo-terminal: %s", strerror(errno));
	/* The guest has a terminal of its own; echoes would go back to it. */
	if (!tcgetattr(other, &t)) {
		cfmakeraw(&t);
		tcsetattr(other, TCSANOW, &t);
	}
	s->path = strdup(name);
	return fd;
}

/* A name that nobody listens on any more is a leftover. */
static void remove_leftover(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd;

	if (lstat(sa->sun_path, &st) < 0)
		return;
	if (!S_ISSOCK(st.st_mode))
		die("serial socket %s: there is a file of that name",
		    sa->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)sa,
			       sizeof(*sa)) < 0 && errno == ECONNREFUSED)
		unlink(sa->sun_path);
	else
		die("serial socket %s: in use", sa->sun_path);
	close(fd);
}

static int open_socket(struct serial *s)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd;

	if (strlen(s->path) >= sizeof(sa.sun_path))
		die("serial socket %s: the path is longer than %zu characters",
		    s->path, sizeof(sa.sun_path) - 1);
	strcpy(sa.sun_path, s->path);
	remove_leftover(&sa);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(0117);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, 1) < 0)
		die("serial socket %s: %s", s->path, strerror(errno));
	umask(mask);
	/* We will be somewhere else when it is to go. */
	s->path = realpath(s->path, NULL);
	return fd;
}

void serials_open(struct vm_config *cfg)
{
	struct serial *s;

	for (s = cfg->serial; s < cfg->serial + VM_PORTS; s++) {
		s->fd = -1;
		if (s->kind == SERIAL_FILE)
			s->fd = open_file(s->path);
		else if (s->kind == SERIAL_PTY)
			s->fd = open_pty(s);
		else if (s->kind == SERIAL_UNIX)
			s->fd = open_socket(s);
	}
}

void serials_close(const struct vm_config *cfg)
{
	const struct serial *s;

	for (s = cfg->serial; s < cfg->serial + VM_PORTS; s++)
		if (s->kind == SERIAL_UNIX && s->fd >= 0)
			unlink(s->path);
}
