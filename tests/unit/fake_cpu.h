/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_cpu.h -- MSRs, CPUID, XCR0 and ports of a made-up CPU in place of
 * insn.h's, for tests of what may be written where.  Include it first.
 *
 * fake_takes() says what WRMSR takes; what was refused is counted.  A plain
 * wrmsr() or rdmsr() that the CPU refuses fails the test: it would be a panic.
 */
#ifndef TESTS_UNIT_FAKE_CPU_H
#define TESTS_UNIT_FAKE_CPU_H

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define inb		real_inb
#define inl		real_inl
#define inw		real_inw
#define outb		real_outb
#define outw		real_outw
#define outl		real_outl
#define rdmsr		real_rdmsr
#define wrmsr		real_wrmsr
#define rdmsr_safe	real_rdmsr_safe
#define wrmsr_safe	real_wrmsr_safe
#define wrmsr_try	real_wrmsr_try
#define cpuid(leaf, sub)	real_cpuid(leaf, sub)
#define xgetbv		real_xgetbv
#define xsetbv_safe	real_xsetbv_safe
#define xrstor_safe	real_xrstor_safe
#define fxrstor_safe	real_fxrstor_safe
#include "arch/x86/insn.h"
#undef inb
#undef inl
#undef inw
#undef outb
#undef outw
#undef outl
#undef rdmsr
#undef wrmsr
#undef rdmsr_safe
#undef wrmsr_safe
#undef wrmsr_try
#undef xgetbv
#undef xsetbv_safe
#undef xrstor_safe
#undef fxrstor_safe

#include <stdlib.h>

struct fake_msr {
	u32 nr;
	u64 val, takes;		/* bits that a write may have */
	unsigned writes, refused;
};

static struct fake_msr fake_msrs[64];
static unsigned fake_count;
static u64 fake_xcr0 = 1, fake_xcr0_takes = ~0ull;
static unsigned fake_xrstor_refuses, fake_xrstors;

static inline struct fake_msr *fake_find(u32 nr)
{
	unsigned i;

	for (i = 0; i < fake_count; i++)
		if (fake_msrs[i].nr == nr)
			return &fake_msrs[i];
	return NULL;
}

static inline struct fake_msr *fake_msr(u32 nr, u64 val, u64 takes)
{
	struct fake_msr *m = fake_find(nr);

	if (!m)
		m = &fake_msrs[fake_count++];
	*m = (struct fake_msr){ .nr = nr, .val = val, .takes = takes };
	return m;
}

static inline bool rdmsr_safe(u32 nr, u64 *val)
{
	struct fake_msr *m = fake_find(nr);

	*val = m ? m->val : 0;
	return m;
}

static inline bool wrmsr_safe(u32 nr, u64 val)
{
	struct fake_msr *m = fake_find(nr);

	if (!m)
		return false;
	if (val & ~m->takes) {
		m->refused++;
		return false;
	}
	m->val = val;
	m->writes++;
	return true;
}

static inline void wrmsr_try(u32 nr, u64 val)
{
	wrmsr_safe(nr, val);
}

static inline u64 rdmsr(u32 nr)
{
	u64 val;

	if (!rdmsr_safe(nr, &val))
		abort();
	return val;
}

static inline void wrmsr(u32 nr, u64 val)
{
	if (!wrmsr_safe(nr, val))
		abort();
}

/* CPUID is what this returns; each test brings its own. */
#undef cpuid
static struct cpuid (*fake_cpuid)(u32 leaf, u32 sub);
#define cpuid(leaf, sub)	fake_cpuid(leaf, sub)

/* Ports read as they were written, whatever the size. */
static u8 fake_port[0x10000];
static inline u32 fake_in(u16 port, u8 size)
{
	u32 val = 0;

	while (size--)
		val = val << 8 | fake_port[port + size];
	return val;
}

static inline void fake_out(u16 port, u8 size, u32 val)
{
	for (; size--; val >>= 8)
		fake_port[port++] = (u8)val;
}
#define inb(port)	((u8)fake_in(port, 1))
#define inw(port)	((u16)fake_in(port, 2))
#define inl(port)	fake_in(port, 4)
#define outb(port, val)	fake_out(port, 1, val)
#define outw(port, val)	fake_out(port, 2, val)
#define outl(port, val)	fake_out(port, 4, val)

static inline u64 xgetbv(u32 reg)
{
	return fake_xcr0;
}

static inline bool xsetbv_safe(u64 val)
{
	if (val & ~fake_xcr0_takes)
		return false;
	fake_xcr0 = val;
	return true;
}

static inline bool xrstor_safe(const void *area, u64 mask)
{
	fake_xrstors++;
	if (!fake_xrstor_refuses)
		return true;
	fake_xrstor_refuses--;
	return false;
}

static inline bool fxrstor_safe(const void *area)
{
	return xrstor_safe(area, 3);
}

#endif
