/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_scsi.h -- a CD drive: a SCSI host with one target, and an image in it
 * that is only read.
 */
#ifndef VM_VIRTIO_SCSI_H
#define VM_VIRTIO_SCSI_H

#include "io.h"
#include "virtio.h"
#include "virtio_blk.h"

#define CD_SECTOR	2048u
#define CD_REQUESTS	16	/* under way at the same time */
#define SCSI_SENSE	96	/* bytes of an answer, by virtio's default */
#define SCSI_ANSWER	(12 + SCSI_SENSE)

struct cd;

struct cd_request {
	struct io_op op;
	struct cd *cd;
	struct cd_request *next;	/* in the list of free ones */
	u16 queue;
	u32 written;			/* data, without the answer */
	struct iovec answer[SCSI_ANSWER];
	unsigned answers;
	struct virtq_chain chain;
};

struct cd {
	struct virtio virtio;
	const struct disk *disk;
	struct vhost_blk *daemon;	/* serves it, or NULL: fd does */
	u32 sectors;
	unsigned busy;			/* requests that read */
	bool stalled;			/* chains wait for a free request */
	struct cd_request *free;
	struct cd_request request[CD_REQUESTS];
};

/* Of the disk nothing but fd, size, segments and serial is used. */
int cd_init(struct cd *cd, const struct disk *disk, struct pci *pci,
	    const struct guest_mem *mem);

#endif
