/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_speculation.c -- what guests see and may do of speculation control, on
 * CPUs that have it, have part of it, or say more than they have.
 */
#include "tests/unit/fake_cpu.h"
#include "tests/unit/host_vcpu.h"

#undef fail
#include <cmocka.h>

struct vm *control_vm;
static struct vm the_vm;
static struct vcpu *vcpu;

static struct cpuid leaf_1_7, ext_8, ext_21;
static u32 vendor_ebx, signature, last_ext;

static struct cpuid a_cpu(u32 leaf, u32 sub)
{
	switch (leaf) {
	case 0: return (struct cpuid){ 0xd, vendor_ebx };
	case 1: return (struct cpuid){ signature };
	case 7: return sub ? (struct cpuid){} : leaf_1_7;
	case 0x80000000: return (struct cpuid){ last_ext };
	case 0x80000008: return ext_8;
	case 0x80000021: return ext_21;
	default: return (struct cpuid){};
	}
}

#define SIG_INTEL	0x756e6547
#define SIG_AMD	0x68747541

static void boot(u32 vendor, u32 sig, u32 ext)
{
	vendor_ebx = vendor;
	signature = sig;
	last_ext = ext;
	fake_cpuid = a_cpu;
	host_pool(0, 16 * MiB);
	host_features();
	guest_features.spec_ctrl = guest_features.pred_cmd = 0;
	mitigations_init(MITIGATIONS_AUTO);
	guest_features_init();
	memset(&the_vm, 0, sizeof(the_vm));
	the_vm.owner = OWNER_GUEST;
	the_vm.vcpu_count = 1;
	assert_int_equal(stage2_init(&the_vm.s2, backend->stage2), 0);
	assert_int_equal(vcpu_create(&the_vm, 0, &the_vm.vcpu[0]), 0);
	vcpu = the_vm.vcpu[0];
}

static int start(void **state)
{
	fake_count = 0;
	fake_xcr0 = XCR0_X87 | XCR0_SSE;
	fake_xcr0_takes = ~0ull;
	leaf_1_7 = ext_8 = ext_21 = (struct cpuid){};
	ext_8.eax = 0x3028;
	return 0;
}

static struct cpuid seen(u32 leaf)
{
	vcpu->gpr[JOIST_RAX] = leaf;
	vcpu->gpr[JOIST_RCX] = 0;
	assert_int_equal(exit_cpuid(vcpu), DONE);
	return (struct cpuid){ (u32)vcpu->gpr[JOIST_RAX], (u32)vcpu->gpr[JOIST_RBX],
			       (u32)vcpu->gpr[JOIST_RCX], (u32)vcpu->gpr[JOIST_RDX] };
}

static bool writes(u32 msr, u64 val)
{
	vcpu->gpr[JOIST_RCX] = msr;
	vcpu->gpr[JOIST_RAX] = (u32)val;
	vcpu->gpr[JOIST_RDX] = val >> 32;
	vcpu->exception.info = 0;
	return exit_wrmsr(vcpu) == DONE;
}

static bool reads(u32 msr, u64 *val)
{
	vcpu->gpr[JOIST_RCX] = msr;
	vcpu->exception.info = 0;
	if (exit_rdmsr(vcpu) != DONE)
		return false;
	*val = (u32)vcpu->gpr[JOIST_RAX] | vcpu->gpr[JOIST_RDX] << 32;
	return true;
}

static void test_intel(void **state)
{
	u64 val;

	leaf_1_7.edx = (u32)(BIT(9) | BIT(10) | BITS(29, 26) | BIT(31));
	fake_msr(MSR_SPEC_CTRL, 0, 7);
	fake_msr(MSR_PRED_CMD, 0, 1);
	fake_msr(MSR_FLUSH_CMD, 0, 1);
	fake_msr(MSR_ARCH_CAPABILITIES, CAP_GDS_CTRL | CAP_FB_CLEAR | CAP_TSX_CTRL, 0);
	fake_msr(MSR_MCU_OPT_CTRL, 0, 0);
	boot(SIG_INTEL, 0x506e3, 0x80000008);
	/* All but what announces MCU_OPT_CTRL. */
	assert_int_equal(seen(7).edx, (u32)(BIT(10) | BITS(29, 26) | BIT(31)));
	assert_true(reads(MSR_ARCH_CAPABILITIES, &val));
	assert_int_equal(val, mitigations.arch_cap);
	assert_int_equal(val, CAP_SKIP_L1DFL | CAP_PSCHANGE_MC_NO | CAP_FB_CLEAR | CAP_GDS_NO);
	assert_false(writes(MSR_ARCH_CAPABILITIES, val));
	assert_true(writes(MSR_FLUSH_CMD, 1));
	assert_int_equal(fake_find(MSR_FLUSH_CMD)->val, 1);
	assert_false(writes(MSR_FLUSH_CMD, 2));
	assert_false(reads(MSR_FLUSH_CMD, &val));
	assert_true(writes(MSR_PRED_CMD, 1));
	assert_false(reads(MSR_PRED_CMD, &val));
	assert_int_equal(seen(0x80000000).eax, 0x80000008);
	ext_21.eax = ~0u;
	assert_int_equal(seen(0x80000021).eax, 0);
}

/* A CPU of before 2018, and a hypervisor around us that says what it has not. */
static void test_without(void **state)
{
	u64 val;

	boot(SIG_INTEL, 0x506e3, 0x80000008);
	assert_int_equal(seen(7).edx, (u32)BIT(29));
	assert_true(reads(MSR_ARCH_CAPABILITIES, &val));
	assert_false(writes(MSR_FLUSH_CMD, 1));
	assert_false(writes(MSR_PRED_CMD, 1));
	assert_false(reads(MSR_SPEC_CTRL, &val));
	leaf_1_7.edx = (u32)(BIT(10) | BITS(29, 26) | BIT(31));
	boot(SIG_INTEL, 0x506e3, 0x80000008);
	assert_int_equal(seen(7).edx, (u32)(BIT(10) | BIT(29)));
	assert_false(writes(MSR_FLUSH_CMD, 1));
	assert_false(mitigations.ibpb || mitigations.l1d_flush);
	assert_int_equal(mitigations.guard, GUARD_RSB | GUARD_VERW);
	/* Of SPEC_CTRL only a part. */
	fake_msr(MSR_SPEC_CTRL, 0, 3);
	fake_msr(MSR_PRED_CMD, 0, 1);
	boot(SIG_INTEL, 0x506e3, 0x80000008);
	assert_int_equal(seen(7).edx, (u32)(BIT(10) | BIT(26) | BIT(27) | BIT(29)));
}

static void test_amd(void **state)
{
	u64 val;

	/* Zen 4, with what is not for guests in all the gaps. */
	ext_8.ebx = ~0u;
	ext_21 = (struct cpuid){ ~(u32)BIT(31), ~0u, ~0u, ~0u };
	fake_msr(MSR_SPEC_CTRL, 0, ~0ull);
	fake_msr(MSR_PRED_CMD, 0, 1);
	fake_msr(MSR_EFER, 0, ~0ull);
	boot(SIG_AMD, 0x00a10f11, 0x80000028);
	assert_int_equal(seen(7).edx, 0);
	assert_int_equal(seen(0x80000000).eax, 0x80000021);
	assert_int_equal(seen(0x80000008).ebx, ALLOW_EXT8_EBX);
	assert_int_equal(seen(0x80000021).eax, ALLOW_EXT21_EAX);
	assert_int_equal(seen(0x80000021).ebx, 0);
	assert_int_equal(seen(0x80000021).ecx, ALLOW_EXT21_ECX);
	assert_int_equal(seen(0x80000022).eax, 0);
	assert_int_equal(seen(0x8000000a).edx, 0);
	assert_false(reads(MSR_ARCH_CAPABILITIES, &val));
	/* Automatic IBRS: the hypervisor's, and for guests to have. */
	mitigations_enable();
	assert_true(fake_find(MSR_EFER)->val & EFER_AIBRSE);
	assert_true(writes(MSR_EFER, EFER_AIBRSE));
	/* Zen 1 without leaf 80000021h: LFENCE is made to wait, and there is no leaf. */
	ext_8.ebx = (u32)BIT(12);
	ext_21 = (struct cpuid){};
	fake_msr(MSR_DE_CFG, 0, ~0ull);
	boot(SIG_AMD, 0x00800f12, 0x8000001f);
	assert_int_equal(seen(0x80000000).eax, 0x8000001f);
	assert_int_equal(seen(0x80000008).ebx, BIT(12));
	mitigations_enable();
	assert_true(fake_find(MSR_DE_CFG)->val & BIT(1));
	assert_false(writes(MSR_EFER, EFER_AIBRSE));
	assert_false(writes(MSR_SPEC_CTRL, 0));
	assert_true(writes(MSR_PRED_CMD, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_intel, start),
		cmocka_unit_test_setup(test_without, start),
		cmocka_unit_test_setup(test_amd, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
