/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost.h -- a network card whose queues the control VM's kernel serves.
 */
#ifndef VM_VHOST_H
#define VM_VHOST_H

#include "virtio_net.h"

#define VHOST_QUEUES	2

struct vhost {
	int fd;			/* -1: the kernel does not serve this card */
	int kick[VHOST_QUEUES];	/* eventfds: doorbells */
	int call[VHOST_QUEUES];	/* eventfds: interrupts */
	bool runs;
	/* Which calls are interrupts without us, and their messages. */
	bool direct[VHOST_QUEUES];
	u64 address[VHOST_QUEUES];
	u32 data[VHOST_QUEUES];
};

/*
 * 0, or -errno: then h->fd is -1 and nothing has changed.  Features that the
 * kernel does not have are taken from those offered.
 */
int vhost_init(struct vhost *h, struct net *n);
/* After the driver has done something to the device. */
void vhost_update(struct vhost *h, struct net *n, int vm);

#endif
