/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mb2.c -- Multiboot2 tag lists: good, cut short at every byte, hostile.
 *
 * Lists are handed over in heap blocks of exactly their size, so that the
 * address sanitizer sees a read past the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "boot/mb2.c"

struct list {
	u8 bytes[65536];
	u32 len;
};

static struct boot_info bi;
static const char *why;

static void put(struct list *l, const void *p, u32 n)
{
	assert_true(n <= sizeof(l->bytes) - l->len);
	memcpy(l->bytes + l->len, p, n);
	l->len += n;
}

static void put32(struct list *l, u32 v)
{
	put(l, &v, 4);
}

static void put64(struct list *l, u64 v)
{
	put(l, &v, 8);
}

static void begin(struct list *l)
{
	memset(l, 0xa5, sizeof(*l));
	l->len = 0;
	put64(l, 0);
}

static void put_tag(struct list *l, u32 type, const void *p, u32 n)
{
	l->len = ALIGN_UP(l->len, 8);
	put32(l, type);
	put32(l, n + 8);
	put(l, p, n);
}

static void finish(struct list *l)
{
	put_tag(l, TAG_END, "", 0);
	store32(l->bytes, l->len);
}

static int parse_n(const struct list *l, u32 mapped)
{
	u8 *copy = malloc(mapped ? mapped : 1);
	int err;

	memcpy(copy, l->bytes, mapped);
	why = NULL;
	err = mb2_parse(MB2_MAGIC, copy, mapped, &bi, &why);
	free(copy);
	if (err)
		assert_non_null(why);
	return err;
}

static int parse(struct list *l)
{
	finish(l);
	return parse_n(l, l->len);
}

static void refused(struct list *l, const char *text)
{
	assert_int_not_equal(parse(l), 0);
	assert_string_equal(why, text);
}

static void map_entry(struct list *body, u64 base, u64 len, u32 type)
{
	put64(body, base);
	put64(body, len);
	put32(body, type);
	put32(body, 0);
}

static void put_map(struct list *l)
{
	static struct list b;

	b.len = 0;
	put32(&b, 24);
	put32(&b, 0);
	map_entry(&b, 0, 0x9fc00, MEM_RAM);
	map_entry(&b, 0x100000, 0x3fe00000, MEM_RAM);
	map_entry(&b, 0x9fc00, 0x60400, MEM_RESERVED);
	put_tag(l, TAG_MEMORY_MAP, b.bytes, b.len);
}

static void put_module(struct list *l, u32 start, u32 end, const char *cmd)
{
	static struct list b;

	b.len = 0;
	put32(&b, start);
	put32(&b, end);
	put(&b, cmd, strlen(cmd) + 1);
	put_tag(l, TAG_MODULE, b.bytes, b.len);
}

static const u8 fb_rgb[] = {
	0, 0, 0, 0xe0, 0, 0, 0, 0,	/* 0xe0000000 */
	0, 0x10, 0, 0,			/* pitch 4096 */
	0, 4, 0, 0, 0, 3, 0, 0,		/* 1024 x 768 */
	32, 1, 0, 0, 16, 8, 8, 8, 0, 8,
};

static void put_all(struct list *l)
{
	static const u8 rsdp[RSDP_LEN_NEW] = "RSD PTR new";

	put_tag(l, TAG_CMDLINE, "console=com1 loglvl=3", 22);
	put_tag(l, 2, "GRUB 2.06", 10);
	put_map(l);
	put_module(l, 0x1000000, 0x1800000, "control quiet");
	put_module(l, 0x2000000, 0x2000000, "");
	put_tag(l, TAG_FRAMEBUFFER, fb_rgb, sizeof(fb_rgb));
	put_tag(l, TAG_EFI64, "\0\0\0\0\0\0\0", 8);
	put_tag(l, TAG_RSDP_NEW, rsdp, sizeof(rsdp));
	put_tag(l, TAG_RSDP_OLD, "RSD PTR old.........", 20);
	put_tag(l, TAG_LOAD_BASE, "\0\0\x20", 4);
	put_tag(l, 0xdeadbeef, "unknown", 7);
}

static void test_everything(void **state)
{
	static struct list l;
	(void)state;

	begin(&l);
	put_all(&l);
	assert_int_equal(parse(&l), 0);
	assert_string_equal(bi.cmdline, "console=com1 loglvl=3");
	assert_int_equal(bi.mem.count, 3);
	assert_int_equal(bi.mem.range[1].base, 0x9fc00);
	assert_int_equal(bi.mem.range[1].type, MEM_RESERVED);
	assert_int_equal(bi.mem.range[2].base, 0x100000);
	assert_int_equal(bi.mem.range[2].len, 0x3fe00000);
	assert_int_equal(bi.module_count, 2);
	assert_int_equal(bi.module[0].start, 0x1000000);
	assert_int_equal(bi.module[0].end, 0x1800000);
	assert_string_equal(bi.module[0].cmdline, "control quiet");
	assert_string_equal(bi.module[1].cmdline, "");
	assert_true(bi.has_screen);
	assert_int_equal(bi.screen.addr, 0xe0000000);
	assert_int_equal(bi.screen.pitch, 4096);
	assert_int_equal(bi.screen.width, 1024);
	assert_int_equal(bi.screen.height, 768);
	assert_int_equal(bi.screen.red.pos, 16);
	assert_int_equal(bi.screen.blue.size, 8);
	assert_true(bi.efi);
	assert_int_equal(bi.rsdp_len, 36);
	assert_memory_equal(bi.rsdp, "RSD PTR new", 11);
	assert_true(bi.has_load_base);
	assert_int_equal(bi.load_base, 0x200000);
}

static void test_least(void **state)
{
	static struct list l;
	(void)state;

	begin(&l);
	put_map(&l);
	assert_int_equal(parse(&l), 0);
	assert_string_equal(bi.cmdline, "");
	assert_int_equal(bi.module_count, 0);
	assert_int_equal(bi.rsdp_len, 0);
	assert_false(bi.has_screen || bi.has_load_base || bi.efi);
}

static void test_old_rsdp_alone(void **state)
{
	static struct list l;
	(void)state;

	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_RSDP_OLD, "RSD PTR old.........", 20);
	assert_int_equal(parse(&l), 0);
	assert_int_equal(bi.rsdp_len, 20);
}

static void test_new_rsdp_wins_when_second(void **state)
{
	static const u8 rsdp[RSDP_LEN_NEW] = "RSD PTR new";
	static struct list l;
	(void)state;

	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_RSDP_OLD, "RSD PTR old.........", 20);
	put_tag(&l, TAG_RSDP_NEW, rsdp, sizeof(rsdp));
	assert_int_equal(parse(&l), 0);
	assert_memory_equal(bi.rsdp, "RSD PTR new", 11);
}

static void test_magic(void **state)
{
	static struct list l;
	(void)state;

	begin(&l);
	put_map(&l);
	finish(&l);
	assert_int_equal(mb2_parse(0x2badb002, l.bytes, l.len, &bi, &why),
			 -EINVAL);
	assert_string_equal(why, "not started by a Multiboot2 boot loader");
}

static void test_every_truncation(void **state)
{
	static struct list l;
	u32 n, keep;
	(void)state;

	begin(&l);
	put_all(&l);
	finish(&l);
	keep = l.len;
	for (n = 0; n < keep; n++) {
		/* What is mapped ends early ... */
		store32(l.bytes, keep);
		assert_int_not_equal(parse_n(&l, n), 0);
		/* ... or the size says so. */
		if (n >= 4) {
			store32(l.bytes, n);
			assert_int_not_equal(parse_n(&l, n), 0);
		}
	}
}

static void test_size_fields(void **state)
{
	static const u32 sizes[] = { 0, 1, 7, 0x10000, 0x7fffffff, 0x80000000,
				     0xfffffff8, 0xffffffff };
	static struct list l;
	u32 i;
	(void)state;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		begin(&l);
		put_map(&l);
		finish(&l);
		store32(l.bytes, sizes[i]);
		assert_int_equal(parse_n(&l, l.len), -EINVAL);
		assert_string_equal(why, "the boot information has an impossible size");

		store32(l.bytes, l.len);
		store32(l.bytes + 12, sizes[i]);
		assert_int_equal(parse_n(&l, l.len), -EINVAL);
		assert_string_equal(why, "a Multiboot2 tag has an impossible size");
	}
}

static void test_no_end_tag(void **state)
{
	static struct list l;
	(void)state;

	begin(&l);
	put_map(&l);
	store32(l.bytes, l.len);
	assert_int_equal(parse_n(&l, l.len), -EINVAL);
	assert_string_equal(why, "the boot information has no end tag");
}

static void test_short_tags(void **state)
{
	static struct list l;
	u32 i;
	(void)state;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		begin(&l);
		put_map(&l);
		put_tag(&l, rows[i].type, l.bytes, rows[i].size - 9);
		refused(&l, rows[i].too_short);
	}
}

static void test_strings(void **state)
{
	static struct list l;
	static char text[4096];
	(void)state;

	memset(text, 'x', sizeof(text));
	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_CMDLINE, text, 5);
	refused(&l, "a command line does not end within its Multiboot2 tag");

	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_CMDLINE, text, 2048);
	refused(&l, "a command line does not end within its Multiboot2 tag");

	text[2048] = 0;
	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_CMDLINE, text, 2049);
	refused(&l, "a command line has more than 2047 characters");

	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_CMDLINE, text + 1, 2048);
	assert_int_equal(parse(&l), 0);
	assert_int_equal(strlen(bi.cmdline), 2047);

	text[2048] = 'x';
	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_MODULE, "\0\0\0\0\0\0\0\x01no end", 14);
	refused(&l, "a command line does not end within its Multiboot2 tag");
}

static void test_modules(void **state)
{
	static struct list l;
	u32 i;
	(void)state;

	begin(&l);
	put_map(&l);
	put_module(&l, 0x1001, 0x1000, "control");
	refused(&l, "a boot module ends before it begins");

	begin(&l);
	put_map(&l);
	for (i = 0; i < 8; i++)
		put_module(&l, 0x100000, 0xffffffff, "m");
	assert_int_equal(parse(&l), 0);
	assert_int_equal(bi.module_count, 8);
	l.len -= 8;
	put_module(&l, 0, 1, "m");
	refused(&l, "there are more than 8 boot modules");
}

static void test_memory_map_tag(void **state)
{
	static struct list l, b;
	u32 i;
	(void)state;

	begin(&l);
	refused(&l, "the boot loader gave no memory map");

	/* No entry, or only empty ones. */
	begin(&l);
	put_tag(&l, TAG_MEMORY_MAP, "\x18\0\0\0\0\0\0", 8);
	refused(&l, "the boot loader gave no memory map");

	for (i = 0; i < 24; i++) {
		b.len = 0;
		put32(&b, i);
		put32(&b, 0);
		map_entry(&b, 0, 4096, MEM_RAM);
		begin(&l);
		put_tag(&l, TAG_MEMORY_MAP, b.bytes, b.len);
		refused(&l, "the memory map has entries of an impossible size");
	}

	b.len = 0;
	put64(&b, 24);
	map_entry(&b, 0, 4096, MEM_RAM);
	put32(&b, 0);
	begin(&l);
	put_tag(&l, TAG_MEMORY_MAP, b.bytes, b.len);
	refused(&l, "the memory map ends in the middle of an entry");

	/* A later version's longer entries. */
	b.len = 0;
	put64(&b, 32);
	map_entry(&b, 0, 4096, MEM_RAM);
	put64(&b, ~0ull);
	map_entry(&b, 8192, 4096, MEM_ACPI);
	put64(&b, ~0ull);
	begin(&l);
	put_tag(&l, TAG_MEMORY_MAP, b.bytes, b.len);
	assert_int_equal(parse(&l), 0);
	assert_int_equal(bi.mem.count, 2);
	assert_int_equal(bi.mem.range[1].type, MEM_ACPI);

	b.len = 0;
	put64(&b, 24);
	for (i = 0; i < 512; i++)
		map_entry(&b, (600 - i) * 8192ull, 4096, MEM_RAM);
	begin(&l);
	put_tag(&l, TAG_MEMORY_MAP, b.bytes, b.len);
	assert_int_equal(parse(&l), 0);
	assert_int_equal(bi.mem.count, 512);
	map_entry(&b, 0, 4096, MEM_RAM);
	begin(&l);
	put_tag(&l, TAG_MEMORY_MAP, b.bytes, b.len);
	refused(&l, "the memory map has more than 512 ranges");
}

static void test_framebuffer(void **state)
{
	/* Its size, or a colour's place, contradicts itself. */
	static const struct { u8 at, val; } bad[] = {
		{ 8, 0 }, { 13, 5 }, { 13, 0 }, { 17, 0 }, { 7, 0xff }, { 20, 0 },
		{ 20, 16 }, { 24, 33 }, { 25, 17 }, { 29, 255 },
	};
	static const u8 ega[] = {
		0, 0x80, 0x0b, 0, 0, 0, 0, 0, 160, 0, 0, 0,
		80, 0, 0, 0, 25, 0, 0, 0, 16, 2, 0, 0,
	};
	static struct list l;
	u8 fb[sizeof(fb_rgb)];
	u32 i;
	(void)state;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(fb, fb_rgb, sizeof(fb));
		if (bad[i].at == 8)	/* pitch 0 */
			fb[9] = 0;
		fb[bad[i].at] = bad[i].val;
		begin(&l);
		put_map(&l);
		put_tag(&l, TAG_FRAMEBUFFER, fb, sizeof(fb));
		assert_int_equal(parse(&l), 0);
		assert_false(bi.has_screen);
	}

	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_FRAMEBUFFER, fb_rgb, sizeof(fb_rgb) - 1);
	assert_int_equal(parse(&l), 0);
	assert_false(bi.has_screen);

	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_FRAMEBUFFER, ega, sizeof(ega));
	assert_int_equal(parse(&l), 0);
	assert_int_equal(bi.screen.type, SCREEN_TEXT);
	assert_int_equal(bi.screen.addr, 0xb8000);
}

static void test_long_rsdp(void **state)
{
	static const u8 rsdp[65] = "RSD PTR ";
	static struct list l;
	(void)state;

	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_RSDP_NEW, rsdp, 64);
	assert_int_equal(parse(&l), 0);
	assert_int_equal(bi.rsdp_len, 64);
	begin(&l);
	put_map(&l);
	put_tag(&l, TAG_RSDP_NEW, rsdp, 65);
	refused(&l, "the RSDP has more than 64 bytes");
}

static void test_map_limits(void **state)
{
	static struct mem_map map;
	(void)state;

	map.count = 0;
	assert_int_equal(mem_map_add(&map, 0x1000, 0, MEM_RAM), 0);
	assert_int_equal(mem_map_add(&map, BIT(52), 0x1000, MEM_RAM), 0);
	assert_int_equal(mem_map_add(&map, ~0ull, ~0ull, MEM_RAM), 0);
	assert_int_equal(map.count, 0);

	/* The last byte there can be. */
	assert_int_equal(mem_map_add(&map, BIT(52) - 1, 1, MEM_RAM), 0);
	assert_int_equal(map.count, 1);
	assert_int_equal(map.range[0].type, MEM_RAM);

	/* RAM that never ends is no RAM. */
	assert_int_equal(mem_map_add(&map, 0x1000, ~0ull, MEM_RAM), 0);
	assert_int_equal(map.count, 1);
	assert_int_equal(map.range[0].base, 0x1000);
	assert_int_equal(map.range[0].len, BIT(52) - 0x1000);
	assert_int_equal(map.range[0].type, MEM_RESERVED);

	/* Types nobody has heard of. */
	map.count = 0;
	mem_map_add(&map, 0, 1, 0);
	mem_map_add(&map, 10, 1, 6);
	mem_map_add(&map, 20, 1, 0xffffffff);
	assert_int_equal(map.count, 3);
	assert_int_equal(map.range[0].type, MEM_RESERVED);
	assert_int_equal(map.range[2].type, MEM_RESERVED);
}

static void test_map_full(void **state)
{
	static struct mem_map map;
	u32 i;
	(void)state;

	map.count = 0;
	for (i = 0; i < MEM_RANGES; i++)
		assert_int_equal(mem_map_add(&map, i * 16, 8, MEM_RAM), 0);
	assert_int_equal(mem_map_add(&map, 8, 1, MEM_BAD), -ENOSPC);
	assert_int_equal(mem_map_add(&map, 2, 1, MEM_BAD), -ENOSPC);
	assert_int_equal(mem_map_add(&map, 0, 1, MEM_BAD), -ENOSPC);
	assert_int_equal(mem_map_add(&map, 7, 1, MEM_BAD), -ENOSPC);
	assert_int_equal(map.count, MEM_RANGES);
	/* What needs no room still works. */
	assert_int_equal(mem_map_add(&map, 0, 8, MEM_BAD), 0);
	assert_int_equal(map.range[0].type, MEM_BAD);
	assert_int_equal(mem_map_add(&map, 16, 8, MEM_RAM), 0);
	assert_int_equal(map.count, MEM_RANGES);
}

/* RAM that cannot be addressed is cut off; what else lies there stays. */
static void test_map_clip(void **state)
{
	static struct mem_map map;
	u32 i;
	(void)state;

	map.count = 0;
	assert_int_equal(mem_map_add(&map, 0, 100, MEM_RAM), 0);
	assert_int_equal(mem_map_add(&map, 200, 100, MEM_RAM), 0);
	assert_int_equal(mem_map_add(&map, 300, 50, MEM_NVS), 0);
	assert_int_equal(mem_map_add(&map, 400, 100, MEM_RAM), 0);
	assert_int_equal(mem_map_clip(&map, 500), 0);
	assert_int_equal(map.count, 4);
	assert_int_equal(mem_map_clip(&map, 250), 150);
	assert_int_equal(map.count, 5);
	assert_true(mem_map_is_ram(&map, 200, 250));
	assert_false(mem_map_is_ram(&map, 200, 251));
	assert_false(mem_map_is_ram(&map, 400, 401));
	assert_int_equal(map.range[3].type, MEM_NVS);
	assert_int_equal(map.range[4].type, MEM_RESERVED);
	/* No room to cut one in two: none of it is used. */
	map.count = 0;
	for (i = 0; i < MEM_RANGES; i++)
		assert_int_equal(mem_map_add(&map, i * 16, 8, MEM_RAM), 0);
	assert_int_equal(mem_map_clip(&map, 20), 8 * (MEM_RANGES - 1));
	assert_false(mem_map_is_ram(&map, 16, 17));
	assert_true(mem_map_is_ram(&map, 0, 8));
}

static void test_map_bad(void **state)
{
	static struct mem_map map;
	(void)state;

	map.count = 0;
	assert_int_equal(mem_map_add(&map, 100, 100, MEM_ACPI), 0);
	assert_int_equal(mem_map_add(&map, 200, 100, MEM_NVS), 0);
	assert_int_equal(mem_map_add(&map, 400, 100, MEM_BAD), 0);
	/* Over a border, and in a hole: firmware may know better. */
	assert_true(mem_map_not_bad(&map, 150, 250));
	assert_true(mem_map_not_bad(&map, 290, 400));
	assert_true(mem_map_not_bad(&map, 500, 600));
	assert_false(mem_map_not_bad(&map, 390, 401));
	assert_false(mem_map_not_bad(&map, 450, 460));
	assert_false(mem_map_not_bad(&map, 499, 600));
}

/* Against a map of one type a byte, painted by the rule. */
static void test_map_model(void **state)
{
	static const u32 by_rank[] = { MEM_RAM, MEM_ACPI, MEM_NVS,
				       MEM_RESERVED, MEM_BAD };
	static struct mem_map map;
	u8 model[64];		/* rank + 1, 0: nothing */
	u32 round, i, k, n, rank, base, len;
	(void)state;

	srand(1);
	for (round = 0; round < 20000; round++) {
		map.count = 0;
		memset(model, 0, sizeof(model));
		n = rand() % 12;
		for (i = 0; i < n; i++) {
			base = rand() % 64;
			len = rand() % (65 - base);
			rank = rand() % 5;
			assert_int_equal(mem_map_add(&map, base, len,
						     by_rank[rank]), 0);
			for (k = base; k < base + len; k++)
				model[k] = MAX(model[k], rank + 1);
		}
		for (i = k = 0; k < 64; ) {
			if (!model[k]) {
				k++;
				continue;
			}
			assert_true(i < map.count);
			assert_int_equal(map.range[i].base, k);
			assert_int_equal(map.range[i].type,
					 by_rank[model[k] - 1]);
			for (base = k; k < 64 && model[k] == model[base]; k++)
				;
			assert_int_equal(map.range[i].len, k - base);
			i++;
		}
		assert_int_equal(i, map.count);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_old_rsdp_alone),
		cmocka_unit_test(test_new_rsdp_wins_when_second),
		cmocka_unit_test(test_magic),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_size_fields),
		cmocka_unit_test(test_no_end_tag),
		cmocka_unit_test(test_short_tags),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_memory_map_tag),
		cmocka_unit_test(test_framebuffer),
		cmocka_unit_test(test_long_rsdp),
		cmocka_unit_test(test_map_limits),
		cmocka_unit_test(test_map_full),
		cmocka_unit_test(test_map_clip),
		cmocka_unit_test(test_map_bad),
		cmocka_unit_test(test_map_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
