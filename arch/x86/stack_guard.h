/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack_guard.h -- -fstack-protector's guard.
 */
#ifndef ARCH_X86_STACK_GUARD_H
#define ARCH_X86_STACK_GUARD_H

/*
 * Boot core, first of all and once: a value that differs from boot to boot.  Who
 * calls it must not return, since it was entered with another one.
 */
void stack_guard_init(void);

#endif
