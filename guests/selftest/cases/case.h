/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case.h -- a case is a function that returns when all was as it must be.
 *
 * CHECK() or fail() end it with a reason, skip() when it cannot run here.
 * Nothing needs cleaning up: main.c destroys all VMs afterwards and then
 * checks that the pool is as full as before.
 */
#ifndef SELFTEST_CASE_H
#define SELFTEST_CASE_H

#include "guests/selftest/guest.h"

struct tcase {
	const char *name;
	void (*fn)(void);
	u32 cpus;			/* cores it needs, 0 or 1: any */
};

/* Bytes of the pool that a case has used up for good, in a way that is right. */
extern u64 pool_gone;

#define CASE_LISTS(L)							\
	L(abi) L(create) L(memseg) L(run) L(io) L(mmio) L(cpu) L(event) L(apic)	\
	L(regs) L(isolate) L(smp) L(random) L(work)

#define L(name)	extern const struct tcase cases_##name[];
CASE_LISTS(L)
#undef L

#endif
