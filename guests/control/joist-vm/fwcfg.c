/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fwcfg.c -- firmware configuration, after QEMU's "QEMU Firmware Configuration
 * (fw_cfg) Device".
 *
 * An item is a key with bytes; files are items that a directory names.  All
 * items are read-only.  What lies behind an item's end reads as zeros.
 */
#include <errno.h>
#include <string.h>

#include "fwcfg.h"

#define REG_SELECTOR	0
#define REG_DATA	1
#define REG_DMA_HIGH	4
#define REG_DMA_LOW	8

#define KEY_SIGNATURE	0x00
#define KEY_ID		0x01
#define KEY_RAM_SIZE	0x03
#define KEY_CPUS	0x05
#define KEY_MAX_CPUS	0x0f
#define KEY_DIR		0x19
#define KEY_FILE_FIRST	0x20

#define ID_PORTS	BIT(0)
#define ID_DMA		BIT(1)

#define DMA_SIGNATURE	0x51454d5520434647ull	/* "QEMU CFG" */
#define DMA_ERROR	BIT(0)
#define DMA_READ	BIT(1)
#define DMA_SKIP	BIT(2)
#define DMA_SELECT	BIT(3)
#define DMA_WRITE	BIT(4)
#define DMA_CONTROL	16		/* bytes of a request */

#define DIR_ENTRY	64

static u32 be32(u32 val)
{
	return __builtin_bswap32(val);
}

void fwcfg_init(struct fwcfg *f, unsigned vcpus, u64 memory)
{
	memset(f, 0, sizeof(*f));
	f->vcpus = (u16)vcpus;
	f->memory = memory;
}

int fwcfg_add(struct fwcfg *f, const char *name, const void *data, u32 size)
{
	struct fwcfg_file *file = &f->file[f->files];

	if (f->files == FWCFG_FILES || size > sizeof(f->data) - f->used ||
	    strlen(name) >= FWCFG_NAME)
		return -ENOSPC;
	memcpy(file->name, name, strlen(name));
	file->size = size;
	file->at = f->used;
	memcpy(f->data + f->used, data, size);
	f->used += size;
	f->files++;
	return 0;
}

/* A byte of the directory: a big-endian count, then an entry a file. */
static u8 dir_byte(const struct fwcfg *f, u32 at)
{
	u8 entry[DIR_ENTRY] = { 0 };
	const struct fwcfg_file *file;
	u32 i;

	if (at < 4)
		return (u8)(f->files >> (24 - 8 * at));
	i = (at - 4) / DIR_ENTRY;
	if (i >= f->files)
		return 0;
	file = &f->file[i];
	put32(entry, be32(file->size));
	entry[4] = (u8)((KEY_FILE_FIRST + i) >> 8);
	entry[5] = (u8)(KEY_FILE_FIRST + i);
	memcpy(entry + 8, file->name, FWCFG_NAME);
	return entry[(at - 4) % DIR_ENTRY];
}

static u8 number_byte(u64 val, u32 size, u32 at)
{
	return at < size ? (u8)(val >> 8 * at) : 0;
}

static u8 item_byte(const struct fwcfg *f, u32 at)
{
	u32 i;

	switch (f->key) {
	case KEY_SIGNATURE:
		return at < 4 ? (u8)"QEMU"[at] : 0;
	case KEY_ID:
		return number_byte(ID_PORTS | ID_DMA, 4, at);
	case KEY_RAM_SIZE:
		return number_byte(f->memory, 8, at);
	case KEY_CPUS:
	case KEY_MAX_CPUS:
		return number_byte(f->vcpus, 2, at);
	case KEY_DIR:
		return dir_byte(f, at);
	}
	i = (u32)f->key - KEY_FILE_FIRST;
	if (f->key < KEY_FILE_FIRST || i >= f->files || at >= f->file[i].size)
		return 0;
	return f->data[f->file[i].at + at];
}

static u8 next_byte(struct fwcfg *f)
{
	u8 byte = item_byte(f, f->offset);

	if (f->offset != ~0u)
		f->offset++;
	return byte;
}

static void item_skip(struct fwcfg *f, u32 len)
{
	f->offset = len > ~0u - f->offset ? ~0u : f->offset + len;
}

static void item_select(struct fwcfg *f, u16 key)
{
	f->key = key;
	f->offset = 0;
}

/* The request in guest memory is read once; its control word is the answer. */
static void dma(struct fwcfg *f, const struct guest_mem *mem)
{
	u8 *p = guest_ptr(mem, f->dma, DMA_CONTROL), *to, req[DMA_CONTROL];
	u32 control, len, i, answer = 0;
	u64 address;

	f->dma = 0;
	if (!p)
		return;
	memcpy(req, p, sizeof(req));
	control = be32(get32(req));
	len = be32(get32(req + 4));
	address = (u64)be32(get32(req + 8)) << 32 | be32(get32(req + 12));
	if (control & DMA_SELECT)
		item_select(f, (u16)(control >> 16));
	if (control & DMA_READ) {
		to = guest_ptr(mem, address, len);
		for (i = 0; to && i < len; i++)
			to[i] = next_byte(f);
		if (!to)
			answer = DMA_ERROR;
	} else if (control & DMA_WRITE) {
		answer = DMA_ERROR;
	} else if (control & DMA_SKIP) {
		item_skip(f, len);
	}
	put32(p, be32(answer));
}

u64 fwcfg_read(struct fwcfg *f, unsigned reg, unsigned size)
{
	u64 half;

	if (reg == REG_DATA && size == 1)
		return next_byte(f);
	if (reg < REG_DMA_HIGH)
		return 0;
	half = reg < REG_DMA_LOW ? DMA_SIGNATURE >> 32 : DMA_SIGNATURE;
	return be32((u32)half) >> 8 * (reg % 4);
}

void fwcfg_write(struct fwcfg *f, const struct guest_mem *mem, unsigned reg,
		 unsigned size, u64 val)
{
	if (reg == REG_SELECTOR && size == 2) {
		item_select(f, (u16)val);
	} else if (reg == REG_DMA_HIGH && size == 4) {
		f->dma = (u64)be32((u32)val) << 32;
	} else if (reg == REG_DMA_LOW && size == 4) {
		f->dma |= be32((u32)val);
		dma(f, mem);
	}
}
