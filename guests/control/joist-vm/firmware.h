/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * firmware.h -- a VM that starts as a PC does: at the reset vector, in
 * firmware that finds the disks itself.
 */
#ifndef VM_FIRMWARE_H
#define VM_FIRMWARE_H

#include "fwcfg.h"
#include "smbios.h"
#include "load.h"
#include "vm.h"

/* The image's end is at 4 GiB; its last 128 KiB are below 1 MiB too. */
#define FIRMWARE_END	(4 * GiB)
#define FIRMWARE_MIN	(64 * KiB)
#define FIRMWARE_MAX	(16 * MiB)

/* Something that firmware may boot from. */
struct boot_device {
	enum { BOOT_DISK, BOOT_CD, BOOT_NET } kind;
	unsigned slot;
};
#define BOOT_DEVICES	(VM_DISKS + VM_NICS)

/* 0, or -1 with the reason in l->error.  flash: room for the image. */
int firmware_load(struct load *l, u8 *flash, u64 flash_size);

/* The files firmware expects; coms as of acpi_build().  -ENOSPC. */
int firmware_files(struct fwcfg *f, const struct guest_mem *mem,
		   const struct smbios_vm *vm, unsigned coms);

/* What to try, first to last; count is at most BOOT_DEVICES.  -ENOSPC. */
int firmware_boot_order(struct fwcfg *f, const struct boot_device *device,
			unsigned count);

#endif
