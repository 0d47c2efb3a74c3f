/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ask.c -- a VM's control socket, from the asking side.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "joistctl.h"

const char *ask_why(int err)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "no VM of that name runs";
	case -EACCES:
		return "permission denied: you need to be root or in group "
		       "joist";
	case -ETIMEDOUT:
		return "its joist-vm does not answer";
	case -EPIPE:
	case -ECONNRESET:
		return "the VM has ended";
	case -EBADMSG:
		return "its joist-vm gave an answer that is no JSON";
	default:
		return strerror(-err);
	}
}

int ask_connect(const char *name)
{
	int fd = proto_connect(name);

	if (fd < 0)
		die("%s: %s", name, ask_why(fd));
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
		die("%s: %s: %s", name, cmd, ask_why(err));
}

void ask_send(int fd, const char *name, const char *cmd)
{
	send_number(fd, name, cmd, NULL, 0);
}

int ask_read(int fd, json_t **answer)
{
	char *line = malloc(PROTO_ANSWER);
	int err;

	if (!line)
		die("out of memory");
	err = proto_read_line(fd, line, PROTO_ANSWER);
	*answer = err < 0 ? NULL : json_loads(line, 0, NULL);
	free(line);
	if (err < 0)
		return err;
	if (json_is_object(*answer))
		return 0;
	json_decref(*answer);
	return -EBADMSG;
}

const char *ask_refusal(const json_t *answer)
{
	const char *why;

	if (json_is_true(json_object_get(answer, "ok")))
		return NULL;
	why = json_string_value(json_object_get(answer, "error"));
	return why ? why : "refused without a reason";
}

json_t *ask_answer(int fd, const char *name)
{
	json_t *o;
	int err = ask_read(fd, &o);

	if (err < 0)
		die("%s: %s", name, ask_why(err));
	if (ask_refusal(o))
		die("%s: %s", name, ask_refusal(o));
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
