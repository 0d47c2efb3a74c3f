/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit.h -- what happens on an exit: one table for guests, one for the control
 * VM, and the handlers by subject.
 */
#ifndef ARCH_X86_EXIT_H
#define ARCH_X86_EXIT_H

#include "core/vm.h"

enum verdict {
	DONE,		/* handled: step past the instruction */
	RETRY,		/* go on where the guest is */
	FORWARD,	/* RUN ends with v->forward; stepping is the handler's */
};

/* Count, handle, and step on as the verdict says: a guest's exit, the control
 * VM's. */
enum verdict exit_guest(struct vcpu *v);
enum verdict exit_control(struct vcpu *v);
/* Moves RIP past an instruction of len bytes. */
void exit_step(struct vcpu *v, unsigned len);
/* The guest cannot go on until it is reset: RUN ends with JOIST_EXIT_ERROR. */
enum verdict exit_error(struct vcpu *v, u32 code);
/* #GP(0), #UD. */
enum verdict exit_gp(struct vcpu *v);
enum verdict exit_ud(struct vcpu *v);

enum verdict exit_cpuid(struct vcpu *v);		/* exit_cpuid.c */
enum verdict control_cpuid(struct vcpu *v);		/* control_cpuid.c */
/* Parts of both. */
void cpuid_put(struct vcpu *v, const struct cpuid *r);
void cpuid_mirror_cr4(struct vcpu *v, u32 leaf, struct cpuid *r);
bool cpuid_joist(struct vcpu *v, u32 leaf, struct cpuid *r);
u64 cpuid_cr4_bits(struct cpuid f1, struct cpuid f7);
enum verdict control_rdmsr(struct vcpu *v);		/* control_msr.c */
enum verdict control_wrmsr(struct vcpu *v);
void control_msrs_init(void);	/* each core, before the control VM runs there */
enum verdict exit_rdmsr(struct vcpu *v);		/* exit_msr.c */
enum verdict exit_wrmsr(struct vcpu *v);
enum verdict exit_cr(struct vcpu *v);			/* exit_cr.c */
enum verdict exit_dr(struct vcpu *v);
enum verdict exit_xsetbv(struct vcpu *v);
enum verdict control_io(struct vcpu *v);		/* control_io.c */
enum verdict exit_io(struct vcpu *v);			/* exit_io.c */
enum verdict io_complete(struct vcpu *v);
/* OUTS has read its element from a device. */
enum verdict outs_from_device(struct vcpu *v);
enum verdict control_shutdown(struct vcpu *v);		/* exit.c; does not return */
enum verdict exit_stage2(struct vcpu *v);		/* exit_stage2.c */
enum verdict control_stage2(struct vcpu *v);
enum verdict mmio_complete(struct vcpu *v);
enum verdict exit_emulate(struct vcpu *v, u64 gpa);
enum verdict mmio_string(struct vcpu *v, u64 data);
enum verdict exit_hypercall(struct vcpu *v);		/* exit_hypercall.c */
/* LAPIC access by MSR or MMIO: what vlapic_write() asked for (exit_apic.c). */
enum verdict apic_act(struct vcpu *v, const struct vlapic_action *a, enum verdict done);

/* What guests of this machine may use; fixed at boot (exit_cpuid.c). */
struct guest_features {
	u64 xcr0, cr4, efer;	/* bits that may be set */
	u32 phys_bits;		/* width of a GPA */
	u32 max_leaf;		/* of the CPU's basic CPUID leaves */
	u64 spec_ctrl;		/* bits of IA32_SPEC_CTRL; 0: there is no such MSR */
	u64 pred_cmd;		/* the same of IA32_PRED_CMD */
	bool amd;		/* CPUID says AMD, or Hygon */
	bool tsc_aux;		/* TSC_AUX exists */
	bool timer;		/* the backend's, which ends guest mode in time */
	bool offer;		/* the CPU keeps an interrupt until it can be taken */
	bool vid;		/* in x2APIC mode the CPU delivers the LAPIC's vectors */
};
extern struct guest_features guest_features;
void guest_features_init(void);
/* The same of the control VM; Linux there may have more (control_cpuid.c). */
struct control_features {
	u64 xcr0, xss, cr4, efer;
};
extern struct control_features control_features;
void control_features_init(void);
bool xcr0_valid(u64 xcr0, u64 features);

#endif
