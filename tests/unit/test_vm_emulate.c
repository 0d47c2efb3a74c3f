/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_emulate.c -- instructions at device memory, against this CPU.
 *
 * Each instruction is executed by the CPU as it is, on ordinary memory, and
 * emulated with a device in that memory's place: registers, vector registers,
 * flags and memory must agree.  A table has those that programs use; random bytes
 * find whatever else the emulator takes.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "guests/control/joist-vm/emulate.c"
#include "guests/control/joist-vm/native.c"

#define AREA	(4 * PAGE)
#define ROUNDS	200

static u64 seed = 0x9e3779b97f4a7c15ull;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static u64 interesting(void)
{
	static const u64 v[] = {
		0, 1, ~0ull, 0x7f, 0x80, 0xffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000,
		0x3ff0000000000000, 0x4008000040400000, 0x3f800000bf800000,
	};

	return rnd() % 2 ? rnd() : v[rnd() % ARRAY_SIZE(v)];
}

/* ---- the CPU ---- */

struct cpu {
	u64 gpr[16];
	u64 rflags, code, host_rsp, mask;
} cpu;
u8 cpu_xstate[PAGE] __attribute__((aligned(64)));
u8 cpu_host[PAGE] __attribute__((aligned(64)));
extern const char cpu_back[];
void cpu_run(void);

/* All registers of struct cpu and vector registers, the code, and back. */
asm(".text\n"
    "cpu_run:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, 144+cpu(%rip)\n"
    "	mov 152+cpu(%rip), %rax; xor %edx, %edx\n"
    "	xsave64 cpu_host(%rip); xrstor64 cpu_xstate(%rip)\n"
    "	push 128+cpu(%rip); popfq\n"
    "	mov 0+cpu(%rip), %rax; mov 8+cpu(%rip), %rcx\n"
    "	mov 16+cpu(%rip), %rdx; mov 24+cpu(%rip), %rbx\n"
    "	mov 32+cpu(%rip), %rsp; mov 40+cpu(%rip), %rbp\n"
    "	mov 48+cpu(%rip), %rsi; mov 56+cpu(%rip), %rdi\n"
    "	mov 64+cpu(%rip), %r8; mov 72+cpu(%rip), %r9\n"
    "	mov 80+cpu(%rip), %r10; mov 88+cpu(%rip), %r11\n"
    "	mov 96+cpu(%rip), %r12; mov 104+cpu(%rip), %r13\n"
    "	mov 112+cpu(%rip), %r14; mov 120+cpu(%rip), %r15\n"
    "	jmp *136+cpu(%rip)\n"
    "cpu_back:\n"
    "	mov %rax, 0+cpu(%rip); mov %rcx, 8+cpu(%rip)\n"
    "	mov %rdx, 16+cpu(%rip); mov %rbx, 24+cpu(%rip)\n"
    "	mov %rsp, 32+cpu(%rip); mov %rbp, 40+cpu(%rip)\n"
    "	mov %rsi, 48+cpu(%rip); mov %rdi, 56+cpu(%rip)\n"
    "	mov %r8, 64+cpu(%rip); mov %r9, 72+cpu(%rip)\n"
    "	mov %r10, 80+cpu(%rip); mov %r11, 88+cpu(%rip)\n"
    "	mov %r12, 96+cpu(%rip); mov %r13, 104+cpu(%rip)\n"
    "	mov %r14, 112+cpu(%rip); mov %r15, 120+cpu(%rip)\n"
    "	mov 144+cpu(%rip), %rsp\n"
    "	pushfq; pop 128+cpu(%rip)\n"
    "	cld\n"
    "	mov 152+cpu(%rip), %rax; xor %edx, %edx\n"
    "	xsave64 cpu_xstate(%rip); xrstor64 cpu_host(%rip)\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n");

/* ---- the guest ---- */

static u8 *area;		/* the CPU's memory, below 4 GiB */
static u8 *code;
static u8 dev[AREA];		/* the device in its place */
static u8 xstate[JOIST_XSTATE_MAX] __attribute__((aligned(64)));
static unsigned reads, writes;
static u64 gone;		/* a page that is not there */
static bool read_only;

static struct emu emu;

static bool in_area(u64 at)
{
	return at - (u64)area < AREA;
}

static int t_access(struct emu *e, struct joist_access *a)
{
	(void)e;
	assert_true(a->len && a->gva % PAGE + a->len <= PAGE);
	a->error = a->flags & JOIST_ACCESS_WRITE ? 2 : 0;
	a->gpa = a->gva;
	if (!in_area(a->gva) || (gone && a->gva / PAGE == gone / PAGE)) {
		a->result = JOIST_ACCESS_FAULT;
		return 0;
	}
	if (read_only && (a->flags & JOIST_ACCESS_WRITE)) {
		a->result = JOIST_ACCESS_FAULT;
		a->error |= 1;
		return 0;
	}
	/* The third page is memory. */
	a->result = (a->gva - (u64)area) / PAGE == 2 ? JOIST_ACCESS_MEMORY :
		    JOIST_ACCESS_DEVICE;
	if (a->result == JOIST_ACCESS_DEVICE || (a->flags & JOIST_ACCESS_TEST))
		return 0;
	if (a->flags & JOIST_ACCESS_WRITE)
		memcpy(dev + (a->gva - (u64)area), a->data, a->len);
	else
		memcpy(a->data, dev + (a->gva - (u64)area), a->len);
	return 0;
}

static u64 t_read(struct emu *e, u64 gpa, unsigned size)
{
	u64 val = 0;

	(void)e;
	assert_true(size && size <= 8 && !(size & (size - 1)));
	assert_true(in_area(gpa) && gpa % PAGE + size <= PAGE);
	memcpy(&val, dev + (gpa - (u64)area), size);
	reads++;
	return val;
}

static void t_write(struct emu *e, u64 gpa, unsigned size, u64 val)
{
	(void)e;
	assert_true(size && size <= 8 && !(size & (size - 1)));
	assert_true(in_area(gpa) && gpa % PAGE + size <= PAGE);
	memcpy(dev + (gpa - (u64)area), &val, size);
	writes++;
}

static int t_xstate(struct emu *e, bool store)
{
	if (store)
		memcpy(xstate, e->xstate, sizeof(xstate));
	else
		memcpy(e->xstate, xstate, sizeof(xstate));
	return 0;
}

static const struct emu_world world = { t_access, t_read, t_write, t_xstate };

static void flat(unsigned mode)
{
	unsigned i;

	memset(&emu.regs, 0, sizeof(emu.regs));
	for (i = 0; i < JOIST_LDTR; i++) {
		emu.regs.seg[i].limit = 0xffffffff;
		emu.regs.seg[i].attr = 0xc093;
		emu.regs.seg[i].selector = (u16)(0x10 + 8 * i);
	}
	emu.regs.seg[JOIST_CS].attr = mode == 64 ? 0xa09b : 0xc09b;
	emu.regs.cr0 = 0x80010033;
	emu.regs.rflags = 2;
	emu.world = &world;
	gone = 0;
	read_only = false;
	reads = writes = 0;
}

static int start(void **state)
{
	(void)state;
	if (!area) {
		area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			    MAP_ANONYMOUS | MAP_32BIT, -1, 0);
		code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
		assert_true(area != MAP_FAILED && code != MAP_FAILED);
		assert_int_equal(native_init(), 0);
	}
	flat(64);
	return 0;
}

static unsigned from_hex(const char *hex, u8 *out)
{
	unsigned n = 0, byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		out[n++] = (u8)byte;
	return n;
}

/* Random registers and memory for both, RBX into the area. */
static void set_up(u64 at)
{
	unsigned i;

	for (i = 0; i < 16; i++)
		emu.regs.gpr[i] = interesting();
	/* Addresses below 4 GiB for those that are used as such. */
	emu.regs.gpr[JOIST_RBX] = emu.regs.gpr[JOIST_RSI] = at;
	emu.regs.gpr[JOIST_RDI] = at + 0x80;
	emu.regs.gpr[JOIST_RSP] = at + 0x100;
	emu.regs.gpr[JOIST_RBP] = at + 0x140;
	emu.regs.rflags = 0x202 | (rnd() & STATUS);
	for (i = 0; i < AREA; i += 8) {
		u64 val = i < 64 || rnd() % 16 ? interesting() : 0;

		memcpy(dev + i, &val, 8);
	}
	memset(xstate, 0, sizeof(xstate));
	for (i = 160; i < 416; i += 8)		/* XMM0 and up */
		put64(xstate + i, interesting());
	for (i = 0; i < 8; i++)			/* MM0 and up */
		put64(xstate + 32 + 16 * i, interesting());
	put16(xstate, 0x37f);
	put32(xstate + 24, 0x1f80);
	xstate[512] = native_has_xstate() & 1 ? 3 : 0;
	if (native.mask & 4) {			/* upper halves of YMM */
		xstate[512] |= 4;
		for (i = 576; i < 832; i += 8)
			put64(xstate + i, interesting());
	}
	memcpy(area, dev, AREA);
	memcpy(cpu_xstate, xstate, sizeof(xstate));
}

static void by_cpu(const u8 *bytes, unsigned len)
{
	static const u8 jmp[6] = { 0xff, 0x25 };
	u64 back = (u64)cpu_back;

	memcpy(code, bytes, len);
	memcpy(code + len, jmp, 6);
	memcpy(code + len + 6, &back, 8);
	cpu.code = (u64)code;
	cpu.mask = native.mask;
	cpu_run();
}

static void show(const u8 *bytes, unsigned len)
{
	unsigned i;

	for (i = 0; i < len; i++)
		print_message("%02x ", bytes[i]);
}

/* Where an XSAVE component is in its initial state both are alike. */
static bool same_xstate(void)
{
	return !memcmp(cpu_xstate + 32, xstate + 32, 384) &&
	       !memcmp(cpu_xstate + 24, xstate + 24, 4) &&
	       (!(native.mask & 4) || !memcmp(cpu_xstate + 576, xstate + 576, 256));
}

/* What PUSH of a segment register shows. */
static void host_selectors(void)
{
	u16 s;

	asm("mov %%es, %0" : "=r"(s));
	emu.regs.seg[JOIST_ES].selector = s;
	asm("mov %%cs, %0" : "=r"(s));
	emu.regs.seg[JOIST_CS].selector = s;
	asm("mov %%ss, %0" : "=r"(s));
	emu.regs.seg[JOIST_SS].selector = s;
	asm("mov %%ds, %0" : "=r"(s));
	emu.regs.seg[JOIST_DS].selector = s;
	asm("mov %%fs, %0" : "=r"(s));
	emu.regs.seg[JOIST_FS].selector = s;
	asm("mov %%gs, %0" : "=r"(s));
	emu.regs.seg[JOIST_GS].selector = s;
}

static u64 length(const u8 *bytes, unsigned len)
{
	ZydisDecodedOperand operand[OPERANDS];
	ZydisDecodedInstruction in;
	ZydisDecoder d;

	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, bytes, len, &in,
							operand)));
	return in.length;
}

/* One instruction both ways.  False: the emulator does not take it. */
static bool judge(const u8 *bytes, unsigned len, unsigned mode, u64 at,
		  bool must)
{
	struct joist_regs before;
	enum emu_result res;
	unsigned i;
	u64 end;

	flat(mode);
	set_up(at);
	host_selectors();
	before = emu.regs;
	/* What CALL, JMP and RET find in memory leads behind the code. */
	emu.regs.rip = (u64)code;
	memcpy(cpu.gpr, emu.regs.gpr, sizeof(cpu.gpr));
	cpu.rflags = emu.regs.rflags;
	res = emulate(&emu, bytes, len, mode);
	if (res != EMU_DONE) {
		if (must) {
			show(bytes, len);
			fail_msg("mode %u: %s", mode, res == EMU_CANNOT ?
				 emu.why : "a fault");
		}
		assert_memory_equal(emu.regs.gpr, before.gpr, sizeof(before.gpr));
		return false;
	}
	end = emu.regs.rip - (u64)code;
	/* Gone elsewhere, or REP has more to do. */
	if (!must && end != length(bytes, len))
		return false;
	by_cpu(bytes, (unsigned)end);
	for (i = 0; i < 16; i++) {
		u64 mask = mode == 64 ? ~0ull : 0xffffffff;

		if ((emu.regs.gpr[i] ^ cpu.gpr[i]) & mask) {
			show(bytes, len);
			fail_msg("mode %u: register %u is %#lx, CPU %#lx", mode,
				 i, (long)emu.regs.gpr[i], (long)cpu.gpr[i]);
		}
	}
	if (memcmp(area, dev, AREA) || !same_xstate() ||
	    ((emu.regs.rflags ^ cpu.rflags) & STATUS)) {
		show(bytes, len);
		fail_msg("mode %u: memory %d, vectors %d, flags %#lx, CPU %#lx",
			 mode, memcmp(area, dev, AREA), same_xstate(),
			 (long)emu.regs.rflags, (long)cpu.rflags);
	}
	return true;
}

/* In the device, over its page's end into memory, and back. */
static const u32 places[] = { 0x40, PAGE - 3, 2 * PAGE - 3, 3 * PAGE - 5 };

#define V	1	/* wants AVX */
#define A	2	/* wants its operand aligned */
#define L	4	/* 64-bit code only */

static const struct row {
	const char *hex;
	unsigned flags;
} rows[] = {
	/* MOVAPS, MOVUPS, MOVDQA, MOVDQU, MOVQ, MOVD, MOVSS, MOVSD, MOVHPS */
	{ "0f2803", A }, { "0f290b", A }, { "0f1003", 0 }, { "0f110b", 0 },
	{ "660f6f13", A }, { "660f7f13", A }, { "f30f6f13", 0 }, { "f30f7f13", 0 },
	{ "f30f7e1b", 0 }, { "660fd61b", 0 }, { "660f6e03", 0 }, { "660f7e03", 0 },
	{ "f30f1003", 0 }, { "f30f1103", 0 }, { "f20f1003", 0 }, { "f20f1103", 0 },
	{ "0f1613", 0 }, { "0f1713", 0 }, { "0f1213", 0 }, { "0f1313", 0 },
	/* MOVNTPS, MOVNTDQ, LDDQU */
	{ "0f2b03", A }, { "660fe703", A }, { "f20ff003", 0 },
	/* MMX: MOVQ, MOVD, PADDB, MOVNTQ */
	{ "0f6f03", 0 }, { "0f7f0b", 0 }, { "0f6e13", 0 }, { "0f7e13", 0 },
	{ "0ffc03", 0 }, { "0fe703", 0 },
	/* SSE that computes: ADDPS, PXOR, PCMPEQB, PSHUFD, CVTSI2SD, UCOMISS, PTEST */
	{ "0f5803", A }, { "660fef03", A }, { "660f7403", A }, { "660f70031b", A },
	{ "f20f2a03", 0 }, { "0f2e03", 0 }, { "660f381703", A },
	/* AVX: VMOVUPS, VMOVDQU ymm, VMOVDQA xmm, VPXOR, VBROADCASTSS */
	{ "c5f81003", V }, { "c5fc110b", V }, { "c5fe6f13", V }, { "c5fe7f13", V },
	{ "c5f96f13", V | A }, { "c5f5ef13", V }, { "c4e27d1803", V },
	/* CMOVcc, SETcc */
	{ "0f4403", 0 }, { "0f4f0b", 0 }, { "660f4203", 0 }, { "0f9403", 0 },
	/* XADD, CMPXCHG, CMPXCHG8B */
	{ "0fc10b", 0 }, { "0fc00b", 0 }, { "f00fc10b", 0 }, { "0fb10b", 0 },
	{ "0fb00b", 0 }, { "660fb10b", 0 }, { "0fc70b", 0 },
	/* BSF, BSR, TZCNT, LZCNT, POPCNT, BT imm */
	{ "0fbc03", 0 }, { "0fbd03", 0 }, { "f30fbc03", 0 }, { "f30fbd03", 0 },
	{ "f30fb803", 0 }, { "0fba2b05", 0 },
	/* IMUL, MUL, SHL, SHR, SAR, ROL, RCR, SHLD, SHRD */
	{ "0faf03", 0 }, { "6b0307", 0 }, { "6903efbeadde", 0 }, { "f723", 0 },
	{ "f72b", 0 }, { "f623", 0 }, { "c12305", 0 }, { "d12b", 0 }, { "d33b", 0 },
	{ "c00303", 0 }, { "d31b", 0 }, { "0fa40b03", 0 }, { "0fad0b", 0 },
	/* x87: FLD, FST, FSTP, FILD, FIST, FADD */
	{ "d903", 0 }, { "dd03", 0 }, { "db2b", 0 }, { "d913", 0 }, { "dd1b", 0 },
	{ "df03", 0 }, { "db13", 0 }, { "d803", 0 }, { "d93b", 0 },
	/* STMXCSR; MOVZX with RSP; ADD rSP */
	{ "0fae1b", 0 }, { "0fb623", 0 }, { "0323", 0 }, { "3923", 0 },
	/* 64-bit code */
	{ "480faf03", L }, { "480fc70b", L | A }, { "48f723", L }, { "4c0fc103", L },
	{ "440f4403", L }, { "664c0f6e03", L }, { "664c0f7e03", L }, { "480323", L },
	{ "66480f3a160301", L }, { "f2480f38f103", L }, { "480fa40b09", L },
	/* PUSH m, PUSH, POP, POP m, PUSHF, LEAVE */
	{ "ff33", L }, { "50", L }, { "58", L }, { "8f03", L }, { "8f442408", L },
	{ "66ff33", L }, { "6650", L }, { "68efbeadde", L }, { "6a80", L }, { "c9", L },
	/* CMPSB, CMPSD, SCASW, SCASD, down */
	{ "a6", 0 }, { "a7", 0 }, { "66af", 0 }, { "af", 0 }, { "ae", 0 },
	{ "48a7", L }, { "48af", L },
};

static void test_table(void **state)
{
	unsigned i, k, place, mode;
	const struct row *r;
	u8 bytes[15];
	u64 at;

	(void)state;
	catch_signals();	/* cmocka has its own */
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		r = &rows[i];
		if ((r->flags & V) && !(native.mask & 4))
			continue;
		for (k = 0; k < ROUNDS; k++) {
			unsigned len = from_hex(r->hex, bytes);

			place = r->flags & A ? 0x40 : places[k % 4];
			mode = r->flags & L || k & 16 ? 64 : 32;
			at = (u64)area + place;
			/* The third page is memory: some are only that. */
			judge(bytes, len, mode, at, true);
		}
	}
}

/* Whatever the emulator takes of random bytes does what the CPU does. */
static void test_random(void **state)
{
	static const u8 prefixes[] = { 0x66, 0xf2, 0xf3, 0xf0, 0x48, 0x4c, 0x44 };
	unsigned i, n, k, done = 0;
	u8 b[15];

	(void)state;
	catch_signals();
	for (i = 0; i < 150000; i++) {
		for (k = 0; k < sizeof(b); k++)
			b[k] = (u8)rnd();
		n = 0;
		if (rnd() % 8 == 0 && (native.mask & 4)) {
			b[n++] = 0xc5;
			b[n++] |= 0x80;
		} else {
			for (k = rnd() % 3; k; k--)
				b[n++] = prefixes[rnd() % sizeof(prefixes)];
			if (rnd() % 4) {
				b[n++] = 0x0f;
				if (rnd() % 4 == 0)
					b[n++] = rnd() % 2 ? 0x38 : 0x3a;
			}
		}
		/* FS and GS are ours. */
		while ((b[n] & 0xfe) == 0x64)
			b[n] = (u8)rnd();
		n++;
		b[n] = (u8)((b[n] & 0x38) | JOIST_RBX);
		done += judge(b, sizeof(b), 64, (u64)area + 0x40, false);
	}
	assert_true(done > 10000);
}

/* ---- going elsewhere, by hand ---- */

static void put_device(u32 at, u64 val)
{
	memcpy(dev + at, &val, 8);
}

static u64 get_device(u32 at)
{
	u64 val;

	memcpy(&val, dev + at, 8);
	return val;
}

static enum emu_result run(const char *hex, unsigned mode)
{
	u8 bytes[15];
	unsigned len = from_hex(hex, bytes);

	return emulate(&emu, bytes, len, mode);
}

static void test_branches(void **state)
{
	(void)state;
	emu.regs.rip = 0x1000;
	emu.regs.gpr[JOIST_RBX] = (u64)area + 8;
	emu.regs.gpr[JOIST_RSP] = (u64)area + 0x100;
	put_device(8, 0x123456789a);
	assert_int_equal(run("ff23", 64), EMU_DONE);
	assert_int_equal(emu.regs.rip, 0x123456789a);
	assert_int_equal(run("ff13", 64), EMU_DONE);
	assert_int_equal(emu.regs.rip, 0x123456789a);
	assert_int_equal(get_device(0xf8), 0x123456789c);
	assert_int_equal(emu.regs.gpr[JOIST_RSP], (u64)area + 0xf8);
	assert_int_equal(run("c20800", 64), EMU_DONE);
	assert_int_equal(emu.regs.rip, 0x123456789c);
	assert_int_equal(emu.regs.gpr[JOIST_RSP], (u64)area + 0x108);
	assert_int_equal(run("e800100000", 64), EMU_DONE);
	assert_int_equal(emu.regs.rip, 0x12345688a1);
	assert_int_equal(get_device(0x100), 0x12345678a1);
	assert_int_equal(run("c3", 64), EMU_DONE);
	assert_int_equal(emu.regs.rip, 0x12345678a1);
	/* Not canonical: #GP at the jump, and nothing on the stack. */
	put_device(8, 1ull << 47);
	writes = 0;
	assert_int_equal(run("ff13", 64), EMU_FAULT);
	assert_int_equal(emu.vector, X_GP);
	assert_int_equal(writes, 0);
	assert_int_equal(emu.regs.rip, 0x12345678a1);

	/* 32-bit code, and its limit. */
	flat(32);
	emu.regs.rip = 0x1000;
	emu.regs.gpr[JOIST_RBX] = (u64)area + 8;
	emu.regs.gpr[JOIST_RSP] = (u64)area + 0x100;
	put_device(8, 0xdeadbeef12345678);
	assert_int_equal(run("ff13", 32), EMU_DONE);
	assert_int_equal(emu.regs.rip, 0x12345678);
	assert_int_equal(get_device(0xfc) & 0xffffffff, 0x1002);
	assert_int_equal(run("66ff13", 32), EMU_DONE);
	assert_int_equal(emu.regs.rip, 0x5678);
	assert_int_equal(emu.regs.gpr[JOIST_RSP], (u64)area + 0xfa);
	emu.regs.seg[JOIST_CS].limit = 0x5677;
	assert_int_equal(run("66ff13", 32), EMU_FAULT);
	assert_int_equal(emu.vector, X_GP);
	assert_int_equal(run("ff1b", 32), EMU_CANNOT);	/* far */
}

/* REP: one element at a time, until RCX or ZF ends it. */
static void test_rep(void **state)
{
	unsigned n;

	(void)state;
	emu.regs.rip = 0x1000;
	emu.regs.gpr[JOIST_RAX] = 'x';
	emu.regs.gpr[JOIST_RDI] = (u64)area;
	emu.regs.gpr[JOIST_RCX] = 20;
	memset(dev, 'a', 64);
	dev[7] = 'x';
	for (n = 0; emu.regs.rip == 0x1000; n++)
		assert_int_equal(run("f2ae", 64), EMU_DONE);
	assert_int_equal(n, 8);
	assert_int_equal(emu.regs.rip, 0x1002);
	assert_int_equal(emu.regs.gpr[JOIST_RCX], 12);
	assert_int_equal(emu.regs.gpr[JOIST_RDI], (u64)area + 8);
	assert_true(emu.regs.rflags & 0x40);
	/* Down, to the end, with 32-bit addresses. */
	emu.regs.rip = 0x1000;
	emu.regs.rflags |= RFLAGS_DF;
	emu.regs.gpr[JOIST_RSI] = (u64)area + 12;
	emu.regs.gpr[JOIST_RDI] = (u64)area + 28;
	emu.regs.gpr[JOIST_RCX] = 0xffffffff00000003;
	memset(dev, 'a', 64);
	for (n = 0; emu.regs.rip == 0x1000; n++)
		assert_int_equal(run("67f3a7", 64), EMU_DONE);
	assert_int_equal(n, 3);
	assert_int_equal(emu.regs.gpr[JOIST_RCX], 0);
	assert_int_equal(emu.regs.gpr[JOIST_RSI], (u64)area);
	/* Nothing to do. */
	reads = 0;
	emu.regs.rip = 0x1000;
	assert_int_equal(run("f3a7", 64), EMU_DONE);
	assert_int_equal(emu.regs.rip, 0x1002);
	assert_int_equal(reads, 0);
}

/* ---- faults: the device sees nothing ---- */

static void test_faults(void **state)
{
	(void)state;
	catch_signals();
	emu.regs.gpr[JOIST_RBX] = (u64)area + 2 * PAGE - 4;
	emu.regs.gpr[JOIST_RSP] = (u64)area + 0x100;
	gone = (u64)area + 2 * PAGE;
	assert_int_equal(run("0f1003", 64), EMU_FAULT);	/* MOVUPS */
	assert_int_equal(emu.vector, X_PF);
	assert_int_equal(emu.cr2, gone);
	assert_int_equal(emu.error, 0);
	assert_int_equal(run("480fc10b", 64), EMU_FAULT);	/* XADD */
	assert_int_equal(emu.error, 2);
	assert_true(emu.has_error);
	/* POP m: the stack is there, the place is not. */
	assert_int_equal(run("8f03", 64), EMU_FAULT);
	assert_int_equal(emu.regs.gpr[JOIST_RSP], (u64)area + 0x100);
	/* PUSH m: the place is there, the stack is not. */
	emu.regs.gpr[JOIST_RBX] = (u64)area;
	emu.regs.gpr[JOIST_RSP] = gone + 8;
	assert_int_equal(run("ff33", 64), EMU_FAULT);
	assert_int_equal(emu.cr2, gone);
	gone = 0;
	/* CMPXCHG writes whatever it finds. */
	read_only = true;
	assert_int_equal(run("0fb10b", 64), EMU_FAULT);
	assert_int_equal(emu.error, 3);
	assert_int_equal(run("0faf0b", 64), EMU_DONE);
	read_only = false;
	assert_int_equal(reads, 1);
	assert_int_equal(writes, 0);
	/* The CPU's own: #DE, alignment, #XM. */
	put_device(0, 0);
	emu.regs.gpr[JOIST_RDX] = 0;
	assert_int_equal(run("f733", 64), EMU_FAULT);
	assert_int_equal(emu.vector, X_DE);
	assert_false(emu.has_error);
	emu.regs.gpr[JOIST_RBX] = (u64)area + 8;
	assert_int_equal(run("0f2803", 64), EMU_FAULT);
	assert_int_equal(emu.vector, X_GP);
	set_up((u64)area + 0x40);
	put32(xstate + 24, 0x1f80 & ~0x200u);	/* division by zero */
	put32(xstate + 160, 0x3f800000);
	put_device(0x40, 0);
	assert_int_equal(run("f30f5e03", 64), EMU_FAULT);
	assert_int_equal(emu.vector, X_XM);
	/* LDMXCSR of what there is not. */
	put_device(0x40, 0xffffffff);
	assert_int_equal(run("0fae13", 64), EMU_FAULT);
	assert_int_equal(emu.vector, X_GP);
}

static void test_segments(void **state)
{
	(void)state;
	flat(32);
	/* 16-bit code: base and limit. */
	emu.regs.seg[JOIST_DS].base = (u64)area;
	emu.regs.seg[JOIST_DS].limit = 0x1fff;
	emu.regs.gpr[JOIST_RBX] = 0xabcd0ffe;
	emu.regs.gpr[JOIST_RSI] = 0x1000;
	put_device(0x1ffc, 0x7fff0003);
	emu.regs.gpr[JOIST_RAX] = 5;
	emu.regs.gpr[JOIST_RSI] = 0xffe;
	assert_int_equal(run("660faf00", 16), EMU_DONE);	/* [BX + SI] */
	assert_int_equal(emu.regs.gpr[JOIST_RAX], 0x7ffb000f);
	emu.regs.gpr[JOIST_RSI] = 0xfff;
	assert_int_equal(run("660faf00", 16), EMU_FAULT);
	assert_int_equal(emu.vector, X_GP);
	/* The stack's segment is #SS. */
	emu.regs.seg[JOIST_SS].limit = 0xff;
	emu.regs.gpr[JOIST_RBP] = 0x200;
	assert_int_equal(run("0faf4600", 16), EMU_FAULT);
	assert_int_equal(emu.vector, X_SS);
	/* Data that may be read only, and code. */
	emu.regs.gpr[JOIST_RBX] = 8;
	emu.regs.seg[JOIST_DS].attr = 0xc091;
	assert_int_equal(run("0faf03", 32), EMU_DONE);
	assert_int_equal(run("0fc10b", 32), EMU_FAULT);
	emu.regs.seg[JOIST_DS].attr = 0xc099;
	assert_int_equal(run("0faf03", 32), EMU_FAULT);
	emu.regs.seg[JOIST_DS].attr = 0x10000;
	assert_int_equal(run("0faf03", 32), EMU_FAULT);
	/* Growing down: above its limit only. */
	emu.regs.seg[JOIST_DS].attr = 0xc097;
	emu.regs.seg[JOIST_DS].limit = 7;
	assert_int_equal(run("0faf03", 32), EMU_DONE);
	emu.regs.seg[JOIST_DS].limit = 8;
	assert_int_equal(run("0faf03", 32), EMU_FAULT);
	/* Not canonical. */
	flat(64);
	emu.regs.gpr[JOIST_RBX] = 0x800000000000 - 2;
	assert_int_equal(run("0faf03", 64), EMU_FAULT);
	assert_int_equal(emu.vector, X_GP);
	emu.regs.gpr[JOIST_RSP] = 0x800000000000;
	assert_int_equal(run("ff33", 64), EMU_FAULT);
}

static void test_system(void **state)
{
	(void)state;
	emu.regs.gpr[JOIST_RBX] = (u64)area;
	assert_int_equal(run("8c1b", 64), EMU_DONE);	/* MOV m16, DS */
	assert_int_equal(get_device(0) & 0xffff, 0x10 + 8 * JOIST_DS);
	assert_int_equal(run("0f0123", 64), EMU_DONE);	/* SMSW */
	assert_int_equal(get_device(0) & 0xffff, 0x33);
	put_device(0, 0xffe8);
	emu.regs.seg[JOIST_CS].selector = 8;
	assert_int_equal(run("0f0133", 64), EMU_DONE);	/* LMSW */
	assert_true(emu.cr0_changed);
	assert_int_equal(emu.regs.cr0, 0x80010039);
	emu.regs.seg[JOIST_CS].selector = 0x33;
	assert_int_equal(run("0f0133", 64), EMU_FAULT);
	assert_int_equal(emu.vector, X_GP);
	/* What there is no rule for, or what is too dangerous for one. */
	assert_int_equal(run("0f0113", 64), EMU_CANNOT);	/* LGDT */
	assert_int_equal(run("0fae03", 64), EMU_CANNOT);	/* FXSAVE */
	assert_int_equal(run("0fa30b", 64), EMU_CANNOT);	/* BT m, r */
	assert_int_equal(run("0fae7b00", 64), EMU_CANNOT);	/* CLFLUSH */
	assert_int_equal(run("c4e2712c03", 64), EMU_CANNOT);	/* VMASKMOVPS */
	assert_int_equal(run("660ff7c1", 64), EMU_CANNOT);	/* MASKMOVDQU */
	assert_int_equal(run("8e1b", 64), EMU_CANNOT);	/* MOV DS, m16 */
	assert_int_equal(run("cf", 64), EMU_CANNOT);
	assert_int_equal(run("0f05", 64), EMU_CANNOT);
	assert_int_equal(run("cd80", 64), EMU_CANNOT);
	assert_int_equal(run("ff", 64), EMU_CANNOT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_table, start),
		cmocka_unit_test_setup(test_random, start),
		cmocka_unit_test_setup(test_branches, start),
		cmocka_unit_test_setup(test_rep, start),
		cmocka_unit_test_setup(test_faults, start),
		cmocka_unit_test_setup(test_segments, start),
		cmocka_unit_test_setup(test_system, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
