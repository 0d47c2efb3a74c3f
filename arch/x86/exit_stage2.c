/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit_stage2.c -- accesses that second-level translation stops.
 *
 * A guest: its LAPIC page is served here, anything else is a device's and goes
 * to user space.  The control VM: device memory that is not mapped yet gets
 * mapped; memory that is not its own reads as all ones, and writes to it are
 * dropped.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "core/forbidden.h"
#include "core/log.h"

static u64 size_mask(u32 size)
{
	return ~0ull >> (64 - 8 * size);
}

/* The operand that is not memory. */
static u64 source(struct vcpu *v, const struct insn *in)
{
	return insn_source(in, in->flags & INSN_F_IMM ? 0 : v->gpr[in->reg]);
}

static void addr_reg_add(struct vcpu *v, enum joist_gpr r, const struct insn *in, s64 delta)
{
	u64 val = v->gpr[r] + (u64)delta;

	if (in->addr_size == 2)
		v->gpr[r] = (v->gpr[r] & ~0xffffull) | (val & 0xffff);
	else
		v->gpr[r] = in->addr_size == 4 ? (u32)val : val;
}

/* One iteration of STOS or LODS is done; REP goes on at the same RIP. */
static void string_step(struct vcpu *v, const struct insn *in)
{
	s64 delta = v->rflags & RFLAGS_DF ? -(s64)in->size : (s64)in->size;
	u64 mask = in->addr_size == 8 ? ~0ull : in->addr_size == 4 ? 0xffffffff : 0xffff;

	if (in->kind == INSN_STOS || in->kind == INSN_MOVS)
		addr_reg_add(v, JOIST_RDI, in, delta);
	if (in->kind == INSN_LODS || in->kind == INSN_MOVS)
		addr_reg_add(v, JOIST_RSI, in, delta);
	if (in->flags & (INSN_F_REP | INSN_F_REPNE)) {
		addr_reg_add(v, JOIST_RCX, in, -1);
		if (v->gpr[JOIST_RCX] & mask)
			return;
	}
	exit_step(v, in->len);
}

static bool is_string(const struct insn *in)
{
	return in->kind == INSN_STOS || in->kind == INSN_LODS || in->kind == INSN_MOVS;
}

static void step(struct vcpu *v, const struct insn *in)
{
	if (is_string(in))
		string_step(v, in);
	else
		exit_step(v, in->len);
}

/*
 * The instruction has read `data`.  True if it goes on to write *out to the
 * same place; otherwise it is done.
 */
static bool loaded(struct vcpu *v, const struct insn *in, u64 data, u64 *out)
{
	data &= size_mask(in->size);
	*out = data;
	switch (in->kind) {
	case INSN_ALU:
		*out = insn_alu(in, data, source(v, in), &v->rflags);
		if (in->flags & INSN_F_TO_REG)
			v->gpr[in->reg] = insn_load_result(in, v->gpr[in->reg], *out);
		break;
	case INSN_XCHG:
		*out = source(v, in);
		v->gpr[in->reg] = insn_load_result(in, v->gpr[in->reg], data);
		break;
	case INSN_MOVS:
		/* to memory: movs_load() */
		break;
	default:
		v->gpr[in->reg] = insn_load_result(in, v->gpr[in->reg], data);
	}
	if (in->kind != INSN_MOVS && (in->flags & INSN_F_WRITE))
		return true;
	step(v, in);
	return false;
}

/* Whether the access is a write and nothing else. */
static bool only_writes(const struct insn *in)
{
	return in->kind == INSN_STORE || in->kind == INSN_STOS;
}

/* SDM, "APIC Register Address Map": 32 bits at 16-byte boundaries. */
static u64 lapic_load(struct vcpu *v, u64 gpa)
{
	u32 reg = (u32)(gpa & (PAGE_SIZE - 1)) >> 4;
	u64 val = ~0ull;

	if (reg >= VLAPIC_REGS)
		return val;
	vlapic_read(&v->lapic, reg, false, vcpu_tsc(v), &val);
	return gpa & 12 ? 0 : (val & 0xffffffff) >> 8 * (gpa & 3);
}

static void lapic_store(struct vcpu *v, u64 gpa, u64 val, struct vlapic_action *a)
{
	u32 reg = (u32)(gpa & (PAGE_SIZE - 1)) >> 4;

	if (!(gpa & 15) && reg < VLAPIC_REGS)
		vlapic_write(&v->lapic, reg, false, (u32)val, vcpu_tsc(v), a);
}

static enum verdict lapic_access(struct vcpu *v, const struct insn *in, u64 gpa)
{
	struct vlapic_action a = {};
	u64 val;

	if (only_writes(in)) {
		val = source(v, in);
	} else if (!loaded(v, in, lapic_load(v, gpa), &val)) {
		return RETRY;
	}
	lapic_store(v, gpa, val, &a);
	step(v, in);
	return apic_act(v, &a, RETRY);
}

/* What of an instruction on device memory can be done here. */
static bool mmio_known(const struct insn *in)
{
	switch (in->kind) {
	case INSN_LOAD:
	case INSN_STORE:
	case INSN_STOS:
	case INSN_LODS:
	case INSN_MOVS:
	case INSN_ALU:
	case INSN_XCHG:
		return true;
	default:
		return false;
	}
}

static enum verdict mmio_write(struct vcpu *v, const struct insn *in, u64 gpa, u64 val)
{
	v->run->mmio.gpa = gpa;
	v->run->mmio.size = in->size;
	v->run->mmio.write = 1;
	v->run->mmio.data = val & size_mask(in->size);
	v->pending.kind = PENDING_NONE;
	step(v, in);
	v->forward = JOIST_EXIT_MMIO;
	return FORWARD;
}

static enum verdict mmio_read(struct vcpu *v, const struct insn *in, u64 gpa)
{
	v->run->mmio.gpa = gpa;
	v->run->mmio.size = in->size;
	v->run->mmio.write = 0;
	v->run->mmio.data = 0;
	v->pending.kind = PENDING_MMIO;
	v->pending.insn = *in;
	v->pending.gpa = gpa;
	v->forward = JOIST_EXIT_MMIO;
	return FORWARD;
}

/* What changes memory that may only be read: reading needs no device. */
static enum verdict read_only_modify(struct vcpu *v, const struct insn *in, u64 gpa)
{
	u64 data = 0, out;

	if (guest_read(v, GPA(gpa), &data, in->size))
		return mmio_read(v, in, gpa);
	return loaded(v, in, data, &out) ? mmio_write(v, in, gpa, out) : RETRY;
}

/* MOVS with a device at one end: the CPU has checked both addresses. */
static enum verdict movs(struct vcpu *v, const struct insn *in, u64 gpa)
{
	u64 data = 0, n;
	gpa_t to;

	if (!string_gpa(v, in, true, &to))
		return RETRY;
	if (to.v != gpa || guest_ptr_write(v, to, &n))
		return mmio_read(v, in, gpa);
	if (!string_move(v, in, (u8 *)&data, false))
		return RETRY;
	return mmio_write(v, in, gpa, data);
}

enum verdict exit_stage2(struct vcpu *v)
{
	u64 gpa = v->x.s2.gpa;
	struct insn in;
	int err;

	/* Neither a fetch nor a table walk nor event delivery is a device's. */
	if (v->x.s2.exec || v->x.s2.in_walk || v->reinject.info)
		return exit_error(v, v->reinject.info ? JOIST_ERR_EVENT : JOIST_ERR_EMULATE);
	err = guest_insn(v, &in);
	if (err == -EFAULT)
		return RETRY;
	if (err || !mmio_known(&in))
		return exit_error(v, JOIST_ERR_EMULATE);
	v->run->rip = v->rip;
	if (in.kind == INSN_MOVS)
		return movs(v, &in, gpa);
	if (gpa - VLAPIC_BASE_ADDR < PAGE_SIZE)
		return lapic_access(v, &in, gpa);
	if (only_writes(&in))
		return mmio_write(v, &in, gpa, source(v, &in));
	return read_only_modify(v, &in, gpa);
}

/* What user space answered to a read. */
enum verdict mmio_complete(struct vcpu *v)
{
	u64 data = __atomic_load_n(&v->run->mmio.data, __ATOMIC_RELAXED), out;
	const struct insn in = v->pending.insn;

	v->pending.kind = PENDING_NONE;
	if (in.kind == INSN_MOVS) {
		gpa_t to;
		u64 n;

		/* From one device to another: the second half is a write. */
		if (string_gpa(v, &in, true, &to) && !guest_ptr_write(v, to, &n))
			return mmio_write(v, &in, to.v, data);
		if (!string_move(v, &in, (u8 *)&data, true))
			return RETRY;
	}
	if (loaded(v, &in, data, &out))
		return mmio_write(v, &in, v->pending.gpa, out);
	return RETRY;
}

/* A write that must not happen: as if the memory were read-only. */
static enum verdict drop_write(struct vcpu *v)
{
	struct insn in;
	int err = guest_insn(v, &in);

	if (err == -EFAULT)
		return RETRY;
	if (err)
		return exit_gp(v);
	/* Its reading half finds ones. */
	if (in.kind == INSN_XCHG)
		v->gpr[in.reg] = insn_load_result(&in, v->gpr[in.reg], ~0ul);
	step(v, &in);
	return RETRY;
}

/* A load, done here: every one is counted.  Anything else finds a page. */
static enum verdict read_ones(struct vcpu *v, u64 gpa)
{
	struct insn in;

	u64 out;

	if (!guest_insn(v, &in) && (in.kind == INSN_LOAD || in.kind == INSN_LODS)) {
		loaded(v, &in, ~0ul, &out);
		return RETRY;
	}
	return forbidden_map_ones(gpa) ? exit_gp(v) : RETRY;
}

enum verdict control_stage2(struct vcpu *v)
{
	u64 gpa = v->x.s2.gpa;

	if (!forbidden(gpa))
		return control_map_device(gpa) ? exit_gp(v) : RETRY;
	forbidden_count(v, gpa, v->x.s2.write);
	/* Executing it, or walking tables in it, cannot be made to look right. */
	if (v->x.s2.exec || v->x.s2.in_walk)
		return exit_gp(v);
	if (v->x.s2.write)
		return drop_write(v);
	return read_ones(v, gpa);
}
