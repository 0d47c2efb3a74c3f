/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proto.h -- the control socket of a VM, /run/joist/NAME.sock.
 *
 * A stream.  The client sends one JSON object on one line, {"cmd": "..."},
 * and gets one back, {"ok": true, ...} or {"ok": false, "error": "..."}.
 * Then it may send the next.  Commands:
 *
 *	status		name, pid, manager, state, vcpus, memory, boots,
 *			uptime (seconds), kernel, firmware, serial, console,
 *			disk_errors (a list: requests that have failed, by disk),
 *			why_paused (a disk's error, or null), last_end (why the
 *			guest's last boot ended, if it had one before)
 *	stop		presses the power button; ended: true, if there was
 *			no guest that runs and the VM has ended now
 *	kill		ends the VM
 *	reset		the reset button
 *	pause, unpause
 *	memory		with "target": so many bytes it is to keep, in steps of
 *			4 KiB; answers when the guest has said how it is, or has
 *			not within a second: configured, target, held, actual
 *			(given back, as the guest says; bytes), driver (is one at
 *			work), starved (wants pages that the pool has not got),
 *			stats (null, or age in seconds and what the guest says)
 *	log		with "port": 1 (also without) or 2 for COM1 or COM2, 3 for
 *			the virtio console:
 *			{"ok": true, "bytes": N}, a newline, then N bytes: what
 *			it has said, the last 256 KiB of that
 *	show		settings: an object, as joistctl show --json prints it
 *	wait		answers when the VM ends or is preserved: exit, reason
 *	console		with "port", too: from the answer's newline on the
 *			connection is that port, both ways
 */
#ifndef TOOLS_PROTO_H
#define TOOLS_PROTO_H

#include "util.h"

#define PROTO_PORT_HVC	3

#define PROTO_DIR	"/run/joist"
#define PROTO_LINE	4096	/* longest command, with its newline */
#define PROTO_ANSWER	(512 * KiB)	/* longest answer */
#define PROTO_PATH	108	/* of sockaddr_un */

/* PROTO_DIR, of the group that may use the hypervisor: 0 or -errno. */
int proto_make_dir(void);

void proto_path(char path[PROTO_PATH], const char *name);

/*
 * A connection to the VM's joist-vm, or -errno.  Nothing done with it waits
 * longer than PROTO_SECONDS at a time, then it is -ETIMEDOUT: the joist-vm may
 * be stopped, and the kernel takes connections for it all the same.
 */
#define PROTO_SECONDS	10
int proto_connect(const char *name);
/* Wait that long from now on; 0: for ever. */
void proto_patience(int fd, unsigned seconds);

/*
 * One line, without its newline, byte by byte: what follows is not touched.
 * Its length, or -errno; -EPIPE at the stream's end.
 */
int proto_read_line(int fd, char *line, size_t size);

/* All of it, or -errno. */
int proto_write(int fd, const void *data, size_t len);

#endif
