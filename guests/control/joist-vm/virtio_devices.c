/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_devices.c -- the disks and network cards that the command line asks
 * for, and what wakes the main thread for them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "machine.h"

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

void virtio_devices_init(struct machine *m)
{
	const struct vm_config *cfg = m->cfg;
	unsigned i;

	if (cfg->disks) {
		m->io = io_init();
		if (m->io < 0)
			machine_end(END_REFUSED, 0, "io_uring: %s",
				    strerror(-m->io));
		machine_watch(m, m->io, true);
	}
	for (i = 0; i < cfg->disks; i++) {
		m->blk[i] = alloc(sizeof(*m->blk[i]));
		add(m, &m->blk[i]->virtio,
		    blk_init(m->blk[i], &cfg->disk[i], cfg->vcpus,
			     &m->dev.pci, &m->mem), cfg->disk[i].path);
	}
	for (i = 0; i < cfg->nics; i++) {
		m->net[i] = alloc(sizeof(*m->net[i]));
		add(m, &m->net[i]->virtio,
		    net_init(m->net[i], &cfg->nic[i], &m->dev.pci, &m->mem),
		    "network card");
	}
}

bool virtio_devices_event(struct machine *m, int fd)
{
	eventfd_t count;
	unsigned i;

	for (i = 0; i < PCI_SLOTS; i++) {
		if (!m->virtio[i] || m->kick[i] != fd)
			continue;
		if (!eventfd_read(fd, &count))
			virtio_serve(m->virtio[i]);
		return true;
	}
	for (i = 0; i < m->cfg->nics; i++) {
		if (m->cfg->nic[i].fd != fd)
			continue;
		net_receive(m->net[i]);
		return true;
	}
	return false;
}
