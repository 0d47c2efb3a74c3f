/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ctl_man.c -- options and commands: the code's tables, the manual pages
 * and the completions name the same.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define main joistctl_main
#include "guests/control/joistctl/main.c"
#undef main
#include "guests/control/lib/err.c"
#include "guests/control/lib/settings.c"

#define MAN		"guests/control/man/"
#define JOIST_VM	MAN "joist-vm.8"
#define CONF		MAN "joist.conf.5"
#define JOISTCTL	MAN "joistctl.8"

/* What main.c names. */
#define STUB(name) int name(int argc, char **argv) { (void)argc; (void)argv; \
						     return 0; }
STUB(cmd_start) STUB(cmd_run) STUB(cmd_stop) STUB(cmd_simple) STUB(cmd_kill)
STUB(cmd_console) STUB(cmd_log) STUB(cmd_wait) STUB(cmd_status) STUB(cmd_info)
STUB(cmd_stats) STUB(cmd_top) STUB(cmd_dmesg) STUB(cmd_load) STUB(cmd_reload)
STUB(cmd_autostart) STUB(cmd_show) STUB(cmd_create) STUB(cmd_version)
STUB(cmd_memory)

const char *hv_name_error(const char *name)
{
	(void)name;
	return NULL;
}

static char text[65536];

static void load(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
}

/* A line of the page that begins so and ends there. */
static bool has_line(const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	return strstr(text, whole);
}

static bool has_item(const char *item)
{
	char line[512];
	size_t len;
	char *p;

	len = (size_t)snprintf(line, sizeof(line), "\n.It %s", item);
	p = strstr(text, line);
	return p && (p[len] == ' ' || p[len] == '\n');
}

static unsigned count_items(const char *begin)
{
	unsigned n = 0;
	char *p = text;

	while ((p = strstr(p, begin))) {
		n++;
		p++;
	}
	return n;
}

static void test_settings(void **state)
{
	static const char *const more[] = {
		"Fl Fl config Ar FILE", "Fl Fl show", "Fl Fl daemon",
		"Fl h , Fl Fl help",
	};
	unsigned i, options = 0;
	const struct setting *s;
	char line[256];

	(void)state;
	load(JOIST_VM);
	for (s = settings; s < settings + settings_count; s++) {
		if (s->conf_only)
			continue;
		options++;
		if (s->key < 256)
			snprintf(line, sizeof(line),
				 ".It Fl %c , Fl Fl %s Ar %s", s->key, s->name,
				 s->arg);
		else
			snprintf(line, sizeof(line), ".It Fl Fl %s Ar %s",
				 s->name, s->arg);
		if (!has_line(line))
			fail_msg(JOIST_VM ": no line '%s'", line);
	}
	for (i = 0; i < ARRAY_SIZE(more); i++)
		if (!has_item(more[i]))
			fail_msg(JOIST_VM ": no item '%s'", more[i]);
	assert_int_equal(count_items("\n.It Fl "), options + i);

	load(CONF);
	for (s = settings; s < settings + settings_count; s++) {
		snprintf(line, sizeof(line), ".It Ic %s No = Ar %s",
			 setting_word(s), s->arg);
		if (!has_line(line))
			fail_msg(CONF ": no line '%s'", line);
	}
	assert_int_equal(count_items("\n.It Ic "), settings_count);
}

static void test_commands(void **state)
{
	const struct command *c;
	char item[64];

	(void)state;
	load(JOISTCTL);
	for (c = commands; c < commands + ARRAY_SIZE(commands); c++) {
		snprintf(item, sizeof(item), "Cm %s", c->name);
		if (!has_item(item))
			fail_msg(JOISTCTL ": no item '%s'", item);
	}
	assert_int_equal(count_items("\n.It Cm "), ARRAY_SIZE(commands));
}

static void test_lint(void **state)
{
	(void)state;
	if (system("command -v mandoc > /dev/null"))
		skip();
	assert_int_equal(system("mandoc -T lint -W warning " MAN "*"), 0);
}

static void test_completion(void **state)
{
	(void)state;
	assert_int_equal(system("bash -n guests/control/completion/"
				"joistctl.bash"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_lint),
		cmocka_unit_test(test_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
