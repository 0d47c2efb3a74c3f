/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * storage.c -- disks that are not raw, by Debian's qemu-storage-daemon: it
 * knows the formats, we know none.  It serves an image by vhost-user, over a
 * socket that has no name by the time it listens.
 *
 * A machine has one connection.  When that closes, the daemon first ends what
 * it has under way, then accepts the next.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "confine.h"
#include "guests/control/lib/err.h"
#include "guests/control/lib/landlock.h"
#include "guests/control/lib/proto.h"
#include "helper.h"
#include "lock.h"
#include "storage.h"
#include "vhost_blk.h"

#define DAEMON		"qemu-storage-daemon"
/* What the monitor says first, once all options have been done. */
#define GREETING	"{\"QMP\""

static struct daemon {
	struct helper helper;
	int listener;		/* the daemon's, until it has it */
	int socket;		/* O_PATH: what to connect to */
	const struct disk *disk;
} daemons[VM_DISKS];

bool storage_knows(const char *format)
{
	static const char *const formats[] = {
		"qcow2", "qcow", "qed", "vdi", "vhdx", "vmdk", "vpc",
		"parallels",
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(formats); i++)
		if (!strcmp(format, formats[i]))
			return true;
	return false;
}

/* ---- the child, until it is the daemon ---- */

/*
 * It reads images that others have made: what their headers name beside what
 * the configuration does, it cannot open.
 */
static void prepare(void *arg)
{
	const struct daemon *h = arg;
	const struct disk *d = h->disk;
	struct confine_file file[1 + DISK_BACKINGS] = {
		{ d->image.fd, !d->read_only },
	};
	const char *failed;
	unsigned i;

	for (i = 0; i < d->backings; i++)
		file[1 + i].fd = d->backing[i].fd;
	failed = confine(file, 1 + d->backings);
	if (failed)
		helper_fail(failed);
	if (fcntl(h->listener, F_SETFD, 0))
		helper_fail("its socket");
}

/* ---- the manager ---- */

/* To listen on: bound, so that it can be found by `socket`, and no more. */
static int open_socket(struct daemon *d, const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t mask;
	int err = 0;

	snprintf(sa.sun_path, sizeof(sa.sun_path), PROTO_DIR "/%s.disk", name);
	unlink(sa.sun_path);
	d->socket = -1;
	d->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (d->listener < 0)
		return -errno;
	mask = umask(0177);
	if (bind(d->listener, (struct sockaddr *)&sa, sizeof(sa)))
		err = -errno;
	umask(mask);
	if (err)
		return err;
	d->socket = open(sa.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (d->socket < 0)
		err = -errno;
	unlink(sa.sun_path);
	return err;
}

static void close_any(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool start(struct daemon *h, const struct disk *d, const char *name,
		  char *text, size_t size)
{
	char image[PATH_MAX + 128], export[128];
	const char *const argv[] = {
		DAEMON, "--blockdev", image, "--export", export,
		"--chardev", "stdio,id=monitor,signal=off",
		"--monitor", "chardev=monitor", NULL
	};
	const struct helper_start s = {
		.argv = argv, .ready = GREETING, .prepare = prepare, .arg = h,
		/* Upon which it closes the image. */
		.death_signal = SIGTERM,
	};
	int err = open_socket(h, name);

	h->disk = d;
	if (err) {
		snprintf(text, size, "its socket: %s", strerror(-err));
		return false;
	}
	snprintf(image, sizeof(image), "driver=%s,node-name=disk,read-only=%s,"
		 "discard=unmap,file.driver=file,file.discard=unmap,"
		 "file.filename=%s", d->format, d->read_only ? "on" : "off",
		 d->path);
	snprintf(export, sizeof(export), "type=vhost-user-blk,id=disk,"
		 "node-name=disk,addr.type=fd,addr.str=%d,writable=%s",
		 h->listener, d->read_only ? "off" : "on");
	return helper_start(&h->helper, &s, text, size);
}

/* A connection, or -errno.  By the open file: the name is gone. */
static int connect_to(const struct daemon *d)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d",
		 d->socket);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		err = -errno;
		close(fd);
		return err;
	}
	fcntl(fd, F_SETFL, 0);
	return fd;
}

/* What the disk is like. */
static bool describe(const struct daemon *h, struct disk *d, char *text,
		     size_t size)
{
	struct vhost_blk_info info = { 0 };
	const char *step = "connecting";
	int fd = connect_to(h), err = fd;

	if (fd >= 0) {
		err = vhost_blk_ask(fd, d->read_only, &info, &step);
		close(fd);
	}
	if (err < 0) {
		snprintf(text, size, DAEMON ": %s: %s", step, strerror(-err));
		return false;
	}
	if (info.size < BLK_SECTOR) {
		snprintf(text, size, "smaller than a sector (%llu bytes)",
			 (unsigned long long)info.size);
		return false;
	}
	d->size = info.size;
	d->segments = info.segments;
	return true;
}

static void say_unconfined(const struct vm_config *cfg)
{
	static const char text[] = "this kernel has no Landlock: " DAEMON
				   " may open any file";

	if (landlock_can())
		return;
	warn_msg("%s: %s", cfg->name, text);
	syslog(LOG_WARNING, "%s: %s", cfg->name, text);
}

bool storage_open(struct vm_config *cfg, char *error, size_t size)
{
	char text[HELPER_SAYS];
	struct disk *d;
	bool good, said = false;
	unsigned i;

	for (i = 0; i < cfg->disks; i++) {
		d = &cfg->disk[i];
		if (!d->format)
			continue;
		/* Its own words for that are not ours. */
		if (file_in_use(d->image.fd, d->read_only) == -EAGAIN) {
			snprintf(error, size, "disk %s: " FILE_IN_USE, d->path);
			return false;
		}
		if (!said)
			say_unconfined(cfg);
		said = true;
		good = start(&daemons[i], d, cfg->name, text, sizeof(text));
		close_any(&daemons[i].listener);
		if (good && describe(&daemons[i], d, text, sizeof(text)))
			continue;
		snprintf(error, size, "disk %s: %s: %s", d->path, d->format,
			 text);
		return false;
	}
	return true;
}

int storage_connect(struct vm_config *cfg)
{
	struct disk *d;
	unsigned i;

	for (i = 0; i < cfg->disks; i++) {
		d = &cfg->disk[i];
		if (!d->format || !daemons[i].helper.pid)
			continue;
		d->fd = connect_to(&daemons[i]);
		/* Its end is noticed soon: the machine has no such disk. */
		if (d->fd == -ECONNREFUSED)
			d->fd = -1;
		if (d->fd < -1)
			return d->fd;
	}
	return 0;
}

void storage_disconnect(struct vm_config *cfg)
{
	unsigned i;

	for (i = 0; i < cfg->disks; i++)
		if (cfg->disk[i].format)
			close_any(&cfg->disk[i].fd);
}

void storage_kill(const struct vm_config *cfg, unsigned disk)
{
	if (disk < cfg->disks && cfg->disk[disk].format &&
	    daemons[disk].helper.pid)
		kill(daemons[disk].helper.pid, SIGKILL);
}

int storage_fd(unsigned disk)
{
	return helper_fd(&daemons[disk].helper);
}

bool storage_event(const struct vm_config *cfg, unsigned disk, char *text,
		   size_t size)
{
	char says[HELPER_SAYS];

	if (!helper_event(&daemons[disk].helper, says, sizeof(says)))
		return false;
	snprintf(text, size, "disk %s: %s%s", cfg->disk[disk].path, says,
		 storage_fd(disk) < 0 ?
		 ": the guest gets errors from now on" : "");
	return true;
}

void storage_close(struct vm_config *cfg)
{
	unsigned i;

	storage_disconnect(cfg);
	for (i = 0; i < cfg->disks; i++) {
		if (!cfg->disk[i].format)
			continue;
		helper_stop(&daemons[i].helper);
		if (daemons[i].socket > 0)
			close_any(&daemons[i].socket);
	}
	for (i = 0; i < cfg->disks; i++)
		helper_end(&daemons[i].helper);
}
