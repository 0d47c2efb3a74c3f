/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.h -- virtio 1.x devices on PCI, with split virtqueues.
 *
 * A device model gives a table of functions and its configuration bytes; the
 * transport does the rest.  What lies in guest memory is read once, then
 * checked: the guest may change it at any time.  A device whose driver breaks
 * the rules is marked (DEVICE_NEEDS_RESET), and does nothing until it is
 * reset.
 */
#ifndef VM_VIRTIO_H
#define VM_VIRTIO_H

#include <sys/uio.h>

#include "load.h"
#include "pci.h"

#define VIRTIO_ID_NET	1
#define VIRTIO_ID_BLOCK	2
#define VIRTIO_ID_CONSOLE	3
#define VIRTIO_ID_RNG	4
#define VIRTIO_ID_BALLOON	5
#define VIRTIO_ID_SCSI	8
#define VIRTIO_ID_VSOCK	19

#define VIRTIO_INDIRECT_DESC	BIT(28)
#define VIRTIO_EVENT_IDX	BIT(29)
#define VIRTIO_VERSION_1	BIT(32)

#define VIRTIO_QUEUES	17	/* a card with eight pairs and a control queue */
#define VIRTQ_SIZE	256	/* the most entries a queue can have */
#define VIRTQ_CHAIN	256	/* and a chain of descriptors */
#define VIRTIO_CONFIG	64	/* bytes of device configuration */

/* "The Virtqueue Descriptor Table", "Available Ring", "Used Ring". */
#define DESC_LEN	16
#define DESC_NEXT	1
#define DESC_WRITE	2
#define DESC_INDIRECT	4
#define RING_FLAGS	0
#define RING_IDX	2
#define RING_ENTRIES	4

/* Interrupt vectors: one a queue, one for configuration changes. */
#define VIRTIO_VECTORS	(VIRTIO_QUEUES + 1)
_Static_assert(VIRTIO_VECTORS <= PCI_VECTORS, "a vector a queue");

struct virtio;

struct virtio_model {
	u16 id;			/* VIRTIO_ID_* */
	u32 class;		/* of PCI */
	u64 needs;		/* features without which it does not work */
	/* The driver has set FEATURES_OK: v->features are its choice. */
	void (*features)(struct virtio *v);
	/* Take what is in that queue. */
	void (*serve)(struct virtio *v, unsigned queue);
	/* The driver resets the device: take nothing more, forget all. */
	void (*reset)(struct virtio *v);
	/* The driver writes to the device configuration. */
	void (*configure)(struct virtio *v, unsigned at, unsigned size,
			  u64 val);
};

struct virtq {
	u8 enabled;
	u16 size, vector;
	u16 taken;		/* avail index up to which we have taken */
	u16 used;		/* used index */
	u16 told;		/* the same when we last thought of interrupting */
	u64 desc, avail, used_ring;	/* where the driver has put them */
};

struct virtio {
	u64 offered, features;		/* of the device; the driver's choice */
	u32 offered_sel, features_sel;
	u16 queue_sel, config_vector;
	u8 status, isr, generation;
	bool broken;			/* DEVICE_NEEDS_RESET */
	bool resetting;			/* until `pending` is 0 */
	u32 pending;			/* chains taken and not given back */
	unsigned queues;
	struct virtq queue[VIRTIO_QUEUES];
	u8 config[VIRTIO_CONFIG];
	unsigned config_len;

	unsigned slot;
	u8 window;			/* the configuration access capability */
	struct pci *pci;
	const struct guest_mem *mem;
	const struct virtio_model *model;
};

/*
 * Put it on the bus.  Before: offered (without the transport's own bits),
 * queues, config and config_len.
 */
int virtio_init(struct virtio *v, const struct virtio_model *model,
		struct pci *pci, const struct guest_mem *mem);
/* All queues, after board_kick(). */
void virtio_serve(struct virtio *v);

/* Where a queue's doorbell is: an address, or 0 (the device is not ready). */
u64 virtio_doorbell(const struct virtio *v, unsigned queue);
#define VIRTIO_DOORBELL_LEN	2

/* ---- for models ---- */

/* Buffers the device reads, then those it writes; none is empty. */
struct virtq_chain {
	u16 head;
	unsigned out, in;
	u64 out_len, in_len;
	struct iovec iov[VIRTQ_CHAIN];
};

/* Driver ready, device neither broken nor in reset. */
bool virtio_runs(const struct virtio *v);
static inline bool virtio_has(const struct virtio *v, u64 feature)
{
	return v->features & feature;
}

/* The next chain; false: none, or the device broke.  Each must be put back. */
bool virtq_get(struct virtio *v, unsigned queue, struct virtq_chain *c);
/*
 * For a loop over a queue's chains, with *n 0 before it.  False: there is no
 * more now; the device is served again when there is.
 */
bool virtq_next(struct virtio *v, unsigned queue, struct virtq_chain *c,
		unsigned *n);
/* len: bytes written to it.  The driver learns of it by virtq_signal(). */
void virtq_put(struct virtio *v, unsigned queue, u16 head, u32 len);
/* Undo the last virtq_get(). */
void virtq_unget(struct virtio *v, unsigned queue);
/* Interrupt the driver if it wants to know. */
void virtq_signal(struct virtio *v, unsigned queue);
/* Ask for a doorbell; true: there is something already. */
bool virtq_wait(struct virtio *v, unsigned queue);
void virtio_break(struct virtio *v);
/* The device has changed v->config. */
void virtio_config_changed(struct virtio *v);

/* For queues that others serve: interrupt, and the message that would be. */
void virtq_interrupt(struct virtio *v, unsigned queue);
bool virtq_message(const struct virtio *v, unsigned queue, u64 *address,
		   u32 *data);

/* Copy the first len bytes of buffers, and drop them; false: too short. */
bool iov_take(struct iovec **iov, unsigned *count, void *to, size_t len);
/* Copy len bytes to the beginning of buffers, and drop that; false: no room. */
bool iov_give(struct iovec **iov, unsigned *count, const void *from,
	      size_t len);
/* Move the first len bytes' buffers, at most as many as bytes, to `to`. */
bool iov_split(struct iovec **iov, unsigned *count, struct iovec *to,
	       unsigned *to_count, size_t len);
/* The first len bytes of buffers, as buffers; gives their count. */
unsigned iov_cut(struct iovec *iov, unsigned count, u64 len);
u64 iov_len(const struct iovec *iov, unsigned count);

#endif
