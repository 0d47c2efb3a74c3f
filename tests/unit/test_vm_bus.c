/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_bus.c -- dispatch of port and memory accesses in joist-vm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guests/control/joist-vm/bus.c"

struct dev {
	u8 id;
	unsigned reads, writes;
	u64 offset, value;
	unsigned size;
};

static u64 rd(void *dev, u64 offset, unsigned size)
{
	struct dev *d = dev;

	d->reads++;
	d->offset = offset;
	d->size = size;
	return 0xffffffffffffff00ull | (u8)(d->id + offset);
}

static void wr(void *dev, u64 offset, unsigned size, u64 value)
{
	struct dev *d = dev;

	d->writes++;
	d->offset = offset;
	d->size = size;
	d->value = value;
}

static int add(struct bus *b, struct dev *d, u64 base, u64 len, unsigned width)
{
	struct bus_window w = { base, len, width, d, rd, wr };

	return bus_add(b, &w);
}

static void test_unclaimed(void **state)
{
	struct bus b = { 0 };

	(void)state;
	assert_int_equal(bus_read(&b, 0x80, 1), 0xff);
	assert_int_equal(bus_read(&b, 0x80, 2), 0xffff);
	assert_int_equal(bus_read(&b, 0x80, 4), 0xffffffff);
	assert_true(bus_read(&b, 0x80, 8) == ~0ull);
	bus_write(&b, 0x80, 4, 1);
}

static void test_width_and_split(void **state)
{
	struct dev d = { .id = 0x10 }, e = { .id = 0x80 };
	struct bus b = { 0 };

	(void)state;
	assert_int_equal(add(&b, &e, 0x70, 4, 4), 0);
	assert_int_equal(add(&b, &d, 0x60, 3, 1), 0);
	assert_int_equal(bus_read(&b, 0x60, 4), 0xff121110);
	assert_int_equal(d.reads, 3);
	assert_int_equal(bus_read(&b, 0x70, 4), 0xffffff80);
	assert_int_equal(e.reads, 1);
	bus_write(&b, 0x61, 2, 0xaabb);
	assert_int_equal(d.writes, 2);
	assert_int_equal(d.value, 0xaa);
	assert_int_equal(d.offset, 2);
	bus_write(&b, 0x72, 4, 0x11223344);	/* half of it is outside */
	assert_int_equal(e.writes, 1);
	assert_int_equal(e.value, 0x3344);
	assert_int_equal(e.size, 2);
	assert_int_equal(bus_read(&b, 0x6f, 1), 0xff);
	assert_int_equal(bus_read(&b, 0x74, 1), 0xff);
}

static void test_overlap(void **state)
{
	struct bus b = { 0 };
	struct dev d = { 0 };
	unsigned i;

	(void)state;
	assert_int_equal(add(&b, &d, 0x100, 0x10, 1), 0);
	assert_int_equal(add(&b, &d, 0x10f, 1, 1), -EEXIST);
	assert_int_equal(add(&b, &d, 0x0ff, 2, 1), -EEXIST);
	assert_int_equal(add(&b, &d, 0x000, 0x1000, 1), -EEXIST);
	assert_int_equal(add(&b, &d, 0x0f0, 0x10, 1), 0);
	assert_int_equal(add(&b, &d, 0x110, 0, 1), -EINVAL);
	assert_int_equal(add(&b, &d, ~0ull, 2, 1), -EINVAL);
	assert_int_equal(add(&b, &d, ~0ull, 1, 1), 0);
	bus_remove(&b, 0x100);
	bus_remove(&b, 0x105);
	assert_int_equal(bus_read(&b, 0x105, 1), 0xff);
	assert_int_equal(d.reads, 0);
	for (i = b.count; i < BUS_WINDOWS; i++)
		assert_int_equal(add(&b, &d, 0x1000 + i, 1, 1), 0);
	assert_int_equal(add(&b, &d, 0x5000, 1, 1), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unclaimed),
		cmocka_unit_test(test_width_and_split),
		cmocka_unit_test(test_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
