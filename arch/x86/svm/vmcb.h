/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmcb.h -- the VMCB and SVM's constants: APM volume 2, appendix "VMCB
 * Layout", and appendix "SVM Intercept Exit Codes".
 */
#ifndef ARCH_X86_SVM_VMCB_H
#define ARCH_X86_SVM_VMCB_H

#include "core/types.h"

/* Intercept vectors: word 3 (offset 00Ch) and word 4 (010h). */
#define INTERCEPT_INTR		BIT(0)
#define INTERCEPT_NMI		BIT(1)
#define INTERCEPT_INIT		BIT(3)
#define INTERCEPT_VINTR		BIT(4)
#define INTERCEPT_RDPMC		BIT(15)
#define INTERCEPT_CPUID		BIT(18)
#define INTERCEPT_RSM		BIT(19)
#define INTERCEPT_IRET		BIT(20)
#define INTERCEPT_INVD		BIT(22)
#define INTERCEPT_HLT		BIT(24)
#define INTERCEPT_INVLPGA	BIT(26)
#define INTERCEPT_IO		BIT(27)
#define INTERCEPT_MSR		BIT(28)
#define INTERCEPT_FERR_FREEZE	BIT(30)
#define INTERCEPT_SHUTDOWN	BIT(31)

#define INTERCEPT_VMRUN		BIT(0)
#define INTERCEPT_VMMCALL	BIT(1)
#define INTERCEPT_VMLOAD	BIT(2)
#define INTERCEPT_VMSAVE	BIT(3)
#define INTERCEPT_STGI		BIT(4)
#define INTERCEPT_CLGI		BIT(5)
#define INTERCEPT_SKINIT	BIT(6)
#define INTERCEPT_WBINVD	BIT(9)
#define INTERCEPT_MONITOR	BIT(10)
#define INTERCEPT_MWAIT		BIT(11)
#define INTERCEPT_XSETBV	BIT(13)
#define INTERCEPT_RDPRU		BIT(14)

/* word 5 (014h) */
#define INTERCEPT_INVLPGB	BIT(0)
#define INTERCEPT_INVLPGB_BAD	BIT(1)
#define INTERCEPT_MCOMMIT	BIT(3)
#define INTERCEPT_TLBSYNC	BIT(4)

/* int_ctl, offset 060h */
#define VINTR_TPR		BITS(7, 0)
#define VINTR_IRQ		BIT(8)
#define VINTR_IGN_TPR		BIT(20)
#define VINTR_MASKING		BIT(24)
#define VINTR_VECTOR		BITS(39, 32)

/* Exceptions that exit: a guest's; what a step over IRET ends with, or what IRET
 * raises itself. */
#define GUEST_EXCEPTIONS	(u32)(BIT(EXC_DB) | BIT(EXC_AC) | BIT(EXC_MC))
#define STEP_EXCEPTIONS		(u32)(BIT(EXC_DB) | BITS(EXC_PF, EXC_TS) | BIT(EXC_AC))

#define NP_ENABLE		BIT(0)

#define TLB_FLUSH_ALL		1

/* Clean bits, offset 0C0h: what the CPU may keep from the last VMRUN. */
#define CLEAN_NONE		0

#define SVM_EXIT_READ_CR0	0x000
#define SVM_EXIT_WRITE_CR0	0x010
#define SVM_EXIT_READ_DR0	0x020
#define SVM_EXIT_WRITE_DR15	0x03f
#define SVM_EXIT_EXCP0		0x040
#define SVM_EXIT_EXCP31		0x05f
#define SVM_EXIT_INTR		0x060
#define SVM_EXIT_NMI		0x061
#define SVM_EXIT_INIT		0x063
#define SVM_EXIT_VINTR		0x064
#define SVM_EXIT_RDTSC		0x06e
#define SVM_EXIT_RDPMC		0x06f
#define SVM_EXIT_CPUID		0x072
#define SVM_EXIT_RSM		0x073
#define SVM_EXIT_IRET		0x074
#define SVM_EXIT_INVD		0x076
#define SVM_EXIT_PAUSE		0x077
#define SVM_EXIT_HLT		0x078
#define SVM_EXIT_INVLPGA	0x07a
#define SVM_EXIT_IOIO		0x07b
#define SVM_EXIT_MSR		0x07c
#define SVM_EXIT_FERR_FREEZE	0x07e
#define SVM_EXIT_SHUTDOWN	0x07f
#define SVM_EXIT_VMRUN		0x080
#define SVM_EXIT_VMMCALL	0x081
#define SVM_EXIT_VMLOAD		0x082
#define SVM_EXIT_VMSAVE		0x083
#define SVM_EXIT_STGI		0x084
#define SVM_EXIT_CLGI		0x085
#define SVM_EXIT_SKINIT		0x086
#define SVM_EXIT_WBINVD		0x089
#define SVM_EXIT_MONITOR	0x08a
#define SVM_EXIT_MWAIT		0x08b
#define SVM_EXIT_MWAIT_ARMED	0x08c
#define SVM_EXIT_XSETBV		0x08d
#define SVM_EXIT_RDPRU		0x08e
#define SVM_EXIT_INVLPGB	0x0a0
#define SVM_EXIT_INVLPGB_BAD	0x0a1
#define SVM_EXIT_MCOMMIT	0x0a3
#define SVM_EXIT_TLBSYNC	0x0a4
#define SVM_EXIT_NPF		0x400
#define SVM_EXIT_INVALID	(~0ull)

/* EXITINFO1 of an I/O exit */
#define IOIO_IN			BIT(0)
#define IOIO_STRING		BIT(2)
#define IOIO_REP		BIT(3)
#define IOIO_SIZE		BITS(6, 4)	/* bytes */
#define IOIO_PORT		BITS(31, 16)

/* EXITINFO1 of a nested page fault */
#define NPF_PRESENT		BIT(0)
#define NPF_WRITE		BIT(1)
#define NPF_FETCH		BIT(4)
#define NPF_TABLE		BIT(33)		/* during the guest's table walk */

struct vmcb_seg {
	u16 selector;
	u16 attr;		/* type, S, DPL, P in 0..7; AVL, L, D/B, G in 8..11 */
	u32 limit;
	u64 base;
};

struct vmcb {
	u16 intercept_cr_read;		/* 000h */
	u16 intercept_cr_write;
	u16 intercept_dr_read;
	u16 intercept_dr_write;
	u32 intercept_exc;		/* 008h */
	u32 intercept3;
	u32 intercept4;			/* 010h */
	u32 intercept5;
	u8 reserved1[0x3c - 0x18];
	u16 pause_threshold;		/* 03ch */
	u16 pause_count;
	u64 iopm;			/* 040h */
	u64 msrpm;
	u64 tsc_offset;			/* 050h */
	u32 asid;
	u8 tlb_control;			/* 05ch */
	u8 reserved2[3];
	u64 int_ctl;			/* 060h: with the vector in bits 39:32 */
	u64 shadow;			/* 068h: bit 0 */
	u64 exit_code;			/* 070h */
	u64 exit_info1;
	u64 exit_info2;			/* 080h */
	u64 exit_int_info;		/* 088h */
	u64 np_control;			/* 090h */
	u64 avic_bar;
	u64 ghcb;
	u64 event_inj;			/* 0a8h */
	u64 nested_cr3;			/* 0b0h */
	u64 virt_ext;			/* 0b8h */
	u32 clean;			/* 0c0h */
	u32 reserved3;
	u64 next_rip;			/* 0c8h */
	u8 insn_len;			/* 0d0h: decode assists */
	u8 insn[15];
	u8 reserved4[0x400 - 0xe0];

	struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;	/* 400h */
	u8 reserved5[0x4cb - 0x4a0];
	u8 cpl;				/* 4cbh */
	u32 reserved6;
	u64 efer;			/* 4d0h */
	u8 reserved7[0x548 - 0x4d8];
	u64 cr4;			/* 548h */
	u64 cr3;
	u64 cr0;
	u64 dr7;			/* 560h */
	u64 dr6;
	u64 rflags;			/* 570h */
	u64 rip;
	u8 reserved8[0x5d8 - 0x580];
	u64 rsp;			/* 5d8h */
	u8 reserved9[0x5f8 - 0x5e0];
	u64 rax;			/* 5f8h */
	u64 star;			/* 600h */
	u64 lstar;
	u64 cstar;
	u64 sfmask;
	u64 kernel_gs_base;		/* 620h */
	u64 sysenter_cs;
	u64 sysenter_esp;
	u64 sysenter_eip;
	u64 cr2;			/* 640h */
	u8 reserved10[0x668 - 0x648];
	u64 g_pat;			/* 668h */
	u64 debugctl;			/* 670h */
	u8 reserved11[0x6e0 - 0x678];
	u64 spec_ctrl;			/* 6e0h */
	u8 reserved12[0x1000 - 0x6e8];
};

static_assert(offsetof(struct vmcb, iopm) == 0x40, "control area");
static_assert(offsetof(struct vmcb, tlb_control) == 0x5c, "control area");
static_assert(offsetof(struct vmcb, exit_code) == 0x70, "control area");
static_assert(offsetof(struct vmcb, event_inj) == 0xa8, "control area");
static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "control area");
static_assert(offsetof(struct vmcb, es) == 0x400, "save area");
static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "save area");
static_assert(offsetof(struct vmcb, efer) == 0x4d0, "save area");
static_assert(offsetof(struct vmcb, cr4) == 0x548, "save area");
static_assert(offsetof(struct vmcb, rflags) == 0x570, "save area");
static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "save area");
static_assert(offsetof(struct vmcb, rax) == 0x5f8, "save area");
static_assert(offsetof(struct vmcb, cr2) == 0x640, "save area");
static_assert(offsetof(struct vmcb, g_pat) == 0x668, "save area");
static_assert(offsetof(struct vmcb, spec_ctrl) == 0x6e0, "save area");
static_assert(sizeof(struct vmcb) == 4096, "VMCB is a page");

/* Exits, svm_exit.c: decodes what vmcb says into v->x. */
struct vcpu;
void svm_exit_decode(struct vcpu *v);
void svm_offer_end(struct vcpu *v);
void svm_exit_raw(struct vcpu *v);

#endif
