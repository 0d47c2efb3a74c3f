/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manage.c -- commands that one VM's joist-vm carries out.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "joistctl.h"

#define STOP_SECONDS	30

/* reset, pause, unpause: the command's name is the socket's. */
int cmd_simple(int argc, char **argv)
{
	struct options o = { 0 };

	parse_options(&o, argc, argv, "", NAME_MUST);
	json_decref(ask(ask_connect(o.name), o.name, argv[0]));
	return EXIT_OK;
}

u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* Does the answer to "wait" come by then? */
static bool ended_by(int fd, u64 end)
{
	struct pollfd p = { fd, POLLIN, 0 };
	u64 now = now_ms();

	return poll(&p, 1, end > now ? (int)(end - now) : 0) > 0;
}

/* A VM to stop, and a connection that waits for its end. */
struct stopping {
	const char *name;
	int fd;
};

/*
 * False: there is nothing to wait for.  With many at once, one may be gone
 * meanwhile.
 */
static bool stop_begin(struct stopping *s, const struct options *o)
{
	bool ended;
	json_t *r;

	s->fd = o->all ? proto_connect(s->name) : ask_connect(s->name);
	if (s->fd < 0)
		return false;
	if (!o->force) {
		r = ask(s->fd, s->name, "stop");
		ended = json_is_true(json_object_get(r, "ended"));
		json_decref(r);
		if (ended) {
			close(s->fd);
			return false;
		}
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "%s: power button pressed; up to %u s "
				"for it\n", s->name, o->seconds);
	}
	ask_send(s->fd, s->name, "wait");
	return true;
}

static void stop_end(struct stopping *s, const struct options *o, u64 end)
{
	int killer;
	char byte;

	if (o->force || !ended_by(s->fd, end)) {
		if (!o->force)
			warn_msg("%s: still running after %u s: killing it",
				 s->name, o->seconds);
		killer = ask_connect(s->name);
		json_decref(ask(killer, s->name, "kill"));
		close(killer);
	}
	json_decref(ask_answer(s->fd, s->name));
	/* It has given back all it had, its disks' locks too, when it is gone. */
	while (read(s->fd, &byte, 1) > 0 || errno == EINTR)
		errno = 0;
	close(s->fd);
}

static int stop_all(const struct options *o)
{
	json_t *list = list_vms(hv_open_control(), NULL), *vm;
	struct stopping *s = calloc(json_array_size(list) + 1, sizeof(*s));
	size_t i, n = 0;
	u64 end;

	if (!s)
		die("out of memory");
	json_array_foreach(list, i, vm) {
		s[n].name = json_string_value(json_object_get(vm, "name"));
		n += stop_begin(&s[n], o);
	}
	end = now_ms() + o->seconds * 1000ull;
	for (i = 0; i < n; i++)
		stop_end(&s[i], o, end);
	free(s);
	json_decref(list);
	return EXIT_OK;
}

int cmd_stop(int argc, char **argv)
{
	struct options o = { .seconds = STOP_SECONDS };
	struct stopping s;

	parse_options(&o, argc, argv, "at:f", NAME_MAYBE);
	if (!o.name == !o.all)
		die_usage("stop: which VM?  One name, or --all");
	if (o.all)
		return stop_all(&o);
	s.name = o.name;
	if (stop_begin(&s, &o))
		stop_end(&s, &o, now_ms() + o.seconds * 1000ull);
	return EXIT_OK;
}

int cmd_kill(int argc, char **argv)
{
	struct options o = { .force = true };
	struct stopping s;

	parse_options(&o, argc, argv, "", NAME_MUST);
	s.name = o.name;
	if (stop_begin(&s, &o))
		stop_end(&s, &o, 0);
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

	parse_options(&o, argc, argv, "p:wd", NAME_MUST);
	fd = ask_connect(o.name);
	json_decref(ask_port(fd, o.name, "console", o.port));
	if (isatty(STDIN_FILENO))
		fprintf(stderr, "[console of %s; ~. leaves it]\n", o.name);
	if (console_loop(fd, o.follow) == CONSOLE_CLOSED && isatty(STDIN_FILENO))
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

	parse_options(&o, argc, argv, "p:", NAME_MUST);
	fd = ask_connect(o.name);
	r = ask_port(fd, o.name, "log", o.port);
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
