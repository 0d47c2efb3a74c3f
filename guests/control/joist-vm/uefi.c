/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uefi.c -- a VM's store of UEFI variables: a file, at first a copy of the
 * empty one that OVMF comes with.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flash.h"
#include "guests/control/lib/err.h"
#include "lock.h"
#include "uefi.h"

void uefi_parse(struct vm_config *cfg, char *text)
{
	cfg->firmware.path = UEFI_CODE;
	cfg->vars.path = NULL;
	if (!*text)
		return;
	if (strncmp(text, ",vars=", 6) || !text[6])
		die_usage("--firmware 'uefi%s': it is uefi or uefi,vars=FILE",
			  text);
	cfg->vars.path = text + 6;
}

static const char *default_path(const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s.vars", UEFI_DIR, name) < 0)
		die("out of memory");
	return path;
}

/* 0, or an error number. */
static int copy(int to, int from)
{
	char buf[65536];
	ssize_t n, put;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		put = write(to, buf, (size_t)n);
		if (put != n)
			return put < 0 ? errno : ENOSPC;
	}
	return n < 0 || fsync(to) ? errno : 0;
}

/* Make the name durable, too. */
static void sync_dir(const char *path)
{
	char *dir = strdup(path), *slash = dir ? strrchr(dir, '/') : NULL;
	int fd;

	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		die("uefi variables %s: its directory: %s", path,
		    strerror(errno));
	close(fd);
	free(dir);
}

/*
 * Whole or not at all, and never in place of one that is there: it is written
 * under another name first.
 */
static void make(const char *path)
{
	int from = open(UEFI_VARS, O_RDONLY | O_CLOEXEC), to, err;
	char *tmp;

	if (from < 0)
		die("%s: %s", UEFI_VARS, strerror(errno));
	if (asprintf(&tmp, "%s.%d", path, getpid()) < 0)
		die("out of memory");
	to = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	if (to < 0)
		die("uefi variables %s: cannot make it: %s (firmware "
		    "'uefi,vars=FILE' names another place)", path,
		    strerror(errno));
	err = copy(to, from);
	close(to);
	close(from);
	if (!err && link(tmp, path) && errno != EEXIST)
		err = errno;
	unlink(tmp);
	free(tmp);
	if (err)
		die("uefi variables %s: cannot make it: %s", path,
		    strerror(err));
	sync_dir(path);
}

void uefi_open(struct vm_config *cfg)
{
	struct stat st, template;
	const char *path;

	if (!cfg->uefi)
		return;
	if (!cfg->vars.path)
		cfg->vars.path = default_path(cfg->name);
	path = cfg->vars.path;
	if (stat(UEFI_VARS, &template))
		die("%s: %s", UEFI_VARS, strerror(errno));
	if (access(path, F_OK) && errno == ENOENT)
		make(path);
	/* Others may write to the folder: no link decides which file it is. */
	cfg->vars.fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (cfg->vars.fd < 0 && errno == ELOOP)
		die("uefi variables %s: a symbolic link", path);
	if (cfg->vars.fd < 0)
		die("uefi variables %s: %s", path, strerror(errno));
	if (fstat(cfg->vars.fd, &st) || !S_ISREG(st.st_mode))
		die("uefi variables %s: not a regular file", path);
	if (st.st_size != template.st_size || st.st_size % FLASH_BLOCK)
		die("uefi variables %s: %lld bytes: a copy of %s has %lld",
		    path, (long long)st.st_size, UEFI_VARS,
		    (long long)template.st_size);
	cfg->vars_size = (u64)st.st_size;
	file_lock(cfg->vars.fd, false, "uefi variables", path);
}
