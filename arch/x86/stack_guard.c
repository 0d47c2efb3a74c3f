/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack_guard.c -- the value that the compiler lays above each array on a stack,
 * and looks at before it returns.
 */
#include "arch/x86/insn.h"
#include "arch/x86/regs.h"
#include "arch/x86/stack_guard.h"
#include "core/log.h"

unsigned long __stack_chk_guard __ro_after_init;
void __stack_chk_fail(void) __noreturn;

/* SDM, "RDRAND": CF tells whether there was one. */
static u64 hardware_random(void)
{
	u64 val = 0;
	u8 ok = 0;
	u32 i;

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND))
		return 0;
	for (i = 0; i < 10 && !ok; i++)
		__asm__ volatile("rdrand %0\n\tsetc %1" : "=r"(val), "=qm"(ok) : : "cc");
	return ok ? val : 0;
}

void stack_guard_init(void)
{
	/* Some bits of the clock, spread, where there is nothing better. */
	u64 val = hardware_random() ^ rdtsc() * 0x9e3779b97f4a7c15ull;

	/* A string that runs over its end writes no 0 before it has ended. */
	__stack_chk_guard = val & ~0xffull;
}

void __stack_chk_fail(void)
{
	panic("a stack was written beyond an array, seen at 0x%lx",
	      (u64)__builtin_return_address(0));
}
