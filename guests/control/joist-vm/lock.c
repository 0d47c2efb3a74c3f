/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.c -- files that one VM at a time may write to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "guests/control/lib/err.h"
#include "lock.h"

void file_lock(int fd, bool read_only, const char *what, const char *path)
{
	const struct flock l = {
		.l_type = read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (!fcntl(fd, F_OFD_SETLK, &l))
		return;
	if (errno == EAGAIN || errno == EACCES)
		die("%s %s: in use by another VM", what, path);
	die("%s %s: cannot lock: %s", what, path, strerror(errno));
}
