/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.c -- the machine process gives up what it does not need.
 *
 * It is what a guest can reach, so it is written as if it were the guest's:
 * it cannot open, make, map executable or signal anything.  A call outside
 * the list kills it, which the manager reports as any death of it.  io_uring
 * makes calls that no filter sees: io.c restricts its ring.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/vhost.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guests/control/joist_ioctl.h"
#include "guests/control/lib/proto.h"
#include "sandbox.h"

/* Of memory that is the process's own, beside its threads' stacks. */
#define DATA_MAX	(256 * MiB)
#define STACK_MAX	(8 * MiB)
#define THREADS		2	/* beside the vCPUs' */

/* ---- descriptors ---- */

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int sandbox_close(const struct vm_config *cfg, const struct machine_fds *fds)
{
	int keep[9 + VM_PORTS + VM_DISKS + VM_NICS * NET_PAIRS], next = 3;
	unsigned n = 0, i, q;

	keep[n++] = fds->vm;
	keep[n++] = fds->channel;
	for (i = 0; i < VM_PORTS; i++)
		keep[n++] = fds->serial[i];
	if (cfg->kernel.path)
		keep[n++] = cfg->kernel.fd;
	if (cfg->initrd.path)
		keep[n++] = cfg->initrd.fd;
	if (cfg->firmware.path)
		keep[n++] = cfg->firmware.fd;
	if (cfg->vars_size)
		keep[n++] = cfg->vars.fd;
	for (i = 0; i < cfg->disks; i++)
		keep[n++] = cfg->disk[i].fd;
	for (i = 0; i < cfg->nics; i++)
		for (q = 0; q < cfg->nic[i].pairs; q++)
			keep[n++] = cfg->nic[i].fd[q];
	qsort(keep, n, sizeof(keep[0]), by_number);
	for (i = 0; i < n; i++) {
		if (keep[i] > next && close_range((unsigned)next,
						  (unsigned)keep[i] - 1, 0))
			return -errno;
		next = MAX(next, keep[i] + 1);
	}
	return close_range((unsigned)next, ~0u, 0) ? -errno : 0;
}

static int close_terminal(void)
{
	int null = open("/dev/null", O_RDWR), i;

	for (i = 0; i < 3; i++)
		if (null < 0 || dup2(null, i) < 0)
			return -errno;
	if (null > 2)
		close(null);
	return 0;
}

/*
 * What can be taken at most from now on.  The guest's memory is shared, and so
 * does not count as data.
 */
static int limit(const struct vm_config *cfg)
{
	struct rlimit file = { 0 }, data = { 0 }, stack;
	const struct disk *d;
	u64 size = cfg->vars_size;

	for (d = cfg->disk; d < cfg->disk + cfg->disks; d++)
		if (!d->format && !d->device.is && !d->read_only)
			size = MAX(size, d->size);
	file.rlim_cur = file.rlim_max = size;
	if (getrlimit(RLIMIT_STACK, &stack))
		return -errno;
	data.rlim_cur = DATA_MAX + (cfg->vcpus + THREADS) *
			MIN(stack.rlim_cur, (rlim_t)STACK_MAX);
	data.rlim_max = data.rlim_cur;
	if (setrlimit(RLIMIT_FSIZE, &file) || setrlimit(RLIMIT_DATA, &data))
		return -errno;
	return 0;
}

int sandbox_loaded(const struct vm_config *cfg)
{
	if (cfg->kernel.path)
		close(cfg->kernel.fd);
	if (cfg->initrd.path)
		close(cfg->initrd.fd);
	if (cfg->firmware.path)
		close(cfg->firmware.fd);
	return limit(cfg);
}

/* ---- namespaces, user ---- */

/* An empty file system that cannot be written to takes the place of all. */
static int empty_root(void)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("joist", PROTO_DIR, "tmpfs", flags, "mode=555,size=4k") ||
	    mount(NULL, PROTO_DIR, NULL, MS_REMOUNT | MS_RDONLY | flags,
		  NULL) ||
	    chdir(PROTO_DIR))
		return -errno;
	if (!syscall(SYS_pivot_root, ".", "."))
		return umount2(".", MNT_DETACH) ? -errno : 0;
	/* pivot_root(2): not where the root is an initial ramfs. */
	if (mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		return -errno;
	return 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

int sandbox_enter(void)
{
	const int spaces = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
			   CLONE_NEWUTS;
	uid_t own = SANDBOX_UID + (uid_t)getppid();
	bool root = geteuid() == 0;
	int err = close_terminal(), refused = 0;

	if (err)
		return err;
	tzset();			/* gmtime_r() would open its file */
	if (root) {
		if (unshare(spaces))
			return -errno;
		err = empty_root();
		if (err)
			return err;
		if (setgroups(0, NULL) || setresgid(own, own, own) ||
		    setresuid(own, own, own))
			return -errno;
	} else if (unshare(CLONE_NEWUSER | spaces)) {
		refused = errno;
	} else {
		/* A kernel may not allow mounts in it. */
		err = empty_root();
		if (err && err != -EPERM && err != -EACCES)
			return err;
		refused = -err;
	}
	err = drop_capabilities();
	if (err)
		return err;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
	return refused;
}

/* ---- system calls ---- */

static const int plain_calls[] = {
	SCMP_SYS(futex), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write),
	SCMP_SYS(writev), SCMP_SYS(io_uring_enter), SCMP_SYS(timerfd_settime),
	SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(poll),
	SCMP_SYS(clock_gettime), SCMP_SYS(getrandom),
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk),
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigaction),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(sched_yield),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static const u32 ioctls[] = {
	JOIST_RUN, JOIST_KICK, JOIST_INTR, JOIST_DOORBELL, JOIST_IRQFD,
	JOIST_MEMSEG_PROTECT, JOIST_ACCESS, JOIST_READREGS, JOIST_WRITEREGS,
	JOIST_READXSTATE, JOIST_WRITEXSTATE, TUNSETOFFLOAD, TUNSETQUEUE,
	VHOST_SET_FEATURES, VHOST_SET_VRING_NUM, VHOST_SET_VRING_BASE,
	VHOST_SET_VRING_ADDR, VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL,
	VHOST_NET_SET_BACKEND, VHOST_VSOCK_SET_RUNNING,
	BLKDISCARD,
};

/* The flash memory's file, and no other. */
static int add_vars(scmp_filter_ctx f, const struct vm_config *cfg)
{
	const struct scmp_arg_cmp fd =
		SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)cfg->vars.fd, 0);
	int err;

	if (!cfg->vars_size)
		return 0;
	err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(pwrite64), 1, fd);
	return err ? err : seccomp_rule_add(f, SCMP_ACT_ALLOW,
					    SCMP_SYS(fdatasync), 1, fd);
}

/* A request is 32 bits: the kernel does not look at the others. */
static int add_ioctls(scmp_filter_ctx f, const u32 *request, unsigned count)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < count && !err; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, ~0u,
					       request[i]));
	return err;
}

static int add_balloon(scmp_filter_ctx f, const struct vm_config *cfg)
{
	static const u32 pages[] = { JOIST_MEMSEG_DROP, JOIST_MEMSEG_FILL };

	return cfg->balloon ? add_ioctls(f, pages, ARRAY_SIZE(pages)) : 0;
}

static int add_rules(scmp_filter_ctx f)
{
	const struct scmp_arg_cmp no_exec =
		SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	unsigned i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(plain_calls) && !err; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain_calls[i], 0);
	if (!err)
		err = add_ioctls(f, ioctls, ARRAY_SIZE(ioctls));
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
				       no_exec,
				       SCMP_A3(SCMP_CMP_MASKED_EQ,
					       MAP_ANONYMOUS, MAP_ANONYMOUS));
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect),
				       1, no_exec);
	/* A thread's name; and abort(), which signals the thread itself. */
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				       SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				       SCMP_A0(SCMP_CMP_EQ,
					       (scmp_datum_t)getpid(), 0));
	/* Each exit of a guest to us is one of these. */
	if (!err)
		err = seccomp_syscall_priority(f, SCMP_SYS(ioctl), 255);
	return err;
}

int sandbox_filter(const struct vm_config *cfg)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err;

	if (!f)
		return -ENOMEM;
	err = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!err)
		err = add_rules(f);
	if (!err)
		err = add_vars(f, cfg);
	if (!err)
		err = add_balloon(f, cfg);
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err;
}
