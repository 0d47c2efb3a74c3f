/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_vsock.h -- sockets between the guest and the control VM.
 */
#ifndef VM_VIRTIO_VSOCK_H
#define VM_VIRTIO_VSOCK_H

#include "virtio.h"

/* Addresses (CIDs) of guests; those below are the machine's own. */
#define VSOCK_CID_MIN	3u
#define VSOCK_CID_MAX	0xfffffffeu

#define VSOCK_RX	0	/* queues */
#define VSOCK_F_SEQPACKET	BIT(1)

struct vsock {
	struct virtio virtio;
};

int vsock_init(struct vsock *s, u64 cid, struct pci *pci,
	       const struct guest_mem *mem);

#endif
