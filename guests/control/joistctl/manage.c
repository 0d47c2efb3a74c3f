/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manage.c -- commands that one VM's joist-vm carries out.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "joistctl.h"

#define STOP_SECONDS	30

/* kill, reset, pause, unpause: the command's name is the socket's. */
int cmd_simple(int argc, char **argv)
{
	struct options o = { 0 };

	parse_options(&o, argc, argv, "", NAME_MUST);
	json_decref(ask(ask_connect(o.name), o.name, argv[0]));
	return EXIT_OK;
}

/* Does the answer to "wait" come in time? */
static bool ended_within(int fd, unsigned seconds)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, (int)(seconds * 1000)) > 0;
}

int cmd_stop(int argc, char **argv)
{
	struct options o = { .seconds = STOP_SECONDS };
	int fd, killer;

	parse_options(&o, argc, argv, "tf", NAME_MUST);
	fd = ask_connect(o.name);
	if (!o.force)
		json_decref(ask(fd, o.name, "stop"));
	ask_send(fd, o.name, "wait");
	if (o.force || !ended_within(fd, o.seconds)) {
		if (!o.force)
			warn_msg("%s: still running after %u s: killing it",
				 o.name, o.seconds);
		killer = ask_connect(o.name);
		json_decref(ask(killer, o.name, "kill"));
		close(killer);
	}
	json_decref(ask_answer(fd, o.name));
	return EXIT_OK;
}

int cmd_wait(int argc, char **argv)
{
	struct options o = { 0 };
	int code;
	json_t *r;

	parse_options(&o, argc, argv, "j", NAME_MUST);
	r = ask(ask_connect(o.name), o.name, "wait");
	code = (int)json_integer_value(json_object_get(r, "exit"));
	if (o.json) {
		json_object_del(r, "ok");
		print_json(r);
	} else {
		printf("%s: %s (exit code %d)\n", o.name,
		       json_string_value(json_object_get(r, "reason")), code);
		json_decref(r);
	}
	return code;
}

int cmd_console(int argc, char **argv)
{
	struct options o = { 0 };
	int fd;

	parse_options(&o, argc, argv, "", NAME_MUST);
	fd = ask_connect(o.name);
	json_decref(ask(fd, o.name, "console"));
	if (isatty(STDIN_FILENO))
		fprintf(stderr, "[console of %s; ~. leaves it]\n", o.name);
	if (console_loop(fd) == CONSOLE_CLOSED && isatty(STDIN_FILENO))
		fprintf(stderr, "\n[%s has ended]\n", o.name);
	return EXIT_OK;
}

int cmd_log(int argc, char **argv)
{
	struct options o = { 0 };
	json_int_t left;
	char buf[4096];
	ssize_t n;
	json_t *r;
	int fd;

	parse_options(&o, argc, argv, "", NAME_MUST);
	fd = ask_connect(o.name);
	r = ask(fd, o.name, "log");
	left = json_integer_value(json_object_get(r, "bytes"));
	json_decref(r);
	while (left > 0) {
		n = read(fd, buf, (size_t)MIN(left, (json_int_t)sizeof(buf)));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("%s: the VM has ended", o.name);
		fwrite(buf, 1, (size_t)n, stdout);
		left -= n;
	}
	return EXIT_OK;
}
