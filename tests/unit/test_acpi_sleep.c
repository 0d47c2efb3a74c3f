/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_acpi_sleep.c -- sleep registers and types from tables good and bad.
 */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "drivers/acpi_sleep.c"

#define FADT_PA		0x1000
#define DSDT_PA		0x2000
#define SSDT_PA		0x3000

static u8 ram[0x4000];
static void *mapped;
static struct acpi_info info;
static struct acpi_sleep s;

static const void *ram_map(void *ctx, u64 pa, size_t len)
{
	free(mapped);
	mapped = NULL;
	if (pa > sizeof(ram) || len > sizeof(ram) - pa)
		return NULL;
	mapped = malloc(len);
	return memcpy(mapped, ram + pa, len);
}

static const struct acpi_reader reader = { .map = ram_map };

const struct acpi_table *acpi_find(const struct acpi_info *i, const char *sig)
{
	return i->tables && !memcmp(sig, "FACP", 4) ? &i->table[0] : NULL;
}

static void put_aml(u64 pa, const void *aml, u32 len)
{
	memset(ram + pa, 0, 0x1000);
	store32(ram + pa + 4, ACPI_HEADER + len);
	memcpy(ram + pa + ACPI_HEADER, aml, len);
}

static void parse(u32 fadt_len)
{
	info.tables = 2;
	info.table[0] = (struct acpi_table){ .pa = FADT_PA, .len = fadt_len, .sig = "FACP",
					     .valid = true };
	info.table[1] = (struct acpi_table){ .pa = SSDT_PA, .len = ACPI_HEADER, .sig = "SSDT",
					     .valid = true };
	acpi_sleep_parse(&info, &reader, &s);
}

/* Names of S3 (types 5 and 5), S4 (6), S5 (7 and 3). */
static const u8 aml[] = "\x10\x08_S3_\x12\x0a\x04\x0a\x05\x0a\x05\x00\x00"
			"\x08\\_S4_\x12\x06\x04\x0a\x06\x00\x00"
			"\x08_S5_\x12\x40\x01\x02\x0a\x07\x0b\x03\x00";

static int start(void **state)
{
	memset(ram, 0, sizeof(ram));
	put_aml(DSDT_PA, aml, sizeof(aml));
	put_aml(SSDT_PA, "", 1);
	store32(ram + FADT_PA + FADT_DSDT, DSDT_PA);
	store32(ram + FADT_PA + FADT_PM1A_EVT, 0x600);
	store32(ram + FADT_PA + FADT_PM1A_CNT, 0x604);
	store32(ram + FADT_PA + FADT_PM1B_CNT, 0x704);
	return 0;
}

static void test_types(void **state)
{
	parse(116);
	assert_int_equal(s.control[0], 0x605);
	assert_int_equal(s.control[1], 0x705);
	assert_int_equal(s.control[2], 0);
	assert_int_equal(s.status[0], 0x601);
	assert_int_equal(s.status[1], 0);
	assert_int_equal(s.off[0], BIT(7));
	assert_int_equal(s.off[1], BIT(3));
	assert_int_equal(s.names, 2);
	assert_int_equal(s.name[0].table, DSDT_PA);
	assert_memory_equal(ram + s.name[0].name, "_S3_", 4);
	assert_memory_equal(ram + s.name[1].name, "_S4_", 4);
	assert_false(s.elsewhere);
}

static void test_ambiguous_is_a_sleep(void **state)
{
	static const u8 same[] = "\x08_S1_\x12\x06\x04\x0a\x07\x00\x00";

	put_aml(SSDT_PA, same, sizeof(same));
	parse(116);
	assert_int_equal(s.off[0], 0);
	assert_int_equal(s.off[1], BIT(3));
	assert_int_equal(s.names, 3);
}

/* As Bochs' BIOS has it.  Memory does not outlive that: nothing to keep out. */
static void test_s4_may_be_power_off(void **state)
{
	static const u8 same[] = "\x08_S4_\x12\x06\x04\x0a\x07\x0a\x03\x00\x00";

	put_aml(SSDT_PA, same, sizeof(same));
	parse(116);
	assert_int_equal(s.off[0], BIT(7));
	assert_int_equal(s.off[1], BIT(3));
	assert_int_equal(s.names, 3);
}

static void test_registers_of_64_bits(void **state)
{
	u8 *x = ram + FADT_PA + FADT_X_PM1A_CNT;

	x[0] = ACPI_SPACE_IO;
	store64(x + 4, 0x1804);
	x = ram + FADT_PA + FADT_SLEEP_CONTROL;
	x[0] = ACPI_SPACE_IO;
	store64(x + 4, 0x1900);
	parse(268);
	assert_int_equal(s.control[0], 0x1805);
	assert_int_equal(s.control[2], 0x1900);
	assert_int_equal(s.off[2], BIT(7));
	x[0] = ACPI_SPACE_MEMORY;
	parse(268);
	assert_int_equal(s.control[2], 0);
	assert_true(s.elsewhere);
}

/* Cut short at every byte, damaged at every byte: nothing is read beyond. */
static void test_damage(void **state)
{
	u32 i, j;

	for (i = 0; i <= sizeof(aml); i++) {
		put_aml(DSDT_PA, aml, i);
		parse(116);
	}
	for (i = 0; i < sizeof(aml); i++)
		for (j = 0; j < 256; j++) {
			put_aml(DSDT_PA, aml, sizeof(aml));
			ram[DSDT_PA + ACPI_HEADER + i] = (u8)j;
			parse(116);
		}
	store32(ram + DSDT_PA + 4, ~0u);
	parse(116);
	assert_int_equal(s.off[0], 0);
	info.tables = 0;
	acpi_sleep_parse(&info, &reader, &s);
	assert_int_equal(s.control[0], 0);
	free(mapped);
	mapped = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_types, start),
		cmocka_unit_test_setup(test_ambiguous_is_a_sleep, start),
		cmocka_unit_test_setup(test_s4_may_be_power_off, start),
		cmocka_unit_test_setup(test_registers_of_64_bits, start),
		cmocka_unit_test_setup(test_damage, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
