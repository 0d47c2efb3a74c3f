/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vm_flash.c -- any sequence of accesses to the flash memory: the file
 * behind it is what it holds, it is memory exactly when it says so, and bits
 * that are clear are set by an erase only.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guests/control/joist-vm/flash.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE	(3 * FLASH_BLOCK)

static u8 bytes[SIZE], file[SIZE], before[SIZE];
static bool shown, broken;
static u32 stored, unsynced;

static void must(bool ok)
{
	if (!ok)
		abort();
}

void board_flash_show(bool memory)
{
	must(!memory || !unsynced);
	shown = memory;
}

bool board_flash_store(u32 at, u32 len)
{
	must(at < SIZE && len && len <= SIZE - at);
	if (broken)
		return false;
	memcpy(file + at, bytes + at, len);
	stored += len;
	unsynced++;
	return true;
}

void board_flash_sync(void)
{
	unsynced = 0;
}

/* Four bytes an access: place, value, whether it is a read or the file is full. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct flash f;
	u32 at, i;

	memset(bytes, 0xa5, SIZE);
	memset(file, 0xa5, SIZE);
	unsynced = 0;
	flash_init(&f, SIZE);
	for (; size >= 4; data += 4, size -= 4) {
		at = (u32)(data[0] | data[1] << 8) % SIZE;
		broken = data[3] & 2;
		stored = 0;
		if (data[3] & 1) {
			flash_read(&f, bytes, at);
		} else {
			memcpy(before, bytes, SIZE);
			flash_write(&f, bytes, at, data[2]);
		}
		must(f.mode < FLASH_MODES && shown == (f.mode == FLASH_ARRAY));
		must(!memcmp(bytes, file, SIZE));
		must(!(data[3] & 1) || !stored);
		for (i = 0; stored == 1 && i < SIZE; i++)
			must(!(bytes[i] & ~before[i]));
	}
	return 0;
}
