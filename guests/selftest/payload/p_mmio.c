/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * p_mmio.c -- payloads: instructions that touch memory nobody has mapped.
 *
 * The self-test answers as a page of RAM would.  So every instruction is run
 * twice, on real RAM and on that page, and must do the same to registers,
 * flags and memory.
 */
#include "guests/selftest/payload/lib.h"

#define MMIO		((u8 *)0xd0000000)
#define RAM		((u8 *)GUEST_SCRATCH)
#define ARITH		0x8d5		/* CF PF AF ZF SF OF */
#define LOGIC		0x8c5		/* AF is undefined */
#define SHIFT_ONLY	0x001		/* only CF is defined (BT) */

struct state {
	u64 flags, rax, rcx, rdx, rsi, rdi;
};

#define OPS(O)							\
	O(load8, "movb (%%rbx), %%al", ARITH)				\
	O(load8h, "movb (%%rbx), %%ah", ARITH)				\
	O(load8ch, "movb (%%rbx), %%ch", ARITH)				\
	O(load8r, "movb (%%rbx), %%sil", ARITH)				\
	O(load16, "movw (%%rbx), %%cx", ARITH)				\
	O(load32, "movl (%%rbx), %%edx", ARITH)				\
	O(load64, "movq (%%rbx), %%rdx", ARITH)				\
	O(store8, "movb %%al, (%%rbx)", ARITH)				\
	O(store8h, "movb %%dh, (%%rbx)", ARITH)				\
	O(store8r, "movb %%dil, (%%rbx)", ARITH)			\
	O(store16, "movw %%cx, (%%rbx)", ARITH)				\
	O(store32, "movl %%edx, (%%rbx)", ARITH)			\
	O(store64, "movq %%rdx, (%%rbx)", ARITH)			\
	O(imm8, "movb $0x91, (%%rbx)", ARITH)				\
	O(imm16, "movw $0x9182, (%%rbx)", ARITH)			\
	O(imm32, "movl $0x91827364, (%%rbx)", ARITH)			\
	O(imm64, "movq $-0x12345678, (%%rbx)", ARITH)			\
	O(zx8_16, "movzbw (%%rbx), %%cx", ARITH)			\
	O(zx8_32, "movzbl (%%rbx), %%ecx", ARITH)			\
	O(zx8_64, "movzbq (%%rbx), %%rcx", ARITH)			\
	O(zx16_32, "movzwl (%%rbx), %%ecx", ARITH)			\
	O(zx16_64, "movzwq (%%rbx), %%rcx", ARITH)			\
	O(sx8_16, "movsbw (%%rbx), %%cx", ARITH)			\
	O(sx8_32, "movsbl (%%rbx), %%ecx", ARITH)			\
	O(sx8_64, "movsbq (%%rbx), %%rcx", ARITH)			\
	O(sx16_32, "movswl (%%rbx), %%ecx", ARITH)			\
	O(sx16_64, "movswq (%%rbx), %%rcx", ARITH)			\
	O(sx32_64, "movslq (%%rbx), %%rcx", ARITH)			\
	O(disp8, "movl %%eax, 12(%%rbx)", ARITH)			\
	O(disp32, "movl %%eax, 0x700(%%rbx)", ARITH)			\
	O(sib, "movl $8, %%ecx\n\tmovl 16(%%rbx, %%rcx, 4), %%eax", ARITH) \
	O(movnti, "movnti %%edx, (%%rbx)", ARITH)			\
	O(movnti64, "movnti %%rdx, (%%rbx)", ARITH)			\
	O(addr, "addl (%%rbx), %%eax", ARITH)				\
	O(sbb, "sbbl (%%rbx), %%eax", ARITH)				\
	O(and64, "andq (%%rbx), %%rdx", LOGIC)				\
	O(cmp8, "cmpb $0x7f, (%%rbx)", ARITH)				\
	O(cmp32, "cmpl %%eax, (%%rbx)", ARITH)				\
	O(cmpr, "cmpq (%%rbx), %%rdx", ARITH)				\
	O(test8, "testb $0x80, (%%rbx)", LOGIC)				\
	O(test32, "testl %%eax, (%%rbx)", LOGIC)			\
	O(bti, "btl $7, (%%rbx)", SHIFT_ONLY)				\
	O(stos8, "movq %%rbx, %%rdi\n\tstosb\n\tsubq %%rbx, %%rdi", ARITH) \
	O(stos64, "movq %%rbx, %%rdi\n\tstosq\n\tsubq %%rbx, %%rdi", ARITH) \
	O(lods8, "movq %%rbx, %%rsi\n\tlodsb\n\tsubq %%rbx, %%rsi", ARITH) \
	O(lods32, "movq %%rbx, %%rsi\n\tlodsl\n\tsubq %%rbx, %%rsi", ARITH) \
	O(rep_stos, "movq %%rbx, %%rdi\n\tmovl $9, %%ecx\n\trep stosl\n\t" \
	  "subq %%rbx, %%rdi", ARITH)					\
	O(rep_stos_down, "leaq 64(%%rbx), %%rdi\n\tmovl $5, %%ecx\n\tstd\n\t" \
	  "rep stosw\n\tcld\n\tsubq %%rbx, %%rdi", ARITH)

/* Read, modify, write. */
#define RMW_OPS(O)							\
	O(xchg8, "xchgb %%al, (%%rbx)", ARITH)				\
	O(xchg32, "xchgl %%eax, (%%rbx)", ARITH)			\
	O(xchg64, "xchgq %%rax, (%%rbx)", ARITH)			\
	O(add8, "addb %%al, (%%rbx)", ARITH)				\
	O(add32, "addl %%eax, (%%rbx)", ARITH)				\
	O(add64, "lock addq %%rax, (%%rbx)", ARITH)			\
	O(adc, "adcl %%eax, (%%rbx)", ARITH)				\
	O(sub16, "subw %%cx, (%%rbx)", ARITH)				\
	O(subi, "subl $0x1234567, (%%rbx)", ARITH)			\
	O(addi8, "addl $-3, (%%rbx)", ARITH)				\
	O(or8, "orb $0x81, (%%rbx)", LOGIC)				\
	O(or32, "lock orl %%edx, (%%rbx)", LOGIC)			\
	O(and32, "andl $0xffff0000, (%%rbx)", LOGIC)			\
	O(xor32, "xorl %%ecx, (%%rbx)", LOGIC)				\
	O(not32, "notl (%%rbx)", ARITH)					\
	O(neg32, "negl (%%rbx)", ARITH)					\
	O(inc8, "incb (%%rbx)", ARITH)					\
	O(inc32, "incl (%%rbx)", ARITH)					\
	O(dec64, "decq (%%rbx)", ARITH)					\
	O(btsi, "btsl $6, (%%rbx)", SHIFT_ONLY)				\
	O(btri, "lock btrl $5, (%%rbx)", SHIFT_ONLY)

#define O(name, insn, mask)						\
static void op_##name(struct state *s, void *p)				\
{									\
	asm volatile("pushq %[fl]\n\tpopfq\n\t" insn "\n\t"		\
		     "pushfq\n\tpopq %[fl]"				\
		     : [fl] "+r"(s->flags), "+a"(s->rax), "+c"(s->rcx),	\
		       "+d"(s->rdx), "+S"(s->rsi), "+D"(s->rdi)		\
		     : "b"(p) : "memory", "cc");			\
}
OPS(O)
RMW_OPS(O)
#undef O

static const struct op {
	const char *name;
	void (*fn)(struct state *s, void *p);
	u64 mask;
} ops[] = {
#define O(name, insn, mask)	{ #name, op_##name, mask },
	OPS(O)
}, rmw_ops[] = {
	RMW_OPS(O)
#undef O
};

static const u64 patterns[] = {
	0x0000000000000000, 0xffffffffffffffff, 0x8000000080008080,
	0x123456789abcdef0,
};

static void fill(u8 *p, u64 val)
{
	u32 i;

	for (i = 0; i < 80; i += 8)
		*(volatile u64 *)(p + i) = val ^ i;
	*(volatile u64 *)(p + 0x700) = val;
}

static bool same(const u8 *a, const u8 *b)
{
	u32 i;

	for (i = 0; i < 80; i += 8)
		if (*(volatile u64 *)(a + i) != *(volatile u64 *)(b + i))
			return false;
	return *(volatile u64 *)(a + 0x700) == *(volatile u64 *)(b + 0x700);
}

/* Each operation on memory and on the device, with every step-th pattern. */
static void run_ops(const struct op *op, u32 n, u8 *ram, u8 *mmio, u32 step)
{
	struct state a, b;
	u32 j;

	for (; n; n--, op++) {
		for (j = 0; j < ARRAY_SIZE(patterns); j += step) {
			a = (struct state){
				.flags = 2 | (j / step & 1), .rax = 0x1122334455667788,
				.rcx = 0x99aabbccddeeff00,
				.rdx = patterns[3 - j] + 5,
				.rsi = 0xfedcba9876543210,
				.rdi = 0x0f0e0d0c0b0a0908,
			};
			b = a;
			fill(ram, patterns[j]);
			fill(mmio, patterns[j]);
			op->fn(&a, ram);
			op->fn(&b, mmio);
			if (!same(ram, mmio))
				failed(op->name, j, 0xbad0);
			a.flags &= op->mask;
			b.flags &= op->mask;
			if (a.flags != b.flags)
				failed(op->name, b.flags, a.flags);
			if (memcmp(&a, &b, sizeof(a)))
				failed(op->name, j, 0xbad1);
		}
	}
}

PAYLOAD(mmio)
{
	run_ops(ops, ARRAY_SIZE(ops), RAM, MMIO, 1);
}

PAYLOAD(mmio_rmw)
{
	run_ops(rmw_ops, ARRAY_SIZE(rmw_ops), RAM, MMIO, 1);
}

/*
 * Above 4 GiB, single pages: memory and the device's two side by side, in an
 * order that is not that of their frames.
 */
enum {
	RAM_MMIO, MMIO_RAM, MMIO_MMIO = 3, MMIO_SAME = 5, MMIO_NONE = 6,
	RAM_RAM = 8, RAM_SAME = 10, RAM_NONE = 12,
};
#define CROSS(page)	((u8 *)(4 * GiB) + ((page) + 1) * PAGE_SIZE)

static void cross_tables(void)
{
	static const u64 frames[] = {
		GUEST_SCRATCH + 0x1000, (u64)MMIO, GUEST_SCRATCH + 0x2000,
		(u64)MMIO + 0x1000, (u64)MMIO, (u64)MMIO, (u64)MMIO, 0,
		GUEST_SCRATCH + 0x3000, GUEST_SCRATCH + 0x4000,
		GUEST_SCRATCH + 0x5000, GUEST_SCRATCH + 0x5000,
		GUEST_SCRATCH + 0x6000,
	};
	volatile u64 *pdpt = (volatile u64 *)(GUEST_PT + 0x1000);
	volatile u64 *pd = (volatile u64 *)(GUEST_SCRATCH + 0xf000);
	volatile u64 *pt = (volatile u64 *)(GUEST_SCRATCH + 0xe000);
	u32 i;

	memset((void *)GUEST_SCRATCH, 0, 0x10000);
	for (i = 0; i < ARRAY_SIZE(frames); i++)
		pt[i] = frames[i] ? frames[i] | 7 : 0;
	pd[0] = (u64)pt | 7;
	pdpt[4] = (u64)pd | 7;
	write_cr3(read_cr3());
}

PAYLOAD(mmio_cross)
{
	static const struct { u8 *mmio, *ram; } places[] = {
		{ CROSS(RAM_MMIO), CROSS(RAM_RAM) }, { CROSS(MMIO_RAM), CROSS(RAM_RAM) },
		{ CROSS(MMIO_MMIO), CROSS(RAM_RAM) }, { CROSS(MMIO_SAME), CROSS(RAM_SAME) },
	};
	static const u8 back[] = { 1, 2, 6 };
	u64 si, di, cx;
	u32 i, k;

	cross_tables();
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		for (k = 0; k < ARRAY_SIZE(back); k++) {
			run_ops(ops, ARRAY_SIZE(ops), places[i].ram - back[k],
				places[i].mmio - back[k], 2);
			run_ops(rmw_ops, ARRAY_SIZE(rmw_ops), places[i].ram - back[k],
				places[i].mmio - back[k], 2);
		}
	}
	/* Both ends, and neither as its bytes lie. */
	for (i = 0; i < 48; i++)
		CROSS(RAM_MMIO)[(s32)i - 13] = (u8)(i * 5);
	si = (u64)CROSS(RAM_MMIO) - 13;
	di = (u64)CROSS(MMIO_RAM) - 29;
	cx = 6;
	asm volatile("rep movsq" : "+S"(si), "+D"(di), "+c"(cx) : : "memory");
	CHECK_EQ(cx, 0, "RCX after REP MOVSQ");
	for (i = 0; i < 48; i++)
		CHECK_EQ(CROSS(MMIO_RAM)[(s32)i - 29], (u8)(i * 5), "REP MOVSQ data");
}

/* The second half is not there: a page fault, and nothing is half done. */
PAYLOAD(mmio_cross_fault)
{
	volatile u64 *last = (volatile u64 *)(CROSS(MMIO_NONE) - 8);
	u64 val, si, di, cx = 1;
	u32 f;

	cross_tables();
	*last = 0x1234567887654321;
	CHECK_EQ(try_read64(CROSS(MMIO_NONE) - 3, &val), FAULT(X_PF), "read");
	CHECK_EQ(self()->trap_cr2, CROSS(MMIO_NONE), "CR2 of a read");
	CHECK_EQ(self()->trap_error, 0, "error code of a read");
	CHECK_EQ(try_write64(CROSS(MMIO_NONE) - 3, ~0ull), FAULT(X_PF), "write");
	CHECK_EQ(self()->trap_cr2, CROSS(MMIO_NONE), "CR2 of a write");
	CHECK_EQ(self()->trap_error, 2, "error code of a write");
	CHECK_EQ(*last, 0x1234567887654321, "the half that is there");
	/* The other end of MOVS. */
	si = (u64)MMIO;
	di = (u64)CROSS(MMIO_NONE) - 2;
	TRY(f, "movsl", LIST(, "+S"(si), "+D"(di)), "c"(cx));
	CHECK_EQ(f, FAULT(X_PF), "MOVSD to it");
	CHECK_EQ(self()->trap_error, 2, "error code of MOVSD");
	CHECK_EQ(si, MMIO, "RSI after MOVSD");
	CHECK_EQ(*last, 0x1234567887654321, "the half that is there");
}

/* INS into a device and OUTS from one, or from both kinds of memory. */
PAYLOAD(mmio_io)
{
	u64 si, di, cx;
	s32 i;

	cross_tables();
	for (i = 0; i < 5; i++)
		MMIO[i] = "hello"[i];
	si = (u64)MMIO;
	cx = 5;
	asm volatile("rep outsb" : "+S"(si), "+c"(cx) : "d"(0x320) : "memory");
	CHECK_EQ(si, MMIO + 5, "RSI after REP OUTSB");
	CHECK_EQ(cx, 0, "RCX after REP OUTSB");
	for (i = 0; i < 8; i++)
		CROSS(RAM_MMIO)[i - 3] = "ABCDEFGH"[i];
	si = (u64)CROSS(RAM_MMIO) - 3;
	cx = 2;
	asm volatile("rep outsl" : "+S"(si), "+c"(cx) : "d"(0x321) : "memory");
	CHECK_EQ(si, CROSS(RAM_MMIO) + 5, "RSI after REP OUTSD");
	/* Counts up, from 0. */
	di = (u64)MMIO + 0x100;
	cx = 6;
	asm volatile("rep insb" : "+D"(di), "+c"(cx) : "d"(0x330) : "memory");
	CHECK_EQ(di, MMIO + 0x106, "RDI after REP INSB");
	CHECK_EQ(cx, 0, "RCX after REP INSB");
	for (i = 0; i < 6; i++)
		CHECK_EQ(MMIO[0x100 + i], i, "REP INSB data");
	di = (u64)CROSS(RAM_MMIO) - 3;
	cx = 5;
	asm volatile("rep insw" : "+D"(di), "+c"(cx) : "d"(0x330) : "memory");
	CHECK_EQ(di, CROSS(RAM_MMIO) + 7, "RDI after REP INSW");
	for (i = 0; i < 10; i++)
		CHECK_EQ(CROSS(RAM_MMIO)[i - 3], 6 + i, "REP INSW data");
	di = (u64)CROSS(MMIO_RAM) + 5;
	cx = 3;
	asm volatile("std; rep insl; cld" : "+D"(di), "+c"(cx) : "d"(0x330) : "memory");
	CHECK_EQ(di, CROSS(MMIO_RAM) - 7, "RDI after REP INSD down");
	for (i = 0; i < 12; i++)
		CHECK_EQ(CROSS(MMIO_RAM)[5 - 4 * (i / 4) + i % 4], 16 + i, "REP INSD down data");
}

/* The self-test steps over each, by val[0] bytes. */
#define HAND_OUT(insn)							\
	asm volatile("leaq 772f(%%rip), %%rax\n\t"			\
		     "leaq 771f(%%rip), %%rcx\n\t"			\
		     "subl %%ecx, %%eax\n\t"				\
		     "movl %%eax, (%1)\n"				\
		     "771: " insn "\n"					\
		     "772:\n"						\
		     : : "b"(MMIO + 0x40), "r"(&SHARE->val[0])		\
		     : "rax", "rcx", "memory", "cc")

PAYLOAD(mmio_emulate)
{
	cross_tables();
	SHARE->val[1] = (u64)CROSS(RAM_RAM) - PAGE_SIZE + 8;
	SHARE->val[2] = (u64)CROSS(MMIO_RAM) - PAGE_SIZE;
	SHARE->val[3] = (u64)CROSS(RAM_NONE);
	*(u64 *)(CROSS(RAM_RAM) - PAGE_SIZE + 8) = 0x77;
	HAND_OUT("movaps (%%rbx), %%xmm0");
	*(u64 *)(CROSS(RAM_RAM) - PAGE_SIZE + 8) = 0x77;
	HAND_OUT("cmpxchgq %%rcx, (%%rbx)");
	*(u64 *)(CROSS(RAM_RAM) - PAGE_SIZE + 8) = 0x77;
	HAND_OUT("pushq (%%rbx)");
	*(u64 *)(CROSS(RAM_RAM) - PAGE_SIZE + 8) = 0x77;
	HAND_OUT("shll $3, (%%rbx)");
}

static void invlpg(const void *p)
{
	asm volatile("invlpg (%0)" : : "r"(p) : "memory");
}

static bool map_page(struct frame *f)
{
	volatile u64 *pt = (volatile u64 *)(GUEST_SCRATCH + 0xe000);

	if (f->vector != X_PF || read_cr2() != (u64)CROSS(RAM_NONE))
		return false;
	SHARE->val[0]++;
	SHARE->val[1] = f->error;
	pt[RAM_NONE + 1] = (GUEST_SCRATCH + 0x7000) | 7;
	return true;
}

#define STRING_IO(insn, at)	__extension__ ({			\
	u64 at_ = (u64)(at);						\
	u32 f_;								\
	TRY(f_, insn, LIST(, "+S"(at_), "+D"(at_)), "d"(0x330), , "rcx"); \
	f_;								\
})

/* What goes wrong with the memory of string I/O is as with any access. */
PAYLOAD(io_fault)
{
	volatile u64 *pt = (volatile u64 *)(GUEST_SCRATCH + 0xe000);
	u64 di, cx;
	u32 i, way, r[4];

	cross_tables();
	for (way = 0; way < 2; way++) {
		pt[RAM_NONE + 1] = 0;
		invlpg(CROSS(RAM_NONE));
		SHARE->val[0] = 0;
		trap_hook = map_page;
		/* The second time an element crosses into the page. */
		di = (u64)CROSS(RAM_NONE) - 16 + way * 2;
		cx = 10;
		asm volatile("rep insl" : "+D"(di), "+c"(cx) : "d"(0x330) : "memory");
		trap_hook = NULL;
		CHECK_EQ(SHARE->val[0], 1, "page faults");
		CHECK_EQ(SHARE->val[1], 2, "error code");
		CHECK_EQ(cx, 0, "RCX after REP INSD");
		for (i = 0; i < 40; i++)
			CHECK_EQ(CROSS(RAM_NONE)[(s32)(i + way * 2) - 16], way * 40 + i,
				 "REP INSD over a fault");
	}
	/* Not canonical, or not to its end. */
	CHECK_EQ(STRING_IO("insb", 1ull << 47), FAULT(X_GP), "INSB beyond");
	CHECK_EQ(STRING_IO("outsb", 1ull << 63), FAULT(X_GP), "OUTSB beyond");
	CHECK_EQ(STRING_IO("insl", (1ull << 47) - 2), FAULT(X_GP), "INSD over the end");
	/* A bit that is no address has. */
	cpuid(0x80000008, 0, r);
	pt[RAM_NONE + 1] = (GUEST_SCRATCH + 0x7000) | 7 | BIT(51);
	invlpg(CROSS(RAM_NONE));
	if ((r[0] & 0xff) < 52) {
		CHECK_EQ(STRING_IO("insb", CROSS(RAM_NONE)), FAULT(X_PF), "INSB, reserved");
		CHECK_EQ(self()->trap_error, 0xb, "error code, reserved");
		CHECK_EQ(self()->trap_cr2, CROSS(RAM_NONE), "CR2, reserved");
		CHECK_EQ(STRING_IO("outsb", CROSS(RAM_NONE)), FAULT(X_PF), "OUTSB, reserved");
		CHECK_EQ(self()->trap_error, 9, "error code, reserved");
	}
	/* None of them has taken anything from the device. */
	pt[RAM_NONE + 1] = (GUEST_SCRATCH + 0x7000) | 7;
	invlpg(CROSS(RAM_NONE));
	CHECK_EQ(STRING_IO("insb", CROSS(RAM_NONE)), NOFAULT, "INSB");
	CHECK_EQ(*CROSS(RAM_NONE), 80, "INSB data");
}

/* moffs forms, segment bases, address sizes. */
PAYLOAD(mmio_more)
{
	u64 rsi, rax;

	asm volatile("movabsl %%eax, 0xd0000040" : : "a"(0x12345678));
	asm volatile("movabsb 0xd0000041, %%al" : "=a"(rax) : "0"(0xff00));
	CHECK_EQ(rax, 0xff56, "MOV AL, moffs");
	asm volatile("movabsq 0xd0000040, %%rax" : "=a"(rax));
	CHECK_EQ((u32)rax, 0x12345678, "MOV RAX, moffs");
	asm volatile("movabsw %%ax, 0xd0000040" : : "a"(0xabcd));
	CHECK_EQ(*(volatile u32 *)(MMIO + 0x40), 0x1234abcd, "MOV moffs, AX");

	/* FS base counts, DS does not. */
	wrmsr(MSR_FS_BASE, (u64)MMIO);
	asm volatile("movl %%fs:0x40, %%eax" : "=a"(rax));
	CHECK_EQ(rax, 0x1234abcd, "FS:disp32");
	wrmsr(MSR_FS_BASE, 0);

	/* A 32-bit address size cuts the address. */
	rsi = 0xffffffff00000000ull | (u64)(MMIO + 0x40);
	asm volatile("movl (%%esi), %%eax" : "=a"(rax) : "S"(rsi));
	CHECK_EQ(rax, 0x1234abcd, "address size 32");
}

/* MOVS in all directions. */
PAYLOAD(mmio_movs)
{
	u64 rsi, rdi, rcx;
	u32 i;

	memcpy(RAM, "the quick brown fox jumps over the lazy dog.....", 48);
	rsi = (u64)RAM;
	rdi = (u64)MMIO;
	rcx = 48;
	asm volatile("rep movsb" : "+S"(rsi), "+D"(rdi), "+c"(rcx) : :
		     "memory");
	CHECK_EQ(rdi, MMIO + 48, "RDI after REP MOVSB to MMIO");
	CHECK_EQ(rcx, 0, "RCX after REP MOVSB to MMIO");
	rsi = (u64)MMIO;
	rdi = (u64)RAM + 100;
	rcx = 12;
	asm volatile("rep movsl" : "+S"(rsi), "+D"(rdi), "+c"(rcx) : :
		     "memory");
	CHECK_EQ(rsi, MMIO + 48, "RSI after REP MOVSD from MMIO");
	CHECK(!memcmp(RAM, RAM + 100, 48), "REP MOVSD data");
	rsi = (u64)MMIO;
	rdi = (u64)MMIO + 0x100;
	rcx = 6;
	asm volatile("rep movsq" : "+S"(rsi), "+D"(rdi), "+c"(rcx) : :
		     "memory");
	for (i = 0; i < 48; i++)
		CHECK_EQ(MMIO[0x100 + i], RAM[i], "REP MOVSQ MMIO to MMIO");
}

/* Code in MMIO, a stack there, page tables there: the VM cannot go on, and
 * the self-test sees an error.  arg[0] says which. */
PAYLOAD(mmio_bad)
{
	switch (SHARE->arg[0]) {
	case 0:
		asm volatile("movaps (%0), %%xmm0" : : "r"(MMIO));
		break;
	case 1:
		asm volatile("jmp *%0" : : "r"(MMIO));
		break;
	case 2:
		write_cr3(0xd0000000);
		break;
	case 3:
		asm volatile("movq %0, %%rsp; ud2" : : "r"(MMIO + 0x800));
		break;
	case 4:
		asm volatile("movups %%xmm1, (%0)" : : "r"(MMIO));
		break;
	case 5:
		asm volatile("cmpxchg16b (%0)" : : "r"(MMIO) : "rax", "rdx");
		break;
	case 6:
		asm volatile("fxsave (%0)" : : "r"(MMIO) : "memory");
		break;
	case 7:
		asm volatile("lgdt (%0)" : : "r"(MMIO));
		break;
	}
}

/*
 * The device is memory that may be read only, and is hidden and shown again as
 * the self-test answers: a write of n hides it and the next read gives ~n and
 * shows it.  At its end is code that returns arg[0].
 */
PAYLOAD(rom_switch)
{
	u64 (*const code)(void) = (u64 (*)(void))(MMIO + 0x1800);
	volatile u64 *p = (volatile u64 *)MMIO;
	u64 i, rdi, rcx;

	for (i = 0; i < 200; i++) {
		CHECK_EQ(p[1], SHARE->arg[0], "memory");
		CHECK_EQ(code(), SHARE->arg[0], "code's result");
		p[1] = i;
		CHECK_EQ(p[1], ~i, "what the device reads");
	}
	/* What the hypervisor writes for the guest does not get there. */
	wrmsr(MSR_KVM_SYSTEM_TIME, (u64)(MMIO + 0x400) | 1);
	wrmsr(MSR_KVM_WALL_CLOCK, (u64)(MMIO + 0x440));
	rdi = (u64)MMIO + 0x480;
	rcx = 16;
	asm volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(0x320) : "memory");
	CHECK_EQ(rcx, 0, "RCX after REP INSB");
	for (i = 0x400; i < 0x500; i += 8)
		CHECK_EQ(p[i / 8], SHARE->arg[0], "memory");
}

/* Another vCPU, each time with other rights: arg[1] is JOIST_SEG_*. */
PAYLOAD(rom_other)
{
	volatile u64 *p = (volatile u64 *)MMIO;
	u64 before = p[0];

	p[0] = before + 1;
	CHECK_EQ(p[0], SHARE->arg[1] == 3 ? before + 1 : before, "memory");
}

/* The top-level table in read-only memory, and an entry without accessed bit. */
PAYLOAD(rom_tables)
{
	write_cr3((u64)MMIO);
}

/* One read and one write in each page that arg[0..1] gives, step arg[2]. */
PAYLOAD(gpa_sweep)
{
	u64 gpa, val;

	for (gpa = SHARE->arg[0]; gpa < SHARE->arg[1]; gpa += SHARE->arg[2]) {
		SHARE->val[0] = gpa;
		CHECK_EQ(try_read64((void *)gpa, &val), NOFAULT, "read");
		CHECK_EQ(try_write64((void *)gpa, gpa), NOFAULT, "write");
		SHARE->val[1] = val;
	}
}

/* Memory from arg[0] to arg[1] is clear, and each part of it is there once. */
PAYLOAD(memory)
{
	u64 gpa, step = PAGE_SIZE_2M / 2 + 8;

	for (gpa = SHARE->arg[0]; gpa < SHARE->arg[1]; gpa += step) {
		CHECK_EQ(*(volatile u64 *)gpa, 0, "clear");
		*(volatile u64 *)gpa = gpa;
	}
	for (gpa = SHARE->arg[0]; gpa < SHARE->arg[1]; gpa += step)
		CHECK_EQ(*(volatile u64 *)gpa, gpa, "kept");
}

/* One read and one write at GPA arg[0], above what is mapped so far. */
PAYLOAD(gpa_high)
{
	volatile u64 *pdpt = (volatile u64 *)(GUEST_PT + 0x1000);
	volatile u64 *pd = (volatile u64 *)(GUEST_SCRATCH + 0xf000);
	u64 gpa = SHARE->arg[0];
	volatile u64 *p = (volatile u64 *)(4 * GiB + gpa % PAGE_SIZE_2M);

	pd[0] = ALIGN_DOWN(gpa, PAGE_SIZE_2M) | 0x87;
	pdpt[4] = (u64)pd | 7;
	write_cr3(read_cr3());
	p[1] = gpa;
	CHECK_EQ(p[1], gpa, "what was written");
}
