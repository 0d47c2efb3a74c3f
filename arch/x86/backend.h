/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend.h -- what SVM and VMX must do differently, behind one table.
 *
 * The backend is chosen once at boot.  Everything on one side of it is
 * neutral; only arch/x86/svm and arch/x86/vmx open their part of a vCPU.
 */
#ifndef ARCH_X86_BACKEND_H
#define ARCH_X86_BACKEND_H

#include "arch/x86/cpu.h"
#include "arch/x86/decode.h"
#include "arch/x86/insn.h"
#include "core/types.h"
#include "include/joist.h"

struct vcpu;
struct event;
struct stage2;
struct stage2_format;

/* SVM's part of a vCPU. */
struct svm_vcpu {
	struct vmcb *vmcb;
	u64 vmcb_pa;
	u64 efer, cr4;		/* a guest's, as it sees them */
	u64 cr0_cache;		/* its CR0.CD and NW, the same */
	u64 asid_generation;	/* of the core it ran on last */
	u32 asid_cpu;		/* 1 + that core */
	bool nmi_blocked;	/* an NMI was injected, its IRET not yet seen */
	bool offered;		/* an interrupt, at the last entry */
	bool watch;		/* the next exit settles that, or iret_rip */
	bool iret_step;		/* single-stepping over that IRET */
	bool step_flags;	/* TF was the guest's own while stepping */
	u64 iret_rip;
};

/* VMX's part of a vCPU. */
struct vmx_vcpu {
	void *vmcs;
	u64 vmcs_pa;
	u8 *vapic;		/* virtual-APIC page; guests only */
	u64 eptp;
	u64 rip, rsp, rflags;	/* what the VMCS holds */
	u32 pin, proc, threshold;	/* the same */
	u64 timer;		/* written to it last */
	u32 priority;		/* of the interrupt a window is wanted for */
	u64 epoch;		/* struct vmx_cpu's, of the core it ran on last */
	u32 todo;		/* VMX_TODO_*, before the next entry */
	bool launched;
	bool loaded;		/* between load and unload */
	bool want_intr, want_nmi;
	bool vid;		/* the VMCS is set up for it */
	bool vid_live;		/* the virtual-APIC page holds IRR, ISR, TPR */
	u64 bitmap;		/* MSR bitmap in the VMCS */
	u64 intr_status;	/* in the VMCS, while vid_live is not set */
	bool nmi_blocked;	/* an NMI was injected, its IRET not yet seen */
	u64 syscall_msr[VMX_SYSCALL_MSRS];	/* writes of them exit */
	u64 kernel_gs_base;	/* while it is not loaded */
	u64 cr2, dr6;		/* the same */
};

/* Registers that live in a VMCB or a VMCS, or in MSRs while it runs. */
enum vreg {
	VREG_CR0, VREG_CR2, VREG_CR3, VREG_CR4, VREG_EFER, VREG_DR6, VREG_DR7,
	VREG_STAR, VREG_LSTAR, VREG_CSTAR, VREG_SFMASK, VREG_KERNEL_GS_BASE,
	VREG_SYSENTER_CS, VREG_SYSENTER_ESP, VREG_SYSENTER_EIP,
	VREG_DEBUGCTL, VREG_PAT,
	VREG_GDTR_BASE, VREG_GDTR_LIMIT, VREG_IDTR_BASE, VREG_IDTR_LIMIT,
	VREG_CPL,		/* read-only */
	VREG_COUNT
};

/* Why a guest exited, in neutral terms. */
struct exit {
	u32 kind;		/* enum joist_stat */
	u8 insn_len;		/* of the instruction to step over; 0: unknown */
	bool forward_intr;	/* a physical interrupt is pending */
	struct {
		u16 port;
		u8 size;
		bool in, string, rep;
	} io;
	struct {
		u64 gpa;
		bool write, exec;
		bool present;	/* there is a translation, it forbids */
		bool in_walk;	/* by the CPU's page-table walk */
	} s2;
	u32 vector, error;	/* EXCEPTION */
	u32 msr_write;
	bool vague;		/* SHUTDOWN: v->rip is the last entry's ... */
	u64 left;		/* ... and this what the CPU left in its place */
	u64 raw[4];		/* vendor's exit code and information: exit_raw() */
};

/* What decides how code is addressed and decoded. */
struct cpu_mode {
	u64 cr0, cr3, cr4, efer;
	u64 cs_base;
	u32 cs_attr;		/* as in struct joist_segment */
	u32 cpl;
};

/* The last page that an instruction was fetched from, and the guest's table
 * entries that lead there. */
struct fetch_cache {
	u64 page;		/* linear address | 1; 0: nothing */
	struct cpu_mode m;
	u32 depth;
	const u64 *entry[5];
	u64 value[5];
	const u8 *host;
};

/* The last instruction that was decoded, by its bytes: drivers have few. */
struct insn_cache {
	u64 bytes[2];
	u64 mask[2];		/* which of them are its own; 0: nothing */
	enum insn_mode mode;
	struct insn insn;
};

#define BACKEND_NEXT_RIP	JOIST_CAP_NEXT_RIP
#define BACKEND_TIMER		JOIST_CAP_TIMER
#define BACKEND_VID		JOIST_CAP_VID
#define BACKEND_CAPS		(BACKEND_NEXT_RIP | BACKEND_TIMER | BACKEND_VID)
#define BACKEND_OFFER		BIT(31)		/* offer(), not inject(), for interrupts */

extern bool vid_allowed;	/* main.c: boot tunable vid= */

struct backend {
	const char *name;
	u32 vendor;		/* JOIST_VENDOR_* */
	u32 cpuid_call;		/* JOIST_CPUID_VMCALL or _VMMCALL */
	/* The control VM's tables, and those of guests, whose memory is all RAM. */
	const struct stage2_format *stage2, *guest_stage2;

	/* Boot core: can this machine serve?  *why says what is missing; it stays
	 * as it is if the CPU is another vendor's. */
	bool (*probe)(const char **why);
	/* BACKEND_*; valid after cpu_enable(). */
	u32 (*features)(void);
	/* On every core. */
	bool (*cpu_enable)(struct cpu *c, const char **why);

	/*
	 * NMIs, SMIs and INITs that the core holds back while the hypervisor runs
	 * may come in, or no more.  NULL: it holds back none.
	 */
	void (*let_in)(bool on);

	/* Vendor memory of a vCPU: -ENOMEM.  Zero state, then reset(). */
	int (*vcpu_init)(struct vcpu *v);
	void (*vcpu_fini)(struct vcpu *v);
	/* Registers at their power-on values, as the manuals' tables give them. */
	void (*vcpu_reset)(struct vcpu *v);

	/* Nobody owns v from now on: any core may be its next owner's.  NULL, like
	 * load and unload: there is nothing to do. */
	void (*release)(struct vcpu *v);
	/*
	 * Guest v is about to be run on this core, is done for now.  Between
	 * the two the control VM's values of what the vendor does not switch
	 * by itself are kept safe.
	 */
	void (*load)(struct vcpu *v);
	void (*unload)(struct vcpu *v);
	/* Runs v until an exit, and decodes that into v->x. */
	void (*enter)(struct vcpu *v);
	/* Completes v->x.raw of the last exit. */
	void (*exit_raw)(struct vcpu *v);

	void (*mode_get)(struct vcpu *v, struct cpu_mode *m);
	u64 (*reg_get)(struct vcpu *v, enum vreg r);
	void (*reg_set)(struct vcpu *v, enum vreg r, u64 val);
	void (*seg_get)(struct vcpu *v, enum joist_seg s, struct joist_segment *seg);
	void (*seg_set)(struct vcpu *v, enum joist_seg s, const struct joist_segment *seg);

	/* Deliver at the next entry; nothing else is being delivered then. */
	void (*inject)(struct vcpu *v, struct event ev);
	/* Exit as soon as an interrupt, an NMI can be taken, once what was given to
	 * inject() before has been delivered.  priority: vector
	 * >> 4, which TPR may hold back; 16 if TPR has no say. */
	void (*want_window)(struct vcpu *v, bool intr, bool nmi, u32 priority);
	/*
	 * The CPU delivers this interrupt as soon as the guest can take it, unless
	 * an exit comes before; if not, vcpu_intr_taken() is called at that exit.
	 * With BACKEND_OFFER only.
	 */
	void (*offer)(struct vcpu *v, u32 vector);
	/* JOIST_SHADOW_STI, _MOVSS, JOIST_NMI_BLOCKED. */
	u32 (*shadow_get)(struct vcpu *v);
	void (*shadow_set)(struct vcpu *v, u32 shadow);
	/* An instruction was stepped over: STI's or MOV SS's shadow is past. */
	void (*shadow_end)(struct vcpu *v);
	/* The CPU's idea of TPR (CR8), which may move without an exit. */
	u32 (*tpr_get)(struct vcpu *v);
	/* BACKEND_VID: v->lapic is about to be looked at, in RUN or outside. */
	void (*lapic_sync)(struct vcpu *v);
	void (*tpr_set)(struct vcpu *v, u32 cr8);
	void (*tsc_offset_set)(struct vcpu *v, u64 offset);
	/* Debug registers: exit on use, or let the guest have them. */
	void (*dr_intercept)(struct vcpu *v, bool on);
	/* The timer must end guest mode at this host TSC (BACKEND_TIMER). */
	void (*timer_set)(struct vcpu *v, u64 host_tsc);
	/* This core: no stale stage-2 translation of the control VM, of v. */
	void (*flush_control)(struct cpu *c);
	void (*flush)(struct vcpu *v);
};

extern const struct backend svm_backend, vmx_backend;

#endif
