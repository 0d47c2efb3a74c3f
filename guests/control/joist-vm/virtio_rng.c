/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_rng.c -- virtio's "Entropy Device".
 *
 * A buffer gets at least one byte and at most RNG_MOST: the driver asks again,
 * and the others of the machine get their turn.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "board.h"
#include "virtio_rng.h"

#define RNG_MOST	4096u
#define CLASS_OTHER	0x00ff00

/* How many bytes it has got; 0: there is no room. */
static u32 fill(struct virtq_chain *c)
{
	struct iovec *in = c->iov + c->out;
	u32 len = (u32)MIN(c->in_len, RNG_MOST), done = 0;
	u8 bytes[RNG_MOST];
	unsigned count = c->in;
	ssize_t n;

	/* Never blocks: the control VM has been up for a while. */
	while (done < len) {
		n = getrandom(bytes + done, len - done, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (u32)n;
	}
	iov_give(&in, &count, bytes, done);
	return done;
}

static void rng_serve(struct virtio *v, unsigned queue)
{
	static struct virtq_chain c;	/* the main thread's */
	unsigned n = 0;

	while (virtq_next(v, queue, &c, &n)) {
		/* "The driver MUST NOT place driver-readable buffers". */
		if (c.out || !c.in)
			virtio_break(v);
		virtq_put(v, queue, c.head, c.out ? 0 : fill(&c));
	}
	virtq_signal(v, queue);
}

static const struct virtio_model rng_model = {
	.id = VIRTIO_ID_RNG,
	.class = CLASS_OTHER,
	.serve = rng_serve,
};

int rng_init(struct rng *r, struct pci *pci, const struct guest_mem *mem)
{
	struct virtio *v = &r->virtio;

	memset(r, 0, sizeof(*r));
	v->queues = 1;
	return virtio_init(v, &rng_model, pci, mem);
}
