/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hypercall.c -- the hypercall table and its dispatch.
 *
 * A row is the whole contract of a call: dispatch checks the caller, copies
 * the arguments in once, finds and holds the VM and takes what the row names;
 * no handler touches the caller's memory or takes a lock that a row names.
 */
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "core/forbidden.h"
#include "core/hypercall.h"
#include "core/log.h"
#include "core/work.h"

#define HC(nr, fn, args, need)	[nr] = { #nr, fn, sizeof(struct args), need }
#define WORD		8		/* what a block is aligned to, and made of */

static const struct hypercall calls[HC_COUNT] = {
	HC(HC_VERSION,       hc_version,       joist_version,      0),
	HC(HC_CAPABILITIES,  hc_capabilities,  joist_capabilities, 0),
	HC(HC_CREATE,        hc_create,        joist_create,       0),
	HC(HC_DESTROY,       hc_destroy,       joist_vm,           NEED_VM),
	HC(HC_TERM,          hc_term,          joist_vm,           NEED_VM),
	HC(HC_INFO,          hc_info,          joist_info,         0),
	HC(HC_RUN,           hc_run,           joist_run_args,     LOCK_ONE_VCPU),
	HC(HC_RESETCPU,      hc_resetcpu,      joist_regs_args,    LOCK_ONE_VCPU),
	HC(HC_INTR,          hc_intr,          joist_intr,         NAMES_VCPU),
	HC(HC_READREGS,      hc_readregs,      joist_regs_args,    LOCK_ONE_VCPU),
	HC(HC_WRITEREGS,     hc_writeregs,     joist_regs_args,    LOCK_ONE_VCPU),
	HC(HC_READVMPARAMS,  hc_readvmparams,  joist_vmparam_args, LOCK_ONE_VCPU),
	HC(HC_WRITEVMPARAMS, hc_writevmparams, joist_vmparam_args, LOCK_ONE_VCPU),
	HC(HC_MEMSEG_ALLOC,  hc_memseg_alloc,  joist_memseg,       LOCK_ALL_VCPUS | XLOCK_MEMSEGS),
	HC(HC_MEMSEG_FREE,   hc_memseg_free,   joist_memseg,       LOCK_ALL_VCPUS | XLOCK_MEMSEGS),
	HC(HC_MEMSEG_MAP,    hc_memseg_map,    joist_memseg,       LOCK_ALL_VCPUS | XLOCK_MEMSEGS),
	HC(HC_MEMSEG_UNMAP,  hc_memseg_unmap,  joist_memseg,       LOCK_ALL_VCPUS | XLOCK_MEMSEGS),
	HC(HC_MEMSEG_PROTECT, hc_memseg_protect, joist_memseg,     LOCK_ALL_VCPUS | XLOCK_MEMSEGS),
	HC(HC_MEMSEG_DROP,   hc_memseg_drop,   joist_pages,        LOCK_ALL_VCPUS | XLOCK_MEMSEGS),
	HC(HC_MEMSEG_FILL,   hc_memseg_fill,   joist_pages,        LOCK_ALL_VCPUS | XLOCK_MEMSEGS),
	HC(HC_MEMSEG_QUERY,  hc_memseg_query,  joist_memseg,       SLOCK_MEMSEGS),
	HC(HC_STATS,         hc_stats,         joist_stats,        0),
	HC(HC_LOG,           hc_log,           joist_log,          0),
	HC(HC_READXSTATE,    hc_readxstate,    joist_xstate,       LOCK_ONE_VCPU),
	HC(HC_WRITEXSTATE,   hc_writexstate,   joist_xstate,       LOCK_ONE_VCPU),
	HC(HC_READLAPIC,     hc_readlapic,     joist_lapic,        LOCK_ONE_VCPU),
	HC(HC_WRITELAPIC,    hc_writelapic,    joist_lapic,        LOCK_ONE_VCPU),
	HC(HC_VERIFY,        hc_verify,        joist_vm,           0),
	HC(HC_POOL,          hc_pool,          joist_pool,         0),
	HC(HC_MITIGATION,    hc_mitigation,    joist_mitigation,   0),
	HC(HC_ACCESS,        hc_access,        joist_access,       LOCK_ONE_VCPU),
};

static_assert(sizeof(struct joist_xstate) <= PAGE_SIZE, "a block fits a page");

static int lock_vcpus(struct vm *vm)
{
	u32 i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (!vcpu_try_own(vm->vcpu[i])) {
			while (i--)
				vcpu_disown(vm->vcpu[i]);
			return fail(-EBUSY);
		}
	return 0;
}

static void unlock_vcpus(struct vm *vm)
{
	u32 i;

	for (i = 0; i < vm->vcpu_count; i++)
		vcpu_disown(vm->vcpu[i]);
}

static __noinline int lock_whole(struct vm *vm, u32 need)
{
	if ((need & LOCK_ALL_VCPUS) && lock_vcpus(vm))
		return -EBUSY;
	if (need & SLOCK_MEMSEGS)
		read_lock(&vm->memsegs_lock);
	if (need & XLOCK_MEMSEGS)
		write_lock(&vm->memsegs_lock);
	return 0;
}

static __noinline void unlock_whole(struct vm *vm, u32 need)
{
	if (need & XLOCK_MEMSEGS)
		write_unlock(&vm->memsegs_lock);
	if (need & SLOCK_MEMSEGS)
		read_unlock(&vm->memsegs_lock);
	if (need & LOCK_ALL_VCPUS)
		unlock_vcpus(vm);
}

static int take(struct hc_context *c, const struct joist_head *head, u32 need)
{
	int err = -EINVAL;

	c->vm = vm_get(head->vm);
	if (!c->vm)
		return fail(-ENOENT);
	if (need & (LOCK_ONE_VCPU | NAMES_VCPU)) {
		if (head->vcpu >= c->vm->vcpu_count)
			goto put;
		c->vcpu = c->vm->vcpu[index_mask(head->vcpu, c->vm->vcpu_count)];
	} else if (head->vcpu) {
		goto put;
	}
	err = -EBUSY;
	if ((need & LOCK_ONE_VCPU) && !vcpu_try_own(c->vcpu))
		goto put;
	if ((need & LOCK_WHOLE) && lock_whole(c->vm, need))
		goto put;
	return 0;

put:
	vm_put(c->vm);
	return fail(err);
}

static void release(struct hc_context *c, u32 need)
{
	if (need & LOCK_WHOLE)
		unlock_whole(c->vm, need);
	if (need & LOCK_ONE_VCPU)
		vcpu_disown(c->vcpu);
	vm_put(c->vm);
}

/* The block lies in one page of the control VM's own memory: GPA is HPA. */
static bool is_block(u64 gpa, u32 size)
{
	return IS_ALIGNED(gpa, WORD) && size <= PAGE_SIZE - (gpa & (PAGE_SIZE - 1)) &&
	       page_owner(HPA(gpa)) == OWNER_CONTROL;
}

static inline void copy_block(void *dst, const void *src, u32 size)
{
	u64 words = size / WORD;

	__asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(words) : : "memory");
}

static s64 dispatch(u64 nr, u64 gpa)
{
	void *args = current_cpu()->args;
	const struct hypercall *hc;
	struct hc_context c = {};
	void *p;
	int err;

	if (nr >= HC_COUNT)
		return fail(-ENOSYS);
	hc = &calls[index_mask(nr, HC_COUNT)];
	if (!is_block(gpa, hc->size))
		return fail(-EFAULT);
	p = hpa_ptr(HPA(gpa));
	work_begin();
	copy_block(args, p, hc->size);
	err = hc->need ? take(&c, args, hc->need) : 0;
	if (err)
		return err;
	err = hc->handle(&c, args);
	if (c.vm && !c.gone)
		release(&c, hc->need);
	if (err >= 0 || err == -EAGAIN)
		copy_block(p, args, hc->size);
	return err;
}

enum verdict hypercall(struct vcpu *v)
{
	if (backend->reg_get(v, VREG_CPL))
		return exit_ud(v);
	/* No call finds the pool short of what was lent for them. */
	if (unlikely(__atomic_load_n(&forbidden_windows, __ATOMIC_RELAXED)))
		forbidden_unmap_all();
	v->gpr[JOIST_RAX] = (u64)dispatch(v->gpr[JOIST_RAX], v->gpr[JOIST_RDI]);
	return DONE;
}
