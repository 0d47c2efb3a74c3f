/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.h -- a VM's two processes and what they say to each other.
 *
 * The manager (manager.c) owns the VM: it creates it, holds its descriptors
 * and its memory, answers on the control socket, keeps the serial port's
 * history and decides what an end means.  The machine (machine.c) is its
 * child and is what the guest can reach: it loads the kernel, runs the vCPUs
 * and models the devices.  A machine lives from a guest's reset to its next
 * reset or end; the VM and its memory go on under the next machine.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include "guests/control/lib/util.h"
#include "load.h"
#include "virtio_balloon.h"
#include "virtio_blk.h"
#include "virtio_net.h"

enum policy {
	POLICY_DESTROY,
	POLICY_RESTART,
	POLICY_PRESERVE,
};

/* Where the host's file system is full. */
enum on_error {
	ON_ERROR_PAUSE,		/* the VM, and try again when it goes on */
	ON_ERROR_REPORT,	/* to the guest */
};

struct file {
	const char *path;	/* NULL: none */
	int fd;
};

#define VM_DISKS	16
#define VM_NICS		8
#define VM_SERIALS	2	/* COM1, COM2 */
#define PORT_HVC	VM_SERIALS	/* the virtio console, a port like them */
#define VM_PORTS	(VM_SERIALS + 1)

/* Where a port leads; all but SERIAL_NONE also to the console. */
enum serial_kind {
	SERIAL_NONE,		/* the port is not there */
	SERIAL_CONSOLE,
	SERIAL_PTY,
	SERIAL_FILE,
	SERIAL_UNIX,
};

struct serial {
	enum serial_kind kind;
	const char *path;	/* of what fd is; NULL: nothing */
	int fd;			/* pty, file or listening socket, or -1 */
};

struct vm_config {
	const char *name;
	u64 salt;		/* see identity.h */
	struct file kernel, initrd;
	struct file firmware;	/* in place of a kernel */
	u64 firmware_size;	/* bytes, in whole pages */
	bool uefi;		/* it is OVMF, and keeps its variables in: */
	struct file vars;
	u64 vars_size;
	const char *cmdline;
	u64 memory;
	unsigned vcpus;
	int debug_exit;		/* port, or -1 */
	enum policy on_crash, on_reboot, on_poweroff;
	enum on_error on_error;
	u64 stop_timeout;	/* s, after a signal */
	const char *shown;	/* the settings in effect, as JSON */
	u64 vsock;		/* its CID, or 0 */
	bool balloon;
	u64 target;		/* bytes it is to keep, with a balloon */
	unsigned disks, nics, serials;
	struct serial serial[VM_PORTS];
	struct disk disk[VM_DISKS];
	struct nic nic[VM_NICS];
};

/* How a machine ended. */
enum vm_end {
	END_NONE,
	END_POWER_OFF,
	END_RESET,		/* asked for by the guest */
	END_DEBUG_EXIT,		/* value: what was written */
	END_CRASH,		/* triple fault */
	END_ERROR,		/* a vCPU cannot go on */
	END_GONE,		/* the VM was destroyed under us */
	END_REFUSED,		/* cannot start: bad kernel, say */
};

enum msg_kind {
	/* From the machine. */
	MSG_READY = 1,		/* loaded; the vCPUs start now.  text: a warning */
	MSG_END,		/* how: enum vm_end; the last message */
	/* value: which; its daemon is to be ended.  how: 1 if it broke the
	 * rules, 0 if it closed the connection. */
	MSG_DISK_LOST,
	/* Both ways: asks the guest to keep so much, and how it is about that. */
	MSG_MEMORY,		/* value: pages; balloon */
	/* value: which; disk_error.  how: 1 if the machine has paused. */
	MSG_DISK_ERROR,
	/* To the machine. */
	MSG_POWER_BUTTON,
	MSG_PAUSE,
	MSG_UNPAUSE,		/* value: the how manieth */
	MSG_DISK_GONE,		/* value: which; its daemon has ended */
};

#define MSG_TEXT	400

struct disk_error {
	u32 kind;		/* enum io_kind */
	u32 error;		/* errno */
	u64 offset;		/* in bytes */
	u32 unpauses;		/* value of the last MSG_UNPAUSE, or 0 */
};

struct msg {
	u32 kind;
	u32 how;
	u32 value;
	char text[MSG_TEXT];	/* one line for people, NUL-terminated */
	struct balloon_state balloon;
	struct disk_error disk_error;
};

/* The machine's ends of what connects it. */
struct machine_fds {
	int vm;			/* /dev/joist/NAME */
	int channel;		/* struct msg, SOCK_SEQPACKET */
	int serial[VM_PORTS];	/* their bytes, SOCK_STREAM; -1: no port */
};

void machine_main(const struct vm_config *cfg, const struct machine_fds *fds)
	__attribute__((noreturn));

/* Segments by number; sizes from cfg->memory. */
#define SEG_LOW		0
#define SEG_HIGH	1
#define SEG_FLASH	2	/* up to 4 GiB: firmware */
#define SEG_VARS	3	/* below it: UEFI variables */

static inline u64 vm_low_size(const struct vm_config *cfg)
{
	return MIN(cfg->memory, MEM_LOW_MAX);
}

static inline u64 vm_high_size(const struct vm_config *cfg)
{
	return cfg->memory - vm_low_size(cfg);
}

/* Runs until the VM has ended; gives the exit code. */
struct manager_args {
	struct vm_config *cfg;
	int control;		/* /dev/joistctl */
	int attach;		/* first console, or -1 */
	int ready;		/* gets a byte when the VM runs, or -1 */
	bool quiet;		/* drop standard input, output, error then */
};
int manager_main(const struct manager_args *args);

#endif
