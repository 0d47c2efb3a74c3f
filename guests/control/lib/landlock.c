/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * landlock.c -- Landlock's calls, which no library of Debian 12's has.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock.h"

static int version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
			    LANDLOCK_CREATE_RULESET_VERSION);
}

bool landlock_can(void)
{
	return version() > 0;
}

/* All that this version knows. */
static u64 handled(void)
{
	int v = version();

	return v >= 3 ? BIT(15) - 1 : v == 2 ? BIT(14) - 1 : BIT(13) - 1;
}

int landlock_open(void)
{
	const struct landlock_ruleset_attr a = {
		.handled_access_fs = handled(),
	};

	return (int)syscall(SYS_landlock_create_ruleset, &a, sizeof(a), 0);
}

int landlock_allow(int rules, int fd, u64 access)
{
	const struct landlock_path_beneath_attr a = {
		.allowed_access = access & handled(), .parent_fd = fd,
	};

	return (int)syscall(SYS_landlock_add_rule, rules,
			    LANDLOCK_RULE_PATH_BENEATH, &a, 0);
}

int landlock_allow_path(int rules, const char *path, u64 access)
{
	int fd = open(path, O_PATH | O_CLOEXEC), err;

	if (fd < 0)
		return 0;
	err = landlock_allow(rules, fd, access);
	close(fd);
	return err;
}

int landlock_enter(int rules)
{
	int err = (int)syscall(SYS_landlock_restrict_self, rules, 0);

	close(rules);
	return err;
}
