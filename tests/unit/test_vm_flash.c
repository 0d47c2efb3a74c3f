/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_flash.c -- joist-vm's flash memory: what OVMF's driver does with it,
 * every command, and what must reach the file behind it, in which order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guests/control/joist-vm/flash.c"

#define SIZE	(132 * FLASH_BLOCK)	/* as OVMF's variables: no power of two */

static struct flash f;
static u8 bytes[SIZE], file[SIZE];
static bool shown, full;
static u32 stores, syncs, unsynced;

void board_flash_show(bool memory)
{
	/* Nobody reads what is not durable yet. */
	assert_true(!memory || !unsynced);
	shown = memory;
}

bool board_flash_store(u32 at, u32 len)
{
	assert_true(at <= SIZE && len <= SIZE - at);
	if (full)
		return false;
	memcpy(file + at, bytes + at, len);
	stores++;
	unsynced++;
	return true;
}

void board_flash_sync(void)
{
	syncs++;
	unsynced = 0;
}

static int start(void **state)
{
	(void)state;
	memset(bytes, 0xff, SIZE);
	memset(file, 0xff, SIZE);
	full = shown = false;
	stores = syncs = unsynced = 0;
	flash_init(&f, SIZE);
	assert_true(shown);
	return 0;
}

static u8 rd(u32 at)
{
	return flash_read(&f, bytes, at);
}

static void wr(u32 at, u8 val)
{
	flash_write(&f, bytes, at, val);
	assert_int_equal(shown, f.mode == FLASH_ARRAY);
	assert_memory_equal(bytes, file, SIZE);
}

/* OVMF's probe (QemuFlashDetected): neither RAM nor ROM. */
static void test_probe(void **state)
{
	(void)state;
	bytes[3] = file[3] = 0x42;
	wr(3, 0x50);
	assert_int_equal(rd(3), 0x42);
	wr(3, 0x70);
	assert_false(shown);
	assert_int_equal(rd(3), 0x00);
	wr(3, 0xff);
	assert_true(shown);
	assert_int_equal(rd(3), 0x42);
	assert_int_equal(stores, 0);
}

/* Bytes as its driver writes them: one command each, memory at the end. */
static void test_program(void **state)
{
	static const u8 text[] = "variable";
	u32 i;

	(void)state;
	for (i = 0; i < sizeof(text); i++) {
		wr(SIZE - 9 + i, i & 1 ? 0x10 : 0x40);
		assert_false(shown);
		wr(SIZE - 9 + i, text[i]);
		assert_int_equal(rd(0), 0x80);
	}
	assert_int_equal(syncs, 0);
	wr(0, 0xff);
	assert_int_equal(syncs, 1);
	assert_memory_equal(bytes + SIZE - 9, text, 9);
	/* Bits are only cleared, and nothing is stored that stays. */
	bytes[5] = file[5] = 0x0f;
	stores = 0;
	wr(5, 0x40);
	wr(5, 0x3c);
	wr(5, 0xff);
	assert_int_equal(bytes[5], 0x0c);
	assert_int_equal(stores, 1);
	wr(5, 0x40);
	wr(5, 0xfc);
	assert_int_equal(bytes[5], 0x0c);
	assert_int_equal(stores, 1);
}

static void test_erase(void **state)
{
	u32 at = 7 * FLASH_BLOCK;

	(void)state;
	memset(bytes + at - 8, 0, FLASH_BLOCK + 16);
	memset(file + at - 8, 0, FLASH_BLOCK + 16);
	wr(at + 5, 0x20);
	wr(at + 100, 0xd0);
	assert_int_equal(rd(at), 0x80);
	wr(0, 0xff);
	assert_int_equal(bytes[at - 1], 0);
	assert_int_equal(bytes[at], 0xff);
	assert_int_equal(bytes[at + FLASH_BLOCK - 1], 0xff);
	assert_int_equal(bytes[at + FLASH_BLOCK], 0);
	/* Not confirmed: a wrong sequence, and nothing is erased. */
	wr(at - 1, 0x20);
	wr(at - 1, 0xff);
	assert_int_equal(rd(0), 0x80 | 0x30);
	assert_int_equal(bytes[at - 1], 0);
	wr(0, 0x50);
	wr(0, 0x70);
	assert_int_equal(rd(0), 0);
	/* The last block. */
	wr(0, 0xff);
	wr(SIZE - 1, 0x20);
	wr(SIZE - 1, 0xd0);
	assert_int_equal(rd(0), 0x80);
}

/* What cannot be kept has not happened, and the status says so. */
static void test_no_room(void **state)
{
	(void)state;
	full = true;
	wr(0, 0x10);
	wr(0, 0x00);
	assert_int_equal(bytes[0], 0xff);
	assert_int_equal(rd(0), 0x80 | 0x10);
	wr(0, 0x50);
	bytes[1] = file[1] = 0;
	wr(0, 0x20);
	wr(0, 0xd0);
	assert_int_equal(bytes[1], 0);
	assert_int_equal(rd(0), 0x80 | 0x20);
}

static void test_query(void **state)
{
	u32 blocks;

	(void)state;
	wr(0x55, 0x98);
	assert_int_equal(rd(0x10), 'Q');
	assert_int_equal(rd(0x11), 'R');
	assert_int_equal(rd(0x12), 'Y');
	assert_int_equal(rd(0x13) | rd(0x14) << 8, 1);
	assert_true(1u << rd(0x27) >= SIZE && 1u << rd(0x27) < 2 * SIZE);
	assert_int_equal(rd(0x2a) | rd(0x2b) << 8, 0);
	assert_int_equal(rd(0x2c), 1);
	blocks = 1 + (u32)(rd(0x2d) | rd(0x2e) << 8);
	assert_int_equal(blocks * 256 * (u32)(rd(0x2f) | rd(0x30) << 8), SIZE);
	/* Its own table is where it says. */
	assert_int_equal(rd(rd(0x15)), 'P');
	assert_int_equal(rd(rd(0x15) + 2u), 'I');
	assert_int_equal(rd(0), 0);
	assert_int_equal(rd(0xff), 0);
	assert_int_equal(rd(SIZE - 1), 0);
	wr(0, 0x90);
	assert_int_equal(rd(0), 0x89);
	assert_int_equal(rd(1), 0x18);
	assert_int_equal(rd(2), 0);
	wr(0, 0x60);
	wr(0, 0xd0);
	assert_int_equal(rd(0), 0x80);
	/* Unknown commands, every one: memory again. */
	for (blocks = 0; blocks < 256; blocks++) {
		start(NULL);
		wr(0, (u8)blocks);
		assert_true(f.mode < FLASH_MODES);
		if (f.mode == FLASH_ARRAY)
			assert_int_equal(rd(9), 0xff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_probe, start),
		cmocka_unit_test_setup(test_program, start),
		cmocka_unit_test_setup(test_erase, start),
		cmocka_unit_test_setup(test_no_room, start),
		cmocka_unit_test_setup(test_query, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
