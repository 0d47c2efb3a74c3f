/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hc_vm.c -- calls about the machine and about VMs as a whole.
 */
#include "arch/x86/mitigations.h"
#include "arch/x86/xstate.h"
#include "boot/memory.h"
#include "core/forbidden.h"
#include "core/hypercall.h"
#include "core/log.h"
#include "core/string.h"

static bool no_ids(const struct joist_head *h)
{
	return !h->vm && !h->vcpu;
}

int hc_version(struct hc_context *c, void *args)
{
	struct joist_version *a = args;

	if (!no_ids(&a->head))
		return fail(-EINVAL);
	memset(a, 0, sizeof(*a));
	a->abi = JOIST_ABI_VERSION;
	a->debug = BUILD_DEBUG;
	str_copy(a->version, JOIST_VERSION, sizeof(a->version));
	return 0;
}

int hc_capabilities(struct hc_context *c, void *args)
{
	struct joist_capabilities *a = args;
	struct pool_stats pool;

	if (!no_ids(&a->head))
		return fail(-EINVAL);
	page_pool_stats(&pool);
	*a = (struct joist_capabilities){
		.vendor = backend->vendor,
		.features = (backend->features() & BACKEND_CAPS) |
			    (backend->stage2->has_1g() ? JOIST_CAP_1G : 0),
		.pcpus = cpu_count,
		.max_vms = JOIST_MAX_VMS,
		.max_vcpus = JOIST_MAX_VCPUS,
		.max_memsegs = JOIST_MAX_MEMSEGS,
		.tsc_khz = tsc_khz,
		.xstate_size = xstate_size(),
		.pool_total = pool.total,
		.pool_free = pool.free,
		.hypervisor_bytes = memory_hypervisor_bytes(),
		.control_bytes = control_memory.total,
		.max_gpa = BIT(guest_features.phys_bits),
		.forbidden_reads = __atomic_load_n(&forbidden_counts.reads, __ATOMIC_RELAXED),
		.forbidden_writes = __atomic_load_n(&forbidden_counts.writes, __ATOMIC_RELAXED),
	};
	return 0;
}

int hc_pool(struct hc_context *c, void *args)
{
	struct joist_pool *a = args;
	const struct mem_piece *p;

	if (!no_ids(&a->head) || a->reserved)
		return fail(-EINVAL);
	p = memory_pool_piece(&a->index);
	if (!p)
		return -ENOENT;
	a->hpa = p->base;
	a->len = p->end - p->base;
	return 0;
}

static_assert(sizeof(((struct joist_mitigation *)0)->text) == MITIGATION_TEXT, "what is said fits");

int hc_mitigation(struct hc_context *c, void *args)
{
	struct joist_mitigation *a = args;
	const char *name;
	u32 index = a->index;

	if (!no_ids(&a->head) || a->reserved)
		return fail(-EINVAL);
	memset(a, 0, sizeof(*a));
	if (!mitigations_describe(index, &name, a->text, sizeof(a->text)))
		return -ENOENT;
	str_copy(a->name, name, sizeof(a->name));
	a->index = index + 1;
	return 0;
}

int hc_create(struct hc_context *c, void *args)
{
	struct joist_create *a = args;

	if (!no_ids(&a->head))
		return fail(-EINVAL);
	return vm_create(a, &a->head.vm);
}

int hc_term(struct hc_context *c, void *args)
{
	vm_terminate(c->vm);
	return 0;
}

int hc_destroy(struct hc_context *c, void *args)
{
	int err = vm_destroy(c->vm);

	c->gone = !err;
	return err;
}

static u64 vcpu_state(const struct vcpu *v)
{
	if (__atomic_load_n(&v->on_cpu, __ATOMIC_RELAXED))
		return JOIST_VCPU_RUNNING;
	return v->activity;
}

int hc_info(struct hc_context *c, void *args)
{
	struct joist_info *a = args;
	u32 index = a->index, i, k;
	struct vm *vm;

	if (a->head.vcpu)
		return fail(-EINVAL);
	vm = vm_next(&index);
	if (!vm)
		return -ENOENT;
	memset(a, 0, sizeof(*a));
	a->head.vm = vm->id;
	a->index = index;
	a->vcpus = vm->vcpu_count;
	a->state = vm->dying ? JOIST_VM_TERMINATED : 0;
	for (i = 0; i < JOIST_MAX_MEMSEGS; i++) {
		a->memsegs += !!vm->seg[i].size;
		a->memory += vm->seg[i].held;
	}
	/* The VM, its vCPUs with save areas, VMCBs and run pages, its tables. */
	a->overhead = (1 + 4ull * vm->vcpu_count + vm->s2.tables) * PAGE_SIZE;
	memcpy(a->name, vm->name, sizeof(a->name));
	for (i = 0; i < vm->vcpu_count; i++) {
		a->vcpu_state |= vcpu_state(vm->vcpu[i]) << 2 * i;
		for (k = 0; k < JOIST_STAT_COUNT; k++)
			a->exits += vm->vcpu[i]->exits[k];
	}
	vm_put(vm);
	return 0;
}

static_assert(JOIST_STAT_COUNT <= 48, "room in struct joist_stats");

static void copy_stats(struct joist_stats *a, const struct vcpu *v)
{
	a->entries = JOIST_STAT_COUNT;
	a->runs = v->runs;
	memset(a->count, 0, sizeof(a->count));
	memcpy(a->count, v->exits, sizeof(v->exits));
}

int hc_stats(struct hc_context *c, void *args)
{
	struct joist_stats *a = args;
	struct vm *vm;

	if (a->reserved)
		return fail(-EINVAL);
	if (!a->head.vm) {
		if (a->head.vcpu >= cpu_count)
			return fail(-EINVAL);
		copy_stats(a, cpus[index_mask(a->head.vcpu, cpu_count)]->control);
		return 0;
	}
	vm = vm_get(a->head.vm);
	if (!vm)
		return fail(-ENOENT);
	if (a->head.vcpu >= vm->vcpu_count) {
		vm_put(vm);
		return fail(-EINVAL);
	}
	copy_stats(a, vm->vcpu[index_mask(a->head.vcpu, vm->vcpu_count)]);
	vm_put(vm);
	return 0;
}

int hc_log(struct hc_context *c, void *args)
{
	struct joist_log *a = args;

	if (!no_ids(&a->head) || a->reserved)
		return fail(-EINVAL);
	memset(a->text, 0, sizeof(a->text));
	a->len = log_read(&a->pos, a->text, sizeof(a->text));
	return 0;
}

int hc_verify(struct hc_context *c, void *args)
{
	struct joist_vm *a = args;

	if (!no_ids(&a->head))
		return fail(-EINVAL);
	return BUILD_DEBUG ? verify_all() : fail(-ENOSYS);
}
