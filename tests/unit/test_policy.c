/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_policy.c -- what of a CPU's own state guests and the control VM may
 * reach, on CPUs that have it and on CPUs that refuse.
 */
#include "tests/unit/fake_cpu.h"
#include "tests/unit/host_vcpu.h"

#include "arch/x86/vmx/vmx_bitmap.c"
#include "core/hc_regs.c"

#undef fail
#include <cmocka.h>

struct vm *control_vm;
static struct vm the_vm, the_control;
static struct vcpu *vcpu;

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

/* MSRs by which a CPU can be made to reach memory that is not the OS's, or by
 * which the OS would reach what is Joist's. */
static const struct msr_range dangerous[] = {
	{ 0x10, 0x12 },			/* TSC; KVM's old clock */
	{ 0x1b, 0x1b },			/* APIC_BASE */
	{ 0x33, 0x33 },			/* TEST_CTRL */
	{ 0x3a, 0x3b },			/* FEATURE_CONTROL, TSC_ADJUST */
	{ 0x79, 0x80 },			/* microcode, memory encryption */
	{ 0x87, 0x87 },
	{ 0x8c, 0x8f }, { 0x9b, 0x9b }, { 0x9e, 0x9e },	/* SGX, SMM */
	{ 0x150, 0x151 },		/* voltage */
	{ 0x1a0, 0x1a0 }, { 0x1d9, 0x1d9 },
	{ 0x1cc, 0x1d4 },		/* FRED */
	{ 0x1f2, 0x1f3 },		/* SMRR */
	{ 0x200, 0x213 }, { 0x250, 0x276 }, { 0x2ff, 0x2ff },
	{ 0x3f1, 0x3f5 }, { 0x480, 0x491 }, { 0x4e0, 0x4e0 }, { 0x500, 0x503 }, { 0x560, 0x58f }, { 0x600, 0x600 },
	{ 0x981, 0x98a },		/* TME, UINTR */
	{ 0xd90, 0xda0 },		/* MPX, PASID, XSS */
	{ 0x1400, 0x1406 }, { 0x14ce, 0x14cf }, { 0x17d0, 0x17d4 }, { 0x1900, 0x19ff },
	{ 0xc0000080, 0xc0000080 }, { 0xc0000104, 0xc0000106 },
	{ 0xc0010010, 0xc0010020 },	/* SYSCFG, HWCR, IORR, TOP_MEM, microcode */
	{ 0xc0010058, 0xc0010058 }, { 0xc0010111, 0xc001011f }, { 0xc0010130, 0xc0010138 },
};

static bool is_dangerous(u64 msr)
{
	return in_ranges(dangerous, ARRAY_SIZE(dangerous), (u32)msr);
}

static bool svm_bit(const u8 *map, u64 msr, u32 access)
{
	static u8 one[MSRPM_SIZE];
	const struct msr_range r = { (u32)msr, (u32)msr, access };
	unsigned i;

	memset(one, 0, sizeof(one));
	msrpm_set(one, &r, true);
	for (i = 0; i < MSRPM_SIZE; i++)
		if (one[i])
			return map[i] & one[i];
	return true;			/* outside: exits */
}

static bool vmx_bit(const u8 *map, u64 msr, u32 access)
{
	static u8 one[PAGE_SIZE];
	const struct msr_range r = { (u32)msr, (u32)msr, access };
	unsigned i;

	memset(one, 0, sizeof(one));
	vmx_bitmap_set(one, &r, true);
	for (i = 0; i < PAGE_SIZE; i++)
		if (one[i])
			return map[i] & one[i];
	return true;
}

static void test_bitmaps(void **state)
{
	static const u32 hot[] = { MSR_TSC_DEADLINE, 0x830, MSR_FS_BASE, MSR_KERNEL_GS_BASE,
				   MSR_SPEC_CTRL, MSR_PRED_CMD, 0xc1, 0x186, 0x309, 0x38f };
	static u8 guest[MSRPM_SIZE], control[MSRPM_SIZE], vguest[PAGE_SIZE], vcontrol[PAGE_SIZE];
	static const u64 first[] = { 0, 0xc0000000, 0xc0010000 };
	unsigned i, r;
	u64 msr;

	msrpm_fill(guest, control);
	vmx_bitmaps_fill(vguest, vcontrol);
	for (r = 0; r < 3; r++)
		for (msr = first[r]; msr < first[r] + 0x2000; msr++) {
			bool mine = false;

			for (i = 0; guest_direct_msrs[i].access; i++)
				mine |= msr >= guest_direct_msrs[i].first &&
					msr <= guest_direct_msrs[i].last;
			assert_int_equal(svm_bit(guest, msr, MSR_W), !mine);
			assert_int_equal(svm_bit(guest, msr, MSR_R), !mine);
			assert_int_equal(vmx_bit(vguest, msr, MSR_W), !mine);
			if (!is_dangerous(msr))
				continue;
			if (!svm_bit(control, msr, MSR_W) || !vmx_bit(vcontrol, msr, MSR_W))
				fail_msg("the control VM writes MSR %x directly", (u32)msr);
			if (is_hidden((u32)msr) &&
			    (!svm_bit(control, msr, MSR_R) || !vmx_bit(vcontrol, msr, MSR_R)))
				fail_msg("the control VM reads MSR %x directly", (u32)msr);
		}
	/* What Linux writes all the time costs nothing. */
	for (i = 0; i < ARRAY_SIZE(hot); i++) {
		assert_false(svm_bit(control, hot[i], MSR_W));
		assert_false(vmx_bit(vcontrol, hot[i], MSR_W));
		assert_false(vmx_bit(vcontrol, hot[i], MSR_R));
	}
}

/* On a CPU that has every MSR and takes every value. */
static void test_control_writes(void **state)
{
	struct vcpu *control = the_cpu.control;
	unsigned i, r;
	u64 msr, val;

	control_features.xss = BIT(11);
	for (r = 0; r < ARRAY_SIZE(dangerous); r++)
		for (msr = dangerous[r].first; msr <= dangerous[r].last; msr++) {
			struct fake_msr *m;

			if (msr == MSR_DEBUGCTL || msr == MSR_EFER || msr == MSR_HWCR)
				continue;
			fake_count = 0;
			m = fake_msr((u32)msr, 0x1800, ~0ull);
			if (write_msr(control, (u32)msr, 0xdeadb000) || m->val != 0x1800)
				fail_msg("the control VM may write MSR %x", (u32)msr);
			/* What is there again, unless there is no such MSR for it. */
			if (write_msr(control, (u32)msr, 0x1800) != !is_hidden((u32)msr) &&
			    msr != MSR_XSS)
				fail_msg("MSR %x, the same again", (u32)msr);
			if (m->val != 0x1800)
				fail_msg("MSR %x has changed", (u32)msr);
			if (read_msr(control, (u32)msr, &val) == is_hidden((u32)msr))
				fail_msg("reading MSR %x", (u32)msr);
		}
	/* A hypervisor's beneath Joist. */
	static const u32 beneath[] = { 0x40000000, 0x40000001, 0x40000073, 0x4b564d00, 0x4b564d01,
				       0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564dff };
	for (i = 0; i < ARRAY_SIZE(beneath); i++) {
		fake_count = 0;
		fake_msr(beneath[i], 0, ~0ull);
		assert_false(write_msr(control, beneath[i], 0));
		assert_false(read_msr(control, beneath[i], &val));
	}
	/* No MSR at all: #GP, and nothing else. */
	fake_count = 0;
	assert_false(write_msr(control, 0x611, 0));
	assert_false(write_msr(control, 0xc1, 0));
	assert_false(read_msr(control, MSR_MISC_ENABLE, &val));
}

static void test_control_rules(void **state)
{
	struct vcpu *control = the_cpu.control;
	struct fake_msr *m;
	u64 val;

	m = fake_msr(MSR_MISC_ENABLE, BIT(0) | BIT(22), ~0ull);
	assert_true(read_msr(control, MSR_MISC_ENABLE, &val));
	assert_int_equal(val, BIT(0) | BIT(22) | MISC_ENABLE_RO);
	assert_false(write_msr(control, MSR_MISC_ENABLE, val & ~BIT(11)));
	assert_false(write_msr(control, MSR_MISC_ENABLE, val | BIT(34)));
	assert_true(write_msr(control, MSR_MISC_ENABLE, val ^ BIT(22) ^ BIT(38)));
	assert_int_equal(m->val, BIT(0) | BIT(38));
	assert_false(write_msr(control, MSR_MISC_ENABLE, val));
	fake_msr(MSR_PERF_CAPABILITIES, ~0ull, 0);
	assert_true(read_msr(control, MSR_PERF_CAPABILITIES, &val));
	assert_int_equal(val & 0x34fc0, 0);
	/* Linux switches the MTRRs off while it writes back what is there. */
	m = fake_msr(MSR_MTRR_DEF_TYPE, 0xc06, ~0ull);
	assert_true(write_msr(control, MSR_MTRR_DEF_TYPE, 0));
	assert_int_equal(m->val, 0xc06);
	assert_false(write_msr(control, MSR_MTRR_DEF_TYPE, 0xc01));
	/* Branch traces go to memory; single stepping by branches does not. */
	m = fake_msr(MSR_DEBUGCTL, 0, ~0ull);
	has_debugctl = true;
	assert_true(write_msr(control, MSR_DEBUGCTL, 3));
	assert_false(write_msr(control, MSR_DEBUGCTL, 3 | BIT(6) | BIT(7)));
	assert_int_equal(m->val, 3);
	m = fake_msr(MSR_HWCR, 0, ~0ull);
	assert_true(write_msr(control, MSR_HWCR, BIT(25)));
	assert_false(write_msr(control, MSR_HWCR, BIT(0)));
	assert_int_equal(m->val, BIT(25));
	/* Shadow stacks' state yes, a processor trace's no. */
	control_features.xss = BITS(12, 11);
	m = fake_msr(MSR_XSS, 0, ~0ull);
	assert_false(write_msr(control, MSR_XSS, BIT(8)));
	assert_true(write_msr(control, MSR_XSS, BIT(11)));
	assert_int_equal(m->val, BIT(11));
	/* A guest's XSAVES finds nothing of it. */
	load_guest(&the_cpu, vcpu);
	assert_int_equal(m->val, 0);
	unload_guest(&the_cpu, vcpu);
	assert_int_equal(m->val, BIT(11));
	/* EFER: what the CPU has. */
	control_features.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	assert_false(write_msr(control, MSR_EFER, EFER_FFXSR));
	assert_false(write_msr(control, MSR_EFER, EFER_SVME));
	control_features.efer |= EFER_FFXSR;
	assert_true(write_msr(control, MSR_EFER, EFER_FFXSR | EFER_NXE));
}

static struct cpuid every_bit(u32 leaf, u32 sub)
{
	if (leaf == 0 || leaf == 0x80000000)
		return (struct cpuid){ .eax = leaf + 0xff };
	if (leaf == 0xd && sub > 1)
		return (struct cpuid){ .eax = 64 * sub, .ebx = sub < 11 ? 1024 * sub : 0 };
	return (struct cpuid){ ~0u, ~0u, ~0u, ~0u };
}

static struct cpuid ask(struct vcpu *v, u32 leaf, u32 sub)
{
	v->gpr[JOIST_RAX] = leaf;
	v->gpr[JOIST_RCX] = sub;
	v->x.insn_len = 2;
	if (v->control)
		control_cpuid(v);
	else
		exit_cpuid(v);
	return (struct cpuid){ (u32)v->gpr[JOIST_RAX], (u32)v->gpr[JOIST_RBX],
			       (u32)v->gpr[JOIST_RCX], (u32)v->gpr[JOIST_RDX] };
}

static bool all_zero(struct cpuid r)
{
	return !(r.eax | r.ebx | r.ecx | r.edx);
}

static void test_control_cpuid(void **state)
{
	static const u32 none[] = { 9, 0x12, 0x14, 0x19, 0x1b, 0x1c, 0x20, 0x21, 0x23, 0x80,
				    0x40000000, 0x40000001, 0x40000010, 0x4fffffff,
				    0x8000000a, 0x8000001c, 0x8000001f, 0x80000023, 0xc0000001 };
	struct vcpu *control = the_cpu.control;
	struct cpuid r;
	unsigned i;

	fake_cpuid = every_bit;
	guest_features_init();
	control_features_init();
	for (i = 0; i < ARRAY_SIZE(none); i++)
		if (!all_zero(ask(control, none[i], 0)))
			fail_msg("CPUID leaf %x is shown", none[i]);
	assert_int_equal(ask(control, JOIST_CPUID_BASE, 0).ebx, JOIST_CPUID_EBX);
	r = ask(control, 1, 0);
	assert_int_equal(r.ecx & (BIT(2) | BITS(6, 4)), 0);
	assert_int_equal(r.edx & BIT(21), 0);
	assert_true(r.ecx & BIT(31));
	assert_int_equal(ask(control, 6, 0).eax & (BIT(19) | BIT(23)), 0);
	r = ask(control, 7, 0);
	assert_int_equal(r.ebx & (BIT(1) | BIT(2) | BIT(25)), 0);	/* TSC_ADJUST, SGX, PT */
	assert_int_equal(r.ecx & (BIT(16) | BIT(29) | BIT(31)), 0);	/* LA57, ENQCMD, PKS */
	assert_int_equal(r.edx & (BIT(5) | BIT(19)), 0);		/* UINTR, LBR */
	assert_int_equal(r.edx & (BIT(26) | BIT(31)), BIT(26) | BIT(31));
	assert_int_equal(ask(control, 7, 1).eax & (BIT(17) | BIT(26)), 0);	/* FRED, LAM */
	assert_true(all_zero(ask(control, 7, 3)));
	assert_int_equal(ask(control, 0x80000001, 0).ecx & (BIT(2) | BIT(12)), 0);
	assert_int_equal(ask(control, 0x80000008, 0).ebx & BIT(3), 0);	/* INVLPGB */
	assert_int_equal(ask(control, 0x80000021, 0).eax & BIT(7), 0);
	r = ask(control, 0xd, 0);
	assert_int_equal(r.eax, 0x602e7 & ~8u);
	assert_int_equal(ask(control, 0xd, 1).ecx, BITS(12, 11));
	assert_true(all_zero(ask(control, 0xd, 8)));			/* PT's state */
	assert_false(all_zero(ask(control, 0xd, 11)));
	/* Past the CPU's own end. */
	fake_cpuid = speculation_cpuid;
	assert_true(all_zero(ask(control, 0x15, 0)));
}

static void test_xsave_sizes(void **state)
{
	struct cpuid r;

	fake_cpuid = every_bit;
	guest_features_init();
	component[2] = (struct component){ 256, 576, false };
	component[5] = (struct component){ 64, 1088, false };
	component[6] = (struct component){ 512, 1152, true };
	component[7] = (struct component){ 1024, 1664, false };
	component[9] = (struct component){ 8, 2688, false };
	component[11] = (struct component){ 16, 0, false };
	/* Enabled: x87, SSE, AVX; CPU's own figures count what others have. */
	fake_xcr0 = 7;
	r = ask(vcpu, 0xd, 0);
	assert_int_equal(r.eax, 0x2e7);
	assert_int_equal(r.ebx, 832);
	assert_int_equal(r.ecx, 2696);
	r = ask(vcpu, 0xd, 1);
	assert_int_equal(r.eax, 7);
	assert_int_equal(r.ebx, 832);
	fake_xcr0 = 0x2e7;
	assert_int_equal(ask(vcpu, 0xd, 0).ebx, 2696);
	/* 832 + 64, to a multiple of 64, + 512 + 1024 + 8 */
	assert_int_equal(ask(vcpu, 0xd, 1).ebx, 2440);
	/* With state that XSAVES moves, in the control VM. */
	control_features_init();
	fake_xcr0 = 7;
	the_cpu.control->gs.xss = BIT(11);
	assert_int_equal(ask(the_cpu.control, 0xd, 1).ebx, 848);
	assert_int_equal(ask(the_cpu.control, 0xd, 0).ebx, 832);
	/* Without XSAVE the leaf is empty, whatever the CPU says. */
	guest_features.xcr0 = control_features.xcr0 = 0;
	assert_true(all_zero(ask(vcpu, 0xd, 0)));
	assert_true(all_zero(ask(vcpu, 0xd, 1)));
	assert_true(all_zero(ask(the_cpu.control, 0xd, 1)));
}

/* Unasked, kernels touch what every CPU of the vendor has. */
static void test_idle_msrs(void **state)
{
	static const u32 amd[] = { 0xc0010000, 0xc0010003, 0xc0010004, 0xc0010007, 0xc0010010,
				   0xc0010015, 0xc001001a, 0xc001001f, 0xc0010055, 0xc0011029 };
	static const u32 intel[] = { 0xc1, 0x186, 0x140, 0x199 };
	static const u32 both[] = { 0x8b, 0x17a };
	unsigned i, is_amd;
	u64 val;

	for (is_amd = 0; is_amd < 2; is_amd++) {
		guest_features.amd = is_amd;
		for (i = 0; i < ARRAY_SIZE(amd); i++) {
			assert_int_equal(read_msr(vcpu, amd[i], &val), is_amd);
			assert_int_equal(val, is_amd ? 0 : val);
			assert_int_equal(write_msr(vcpu, amd[i], 0), is_amd);
			assert_int_equal(write_msr(vcpu, amd[i], ~0ull), is_amd);
			assert_true(!is_amd || (read_msr(vcpu, amd[i], &val) && !val));
		}
		for (i = 0; i < ARRAY_SIZE(intel); i++) {
			assert_int_equal(read_msr(vcpu, intel[i], &val), !is_amd);
			assert_int_equal(write_msr(vcpu, intel[i], 0), !is_amd);
		}
		for (i = 0; i < ARRAY_SIZE(both); i++) {
			assert_true(read_msr(vcpu, both[i], &val) && !val);
			assert_true(write_msr(vcpu, both[i], 0));
		}
		assert_true(read_msr(vcpu, MSR_MCG_CAP, &val) && !val);
		assert_false(write_msr(vcpu, MSR_MCG_CAP, 0));
		assert_false(read_msr(vcpu, 0xc0010117, &val));
		assert_false(read_msr(vcpu, 0x480, &val));
	}
	/* Nothing of this reaches the CPU. */
	assert_int_equal(fake_count, 3);
}

static u64 control_port(u16 port, u8 size, bool in, u64 val)
{
	struct vcpu *v = the_cpu.control;

	memset(&v->x.io, 0, sizeof(v->x.io));
	v->x.io.port = port;
	v->x.io.size = size;
	v->x.io.in = in;
	v->x.insn_len = 1;
	v->gpr[JOIST_RAX] = val;
	assert_int_equal(control_io(v), RETRY);
	return v->gpr[JOIST_RAX];
}

static void test_sleep(void **state)
{
	static const struct acpi_sleep s = {
		.control = { 0x605, 0, 0x700 }, .status = { 0x601, 0, 0x701 },
		.off = { BIT(7), 0, BIT(7) },
	};
	const u64 high = 0x1122334455667788;
	const u16 *list;

	port_count = woken = 0;
	control_sleep_init(&s);
	assert_int_equal(control_ports(&list), 4);
	memset(fake_port, 0, sizeof(fake_port));
	/* S3 in all sizes that reach the byte: it is not enabled, and has woken. */
	assert_int_equal(control_port(0x600, 2, true, high), 0x1122334455660000);
	control_port(0x604, 2, false, 0x3401);
	assert_int_equal(fake_in(0x604, 2), 0x1401);
	assert_int_equal(control_port(0x600, 2, true, high), 0x1122334455668000);
	assert_int_equal(control_port(0x600, 4, true, high), 0x8000);
	assert_int_equal(control_port(0x601, 1, true, high), 0x1122334455667780);
	assert_int_equal(control_port(0x600, 1, true, high), 0x1122334455667700);
	control_port(0x600, 2, false, 0x8000);
	assert_int_equal(control_port(0x601, 1, true, 0) & 0x7f, 0);
	fake_out(0x600, 2, 0);
	assert_int_equal(control_port(0x600, 2, true, 0), 0);
	control_port(0x605, 1, false, 0x34);
	assert_int_equal(fake_in(0x605, 1), 0x14);
	control_port(0x604, 4, false, 0xffffb400);
	assert_int_equal(fake_in(0x604, 4), 0xffff9400);
	control_port(0x602, 4, false, 0x34000000);
	assert_int_equal(fake_in(0x602, 4), 0x14000000);
	control_port(0x700, 1, false, 0x21);
	assert_int_equal(fake_in(0x700, 1), 0x01);
	/* Power-off, and the type without the enable bit. */
	control_port(0x604, 2, false, 0x3c01);
	assert_int_equal(fake_in(0x604, 2), 0x3c01);
	control_port(0x604, 2, false, 0x1401);
	assert_int_equal(fake_in(0x604, 2), 0x1401);
	control_port(0x700, 1, false, 0x3c);
	assert_int_equal(fake_in(0x700, 1), 0x3c);
	/* Other ports are as they are: only these exit. */
	control_port(0x606, 1, false, 0x34);
	assert_int_equal(fake_in(0x606, 1), 0x34);
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
		cmocka_unit_test_setup(test_bitmaps, start),
		cmocka_unit_test_setup(test_control_writes, start),
		cmocka_unit_test_setup(test_control_rules, start),
		cmocka_unit_test_setup(test_control_cpuid, start),
		cmocka_unit_test_setup(test_xsave_sizes, start),
		cmocka_unit_test_setup(test_idle_msrs, start),
		cmocka_unit_test_setup(test_sleep, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
