/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest.h -- small VMs, and the RUN loop that joist.ko would have.
 *
 * Nothing here cleans up after a failed case: main.c destroys whatever VM is
 * left when a case ends, however it ends.
 */
#ifndef SELFTEST_GUEST_H
#define SELFTEST_GUEST_H

#include "guests/selftest/hc.h"
#include "guests/selftest/payload/payload.h"

#define VM_EXTENTS	160

struct vm {
	u32 id;
	u32 vcpus;
	u64 ram;
	/* Where segment 0 lies. */
	struct {
		u64 gpa, hpa, len;
	} extent[VM_EXTENTS];
	u32 extents;
	volatile struct joist_run *run[JOIST_MAX_VCPUS];
	volatile u64 wake;		/* vCPUs whose thread must run again */
	volatile u32 stop;		/* run_vcpus(): all come back */
	u32 cores;
	bool tables;			/* page tables and payload are there */
	u64 deadline[JOIST_MAX_VCPUS];
	u32 last_exit[JOIST_MAX_VCPUS];
	u64 intr_exits;			/* of run_user() */
	/* Where run_vcpus() lets a case look at every user-space exit:
	 * true: handled, go on. */
	bool (*on_exit)(struct vm *vm, u32 vcpu, u32 exit);
	u64 sync[64];			/* values that came by SYNC_PORT */
	u32 syncs;
};

/* A VM with segment 0 at GPA 0, mapped for the control VM. */
void vm_new(struct vm *vm, const char *name, u32 vcpus, u64 ram);
s64 vm_create(const char *name, u32 vcpus, u32 *id);
void vm_destroy(u32 id);
s64 seg_alloc(u32 id, u32 seg, u64 gpa, u64 size);
s64 seg_call(u32 nr, u32 id, u32 seg);
s64 seg_protect(u32 id, u32 seg, u32 access);
/* HC_MEMSEG_DROP or _FILL of one range, to its end. */
s64 seg_pages(u32 nr, u32 id, u32 seg, u32 page, u32 count);
s64 seg_query(u32 id, u32 seg, u64 offset, struct joist_memseg *m);
void seg_wipe(u32 id, u32 seg);		/* unmap and free */

/* Guest memory.  The range must be contiguous for vm_ptr(). */
void *vm_ptr(struct vm *vm, u64 gpa, u64 len);
void vm_write(struct vm *vm, u64 gpa, const void *src, u64 len);
struct gshare *vm_share(struct vm *vm);

void regs_read(struct vm *vm, u32 vcpu, u32 mask, struct joist_regs *r);
void regs_write(struct vm *vm, u32 vcpu, u32 mask,
		const struct joist_regs *r);
s64 regs_try_write(struct vm *vm, u32 vcpu, u32 mask,
		   const struct joist_regs *r);

/* Register states to start from. */
void regs_long(struct joist_regs *r, u64 rip);
void regs_prot32(struct joist_regs *r, u32 eip);
void regs_real(struct joist_regs *r, u16 cs, u16 ip);

/* The vCPU is about to enter a 64-bit payload function; or a code blob that
 * is copied to GUEST_CODE16, in 16 or 32-bit mode. */
void vm_payload(struct vm *vm, u32 vcpu, enum payload which);
void vm_blob(struct vm *vm, u32 vcpu, u32 bits, const u8 *start,
	     const u8 *end);

/* One HC_RUN; the result is the exit.  Interrupts stay off. */
u32 run_once(struct vm *vm, u32 vcpu, struct joist_run_args *args);
/*
 * RUN until an exit for user space, as joist.ko does it: interrupts are
 * taken, deadlines kept.  JOIST_EXIT_HALTED comes back when the vCPU sleeps
 * without a deadline and nobody woke it.
 */
u32 run_user(struct vm *vm, u32 vcpu);
u32 run_user_limit(struct vm *vm, u32 vcpu, u64 tsc_limit);
/* run_user() until DONE_PORT; any other exit fails the case. */
void run_done(struct vm *vm, u32 vcpu);
/* All vCPUs, spread over `cores` cores, until any is done. */
extern volatile u32 sweeping;
void run_vcpus(struct vm *vm, u32 cores);
/* The next exit must be this port access. */
void want_io(struct vm *vm, u32 vcpu, u16 port, u8 size, bool in);
void want_sync(struct vm *vm, u32 vcpu, u32 val);
void want_exit(struct vm *vm, u32 vcpu, u32 exit);
const char *exit_name(u32 exit);

/* HC_INTR; returns its result, wake goes to vm->wake. */
s64 vm_intr(struct vm *vm, u32 vcpu, u32 type, u32 vector);
s64 vm_intr_full(struct vm *vm, struct joist_intr *in);

#endif
