/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_image.c -- kernels as files: good, cut short at every byte, hostile.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "boot/image.c"
#include "tests/unit/bzimage.h"

static struct image im;
static const char *why;

/* In a heap block of exactly len bytes, for the address sanitizer. */
static int probe(const u8 *img, size_t len)
{
	u8 *copy = malloc(len ? len : 1);
	int err;

	memcpy(copy, img, len);
	why = NULL;
	err = image_probe(copy, len, &im, &why);
	free(copy);
	if (err) {
		assert_int_equal(err, -EINVAL);
		assert_non_null(why);
	}
	return err;
}

static void refused(const u8 *img, size_t len, const char *text)
{
	assert_int_not_equal(probe(img, len), 0);
	assert_string_equal(why, text);
}

static void test_linux(void **state)
{
	u8 b[BZ_LEN];
	(void)state;

	bz_make(b);
	assert_int_equal(probe(b, BZ_LEN), 0);
	assert_int_equal(im.kind, IMAGE_LINUX);
	assert_int_equal(im.linux_image.version, 0x20f);
	assert_int_equal(im.linux_image.header_len, 0x26c - 0x1f1);
	assert_int_equal(im.linux_image.kernel_offset, 1024);
	assert_int_equal(im.linux_image.kernel_len, 4096);
	assert_int_equal(im.linux_image.pref_address, 0x1000000);
	assert_int_equal(im.linux_image.init_size, 0x800000);
	assert_int_equal(im.linux_image.alignment, 0x200000);
	assert_true(im.linux_image.relocatable);
	assert_true(im.linux_image.above_4g);
	assert_int_equal(im.linux_image.payload_offset, 0x2c4);
	assert_int_equal(im.linux_image.payload_len, 0x100);
	assert_int_equal(im.linux_image.initrd_max, 0x7fffffff);
	assert_int_equal(im.linux_image.cmdline_size, 2047);

	/* 0 setup sectors are 4. */
	b[HDR_SETUP_SECTS] = 0;
	store32(b + HDR_SYSSIZE, (BZ_LEN - 2560) / 16);
	assert_int_equal(probe(b, BZ_LEN), 0);
	assert_int_equal(im.linux_image.kernel_offset, 2560);
}

static void test_linux_truncated(void **state)
{
	u8 b[BZ_LEN];
	u32 n;
	(void)state;

	bz_make(b);
	for (n = 0; n < BZ_LEN; n++)
		assert_int_not_equal(probe(b, n), 0);
	refused(b, 0, "the kernel image is empty");
	refused(b, 0x267, "the Linux kernel is truncated in its header");
	refused(b, BZ_LEN - 1, "the Linux kernel is truncated");
}

static void test_linux_bad(void **state)
{
	static const struct { u32 at, size; u64 val; const char *text; } bad[] = {
		{ HDR_BOOT_FLAG, 2, 0, "the kernel image is neither a Linux bzImage nor an ELF file" },
		{ HDR_MAGIC, 4, 0, "the kernel image is neither a Linux bzImage nor an ELF file" },
		{ HDR_VERSION, 2, 0x20b, "the Linux kernel's boot protocol is older than 2.12" },
		{ HDR_VERSION, 2, 0, "the Linux kernel's boot protocol is older than 2.12" },
		{ HDR_JUMP_LEN, 1, 0x65, "the Linux kernel's header has an impossible length" },
		{ HDR_JUMP_LEN, 1, 0x8f, "the Linux kernel's header has an impossible length" },
		{ HDR_XLOADFLAGS, 2, 0x3e, "the Linux kernel is not a 64-bit one" },
		{ HDR_LOADFLAGS, 1, 0, "the Linux kernel is a zImage, not a bzImage" },
		{ HDR_SETUP_SECTS, 1, 255, "the Linux kernel is truncated" },
		{ HDR_SYSSIZE, 4, 257, "the Linux kernel is truncated" },
		{ HDR_SYSSIZE, 4, 0xffffffff, "the Linux kernel is truncated" },
		{ HDR_INIT_SIZE, 4, 0, "the Linux kernel asks for less memory than it has bytes" },
		{ HDR_INIT_SIZE, 4, 4095, "the Linux kernel asks for less memory than it has bytes" },
		{ HDR_PREF_ADDRESS, 8, ~0ull, "the Linux kernel's preferred address is impossible" },
		{ HDR_PREF_ADDRESS, 8, BIT(52), "the Linux kernel's preferred address is impossible" },
		{ HDR_ALIGNMENT, 4, 0, "the Linux kernel's alignment is impossible" },
		{ HDR_ALIGNMENT, 4, 2048, "the Linux kernel's alignment is impossible" },
		{ HDR_ALIGNMENT, 4, 0x300000, "the Linux kernel's alignment is impossible" },
		{ HDR_PAYLOAD_OFFSET, 4, 4097, "the Linux kernel's payload is outside the file" },
		{ HDR_PAYLOAD_OFFSET, 4, 0xffffffff, "the Linux kernel's payload is outside the file" },
		{ HDR_PAYLOAD_LEN, 4, 0xffffffff, "the Linux kernel's payload is outside the file" },
	};
	u8 b[BZ_LEN];
	u32 i;
	(void)state;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		bz_make(b);
		memcpy(b + bad[i].at, &bad[i].val, bad[i].size);
		refused(b, BZ_LEN, bad[i].text);
	}
}

/* Debian's kernels, where some are installed. */
static void test_linux_real(void **state)
{
	glob_t g;
	size_t i, len;
	u8 *b;
	FILE *f;
	(void)state;

	if (glob("/boot/vmlinuz-*", 0, NULL, &g))
		skip();
	b = malloc(64 * MiB);
	for (i = 0; i < g.gl_pathc; i++) {
		f = fopen(g.gl_pathv[i], "r");
		if (!f)
			continue;
		len = fread(b, 1, 64 * MiB, f);
		fclose(f);
		assert_int_equal(probe(b, len), 0);
		assert_int_equal(im.kind, IMAGE_LINUX);
		assert_int_equal(probe(b, len / 2), -EINVAL);
		assert_string_equal(why, "the Linux kernel is truncated");
	}
	free(b);
	globfree(&g);
}

/* An ELF file: header, 4 program headers, a note, 2 segments' bytes. */
#define ELF_LEN		0x400
#define ELF_PHDRS	0x40
#define ELF_NOTE	0x200
#define ELF_DATA_1	0x240
#define ELF_DATA_2	0x340

static const struct elf_class *cls;	/* of the file being made */

static void put_word(u8 *p, u64 v)
{
	if (cls->wide)
		store64(p, v);
	else
		store32(p, v);
}

static u8 *phdr_at(u8 *b, u32 i)
{
	return b + ELF_PHDRS + i * cls->phdr;
}

static void put_phdr(u8 *b, u32 i, u32 type, u64 offset, u64 filesz, u64 paddr,
		     u64 memsz, u64 align)
{
	u8 *p = phdr_at(b, i);

	store32(p, type);
	put_word(p + cls->offset, offset);
	put_word(p + cls->filesz, filesz);
	put_word(p + cls->paddr, paddr);
	put_word(p + cls->memsz, memsz);
	put_word(p + cls->align, align);
}

static u32 put_note(u8 *p, const char *name, u32 type, u64 desc, u32 descsz)
{
	store32(p, strlen(name) + 1);
	store32(p + 4, descsz);
	store32(p + 8, type);
	memcpy(p + 12, name, strlen(name) + 1);
	memcpy(p + ALIGN_UP(12 + strlen(name) + 1, 4), &desc, descsz);
	return ALIGN_UP(ALIGN_UP(12 + strlen(name) + 1, 4) + descsz, 4);
}

static void elf_make(u8 *b, const struct elf_class *c)
{
	u32 n;

	cls = c;
	memset(b, 0, ELF_LEN);
	store32(b, ELF_MAGIC);
	b[ELF_CLASS] = c->wide ? ELFCLASS64 : ELFCLASS32;
	b[ELF_DATA] = ELFDATA2LSB;
	store16(b + 16, ET_EXEC);
	store16(b + 18, c->wide ? EM_X86_64 : EM_386);
	put_word(b + c->phoff, ELF_PHDRS);
	store16(b + c->phentsize, c->phdr);
	store16(b + c->phnum, 4);
	n = put_note(b + ELF_NOTE, "GNU", 3, 0x1234, 8);
	n += put_note(b + ELF_NOTE + n, "Xen", 18, 0x100010, c->wide ? 8 : 4);
	put_phdr(b, 0, PT_LOAD, ELF_DATA_1, 0x100, 0x100000, 0x1000, 4096);
	put_phdr(b, 1, PT_LOAD, ELF_DATA_2, 0xc0, 0x101000, 0x2000, 4096);
	put_phdr(b, 2, PT_NOTE, ELF_NOTE, n, 0, n, 4);
	put_phdr(b, 3, PT_LOAD, 0, 0, 0, 0, 0);
}

static void test_elf(void **state)
{
	static const struct elf_class *const both[] = { &elf32, &elf64 };
	u8 b[ELF_LEN];
	u32 i;
	(void)state;

	for (i = 0; i < 2; i++) {
		elf_make(b, both[i]);
		assert_int_equal(probe(b, ELF_LEN), 0);
		assert_int_equal(im.kind, IMAGE_PVH);
		assert_int_equal(im.entry, 0x100010);
		assert_int_equal(im.segments, 2);
		assert_int_equal(im.segment[0].offset, ELF_DATA_1);
		assert_int_equal(im.segment[0].filesz, 0x100);
		assert_int_equal(im.segment[0].paddr, 0x100000);
		assert_int_equal(im.segment[0].memsz, 0x1000);
		assert_int_equal(im.segment[1].offset, ELF_DATA_2);
		assert_int_equal(im.segment[1].memsz, 0x2000);

		store16(b + 16, ET_DYN);
		assert_int_equal(probe(b, ELF_LEN), 0);
	}
	/* 64-bit code in a 32-bit file is usual among PVH kernels. */
	elf_make(b, &elf32);
	store16(b + 18, EM_X86_64);
	assert_int_equal(probe(b, ELF_LEN), 0);
}

static void test_elf_truncated(void **state)
{
	u8 b[ELF_LEN];
	u32 n;
	(void)state;

	elf_make(b, &elf32);
	for (n = 0; n < ELF_LEN; n++)
		assert_int_not_equal(probe(b, n), 0);
	elf_make(b, &elf64);
	for (n = 0; n < ELF_LEN; n++)
		assert_int_not_equal(probe(b, n), 0);
	refused(b, 20, "the ELF file is truncated in its header");
	refused(b, 63, "the ELF file is truncated in its header");
	refused(b, 0x100, "the ELF file is truncated in its program headers");
	refused(b, ELF_LEN - 1, "an ELF segment is outside the file");
}

static void test_elf_header(void **state)
{
	static const struct { u32 at, size; u64 val; const char *text; } bad[] = {
		{ 4, 1, 0, "the ELF file is not for x86" },
		{ 4, 1, 3, "the ELF file is not for x86" },
		{ 5, 1, 2, "the ELF file is not for x86" },
		{ 18, 2, EM_386, "the ELF file is not for x86" },
		{ 18, 2, 183, "the ELF file is not for x86" },
		{ 16, 2, 1, "the ELF file is not executable" },
		{ 16, 2, 4, "the ELF file is not executable" },
		{ 56, 2, 0, "the ELF file has no program headers" },
		{ 56, 2, 129, "the ELF file has more than 128 program headers" },
		{ 56, 2, 128, "the ELF file is truncated in its program headers" },
		{ 54, 2, 32, "the ELF file's program headers have an impossible size" },
		{ 32, 8, ~0ull, "the ELF file is truncated in its program headers" },
		{ 32, 8, ELF_LEN, "the ELF file is truncated in its program headers" },
		{ 32, 8, ELF_LEN + 1, "the ELF file is truncated in its program headers" },
	};
	u8 b[ELF_LEN];
	u32 i;
	(void)state;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		elf_make(b, &elf64);
		memcpy(b + bad[i].at, &bad[i].val, bad[i].size);
		refused(b, ELF_LEN, bad[i].text);
	}
}

static void test_elf_segments(void **state)
{
	static const struct {
		u64 offset, filesz, paddr, memsz;
		const char *text;
	} bad[] = {
		{ ~0ull, 1, 0, 1, "an ELF segment is outside the file" },
		{ 1, ~0ull, 0, ~0ull, "an ELF segment is outside the file" },
		{ ELF_LEN + 1, 0, 0, 1, "an ELF segment is outside the file" },
		{ ELF_LEN, 1, 0, 1, "an ELF segment is outside the file" },
		{ 0, 2, 0, 1, "an ELF segment has more bytes than memory" },
		{ 0, 1, ~0ull, 1, "an ELF segment's address is impossible" },
		{ 0, 1, 1, ~0ull, "an ELF segment's address is impossible" },
		{ 0, 0, BIT(52), 1, "an ELF segment's address is impossible" },
		{ 0, 1, 0x1fffff, 2, "two ELF segments overlap" },
		{ 0, 1, 0x200fff, 1, "two ELF segments overlap" },
		{ 0, 1, 0x200800, 1, "two ELF segments overlap" },
		{ 0, 1, 0, 0x10000000, "two ELF segments overlap" },
	};
	u8 b[ELF_LEN];
	u32 i;
	(void)state;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		elf_make(b, &elf64);
		put_phdr(b, 0, PT_LOAD, 0, 0, 0x200000, 0x1000, 0);
		put_phdr(b, 1, PT_LOAD, bad[i].offset, bad[i].filesz,
			 bad[i].paddr, bad[i].memsz, 0);
		refused(b, ELF_LEN, bad[i].text);
	}

	/* Up against each other, and up to the limit, is fine. */
	elf_make(b, &elf64);
	put_phdr(b, 1, PT_LOAD, 0, 0, 0xff000, 0x1000, 0);
	put_phdr(b, 3, PT_LOAD, 0, 0, BIT(52) - 1, 1, 0);
	assert_int_equal(probe(b, ELF_LEN), 0);
	assert_int_equal(im.segments, 3);

	elf_make(b, &elf64);
	for (i = 0; i < 4; i++)
		store32(phdr_at(b, i), PT_NOTE + 100);
	refused(b, ELF_LEN, "the ELF file has nothing to load");
}

static void test_elf_many_segments(void **state)
{
	u8 b[4096];
	u32 i;
	(void)state;

	memset(b, 0, sizeof(b));
	elf_make(b, &elf64);
	memmove(b + 0xf00, b + ELF_NOTE, 0x100);
	memset(b + ELF_NOTE, 0, 0x100);
	store16(b + cls->phnum, 17);
	put_phdr(b, 0, PT_NOTE, 0xf00, 24 + 24, 0, 0, 4);
	for (i = 1; i < 17; i++)
		put_phdr(b, i, PT_LOAD, 0, 0x20, 0x100000 + i * 0x20 - 0x20,
			 0x20, 0);
	assert_int_equal(probe(b, sizeof(b)), 0);
	assert_int_equal(im.segments, 16);
	store16(b + cls->phnum, 18);
	put_phdr(b, 17, PT_LOAD, 0, 1, 0, 1, 0);
	refused(b, sizeof(b), "the ELF file has more than 16 segments");
}

static void test_elf_notes(void **state)
{
	static const char runs_past[] = "an ELF note runs past its segment";
	u8 b[ELF_LEN], *n = b + ELF_NOTE;
	u32 len;
	(void)state;

	elf_make(b, &elf64);
	store32(phdr_at(b, 2), 0x6474e551);
	refused(b, ELF_LEN, "the ELF file has no PVH entry note");

	/* Same type under another name; same name with another type. */
	elf_make(b, &elf64);
	len = put_note(n, "Xex", 18, 0x100000, 8);
	len += put_note(n + len, "Xen", 17, 0x100000, 8);
	put_phdr(b, 2, PT_NOTE, ELF_NOTE, len, 0, 0, 4);
	refused(b, ELF_LEN, "the ELF file has no PVH entry note");

	/* Sizes near and beyond 2^32. */
	elf_make(b, &elf64);
	store32(n, 0xffffffff);
	refused(b, ELF_LEN, runs_past);
	elf_make(b, &elf64);
	store32(n + 4, 0xffffffff);
	refused(b, ELF_LEN, runs_past);
	elf_make(b, &elf64);
	put_word(phdr_at(b, 2) + cls->filesz, 24 + 23);
	refused(b, ELF_LEN, runs_past);

	/* A tail too short for a note is padding. */
	elf_make(b, &elf64);
	put_word(phdr_at(b, 2) + cls->filesz, 24 + 24 + 11);
	assert_int_equal(probe(b, ELF_LEN), 0);

	/* The first entry counts. */
	elf_make(b, &elf64);
	len = put_note(n, "Xen", 18, 0x100020, 4);
	len += put_note(n + len, "Xen", 18, 0x100030, 4);
	put_phdr(b, 2, PT_NOTE, ELF_NOTE, len, 0, 0, 4);
	assert_int_equal(probe(b, ELF_LEN), 0);
	assert_int_equal(im.entry, 0x100020);

	/* Segments aligned to 8: a GNU property note, then the entry. */
	elf_make(b, &elf64);
	memset(n, 0, 64);
	put_note(n, "GNU", 5, 0, 4);		/* 20 bytes, padded to 24 */
	put_note(n + 24, "Xen", 18, 0x100040, 8);
	put_phdr(b, 2, PT_NOTE, ELF_NOTE, 48, 0, 0, 8);
	assert_int_equal(probe(b, ELF_LEN), 0);
	assert_int_equal(im.entry, 0x100040);
}

static void test_elf_entry(void **state)
{
	static const u64 outside[] = { 0, 0xfffff, 0x100100, 0x100fff,
				       0x1010c0, 0xffffffff };
	u8 b[ELF_LEN], *n = b + ELF_NOTE;
	u32 i;
	(void)state;

	for (i = 0; i < ARRAY_SIZE(outside); i++) {
		elf_make(b, &elf64);
		put_note(n + 24, "Xen", 18, outside[i], 8);
		refused(b, ELF_LEN, "the PVH entry is outside the ELF file's segments");
	}
	elf_make(b, &elf64);
	put_note(n + 24, "Xen", 18, 0x1010bf, 8);
	assert_int_equal(probe(b, ELF_LEN), 0);
	put_note(n + 24, "Xen", 18, 0x100100010, 8);
	refused(b, ELF_LEN, "the PVH entry is above 4 GiB");
	elf_make(b, &elf64);
	store32(n + 28, 2);
	refused(b, ELF_LEN, "the PVH note has an impossible length");
}

static void test_neither(void **state)
{
	static u8 b[BZ_LEN];
	u32 n;
	(void)state;

	memset(b, 0xff, sizeof(b));
	for (n = 1; n < sizeof(b); n += 7)
		refused(b, n, "the kernel image is neither a Linux bzImage nor an ELF file");
	refused((const u8 *)"\x7f" "ELF", 4,
		"the kernel image is neither a Linux bzImage nor an ELF file");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux),
		cmocka_unit_test(test_linux_truncated),
		cmocka_unit_test(test_linux_bad),
		cmocka_unit_test(test_linux_real),
		cmocka_unit_test(test_elf),
		cmocka_unit_test(test_elf_truncated),
		cmocka_unit_test(test_elf_header),
		cmocka_unit_test(test_elf_segments),
		cmocka_unit_test(test_elf_many_segments),
		cmocka_unit_test(test_elf_notes),
		cmocka_unit_test(test_elf_entry),
		cmocka_unit_test(test_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
