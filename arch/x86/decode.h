/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode.h -- how long an instruction is, and what it does to memory.
 *
 * The length is right for every x86-64 instruction; the meaning is given for
 * those that are intercepted and those that drivers use on MMIO.  Pure: bytes
 * in, struct out, no guest state.  Where memory is, the CPU mostly tells on the
 * exit; the parts of an address are here for when it cannot (operand.h).
 */
#ifndef ARCH_X86_DECODE_H
#define ARCH_X86_DECODE_H

#include "core/types.h"

#define INSN_MAX_LEN	15

enum insn_mode { INSN_16 = 16, INSN_32 = 32, INSN_64 = 64 };

enum insn_kind {
	INSN_OTHER,	/* length (and memory operand) only */

	/* Memory operand; the register forms of these are INSN_OTHER. */
	INSN_LOAD,	/* reg = memory; also moffs, MOVZX, MOVSX, MOVBE */
	INSN_STORE,	/* memory = reg or imm */
	INSN_XCHG,	/* memory <-> reg */
	INSN_ALU,	/* see insn_alu(): memory op= src, or reg op= memory */

	/* Strings: memory by rSI (seg, default DS) and ES:rDI. */
	INSN_STOS,
	INSN_MOVS,
	INSN_LODS,
	INSN_INS,	/* port in DX */
	INSN_OUTS,

	INSN_IN,	/* port in imm if INSN_F_IMM, else in DX */
	INSN_OUT,

	INSN_MOV_TO_CR,		/* cr = register number, reg = GPR */
	INSN_MOV_FROM_CR,
	INSN_MOV_TO_DR,
	INSN_MOV_FROM_DR,
	INSN_LMSW,		/* from memory if INSN_F_MEM, else from reg */
	INSN_SMSW,
	INSN_CLTS,
	INSN_INVLPG,		/* the address is the memory operand's */

	INSN_CPUID,
	INSN_RDMSR,
	INSN_WRMSR,
	INSN_RDTSC,
	INSN_RDTSCP,
	INSN_RDPMC,
	INSN_HLT,
	INSN_PAUSE,
	INSN_INVD,
	INSN_WBINVD,		/* and WBNOINVD */
	INSN_XSETBV,
	INSN_MONITOR,		/* and MONITORX */
	INSN_MWAIT,		/* and MWAITX */
	INSN_VMCALL,
	INSN_VMMCALL,
	INSN_VMRUN,
	INSN_VMLOAD,
	INSN_VMSAVE,
	INSN_STGI,
	INSN_CLGI,
	INSN_SKINIT,
	INSN_INVLPGA,
};

enum insn_map {
	INSN_MAP_1,		/* one-byte opcodes */
	INSN_MAP_0F,
	INSN_MAP_0F38,
	INSN_MAP_0F3A,
	INSN_MAP_VEX,		/* VEX, EVEX or XOP: kind is INSN_OTHER */
};

/* The first eight are numbered as in opcodes 80..83. */
enum insn_alu_op {
	ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP,
	ALU_TEST, ALU_NOT, ALU_NEG, ALU_INC, ALU_DEC,
	ALU_BT, ALU_BTS, ALU_BTR, ALU_BTC,
};

#define INSN_F_REP	0x0001	/* F3: REP, REPE */
#define INSN_F_REPNE	0x0002	/* F2 */
#define INSN_F_LOCK	0x0004
#define INSN_F_OPSIZE	0x0008	/* 66 */
#define INSN_F_MODRM	0x0010	/* modrm is valid */
#define INSN_F_MEM	0x0020	/* there is a memory operand */
#define INSN_F_STACK	0x0040	/* the memory operand's default segment is SS */
#define INSN_F_IMM	0x0080	/* imm is the operand, not reg */
#define INSN_F_HIGH	0x0100	/* reg 0..3 means AH, CH, DH, BH */
#define INSN_F_SIGN	0x0200	/* load sign-extends */
#define INSN_F_SWAP	0x0400	/* MOVBE */
#define INSN_F_READ	0x0800	/* reads the memory operand */
#define INSN_F_WRITE	0x1000	/* writes the memory operand */
#define INSN_F_TO_REG	0x2000	/* ALU: the result goes to reg */
#define INSN_F_REG_1ST	0x4000	/* ALU: reg op memory */

#define INSN_NO_REG	0xff	/* no segment, no base, no index */
#define INSN_RIP	16	/* as a base: the next instruction's address */

struct insn {
	u8 len;			/* bytes, prefixes included */
	u8 kind;		/* enum insn_kind */
	u8 map;			/* enum insn_map */
	u8 opcode;
	u16 flags;		/* INSN_F_* */
	u8 modrm;		/* raw, if INSN_F_MODRM */
	u8 rex;			/* 0 or 0x40..0x4f */
	u8 size;		/* of the memory or port operand: 1, 2, 4, 8 */
	u8 dest_size;		/* of reg; > size for MOVZX, MOVSX */
	u8 addr_size;		/* 2, 4, 8 */
	u8 seg;			/* enum joist_seg, INSN_NO_REG if none */
	u8 reg;			/* GPR operand, 0..15 */
	u8 cr;			/* MOV CR, MOV DR: its number */
	u8 alu;			/* INSN_ALU: enum insn_alu_op */
	u8 base, index;		/* of the address: GPR, INSN_RIP, INSN_NO_REG */
	u8 scale;		/* index << scale */
	u64 disp;		/* sign-extended */
	u64 imm;		/* sign-extended; a port is not */
};

/*
 * Decodes the instruction at bytes[0..len).  Bytes beyond the instruction are
 * not looked at.  -EAGAIN: it goes on beyond len, bring more; -EINVAL: no CPU
 * executes this (undefined opcode, over 15 bytes).  An opcode in 0F38, 0F3A,
 * VEX or EVEX space is not checked to exist: its length does not depend on it.
 */
int insn_decode(const u8 *bytes, unsigned len, enum insn_mode mode,
		struct insn *out);

/*
 * The memory operand's offset in its segment, for an instruction before rip;
 * strings have none of this kind.
 */
u64 insn_offset(const struct insn *in, const u64 gpr[16], u64 rip);

/*
 * The operand that is not memory: imm, or `gpr` (the whole register in->reg)
 * cut to the operand's size and byte order.  For INSN_STORE: what to write.
 */
u64 insn_source(const struct insn *in, u64 gpr);

/* New value of register in->reg, now `gpr`, when `data` is loaded into it. */
u64 insn_load_result(const struct insn *in, u64 gpr, u64 data);

/*
 * INSN_ALU: the result, in->size bytes of it, from the memory operand and
 * insn_source(); *rflags is updated.  Store it if INSN_F_WRITE, give it to
 * insn_load_result() if INSN_F_TO_REG, forget it otherwise.
 */
u64 insn_alu(const struct insn *in, u64 mem, u64 src, u64 *rflags);

#endif
