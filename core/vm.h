/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.h -- a VM, its vCPUs and their lifecycles.
 *
 * The control VM is a struct vm too: id 0, a vCPU fixed to every core.
 *
 * Guards: [c] set at creation  [m] memsegs_lock  [a] atomic
 *	   [v] owner of the vCPU: who holds its busy flag (RUN, or a call that
 *	       wants the vCPU outside RUN)
 */
#ifndef CORE_VM_H
#define CORE_VM_H

#include "arch/x86/backend.h"
#include "arch/x86/stage2.h"
#include "arch/x86/vlapic.h"
#include "core/lock.h"
#include "core/page.h"
#include "core/types.h"
#include "include/joist.h"

/* Whatever interrupts the flow: bits as JOIST_EVENT_*. */
struct event {
	u32 info;
	u32 error;
};

/* Posted by any core, taken in by the owner (event.c). */
#define POST_VECTOR	BIT(0)
#define POST_NMI	BIT(1)
#define POST_INIT	BIT(2)
#define POST_SIPI	BIT(3)

struct posted {
	u32 what;		/* [a] POST_* */
	u32 sipi_vector;	/* [a] */
	u64 irr[4];		/* [a] */
	u64 tmr[4];		/* [a] those of irr that are level-triggered */
};

/* Pages of linear memory that an operand lies in, and their frames. */
struct places {
	u64 linear;		/* its first byte */
	u64 mask;		/* of linear addresses: they wrap */
	u64 page[2], gpa[2];
	u32 pages;
};

/*
 * An access to guest memory, part by part, some of which user space completes;
 * kept here, not in the run page.
 */
enum pending_kind { PENDING_NONE, PENDING_IO, PENDING_MMIO };
struct pending {
	u8 kind;		/* what user space is to answer */
	u8 size;		/* of that: port, or part of the operand */
	u8 string;		/* IO: INS, into at */
	u8 write;		/* MMIO: the second half of a read-modify-write, say */
	u8 done;		/* MMIO: bytes of the operand */
	u32 count;		/* elements of a string operation */
	u64 data;		/* MMIO: read so far, or to be written */
	struct places at, to;	/* the operand; where MOVS writes to */
	struct insn insn;
};

/* State of a guest that the hypervisor keeps itself. */
struct guest_state {
	u64 pat;
	u64 misc_enable;
	u64 tsc_aux;
	u64 tsc_adjust;
	u64 spec_ctrl;
	u64 xss;
	u64 xcr0;
	u64 dr[4];
	u64 system_time;	/* KVM MSR: GPA | 1 */
	u64 mtrr_def_type;
	u64 mtrr_fixed[11];
	u64 mtrr_var[16];
	u32 pvclock_version;
};

struct vcpu {
	u64 gpr[16];		/* [v] RSP too; enum joist_gpr */
	u64 rip, rflags;	/* [v] */
	struct vm *vm;		/* [c] */
	u32 id;			/* [c] */
	bool control;		/* [c] the control VM's */
	struct exit x;		/* [v] the last exit */
	u32 forward;		/* [v] JOIST_EXIT_*, with verdict FORWARD */

	u32 busy;		/* [a] somebody owns it */
	u32 on_cpu;		/* [a] 1 + core it is in RUN on, or 0 */
	u32 sleeping;		/* [a] its thread was told HALTED */
	u32 activity;		/* [a] JOIST_VCPU_IDLE, _HALTED, _WAIT_SIPI */
	struct posted posted;

	u64 tsc_offset;		/* [v] guest TSC - host TSC */
	u64 deadline_told;	/* [v] the deadline joist.ko knows */
	struct event reinject;	/* [v] delivery was cut short by an exit */
	struct event exception;	/* [v] to be delivered next */
	u32 tpr;		/* [v] CR8 as the CPU was given it or left it */
	u32 extint;		/* [v] event.info of an interrupt that bypasses the LAPIC */
	bool nmi_pending;	/* [v] */
	bool mc_pending;	/* [v] a machine check: the control VM's only */
	bool window;		/* [v] a window was asked for at the last entry */
	bool dr_live;		/* [v] the guest has used its debug registers */
	u32 dead;		/* [v] JOIST_EXIT_SHUTDOWN or _ERROR until reset */
	struct pending pending;	/* [v] */
	struct fetch_cache fetch;	/* [v] */
	struct insn_cache decoded;	/* [v] */
	struct vlapic lapic;	/* [v] but for what vlapic.h says */
	struct guest_state gs;	/* [v] */
	struct joist_run *run;	/* [c] run page */
	void *xstate;		/* [v] XSAVE area, standard form */
	u64 wake;		/* [v] vCPUs to be woken after this RUN */

	u64 runs;		/* [v] */
	u64 exits[JOIST_STAT_COUNT];	/* [v] */
	union {
		struct svm_vcpu svm;
		struct vmx_vcpu vmx;
	};
};

extern const struct backend *backend;

struct memseg {
	u64 gpa;
	u64 size;		/* 0: free */
	u64 done;		/* bytes allocated; size when complete */
	u64 held;		/* of those, bytes that have pages: the rest was dropped */
	u64 shown;		/* of them, from the first on, seen by the control VM */
	u64 protected;		/* by a PROTECT that is under way */
	u32 prot;		/* the guest's, STAGE2_* */
	bool going;		/* FREE, or an ALLOC that failed, is under way */
	bool hiding;		/* a MAP that failed is being undone */
	hpa_t block;		/* what is left of a GiB held for it, or 0 */
	hpa_t loose;		/* a GiB that is no longer mapped, of which ... */
	u64 loose_len;		/* ... so much is still to go back */
};

/* The control VM sees all of it. */
static inline bool memseg_mapped(const struct memseg *s)
{
	return s->size && s->shown == s->size;
}

struct vm {
	u32 id;			/* [c] */
	u32 *hold;		/* [c] its slot's, see vm.c */
	u16 owner;		/* [c] OWNER_GUEST + slot, or OWNER_CONTROL */
	u32 vcpu_count;		/* [c] */
	u32 dying;		/* [a] one-way: 0 -> 1 */
	char name[JOIST_NAME_LEN];	/* [c] */
	struct vcpu *vcpu[JOIST_MAX_VCPUS];	/* [c] */
	struct stage2 s2;	/* [m] and all vCPUs owned, to change */
	struct rwspin memsegs_lock;	/* rank LOCK_MEMSEGS */
	struct memseg seg[JOIST_MAX_MEMSEGS];	/* [m] */
	u64 overhead;		/* [m] bytes: tables, vCPUs, run pages */
	u64 tsc_base;		/* [c] host TSC at creation */
	u64 wall_clock;		/* [a] ns since 1970 at guest TSC 0 */
	u64 wall_clock_gpa;	/* [a] */
};

extern struct vm *control_vm;

/* vm.c */
int vm_create(const struct joist_create *args, u32 *id);
/* The VM with this id, held; NULL if there is none. */
struct vm *vm_get(u32 id);
static inline void vm_put(struct vm *vm)
{
	__atomic_fetch_sub(vm->hold, 1, __ATOMIC_SEQ_CST);
}
/* Makes all vCPUs leave RUN, for ever. */
void vm_terminate(struct vm *vm);
/* Drops the caller's hold and frees the VM.  -EBUSY: somebody else holds it;
 * -EAGAIN: more is left.  The caller holds it still after both. */
int vm_destroy(struct vm *vm);
/* The first VM at or after *index, held; *index moves past it. */
struct vm *vm_next(u32 *index);

/* vcpu.c */
int vcpu_create(struct vm *vm, u32 id, struct vcpu **out);
/* The control VM does not see these vCPUs' run pages from now on: one flush for
 * all of them.  To be done before they are destroyed. */
void vcpus_hide(struct vcpu *const *v, u32 n);
void vcpu_destroy(struct vcpu *v);
/* Power-on state. */
void vcpu_reset(struct vcpu *v);
/* INIT: as reset, but what survives an INIT stays; then waits for SIPI. */
void vcpu_init_signal(struct vcpu *v);
/* A triple fault, at v->rip if `exact`; see struct joist_run. */
void vcpu_shutdown(struct vcpu *v, bool exact, u64 left);
void vcpu_intr_taken(struct vcpu *v);
/* Tries to own it; disown gives it back. */
static inline bool vcpu_try_own(struct vcpu *v)
{
	return !__atomic_exchange_n(&v->busy, 1, __ATOMIC_ACQUIRE);
}
static inline void vcpu_disown(struct vcpu *v)
{
	if (backend->release)
		backend->release(v);
	__atomic_store_n(&v->busy, 0, __ATOMIC_RELEASE);
}
/* The LAPIC may be with the CPU: before v->lapic is looked at, in RUN or outside. */
static inline void vcpu_lapic_sync(struct vcpu *v)
{
	if (backend->lapic_sync)
		backend->lapic_sync(v);
}
/* HC_RUN's inside: runs the vCPU, owned, until JOIST_EXIT_*. */
u32 vcpu_run(struct vcpu *v);
static inline u64 vcpu_tsc(const struct vcpu *v)
{
	return rdtsc() + v->tsc_offset;
}
/* The vCPU of the control VM on this core, for ever. */
void control_run(void) __noreturn;

/* memseg.c: the caller holds memsegs_lock and owns all vCPUs.  -EAGAIN: so much
 * was done as may be at a time; call again. */
int memseg_alloc(struct vm *vm, struct joist_memseg *a);
int memseg_free(struct vm *vm, u32 seg);
int memseg_map(struct vm *vm, u32 seg);
int memseg_unmap(struct vm *vm, u32 seg);
/* What the guest may do with a segment from now on: JOIST_SEG_*. */
int memseg_protect(struct vm *vm, struct joist_memseg *a);
/* Pages of a segment go back to the pool, or come again, cleared. */
int memseg_drop(struct vm *vm, struct joist_pages *a);
int memseg_fill(struct vm *vm, struct joist_pages *a);
int memseg_query(struct vm *vm, struct joist_memseg *a);
/* Everything of a VM nobody uses any more; -EAGAIN: call again. */
int memseg_free_all(struct vm *vm);
/* One range of guest frames appears at its own address in the control VM; pages
 * of it are gone from all cores' view on return. */
int control_show(u64 hpa, u64 len);
void control_hide(const u64 *hpa, u32 pages);
/* Boot: the control VM's identity map. */
void control_stage2_init(void);
extern struct spinlock control_s2_lock;

extern const struct joist_segment power_on_segments[JOIST_SEGS];

/* event.c */
/* Post to a vCPU from any core.  True: its thread sleeps and must be woken. */
bool event_post_vector(struct vcpu *v, u32 vector, bool level);
bool event_post(struct vcpu *v, u32 what);
/* Delivers a LAPIC message; result: bitmap of vCPUs to be woken. */
u64 event_send(struct vm *vm, u32 self, const struct vlapic_msg *msg);
/* The owner takes in what was posted. */
void event_absorb(struct vcpu *v);
/* The one event that the vCPU has waiting, given from outside. */
void event_place(struct vcpu *v, struct event ev);
/* The vCPU's IF was cleared from outside. */
void event_hold_back(struct vcpu *v);
/* The CPU saves RFLAGS.RF set with it. */
bool event_is_fault(struct event ev);
/* An exception hit during the delivery of what is to be delivered again, and goes
 * in its place. */
void event_displace(struct vcpu *v);
/* Queue an exception for the guest, to be delivered at the next entry. */
void event_exception(struct vcpu *v, u32 vector);
void event_exception_error(struct vcpu *v, u32 vector, u32 error);

/* pvclock.c */
void pvclock_update(struct vcpu *v);
void pvclock_wall_clock(struct vm *vm);

#endif
