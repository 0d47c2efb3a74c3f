/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.h -- the machine process: all devices, the lock, and the vCPUs.
 */
#ifndef VM_MACHINE_H
#define VM_MACHINE_H

#include <pthread.h>

#include "board.h"
#include "bus.h"
#include "firmware.h"
#include "flash.h"
#include "ioapic.h"
#include "guests/control/joist_ioctl.h"
#include "kbd.h"
#include "pci.h"
#include "pic.h"
#include "pit.h"
#include "pm.h"
#include "rtc.h"
#include "uart.h"
#include "vhost.h"
#include "vhost_blk.h"
#include "virtio_console.h"
#include "virtio_rng.h"
#include "virtio_scsi.h"
#include "virtio_vsock.h"
#include "vm.h"

#define SERIAL_OUT	(64 * KiB)
#define VM_VHOSTS	(VM_NICS * NET_PAIRS + 1)

/* Device state: what a saved machine would consist of. */
struct devices {
	struct pic pic;
	struct ioapic ioapic;
	struct pit pit;
	struct rtc rtc;
	struct pm pm;
	struct kbd kbd;
	struct uart com[VM_SERIALS];
	struct pci pci;
	struct fwcfg fwcfg;
	struct flash flash;
};

/* Between a UART, or the virtio console, and the manager. */
struct serial_line {
	u8 out[SERIAL_OUT];	/* ring of output */
	u32 out_head, out_len;
	bool in_blocked;	/* input waits for room */
};

/* Guards: [c] set before threads start  [l] lock  [m] main thread only */
struct machine {
	const struct vm_config *cfg;		/* [c] */
	struct machine_fds fds;			/* [c] */
	struct guest_mem mem;			/* [c] */
	u8 *flash, *vars;			/* [c] SEG_FLASH, SEG_VARS, or NULL */
	struct joist_run *run[JOIST_MAX_VCPUS];	/* [c], pages shared */
	struct bus ports, mmio;			/* [l] */
	struct devices dev;			/* [l] */

	pthread_mutex_t lock;
	pthread_cond_t cond;			/* paused, parked */
	bool paused;				/* [l] */
	bool pause_due;				/* [l] for a disk's error */
	u32 unpauses;				/* [l] as the manager counts */
	unsigned parked;			/* [l] vCPUs that wait */

	struct vhost_blk *daemon[VM_DISKS];	/* [l] serves the disk, or NULL */
	struct blk *blk[VM_DISKS];		/* [c], what it points to [l], or NULL */
	struct net *net[VM_NICS];		/* [c], what it points to [l] */
	struct console *console;		/* [c], likewise, or NULL */
	struct balloon *balloon;		/* [c], likewise, or NULL */
	struct vhost vhost[VM_VHOSTS];		/* [l] those in use first */
	unsigned vhosts;			/* [c] */
	struct virtio *virtio[PCI_SLOTS];	/* [c] by slot, or NULL */
	struct boot_device boot[BOOT_DEVICES];	/* [c] as firmware is to try them */
	unsigned boots;				/* [c] */
	int kick[PCI_SLOTS];			/* [c] eventfd of each */
	struct doorbell {
		u64 addr;			/* 0: none */
		int fd;
	} doorbell[PCI_SLOTS][VIRTIO_QUEUES];	/* [l] in joist.ko */

	int epoll;				/* [c] */
	int io;					/* [c] io.c has finished something */
	int out_timer;				/* [c] timerfd: send output on */
	int timer[TIMER_COUNT];			/* [c] timerfds */
	struct serial_line line[VM_PORTS];	/* [l] */
};

extern struct machine machine;

/* Tell the manager and end the process; the lock is held or not needed. */
void machine_end(enum vm_end how, u32 value, const char *fmt, ...)
	PRINTF(3, 4) __attribute__((noreturn));

/* Kernel and tables into memory; regs: in after reset, out to start with. */
void machine_load(struct machine *m, struct joist_regs *regs);

/* devices.c: reset them all, and put them on the buses. */
int devices_init(struct machine *m);
/* virtio_devices.c: the virtio devices; dies if it cannot. */
void virtio_devices_init(struct machine *m);
/* The kernel and daemons get what was submitted; the lock is not held. */
void virtio_disks_flush(struct machine *m);
/* Threads that disks need: 0 or -errno. */
int virtio_disks_threads(const struct machine *m);
/* What disks have kept when the machine was paused. */
void virtio_disks_retry(struct machine *m);
/* The daemon of that disk has ended. */
void virtio_disk_gone(struct machine *m, unsigned disk);
/* Something is to be read from that descriptor; false: not one of theirs. */
bool virtio_devices_event(struct machine *m, int fd);
/* Also wait for that descriptor. */
void machine_watch(struct machine *m, int fd, bool on);

/* vcpu.c */
void vcpu_reset_all(struct machine *m);
void vcpu_start_all(struct machine *m);
void vcpu_pause_all(struct machine *m);
void vcpu_unpause_all(struct machine *m);
/* Make a vCPU come back from RUN. */
void vcpu_kick(struct machine *m, unsigned vcpu);

#endif
