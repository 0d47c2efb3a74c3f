/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_acpi.c -- ACPI tables in a made-up physical memory: good ones, every
 * kind of damage, and what the control VM is given.
 *
 * The reader hands out a heap block of exactly the asked size and frees it
 * at the next call: what is used longer or beyond its end is found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "drivers/acpi.c"

#define RAM_PA		0x7fe00000u
#define RAM_SIZE	0x10000u
#define HIGH_PA		0x140000000ull	/* the same bytes, above 4 GiB */

static u8 ram[RAM_SIZE];
static u32 used;
static void *mapped;
static char complaints[8192];
static struct acpi_info info;
static const char *why;

static const void *ram_map(void *ctx, u64 pa, size_t len)
{
	u64 at = pa >= HIGH_PA ? pa - HIGH_PA : pa - RAM_PA;

	assert_ptr_equal(ctx, ram);
	free(mapped);
	mapped = NULL;
	if ((pa < HIGH_PA && pa < RAM_PA) || at > RAM_SIZE ||
	    len > RAM_SIZE - at)
		return NULL;
	mapped = malloc(len);
	return memcpy(mapped, ram + at, len);
}

static void note(void *ctx, const char *sig, const char *text)
{
	size_t n = strlen(complaints);

	assert_ptr_equal(ctx, ram);
	assert_int_equal(strlen(sig), 4);
	snprintf(complaints + n, sizeof(complaints) - n, "%s: %s\n", sig, text);
}

static const struct acpi_reader reader = { ram_map, note, ram };

static u8 *at(u64 pa)
{
	return ram + (pa >= HIGH_PA ? pa - HIGH_PA : pa - RAM_PA);
}

static void fix(u64 pa)
{
	u8 *p = at(pa);

	p[9] = 0;
	p[9] = -sum(p, load32(p + 4));
}

/* Where the next table goes. */
static u32 take(u32 len)
{
	u32 pa = RAM_PA + used;

	used = ALIGN_UP(used + len, 16);
	assert_true(used <= RAM_SIZE);
	return pa;
}

static u32 put_table(const char *sig, const void *body, u32 len)
{
	u32 pa = take(ACPI_HEADER + len);
	u8 *p = at(pa);

	memcpy(p, sig, 4);
	store32(p + 4, ACPI_HEADER + len);
	p[8] = 2;
	memcpy(p + 10, "JOISTXTESTTAB ", 14);
	if (body)
		memcpy(p + ACPI_HEADER, body, len);
	fix(pa);
	return pa;
}

static u32 put_root(const char *sig, u32 entry, const u64 *tables, u32 n)
{
	u32 pa = put_table(sig, NULL, n * entry), i;

	for (i = 0; i < n; i++)
		memcpy(at(pa) + ACPI_HEADER + i * entry, &tables[i], entry);
	fix(pa);
	return pa;
}

static u8 rsdp[64];

static void make_rsdp(u8 revision, u32 rsdt, u64 xsdt)
{
	memset(rsdp, 0, sizeof(rsdp));
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "JOISTX", 6);
	rsdp[15] = revision;
	store32(rsdp + 16, rsdt);
	if (revision >= 2) {
		store32(rsdp + 20, 36);
		store64(rsdp + 24, xsdt);
	}
	rsdp[8] = -sum(rsdp, 20);
	if (revision >= 2)
		rsdp[32] = -sum(rsdp, 36);
}

static const u8 madt_body[] = {
	0, 0, 0xe0, 0xfe, 1, 0, 0, 0,
	0, 8, 0, 0, 1, 0, 0, 0,			/* CPU 0 */
	0, 8, 1, 2, 1, 0, 0, 0,			/* CPU 2 */
	0, 8, 2, 4, 0, 0, 0, 0,			/* 4: disabled */
	0, 8, 3, 6, 2, 0, 0, 0,			/* 6: may come later */
	0, 8, 4, 0xff, 1, 0, 0, 0,		/* not in use */
	1, 12, 1, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,
	9, 16, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0,	/* 0x200 */
	9, 16, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,	/* 2 again */
	5, 12, 0, 0, 0, 0, 0xe0, 0xfe, 1, 0, 0, 0,
	0x10, 16, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0,
	4, 6, 0xff, 0, 0, 1,			/* LAPIC NMI */
};

static u32 put_fadt(u32 len)
{
	u32 pa = put_table("FACP", NULL, len - ACPI_HEADER);
	u8 *p = at(pa);

	p[46] = 9;
	store32(p + 76, 0x608);
	p[91] = 4;
	store32(p + 112, BIT(10) | BIT(8));
	if (len > 128) {
		p[116] = ACPI_SPACE_IO;
		p[117] = 8;
		store32(p + 120, 0xcf9);
		p[128] = 0xf;
	}
	if (len >= 220) {
		p[208] = ACPI_SPACE_IO;
		p[209] = 32;
		store32(p + 212, 0xb008);
	}
	fix(pa);
	return pa;
}

static u64 listed[16];
static u32 listed_count;

/* A usual machine. */
static void make_machine(void)
{
	memset(ram, 0, sizeof(ram));
	used = 0;
	listed[0] = put_fadt(244);
	listed[1] = put_table("APIC", madt_body, sizeof(madt_body));
	listed[2] = put_table("MCFG", NULL, 24);
	listed[3] = put_table("DMAR", NULL, 12);
	listed[4] = put_table("HPET", NULL, 20);
	listed[5] = put_table("SSDT", "aml", 3);
	listed[6] = put_table("SSDT", "AML!", 4);
	listed_count = 7;
}

static int parse(u32 len)
{
	u8 *copy = malloc(len ? len : 1);
	int err;

	memcpy(copy, rsdp, len);
	complaints[0] = 0;
	why = NULL;
	memset(&info, 0xa5, sizeof(info));
	err = acpi_parse(copy, len, &reader, &info, &why);
	free(copy);
	if (err)
		assert_non_null(why);
	return err;
}

static void parse_by_xsdt(void)
{
	u32 xsdt = put_root("XSDT", 8, listed, listed_count);

	make_rsdp(2, 0, xsdt);
	assert_int_equal(parse(36), 0);
}

static void test_usual(void **state)
{
	const struct acpi_table *t;
	(void)state;

	make_machine();
	parse_by_xsdt();
	assert_string_equal(complaints, "");
	assert_int_equal(info.tables, 7);
	assert_int_equal(info.table[0].pa, listed[0]);
	assert_int_equal(info.table[0].len, 244);
	assert_string_equal(info.table[6].sig, "SSDT");
	t = acpi_find(&info, "DMAR");
	assert_int_equal(t->pa, listed[3]);
	assert_int_equal(t->len, 48);
	assert_int_equal(acpi_find(&info, "SSDT")->pa, listed[5]);
	assert_int_equal(acpi_find(&info, "MCFG")->len, 60);
	assert_non_null(acpi_find(&info, "HPET"));
	assert_null(acpi_find(&info, "IVRS"));

	assert_int_equal(info.lapic_pa, 0x1fee00000);
	assert_int_equal(info.cpus, 3);
	assert_int_equal(info.apic_id[0], 0);
	assert_int_equal(info.apic_id[1], 2);
	assert_int_equal(info.apic_id[2], 0x200);

	assert_true(info.has_fadt);
	assert_int_equal(info.sci, 9);
	assert_int_equal(info.pm_timer_port, 0xb008);
	assert_int_equal(info.pm_timer_bits, 32);
	assert_false(info.hw_reduced);
	assert_true(info.has_reset);
	assert_int_equal(info.reset.space, ACPI_SPACE_IO);
	assert_int_equal(info.reset.bits, 8);
	assert_int_equal(info.reset.address, 0xcf9);
	assert_int_equal(info.reset_value, 0xf);
}

static void test_acpi_1(void **state)
{
	(void)state;

	make_machine();
	listed[0] = put_fadt(116);
	make_rsdp(0, put_root("RSDT", 4, listed, 7), 0);
	assert_int_equal(parse(20), 0);
	assert_string_equal(complaints, "");
	assert_int_equal(info.tables, 7);
	assert_int_equal(info.pm_timer_port, 0x608);
	assert_false(info.has_reset);
	assert_int_equal(info.cpus, 3);
}

static void test_rsdp(void **state)
{
	u32 xsdt, rsdt, i;
	(void)state;

	make_machine();
	xsdt = put_root("XSDT", 8, listed, 7);
	rsdt = put_root("RSDT", 4, listed, 3);

	make_rsdp(2, rsdt, xsdt);
	for (i = 0; i < 20; i++) {
		assert_int_equal(parse(i), -EINVAL);
		assert_string_equal(why, "the ACPI RSDP is truncated");
	}
	for (i = 0; i < 20; i++) {
		make_rsdp(2, rsdt, xsdt);
		rsdp[i] ^= 0x10;
		assert_int_equal(parse(36), -EINVAL);
		assert_string_equal(why,
			"the ACPI RSDP has a wrong signature or checksum");
	}
	/* The XSDT is preferred, but not at any price. */
	make_rsdp(2, rsdt, xsdt);
	assert_int_equal(parse(64), 0);
	assert_int_equal(info.tables, 7);
	assert_int_equal(parse(35), 0);
	assert_int_equal(info.tables, 3);
	for (i = 20; i < 36; i++) {
		make_rsdp(2, rsdt, xsdt);
		rsdp[i] ^= 0x10;
		assert_int_equal(parse(36), 0);
		assert_int_equal(info.tables, 3);
		assert_string_equal(complaints,
			"RSDP: ACPI 2.0 part is damaged\n");
	}
	make_rsdp(2, rsdt, 0);
	assert_int_equal(parse(36), 0);
	assert_int_equal(info.tables, 3);

	make_rsdp(2, 0, 0);
	assert_int_equal(parse(36), -ENOENT);
	assert_string_equal(why, "ACPI has neither a usable XSDT nor an RSDT");
}

static void test_bad_root(void **state)
{
	static const char none[] = "ACPI has neither a usable XSDT nor an RSDT";
	u32 xsdt, rsdt;
	(void)state;

	make_machine();
	rsdt = put_root("RSDT", 4, listed, 7);
	xsdt = put_root("XSDT", 8, listed, 7);
	make_rsdp(2, rsdt, xsdt);

	at(xsdt)[9]++;
	assert_int_equal(parse(36), 0);
	assert_string_equal(complaints, "XSDT: table with a wrong checksum\n");
	assert_int_equal(info.tables, 7);
	at(rsdt)[9]++;
	assert_int_equal(parse(36), -ENOENT);
	assert_string_equal(why, none);

	/* An RSDT in the XSDT's place has entries of another size. */
	fix(rsdt);
	make_rsdp(2, 0, rsdt);
	assert_int_equal(parse(36), -ENOENT);
	assert_string_equal(complaints,
		"RSDT: this is where XSDT or RSDT should be\n");

	make_rsdp(2, 0, ~0ull);
	assert_int_equal(parse(36), -ENOENT);
	make_rsdp(2, 0x1000, BIT(51));
	assert_int_equal(parse(36), -ENOENT);
	assert_string_equal(complaints,
		"????: table outside readable memory\n"
		"????: table outside readable memory\n");

	/* Odd bytes at the end are no entry. */
	fix(xsdt);
	store32(at(xsdt) + 4, 36 + 7 * 8 - 1);
	fix(xsdt);
	make_rsdp(2, 0, xsdt);
	assert_int_equal(parse(36), 0);
	assert_int_equal(info.tables, 6);
}

static void test_bad_tables(void **state)
{
	u32 bad;
	u8 *p;
	(void)state;

	make_machine();
	bad = put_table("OEM\x01", NULL, 0);
	p = at(bad);
	listed[listed_count++] = bad;
	listed[listed_count++] = 0;
	listed[listed_count++] = 0x1000;
	listed[listed_count++] = ~0ull;
	listed[listed_count++] = RAM_PA + RAM_SIZE - 35;

	parse_by_xsdt();
	assert_int_equal(info.tables, 8);
	assert_string_equal(complaints,
		"????: table outside readable memory\n"
		"????: table outside readable memory\n"
		"????: table outside readable memory\n");

	listed_count = 8;
	store32(p + 4, 35);
	parse_by_xsdt();
	assert_string_equal(complaints, "OEM?: table with an impossible length\n");
	assert_int_equal(info.tables, 7);
	store32(p + 4, 0xffffffff);
	parse_by_xsdt();
	assert_string_equal(complaints, "OEM?: table with an impossible length\n");
	store32(p + 4, 16 * MiB + 1);
	parse_by_xsdt();
	assert_string_equal(complaints, "OEM?: table with an impossible length\n");
	store32(p + 4, 16 * MiB);
	parse_by_xsdt();
	assert_string_equal(complaints, "OEM?: table reaches outside readable memory\n");

	/* Known, handed on, but not used by us. */
	store32(p + 4, 36);
	at(listed[3])[40]++;
	p[9]++;
	parse_by_xsdt();
	assert_string_equal(complaints, "DMAR: table with a wrong checksum\n"
			    "OEM?: table with a wrong checksum\n");
	assert_int_equal(info.tables, 8);
	assert_null(acpi_find(&info, "DMAR"));
}

static void test_many_tables(void **state)
{
	u64 many[ACPI_TABLES + 2];
	u32 i;
	(void)state;

	make_machine();
	for (i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = listed[5];
	many[0] = listed[1];
	make_rsdp(2, 0, put_root("XSDT", 8, many, ARRAY_SIZE(many)));
	assert_int_equal(parse(36), 0);
	assert_int_equal(info.tables, ACPI_TABLES);
	assert_string_equal(complaints,
		"SSDT: table number 129: there is room for 128\n"
		"SSDT: table number 129: there is room for 128\n");
}

static void test_fadt(void **state)
{
	u8 *p;
	(void)state;

	make_machine();
	p = at(listed[0]);

	store32(p + 112, 0);
	fix(listed[0]);
	parse_by_xsdt();
	assert_int_equal(info.pm_timer_bits, 24);
	assert_false(info.has_reset);

	/* In memory, or beyond the ports: no timer that we could read. */
	p[208] = ACPI_SPACE_MEMORY;
	fix(listed[0]);
	parse_by_xsdt();
	assert_int_equal(info.pm_timer_port, 0);
	p[208] = ACPI_SPACE_IO;
	store32(p + 212, 0x10008);
	fix(listed[0]);
	parse_by_xsdt();
	assert_int_equal(info.pm_timer_port, 0);
	store32(p + 212, 0xfffd);
	fix(listed[0]);
	parse_by_xsdt();
	assert_int_equal(info.pm_timer_port, 0);

	store32(p + 212, 0);
	fix(listed[0]);
	parse_by_xsdt();
	assert_int_equal(info.pm_timer_port, 0x608);
	p[91] = 0;
	fix(listed[0]);
	parse_by_xsdt();
	assert_int_equal(info.pm_timer_port, 0);

	p[91] = 4;
	store32(p + 112, BIT(20) | BIT(10));
	fix(listed[0]);
	parse_by_xsdt();
	assert_true(info.hw_reduced);
	assert_int_equal(info.pm_timer_port, 0);
	assert_true(info.has_reset);

	/* A reset register at 0 is none. */
	store32(p + 120, 0);
	fix(listed[0]);
	parse_by_xsdt();
	assert_false(info.has_reset);

	listed[0] = put_table("FACP", NULL, 79);
	parse_by_xsdt();
	assert_false(info.has_fadt);
	assert_string_equal(complaints, "FACP: table too short\n");
	listed[0] = listed[1];
	parse_by_xsdt();
	assert_false(info.has_fadt);
	assert_string_equal(complaints, "");
}

static void test_fadt_of_every_length(void **state)
{
	u32 len;
	(void)state;

	for (len = 116; len < 300; len++) {
		make_machine();
		listed[0] = put_fadt(len);
		parse_by_xsdt();
		assert_int_equal(info.pm_timer_port, len < 220 ? 0x608 : 0xb008);
		assert_int_equal(info.has_reset, len > 128);
	}
}

static int parse_madt(const u8 *body, u32 len)
{
	u64 one;

	memset(ram, 0, sizeof(ram));
	used = 0;
	one = put_table("APIC", body, len);
	make_rsdp(2, 0, put_root("XSDT", 8, &one, 1));
	return parse(36);
}

static void test_madt_damaged(void **state)
{
	u8 b[sizeof(madt_body)];
	u32 n;
	(void)state;

	for (n = 0; n < 8; n++) {
		assert_int_equal(parse_madt(madt_body, n), -ENOENT);
		assert_string_equal(why, "ACPI has no usable MADT");
	}
	for (n = 8; n < 16; n++) {
		assert_int_equal(parse_madt(madt_body, n), -ENOENT);
		assert_string_equal(why, "the ACPI MADT has no enabled CPU");
	}
	for (n = 16; n < sizeof(madt_body); n++) {
		assert_int_equal(parse_madt(madt_body, n), 0);
		assert_in_range(info.cpus, 1, 3);
	}
	/* Lengths that lead nowhere end the list; what was before counts. */
	memcpy(b, madt_body, sizeof(b));
	for (n = 0; n < 256; n++) {
		b[17] = n;
		assert_int_equal(parse_madt(b, sizeof(b)), 0);
		if (n < 2 || n > sizeof(b) - 16) {
			assert_int_equal(info.cpus, 1);
			assert_string_equal(complaints,
				"APIC: an entry of impossible length ends the list\n");
		}
	}
	/* No MADT at all, and one that is damaged. */
	make_machine();
	listed[1] = listed[2];
	make_rsdp(2, 0, put_root("XSDT", 8, listed, 7));
	assert_int_equal(parse(36), -ENOENT);
	assert_string_equal(why, "ACPI has no usable MADT");
	make_machine();
	at(listed[1])[50]++;
	make_rsdp(2, 0, put_root("XSDT", 8, listed, 7));
	assert_int_equal(parse(36), -ENOENT);
}

static void test_madt_many_cpus(void **state)
{
	static u8 b[8 + 1100 * 16];
	u32 i;
	(void)state;

	memset(b, 0, sizeof(b));
	for (i = 0; i < 1100; i++) {
		b[8 + i * 16] = 9;
		b[9 + i * 16] = 16;
		store32(b + 12 + i * 16, i);
		b[16 + i * 16] = 1;
	}
	assert_int_equal(parse_madt(b, sizeof(b)), 0);
	assert_int_equal(info.cpus, 1024);
	assert_int_equal(info.apic_id[1023], 1023);
	assert_int_equal(info.left_out, 1100 - 1024);
	assert_memory_equal(complaints, "APIC: CPUs beyond 1024", 22);
}

/* What may come online later is noted, what is unusable is not. */
static void test_madt_spares(void **state)
{
	static u8 b[8 + 4 * 16];
	static const u8 flags[] = { 1, 2, 0, 3 };
	u32 i;
	(void)state;

	memset(b, 0, sizeof(b));
	for (i = 0; i < 4; i++) {
		b[8 + i * 16] = 9;
		b[9 + i * 16] = 16;
		store32(b + 12 + i * 16, 16 + i);
		b[16 + i * 16] = flags[i];
	}
	assert_int_equal(parse_madt(b, sizeof(b)), 0);
	assert_int_equal(info.cpus, 2);
	assert_int_equal(info.apic_id[0], 16);
	assert_int_equal(info.apic_id[1], 19);
	assert_int_equal(info.spares, 1);
	assert_int_equal(info.spare_id[0], 17);
	assert_int_equal(info.left_out, 0);
}

/* What the control VM makes of its tables, by the same parser. */
static const u32 used_ids[] = { 0, 0x200 };
static const char *const hidden[] = { "DMAR", "IVRS" };
static struct acpi_control control = {
	used_ids, 2, hidden, 2, 0x7fe01000,
};

static u8 *last_buf;

/* The rebuilt tables go to the end of ram, seen at pa + 0xc000. */
static int rebuild(u64 pa, size_t size, u64 *rsdp_pa)
{
	u8 *buf = malloc(size ? size : 1);
	int err;

	why = NULL;
	memset(buf, 0xee, size);
	err = acpi_rebuild(&info, &reader, &control, buf, size, pa + 0xc000,
			   rsdp_pa, &why);
	assert_true(size <= 0x4000);
	memcpy(ram + 0xc000, buf, size);
	last_buf = ram + 0xc000;
	free(buf);
	if (err)
		assert_non_null(why);
	return err;
}

static void check_new_madt(u64 pa)
{
	static const u8 want[] = {
		0, 0, 0xe0, 0xfe, 1, 0, 0, 0,
		0, 8, 0, 0, 1, 0, 0, 0,
		0, 8, 1, 2, 0, 0, 0, 0,
		0, 8, 2, 4, 0, 0, 0, 0,
		0, 8, 3, 6, 0, 0, 0, 0,
		0, 8, 4, 0xff, 1, 0, 0, 0,
		1, 12, 1, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,
		9, 16, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0,
		9, 16, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
		5, 12, 0, 0, 0, 0, 0xe0, 0xfe, 1, 0, 0, 0,
		4, 6, 0xff, 0, 0, 1,
		0x10, 16, 0, 0, 0, 0, 0, 0, 0, 0x10, 0xe0, 0x7f, 0, 0, 0, 0,
	};
	const u8 *p = at(pa);

	assert_memory_equal(p, "APIC", 4);
	assert_int_equal(load32(p + 4), ACPI_HEADER + sizeof(want));
	assert_int_equal(p[8], 5);
	assert_memory_equal(p + 10, "JOISTXTESTTAB ", 14);
	assert_int_equal(sum(p, load32(p + 4)), 0);
	assert_memory_equal(p + ACPI_HEADER, want, sizeof(want));
}

static void check_rebuilt(u64 rsdp_pa, bool rsdt)
{
	struct acpi_info first = info;
	const struct acpi_table *old, *t = info.table;
	u32 i;

	memcpy(rsdp, at(rsdp_pa), 36);
	assert_memory_equal(rsdp + 9, "JOISTX", 6);
	assert_int_equal(rsdp[15], 2);
	assert_int_equal(load32(rsdp + 16) != 0, rsdt);
	assert_true(load64(rsdp + 24));

	assert_int_equal(parse(36), 0);
	assert_string_equal(complaints, "");
	for (i = 0; i < first.tables; i++) {
		old = &first.table[i];
		if (!strcmp(old->sig, "DMAR"))
			continue;
		assert_string_equal(t->sig, old->sig);
		if (!strcmp(old->sig, "APIC"))
			check_new_madt(t->pa);
		else
			assert_int_equal(t->pa, old->pa);
		t++;
	}
	assert_int_equal(t - info.table, info.tables);
	assert_int_equal(info.cpus, 2);
	assert_int_equal(info.apic_id[1], 0x200);
	assert_null(acpi_find(&info, "DMAR"));
	if (!rsdt)
		return;
	/* The RSDT says the same. */
	make_rsdp(0, load32(at(rsdp_pa) + 16), 0);
	i = info.tables;
	assert_int_equal(parse(20), 0);
	assert_string_equal(complaints, "");
	assert_int_equal(info.tables, i);
	assert_int_equal(info.cpus, 2);
}

static void test_rebuild(void **state)
{
	u64 pa;
	(void)state;

	make_machine();
	parse_by_xsdt();
	assert_int_equal(rebuild(RAM_PA, 4096, &pa), 0);
	assert_int_equal(pa, RAM_PA + 0xc000);
	check_rebuilt(pa, true);
}

static void test_rebuild_from_rsdt(void **state)
{
	u64 pa;
	(void)state;

	make_machine();
	make_rsdp(0, put_root("RSDT", 4, listed, 7), 0);
	assert_int_equal(parse(20), 0);
	assert_int_equal(rebuild(RAM_PA, 4096, &pa), 0);
	check_rebuilt(pa, true);
}

static void test_rebuild_high(void **state)
{
	u64 pa;
	u32 rsdt;
	(void)state;

	/* Tables above 4 GiB are in the XSDT only. */
	make_machine();
	listed[5] = listed[5] - RAM_PA + HIGH_PA;
	parse_by_xsdt();
	assert_int_equal(rebuild(RAM_PA, 4096, &pa), 0);
	memcpy(rsdp, at(pa), 36);
	assert_int_equal(parse(36), 0);
	assert_int_equal(info.tables, 6);
	rsdt = load32(rsdp + 16);
	make_rsdp(0, rsdt, 0);
	assert_int_equal(parse(20), 0);
	assert_int_equal(info.tables, 5);

	/* A buffer above 4 GiB: no RSDT. */
	make_machine();
	parse_by_xsdt();
	assert_int_equal(rebuild(HIGH_PA, 4096, &pa), 0);
	assert_int_equal(pa, HIGH_PA + 0xc000);
	check_rebuilt(pa, false);
}

static void test_rebuild_odd_tables(void **state)
{
	u64 pa;
	(void)state;

	/* A damaged table goes through, a hidden one does not; a second
	 * MADT is dropped. */
	make_machine();
	at(listed[2])[40]++;
	at(listed[3])[40]++;
	listed[listed_count++] = listed[1];
	parse_by_xsdt();
	assert_int_equal(info.tables, 8);
	assert_int_equal(rebuild(RAM_PA, 4096, &pa), 0);
	memcpy(rsdp, at(pa), 36);
	assert_int_equal(parse(36), 0);
	assert_int_equal(info.tables, 6);
	assert_string_equal(complaints, "MCFG: table with a wrong checksum\n");
}

static void test_rebuild_sizes(void **state)
{
	u64 pa;
	u32 size, least;
	int err;
	(void)state;

	make_machine();
	parse_by_xsdt();
	for (size = 0, least = 0; size < 1024; size++) {
		err = rebuild(RAM_PA, size, &pa);
		if (err) {
			assert_int_equal(err, -ENOSPC);
			assert_int_equal(least, 0);
		} else if (!least) {
			least = size;
		}
	}
	assert_in_range(least, 300, 600);
}

static void test_rebuild_arguments(void **state)
{
	u8 buf[4096];
	u64 pa;
	(void)state;

	make_machine();
	parse_by_xsdt();
	assert_int_equal(acpi_rebuild(&info, &reader, &control, buf, 4096,
				      8, &pa, &why), -EINVAL);
	assert_string_equal(why,
		"the control VM's ACPI tables have no good address");
	assert_int_equal(acpi_rebuild(&info, &reader, &control, buf, 4096,
				      ~0xfffull, &pa, &why), -EINVAL);
	assert_int_equal(acpi_rebuild(&info, &reader, &control, buf, 4096,
				      BIT(52) - 16, &pa, &why), -EINVAL);
	control.mailbox_pa++;
	assert_int_equal(rebuild(RAM_PA, 4096, &pa), -EINVAL);
	assert_string_equal(why, "the ACPI wakeup mailbox is not a page");
	control.mailbox_pa--;

	info.tables = 0;
	assert_int_equal(rebuild(RAM_PA, 4096, &pa), -ENOENT);
	assert_string_equal(why, "ACPI has no usable MADT");
}

static int end(void **state)
{
	(void)state;
	free(mapped);
	mapped = NULL;
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual),
		cmocka_unit_test(test_acpi_1),
		cmocka_unit_test(test_rsdp),
		cmocka_unit_test(test_bad_root),
		cmocka_unit_test(test_bad_tables),
		cmocka_unit_test(test_many_tables),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_fadt_of_every_length),
		cmocka_unit_test(test_madt_damaged),
		cmocka_unit_test(test_madt_many_cpus),
		cmocka_unit_test(test_madt_spares),
		cmocka_unit_test(test_rebuild),
		cmocka_unit_test(test_rebuild_from_rsdt),
		cmocka_unit_test(test_rebuild_high),
		cmocka_unit_test(test_rebuild_odd_tables),
		cmocka_unit_test(test_rebuild_sizes),
		cmocka_unit_test(test_rebuild_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
