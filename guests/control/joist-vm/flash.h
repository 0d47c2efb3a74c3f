/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flash.h -- a NOR flash memory with Intel's command set, 8 bits wide.
 *
 * While it is read as memory the guest reads without us; the first command
 * hides its bytes, and every access comes here until it is told to be memory
 * again.
 */
#ifndef VM_FLASH_H
#define VM_FLASH_H

#include "guests/control/lib/util.h"

#define FLASH_BLOCK	4096u		/* what an erase clears */

enum flash_mode {
	FLASH_ARRAY,			/* memory */
	FLASH_STATUS,
	FLASH_ID,
	FLASH_QUERY,
	FLASH_PROGRAM,			/* the next write is a byte to program */
	FLASH_ERASE,			/* the next write confirms */
	FLASH_LOCK,			/* the next write says what */
	FLASH_MODES
};

struct flash {
	u32 size;			/* whole blocks */
	u8 mode;			/* enum flash_mode */
	u8 status;
};

void flash_init(struct flash *f, u32 size);
/* bytes: what it holds, `size` of them. */
u8 flash_read(const struct flash *f, const u8 *bytes, u32 at);
void flash_write(struct flash *f, u8 *bytes, u32 at, u8 val);

#endif
