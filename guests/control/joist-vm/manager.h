/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manager.h -- the manager process: one VM, its machine, its clients.
 */
#ifndef VM_MANAGER_H
#define VM_MANAGER_H

#include <jansson.h>
#include <sys/types.h>

#include "guests/control/lib/proto.h"
#include "policy.h"
#include "vm.h"

#define CLIENTS		64
#define CLIENT_OUT	(512 * KiB)	/* what a slow client may owe */
#define HISTORY		(256 * KiB)	/* of serial output */

enum client_state {
	CLIENT_FREE,
	CLIENT_COMMAND,		/* sends lines */
	CLIENT_WAIT,		/* the same, and is owed an answer at the end */
	CLIENT_MEMORY,		/* is owed an answer when the machine has one */
	CLIENT_CONSOLE,		/* is a serial line */
};

struct client {
	enum client_state state;
	int fd;
	unsigned port;		/* of a console */
	const json_t *target;	/* of the command that is being done, or NULL */
	bool lossless;		/* holds the guest's output up, loses none */
	bool no_input;		/* has closed its sending side */
	bool closing;		/* goes when its output is written */
	char line[PROTO_LINE];
	size_t line_len;
	u64 heard;		/* ns: its last command, or its coming */
	u8 *out;
	size_t out_len, out_size;
};

/* A serial port. */
struct port {
	int fd;			/* to the machine, if there is one; -1: none */
	int file;		/* gets what the guest says, or -1 */
	int listener;		/* who connects is a console, or -1 */
	u8 input[4096];		/* for the guest, not taken yet */
	size_t input_len;
	u8 history[HISTORY];
	u64 history_total;	/* bytes ever; the last HISTORY are kept */
};

struct disk_state {
	u64 errors;		/* requests that have failed */
	u64 told;		/* ns, when one was in the log last; 0: none */
};

struct manager {
	struct vm_config *cfg;
	int control, vm;
	int listener, signals;
	bool quiet;

	/* The machine, pid 0: none now. */
	pid_t pid;
	int pidfd;
	int channel;		/* -1: it has said its last, and may still be there */
	struct msg last;
	bool ready, paused;
	u32 unpauses;		/* how often that machine has been told */
	char why_paused[MSG_TEXT];	/* if by itself */
	unsigned boots;
	u64 started;		/* ns, CLOCK_MONOTONIC */
	u64 restart_at;		/* the same; 0: no restart is due */
	struct restarts restarts;

	u64 hung_up, kill_at;	/* ns; kill_at 0: no signal has come */

	/* What the operator asked for; the machine's end is that then. */
	bool want_kill, want_reset, want_stop;
	const char *why_kill;

	bool ended;
	bool preserved;		/* the guest has ended, the VM not */
	int exit_code;
	char reason[MSG_TEXT];	/* of the last end, also of one before a restart */

	struct client clients[CLIENTS];
	struct port port[VM_PORTS];
	struct disk_state disk[VM_DISKS];
};

/* control.c: a line from a client. */
void control_line(struct manager *m, struct client *c, const char *line);
/* The answer owed to one that waits. */
void control_ended(struct manager *m, struct client *c);

/* The answer to "memory"; s: all zeros if no guest runs. */
void control_memory(struct manager *m, struct client *c,
		    const struct balloon_state *s);

/* What commands do, in manager.c. */
void manager_kill(struct manager *m, const char *why);
/* The power button; true: there was no guest that runs, and the VM has ended. */
bool manager_stop(struct manager *m, const char *why);
void manager_reset(struct manager *m);
int manager_send(struct manager *m, enum msg_kind kind);
/* Only that, with a value; -EAGAIN: there is no machine. */
int manager_tell(struct manager *m, enum msg_kind kind, u32 value);
void client_send(struct client *c, const void *data, size_t len);
u64 manager_ns(void);

#endif
