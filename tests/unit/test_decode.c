/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_decode.c -- the instruction decoder against objdump and the CPU.
 *
 * Lengths: whole binaries, and random instructions of all three modes, as
 * objdump sees them.  Meaning: instructions with a memory operand are run on
 * this CPU, and carried out by the decoder's helpers; registers, memory and
 * flags must agree.  What is intercepted stands in a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/x86/decode.c"

static u64 seed = 0x9e3779b97f4a7c15ull;

/* xorshift64: the same numbers in every run. */
static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Decodes from a heap block of exactly n bytes: ASan sees a read past it. */
static int decode_exact(const u8 *bytes, unsigned n, enum insn_mode mode,
			struct insn *in)
{
	u8 *copy = malloc(n ? n : 1);
	int err;

	memcpy(copy, bytes, n);
	err = insn_decode(copy, n, mode, in);
	free(copy);
	return err;
}

/* ---- lengths, as objdump has them ---- */

struct line {
	u64 addr;
	u8 bytes[64];
	unsigned len;
	const char *text;
};

/* "  401000:\tf3 0f 1e fa \tendbr64" */
static bool parse_line(char *s, struct line *l)
{
	char *p = s, *end;

	l->addr = strtoull(p, &end, 16);
	if (end == p || end[0] != ':' || end[1] != '\t')
		return false;
	p = end + 2;
	for (l->len = 0; l->len < sizeof(l->bytes); l->len++) {
		if (*p == ' ' || *p == '\t')
			break;
		l->bytes[l->len] = strtoul(p, &end, 16);
		if (end != p + 2)
			break;
		p = end + 1;
	}
	l->text = strchr(p, '\t');
	if (!l->text)
		l->text = "";
	return l->len;
}

/* A line with nothing but prefixes, as newer ones show before a REX2. */
static bool only_prefixes(const char *text)
{
	const char *end = text + strcspn(text, "\n"), *word;

	while (end > text && end[-1] == ' ')
		end--;
	for (word = end; word > text && word[-1] > ' ';)
		word--;
	return !strncmp(word, "rex", 3);
}

static bool objdump_knows(const struct line *l)
{
	/* APX, which no CPU here has; binutils of Debian 13 know it. */
	if (strstr(l->text, "{rex2") || only_prefixes(l->text))
		return false;
	/* FWAIT and what follows it are two instructions to the CPU. */
	return !strstr(l->text, "(bad)") && !strstr(l->text, ".byte") &&
	       !(l->bytes[0] == 0x9b && l->len > 1);
}

static FILE *objdump(const char *args)
{
	char cmd[512];
	FILE *f;

	if (system("objdump --version >/dev/null 2>&1"))
		skip();
	snprintf(cmd, sizeof(cmd), "objdump -w -M intel %s", args);
	f = popen(cmd, "r");
	assert_non_null(f);
	return f;
}

static void check_binary(const char *path, unsigned at_least)
{
	char args[256], buf[4096];
	unsigned n = 0, wrong = 0;
	struct insn in;
	struct line l;
	FILE *f;
	int err;

	if (access(path, R_OK))
		skip();
	snprintf(args, sizeof(args), "-d %s", path);
	f = objdump(args);
	while (fgets(buf, sizeof(buf), f)) {
		if (!parse_line(buf, &l) || !objdump_knows(&l))
			continue;
		n++;
		err = insn_decode(l.bytes, l.len, INSN_64, &in);
		if (err || in.len != l.len) {
			print_message("%s%#lx: %d, len %u, not %u\n", buf,
				      (long)l.addr, err, in.len, l.len);
			wrong++;
		}
	}
	pclose(f);
	assert_int_equal(wrong, 0);
	assert_true(n > at_least);
}

static void test_lengths_bash(void **state)
{
	(void)state;
	check_binary("/bin/bash", 100000);
}

static void test_lengths_libc(void **state)
{
	(void)state;
	check_binary("/lib/x86_64-linux-gnu/libc.so.6", 200000);
}

#define SLOT	48
#define SLOTS	30000

static unsigned random_prefixes(u8 *p, enum insn_mode mode)
{
	static const u8 legacy[] = {
		0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64,
		0x65,
	};
	unsigned n = rnd() % 3, i;

	for (i = 0; i < n; i++)
		p[i] = legacy[rnd() % sizeof(legacy)];
	if (mode == INSN_64 && rnd() % 2)
		p[i++] = 0x40 | rnd() % 16;
	return i;
}

/* An opcode, or a VEX or EVEX prefix, where we and objdump do not differ. */
static void random_insn(u8 *p, enum insn_mode mode)
{
	static const u8 evex_maps[] = { 1, 2, 3, 5, 6 };
	unsigned i;

	for (i = 0; i < 32; i++)
		p[i] = rnd();
	for (; i < SLOT; i++)
		p[i] = 0x90;
	switch (rnd() % 8) {
	case 0:
		p[0] = 0xc5;
		p[1] |= mode == INSN_64 ? 0 : 0xc0;
		return;
	case 1:
		p[0] = 0xc4;
		p[1] = (p[1] & 0xe0) | (1 + rnd() % 3);
		p[1] |= mode == INSN_64 ? 0 : 0xc0;
		return;
	case 2:
		p[0] = 0x62;
		p[1] = (p[1] & 0xf0) | evex_maps[rnd() % 5];
		p[1] |= mode == INSN_64 ? 0 : 0xc0;
		p[2] |= 4;
		return;
	case 3: case 4:
		i = random_prefixes(p, mode);
		p[i++] = 0x0f;
		/* Test registers, VIA's Padlock: gone, and not ours. */
		while ((p[i] & 0xfc) == 0x24 || (p[i] & 0xfe) == 0xa6)
			p[i] = rnd();
		return;
	case 5:
		i = random_prefixes(p, mode);
		p[i++] = 0x0f;
		p[i] = rnd() % 2 ? 0x38 : 0x3a;
		return;
	default:
		i = random_prefixes(p, mode);
		/* Not one more prefix, VEX behind prefixes, or FWAIT. */
		while (map_1[p[i]] & (PFX | REX | VEX) || p[i] == 0x9b)
			p[i] = rnd();
		return;
	}
}

static void check_random(enum insn_mode mode, const char *machine)
{
	static u8 all[SLOTS][SLOT];
	char path[] = "/tmp/joist-decode-XXXXXX";
	char args[256], buf[4096];
	unsigned i, k, agreed = 0, wrong = 0;
	int fd = mkstemp(path), err;
	struct insn in, cut;
	struct line l;
	FILE *f;

	assert_true(fd >= 0);
	for (i = 0; i < SLOTS; i++)
		random_insn(all[i], mode);
	assert_int_equal(write(fd, all, sizeof(all)), sizeof(all));
	close(fd);
	snprintf(args, sizeof(args), "-D -b binary -m %s %s", machine, path);
	f = objdump(args);
	while (fgets(buf, sizeof(buf), f)) {
		if (!parse_line(buf, &l) || l.addr % SLOT ||
		    l.len > INSN_MAX_LEN || !objdump_knows(&l))
			continue;
		err = decode_exact(all[l.addr / SLOT], INSN_MAX_LEN, mode, &in);
		if (err || in.len != l.len) {
			print_message("%serror %d, len %u, not %u\n", buf, err,
				      in.len, l.len);
			wrong++;
			continue;
		}
		agreed++;
		for (k = 0; k < in.len; k++)
			if (decode_exact(l.bytes, k, mode, &cut) != -EAGAIN)
				wrong++;
		if (decode_exact(l.bytes, in.len, mode, &cut) ||
		    memcmp(&in, &cut, sizeof(in)))
			wrong++;
	}
	pclose(f);
	unlink(path);
	assert_int_equal(wrong, 0);
	assert_true(agreed > SLOTS / 5);
}

static void test_lengths_random_64(void **state)
{
	(void)state;
	check_random(INSN_64, "i386:x86-64 -M intel64");
}

static void test_lengths_random_32(void **state)
{
	(void)state;
	check_random(INSN_32, "i386");
}

static void test_lengths_random_16(void **state)
{
	(void)state;
	check_random(INSN_16, "i8086");
}

/* ---- what is intercepted, and forms that need a closer look ---- */

struct row {
	const char *hex;
	enum insn_mode mode;
	int kind;		/* or -errno */
	unsigned size;
	int reg, cr;		/* -1: do not care */
	unsigned flags;		/* must be set */
	u64 imm;
};

static const struct row rows[] = {
	{ "0fa2", 64, INSN_CPUID, 4, -1, -1, 0, 0 },
	{ "0fa2", 32, INSN_CPUID, 4, -1, -1, 0, 0 },
	{ "0fa2", 16, INSN_CPUID, 2, -1, -1, 0, 0 },
	{ "66480fa2", 64, INSN_CPUID, 8, -1, -1, 0, 0 },
	{ "0f32", 64, INSN_RDMSR, 4, -1, -1, 0, 0 },
	{ "0f30", 64, INSN_WRMSR, 4, -1, -1, 0, 0 },
	{ "f4", 64, INSN_HLT, 4, -1, -1, 0, 0 },
	{ "f390", 64, INSN_PAUSE, 4, -1, -1, INSN_F_REP, 0 },
	{ "90", 64, INSN_OTHER, 4, -1, -1, 0, 0 },
	{ "0f01c1", 64, INSN_VMCALL, 4, -1, -1, 0, 0 },
	{ "0f01d9", 64, INSN_VMMCALL, 4, -1, -1, 0, 0 },
	{ "0f01d1", 64, INSN_XSETBV, 4, -1, -1, 0, 0 },
	{ "0f01d0", 64, INSN_OTHER, 4, -1, -1, 0, 0 },
	{ "0f08", 64, INSN_INVD, 4, -1, -1, 0, 0 },
	{ "0f09", 64, INSN_WBINVD, 4, -1, -1, 0, 0 },
	{ "f30f09", 64, INSN_WBINVD, 4, -1, -1, INSN_F_REP, 0 },
	{ "0f31", 64, INSN_RDTSC, 4, -1, -1, 0, 0 },
	{ "0f01f9", 64, INSN_RDTSCP, 4, -1, -1, 0, 0 },
	{ "0f33", 64, INSN_RDPMC, 4, -1, -1, 0, 0 },
	{ "0f01c8", 64, INSN_MONITOR, 4, -1, -1, 0, 0 },
	{ "0f01c9", 64, INSN_MWAIT, 4, -1, -1, 0, 0 },
	{ "0f01fa", 64, INSN_MONITOR, 4, -1, -1, 0, 0 },
	{ "0f01fb", 64, INSN_MWAIT, 4, -1, -1, 0, 0 },
	{ "0f0138", 64, INSN_INVLPG, 4, -1, -1, INSN_F_MEM, 0 },
	{ "0f01f8", 64, INSN_OTHER, 4, -1, -1, 0, 0 },	/* SWAPGS */
	{ "0f06", 64, INSN_CLTS, 4, -1, -1, 0, 0 },
	{ "0f01f3", 64, INSN_LMSW, 4, 3, -1, 0, 0 },
	{ "410f01f3", 64, INSN_LMSW, 4, 11, -1, 0, 0 },
	{ "0f0130", 64, INSN_LMSW, 2, -1, -1, INSN_F_MEM | INSN_F_READ, 0 },
	{ "0f01e2", 64, INSN_SMSW, 4, 2, -1, 0, 0 },
	{ "0f0120", 64, INSN_SMSW, 2, -1, -1, INSN_F_MEM | INSN_F_WRITE, 0 },
	{ "0f01d8", 64, INSN_VMRUN, 4, -1, -1, 0, 0 },
	{ "0f01da", 64, INSN_VMLOAD, 4, -1, -1, 0, 0 },
	{ "0f01db", 64, INSN_VMSAVE, 4, -1, -1, 0, 0 },
	{ "0f01dc", 64, INSN_STGI, 4, -1, -1, 0, 0 },
	{ "0f01dd", 64, INSN_CLGI, 4, -1, -1, 0, 0 },
	{ "0f01de", 64, INSN_SKINIT, 4, -1, -1, 0, 0 },
	{ "0f01df", 64, INSN_INVLPGA, 4, -1, -1, 0, 0 },
	{ "0f22d8", 64, INSN_MOV_TO_CR, 8, 0, 3, 0, 0 },
	{ "0f20c1", 64, INSN_MOV_FROM_CR, 8, 1, 0, 0, 0 },
	{ "440f20c0", 64, INSN_MOV_FROM_CR, 8, 0, 8, 0, 0 },
	{ "450f22c7", 64, INSN_MOV_TO_CR, 8, 15, 8, 0, 0 },
	{ "f00f22c0", 32, INSN_MOV_TO_CR, 4, 0, 8, INSN_F_LOCK, 0 },
	{ "0f2205", 64, INSN_MOV_TO_CR, 8, 5, 0, 0, 0 },  /* mod is ignored */
	{ "0f21f8", 64, INSN_MOV_FROM_DR, 8, 0, 7, 0, 0 },
	{ "410f23f1", 64, INSN_MOV_TO_DR, 8, 9, 6, 0, 0 },
	{ "e460", 64, INSN_IN, 1, -1, -1, INSN_F_IMM, 0x60 },
	{ "e5f8", 64, INSN_IN, 4, -1, -1, INSN_F_IMM, 0xf8 },
	{ "66e780", 64, INSN_OUT, 2, -1, -1, INSN_F_IMM, 0x80 },
	{ "48ef", 64, INSN_OUT, 4, 0, -1, 0, 0 },
	{ "ec", 16, INSN_IN, 1, 0, -1, 0, 0 },
	{ "ed", 16, INSN_IN, 2, 0, -1, 0, 0 },
	{ "f36c", 64, INSN_INS, 1, 0, -1, INSN_F_REP | INSN_F_WRITE, 0 },
	{ "f3666f", 64, INSN_OUTS, 2, 0, -1, INSN_F_REP | INSN_F_READ, 0 },
	{ "f348ab", 64, INSN_STOS, 8, 0, -1, INSN_F_REP | INSN_F_WRITE, 0 },
	{ "a5", 64, INSN_MOVS, 4, 0, -1, INSN_F_READ | INSN_F_WRITE, 0 },
	{ "ac", 64, INSN_LODS, 1, 0, -1, INSN_F_READ, 0 },
	{ "c60780", 64, INSN_STORE, 1, -1, -1, INSN_F_IMM, -128ull },
	{ "48c707000000ff", 64, INSN_STORE, 8, -1, -1, INSN_F_IMM,
	  0xffffffffff000000ull },
	{ "66c7078000", 64, INSN_STORE, 2, -1, -1, INSN_F_IMM, 0x80 },
	{ "89c0", 64, INSN_OTHER, 4, -1, -1, 0, 0 },
	{ "8827", 64, INSN_STORE, 1, 0, -1, INSN_F_HIGH, 0 },
	{ "408827", 64, INSN_STORE, 1, 4, -1, 0, 0 },
	{ "6307", 32, INSN_OTHER, 4, -1, -1, INSN_F_MEM, 0 },	/* ARPL */
	{ "0f0b", 64, INSN_OTHER, 4, -1, -1, 0, 0 },
	{ "40", 64, -EAGAIN, 0, -1, -1, 0, 0 },
	{ "40", 32, INSN_OTHER, 4, -1, -1, 0, 0 },	/* INC EAX */
	{ "4866", 64, -EAGAIN, 0, -1, -1, 0, 0 },
	{ "486689c1", 64, INSN_OTHER, 2, -1, -1, 0, 0 }, /* lost its REX */
	{ "06", 64, -EINVAL, 0, -1, -1, 0, 0 },
	{ "06", 32, INSN_OTHER, 4, -1, -1, 0, 0 },
	{ "0f04", 64, -EINVAL, 0, -1, -1, 0, 0 },
	{ "0fbac000", 64, -EINVAL, 0, -1, -1, 0, 0 },
	{ "fff8", 64, -EINVAL, 0, -1, -1, 0, 0 },
	{ "fed0", 64, -EINVAL, 0, -1, -1, 0, 0 },
	{ "c7480000000000", 64, -EINVAL, 0, -1, -1, 0, 0 },
	{ "8f48", 64, -EAGAIN, 0, -1, -1, 0, 0 },	/* XOP */
	{ "8f6801", 64, -EAGAIN, 0, -1, -1, 0, 0 },
	{ "8fe878c0c102", 64, INSN_OTHER, 4, -1, -1, 0, 0 }, /* VPROTB */
	{ "66c5f877", 64, -EINVAL, 0, -1, -1, 0, 0 },
	{ "62f47c4800", 64, -EINVAL, 0, -1, -1, 0, 0 },	/* EVEX map 4 */
	{ "660f78c00102", 64, INSN_OTHER, 2, -1, -1, 0, 0 },	/* EXTRQ */
	{ "c411", 32, INSN_OTHER, 4, -1, -1, INSN_F_MEM, 0 },	/* LES */
	{ "66666666666666666666666666660fa2", 64, -EINVAL, 0, -1, -1, 0, 0 },
	{ "666666666666666666666666660fa2", 64, INSN_CPUID, 2, -1, -1, 0, 0 },
	{ "6666666666666666666666666666", 64, -EAGAIN, 0, -1, -1, 0, 0 },
	{ "", 64, -EAGAIN, 0, -1, -1, 0, 0 },
};

static unsigned from_hex(const char *hex, u8 *out)
{
	unsigned n;

	for (n = 0; hex[2 * n]; n++)
		assert_int_equal(sscanf(hex + 2 * n, "%2hhx", &out[n]), 1);
	return n;
}

static void test_rows(void **state)
{
	const struct row *r;
	struct insn in;
	unsigned len;
	u8 b[32];
	int err;

	(void)state;
	for (r = rows; r < rows + ARRAY_SIZE(rows); r++) {
		len = from_hex(r->hex, b);
		err = decode_exact(b, len, r->mode, &in);
		if (r->kind < 0) {
			if (err != r->kind)
				fail_msg("%s: %d", r->hex, err);
			continue;
		}
		if (err || in.len != len || in.kind != r->kind ||
		    in.size != r->size || (r->reg >= 0 && in.reg != r->reg) ||
		    (r->cr >= 0 && in.cr != r->cr) ||
		    (in.flags & r->flags) != r->flags ||
		    (r->flags & INSN_F_IMM && in.imm != r->imm))
			fail_msg("%s (%d): error %d len %u kind %u size %u reg "
				 "%u cr %u flags %#x imm %#lx", r->hex, r->mode,
				 err, in.len, in.kind, in.size, in.reg, in.cr,
				 in.flags, (long)in.imm);
	}
}

/* A prefix without effect makes no difference but in length. */
static void test_short_way(void **state)
{
	struct insn in, slow;
	unsigned op, modrm;
	u8 b[16] = { 0x3e, 0x0f };

	(void)state;
	for (op = 0; op < 256; op++) {
		for (modrm = 0; modrm < 256; modrm++) {
			b[2] = op;
			b[3] = modrm;
			if (insn_decode(b, 15, INSN_64, &slow))
				continue;
			assert_int_equal(insn_decode(b + 1, 14, INSN_64, &in),
					 0);
			slow.len--;
			assert_memory_equal(&in, &slow, sizeof(in));
		}
	}
}

static void check_prefixed(const char *hex, enum insn_mode mode, unsigned seg,
			   unsigned addr_size)
{
	struct insn in;
	u8 b[16];

	assert_int_equal(decode_exact(b, from_hex(hex, b), mode, &in), 0);
	assert_int_equal(in.seg, seg);
	assert_int_equal(in.addr_size, addr_size);
}

static void test_segments(void **state)
{
	(void)state;
	check_prefixed("8b07", INSN_64, INSN_NO_REG, 8);
	check_prefixed("648b07", INSN_64, JOIST_FS, 8);
	check_prefixed("658b07", INSN_64, JOIST_GS, 8);
	check_prefixed("65672e8b07", INSN_64, JOIST_GS, 4);
	check_prefixed("2e8b07", INSN_32, JOIST_CS, 4);
	check_prefixed("268b07", INSN_16, JOIST_ES, 2);
	check_prefixed("368b07", INSN_16, JOIST_SS, 2);
	check_prefixed("3e8b07", INSN_16, JOIST_DS, 2);
	check_prefixed("67368b07", INSN_16, JOIST_SS, 4);
	check_prefixed("678b07", INSN_32, INSN_NO_REG, 2);
}

/* ---- the CPU as judge ---- */

struct cpu {
	u64 gpr[16];		/* [4] is only read back */
	u64 rflags;
	const void *code;
} cpu_state;

extern const char cpu_back[];
void cpu_run(void);

/*
 * Takes cpu_state into the registers, jumps to .code, which ends in a jump to
 * cpu_back, and stores the registers again.  The stack is the caller's.
 */
asm(".text\n"
    "cpu_run:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, 32+cpu_state(%rip)\n"
    "	push 128+cpu_state(%rip); popfq\n"
    "	mov 0+cpu_state(%rip), %rax; mov 8+cpu_state(%rip), %rcx\n"
    "	mov 16+cpu_state(%rip), %rdx; mov 24+cpu_state(%rip), %rbx\n"
    "	mov 40+cpu_state(%rip), %rbp; mov 48+cpu_state(%rip), %rsi\n"
    "	mov 56+cpu_state(%rip), %rdi; mov 64+cpu_state(%rip), %r8\n"
    "	mov 72+cpu_state(%rip), %r9; mov 80+cpu_state(%rip), %r10\n"
    "	mov 88+cpu_state(%rip), %r11; mov 96+cpu_state(%rip), %r12\n"
    "	mov 104+cpu_state(%rip), %r13; mov 112+cpu_state(%rip), %r14\n"
    "	mov 120+cpu_state(%rip), %r15\n"
    "	jmp *136+cpu_state(%rip)\n"
    "cpu_back:\n"
    "	mov %rax, 0+cpu_state(%rip); mov %rcx, 8+cpu_state(%rip)\n"
    "	mov %rdx, 16+cpu_state(%rip); mov %rbx, 24+cpu_state(%rip)\n"
    "	mov %rbp, 40+cpu_state(%rip); mov %rsi, 48+cpu_state(%rip)\n"
    "	mov %rdi, 56+cpu_state(%rip); mov %r8, 64+cpu_state(%rip)\n"
    "	mov %r9, 72+cpu_state(%rip); mov %r10, 80+cpu_state(%rip)\n"
    "	mov %r11, 88+cpu_state(%rip); mov %r12, 96+cpu_state(%rip)\n"
    "	mov %r13, 104+cpu_state(%rip); mov %r14, 112+cpu_state(%rip)\n"
    "	mov %r15, 120+cpu_state(%rip)\n"
    "	pushfq; pop 128+cpu_state(%rip)\n"
    "	cld\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n");

#define CODE_SIZE	4096
#define DATA		(code + 1024)	/* the memory operand */

static u8 *code;

static int map_code(void **state)
{
	(void)state;
	code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return code == MAP_FAILED;
}

static int unmap_code(void **state)
{
	(void)state;
	return munmap(code, CODE_SIZE);
}

/* Runs the instruction on cpu_state. */
static void execute(const u8 *bytes, unsigned len)
{
	static const u8 jmp[6] = { 0xff, 0x25 };	/* jmp *0(%rip) */
	const void *back = cpu_back;

	memcpy(code, bytes, len);
	memcpy(code + len, jmp, 6);
	memcpy(code + len + 6, &back, 8);
	cpu_state.code = code;
	cpu_run();
}

/* The same with the decoder's helpers, the way an exit handler does it. */
static void emulate(const struct insn *in, u64 *gpr, u64 *rflags, u64 *mem)
{
	u64 mask = size_mask(in->size);
	u64 data = *mem & mask;
	u64 src = insn_source(in, gpr[in->reg]);
	u64 res = src;

	switch (in->kind) {
	case INSN_LOAD:
		gpr[in->reg] = insn_load_result(in, gpr[in->reg], data);
		break;
	case INSN_XCHG:
		gpr[in->reg] = insn_load_result(in, gpr[in->reg], data);
		break;
	case INSN_ALU:
		res = insn_alu(in, data, src, rflags);
		if (in->flags & INSN_F_TO_REG)
			gpr[in->reg] = insn_load_result(in, gpr[in->reg], res);
		break;
	}
	if (in->flags & INSN_F_WRITE)
		*mem = (*mem & ~mask) | res;
}

#define FLAGS_SEEN	(FLAGS_ALU | BIT(10))

static u64 undefined_flags(const struct insn *in)
{
	if (in->kind != INSN_ALU)
		return 0;
	if (in->alu >= ALU_BT)
		return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
	return in->alu == ALU_AND || in->alu == ALU_OR || in->alu == ALU_XOR ||
	       in->alu == ALU_TEST ? FLAG_AF : 0;
}

/* Values that meet carries and signs more often than random ones. */
static u64 interesting(void)
{
	static const u64 v[] = {
		0, 1, ~0ull, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
		0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff,
		0x8000000000000000, 0x0102030405060708,
	};

	return rnd() % 2 ? rnd() : v[rnd() % ARRAY_SIZE(v)];
}

/* Decodes, runs and emulates one instruction that works on DATA. */
static bool judge(const u8 *bytes, unsigned room)
{
	u64 gpr[16], rflags, mem, got;
	struct insn in;
	unsigned i;

	if (insn_decode(bytes, room, INSN_64, &in) || in.kind == INSN_OTHER)
		return false;
	if (in.reg == JOIST_RSP && !(in.flags & (INSN_F_HIGH | INSN_F_IMM)))
		return false;
	for (i = 0; i < 16; i++)
		gpr[i] = interesting();
	gpr[JOIST_RDI] = gpr[JOIST_R15] = (u64)(DATA);
	if (in.kind == INSN_ALU && in.alu >= ALU_BT &&
	    !(in.flags & INSN_F_IMM)) {
		/* A larger bit offset is another address. */
		if (in.reg == JOIST_RDI || in.reg == JOIST_R15)
			return false;
		gpr[in.reg] &= in.size * 8 - 1;
	}
	mem = interesting();
	rflags = (rnd() & FLAGS_ALU) | 0x202;

	memcpy(cpu_state.gpr, gpr, sizeof(gpr));
	cpu_state.rflags = rflags;
	memcpy(DATA, &mem, 8);
	execute(bytes, in.len);
	gpr[JOIST_RSP] = cpu_state.gpr[JOIST_RSP];
	emulate(&in, gpr, &rflags, &mem);
	memcpy(&got, DATA, 8);
	if (memcmp(gpr, cpu_state.gpr, sizeof(gpr)) || got != mem ||
	    (rflags ^ cpu_state.rflags) & FLAGS_SEEN & ~undefined_flags(&in)) {
		for (i = 0; i < in.len; i++)
			print_message("%02x ", bytes[i]);
		fail_msg("kind %u alu %u size %u reg %u: memory %#lx, CPU "
			 "%#lx; register %#lx, CPU %#lx; flags %#lx, CPU %#lx",
			 in.kind, in.alu, in.size, in.reg, (long)mem, (long)got,
			 (long)gpr[in.reg], (long)cpu_state.gpr[in.reg],
			 (long)rflags, (long)cpu_state.rflags);
	}
	return true;
}

#define IN_0F	0x0f00
#define IN_0F38	0x3800

/* All prefixes that matter, all registers, [rdi] or [r15], some rounds. */
static unsigned judge_opcode(unsigned opcode)
{
	static const u8 rex[] = { 0, 0x40, 0x41, 0x44, 0x48, 0x4c };
	unsigned form, n, k, count = 0;
	u8 b[24];

	for (form = 0; form < 2 * ARRAY_SIZE(rex) * 8 * 20; form++) {
		n = 0;
		if (form & 1)
			b[n++] = 0x66;
		if (rex[form / 2 % ARRAY_SIZE(rex)])
			b[n++] = rex[form / 2 % ARRAY_SIZE(rex)];
		if (opcode > 0xff)
			b[n++] = 0x0f;
		if (opcode >> 8 == 0x38)
			b[n++] = 0x38;
		b[n++] = opcode;
		b[n++] = (rnd() & 7) << 3 | JOIST_RDI;
		for (k = n; k < sizeof(b); k++)
			b[k] = rnd();
		count += judge(b, sizeof(b));
	}
	return count;
}

static bool cpu_has_movbe(void)
{
	u32 a = 1, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c & BIT(22);
}

static void test_cpu_agrees(void **state)
{
	static const u16 opcodes[] = {
		0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
		0x8a, 0x8b, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff,
		IN_0F | 0xa3, IN_0F | 0xab, IN_0F | 0xb3, IN_0F | 0xbb,
		IN_0F | 0xba, IN_0F | 0xb6, IN_0F | 0xb7, IN_0F | 0xbe,
		IN_0F | 0xbf, IN_0F | 0xc3, IN_0F38 | 0xf0, IN_0F38 | 0xf1,
	};
	unsigned i, op;

	(void)state;
	for (op = 0; op < 0x40; op++)
		if ((op & 7) < 4)
			assert_true(judge_opcode(op) > 500);
	for (i = 0; i < ARRAY_SIZE(opcodes); i++)
		if (opcodes[i] >> 8 != 0x38 || cpu_has_movbe())
			assert_true(judge_opcode(opcodes[i]) > 50);
}

static void test_cpu_agrees_moffs(void **state)
{
	static const u8 prefix[][2] = {
		{ 0, 0 }, { 0x66, 0 }, { 0x48, 0 }, { 0x40, 0 },
	};
	unsigned i, op, n;
	u64 addr = (u64)(DATA);
	u8 b[16];

	(void)state;
	for (op = 0xa0; op <= 0xa3; op++) {
		for (i = 0; i < 4 * 50; i++) {
			n = 0;
			if (prefix[i % 4][0])
				b[n++] = prefix[i % 4][0];
			b[n++] = op;
			memcpy(b + n, &addr, 8);
			assert_true(judge(b, n + 8));
		}
	}
}

/* LEA says where the CPU would go: any form, any registers. */
static void test_cpu_agrees_address(void **state)
{
	unsigned i, k, n, seen_rip = 0;
	struct insn in;
	u64 gpr[16];
	u8 b[16];

	(void)state;
	for (i = 0; i < 20000; i++) {
		n = 0;
		if (rnd() % 4 == 0)
			b[n++] = 0x67;
		b[n++] = 0x48 | (rnd() & 7);
		b[n++] = 0x8d;
		for (k = n; k < sizeof(b); k++)
			b[k] = rnd();
		assert_int_equal(insn_decode(b, sizeof(b), INSN_64, &in), 0);
		if (!(in.flags & INSN_F_MEM) || in.reg == JOIST_RSP)
			continue;
		for (k = 0; k < 16; k++)
			cpu_state.gpr[k] = gpr[k] = interesting();
		cpu_state.rflags = 0x202;
		execute(b, in.len);
		gpr[JOIST_RSP] = cpu_state.gpr[JOIST_RSP];
		if (insn_offset(&in, gpr, (u64)code) != cpu_state.gpr[in.reg])
			fail_msg("%02x %02x %02x %02x: %#lx, CPU %#lx", b[0],
				 b[1], b[2], b[3],
				 (long)insn_offset(&in, gpr, (u64)code),
				 (long)cpu_state.gpr[in.reg]);
		seen_rip += in.base == INSN_RIP;
	}
	assert_true(seen_rip > 100);
}

/* What no 64-bit code can have, and the segments. */
static void test_addresses(void **state)
{
	static const struct {
		const char *hex;
		enum insn_mode mode;
		u64 offset;
		bool stack;
	} rows[] = {
		{ "8b00", 16, 0x3000 + 0x6000, false },
		{ "8b4110", 16, 0x3000 + 0x7000 + 0x10, false },
		{ "8b82f0ff", 16, 0x5000 + 0x6000 - 0x10, true },
		{ "8b43f0", 16, 0x5000 + 0x7000 - 0x10, true },
		{ "8b04", 16, 0x6000, false },
		{ "8b05", 16, 0x7000, false },
		{ "8b064567", 16, 0x6745, false },
		{ "8b86ffff", 16, 0x4fff, true },
		{ "8b8700f0", 16, 0x2000, false },
		{ "678b8700f00000", 32, 0x2000, false },
		{ "678b0424", 16, 0x12344000, true },
		{ "8b4500", 32, 0x5000, true },
		{ "8b0578563412", 32, 0x12345678, false },
		{ "8b0578563412", 64, 0x1234567e + 0x100, false },
		{ "8b042578563412", 64, 0x12345678, false },
		{ "418b45ff", 64, 0xcfff, false },
		{ "428b442d08", 64, 0x5000 + 0xd000 + 8, true },
		{ "8b04e530000000", 32, 0x30, false },
		{ "a16745", 16, 0x4567, false },
		/* BT m32, rAX: bit 0xffffffe3 is in the dword before. */
		{ "0fa303", 32, 0x3000 - 4, false },
		{ "0fba2b3f", 32, 0x3000, false },
	};
	u64 gpr[16];
	struct insn in;
	unsigned i;
	u8 b[16];

	(void)state;
	for (i = 0; i < 16; i++)
		gpr[i] = i * 0x1000;
	gpr[JOIST_RAX] = 0xffffffe3;
	gpr[JOIST_RSP] = 0x12344000;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(decode_exact(b, from_hex(rows[i].hex, b),
					      rows[i].mode, &in), 0);
		if (insn_offset(&in, gpr, 0x100) != rows[i].offset ||
		    !!(in.flags & INSN_F_STACK) != rows[i].stack)
			fail_msg("%s: %#lx, stack %d", rows[i].hex,
				 (long)insn_offset(&in, gpr, 0x100),
				 !!(in.flags & INSN_F_STACK));
	}
}

static void test_ports_and_strings(void **state)
{
	struct insn in;
	u8 b[16];

	(void)state;
	/* OUT imm8: the immediate is the port, not the data. */
	assert_int_equal(decode_exact(b, from_hex("66e780", b), 64, &in), 0);
	assert_int_equal(insn_source(&in, 0x12345678), 0x5678);
	assert_int_equal(decode_exact(b, from_hex("ed", b), 64, &in), 0);
	assert_int_equal(insn_load_result(&in, ~0ull, 0x80000000), 0x80000000);
	assert_int_equal(decode_exact(b, from_hex("ec", b), 64, &in), 0);
	assert_int_equal(insn_load_result(&in, 0x1234, 0xff56), 0x1256);
	assert_int_equal(decode_exact(b, from_hex("66ad", b), 64, &in), 0);
	assert_int_equal(insn_load_result(&in, ~0ull, 0x80000000),
			 0xffffffffffff0000);
	assert_int_equal(decode_exact(b, from_hex("48ab", b), 64, &in), 0);
	assert_int_equal(insn_source(&in, ~1ull), ~1ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths_bash),
		cmocka_unit_test(test_lengths_libc),
		cmocka_unit_test(test_lengths_random_64),
		cmocka_unit_test(test_lengths_random_32),
		cmocka_unit_test(test_lengths_random_16),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_short_way),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_cpu_agrees),
		cmocka_unit_test(test_cpu_agrees_moffs),
		cmocka_unit_test(test_cpu_agrees_address),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_ports_and_strings),
	};

	return cmocka_run_group_tests(tests, map_code, unmap_code);
}
