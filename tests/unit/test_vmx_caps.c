/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vmx_caps.c -- which cores may run the first one's VMCSs.
 */
#include "tests/unit/host.h"

#include "arch/x86/vmx/vmx_caps.c"

#undef fail
#include <cmocka.h>

static const struct vmx_caps first = {
	.revision = 18, .timer_shift = 5, .any_error_code = true,
	.pin = 0x7f, .pin_must = 0x16, .proc = 0xfff9fffe, .proc_must = 0x4006172,
	.proc2 = 0x553cfe, .exit = 0xffffff, .exit_must = 0x36dfb, .entry = 0x3ffff,
	.entry_must = 0x11fb, .ept_vpid = 0xf0106734141,
};

static void test_alike(void **state)
{
	struct vmx_caps c = first;

	assert_null(vmx_caps_lack(&first, &c));
	/* It may have more, which nobody uses. */
	c.proc2 |= (u32)BIT(31);
	c.exit |= (u32)BIT(31);
	c.ept_vpid |= BIT(50);
	c.proc_must &= ~(u32)BIT(1);
	assert_null(vmx_caps_lack(&first, &c));
}

#define DIFFERS(change)						\
	do {							\
		struct vmx_caps c = first;			\
								\
		c.change;					\
		assert_non_null(vmx_caps_lack(&first, &c));	\
	} while (0)

static void test_lacking(void **state)
{
	DIFFERS(revision = 19);
	DIFFERS(timer_shift = 0);
	DIFFERS(any_error_code = false);
	DIFFERS(pin &= ~0x40u);
	DIFFERS(proc &= ~0x80u);
	DIFFERS(proc2 &= ~0x20u);
	DIFFERS(exit &= ~0x400000u);
	DIFFERS(entry &= ~0x8000u);
	DIFFERS(pin_must |= 0x40);
	DIFFERS(proc_must |= (u32)BIT(7));
	DIFFERS(proc2_must |= 1);
	DIFFERS(exit_must |= 0x400000);
	DIFFERS(entry_must |= 0x8000);
	DIFFERS(ept_vpid &= ~BIT(16));
}

static void test_broken_timer(void **state)
{
	assert_true(vmx_timer_broken(0x306a8));
	assert_true(vmx_timer_broken(0x206e6));
	/* The processor type and reserved bits have no say. */
	assert_true(vmx_timer_broken(0x206e6 | BITS(15, 14) | (u32)BIT(31)));
	assert_false(vmx_timer_broken(0x306a9));
	assert_false(vmx_timer_broken(0x906a3));
	assert_false(vmx_timer_broken(0x50654));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alike),
		cmocka_unit_test(test_lacking),
		cmocka_unit_test(test_broken_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
