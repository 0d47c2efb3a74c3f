/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * joist.h -- the interface between the hypervisor, joist.ko and the tools.
 *
 * It is the only thing these three share.  Fixed-width types, padding by
 * hand, numbers never reused.  All blocks are little-endian and naturally
 * aligned.  A field marked (in) is read by the hypervisor, (out) written by
 * it; reserved fields must be zero on the way in.
 *
 * A hypercall is VMMCALL (AMD) or VMCALL (Intel), three bytes without a prefix,
 * at CPL 0 of the control VM:
 *	RAX  in: call number, HC_*   out: 0 or a positive value, or -errno
 *	RDI  in: GPA of the argument block (8-byte aligned, not crossing
 *	         a 4 KiB page, in memory the control VM owns)
 * The block is copied in once and copied out when the call has run, also
 * when it failed with -EAGAIN (work left; call again with the same block).
 * All other registers are preserved.
 */
#ifndef JOIST_H
#define JOIST_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define JOIST_ABI_VERSION	1

/*
 * CPUID leaves, in the control VM and in guests.  Leaf BASE returns in EAX
 * the last leaf and in EBX, ECX, EDX the signature "JoistJoistJo".  Leaf
 * BASE + 1 returns in EAX the ABI version and in EBX JOIST_CPUID_*.
 */
#define JOIST_CPUID_BASE	0x40000100u
#define JOIST_CPUID_EBX		0x73696f4au	/* "Jois" */
#define JOIST_CPUID_ECX		0x696f4a74u	/* "tJoi" */
#define JOIST_CPUID_EDX		0x6f4a7473u	/* "stJo" */
#define JOIST_CPUID_VMCALL	(1u << 0)	/* hypercalls by VMCALL */
#define JOIST_CPUID_VMMCALL	(1u << 1)	/* hypercalls by VMMCALL */
#define JOIST_CPUID_CONTROL	(1u << 8)	/* this is the control VM */

/* Limits, also reported by HC_CAPABILITIES. */
#define JOIST_MAX_VMS		1024	/* guests at one time */
#define JOIST_MAX_VCPUS		32	/* a VM's vCPUs */
#define JOIST_MAX_MEMSEGS	8	/* a VM's memory segments */
#define JOIST_NAME_LEN		32	/* with the closing NUL */
#define JOIST_NO_DEADLINE	(~0ull)

/* Call numbers. */
enum joist_hc {
	HC_VERSION		= 0,
	HC_CAPABILITIES		= 1,
	HC_CREATE		= 2,
	HC_DESTROY		= 3,
	HC_TERM			= 4,
	HC_INFO			= 5,
	HC_RUN			= 6,
	HC_RESETCPU		= 7,
	HC_INTR			= 8,
	HC_READREGS		= 9,
	HC_WRITEREGS		= 10,
	HC_READVMPARAMS		= 11,
	HC_WRITEVMPARAMS	= 12,
	HC_MEMSEG_ALLOC		= 13,
	HC_MEMSEG_FREE		= 14,
	HC_MEMSEG_MAP		= 15,
	HC_MEMSEG_UNMAP		= 16,
	HC_MEMSEG_QUERY		= 17,
	HC_STATS		= 18,
	HC_LOG			= 19,
	HC_READXSTATE		= 20,
	HC_WRITEXSTATE		= 21,
	HC_READLAPIC		= 22,
	HC_WRITELAPIC		= 23,
	HC_VERIFY		= 24,	/* debug builds; -ENOSYS otherwise */
	HC_MEMSEG_PROTECT	= 25,
	HC_MEMSEG_DROP		= 26,
	HC_MEMSEG_FILL		= 27,
	HC_POOL			= 28,
	HC_MITIGATION		= 29,
	HC_ACCESS		= 30,
	HC_COUNT
};

/*
 * Every block opens with the ids of what it is about.  A VM id is never 0
 * and is not handed out again for a long time.  A call about no VM, or about
 * the hypervisor or the control VM, has vm == 0; one about no single vCPU
 * has vcpu == 0.
 */
struct joist_head {
	uint32_t vm;
	uint32_t vcpu;
};

struct joist_version {
	struct joist_head head;
	uint32_t abi;			/* (out) JOIST_ABI_VERSION */
	uint32_t debug;			/* (out) 1 in a debug build */
	char version[32];		/* (out) NUL-terminated */
};

#define JOIST_VENDOR_VMX	1
#define JOIST_VENDOR_SVM	2

#define JOIST_CAP_NEXT_RIP	(1u << 0)	/* CPU gives the next RIP */
#define JOIST_CAP_TIMER		(1u << 1)	/* guest timer ends RUN by itself */
#define JOIST_CAP_VID		(1u << 2)	/* virtual-interrupt delivery */
#define JOIST_CAP_1G		(1u << 3)	/* 1 GiB stage-2 pages */

struct joist_capabilities {
	struct joist_head head;
	uint32_t vendor;		/* (out) JOIST_VENDOR_* */
	uint32_t features;		/* (out) JOIST_CAP_* */
	uint32_t pcpus;			/* (out) cores in use */
	uint32_t max_vms;
	uint32_t max_vcpus;
	uint32_t max_memsegs;
	uint32_t tsc_khz;		/* (out) host TSC */
	uint32_t xstate_size;		/* (out) bytes of a vCPU's XSAVE area */
	uint64_t pool_total;		/* (out) bytes */
	uint64_t pool_free;		/* (out) bytes */
	uint64_t hypervisor_bytes;	/* (out) RAM the hypervisor itself takes */
	uint64_t control_bytes;		/* (out) RAM of the control VM */
	uint64_t max_gpa;		/* (out) first GPA a guest cannot have */
	uint64_t forbidden_reads;	/* (out) control VM reads of memory not its own */
	uint64_t forbidden_writes;	/* (out) the same, writes */
};

/*
 * HC_CREATE: a VM without memory, every vCPU in power-on state, none running.
 * vCPU 0 is the boot CPU; the others wait for SIPI.  -EINVAL: empty, over-long
 * or ill-spelled name ([A-Za-z0-9._-], first one alphanumeric) or vCPU count
 * out of 1..JOIST_MAX_VCPUS; -EEXIST: name taken; -ENOSPC: no VM slot;
 * -ENOMEM: pool empty.
 */
struct joist_create {
	struct joist_head head;		/* vm (out) */
	uint32_t vcpus;			/* (in) */
	uint32_t flags;			/* (in) 0 */
	char name[JOIST_NAME_LEN];	/* (in) NUL-terminated, rest NUL */
};

/*
 * HC_TERM: from now on HC_RUN of any of the VM's vCPUs ends at once with
 * JOIST_EXIT_TERM; vCPUs in guest mode on other cores are made to exit.
 * HC_DESTROY: HC_TERM, then all is freed.  -EBUSY while a vCPU is still
 * inside HC_RUN on another core (it is on its way out: call again);
 * -EAGAIN while memory is left to be freed (call again).
 */
struct joist_vm {
	struct joist_head head;
};

#define JOIST_VCPU_IDLE		0	/* not in RUN */
#define JOIST_VCPU_RUNNING	1	/* inside RUN */
#define JOIST_VCPU_HALTED	2	/* HLT, waits for an event */
#define JOIST_VCPU_WAIT_SIPI	3	/* waits for INIT/SIPI */

#define JOIST_VM_TERMINATED	(1u << 0)

/* HC_INFO: the first VM whose slot is >= index; -ENOENT when there is none. */
struct joist_info {
	struct joist_head head;		/* vm (out) */
	uint32_t index;			/* (in) slot to start at; (out) next index to ask for */
	uint32_t vcpus;			/* (out) */
	uint32_t state;			/* (out) JOIST_VM_* bits */
	uint32_t memsegs;		/* (out) segments in use */
	uint64_t memory;		/* (out) bytes in segments */
	uint64_t overhead;		/* (out) bytes of tables, vCPUs, run pages */
	char name[JOIST_NAME_LEN];	/* (out) */
	uint64_t exits;			/* (out) sum over all vCPUs */
	uint64_t vcpu_state;		/* (out) 2 bits a vCPU, vCPU 0 lowest: JOIST_VCPU_* */
};

/* Why HC_RUN returned (its result, also in the run page). */
enum joist_exit {
	JOIST_EXIT_NONE		= 0,
	/* For joist.ko: handled there, then it runs the vCPU again. */
	JOIST_EXIT_INTR		= 1,	/* a physical interrupt is pending, or a kick */
	JOIST_EXIT_HALTED	= 2,	/* sleep until deadline, or until woken */
	JOIST_EXIT_TIMER	= 3,	/* deadline has changed: arm a timer */
	JOIST_EXIT_WAKE		= 4,	/* only `wake` asks for something */
	/* For user space. */
	JOIST_EXIT_IO		= 5,	/* port access, run->io */
	JOIST_EXIT_MMIO		= 6,	/* access to GPA without memory for it, run->mmio */
	JOIST_EXIT_EOI		= 7,	/* EOI of a level-triggered vector, run->eoi */
	JOIST_EXIT_EXTINT	= 8,	/* the vCPU can take an 8259 interrupt now */
	JOIST_EXIT_SHUTDOWN	= 9,	/* triple fault */
	JOIST_EXIT_TERM		= 10,	/* the VM was terminated */
	JOIST_EXIT_ERROR	= 11,	/* cannot go on, run->error */
	JOIST_EXIT_EMULATE	= 12,	/* to be carried out by user space, run->emulate */
	JOIST_EXIT_COUNT
};

/*
 * HC_RUN: turn this core into the vCPU until an exit above.  Returns 0 and
 * `exit`, or -EBUSY (the vCPU runs on another core), -ENOENT.  `wake` is a
 * bitmap of vCPUs of the same VM whose threads, if they sleep, must run
 * again; it can be non-zero with any exit.  `deadline` is the host TSC value
 * at which the vCPU's timer expires, JOIST_NO_DEADLINE if it is not armed;
 * joist.ko must make sure that a physical interrupt hits this core then
 * (unless JOIST_CAP_TIMER), or, after HALTED, that the vCPU is run again.
 * After JOIST_EXIT_IO or MMIO reads, the answer is taken from the run page at
 * the next RUN.  After ERROR and SHUTDOWN the vCPU must be reset, or its
 * registers written; RUN before that gives the same exit again.
 */
struct joist_run_args {
	struct joist_head head;
	uint32_t exit;			/* (out) JOIST_EXIT_* */
	uint32_t reserved;
	uint64_t deadline;		/* (out) */
	uint64_t wake;			/* (out) */
};

#define JOIST_RUN_EXTINT	(1u << 0)	/* an 8259 interrupt is waiting */
#define JOIST_RUN_RETURN	(1u << 1)	/* finish pending I/O, then exit with INTR */

#define JOIST_IO_IN		1
#define JOIST_IO_OUT		0
#define JOIST_IO_BUF		2048		/* bytes of a string operation */

#define JOIST_ERR_ENTRY		1	/* the CPU refused the guest state */
#define JOIST_ERR_EMULATE	2	/* cannot emulate this instruction on MMIO */
#define JOIST_ERR_EXIT		3	/* an exit nobody expects */
#define JOIST_ERR_EVENT		4	/* event delivery failed: no stage-2 memory under it */
#define JOIST_ERR_MEMORY	5	/* the pool is empty: no table to split a large page */

/*
 * The run page: 4 KiB, one a vCPU, shared with user space.  The hypervisor
 * trusts nothing in it, reads each (in) field once, at HC_RUN.
 */
struct joist_run {
	uint32_t flags;			/* (in) JOIST_RUN_* */
	uint32_t exit;			/* (out) JOIST_EXIT_* */
	uint64_t rip;			/* (out) of the instruction that exited */
	union {
		struct {
			uint16_t port;
			uint8_t size;		/* 1, 2, 4: of one element */
			uint8_t in;		/* JOIST_IO_IN or _OUT */
			uint32_t count;		/* elements; 1 unless INS or OUTS */
			uint64_t data;		/* count == 1: value (out), or answer (in) */
			uint32_t string;	/* 1: elements are in buf, even if count is 1 */
			uint32_t reserved;
		} io;
		struct {
			uint64_t gpa;
			uint8_t size;		/* 1, 2, 4, 8 */
			uint8_t write;
			uint8_t reserved[6];
			uint64_t data;		/* written value (out), or answer (in) */
		} mmio;
		struct {
			uint32_t vector;
		} eoi;
		struct {
			uint32_t code;		/* JOIST_ERR_* */
			uint32_t len;		/* bytes valid in insn */
			uint64_t detail[4];	/* raw exit code and information, GPA */
			uint8_t insn[16];
		} error;
		struct {
			uint32_t exact;		/* 1: rip is where it happened */
			uint32_t reserved;
			uint64_t left;		/* if not: RIP as the CPU left it, which it */
		} shutdown;			/* need not; rip is the last entry's */
		struct {
			uint64_t gpa;		/* where there is no memory for it */
			uint32_t mode;		/* 16, 32, 64: of the code */
			uint32_t len;		/* bytes valid in insn, 1 to 15 */
			uint8_t insn[16];
		} emulate;
		uint64_t pad[30];
	};
	uint8_t buf[JOIST_IO_BUF];	/* string I/O: elements, lowest address first */
};

/*
 * Registers.  Segment attributes as in a VMCS access-rights field: bits 0-3
 * type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G, 16 unusable.
 */
struct joist_segment {
	uint64_t base;
	uint32_t limit;			/* in bytes, expanded */
	uint16_t selector;
	uint16_t reserved;
	uint32_t attr;
	uint32_t reserved2;
};

enum joist_gpr {
	JOIST_RAX, JOIST_RCX, JOIST_RDX, JOIST_RBX,
	JOIST_RSP, JOIST_RBP, JOIST_RSI, JOIST_RDI,
	JOIST_R8, JOIST_R9, JOIST_R10, JOIST_R11,
	JOIST_R12, JOIST_R13, JOIST_R14, JOIST_R15,
};

enum joist_seg {
	JOIST_ES, JOIST_CS, JOIST_SS, JOIST_DS, JOIST_FS, JOIST_GS,
	JOIST_LDTR, JOIST_TR,
	JOIST_SEGS,
};

enum joist_msr {
	JOIST_MSR_EFER, JOIST_MSR_STAR, JOIST_MSR_LSTAR, JOIST_MSR_CSTAR,
	JOIST_MSR_SFMASK, JOIST_MSR_KERNEL_GS_BASE, JOIST_MSR_SYSENTER_CS,
	JOIST_MSR_SYSENTER_ESP, JOIST_MSR_SYSENTER_EIP, JOIST_MSR_PAT,
	JOIST_MSR_APIC_BASE, JOIST_MSR_TSC_AUX, JOIST_MSR_TSC_ADJUST,
	JOIST_MSR_SPEC_CTRL, JOIST_MSR_XSS, JOIST_MSR_DEBUGCTL,
	JOIST_MSR_MISC_ENABLE, JOIST_MSR_KVM_SYSTEM_TIME, JOIST_MSR_KVM_WALL_CLOCK,
	JOIST_MSRS,
};

/* Which groups a READREGS or WRITEREGS is about. */
#define JOIST_REGS_GPR		(1u << 0)	/* gpr, rip, rflags */
#define JOIST_REGS_SEG		(1u << 1)	/* seg, gdtr, idtr */
#define JOIST_REGS_CR		(1u << 2)	/* cr0..cr8, xcr0 */
#define JOIST_REGS_DR		(1u << 3)
#define JOIST_REGS_MSR		(1u << 4)	/* msr[], tsc */
#define JOIST_REGS_EVENT	(1u << 5)	/* activity, shadow, pending events */
#define JOIST_REGS_ALL		0x3fu

#define JOIST_SHADOW_STI	(1u << 0)
#define JOIST_SHADOW_MOVSS	(1u << 1)
#define JOIST_NMI_BLOCKED	(1u << 2)
#define JOIST_NMI_PENDING	(1u << 3)

#define JOIST_EVENT_VALID	(1u << 31)
#define JOIST_EVENT_ERROR	(1u << 11)	/* an error code is pushed */
#define JOIST_EVENT_TYPE(t)	((uint32_t)(t) << 8)	/* 0 intr, 2 NMI, 3 exception, 4 soft */
#define JOIST_EVENT_VECTOR	0xffu

struct joist_regs {
	uint64_t gpr[16];		/* enum joist_gpr */
	uint64_t rip;
	uint64_t rflags;
	struct joist_segment seg[JOIST_SEGS];
	struct joist_segment gdtr;	/* base and limit only */
	struct joist_segment idtr;
	uint64_t cr0, cr2, cr3, cr4, cr8, xcr0;
	uint64_t dr[4], dr6, dr7;
	uint64_t msr[JOIST_MSRS];
	uint64_t tsc;			/* guest TSC now; a write moves it */
	uint32_t activity;		/* JOIST_VCPU_IDLE (runnable), _HALTED, _WAIT_SIPI */
	uint32_t interruptibility;	/* JOIST_SHADOW_*, JOIST_NMI_* */
	uint32_t event;			/* an event to be delivered: JOIST_EVENT_* */
	uint32_t event_error;
};

/*
 * HC_RESETCPU: with mask == 0 to power-on state (INIT values, vCPU 0 at the
 * reset vector, the others waiting for SIPI), else the same and then the
 * groups of mask from regs, all or nothing.  Memory stays.  Pending events,
 * LAPIC state and kvmclock registrations are cleared.
 * HC_READREGS, HC_WRITEREGS: the groups in mask.  -EINVAL names state that
 * no CPU can be in (reserved bits, non-canonical addresses); nothing is
 * written then.
 */
struct joist_regs_args {
	struct joist_head head;
	uint32_t mask;			/* (in) JOIST_REGS_* */
	uint32_t reserved;
	struct joist_regs regs;
};

/* XSAVE area in standard (non-compacted) form, xstate_size bytes of it. */
#define JOIST_XSTATE_MAX	4032
struct joist_xstate {
	struct joist_head head;
	uint32_t size;			/* (in) must be xstate_size */
	uint32_t reserved;
	uint8_t data[JOIST_XSTATE_MAX];
};

/* The virtual LAPIC as an xAPIC register page shows it, and its timer. */
struct joist_lapic {
	struct joist_head head;
	uint64_t timer_deadline;	/* TSC-deadline in guest TSC, 0 if off */
	uint64_t timer_start;		/* guest TSC at the last write of TMICT */
	uint32_t regs[64];		/* offset / 16 */
	uint64_t icr;
};

enum joist_intr_type {
	JOIST_INTR_FIXED	= 0,	/* vector 16..255 into the LAPIC of head.vcpu */
	JOIST_INTR_LEVEL	= 1,	/* the same, level-triggered: EOI is reported */
	JOIST_INTR_MSI		= 2,	/* address and data as a device would write them */
	JOIST_INTR_NMI		= 3,
	JOIST_INTR_EXTINT	= 4,	/* 8259 vector 0..255, only after JOIST_EXIT_EXTINT */
	JOIST_INTR_EXCEPTION	= 5,	/* one that guests have; error code if JOIST_INTR_ERROR */
	JOIST_INTR_TYPES
};

#define JOIST_INTR_ERROR	(1u << 0)

/*
 * HC_INTR.  -EINVAL: type, vector or flags; -EBUSY: EXTINT or EXCEPTION while
 * another event waits for delivery.  For MSI, bit 15 of data (level) is
 * honoured, logical and physical destinations, x2APIC-style extended
 * destination id in address bits 11:5 as KVM defines it.
 */
struct joist_intr {
	struct joist_head head;
	uint32_t type;			/* (in) JOIST_INTR_* */
	uint32_t vector;		/* (in) */
	uint32_t error;			/* (in) */
	uint32_t flags;			/* (in) JOIST_INTR_ERROR */
	uint64_t msi_address;		/* (in) */
	uint64_t msi_data;		/* (in) */
	uint64_t wake;			/* (out) vCPUs whose threads must run */
};

enum joist_vmparam {
	JOIST_PARAM_PVCLOCK_VERSION	= 0,	/* vCPU; read-only: the record's version counter */
	JOIST_PARAM_PVCLOCK_GPA		= 1,	/* vCPU; GPA | 1 if enabled, 0 if not */
	JOIST_PARAM_WALL_CLOCK		= 2,	/* VM; ns since 1970 at guest TSC 0 of vCPU 0 */
	JOIST_PARAM_WALL_CLOCK_GPA	= 3,	/* VM; where the guest asked for it, 0 if nowhere */
	JOIST_PARAM_TSC_KHZ		= 4,	/* VM; read-only */
	JOIST_PARAM_TSC_OFFSET		= 5,	/* vCPU; guest TSC minus host TSC */
	JOIST_PARAMS
};

/* HC_READVMPARAMS, HC_WRITEVMPARAMS: one parameter.  -EINVAL: no such
 * parameter, bad value; -EPERM: read-only. */
struct joist_vmparam_args {
	struct joist_head head;
	uint32_t param;			/* (in) JOIST_PARAM_* */
	uint32_t reserved;
	uint64_t value;
};

/*
 * Memory segments.  ALLOC takes zeroed pages from the pool and maps them
 * read-write-execute into the guest at [gpa, gpa + size); both multiples of
 * 4 KiB.  It works in steps: -EAGAIN while `done` < size, call again with the
 * block as it came back.  A failure part-way (-ENOMEM) frees what it took.
 * -EINVAL: alignment, size 0, beyond max_gpa, or over the LAPIC page
 * (0xfee00000); -EEXIST: segment number or GPA range taken.
 * MEMSEG_MAP shows the segment to the control VM, at GPA == HPA; UNMAP takes
 * it away again, on return no core has a stale translation.  FREE wants it
 * unmapped (-EBUSY).  All of them want every vCPU outside RUN (-EBUSY).
 * PROTECT says what the guest may do with a segment from now on, JOIST_SEG_*
 * in `flags`: what it may not do ends RUN with JOIST_EXIT_MMIO, as if there were
 * no memory, and the memory stays as it is.  What may be read may be executed.
 * QUERY tells where bytes `offset`.. of a segment lie, or that they were dropped.
 */
#define JOIST_SEG_RUN		0xffffffffu	/* QUERY: run pages, offset = vcpu * 4096 */
#define JOIST_NO_PAGE		(~0ull)		/* QUERY: there is no memory there now */

#define JOIST_SEG_READ		(1u << 0)
#define JOIST_SEG_WRITE		(1u << 1)	/* only with READ */
#define JOIST_SEG_RW		(JOIST_SEG_READ | JOIST_SEG_WRITE)

struct joist_memseg {
	struct joist_head head;
	uint32_t seg;			/* (in) 0..JOIST_MAX_MEMSEGS - 1 */
	uint32_t flags;			/* (in) 0, PROTECT: JOIST_SEG_*; QUERY: (out) 1 if mapped for the control VM */
	uint64_t gpa;			/* ALLOC: (in); QUERY: (out) of offset 0 */
	uint64_t size;			/* ALLOC: (in); QUERY: (out) bytes of the segment */
	uint64_t offset;		/* QUERY: (in); ALLOC: (in/out) bytes done, 0 at first */
	uint64_t hpa;			/* QUERY: (out) where offset lies, or JOIST_NO_PAGE */
	uint64_t len;			/* QUERY: (out) contiguous bytes from there, maybe not all */
};

/*
 * HC_MEMSEG_DROP gives pages of a segment back to the pool: what was in them
 * is gone, the guest finds no memory there (JOIST_EXIT_MMIO), and the control
 * VM none either.  HC_MEMSEG_FILL puts cleared pages where there are none.  Pages
 * that are so already are passed over.  -EAGAIN: call again with the block as it
 * came back, in which what is done has been taken off the ranges.  -ENOMEM: the
 * pool is empty (DROP: of pages for tables, when it must split a large page);
 * pages before that are done, and the same call may be made again.
 * -EINVAL: a range that is not all in the segment; nothing is done then.
 */
#define JOIST_PAGE_RANGES	256

struct joist_page_range {
	uint32_t page;			/* first, counted from the segment's begin */
	uint32_t count;			/* pages; 0: none */
};

struct joist_pages {
	struct joist_head head;
	uint32_t seg;			/* (in) */
	uint32_t ranges;		/* (in) of range[] in use, at most JOIST_PAGE_RANGES */
	struct joist_page_range range[JOIST_PAGE_RANGES];	/* (in/out) */
};

/*
 * HC_POOL: a stretch of host-physical memory of which guests' pages are taken;
 * parts of it may be the hypervisor's own.  -ENOENT: there is none from `index` on.
 */
struct joist_pool {
	struct joist_head head;
	uint32_t index;			/* (in) 0 at first; (out) for the next call */
	uint32_t reserved;
	uint64_t hpa;			/* (out) multiple of 4 KiB */
	uint64_t len;			/* (out) bytes */
};

/*
 * HC_MITIGATION: what is done about a vulnerability of the CPU, in the words of
 * Linux' /sys/devices/system/cpu/vulnerabilities: "Not affected", "Mitigation: ..."
 * or "Vulnerable...".  -ENOENT: there is none from `index` on.
 */
struct joist_mitigation {
	struct joist_head head;
	uint32_t index;			/* (in) 0 at first; (out) for the next call */
	uint32_t reserved;
	char name[32];			/* (out) NUL-terminated */
	char text[160];			/* (out) NUL-terminated */
};

/*
 * HC_ACCESS: bytes at a linear address, within a page, as the vCPU would access
 * them now: by its page tables, with the rights of its CPL.  result says what
 * came of it.  MEMORY: it is done, unless TEST; FAULT: the page fault to be
 * raised has `error`, nothing is done; DEVICE: there is no memory for it at `gpa`;
 * LAPIC: likewise, and not a device of user space.  -EINVAL: length, flags, over
 * a page's end; -EIO: the page tables lie outside memory.
 */
#define JOIST_ACCESS_WRITE	(1u << 0)
#define JOIST_ACCESS_TEST	(1u << 1)	/* translate only */
#define JOIST_ACCESS_SYSTEM	(1u << 2)	/* of the CPU itself: descriptor tables */
#define JOIST_ACCESS_MAX	64

enum joist_access_result {
	JOIST_ACCESS_MEMORY	= 0,
	JOIST_ACCESS_FAULT	= 1,
	JOIST_ACCESS_DEVICE	= 2,
	JOIST_ACCESS_LAPIC	= 3,
};

struct joist_access {
	struct joist_head head;
	uint64_t gva;			/* (in) */
	uint32_t len;			/* (in) 1..JOIST_ACCESS_MAX */
	uint32_t flags;			/* (in) JOIST_ACCESS_* bits */
	uint32_t result;		/* (out) enum joist_access_result */
	uint32_t error;			/* (out) FAULT: the error code */
	uint64_t gpa;			/* (out) not with FAULT */
	uint8_t data[JOIST_ACCESS_MAX];	/* WRITE: (in), else (out) */
};

/*
 * HC_STATS: counters of one vCPU; vm == 0: of the control VM's vCPU on core
 * `vcpu`.  count[i] belongs to the i-th name of JOIST_STATS.
 */
#define JOIST_STATS(S)							\
	S(CPUID, "cpuid") S(HLT, "hlt") S(IO, "io") S(MSR_READ, "rdmsr")	\
	S(MSR_WRITE, "wrmsr") S(CR, "cr") S(DR, "dr") S(STAGE2, "stage2")	\
	S(HYPERCALL, "hypercall") S(INTR, "intr") S(NMI, "nmi")		\
	S(INTR_WINDOW, "intr-window") S(NMI_WINDOW, "nmi-window")		\
	S(EXCEPTION, "exception") S(SHUTDOWN, "shutdown")			\
	S(INIT, "init") S(SIPI, "sipi") S(TASK_SWITCH, "task-switch")		\
	S(VIRT_INSN, "virt-insn") S(XSETBV, "xsetbv") S(WBINVD, "wbinvd")	\
	S(MWAIT, "mwait") S(PAUSE, "pause") S(RDPMC, "rdpmc")			\
	S(INVLPG, "invlpg") S(TIMER, "timer") S(EOI, "eoi")			\
	S(APIC, "apic") S(TPR, "tpr") S(ENTRY_FAIL, "entry-failure")		\
	S(OTHER, "other")

enum joist_stat {
#define S(name, text) JOIST_STAT_##name,
	JOIST_STATS(S)
#undef S
	JOIST_STAT_COUNT
};

struct joist_stats {
	struct joist_head head;
	uint32_t entries;		/* (out) JOIST_STAT_COUNT of the hypervisor */
	uint32_t reserved;
	uint64_t runs;			/* (out) HC_RUN calls */
	uint64_t count[48];		/* (out) exits */
};

/*
 * HC_LOG: text of the log ring from byte number `pos` on.  If pos was
 * overwritten already, from the oldest byte there is.
 */
struct joist_log {
	struct joist_head head;
	uint64_t pos;			/* (in) 0 at first; (out) for the next call */
	uint32_t len;			/* (out) bytes in text, 0: no more now */
	uint32_t reserved;
	char text[2048];		/* (out) not NUL-terminated */
};

#endif
