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

static bool same(void)
{
	u32 i;

	for (i = 0; i < 80; i += 8)
		if (*(volatile u64 *)(MMIO + i) != *(volatile u64 *)(RAM + i))
			return false;
	return *(volatile u64 *)(MMIO + 0x700) ==
	       *(volatile u64 *)(RAM + 0x700);
}

static void run_ops(const struct op *op, u32 n)
{
	struct state a, b;
	u32 j;

	for (; n; n--, op++) {
		for (j = 0; j < ARRAY_SIZE(patterns); j++) {
			a = (struct state){
				.flags = 2 | (j & 1), .rax = 0x1122334455667788,
				.rcx = 0x99aabbccddeeff00,
				.rdx = patterns[3 - j] + 5,
				.rsi = 0xfedcba9876543210,
				.rdi = 0x0f0e0d0c0b0a0908,
			};
			b = a;
			fill(RAM, patterns[j]);
			fill(MMIO, patterns[j]);
			op->fn(&a, RAM);
			op->fn(&b, MMIO);
			if (!same())
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
	run_ops(ops, ARRAY_SIZE(ops));
}

PAYLOAD(mmio_rmw)
{
	run_ops(rmw_ops, ARRAY_SIZE(rmw_ops));
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
