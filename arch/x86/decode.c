/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode.c -- instruction lengths, and meanings where we need them.
 *
 * Two tables of attributes, one for one-byte opcodes and one for 0F, say what
 * follows an opcode; that alone gives the length.  The few instructions that
 * are intercepted or that drivers use on MMIO are then described further.
 * Intel SDM "Instruction Format" and "Opcode Map"; where the vendors differ
 * (66 on a near branch in 64-bit code) Intel's reading is taken.
 *
 * Nothing is read before it was checked to be within the bytes given.
 */
#include "arch/x86/decode.h"
#include "core/bytes.h"
#include "core/errno.h"
#include "include/joist.h"

/* What follows the opcode, and how it is to be treated. */
#define M	0x0001	/* ModRM */
#define IB	0x0002	/* imm8 */
#define IW	0x0004	/* imm16 */
#define IZ	0x0008	/* imm16 or imm32 by operand size */
#define IV	0x0010	/* imm16, imm32 or imm64 by operand size */
#define J	0x0020	/* as IZ, but always 32 bits in 64-bit code */
#define AP	0x0040	/* far pointer */
#define MO	0x0080	/* absolute address, of address size */
#define B	0x0100	/* byte operand */
#define PFX	0x0200	/* legacy prefix */
#define REX	0x0400	/* REX in 64-bit code, INC/DEC elsewhere */
#define VEX	0x0800	/* may start a VEX, EVEX or XOP prefix */
#define X64	0x1000	/* undefined in 64-bit code */
#define UD	0x2000	/* undefined */
#define S	0x4000	/* describe_*() knows more */
#define R	0x8000	/* ModRM names registers, whatever mod says */

#define IMM	(IB | IW | IZ | IV | J | AP | MO)

#define ALU_ROW(o)							\
	[(o)] = M | B | S, [(o) + 1] = M | S,				\
	[(o) + 2] = M | B | S, [(o) + 3] = M | S,			\
	[(o) + 4] = IB, [(o) + 5] = IZ

static const u16 map_1[256] = {
	ALU_ROW(0x00), [0x06 ... 0x07] = X64,
	ALU_ROW(0x08), [0x0e] = X64,
	ALU_ROW(0x10), [0x16 ... 0x17] = X64,
	ALU_ROW(0x18), [0x1e ... 0x1f] = X64,
	ALU_ROW(0x20), [0x26] = PFX, [0x27] = X64,
	ALU_ROW(0x28), [0x2e] = PFX, [0x2f] = X64,
	ALU_ROW(0x30), [0x36] = PFX, [0x37] = X64,
	ALU_ROW(0x38), [0x3e] = PFX, [0x3f] = X64,
	[0x40 ... 0x4f] = REX,
	[0x60 ... 0x61] = X64,
	[0x62] = M | X64 | VEX,
	[0x63] = M | S,
	[0x64 ... 0x67] = PFX,
	[0x68] = IZ, [0x69] = M | IZ, [0x6a] = IB, [0x6b] = M | IB,
	[0x6c] = B | S, [0x6d] = S, [0x6e] = B | S, [0x6f] = S,
	[0x70 ... 0x7f] = IB,
	[0x80] = M | IB | B | S, [0x81] = M | IZ | S,
	[0x82] = M | IB | B | S | X64, [0x83] = M | IB | S,
	[0x84] = M | B | S, [0x85] = M | S, [0x86] = M | B | S, [0x87] = M | S,
	[0x88] = M | B | S, [0x89] = M | S, [0x8a] = M | B | S, [0x8b] = M | S,
	[0x8c ... 0x8e] = M, [0x8f] = M | VEX | S,
	[0x90] = S,
	[0x9a] = AP | X64,
	[0xa0] = MO | B | S, [0xa1] = MO | S,
	[0xa2] = MO | B | S, [0xa3] = MO | S,
	[0xa4] = B | S, [0xa5] = S,
	[0xa8] = IB, [0xa9] = IZ,
	[0xaa] = B | S, [0xab] = S, [0xac] = B | S, [0xad] = S,
	[0xb0 ... 0xb7] = IB, [0xb8 ... 0xbf] = IV,
	[0xc0 ... 0xc1] = M | IB, [0xc2] = IW,
	[0xc4 ... 0xc5] = M | X64 | VEX,
	[0xc6] = M | IB | B | S, [0xc7] = M | IZ | S,
	[0xc8] = IW | IB, [0xca] = IW, [0xcd] = IB, [0xce] = X64,
	[0xd0 ... 0xd3] = M, [0xd4 ... 0xd5] = IB | X64, [0xd6] = X64,
	[0xd8 ... 0xdf] = M,
	[0xe0 ... 0xe3] = IB,
	[0xe4] = IB | B | S, [0xe5] = IB | S,
	[0xe6] = IB | B | S, [0xe7] = IB | S,
	[0xe8 ... 0xe9] = J, [0xea] = AP | X64, [0xeb] = IB,
	[0xec] = B | S, [0xed] = S, [0xee] = B | S, [0xef] = S,
	[0xf0] = PFX, [0xf2 ... 0xf3] = PFX, [0xf4] = S,
	[0xf6] = M | B | S, [0xf7] = M | S,
	[0xfe] = M | B | S, [0xff] = M | S,
};

static const u16 map_0f[256] = {
	[0x00] = M, [0x01] = M | S, [0x02 ... 0x03] = M, [0x04] = UD,
	[0x0a] = UD, [0x0c] = UD, [0x0d] = M,
	[0x0f] = M | IB,		/* 3DNow!: the opcode comes last */
	[0x10 ... 0x1f] = M,
	[0x20 ... 0x23] = M | R | S, [0x24 ... 0x27] = UD,
	[0x28 ... 0x2f] = M,
	[0x36] = UD, [0x39] = UD, [0x3b ... 0x3f] = UD,
	[0x40 ... 0x6f] = M,
	[0x70 ... 0x73] = M | IB, [0x74 ... 0x76] = M,
	[0x78 ... 0x79] = M, [0x7a ... 0x7b] = UD, [0x7c ... 0x7f] = M,
	[0x80 ... 0x8f] = J, [0x90 ... 0x9f] = M,
	[0xa3] = M | S, [0xa4] = M | IB, [0xa5] = M, [0xa6 ... 0xa7] = UD,
	[0xab] = M | S, [0xac] = M | IB, [0xad ... 0xaf] = M,
	[0xb0 ... 0xb2] = M, [0xb3] = M | S, [0xb4 ... 0xb5] = M,
	[0xb6 ... 0xb8] = M | S, [0xb9] = M,
	[0xba] = M | IB | S, [0xbb] = M | S, [0xbc ... 0xbd] = M,
	[0xbe ... 0xbf] = M | S,
	[0xc0 ... 0xc1] = M, [0xc2] = M | IB, [0xc3] = M | S,
	[0xc4 ... 0xc6] = M | IB, [0xc7] = M,
	[0xd0 ... 0xff] = M,
};

/* 0F opcodes that mean one thing, whatever surrounds them. */
static const u8 kind_0f[256] = {
	[0x06] = INSN_CLTS,
	[0x08] = INSN_INVD,
	[0x09] = INSN_WBINVD,
	[0x30] = INSN_WRMSR,
	[0x31] = INSN_RDTSC,
	[0x32] = INSN_RDMSR,
	[0x33] = INSN_RDPMC,
	[0xa2] = INSN_CPUID,
};

/* 0F 01 with mod = 3, by the low six bits of ModRM. */
static const u8 kind_0f01[64] = {
	[0x01] = INSN_VMCALL,
	[0x08] = INSN_MONITOR,
	[0x09] = INSN_MWAIT,
	[0x11] = INSN_XSETBV,
	[0x18] = INSN_VMRUN,
	[0x19] = INSN_VMMCALL,
	[0x1a] = INSN_VMLOAD,
	[0x1b] = INSN_VMSAVE,
	[0x1c] = INSN_STGI,
	[0x1d] = INSN_CLGI,
	[0x1e] = INSN_SKINIT,
	[0x1f] = INSN_INVLPGA,
	[0x20 ... 0x27] = INSN_SMSW,
	[0x30 ... 0x37] = INSN_LMSW,
	[0x39] = INSN_RDTSCP,
	[0x3a] = INSN_MONITOR,		/* MONITORX */
	[0x3b] = INSN_MWAIT,		/* MWAITX */
};

#define REX_W		0x08
#define REX_R		0x04
#define REX_X		0x02
#define REX_B		0x01

#define MODRM_MOD(m)	((m) >> 6)
#define MODRM_REG(m)	((m) >> 3 & 7)
#define MODRM_RM(m)	((m) & 7)

/* Numbers with meaning in ModRM and SIB: SDM "ModR/M and SIB Bytes". */
#define RM_SIB		4	/* rm: a SIB byte follows */
#define RM_DISP		5	/* rm or base, mod 0: a displacement */
#define RM_DISP_16	6	/* the same with 16-bit addresses */

/* Where we are in the bytes. */
struct cursor {
	const u8 *bytes;
	unsigned pos;
	unsigned len;
};

static u64 get_le(const u8 *p, unsigned n)
{
	u64 v = 0;

	/* All but far pointers of 4 and 6 bytes have one of these. */
	switch (n) {
	case 1:
		return *p;
	case 2:
		return load16(p);
	case 4:
		return load32(p);
	case 8:
		return load64(p);
	}
	while (n--)
		v = v << 8 | p[n];
	return v;
}

static s64 sign_extend(u64 v, unsigned bytes)
{
	unsigned up = 64 - 8 * bytes;

	return (s64)(v << up) >> up;
}

static u64 size_mask(unsigned bytes)
{
	return ~0ull >> (64 - 8 * bytes);
}

/* More bytes could help, unless the length limit is what we ran into. */
static int cursor_short(const struct cursor *c)
{
	return c->len < INSN_MAX_LEN ? -EAGAIN : -EINVAL;
}

static int take(struct cursor *c, unsigned n, u64 *val)
{
	if (n > c->len - c->pos)
		return cursor_short(c);
	*val = get_le(c->bytes + c->pos, n);
	c->pos += n;
	return 0;
}

/* The displacement, n bytes, and whether the base makes SS the default. */
static int take_disp(struct cursor *c, unsigned n, struct insn *in)
{
	u64 v;
	int err = take(c, n, &v);

	if (!err && n)
		in->disp = (u64)sign_extend(v, n);
	if (in->base == JOIST_RSP || in->base == JOIST_RBP)
		in->flags |= INSN_F_STACK;
	return err;
}

/* SDM, "16-Bit Addressing Forms with the ModR/M Byte". */
static int take_address_16(struct cursor *c, struct insn *in)
{
	static const u8 base[8] = {
		JOIST_RBX, JOIST_RBX, JOIST_RBP, JOIST_RBP,
		JOIST_RSI, JOIST_RDI, JOIST_RBP, JOIST_RBX,
	};
	static const u8 index[4] = { JOIST_RSI, JOIST_RDI, JOIST_RSI, JOIST_RDI };
	unsigned mod = MODRM_MOD(in->modrm), rm = MODRM_RM(in->modrm);

	if (mod == 0 && rm == RM_DISP_16)
		return take_disp(c, 2, in);
	in->base = base[rm];
	if (rm < ARRAY_SIZE(index))
		in->index = index[rm];
	return take_disp(c, mod, in);
}

/* What follows ModRM for a memory operand: SIB byte, displacement. */
static int take_address(struct cursor *c, enum insn_mode mode, struct insn *in)
{
	unsigned mod = MODRM_MOD(in->modrm), rm = MODRM_RM(in->modrm), index;
	bool sib = rm == RM_SIB;
	u64 v;
	int err;

	if (in->addr_size == 2)
		return take_address_16(c, in);
	if (sib) {
		err = take(c, 1, &v);
		if (err)
			return err;
		index = (v >> 3 & 7) | (in->rex & REX_X ? 8 : 0);
		if (index != RM_SIB)
			in->index = index;
		in->scale = v >> 6;
		rm = v & 7;
	}
	if (mod || rm != RM_DISP)
		in->base = rm | (in->rex & REX_B ? 8 : 0);
	else if (!sib && mode == INSN_64)
		in->base = INSN_RIP;
	return take_disp(c, mod == 2 || (mod == 0 && rm == RM_DISP) ? 4 : mod, in);
}

static int take_modrm(struct cursor *c, enum insn_mode mode, unsigned attr,
		      struct insn *in)
{
	u64 modrm;
	int err = take(c, 1, &modrm);

	if (err)
		return err;
	in->modrm = modrm;
	in->flags |= INSN_F_MODRM;
	in->reg = MODRM_REG(modrm) | (in->rex & REX_R ? 8 : 0);
	if (attr & R || MODRM_MOD(modrm) == 3)
		return 0;
	in->flags |= INSN_F_MEM;
	return take_address(c, mode, in);
}

static int take_imm(struct cursor *c, enum insn_mode mode, unsigned attr,
		    struct insn *in)
{
	unsigned z = in->size == 2 ? 2 : 4;	/* only IV has 64 bits */
	unsigned n = 0;
	u64 v;
	int err;

	if (!(attr & IMM))
		return 0;
	if (attr & IB)
		n += 1;
	if (attr & IW)
		n += 2;
	if (attr & IZ)
		n += z;
	if (attr & IV)
		n += in->size;
	if (attr & J)
		n += mode == INSN_64 ? 4 : z;
	if (attr & AP)
		n += 2 + z;
	if (attr & MO)
		n += in->addr_size;
	err = take(c, n, &v);
	if (err)
		return err;
	if (attr & MO) {
		in->flags |= INSN_F_MEM;
		in->disp = v;
	} else if (attr & (IB | IZ | J) && n <= 4 && !(attr & IW)) {
		in->imm = sign_extend(v, n);
	} else {
		in->imm = v;
	}
	return 0;
}

/*
 * Byte registers 4..7 are AH, CH, DH, BH unless there is a REX prefix: SDM
 * "General-Purpose Registers".
 */
static void high_byte(struct insn *in)
{
	if (in->dest_size == 1 && !in->rex && in->reg >= 4) {
		in->reg -= 4;
		in->flags |= INSN_F_HIGH;
	}
}

static void memory_op(struct insn *in, enum insn_kind kind, unsigned flags)
{
	if (!(in->flags & INSN_F_MEM))
		return;		/* registers only: nothing to emulate */
	in->kind = kind;
	in->flags |= flags;
	if (!(flags & INSN_F_IMM))
		high_byte(in);
}

static void alu_op(struct insn *in, enum insn_alu_op op, unsigned flags)
{
	in->alu = op;
	if (op != ALU_CMP && op != ALU_TEST && op != ALU_BT)
		flags |= flags & INSN_F_REG_1ST ? INSN_F_TO_REG : INSN_F_WRITE;
	memory_op(in, INSN_ALU, INSN_F_READ | flags);
}

static void string_op(struct insn *in, enum insn_kind kind, unsigned flags)
{
	in->kind = kind;
	in->flags |= flags;
	in->reg = 0;
}

/* Ports are 4 bytes wide at most. */
static void io_size(struct insn *in)
{
	if (in->size == 8)
		in->size = in->dest_size = 4;
}

/* Groups 3, 4, 5: F6, F7, FE, FF. */
static int describe_unary(struct insn *in)
{
	unsigned op = MODRM_REG(in->modrm);

	if (in->opcode >= 0xfe) {
		if (op <= 1)
			alu_op(in, op ? ALU_DEC : ALU_INC, 0);
		else if (in->opcode == 0xfe || op == 7)
			return -EINVAL;
	} else if (op <= 1) {
		alu_op(in, ALU_TEST, INSN_F_IMM);
	} else if (op <= 3) {
		alu_op(in, op == 2 ? ALU_NOT : ALU_NEG, 0);
	}
	return 0;
}

/* One-byte opcodes that are marked S. */
static int describe_1(struct insn *in, enum insn_mode mode)
{
	unsigned op = in->opcode;

	if (op < 0x40) {
		alu_op(in, op >> 3, op & 2 ? INSN_F_REG_1ST : 0);
		return 0;
	}
	switch (op) {
	case 0x63:	/* MOVSXD; ARPL outside 64-bit code */
		if (mode != INSN_64)
			break;
		in->size = in->dest_size == 2 ? 2 : 4;
		memory_op(in, INSN_LOAD, INSN_F_READ | INSN_F_SIGN);
		break;
	case 0x6c: case 0x6d:
		string_op(in, INSN_INS, INSN_F_WRITE);
		io_size(in);
		break;
	case 0x6e: case 0x6f:
		string_op(in, INSN_OUTS, INSN_F_READ);
		io_size(in);
		break;
	case 0x80: case 0x81: case 0x82: case 0x83:
		alu_op(in, MODRM_REG(in->modrm), INSN_F_IMM);
		break;
	case 0x84: case 0x85:
		alu_op(in, ALU_TEST, 0);
		break;
	case 0x86: case 0x87:
		memory_op(in, INSN_XCHG, INSN_F_READ | INSN_F_WRITE);
		break;
	case 0x88: case 0x89:
		memory_op(in, INSN_STORE, INSN_F_WRITE);
		break;
	case 0x8a: case 0x8b:
		memory_op(in, INSN_LOAD, INSN_F_READ);
		break;
	case 0x8f:	/* POP */
		return MODRM_REG(in->modrm) ? -EINVAL : 0;
	case 0x90:
		if (in->flags & INSN_F_REP)
			in->kind = INSN_PAUSE;
		break;
	case 0xa0: case 0xa1:
		memory_op(in, INSN_LOAD, INSN_F_READ);
		break;
	case 0xa2: case 0xa3:
		memory_op(in, INSN_STORE, INSN_F_WRITE);
		break;
	case 0xa4: case 0xa5:
		string_op(in, INSN_MOVS, INSN_F_READ | INSN_F_WRITE);
		break;
	case 0xaa: case 0xab:
		string_op(in, INSN_STOS, INSN_F_WRITE);
		break;
	case 0xac: case 0xad:
		string_op(in, INSN_LODS, INSN_F_READ);
		break;
	case 0xc6: case 0xc7:
		if (in->modrm == 0xf8)
			break;		/* XABORT, XBEGIN */
		if (MODRM_REG(in->modrm))
			return -EINVAL;
		memory_op(in, INSN_STORE, INSN_F_WRITE | INSN_F_IMM);
		break;
	case 0xe4: case 0xe5: case 0xe6: case 0xe7:
		in->imm &= 0xff;
		in->flags |= INSN_F_IMM;
		/* fall through */
	case 0xec: case 0xed: case 0xee: case 0xef:
		in->kind = op & 2 ? INSN_OUT : INSN_IN;
		io_size(in);
		break;
	case 0xf4:
		in->kind = INSN_HLT;
		break;
	case 0xf6: case 0xf7: case 0xfe: case 0xff:
		return describe_unary(in);
	}
	return 0;
}

/* 0F 01: system instructions without number, by ModRM. */
static void describe_0f01(struct insn *in)
{
	unsigned op = MODRM_REG(in->modrm);

	if (!(in->flags & INSN_F_MEM)) {
		in->kind = kind_0f01[in->modrm & 63];
		if (in->kind == INSN_SMSW || in->kind == INSN_LMSW)
			in->reg = MODRM_RM(in->modrm) |
				  (in->rex & REX_B ? 8 : 0);
	} else if (op == 4) {
		in->kind = INSN_SMSW;
		in->size = 2;
		in->flags |= INSN_F_WRITE;
	} else if (op == 6) {
		in->kind = INSN_LMSW;
		in->size = 2;
		in->flags |= INSN_F_READ;
	} else if (op == 7) {
		in->kind = INSN_INVLPG;
	}
}

static void describe_mov_cr(struct insn *in, enum insn_mode mode)
{
	static const u8 kind[4] = {
		INSN_MOV_FROM_CR, INSN_MOV_FROM_DR,
		INSN_MOV_TO_CR, INSN_MOV_TO_DR,
	};

	in->kind = kind[in->opcode & 3];
	in->cr = in->reg;
	/* LOCK reaches CR8 without REX: APM "MOV CRn", AltMovCr8. */
	if (in->flags & INSN_F_LOCK && !(in->opcode & 1))
		in->cr |= 8;
	in->reg = MODRM_RM(in->modrm) | (in->rex & REX_B ? 8 : 0);
	in->size = in->dest_size = mode == INSN_64 ? 8 : 4;
}

/* 0F opcodes that are marked S. */
static int describe_0f(struct insn *in, enum insn_mode mode)
{
	unsigned op = in->opcode;
	unsigned sub = MODRM_REG(in->modrm);

	switch (op) {
	case 0x01:
		describe_0f01(in);
		break;
	case 0x20: case 0x21: case 0x22: case 0x23:
		describe_mov_cr(in, mode);
		break;
	case 0xa3: case 0xab: case 0xb3: case 0xbb:
		alu_op(in, ALU_BT + (op >> 3 & 3), 0);
		break;
	case 0xb6: case 0xb7: case 0xbe: case 0xbf:
		/* The opcode sizes the memory, prefixes the register. */
		in->size = op & 1 ? 2 : 1;
		memory_op(in, INSN_LOAD,
			  INSN_F_READ | (op & 8 ? INSN_F_SIGN : 0));
		break;
	case 0xb8:	/* POPCNT; without F3, IA-64's JMPE */
		return in->flags & INSN_F_REP ? 0 : -EINVAL;
	case 0xba:
		if (sub < 4)
			return -EINVAL;
		alu_op(in, ALU_BT + (sub & 3), INSN_F_IMM);
		break;
	case 0xc3:	/* MOVNTI, which takes no prefix to change it */
		if (in->flags & (INSN_F_OPSIZE | INSN_F_REP | INSN_F_REPNE))
			return -EINVAL;
		in->size = in->dest_size = in->rex & REX_W ? 8 : 4;
		memory_op(in, INSN_STORE, INSN_F_WRITE);
		break;
	}
	return 0;
}

/* MOVBE shares its opcodes with CRC32, which has an F2 prefix. */
static void describe_0f38(struct insn *in)
{
	if (in->flags & INSN_F_REPNE)
		return;
	if (in->opcode == 0xf0)
		memory_op(in, INSN_LOAD, INSN_F_READ | INSN_F_SWAP);
	else if (in->opcode == 0xf1)
		memory_op(in, INSN_STORE, INSN_F_WRITE | INSN_F_SWAP);
}

/*
 * The rest of a VEX, EVEX or XOP instruction; c stands behind its first byte.
 * Which map the opcode is in decides about an immediate; ModRM is always
 * there but for VZEROUPPER.  SDM "Intel AVX" (VEX), "Intel AVX-512" (EVEX),
 * APM "XOP Prefix".
 */
static int decode_vex(struct cursor *c, enum insn_mode mode, struct insn *in)
{
	unsigned first = in->opcode;
	unsigned extra = first == 0xc5 ? 1 : first == 0x62 ? 3 : 2;
	unsigned attr = M;
	unsigned map;
	u64 p, op;
	int err;

	/* Prefixes that VEX replaces must not be there: #UD. */
	if (in->rex || in->flags & (INSN_F_REP | INSN_F_REPNE | INSN_F_LOCK |
				    INSN_F_OPSIZE))
		return -EINVAL;
	err = take(c, extra, &p);
	if (!err)
		err = take(c, 1, &op);
	if (err)
		return err;

	map = 1;
	if (first == 0x62) {
		map = p & 7;
		/* Two fixed bits, and maps that are not defined. */
		if (p & 0x08 || !(p & 0x0400) || map == 0 || map == 4 ||
		    map == 7)
			return -EINVAL;
	} else if (first != 0xc5) {
		map = p & 0x1f;
		if (first == 0xc4 ? map < 1 || map > 3 : map > 10)
			return -EINVAL;
	}
	if (mode == INSN_64 && first == 0xc5) {
		in->rex = 0x40 | (p & 0x80 ? 0 : REX_R);
	} else if (mode == INSN_64) {
		in->rex = 0x40 | (~p >> 5 & (REX_R | REX_X | REX_B));
		if (p & 0x8000)
			in->rex |= REX_W;
	}

	if (map == 1 && first != 0x62 && op == 0x77)
		attr = 0;
	else if (map == 1 && ((op >= 0x70 && op <= 0x73) || op == 0xc2 ||
			      (op >= 0xc4 && op <= 0xc6)))
		attr |= IB;
	else if (map == 3 || map == 8)
		attr |= IB;
	else if (map == 10)
		attr |= IZ;

	in->map = INSN_MAP_VEX;
	in->opcode = op;
	in->size = in->dest_size = in->rex & REX_W ? 8 : 4;
	if (attr & M) {
		err = take_modrm(c, mode, attr, in);
		if (err)
			return err;
	}
	return take_imm(c, mode, attr, in);
}

static bool is_vex(const struct cursor *c, unsigned op, enum insn_mode mode)
{
	unsigned next = c->bytes[c->pos];

	if (op == 0x8f)		/* XOP's maps begin where POP's end */
		return (next & 0x1f) >= 8;
	/* Else these are LES, LDS and BOUND, which want memory. */
	return mode == INSN_64 || next >> 6 == 3;
}

/* The ABI numbers segment registers as the CPU does. */
static_assert(JOIST_ES == 0 && JOIST_CS == 1 && JOIST_SS == 2 &&
	      JOIST_DS == 3 && JOIST_FS == 4 && JOIST_GS == 5, "segments");

static void prefix(struct insn *in, unsigned op, enum insn_mode mode)
{
	switch (op) {
	case 0x66:
		in->flags |= INSN_F_OPSIZE;
		break;
	case 0x67:
		in->addr_size = mode == INSN_32 ? 2 : 4;
		break;
	case 0xf0:
		in->flags |= INSN_F_LOCK;
		break;
	case 0xf2:	/* of F2 and F3, the last one counts */
		in->flags = (in->flags & ~INSN_F_REP) | INSN_F_REPNE;
		break;
	case 0xf3:
		in->flags = (in->flags & ~INSN_F_REPNE) | INSN_F_REP;
		break;
	case 0x64: case 0x65:
		in->seg = op & 7;
		break;
	default:	/* 26, 2E, 36, 3E: without effect in 64-bit code */
		if (mode != INSN_64)
			in->seg = op >> 3 & 3;
	}
}

/* Prefixes and opcode; *attr of the opcode. */
static int take_opcode(struct cursor *c, enum insn_mode mode,
		       struct insn *in, unsigned *attr)
{
	unsigned op, a;

	for (;;) {
		if (c->pos >= c->len)
			return cursor_short(c);
		op = c->bytes[c->pos++];
		a = map_1[op];
		if (likely(!(a & (PFX | REX))))
			break;
		if (a & PFX) {
			prefix(in, op, mode);
			in->rex = 0;	/* counts right before the opcode */
			continue;
		}
		if (mode != INSN_64)
			break;
		in->rex = op;
	}

	if (op == 0x0f) {
		if (c->pos >= c->len)
			return cursor_short(c);
		op = c->bytes[c->pos++];
		in->map = INSN_MAP_0F;
		a = map_0f[op];
		if (op == 0x38 || op == 0x3a) {
			in->map = op == 0x38 ? INSN_MAP_0F38 : INSN_MAP_0F3A;
			a = op == 0x38 ? M | S : M | IB;
			if (c->pos >= c->len)
				return cursor_short(c);
			op = c->bytes[c->pos++];
		}
	}
	in->opcode = op;
	*attr = a;
	return 0;
}

/* SDM "Operand-Size and Address-Size Attributes". */
static unsigned operand_size(const struct insn *in, unsigned attr,
			     enum insn_mode mode)
{
	bool opsize = in->flags & INSN_F_OPSIZE;

	if (attr & B)
		return 1;
	if (in->rex & REX_W)
		return 8;
	return opsize == (mode == INSN_16) ? 4 : 2;
}

/* Immediates that depend on more than the opcode. */
static unsigned late_imm(const struct insn *in)
{
	if (in->map == INSN_MAP_1 && (in->opcode & 0xfe) == 0xf6 &&
	    MODRM_REG(in->modrm) < 2)
		return in->opcode & 1 ? IZ : IB;	/* TEST */
	if (in->map == INSN_MAP_0F && in->opcode == 0x78 &&
	    in->flags & (INSN_F_OPSIZE | INSN_F_REPNE))
		return IW;		/* EXTRQ, INSERTQ: two bytes */
	return 0;
}

static int describe(struct insn *in, unsigned attr, enum insn_mode mode)
{
	if (!(attr & S)) {
		if (in->map == INSN_MAP_0F)
			in->kind = kind_0f[in->opcode];
		return 0;
	}
	switch (in->map) {
	case INSN_MAP_1:
		return describe_1(in, mode);
	case INSN_MAP_0F:
		return describe_0f(in, mode);
	default:
		describe_0f38(in);
		return 0;
	}
}

int insn_decode(const u8 *bytes, unsigned len, enum insn_mode mode,
		struct insn *out)
{
	struct cursor c = { bytes, 0, MIN(len, INSN_MAX_LEN) };
	unsigned attr;
	int err;

	*out = (struct insn){
		.addr_size = mode / 8, .seg = INSN_NO_REG,
		.base = INSN_NO_REG, .index = INSN_NO_REG,
	};
	err = take_opcode(&c, mode, out, &attr);
	if (err)
		return err;

	if (unlikely(attr & VEX)) {
		if (c.pos >= c.len)
			return cursor_short(&c);
		if (is_vex(&c, out->opcode, mode)) {
			err = decode_vex(&c, mode, out);
			out->len = c.pos;
			return err;
		}
	}
	if (unlikely(attr & UD || (attr & X64 && mode == INSN_64)))
		return -EINVAL;

	out->size = out->dest_size = operand_size(out, attr, mode);
	if (attr & M) {
		err = take_modrm(&c, mode, attr, out);
		if (err)
			return err;
		attr |= late_imm(out);
	}
	if (attr & IMM) {
		err = take_imm(&c, mode, attr, out);
		if (err)
			return err;
	}
	out->len = c.pos;
	return describe(out, attr, mode);
}

/* BT and the like with a register reach any bit from there. */
static s64 bit_displacement(const struct insn *in, const u64 gpr[16])
{
	s64 bit = sign_extend(gpr[in->reg], in->size);

	if (in->kind != INSN_ALU || in->alu < ALU_BT || in->flags & INSN_F_IMM)
		return 0;
	return (bit >> 3) & -(s64)in->size;
}

u64 insn_offset(const struct insn *in, const u64 gpr[16], u64 rip)
{
	u64 at = in->disp + (u64)bit_displacement(in, gpr);

	if (in->base == INSN_RIP)
		at += rip + in->len;
	else if (in->base != INSN_NO_REG)
		at += gpr[in->base];
	if (in->index != INSN_NO_REG)
		at += gpr[in->index] << in->scale;
	return at & size_mask(in->addr_size);
}

static u64 swap_bytes(u64 v, unsigned bytes)
{
	return __builtin_bswap64(v) >> (64 - 8 * bytes);
}

u64 insn_source(const struct insn *in, u64 gpr)
{
	u64 v = gpr;

	/* With IN and OUT the immediate is the port, the data in rAX. */
	if (in->flags & INSN_F_IMM && in->kind != INSN_OUT)
		v = in->imm;
	else if (in->flags & INSN_F_HIGH)
		v >>= 8;
	v &= size_mask(in->size);
	return in->flags & INSN_F_SWAP ? swap_bytes(v, in->size) : v;
}

u64 insn_load_result(const struct insn *in, u64 gpr, u64 data)
{
	u64 mask = size_mask(in->dest_size);

	data &= size_mask(in->size);
	if (in->flags & INSN_F_SIGN)
		data = sign_extend(data, in->size);
	if (in->flags & INSN_F_SWAP)
		data = swap_bytes(data, in->size);
	data &= mask;

	/* Only 32-bit results clear the upper half: SDM "General-Purpose
	 * Registers in 64-Bit Mode". */
	if (in->dest_size >= 4)
		return data;
	if (in->flags & INSN_F_HIGH) {
		data <<= 8;
		mask <<= 8;
	}
	return (gpr & ~mask) | data;
}

#define FLAG_CF		BIT(0)
#define FLAG_PF		BIT(2)
#define FLAG_AF		BIT(4)
#define FLAG_ZF		BIT(6)
#define FLAG_SF		BIT(7)
#define FLAG_OF		BIT(11)
#define FLAGS_ALU							\
	(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* SF, ZF and PF; PF looks at the lowest byte only, whatever the size. */
static u64 result_flags(u64 r, u64 sign)
{
	u64 f = r & sign ? FLAG_SF : 0;
	u8 fold = r ^ r >> 4;

	fold ^= fold >> 2;
	fold ^= fold >> 1;
	if (!(fold & 1))
		f |= FLAG_PF;
	if (!(r & (sign | (sign - 1))))
		f |= FLAG_ZF;
	return f;
}

static u64 add_flags(u64 a, u64 b, u64 r, u64 sign)
{
	return (((a & b) | ((a | b) & ~r)) & sign ? FLAG_CF : 0) |
	       (((a ^ r) & (b ^ r)) & sign ? FLAG_OF : 0) |
	       ((a ^ b ^ r) & FLAG_AF) | result_flags(r, sign);
}

static u64 sub_flags(u64 a, u64 b, u64 r, u64 sign)
{
	return (((~a & b) | (~(a ^ b) & r)) & sign ? FLAG_CF : 0) |
	       (((a ^ b) & (a ^ r)) & sign ? FLAG_OF : 0) |
	       ((a ^ b ^ r) & FLAG_AF) | result_flags(r, sign);
}

/* A bit offset beyond the operand has moved the operand, not the bit. */
static u64 bit_op(const struct insn *in, u64 a, u64 b, u64 *rflags)
{
	u64 bit = BIT(b & (in->size * 8 - 1));

	*rflags = (*rflags & ~FLAG_CF) | (a & bit ? FLAG_CF : 0);
	switch (in->alu) {
	case ALU_BTS:
		return a | bit;
	case ALU_BTR:
		return a & ~bit;
	case ALU_BTC:
		return a ^ bit;
	default:
		return a;
	}
}

u64 insn_alu(const struct insn *in, u64 mem, u64 src, u64 *rflags)
{
	u64 mask = size_mask(in->size);
	u64 sign = BIT(in->size * 8 - 1);
	u64 a = (in->flags & INSN_F_REG_1ST ? src : mem) & mask;
	u64 b = (in->flags & INSN_F_REG_1ST ? mem : src) & mask;
	u64 carry = *rflags & FLAG_CF;
	u64 f, r;

	switch (in->alu) {
	case ALU_NOT:
		return ~a & mask;	/* the one that leaves flags alone */
	case ALU_BT: case ALU_BTS: case ALU_BTR: case ALU_BTC:
		return bit_op(in, a, b, rflags);
	case ALU_OR:
		r = a | b;
		f = result_flags(r, sign);
		break;
	case ALU_AND: case ALU_TEST:
		r = a & b;
		f = result_flags(r, sign);
		break;
	case ALU_XOR:
		r = a ^ b;
		f = result_flags(r, sign);
		break;
	case ALU_ADD:
		r = a + b;
		f = add_flags(a, b, r, sign);
		break;
	case ALU_ADC:
		r = a + b + carry;
		f = add_flags(a, b, r, sign);
		break;
	case ALU_INC:
		r = a + 1;
		f = (add_flags(a, 1, r, sign) & ~FLAG_CF) | carry;
		break;
	case ALU_DEC:
		r = a - 1;
		f = (sub_flags(a, 1, r, sign) & ~FLAG_CF) | carry;
		break;
	case ALU_NEG:
		r = -a;
		f = sub_flags(0, a, r, sign);
		break;
	case ALU_SBB:
		r = a - b - carry;
		f = sub_flags(a, b, r, sign);
		break;
	default:	/* SUB, CMP */
		r = a - b;
		f = sub_flags(a, b, r, sign);
		break;
	}
	*rflags = (*rflags & ~FLAGS_ALU) | f;
	return r & mask;
}
