/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mce.c -- whose a machine check is, and which one ends the hypervisor: with
 * a CPU's banks in variables.
 */
#include "tests/unit/host.h"

#define rdmsr_safe	rdmsr_safe_real
#define wrmsr_safe	wrmsr_safe_real
#include "arch/x86/insn.h"
#undef rdmsr_safe
#undef wrmsr_safe

static u64 cap, mcg_status, bank[4];
static u32 cleared;

static bool rdmsr_safe(u32 msr, u64 *val)
{
	*val = 0;
	if (msr == 0x179)
		*val = cap;
	else if (msr == 0x17a)
		*val = mcg_status;
	else if (msr >= 0x401 && msr < 0x401 + 16 && msr % 4 == 1)
		*val = bank[(msr - 0x401) / 4];
	else
		return false;
	return true;
}

static bool wrmsr_safe(u32 msr, u64 val)
{
	if (msr != 0x17a || val)
		return false;
	mcg_status = 0;
	cleared++;
	return true;
}

#include "arch/x86/mce.c"

#undef fail
#include <cmocka.h>

#define VAL	BIT(63)
#define UC	BIT(61)
#define PCC	BIT(57)
#define S	BIT(56)
#define AR	BIT(55)
#define RIPV	BIT(0)
#define MCIP	BIT(2)

static struct vcpu control;

static int start(void **state)
{
	memset(&control, 0, sizeof(control));
	memset(&the_cpu, 0, sizeof(the_cpu));
	memset(bank, 0, sizeof(bank));
	the_cpu.control = &control;
	cap = 4 | BIT(24);
	mcg_status = RIPV | MCIP;
	cleared = 0;
	return 0;
}

/* Whether the hypervisor says that it cannot go on. */
static bool ends(void)
{
	host_trap_armed = true;
	if (setjmp(host_trap)) {
		host_trap_armed = false;
		return true;
	}
	mce_in_hypervisor(&the_cpu, 0x1234);
	host_trap_armed = false;
	return false;
}

/* Its registers are the control VM's to read: they stay. */
static void test_handed_over(void **state)
{
	mce_hand_over(&the_cpu);
	assert_true(control.mc_pending);
	assert_true(the_cpu.request & REQ_NMI);
	assert_int_equal(cleared, 0);
	assert_int_equal(mcg_status, RIPV | MCIP);
}

/* A core that its OS has not asked for, or before there is one: nobody there
 * would clear MCIP. */
static void test_nobody_there(void **state)
{
	control.activity = JOIST_VCPU_WAIT_SIPI;
	mce_hand_over(&the_cpu);
	assert_false(control.mc_pending);
	assert_int_equal(cleared, 1);
	the_cpu.control = NULL;
	mce_hand_over(&the_cpu);
	assert_int_equal(cleared, 2);
}

static void test_in_hypervisor(void **state)
{
	/* Sent to all cores because of another's, or found by scrubbing. */
	assert_false(ends());
	assert_true(control.mc_pending);
	bank[1] = VAL | UC | S;
	assert_false(ends());
	/* Corrected ones, and what a bank without VAL says. */
	bank[1] = VAL | PCC;
	assert_false(ends());
	bank[1] = UC | PCC | AR;
	assert_false(ends());
	/* What was being executed is lost. */
	bank[3] = VAL | UC | PCC;
	assert_true(ends());
	assert_non_null(strstr(host_said, "bank 3"));
	bank[3] = VAL | UC | S | AR;
	assert_true(ends());
	/* Without software error recovery the bit means something else. */
	cap = 4;
	assert_false(ends());
	cap = 3 | BIT(24);
	assert_false(ends());
	cap = 4;
	mcg_status = MCIP;
	assert_true(ends());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_handed_over, start),
		cmocka_unit_test_setup(test_nobody_there, start),
		cmocka_unit_test_setup(test_in_hypervisor, start),
	};

	return cmocka_run_group_tests_name("mce", tests, NULL, NULL);
}
