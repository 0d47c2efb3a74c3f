/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_sandbox.c -- what joist-vm's machine process can do once its
 * sandbox is closed: in a child each, for it cannot be opened again.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TEST_DIR	"/tmp/joist-test-sandbox"
#include "tests/unit/vm_dir.h"

#include "guests/control/joist-vm/io.c"
#undef ZEROS
#include "guests/control/joist-vm/sandbox.c"

#include "guests/control/joist-vm/native.c"

#define GOOD	7		/* the child's status if all is well */

/* Not _exit(): before it, the address sanitizer makes calls of its own. */
static void end(int status)
{
	syscall(SYS_exit_group, status);
}

/* How a child ends that does this: as of waitpid(). */
static int child_ends(void (*what)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		what();
		end(GOOD);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void forbidden(void (*what)(void))
{
	int status = child_ends(what);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void allowed(void (*what)(void))
{
	int status = child_ends(what);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), GOOD);
}

/* ---- the list of calls ---- */

static struct vm_config cfg;

static void filter(void)
{
	if (sandbox_filter(&cfg))
		end(1);
}

static void do_open(void)
{
	filter();
	open("/dev/null", O_RDONLY);
}

static void do_socket(void)
{
	filter();
	socket(AF_UNIX, SOCK_STREAM, 0);
}

static void do_exec(void)
{
	filter();
	execl("/bin/true", "true", (char *)NULL);
}

static void do_kill(void)
{
	filter();
	kill(getppid(), 0);
}

static void do_fork(void)
{
	filter();
	syscall(SYS_fork);
}

static void do_ptrace(void)
{
	filter();
	syscall(SYS_ptrace, 0, 0, 0, 0);
}

static void do_ring(void)
{
	filter();
	syscall(SYS_io_uring_setup, 8, 0);
}

static void do_map_exec(void)
{
	filter();
	syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_map_file(void)
{
	filter();
	syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, 0, 0);
}

static void do_make_exec(void)
{
	static u8 page[8192];

	filter();
	syscall(SYS_mprotect, (uintptr_t)(page + 4095) & ~4095ul, 4096,
		PROT_READ | PROT_EXEC);
}

static void do_prctl(void)
{
	filter();
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* TIOCSTI puts bytes into a terminal. */
static void do_ioctl(void)
{
	filter();
	ioctl(0, TIOCSTI, "x");
}

static void do_ioctl_high(void)
{
	filter();
	syscall(SYS_ioctl, 0, 0xffffffff00000000ull | TIOCSTI, "x");
}

static void calls_forbidden(void **state)
{
	(void)state;
	forbidden(do_open);
	forbidden(do_socket);
	forbidden(do_exec);
	forbidden(do_kill);
	forbidden(do_fork);
	forbidden(do_ptrace);
	forbidden(do_ring);
	forbidden(do_map_exec);
	forbidden(do_map_file);
	forbidden(do_make_exec);
	forbidden(do_prctl);
	forbidden(do_ioctl);
	forbidden(do_ioctl_high);
}

/* The flash memory's file may be written, and synced, and no other. */
static void with_vars(void)
{
	cfg.vars_size = 4096;
	cfg.vars.fd = open("/dev/null", O_RDWR);
	if (cfg.vars.fd < 0)
		end(1);
	filter();
}

static void do_write_vars(void)
{
	with_vars();
	if (pwrite(cfg.vars.fd, "x", 1, 0) != 1 ||
	    fdatasync(cfg.vars.fd) != -1 || errno != EINVAL)
		end(1);
}

static void do_write_other(void)
{
	with_vars();
	pwrite(cfg.vars.fd + 1, "x", 1, 0);
}

static void do_sync_other(void)
{
	with_vars();
	fdatasync(cfg.vars.fd + 1);
}

static void do_write_none(void)
{
	filter();
	pwrite(0, "x", 1, 0);
}

static void variables(void **state)
{
	(void)state;
	allowed(do_write_vars);
	forbidden(do_write_other);
	forbidden(do_sync_other);
	forbidden(do_write_none);
}

/* Guest memory is given away by who has a balloon. */
static void do_drop(void)
{
	filter();
	ioctl(-1, JOIST_MEMSEG_DROP, 0);
}

static void do_fill(void)
{
	filter();
	ioctl(-1, JOIST_MEMSEG_FILL, 0);
}

static void do_balloon(void)
{
	cfg.balloon = true;
	filter();
	if (ioctl(-1, JOIST_MEMSEG_DROP, 0) != -1 || errno != EBADF ||
	    ioctl(-1, JOIST_MEMSEG_FILL, 0) != -1 || errno != EBADF)
		end(1);
}

static void balloons(void **state)
{
	(void)state;
	allowed(do_balloon);
	forbidden(do_drop);
	forbidden(do_fill);
}

static void do_work(void)
{
	struct timespec t;
	void *p;
	u8 byte;

	filter();
	clock_gettime(CLOCK_REALTIME, &t);
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	p = (void *)syscall(SYS_mmap, 0, 8 * MiB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || ioctl(-1, JOIST_RUN, 0) != -1 || errno != EBADF ||
	    ioctl(-1, VHOST_NET_SET_BACKEND, 0) != -1 || errno != EBADF ||
	    ioctl(-1, VHOST_VSOCK_SET_RUNNING, 0) != -1 || errno != EBADF ||
	    read(-1, &byte, 1) != -1 || prctl(PR_SET_NAME, "x", 0, 0, 0))
		end(1);
	syscall(SYS_munmap, p, 8 * MiB);
}

static void calls_allowed(void **state)
{
	(void)state;
	allowed(do_work);
}

/* A thread that was there before. */
/* What the emulator needs: code that faults, its signal, the calls. */
static void do_native(void)
{
	static const u32 calls[] = {
		JOIST_ACCESS, JOIST_READREGS, JOIST_WRITEREGS, JOIST_READXSTATE,
		JOIST_WRITEXSTATE,
	};
	static const u8 div[] = { 0xf7, 0xf1 }, add[] = { 0x01, 0xc8 };
	unsigned i;

	if (native_init())
		end(1);
	filter();
	native.gpr[0] = 40;
	native.gpr[1] = 2;
	native_run(add, sizeof(add));
	if (native.fault || native.gpr[0] != 42)
		end(1);
	native.gpr[1] = 0;
	native_run(div, sizeof(div));
	if (native.fault != SIGFPE || native.gpr[0] != 42)
		end(1);
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		if (ioctl(-1, calls[i], 0) != -1 || errno != EBADF)
			end(1);
}

/* No byte of its code can be written where it is executed. */
static void do_native_write(void)
{
	if (native_init())
		end(1);
	filter();
	*(volatile u8 *)native_code() = 0xc3;
}

static void instructions(void **state)
{
	(void)state;
	allowed(do_native);
	/* Which signal, sanitizers and cmocka have a say in. */
	assert_true(WIFSIGNALED(child_ends(do_native_write)));
}

static int pipe_fd[2];

static void *open_later(void *arg)
{
	char byte;

	(void)arg;
	if (read(pipe_fd[0], &byte, 1) == 1)
		open("/dev/null", O_RDONLY);
	return NULL;
}

static void do_thread(void)
{
	pthread_t t;

	if (pipe(pipe_fd) || pthread_create(&t, NULL, open_later, NULL))
		end(1);
	filter();
	if (write(pipe_fd[1], "x", 1) != 1)
		end(1);
	pthread_join(t, NULL);
}

static void threads_too(void **state)
{
	(void)state;
	forbidden(do_thread);
}

/* ---- the ring ---- */

static struct io_op op;
static int result;

static void done(struct io_op *o)
{
	result = o->error ? o->error : 1;
}

static int through_ring_as(struct io_op how, enum io_kind kind, int fd)
{
	static u8 buf[512];
	static struct iovec iov;

	iov = (struct iovec){ buf, sizeof(buf) };
	op = (struct io_op){ .kind = kind, .fd = fd, .len = sizeof(buf),
			     .iov = &iov, .count = 1, .done = done,
			     .durable = how.durable, .device = how.device };
	if (kind == IO_SYNC)
		op.len = 0;
	result = 0;
	io_submit(&op);
	while (!result) {
		io_flush();
		io_reap();
	}
	return result;
}

static int through_ring(enum io_kind kind, int fd)
{
	return through_ring_as((struct io_op){ 0 }, kind, fd);
}

/* A discard of a device is its own request, which this is not. */
static void do_discard(void)
{
	const struct io_op device = { .device = true };
	int fd = memfd_create("disk", 0);

	if (io_init() < 0 || ftruncate(fd, 4096) || io_start_discards())
		end(1);
	filter();
	if (through_ring_as(device, IO_DISCARD, fd) != -ENOTTY ||
	    through_ring_as(device, IO_WRITE, fd) != 1)
		end(2);
}

/* Zeros are made durable, like what is written. */
static void do_durable(void)
{
	const struct io_op durable = { .durable = true };
	int fd = memfd_create("disk", 0);

	if (io_init() < 0 || ftruncate(fd, 4096))
		end(1);
	filter();
	if (through_ring(IO_ZERO_FREE, fd) != 1 || op.syncing ||
	    through_ring_as(durable, IO_ZERO_FREE, fd) != 1 || !op.syncing ||
	    through_ring_as(durable, IO_DISCARD, fd) != 1 || op.syncing)
		end(2);
}

static void do_ring_work(void)
{
	int fd = memfd_create("disk", 0);

	if (io_init() < 0 || ftruncate(fd, 4096))
		end(1);
	filter();
	if (through_ring(IO_WRITE, fd) != 1 || through_ring(IO_READ, fd) != 1 ||
	    through_ring(IO_SYNC, fd) != 1 ||
	    through_ring(IO_DISCARD, fd) != 1 ||
	    through_ring(IO_ZERO, fd) != 1)
		end(2);
}

static void do_ring_open(void)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;

	if (io_init() < 0)
		end(1);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
	io_uring_submit(&ring);
	if (io_uring_wait_cqe(&ring, &cqe) || cqe->res != -EACCES)
		end(2);
}

static void the_ring(void **state)
{
	struct io_uring probe;

	(void)state;
	if (io_uring_queue_init(4, &probe, 0) < 0)
		skip();			/* a container may forbid it */
	io_uring_queue_exit(&probe);
	allowed(do_ring_work);
	allowed(do_ring_open);
	allowed(do_discard);
	allowed(do_durable);
}

/* ---- descriptors, files, user ---- */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void do_close(void)
{
	struct machine_fds fds;
	int fd[12], i;

	for (i = 0; i < 12; i++)
		fd[i] = dup2(0, 20 + 3 * i);
	/* Out of order, and two side by side. */
	fds = (struct machine_fds){ fd[9], fd[2], { dup2(0, 27), -1 } };
	cfg = (struct vm_config){ .disks = 1, .nics = 1 };
	cfg.kernel = (struct file){ "x", fd[0] };
	cfg.disk[0].fd = fd[4];
	cfg.nic[0].pairs = 2;
	cfg.nic[0].fd[0] = fd[11];
	cfg.nic[0].fd[1] = fd[6];
	if (sandbox_close(&cfg, &fds))
		end(1);
	for (i = 0; i < 12; i++)
		if (is_open(fd[i]) != (i == 0 || i == 2 || i == 4 || i == 6 ||
				       i == 9 || i == 11))
			end(2);
	if (!is_open(0) || !is_open(2) || !is_open(27) || is_open(28))
		end(3);
}

static void descriptors(void **state)
{
	(void)state;
	allowed(do_close);
}

static void do_enter(void)
{
	struct stat st;
	uid_t uid = getuid();
	int err;

	err = sandbox_enter();
	if (err == -EPERM || err > 0)
		end(GOOD + 1);	/* a container may forbid namespaces */
	if (err || (!uid && getuid() != SANDBOX_UID + (uid_t)getppid()) ||
	    !setuid(0) || !stat("/dev", &st) || !stat("/proc", &st) ||
	    !mkdir("/x", 0700) || errno != EROFS ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 ||
	    !unshare(CLONE_NEWNS))
		end(1);
}

/* A user who is refused namespaces goes on, and says so. */
static void do_enter_refused(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if ((!getuid() && setresuid(65534, 65534, 65534)) ||
	    seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 0) ||
	    seccomp_load(f))
		end(1);
	if (sandbox_enter() != EPERM ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		end(2);
}

static void refused(void **state)
{
	(void)state;
	allowed(do_enter_refused);
}

/* A file can be filled, and not be made longer; and memory has an end. */
static void do_limits(void)
{
	int fd = memfd_create("disk", 0);
	struct rlimit data;

	cfg = (struct vm_config){ .disks = 2, .vcpus = 2 };
	cfg.disk[0] = (struct disk){ .fd = fd, .size = 8192 };
	cfg.disk[1] = (struct disk){ .fd = -1, .size = 1 << 20,
				     .device.is = true };
	if (ftruncate(fd, 8192) || sandbox_loaded(&cfg))
		end(1);
	signal(SIGXFSZ, SIG_IGN);
	if (pwrite(fd, "x", 1, 8191) != 1 || pwrite(fd, "x", 1, 8192) != -1 ||
	    errno != EFBIG)
		end(2);
	if (getrlimit(RLIMIT_DATA, &data) ||
	    syscall(SYS_mmap, 0, data.rlim_cur, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != -1)
		end(3);
}

static void limits(void **state)
{
	(void)state;
	allowed(do_limits);
}

static void empty_world(void **state)
{
	int status;

	(void)state;
	status = child_ends(do_enter);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == GOOD + 1)
		skip();
	assert_int_equal(WEXITSTATUS(status), GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_forbidden),
		cmocka_unit_test(calls_allowed),
		cmocka_unit_test(balloons),
		cmocka_unit_test(variables),
		cmocka_unit_test(instructions),
		cmocka_unit_test(threads_too),
		cmocka_unit_test(the_ring),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(empty_world),
		cmocka_unit_test(refused),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, dir_setup, dir_teardown);
}
