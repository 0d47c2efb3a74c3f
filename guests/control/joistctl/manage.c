/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manage.c -- commands that one VM's joist-vm carries out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "joistctl.h"

#define STOP_SECONDS	30
#define END_SECONDS	70	/* for a joist-vm: longer than it gives its helpers */
#define KILL_SECONDS	10	/* for a process, after SIGKILL */

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

/*
 * Is the other end closed by then?  A joist-vm's is when it is gone, and has
 * given back all it had, its disks' locks too.
 */
static bool closed_by(int fd, u64 end)
{
	struct pollfd p = { fd, POLLIN, 0 };
	char drop[256];
	u64 now;

	for (;;) {
		now = now_ms();
		if (poll(&p, 1, end > now ? (int)(end - now) : 0) == 0)
			return false;
		if (p.revents && read(fd, drop, sizeof(drop)) <= 0)
			return true;
	}
}

/*
 * SIGKILL for the joist-vm at the other end, and wait until it is gone.  Who
 * has made the socket may be gone, and its number another's: not one of
 * another user, so that nobody can have root kill what he likes.
 */
static int kill_manager(int fd)
{
	socklen_t len = sizeof(struct ucred);
	struct pollfd p = { .events = POLLIN };
	struct ucred who;
	struct stat st;
	char path[32];
	int err = 0;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return -ETIMEDOUT;
	p.fd = pidfd_open(who.pid, 0);
	if (p.fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d", (int)who.pid);
	if (stat(path, &st) < 0 || st.st_uid != who.uid)
		err = -EPERM;
	else if (pidfd_send_signal(p.fd, SIGKILL, NULL, 0) < 0)
		err = -errno;
	else if (poll(&p, 1, KILL_SECONDS * 1000) <= 0)
		err = -ETIMEDOUT;
	close(p.fd);
	return err;
}

/*
 * Without its joist-vm's help.  That goes first: its daemons close their
 * images before the memory is taken from them, if they can.
 */
static bool destroy(const char *name, int fd)
{
	int control = hv_open_control(), err = kill_manager(fd);
	u64 end = now_ms() + KILL_SECONDS * 1000;
	struct joist_destroy d = { 0 };
	struct joist_info info;

	if (err)
		warn_msg("%s: its joist-vm cannot be killed: %s", name,
			 strerror(-err));
	snprintf(d.name, sizeof(d.name), "%s", name);
	do
		hv_call(control, JOIST_DESTROY, &d);
	while (hv_find(control, name, &info) == 0 && now_ms() < end &&
	       !usleep(10000));
	if (hv_find(control, name, &info) == 0) {
		warn_msg("%s: it cannot be destroyed", name);
		err = -EBUSY;
	}
	close(control);
	return !err;
}

/* A VM to stop, and a connection that closes at its end. */
struct stopping {
	const char *name;
	int fd;			/* -ETIMEDOUT: none is to be had */
};

/* Ask it for that, no answer yet; false: it is there no more. */
static bool stop_send(const struct stopping *s, const char *cmd)
{
	char line[32];

	snprintf(line, sizeof(line), "{\"cmd\": \"%s\"}\n", cmd);
	return proto_write(s->fd, line, strlen(line)) != -EPIPE;
}

/*
 * Its power button, if it is to have that.  False: there is nothing to wait
 * for.  With many at once, one may be gone meanwhile.
 */
static bool stop_begin(struct stopping *s, const struct options *o, bool *good)
{
	s->fd = proto_connect(s->name);
	if (s->fd == -ENOENT || s->fd == -ECONNREFUSED)
		*good &= o->all;
	else if (s->fd < 0 && s->fd != -ETIMEDOUT)
		*good = false;
	if (s->fd < 0 && s->fd != -ETIMEDOUT) {
		if (!o->all || !*good)
			warn_msg("%s: %s", s->name, ask_why(s->fd));
		return false;
	}
	if (o->force || s->fd < 0)
		return true;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "%s: power button pressed; up to %u s for it\n",
			s->name, o->seconds);
	stop_send(s, "stop");
	return true;
}

/* By its joist-vm, if that answers, else without. */
static bool stop_kill(struct stopping *s)
{
	struct stopping killer = { s->name, proto_connect(s->name) };
	json_t *r = NULL;
	int err = killer.fd;

	if (killer.fd >= 0) {
		stop_send(&killer, "kill");
		err = ask_read(killer.fd, &r);
		close(killer.fd);
		if (!err && ask_refusal(r)) {
			warn_msg("%s: %s", s->name, ask_refusal(r));
			err = -EPERM;
		}
		json_decref(r);
	}
	if (err != -ETIMEDOUT && s->fd >= 0 &&
	    closed_by(s->fd, now_ms() + END_SECONDS * 1000))
		return true;
	warn_msg("%s: %s: destroying it", s->name, ask_why(-ETIMEDOUT));
	return destroy(s->name, s->fd);
}

static bool stop_end(struct stopping *s, const struct options *o, u64 end)
{
	bool good = true;

	if (o->force || s->fd < 0 || !closed_by(s->fd, end)) {
		if (!o->force)
			warn_msg("%s: still running after %u s: killing it",
				 s->name, o->seconds);
		good = stop_kill(s);
	}
	if (s->fd >= 0)
		close(s->fd);
	return good;
}

/* All hear of it before the first is waited for. */
static int stop(struct stopping *s, size_t count, const struct options *o)
{
	bool good = true;
	size_t i, n = 0;
	u64 end;

	for (i = 0; i < count; i++) {
		s[n].name = s[i].name;
		n += stop_begin(&s[n], o, &good);
	}
	end = now_ms() + o->seconds * 1000ull;
	for (i = 0; i < n; i++)
		good &= stop_end(&s[i], o, end);
	return good ? EXIT_OK : EXIT_FAIL;
}

static int stop_all(const struct options *o)
{
	json_t *list = list_vms(hv_open_control(), NULL, false), *vm;
	struct stopping *s = calloc(json_array_size(list) + 1, sizeof(*s));
	size_t i;
	int code;

	if (!s)
		die("out of memory");
	json_array_foreach(list, i, vm)
		s[i].name = json_string_value(json_object_get(vm, "name"));
	code = stop(s, json_array_size(list), o);
	free(s);
	json_decref(list);
	return code;
}

int cmd_stop(int argc, char **argv)
{
	struct options o = { .seconds = STOP_SECONDS };
	struct stopping s = { 0 };

	parse_options(&o, argc, argv, "at:f", NAME_MAYBE);
	if (!o.name == !o.all)
		die_usage("stop: which VM?  One name, or --all");
	if (o.all)
		return stop_all(&o);
	s.name = o.name;
	return stop(&s, 1, &o);
}

int cmd_kill(int argc, char **argv)
{
	struct options o = { .force = true };
	struct stopping s = { 0 };

	parse_options(&o, argc, argv, "", NAME_MUST);
	s.name = o.name;
	return stop(&s, 1, &o);
}

int cmd_wait(int argc, char **argv)
{
	struct options o = { 0 };
	int code, fd;
	json_t *r;

	parse_options(&o, argc, argv, "j", NAME_MUST);
	fd = ask_connect(o.name);
	proto_patience(fd, 0);
	r = ask(fd, o.name, "wait");
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
	proto_patience(fd, 0);
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
