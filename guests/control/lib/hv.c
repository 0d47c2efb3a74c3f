/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hv.c -- calls to the hypervisor through joist.ko.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "hv.h"

int hv_call(int fd, unsigned long request, void *block)
{
	int r;

	do
		r = ioctl(fd, request, block);
	while (r < 0 && (errno == EAGAIN || errno == EINTR));
	return r < 0 ? -errno : r;
}

int hv_open_control(void)
{
	struct joist_version v = { 0 };
	int fd, err;

	fd = open(JOIST_CTL_PATH, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		die("%s: not there: is this Joist's control VM, "
		    "and is joist.ko loaded?", JOIST_CTL_PATH);
	if (fd < 0 && errno == EACCES)
		die("%s: permission denied: you need to be root or in "
		    "group joist", JOIST_CTL_PATH);
	if (fd < 0)
		die("%s: %s", JOIST_CTL_PATH, strerror(errno));
	err = hv_call(fd, JOIST_VERSION, &v);
	if (err < 0)
		die("%s: asking for the version: %s", JOIST_CTL_PATH,
		    strerror(-err));
	if (v.abi != JOIST_ABI_VERSION)
		die("the hypervisor speaks ABI version %u, this program %u",
		    v.abi, JOIST_ABI_VERSION);
	return fd;
}

int hv_open_vm(const char *name)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	char path[sizeof(JOIST_VM_DIR) + 1 + JOIST_NAME_LEN];
	int fd, tries;

	snprintf(path, sizeof(path), "%s/%s", JOIST_VM_DIR, name);
	/* Where udev gives the node its group, that takes a moment. */
	for (tries = 0; tries < 100; tries++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 || (errno != ENOENT && errno != EACCES))
			break;
		nanosleep(&pause, NULL);
	}
	return fd < 0 ? -errno : fd;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

const char *hv_name_error(const char *name)
{
	const char *p;

	if (!*name)
		return "the name is empty";
	if (strlen(name) >= JOIST_NAME_LEN)
		return "the name is longer than 31 characters";
	if (!is_alnum(*name))
		return "a name begins with a letter or a digit";
	for (p = name; *p; p++)
		if (!is_alnum(*p) && *p != '.' && *p != '_' && *p != '-')
			return "a name is made of letters, digits, "
			       "'.', '_' and '-'";
	return NULL;
}

int hv_find(int control, const char *name, struct joist_info *info)
{
	u32 index = 0;
	int err;

	for (;;) {
		memset(info, 0, sizeof(*info));
		info->index = index;
		err = hv_call(control, JOIST_INFO, info);
		if (err < 0)
			return err;
		if (!strncmp(info->name, name, JOIST_NAME_LEN))
			return 0;
		index = info->index;
	}
}
