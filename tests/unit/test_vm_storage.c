/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_storage.c -- joist-vm's disks in formats, with the real
 * qemu-storage-daemon: from start to end, and a disk's bytes by vhost-user.
 */
#define _GNU_SOURCE
#define TEST_DIR	"/tmp/joist-test-storage"
#include "tests/unit/vm_dir.h"

#include "tests/unit/vm_vhost.h"

#include <stdio.h>

#include "guests/control/lib/err.c"
#include "guests/control/joist-vm/confine.c"
#include "guests/control/lib/landlock.c"
#include "guests/control/joist-vm/helper.c"
#include "guests/control/joist-vm/lock.c"
#include "guests/control/joist-vm/storage.c"

#define IMAGE		TEST_DIR "/image"
#define DISK_SIZE	(40 * MiB)

static struct vm_config cfg;
static char error[400];

static int teardown(void **state)
{
	storage_close(&cfg);
	unlink(IMAGE);
	unlink(IMAGE ".base");
	return dir_teardown(state);
}

static void image_make(const char *options)
{
	char command[300];

	snprintf(command, sizeof(command), "qemu-img create -q %s", options);
	assert_int_equal(system(command), 0);
}

#define QCOW2	"-f qcow2 " IMAGE " 40M"

static void files_close(void)
{
	struct disk *d = &cfg.disk[1];

	if (d->format && d->image.fd >= 0)
		close(d->image.fd);
	if (d->backings)
		close(d->backing[0].fd);
}

/* On top of that one, as the configuration says, or of none. */
static bool image_open_on(const char *backing, const char *format,
			  bool read_only)
{
	struct disk *d = &cfg.disk[1];

	files_close();
	cfg = (struct vm_config){ .name = "test", .disks = 2 };
	cfg.disk[0].fd = 17;		/* raw: not ours */
	cfg.disk[1] = (struct disk){
		.path = IMAGE, .format = format, .fd = -1,
		.read_only = read_only,
		.image = { IMAGE, open(IMAGE, O_RDWR | O_CLOEXEC) },
	};
	if (backing) {
		d->backing[0].fd = open(backing, O_RDONLY | O_CLOEXEC);
		d->backings = 1;
	}
	return storage_open(&cfg, error, sizeof(error));
}

static bool image_open(const char *format, bool read_only)
{
	return image_open_on(NULL, format, read_only);
}

static void opened_good(void)
{
	assert_int_equal(cfg.disk[1].size, DISK_SIZE);
	assert_in_range(cfg.disk[1].segments, 1, 254);
	assert_int_equal(cfg.disk[0].fd, 17);
	assert_int_equal(storage_fd(0), -1);
	/* Nothing has a name that others could use. */
	assert_int_equal(access(TEST_DIR "/test.disk", F_OK), -1);
}

static void image_open_good(const char *format, bool read_only)
{
	if (!image_open(format, read_only))
		fail_msg("%s", error);
	opened_good();
}

static void overlay_open_good(void)
{
	if (!image_open_on(IMAGE ".base", "qcow2", false))
		fail_msg("%s", error);
	opened_good();
}

/* ---- a machine's part ---- */

static struct vhost_blk blk;
static struct test_op op;

static void connect_blk(void)
{
	const struct disk *d = &cfg.disk[1];
	int err;

	memory_make();
	assert_int_equal(storage_connect(&cfg), 0);
	assert_int_equal(cfg.disk[0].fd, 17);
	err = vhost_blk_start(&blk, d->fd, d->read_only, &mem, segments);
	if (err)
		fail_msg("%s: %s", blk.user.step, strerror(-err));
	assert_int_equal(blk.info.size, d->size);
}

static void disconnect_blk(void)
{
	blk_end(&blk);
	storage_disconnect(&cfg);
	assert_int_equal(cfg.disk[1].fd, -1);
}

/* Its error. */
static int await(void)
{
	struct pollfd p = { .fd = blk.call, .events = POLLIN };

	vhost_blk_flush(&blk);
	while (!op.done) {
		assert_int_equal(poll(&p, 1, 60000), 1);
		assert_true(vhost_blk_reap(&blk));
		vhost_blk_flush(&blk);
	}
	assert_int_equal(op.done, 1);
	return op.op.error;
}

static int transfer(enum io_kind kind, u64 at, u8 *p, size_t len)
{
	op_make(&op, kind, at, len);
	op_buffer(&op, p, len);
	vhost_blk_submit(&blk, &op.op);
	return await();
}

static int on_range(enum io_kind kind, u64 at, u64 len)
{
	op_make(&op, kind, at, len);
	vhost_blk_submit(&blk, &op.op);
	return await();
}

static void kill_daemon(void)
{
	storage_kill(&cfg, 0);
	storage_kill(&cfg, 2);
	storage_kill(&cfg, ~0u);
	storage_kill(&cfg, 1);
	while (!storage_event(&cfg, 1, error, sizeof(error)))
		;
	assert_non_null(strstr(error, "disk " IMAGE ": "));
	assert_non_null(strstr(error, "signal 9"));
	assert_int_equal(storage_fd(1), -1);
	storage_kill(&cfg, 1);
}

/* What is written and flushed is there after the daemon was killed. */
static void kept(void **state)
{
	struct pollfd p = { .events = POLLIN };

	(void)state;
	image_make(QCOW2);
	image_open_good("qcow2", false);
	connect_blk();
	memset(mem.low, 0x5a, 4096);
	memset(mem.high, 0xa5, 4096);
	assert_int_equal(transfer(IO_WRITE, DISK_SIZE - 4096, mem.low, 4096),
			 0);
	assert_int_equal(transfer(IO_WRITE, 1 * MiB, mem.high, 4096), 0);
	assert_int_equal(on_range(IO_SYNC, 0, 0), 0);
	kill_daemon();
	/* The machine sees it, too, and has no such disk from then on. */
	p.fd = blk.user.fd;
	assert_int_equal(poll(&p, 1, 60000), 1);
	vhost_blk_lost(&blk);
	op_make(&op, IO_SYNC, 0, 0);
	vhost_blk_submit(&blk, &op.op);
	vhost_blk_gone(&blk);
	assert_int_equal(op.op.error, -EIO);
	disconnect_blk();
	assert_int_equal(storage_connect(&cfg), 0);
	assert_int_equal(cfg.disk[1].fd, -1);
	storage_close(&cfg);

	image_open_good("qcow2", true);
	connect_blk();
	assert_int_equal(transfer(IO_READ, DISK_SIZE - 4096, mem.high, 4096),
			 0);
	memset(mem.low, 0x5a, 4096);
	assert_memory_equal(mem.high, mem.low, 4096);
	assert_int_equal(transfer(IO_READ, 1 * MiB, mem.low + 4096, 4096), 0);
	assert_int_equal(mem.low[4096 + 4095], 0xa5);
	/* Nobody writes to it, whatever is asked for. */
	assert_int_equal(transfer(IO_WRITE, 0, mem.low, 512), -EIO);
	disconnect_blk();
	storage_close(&cfg);
}

/* One machine after the other, as when a guest reboots. */
static void reconnects(void **state)
{
	unsigned i;

	(void)state;
	image_make(QCOW2);
	image_open_good("qcow2", false);
	for (i = 0; i < 5; i++) {
		connect_blk();
		/* Left with a request under way: the next one waits for it. */
		memset(mem.low, 0x10 + (int)i, 64 * KiB);
		op_make(&op, IO_WRITE, i * 64 * KiB, 64 * KiB);
		op_buffer(&op, mem.low, 64 * KiB);
		vhost_blk_submit(&blk, &op.op);
		vhost_blk_flush(&blk);
		if (i % 2)
			await();
		disconnect_blk();
	}
	connect_blk();
	for (i = 1; i < 5; i += 2) {
		assert_int_equal(transfer(IO_READ, i * 64 * KiB, mem.low, 512),
				 0);
		assert_int_equal(mem.low[511], 0x10 + i);
	}
	/* Past the end, and zeros in more pieces than one. */
	assert_int_equal(transfer(IO_READ, DISK_SIZE, mem.low, 512), -EIO);
	assert_int_equal(on_range(IO_ZERO, 0, DISK_SIZE), 0);
	assert_int_equal(transfer(IO_READ, 64 * KiB, mem.low, 512), 0);
	assert_int_equal(mem.low[0], 0);
	assert_int_equal(transfer(IO_WRITE, 0, mem.high, 512), 0);
	assert_int_equal(on_range(IO_ZERO_FREE, 0, DISK_SIZE), 0);
	assert_int_equal(on_range(IO_DISCARD, 0, DISK_SIZE), 0);
	disconnect_blk();
	storage_close(&cfg);
}

/* A file on top of another, and a format that is not QEMU's own. */
static void other_formats(void **state)
{
	(void)state;
	image_make("-f qcow2 " IMAGE ".base 40M");
	image_make("-f qcow2 -b " IMAGE ".base -F qcow2 " IMAGE);
	overlay_open_good();
	connect_blk();
	assert_int_equal(transfer(IO_WRITE, 4096, mem.low, 4096), 0);
	disconnect_blk();
	storage_close(&cfg);
	image_make("-f vmdk " IMAGE " 40M");
	image_open_good("vmdk", false);
	connect_blk();
	memset(mem.low, 0x77, 4096);
	assert_int_equal(transfer(IO_WRITE, 4096, mem.low, 4096), 0);
	assert_int_equal(transfer(IO_READ, 4096, mem.high, 4096), 0);
	assert_int_equal(mem.high[4095], 0x77);
	disconnect_blk();
	storage_close(&cfg);
}

static void two_writers(void **state)
{
	struct daemon first;

	(void)state;
	image_make(QCOW2);
	image_open_good("qcow2", false);
	first = daemons[1];
	assert_false(image_open("qcow2", false));
	assert_non_null(strstr(error, "in use"));
	storage_close(&cfg);
	daemons[1] = first;
	storage_close(&cfg);
}

static int image_fd(const char *path, bool read_only)
{
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Two of us, whichever comes first. */
static void raw_locks(void **state)
{
	int first, second;
	unsigned i;

	(void)state;
	image_make("-f raw " IMAGE " 4M");
	for (i = 0; i < 4; i++) {
		first = image_fd(IMAGE, i & 1);
		second = image_fd(IMAGE, i & 2);
		assert_int_equal(try_lock(first, i & 1), 0);
		assert_int_equal(file_in_use(second, i & 2),
				 i == 3 ? 0 : -EAGAIN);
		assert_int_equal(try_lock(second, i & 2), i == 3 ? 0 : -EAGAIN);
		close(first);
		close(second);
	}
}

/* A program of QEMU's on that file: 0, or it is told that others have it. */
static bool qemu_may(const char *command)
{
	char line[300];

	snprintf(line, sizeof(line), "%s > /dev/null 2>&1", command);
	return system(line) == 0;
}

/* QEMU's programs keep off what we have, and only that. */
static void qemu_locks(void **state)
{
	int fd;

	(void)state;
	image_make("-f raw " IMAGE " 4M");
	fd = image_fd(IMAGE, false);
	assert_int_equal(try_lock(fd, false), 0);
	assert_true(qemu_may("qemu-img info -U -f raw " IMAGE));
	assert_false(qemu_may("qemu-io -f raw -c 'write 0 512' " IMAGE));
	assert_false(qemu_may("qemu-img resize -f raw " IMAGE " 8M"));
	close(fd);
	fd = image_fd(IMAGE, true);
	assert_int_equal(try_lock(fd, true), 0);
	assert_true(qemu_may("qemu-img info -f raw " IMAGE));
	assert_true(qemu_may("qemu-io -r -f raw -c 'read 0 512' " IMAGE));
	assert_false(qemu_may("qemu-io -f raw -c 'write 0 512' " IMAGE));
	close(fd);
	assert_true(qemu_may("qemu-io -f raw -c 'write 0 512' " IMAGE));
}

/* A base that is read, and what is on top of it, in either order. */
static void base_and_overlay(void **state)
{
	int base;

	(void)state;
	image_make("-f raw " IMAGE ".base 40M");
	image_make("-f qcow2 -b " IMAGE ".base -F raw " IMAGE);
	base = image_fd(IMAGE ".base", true);
	assert_int_equal(try_lock(base, true), 0);
	overlay_open_good();
	close(base);
	base = image_fd(IMAGE ".base", true);
	assert_int_equal(try_lock(base, true), 0);
	close(base);
	storage_close(&cfg);
}

/* What the image's header says is below it is not opened for that alone. */
static void foreign_backing(void **state)
{
	(void)state;
	image_make("-f raw " IMAGE ".base 40M");
	image_make("-f qcow2 -b " IMAGE ".base -F raw " IMAGE);
	assert_false(image_open("qcow2", false));
	assert_non_null(strstr(error, IMAGE ".base"));
	storage_close(&cfg);
	overlay_open_good();
	storage_close(&cfg);
}

/* In a child: a program that has been taken over. */
static int taken_over(void)
{
	const struct confine_file file[] = {
		{ image_fd(IMAGE, true), false },
		{ image_fd(IMAGE ".base", true), true },
	};
	struct sockaddr_un service = {
		.sun_family = AF_UNIX, .sun_path = TEST_DIR "/service",
	};
	int s = socket(AF_UNIX, SOCK_STREAM, 0), before = socket(AF_UNIX, SOCK_STREAM, 0);
	bool root = !geteuid();

	if (bind(s, (struct sockaddr *)&service, sizeof(service)) || listen(s, 1))
		return 8;
	if (confine(file, ARRAY_SIZE(file)))
		return 1;
	if (open("/etc/shadow", O_RDONLY) >= 0 || errno != EACCES)
		return 2;
	if (open(TEST_DIR "/new", O_RDWR | O_CREAT, 0600) >= 0 ||
	    open(IMAGE, O_RDWR) >= 0 || unlink(IMAGE) == 0)
		return 3;
	if (truncate(IMAGE, 0) == 0 || truncate("/etc/passwd", 0) == 0)
		return 4;
	if (open(IMAGE, O_RDONLY) < 0 || open(IMAGE ".base", O_RDWR) < 0)
		return 5;
	if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ||
	    connect(before, (struct sockaddr *)&service, sizeof(service)) == 0 ||
	    syscall(SYS_io_uring_setup, 1, NULL) >= 0 || errno != EPERM)
		return 7;
	if (root && (!getuid() || kill(getppid(), 0) == 0))
		return 6;
	return 0;
}

static void confined(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	image_make("-f raw " IMAGE " 4M");
	image_make("-f raw " IMAGE ".base 4M");
	chmod(IMAGE, 0600);
	pid = fork();
	if (!pid)
		syscall(SYS_exit_group, taken_over());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlink(TEST_DIR "/service");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A path that has the words of another error in it. */
#define LOCK_DIR	TEST_DIR "/vm lock"
static void odd_path(void **state)
{
	(void)state;
	assert_int_equal(mkdir(LOCK_DIR, 0700), 0);
	image_make("-f raw '" LOCK_DIR "/x' 4M");
	cfg = (struct vm_config){ .name = "test", .disks = 1 };
	cfg.disk[0] = (struct disk){
		.path = LOCK_DIR "/x", .format = "qcow2", .fd = -1,
		.image.fd = image_fd(LOCK_DIR "/x", false),
	};
	assert_false(storage_open(&cfg, error, sizeof(error)));
	assert_null(strstr(error, "in use"));
	assert_non_null(strstr(error, LOCK_DIR "/x: qcow2: "));
	storage_close(&cfg);
	close(cfg.disk[0].image.fd);
	unlink(LOCK_DIR "/x");
	rmdir(LOCK_DIR);
}

/* Not what it is said to be: one line that names the image. */
static void wrong_format(void **state)
{
	(void)state;
	image_make("-f raw " IMAGE " 4M");
	if (image_open("qcow2", false))
		fail_msg("a raw image opens as qcow2");
	assert_non_null(strstr(error, IMAGE ": qcow2: "));
	assert_null(strchr(error, '\n'));
	assert_null(strstr(error, "--blockdev"));
	storage_close(&cfg);
	/* One without a byte. */
	image_make("-f qcow2 " IMAGE " 0");
	assert_false(image_open("qcow2", false));
	assert_non_null(strstr(error, "smaller than a sector (0 bytes)"));
	storage_close(&cfg);
}

static void lines(void **state)
{
	char a[] = "qemu-storage-daemon: --blockdev driver=x,a=b: Is no\nx\n\n";
	char b[] = "\n", c[] = "", d[] = "cannot run it: no such file\n";
	char g[] = "a\033[2J\x7f";
	char e[] = DAEMON ": --blockdev", f[] = DAEMON ": no: --such\n";

	(void)state;
	make_line(DAEMON, a);
	assert_string_equal(a, "Is no x");
	make_line(DAEMON, b);
	assert_string_equal(b, "");
	make_line(DAEMON, c);
	make_line(DAEMON, g);
	assert_string_equal(g, "a?[2J?");
	make_line(DAEMON, d);
	assert_string_equal(d, "cannot run it: no such file");
	make_line(DAEMON, e);
	assert_string_equal(e, "--blockdev");
	make_line(DAEMON, f);
	assert_string_equal(f, "no: --such");
}

/* A helper has no descriptors but its own, however they were opened. */
static void inherits_nothing(void **state)
{
	char script[100];
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct helper_start s = { .argv = argv, .ready = "clean" };
	int fd = dup(STDIN_FILENO);
	struct helper h;

	(void)state;
	assert_in_range(fd, 3, 1000);
	snprintf(script, sizeof(script),
		 "test -e /proc/$$/fd/%d && echo leak || echo clean", fd);
	if (!helper_start(&h, &s, error, sizeof(error)))
		fail_msg("%s", error);
	helper_end(&h);
	close(fd);
}

static void formats(void **state)
{
	(void)state;
	assert_true(storage_knows("qcow2"));
	assert_false(storage_knows("raw"));
	assert_false(storage_knows("nbd"));
	assert_false(storage_knows("qcow2,file.filename=/etc/shadow"));
	assert_false(storage_knows(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats),
		cmocka_unit_test(inherits_nothing),
		cmocka_unit_test(lines),
		cmocka_unit_test(kept),
		cmocka_unit_test(reconnects),
		cmocka_unit_test(other_formats),
		cmocka_unit_test(two_writers),
		cmocka_unit_test(raw_locks),
		cmocka_unit_test(qemu_locks),
		cmocka_unit_test(base_and_overlay),
		cmocka_unit_test(foreign_backing),
		cmocka_unit_test(confined),
		cmocka_unit_test(odd_path),
		cmocka_unit_test(wrong_format),
	};

	return cmocka_run_group_tests(tests, dir_setup, teardown);
}
