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
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests/control/lib/proto.h"
#include "storage.h"

#define DAEMON		"qemu-storage-daemon"
#define MOUNT_POINT	PROTO_DIR "/disk"	/* in its own namespace */
#define START_MS	60000
#define END_MS		60000
#define SAYS		1024
/* What the monitor says first, once all options have been done. */
#define GREETING	"{\"QMP\""

static struct storage {
	pid_t pid;		/* 0: none */
	int fd;			/* its standard output and error */
} storage[VM_DISKS];

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

/* ---- the child, until it is the daemon; its error is what it prints ---- */

static void child_fail(const char *what)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

static void write_map(const char *path, unsigned id)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "0 %u 1", id) < 0)
		child_fail(path);
	close(fd);
}

static void own_namespace(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int fd;

	if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS))
		child_fail("a mount namespace");
	if (uid) {
		/* user_namespaces(7): a gid only where groups stay. */
		fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "deny", 4) != 4)
			child_fail("/proc/self/setgroups");
		close(fd);
		write_map("/proc/self/uid_map", uid);
		write_map("/proc/self/gid_map", gid);
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ||
	    mount("joist", PROTO_DIR, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "mode=700,size=64k"))
		child_fail(PROTO_DIR);
	fd = open(MOUNT_POINT, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		child_fail(MOUNT_POINT);
	close(fd);
}

static void child(const struct disk *d, int fd, pid_t parent)
{
	char image[PATH_MAX + 128], export[128];
	sigset_t none;

	/* A socket to read from, too: the monitor is to see no end of input. */
	if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
	    dup2(fd, STDERR_FILENO) < 0)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	own_namespace();
	/* SIGTERM: it closes the image first. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(0);
	snprintf(image, sizeof(image), "driver=%s,node-name=disk,read-only=%s,"
		 "discard=unmap,file.driver=file,file.discard=unmap,"
		 "file.filename=%s", d->format, d->read_only ? "on" : "off",
		 d->path);
	snprintf(export, sizeof(export), "type=fuse,id=disk,node-name=disk,"
		 "mountpoint=%s,growable=off,allow-other=off,writable=%s",
		 MOUNT_POINT, d->read_only ? "off" : "on");
	execlp(DAEMON, DAEMON, "--blockdev", image, "--export", export,
	       "--chardev", "stdio,id=monitor,signal=off",
	       "--monitor", "chardev=monitor", (char *)NULL);
	child_fail("cannot run " DAEMON);
}

/* ---- the manager ---- */

/* One line of what the daemon printed, without the option it complains of. */
static void make_line(char *text)
{
	static const char before[] = DAEMON ": --";
	char *p, *end = strstr(text, ": ");

	if (!strncmp(text, before, strlen(before))) {
		end = strstr(text + strlen(before), ": ");
		if (end)
			memmove(text, end + 2, strlen(end + 2) + 1);
	}
	for (p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	while (p > text && p[-1] == ' ')
		*--p = 0;
}

/* Wait for the greeting; false: what came instead is in text. */
static bool await_ready(int fd, char *text, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	ssize_t n;

	while (len < size - 1) {
		if (poll(&p, 1, START_MS) <= 0) {
			snprintf(text, size, "does not start");
			return false;
		}
		n = read(fd, text + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = 0;
		if (strstr(text, GREETING))
			return true;
	}
	text[len] = 0;
	make_line(text);
	return false;
}

static bool start(struct storage *s, const struct disk *d, char *text,
		  size_t size)
{
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		snprintf(text, size, "%s", strerror(errno));
		return false;
	}
	s->pid = fork();
	if (!s->pid)
		child(d, pair[1], parent);
	close(pair[1]);
	s->fd = pair[0];
	if (s->pid < 0) {
		s->pid = 0;
		close(s->fd);
		snprintf(text, size, "%s", strerror(errno));
		return false;
	}
	return await_ready(s->fd, text, size);
}

/* The file that the daemon shows. */
static bool open_file(const struct storage *s, struct disk *d, char *text,
		      size_t size)
{
	char path[64];
	off_t end;

	snprintf(path, sizeof(path), "/proc/%d/root" MOUNT_POINT, s->pid);
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
	fcntl(s->fd, F_SETFL, O_NONBLOCK);
	return true;
}

bool storage_open(struct vm_config *cfg, char *error, size_t size)
{
	char text[SAYS];
	struct disk *d;
	unsigned i;

	for (i = 0; i < cfg->disks; i++) {
		d = &cfg->disk[i];
		if (!d->format)
			continue;
		if (start(&storage[i], d, text, sizeof(text)) &&
		    open_file(&storage[i], d, text, sizeof(text)))
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
	return storage[disk].pid ? storage[disk].fd : -1;
}

/* It has ended, or is to be ended; how it ended. */
static int reap(struct storage *s)
{
	int status = 0;

	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(s->fd);
	s->pid = 0;
	return status;
}

bool storage_event(const struct vm_config *cfg, unsigned disk, char *text,
		   size_t size)
{
	struct storage *s = &storage[disk];
	const char *path = cfg->disk[disk].path;
	char says[SAYS];
	ssize_t n = read(s->fd, says, sizeof(says) - 1);
	int status;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0) {
		says[n] = 0;
		make_line(says);
		/* The monitor's events are for programs. */
		if (says[0] == '{')
			return false;
		snprintf(text, size, "disk %s: %s", path, says);
		return true;
	}
	status = reap(s);
	if (WIFSIGNALED(status))
		snprintf(text, size, "disk %s: %s died of signal %d (%s): the "
			 "guest gets errors from now on", path, DAEMON,
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "disk %s: %s ended (status %d): the "
			 "guest gets errors from now on", path, DAEMON,
			 WEXITSTATUS(status));
	return true;
}

/* Until the daemon has closed its output, with its image. */
static void await_end(struct storage *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	char drop[SAYS];
	ssize_t n;

	for (;;) {
		if (poll(&p, 1, END_MS) == 0) {
			kill(s->pid, SIGKILL);
			return;
		}
		n = read(s->fd, drop, sizeof(drop));
		if (!n || (n < 0 && errno != EINTR && errno != EAGAIN))
			return;
	}
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
		if (storage[i].pid)
			kill(storage[i].pid, SIGTERM);
	}
	for (i = 0; i < cfg->disks; i++) {
		if (!storage[i].pid)
			continue;
		await_end(&storage[i]);
		reap(&storage[i]);
	}
}
