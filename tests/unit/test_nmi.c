/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_nmi.c -- whose an NMI is: with the LAPIC and the counters in variables.
 */
#include "tests/unit/host.h"

#define rdmsr_safe	rdmsr_safe_real
#include "arch/x86/insn.h"
#undef rdmsr_safe
static u64 overflow_status;
static bool lapic_masked;

static bool rdmsr_safe(u32 msr, u64 *val)
{
	*val = overflow_status;
	return msr == 0xc0000300;
}

bool apic_counter_masked(void)
{
	return lapic_masked;
}

#define this_cpu	this_cpu_of_machine
#include "arch/x86/cpu.c"
#undef this_cpu

const char trap_stubs[1], entry_window[8], entry_window_end[1], entry_abandon[1];
const struct extable __extable_start[1], __extable_end[1];
const u8 exit_point[1], exit_point_shadow[1];

void *map_stack(u64 size)
{
	abort();
}

hpa_t early_alloc(u64 size)
{
	abort();
}

void udelay(u32 us)
{
}

void mce_in_hypervisor(struct cpu *c, u64 rip)
{
	abort();
}

#undef fail
#include <cmocka.h>

static struct vcpu control;
const struct backend *backend;

/* Whether the control VM gets it. */
static bool theirs(u32 due)
{
	struct trap_frame f = { .vector = EXC_NMI, .rip = 1 };

	control.nmi_pending = false;
	the_cpu.request = 0;
	the_cpu.nmi_due = due;
	take_nmi(&the_cpu, &f);
	assert_int_equal(the_cpu.nmi_due, 0);
	assert_int_equal(!!(the_cpu.request & REQ_NMI), control.nmi_pending);
	return control.nmi_pending;
}

static void test_whose(void **state)
{
	assert_false(theirs(0));
	the_cpu.control = &control;
	control.activity = JOIST_VCPU_WAIT_SIPI;
	assert_false(theirs(0));
	control.activity = JOIST_VCPU_IDLE;
	assert_true(theirs(0));
	assert_false(theirs(1));
}

/* One for both: a counter of the control VM's has overflowed, too. */
static void test_merged(void **state)
{
	the_cpu.control = &control;
	lapic_masked = true;
	assert_true(theirs(1));
	lapic_masked = false;
	assert_false(theirs(1));
	overflow_status = 4;
	assert_false(theirs(1));
	has_overflow_status = true;
	assert_true(theirs(1));
	overflow_status = 0;
	assert_false(theirs(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whose),
		cmocka_unit_test(test_merged),
	};

	return cmocka_run_group_tests_name("nmi", tests, NULL, NULL);
}
