/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * p_event.c -- payloads: events the self-test injects, and when they arrive.
 */
#include "guests/selftest/payload/lib.h"
#include "include/joist.h"

static volatile u64 last_rip;
static volatile u32 nmi_depth, nmi_max, nmi_syncs;

static bool rip_hook(struct frame *f)
{
	last_rip = f->rip;
	return false;
}

/* IF, and the one instruction behind STI. */
asm(".pushsection .text\n\t.globl sti_code, sti_here\n"
    "sti_code: sti\n\tnop\nsti_here: nop\n\tnop\n\tcli\n\tret\n\t"
    ".popsection");
extern void sti_code(void);
extern const u8 sti_here[];

PAYLOAD(window)
{
	struct gcpu *c = self();
	u32 i, j;

	apic_on(SHARE->arg[0]);
	for (i = 0; i < 20; i++) {
		sync(i);		/* here one arrives */
		for (j = 0; j < 50; j++)
			pause();
		CHECK_EQ(c->irqs[0x51], i, "an interrupt with IF 0");
		trap_hook = rip_hook;
		sti_code();
		trap_hook = NULL;
		CHECK_EQ(c->irqs[0x51], i + 1, "an interrupt behind STI");
		CHECK_EQ(last_rip, sti_here, "where it arrived");
		/* POPF and IRET open the window without a shadow. */
		sync(100 + i);
		asm volatile("pushfq\n\torl $0x200, (%%rsp)\n\tpopfq\n\t"
			     "cli" : : : "memory", "cc");
		CHECK_EQ(c->irqs[0x52], i + 1, "an interrupt behind POPF");
	}
}

static bool nmi_hook(struct frame *f)
{
	if (f->vector != X_NMI)
		return false;
	self()->irqs[X_NMI]++;
	if (++nmi_depth > nmi_max)
		nmi_max = nmi_depth;
	/* More of them arrive in here, and must wait for our IRET. */
	if (nmi_syncs) {
		nmi_syncs--;
		sync(1000);
		for (int i = 0; i < 50; i++)
			pause();
		cpuid(0, 0, (u32[4]){ 0 });
	}
	nmi_depth--;
	return true;
}

PAYLOAD(nmi)
{
	struct gcpu *c = self();
	u32 i;

	trap_hook = nmi_hook;
	for (i = 0; i < 10; i++) {
		nmi_syncs = 1;
		sync(i);
		CHECK_EQ(c->irqs[X_NMI], 2 * i + 2,
			 "NMIs (one, and three at once while it is handled)");
		CHECK_EQ(nmi_max, 1, "nested NMIs");
	}
	/* It ends a HLT with interrupts off. */
	sync(100);
	asm volatile("hlt");
	CHECK_EQ(c->irqs[X_NMI], 21, "NMI into HLT");
	trap_hook = NULL;
}

static struct frame seen;

static bool seen_hook(struct frame *f)
{
	if (f->vector >= 32)
		return false;
	seen = *f;
	return true;
}

/* Exceptions the self-test injects at each sync point; it looks at val[]. */
PAYLOAD(inject)
{
	u32 i;

	trap_hook = seen_hook;
	for (i = 0; i < SHARE->arg[0]; i++) {
		memset(&seen, 0xff, sizeof(seen));
		sync(i);
		SHARE->val[0] = seen.vector;
		SHARE->val[1] = seen.error;
		SHARE->val[2] = seen.rip;
		SHARE->val[3] = read_cr2();
		SHARE->val[4] = self()->irqs[0x53];
		sync(100 + i);
	}
	trap_hook = NULL;
}

/* Vector state: fill it with arg[0], go out, look at it again. */
PAYLOAD(vectors)
{
	u64 in[4] = { SHARE->arg[0], SHARE->arg[0] * 3, SHARE->arg[0] * 5,
		      SHARE->arg[0] * 7 }, out[4], d;
	u32 i, mx = 0x1f80 ^ 0x6000;

	asm volatile("movups (%0), %%xmm0; movups 16(%0), %%xmm15;"
		     "movups (%0), %%xmm7; ldmxcsr %1" : : "r"(in), "m"(mx));
	asm volatile("fninit; fldpi; fld1");
	for (i = 0; i < SHARE->arg[1]; i++) {
		sync(i);
		asm volatile("movups %%xmm0, (%0); movups %%xmm15, 16(%0);"
			     : : "r"(out) : "memory");
		CHECK(!memcmp(in, out, 32), "XMM0 or XMM15");
		asm volatile("movups %%xmm7, (%0)" : : "r"(out) : "memory");
		CHECK(!memcmp(in, out, 16), "XMM7");
		asm volatile("stmxcsr %0" : "=m"(mx));
		CHECK_EQ(mx, 0x1f80 ^ 0x6000, "MXCSR");
		asm volatile("fstl %0" : "=m"(d));
		CHECK_EQ(d, 0x3ff0000000000000, "ST0");
	}
	SHARE->val[0] = out[0];
}

/* What a fresh vCPU finds in the registers nobody has set: nothing. */
PAYLOAD(leak)
{
	u64 out[2];
	u32 i, mx;

	if (!SHARE->arg[0])
		goto tables;
	asm volatile("stmxcsr %0" : "=m"(mx));
	CHECK_EQ(mx, 0x1f80, "MXCSR");
#define X(n)								\
	asm volatile("movups %%xmm" #n ", (%0)" : : "r"(out) : "memory"); \
	if (out[0] | out[1])						\
		failed("XMM" #n, out[0], out[1]);
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
	X(13) X(14) X(15)
#undef X
	if (SHARE->arg[2])
		CHECK_EQ(rdmsr(MSR_TSC_AUX), 0, "TSC_AUX");
	CHECK_EQ(read_dr0() | read_dr1() | read_dr2() | read_dr3(), 0,
		 "DR0 .. DR3");
	CHECK_EQ(read_dr7(), 0x400, "DR7");
	CHECK_EQ(read_dr6(), 0xffff0ff0, "DR6");
	CHECK_EQ(read_cr2(), 0, "CR2");
	for (i = 0; i < 8; i++) {
		static const u32 zero[] = {
			MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
			MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
			MSR_FS_BASE,
		};
		u64 v = rdmsr(zero[i]);

		if (v)
			failed("MSR", zero[i], v);
	}
tables:
	/* Now leave something in all of them for the next. */
	asm volatile("movl $0x5ec0e7, %%eax; movd %%eax, %%xmm0;"
		     "pshufd $0, %%xmm0, %%xmm0; movaps %%xmm0, %%xmm5;"
		     "movaps %%xmm0, %%xmm15" : : : "rax");
	try_write_dr0(0x5ec0e7);
	try_write_dr3(0x5ec0e7);
	write_cr2(0x5ec0e7);
	wrmsr(MSR_STAR, 0x5ec0e700000000);
	wrmsr(MSR_LSTAR, 0x5ec0e7);
	wrmsr(MSR_CSTAR, 0x5ec0e7);
	wrmsr(MSR_SFMASK, 0x5ec0e7);
	wrmsr(MSR_KERNEL_GS_BASE, 0x5ec0e7);
	wrmsr(MSR_SYSENTER_ESP, 0x5ec0e7);
	wrmsr(MSR_SYSENTER_EIP, 0x5ec0e7);
	wrmsr(MSR_FS_BASE, 0x5ec0e7);
	wrmsr(MSR_PAT, 0x0606060606060606);
	if (SHARE->arg[2])
		wrmsr(MSR_TSC_AUX, 0x5ec0e7);
	sync(1);
	try_write_dr0(0x5ec0e8);
}

/* The upper halves of the YMM registers, under an XCR0 of our own. */
PAYLOAD(avx)
{
	u64 in[4] = { 1, 2, SHARE->arg[0], SHARE->arg[0] * 3 }, out[4];
	u32 r[4], i;

	cpuid(1, 0, r);
	SHARE->val[0] = (r[2] >> 28) & 1;
	if (!SHARE->val[0])
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	CHECK_EQ(try_xsetbv(0, 7), NOFAULT, "XCR0");
	asm volatile("vmovups (%0), %%ymm0; vmovups (%0), %%ymm13"
		     : : "r"(in));
	for (i = 0; i < SHARE->arg[1]; i++) {
		sync(i);
		CHECK_EQ(xgetbv(0), 7, "XCR0");
		asm volatile("vmovups %%ymm0, (%0)" : : "r"(out) : "memory");
		CHECK(!memcmp(in, out, 32), "YMM0");
		asm volatile("vmovups %%ymm13, (%0)" : : "r"(out) : "memory");
		CHECK(!memcmp(in, out, 32), "YMM13");
		/* With the upper halves in their initial state, too. */
		if (i == 2) {
			asm volatile("vzeroupper");
			in[2] = in[3] = 0;
		}
	}
}
