/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * insn.h -- one-instruction inlines, and instructions that may fault.
 *
 * Used by the self-test itself and by the payload it runs in guests.  TRY()
 * runs an instruction or a few; when one faults, the trap handler finds them
 * in the .extable section, puts 0x100 | vector in R11 and goes on behind the
 * last.  So "this must give #GP" is an ordinary expression.
 */
#ifndef SELFTEST_INSN_H
#define SELFTEST_INSN_H

#include "core/types.h"

#define NOFAULT		0
#define FAULT(v)	(0x100 | (v))
#define X_DE	0
#define X_DB	1
#define X_NMI	2
#define X_BP	3
#define X_OF	4
#define X_BR	5
#define X_UD	6
#define X_NM	7
#define X_DF	8
#define X_TS	10
#define X_NP	11
#define X_SS	12
#define X_GP	13
#define X_PF	14
#define X_MF	16
#define X_AC	17
#define X_XM	19

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_FEATURE_CONTROL	0x3a
#define MSR_TSC_ADJUST		0x3b
#define MSR_SPEC_CTRL		0x48
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_MISC_ENABLE		0x1a0
#define MSR_DEBUGCTL		0x1d9
#define DEBUGCTL_BTF		BIT(1)
#define MSR_PAT			0x277
#define MSR_VMX_BASIC		0x480
#define MSR_VMX_LAST		0x491
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_X2APIC		0x800
#define MSR_XSS			0xda0
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SFMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103
#define MSR_VM_CR		0xc0010114
#define MSR_VM_HSAVE_PA		0xc0010117
#define MSR_KVM_WALL_CLOCK	0x4b564d00
#define MSR_KVM_SYSTEM_TIME	0x4b564d01

#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NX		BIT(11)
#define EFER_SVME	BIT(12)

#define CR0_PE		BIT(0)
#define CR0_MP		BIT(1)
#define CR0_EM		BIT(2)
#define CR0_TS		BIT(3)
#define CR0_ET		BIT(4)
#define CR0_NE		BIT(5)
#define CR0_WP		BIT(16)
#define CR0_AM		BIT(18)
#define CR0_NW		BIT(29)
#define CR0_CD		BIT(30)
#define CR0_PG		BIT(31)
#define CR4_TSD		BIT(2)
#define CR4_DE		BIT(3)
#define CR4_PSE		BIT(4)
#define CR4_PAE		BIT(5)
#define CR4_PGE		BIT(7)
#define CR4_OSFXSR	BIT(9)
#define CR4_OSXMMEXCPT	BIT(10)
#define CR4_LA57	BIT(12)
#define CR4_VMXE	BIT(13)
#define CR4_OSXSAVE	BIT(18)

#define RFLAGS_IF	BIT(9)
#define RFLAGS_DF	BIT(10)

/*
 * Instructions that may fault; `out`, `in` and `clob` are asm operand
 * lists, each in LIST() when it holds a comma.  f_ gets the outcome.
 */
#define LIST(...)	__VA_ARGS__
#define TRY(f_, insn, out, in, ...)					\
	asm volatile("xorl %%r11d, %%r11d\n\t"				\
		     "771: " insn "\n"					\
		     "772: movl %%r11d, %[fault_]\n\t"			\
		     ".pushsection .extable, \"a\"\n\t"			\
		     ".quad 771b, 772b\n\t"				\
		     ".popsection"					\
		     : [fault_] "=&r"(f_) out				\
		     : in						\
		     : "r11", "memory", "cc" __VA_ARGS__)
#define NO_OUT
#define NO_IN

/* Fault outcome of an instruction without operands. */
#define TRY_PLAIN(insn) __extension__ ({				\
	u32 f_;								\
	TRY(f_, insn, NO_OUT, NO_IN, , "rax", "rbx", "rcx", "rdx",	\
	    "rsi", "rdi");						\
	f_;								\
})

static inline u32 try_rdmsr(u32 msr, u64 *val)
{
	u32 f, lo = 0, hi = 0;

	TRY(f, "rdmsr", LIST(, "+a"(lo), "+d"(hi)), "c"(msr));
	*val = (u64)hi << 32 | lo;
	return f;
}

static inline u32 try_wrmsr(u32 msr, u64 val)
{
	u32 f;

	TRY(f, "wrmsr", NO_OUT,
	    LIST("c"(msr), "a"((u32)val), "d"((u32)(val >> 32))));
	return f;
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 val)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)val),
		     "d"((u32)(val >> 32)) : "memory");
}

static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
		     : "a"(leaf), "c"(sub) : "memory");
}

static inline bool has_xsave(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	return r[2] & BIT(26);
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	/* The fence keeps the reading behind what is before it. */
	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (u64)hi << 32 | lo;
}

static inline void outb(u16 port, u8 val)
{
	asm volatile("outb %0, %1" : : "a"(val), "Nd"(port) : "memory");
}

static inline u8 inb(u16 port)
{
	u8 val;

	asm volatile("inb %1, %0" : "=a"(val) : "Nd"(port) : "memory");
	return val;
}

static inline void outw(u16 port, u16 val)
{
	asm volatile("outw %0, %1" : : "a"(val), "Nd"(port) : "memory");
}

static inline u16 inw(u16 port)
{
	u16 val;

	asm volatile("inw %1, %0" : "=a"(val) : "Nd"(port) : "memory");
	return val;
}

static inline void outl(u16 port, u32 val)
{
	asm volatile("outl %0, %1" : : "a"(val), "Nd"(port) : "memory");
}

static inline u32 inl(u16 port)
{
	u32 val;

	asm volatile("inl %1, %0" : "=a"(val) : "Nd"(port) : "memory");
	return val;
}

static inline void cli(void)
{
	asm volatile("cli" : : : "memory");
}

static inline void sti(void)
{
	asm volatile("sti" : : : "memory");
}

static inline void pause(void)
{
	asm volatile("pause" : : : "memory");
}

/* Interrupts on for one instruction, then HLT: no wakeup can be lost. */
static inline void sti_hlt(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

/* A short window in which what is pending arrives. */
static inline void irq_window(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

#define CR_ACCESS(n)							\
static inline u64 read_cr##n(void)					\
{									\
	u64 val;							\
									\
	asm volatile("movq %%cr" #n ", %0" : "=r"(val) : : "memory");	\
	return val;							\
}									\
static inline void write_cr##n(u64 val)					\
{									\
	asm volatile("movq %0, %%cr" #n : : "r"(val) : "memory");	\
}									\
static inline u32 try_write_cr##n(u64 val)				\
{									\
	u32 f;								\
									\
	TRY(f, "movq %[v], %%cr" #n, NO_OUT, [v] "r"(val));		\
	return f;							\
}
CR_ACCESS(0)
CR_ACCESS(2)
CR_ACCESS(3)
CR_ACCESS(4)
CR_ACCESS(8)

#define DR_ACCESS(n)							\
static inline u64 read_dr##n(void)					\
{									\
	u64 val;							\
									\
	asm volatile("movq %%dr" #n ", %0" : "=r"(val) : : "memory");	\
	return val;							\
}									\
static inline u32 try_write_dr##n(u64 val)				\
{									\
	u32 f;								\
									\
	TRY(f, "movq %[v], %%dr" #n, NO_OUT, [v] "r"(val));		\
	return f;							\
}
DR_ACCESS(0)
DR_ACCESS(1)
DR_ACCESS(2)
DR_ACCESS(3)
DR_ACCESS(6)
DR_ACCESS(7)

static inline u32 try_xsetbv(u32 index, u64 val)
{
	u32 f;

	TRY(f, "xsetbv", NO_OUT,
	    LIST("c"(index), "a"((u32)val), "d"((u32)(val >> 32))));
	return f;
}

static inline u64 xgetbv(u32 index)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index) : "memory");
	return (u64)hi << 32 | lo;
}

static inline u32 try_read8(const volatile void *p, u8 *val)
{
	u32 f;
	u8 v = 0;

	TRY(f, "movb %[m], %[v]", LIST(, [v] "+q"(v)),
	    [m] "m"(*(const volatile u8 *)p));
	*val = v;
	return f;
}

static inline u32 try_read64(const volatile void *p, u64 *val)
{
	u32 f;
	u64 v = 0;

	TRY(f, "movq %[m], %[v]", LIST(, [v] "+r"(v)),
	    [m] "m"(*(const volatile u64 *)p));
	*val = v;
	return f;
}

static inline u32 try_write64(volatile void *p, u64 val)
{
	u32 f;

	TRY(f, "movq %[v], (%[p])", NO_OUT, LIST([p] "r"(p), [v] "r"(val)));
	return f;
}

#endif
