/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_blk.h -- a disk: a file or a block device, with the disk's bytes.
 */
#ifndef VM_VIRTIO_BLK_H
#define VM_VIRTIO_BLK_H

#include "io.h"
#include "virtio.h"

#define BLK_SECTOR	512u
#define BLK_SERIAL	20	/* longest serial number */
#define BLK_REQUESTS	64	/* of a disk, under way at the same time */

#define DISK_BACKINGS	8	/* files below an image, at most */

struct disk {
	const char *path;
	const char *format;	/* NULL: raw; else see storage.h */
	int fd;			/* with a format: to its daemon, or -1 */
	/* With a format: the image, and what it is on top of; the manager's. */
	struct disk_file {
		const char *path;
		int fd;
	} image, backing[DISK_BACKINGS];
	unsigned backings;
	bool read_only;
	bool cd;		/* in a CD drive, see virtio_scsi.h */
	char serial[BLK_SERIAL + 1];
	/* Of a block device; bytes. */
	struct disk_device {
		bool is;
		u32 discard;	/* units of a discard; 0: it has none */
		u32 block;	/* physical block, a power of two */
		u32 align;	/* where the first of them begins */
		u32 io_min, io_best;	/* sizes that suit it; 0: any */
	} device;
	u64 size;		/* bytes; what is over a sector is not used */
	unsigned segments;	/* buffers of a request, or 0: any number */
};

struct blk;

struct blk_request {
	struct io_op op;
	struct blk *blk;
	struct blk_request *next;	/* in the list of free ones */
	u16 queue;
	u8 *status;
	u32 written;		/* bytes the driver is told of */
	struct virtq_chain chain;
};

struct blk {
	struct virtio virtio;
	const struct disk *disk;
	struct vhost_blk *daemon;	/* serves the disk, or NULL: fd does */
	u64 sectors;
	bool stalled;		/* chains wait for a free request */
	struct blk_request *free;
	struct blk_request *kept;	/* failed, and wait for blk_retry() */
	struct blk_request request[BLK_REQUESTS];
};

int blk_init(struct blk *b, const struct disk *disk, unsigned queues,
	     struct pci *pci, const struct guest_mem *mem);
/* Once more what board_disk_error() has kept. */
void blk_retry(struct blk *b);

#endif
