/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_exit.c -- stepping over an instruction that has exited.  The handlers of
 * exits are elsewhere: not called here, and not linked.
 */
#include "tests/unit/host.h"

#include "arch/x86/exit.c"

#undef fail
#include <cmocka.h>

static u64 regs[VREG_COUNT];
static u32 raised;

static u64 reg_get(struct vcpu *v, enum vreg r)
{
	return regs[r];
}

static void reg_set(struct vcpu *v, enum vreg r, u64 val)
{
	regs[r] = val;
}

static void shadow_end(struct vcpu *v)
{
}

static const struct backend fake = {
	.reg_get = reg_get, .reg_set = reg_set, .shadow_end = shadow_end,
};
const struct backend *backend = &fake;

void event_exception(struct vcpu *v, u32 vector)
{
	raised |= (u32)BIT(vector);
}

enum insn_mode guest_mode(struct vcpu *v)
{
	return INSN_64;
}

static u32 stepped(u64 rflags, u64 debugctl)
{
	struct vcpu v = { .rip = 0x1000, .rflags = rflags };

	raised = 0;
	regs[VREG_DR6] = 0;
	regs[VREG_DEBUGCTL] = debugctl;
	exit_step(&v, 2);
	assert_int_equal(v.rip, 0x1002);
	assert_int_equal(v.rflags, rflags & ~RFLAGS_RF);
	assert_int_equal(!!(regs[VREG_DR6] & BIT(14)), !!raised);
	return raised;
}

/* SDM, "Single-Stepping on Branches". */
static void test_single_step(void **state)
{
	assert_int_equal(stepped(RFLAGS_ONE, 0), 0);
	assert_int_equal(stepped(RFLAGS_ONE | RFLAGS_RF, 0), 0);
	assert_int_equal(stepped(RFLAGS_TF, 0), BIT(EXC_DB));
	assert_int_equal(stepped(RFLAGS_TF, DEBUGCTL_BTF), 0);
	assert_int_equal(stepped(RFLAGS_TF, BIT(0)), BIT(EXC_DB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
