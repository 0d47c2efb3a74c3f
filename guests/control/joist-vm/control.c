/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.c -- the commands of the control socket; proto.h is their page.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guests/control/lib/hv.h"
#include "manager.h"

/* Takes the object over. */
static void reply(struct client *c, json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	if (text) {
		client_send(c, text, strlen(text));
		client_send(c, "\n", 1);
	} else {
		c->closing = true;
	}
	free(text);
	json_decref(o);
}

static void reply_ok(struct client *c)
{
	reply(c, json_pack("{s:b}", "ok", 1));
}

static void reply_error(struct client *c, const char *why)
{
	reply(c, json_pack("{s:b, s:s}", "ok", 0, "error", why));
}

static const char *state_name(const struct manager *m)
{
	if (m->preserved)
		return "preserved";
	if (!m->pid)
		return "restarting";
	if (m->channel < 0)
		return "ending";
	if (!m->ready)
		return "starting";
	return m->paused ? "paused" : "running";
}

/* "pty:/dev/pts/3", say. */
static json_t *serial_name(const struct serial *s)
{
	static const char *const kinds[] = {
		[SERIAL_NONE] = "none", [SERIAL_CONSOLE] = "console",
		[SERIAL_PTY] = "pty", [SERIAL_FILE] = "file",
		[SERIAL_UNIX] = "unix",
	};

	return json_sprintf("%s%s%s", kinds[s->kind], s->path ? ":" : "",
			    s->path ? s->path : "");
}

static json_t *serial_list(const struct vm_config *cfg)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < VM_SERIALS; i++)
		json_array_append_new(list, serial_name(&cfg->serial[i]));
	return list;
}

static json_t *disk_errors(const struct manager *m)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < m->cfg->disks; i++)
		json_array_append_new(list, json_integer(
				      (json_int_t)m->disk[i].errors));
	return list;
}

static void cmd_status(struct manager *m, struct client *c)
{
	u64 up = (manager_ns() - m->started) / 1000000000;

	reply(c, json_pack("{s:b, s:s, s:s, s:i, s:i, s:i, s:I, s:i, s:I, s:s?,"
			   " s:s?, s:o, s:o, s:o, s:s?, s:s?}",
			   "ok", 1,
			   "name", m->cfg->name,
			   "state", state_name(m),
			   "pid", (int)m->pid,
			   "manager", (int)getpid(),
			   "vcpus", (int)m->cfg->vcpus,
			   "memory", (json_int_t)m->cfg->memory,
			   "boots", (int)m->boots,
			   "uptime", (json_int_t)up,
			   "kernel", m->cfg->kernel.path,
			   "firmware", m->cfg->firmware.path,
			   "serial", serial_list(m->cfg),
			   "console", serial_name(&m->cfg->serial[PORT_HVC]),
			   "disk_errors", disk_errors(m),
			   "why_paused", *m->why_paused ? m->why_paused : NULL,
			   "last_end", *m->reason ? m->reason : NULL));
}

static void send_command(struct manager *m, struct client *c,
			 enum msg_kind kind)
{
	if (m->preserved)
		reply_error(c, "the guest has ended, and its VM is preserved: "
			    "reset or kill it");
	else if (manager_send(m, kind) < 0)
		reply_error(c, "the guest is restarting: try again");
	else
		reply_ok(c);
}

static void cmd_stop(struct manager *m, struct client *c)
{
	if (manager_stop(m, "stopped by the operator"))
		reply(c, json_pack("{s:b, s:b}", "ok", 1, "ended", 1));
	else
		reply_ok(c);
}

static void cmd_kill(struct manager *m, struct client *c)
{
	manager_kill(m, "killed by the operator");
	reply_ok(c);
}

static void cmd_reset(struct manager *m, struct client *c)
{
	manager_reset(m);
	reply_ok(c);
}

static void cmd_pause(struct manager *m, struct client *c)
{
	if (m->paused)
		reply_error(c, "the guest is paused already");
	else
		send_command(m, c, MSG_PAUSE);
}

static void cmd_unpause(struct manager *m, struct client *c)
{
	if (!m->paused)
		reply_error(c, "the guest is not paused");
	else
		send_command(m, c, MSG_UNPAUSE);
}

static void cmd_show(struct manager *m, struct client *c)
{
	reply(c, json_pack("{s:b, s:o}", "ok", 1, "settings",
			   json_loads(m->cfg->shown, 0, NULL)));
}

/* The port that is meant, or NULL, and the client knows. */
static struct port *port_of(struct manager *m, struct client *c)
{
	if (m->cfg->serial[c->port].kind != SERIAL_NONE)
		return &m->port[c->port];
	reply_error(c, c->port == PORT_HVC ? "it has no virtio console" :
		    "it has no such serial port");
	return NULL;
}

static void cmd_log(struct manager *m, struct client *c)
{
	const struct port *p = port_of(m, c);
	u64 len, at, first;

	if (!p)
		return;
	len = MIN(p->history_total, HISTORY);
	at = (p->history_total - len) % HISTORY;
	first = MIN(len, HISTORY - at);
	reply(c, json_pack("{s:b, s:I}", "ok", 1, "bytes", (json_int_t)len));
	client_send(c, p->history + at, first);
	client_send(c, p->history, len - first);
}

/* ---- memory ---- */

/* What the guest said is not checked: it is shown, and no more. */
static json_int_t said(u64 value)
{
	return (json_int_t)MIN(value, (u64)INT64_MAX);
}

static json_t *stats_json(const struct balloon_state *s)
{
#define S(name) name,
	static const char *const names[] = { BALLOON_STATS(S) };
#undef S
	json_t *o;
	unsigned i;

	_Static_assert(ARRAY_SIZE(names) == BALLOON_STAT_COUNT, "a name each");
	if (!s->driver || s->age == BALLOON_NOT_SAID)
		return json_null();
	o = json_pack("{s:I}", "age", said(s->age / 1000000000));
	for (i = 0; i < BALLOON_STAT_COUNT; i++)
		if (s->stat[i] != BALLOON_NOT_SAID)
			json_object_set_new(o, names[i],
					    json_integer(said(s->stat[i])));
	return o;
}

/* How much of its memory the VM has, whatever the guest says. */
static u64 held(const struct manager *m)
{
	const struct vm_config *cfg = m->cfg;
	struct joist_info in;

	if (hv_find(m->control, cfg->name, &in) < 0)
		return 0;
	return in.memory - cfg->firmware_size - cfg->vars_size;
}

void control_memory(struct manager *m, struct client *c,
		    const struct balloon_state *s)
{
	reply(c, json_pack("{s:b, s:I, s:I, s:I, s:I, s:b, s:b, s:o}",
			   "ok", 1,
			   "configured", (json_int_t)m->cfg->memory,
			   "target", (json_int_t)m->cfg->target,
			   "held", (json_int_t)held(m),
			   "actual", (json_int_t)(s->actual * PAGE_SIZE),
			   "driver", s->driver,
			   "starved", s->starved,
			   "stats", stats_json(s)));
}

/* NULL, or why the guest cannot be asked to keep that much. */
static const char *target_error(const struct vm_config *cfg,
				const json_t *target)
{
	u64 least = MIN(cfg->memory, BALLOON_LEAST), bytes;
	static char why[128];

	bytes = (u64)json_integer_value(target);
	if (!json_is_integer(target))
		return "\"target\" is not a number of bytes";
	if (bytes % PAGE_SIZE)
		return "the target is not in steps of 4 KiB";
	if (json_integer_value(target) < 0 || bytes < least)
		snprintf(why, sizeof(why), "it is to keep %llu MiB or more",
			 (unsigned long long)(least / MiB));
	else if (bytes > cfg->memory)
		snprintf(why, sizeof(why), "it has %llu MiB and cannot get "
			 "more", (unsigned long long)(cfg->memory / MiB));
	else
		return NULL;
	return why;
}

static void cmd_memory(struct manager *m, struct client *c)
{
	const struct balloon_state none = { 0 };
	const char *why = NULL;

	if (!m->cfg->balloon)
		why = "it has no balloon: it was started without --balloon yes";
	else if (c->target)
		why = target_error(m->cfg, c->target);
	if (why) {
		reply_error(c, why);
		return;
	}
	if (c->target)
		m->cfg->target = (u64)json_integer_value(c->target);
	/* One that still loads its kernel hears of it, but later. */
	if (manager_tell(m, MSG_MEMORY,
			 (u32)(m->cfg->target / PAGE_SIZE)) < 0 || !m->ready)
		control_memory(m, c, &none);
	else
		c->state = CLIENT_MEMORY;
}

static void cmd_wait(struct manager *m, struct client *c)
{
	if (m->preserved)
		control_ended(m, c);
	else
		c->state = CLIENT_WAIT;
}

static void cmd_console(struct manager *m, struct client *c)
{
	if (!port_of(m, c))
		return;
	reply_ok(c);
	c->state = CLIENT_CONSOLE;
}

void control_ended(struct manager *m, struct client *c)
{
	reply(c, json_pack("{s:b, s:i, s:s}", "ok", 1, "exit", m->exit_code,
			   "reason", m->reason));
}

_Static_assert(PROTO_PORT_HVC == PORT_HVC + 1, "ports count from 1");

static const struct {
	const char *name;
	void (*fn)(struct manager *m, struct client *c);
} commands[] = {
	{ "status", cmd_status },
	{ "stop", cmd_stop },
	{ "kill", cmd_kill },
	{ "reset", cmd_reset },
	{ "pause", cmd_pause },
	{ "unpause", cmd_unpause },
	{ "show", cmd_show },
	{ "memory", cmd_memory },
	{ "log", cmd_log },
	{ "wait", cmd_wait },
	{ "console", cmd_console },
};

void control_line(struct manager *m, struct client *c, const char *line)
{
	json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	const char *cmd = json_string_value(json_object_get(o, "cmd"));
	const json_t *port = json_object_get(o, "port");
	size_t i;

	if (!cmd) {
		reply_error(c, "not a JSON object with a \"cmd\"");
		json_decref(o);
		return;
	}
	if (port && (json_integer_value(port) < 1 ||
		     json_integer_value(port) > VM_PORTS)) {
		reply_error(c, "\"port\" is not 1, 2 or 3");
		json_decref(o);
		return;
	}
	c->port = port ? (unsigned)json_integer_value(port) - 1 : 0;
	c->target = json_object_get(o, "target");
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(cmd, commands[i].name))
			continue;
		commands[i].fn(m, c);
		json_decref(o);
		return;
	}
	reply_error(c, "no such command");
	json_decref(o);
}
