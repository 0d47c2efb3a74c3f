/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * confine.c -- a helper program keeps to the files it is given.
 *
 * Which files, Landlock says, by what they are and not by name.  A user of its
 * own may not open them, so under root one capability stays, to pass by their
 * modes; what Landlock does not look at, it must not pass by either.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "guests/control/lib/util.h"
#include "sandbox.h"

/* ---- files ---- */

/* Since version 3, and not in Debian 12's header. */
#define ACCESS_TRUNCATE	BIT(14)

#define ACCESS_READ	LANDLOCK_ACCESS_FS_READ_FILE
#define ACCESS_WRITE	(LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)
#define ACCESS_RUN	(ACCESS_READ | LANDLOCK_ACCESS_FS_READ_DIR | \
			 LANDLOCK_ACCESS_FS_EXECUTE)

/* The program and its libraries; what they open to find out about the kernel. */
static const struct {
	const char *path;
	u64 access;
} needs[] = {
	{ "/usr", ACCESS_RUN }, { "/bin", ACCESS_RUN }, { "/lib", ACCESS_RUN },
	{ "/lib64", ACCESS_RUN }, { "/etc/ld.so.cache", ACCESS_READ },
	{ "/dev/null", ACCESS_READ | ACCESS_WRITE },
	{ "/dev/urandom", ACCESS_READ },
};

static int version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
			    LANDLOCK_CREATE_RULESET_VERSION);
}

bool confine_can(void)
{
	return version() > 0;
}

/* All that this version knows. */
static u64 handled(void)
{
	int v = version();

	return v >= 3 ? BIT(15) - 1 : v == 2 ? BIT(14) - 1 : BIT(13) - 1;
}

static int allow(int rules, int fd, u64 access)
{
	const struct landlock_path_beneath_attr a = {
		.allowed_access = access & handled(), .parent_fd = fd,
	};

	return (int)syscall(SYS_landlock_add_rule, rules,
			    LANDLOCK_RULE_PATH_BENEATH, &a, 0);
}

static int allow_needs(int rules)
{
	unsigned i;
	int fd, err = 0;

	for (i = 0; i < ARRAY_SIZE(needs) && !err; i++) {
		fd = open(needs[i].path, O_PATH | O_CLOEXEC);
		if (fd < 0)
			continue;	/* nothing to allow */
		err = allow(rules, fd, needs[i].access);
		close(fd);
	}
	return err;
}

static int only_files(const struct confine_file *file, unsigned count)
{
	const struct landlock_ruleset_attr a = { handled() };
	int rules = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof(a), 0);
	unsigned i;
	int err;

	if (rules < 0)
		return -1;
	err = allow_needs(rules);
	for (i = 0; i < count && !err; i++)
		err = allow(rules, file[i].fd, ACCESS_READ |
			    (file[i].write ? ACCESS_WRITE : 0));
	if (!err)
		err = (int)syscall(SYS_landlock_restrict_self, rules, 0);
	close(rules);
	return err;
}

/*
 * What Landlock does not see: truncate() by name, before version 3; and sockets
 * with names in the file system, behind which others' services are.  Through an
 * io_uring both could be had without a call.
 */
static const int refused[] = {
	SCMP_SYS(truncate), SCMP_SYS(socket), SCMP_SYS(connect),
	SCMP_SYS(io_uring_setup),
};

static int refuse_calls(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int err = f ? 0 : -ENOMEM;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(refused) && !err; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	errno = -err;
	return err;
}

/* ---- user ---- */

/* Nobody's, with the one capability, which the program inherits. */
static int own_user(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct one[_LINUX_CAPABILITY_U32S_3] = { 0 };
	uid_t own = SANDBOX_UID + (uid_t)getpid();

	one[0].effective = one[0].permitted = one[0].inheritable =
		(u32)BIT(CAP_DAC_OVERRIDE);
	if (setgroups(0, NULL) || setresgid(own, own, own) ||
	    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setresuid(own, own, own) ||
	    syscall(SYS_capset, &head, one))
		return -1;
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0,
		     0);
}

const char *confine(const struct confine_file *file, unsigned count)
{
	const struct rlimit none = { 0, 0 };
	bool root = geteuid() == 0;

	/* Under another user a kernel may not allow that: so be it. */
	if (unshare(root ? CLONE_NEWNET | CLONE_NEWIPC :
		    CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) && root)
		return "namespaces";
	/* A core dump would be the guest's memory. */
	if (setrlimit(RLIMIT_CORE, &none))
		return "limits";
	if (root && own_user())
		return "a user of its own";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return "no new privileges";
	if (confine_can() && only_files(file, count))
		return "Landlock";
	return refuse_calls() ? "system calls" : NULL;
}
