/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_user.h -- the vhost-user protocol, as its front-end: what makes
 * another process, the back-end, serve a virtqueue.
 *
 * Each request waits for its answer.  The back-end reads images that others
 * have made, so nothing it says is taken as it is.
 */
#ifndef VM_VHOST_USER_H
#define VM_VHOST_USER_H

#include "guests/control/lib/util.h"

struct vhost_user {
	int fd;			/* the connection */
	bool acks;		/* each request is answered */
	const char *step;	/* what was asked last, for people */
};

/* Memory that the back-end is given: fd from its offset 0 on. */
struct vhost_user_region {
	int fd;
	u64 gpa, size;
	const void *at;		/* where we have it */
};
#define VHOST_USER_REGIONS	8

/* Split, with addresses where we have them. */
struct vhost_user_queue {
	const void *desc, *avail, *used;
	u16 size;
	int kick, call;		/* eventfds */
};

/*
 * All: 0, or -errno: EPROTO for an answer that is none, ETIMEDOUT, EOPNOTSUPP.
 * After an error the connection is good for nothing.
 */

/*
 * Features of the device: *features, in: those wanted, out: those of them that
 * it has and that are in use from now on.  Needed ones it must have.
 */
int vhost_user_start(struct vhost_user *u, u64 needed, u64 *features);
/* The first bytes of the device's configuration; a byte of it, written. */
int vhost_user_config(struct vhost_user *u, u8 *config, u32 len);
int vhost_user_config_set(struct vhost_user *u, u32 at, u8 value);
int vhost_user_memory(struct vhost_user *u,
		      const struct vhost_user_region *region, unsigned count);
/* Queue 0, which is served from now on. */
int vhost_user_queue(struct vhost_user *u, const struct vhost_user_queue *q);

#endif
