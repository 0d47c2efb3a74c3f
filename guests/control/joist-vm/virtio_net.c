/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net.c -- virtio's "Network Device", pairs of queues on those of a tap
 * whose frames have the same header in front ("vnet header"), or a socket
 * that stands for one.
 *
 * What the tap does not take is dropped, as on a wire.
 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "board.h"
#include "virtio_net.h"

#define F_CSUM		BIT(0)
#define F_GUEST_CSUM	BIT(1)
#define F_MAC		BIT(5)
#define F_GUEST_TSO4	BIT(7)
#define F_GUEST_TSO6	BIT(8)
#define F_GUEST_ECN	BIT(9)
#define F_HOST_TSO4	BIT(11)
#define F_HOST_TSO6	BIT(12)
#define F_HOST_ECN	BIT(13)
#define F_STATUS	BIT(16)
#define F_CTRL_VQ	BIT(17)
#define NET_F_MQ		BIT(22)

#define N_MAC		0
#define N_STATUS	6
#define N_MAX_PAIRS	8
#define N_LEN		10
#define STATUS_UP	1

/* "Control Virtqueue": class and command, then what the command needs. */
#define CTRL_HEAD	2
#define CTRL_MQ		4
#define MQ_PAIRS_SET	0
#define CTRL_OK		0
#define CTRL_ERR	1

#define H_BUFFERS	10		/* num_buffers in the header */
#define ETH_SOURCE	6
#define ETH_HEADER	14
#define CLASS_NIC	0x020000
#define TURN		64		/* packets in one go */

/* ---- to the guest ---- */

/* Where bytes of a frame went, and the chains that hold it. */
struct scatter {
	unsigned chains;
	u16 head[VIRTQ_SIZE];
	u32 len[VIRTQ_SIZE];
	u8 *buffers[2];		/* where num_buffers lies */
};

static u32 copy_out(struct net *n, struct net_pair *p, struct scatter *s,
		    u32 at)
{
	const struct virtq_chain *c = &n->chain;
	u32 start = at, len;
	unsigned i, b;

	for (i = 0; i < c->in && at < p->held; i++) {
		const struct iovec *v = &c->iov[c->out + i];

		len = (u32)MIN(v->iov_len, (size_t)(p->held - at));
		memcpy(v->iov_base, p->packet + at, len);
		for (b = 0; b < 2; b++)
			if (at <= H_BUFFERS + b && H_BUFFERS + b - at < len)
				s->buffers[b] = (u8 *)v->iov_base +
						(H_BUFFERS + b - at);
		at += len;
	}
	return at - start;
}

enum verdict { TAKEN, NO_BUFFER, NO_ROOM };

static enum verdict scatter(struct net *n, unsigned pair, struct scatter *s)
{
	struct net_pair *p = &n->pair[pair];
	struct virtio *v = &n->virtio;
	unsigned most = virtio_has(v, NET_F_MRG_RXBUF) ?
			v->queue[NET_RX(pair)].size : 1;
	u32 at = 0, len;

	/* Held are more bytes than a header has, so these are set below. */
	s->buffers[0] = s->buffers[1] = p->packet + H_BUFFERS;
	for (s->chains = 0; at < p->held; s->chains++) {
		if (s->chains == most)
			return NO_ROOM;
		if (!virtq_get(v, NET_RX(pair), &n->chain))
			return NO_BUFFER;
		len = copy_out(n, p, s, at);
		s->head[s->chains] = n->chain.head;
		s->len[s->chains] = len;
		at += len;
		if (!len) {
			s->chains++;
			virtio_break(v);	/* a chain with no buffer */
			return NO_ROOM;
		}
	}
	return TAKEN;
}

/* The packet we hold, to the driver; false: it has no buffers now. */
static bool deliver(struct net *n, unsigned pair)
{
	struct virtio *v = &n->virtio;
	enum verdict verdict;
	struct scatter s;
	unsigned i;

	verdict = scatter(n, pair, &s);
	if (verdict != TAKEN) {
		for (i = 0; i < s.chains; i++)
			virtq_unget(v, NET_RX(pair));
		/* One that can never fit is dropped. */
		return verdict == NO_ROOM;
	}
	*s.buffers[0] = (u8)s.chains;
	*s.buffers[1] = (u8)(s.chains >> 8);
	for (i = 0; i < s.chains; i++)
		virtq_put(v, NET_RX(pair), s.head[i], s.len[i]);
	return true;
}

/* A user network has ended: the link is down, and stays so. */
static void link_down(struct net *n)
{
	u8 *status = n->virtio.config + N_STATUS;

	if (!(get16(status) & STATUS_UP))
		return;
	put16(status, 0);
	virtio_config_changed(&n->virtio);
}

/* True: the tap may have more. */
static bool receive(struct net *n, unsigned pair)
{
	struct net_pair *p = &n->pair[pair];
	unsigned i;
	ssize_t len;

	for (i = 0; i < TURN; i++) {
		if (!p->held) {
			len = read(n->nic->fd[pair], p->packet,
				   sizeof(p->packet));
			if (len < 0 && errno == EINTR)
				continue;
			if (len < 0)
				return errno == EAGAIN;
			if (!len) {
				link_down(n);
				return false;
			}
			if (len <= NET_HEADER)
				continue;
			p->held = (u32)len;
		}
		if (!deliver(n, pair)) {
			if (virtq_wait(&n->virtio, NET_RX(pair)))
				continue;
			return false;
		}
		p->held = 0;
	}
	return true;
}

static void net_watch(struct net *n, unsigned pair, bool on)
{
	struct net_pair *p = &n->pair[pair];

	if (p->watching != on)
		board_watch(n->nic->fd[pair], on);
	p->watching = on;
}

void net_receive(struct net *n, unsigned pair)
{
	bool more = pair < n->active && virtio_runs(&n->virtio) &&
		    receive(n, pair);

	virtq_signal(&n->virtio, NET_RX(pair));
	/* Without buffers it waits until the driver rings the doorbell. */
	net_watch(n, pair, more);
}

/* ---- from the guest ---- */

/*
 * The headers are copied before they are looked at, and it is the copy that
 * goes out.
 */
static void transmit(struct net *n, unsigned pair)
{
	struct virtq_chain *c = &n->chain;
	u8 head[NET_HEADER + ETH_HEADER];
	struct iovec *iov = c->iov;
	unsigned count = c->out;

	if (c->in || c->out_len > NET_PACKET ||
	    !iov_take(&iov, &count, head, sizeof(head)))
		return;
	if (!n->nic->allow && memcmp(head + NET_HEADER + ETH_SOURCE,
				     n->nic->mac, NET_MAC))
		return;
	n->out[0] = (struct iovec){ head, sizeof(head) };
	memcpy(n->out + 1, iov, count * sizeof(*iov));
	while (writev(n->nic->fd[pair], n->out, (int)count + 1) < 0 &&
	       errno == EINTR)
		;
}

static void serve_tx(struct net *n, unsigned pair)
{
	struct virtio *v = &n->virtio;
	unsigned q = NET_TX(pair), taken = 0;

	while (virtq_next(v, q, &n->chain, &taken)) {
		transmit(n, pair);
		virtq_put(v, q, n->chain.head, 0);
	}
	virtq_signal(v, q);
}

/* ---- the control queue ---- */

/* It comes after those that the driver can know of. */
static unsigned control_queue(const struct net *n)
{
	return 2 * (virtio_has(&n->virtio, NET_F_MQ) ? n->nic->pairs : 1);
}

/*
 * A tap spreads packets over the queues that are attached.  Who serves them
 * in the kernel starts after that, and ends before a queue is detached.
 */
static void set_active(struct net *n, unsigned count)
{
	struct ifreq on = { .ifr_flags = IFF_ATTACH_QUEUE };
	struct ifreq off = { .ifr_flags = IFF_DETACH_QUEUE };
	unsigned i;

	n->active = count;
	if (n->nic->pairs == 1)
		return;
	/* Of one that is as it should be already it is an error. */
	for (i = 0; i < count; i++)
		ioctl(n->nic->fd[i], TUNSETQUEUE, &on);
	board_virtio(n->virtio.slot);
	for (i = count; i < n->nic->pairs; i++) {
		net_watch(n, i, false);
		n->pair[i].held = 0;
		ioctl(n->nic->fd[i], TUNSETQUEUE, &off);
	}
}

static u8 control_command(struct net *n)
{
	struct virtq_chain *c = &n->chain;
	struct iovec *iov = c->iov;
	unsigned count = c->out, pairs;
	u8 head[CTRL_HEAD], data[2];

	if (!iov_take(&iov, &count, head, sizeof(head)) ||
	    head[0] != CTRL_MQ || head[1] != MQ_PAIRS_SET ||
	    !virtio_has(&n->virtio, NET_F_MQ) ||
	    !iov_take(&iov, &count, data, sizeof(data)))
		return CTRL_ERR;
	pairs = get16(data);
	if (!pairs || pairs > n->nic->pairs)
		return CTRL_ERR;
	set_active(n, pairs);
	/* Buffers may be there already. */
	board_kick(n->virtio.slot);
	return CTRL_OK;
}

static void serve_control(struct net *n, unsigned queue)
{
	struct virtio *v = &n->virtio;
	struct virtq_chain *c = &n->chain;
	unsigned taken = 0;
	u16 head;

	while (virtq_next(v, queue, c, &taken)) {
		head = c->head;
		if (c->in) {
			u8 *ack = c->iov[c->out].iov_base;

			*ack = control_command(n);
		} else {
			virtio_break(v);	/* no place for an answer */
		}
		virtq_put(v, queue, head, 1);
	}
	virtq_signal(v, queue);
}

static void net_serve(struct virtio *v, unsigned queue)
{
	struct net *n = (struct net *)v;
	unsigned pair = queue / 2;

	if (virtio_has(v, F_CTRL_VQ) && queue == control_queue(n))
		serve_control(n, queue);
	else if (n->in_kernel || pair >= n->active)
		return;
	else if (queue == NET_TX(pair))
		serve_tx(n, pair);
	else
		net_receive(n, pair);
}

/* ---- set-up ---- */

/* What the tap may hand us, as the driver can take it. */
static void offload(struct net *n, u64 features)
{
	unsigned long flags = 0;

	if (features & F_GUEST_CSUM)
		flags |= TUN_F_CSUM;
	if (features & F_GUEST_TSO4)
		flags |= TUN_F_TSO4;
	if (features & F_GUEST_TSO6)
		flags |= TUN_F_TSO6;
	if (features & F_GUEST_ECN)
		flags |= TUN_F_TSO_ECN;
	/* Segmentation without checksums makes no sense: none then. */
	if (!(flags & TUN_F_CSUM))
		flags = 0;
	ioctl(n->nic->fd[0], TUNSETOFFLOAD, flags);
}

static void net_features(struct virtio *v)
{
	offload((struct net *)v, v->features);
}

static void net_reset(struct virtio *v)
{
	struct net *n = (struct net *)v;
	unsigned i;

	for (i = 0; i < n->nic->pairs; i++) {
		n->pair[i].held = 0;
		net_watch(n, i, false);
	}
	offload(n, 0);
	set_active(n, 1);
}

static const struct virtio_model net_model = {
	.id = VIRTIO_ID_NET,
	.class = CLASS_NIC,
	.features = net_features,
	.serve = net_serve,
	.reset = net_reset,
};

int net_init(struct net *n, const struct nic *nic, struct pci *pci,
	     const struct guest_mem *mem)
{
	struct virtio *v = &n->virtio;
	int err;

	memset(n, 0, sizeof(*n));
	n->nic = nic;
	v->queues = 2 * nic->pairs + (nic->pairs > 1);
	v->offered = F_MAC | NET_F_MRG_RXBUF | F_STATUS;
	if (nic->pairs > 1)
		v->offered |= F_CTRL_VQ | NET_F_MQ;
	/* A user network knows frames only, not what a header asks for. */
	if (!nic->user)
		v->offered |= F_CSUM | F_GUEST_CSUM | F_GUEST_TSO4 |
			      F_GUEST_TSO6 | F_GUEST_ECN | F_HOST_TSO4 |
			      F_HOST_TSO6 | F_HOST_ECN;
	v->config_len = N_LEN;
	memcpy(v->config + N_MAC, nic->mac, NET_MAC);
	put16(v->config + N_STATUS, STATUS_UP);
	put16(v->config + N_MAX_PAIRS, (u16)nic->pairs);
	offload(n, 0);
	err = virtio_init(v, &net_model, pci, mem);
	if (!err)
		set_active(n, 1);
	return err;
}
