/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * storage.h -- disks that are not raw: a qemu-storage-daemon serves each.
 *
 * The manager's: the daemons start before the first machine and end after
 * the last.  What a guest has flushed is on the medium however they end.
 */
#ifndef VM_STORAGE_H
#define VM_STORAGE_H

#include "vm.h"

/* Is it one of the formats; and all of them, for people. */
bool storage_knows(const char *format);
#define STORAGE_FORMATS	"raw, qcow2, qcow, qed, vdi, vhdx, vmdk, vpc or " \
			"parallels"

/* PROTO_DIR is there.  Fills size and segments of all that have a format;
 * false: error says why, and storage_close() is due. */
bool storage_open(struct vm_config *cfg, char *error, size_t size);

/* For a machine that starts: fd is a connection to the daemon, -1 if that has
 * ended.  0 or -errno. */
int storage_connect(struct vm_config *cfg);
/* The machine has them. */
void storage_disconnect(struct vm_config *cfg);
/* A machine says that the daemon has broken the rules. */
void storage_kill(const struct vm_config *cfg, unsigned disk);

/* Readable when the daemon of that disk has something to say; -1: none. */
int storage_fd(unsigned disk);
/* What it says, a line without its end; false: nothing yet. */
bool storage_event(const struct vm_config *cfg, unsigned disk, char *text,
		   size_t size);

/* End them, and wait until the images are closed. */
void storage_close(struct vm_config *cfg);

#endif
