/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image.h -- the control VM's kernel as a file: what it is, where it goes.
 */
#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include "core/types.h"

#define IMAGE_SEGMENTS		16

/* Linux's setup header, copied to the same offset of boot_params. */
#define LINUX_HEADER		0x1f1u
#define LINUX_HEADER_MAX	(0x290u - LINUX_HEADER)
#define LINUX_ENTRY_64		0x200u	/* of the 64-bit entry in the kernel */

enum image_kind {
	IMAGE_LINUX,			/* bzImage, 64-bit boot protocol */
	IMAGE_PVH,			/* ELF with a PVH entry */
};

struct image_linux {
	u16 version;			/* boot protocol, 0x20c at least */
	u32 header_len;			/* bytes at LINUX_HEADER, up to its MAX */
	u64 kernel_offset;		/* of the protected-mode kernel in the file */
	u64 kernel_len;			/* at most init_size, more than LINUX_ENTRY_64 */
	u64 pref_address;		/* where it wants to be */
	u32 init_size;			/* RAM it needs from there on */
	u32 alignment;			/* elsewhere: a power of two, 4 KiB at least */
	bool relocatable;		/* can be elsewhere at all */
	bool above_4g;			/* can everything else be above 4 GiB? */
	u32 payload_offset, payload_len;	/* compressed kernel in the kernel */
	u32 initrd_max;			/* highest address, unless above_4g */
	u32 cmdline_size;		/* characters it takes, without the NUL */
};

/* A segment's file bytes are in the file; memsz >= filesz, memsz > 0;
 * segments do not overlap and end at or below 2^52. */
struct image_segment {
	u64 offset, filesz;
	u64 paddr, memsz;
};

struct image {
	enum image_kind kind;
	struct image_linux linux_image;	/* IMAGE_LINUX */
	u32 entry;			/* IMAGE_PVH: in a segment's file bytes */
	u32 segments;			/* IMAGE_PVH: at least one */
	struct image_segment segment[IMAGE_SEGMENTS];
};

int image_probe(const void *img, size_t len, struct image *out,
		const char **why);

#endif
