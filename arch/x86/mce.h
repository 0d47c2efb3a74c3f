/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mce.h -- machine checks: on to the control VM, whose OS knows what to do.
 */
#ifndef ARCH_X86_MCE_H
#define ARCH_X86_MCE_H

#include "core/types.h"

struct cpu;

/* One has hit this core and left its registers: what was running may go on if
 * mce_restartable().  The control VM's vCPU of this core gets it next. */
void mce_hand_over(struct cpu *c);
bool mce_restartable(void);
/* The same for one in the hypervisor.  Returns if that can go on. */
void mce_in_hypervisor(struct cpu *c, u64 rip);

#endif
