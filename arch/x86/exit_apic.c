/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit_apic.c -- what a guest's LAPIC write sets in motion.
 */
#include "arch/x86/exit.h"

enum verdict apic_act(struct vcpu *v, const struct vlapic_action *a, enum verdict done)
{
	if (likely(!a->what))
		return done;
	if (a->what & VLAPIC_SEND)
		v->wake |= event_send(v->vm, v->id, &a->msg);
	if (a->what & VLAPIC_EOI_OUT) {
		v->run->eoi.vector = a->eoi;
		v->forward = JOIST_EXIT_EOI;
		/* The write has happened: RUN goes on behind it. */
		if (done == DONE)
			exit_step(v, v->x.insn_len);
		return FORWARD;
	}
	return done;
}
