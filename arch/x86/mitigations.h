/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mitigations.h -- what is done about a CPU's vulnerabilities.
 */
#ifndef ARCH_X86_MITIGATIONS_H
#define ARCH_X86_MITIGATIONS_H

#include "core/types.h"

/* What is decided from: the boot core's, or a test's. */
struct mitigation_cpu {
	enum { CPU_OTHER, CPU_INTEL, CPU_AMD } vendor;	/* CPU_AMD: Hygon's, too */
	u32 family, model, stepping;
	u32 leaf7_ebx, leaf7_edx, leaf7_2_edx;
	u32 ext8_ebx, ext21_eax, ext21_ecx;
	u32 svm_edx;		/* 8000000Ah */
	u64 arch_cap;		/* IA32_ARCH_CAPABILITIES, 0 without */
	u64 mcu_opt;		/* IA32_MCU_OPT_CTRL, 0 without */
};

/* Linux' names, in /sys/devices/system/cpu/vulnerabilities. */
#define MITIGATION_BUGS(B)						\
	B(GDS, "gather_data_sampling") B(ITS, "indirect_target_selection") \
	B(ITLB, "itlb_multihit") B(L1TF, "l1tf") B(MDS, "mds")		\
	B(MELTDOWN, "meltdown") B(MMIO, "mmio_stale_data")			\
	B(RFDS, "reg_file_data_sampling") B(RETBLEED, "retbleed")		\
	B(SRSO, "spec_rstack_overflow") B(SSB, "spec_store_bypass")		\
	B(V1, "spectre_v1") B(V2, "spectre_v2") B(SRBDS, "srbds")		\
	B(TSA, "tsa") B(TAA, "tsx_async_abort") B(VMSCAPE, "vmscape")

enum mitigation_bug {
#define B(name, text) BUG_##name,
	MITIGATION_BUGS(B)
#undef B
	BUG_COUNT
};

/* struct cpu's guard: what the entry code does around a guest (guard.inc). */
#define GUARD_RSB	BIT(0)		/* exit: fill the return stack */
#define GUARD_SPEC	BIT(1)		/* both: SPEC_CTRL */
#define GUARD_VERW	BIT(2)		/* entry: clear the CPU's buffers */
#define GUARD_IBPB	BIT(3)		/* exit: forget what the guest has taught */

#define MITIGATION_TEXT	160

enum mitigation_mode {
	MITIGATIONS_OFF,
	MITIGATIONS_AUTO,	/* what this CPU needs */
	MITIGATIONS_ALL,	/* whatever it can execute: for tests */
};

struct mitigations {
	u32 guard;		/* GUARD_* for guests; _SPEC: where SPEC_CTRL is switched */
	bool ibpb;		/* when RUN ends */
	bool l1d_flush;		/* when RUN begins */
	bool flush_cmd;		/* there is such an MSR */
	bool nx_large;		/* no executable stage-2 page above 4 KiB for guests */
	bool auto_ibrs;		/* EFER.AIBRSE */
	bool lfence;		/* MSR DE_CFG: make LFENCE wait */
	bool reduce;		/* MSR BP_CFG: BP_SPEC_REDUCE */
	bool spec_in_vmcb;	/* the CPU switches SPEC_CTRL itself */
	u64 spec_ctrl;		/* the hypervisor's, which guests keep set, too */
	u64 arch_cap;		/* IA32_ARCH_CAPABILITIES of guests; 0: they have none */
	char v2[MITIGATION_TEXT];	/* behind how[BUG_V2] */
	const char *how[BUG_COUNT];	/* as Linux says it; NULL: not affected */
	u32 smt_leaks;		/* bit a bug: a sibling sees what it should not */
};

struct cpu;
struct vcpu;
extern struct mitigations mitigations;

void mitigations_choose(const struct mitigation_cpu *c, enum mitigation_mode mode,
			struct mitigations *m);
/* The boot core, once SVM or VMX is on. */
void mitigations_init(enum mitigation_mode mode);
/* Every core: MSRs that stay as they are from now on. */
void mitigations_enable(void);
/* This core: a guest comes, is done for now; its SPEC_CTRL has changed. */
void guard_load(struct cpu *c, struct vcpu *v);
void guard_unload(struct cpu *c);
void guard_spec_ctrl(struct cpu *c, const struct vcpu *v);
/* All cores are up: whether two of them share one, and all of it into the log. */
void mitigations_log(void);
/* What is said of number i: false if there is none. */
bool mitigations_describe(u32 i, const char **name, char *text, size_t size);

#endif
