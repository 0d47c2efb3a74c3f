/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_storage.c -- joist-vm's disks in formats, with the real
 * qemu-storage-daemon; skipped where FUSE cannot be mounted.
 */
#define _GNU_SOURCE
#define TEST_DIR	"/tmp/joist-test-storage"
#include "tests/unit/vm_dir.h"

#include "guests/control/joist-vm/helper.c"
#include "guests/control/joist-vm/storage.c"

#define DISK_SIZE	(4 * MiB)

static struct vm_config cfg;
static char error[400];

static int teardown(void **state)
{
	storage_close(&cfg);
	unlink("/tmp/joist-test-image");
	return dir_teardown(state);
}

/* An image beside PROTO_DIR, which the daemon's namespace hides. */
static void image_make(const char *format)
{
	char command[200];

	snprintf(command, sizeof(command), "qemu-img create -q -f %s "
		 "/tmp/joist-test-image 4M", format);
	assert_int_equal(system(command), 0);
}

static bool image_open(const char *format, bool read_only)
{
	cfg = (struct vm_config){ .disks = 2 };
	cfg.disk[0].fd = 17;		/* raw: not ours */
	cfg.disk[1] = (struct disk){
		.path = "/tmp/joist-test-image", .format = format, .fd = -1,
		.read_only = read_only,
	};
	return storage_open(&cfg, error, sizeof(error));
}

static void skip_without_fuse(void)
{
	if (!strstr(error, "mount") && !strstr(error, "fuse"))
		return;
	print_message("no FUSE here: %s\n", error);
	storage_close(&cfg);
	skip();
}

static void image_open_good(const char *format, bool read_only)
{
	if (image_open(format, read_only))
		return;
	skip_without_fuse();
	fail_msg("%s", error);
}

/* What is written and flushed is there after the daemon was killed. */
static void kept(void **state)
{
	char buf[4096], back[4096];

	(void)state;
	image_make("qcow2");
	image_open_good("qcow2", false);
	assert_int_equal(cfg.disk[1].size, DISK_SIZE);
	assert_int_equal(cfg.disk[0].fd, 17);
	assert_int_equal(storage_fd(0), -1);
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(pwrite(cfg.disk[1].fd, buf, 4096, DISK_SIZE - 4096),
			 4096);
	assert_int_equal(fdatasync(cfg.disk[1].fd), 0);
	assert_int_equal(kill(daemons[1].pid, SIGKILL), 0);
	while (!storage_event(&cfg, 1, error, sizeof(error)))
		;
	assert_non_null(strstr(error, "joist-test-image"));
	assert_non_null(strstr(error, "signal 9"));
	assert_int_equal(storage_fd(1), -1);
	/* The file is an error from now on, and nothing waits for ever. */
	assert_int_equal(pread(cfg.disk[1].fd, back, 512, 0), -1);
	storage_close(&cfg);
	assert_int_equal(cfg.disk[1].fd, -1);

	image_open_good("qcow2", true);
	assert_int_equal(pread(cfg.disk[1].fd, back, 4096, DISK_SIZE - 4096),
			 4096);
	assert_memory_equal(buf, back, 4096);
	assert_int_equal(pwrite(cfg.disk[1].fd, buf, 512, 0), -1);
	storage_close(&cfg);
}

static void two_writers(void **state)
{
	struct helper first;
	int fd;

	(void)state;
	image_make("qcow2");
	image_open_good("qcow2", false);
	first = daemons[1];
	fd = cfg.disk[1].fd;
	assert_false(image_open("qcow2", false));
	assert_non_null(strstr(error, "in use"));
	storage_close(&cfg);
	daemons[1] = first;
	cfg.disk[1].fd = fd;
	storage_close(&cfg);
}

/* Not what it is said to be: one line that names the image. */
static void wrong_format(void **state)
{
	(void)state;
	image_make("raw");
	if (image_open("qcow2", false))
		fail_msg("a raw image opens as qcow2");
	skip_without_fuse();
	assert_non_null(strstr(error, "joist-test-image: qcow2: "));
	assert_null(strchr(error, '\n'));
	assert_null(strstr(error, "--blockdev"));
	storage_close(&cfg);
}

static void lines(void **state)
{
	char a[] = "qemu-storage-daemon: --blockdev driver=x,a=b: Is no\nx\n\n";
	char b[] = "\n", c[] = "", d[] = "cannot run it: no such file\n";
	char e[] = DAEMON ": --blockdev", f[] = DAEMON ": no: --such\n";

	(void)state;
	make_line(DAEMON, a);
	assert_string_equal(a, "Is no x");
	make_line(DAEMON, b);
	assert_string_equal(b, "");
	make_line(DAEMON, c);
	make_line(DAEMON, d);
	assert_string_equal(d, "cannot run it: no such file");
	make_line(DAEMON, e);
	assert_string_equal(e, "--blockdev");
	make_line(DAEMON, f);
	assert_string_equal(f, "no: --such");
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
		cmocka_unit_test(lines),
		cmocka_unit_test(kept),
		cmocka_unit_test(two_writers),
		cmocka_unit_test(wrong_format),
	};

	return cmocka_run_group_tests(tests, dir_setup, teardown);
}
