/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * joistctl.h -- the management tool: its commands and what they share.
 */
#ifndef JOISTCTL_H
#define JOISTCTL_H

#include <jansson.h>
#include <sys/types.h>

#include "guests/control/lib/err.h"
#include "guests/control/lib/hv.h"
#include "guests/control/lib/proto.h"

struct options {
	const char *name;	/* NULL: none given */
	bool takes_value;	/* there may be one more word: */
	const char *value;	/* NULL: there is not */
	bool json, force, follow, all;
	bool plain_name;	/* the name is a file's, not a VM's */
	unsigned seconds;	/* -t, -d */
	unsigned count;		/* -n; 0: without end */
	unsigned port;		/* -p; 0: not said */
};

/*
 * The command line of a command.  `flags`, for getopt(3), are those it takes
 * out of "j" json, "f" force, "w" and "d" follow, "a" all, "t:" and "d:"
 * seconds, "n:" count, "p:" port; "-h" they all take.
 */
enum name_rule { NAME_NONE, NAME_MAYBE, NAME_MUST };
void parse_options(struct options *o, int argc, char **argv,
		   const char *flags, enum name_rule rule);

/* joistctl -f FILE; NULL: the usual ones. */
extern const char *conf_file;

/* run.c: joist-vm for a configured VM; its exit code. */
int vm_start(const char *name);
/* What would be in effect for it, out of that file; NULL: joist-vm has said
 * what is wrong. */
json_t *vm_settings(const char *name, const char *path);

/* show.c: all VMs, or the one of that name; asked: with what their joist-vms
 * say. */
json_t *list_vms(int control, const char *only, bool asked);

/* ask.c: a VM's control socket.  They die with a message on any failure. */
int ask_connect(const char *name);
json_t *ask(int fd, const char *name, const char *cmd);
void ask_send(int fd, const char *name, const char *cmd);
json_t *ask_port(int fd, const char *name, const char *cmd, unsigned port);
/* target: bytes, or 0: only to know. */
json_t *ask_memory(int fd, const char *name, u64 target);
json_t *ask_answer(int fd, const char *name);
/* These do not.  What an error of proto.h's functions means, for people. */
const char *ask_why(int err);
/* An answer, of whatever kind: 0, or -errno as proto_read_line() has it, or
 * -EBADMSG. */
int ask_read(int fd, json_t **answer);
/* Why that was refused, or NULL: it was not. */
const char *ask_refusal(const json_t *answer);

/* manage.c */
u64 now_ms(void);

/* console.c: this terminal on a serial line. */
enum console_end { CONSOLE_CLOSED, CONSOLE_DETACHED, CONSOLE_BROKEN };
enum console_end console_loop(int fd, bool watch);

void print_json(json_t *o);	/* takes it over */

/* The commands; the exit code. */
int cmd_start(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_simple(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_autostart(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_memory(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_dmesg(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
