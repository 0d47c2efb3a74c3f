/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_iommu.c -- IOMMUs that firmware left on are found in the tables of both
 * vendors and switched off in the manuals' order; what is off is not touched.
 */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "drivers/acpi.c"
#include "drivers/iommu.c"

#define UNITS	3
#define BASE(n)	(0xfed90000ull + (n) * 0x1000)

static struct acpi_info info;
static u8 table[512];
static u32 len;
static char said[1024];
static struct unit {
	u32 status, pmen, control, cap;
	bool stuck, amd;
	u32 writes;
	char order[256];
} unit[UNITS];

static struct unit *unit_at(u64 pa)
{
	assert_in_range(pa, BASE(0), BASE(UNITS) - 1);
	return &unit[(pa - BASE(0)) >> 12];
}

static u32 reg_read(void *ctx, u64 pa)
{
	struct unit *u = unit_at(pa);

	switch (pa & 0xfff) {
	case 0x08: return u->cap;
	case 0x1c: return u->status;
	case 0x64: return u->pmen;
	case 0x18: return u->amd ? u->control : 0;
	default: fail_msg("register %lx is read", (unsigned long)pa);
	}
	return 0;
}

/* Intel's GCMD takes one change at a time, and what was done once stays done. */
static void reg_write(void *ctx, u64 pa, u32 val)
{
	struct unit *u = unit_at(pa);

	u->writes++;
	if (u->amd) {
		assert_int_equal(pa & 0xfff, 0x18);
		if (!u->stuck)
			u->control = val;
		/* The queues go first. */
		if (!(val & 1))
			assert_int_equal(val & (BIT(2) | BIT(12)), 0);
		return;
	}
	if ((pa & 0xfff) == 0x64) {
		assert_int_equal(u->status & (BIT(31) | BIT(25) | BIT(26)), 0);
		if (!u->stuck)
			u->pmen = val & BIT(31) ? val | 1 : val & ~1u;
		return;
	}
	assert_int_equal(pa & 0xfff, 0x18);
	assert_int_equal(val & (BIT(30) | BIT(29) | BIT(27) | BIT(24)), 0);
	assert_int_equal(__builtin_popcount((u->status & 0x96ffffff) ^ val), 1);
	if (!u->stuck)
		u->status = (u->status & ~0x96ffffffu) | val;
}

static bool reg_open(void *ctx, u64 base)
{
	return base < BASE(UNITS);
}

static void was_on(void *ctx, u64 base, const char *what)
{
	size_t n = strlen(said);

	snprintf(said + n, sizeof(said) - n, "%lx %s\n", (unsigned long)base, what);
}

static const void *map_bytes(void *ctx, u64 pa, size_t size)
{
	assert_int_equal(pa, 0x1000);
	assert_true(size <= len);
	return table;
}

static void complain_here(void *ctx, const char *sig, const char *why)
{
	size_t n = strlen(said);

	snprintf(said + n, sizeof(said) - n, "%s: %s\n", sig, why);
}

static const struct acpi_reader reader = { map_bytes, complain_here, NULL };
static const struct iommu_io io = { reg_read, reg_write, reg_open, was_on, NULL };

static void store16(u8 *p, u16 v)
{
	memcpy(p, &v, 2);
}

static void begin(const char *sig)
{
	memset(&info, 0, sizeof(info));
	memset(table, 0, sizeof(table));
	memset(unit, 0, sizeof(unit));
	memset(said, 0, sizeof(said));
	len = 48;
	info.tables = 1;
	info.table[0] = (struct acpi_table){ .pa = 0x1000, .valid = true };
	strcpy(info.table[0].sig, sig);
}

static void intel(u16 type, u64 base)
{
	store16(table + len, type);
	store16(table + len + 2, 24);
	store64(table + len + 8, base);
	len += 24;
}

static void amd(u8 type, u64 base)
{
	table[len] = type;
	store16(table + len + 2, 40);
	store64(table + len + 8, base);
	len += 40;
}

static int off(u64 *stuck)
{
	info.table[0].len = len;
	return iommu_off(&info, &reader, &io, stuck);
}

static void test_intel(void **state)
{
	u64 stuck;

	begin("DMAR");
	intel(1, 0x12345000);		/* reserved memory: no unit */
	intel(0, BASE(0));
	intel(0, BASE(1));
	intel(3, BASE(2));
	/* As a boot loader leaves it: all on; and one-shot bits of the past. */
	unit[0] = (struct unit){ .status = 0xd7000000, .pmen = 0x80000001, .cap = BIT(5) };
	unit[1].status = BIT(30);
	assert_int_equal(off(&stuck), 0);
	assert_int_equal(unit[0].status & (BIT(31) | BIT(25) | BIT(26)), 0);
	assert_int_equal(unit[0].pmen, 0);
	assert_int_equal(unit[1].writes + unit[2].writes, 0);
	assert_string_equal(said, "fed90000 interrupt remapping\nfed90000 DMA translation\n"
			    "fed90000 its queue\nfed90000 memory protected from DMA\n");
}

static void test_amd(void **state)
{
	u64 stuck;

	begin("IVRS");
	amd(0x10, BASE(0));
	amd(0x11, BASE(0));		/* the same, told at greater length */
	amd(0x20, 0x40000000);		/* memory */
	amd(0x40, BASE(1));
	unit[0] = (struct unit){ .amd = true, .control = BIT(0) | BIT(2) | BIT(10) | BIT(12) };
	unit[1] = (struct unit){ .amd = true, .control = BIT(10) };
	assert_int_equal(off(&stuck), 0);
	assert_int_equal(unit[0].control, BIT(10));
	assert_int_equal(unit[1].writes, 0);
	assert_string_equal(said, "fed90000 DMA translation\n");
}

static void test_stuck(void **state)
{
	u64 stuck = 0;

	begin("DMAR");
	intel(0, BASE(0));
	intel(0, BASE(1));
	unit[1] = (struct unit){ .status = BIT(31), .stuck = true };
	assert_int_equal(off(&stuck), -EBUSY);
	assert_int_equal(stuck, BASE(1));
	begin("IVRS");
	amd(0x10, BASE(2));
	unit[2] = (struct unit){ .amd = true, .control = 1, .stuck = true };
	assert_int_equal(off(&stuck), -EBUSY);
	assert_int_equal(stuck, BASE(2));
}

/* Units that are not there, and tables that break off anywhere. */
static void test_odd(void **state)
{
	u64 stuck;
	u32 cut, full;

	begin("DMAR");
	intel(0, BASE(0));
	intel(0, 0);
	intel(0, BASE(1) + 8);
	intel(0, BASE(UNITS));
	unit[0].status = ~0u;
	assert_int_equal(off(&stuck), 0);
	assert_string_equal(said, "");
	full = len;
	for (cut = 36; cut < full; cut++) {
		len = cut;
		assert_int_equal(off(&stuck), 0);
	}
	begin("IVRS");
	amd(0x10, BASE(0));
	unit[0] = (struct unit){ .amd = true, .control = 1 };
	store16(table + 50, 3);
	assert_int_equal(off(&stuck), 0);
	assert_int_equal(unit[0].writes, 0);
	assert_string_equal(said, "IVRS: an entry of impossible length ends the list\n");
	begin("APIC");
	assert_int_equal(off(&stuck), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intel),
		cmocka_unit_test(test_amd),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
