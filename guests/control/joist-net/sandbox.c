/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.c -- what is left to joist-net once it works.
 *
 * A list of calls, all others give EPERM: libslirp takes what a kernel refuses
 * for a network that does not let it.  Sockets are those of IP, as behind a name
 * in the file system there are services of the machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guests/control/lib/landlock.h"
#include "guests/control/lib/util.h"
#include "sandbox.h"

#define NAMES	"/etc/resolv.conf"	/* libslirp looks into it again and again */

/* Which may be a link to where something writes a new one now and then. */
static int only_names(void)
{
	char path[PATH_MAX];
	int rules = landlock_open(), err = 0;

	if (rules < 0)
		return -1;
	if (realpath(NAMES, path))
		err = landlock_allow_path(rules, dirname(path), LANDLOCK_READ);
	if (!err)
		return landlock_enter(rules);
	close(rules);
	return err;
}

static const int plain_calls[] = {
	/* packets and connections */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
	SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto),
	SCMP_SYS(sendmsg), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen),
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(shutdown),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt), SCMP_SYS(fcntl), SCMP_SYS(close), SCMP_SYS(poll),
	SCMP_SYS(restart_syscall),
	/* the file of names: Landlock says which */
	SCMP_SYS(openat), SCMP_SYS(newfstatat), SCMP_SYS(fstat), SCMP_SYS(lseek),
	/* time and memory */
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(futex), SCMP_SYS(getrandom),
	/* signals, and the end */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static int add_rules(scmp_filter_ctx f)
{
	const struct scmp_arg_cmp no_exec =
		SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	static const int families[] = { AF_INET, AF_INET6 };
	unsigned i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(plain_calls) && !err; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain_calls[i], 0);
	for (i = 0; i < ARRAY_SIZE(families) && !err; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				       SCMP_A0(SCMP_CMP_EQ, (u64)families[i]));
	/* A request is 32 bits: the kernel does not look at the others. */
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, ~0u,
					       FIONREAD));
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				       no_exec);
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				       no_exec);
	/* abort() signals the thread itself. */
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				       SCMP_A0(SCMP_CMP_EQ, (u64)getpid()));
	return err;
}

static int only_calls(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err = f ? add_rules(f) : -ENOMEM;

	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	errno = -err;
	return err;
}

const char *sandbox_enter(void)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return "no new privileges";
	/* A core dump would be the guest's packets. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || setrlimit(RLIMIT_CORE, &none))
		return "no core dumps";
	if (landlock_can() && only_names())
		return "Landlock";
	return only_calls() ? "system calls" : NULL;
}
