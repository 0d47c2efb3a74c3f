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
	bool json, force, follow;
	unsigned seconds;	/* -t, -d */
	unsigned count;		/* -n; 0: without end */
};

/*
 * The command line of a command: `flags` are the letters it takes out of
 * "j" json, "f" force, "w" follow, "t" and "d" seconds, "n" count.
 */
enum name_rule { NAME_NONE, NAME_MAYBE, NAME_MUST };
void parse_options(struct options *o, int argc, char **argv,
		   const char *flags, enum name_rule rule);

/* ask.c: a VM's control socket.  They die with a message on any failure. */
int ask_connect(const char *name);
json_t *ask(int fd, const char *name, const char *cmd);
void ask_send(int fd, const char *name, const char *cmd);
json_t *ask_answer(int fd, const char *name);

/* console.c: this terminal on a serial line. */
enum console_end { CONSOLE_CLOSED, CONSOLE_DETACHED, CONSOLE_BROKEN };
enum console_end console_loop(int fd);

void print_json(json_t *o);	/* takes it over */

/* The commands; the exit code. */
int cmd_start(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_simple(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_dmesg(int argc, char **argv);

#endif
