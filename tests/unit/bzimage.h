/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bzimage.h -- a Linux kernel's file, for who includes boot/image.c before.
 */
#ifndef TESTS_UNIT_BZIMAGE_H
#define TESTS_UNIT_BZIMAGE_H

static void store16(u8 *p, u16 v)
{
	memcpy(p, &v, sizeof(v));
}

/* A bzImage with one setup sector and a kernel of 4 KiB. */
#define BZ_LEN		(1024 + 4096)

static void bz_make(u8 *b)
{
	memset(b, 0, BZ_LEN);
	b[HDR_SETUP_SECTS] = 1;
	store32(b + HDR_SYSSIZE, 4096 / 16);
	store16(b + HDR_BOOT_FLAG, BOOT_FLAG);
	b[HDR_JUMP_LEN] = 0x6a;
	store32(b + HDR_MAGIC, MAGIC);
	store16(b + HDR_VERSION, 0x20f);
	b[HDR_LOADFLAGS] = 1;
	store32(b + HDR_INITRD_MAX, 0x7fffffff);
	store32(b + HDR_ALIGNMENT, 0x200000);
	b[HDR_RELOCATABLE] = 1;
	b[HDR_XLOADFLAGS] = 0x3f;
	store32(b + HDR_CMDLINE_SIZE, 2047);
	store32(b + HDR_PAYLOAD_OFFSET, 0x2c4);
	store32(b + HDR_PAYLOAD_LEN, 0x100);
	store64(b + HDR_PREF_ADDRESS, 0x1000000);
	store32(b + HDR_INIT_SIZE, 0x800000);
}

#endif
