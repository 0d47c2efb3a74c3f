/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * p_cpu.c -- payloads: MSRs, control and debug registers, XCR0, instructions
 * that need privilege, exceptions.
 */
#include "guests/selftest/payload/lib.h"
#include "include/joist.h"

static bool has(u32 leaf, u32 reg, u32 bit)
{
	u32 r[4];

	cpuid(leaf & 0xf0000000, 0, r);
	if (leaf > r[0])
		return false;
	cpuid(leaf, 0, r);
	return r[reg] & BIT(bit);
}

static void keeps(u32 msr, u64 val, const char *what)
{
	u64 old, got;

	if (try_rdmsr(msr, &old))
		failed(what, msr, 0xbad0);
	if (try_wrmsr(msr, val))
		failed(what, msr, 0xbad1);
	if (try_rdmsr(msr, &got) || got != val)
		failed(what, got, val);
	if (try_wrmsr(msr, old))
		failed(what, msr, 0xbad2);
}

PAYLOAD(msr)
{
	u64 val, val2, tsc;
	u32 i;

	keeps(MSR_STAR, 0x0023001000000000, "STAR");
	keeps(MSR_LSTAR, 0xffffffff81000000, "LSTAR");
	keeps(MSR_CSTAR, 0x00007fff12345678, "CSTAR");
	keeps(MSR_SFMASK, 0x47700, "SFMASK");
	keeps(MSR_KERNEL_GS_BASE, 0xffff888000001000, "KERNEL_GS_BASE");
	keeps(MSR_FS_BASE, 0x123456789000, "FS_BASE");
	keeps(MSR_SYSENTER_CS, 0x10, "SYSENTER_CS");
	keeps(MSR_SYSENTER_ESP, 0xffff888000002000, "SYSENTER_ESP");
	keeps(MSR_SYSENTER_EIP, 0xffffffff81001000, "SYSENTER_EIP");
	keeps(MSR_PAT, 0x0407050600070106, "PAT");
	keeps(MSR_DEBUGCTL, 0, "DEBUGCTL");
	if (has(0x80000001, 3, 27))
		keeps(MSR_TSC_AUX, 0x1234, "TSC_AUX");
	keeps(MSR_TSC_ADJUST, 0, "TSC_ADJUST");
	keeps(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE, "EFER.SCE");
	if (has(0x80000001, 3, 20))
		keeps(MSR_EFER, rdmsr(MSR_EFER) | EFER_NX, "EFER.NX");

	/* The TSC moves when it is written, or TSC_ADJUST is. */
	tsc = rdtsc();
	CHECK(rdtsc() >= tsc, "the TSC goes back");
	wrmsr(MSR_TSC_ADJUST, 0x1000000000000);
	CHECK(rdtsc() >= tsc + 0x1000000000000, "TSC_ADJUST has no effect");
	CHECK(rdmsr(MSR_TSC) >= tsc + 0x1000000000000,
	      "TSC by RDMSR differs from RDTSC");
	CHECK_EQ(rdmsr(MSR_TSC_ADJUST), 0x1000000000000, "TSC_ADJUST");
	wrmsr(MSR_TSC_ADJUST, 0);
	val = rdtsc();
	CHECK(val >= tsc && val < tsc + 0x1000000000000,
	      "the TSC after TSC_ADJUST is 0 again");
	wrmsr(MSR_TSC, 0x5000000000000);
	val = rdtsc();
	CHECK(val >= 0x5000000000000 && val < 0x5100000000000,
	      "a write to the TSC");
	val2 = rdmsr(MSR_TSC_ADJUST);
	CHECK(val2 > 0x4f00000000000 && val2 <= 0x5000000000000,
	      "TSC_ADJUST follows a write to the TSC");
	wrmsr(MSR_TSC_ADJUST, 0);

	/* Reserved bits and illegal values. */
	val = rdmsr(MSR_EFER);
	CHECK_EQ(val & EFER_SVME, 0, "EFER.SVME is visible");
	CHECK_EQ(try_wrmsr(MSR_EFER, val | EFER_SVME), FAULT(X_GP),
		 "EFER.SVME");
	CHECK_EQ(try_wrmsr(MSR_EFER, val | BIT(1)), FAULT(X_GP), "EFER bit 1");
	CHECK_EQ(try_wrmsr(MSR_EFER, val | BIT(9)), FAULT(X_GP), "EFER bit 9");
	CHECK_EQ(try_wrmsr(MSR_EFER, val | BIT(63)), FAULT(X_GP),
		 "EFER bit 63");
	CHECK_EQ(try_wrmsr(MSR_EFER, val & ~EFER_LME), FAULT(X_GP),
		 "EFER.LME cleared with paging on");
	CHECK_EQ(rdmsr(MSR_EFER), val, "EFER after refused writes");
	CHECK_EQ(try_wrmsr(MSR_PAT, 0x0007040600070402), FAULT(X_GP),
		 "PAT type 2");
	CHECK_EQ(try_wrmsr(MSR_PAT, 0x0807040600070406), FAULT(X_GP),
		 "PAT type 8");
	val = rdmsr(MSR_APIC_BASE);
	CHECK_EQ(val, 0xfee00000 | BIT(11) | (self()->index ? 0 : BIT(8)),
		 "APIC_BASE");
	CHECK_EQ(try_wrmsr(MSR_APIC_BASE, val ^ 0x1000), FAULT(X_GP),
		 "APIC relocation");
	CHECK_EQ(try_wrmsr(MSR_APIC_BASE, val | 1), FAULT(X_GP),
		 "APIC_BASE bit 0");
	CHECK_EQ(try_wrmsr(MSR_APIC_BASE, val | BIT(63)), FAULT(X_GP),
		 "APIC_BASE bit 63");
	CHECK_EQ(try_wrmsr(MSR_APIC_BASE, (val & ~BIT(11)) | BIT(10)),
		 FAULT(X_GP), "x2APIC without the enable bit");
	CHECK_EQ(rdmsr(MSR_APIC_BASE), val, "APIC_BASE after refused writes");
	for (i = 0; i < 0x40; i++)
		CHECK_EQ(try_rdmsr(MSR_X2APIC + i, &val), FAULT(X_GP),
			 "x2APIC MSR read in xAPIC mode");
	CHECK_EQ(try_wrmsr(MSR_X2APIC + 0xb, 0), FAULT(X_GP),
		 "x2APIC MSR written in xAPIC mode");

	/* Not there. */
	static const u32 absent[] = {
		MSR_VM_CR, MSR_VM_HSAVE_PA, 0xc0010118, 0xc0010115, 0x9b, 0x9e,
		0x48b, 0xdeadbeef, 0x12345678, 0xffffffff, 0x80000000,
		0xc0002000, 0xbffff000, 0x4b564d0f, 0x4b564dff, 0x40000000,
		0x40000001,
	};
	for (i = 0; i < ARRAY_SIZE(absent); i++) {
		if (try_rdmsr(absent[i], &val) != FAULT(X_GP))
			failed("this MSR can be read", absent[i], val);
		if (try_wrmsr(absent[i], 0) != FAULT(X_GP))
			failed("this MSR can be written", absent[i], 0);
	}
	/* What every CPU of the vendor has, and kernels touch unasked. */
	static const u32 amd_idle[] = {
		0xc0010000, 0xc0010001, 0xc0010002, 0xc0010003, 0xc0010004, 0xc0010005,
		0xc0010006, 0xc0010007, 0xc0010010, 0xc0010015, 0xc001001f, 0xc0011029,
	};
	static const u32 intel_idle[] = { 0x8b, 0xc1, 0xc2, 0x140, 0x186, 0x187, 0x199 };
	u32 r[4];
	bool amd;

	cpuid(0, 0, r);
	amd = r[1] == 0x68747541;
	for (i = 0; i < (amd ? ARRAY_SIZE(amd_idle) : ARRAY_SIZE(intel_idle)); i++) {
		u32 m = amd ? amd_idle[i] : intel_idle[i];

		if (try_rdmsr(m, &val) || val)
			failed("this MSR does not read 0", m, val);
		if (try_wrmsr(m, 0) || try_wrmsr(m, 0x30000))
			failed("this MSR takes no value", m, 0);
		if (try_rdmsr(m, &val) || val)
			failed("this MSR kept a value", m, val);
	}
	for (i = MSR_VMX_BASIC; i <= MSR_VMX_LAST; i++)
		if (try_rdmsr(i, &val) != FAULT(X_GP))
			failed("this VMX MSR can be read", i, val);
	if (!try_rdmsr(MSR_FEATURE_CONTROL, &val))
		CHECK(!(val & 6), "FEATURE_CONTROL offers VMX");
}

/* Every MSR number of the ranges that exist: RDMSR, and what can be read is
 * written back; then all is as before.  val[] counts. */
PAYLOAD(msr_sweep)
{
	static const struct {
		u32 from, to;
	} ranges[] = {
		{ 0, 0x2000 }, { 0x40000000, 0x40000100 },
		{ 0x4b564d00, 0x4b564e00 }, { 0xc0000000, 0xc0000400 },
		{ 0xc0010000, 0xc0010400 }, { 0xc0011000, 0xc0011100 },
		{ 0xfffffff0, 0xffffffff },
	};
	u64 val, efer = rdmsr(MSR_EFER), reads = 0, writes = 0, faults = 0;
	u32 i, m;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (m = ranges[i].from; m < ranges[i].to; m++) {
			SHARE->val[3] = m;
			if (try_rdmsr(m, &val)) {
				faults++;
				/* A write to what cannot be read. */
				if (try_wrmsr(m, 0xdead0000beef) == NOFAULT)
					writes++;
				continue;
			}
			reads++;
			if (try_wrmsr(m, val) == NOFAULT)
				writes++;
		}
	}
	SHARE->val[0] = reads;
	SHARE->val[1] = writes;
	SHARE->val[2] = faults;
	CHECK_EQ(rdmsr(MSR_EFER), efer, "EFER after the sweep");
}

/* SMSW in its forms: what it says is CR0, also where that is not the real one. */
static void smsw_all(u64 cr0)
{
	volatile u16 m[2] = { 0x5a5a, 0x5a5a };
	u64 wide, narrow = 0x1122334455667788;
	u32 half;

	asm volatile("smsw %q0" : "=r"(wide));
	CHECK_EQ(wide, cr0, "SMSW of 64 bits");
	asm volatile("smsw %k0" : "=r"(half));
	CHECK_EQ(half, (u32)cr0, "SMSW of 32 bits");
	asm volatile("smsw %w0" : "+r"(narrow));
	CHECK_EQ(narrow, 0x1122334455660000 | (u16)cr0, "SMSW of 16 bits");
	asm volatile("smsw %0" : "=m"(m[0]));
	CHECK_EQ(m[0], (u16)cr0, "SMSW m");
	CHECK_EQ(m[1], 0x5a5a, "what lies behind it");
}

PAYLOAD(cr)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4(), cr3 = read_cr3(), r;
	u32 i;

	/* CR0.  arg[0]: this CPU checks such writes; some emulators do not. */
	if (SHARE->arg[0]) {
		CHECK_EQ(try_write_cr0(cr0 & ~CR0_PE), FAULT(X_GP),
			 "PG without PE");
		CHECK_EQ(try_write_cr0(cr0 & ~CR0_PG), FAULT(X_GP),
			 "PG cleared in 64-bit mode");
		CHECK_EQ(try_write_cr0(cr0 | CR0_NW), FAULT(X_GP),
			 "NW without CD");
		CHECK_EQ(try_write_cr0(cr0 | BIT(32)), FAULT(X_GP),
			 "CR0 bit 32");
		CHECK_EQ(try_write_cr0(cr0 | BIT(63)), FAULT(X_GP),
			 "CR0 bit 63");
		CHECK_EQ(read_cr0(), cr0, "CR0 after refused writes");
	}
	write_cr0(cr0 & ~CR0_WP);
	CHECK_EQ(read_cr0(), cr0 & ~CR0_WP, "CR0.WP");
	write_cr0(cr0 | CR0_CD);
	CHECK_EQ(read_cr0(), cr0 | CR0_CD, "CR0.CD");
	smsw_all(cr0 | CR0_CD);
	write_cr0(cr0 | CR0_CD | CR0_NW);
	CHECK_EQ(read_cr0(), cr0 | CR0_CD | CR0_NW, "CR0.CD and NW");
	write_cr0(cr0 | CR0_AM);
	CHECK_EQ(read_cr0(), cr0 | CR0_AM, "CR0.AM");
	write_cr0(cr0 | CR0_TS);
	CHECK_EQ(TRY_PLAIN("fnop"), FAULT(X_NM), "x87 with TS");
	CHECK_EQ(TRY_PLAIN("movaps %%xmm0, %%xmm0"), FAULT(X_NM),
		 "SSE with TS");
	asm volatile("clts");
	CHECK_EQ(read_cr0(), cr0, "CLTS");
	CHECK_EQ(TRY_PLAIN("fnop"), NOFAULT, "x87 after CLTS");
	asm volatile("lmsw %w0" : : "r"(CR0_PE | CR0_TS | CR0_MP));
	CHECK_EQ(read_cr0() & 0xf, CR0_PE | CR0_TS | CR0_MP, "LMSW sets");
	asm volatile("lmsw %w0" : : "r"(CR0_MP));
	CHECK_EQ(read_cr0() & 0xf, CR0_PE | CR0_MP, "LMSW keeps PE");
	/* The same from memory, and over a page's end. */
	for (i = 0; i < 2; i++) {
		volatile u16 *m = (volatile u16 *)((u8 *)GUEST_SCRATCH + 0x1000 - i);

		*m = CR0_PE | CR0_TS | CR0_MP;
		asm volatile("lmsw %0" : : "m"(*m));
		CHECK_EQ(read_cr0() & 0xf, CR0_PE | CR0_TS | CR0_MP, "LMSW m sets");
		*m = 0xfff0 | CR0_MP;
		asm volatile("lmsw -8(%0, %1, 8)" : : "r"(m), "r"(1ull), "m"(*m));
		CHECK_EQ(read_cr0() & 0xf, CR0_PE | CR0_MP, "LMSW m keeps PE");
		*m = 0;
		asm volatile("smsw %0" : "=m"(*m));
		CHECK_EQ(*m, read_cr0() & 0xffff, "SMSW m");
	}
	asm volatile("smswq %0" : "=r"(r));
	CHECK_EQ(r & 0xffff, read_cr0() & 0xffff, "SMSW");
	write_cr0(cr0);
	CHECK_EQ(read_cr0(), cr0, "CR0 restored");

	/* CR4. */
	CHECK_EQ(cr4 & CR4_VMXE, 0, "CR4.VMXE is visible");
	CHECK_EQ(try_write_cr4(cr4 | CR4_VMXE), FAULT(X_GP), "CR4.VMXE");
	CHECK_EQ(try_write_cr4(cr4 & ~CR4_PAE), FAULT(X_GP),
		 "PAE cleared in long mode");
	CHECK_EQ(try_write_cr4(cr4 ^ CR4_LA57), FAULT(X_GP),
		 "LA57 changed in long mode");
	CHECK_EQ(try_write_cr4(cr4 | BIT(15)), FAULT(X_GP), "CR4 bit 15");
	CHECK_EQ(try_write_cr4(cr4 | BIT(31)), FAULT(X_GP), "CR4 bit 31");
	CHECK_EQ(try_write_cr4(cr4 | BIT(32)), FAULT(X_GP), "CR4 bit 32");
	CHECK_EQ(try_write_cr4(cr4 | BIT(63)), FAULT(X_GP), "CR4 bit 63");
	CHECK_EQ(read_cr4(), cr4, "CR4 after refused writes");
	for (i = 0; i < 4; i++) {
		static const u64 ok[] = {
			CR4_PGE, CR4_DE, CR4_TSD, CR4_PSE,
		};

		write_cr4(cr4 | ok[i]);
		CHECK_EQ(read_cr4(), cr4 | ok[i], "CR4 legal bit");
	}
	write_cr4(cr4);

	/* CR3 and CR2. */
	write_cr3(cr3 | 0x18);
	CHECK_EQ(read_cr3(), cr3 | 0x18, "CR3.PWT and PCD");
	write_cr3(cr3);
	write_cr2(0x123456789abcdef0);
	CHECK_EQ(read_cr2(), 0x123456789abcdef0, "CR2");

	/* CR8 is the TPR's upper half. */
	for (i = 0; i < 16; i++) {
		write_cr8(i);
		CHECK_EQ(read_cr8(), i, "CR8");
		CHECK_EQ(apic_read(0x80), i << 4, "TPR of CR8");
	}
	SHARE->val[0] = try_write_cr8(16);
	if (SHARE->arg[0] && SHARE->val[0] != NOFAULT) {
		CHECK_EQ(SHARE->val[0], FAULT(X_GP), "CR8 bit 4");
		CHECK_EQ(try_write_cr8(BIT(63)), FAULT(X_GP), "CR8 bit 63");
		CHECK_EQ(read_cr8(), 15, "CR8 after refused writes");
	}
	apic_write(0x80, 0x37);
	CHECK_EQ(read_cr8(), 3, "CR8 of TPR");
	CHECK_EQ(apic_read(0x80), 0x37, "TPR keeps its lower half");
	apic_write(0x80, 0);
	/* CR1, CR5 do not exist. */
	CHECK_EQ(TRY_PLAIN(".byte 0x0f, 0x20, 0xc8"), FAULT(X_UD), "MOV CR1");
	CHECK_EQ(TRY_PLAIN(".byte 0x0f, 0x20, 0xe8"), FAULT(X_UD), "MOV CR5");
	CHECK_EQ(TRY_PLAIN(".byte 0x0f, 0x22, 0xf8"), FAULT(X_UD), "MOV CR7");
}

/* A CR3 no CPU may take; arg[0] is the value. */
PAYLOAD(cr3_bad)
{
	u64 cr3 = read_cr3();

	CHECK_EQ(try_write_cr3(SHARE->arg[0]), FAULT(X_GP), "reserved CR3 bit");
	CHECK_EQ(read_cr3(), cr3, "CR3");
}

PAYLOAD(xcr0)
{
	u64 mask, i;
	u32 r[4], size;

	if (!has(1, 2, 26)) {
		CHECK_EQ(TRY_PLAIN("xgetbv"), FAULT(X_UD), "XGETBV");
		return;
	}
	CHECK_EQ(try_xsetbv(0, 1), FAULT(X_UD), "XSETBV without OSXSAVE");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	CHECK_EQ(xgetbv(0), 1, "XCR0 after reset");
	cpuid(0xd, 0, r);
	mask = (u64)r[3] << 32 | r[0];
	CHECK_EQ(try_xsetbv(0, 0), FAULT(X_GP), "XCR0 without x87");
	CHECK_EQ(try_xsetbv(0, BIT(63) | 1), FAULT(X_GP), "XCR0 bit 63");
	CHECK_EQ(try_xsetbv(1, 1), FAULT(X_GP), "XCR1");
	CHECK_EQ(try_xsetbv(0xffffffff, 1), FAULT(X_GP), "XCR ffffffff");
	if (mask & 4)
		CHECK_EQ(try_xsetbv(0, 5), FAULT(X_GP), "AVX without SSE");
	for (i = 0; i < 63; i++)
		if (!(mask & BIT(i)))
			CHECK_EQ(try_xsetbv(0, BIT(i) | 7), FAULT(X_GP),
				 "XCR0 bit that CPUID does not offer");
	CHECK_EQ(xgetbv(0), 1, "XCR0 after refused writes");
	cpuid(0xd, 0, r);
	size = r[1];
	CHECK_EQ(try_xsetbv(0, mask & 7), NOFAULT, "XCR0 legal");
	CHECK_EQ(xgetbv(0), mask & 7, "XCR0");
	cpuid(0xd, 0, r);
	CHECK(r[1] >= size, "CPUID's XSAVE size does not follow XCR0");
	CHECK(r[1] <= r[2], "CPUID's XSAVE size exceeds the maximum");
	if (mask & 4)
		CHECK(r[1] >= 832, "CPUID's XSAVE size with AVX");
}

static volatile u32 hits[1];
static volatile u64 hit_dr6;

static bool debug_hook(struct frame *f)
{
	if (f->vector != X_DB)
		return false;
	hits[0]++;
	hit_dr6 = read_dr6();
	SHARE->val[hits[0] & 31] = f->rip;
	try_write_dr6(0xffff0ff0);
	f->rflags |= BIT(16);		/* RF: an instruction breakpoint once */
	return true;
}

/* Its second instruction is what the execution breakpoint is set on. */
asm(".pushsection .text\n\t.globl dr_code, dr_here\n"
    "dr_code: nop\ndr_here: nop\n\tret\n\t.popsection");
extern void dr_code(void);
extern const u8 dr_here[];

PAYLOAD(dr)
{
	static volatile u32 target;

	CHECK_EQ(try_write_dr0(0x123456789000), NOFAULT, "DR0");
	CHECK_EQ(read_dr0(), 0x123456789000, "DR0");
	CHECK_EQ(try_write_dr3(0xffff800000000000), NOFAULT, "DR3");
	CHECK_EQ(read_dr3(), 0xffff800000000000, "DR3");
	CHECK_EQ(try_write_dr7(BIT(32)), FAULT(X_GP), "DR7 bit 32");
	CHECK_EQ(try_write_dr6(BIT(32)), FAULT(X_GP), "DR6 bit 32");
	CHECK_EQ(read_dr7(), 0x400, "DR7");
	write_cr4(read_cr4() | CR4_DE);
	CHECK_EQ(TRY_PLAIN("movq %%dr4, %%rax"), FAULT(X_UD), "DR4 with DE");
	write_cr4(read_cr4() & ~CR4_DE);
	CHECK_EQ(TRY_PLAIN("movq %%dr4, %%rax"), NOFAULT, "DR4 without DE");

	/* A data breakpoint, armed across exits. */
	trap_hook = debug_hook;
	try_write_dr0((u64)&target);
	try_write_dr6(0xffff0ff0);
	try_write_dr7(0x400 | 2 | 1 << 16 | 3 << 18);	/* G0, write, 4 bytes */
	sync(1);
	CHECK_EQ(read_dr0(), &target, "DR0 after an exit");
	CHECK_EQ(read_dr7(), 0x400 | 2 | 1 << 16 | 3 << 18,
		 "DR7 after an exit");
	target = 5;
	CHECK_EQ(hits[0], 1, "data breakpoints");
	CHECK_EQ(hit_dr6 & 0xf, 1, "DR6.B0");
	sync(2);
	target = 6;
	CHECK_EQ(hits[0], 2, "data breakpoints");
	try_write_dr7(0x400);
	target = 7;
	CHECK_EQ(hits[0], 2, "data breakpoints");

	/* An execution breakpoint. */
	try_write_dr1((u64)dr_here);
	try_write_dr7(0x400 | 8);			/* G1 */
	dr_code();
	dr_code();
	try_write_dr7(0x400);
	CHECK_EQ(hits[0], 4, "instruction breakpoints");
	CHECK_EQ(SHARE->val[4], dr_here, "where the breakpoint hit");
	trap_hook = NULL;
}

/* Single steps across instructions the hypervisor emulates: the trap comes
 * right behind each, not one instruction late. */
static volatile u64 step_rips[16];
static volatile u32 steps;

static bool step_hook(struct frame *f)
{
	if (f->vector != X_DB)
		return false;
	if (steps < ARRAY_SIZE(step_rips))
		step_rips[steps] = f->rip;
	steps++;
	try_write_dr6(0xffff0ff0);
	return true;
}

extern const u8 step_1[], step_2[], step_3[], step_4[], step_5[], step_6[];

PAYLOAD(step)
{
	const u8 *const want[] = {
		step_1, step_2, step_3, step_4, step_5, step_6,
	};
	u32 i;

	trap_hook = step_hook;
	asm volatile(
		"pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
		"nop\n"
		".globl step_1\nstep_1:\n\t"
		"cpuid\n"
		".globl step_2\nstep_2:\n\t"
		"movl $0x10, %%ecx\n"
		".globl step_3\nstep_3:\n\t"
		"rdmsr\n"
		".globl step_4\nstep_4:\n\t"
		"outl %%eax, $0xe4\n"
		".globl step_5\nstep_5:\n\t"
		"pushfq\n"
		".globl step_6\nstep_6:\n\t"
		"andl $~0x100, (%%rsp)\n\t"
		"popfq\n\t"
		: : "a"(0) : "rbx", "rcx", "rdx", "memory", "cc");
	trap_hook = NULL;
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		SHARE->val[0] = i;
		CHECK_EQ(step_rips[i], want[i], "single step");
	}
	/* Behind ANDL, and behind POPFQ (TF was set when it began). */
	CHECK_EQ(steps, 8, "single steps");
}

/* Instructions at CPL 0: name, fault; ANY where the CPU may have it. */
#define ANY		0xffff
#define PRIVILEGED(I)							\
	I("vmxon", ".byte 0xf3, 0x0f, 0xc7, 0x33", FAULT(X_UD))		\
	I("vmclear", ".byte 0x66, 0x0f, 0xc7, 0x33", FAULT(X_UD))	\
	I("vmptrld", ".byte 0x0f, 0xc7, 0x33", FAULT(X_UD))		\
	I("vmptrst", ".byte 0x0f, 0xc7, 0x3b", FAULT(X_UD))		\
	I("vmlaunch", "vmlaunch", FAULT(X_UD))				\
	I("vmresume", "vmresume", FAULT(X_UD))				\
	I("vmxoff", "vmxoff", FAULT(X_UD))				\
	I("vmread", "vmread %%rax, %%rcx", FAULT(X_UD))			\
	I("vmwrite", "vmwrite %%rax, %%rcx", FAULT(X_UD))		\
	I("vmfunc", ".byte 0x0f, 0x01, 0xd4", FAULT(X_UD))		\
	I("invept", "invept (%%rbx), %%rax", FAULT(X_UD))		\
	I("invvpid", "invvpid (%%rbx), %%rax", FAULT(X_UD))		\
	I("vmrun", "vmrun", FAULT(X_UD))				\
	I("vmload", "vmload", FAULT(X_UD))				\
	I("vmsave", "vmsave", FAULT(X_UD))				\
	I("stgi", "stgi", FAULT(X_UD))					\
	I("clgi", "clgi", FAULT(X_UD))					\
	I("skinit", "skinit", FAULT(X_UD))				\
	I("invlpga", "invlpga", FAULT(X_UD))				\
	I("getsec", ".byte 0x0f, 0x37", FAULT(X_UD))			\
	I("rsm", ".byte 0x0f, 0xaa", FAULT(X_UD))			\
	I("ud2", "ud2", FAULT(X_UD))					\
	I("invd", "invd", NOFAULT)					\
	I("wbinvd", "wbinvd", NOFAULT)					\
	I("invlpg", "invlpg (%%rbx)", NOFAULT)				\
	I("rdtsc", "rdtsc", NOFAULT)					\
	I("clts", "clts", NOFAULT)					\
	I("rdpmc", "xorl %%ecx, %%ecx; rdpmc", ANY)			\
	I("rdpmc bad", "movl $0x7fffffff, %%ecx; rdpmc", ANY)		\
	I("monitor", "xorl %%ecx, %%ecx; movq %%rbx, %%rax; monitor", ANY) \
	I("mwait", "xorl %%ecx, %%ecx; xorl %%eax, %%eax; mwait", ANY)	\
	I("rdtscp", "rdtscp", ANY)					\
	I("swapgs twice", "swapgs; swapgs", NOFAULT)			\
	I("sidt", "sidt 64(%%rbx)", NOFAULT)				\
	I("sgdt", "sgdt 64(%%rbx)", NOFAULT)				\
	I("sldt", "sldt %%eax", NOFAULT)				\
	I("str", "str %%eax", NOFAULT)					\
	I("lldt 0", "xorl %%eax, %%eax; lldt %%ax", NOFAULT)		\
	I("pause", "pause", NOFAULT)					\
	I("into", ".byte 0xce", SHARE->arg[0] ? FAULT(X_UD) : NOFAULT)	\
	I("xsetbv", "xsetbv", ANY)					\
	I("xsaves", ".byte 0x48, 0x0f, 0xc7, 0x6b, 0x40", ANY)		\
	I("invpcid", "movl $2, %%eax; invpcid (%%rbx), %%rax", ANY)	\
	I("wbnoinvd", ".byte 0xf3, 0x0f, 0x09", ANY)			\
	I("enclu", ".byte 0x0f, 0x01, 0xd7", ANY)			\
	I("pconfig", ".byte 0x0f, 0x01, 0xc5", ANY)			\
	I("tpause", ".byte 0x66, 0x0f, 0xae, 0xf0", ANY)		\
	I("rdrand", ".byte 0x0f, 0xc7, 0xf0", ANY)			\
	I("int1", ".byte 0xf1", ANY)

static bool int1_hook(struct frame *f)
{
	return f->vector == X_DB;
}

/* arg[0]: this CPU refuses INTO in 64-bit mode; some emulators do not. */
PAYLOAD(privileged)
{
	static u8 buf[4096] __aligned(64);
	u64 a, b;
	u32 f;

	trap_hook = int1_hook;
#define I(name, insn, want)						\
	memset(buf, 0, sizeof(buf));					\
	a = b = (u64)buf;						\
	TRY(f, insn, LIST(, "+a"(a), "+b"(b)), NO_IN, , "rcx", "rdx");	\
	if ((want) != ANY && f != (want))				\
		failed(name, f, want);					\
	if (f && f != FAULT(X_UD) && f != FAULT(X_GP))			\
		failed(name, f, want);
	PRIVILEGED(I)
#undef I
	trap_hook = NULL;
	CHECK_EQ(self()->index, 0, "GS base after the sweep");
}

/* The same from CPL 3, where IOPL is 0 and there is no I/O bitmap. */
#define USER(U)								\
	U(hlt, "hlt", FAULT(X_GP))					\
	U(cli, "cli", FAULT(X_GP))					\
	U(sti, "sti", FAULT(X_GP))					\
	U(in, "inb $0x80, %al", FAULT(X_GP))				\
	U(out, "outb %al, $0x80", FAULT(X_GP))				\
	U(insb, "insb", FAULT(X_GP))					\
	U(rep_outsl, "rep outsl", FAULT(X_GP))				\
	U(to_cr0, "movq %rax, %cr0", FAULT(X_GP))			\
	U(from_cr0, "movq %cr0, %rax", FAULT(X_GP))			\
	U(to_cr3, "movq %rax, %cr3", FAULT(X_GP))			\
	U(from_cr3, "movq %cr3, %rax", FAULT(X_GP))			\
	U(to_cr4, "movq %rax, %cr4", FAULT(X_GP))			\
	U(to_cr8, "movq %rax, %cr8", FAULT(X_GP))			\
	U(to_dr7, "movq %rax, %dr7", FAULT(X_GP))			\
	U(from_dr7, "movq %dr7, %rax", FAULT(X_GP))			\
	U(lmsw, "lmsw %ax", FAULT(X_GP))				\
	U(clts, "clts", FAULT(X_GP))					\
	U(invd, "invd", FAULT(X_GP))					\
	U(wbinvd, "wbinvd", FAULT(X_GP))				\
	U(invlpg, "invlpg (%rsp)", FAULT(X_GP))				\
	U(rdmsr, "rdmsr", FAULT(X_GP))					\
	U(wrmsr, "wrmsr", FAULT(X_GP))					\
	U(lgdt, "lgdt (%rsp)", FAULT(X_GP))				\
	U(lidt, "lidt (%rsp)", FAULT(X_GP))				\
	U(lldt, "lldt %ax", FAULT(X_GP))				\
	U(ltr, "ltr %ax", FAULT(X_GP))					\
	U(swapgs, "swapgs", FAULT(X_GP))				\
	U(iret_bad, "int $0x81", FAULT(X_GP))				\
	U(xsetbv, "xorl %ecx, %ecx; movl $1, %eax; xorl %edx, %edx; xsetbv", ANY) \
	U(vmrun, "vmrun", ANY)						\
	U(vmload, "vmload", ANY)					\
	U(stgi, "stgi", ANY)						\
	U(clgi, "clgi", ANY)						\
	U(vmlaunch, "vmlaunch", ANY)					\
	U(vmxoff, "vmxoff", ANY)					\
	U(rdpmc, "xorl %ecx, %ecx; rdpmc", ANY)				\
	U(monitor, "monitor", ANY)					\
	U(mwait, "mwait", ANY)						\
	U(ud2, "ud2", FAULT(X_UD))					\
	U(cpuid, "cpuid; xorl %eax, %eax", NOFAULT)			\
	U(rdtsc, "rdtsc; xorl %eax, %eax", NOFAULT)			\
	U(mmio, "movabsl 0xd0000000, %eax; xorl %eax, %eax", NOFAULT)

#define U(name, insn, want)						\
extern const u8 user_##name[];						\
asm(".pushsection .text\n\t.globl user_" #name "\nuser_" #name ":\n\t"	\
    insn "\n\tint $0x80\n\t.popsection");
USER(U)
#undef U

PAYLOAD(privileged_user)
{
	int ret;

	write_cr4(read_cr4() | (has(1, 2, 26) ? CR4_OSXSAVE : 0));
#define U(name, insn, want)						\
	ret = user_run(user_##name);					\
	if ((want) != ANY && ret != (int)(want))			\
		failed(#name, (u64)ret, want);				\
	if ((want) == ANY && ret != FAULT(X_UD) && ret != FAULT(X_GP))	\
		failed(#name, (u64)ret, want);
	USER(U)
#undef U
}

/* All ports, by IN or OUT in turns; and the widths at the edges. */
PAYLOAD(ports)
{
	u32 p;

	for (p = 0; p < 0x10000; p++) {
		if (p == DONE_PORT || p == SYNC_PORT)
			continue;
		if (p % 3)
			inb((u16)p);
		else
			outb((u16)p, (u8)p);
	}
	inl(0xfffc);
	outl(0xfffc, 1);
	inw(0xffff);
	inl(0xffff);
	outw(0xffff, 1);
	outl(0xfffd, 1);
}

/* Faults of the guest's own, with the right error codes. */
PAYLOAD(exceptions)
{
	struct gcpu *c = self();
	u64 val, a = 1, d = 0;
	u32 f;

	TRY(f, "divq %[z]", LIST(, "+a"(a), "+d"(d)), [z] "r"(0ull));
	CHECK_EQ(f, FAULT(X_DE), "divide error");
	CHECK_EQ(TRY_PLAIN("ud2"), FAULT(X_UD), "UD2");
	CHECK_EQ(TRY_PLAIN("movw $0x1238, %%ax; movw %%ax, %%ds"),
		 FAULT(X_GP), "bad selector");
	CHECK_EQ(c->trap_error, 0x1238, "error code of a bad selector");
	CHECK_EQ(try_read64((void *)0x8000000000000000, &val), FAULT(X_GP),
		 "non-canonical address");
	CHECK_EQ(c->trap_error, 0, "error code of a non-canonical address");
	CHECK_EQ(try_read64((void *)0x10000000000, &val), FAULT(X_PF),
		 "no page");
	CHECK_EQ(c->trap_error, 0, "error code of a read");
	CHECK_EQ(c->trap_cr2, 0x10000000000, "CR2");
	CHECK_EQ(try_write64((void *)0x10000000008, val), FAULT(X_PF),
		 "no page");
	CHECK_EQ(c->trap_error, 2, "error code of a write");
	CHECK_EQ(c->trap_cr2, 0x10000000008, "CR2");
	TRY(f, "movabsq $0x8000000000000000, %%rbp\n\tmovq (%%rbp), %%rax",
	    NO_OUT, NO_IN, , "rax", "rbp");
	/* Some emulators make it a #GP. */
	CHECK(f == FAULT(X_SS) || f == FAULT(X_GP),
	      "non-canonical stack address");
}

/* Hypercalls as a KVM guest makes them; and those of the control VM. */
PAYLOAD(hypercall)
{
	static u8 block[4096] __aligned(4096);
	u64 nr, rax;
	u32 r[4], i, f;

	cpuid(JOIST_CPUID_BASE + 1, 0, r);
	for (nr = 0; nr < 64; nr++) {
		for (i = 0; i < 2; i++) {
			memset(block, 0, sizeof(block));
			block[0] = (u8)SHARE->arg[0];
			rax = nr;
			if (i)
				TRY(f, "vmmcall", LIST(, "+a"(rax)),
				    LIST("D"(block), "b"(0), "c"(0), "d"(0),
					 "S"(0)));
			else
				TRY(f, "vmcall", LIST(, "+a"(rax)),
				    LIST("D"(block), "b"(0), "c"(0), "d"(0),
					 "S"(0)));
			if (r[1] & (i ? JOIST_CPUID_VMMCALL :
					JOIST_CPUID_VMCALL)) {
				if (f)
					failed("hypercall faults", nr, f);
				/* KVM: 1 is "poll", which may do nothing. */
				if ((s64)rax >= 0 && nr != 1)
					failed("hypercall works", nr, rax);
			} else if (f != FAULT(X_UD) && f) {
				failed("the other hypercall faults", nr, f);
			}
			for (rax = 1; rax < sizeof(block); rax++)
				if (block[rax])
					failed("hypercall wrote", nr, rax);
		}
	}
	rax = ~0ull;
	if (r[1] & JOIST_CPUID_VMMCALL)
		asm volatile("vmmcall" : "+a"(rax) : : "memory");
	else
		asm volatile("vmcall" : "+a"(rax) : : "memory");
	CHECK((s64)rax < 0, "hypercall -1 works");
}

asm(".pushsection .text\n\t"
    ".globl user_vmcall\nuser_vmcall:\n\t"
    "movl $2, %eax\n\txorl %edi, %edi\n\tvmcall\n\tint $0x80\n\t"
    ".globl user_vmmcall\nuser_vmmcall:\n\t"
    "movl $2, %eax\n\txorl %edi, %edi\n\tvmmcall\n\tint $0x80\n\t"
    ".popsection");
extern const u8 user_vmcall[], user_vmmcall[];

PAYLOAD(hypercall_user)
{
	int a = user_run(user_vmcall), b = user_run(user_vmmcall);

	if (a >= 0 && a != FAULT(X_UD) && a != FAULT(X_GP))
		failed("VMCALL at CPL 3", (u64)a, 0);
	if (b >= 0 && b != FAULT(X_UD) && b != FAULT(X_GP))
		failed("VMMCALL at CPL 3", (u64)b, 0);
}
