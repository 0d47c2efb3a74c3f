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
/* An area as after power-on. */
void xstate_reset(void *area);
/* Saves all of from's components, loads all of to's, and its XCR0. */
void xstate_switch(struct vcpu *from, struct vcpu *to);
/* -EINVAL if loading this area would fault. */
int xstate_check(const void *area);

#endif
