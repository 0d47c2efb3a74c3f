/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.c -- VMs: made, found, held, ended.
 *
 * A slot's `hold` counts who is inside a call about its VM.  Finding a VM takes
 * no lock: hold first, then look whether the id is still the one.  Only
 * vm_destroy() frees, when it alone holds.
 */
#include "arch/x86/mitigations.h"
#include "arch/x86/paging.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"
#include "core/work.h"

#define SLOT_BITS	11
#define SLOT_MASK	((1u << SLOT_BITS) - 1)
#define CLOSED		(1u << 31)	/* in hold: being freed */

static_assert(JOIST_MAX_VMS <= SLOT_MASK, "slot numbers, from 1");
static_assert(JOIST_MAX_VMS <= 0xffff - OWNER_GUEST, "page owners");
static_assert(sizeof(struct vm) <= PAGE_SIZE, "a VM is one page");

struct slot {
	u32 hold;		/* [a] */
	u32 id;			/* [a] 0: free, or not whole */
	u32 generation;		/* whose vm is, or with vm NULL nobody */
	struct vm *vm;		/* [LOCK_VMS], valid while id is set */
} __aligned(32);

struct vm *control_vm __ro_after_init;
static struct slot slots[JOIST_MAX_VMS] __aligned(64);
static struct spinlock vms_lock = SPINLOCK(LOCK_VMS);

static bool hold(struct slot *s)
{
	if (__atomic_fetch_add(&s->hold, 1, __ATOMIC_SEQ_CST) & CLOSED) {
		__atomic_fetch_sub(&s->hold, 1, __ATOMIC_SEQ_CST);
		return false;
	}
	return true;
}

static void unhold(struct slot *s)
{
	__atomic_fetch_sub(&s->hold, 1, __ATOMIC_SEQ_CST);
}

/*
 * Two slots are in a cache line: those of numbers so far apart that RUN of two
 * VMs shares none until half of all VMs there may be are there.
 */
static struct slot *slot_at(u32 i)
{
	return &slots[i % (JOIST_MAX_VMS / 2) * 2 + i / (JOIST_MAX_VMS / 2)];
}

static struct slot *slot_of(u32 id)
{
	u32 i = (id & SLOT_MASK) - 1;

	return i < JOIST_MAX_VMS ? slot_at(i) : NULL;
}

struct vm *vm_get(u32 id)
{
	struct slot *s = slot_of(id);

	if (!s || !hold(s))
		return NULL;
	if (likely(__atomic_load_n(&s->id, __ATOMIC_SEQ_CST) == id))
		return s->vm;
	unhold(s);
	return NULL;
}

struct vm *vm_next(u32 *index)
{
	while (*index < JOIST_MAX_VMS) {
		struct slot *s = slot_at((*index)++);

		if (!__atomic_load_n(&s->id, __ATOMIC_SEQ_CST) || !hold(s))
			continue;
		if (s->id)
			return s->vm;
		unhold(s);
	}
	return NULL;
}

static bool name_char(char c, bool first)
{
	bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

	return alnum || (!first && (c == '.' || c == '_' || c == '-'));
}

static bool name_ok(const char *name)
{
	u32 i, n = 0;

	while (n < JOIST_NAME_LEN && name[n])
		if (!name_char(name[n], n == 0))
			return false;
		else
			n++;
	for (i = n; i < JOIST_NAME_LEN; i++)
		if (name[i])
			return false;
	return n > 0 && n < JOIST_NAME_LEN;
}

static void free_vcpus(struct vm *vm)
{
	u32 i;

	vcpus_hide(vm->vcpu, vm->vcpu_count);
	for (i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpu[i])
			vcpu_destroy(vm->vcpu[i]);
}

/* Its vCPUs and no memory: all that takes long. */
static int build(struct vm *vm, u32 vcpus, u32 slot)
{
	u32 i;

	vm->owner = (u16)(OWNER_GUEST + slot);
	vm->vcpu_count = vcpus;
	vm->memsegs_lock.rank = LOCK_MEMSEGS;
	vm->tsc_base = rdtsc();
	if (stage2_init(&vm->s2, backend->guest_stage2))
		return -ENOMEM;
	vm->s2.nx_large = mitigations.nx_large;
	for (i = 0; i < vcpus; i++)
		if (vcpu_create(vm, i, &vm->vcpu[i])) {
			free_vcpus(vm);
			stage2_fini(&vm->s2);
			return -ENOMEM;
		}
	return 0;
}

/* A free slot's number, if no VM has this name. */
static int find_slot_locked(const char *name, u32 *slot)
{
	int err = -ENOSPC;
	u32 i;

	assert_held(&vms_lock);
	for (i = 0; i < JOIST_MAX_VMS; i++) {
		const struct vm *vm = slot_at(i)->vm;

		if (vm && !strcmp(vm->name, name))
			return -EEXIST;
		if (!vm && err) {
			*slot = i;
			err = 0;
		}
	}
	return err;
}

/* The name is taken, but nobody finds the VM yet. */
static int slot_take(struct vm *vm, u32 *slot)
{
	int err;

	spin_lock(&vms_lock);
	err = find_slot_locked(vm->name, slot);
	if (!err)
		slot_at(*slot)->vm = vm;
	spin_unlock(&vms_lock);
	return err;
}

static void slot_release(struct slot *s)
{
	spin_lock(&vms_lock);
	__atomic_store_n(&s->id, 0, __ATOMIC_SEQ_CST);
	s->vm = NULL;
	spin_unlock(&vms_lock);
}

int vm_create(const struct joist_create *args, u32 *id)
{
	struct slot *s;
	struct vm *vm;
	u32 slot = 0;
	int err;

	if (!name_ok(args->name) || !args->vcpus || args->vcpus > JOIST_MAX_VCPUS || args->flags)
		return fail(-EINVAL);
	vm = page_alloc_hyp();
	if (!vm)
		return fail(-ENOMEM);
	memcpy(vm->name, args->name, JOIST_NAME_LEN);
	err = slot_take(vm, &slot);
	if (err)
		goto free_vm;
	s = slot_at(slot);
	err = build(vm, args->vcpus, slot);
	if (err)
		goto free_slot;
	s->generation = (s->generation + 1) & (~0u >> (SLOT_BITS + 1));
	vm->id = s->generation << SLOT_BITS | (slot + 1);
	vm->hold = &s->hold;
	*id = vm->id;
	__atomic_and_fetch(&s->hold, ~CLOSED, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->id, vm->id, __ATOMIC_SEQ_CST);
	return 0;

free_slot:
	slot_release(s);
free_vm:
	page_free_hyp(vm);
	return fail(err);
}

void vm_terminate(struct vm *vm)
{
	u32 i;

	__atomic_store_n(&vm->dying, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < vm->vcpu_count; i++)
		event_post(vm->vcpu[i], 0);
}

int vm_destroy(struct vm *vm)
{
	struct slot *s = slot_of(vm->id);
	u32 alone = 1;
	int err;

	vm_terminate(vm);
	/* From here on nobody else gets hold of it. */
	if (!__atomic_compare_exchange_n(&s->hold, &alone, 1 | CLOSED, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return fail(-EBUSY);
	err = memseg_free_all(vm);
	if (!err && !work_room(vm->vcpu_count * WORK_VCPU))
		err = -EAGAIN;
	if (err) {
		__atomic_and_fetch(&s->hold, ~CLOSED, __ATOMIC_SEQ_CST);
		return err;
	}
	slot_release(s);
	free_vcpus(vm);
	stage2_fini(&vm->s2);
	page_free_hyp(vm);
	unhold(s);
	return 0;
}
