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
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "guests/control/lib/landlock.h"
#include "guests/control/lib/util.h"
#include "sandbox.h"

/* ---- files ---- */

/* The program and its libraries; what they open to find out about the kernel. */
static const struct {
	const char *path;
	u64 access;
} needs[] = {
	{ "/usr", LANDLOCK_RUN }, { "/bin", LANDLOCK_RUN }, { "/lib", LANDLOCK_RUN },
	{ "/lib64", LANDLOCK_RUN }, { "/etc/ld.so.cache", LANDLOCK_READ },
	{ "/dev/null", LANDLOCK_READ | LANDLOCK_WRITE },
	{ "/dev/urandom", LANDLOCK_READ },
};

static int allow_needs(int rules)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(needs) && !err; i++)
		err = landlock_allow_path(rules, needs[i].path, needs[i].access);
	return err;
}

static int only_files(const struct confine_file *file, unsigned count)
{
	int rules = landlock_open(), err;
	unsigned i;

	if (rules < 0)
		return -1;
	err = allow_needs(rules);
	for (i = 0; i < count && !err; i++)
		err = landlock_allow(rules, file[i].fd, LANDLOCK_READ |
				     (file[i].write ? LANDLOCK_WRITE : 0));
	if (!err)
		return landlock_enter(rules);
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
	if (landlock_can() && only_files(file, count))
		return "Landlock";
	return refuse_calls() ? "system calls" : NULL;
}
