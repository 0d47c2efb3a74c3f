/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ask.c -- a VM's control socket, from the asking side.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "joistctl.h"

int ask_connect(const char *name)
{
	int fd = proto_connect(name);

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		die("%s: no VM of that name runs", name);
	if (fd == -EACCES)
		die("%s: permission denied: you need to be root or in group "
		    "joist", name);
	if (fd < 0)
		die("%s: %s", name, strerror(-fd));
	return fd;
}

/* A command with a number; key NULL: without one. */
static void send_number(int fd, const char *name, const char *cmd,
			const char *key, u64 value)
{
	char line[128], with[64] = "";
	int err;

	if (key)
		snprintf(with, sizeof(with), ", \"%s\": %llu", key,
			 (unsigned long long)value);
	snprintf(line, sizeof(line), "{\"cmd\": \"%s\"%s}\n", cmd, with);
	err = proto_write(fd, line, strlen(line));
	if (err)
		die("%s: %s: %s", name, cmd, strerror(-err));
}

void ask_send(int fd, const char *name, const char *cmd)
{
	send_number(fd, name, cmd, NULL, 0);
}

json_t *ask_answer(int fd, const char *name)
{
	char *line = malloc(PROTO_ANSWER);
	const char *why;
	json_t *o;
	int err;

	if (!line)
		die("out of memory");
	err = proto_read_line(fd, line, PROTO_ANSWER);
	if (err < 0)
		die("%s: the VM has ended", name);
	o = json_loads(line, 0, NULL);
	free(line);
	if (!json_is_object(o))
		die("%s: its joist-vm gave an answer that is no JSON", name);
	if (!json_is_true(json_object_get(o, "ok"))) {
		why = json_string_value(json_object_get(o, "error"));
		die("%s: %s", name, why ? why : "refused without a reason");
	}
	return o;
}

/* About a serial port; 0: the first. */
json_t *ask_port(int fd, const char *name, const char *cmd, unsigned port)
{
	send_number(fd, name, cmd, "port", port ? port : 1);
	return ask_answer(fd, name);
}

json_t *ask_memory(int fd, const char *name, u64 target)
{
	send_number(fd, name, "memory", target ? "target" : NULL, target);
	return ask_answer(fd, name);
}

json_t *ask(int fd, const char *name, const char *cmd)
{
	ask_send(fd, name, cmd);
	return ask_answer(fd, name);
}
