/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ctl_conf.c -- the configuration file: what is taken from it, and what
 * is said about a wrong one.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "guests/control/lib/hv.c"
#include "guests/control/lib/settings.c"
#include "guests/control/lib/conf.c"

/* What is being read when die() is called stays: the program would end. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static jmp_buf refused;
static char message[1024];
static char path[] = "/tmp/joist-test-conf-XXXXXX";

/* err.c's would end the test. */
void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	longjmp(refused, 1);
}

void warn_msg(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
}

static void put(const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* What comes of a good file. */
static struct conf good(const char *text)
{
	struct conf c = { 0 };

	put(text);
	if (setjmp(refused))
		fail_msg("refused: %s", message);
	assert_true(conf_read(&c, path));
	return c;
}

static void bad(const char *text, unsigned line, const char *about)
{
	struct conf c = { 0 };
	char where[128];

	put(text);
	if (!setjmp(refused)) {
		conf_read(&c, path);
		fail_msg("taken: %s", text);
	}
	snprintf(where, sizeof(where), "%s:%u: ", path, line);
	if (strncmp(message, where, strlen(where)) || !strstr(message, about))
		fail_msg("%s: it must begin with %s and name '%s'", message,
			 where, about);
}

static const char *value(const struct conf_vm *vm, unsigned i,
			 const char *name)
{
	assert_true(i < vm->count);
	assert_string_equal(vm->values[i].setting->name, name);
	return vm->values[i].text;
}

static void test_values(void **state)
{
	struct conf c = good("# the first\n"
			     "vm \"web\" {\n"
			     "\tkernel = \"/boot/a b\"\n"
			     "\tappend = 'x=\"1\" ${HOME}'\n"
			     "\tcpus = 4\n"
			     "\tdisk = { /a,\n"
			     "\t\t\"/b,ro\" }\n"
			     "\tdisk = /c\n"
			     "\ton_crash = restart\n"
			     "\tautostart = yes\n"
			     "}\n"
			     "vm two {}\n");
	const struct conf_vm *vm = conf_find(&c, "web");

	(void)state;
	assert_int_equal(c.count, 2);
	assert_non_null(vm);
	assert_int_equal(vm->count, 8);
	assert_string_equal(value(vm, 0, "kernel"), "/boot/a b");
	assert_string_equal(value(vm, 1, "append"), "x=\"1\" ${HOME}");
	assert_string_equal(value(vm, 2, "cpus"), "4");
	assert_string_equal(value(vm, 3, "disk"), "/a");
	assert_int_equal(vm->values[3].line, 6);
	assert_string_equal(value(vm, 4, "disk"), "/b,ro");
	assert_int_equal(vm->values[4].line, 7);
	assert_string_equal(value(vm, 5, "disk"), "/c");
	assert_string_equal(value(vm, 6, "on-crash"), "restart");
	assert_true(vm->autostart);
	assert_non_null(conf_find(&c, "two"));
	assert_false(conf_find(&c, "two")->autostart);
	assert_null(conf_find(&c, "three"));
}

/* Each setting of the table is a word there. */
static void test_every_setting(void **state)
{
	const struct setting *s;
	char text[256];
	struct conf c;

	(void)state;
	for (s = settings; s < settings + settings_count; s++) {
		snprintf(text, sizeof(text), "vm x {\n %s = %s\n}\n",
			 setting_word(s), s->path ? "/p" : "yes");
		c = good(text);
		assert_string_equal(value(conf_find(&c, "x"), 0, s->name),
				    s->path ? "/p" : "yes");
		if (s->list)
			continue;
		snprintf(text, sizeof(text), "vm x {\n %s = %s\n%s = %s\n}\n",
			 setting_word(s), s->path ? "/p" : "yes",
			 setting_word(s), s->path ? "/q" : "no");
		bad(text, 3, "twice");
	}
}

static void test_wrong(void **state)
{
	(void)state;
	bad("vm web {\n\n mem = 1\n}\n", 3, "mem");
	bad("vm web {\n kernel = a\n}\n", 2, "must begin with '/'");
	bad("vm web {\n disk = { /a,\n\nb }\n}\n", 4, "'b'");
	bad("vm web {\n autostart = perhaps\n}\n", 2, "perhaps");
	bad("vm web {\n kernel = /a\n", 4, "before its '}'");
	bad("vm web {\n disk = { /a\n", 4, "end-of-file");
	bad("vm web {\n}\n/* forever\n", 3, "comment");
	bad("# one\n// two\n/* three\n four */ vm web { /* */ # {\n x = 1\n}\n",
	    5, "'x'");
	bad("vm web {\n kernel = \n}\n", 3, "}");
	bad("vm web {\n}\nvm web {\n}\n", 3, "web");
	bad("vm \"we b\" {\n}\n", 2, "we b");
	bad("vm \"\" {\n}\n", 2, "empty");
	bad("vm ../x {\n kernel = /a\n}\n", 2, "../x");
	bad("vm {\n}\n", 1, "title");
	bad("\n\nvms web {\n}\n", 3, "vms");
	bad("kernel = /a\n", 1, "kernel");
}

static void test_not_a_file(void **state)
{
	struct conf c = { 0 };

	(void)state;
	assert_false(conf_read(&c, "/nonexistent/joist.conf"));
	if (!setjmp(refused)) {
		conf_read(&c, "/tmp");
		fail_msg("a folder was read");
	}
	assert_non_null(strstr(message, "/tmp: not a regular file"));
}

/* The first file that names a VM counts, with all it says. */
static void test_two_files(void **state)
{
	struct conf c = good("vm a {\n cpus = 1\n}\nvm b {\n cpus = 1\n}\n");

	(void)state;
	put("vm b {\n cpus = 2\n memory = 1G\n}\nvm c {\n cpus = 2\n}\n");
	if (setjmp(refused))
		fail_msg("refused: %s", message);
	assert_true(conf_read(&c, path));
	assert_int_equal(c.count, 3);
	assert_int_equal(conf_find(&c, "b")->count, 1);
	assert_string_equal(value(conf_find(&c, "b"), 0, "cpus"), "1");
	assert_string_equal(value(conf_find(&c, "c"), 0, "cpus"), "2");
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;

	close(fd);
	return fd < 0;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

/* In a folder that others may write to: only our own file counts. */
static void test_own_file(void **state)
{
	char other[sizeof(path) + 8];
	struct conf c = { 0 };

	(void)state;
	snprintf(other, sizeof(other), "%s.x", path);
	put("vm a { }");
	chmod(path, 0600);
	message[0] = 0;
	assert_true(read_file(&c, path, true));
	assert_false(read_file(&c, other, true));
	snprintf(other, sizeof(other), "%s/x", path);
	assert_false(read_file(&c, other, true));
	snprintf(other, sizeof(other), "%s.x", path);
	assert_string_equal(message, "");
	assert_int_equal(symlink(path, other), 0);
	assert_false(read_file(&c, other, true));
	assert_non_null(strstr(message, "ignored"));
	unlink(other);
	/* Nobody is waited for. */
	message[0] = 0;
	assert_int_equal(mkfifo(other, 0600), 0);
	assert_false(read_file(&c, other, true));
	assert_non_null(strstr(message, "ignored"));
	unlink(other);
	message[0] = 0;
	chmod(path, 0620);
	assert_false(read_file(&c, path, true));
	assert_non_null(strstr(message, "ignored"));
	chmod(path, 0600);
	assert_int_equal(c.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_every_setting),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_not_a_file),
		cmocka_unit_test(test_two_files),
		cmocka_unit_test(test_own_file),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
