/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_pci.c -- the transport of virtio devices, after the "Virtual I/O
 * Device (VIRTIO) Version 1.2", "Virtio Over PCI Bus" and "Split Virtqueues".
 *
 * Rings and descriptors are the driver's memory, which it may change under
 * us: each field is copied once, and what is checked is the copy.
 */
#include <errno.h>
#include <string.h>

#include "board.h"
#include "virtio.h"

#define VENDOR		0x1af4
#define DEVICE_BASE	0x1040

/* BAR 0: the register files, a page each; BAR 1 is MSI-X's. */
#define BAR_REGS	0
#define BAR_MSIX	1
#define REGS_SIZE	0x4000u
#define PAGE(at)	((at) >> 12)
#define COMMON		0x0000
#define ISR		0x1000
#define DEVICE		0x2000
#define NOTIFY		0x3000
#define NOTIFY_STEP	4

/* "Virtio Structure PCI Capabilities". */
#define CAP_VENDOR	0x09
#define TYPE_COMMON	1
#define TYPE_NOTIFY	2
#define TYPE_ISR		3
#define TYPE_DEVICE	4
#define TYPE_PCI		5
#define CAP_LEN		16
#define CAP_NOTIFY_LEN	20
#define CAP_PCI_LEN	20
#define CAP_BAR		4
#define CAP_OFFSET	8
#define CAP_LENGTH	12
#define CAP_DATA	16

/* "Common configuration structure layout". */
enum {
	C_OFFERED_SEL = 0, C_OFFERED = 4, C_FEATURES_SEL = 8, C_FEATURES = 12,
	C_CONFIG_VECTOR = 16, C_QUEUES = 18, C_STATUS = 20, C_GENERATION = 21,
	C_QUEUE_SEL = 22, C_SIZE = 24, C_VECTOR = 26, C_ENABLE = 28,
	C_NOTIFY_OFF = 30, C_DESC = 32, C_AVAIL = 40, C_USED = 48,
	C_LEN = 56
};

#define S_DRIVER_OK	0x04
#define S_FEATURES_OK	0x08
#define S_NEEDS_RESET	0x40

#define ISR_QUEUE	0x01
#define ISR_CONFIG	0x02

#define AVAIL_NO_INTERRUPT	1
#define AVAIL_LEN(size)	(RING_ENTRIES + 2ull * (size) + 2)
#define USED_LEN(size)	(RING_ENTRIES + 8ull * (size) + 2)

static struct pci_dev *pci_dev(const struct virtio *v)
{
	return &v->pci->dev[v->slot];
}

/* ---- interrupts ---- */

static void interrupt(struct virtio *v, u16 vector, u8 isr)
{
	struct pci_dev *d = pci_dev(v);

	if (pci_msix_enabled(d)) {
		if (vector != PCI_NO_VECTOR)
			pci_msix_raise(d, vector);
		return;
	}
	v->isr |= isr;
	pci_intx(v->pci, v->slot, true);
}

void virtio_break(struct virtio *v)
{
	if (v->broken)
		return;
	v->broken = true;
	v->status |= S_NEEDS_RESET;
	if (v->status & S_DRIVER_OK)
		interrupt(v, v->config_vector, ISR_CONFIG);
}

/* "Notification of Device Configuration Changes". */
void virtio_config_changed(struct virtio *v)
{
	v->generation++;
	if (v->status & S_DRIVER_OK)
		interrupt(v, v->config_vector, ISR_CONFIG);
}

/* ---- queues ---- */

bool virtio_runs(const struct virtio *v)
{
	return (v->status & S_DRIVER_OK) && !v->broken && !v->resetting &&
	       pci_is_master(pci_dev(v));
}

/* Rings are aligned, and in memory, since the queue was enabled. */
static u16 *avail_at(const struct virtio *v, const struct virtq *q, u64 offset)
{
	return (u16 *)guest_ptr(v->mem, q->avail + offset, 2);
}

static u16 *used_at(const struct virtio *v, const struct virtq *q, u64 offset)
{
	return (u16 *)guest_ptr(v->mem, q->used_ring + offset, 2);
}

static u16 avail_idx(const struct virtio *v, const struct virtq *q)
{
	return __atomic_load_n(avail_at(v, q, RING_IDX), __ATOMIC_ACQUIRE);
}

struct desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};

static struct desc desc_read(const u8 *table, u64 index)
{
	u8 raw[DESC_LEN];

	memcpy(raw, table + index * DESC_LEN, DESC_LEN);
	/* The copy is what is looked at, not the guest's memory again. */
	__asm__ volatile("" : "+m" (raw));
	return (struct desc){ get64(raw), get32(raw + 8), get16(raw + 12),
			      get16(raw + 14) };
}

static bool chain_add(const struct virtio *v, struct virtq_chain *c,
		      const struct desc *d)
{
	void *p = guest_ptr(v->mem, d->addr, d->len);
	bool in = d->flags & DESC_WRITE;

	if (!p || (c->in && !in))
		return false;
	if (!d->len)
		return true;
	if (c->in + c->out == VIRTQ_CHAIN)
		return false;
	c->iov[c->out + c->in] = (struct iovec){ p, d->len };
	if (in) {
		c->in++;
		c->in_len += d->len;
	} else {
		c->out++;
		c->out_len += d->len;
	}
	return true;
}

/* Follow a chain; false: no driver may write such a one. */
static bool chain_read(const struct virtio *v, const struct virtq *q,
		       struct virtq_chain *c)
{
	const u8 *table = guest_ptr(v->mem, q->desc, (u64)q->size * DESC_LEN);
	u64 count = q->size, i = c->head;
	bool indirect = false;
	unsigned steps = 0;
	struct desc d;

	while (steps < VIRTQ_CHAIN && i < count) {
		d = desc_read(table, i);
		if (d.flags & DESC_INDIRECT) {
			if (indirect || (d.flags & DESC_NEXT) ||
			    !virtio_has(v, VIRTIO_INDIRECT_DESC) ||
			    !d.len || d.len % DESC_LEN)
				return false;
			table = guest_ptr(v->mem, d.addr, d.len);
			if (!table)
				return false;
			indirect = true;
			count = d.len / DESC_LEN;
			i = 0;
			continue;
		}
		if (!chain_add(v, c, &d))
			return false;
		if (!(d.flags & DESC_NEXT))
			return true;
		i = d.next;
		/* The one that refers to a table is no part of the request. */
		steps++;
	}
	return false;		/* a loop, too long, or outside the table */
}

bool virtq_get(struct virtio *v, unsigned queue, struct virtq_chain *c)
{
	struct virtq *q = &v->queue[queue];
	u16 idx, head;

	if (!virtio_runs(v) || !q->enabled)
		return false;
	idx = avail_idx(v, q);
	if (idx == q->taken)
		return false;
	head = __atomic_load_n(avail_at(v, q, RING_ENTRIES + 2ull *
					(q->taken % q->size)),
			       __ATOMIC_RELAXED);
	c->head = head;
	c->out = c->in = 0;
	c->out_len = c->in_len = 0;
	if ((u16)(idx - q->taken) > q->size || head >= q->size ||
	    v->pending >= v->queues * VIRTQ_SIZE || !chain_read(v, q, c)) {
		virtio_break(v);
		return false;
	}
	q->taken++;
	v->pending++;
	return true;
}

void virtq_unget(struct virtio *v, unsigned queue)
{
	v->queue[queue].taken--;
	v->pending--;
}

static void reset_done(struct virtio *v);

void virtq_put(struct virtio *v, unsigned queue, u16 head, u32 len)
{
	struct virtq *q = &v->queue[queue];
	u16 *entry;

	v->pending--;
	if (v->resetting && !v->pending)
		reset_done(v);
	if (!virtio_runs(v) || !q->enabled)
		return;
	entry = used_at(v, q, RING_ENTRIES + 8ull * (q->used % q->size));
	put32((u8 *)entry, head);
	put32((u8 *)entry + 4, len);
	q->used++;
	__atomic_store_n(used_at(v, q, RING_IDX), q->used, __ATOMIC_RELEASE);
}

/* "Used Buffer Notification Suppression". */
void virtq_signal(struct virtio *v, unsigned queue)
{
	struct virtq *q = &v->queue[queue];
	u16 told = q->told, event;

	if (!virtio_runs(v) || !q->enabled || q->used == told)
		return;
	q->told = q->used;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (virtio_has(v, VIRTIO_EVENT_IDX)) {
		event = __atomic_load_n(avail_at(v, q, RING_ENTRIES +
						 2ull * q->size),
					__ATOMIC_RELAXED);
		if ((u16)(q->used - event - 1) >= (u16)(q->used - told))
			return;
	} else if (__atomic_load_n(avail_at(v, q, RING_FLAGS),
				   __ATOMIC_RELAXED) & AVAIL_NO_INTERRUPT) {
		return;
	}
	interrupt(v, q->vector, ISR_QUEUE);
}

bool virtq_wait(struct virtio *v, unsigned queue)
{
	struct virtq *q = &v->queue[queue];

	if (!virtio_runs(v) || !q->enabled)
		return false;
	if (virtio_has(v, VIRTIO_EVENT_IDX)) {
		__atomic_store_n(used_at(v, q, RING_ENTRIES + 8ull * q->size),
				 q->taken, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	return avail_idx(v, q) != q->taken;
}

bool virtq_next(struct virtio *v, unsigned queue, struct virtq_chain *c,
		unsigned *n)
{
	/* A driver on another core could keep us here for ever. */
	if (++*n > VIRTQ_SIZE) {
		board_kick(v->slot);
		return false;
	}
	while (!virtq_get(v, queue, c))
		if (!virtq_wait(v, queue))
			return false;
	return true;
}

void virtio_serve(struct virtio *v)
{
	unsigned i;

	for (i = 0; i < v->queues && virtio_runs(v); i++)
		if (v->queue[i].enabled)
			v->model->serve(v, i);
}

void virtq_interrupt(struct virtio *v, unsigned queue)
{
	if (virtio_runs(v))
		interrupt(v, v->queue[queue].vector, ISR_QUEUE);
}

bool virtq_message(const struct virtio *v, unsigned queue, u64 *address,
		   u32 *data)
{
	return pci_msix_message(pci_dev(v), v->queue[queue].vector, address,
				data);
}

/* Is all of it in memory, and as aligned as it must be? */
static bool queue_is_good(const struct virtio *v, const struct virtq *q)
{
	return q->size && q->size <= VIRTQ_SIZE && !(q->size & (q->size - 1)) &&
	       !(q->desc % 16) && !(q->avail % 2) && !(q->used_ring % 4) &&
	       guest_ptr(v->mem, q->desc, (u64)q->size * DESC_LEN) &&
	       guest_ptr(v->mem, q->avail, AVAIL_LEN(q->size)) &&
	       guest_ptr(v->mem, q->used_ring, USED_LEN(q->size));
}

/* ---- the common configuration ---- */

static void state_clear(struct virtio *v)
{
	unsigned i;

	v->features = 0;
	v->offered_sel = v->features_sel = 0;
	v->queue_sel = 0;
	v->config_vector = PCI_NO_VECTOR;
	v->status = v->isr = 0;
	v->broken = v->resetting = false;
	memset(v->queue, 0, sizeof(v->queue));
	for (i = 0; i < v->queues; i++) {
		v->queue[i].size = VIRTQ_SIZE;
		v->queue[i].vector = PCI_NO_VECTOR;
	}
	pci_intx(v->pci, v->slot, false);
}

static void reset_done(struct virtio *v)
{
	state_clear(v);
	/* Its conditions are gone, and what of them was masked with them. */
	pci_dev(v)->pending = 0;
	board_virtio(v->slot);
}

/*
 * What was taken still uses the guest's memory, so the status stays until it
 * is through; the driver waits for that ("Device Initialization").
 */
static void virtio_reset(struct virtio *v)
{
	v->resetting = true;
	if (v->model->reset)
		v->model->reset(v);
	if (!v->pending)
		reset_done(v);
}

static void status_write(struct virtio *v, u8 val)
{
	u64 needs = VIRTIO_VERSION_1 | v->model->needs;
	u8 rises = val & (u8)~v->status;

	if (!val) {
		virtio_reset(v);
		return;
	}
	/* A bit is set once, and cleared by a reset only. */
	if ((rises & S_FEATURES_OK) &&
	    ((v->features & ~v->offered) || (v->features & needs) != needs))
		rises &= (u8)~S_FEATURES_OK;
	if (!((v->status | rises) & S_FEATURES_OK))
		rises &= (u8)~S_DRIVER_OK;
	v->status |= rises & (u8)~S_NEEDS_RESET;
	if ((rises & S_FEATURES_OK) && v->model->features)
		v->model->features(v);
	if (rises & S_DRIVER_OK) {
		if (v->broken)
			interrupt(v, v->config_vector, ISR_CONFIG);
		board_virtio(v->slot);
		/* Buffers may be there, and a doorbell rung, already. */
		board_kick(v->slot);
	}
}

static u64 half_set(u64 old, unsigned half, u32 val)
{
	return half ? (old & 0xffffffff) | (u64)val << 32 :
	       (old & ~0xffffffffull) | val;
}

static void features_write(struct virtio *v, u32 val)
{
	if (!(v->status & S_FEATURES_OK) && v->features_sel < 2)
		v->features = half_set(v->features, v->features_sel, val);
}

static u16 vector_of(const struct virtio *v, u64 val)
{
	return val < pci_dev(v)->vectors ? (u16)val : PCI_NO_VECTOR;
}

static void queue_write(struct virtio *v, struct virtq *q, unsigned at,
			unsigned size, u64 val)
{
	unsigned half = (at & 7) / 4;

	if (at == C_VECTOR && size == 2) {
		q->vector = vector_of(v, val);
		board_virtio(v->slot);
		return;
	}
	if (q->enabled)
		return;
	if (at == C_SIZE && size == 2) {
		q->size = (u16)val;
	} else if (at == C_ENABLE && size == 2 && val == 1) {
		q->enabled = queue_is_good(v, q);
		if (!q->enabled)
			virtio_break(v);
	} else if (at >= C_DESC && at < C_LEN && size == 4) {
		u64 *p = at < C_AVAIL ? &q->desc : at < C_USED ? &q->avail :
			 &q->used_ring;

		*p = half_set(*p, half, (u32)val);
	}
}

/* A field takes writes of its own width; 64-bit ones, of their halves. */
static void common_write(struct virtio *v, unsigned at, unsigned size, u64 val)
{
	if (v->resetting)
		return;
	if (at >= C_SIZE) {
		if (at < C_LEN && !(at % size) && v->queue_sel < v->queues)
			queue_write(v, &v->queue[v->queue_sel], at, size, val);
	} else if (at == C_OFFERED_SEL && size == 4) {
		v->offered_sel = (u32)val;
	} else if (at == C_FEATURES_SEL && size == 4) {
		v->features_sel = (u32)val;
	} else if (at == C_FEATURES && size == 4) {
		features_write(v, (u32)val);
	} else if (at == C_CONFIG_VECTOR && size == 2) {
		v->config_vector = vector_of(v, val);
	} else if (at == C_STATUS && size == 1) {
		status_write(v, (u8)val);
	} else if (at == C_QUEUE_SEL && size == 2) {
		v->queue_sel = (u16)val;
	}
}

static u32 half_get(u64 val, u32 sel)
{
	return sel < 2 ? (u32)(val >> 32 * sel) : 0;
}

static u64 common_read(const struct virtio *v, unsigned at, unsigned size)
{
	static const struct virtq none;
	const struct virtq *q = v->queue_sel < v->queues ?
				&v->queue[v->queue_sel] : &none;
	u8 r[C_LEN + 8] = { 0 };

	if (at >= C_LEN)
		return 0;
	put32(r + C_OFFERED_SEL, v->offered_sel);
	put32(r + C_OFFERED, half_get(v->offered, v->offered_sel));
	put32(r + C_FEATURES_SEL, v->features_sel);
	put32(r + C_FEATURES, half_get(v->features, v->features_sel));
	put16(r + C_CONFIG_VECTOR, v->config_vector);
	put16(r + C_QUEUES, (u16)v->queues);
	r[C_STATUS] = v->status;
	r[C_GENERATION] = v->generation;
	put16(r + C_QUEUE_SEL, v->queue_sel);
	put16(r + C_SIZE, q->size);
	put16(r + C_VECTOR, q->vector);
	put16(r + C_ENABLE, q->enabled);
	put16(r + C_NOTIFY_OFF, q == &none ? 0 : v->queue_sel);
	put64(r + C_DESC, q->desc);
	put64(r + C_AVAIL, q->avail);
	put64(r + C_USED, q->used_ring);
	return get64(r + at) & (~0ull >> (64 - 8 * size));
}

/* ---- the register window ---- */

static u64 regs_read(void *dev, u64 at, unsigned size)
{
	struct virtio *v = dev;
	unsigned in = at & 0xfff, i;
	u64 val = 0;

	switch (PAGE(at)) {
	case PAGE(COMMON):
		return common_read(v, in, size);
	case PAGE(ISR):
		if (in)
			return 0;
		val = v->isr;
		v->isr = 0;
		pci_intx(v->pci, v->slot, false);
		return val;
	case PAGE(DEVICE):
		for (i = 0; i < size && in + i < v->config_len; i++)
			val |= (u64)v->config[in + i] << 8 * i;
		return val;
	}
	return 0;
}

static void regs_write(void *dev, u64 at, unsigned size, u64 val)
{
	struct virtio *v = dev;
	unsigned in = at & 0xfff;

	if (PAGE(at) == PAGE(COMMON))
		common_write(v, in, size, val);
	else if (PAGE(at) == PAGE(DEVICE) && v->model->configure)
		v->model->configure(v, in, size, val);
	else if (PAGE(at) == PAGE(NOTIFY) && in / NOTIFY_STEP < v->queues)
		board_kick(v->slot);
}

u64 virtio_doorbell(const struct virtio *v, unsigned queue)
{
	u32 at = pci_dev(v)->bar[BAR_REGS].at;

	if (!at || !(v->status & S_DRIVER_OK) || v->resetting)
		return 0;
	return at + NOTIFY + (u64)queue * NOTIFY_STEP;
}

/*
 * "PCI configuration access capability": the guest names a place in a BAR,
 * and its access to the data field goes there.
 */
static bool window_place(const struct virtio *v, u32 *at, unsigned *size)
{
	const u8 *cap = pci_dev(v)->config + v->window;

	*at = get32(cap + CAP_OFFSET);
	*size = get32(cap + CAP_LENGTH);
	return cap[CAP_BAR] == BAR_REGS &&
	       (*size == 1 || *size == 2 || *size == 4) &&
	       *at < REGS_SIZE && !(*at % *size);
}

static void window_read(void *dev, unsigned at, unsigned size)
{
	struct virtio *v = dev;
	unsigned data = v->window + CAP_DATA, len;
	u32 to;

	if (at < data + 4 && at + size > data && window_place(v, &to, &len))
		put32(pci_dev(v)->config + data, (u32)regs_read(v, to, len));
}

static void window_written(void *dev, unsigned at, unsigned size)
{
	struct virtio *v = dev;
	unsigned data = v->window + CAP_DATA, len;
	u32 to;

	if (at < data + 4 && at + size > data && window_place(v, &to, &len))
		regs_write(v, to, len, get32(pci_dev(v)->config + data) &
			   (0xffffffffu >> (32 - 8 * len)));
	if (at >= 6 || at + size <= 4)
		return;
	/* Allowed to write memory only now, it may have work. */
	board_virtio(v->slot);
	if (virtio_runs(v))
		board_kick(v->slot);
}

static void virtio_moved(void *dev)
{
	struct virtio *v = dev;

	board_virtio(v->slot);
}

static int add_cap(struct pci_dev *d, u8 type, u8 len, u32 offset, u32 length)
{
	int at = pci_add_cap(d, CAP_VENDOR, len);

	if (at < 0)
		return at;
	d->config[at + 2] = len;
	d->config[at + 3] = type;
	d->config[at + CAP_BAR] = BAR_REGS;
	put32(d->config + at + CAP_OFFSET, offset);
	put32(d->config + at + CAP_LENGTH, length);
	if (type == TYPE_NOTIFY)
		put32(d->config + at + CAP_DATA, NOTIFY_STEP);
	if (type != TYPE_PCI)
		return at;
	d->writable[at + CAP_BAR] = 0xff;
	memset(d->writable + at + CAP_OFFSET, 0xff, 12);
	return at;
}

int virtio_init(struct virtio *v, const struct virtio_model *model,
		struct pci *pci, const struct guest_mem *mem)
{
	const struct pci_ids ids = {
		.vendor = VENDOR, .device = (u16)(DEVICE_BASE + model->id),
		/* "PCI Device Discovery": 0x40 or more; OVMF drives no others. */
		.subsystem = 0x40 + model->id, .revision = 1, .class = model->class,
	};
	const struct pci_bar bar = {
		.size = REGS_SIZE, .dev = v, .read = regs_read,
		.write = regs_write,
	};
	struct pci_dev *d;
	int slot, err, window;

	slot = pci_add(pci, &ids);
	if (slot < 0)
		return slot;
	v->model = model;
	v->pci = pci;
	v->mem = mem;
	v->slot = (unsigned)slot;
	v->offered |= VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC |
		      VIRTIO_EVENT_IDX;
	d = pci_dev(v);
	err = pci_add_bar(pci, v->slot, BAR_REGS, &bar);
	if (!err)
		err = pci_add_msix(pci, v->slot, BAR_MSIX, v->queues + 1);
	if (err)
		return err;
	add_cap(d, TYPE_COMMON, CAP_LEN, COMMON, C_LEN);
	add_cap(d, TYPE_NOTIFY, CAP_NOTIFY_LEN, NOTIFY,
		v->queues * NOTIFY_STEP);
	add_cap(d, TYPE_ISR, CAP_LEN, ISR, 1);
	if (v->config_len)
		add_cap(d, TYPE_DEVICE, CAP_LEN, DEVICE, v->config_len);
	window = add_cap(d, TYPE_PCI, CAP_PCI_LEN, 0, 0);
	if (window < 0)
		return window;
	v->window = (u8)window;
	state_clear(v);
	d->dev = v;
	d->before_read = window_read;
	d->written = window_written;
	d->moved = virtio_moved;
	return 0;
}

/* ---- buffers ---- */

u64 iov_len(const struct iovec *iov, unsigned count)
{
	u64 len = 0;

	while (count--)
		len += iov++->iov_len;
	return len;
}

/* Of the first buffer, at most len bytes: how many; it is shorter then. */
static size_t first_part(struct iovec **iov, unsigned *count, size_t len,
			 u8 **part)
{
	size_t n = MIN(len, (*iov)->iov_len);

	*part = (*iov)->iov_base;
	(*iov)->iov_base = *part + n;
	(*iov)->iov_len -= n;
	if (!(*iov)->iov_len) {
		(*iov)++;
		(*count)--;
	}
	return n;
}

bool iov_take(struct iovec **iov, unsigned *count, void *to, size_t len)
{
	u8 *p = to, *part;
	size_t n;

	while (len && *count) {
		n = first_part(iov, count, len, &part);
		memcpy(p, part, n);
		p += n;
		len -= n;
	}
	/* Read once: what was copied is not looked up there again. */
	__asm__ volatile("" ::: "memory");
	return !len;
}

bool iov_give(struct iovec **iov, unsigned *count, const void *from,
	      size_t len)
{
	const u8 *p = from;
	u8 *part;
	size_t n;

	while (len && *count) {
		n = first_part(iov, count, len, &part);
		memcpy(part, p, n);
		p += n;
		len -= n;
	}
	return !len;
}

bool iov_split(struct iovec **iov, unsigned *count, struct iovec *to,
	       unsigned *to_count, size_t len)
{
	u8 *part;
	size_t n;

	for (*to_count = 0; len && *count; len -= n) {
		n = first_part(iov, count, len, &part);
		to[(*to_count)++] = (struct iovec){ part, n };
	}
	return !len;
}

unsigned iov_cut(struct iovec *iov, unsigned count, u64 len)
{
	unsigned i;

	for (i = 0; i < count && len; i++) {
		iov[i].iov_len = MIN(iov[i].iov_len, len);
		len -= iov[i].iov_len;
	}
	return i;
}
