/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpu.h -- a physical core: its data, tables, traps, and asks across cores.
 */
#ifndef ARCH_X86_CPU_H
#define ARCH_X86_CPU_H

#include "core/lock.h"
#include "core/types.h"

#define MAX_CPUS	256		/* in use; more are parked */
#define AP_SLOTS_MAX	1024		/* cores that are started */
#define STACK_SIZE	(16 * KiB)

struct vcpu;

/* SVM's part of a core; VMX's part.  Each backend opens its own. */
struct svm_cpu {
	hpa_t hsave;		/* state-save area of VMRUN */
	hpa_t host_vmcb;	/* FS, GS, TR, ... of the hypervisor for VMLOAD */
	u64 asid_generation;
	u32 asid_next;
	u32 flush;		/* TLB_CONTROL for the next VMRUN */
	u64 control_debugctl;	/* the control VM's, while a guest is loaded */
};

#define VMX_SYSCALL_MSRS 4		/* STAR, LSTAR, CSTAR, SFMASK */
struct vmx_cpu {
	hpa_t vmxon;
	struct vcpu *current;		/* whose VMCS is current, NULL for none */
	u32 vpid_next;
	u64 epoch;			/* 1 + id; above: times the VPIDs were used up */
	/* The control VM's, while a guest is loaded. */
	u64 control_kernel_gs_base, control_cr2, control_dr6;
};

/*
 * Guards: [c] set at boot  [a] atomic, any core  [p] this core only
 */
struct cpu {
	struct cpu *self;		/* [c] first: GS:0 */
	u32 id;				/* [c] index in cpus[] */
	u32 apic_id;			/* [c] */
	struct vcpu *control;		/* [c] the control VM's vCPU of this core */
	struct vcpu *running;		/* [p] vCPU in this core, NULL for none */

	/*
	 * Cross-core asks.  A core that is about to enter a guest sets
	 * in_guest, then looks at request; one that asks sets request, then
	 * looks at in_guest and sends an NMI if it is set.
	 */
	u32 request __aligned(64);	/* [a] REQ_* */
	u32 in_guest;			/* [a] */
	u32 nmi_due;			/* [a] an NMI that Joist sent has not come yet */
	u32 online;			/* [a] enum core_state */
	/* guard.inc knows where they are. */
	u32 guard;			/* [p] GUARD_*, while a guest is loaded */
	u32 spec_guest, spec_host;	/* [p] SPEC_CTRL there and here */
	u32 verw;			/* [c] any data selector */
	const char *why;		/* CORE_FAILED */
	bool parked;			/* [c] kept from everybody */

	void *args __aligned(64);	/* [p] 4 KiB: hypercall arguments */
	hpa_t vendor_page[2];		/* [c] the backend's, until the end */
	u32 work;			/* [p] done in this hypercall, see core/work.h */
	void *stack_top;		/* [c] */
	u64 gdt[8];			/* [c] */
	struct tss {
		u32 reserved0;
		u64 rsp[3];
		u64 reserved1;
		u64 ist[7];
		u64 reserved2;
		u16 reserved3, iomap;
	} __packed tss;
	union {
		struct svm_cpu svm;
		struct vmx_cpu vmx;
	};
	struct {
		const void *lock;
		enum lock_rank rank;
	} locks[8];			/* [p] debug builds */
	u32 locks_held;
};

#define REQ_FLUSH_CONTROL	BIT(0)	/* flush the control VM's stage-2 TLB */
#define REQ_EXIT		BIT(1)	/* look at the running vCPU's events */
#define REQ_STOP		BIT(2)	/* panic elsewhere: stop */
#define REQ_NMI			BIT(3)	/* the control VM has an NMI */

enum core_state { CORE_ABSENT, CORE_ONLINE, CORE_FAILED };

extern struct cpu *cpus[MAX_CPUS];	/* those in use */
extern u32 cpu_count;
extern u32 tsc_khz;

/* A guest's traps may hit the hypervisor: under emulators, see cpu.c. */
extern bool stray_traps;

/* NULL before cpu_init(). */
struct cpu *this_cpu(void);
static inline struct cpu *current_cpu(void)
{
	struct cpu *c;

	__asm__("mov %%gs:0, %0" : "=r"(c));
	return c;
}

/* Selectors in every core's GDT. */
#define SEL_CODE	0x08
#define SEL_DATA	0x10
#define SEL_TSS		0x18

/* The boot core first: GDT, TSS, IDT, CR4; others by cpu_start in smp.c. */
void cpu_init(struct cpu *c);
/* Memory for a core's data and stacks. */
struct cpu *cpu_alloc(u32 id, u32 apic_id);
/*
 * A core that waits for somebody to write `line`: watch it, look at it, rest,
 * again.  rest() ends by itself now and then, or when the line is written.
 */
void cpu_watch(const volatile void *line);
void cpu_rest(void);
extern bool mwait_works;		/* [c] */
/* For good: nothing but NMIs and SMIs gets in. */
void cpu_halt(void) __noreturn;
void cpu_stop_machine(void) __noreturn;
void panic_action_set(int seconds);	/* < 0: halt */
/* How cpu_stop_machine() resets the machine: ACPI reset register and others. */
void reset_machine(void) __noreturn;
void reset_register_set(u16 port, u8 value);

/*
 * smp.c: starts other cores; each runs ap_main().  Those to be used come first
 * and become cpus[1] and up.  The core that must come and does not, or that fails
 * (then with a reason), is returned, or NULL.
 */
struct smp_core {
	u32 apic_id;
	bool park;
	bool optional;			/* it need not be there */
	struct cpu *cpu;		/* once it runs, else NULL */
};
const struct smp_core *smp_start(struct smp_core *list, u32 count, u64 low_page,
				 const char **why);
void smp_stop_others(void);
/* Makes the core look at `request` soon; returns at once. */
void smp_ask(struct cpu *c, u32 request);
/* This core, which is about to enter a guest, exits as soon as what is injected
 * then has been delivered.  Only where NMIs wait for guest mode. */
void smp_kick_self(void);
/* The same on all cores; returns when none is in a guest with the old state. */
void smp_ask_all_wait(u32 request);

/* drivers/apic.c */
void apic_send_nmi(u32 apic_id);

/* timer.c: soon, good for waiting, to a thousandth. */
void tsc_calibrate(u16 pm_timer_port, bool pm_timer_32);
/* At the end of boot: over all the time since, good for a clock. */
void tsc_refine(void);

/* tsc_sync.c: other cores call tsc_compare() in a loop while the boot core is in
 * tsc_check(), which says if one clock can be made of all their TSCs. */
extern bool tsc_stable;
void tsc_compare(void);
void tsc_check(void);
void udelay(u32 us);

#endif
