/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * joist_ioctl.h -- what joist.ko offers to user space.
 *
 * The ioctls carry the argument blocks of joist.h; their numbers are those
 * of the hypercalls.  On /dev/joist/NAME the module fills in head.vm itself,
 * on /dev/joistctl head.vm is taken as given by CREATE and INFO.
 *
 * A VM lives as long as anything refers to it: the /dev/joistctl descriptor
 * that created it, every open /dev/joist/NAME, every descriptor of a segment,
 * every mapping.  With the last of them it is destroyed and its memory freed,
 * unless it was created with JOIST_CREATE_PERSISTENT: then only JOIST_DESTROY
 * ends it.
 */
#ifndef JOIST_IOCTL_H
#define JOIST_IOCTL_H

#include "joist.h"
#ifdef __KERNEL__
#include <linux/ioctl.h>
#else
#include <sys/ioctl.h>
#endif

#define JOIST_CTL_PATH		"/dev/joistctl"
#define JOIST_VM_DIR		"/dev/joist"

#define JOIST_IOC(nr, type)	_IOWR('J', (nr), struct type)

/* On /dev/joistctl.  STATS: also of a VM, by head.vm. */
#define JOIST_VERSION		JOIST_IOC(HC_VERSION, joist_version)
#define JOIST_CAPABILITIES	JOIST_IOC(HC_CAPABILITIES, joist_capabilities)
#define JOIST_CREATE		JOIST_IOC(HC_CREATE, joist_create)
#define JOIST_DESTROY		JOIST_IOC(HC_DESTROY, joist_destroy)
#define JOIST_INFO		JOIST_IOC(HC_INFO, joist_info)
#define JOIST_STATS_GET		JOIST_IOC(HC_STATS, joist_stats)
#define JOIST_LOG		JOIST_IOC(HC_LOG, joist_log)
#define JOIST_MITIGATION	JOIST_IOC(HC_MITIGATION, joist_mitigation)

/* joist_create.flags for the ioctl; the module keeps this bit to itself. */
#define JOIST_CREATE_PERSISTENT	(1u << 0)

/* By name; the name's VM is terminated and freed whoever still has it open
 * (their ioctls give ENXIO from then on, their mappings SIGBUS). */
struct joist_destroy {
	struct joist_head head;
	char name[JOIST_NAME_LEN];
};

/*
 * On /dev/joist/NAME.  RUN takes the vCPU's number as it is, for it is called
 * most, and returns the exit: only those of user space (JOIST_EXIT_IO and
 * after); the others are handled in the module.  EINTR: a signal is pending,
 * or Linux wants the thread for a moment (the VM is as before; call again).
 * EBUSY: another thread is in RUN of this vCPU.  Calls that want a vCPU
 * outside RUN (READREGS, ...) or all of them (MEMSEG_*) make it leave RUN, do
 * their work, and let it go on: RUN's caller does not notice.
 */
#define JOIST_TERM		JOIST_IOC(HC_TERM, joist_vm)
#define JOIST_RUN		_IO('J', HC_RUN)
#define JOIST_RESETCPU		JOIST_IOC(HC_RESETCPU, joist_regs_args)
#define JOIST_INTR		JOIST_IOC(HC_INTR, joist_intr)
#define JOIST_READREGS		JOIST_IOC(HC_READREGS, joist_regs_args)
#define JOIST_WRITEREGS		JOIST_IOC(HC_WRITEREGS, joist_regs_args)
#define JOIST_READVMPARAMS	JOIST_IOC(HC_READVMPARAMS, joist_vmparam_args)
#define JOIST_WRITEVMPARAMS	JOIST_IOC(HC_WRITEVMPARAMS, joist_vmparam_args)
#define JOIST_MEMSEG_ALLOC	JOIST_IOC(HC_MEMSEG_ALLOC, joist_memseg)
#define JOIST_MEMSEG_FREE	JOIST_IOC(HC_MEMSEG_FREE, joist_memseg)
#define JOIST_MEMSEG_MAP	JOIST_IOC(HC_MEMSEG_MAP, joist_memseg)
#define JOIST_MEMSEG_UNMAP	JOIST_IOC(HC_MEMSEG_UNMAP, joist_memseg)
#define JOIST_MEMSEG_PROTECT	JOIST_IOC(HC_MEMSEG_PROTECT, joist_memseg)
#define JOIST_MEMSEG_DROP	JOIST_IOC(HC_MEMSEG_DROP, joist_pages)
#define JOIST_MEMSEG_FILL	JOIST_IOC(HC_MEMSEG_FILL, joist_pages)
#define JOIST_MEMSEG_QUERY	JOIST_IOC(HC_MEMSEG_QUERY, joist_memseg)
#define JOIST_READXSTATE	JOIST_IOC(HC_READXSTATE, joist_xstate)
#define JOIST_WRITEXSTATE	JOIST_IOC(HC_WRITEXSTATE, joist_xstate)
#define JOIST_READLAPIC		JOIST_IOC(HC_READLAPIC, joist_lapic)
#define JOIST_WRITELAPIC	JOIST_IOC(HC_WRITELAPIC, joist_lapic)
#define JOIST_ACCESS		JOIST_IOC(HC_ACCESS, joist_access)
/* Make a thread that is in RUN of head.vcpu return with EINTR. */
#define JOIST_KICK		JOIST_IOC(64, joist_vm)

/*
 * An eventfd that a guest's write counts up, in place of an exit: RUN goes
 * on.  EEXIST: such a write has an eventfd already; ENOENT: to be removed,
 * and not there.
 */
struct joist_doorbell {
	struct joist_head head;
	uint64_t addr;			/* guest-physical, or a port */
	uint64_t value;			/* with MATCH: writes of this only */
	uint32_t size;			/* 1, 2, 4 or 8 bytes at once */
	int32_t fd;
	uint32_t flags;			/* JOIST_EVENT_* */
	uint32_t reserved;		/* 0 */
};

/*
 * An eventfd whose count is a message-signalled interrupt for the guest.  One
 * that is there already gets the new message.
 */
struct joist_irqfd {
	struct joist_head head;
	int32_t fd;
	uint32_t flags;			/* 0, JOIST_EVENT_REMOVE, _CLEAR */
	uint64_t msi_address;
	uint64_t msi_data;
};

#define JOIST_EVENT_REMOVE	(1u << 0)
#define JOIST_EVENT_CLEAR	(1u << 1)	/* remove all, of whatever fd */
#define JOIST_EVENT_PORT	(1u << 2)
#define JOIST_EVENT_MATCH	(1u << 3)

/*
 * A new descriptor of one segment, for a program that is to have the guest's
 * memory and nothing else of it: it can be mapped, the segment's bytes from
 * offset 0 on, and no call be made on it.  It keeps the VM as an open
 * /dev/joist/NAME does.
 */
struct joist_segment_fd {
	struct joist_head head;
	uint32_t seg;
	int32_t fd;			/* in: 0 */
};

#define JOIST_DOORBELL		JOIST_IOC(65, joist_doorbell)
#define JOIST_IRQFD		JOIST_IOC(66, joist_irqfd)
#define JOIST_SEGMENT		JOIST_IOC(67, joist_segment_fd)

/*
 * mmap offsets on /dev/joist/NAME: the run page of vCPU v at v * 4096; bytes
 * of segment s (allocated; mapping it also maps it for the control VM, which
 * is undone with the last mapping) from JOIST_MMAP_SEG(s) on.
 */
#define JOIST_MMAP_SEG(s)	((uint64_t)((s) + 1) << 44)

#endif
