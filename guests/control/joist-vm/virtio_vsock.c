/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_vsock.c -- virtio's "Socket Device": its registers.  Packets are the
 * control VM's kernel's, see vhost.c.
 */
#include <string.h>

#include "virtio_vsock.h"

#define VSOCK_QUEUES		3	/* to the guest, from it, and events */
#define CLASS_OTHER	0x028000
#define S_GUEST_CID	0	/* "Device configuration layout" */
#define S_LEN		8

/*
 * The third queue is ours: there is one event, that the guest's CID has
 * changed, and it never does.
 */
static void vsock_serve(struct virtio *v, unsigned queue)
{
	(void)v;
	(void)queue;
}

static const struct virtio_model vsock_model = {
	.id = VIRTIO_ID_VSOCK,
	.class = CLASS_OTHER,
	.serve = vsock_serve,
};

int vsock_init(struct vsock *s, u64 cid, struct pci *pci,
	       const struct guest_mem *mem)
{
	struct virtio *v = &s->virtio;

	memset(s, 0, sizeof(*s));
	v->queues = VSOCK_QUEUES;
	v->offered = VSOCK_F_SEQPACKET;
	v->config_len = S_LEN;
	put64(v->config + S_GUEST_CID, cid);
	return virtio_init(v, &vsock_model, pci, mem);
}
