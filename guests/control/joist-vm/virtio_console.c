/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_console.c -- virtio's "Console Device", with its one first port.
 *
 * What the outside has no room for stays in the driver's buffer, which is not
 * given back until then; what the driver has no buffer for waits outside, but
 * for the few bytes that were read already.
 */
#include <string.h>

#include "board.h"
#include "virtio_console.h"

#define RX		0	/* queues */
#define TX		1
#define CONFIG_LEN	12	/* all of it belongs to features we lack */
#define CLASS_OTHER	0x078000

/* ---- to the driver ---- */

static u32 copy_in(struct console *c)
{
	struct iovec *iov = c->buffer.iov;
	unsigned count = c->buffer.in;
	u32 len = (u32)MIN(c->buffer.in_len, c->in_len);

	iov_give(&iov, &count, c->in + c->in_at, len);
	c->in_at += len;
	c->in_len -= len;
	return len;
}

static void hand_in(struct console *c)
{
	struct virtio *v = &c->virtio;

	while (c->in_len) {
		if (!virtq_get(v, RX, &c->buffer)) {
			if (!virtq_wait(v, RX))
				break;
			continue;
		}
		/* Nothing in it to be written to: it would go on for ever. */
		if (c->buffer.out || !c->buffer.in) {
			virtq_unget(v, RX);
			virtio_break(v);
			break;
		}
		virtq_put(v, RX, c->buffer.head, copy_in(c));
	}
	virtq_signal(v, RX);
}

unsigned console_rx_room(const struct console *c)
{
	return virtio_runs(&c->virtio) && !c->in_len ? CONSOLE_IN : 0;
}

void console_rx(struct console *c, const u8 *bytes, unsigned len)
{
	memcpy(c->in, bytes, len);
	c->in_at = 0;
	c->in_len = len;
	hand_in(c);
}

static void take_in(struct console *c)
{
	hand_in(c);
	if (console_rx_room(c))
		board_serial_room(c->port);
}

/* ---- from the driver ---- */

/* False: the rest of the chain has no room outside now. */
static bool send_out(struct console *c)
{
	struct iovec *v;
	const u8 *p;

	for (; c->out_at < c->chain.out; c->out_at++) {
		v = &c->chain.iov[c->out_at];
		while (v->iov_len) {
			p = v->iov_base;
			if (!board_serial_put(c->port, *p))
				return false;
			v->iov_base = (u8 *)v->iov_base + 1;
			v->iov_len--;
		}
	}
	return true;
}

static void take_out(struct console *c)
{
	struct virtio *v = &c->virtio;
	unsigned n = 0;

	if (!virtio_runs(v))
		return;
	while (c->sending || virtq_next(v, TX, &c->chain, &n)) {
		if (!c->sending)
			c->out_at = 0;
		c->sending = !send_out(c);
		if (c->sending)
			break;
		virtq_put(v, TX, c->chain.head, 0);
	}
	virtq_signal(v, TX);
}

void console_tx_room(struct console *c)
{
	if (c->sending)
		take_out(c);
}

/* ---- set-up ---- */

static void console_serve(struct virtio *v, unsigned queue)
{
	struct console *c = (struct console *)v;

	if (queue == TX)
		take_out(c);
	else
		take_in(c);
}

static void console_reset(struct virtio *v)
{
	struct console *c = (struct console *)v;

	c->in_len = 0;
	if (c->sending)
		virtq_unget(v, TX);
	c->sending = false;
}

static const struct virtio_model console_model = {
	.id = VIRTIO_ID_CONSOLE,
	.class = CLASS_OTHER,
	.serve = console_serve,
	.reset = console_reset,
};

int console_init(struct console *c, unsigned port, struct pci *pci,
		 const struct guest_mem *mem)
{
	struct virtio *v = &c->virtio;

	memset(c, 0, sizeof(*c));
	c->port = port;
	v->queues = 2;
	/* Linux refuses the device without a configuration to read. */
	v->config_len = CONFIG_LEN;
	return virtio_init(v, &console_model, pci, mem);
}
