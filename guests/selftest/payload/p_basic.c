/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * p_basic.c -- payloads: CPUID, HLT, port access.
 */
#include "guests/selftest/payload/lib.h"
#include "include/joist.h"

PAYLOAD(hello)
{
	sync(0x600d);
}

/* Sends back all arguments, so that mode and memory are seen to work. */
PAYLOAD(echo)
{
	u32 i;

	for (i = 0; i < 32; i++)
		SHARE->val[i] = SHARE->arg[i] ^ 0x5555555555555555ull;
	sync((u32)SHARE->arg[0]);
}

/* arg[0] times: HLT with interrupts on, until an interrupt has come. */
PAYLOAD(hlt)
{
	u64 i;

	apic_on(SHARE->arg[1]);
	for (i = 0; i < SHARE->arg[0]; i++) {
		sync((u32)i);
		sti_hlt();
		SHARE->val[0] = self()->irqs[0x50];
	}
}

PAYLOAD(cpuid)
{
	u32 r[4], max, leaf;

	cpuid(0, 0, r);
	max = r[0];
	CHECK(max >= 0xd || max >= 1, "no basic leaves");
	cpuid(1, 0, r);
	CHECK(r[2] & BIT(31), "the hypervisor bit is clear");
	CHECK(!(r[2] & BIT(5)), "VMX is visible");
	CHECK(!(r[2] & BIT(6)), "SMX is visible");
	CHECK(r[2] & BIT(21), "x2APIC is not offered");
	CHECK(r[2] & BIT(24), "TSC-deadline is not offered");
	CHECK(r[3] & BIT(9), "no APIC");
	CHECK_EQ(r[1] >> 24, self()->index, "initial APIC id");
	CHECK_EQ((r[2] >> 27) & 1, (read_cr4() / CR4_OSXSAVE) & 1,
		 "OSXSAVE follows CR4");
	if (r[2] & BIT(26)) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		cpuid(1, 0, r);
		CHECK(r[2] & BIT(27), "OSXSAVE does not follow CR4");
		cpuid(0xd, 0, r);
		CHECK(r[0] & 1, "XCR0 without x87");
		CHECK(r[2] >= 576, "XSAVE area too small");
	}
	cpuid(0x40000000, 0, r);
	CHECK(r[0] >= 0x40000001, "no KVM feature leaf");
	CHECK_EQ(r[1], 0x4b4d564b, "KVMK");
	CHECK_EQ(r[2], 0x564b4d56, "VMKV");
	CHECK_EQ(r[3], 0x4d, "M");
	cpuid(0x40000001, 0, r);
	CHECK(r[0] & BIT(3), "kvmclock (new MSRs) is not offered");
	cpuid(JOIST_CPUID_BASE, 0, r);
	CHECK(r[0] >= JOIST_CPUID_BASE + 1, "Joist leaf");
	CHECK_EQ(r[1], JOIST_CPUID_EBX, "Jois");
	CHECK_EQ(r[2], JOIST_CPUID_ECX, "tJoi");
	CHECK_EQ(r[3], JOIST_CPUID_EDX, "stJo");
	cpuid(JOIST_CPUID_BASE + 1, 0, r);
	CHECK_EQ(r[0], JOIST_ABI_VERSION, "ABI version");
	CHECK(!(r[1] & JOIST_CPUID_CONTROL), "a guest is called control VM");
	CHECK(r[1] & (JOIST_CPUID_VMCALL | JOIST_CPUID_VMMCALL),
	      "no way to make hypercalls");
	cpuid(0x80000000, 0, r);
	CHECK(r[0] >= 0x80000008, "no extended leaves");
	max = r[0];
	cpuid(0x80000001, 0, r);
	CHECK(!(r[2] & BIT(2)), "SVM is visible");
	CHECK(!(r[2] & BIT(12)), "SKINIT is visible");
	CHECK(r[3] & BIT(29), "no long mode");
	if (max >= 0x8000000a) {
		cpuid(0x8000000a, 0, r);
		CHECK(!(r[0] | r[1] | r[2] | r[3]), "the SVM leaf has content");
	}
	/* Registers keep their upper halves clear, and odd leaves do no harm. */
	for (leaf = 0; leaf < 0x40; leaf++) {
		u64 rax = 0xdeadbeef00000000ull | leaf, rbx = ~0ull,
		    rcx = 0xdeadbeef00000000ull, rdx = ~0ull;

		asm volatile("cpuid" : "+a"(rax), "+b"(rbx), "+c"(rcx),
			     "+d"(rdx));
		CHECK(!((rax | rbx | rcx | rdx) >> 32),
		      "CPUID leaves upper halves");
	}
	cpuid(0xffffffff, 0xffffffff, r);
	cpuid(0x7fffffff, 0, r);
	cpuid(0x400000ff, 0, r);
	cpuid(0xc0000000, 0, r);
}

/* IN and OUT of every size; the self-test plays the device: OUT adds up in
 * a 32-bit register at the port, IN gives it plus the size. */
PAYLOAD(io)
{
	u64 rax;

	outb(0x300, 0x11);
	outw(0x300, 0x2222);
	outl(0x300, 0x33333333);
	outb(0xffff, 0x44);
	outb(0x80, 0x55);
	asm volatile("outb %%al, $0x81" : : "a"(0x66));
	asm volatile("outl %%eax, $0x82" : : "a"(0x77777777));
	/* 8 and 16-bit IN merge, 32-bit IN clears the upper half. */
	rax = 0x1122334455667788ull;
	asm volatile("inb %%dx, %%al" : "+a"(rax) : "d"(0x310));
	CHECK_EQ(rax, 0x11223344556677a1ull, "IN AL");
	rax = 0x1122334455667788ull;
	asm volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(0x310));
	CHECK_EQ(rax, 0x112233445566a2a2ull, "IN AX");
	rax = 0x1122334455667788ull;
	asm volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(0x310));
	CHECK_EQ(rax, 0xa4a4a4a4ull, "IN EAX");
	rax = ~0ull;
	asm volatile("inb $0x31, %%al" : "+a"(rax));
	CHECK_EQ(rax, 0xffffffffffffffa1ull, "IN AL, imm8");
	/* Bits the port width does not have must not arrive. */
	rax = 0;
	asm volatile("inb %%dx, %%al" : "+a"(rax) : "d"(0x311));
	CHECK_EQ(rax, 0xff, "IN AL with a wide answer");
}

/* INS and OUTS; scratch memory holds the data. */
PAYLOAD(io_string)
{
	u8 *m = (u8 *)GUEST_SCRATCH;
	u64 si, di, cx, i;

	/* One element, no REP. */
	memcpy(m, "abcdefghijklmnopqrstuvwxyz", 26);
	si = (u64)m;
	asm volatile("outsb" : "+S"(si) : "d"(0x320) : "memory");
	CHECK_EQ(si, m + 1, "RSI after OUTSB");
	asm volatile("outsl" : "+S"(si) : "d"(0x320) : "memory");
	CHECK_EQ(si, m + 5, "RSI after OUTSD");
	di = (u64)m + 64;
	asm volatile("insw" : "+D"(di) : "d"(0x330) : "memory");
	CHECK_EQ(di, m + 66, "RDI after INSW");
	CHECK_EQ(*(u16 *)(m + 64), 0x0100, "INSW data");

	/* REP, up and down. */
	si = (u64)m;
	cx = 26;
	asm volatile("rep outsb" : "+S"(si), "+c"(cx) : "d"(0x321)
		     : "memory");
	CHECK_EQ(si, m + 26, "RSI after REP OUTSB");
	CHECK_EQ(cx, 0, "RCX after REP OUTSB");
	si = (u64)m + 25;
	cx = 26;
	asm volatile("std; rep outsb; cld" : "+S"(si), "+c"(cx) : "d"(0x322)
		     : "memory");
	CHECK_EQ(si, m - 1, "RSI after REP OUTSB down");
	memset(m + 1000, 0xee, 64);
	di = (u64)m + 1000;
	cx = 8;
	asm volatile("rep insl" : "+D"(di), "+c"(cx) : "d"(0x331) : "memory");
	CHECK_EQ(di, m + 1032, "RDI after REP INSD");
	CHECK_EQ(cx, 0, "RCX after REP INSD");
	for (i = 0; i < 32; i++)
		CHECK_EQ(m[1000 + i], i, "REP INSD data");
	CHECK_EQ(m[1032], 0xee, "REP INSD wrote too far");
	memset(m + 1000, 0xee, 64);
	di = (u64)m + 1000 + 14;
	cx = 8;
	asm volatile("std; rep insw; cld" : "+D"(di), "+c"(cx) : "d"(0x332)
		     : "memory");
	CHECK_EQ(di, m + 1000 - 2, "RDI after REP INSW down");
	for (i = 0; i < 8; i++) {
		/* The first element goes to the highest address. */
		CHECK_EQ(m[1000 + 14 - 2 * i], 2 * i, "REP INSW down, low");
		CHECK_EQ(m[1001 + 14 - 2 * i], 2 * i + 1,
			 "REP INSW down, high");
	}

	/* Nothing to do: no access at all. */
	cx = 0;
	di = (u64)m;
	asm volatile("rep insb" : "+D"(di), "+c"(cx) : "d"(0x333) : "memory");
	CHECK_EQ(di, m, "RDI after REP INSB of nothing");

	/* 32-bit addresses wrap the upper half away. */
	si = 0xffffffff00000000ull | (u64)m;
	cx = 0xffffffff00000004ull;
	asm volatile("addr32 rep outsb" : "+S"(si), "+c"(cx) : "d"(0x324)
		     : "memory");
	CHECK_EQ(si, m + 4, "ESI after address-size REP OUTSB");
	CHECK_EQ(cx, 0, "ECX after address-size REP OUTSB");

	/* Across pages, and more than fits into one exit. */
	for (i = 0; i < 3 * 4096; i++)
		m[4096 + i] = (u8)(i * 7);
	si = (u64)m + 4096 + 4090;
	cx = 4;
	asm volatile("rep outsl" : "+S"(si), "+c"(cx) : "d"(0x325)
		     : "memory");
	CHECK_EQ(si, m + 8192 + 10, "RSI across a page");
	si = (u64)m + 4096;
	cx = 3 * 4096;
	asm volatile("rep outsb" : "+S"(si), "+c"(cx) : "d"(0x326)
		     : "memory");
	CHECK_EQ(si, m + 4 * 4096, "RSI after a long REP OUTSB");
	CHECK_EQ(cx, 0, "RCX after a long REP OUTSB");
	memset(m + 4096, 0, 3 * 4096);
	di = (u64)m + 4097;
	cx = 2 * 4096;
	asm volatile("rep insb" : "+D"(di), "+c"(cx) : "d"(0x334)
		     : "memory");
	CHECK_EQ(di, m + 4097 + 2 * 4096, "RDI after a long REP INSB");
	for (i = 0; i < 2 * 4096; i++)
		CHECK_EQ(m[4097 + i], (u8)i, "long REP INSB data");
	CHECK_EQ(m[4096], 0, "long REP INSB wrote too low");
	CHECK_EQ(m[4097 + 2 * 4096], 0, "long REP INSB wrote too far");
}
