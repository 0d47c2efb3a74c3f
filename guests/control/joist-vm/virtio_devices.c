/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_devices.c -- the disks and network cards that the command line asks
 * for, what every machine has, and what wakes the main thread for them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "guests/control/lib/hv.h"
#include "machine.h"

/* The card in that slot if the kernel serves it, or NULL. */
static struct vhost *vhost_in(struct machine *m, unsigned slot)
{
	unsigned i;

	for (i = 0; i < m->cfg->nics; i++)
		if (m->net[i] && m->net[i]->virtio.slot == slot &&
		    m->net[i]->in_kernel)
			return &m->vhost[i];
	return NULL;
}

/* In the kernel a doorbell costs an exit, without it a way to us as well. */
static bool doorbell(struct machine *m, unsigned slot, unsigned queue,
		     u64 addr, u32 flags)
{
	struct vhost *h = vhost_in(m, slot);
	struct joist_doorbell a = {
		.addr = addr, .size = VIRTIO_DOORBELL_LEN,
		.fd = h ? h->kick[queue] : m->kick[slot], .flags = flags,
	};

	return !hv_call(m->fds.vm, JOIST_DOORBELL, &a);
}

void board_virtio(unsigned slot)
{
	struct machine *m = &machine;
	const struct virtio *v = m->virtio[slot];
	u64 *now, want;
	unsigned i;

	if (!v)
		return;
	for (i = 0; i < m->cfg->nics; i++)
		if (vhost_in(m, slot) == &m->vhost[i])
			vhost_update(&m->vhost[i], m->net[i], m->fds.vm);
	for (i = 0; i < v->queues; i++) {
		now = &m->doorbell[slot][i];
		want = virtio_doorbell(v, i);
		if (*now == want)
			continue;
		if (*now)
			doorbell(m, slot, i, *now, JOIST_EVENT_REMOVE);
		*now = want && doorbell(m, slot, i, want, 0) ? want : 0;
	}
}

static void add(struct machine *m, struct virtio *v, int err,
		const char *what)
{
	if (err)
		machine_end(END_REFUSED, 0, "%s: no room on the PCI bus",
			    what);
	m->virtio[v->slot] = v;
	m->kick[v->slot] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->kick[v->slot] < 0)
		machine_end(END_ERROR, 0, "eventfd: %s", strerror(errno));
	machine_watch(m, m->kick[v->slot], true);
}

static void *alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		machine_end(END_ERROR, 0, "out of memory");
	return p;
}

/*
 * The kernel does not look at source addresses, so it serves only cards that
 * may use any.  Without vhost-net they work as the others do.
 */
static void init_vhost(struct machine *m, unsigned i)
{
	struct vhost *h = &m->vhost[i];
	unsigned q;

	if (!m->cfg->nic[i].allow || m->cfg->nic[i].user || vhost_init(h, m->net[i]))
		return;
	for (q = 0; q < VHOST_QUEUES; q++)
		machine_watch(m, h->call[q], true);
}

static void init_disk(struct machine *m, unsigned i)
{
	const struct disk *d = &m->cfg->disk[i];

	if (d->cd && d->size < CD_SECTOR)
		machine_end(END_REFUSED, 0, "disk %s: smaller than a sector "
			    "of a CD", d->path);
	if (d->cd) {
		m->cd[i] = alloc(sizeof(*m->cd[i]));
		add(m, &m->cd[i]->virtio,
		    cd_init(m->cd[i], d, &m->dev.pci, &m->mem), d->path);
	} else {
		m->blk[i] = alloc(sizeof(*m->blk[i]));
		add(m, &m->blk[i]->virtio,
		    blk_init(m->blk[i], d, m->cfg->vcpus, &m->dev.pci,
			     &m->mem), d->path);
	}
}

void virtio_devices_init(struct machine *m)
{
	struct joist_doorbell no_doorbells = { .flags = JOIST_EVENT_CLEAR };
	struct joist_irqfd no_irqfds = { .flags = JOIST_EVENT_CLEAR };
	const struct vm_config *cfg = m->cfg;
	unsigned i;

	/* Those of the machine that was before us. */
	hv_call(m->fds.vm, JOIST_DOORBELL, &no_doorbells);
	hv_call(m->fds.vm, JOIST_IRQFD, &no_irqfds);
	if (cfg->disks) {
		m->io = io_init();
		if (m->io < 0)
			machine_end(END_REFUSED, 0, "io_uring: %s",
				    strerror(-m->io));
		machine_watch(m, m->io, true);
	}
	for (i = 0; i < cfg->disks; i++)
		init_disk(m, i);
	for (i = 0; i < cfg->nics; i++) {
		m->net[i] = alloc(sizeof(*m->net[i]));
		add(m, &m->net[i]->virtio,
		    net_init(m->net[i], &cfg->nic[i], &m->dev.pci, &m->mem),
		    "network card");
		init_vhost(m, i);
	}
	/* The last one: what is configured keeps its place. */
	m->rng = alloc(sizeof(*m->rng));
	add(m, &m->rng->virtio, rng_init(m->rng, &m->dev.pci, &m->mem),
	    "random numbers");
}

/* A doorbell that was not the kernel's, for it or for us. */
static void serve_slot(struct machine *m, unsigned slot)
{
	struct vhost *h = vhost_in(m, slot);
	unsigned q;

	if (!h)
		virtio_serve(m->virtio[slot]);
	for (q = 0; h && q < VHOST_QUEUES; q++)
		eventfd_write(h->kick[q], 1);
}

/* Interrupts that joist.ko does not send; false: not one of these. */
static bool serve_calls(struct machine *m, unsigned i, int fd)
{
	eventfd_t count;
	unsigned q;

	for (q = 0; m->net[i]->in_kernel && q < VHOST_QUEUES; q++) {
		if (m->vhost[i].call[q] != fd)
			continue;
		if (!eventfd_read(fd, &count))
			virtq_interrupt(&m->net[i]->virtio, q);
		return true;
	}
	return false;
}

bool virtio_devices_event(struct machine *m, int fd)
{
	eventfd_t count;
	unsigned i;

	for (i = 0; i < PCI_SLOTS; i++) {
		if (!m->virtio[i] || m->kick[i] != fd)
			continue;
		if (!eventfd_read(fd, &count))
			serve_slot(m, i);
		return true;
	}
	for (i = 0; i < m->cfg->nics; i++) {
		if (m->cfg->nic[i].fd == fd) {
			net_receive(m->net[i]);
			return true;
		}
		if (serve_calls(m, i, fd))
			return true;
	}
	return false;
}
