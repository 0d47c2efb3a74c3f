/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * storage.c -- disks that are not raw, by Debian's qemu-storage-daemon: it
 * knows the formats, we know none.  Its FUSE export makes of an image one
 * file, which is then used as a raw disk is.
 *
 * The daemon never sees the guest's memory.  The file is in a mount namespace
 * of the daemon's own, so that it has no name for anybody else, and nothing
 * is left to clean up whatever way we end.  Who is not root gets that, and
 * the right to mount, by a user namespace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guests/control/lib/proto.h"
#include "helper.h"
#include "storage.h"

#define DAEMON		"qemu-storage-daemon"
#define MOUNT_POINT	PROTO_DIR "/disk"	/* in its own namespace */
/* What the monitor says first, once all options have been done. */
#define GREETING	"{\"QMP\""

static struct helper daemons[VM_DISKS];

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

static void write_map(const char *path, unsigned id)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "0 %u 1", id) < 0)
		helper_fail(path);
	close(fd);
}

static void own_namespace(void *arg)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int fd;

	(void)arg;
	if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS))
		helper_fail("a mount namespace");
	if (uid) {
		/* user_namespaces(7): a gid only where groups stay. */
		fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "deny", 4) != 4)
			helper_fail("/proc/self/setgroups");
		close(fd);
		write_map("/proc/self/uid_map", uid);
		write_map("/proc/self/gid_map", gid);
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ||
	    mount("joist", PROTO_DIR, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "mode=700,size=64k"))
		helper_fail(PROTO_DIR);
	fd = open(MOUNT_POINT, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		helper_fail(MOUNT_POINT);
	close(fd);
}

/* ---- the manager ---- */

static bool start(struct helper *h, const struct disk *d, char *text,
		  size_t size)
{
	char image[PATH_MAX + 128], export[128];
	const char *const argv[] = {
		DAEMON, "--blockdev", image, "--export", export,
		"--chardev", "stdio,id=monitor,signal=off",
		"--monitor", "chardev=monitor", NULL
	};
	const struct helper_start s = {
		.argv = argv, .ready = GREETING, .prepare = own_namespace,
		/* Upon which it closes the image. */
		.death_signal = SIGTERM,
	};

	snprintf(image, sizeof(image), "driver=%s,node-name=disk,read-only=%s,"
		 "discard=unmap,file.driver=file,file.discard=unmap,"
		 "file.filename=%s", d->format, d->read_only ? "on" : "off",
		 d->path);
	snprintf(export, sizeof(export), "type=fuse,id=disk,node-name=disk,"
		 "mountpoint=%s,growable=off,allow-other=off,writable=%s",
		 MOUNT_POINT, d->read_only ? "off" : "on");
	return helper_start(h, &s, text, size);
}

/* The file that the daemon shows. */
static bool open_file(const struct helper *h, struct disk *d, char *text,
		      size_t size)
{
	char path[64];
	off_t end;

	snprintf(path, sizeof(path), "/proc/%d/root" MOUNT_POINT, h->pid);
	d->fd = open(path, (d->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	end = d->fd < 0 ? -1 : lseek(d->fd, 0, SEEK_END);
	if (end < 0) {
		snprintf(text, size, "its file: %s", strerror(errno));
		return false;
	}
	if (end < (off_t)BLK_SECTOR) {
		snprintf(text, size, "smaller than a sector (%lld bytes)",
			 (long long)end);
		return false;
	}
	d->size = (u64)end;
	return true;
}

bool storage_open(struct vm_config *cfg, char *error, size_t size)
{
	char text[HELPER_SAYS];
	struct disk *d;
	unsigned i;

	for (i = 0; i < cfg->disks; i++) {
		d = &cfg->disk[i];
		if (!d->format)
			continue;
		if (start(&daemons[i], d, text, sizeof(text)) &&
		    open_file(&daemons[i], d, text, sizeof(text)))
			continue;
		if (strstr(text, " lock"))
			snprintf(text, sizeof(text), "in use by another VM");
		snprintf(error, size, "disk %s: %s: %s", d->path, d->format,
			 text);
		return false;
	}
	return true;
}

int storage_fd(unsigned disk)
{
	return helper_fd(&daemons[disk]);
}

bool storage_event(const struct vm_config *cfg, unsigned disk, char *text,
		   size_t size)
{
	char says[HELPER_SAYS];

	if (!helper_event(&daemons[disk], says, sizeof(says)))
		return false;
	snprintf(text, size, "disk %s: %s%s", cfg->disk[disk].path, says,
		 storage_fd(disk) < 0 ?
		 ": the guest gets errors from now on" : "");
	return true;
}

void storage_close(struct vm_config *cfg)
{
	unsigned i;

	for (i = 0; i < cfg->disks; i++) {
		if (!cfg->disk[i].format)
			continue;
		if (cfg->disk[i].fd >= 0)
			close(cfg->disk[i].fd);
		cfg->disk[i].fd = -1;
		helper_stop(&daemons[i]);
	}
	for (i = 0; i < cfg->disks; i++)
		helper_end(&daemons[i]);
}
