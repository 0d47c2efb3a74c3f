/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmx_caps.c -- judging what a core's VMX says it can do.
 *
 * What VMCSs are made of is decided once, by the boot core's capabilities; any
 * core may run any of them, so none may lack what the first has.
 */
#include "arch/x86/vmx/vmcs.h"

#define SIGNATURE	(BITS(27, 16) | BITS(13, 0))	/* CPUID leaf 1's EAX, but for reserved bits */

/*
 * CPUs whose specification updates say that the preemption timer does not count
 * down at the rate of VMX_MISC, family 6 from Nehalem to one Ivy Bridge.
 */
static const u32 broken_timer[] = {
	0x106a0, 0x106a1, 0x106a4, 0x106a5, 0x106e5,	/* Nehalem */
	0x20652, 0x20655, 0x206e6,			/* Westmere, Nehalem-EX */
	0x306a8,					/* Ivy Bridge, Xeon E3 v2 */
};

bool vmx_timer_broken(u32 signature)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(broken_timer); i++)
		if ((signature & SIGNATURE) == broken_timer[i])
			return true;
	return false;
}

const char *vmx_caps_lack(const struct vmx_caps *first, const struct vmx_caps *c)
{
	if (c->revision != first->revision)
		return "the VMCS of its VMX has another revision than the first core's";
	if (c->timer_shift != first->timer_shift)
		return "its VMX-preemption timer has another rate than the first core's";
	/* More than the first has is not used. */
	if ((first->pin & ~c->pin) | (first->proc & ~c->proc) | (first->proc2 & ~c->proc2) |
	    (first->exit & ~c->exit) | (first->entry & ~c->entry))
		return "its VMX lacks controls that the first core's has";
	if ((c->pin_must & ~first->pin_must) | (c->proc_must & ~first->proc_must) |
	    (c->proc2_must & ~first->proc2_must) | (c->exit_must & ~first->exit_must) |
	    (c->entry_must & ~first->entry_must))
		return "its VMX insists on controls that the first core's does not";
	if ((first->any_error_code && !c->any_error_code) || (first->ept_vpid & ~c->ept_vpid))
		return "its VMX lacks a capability that the first core's has";
	return NULL;
}
