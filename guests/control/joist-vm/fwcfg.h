/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fwcfg.h -- QEMU's firmware configuration device, as SeaBIOS and OVMF look
 * for it: named files that firmware reads, by port or by DMA.
 */
#ifndef VM_FWCFG_H
#define VM_FWCFG_H

#include "load.h"

#define FWCFG_BASE	0x510
#define FWCFG_LEN	12
#define FWCFG_FILES	12
#define FWCFG_NAME	56

struct fwcfg_file {
	char name[FWCFG_NAME];
	u32 size;
	u32 at;			/* in data[] */
};

struct fwcfg {
	u16 key;		/* selected item ... */
	u32 offset;		/* ... and the next byte of it */
	u64 dma;		/* address register */
	u16 vcpus;
	u64 memory;
	u32 files;
	u32 used;		/* bytes of data[] */
	struct fwcfg_file file[FWCFG_FILES];
	u8 data[128 * KiB];
};

void fwcfg_init(struct fwcfg *f, unsigned vcpus, u64 memory);

/* -ENOSPC: no room; before the guest runs. */
int fwcfg_add(struct fwcfg *f, const char *name, const void *data, u32 size);

/* Ports FWCFG_BASE..; a write may be a DMA into or out of guest memory. */
u64 fwcfg_read(struct fwcfg *f, unsigned reg, unsigned size);
void fwcfg_write(struct fwcfg *f, const struct guest_mem *mem, unsigned reg,
		 unsigned size, u64 val);

#endif
