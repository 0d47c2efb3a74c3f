/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost.c -- queues that the control VM's kernel serves, by its vhost-net or
 * vhost-vsock: a doorbell is an eventfd that joist.ko signals, an interrupt
 * one that joist.ko waits for.
 *
 * The kernel checks rings and descriptors itself, against the same memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "board.h"
#include "guests/control/lib/hv.h"
#include "vhost.h"
#include "virtio_net.h"
#include "virtio_vsock.h"

#define VHOST_NET	"/dev/vhost-net"

/* The transport's; of a card's others, most are the tap's. */
#define TRANSPORT	(VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX | \
			 VIRTIO_VERSION_1)

static int set_memory(int fd, const struct guest_mem *mem)
{
	struct vhost_memory *m;
	int err;

	m = calloc(1, sizeof(*m) + 2 * sizeof(m->regions[0]));
	if (!m)
		return -ENOMEM;
	m->regions[m->nregions++] = (struct vhost_memory_region){
		.memory_size = mem->low_size,
		.userspace_addr = (uintptr_t)mem->low,
	};
	if (mem->high_size)
		m->regions[m->nregions++] = (struct vhost_memory_region){
			.guest_phys_addr = MEM_HIGH_BASE,
			.memory_size = mem->high_size,
			.userspace_addr = (uintptr_t)mem->high,
		};
	err = ioctl(fd, VHOST_SET_MEM_TABLE, m) < 0 ? -errno : 0;
	free(m);
	return err;
}

/* What both kinds need; h is filled but for fd. */
static int set_up(struct vhost *h, int fd)
{
	u64 features;
	int err = 0;
	unsigned i;

	if (ioctl(fd, VHOST_SET_OWNER) < 0 ||
	    ioctl(fd, VHOST_GET_FEATURES, &features) < 0)
		return -errno;
	if (!(features & VIRTIO_VERSION_1))
		return -EOPNOTSUPP;
	err = set_memory(fd, h->virtio->mem);
	for (i = 0; i < VHOST_QUEUES && !err; i++) {
		h->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		h->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (h->kick[i] < 0 || h->call[i] < 0)
			err = -errno;
	}
	if (!err)
		h->virtio->offered &= features | ~h->features;
	return err;
}

int vhost_net_init(struct vhost *h, struct virtio *v, unsigned first, int tap)
{
	int fd = open(VHOST_NET, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	*h = (struct vhost){
		.fd = fd, .virtio = v, .first = first, .tap = tap,
		.features = TRANSPORT | NET_F_MRG_RXBUF,
	};
	err = set_up(h, fd);
	if (err)
		close(fd);
	return err;
}

int vhost_vsock_init(struct vhost *h, struct virtio *v, u64 cid)
{
	int fd = open(VHOST_VSOCK, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	*h = (struct vhost){
		.fd = fd, .virtio = v, .first = VSOCK_RX, .tap = -1,
		.features = TRANSPORT | VSOCK_F_SEQPACKET,
	};
	err = set_up(h, fd);
	if (!err && ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid) < 0)
		err = -errno;
	if (err)
		close(fd);
	return err;
}

static int set_queue(const struct vhost *h, unsigned i)
{
	const struct virtio *v = h->virtio;
	const struct virtq *q = &v->queue[h->first + i];
	struct vhost_vring_state num = { i, q->size }, base = { i, 0 };
	struct vhost_vring_file kick = { i, h->kick[i] };
	struct vhost_vring_file call = { i, h->call[i] };
	struct vhost_vring_addr addr = {
		.index = i,
		.desc_user_addr = (uintptr_t)guest_ptr(v->mem, q->desc, 1),
		.avail_user_addr = (uintptr_t)guest_ptr(v->mem, q->avail, 1),
		.used_user_addr = (uintptr_t)guest_ptr(v->mem, q->used_ring,
						       1),
	};

	if (ioctl(h->fd, VHOST_SET_VRING_NUM, &num) < 0 ||
	    ioctl(h->fd, VHOST_SET_VRING_BASE, &base) < 0 ||
	    ioctl(h->fd, VHOST_SET_VRING_ADDR, &addr) < 0 ||
	    ioctl(h->fd, VHOST_SET_VRING_KICK, &kick) < 0 ||
	    ioctl(h->fd, VHOST_SET_VRING_CALL, &call) < 0)
		return -errno;
	return 0;
}

/* Let the kernel begin, or make it end: on return it touches nothing then. */
static int set_backend(struct vhost *h, bool on)
{
	struct vhost_vring_file file = { .fd = on ? h->tap : -1 };
	int err = 0, runs = on;

	if (h->tap < 0)
		return ioctl(h->fd, VHOST_VSOCK_SET_RUNNING, &runs) < 0 ?
		       -errno : 0;
	for (file.index = 0; file.index < VHOST_QUEUES; file.index++)
		if (ioctl(h->fd, VHOST_NET_SET_BACKEND, &file) < 0)
			err = -errno;
	return err;
}

/* Queues that a driver has not enabled, or spoiled, are not the kernel's. */
static int start(struct vhost *h)
{
	u64 features = h->virtio->features & h->features;
	unsigned i;
	int err;

	if (ioctl(h->fd, VHOST_SET_FEATURES, &features) < 0)
		return -errno;
	for (i = 0; i < VHOST_QUEUES; i++) {
		err = h->virtio->queue[h->first + i].enabled ?
		      set_queue(h, i) : -EINVAL;
		if (err)
			return err;
	}
	err = set_backend(h, true);
	if (err)
		set_backend(h, false);
	return err;
}

/*
 * While a vector's message may be sent it is joist.ko's; else the main thread
 * gets the eventfd, and keeps the interrupt pending or raises the line.
 */
static void set_call(struct vhost *h, unsigned i, int vm)
{
	struct joist_irqfd a = { .fd = h->call[i] };
	u32 data = 0;
	u64 address = 0;
	bool direct;

	direct = h->runs && virtq_message(h->virtio, h->first + i, &address,
					  &data);
	if (direct == h->direct[i] && address == h->address[i] &&
	    data == h->data[i])
		return;
	if (direct && !h->direct[i])
		board_watch(h->call[i], false);
	if (direct) {
		a.msi_address = address;
		a.msi_data = data;
		direct = !hv_call(vm, JOIST_IRQFD, &a);
	}
	if (!direct && h->direct[i]) {
		a.flags = JOIST_EVENT_REMOVE;
		hv_call(vm, JOIST_IRQFD, &a);
	}
	if (!direct)
		board_watch(h->call[i], true);
	h->direct[i] = direct;
	h->address[i] = address;
	h->data[i] = data;
}

void vhost_update(struct vhost *h, bool wanted, int vm)
{
	bool runs = wanted && virtio_runs(h->virtio);
	unsigned i;

	if (h->runs && !runs)
		set_backend(h, false);
	if (!h->runs && runs && start(h)) {
		virtio_break(h->virtio);
		runs = false;
	}
	h->runs = runs;
	for (i = 0; i < VHOST_QUEUES; i++)
		set_call(h, i, vm);
}
