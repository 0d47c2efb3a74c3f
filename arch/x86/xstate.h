/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xstate.h -- x87, SSE, AVX and what else XSAVE moves.
 */
#ifndef ARCH_X86_XSTATE_H
#define ARCH_X86_XSTATE_H

#include "core/types.h"

struct vcpu;

/* Boot: how large an area is. */
void xstate_setup(void);
u32 xstate_size(void);
/* What the area of these components takes, in the standard or compacted form. */
u32 xstate_area_size(u64 components, bool compacted);
/* An area as after power-on. */
void xstate_reset(void *area);
/* Saves all of from's components, loads all of to's, and its XCR0.  If the CPU
 * refuses that, a guest cannot go on: RUN ends. */
void xstate_switch(struct vcpu *from, struct vcpu *to);
/* -EINVAL if loading this area would fault. */
int xstate_check(const void *area);
/* The protection-key rights of v, which may be in RUN on this core. */
u32 xstate_pkru(struct vcpu *v);

/* Whether the compacted form can be shown to anybody: XSAVEC, and XSAVES with it. */
extern bool xstate_compacts;

#endif
