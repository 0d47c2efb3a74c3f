/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * insn.h -- one-instruction inlines.
 */
#ifndef ARCH_X86_INSN_H
#define ARCH_X86_INSN_H

#include "core/types.h"

static inline u8 inb(u16 port)
{
	u8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u32 inl(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline u16 inw(u16 port)
{
	u16 v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void outw(u16 port, u16 v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 v)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u32 rdpkru(void)
{
	u32 val, zero;

	__asm__ volatile("rdpkru" : "=a"(val), "=d"(zero) : "c"(0));
	return val;
}

/* Reads an MSR that may not exist; false if it does not. */
static inline bool rdmsr_safe(u32 msr, u64 *v)
{
	u32 lo, hi;
	u8 ok;

	__asm__ volatile("1: rdmsr\n\tmovb $1, %2\n\tjmp 3f\n"
			 "2: movb $0, %2\n"
			 "3:\n"
			 ".pushsection .extable, \"a\"\n\t.quad 1b, 2b\n.popsection"
			 : "=&a"(lo), "=&d"(hi), "=&r"(ok) : "c"(msr));
	*v = ok ? (lo | (u64)hi << 32) : 0;
	return ok;
}

/* Writes an MSR that may not exist or may refuse; false if it does. */
static inline bool wrmsr_safe(u32 msr, u64 v)
{
	u8 ok;

	__asm__ volatile("1: wrmsr\n\tmovb $1, %0\n\tjmp 3f\n"
			 "2: movb $0, %0\n"
			 "3:\n"
			 ".pushsection .extable, \"a\"\n\t.quad 1b, 2b\n.popsection"
			 : "=&r"(ok) : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32))
			 : "memory");
	return ok;
}

/* Writes what was checked before; if the CPU refuses, the old value stays. */
static inline void wrmsr_try(u32 msr, u64 v)
{
	__asm__ volatile("1: wrmsr\n"
			 "2:\n"
			 ".pushsection .extable, \"a\"\n\t.quad 1b, 2b\n.popsection"
			 : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 sub)
{
	struct cpuid r;

	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(sub));
	return r;
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (u64)hi << 32;
}

#define CR_ACCESS(n)							\
static inline u64 read_cr##n(void)					\
{									\
	u64 v;								\
	__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v));		\
	return v;							\
}									\
static inline void write_cr##n(u64 v)					\
{									\
	__asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");	\
}
CR_ACCESS(0)
CR_ACCESS(2)
CR_ACCESS(3)
CR_ACCESS(4)

#define DR_ACCESS(n)							\
static inline u64 read_dr##n(void)					\
{									\
	u64 v;								\
	__asm__ volatile("mov %%dr" #n ", %0" : "=r"(v));		\
	return v;							\
}									\
static inline void write_dr##n(u64 v)					\
{									\
	__asm__ volatile("mov %0, %%dr" #n : : "r"(v));			\
}
DR_ACCESS(0)
DR_ACCESS(1)
DR_ACCESS(2)
DR_ACCESS(3)
DR_ACCESS(6)
DR_ACCESS(7)

static inline u64 xgetbv(u32 reg)
{
	u32 lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(reg));
	return lo | (u64)hi << 32;
}

/* Writes XCR0; false if the CPU refuses. */
static inline bool xsetbv_safe(u64 v)
{
	u8 ok;

	__asm__ volatile("1: xsetbv\n\tmovb $1, %0\n\tjmp 3f\n"
			 "2: movb $0, %0\n"
			 "3:\n"
			 ".pushsection .extable, \"a\"\n\t.quad 1b, 2b\n.popsection"
			 : "=&r"(ok) : "c"(0), "a"((u32)v), "d"((u32)(v >> 32)));
	return ok;
}

/* Loads the components of mask; false if the CPU refuses the area. */
static inline bool xrstor_safe(const void *area, u64 mask)
{
	u8 ok;

	__asm__ volatile("1: xrstor64 (%1)\n\tmovb $1, %0\n\tjmp 3f\n"
			 "2: movb $0, %0\n"
			 "3:\n"
			 ".pushsection .extable, \"a\"\n\t.quad 1b, 2b\n.popsection"
			 : "=&r"(ok) : "r"(area), "a"((u32)mask), "d"((u32)(mask >> 32))
			 : "memory");
	return ok;
}

/* The same for x87 and SSE, on a CPU without XSAVE. */
static inline bool fxrstor_safe(const void *area)
{
	u8 ok;

	__asm__ volatile("1: fxrstor64 (%1)\n\tmovb $1, %0\n\tjmp 3f\n"
			 "2: movb $0, %0\n"
			 "3:\n"
			 ".pushsection .extable, \"a\"\n\t.quad 1b, 2b\n.popsection"
			 : "=&r"(ok) : "r"(area) : "memory");
	return ok;
}

static inline void invlpg(const void *va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline void pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline void hlt(void)
{
	__asm__ volatile("hlt" : : : "memory");
}

static inline void wbinvd(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
}

/*
 * Goes on in f, which does not return, on another stack; this one is given up.
 * A direct jump: f is a function's name.
 */
static inline __attribute__((always_inline)) void __noreturn
stack_leave(void *top, void (*f)(void))
{
	/* As after a call: no return address to find. */
	__asm__ volatile("mov %0, %%rsp\n\txor %%ebp, %%ebp\n\tpush $0\n\tjmp %c1"
			 : : "r"(top), "i"(f) : "memory");
	__builtin_unreachable();
}

#endif
