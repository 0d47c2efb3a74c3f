/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hc_access.c -- a guest's memory by linear address, for who emulates for it.
 */
#include "arch/x86/guest_mem.h"
#include "arch/x86/regs.h"
#include "core/hypercall.h"
#include "core/log.h"
#include "core/string.h"

/* What is at a GPA, within a page, for an access of that kind. */
static u32 access_memory(struct vcpu *v, struct joist_access *a)
{
	bool write = a->flags & JOIST_ACCESS_WRITE;
	u64 len;
	void *p = write ? guest_ptr_write(v, GPA(a->gpa), &len) : guest_ptr(v, GPA(a->gpa), &len);

	if (!p && a->gpa - VLAPIC_BASE_ADDR < PAGE_SIZE)
		return JOIST_ACCESS_LAPIC;
	if (!p)
		return JOIST_ACCESS_DEVICE;
	if (!(a->flags & JOIST_ACCESS_TEST))
		memcpy(write ? p : a->data, write ? a->data : p, a->len);
	return JOIST_ACCESS_MEMORY;
}

int hc_access(struct hc_context *c, void *args)
{
	struct joist_access *a = args;
	struct vcpu *v = c->vcpu;
	u32 access = a->flags & JOIST_ACCESS_WRITE ? (u32)PF_WRITE : 0;
	gpa_t gpa;
	int err;

	if (!a->len || a->len > JOIST_ACCESS_MAX ||
	    a->len > PAGE_SIZE - (a->gva & (PAGE_SIZE - 1)) ||
	    (a->flags & ~(JOIST_ACCESS_WRITE | JOIST_ACCESS_TEST | JOIST_ACCESS_SYSTEM)))
		return fail(-EINVAL);
	if (!(a->flags & JOIST_ACCESS_SYSTEM) && backend->reg_get(v, VREG_CPL) == 3)
		access |= (u32)PF_USER;
	a->gpa = a->error = 0;
	err = guest_translate(v, GVA(a->gva), access, &gpa, &a->error);
	a->result = JOIST_ACCESS_FAULT;
	if (err == -EFAULT)
		return 0;
	if (err)
		return fail(err);
	a->gpa = gpa.v;
	a->result = access_memory(v, a);
	return 0;
}
