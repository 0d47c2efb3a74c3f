/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_uefi.c -- joist-vm's file of UEFI variables: made once, whole, the
 * VM's own; what is none is refused by name.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "guests/control/joist-vm/uefi.c"

#include "guests/control/joist-vm/lock.c"
#include "guests/control/lib/err.c"

#define DIR_PATH	"/tmp/joist-test-uefi"
#define PATH		DIR_PATH "/a.vars"

static struct vm_config cfg;

/* The one who tries; says what it says into `said`. */
static char said[1024];

static int try_open(const char *path)
{
	int p[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (!pid) {
		dup2(p[1], 2);
		cfg = (struct vm_config){ .name = "a", .uefi = true };
		cfg.vars.path = path;
		uefi_open(&cfg);
		_exit(0);
	}
	close(p[1]);
	n = read(p[0], said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static unsigned files(void)
{
	DIR *d = opendir(DIR_PATH);
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static int setup(void **state)
{
	(void)state;
	if (system("rm -rf " DIR_PATH))
		return -1;
	return mkdir(DIR_PATH, 0700);
}

static int teardown(void **state)
{
	(void)state;
	return system("rm -rf " DIR_PATH);
}

static void refused(const char *path, const char *why)
{
	assert_int_equal(try_open(path), EXIT_FAIL);
	assert_non_null(strstr(said, path));
	if (!strstr(said, why))
		fail_msg("%s", said);
}

static void test_made_once(void **state)
{
	struct stat a, b;
	int fd;

	(void)state;
	assert_int_equal(try_open(PATH), 0);
	assert_int_equal(system("cmp -s " PATH " " UEFI_VARS), 0);
	assert_int_equal(files(), 1);
	assert_int_equal(stat(PATH, &a), 0);
	fd = open(PATH, O_RDWR);
	assert_int_equal(pwrite(fd, "mine", 4, 1000), 4);
	close(fd);
	assert_int_equal(try_open(PATH), 0);
	assert_int_equal(stat(PATH, &b), 0);
	assert_true(a.st_ino == b.st_ino);
	assert_int_equal(system("cmp -s " PATH " " UEFI_VARS), 1 << 8);
}

static void test_one_vm(void **state)
{
	(void)state;
	cfg = (struct vm_config){ .name = "a", .uefi = true };
	cfg.vars.path = PATH;
	uefi_open(&cfg);
	assert_true(cfg.vars_size && cfg.vars_size % FLASH_BLOCK == 0);
	refused(PATH, "in use by another VM");
	close(cfg.vars.fd);
	assert_int_equal(try_open(PATH), 0);
}

static void test_refused(void **state)
{
	(void)state;
	/* To what is all that it should be, but by whose choice? */
	assert_int_equal(try_open(DIR_PATH "/b.vars"), 0);
	assert_int_equal(symlink("b.vars", PATH), 0);
	refused(PATH, "a symbolic link");
	assert_int_equal(unlink(PATH), 0);
	assert_int_equal(unlink(DIR_PATH "/b.vars"), 0);
	assert_int_equal(truncate(PATH, 0), -1);
	assert_int_equal(system("echo x > " DIR_PATH "/short"), 0);
	refused(DIR_PATH "/short", "2 bytes");
	refused(DIR_PATH, "s a directory");
	refused(DIR_PATH "/no/a.vars", "No such file");
	refused("/dev/null", "not a regular file");
	assert_int_equal(mkfifo(DIR_PATH "/fifo", 0600), 0);
	refused(DIR_PATH "/fifo", "not a regular file");
	/* A link to nowhere is not there and yet cannot be made. */
	assert_int_equal(symlink("nowhere", DIR_PATH "/link"), 0);
	refused(DIR_PATH "/link", "a symbolic link");
	assert_int_equal(files(), 3);
}

/* No room: nothing stays behind. */
static void test_no_room(void **state)
{
	struct rlimit old, small;

	(void)state;
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 100000;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	refused(PATH, "cannot make it");
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(files(), 0);
	assert_int_equal(try_open(PATH), 0);
}

static void test_words(void **state)
{
	char good[] = ",vars=/x/y,z";

	(void)state;
	cfg = (struct vm_config){ .name = "a" };
	uefi_parse(&cfg, good);
	assert_string_equal(cfg.vars.path, "/x/y,z");
	assert_string_equal(cfg.firmware.path, UEFI_CODE);
	uefi_parse(&cfg, "");
	assert_null(cfg.vars.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_vm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
