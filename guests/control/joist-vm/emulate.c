/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * emulate.c -- instructions at device memory that the hypervisor hands out.
 *
 * Zydis says what an instruction is: its operands, their sizes, what is read and
 * written.  Those that only compute are put together anew, with a memory operand
 * of ours, and executed on this CPU (native.c), so that results and flags are the
 * CPU's own; those that move the stack or go elsewhere are carried out here.
 *
 * All pages are looked up and all faults found before the first byte moves; a
 * device sees nothing of an instruction that faults.
 */
#include <signal.h>
#include <string.h>
#include <Zydis/Zydis.h>

#include "emulate.h"
#include "native.h"

#define PAGE		4096
#define OPERANDS	ZYDIS_MAX_OPERAND_COUNT

#define CR0_PE		(1ull << 0)
#define CR4_LA57	(1ull << 12)
#define RFLAGS_DF	(1ull << 10)
#define RFLAGS_VM	(1ull << 17)
#define STATUS		0x8d5ull	/* CF PF AF ZF SF OF */

#define ATTR_CODE	(1u << 3)
#define ATTR_DOWN	(1u << 2)
#define ATTR_RW		(1u << 1)	/* data: written; code: read */
#define ATTR_DB		(1u << 14)
#define ATTR_UNUSABLE	(1u << 16)

#define X_DE		0
#define X_UD		6
#define X_SS		12
#define X_GP		13
#define X_PF		14
#define X_MF		16
#define X_AC		17
#define X_XM		19

/* The instruction at hand. */
struct op {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[OPERANDS];
	unsigned mode;		/* 16, 32, 64 */
	u64 next;		/* RIP behind it */
};

/* Bytes in memory that were looked up: at most two pages. */
struct span {
	unsigned parts;
	struct {
		u64 gva, gpa;
		u32 len;
		bool device;
	} part[2];
};

static enum emu_result cannot(struct emu *e, const char *why)
{
	e->why = why;
	return EMU_CANNOT;
}

static enum emu_result fault(struct emu *e, u32 vector)
{
	e->vector = vector;
	e->error = 0;
	e->has_error = vector == X_SS || vector == X_GP || vector == X_AC;
	return EMU_FAULT;
}

static u64 ones(unsigned bytes)
{
	return bytes >= 8 ? ~0ull : (1ull << 8 * bytes) - 1;
}

/* ---- registers ---- */

static bool is_gpr(ZydisRegister r)
{
	ZydisRegisterClass c = ZydisRegisterGetClass(r);

	return c == ZYDIS_REGCLASS_GPR8 || c == ZYDIS_REGCLASS_GPR16 ||
	       c == ZYDIS_REGCLASS_GPR32 || c == ZYDIS_REGCLASS_GPR64;
}

static bool is_high(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

/* enum joist_gpr of it. */
static unsigned gpr_number(ZydisRegister r)
{
	if (is_high(r))
		return (unsigned)(r - ZYDIS_REGISTER_AH);
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (unsigned)(r - ZYDIS_REGISTER_SPL) + 4;
	return (unsigned)ZydisRegisterGetId(r);
}

static unsigned gpr_bytes(ZydisRegister r)
{
	return ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, r) / 8;
}

static u64 gpr_get(const struct emu *e, ZydisRegister r)
{
	u64 val = e->regs.gpr[gpr_number(r)] >> (is_high(r) ? 8 : 0);

	return val & ones(gpr_bytes(r));
}

/* A register of that many bytes: 4 clear the upper half, fewer leave the rest. */
static void set_number(struct emu *e, unsigned nr, unsigned bytes, u64 val)
{
	u64 keep = bytes >= 4 ? 0 : ~ones(bytes);

	e->regs.gpr[nr] = (e->regs.gpr[nr] & keep) | (val & ones(bytes));
}

/* ---- memory ---- */

static bool wide(const struct op *op)
{
	return op->mode == 64;
}

static bool canonical(const struct emu *e, u64 at)
{
	unsigned up = e->regs.cr4 & CR4_LA57 ? 7 : 16;

	return (u64)((int64_t)(at << up) >> up) == at;
}

/* SDM, "Limit Checking", "Type Checking". */
static bool in_segment(const struct emu *e, const struct joist_segment *s,
		       u64 offset, u32 size, bool write)
{
	bool typed = (e->regs.cr0 & CR0_PE) && !(e->regs.rflags & RFLAGS_VM);
	u64 last = offset + size - 1;

	if (typed && ((s->attr & ATTR_UNUSABLE) ||
		      (write ? (s->attr & (ATTR_CODE | ATTR_RW)) != ATTR_RW :
		       (s->attr & (ATTR_CODE | ATTR_RW)) == ATTR_CODE)))
		return false;
	if ((s->attr & (ATTR_CODE | ATTR_DOWN)) == ATTR_DOWN)
		return offset > s->limit &&
		       last <= (s->attr & ATTR_DB ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

static enum emu_result linear(struct emu *e, const struct op *op,
			      enum joist_seg seg, u64 offset, u32 size,
			      bool write, u64 *at)
{
	const struct joist_segment *s = &e->regs.seg[seg];
	bool based = !wide(op) || seg == JOIST_FS || seg == JOIST_GS, ok;

	*at = offset + (based ? s->base : 0);
	if (wide(op)) {
		ok = canonical(e, *at) && canonical(e, *at + size - 1);
	} else {
		*at = (u32)*at;
		ok = in_segment(e, s, offset, size, write);
	}
	return ok ? EMU_DONE : fault(e, seg == JOIST_SS ? X_SS : X_GP);
}

static enum emu_result look_up(struct emu *e, struct span *s, u64 at, u32 len,
			       bool write)
{
	struct joist_access a = {
		.gva = at, .len = len,
		.flags = JOIST_ACCESS_TEST | (write ? JOIST_ACCESS_WRITE : 0),
	};

	if (e->world->access(e, &a))
		return cannot(e, "its page tables are not in memory");
	if (a.result == JOIST_ACCESS_LAPIC)
		return cannot(e, "it reaches the local APIC");
	if (a.result == JOIST_ACCESS_FAULT) {
		fault(e, X_PF);
		e->has_error = true;
		e->error = a.error;
		e->cr2 = at;
		return EMU_FAULT;
	}
	s->part[s->parts].gva = at;
	s->part[s->parts].gpa = a.gpa;
	s->part[s->parts].len = len;
	s->part[s->parts++].device = a.result == JOIST_ACCESS_DEVICE;
	return EMU_DONE;
}

/* Where size bytes lie; those that wrap at 4 GiB too. */
static enum emu_result find(struct emu *e, const struct op *op,
			    enum joist_seg seg, u64 offset, u32 size,
			    bool write, struct span *s)
{
	enum emu_result res;
	u64 at, next;
	u32 first;

	s->parts = 0;
	res = linear(e, op, seg, offset, size, write, &at);
	if (res)
		return res;
	first = MIN(size, (u32)(PAGE - at % PAGE));
	res = look_up(e, s, at, first, write);
	if (res || first == size)
		return res;
	next = at + first;
	return look_up(e, s, wide(op) ? next : (u32)next, size - first, write);
}

/* A device's part, in accesses that are powers of two. */
static void device(struct emu *e, u64 gpa, u8 *data, u32 len, bool write)
{
	u64 val;
	u32 n;

	for (; len; len -= n, gpa += n, data += n) {
		for (n = 8; n > len; n /= 2)
			;
		val = 0;
		if (write) {
			memcpy(&val, data, n);
			e->world->write(e, gpa, n, val);
		} else {
			val = e->world->read(e, gpa, n);
			memcpy(data, &val, n);
		}
	}
}

/* What another vCPU has changed meanwhile is lost, as it might be to a CPU. */
static void memory(struct emu *e, u64 gva, u8 *data, u32 len, bool write)
{
	struct joist_access a = {
		.gva = gva, .len = len, .flags = write ? JOIST_ACCESS_WRITE : 0,
	};

	if (write)
		memcpy(a.data, data, len);
	else
		memset(data, 0xff, len);
	if (!e->world->access(e, &a) && a.result == JOIST_ACCESS_MEMORY &&
	    !write)
		memcpy(data, a.data, len);
}

static void move(struct emu *e, const struct span *s, void *data, bool write)
{
	u8 *p = data;
	unsigned i;

	for (i = 0; i < s->parts; p += s->part[i++].len) {
		if (s->part[i].device)
			device(e, s->part[i].gpa, p, s->part[i].len, write);
		else
			memory(e, s->part[i].gva, p, s->part[i].len, write);
	}
}

static u64 load(struct emu *e, const struct span *s)
{
	u64 val = 0;

	move(e, s, &val, false);
	return val;
}

static void store(struct emu *e, const struct span *s, u64 val)
{
	move(e, s, &val, true);
}

/* ---- operands ---- */

static enum joist_seg segment(ZydisRegister r)
{
	/* Both in the CPU's order. */
	return (enum joist_seg)(r - ZYDIS_REGISTER_ES);
}

static u64 address_part(const struct emu *e, const struct op *op,
			ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return 0;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return op->next;
	return gpr_get(e, r);
}

static u64 offset_of(const struct emu *e, const struct op *op,
		     const ZydisDecodedOperand *o)
{
	u64 at = (u64)o->mem.disp.value;

	at += address_part(e, op, o->mem.base);
	at += address_part(e, op, o->mem.index) * o->mem.scale;
	return at & ones(op->insn.address_width / 8);
}

static enum emu_result find_operand(struct emu *e, const struct op *op,
				    const ZydisDecodedOperand *o, bool write,
				    struct span *s)
{
	return find(e, op, segment(o->mem.segment), offset_of(e, op, o),
		    o->size / 8, write, s);
}

/* The value of a register, an immediate, or a memory operand. */
static enum emu_result value(struct emu *e, const struct op *op,
			     const ZydisDecodedOperand *o, u64 *val)
{
	enum emu_result res;
	struct span s;

	switch (o->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (is_gpr(o->reg.value))
			*val = gpr_get(e, o->reg.value);
		else if (ZydisRegisterGetClass(o->reg.value) ==
			 ZYDIS_REGCLASS_SEGMENT)
			*val = e->regs.seg[segment(o->reg.value)].selector;
		else
			return cannot(e, "an operand nobody expects");
		return EMU_DONE;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		*val = o->imm.value.u;
		return EMU_DONE;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		if (o->size > 64)
			return cannot(e, "an operand nobody expects");
		res = find_operand(e, op, o, false, &s);
		if (!res)
			*val = load(e, &s);
		return res;
	default:
		return cannot(e, "an operand nobody expects");
	}
}

/* ---- what computes: on this CPU ---- */

static bool among(ZydisInstructionCategory c,
		  const ZydisInstructionCategory *list, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (list[i] == c)
			return true;
	return false;
}

static bool computes_integers(ZydisInstructionCategory c)
{
	static const ZydisInstructionCategory list[] = {
		ZYDIS_CATEGORY_BINARY, ZYDIS_CATEGORY_LOGICAL,
		ZYDIS_CATEGORY_CMOV, ZYDIS_CATEGORY_SETCC,
		ZYDIS_CATEGORY_SHIFT, ZYDIS_CATEGORY_ROTATE,
		ZYDIS_CATEGORY_BITBYTE, ZYDIS_CATEGORY_SEMAPHORE,
		ZYDIS_CATEGORY_LZCNT, ZYDIS_CATEGORY_BMI1,
		ZYDIS_CATEGORY_BMI2, ZYDIS_CATEGORY_ADOX_ADCX,
	};

	return among(c, list, ARRAY_SIZE(list));
}

/* MXCSR, x87's words and vector registers may have a part in these. */
static bool computes_vectors(ZydisInstructionCategory c)
{
	static const ZydisInstructionCategory list[] = {
		ZYDIS_CATEGORY_DATAXFER, ZYDIS_CATEGORY_CONVERT,
		ZYDIS_CATEGORY_MMX, ZYDIS_CATEGORY_SSE, ZYDIS_CATEGORY_STTNI,
		ZYDIS_CATEGORY_LOGICAL_FP, ZYDIS_CATEGORY_AES,
		ZYDIS_CATEGORY_SHA, ZYDIS_CATEGORY_PCLMULQDQ,
		ZYDIS_CATEGORY_AVX, ZYDIS_CATEGORY_AVX2,
		ZYDIS_CATEGORY_BROADCAST, ZYDIS_CATEGORY_VFMA,
		ZYDIS_CATEGORY_X87_ALU, ZYDIS_CATEGORY_FCMOV,
	};

	return among(c, list, ARRAY_SIZE(list));
}

/*
 * Those whose operand is not where, or as large as, it seems: a bit that a
 * register names may be anywhere, and a masked store leaves bytes as they are.
 */
static bool odd_operand(const struct op *op)
{
	switch (op->insn.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTC:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTS:
		return op->operand[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE;
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return true;
	default:
		return false;
	}
}

/* Its one memory operand, if it is one that native.c may execute. */
static int operand_to_move(const struct op *op)
{
	int at = -1, i;

	if (!(computes_integers(op->insn.meta.category) ||
	      computes_vectors(op->insn.meta.category)) || odd_operand(op))
		return -1;
	for (i = 0; i < op->insn.operand_count; i++) {
		const ZydisDecodedOperand *o = &op->operand[i];

		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
		    (ZydisRegisterGetClass(o->reg.value) ==
		     ZYDIS_REGCLASS_SEGMENT ||
		     ZydisRegisterGetClass(o->reg.value) ==
		     ZYDIS_REGCLASS_MASK))
			return -1;
		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (at >= 0 || o->mem.type != ZYDIS_MEMOP_TYPE_MEM ||
		    o->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT ||
		    !o->size || o->size % 8 || o->size / 8 > NATIVE_MEM)
			return -1;
		at = i;
	}
	return at;
}

/* PXOR is logic, too: what tells then is an operand. */
static bool uses_vectors(const struct op *op)
{
	unsigned i;

	if (computes_vectors(op->insn.meta.category))
		return true;
	for (i = 0; i < op->insn.operand_count_visible; i++) {
		const ZydisDecodedOperand *o = &op->operand[i];

		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    !is_gpr(o->reg.value))
			return true;
	}
	return false;
}

static bool uses_gpr(const struct op *op, unsigned nr)
{
	unsigned i;

	for (i = 0; i < op->insn.operand_count; i++) {
		const ZydisDecodedOperand *o = &op->operand[i];

		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    is_gpr(o->reg.value) && gpr_number(o->reg.value) == nr)
			return true;
	}
	return false;
}

/* RSP cannot be lent to the guest: another register stands for it. */
static ZydisRegister stand_in(ZydisRegister r, unsigned nr)
{
	switch (gpr_bytes(r)) {
	case 1: return (ZydisRegister)(ZYDIS_REGISTER_R8B + (nr - 8));
	case 2: return (ZydisRegister)(ZYDIS_REGISTER_R8W + (nr - 8));
	case 4: return (ZydisRegister)(ZYDIS_REGISTER_R8D + (nr - 8));
	default: return (ZydisRegister)(ZYDIS_REGISTER_R8 + (nr - 8));
	}
}

/* The same instruction for 64-bit code, with its memory operand at `at`. */
static int encode(const struct op *op, int moved, u64 at, unsigned spare,
		  u8 *code, ZyanUSize *len)
{
	ZydisEncoderRequest req;
	unsigned i;

	if (!ZYAN_SUCCESS(ZydisEncoderDecodedInstructionToEncoderRequest(
				&op->insn, op->operand,
				op->insn.operand_count_visible, &req)))
		return -1;
	req.machine_mode = ZYDIS_MACHINE_MODE_LONG_64;
	req.prefixes = 0;
	req.address_size_hint = ZYDIS_ADDRESS_SIZE_HINT_NONE;
	req.operand_size_hint = ZYDIS_OPERAND_SIZE_HINT_NONE;
	for (i = 0; i < req.operand_count; i++) {
		ZydisEncoderOperand *o = &req.operands[i];

		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    is_gpr(o->reg.value) && !is_high(o->reg.value) &&
		    gpr_number(o->reg.value) == JOIST_RSP)
			o->reg.value = stand_in(o->reg.value, spare);
	}
	req.operands[moved].mem.base = ZYDIS_REGISTER_RIP;
	req.operands[moved].mem.index = ZYDIS_REGISTER_NONE;
	req.operands[moved].mem.scale = 0;
	req.operands[moved].mem.displacement = (ZyanI64)at;
	return ZYAN_SUCCESS(ZydisEncoderEncodeInstructionAbsolute(
				&req, code, len, native_code())) ? 0 : -1;
}

static enum emu_result native_fault_of(struct emu *e, const struct op *op)
{
	switch (native.fault) {
	case SIGFPE:
		if (op->insn.meta.category == ZYDIS_CATEGORY_BINARY)
			return fault(e, X_DE);
		if (op->insn.meta.category == ZYDIS_CATEGORY_X87_ALU)
			return fault(e, X_MF);
		return fault(e, X_XM);
	case SIGILL:
		return fault(e, X_UD);
	case SIGBUS:
		return fault(e, X_AC);
	default:
		return fault(e, X_GP);
	}
}

/* Registers as they must be to go in, and come out of, native_run(). */
static void exchange(struct emu *e, unsigned spare, bool in)
{
	u64 rsp = e->regs.gpr[JOIST_RSP], kept = e->regs.gpr[spare];

	if (in) {
		memcpy(native.gpr, e->regs.gpr, sizeof(native.gpr));
		native.rflags = e->regs.rflags;
		native.gpr[spare] = rsp;
		return;
	}
	memcpy(e->regs.gpr, native.gpr, sizeof(native.gpr));
	e->regs.gpr[JOIST_RSP] = native.gpr[spare];
	e->regs.gpr[spare] = kept;
	e->regs.rflags = (e->regs.rflags & ~STATUS) | (native.rflags & STATUS);
}

static enum emu_result execute(struct emu *e, const struct op *op, int moved)
{
	const ZydisDecodedOperand *o = &op->operand[moved];
	bool reads = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	bool writes = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	bool vectors = uses_vectors(op);
	u8 code[ZYDIS_MAX_INSTRUCTION_LENGTH], *mem;
	ZyanUSize len = sizeof(code);
	enum emu_result res;
	unsigned spare = 8;
	struct span s;

	while (uses_gpr(op, spare))
		spare++;
	if (vectors && !native_has_xstate())
		return cannot(e, "this CPU has no XSAVE");
	res = find_operand(e, op, o, writes, &s);
	if (res)
		return res;
	mem = native_operand(s.part[0].gva);
	if (encode(op, moved, (u64)mem, spare, code, &len))
		return cannot(e, "it has no other form");
	if (vectors && e->world->xstate(e, false))
		return cannot(e, "vector registers cannot be had");
	memset(mem, 0, NATIVE_MEM);
	if (reads)
		move(e, &s, mem, false);
	exchange(e, spare, true);
	native.xstate = vectors ? (u64)e->xstate : 0;
	native_run(code, (unsigned)len);
	if (native.fault)
		return native_fault_of(e, op);
	exchange(e, spare, false);
	if (vectors && e->world->xstate(e, true))
		return cannot(e, "vector registers cannot be set");
	if (writes)
		move(e, &s, mem, true);
	return EMU_DONE;
}

/* ---- the stack ---- */

/* SDM, "Stack Segment": how many bytes of rSP count. */
static unsigned stack_bytes(const struct emu *e, const struct op *op)
{
	if (wide(op))
		return 8;
	return e->regs.seg[JOIST_SS].attr & ATTR_DB ? 4 : 2;
}

static u64 stack_pointer(const struct emu *e, const struct op *op, s64 delta)
{
	return (e->regs.gpr[JOIST_RSP] + (u64)delta) & ones(stack_bytes(e, op));
}

static void set_stack_pointer(struct emu *e, const struct op *op, u64 val)
{
	set_number(e, JOIST_RSP, stack_bytes(e, op), val);
}

static enum emu_result push(struct emu *e, const struct op *op, u64 val,
			    unsigned size)
{
	u64 sp = stack_pointer(e, op, -(s64)size);
	enum emu_result res;
	struct span s;

	res = find(e, op, JOIST_SS, sp, size, true, &s);
	if (res)
		return res;
	store(e, &s, val);
	set_stack_pointer(e, op, sp);
	return EMU_DONE;
}

/* How much PUSH, POP, CALL and RET move: of the hidden operand. */
static unsigned stack_size(const struct op *op)
{
	unsigned i;

	for (i = 0; i < op->insn.operand_count; i++)
		if (op->operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    op->operand[i].visibility ==
		    ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			return op->operand[i].size / 8;
	return op->insn.operand_width / 8;
}

static enum emu_result emu_push(struct emu *e, const struct op *op)
{
	unsigned size = stack_size(op);
	enum emu_result res;
	struct span s;
	u64 val;

	/* A fault of the stack comes before a device is read. */
	res = find(e, op, JOIST_SS, stack_pointer(e, op, -(s64)size), size,
		   true, &s);
	if (!res)
		res = value(e, op, &op->operand[0], &val);
	return res ? res : push(e, op, val, size);
}

static enum emu_result emu_pop(struct emu *e, const struct op *op)
{
	const ZydisDecodedOperand *o = &op->operand[0];
	unsigned size = stack_size(op);
	u64 sp = e->regs.gpr[JOIST_RSP], after, val;
	enum emu_result res;
	struct span from, to;

	if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && !is_gpr(o->reg.value))
		return cannot(e, "it loads a segment");
	res = find(e, op, JOIST_SS, stack_pointer(e, op, 0), size, false,
		   &from);
	if (res)
		return res;
	/* An address with rSP in it is one after the increment. */
	set_stack_pointer(e, op, stack_pointer(e, op, (s64)size));
	after = e->regs.gpr[JOIST_RSP];
	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
		res = find_operand(e, op, o, true, &to);
	e->regs.gpr[JOIST_RSP] = sp;
	if (res)
		return res;
	val = load(e, &from);
	e->regs.gpr[JOIST_RSP] = after;
	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
		store(e, &to, val);
	else
		set_number(e, gpr_number(o->reg.value), size, val);
	return EMU_DONE;
}

static enum emu_result emu_pushf(struct emu *e, const struct op *op)
{
	/* RF and VM are not pushed. */
	if ((e->regs.rflags & RFLAGS_VM) && (e->regs.rflags >> 12 & 3) < 3)
		return fault(e, X_GP);
	return push(e, op, e->regs.rflags & 0xfcffff, stack_size(op));
}

static enum emu_result emu_leave(struct emu *e, const struct op *op)
{
	unsigned size = stack_size(op);
	u64 from = e->regs.gpr[JOIST_RBP] & ones(stack_bytes(e, op));
	enum emu_result res;
	struct span s;

	res = find(e, op, JOIST_SS, from, size, false, &s);
	if (res)
		return res;
	set_number(e, JOIST_RBP, size, load(e, &s));
	set_stack_pointer(e, op, from + size);
	return EMU_DONE;
}

/* ---- going elsewhere ---- */

static enum emu_result target_ok(struct emu *e, const struct op *op, u64 to)
{
	bool ok = wide(op) ? canonical(e, to) :
			     to <= e->regs.seg[JOIST_CS].limit;

	return ok ? EMU_DONE : fault(e, X_GP);
}

/* Near CALL and JMP, by register, immediate or memory. */
static enum emu_result emu_branch(struct emu *e, struct op *op)
{
	const ZydisDecodedOperand *o = &op->operand[0];
	bool call = op->insn.mnemonic == ZYDIS_MNEMONIC_CALL;
	unsigned size = wide(op) ? 8 : op->insn.operand_width / 8;
	enum emu_result res = EMU_DONE;
	struct span s;
	u64 to;

	if (op->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return cannot(e, "it loads a segment");
	if (call)
		res = find(e, op, JOIST_SS, stack_pointer(e, op, -(s64)size),
			   size, true, &s);
	if (!res)
		res = value(e, op, o, &to);
	if (res)
		return res;
	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o->imm.is_relative)
		to += op->next;
	to &= ones(size);
	res = target_ok(e, op, to);
	if (!res && call)
		res = push(e, op, op->next, size);
	if (!res)
		op->next = to;
	return res;
}

static enum emu_result emu_ret(struct emu *e, struct op *op)
{
	unsigned size = wide(op) ? 8 : op->insn.operand_width / 8;
	u64 more = 0, to;
	enum emu_result res;
	struct span s;

	if (op->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return cannot(e, "it loads a segment");
	if (op->operand[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		more = op->operand[0].imm.value.u & 0xffff;
	res = find(e, op, JOIST_SS, stack_pointer(e, op, 0), size, false, &s);
	if (res)
		return res;
	to = load(e, &s) & ones(size);
	res = target_ok(e, op, to);
	if (res)
		return res;
	set_stack_pointer(e, op, stack_pointer(e, op, (s64)(size + more)));
	op->next = to;
	return EMU_DONE;
}

/* ---- strings that compare ---- */

/* CMP a, b: the status flags. */
static u64 compare(u64 a, u64 b, unsigned size)
{
	u64 flags;

	switch (size) {
	case 1:
		asm("cmpb %b2, %b1; pushfq; popq %0" : "=r"(flags) :
		    "q"(a), "q"(b) : "cc");
		break;
	case 2:
		asm("cmpw %w2, %w1; pushfq; popq %0" : "=r"(flags) :
		    "r"(a), "r"(b) : "cc");
		break;
	case 4:
		asm("cmpl %k2, %k1; pushfq; popq %0" : "=r"(flags) :
		    "r"(a), "r"(b) : "cc");
		break;
	default:
		asm("cmpq %2, %1; pushfq; popq %0" : "=r"(flags) :
		    "r"(a), "r"(b) : "cc");
	}
	return flags & STATUS;
}

static void string_step(struct emu *e, const struct op *op, unsigned nr,
			unsigned size)
{
	unsigned bytes = op->insn.address_width / 8;
	s64 delta = e->regs.rflags & RFLAGS_DF ? -(s64)size : (s64)size;

	set_number(e, nr, bytes, e->regs.gpr[nr] + (u64)delta);
}

/* One element of CMPS or SCAS; with REP, what is left comes again. */
static enum emu_result emu_compare(struct emu *e, struct op *op, unsigned size)
{
	bool scas = op->insn.meta.category == ZYDIS_CATEGORY_STRINGOP &&
		    op->operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER;
	bool repe = op->insn.attributes & ZYDIS_ATTRIB_HAS_REPE;
	bool repne = op->insn.attributes & ZYDIS_ATTRIB_HAS_REPNE;
	unsigned bytes = op->insn.address_width / 8, i;
	struct span at[2];
	u64 val[2], flags;
	enum emu_result res;

	if ((repe || repne) && !(e->regs.gpr[JOIST_RCX] & ones(bytes)))
		return EMU_DONE;
	for (i = scas; i < 2; i++) {
		res = find_operand(e, op, &op->operand[i], false, &at[i]);
		if (res)
			return res;
	}
	val[0] = e->regs.gpr[JOIST_RAX] & ones(size);
	for (i = scas; i < 2; i++)
		val[i] = load(e, &at[i]);
	flags = compare(val[0], val[1], size);
	e->regs.rflags = (e->regs.rflags & ~STATUS) | flags;
	string_step(e, op, JOIST_RDI, size);
	if (!scas)
		string_step(e, op, JOIST_RSI, size);
	if (!repe && !repne)
		return EMU_DONE;
	set_number(e, JOIST_RCX, bytes, e->regs.gpr[JOIST_RCX] - 1);
	if ((e->regs.gpr[JOIST_RCX] & ones(bytes)) &&
	    !(flags >> 6 & 1) == repne)
		op->next = e->regs.rip;
	return EMU_DONE;
}

/* ---- segments and CR0 ---- */

/* MOV m16, Sreg and SMSW m16. */
static enum emu_result store_word(struct emu *e, const struct op *op, u16 val)
{
	enum emu_result res;
	struct span s;

	res = find_operand(e, op, &op->operand[0], true, &s);
	if (!res)
		store(e, &s, val);
	return res;
}

static enum emu_result emu_mov_segment(struct emu *e, const struct op *op)
{
	const ZydisDecodedOperand *from = &op->operand[1];

	if (op->operand[0].type != ZYDIS_OPERAND_TYPE_MEMORY)
		return cannot(e, "it loads a segment");
	return store_word(e, op,
			  e->regs.seg[segment(from->reg.value)].selector);
}

static enum emu_result emu_lmsw(struct emu *e, const struct op *op)
{
	enum emu_result res;
	u64 val;

	if ((e->regs.rflags & RFLAGS_VM) || ((e->regs.cr0 & CR0_PE) &&
	    (e->regs.seg[JOIST_CS].selector & 3)))
		return fault(e, X_GP);
	res = value(e, op, &op->operand[0], &val);
	if (res)
		return res;
	/* It cannot clear PE. */
	e->regs.cr0 = (e->regs.cr0 & ~0xeull) | (val & 0xf);
	e->cr0_changed = true;
	return EMU_DONE;
}

/* ---- all of them ---- */

static bool moves_segment(const struct op *op)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		if (op->operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(op->operand[i].reg.value) ==
		    ZYDIS_REGCLASS_SEGMENT)
			return op->insn.mnemonic == ZYDIS_MNEMONIC_MOV;
	return false;
}

static enum emu_result carry_out(struct emu *e, struct op *op)
{
	int moved;

	switch (op->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
		return emu_push(e, op);
	case ZYDIS_MNEMONIC_POP:
		return emu_pop(e, op);
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
		return emu_pushf(e, op);
	case ZYDIS_MNEMONIC_LEAVE:
		return emu_leave(e, op);
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_JMP:
		return emu_branch(e, op);
	case ZYDIS_MNEMONIC_RET:
		return emu_ret(e, op);
	case ZYDIS_MNEMONIC_CMPSB: case ZYDIS_MNEMONIC_SCASB:
		return emu_compare(e, op, 1);
	case ZYDIS_MNEMONIC_CMPSW: case ZYDIS_MNEMONIC_SCASW:
		return emu_compare(e, op, 2);
	case ZYDIS_MNEMONIC_SCASD:
		return emu_compare(e, op, 4);
	case ZYDIS_MNEMONIC_CMPSQ: case ZYDIS_MNEMONIC_SCASQ:
		return emu_compare(e, op, 8);
	case ZYDIS_MNEMONIC_CMPSD:
		/* There is an SSE instruction of that name. */
		if (op->insn.meta.category == ZYDIS_CATEGORY_STRINGOP)
			return emu_compare(e, op, 4);
		break;
	case ZYDIS_MNEMONIC_LMSW:
		return emu_lmsw(e, op);
	case ZYDIS_MNEMONIC_SMSW:
		return store_word(e, op, (u16)e->regs.cr0);
	default:
		break;
	}
	if (moves_segment(op))
		return emu_mov_segment(e, op);
	moved = operand_to_move(op);
	return moved < 0 ? cannot(e, "no rule for it") : execute(e, op, moved);
}

enum emu_result emulate(struct emu *e, const u8 *bytes, unsigned len,
			unsigned mode)
{
	static const struct { ZydisMachineMode mode; ZydisStackWidth width; }
	modes[] = {
		{ ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
		{ ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	};
	unsigned i = mode == 64 ? 2 : mode == 32;
	struct joist_regs before = e->regs;
	enum emu_result res;
	ZydisDecoder decoder;
	struct op op;

	memset(&op, 0, sizeof(op));
	e->cr0_changed = false;
	op.mode = mode;
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, modes[i].mode,
					   modes[i].width)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, len,
						 &op.insn, op.operand)))
		return cannot(e, "Zydis does not know it");
	op.next = e->regs.rip + op.insn.length;
	if (!wide(&op))
		op.next = (u32)op.next;
	res = carry_out(e, &op);
	if (res)
		e->regs = before;
	else
		e->regs.rip = op.next;
	return res;
}
