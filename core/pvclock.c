/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pvclock.c -- KVM's paravirtual clock, which unmodified guests know.
 *
 * The guest TSC runs at the host's rate and starts at 0 when the VM is made,
 * so one record, written when the guest asks for it, is right for good: time
 * is guest TSC times a constant.
 */
#include "arch/x86/guest_mem.h"
#include "core/log.h"
#include "core/vm.h"

#define ENABLED		BIT(0)
#define STABLE		BIT(0)		/* flags: the same clock on all vCPUs */
#define NS_PER_MS	1000000ull

/* The record in guest memory: Linux, "Paravirt clock" (KVM documentation). */
struct pvclock_record {
	u32 version;
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags;
	u8 pad[2];
};
static_assert(sizeof(struct pvclock_record) == 32, "pvclock record");

struct wall_clock_record {
	u32 version, sec, nsec;
};

/* ns = ((tsc << shift) * mul) >> 32, with mul as large as it gets. */
static void scale(u32 khz, u32 *mul, s8 *shift)
{
	u64 rate = khz, ns = NS_PER_MS;

	*shift = 0;
	while (rate > ns * 2) {
		rate >>= 1;
		(*shift)--;
	}
	while (rate <= ns) {
		rate <<= 1;
		(*shift)++;
	}
	*mul = (u32)((ns << 32) / rate);
}

void pvclock_update(struct vcpu *v)
{
	struct pvclock_record r = {};
	gpa_t gpa = GPA(v->gs.system_time & ~ENABLED);

	if (!(v->gs.system_time & ENABLED))
		return;
	v->gs.pvclock_version += 2;
	r.version = v->gs.pvclock_version - 1;
	/*
	 * All vCPUs of a VM share one clock, whatever their TSCs were set to.  It
	 * starts with the VM for each, so that they also agree how to round.
	 */
	r.tsc_timestamp = v->vm->tsc_base + v->tsc_offset;
	scale(tsc_khz, &r.tsc_to_system_mul, &r.tsc_shift);
	r.flags = tsc_stable ? STABLE : 0;
	/* Odd while it changes.  Memory that is not there is the guest's loss. */
	if (guest_write(v, gpa, &r, sizeof(r)))
		return;
	r.version = v->gs.pvclock_version;
	guest_write(v, gpa, &r.version, sizeof(r.version));
}

void pvclock_wall_clock(struct vm *vm)
{
	struct wall_clock_record w = {
		.version = 2,
		.sec = (u32)(vm->wall_clock / (1000 * NS_PER_MS)),
		.nsec = (u32)(vm->wall_clock % (1000 * NS_PER_MS)),
	};

	if (vm->wall_clock_gpa)
		guest_write(vm->vcpu[0], GPA(vm->wall_clock_gpa), &w, sizeof(w));
}
