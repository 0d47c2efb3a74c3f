/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_smbios.c -- joist-vm's SMBIOS tables, walked as a guest walks them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guests/control/joist-vm/smbios.c"

#define BASE	SMBIOS_BASE

static u8 *area;
static u64 salt;
static int total;

static void build(const char *name, unsigned cpus, u64 memory)
{
	const struct smbios_vm vm = { name, cpus, memory, salt };

	free(area);
	area = malloc(SMBIOS_SIZE);	/* its exact size: the sanitizer looks */
	memset(area, 0xee, SMBIOS_SIZE);
	total = smbios_build(area, BASE, &vm);
	assert_true(total > 0);
}

static void check_sum(const u8 *p, unsigned len)
{
	u8 s = 0;

	while (len--)
		s = (u8)(s + *p++);
	assert_int_equal(s, 0);
}

/* Behind a table: its formatted area, its strings, two zeros. */
static const u8 *next(const u8 *t)
{
	const u8 *p = t + t[1];

	while (p[0] || p[1])
		p++;
	return p + 2;
}

static const u8 *find(u8 type)
{
	const u8 *t = area + SMBIOS_ENTRY;

	for (; t < area + SMBIOS_ENTRY + total; t = next(t))
		if (t[0] == type)
			return t;
	fail_msg("no table of type %u", type);
	return NULL;
}

static const char *text(const u8 *t, unsigned at)
{
	const char *s = (const char *)t + t[1];
	u8 n = t[at];

	assert_true(n && at < t[1]);
	while (--n) {
		assert_true(*s);
		s += strlen(s) + 1;
	}
	return s;
}

static void test_walk(void **state)
{
	/* Lengths: of the specification, where 2.8 fixes one. */
	static const u8 order[][2] = {
		{ 0, 24 }, { 1, 27 }, { 3, 22 }, { 4, 42 }, { 16, 23 },
		{ 17, 40 }, { 19, 31 }, { 32, 11 }, { 127, 4 },
	};
	const u8 *e, *t;
	unsigned i, longest = 0;

	(void)state;
	build("a-name-of-thirty-one-characters", 4, GiB);
	e = area;
	assert_memory_equal(e, "_SM_", 4);
	assert_memory_equal(e + 16, "_DMI_", 5);
	check_sum(e, e[5]);
	check_sum(e + 16, 15);
	assert_int_equal(get32(e + 24), BASE + SMBIOS_ENTRY);
	assert_int_equal(get16(e + 22), total);
	assert_int_equal(get16(e + 28), ARRAY_SIZE(order));
	t = area + SMBIOS_ENTRY;
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		assert_int_equal(t[0], order[i][0]);
		assert_int_equal(t[1], order[i][1]);
		assert_int_equal(get16(t + 2), FIRST_HANDLE + i);
		longest = MAX(longest, (unsigned)(next(t) - t));
		t = next(t);
	}
	assert_ptr_equal(t, area + SMBIOS_ENTRY + total);
	assert_int_equal(get16(e + 8), longest);
	assert_string_equal(text(find(1), 4), "Joist");
	assert_string_equal(text(find(1), 7),
			    "a-name-of-thirty-one-characters");
	assert_string_equal(text(find(1), 26), "Joist");
	assert_string_equal(text(find(0), 8), "01/01/2026");
	assert_int_equal(find(4)[35], 4);
}

static void test_identity(void **state)
{
	u8 one[16], again[16];

	(void)state;
	build("one", 1, 64 * MiB);
	memcpy(one, find(1) + 8, 16);
	assert_int_equal(one[7] >> 4, 8);
	assert_int_equal(one[8] >> 6, 2);
	build("one", 2, GiB);
	memcpy(again, find(1) + 8, 16);
	assert_memory_equal(one, again, 16);
	build("onf", 1, 64 * MiB);
	assert_memory_not_equal(one, find(1) + 8, 16);
	/* The same name on another host. */
	salt = 1;
	build("one", 1, 64 * MiB);
	salt = 0;
	assert_memory_not_equal(one, find(1) + 8, 16);
}

/* What "Memory Device" says of sizes, and what the map ends at. */
static void test_memory(void **state)
{
	static const struct {
		u64 memory;
		u16 size;
		u32 extended;
	} is[] = {
		{ 512 * KiB, 0x8200, 0 },
		{ 4 * MiB, 4, 0 },
		{ 32 * GiB - 2 * MiB, 0x7ffe, 0 },
		{ 32 * GiB - MiB, 0x7fff, 0x7fff },
		{ 64 * GiB, 0x7fff, 0x10000 },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(is); i++) {
		build("m", 32, is[i].memory);
		assert_int_equal(get16(find(17) + 12), is[i].size);
		assert_int_equal(get32(find(17) + 28), is[i].extended);
		assert_int_equal(get64(find(16) + 15), is[i].memory);
		assert_int_equal(get64(find(19) + 23), is[i].memory - 1);
		assert_int_equal(get16(find(17) + 4), get16(find(16) + 2));
	}
	free(area);
	area = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
