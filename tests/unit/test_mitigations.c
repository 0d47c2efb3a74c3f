/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mitigations.c -- what is decided for CPUs that exist, as they come and
 * with the microcode of 2025.
 */
#include "host.h"

#include <stdarg.h>
#include <cmocka.h>

#include "arch/x86/mitigations.c"

struct cpu *cpus[MAX_CPUS];
u32 cpu_count;

#define NO		"Not affected"
#define CLEAR		"Mitigation: Clear CPU buffers"
#define V2_EIBRS	"Mitigation: Enhanced / Automatic IBRS + Retpolines; IBPB: always-on; RSB filling"
#define V2_RETPOLINE	"Mitigation: Retpolines; IBPB: always-on; RSB filling"

/* Leaf 7's EDX of Intel's 2018 microcode: IBRS and IBPB, STIBP, SSBD; MD_CLEAR,
 * L1D_FLUSH. */
#define INTEL_2018	(BIT(26) | BIT(27) | BIT(31))
#define INTEL_2019	(INTEL_2018 | BIT(10) | BIT(28))
#define INTEL_NEW	(INTEL_2019 | BIT(29))
/* 80000008h's EBX: IBPB, STIBP, SSBD; with IBRS. */
#define AMD_ZEN1	BIT(12)
#define AMD_ZEN2	(BIT(12) | BIT(14) | BIT(15) | BIT(17) | BIT(18) | BIT(24))

static const struct mitigation_cpu
	skylake_client = { CPU_INTEL, 6, 0x5e, 3, .leaf7_ebx = BIT(11),
			   .leaf7_edx = INTEL_NEW | BIT(9), .arch_cap = BIT(25) },
	skylake_sp = { CPU_INTEL, 6, 0x55, 4, .leaf7_ebx = BIT(11), .leaf7_edx = INTEL_NEW,
		       .arch_cap = CAP_GDS_CTRL | CAP_FB_CLEAR | CAP_RSBA | CAP_SKIP_L1DFL },
	skylake_bare = { CPU_INTEL, 6, 0x55, 4, .leaf7_ebx = BIT(11) },
	cascade_lake = { CPU_INTEL, 6, 0x55, 7, .leaf7_ebx = BIT(11), .leaf7_edx = INTEL_NEW,
			 .arch_cap = CAP_RDCL_NO | CAP_IBRS_ALL | CAP_SKIP_L1DFL | CAP_MDS_NO |
				     CAP_PSCHANGE_MC_NO | CAP_TSX_CTRL | CAP_RRSBA |
				     CAP_GDS_CTRL | CAP_FB_CLEAR },
	haswell_old = { CPU_INTEL, 6, 0x3c, 3, .leaf7_edx = INTEL_2018 },
	alder_lake = { CPU_INTEL, 6, 0x9a, 3, .leaf7_edx = INTEL_NEW,
		       .leaf7_2_edx = BIT(1) | BIT(2) | BIT(3) | BIT(4),
		       .arch_cap = CAP_RDCL_NO | CAP_IBRS_ALL | CAP_SKIP_L1DFL | CAP_MDS_NO |
				   CAP_PSCHANGE_MC_NO | CAP_TAA_NO | CAP_SBDR_SSDP_NO |
				   CAP_FBSDP_NO | CAP_PSDP_NO | CAP_RRSBA | CAP_RFDS_CLEAR |
				   CAP_PBRSB_NO | CAP_GDS_NO },
	bonnell = { CPU_INTEL, 6, 0x1c, 2 },
	zen1 = { CPU_AMD, 0x17, 0x01, 2, .ext8_ebx = AMD_ZEN1 },
	zen2 = { CPU_AMD, 0x17, 0x31, 0, .ext8_ebx = AMD_ZEN2 },
	zen3 = { CPU_AMD, 0x19, 0x01, 1, .ext8_ebx = AMD_ZEN2 | BIT(28) | BIT(29),
		 .svm_edx = BIT(20),
		 .ext21_eax = EXT21_EAX_LFENCE | EXT21_EAX_IBPB_BRTYPE | EXT21_EAX_VERW_CLEAR },
	zen3_old = { CPU_AMD, 0x19, 0x01, 1, .ext8_ebx = AMD_ZEN2 | BIT(29), .svm_edx = BIT(20) },
	zen4 = { CPU_AMD, 0x19, 0x11, 1, .ext8_ebx = AMD_ZEN2 | BIT(28) | BIT(29) | BIT(30),
		 .svm_edx = BIT(20), .ext21_eax = EXT21_EAX_LFENCE | EXT21_EAX_AUTO_IBRS |
						   EXT21_EAX_IBPB_BRTYPE | EXT21_EAX_VERW_CLEAR },
	zen5 = { CPU_AMD, 0x1a, 0x02, 1, .ext8_ebx = AMD_ZEN2 | BIT(28) | BIT(29) | BIT(30),
		 .svm_edx = BIT(20), .ext21_eax = EXT21_EAX_LFENCE | EXT21_EAX_AUTO_IBRS |
						   EXT21_EAX_SRSO_USER_NO | EXT21_EAX_REDUCE },
	qemu = { CPU_AMD, 0x0f, 0x6b, 1 };	/* -cpu max of its emulation */

static void choose(const struct mitigation_cpu *c, enum mitigation_mode mode)
{
	mitigations_choose(c, mode, &mitigations);
}

static void says(enum mitigation_bug bug, const char *want)
{
	char text[MITIGATION_TEXT];
	const char *name;

	assert_true(mitigations_describe(bug, &name, text, sizeof(text)));
	if (strcmp(text, want))
		fail_msg("%s: %s; wanted: %s", name, text, want);
}

static void does(u32 guard, bool ibpb, bool l1d, bool nx)
{
	assert_int_equal(mitigations.guard, guard);
	assert_int_equal(mitigations.ibpb, ibpb);
	assert_int_equal(mitigations.l1d_flush, l1d);
	assert_int_equal(mitigations.nx_large, nx);
}

static void test_skylake(void **state)
{
	(void)state;

	choose(&skylake_sp, MITIGATIONS_AUTO);
	does(GUARD_RSB | GUARD_VERW | GUARD_SPEC, true, true, true);
	assert_int_equal(mitigations.spec_ctrl, 0);
	says(BUG_V2, V2_RETPOLINE "; PBRSB-eIBRS: Not affected; BHI: Retpoline");
	says(BUG_L1TF, "Mitigation: VMX: conditional cache flushes; SMT disabled");
	says(BUG_MDS, CLEAR "; SMT disabled");
	says(BUG_TAA, CLEAR "; SMT disabled");
	says(BUG_ITLB, "Mitigation: Split huge pages");
	says(BUG_RETBLEED, "Mitigation: Stuffing");
	says(BUG_GDS, "Mitigation: Microcode");
	says(BUG_VMSCAPE, "Mitigation: IBPB before exit to userspace");
	says(BUG_ITS, NO);
	says(BUG_SRBDS, NO);
	says(BUG_RFDS, NO);
	says(BUG_SRSO, NO);
	says(BUG_TSA, NO);
	choose(&skylake_client, MITIGATIONS_AUTO);
	says(BUG_SRBDS, "Mitigation: Microcode");
}

/* Without microcode: what can be done is done, and nothing is claimed. */
static void test_no_microcode(void **state)
{
	(void)state;

	choose(&skylake_bare, MITIGATIONS_AUTO);
	does(GUARD_RSB | GUARD_VERW, false, false, true);
	says(BUG_V2, "Mitigation: Retpolines; IBPB: disabled; RSB filling; "
		     "PBRSB-eIBRS: Not affected; BHI: Retpoline");
	says(BUG_L1TF, "Vulnerable: No microcode; SMT disabled");
	says(BUG_MDS, "Vulnerable: Clear CPU buffers attempted, no microcode; SMT disabled");
	says(BUG_SSB, "Vulnerable");
	says(BUG_VMSCAPE, "Vulnerable");
	says(BUG_GDS, "Vulnerable: No microcode");
	choose(&haswell_old, MITIGATIONS_AUTO);
	does(GUARD_RSB | GUARD_VERW | GUARD_SPEC, true, false, true);
	says(BUG_TAA, NO);
	says(BUG_RETBLEED, NO);
	choose(&zen3_old, MITIGATIONS_AUTO);
	does(GUARD_RSB | GUARD_VERW | GUARD_IBPB, false, false, false);
	says(BUG_SRSO, "Vulnerable: No microcode");
	says(BUG_TSA, "Vulnerable: Clear CPU buffers attempted, no microcode");
	assert_true(mitigations.lfence);
}

static void test_cascade_lake(void **state)
{
	(void)state;

	choose(&cascade_lake, MITIGATIONS_AUTO);
	does(GUARD_RSB | GUARD_VERW | GUARD_SPEC, true, false, false);
	assert_int_equal(mitigations.spec_ctrl, SPEC_CTRL_IBRS);
	says(BUG_V2, V2_EIBRS "; PBRSB-eIBRS: SW sequence; BHI: Retpoline");
	says(BUG_L1TF, NO);
	says(BUG_MDS, NO);
	says(BUG_MELTDOWN, NO);
	says(BUG_ITLB, NO);
	says(BUG_TAA, CLEAR "; SMT disabled");
	says(BUG_ITS, "Mitigation: Retpolines, Stuffing RSB");
	says(BUG_RETBLEED, "Mitigation: Enhanced IBRS");
}

static void test_alder_lake(void **state)
{
	(void)state;

	choose(&alder_lake, MITIGATIONS_AUTO);
	does(GUARD_RSB | GUARD_VERW | GUARD_SPEC, true, false, false);
	assert_int_equal(mitigations.spec_ctrl,
			 SPEC_CTRL_IBRS | SPEC_CTRL_RRSBA_DIS_S | SPEC_CTRL_BHI_DIS_S);
	says(BUG_V2, V2_EIBRS "; PBRSB-eIBRS: Not affected; BHI: BHI_DIS_S");
	says(BUG_RFDS, "Mitigation: Clear Register File");
	says(BUG_MDS, NO);
	says(BUG_MMIO, NO);
	says(BUG_GDS, NO);
	says(BUG_ITS, NO);
	says(BUG_ITLB, NO);
	says(BUG_RETBLEED, NO);
}

static void test_in_order(void **state)
{
	u32 i;
	(void)state;

	choose(&bonnell, MITIGATIONS_AUTO);
	for (i = 0; i < BUG_COUNT; i++)
		says(i, NO);
	does(0, false, false, false);
}

static void test_zen(void **state)
{
	(void)state;

	choose(&zen1, MITIGATIONS_AUTO);
	does(GUARD_RSB | GUARD_IBPB, false, false, false);
	says(BUG_RETBLEED, "Mitigation: IBPB");
	says(BUG_SRSO, "Mitigation: IBPB on VMEXIT only");
	says(BUG_SSB, "Vulnerable");
	says(BUG_MELTDOWN, NO);
	says(BUG_L1TF, NO);
	says(BUG_ITLB, NO);
	says(BUG_TSA, NO);
	assert_true(mitigations.lfence);
	choose(&zen2, MITIGATIONS_AUTO);
	does(GUARD_RSB | GUARD_IBPB | GUARD_SPEC, false, false, false);
	says(BUG_SSB, "Mitigation: Speculative Store Bypass disabled via SPEC_CTRL of guests");
	choose(&zen3, MITIGATIONS_AUTO);
	does(GUARD_RSB | GUARD_IBPB | GUARD_VERW, false, false, false);
	says(BUG_V2, V2_RETPOLINE "; PBRSB-eIBRS: Not affected; BHI: Not affected");
	says(BUG_RETBLEED, NO);
	says(BUG_TSA, CLEAR);
	assert_true(mitigations.spec_in_vmcb);
	assert_false(mitigations.auto_ibrs || mitigations.lfence);
	choose(&zen4, MITIGATIONS_AUTO);
	assert_true(mitigations.auto_ibrs);
	says(BUG_V2, V2_EIBRS "; PBRSB-eIBRS: Not affected; BHI: Not affected");
	assert_int_equal(mitigations.spec_ctrl, 0);
	choose(&zen5, MITIGATIONS_AUTO);
	does(GUARD_RSB, true, false, false);
	assert_true(mitigations.auto_ibrs && mitigations.reduce);
	says(BUG_SRSO, "Mitigation: Reduced Speculation");
	says(BUG_VMSCAPE, "Mitigation: IBPB before exit to userspace");
	says(BUG_TSA, NO);
}

static void test_emulator(void **state)
{
	(void)state;

	choose(&qemu, MITIGATIONS_AUTO);
	does(GUARD_RSB, false, false, false);
	choose(&qemu, MITIGATIONS_ALL);
	/* No MSR that the CPU does not say it has. */
	does(GUARD_RSB | GUARD_VERW, false, false, true);
	says(BUG_ITLB, "Mitigation: Split huge pages");
}

static void test_off(void **state)
{
	static const struct mitigation_cpu *const all[] = {
		&skylake_client, &skylake_sp, &cascade_lake, &alder_lake, &zen1, &zen2, &zen3,
		&zen4, &zen5, &qemu,
	};
	u32 i;
	(void)state;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		choose(all[i], MITIGATIONS_OFF);
		/* What a guest sets in SPEC_CTRL is its own matter. */
		does(has_spec_ctrl(all[i]) && !mitigations.spec_in_vmcb ? GUARD_SPEC : 0,
		     false, false, false);
		assert_int_equal(mitigations.spec_ctrl, 0);
		assert_false(mitigations.auto_ibrs || mitigations.reduce);
		says(BUG_V2, "Vulnerable: Retpolines alone");
	}
	choose(&skylake_sp, MITIGATIONS_OFF);
	says(BUG_MDS, "Vulnerable; SMT disabled");
	says(BUG_ITLB, "Vulnerable");
	says(BUG_L1TF, "Vulnerable: VMX: cache flushes disabled; SMT disabled");
	says(BUG_ITS, NO);
}

/* A guest must not think itself worse off than it is, nor better. */
static void test_guest_capabilities(void **state)
{
	(void)state;

	choose(&skylake_sp, MITIGATIONS_AUTO);
	assert_int_equal(mitigations.arch_cap, CAP_RSBA | CAP_SKIP_L1DFL | CAP_PSCHANGE_MC_NO |
			 CAP_FB_CLEAR | CAP_GDS_NO);
	choose(&alder_lake, MITIGATIONS_AUTO);
	assert_int_equal(mitigations.arch_cap, alder_lake.arch_cap);
	choose(&cascade_lake, MITIGATIONS_AUTO);
	/* TSX and the control of GDS are not for guests. */
	assert_int_equal(mitigations.arch_cap, (cascade_lake.arch_cap | CAP_GDS_NO) &
			 ~(CAP_TSX_CTRL | CAP_GDS_CTRL));
	choose(&skylake_bare, MITIGATIONS_AUTO);
	assert_int_equal(mitigations.arch_cap, CAP_SKIP_L1DFL | CAP_PSCHANGE_MC_NO);
	choose(&zen4, MITIGATIONS_AUTO);
	assert_int_equal(mitigations.arch_cap, 0);
}

static void test_smt(void **state)
{
	(void)state;

	choose(&skylake_sp, MITIGATIONS_AUTO);
	smt = true;
	says(BUG_MDS, CLEAR "; SMT vulnerable");
	says(BUG_ITLB, "Mitigation: Split huge pages");
	says(BUG_SRBDS, NO);
	smt = false;
}

static void test_models(void **state)
{
	struct mitigation_cpu c = {};
	const struct model *m;
	u32 i;
	(void)state;

	read_model(&c, 0x50654);
	assert_int_equal(c.family, 6);
	assert_int_equal(c.model, 0x55);
	assert_int_equal(c.stepping, 4);
	read_model(&c, 0x00a20f12);
	assert_int_equal(c.family, 0x19);
	assert_int_equal(c.model, 0x21);
	assert_int_equal(c.stepping, 2);
	/* No row hides another. */
	for (m = models; m < models + ARRAY_SIZE(models); m++) {
		assert_true(m->first <= m->last);
		for (i = 0; &models[i] != m; i++)
			assert_false(models[i].vendor == m->vendor &&
				     models[i].family == m->family &&
				     models[i].model == m->model && m->first <= models[i].last);
	}
	/* The longest text fits. */
	choose(&cascade_lake, MITIGATIONS_AUTO);
	assert_true(strlen(mitigations.v2) + sizeof("; SMT vulnerable") < MITIGATION_TEXT);
}

static void test_index_mask(void **state)
{
	(void)state;

	assert_int_equal(index_mask(0, 4), 0);
	assert_int_equal(index_mask(3, 4), 3);
	assert_int_equal(index_mask(4, 4), 0);
	assert_int_equal(index_mask(~0ull, 4), 0);
	assert_int_equal(index_mask(5, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_skylake),
		cmocka_unit_test(test_no_microcode),
		cmocka_unit_test(test_cascade_lake),
		cmocka_unit_test(test_alder_lake),
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_zen),
		cmocka_unit_test(test_emulator),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_guest_capabilities),
		cmocka_unit_test(test_smt),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_index_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
