/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regs.h -- bits of control registers, RFLAGS, EFER; numbers of MSRs and
 * exceptions.
 */
#ifndef ARCH_X86_REGS_H
#define ARCH_X86_REGS_H

#include "core/types.h"

#define CR0_PE		BIT(0)
#define CR0_MP		BIT(1)
#define CR0_EM		BIT(2)
#define CR0_TS		BIT(3)
#define CR0_ET		BIT(4)
#define CR0_NE		BIT(5)
#define CR0_WP		BIT(16)
#define CR0_AM		BIT(18)
#define CR0_NW		BIT(29)
#define CR0_CD		BIT(30)
#define CR0_PG		BIT(31)
#define CR0_ALL		(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | \
			 CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

#define CR4_VME		BIT(0)
#define CR4_PVI		BIT(1)
#define CR4_TSD		BIT(2)
#define CR4_DE		BIT(3)
#define CR4_PSE		BIT(4)
#define CR4_PAE		BIT(5)
#define CR4_MCE		BIT(6)
#define CR4_PGE		BIT(7)
#define CR4_PCE		BIT(8)
#define CR4_OSFXSR	BIT(9)
#define CR4_OSXMMEXCPT	BIT(10)
#define CR4_UMIP	BIT(11)
#define CR4_LA57	BIT(12)
#define CR4_VMXE	BIT(13)
#define CR4_SMXE	BIT(14)
#define CR4_FSGSBASE	BIT(16)
#define CR4_PCIDE	BIT(17)
#define CR4_OSXSAVE	BIT(18)
#define CR4_SMEP	BIT(20)
#define CR4_SMAP	BIT(21)
#define CR4_PKE		BIT(22)
#define CR4_CET		BIT(23)

#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NXE	BIT(11)
#define EFER_SVME	BIT(12)
#define EFER_FFXSR	BIT(14)
#define EFER_TCE	BIT(15)
#define EFER_INTWB	BIT(18)
#define EFER_AIBRSE	BIT(21)		/* Automatic IBRS */

#define RFLAGS_ONE	BIT(1)		/* always set */
#define RFLAGS_TF	BIT(8)
#define RFLAGS_IF	BIT(9)
#define RFLAGS_DF	BIT(10)
#define RFLAGS_RF	BIT(16)
#define RFLAGS_VM	BIT(17)
#define RFLAGS_AC	BIT(18)
/* Bits that exist: all but 1, 3, 5, 15 and 22 and above. */
#define RFLAGS_ALL	0x3f7fd7ull

#define DR6_INIT	0xffff0ff0ull
#define DR7_INIT	0x400ull
#define DR7_GD		BIT(13)

#define XCR0_X87	BIT(0)
#define XCR0_SSE	BIT(1)
#define XCR0_AVX	BIT(2)
#define XCR0_AVX512	BITS(7, 5)
#define XCR0_PKRU	BIT(9)

enum exception {
	EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4,
	EXC_BR = 5, EXC_UD = 6, EXC_NM = 7, EXC_DF = 8, EXC_TS = 10,
	EXC_NP = 11, EXC_SS = 12, EXC_GP = 13, EXC_PF = 14, EXC_MF = 16,
	EXC_AC = 17, EXC_MC = 18, EXC_XM = 19, EXC_SX = 30,
};

/* SDM, "Protected-Mode Exceptions and Interrupts": which push an error code. */
#define EXC_WITH_ERROR	(BIT(8) | BITS(14, 10) | BIT(17) | BIT(21))
/*
 * Those of a guest, which has neither CET nor SEV nor #VE.  AMD's CPUs refuse to
 * inject a vector that is no exception (APM vol. 2, 15.20).
 */
#define EXC_OF_GUESTS	(BITS(1, 0) | BITS(8, 3) | BITS(14, 10) | BITS(19, 16))

#define PF_PRESENT	BIT(0)
#define PF_WRITE	BIT(1)
#define PF_USER		BIT(2)
#define PF_RESERVED	BIT(3)
#define PF_FETCH	BIT(4)
#define PF_KEY		BIT(5)

#define CPUID_1_ECX_XSAVE	BIT(26)
#define CPUID_1_ECX_RDRAND	BIT(30)
#define CPUID_D1_EAX_XSAVES	BIT(3)
#define CPUID_1_EDX_DS		BIT(21)
#define CPUID_6_EAX_HFI		BIT(19)
#define CPUID_7_EBX_PT		BIT(25)

#define MSR_TSC			0x10
#define MSR_PLATFORM_ID		0x17
#define MSR_APIC_BASE		0x1b
#define MSR_FEATURE_CONTROL	0x3a
#define MSR_TSC_ADJUST		0x3b
#define MSR_SPEC_CTRL		0x48
#define MSR_PRED_CMD		0x49
#define MSR_UCODE_WRITE		0x79
#define MSR_UCODE_REV		0x8b
#define MSR_SMM_MONITOR		0x9b
#define MSR_MTRR_CAP		0xfe
#define MSR_ARCH_CAPABILITIES	0x10a
#define MSR_FLUSH_CMD		0x10b
#define MSR_MCU_OPT_CTRL	0x123
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_MCG_CAP		0x179
#define MSR_MCG_STATUS		0x17a
#define MSR_MISC_ENABLE		0x1a0
#define MISC_ENABLE_RO		(BIT(11) | BIT(12))	/* no BTS, no PEBS */
#define MSR_DEBUGCTL		0x1d9
#define DEBUGCTL_BTF		BIT(1)
#define MSR_MTRR_PHYS0		0x200
#define MSR_MTRR_PHYS_END	0x20f
#define MSR_PAT			0x277
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MSR_PERF_CAPABILITIES	0x345
#define MSR_PEBS_ENABLE		0x3f1
#define MSR_PEBS_INDEX		0x3f5
#define MSR_VMX_FIRST		0x480
#define MSR_VMX_LAST		0x491
#define MSR_RTIT_FIRST		0x560	/* Intel PT */
#define MSR_RTIT_CTL		0x570
#define MSR_RTIT_LAST		0x58f
#define MSR_DS_AREA		0x600
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_X2APIC_FIRST	0x800
#define MSR_X2APIC_TPR		0x808
#define MSR_X2APIC_EOI		0x80b
#define MSR_X2APIC_SELF_IPI	0x83f
#define MSR_X2APIC_LAST		0x8ff
#define MSR_XSS			0xda0
#define MSR_HW_FEEDBACK_PTR	0x17d0
#define MSR_HW_FEEDBACK_CONFIG	0x17d1
#define MSR_HYPERVISOR_FIRST	0x40000000	/* of whoever Joist is a guest of */
#define MSR_HYPERVISOR_LAST	0x4fffffff
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_PERF_GLOBAL_STATUS	0xc0000300
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SFMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103
#define MSR_PERF_CTL0		0xc0010000	/* AMD's first four counters */
#define MSR_PERF_CTR3		0xc0010007
#define MSR_SYSCFG		0xc0010010
#define MSR_HWCR		0xc0010015
#define MSR_IORR_FIRST		0xc0010016
#define MSR_IORR_LAST		0xc0010019
#define MSR_TOP_MEM		0xc001001a
#define MSR_TOP_MEM2		0xc001001d
#define MSR_PATCH_LOADER	0xc0010020
#define MSR_INT_PENDING		0xc0010055
#define MSR_MMIO_CFG_BASE	0xc0010058
#define MSR_SMM_BASE		0xc0010111
#define MSR_SMM_MASK		0xc0010113
#define MSR_VM_CR		0xc0010114
#define MSR_VM_HSAVE_PA		0xc0010117
#define MSR_SVM_KEY		0xc0010118
#define MSR_DE_CFG		0xc0011029
#define MSR_BP_CFG		0xc001102e

#define MSR_KVM_WALL_CLOCK	0x11
#define MSR_KVM_SYSTEM_TIME	0x12
#define MSR_KVM_WALL_CLOCK_NEW	0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW	0x4b564d01

#define PAT_RESET	0x0007040600070406ull

#define APIC_BASE_X2		BIT(10)
#define APIC_BASE_EN		BIT(11)
#define APIC_BASE_ADDR		BITS(51, 12)

#endif
