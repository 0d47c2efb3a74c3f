/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hc_vcpu.c -- calls that run a vCPU, interrupt it, or set its parameters.
 */
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "core/hypercall.h"
#include "core/log.h"

int hc_run(struct hc_context *c, void *args)
{
	struct joist_run_args *a = args;
	struct vcpu *v = c->vcpu;

	if (a->reserved)
		return fail(-EINVAL);
	a->exit = vcpu_run(v);
	a->deadline = v->deadline_told;
	a->wake = v->wake;
	return 0;
}

static int intr_fixed(struct vcpu *v, struct joist_intr *a, bool level)
{
	if (a->vector < 16 || a->vector > 255)
		return fail(-EINVAL);
	if (event_post_vector(v, a->vector, level))
		a->wake = BIT(v->id);
	return 0;
}

static int intr_msi(struct vm *vm, struct joist_intr *a)
{
	struct vlapic_msg m;
	int err = vlapic_msi(a->msi_address, a->msi_data, &m);

	if (err)
		return fail(err);
	a->wake = event_send(vm, ~0u, &m);
	return 0;
}

/* Events that the caller places itself go into a vCPU outside RUN. */
static int intr_direct(struct vcpu *v, struct event ev)
{
	int err = -EBUSY;

	if (!vcpu_try_own(v))
		return fail(-EBUSY);
	if (!v->exception.info && !v->reinject.info && !v->extint) {
		event_place(v, ev);
		err = 0;
	}
	vcpu_disown(v);
	return err ? fail(err) : 0;
}

static int intr_exception(struct vcpu *v, const struct joist_intr *a)
{
	bool error = a->flags & JOIST_INTR_ERROR;

	if (a->vector > 31 || !(EXC_OF_GUESTS & BIT(a->vector)) || a->error >> 16 ||
	    (error && !(EXC_WITH_ERROR & BIT(a->vector))))
		return fail(-EINVAL);
	return intr_direct(v, (struct event){
		JOIST_EVENT_VALID | a->vector | JOIST_EVENT_TYPE(3) |
		(error ? JOIST_EVENT_ERROR : 0), a->error });
}

/* The 8259's answer to JOIST_EXIT_EXTINT: the vCPU can take it now, if nobody
 * writes its registers in between. */
static int intr_extint(struct vcpu *v, const struct joist_intr *a)
{
	if (a->vector > 255)
		return fail(-EINVAL);
	if (__atomic_load_n(&v->forward, __ATOMIC_RELAXED) != JOIST_EXIT_EXTINT)
		return fail(-EBUSY);
	return intr_direct(v, (struct event){ JOIST_EVENT_VALID | a->vector, 0 });
}

int hc_intr(struct hc_context *c, void *args)
{
	struct joist_intr *a = args;
	struct vcpu *v = c->vcpu;

	a->wake = 0;
	if (a->type != JOIST_INTR_EXCEPTION && (a->flags || a->error))
		return fail(-EINVAL);
	if (a->flags & ~JOIST_INTR_ERROR)
		return fail(-EINVAL);
	if (a->type != JOIST_INTR_MSI && (a->msi_address || a->msi_data))
		return fail(-EINVAL);
	switch (a->type) {
	case JOIST_INTR_FIXED:
		return intr_fixed(v, a, false);
	case JOIST_INTR_LEVEL:
		return intr_fixed(v, a, true);
	case JOIST_INTR_MSI:
		return intr_msi(c->vm, a);
	case JOIST_INTR_NMI:
		if (event_post(v, POST_NMI))
			a->wake = BIT(v->id);
		return 0;
	case JOIST_INTR_EXTINT:
		return intr_extint(v, a);
	case JOIST_INTR_EXCEPTION:
		return intr_exception(v, a);
	default:
		return fail(-EINVAL);
	}
}

int hc_readvmparams(struct hc_context *c, void *args)
{
	struct joist_vmparam_args *a = args;
	struct vcpu *v = c->vcpu;

	if (a->reserved)
		return fail(-EINVAL);
	switch (a->param) {
	case JOIST_PARAM_PVCLOCK_VERSION:
		a->value = v->gs.pvclock_version;
		return 0;
	case JOIST_PARAM_PVCLOCK_GPA:
		a->value = v->gs.system_time;
		return 0;
	case JOIST_PARAM_WALL_CLOCK:
		a->value = v->vm->wall_clock;
		return 0;
	case JOIST_PARAM_WALL_CLOCK_GPA:
		a->value = v->vm->wall_clock_gpa;
		return 0;
	case JOIST_PARAM_TSC_KHZ:
		a->value = tsc_khz;
		return 0;
	case JOIST_PARAM_TSC_OFFSET:
		a->value = v->tsc_offset;
		return 0;
	default:
		return fail(-EINVAL);
	}
}

static bool record_gpa_ok(u64 gpa)
{
	return !(gpa >> guest_features.phys_bits) && !(gpa & 2);
}

int hc_writevmparams(struct hc_context *c, void *args)
{
	struct joist_vmparam_args *a = args;
	struct vcpu *v = c->vcpu;

	if (a->reserved)
		return fail(-EINVAL);
	switch (a->param) {
	case JOIST_PARAM_PVCLOCK_VERSION:
	case JOIST_PARAM_TSC_KHZ:
		return fail(-EPERM);
	case JOIST_PARAM_PVCLOCK_GPA:
		if (!record_gpa_ok(a->value))
			return fail(-EINVAL);
		v->gs.system_time = a->value;
		pvclock_update(v);
		return 0;
	case JOIST_PARAM_WALL_CLOCK:
		v->vm->wall_clock = a->value;
		return 0;
	case JOIST_PARAM_WALL_CLOCK_GPA:
		if (!record_gpa_ok(a->value) || (a->value & 3))
			return fail(-EINVAL);
		v->vm->wall_clock_gpa = a->value;
		pvclock_wall_clock(v->vm);
		return 0;
	case JOIST_PARAM_TSC_OFFSET:
		tsc_shift(v, a->value - v->tsc_offset);
		return 0;
	default:
		return fail(-EINVAL);
	}
}

int hc_readlapic(struct hc_context *c, void *args)
{
	struct joist_lapic *a = args;

	vcpu_lapic_sync(c->vcpu);
	event_absorb(c->vcpu);
	vlapic_export(&c->vcpu->lapic, vcpu_tsc(c->vcpu), a);
	return 0;
}

int hc_writelapic(struct hc_context *c, void *args)
{
	int err;

	vcpu_lapic_sync(c->vcpu);
	err = vlapic_import(&c->vcpu->lapic, args);
	return err ? fail(err) : 0;
}
