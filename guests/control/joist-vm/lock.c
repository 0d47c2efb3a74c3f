/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.c -- files that one VM at a time may write to.
 *
 * The locks are those of QEMU's programs (its block/file-posix.c), so that they
 * and we see each other: a byte each for what one does to the file, and for
 * what one does not let others do.  All are locked for reading, as many may do
 * or forbid the same; whether anybody does is seen by asking for the byte as if
 * to write to it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "guests/control/lib/err.h"
#include "guests/control/lib/util.h"
#include "lock.h"

#define DOES_AT		100	/* byte of what one does, by number */
#define FORBIDS_AT	200

#define READ		BIT(0)	/* and expects it to make sense */
#define WRITE		BIT(1)
#define RESIZE		BIT(3)
#define KINDS		4	/* 2: a write that changes nothing */

static u64 done_by(bool read_only)
{
	return read_only ? READ : READ | WRITE;
}

static const u64 forbidden = WRITE | RESIZE;

static struct flock byte_of(short type, off_t at)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = at,
		.l_len = 1,
	};
}

static int take(int fd, u64 kinds, off_t at)
{
	struct flock l;
	unsigned i;

	for (i = 0; i < KINDS; i++) {
		l = byte_of(F_RDLCK, at + (off_t)i);
		if ((kinds & BIT(i)) && fcntl(fd, F_OFD_SETLK, &l))
			return -errno;
	}
	return 0;
}

/* Has nobody else locked one of these? */
static int look(int fd, u64 kinds, off_t at)
{
	struct flock l;
	unsigned i;

	for (i = 0; i < KINDS; i++) {
		l = byte_of(F_WRLCK, at + (off_t)i);
		if (!(kinds & BIT(i)))
			continue;
		if (fcntl(fd, F_OFD_GETLK, &l))
			return -errno;
		if (l.l_type != F_UNLCK)
			return -EAGAIN;
	}
	return 0;
}

int file_in_use(int fd, bool read_only)
{
	return look(fd, done_by(read_only), FORBIDS_AT) ?:
	       look(fd, forbidden, DOES_AT);
}

/* First take, then look: of two at the same time one sees the other. */
static int try_lock(int fd, bool read_only)
{
	return take(fd, done_by(read_only), DOES_AT) ?:
	       take(fd, forbidden, FORBIDS_AT) ?:
	       file_in_use(fd, read_only);
}

void file_lock(int fd, bool read_only, const char *what, const char *path)
{
	int err = try_lock(fd, read_only);

	if (err == -EAGAIN || err == -EACCES)
		die("%s %s: " FILE_IN_USE, what, path);
	if (err)
		die("%s %s: cannot lock: %s", what, path, strerror(-err));
}
