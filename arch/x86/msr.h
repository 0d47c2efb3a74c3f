/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * msr.h -- checks and effects of MSR writes, shared with WRITEREGS.
 */
#ifndef ARCH_X86_MSR_H
#define ARCH_X86_MSR_H

#include "core/types.h"

struct vcpu;

bool pat_valid(u64 pat);
/* Whether this CPU has IA32_SPEC_CTRL, and all these bits of it. */
bool spec_ctrl_valid(u64 val);
bool canonical(u64 addr);
/* The guest's TSC reads delta more from now on. */
void tsc_shift(struct vcpu *v, u64 delta);
/* -EINVAL: #GP. */
int efer_write(struct vcpu *v, u64 val);

#endif
