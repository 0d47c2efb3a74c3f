/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_cores.c -- of any list of cores, each is used, parked, or the reason why
 * the machine is refused: none is left to be started by somebody else.
 */
#include "tests/unit/host.h"

#include "core/cores.c"

#undef fail
#include <cmocka.h>

static struct acpi_info acpi;
static struct smp_core list[AP_SLOTS_MAX];
static const char *why;
static u32 count, which;

static void machine(u32 cpus, u32 first, u32 step)
{
	u32 i;

	memset(&acpi, 0, sizeof(acpi));
	memset(list, 0xa5, sizeof(list));
	for (i = 0; i < cpus; i++)
		acpi.apic_id[i] = first + i * step;
	acpi.cpus = cpus;
}

static int choose(u32 own, bool x2apic, u32 max)
{
	why = NULL;
	count = which = ~0u;
	return cores_choose(&acpi, own, x2apic, max, list, &count, &why, &which);
}

/* Each id but the boot core's is there once; the used ones come first. */
static void check(u32 own, u32 used)
{
	u32 i, k, n;

	for (i = 0; i < acpi.cpus; i++) {
		for (k = n = 0; k < count; k++)
			if (list[k].apic_id == acpi.apic_id[i]) {
				n++;
				assert_false(list[k].optional);
			}
		assert_int_equal(n, acpi.apic_id[i] != own);
	}
	for (i = 0; i < count; i++) {
		assert_int_equal(list[i].park, i >= used);
		assert_true(i >= used || list[i].apic_id <= 254);
	}
}

static void test_one(void **state)
{
	machine(1, 0, 1);
	assert_int_equal(choose(0, false, 256), 0);
	assert_int_equal(count, 0);
}

static void test_all_are_used(void **state)
{
	machine(130, 0, 1);
	/* The boot core need not be the first. */
	assert_int_equal(choose(7, false, 256), 0);
	assert_int_equal(count, 129);
	check(7, 129);
}

static void test_maxcpu(void **state)
{
	u32 max;

	for (max = 1; max <= 70; max++) {
		machine(66, 0, 2);
		assert_int_equal(choose(4, false, max), 0);
		assert_int_equal(count, 65);
		check(4, MIN(max, 66u) - 1);
	}
}

/* More than can be used, and ids that no interrupt can be sent to. */
static void test_large(void **state)
{
	machine(1000, 0, 1);
	assert_int_equal(choose(0, true, 256), 0);
	assert_int_equal(count, 999);
	check(0, 254);			/* ids 1 to 254 */
	machine(300, 0, 16);
	assert_int_equal(choose(16, true, 256), 0);
	check(16, 15);
	machine(1024, 0, 1);
	assert_int_equal(choose(0, true, 256), 0);
	assert_int_equal(count, 1023);
}

static void test_spares(void **state)
{
	machine(2, 0, 1);
	acpi.spares = 3;
	acpi.spare_id[0] = 1;		/* enabled, too */
	acpi.spare_id[1] = 9;
	acpi.spare_id[2] = 0;
	assert_int_equal(choose(0, false, 256), 0);
	assert_int_equal(count, 2);
	assert_int_equal(list[0].apic_id, 1);
	assert_false(list[0].park || list[0].optional);
	assert_int_equal(list[1].apic_id, 9);
	assert_true(list[1].park && list[1].optional);
}

static void refused(int err, u32 id, const char *text)
{
	assert_true(err < 0);
	assert_int_equal(which, id);
	assert_non_null(strstr(why, text));
}

static void test_refusals(void **state)
{
	/* In xAPIC mode an id has 8 bits: the SIPI would go to another core. */
	machine(2, 0, 256);
	refused(choose(0, false, 256), 256, "xAPIC");
	refused(choose(0, false, 1), 256, "xAPIC");
	assert_int_equal(choose(0, true, 256), 0);
	machine(2, 0, 255);
	refused(choose(0, false, 256), 255, "xAPIC");
	refused(choose(255, true, 256), 255, "remapping");
	machine(2, 0, 1);
	acpi.left_out = 1;
	refused(choose(0, false, 256), 0, "1024");
	/* What may never be there is no reason. */
	machine(1024, 0, 1);
	acpi.spares = 2;
	acpi.spare_id[0] = 2000;
	acpi.spare_id[1] = 2001;
	assert_int_equal(choose(0, true, 256), 0);
	assert_int_equal(count, 1024);
	machine(2, 0, 1);
	acpi.spares = 1;
	acpi.spare_id[0] = 300;
	assert_int_equal(choose(0, false, 256), 0);
	assert_int_equal(count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_all_are_used),
		cmocka_unit_test(test_maxcpu),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_spares),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
