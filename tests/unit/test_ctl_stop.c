/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ctl_stop.c -- joistctl stop and kill, on joist-vms that are processes
 * of this test: good ones, and such as do not answer.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define TEST_DIR	"/tmp/joist-test-stop"
#include "tests/unit/vm_dir.h"

#undef PROTO_SECONDS
#define PROTO_SECONDS	1

#include "guests/control/lib/proto.c"
#include "guests/control/joistctl/ask.c"
#include "guests/control/joistctl/manage.c"

#include <sys/wait.h>

/* ---- around it ---- */

const char *err_prog = "test", *err_where, *conf_file;
static const char *given;
static bool given_all;
static unsigned destroyed;

void warn_msg(const char *fmt, ...) { (void)fmt; }
void die(const char *fmt, ...) { fail_msg("die: %s", fmt); abort(); }
void die_usage(const char *fmt, ...) { fail_msg("usage: %s", fmt); abort(); }
void parse_options(struct options *o, int argc, char **argv, const char *flags,
		   enum name_rule rule)
{
	(void)argc, (void)argv, (void)flags, (void)rule;
	o->name = given;
	o->all = given_all;
	if (!o->force)
		o->seconds = 2;
}
void print_json(json_t *o) { json_decref(o); }
enum console_end console_loop(int fd, bool watch)
{
	(void)fd, (void)watch;
	return CONSOLE_CLOSED;
}
int hv_open_control(void) { return dup(STDIN_FILENO); }
int hv_call(int fd, unsigned long request, void *block)
{
	(void)fd, (void)block;
	destroyed += request == JOIST_DESTROY;
	return 0;
}
int hv_find(int control, const char *name, struct joist_info *info)
{
	(void)control, (void)name, (void)info;
	return -ENOENT;
}

static json_t *vms;

json_t *list_vms(int control, const char *only, bool asked)
{
	(void)only;
	assert_false(asked);
	close(control);
	return json_incref(vms);
}

/* ---- joist-vms ---- */

/* Its process; what is left of the listening socket is its. */
static pid_t vm(const char *name, void (*serve)(int fd))
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int ready[2], s;
	char byte = 0;
	pid_t pid;

	json_array_append_new(vms, json_pack("{s:s}", "name", name));
	proto_path(sa.sun_path, name);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		s = socket(AF_UNIX, SOCK_STREAM, 0);
		unlink(sa.sun_path);
		if (bind(s, (struct sockaddr *)&sa, sizeof(sa)) ||
		    listen(s, 8) || write(ready[1], &byte, 1) != 1)
			_exit(9);
		for (;;)
			serve(accept(s, NULL, NULL));
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void stops(int fd)
{
	char line[PROTO_LINE];

	if (proto_read_line(fd, line, sizeof(line)) < 0)
		_exit(8);
	_exit(strstr(line, "\"stop\"") ? 0 : 7);
}

static void refuses(int fd)
{
	char line[PROTO_LINE];

	if (proto_read_line(fd, line, sizeof(line)) < 0)
		_exit(8);
	if (strstr(line, "\"kill\""))
		_exit(5);
	proto_write(fd, "{\"ok\": false, \"error\": \"no\"}\n", 28);
}

static void never(int fd)
{
	close(fd);
	_exit(8);
}

static int ended_with(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Each one behind a bad one is pressed, and nothing of the bad ones is left. */
static void all(void **state)
{
	pid_t stopped, no, good;

	(void)state;
	stopped = vm("a", never);
	kill(stopped, SIGSTOP);
	no = vm("b", refuses);
	json_array_append_new(vms, json_pack("{s:s}", "name", "gone"));
	good = vm("c", stops);
	given_all = true;
	assert_int_equal(cmd_stop(0, NULL), EXIT_OK);
	assert_int_equal(ended_with(good), 0);
	assert_int_equal(ended_with(no), 5);
	assert_int_equal(ended_with(stopped), -SIGKILL);
	assert_int_equal(destroyed, 1);
}

static void one_that_is_stopped(void **state)
{
	pid_t pid = vm("a", never);

	(void)state;
	kill(pid, SIGSTOP);
	given = "a";
	assert_int_equal(cmd_kill(0, NULL), EXIT_OK);
	assert_int_equal(ended_with(pid), -SIGKILL);
	assert_int_equal(destroyed, 1);
}

/* So many have asked it that the kernel takes no more. */
static void full(void **state)
{
	pid_t pid = vm("a", never);
	int fd[16];
	unsigned i, n = 0;

	(void)state;
	kill(pid, SIGSTOP);
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[n] = proto_connect("a");
		if (fd[n] < 0)
			break;
		n++;
	}
	assert_int_equal(fd[n], -ETIMEDOUT);
	given = "a";
	/* Whose it is cannot be known: the VM goes, its joist-vm stays. */
	assert_int_equal(cmd_kill(0, NULL), EXIT_FAIL);
	assert_int_equal(destroyed, 1);
	for (i = 0; i < n; i++)
		close(fd[i]);
	kill(pid, SIGKILL);
	ended_with(pid);
}

static void not_there(void **state)
{
	(void)state;
	given = "nobody";
	assert_int_equal(cmd_stop(0, NULL), EXIT_FAIL);
	assert_int_equal(destroyed, 0);
}

static int begin(void **state)
{
	(void)state;
	vms = json_array();
	given = NULL;
	given_all = false;
	destroyed = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	json_decref(vms);
	return system("rm -f " TEST_DIR "/*.sock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all, begin, end),
		cmocka_unit_test_setup_teardown(one_that_is_stopped, begin, end),
		cmocka_unit_test_setup_teardown(full, begin, end),
		cmocka_unit_test_setup_teardown(not_there, begin, end),
	};

	/* What waits for ever fails. */
	alarm(60);
	return cmocka_run_group_tests(tests, dir_setup, dir_teardown);
}
