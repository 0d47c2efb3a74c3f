/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_devices.c -- the disks and network cards that the command line asks
 * for, what every machine has, and what wakes the main thread for them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guests/control/lib/hv.h"
#include "machine.h"

/* Who in the kernel serves that queue, or NULL. */
static struct vhost *vhost_of(struct machine *m, unsigned slot, unsigned queue)
{
	struct vhost *h;

	for (h = m->vhost; h < m->vhost + m->vhosts; h++)
		if (h->virtio->slot == slot && queue - h->first < VHOST_QUEUES)
			return h;
	return NULL;
}

/* How many of the device's queues its driver uses. */
static unsigned in_use(const struct machine *m, const struct virtio *v)
{
	unsigned i;

	for (i = 0; i < m->cfg->nics; i++)
		if (m->net[i] && &m->net[i]->virtio == v)
			return 2 * m->net[i]->active;
	return v->queues;
}

static bool doorbell(struct machine *m, const struct doorbell *d, u32 flags)
{
	struct joist_doorbell a = {
		.addr = d->addr, .size = VIRTIO_DOORBELL_LEN, .fd = d->fd,
		.flags = flags,
	};

	return d->addr && !hv_call(m->fds.vm, JOIST_DOORBELL, &a);
}

/* In joist.ko a doorbell costs an exit, without it a way to us as well. */
static void set_doorbell(struct machine *m, unsigned slot, unsigned queue)
{
	struct doorbell *now = &m->doorbell[slot][queue];
	const struct vhost *h = vhost_of(m, slot, queue);
	struct doorbell want = {
		.addr = virtio_doorbell(m->virtio[slot], queue),
		.fd = h && h->runs ? h->kick[queue - h->first] : m->kick[slot],
	};

	if (now->addr == want.addr && (!now->addr || now->fd == want.fd))
		return;
	doorbell(m, now, JOIST_EVENT_REMOVE);
	if (!doorbell(m, &want, 0))
		want.addr = 0;
	*now = want;
}

void board_virtio(unsigned slot)
{
	struct machine *m = &machine;
	const struct virtio *v = m->virtio[slot];
	struct vhost *h;
	unsigned i;

	if (!v)
		return;
	for (h = m->vhost; h < m->vhost + m->vhosts; h++)
		if (h->virtio == v)
			vhost_update(h, h->first < in_use(m, v), m->fds.vm);
	for (i = 0; i < v->queues; i++)
		set_doorbell(m, slot, i);
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

/* Firmware tries it after those that were added before. */
static void add_boot(struct machine *m, int kind, const struct virtio *v)
{
	m->boot[m->boots].kind = kind;
	m->boot[m->boots++].slot = v->slot;
}

static void *alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		machine_end(END_ERROR, 0, "out of memory");
	return p;
}

/* m->vhost[m->vhosts] has been filled. */
static void add_vhost(struct machine *m)
{
	struct vhost *h = &m->vhost[m->vhosts++];
	unsigned q;

	for (q = 0; q < VHOST_QUEUES; q++)
		machine_watch(m, h->call[q], true);
}

/*
 * The kernel does not look at source addresses, so it serves only cards that
 * may use any.  Without vhost-net they work as the others do.
 */
static void init_vhost_net(struct machine *m, struct net *n)
{
	unsigned i;
	int err = 0;

	if (!n->nic->allow || n->nic->user)
		return;
	for (i = 0; i < n->nic->pairs; i++) {
		err = vhost_net_init(&m->vhost[m->vhosts], &n->virtio,
				     NET_RX(i), n->nic->fd[i]);
		if (err)
			break;
		add_vhost(m);
	}
	n->in_kernel = i > 0;
	if (i && i < n->nic->pairs)
		machine_end(END_REFUSED, 0, "network card: vhost-net for %u "
			    "pairs of queues: %s", n->nic->pairs,
			    strerror(-err));
}

static void init_vsock(struct machine *m)
{
	struct vsock *s = alloc(sizeof(*s));
	u64 cid = m->cfg->vsock;
	int err;

	add(m, &s->virtio, vsock_init(s, cid, &m->dev.pci, &m->mem), "vsock");
	err = vhost_vsock_init(&m->vhost[m->vhosts], &s->virtio, cid);
	if (err == -EADDRINUSE)
		machine_end(END_REFUSED, 0, "vsock: CID %llu is in use by "
			    "another VM", (unsigned long long)cid);
	if (err)
		machine_end(END_REFUSED, 0, "vsock: " VHOST_VSOCK ": %s",
			    strerror(-err));
	add_vhost(m);
}

/* A descriptor of guest memory, for others to map it. */
static int open_segment(struct machine *m, u32 seg)
{
	struct joist_segment_fd a = { .seg = seg };
	int err = hv_call(m->fds.vm, JOIST_SEGMENT, &a);

	if (err < 0)
		machine_end(err == -ENXIO ? END_GONE : END_ERROR, 0,
			    "guest memory for another process: %s",
			    strerror(-err));
	return a.fd;
}

static void watch_daemon(struct machine *m, unsigned i, bool on)
{
	struct vhost_blk *b = m->daemon[i];

	if (b->watched == on)
		return;
	b->watched = on;
	machine_watch(m, b->user.fd, on);
	machine_watch(m, b->call, on);
}

static void init_daemon(struct machine *m, unsigned i, const int segment[2])
{
	const struct disk *d = &m->cfg->disk[i];
	struct vhost_blk *b;
	int err;

	b = m->daemon[i] = alloc(sizeof(*b));
	if (d->fd < 0) {
		vhost_blk_start_gone(b);
		return;
	}
	err = vhost_blk_start(b, d->fd, d->read_only, &m->mem, segment);
	if (err)
		machine_end(END_REFUSED, 0, "disk %s: qemu-storage-daemon: "
			    "%s: %s", d->path, b->user.step, strerror(-err));
	if (b->info.size != d->size || b->info.segments != d->segments)
		machine_end(END_REFUSED, 0, "disk %s: its size has changed",
			    d->path);
	watch_daemon(m, i, true);
}

static void init_daemons(struct machine *m)
{
	int segment[2] = { -1, -1 };
	unsigned i;

	for (i = 0; i < m->cfg->disks; i++) {
		if (!m->cfg->disk[i].format)
			continue;
		if (segment[0] < 0)
			segment[0] = open_segment(m, SEG_LOW);
		if (segment[1] < 0 && m->mem.high_size)
			segment[1] = open_segment(m, SEG_HIGH);
		init_daemon(m, i, segment);
	}
	for (i = 0; i < 2; i++)
		if (segment[i] >= 0)
			close(segment[i]);
}

static void init_disk(struct machine *m, unsigned i)
{
	const struct disk *d = &m->cfg->disk[i];

	if (d->cd && d->size < CD_SECTOR)
		machine_end(END_REFUSED, 0, "disk %s: smaller than a sector "
			    "of a CD", d->path);
	if (d->cd) {
		struct cd *cd = alloc(sizeof(*cd));

		add(m, &cd->virtio, cd_init(cd, d, &m->dev.pci, &m->mem),
		    d->path);
		cd->daemon = m->daemon[i];
		add_boot(m, BOOT_CD, &cd->virtio);
	} else {
		struct blk *b = alloc(sizeof(*b));

		add(m, &b->virtio, blk_init(b, d, m->cfg->vcpus, &m->dev.pci,
					    &m->mem), d->path);
		b->daemon = m->daemon[i];
		m->blk[i] = b;
		add_boot(m, BOOT_DISK, &b->virtio);
	}
}

void virtio_devices_init(struct machine *m)
{
	struct joist_doorbell no_doorbells = { .flags = JOIST_EVENT_CLEAR };
	struct joist_irqfd no_irqfds = { .flags = JOIST_EVENT_CLEAR };
	const struct vm_config *cfg = m->cfg;
	struct rng *rng;
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
	init_daemons(m);
	for (i = 0; i < cfg->disks; i++)
		init_disk(m, i);
	for (i = 0; i < cfg->nics; i++) {
		m->net[i] = alloc(sizeof(*m->net[i]));
		add(m, &m->net[i]->virtio,
		    net_init(m->net[i], &cfg->nic[i], &m->dev.pci, &m->mem),
		    "network card");
		add_boot(m, BOOT_NET, &m->net[i]->virtio);
		init_vhost_net(m, m->net[i]);
	}
	if (cfg->vsock)
		init_vsock(m);
	if (m->fds.serial[PORT_HVC] >= 0) {
		m->console = alloc(sizeof(*m->console));
		add(m, &m->console->virtio,
		    console_init(m->console, PORT_HVC, &m->dev.pci, &m->mem),
		    "console");
	}
	if (cfg->balloon) {
		m->balloon = alloc(sizeof(*m->balloon));
		add(m, &m->balloon->virtio,
		    balloon_init(m->balloon, cfg->target / PAGE_SIZE,
				 &m->dev.pci, &m->mem), "balloon");
	}
	/* The last one: what is configured keeps its place. */
	rng = alloc(sizeof(*rng));
	add(m, &rng->virtio, rng_init(rng, &m->dev.pci, &m->mem),
	    "random numbers");
}

/* A doorbell that was not the kernel's, for it or for us. */
static void serve_slot(struct machine *m, unsigned slot)
{
	struct vhost *h;
	unsigned q;

	for (h = m->vhost; h < m->vhost + m->vhosts; h++)
		for (q = 0; h->virtio->slot == slot && h->runs &&
			    q < VHOST_QUEUES; q++)
			eventfd_write(h->kick[q], 1);
	virtio_serve(m->virtio[slot]);
}

/* Interrupts that joist.ko does not send; false: not one of these. */
static bool serve_calls(struct machine *m, int fd)
{
	struct vhost *h;
	eventfd_t count;
	unsigned q;

	for (h = m->vhost; h < m->vhost + m->vhosts; h++)
		for (q = 0; q < VHOST_QUEUES; q++) {
			if (h->call[q] != fd)
				continue;
			if (!eventfd_read(fd, &count))
				virtq_interrupt(h->virtio, h->first + q);
			return true;
		}
	return false;
}

/* ---- disks that other processes serve ---- */

void virtio_disks_flush(struct machine *m)
{
	unsigned i;

	if (m->cfg->disks)
		io_flush();
	for (i = 0; i < m->cfg->disks; i++)
		if (m->daemon[i])
			vhost_blk_flush(m->daemon[i]);
}

int virtio_disks_threads(const struct machine *m)
{
	const struct disk *d;

	for (d = m->cfg->disk; d < m->cfg->disk + m->cfg->disks; d++)
		if (d->device.discard && !d->read_only)
			return io_start_discards();
	return 0;
}

void virtio_disks_retry(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->cfg->disks; i++)
		if (m->blk[i])
			blk_retry(m->blk[i]);
}

void virtio_disk_gone(struct machine *m, unsigned disk)
{
	if (disk >= m->cfg->disks || !m->daemon[disk])
		return;
	watch_daemon(m, disk, false);
	vhost_blk_gone(m->daemon[disk]);
}

/* It ends, or is made to end by the manager, which then says that it has. */
static void lose_daemon(struct machine *m, unsigned i, bool broke_rules)
{
	struct msg msg = {
		.kind = MSG_DISK_LOST, .how = broke_rules, .value = i,
	};

	watch_daemon(m, i, false);
	vhost_blk_lost(m->daemon[i]);
	send(m->fds.channel, &msg, sizeof(msg), MSG_NOSIGNAL);
}

/* False: the descriptor is none of theirs. */
static bool serve_daemons(struct machine *m, int fd)
{
	struct vhost_blk *b;
	unsigned i;

	for (i = 0; i < m->cfg->disks; i++) {
		b = m->daemon[i];
		if (!b || (fd != b->user.fd && fd != b->call))
			continue;
		/* On the connection, after the start, nothing but its end. */
		if (b->watched && fd == b->user.fd)
			lose_daemon(m, i, false);
		else if (b->watched && !vhost_blk_reap(b))
			lose_daemon(m, i, true);
		return true;
	}
	return false;
}

bool virtio_devices_event(struct machine *m, int fd)
{
	eventfd_t count;
	unsigned i, q;

	if (serve_daemons(m, fd))
		return true;
	for (i = 0; i < PCI_SLOTS; i++) {
		if (!m->virtio[i] || m->kick[i] != fd)
			continue;
		if (!eventfd_read(fd, &count))
			serve_slot(m, i);
		return true;
	}
	for (i = 0; i < m->cfg->nics; i++) {
		for (q = 0; q < m->cfg->nic[i].pairs; q++) {
			if (m->cfg->nic[i].fd[q] != fd)
				continue;
			net_receive(m->net[i], q);
			return true;
		}
	}
	return serve_calls(m, fd);
}
