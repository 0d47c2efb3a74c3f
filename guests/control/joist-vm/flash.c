/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flash.c -- a NOR flash memory, after JEDEC's "Common Flash Interface (CFI)"
 * and Intel's data sheet "StrataFlash Memory", "Command Definitions"; without
 * write buffer and block locks.
 *
 * Where the two leave room, it is as QEMU's "cfi.pflash01", the one OVMF was
 * written for: blocks of 4 KiB; Clear Status clears the ready bit as well, by
 * which OVMF tells a flash from RAM and ROM, and goes back to memory; so does a
 * command that is not known.
 */
#include <string.h>

#include "board.h"
#include "flash.h"

#define CMD_PROGRAM_ALT	0x10
#define CMD_ERASE	0x20
#define CMD_PROGRAM	0x40
#define CMD_CLEAR	0x50
#define CMD_LOCK	0x60
#define CMD_STATUS	0x70
#define CMD_ID		0x90
#define CMD_QUERY	0x98
#define CMD_CONFIRM	0xd0

#define STATUS_READY	BIT(7)
#define STATUS_ERASE	BIT(5)		/* both: a wrong sequence of commands */
#define STATUS_PROGRAM	BIT(4)

#define ERASED		0xff

static const u8 ids[] = { 0x89, 0x18 };	/* Intel, a StrataFlash */

/* CFI, "Query Structure Output"; the size's two places are filled in. */
#define QUERY_FIRST	0x10
#define QUERY_SIZE	0x27		/* log2 of the bytes */
#define QUERY_BLOCKS	0x2d		/* less one */
static const u8 query[] = {
	'Q', 'R', 'Y', 0x01, 0x00,		/* Intel's command set */
	0x31, 0x00, 0, 0, 0, 0,			/* its own table's place */
	0x45, 0x55, 0, 0,			/* 4.5 V to 5.5 V, no VPP */
	7, 0, 10, 0, 4, 0, 4, 0,		/* 2^n us a byte, ms a block */
	0, 0, 0,				/* size; 8 bits wide */
	0, 0,					/* no write buffer */
	1, 0, 0, FLASH_BLOCK >> 8 & 0xff, FLASH_BLOCK >> 16,
	'P', 'R', 'I', '1', '0', 0, 0, 0, 0, 0, 0, 0, 0x50, 0,
};

void flash_init(struct flash *f, u32 size)
{
	memset(f, 0, sizeof(*f));
	f->size = size;
	board_flash_show(true);
}

static u8 query_byte(const struct flash *f, u32 at)
{
	u32 blocks = f->size / FLASH_BLOCK - 1;

	switch (at) {
	case QUERY_SIZE:
		return (u8)(32 - __builtin_clz(f->size - 1));
	case QUERY_BLOCKS:
		return (u8)blocks;
	case QUERY_BLOCKS + 1:
		return (u8)(blocks >> 8);
	}
	at -= QUERY_FIRST;
	return at < sizeof(query) ? query[at] : 0;
}

u8 flash_read(const struct flash *f, const u8 *bytes, u32 at)
{
	switch (f->mode) {
	case FLASH_ARRAY:
		return bytes[at];
	case FLASH_ID:
		return at % 256 < sizeof(ids) ? ids[at % 256] : 0;
	case FLASH_QUERY:
		return query_byte(f, at % 256);
	default:
		return f->status;
	}
}

static void enter(struct flash *f, enum flash_mode mode)
{
	bool was_memory = f->mode == FLASH_ARRAY, memory = mode == FLASH_ARRAY;

	f->mode = (u8)mode;
	if (memory == was_memory)
		return;
	if (memory)
		board_flash_sync();
	board_flash_show(memory);
}

/* Programming clears bits, only erasing sets them. */
static void program(struct flash *f, u8 *bytes, u32 at, u8 val)
{
	u8 old = bytes[at];

	bytes[at] &= val;
	f->status |= STATUS_READY;
	if (bytes[at] != old && !board_flash_store(at, 1)) {
		bytes[at] = old;
		f->status |= STATUS_PROGRAM;
	}
}

static void erase(struct flash *f, u8 *bytes, u32 at)
{
	u8 old[FLASH_BLOCK];

	at -= at % FLASH_BLOCK;
	memcpy(old, bytes + at, FLASH_BLOCK);
	memset(bytes + at, ERASED, FLASH_BLOCK);
	f->status |= STATUS_READY;
	if (!board_flash_store(at, FLASH_BLOCK)) {
		memcpy(bytes + at, old, FLASH_BLOCK);
		f->status |= STATUS_ERASE;
	}
}

static void command(struct flash *f, u8 val)
{
	switch (val) {
	case CMD_PROGRAM:
	case CMD_PROGRAM_ALT:
		enter(f, FLASH_PROGRAM);
		break;
	case CMD_ERASE:
		enter(f, FLASH_ERASE);
		break;
	case CMD_LOCK:
		enter(f, FLASH_LOCK);
		break;
	case CMD_STATUS:
		enter(f, FLASH_STATUS);
		break;
	case CMD_ID:
		enter(f, FLASH_ID);
		break;
	case CMD_QUERY:
		enter(f, FLASH_QUERY);
		break;
	case CMD_CLEAR:
		f->status = 0;
		enter(f, FLASH_ARRAY);
		break;
	default:
		enter(f, FLASH_ARRAY);
	}
}

void flash_write(struct flash *f, u8 *bytes, u32 at, u8 val)
{
	switch (f->mode) {
	case FLASH_PROGRAM:
		program(f, bytes, at, val);
		enter(f, FLASH_STATUS);
		break;
	case FLASH_ERASE:
		if (val == CMD_CONFIRM)
			erase(f, bytes, at);
		else
			f->status |= STATUS_READY | STATUS_ERASE |
				     STATUS_PROGRAM;
		enter(f, FLASH_STATUS);
		break;
	case FLASH_LOCK:
		/* There are no locks: that always works. */
		f->status |= STATUS_READY;
		enter(f, FLASH_STATUS);
		break;
	default:
		command(f, val);
	}
}
