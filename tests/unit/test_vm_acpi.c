/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_acpi.c -- the ACPI tables joist-vm builds.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guests/control/joist-vm/acpi.c"
/* aml.c has names of its own; none of them clash. */
#include "guests/control/joist-vm/aml.c"

static u8 area[ACPI_SIZE];

static const u8 *at(u64 gpa)
{
	assert_in_range(gpa, ACPI_BASE, ACPI_BASE + ACPI_SIZE - 1);
	return area + (gpa - ACPI_BASE);
}

static void check_table(const u8 *t, const char *sig)
{
	assert_memory_equal(t, sig, 4);
	assert_int_equal(checksum(t, get32(t + 4)), 0);
}

static void save(const char *name, const u8 *t)
{
	const char *dir = getenv("ACPI_DUMP");
	char path[256];
	FILE *f;

	if (!dir)
		return;		/* for a look at them with iasl -d */
	snprintf(path, sizeof(path), "%s/%s.aml", dir, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	fwrite(t, 1, get32(t + 4), f);
	fclose(f);
}

static void test_tables(void **state)
{
	unsigned cpus, i, lapics;
	struct acpi_links links;
	const u8 *xsdt, *fadt, *madt, *dsdt, *p;

	(void)state;
	for (cpus = 1; cpus <= 32; cpus++) {
		memset(area, 0xaa, sizeof(area));
		assert_int_equal(acpi_build(area, ACPI_BASE, cpus, PCI_MMIO_BASE,
					    1, &links), 0);
		assert_memory_equal(area, "RSD PTR ", 8);
		assert_int_equal(checksum(area, 20), 0);
		assert_int_equal(checksum(area, 36), 0);
		check_table(at(get32(area + 16)), "RSDT");
		xsdt = at(get64(area + 24));
		check_table(xsdt, "XSDT");
		fadt = at(get64(xsdt + HEADER_LEN));
		madt = at(get64(xsdt + HEADER_LEN + 8));
		check_table(fadt, "FACP");
		check_table(madt, "APIC");
		dsdt = at(get64(fadt + FADT_XDSDT));
		check_table(dsdt, "DSDT");
		assert_memory_equal(at(get32(fadt + FADT_FACS)), "FACS", 4);
		assert_int_equal(get32(fadt + FADT_FACS) % 64, 0);
		lapics = 0;
		for (p = madt + HEADER_LEN + 8; p < madt + get32(madt + 4);
		     p += p[1]) {
			assert_true(p[1] >= 6);
			if (p[0] == MADT_LAPIC)
				assert_int_equal(p[3], lapics++);
		}
		assert_ptr_equal(p, madt + get32(madt + 4));
		assert_int_equal(lapics, cpus);
	}
	save("dsdt", dsdt);
	save("facp", fadt);
	save("apic", madt);
	for (i = 0; i < ACPI_SIZE; i++)
		assert_int_not_equal(area[i], 0xaa);
}

static void test_aml_room(void **state)
{
	struct aml a;
	u8 buf[8];

	(void)state;
	aml_init(&a, buf, sizeof(buf));
	aml_scope_open(&a, "\\_SB_");
	aml_package_open(&a, 4);
	aml_int(&a, 0x123456789);
	aml_close(&a);
	aml_close(&a);
	aml_close(&a);
	assert_true(a.full);
	assert_true(a.len <= sizeof(buf));
}

static void test_aml_encoding(void **state)
{
	static const u8 s5[] = { 0x08, '\\', '_', 'S', '5', '_', 0x12, 0x89, 0,
				 0, 2, 0x0a, 5, 0x0b, 0x34, 0x12 };
	static const u8 id[] = { 0x0c, 0x41, 0xd0, 0x0a, 0x03 };
	struct aml a;
	u8 buf[64];

	(void)state;
	aml_init(&a, buf, sizeof(buf));
	aml_name(&a, "\\_S5_");
	aml_package_open(&a, 2);
	aml_int(&a, 5);
	aml_int(&a, 0x1234);
	aml_close(&a);
	assert_int_equal(a.len, sizeof(s5));
	assert_memory_equal(buf, s5, sizeof(s5));
	aml_init(&a, buf, sizeof(buf));
	aml_eisaid(&a, "PNP0A03");
	assert_memory_equal(buf, id, sizeof(id));
}

/* A serial port that is not there is not in the table. */
static void test_coms(void **state)
{
	struct acpi_links links;
	const u8 *dsdt;
	unsigned coms;
	u32 len;

	(void)state;
	for (coms = 0; coms < 4; coms++) {
		assert_int_equal(acpi_build(area, ACPI_BASE, 1, PCI_MMIO_BASE,
					    coms, &links), 0);
		dsdt = at(get64(at(get64(at(get64(area + 24)) + HEADER_LEN)) +
				FADT_XDSDT));
		check_table(dsdt, "DSDT");
		len = get32(dsdt + 4);
		assert_int_equal(!!memmem(dsdt, len, "COM1", 4), coms & 1);
		assert_int_equal(!!memmem(dsdt, len, "COM2", 4), coms >> 1);
		/* The first of what its _CRS has. */
		assert_int_equal(!!memmem(dsdt, len, "\x47\x01\xf8\x02", 4),
				 coms >> 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_coms),
		cmocka_unit_test(test_aml_room),
		cmocka_unit_test(test_aml_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
