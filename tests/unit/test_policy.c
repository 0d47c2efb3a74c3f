/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_policy.c -- what of a CPU's own state guests and the control VM may
 * reach, on CPUs that have it and on CPUs that refuse.
 */
#include "tests/unit/fake_cpu.h"
#include "tests/unit/host_vcpu.h"

#include "core/hc_regs.c"

#undef fail
#include <cmocka.h>

struct vm *control_vm;
static struct vm the_vm, the_control;
static struct vcpu *vcpu;

int control_show(u64 hpa, u64 len)
{
	return 0;
}

void control_hide(u64 hpa, u64 len)
{
}

static struct cpuid no_leaf(u32 leaf, u32 sub)
{
	return (struct cpuid){};
}

static int start(void **state)
{
	fake_count = 0;
	fake_cpuid = no_leaf;
	fake_xcr0 = XCR0_X87 | XCR0_SSE;
	fake_xcr0_takes = ~0ull;
	fake_xrstors = fake_xrstor_refuses = 0;
	fake_msr(MSR_SPEC_CTRL, 0, ~0ull);
	fake_msr(MSR_PRED_CMD, 0, 1);
	fake_msr(MSR_TSC_AUX, 0, ~0u);
	host_pool(0, 16 * MiB);
	host_features();
	memset(&the_vm, 0, sizeof(the_vm));
	memset(&the_control, 0, sizeof(the_control));
	control_vm = &the_control;
	the_vm.owner = OWNER_GUEST;
	the_vm.vcpu_count = the_control.vcpu_count = 1;
	if (stage2_init(&the_vm.s2, backend->stage2) ||
	    stage2_init(&the_control.s2, backend->stage2) ||
	    vcpu_create(&the_vm, 0, &the_vm.vcpu[0]) ||
	    vcpu_create(&the_control, 0, &the_cpu.control))
		return -1;
	vcpu = the_vm.vcpu[0];
	return 0;
}

static bool faulted(struct vcpu *v)
{
	bool f = (v->exception.info & JOIST_EVENT_VECTOR) == EXC_GP && v->exception.info;

	v->exception.info = 0;
	return f;
}

/* False: #GP. */
static bool write_msr(struct vcpu *v, u32 msr, u64 val)
{
	v->gpr[JOIST_RCX] = msr;
	v->gpr[JOIST_RAX] = (u32)val;
	v->gpr[JOIST_RDX] = val >> 32;
	if (v->control)
		control_wrmsr(v);
	else
		exit_wrmsr(v);
	return !faulted(v);
}

static bool read_msr(struct vcpu *v, u32 msr, u64 *val)
{
	v->gpr[JOIST_RCX] = msr;
	if (v->control)
		control_rdmsr(v);
	else
		exit_rdmsr(v);
	*val = (u32)v->gpr[JOIST_RAX] | v->gpr[JOIST_RDX] << 32;
	return !faulted(v);
}

/* Which CPU the made-up CPUID is of. */
static u32 leaf7_edx, ext8_ebx;

static struct cpuid speculation_cpuid(u32 leaf, u32 sub)
{
	switch (leaf) {
	case 0: return (struct cpuid){ .eax = 7 };
	case 7: return (struct cpuid){ .edx = leaf7_edx };
	case 0x80000000: return (struct cpuid){ .eax = 0x80000008 };
	case 0x80000008: return (struct cpuid){ .eax = 40, .ebx = ext8_ebx };
	default: return (struct cpuid){};
	}
}

static void features(u32 edx, u32 ebx)
{
	leaf7_edx = edx;
	ext8_ebx = ebx;
	fake_cpuid = speculation_cpuid;
	memset(&guest_features, 0, sizeof(guest_features));
	guest_features_init();
}

static void test_spec_ctrl_is_what_the_cpu_has(void **state)
{
	static const struct {
		u32 edx, ebx;
		u64 takes, want, pred;
	} cpus[] = {
		{ 0, 0, 0, 0, 0 },
		{ BIT(26), 0, 3, 1, 1 },			/* Intel before SSBD */
		{ BIT(26) | BIT(27) | BIT(31), 0, 7, 7, 1 },
		{ 0, BIT(12), 0, 0, 1 },			/* AMD, IBPB alone */
		{ 0, BIT(12) | BIT(14) | BIT(15) | BIT(24), 7, 7, 1 },
		{ 0, BIT(24) | BIT(28), 0x84, 0x84, 0 },
		{ BIT(26) | BIT(31), 0, 3, 1, 1 },		/* says more than it takes */
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(cpus); i++) {
		fake_msr(MSR_SPEC_CTRL, 0, cpus[i].takes);
		features(cpus[i].edx, cpus[i].ebx);
		assert_int_equal(guest_features.spec_ctrl, cpus[i].want);
		assert_int_equal(guest_features.pred_cmd, cpus[i].pred);
		assert_int_equal(fake_find(MSR_SPEC_CTRL)->val, 0);
	}
	/* One that has no such MSR at all. */
	fake_count = 0;
	features(BIT(26), 0);
	assert_int_equal(guest_features.spec_ctrl, 0);
}

static void test_spec_ctrl_refused_is_not_kept(void **state)
{
	struct joist_regs_args a = { .mask = JOIST_REGS_MSR };
	struct hc_context c = { .vm = &the_vm, .vcpu = vcpu };
	u64 val;

	guest_features.spec_ctrl = 3;
	fake_msr(MSR_SPEC_CTRL, 0, 3);
	assert_true(write_msr(vcpu, MSR_SPEC_CTRL, 1));
	assert_false(write_msr(vcpu, MSR_SPEC_CTRL, 4));
	assert_int_equal(vcpu->gs.spec_ctrl, 1);
	assert_true(read_msr(vcpu, MSR_SPEC_CTRL, &val));
	assert_int_equal(val, 1);
	/* From outside the same. */
	guest_features.spec_ctrl = 3;
	assert_int_equal(hc_readregs(&c, &a), 0);
	a.regs.msr[JOIST_MSR_SPEC_CTRL] = 4;
	assert_int_equal(hc_writeregs(&c, &a), -EINVAL);
	assert_int_equal(vcpu->gs.spec_ctrl, 1);
	a.regs.msr[JOIST_MSR_SPEC_CTRL] = 2;
	assert_int_equal(hc_writeregs(&c, &a), 0);
	assert_int_equal(vcpu->gs.spec_ctrl, 2);
	/* Where there is none, there is none. */
	guest_features.spec_ctrl = guest_features.pred_cmd = 0;
	assert_false(read_msr(vcpu, MSR_SPEC_CTRL, &val));
	assert_false(write_msr(vcpu, MSR_SPEC_CTRL, 0));
	assert_false(write_msr(vcpu, MSR_PRED_CMD, 0));
	a.regs.msr[JOIST_MSR_SPEC_CTRL] = 1;
	assert_int_equal(hc_writeregs(&c, &a), -EINVAL);
	a.regs.msr[JOIST_MSR_SPEC_CTRL] = 0;
	assert_int_equal(hc_writeregs(&c, &a), 0);
}

/* What switches worlds survives a CPU that refuses what it is given. */
static void test_switch_survives_refusals(void **state)
{
	mitigations = (struct mitigations){ .guard = GUARD_SPEC, .spec_ctrl = 4 };
	fake_msr(MSR_SPEC_CTRL, 1, 3);
	load_guest(&the_cpu, vcpu);
	unload_guest(&the_cpu, vcpu);
	assert_true(fake_find(MSR_SPEC_CTRL)->refused);
	assert_int_equal(fake_find(MSR_SPEC_CTRL)->val, 1);
}

/* The hypervisor runs with its own SPEC_CTRL, the control VM gets back its own. */
static void test_guard(void **state)
{
	struct cpu *c = &the_cpu;

	guest_features.spec_ctrl = 7;
	mitigations = (struct mitigations){ .guard = GUARD_SPEC | GUARD_RSB, .spec_ctrl = 1,
					    .ibpb = true, .l1d_flush = true };
	fake_msr(MSR_SPEC_CTRL, 2, 7);
	fake_msr(MSR_FLUSH_CMD, 0, 1);
	load_guest(c, vcpu);
	assert_int_equal(fake_find(MSR_SPEC_CTRL)->val, 1);
	assert_int_equal(fake_find(MSR_FLUSH_CMD)->val, 1);
	assert_int_equal(fake_find(MSR_PRED_CMD)->val, 0);
	/* What the hypervisor wants set is set in the guest, too: nothing to write. */
	assert_int_equal(c->guard, GUARD_RSB);
	assert_true(write_msr(vcpu, MSR_SPEC_CTRL, 4));
	assert_int_equal(c->guard, GUARD_RSB | GUARD_SPEC);
	assert_int_equal(c->spec_guest, 5);
	assert_int_equal(c->spec_host, 1);
	assert_int_equal(vcpu->gs.spec_ctrl, 4);
	assert_int_equal(fake_find(MSR_SPEC_CTRL)->val, 1);
	assert_true(write_msr(vcpu, MSR_SPEC_CTRL, 1));
	assert_int_equal(c->guard, GUARD_RSB);
	unload_guest(c, vcpu);
	assert_int_equal(c->guard, 0);
	assert_int_equal(fake_find(MSR_SPEC_CTRL)->val, 2);
	assert_int_equal(fake_find(MSR_PRED_CMD)->val, 1);
	/* Where the VMCB has it, the MSR is nobody's business. */
	mitigations = (struct mitigations){ .guard = GUARD_RSB, .spec_in_vmcb = true };
	fake_msr(MSR_SPEC_CTRL, 2, 0);
	load_guest(c, vcpu);
	assert_int_equal(c->guard, GUARD_RSB);
	unload_guest(c, vcpu);
	assert_false(fake_find(MSR_SPEC_CTRL)->refused);
	mitigations = (struct mitigations){};
}

static void test_xrstor_refused(void **state)
{
	struct vcpu *control = the_cpu.control;
	u64 *bv = (u64 *)((u8 *)vcpu->xstate + HEADER_OFFSET);

	mask = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	*bv = mask;
	/* Once: tried again with XCR0 as it must be. */
	fake_xrstor_refuses = 1;
	xstate_switch(control, vcpu);
	assert_int_equal(vcpu->dead, 0);
	assert_int_equal(fake_xrstors, 2);
	/* For good: the guest ends, and gets nothing of the control VM's. */
	fake_xrstor_refuses = 100;
	xstate_switch(control, vcpu);
	assert_int_equal(vcpu->dead, JOIST_EXIT_ERROR);
	assert_int_equal(vcpu->run->error.code, JOIST_ERR_ENTRY);
	assert_int_equal(*bv, 0);
	/* The control VM goes on. */
	fake_xrstor_refuses = 100;
	xstate_switch(vcpu, control);
	assert_int_equal(control->dead, 0);
	/* An XCR0 that the CPU does not take is no panic, either. */
	vcpu->dead = fake_xrstor_refuses = 0;
	fake_xcr0_takes = 7;
	vcpu->gs.xcr0 = 0x207;
	xstate_switch(control, vcpu);
	assert_int_equal(vcpu->dead, JOIST_EXIT_ERROR);
	/* Without XSAVE. */
	vcpu->dead = mask = 0;
	fake_xrstor_refuses = 100;
	xstate_switch(control, vcpu);
	assert_int_equal(vcpu->dead, JOIST_EXIT_ERROR);
}

static void test_mxcsr(void **state)
{
	u32 *mxcsr = (u32 *)((u8 *)vcpu->xstate + MXCSR_OFFSET);

	*mxcsr = BIT(6);		/* DAZ: not on the first CPUs with SSE */
	assert_int_equal(xstate_check(vcpu->xstate), 0);
	mxcsr_mask = MXCSR_MASK_OLD;
	assert_int_equal(xstate_check(vcpu->xstate), -EINVAL);
	*mxcsr = BIT(17);		/* AMD's misaligned SSE mode */
	assert_int_equal(xstate_check(vcpu->xstate), -EINVAL);
	mxcsr_mask = 0x2ffff;
	assert_int_equal(xstate_check(vcpu->xstate), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_spec_ctrl_is_what_the_cpu_has, start),
		cmocka_unit_test_setup(test_spec_ctrl_refused_is_not_kept, start),
		cmocka_unit_test_setup(test_switch_survives_refusals, start),
		cmocka_unit_test_setup(test_guard, start),
		cmocka_unit_test_setup(test_xrstor_refused, start),
		cmocka_unit_test_setup(test_mxcsr, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
