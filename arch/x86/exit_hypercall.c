/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit_hypercall.c -- a guest's VMCALL or VMMCALL, in KVM's convention.
 *
 * Guests see KVM's signature and may try its hypercalls; none is offered, as
 * the feature leaf says.  A CPL other than 0 is refused as KVM refuses it.
 */
#include "arch/x86/exit.h"

#define KVM_ENOSYS	1000
#define KVM_EPERM	1

enum verdict exit_hypercall(struct vcpu *v)
{
	s64 result = backend->reg_get(v, VREG_CPL) ? -KVM_EPERM : -KVM_ENOSYS;

	v->gpr[JOIST_RAX] = (u64)result;
	return DONE;
}
