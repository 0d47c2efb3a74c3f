/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_console.h -- a console (hvc0 in Linux): one port of bytes.
 */
#ifndef VM_VIRTIO_CONSOLE_H
#define VM_VIRTIO_CONSOLE_H

#include "virtio.h"

#define CONSOLE_IN	4096

struct console {
	struct virtio virtio;
	unsigned port;		/* which of the board's serial ports */
	u8 in[CONSOLE_IN];	/* for the driver, no buffer for them yet */
	u32 in_at, in_len;	/* those in in[] that are left */
	bool sending;		/* chain, from iov[out_at] on, is not out yet */
	u32 out_at;
	struct virtq_chain chain, buffer;
};

int console_init(struct console *c, unsigned port, struct pci *pci,
		 const struct guest_mem *mem);

/* Bytes that can be received now; receive them. */
unsigned console_rx_room(const struct console *c);
void console_rx(struct console *c, const u8 *bytes, unsigned len);
/* The outside has taken bytes. */
void console_tx_room(struct console *c);

#endif
