/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proto.c -- a client's end of a VM's control socket.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "guests/control/joist_ioctl.h"
#include "proto.h"

/* What is made in it gets its group. */
int proto_make_dir(void)
{
	struct stat st;

	if (mkdir(PROTO_DIR, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	if (stat(JOIST_CTL_PATH, &st) < 0 ||
	    chown(PROTO_DIR, (uid_t)-1, st.st_gid) < 0 ||
	    chmod(PROTO_DIR, 02770) < 0)
		return -errno;
	return 0;
}

void proto_path(char path[PROTO_PATH], const char *name)
{
	snprintf(path, PROTO_PATH, "%s/%s.sock", PROTO_DIR, name);
}

void proto_patience(int fd, unsigned seconds)
{
	struct timeval t = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

/* EAGAIN is what the kernel says then. */
static int error(void)
{
	return errno == EAGAIN ? -ETIMEDOUT : -errno;
}

int proto_connect(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, err;

	proto_path(sa.sun_path, name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	proto_patience(fd, PROTO_SECONDS);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		err = error();
		close(fd);
		return err;
	}
	return fd;
}

int proto_read_line(int fd, char *line, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while (n < size - 1) {
		r = read(fd, line + n, 1);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error();
		if (r == 0)
			return -EPIPE;
		if (line[n] == '\n') {
			line[n] = 0;
			return (int)n;
		}
		n++;
	}
	return -EMSGSIZE;
}

int proto_write(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t r;

	while (len) {
		r = send(fd, p, len, MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error();
		p += r;
		len -= (size_t)r;
	}
	return 0;
}
