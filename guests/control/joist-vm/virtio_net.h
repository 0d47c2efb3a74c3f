/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net.h -- a network card on a tap of the control VM.
 */
#ifndef VM_VIRTIO_NET_H
#define VM_VIRTIO_NET_H

#include "virtio.h"

#define NET_MAC		6
#define NET_HEADER	12	/* struct virtio_net_hdr_v1 */
/* A header, and the longest packet that segmentation offload makes. */
#define NET_PACKET	(NET_HEADER + 14 + 4 + 65535)
#define NET_FORWARDS	16	/* ports of a user network */
#define NET_PAIRS	8	/* of queues, at most */
#define NET_RX(pair)	(2 * (pair))
#define NET_TX(pair)	(2 * (pair) + 1)

#define NET_F_MRG_RXBUF	BIT(15)

struct nic {
	const char *tap, *bridge;	/* as asked for; one of them, or none */
	bool user;		/* or this: see user_net.h */
	const char *forward[NET_FORWARDS];
	unsigned forwards;
	int far;		/* of a user network: its end of fd[0] */
	unsigned pairs;		/* of queues; the tap has as many */
	int fd[NET_PAIRS];
	u8 mac[NET_MAC];
	bool allow;		/* any source address, not only mac */
	bool loopback;		/* of a user network: see joist-net */
};

struct net {
	struct virtio virtio;
	const struct nic *nic;
	bool in_kernel;		/* others serve the pairs: vhost.c */
	unsigned active;	/* pairs in use, the first ones */
	struct net_pair {
		bool watching;	/* for packets */
		u32 held;	/* bytes in packet, no buffer for them yet */
		u8 packet[NET_PACKET];
	} pair[NET_PAIRS];
	struct virtq_chain chain;
	struct iovec out[VIRTQ_CHAIN + 1];
};

int net_init(struct net *n, const struct nic *nic, struct pci *pci,
	     const struct guest_mem *mem);
/* That queue of the tap has packets. */
void net_receive(struct net *n, unsigned pair);

#endif
