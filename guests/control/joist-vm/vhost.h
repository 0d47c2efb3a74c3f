/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost.h -- queues of a virtio device that the control VM's kernel serves:
 * those of a network card, or of a vsock.
 */
#ifndef VM_VHOST_H
#define VM_VHOST_H

#include "virtio.h"

#define VHOST_QUEUES	2

struct vhost {
	int fd;
	struct virtio *virtio;	/* whose queues */
	unsigned first;		/* the first of them */
	u64 features;		/* those that are the kernel's business */
	int tap;		/* of a card; -1: this is a vsock */
	int kick[VHOST_QUEUES];	/* eventfds: doorbells */
	int call[VHOST_QUEUES];	/* eventfds: interrupts */
	bool runs;
	/* Which calls are interrupts without us, and their messages. */
	bool direct[VHOST_QUEUES];
	u64 address[VHOST_QUEUES];
	u32 data[VHOST_QUEUES];
};

/*
 * 0, or -errno: then nothing has changed.  Features that the kernel does not
 * have are taken from those offered.
 */
int vhost_net_init(struct vhost *h, struct virtio *v, unsigned first, int tap);
/* -EADDRINUSE: some other has that CID. */
int vhost_vsock_init(struct vhost *h, struct virtio *v, u64 cid);
/* After the driver has done something to the device; wanted: its queues are
 * in use. */
void vhost_update(struct vhost *h, bool wanted, int vm);

#define VHOST_VSOCK	"/dev/vhost-vsock"

#endif
