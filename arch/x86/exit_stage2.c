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

/* Where the value that an instruction stores comes from. */
static u64 store_value(struct vcpu *v, const struct insn *in)
{
	if (in->kind == INSN_STOS)
		return v->gpr[JOIST_RAX] & size_mask(in->size);
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

/* A value has been read for the instruction: put it where it belongs. */
static void load_finish(struct vcpu *v, const struct insn *in, u64 data)
{
	data &= size_mask(in->size);
	if (in->kind == INSN_LODS) {
		u64 mask = size_mask(in->size);

		v->gpr[JOIST_RAX] = in->size == 4 ? data :
				    (v->gpr[JOIST_RAX] & ~mask) | data;
		string_step(v, in);
		return;
	}
	if (in->kind == INSN_ALU) {
		u64 src = insn_source(in, in->flags & INSN_F_IMM ? 0 : v->gpr[in->reg]);

		data = insn_alu(in, data, src, &v->rflags);
		if (in->flags & INSN_F_TO_REG)
			v->gpr[in->reg] = insn_load_result(in, v->gpr[in->reg], data);
	} else {
		v->gpr[in->reg] = insn_load_result(in, v->gpr[in->reg], data);
	}
	exit_step(v, in->len);
}

static enum verdict lapic_access(struct vcpu *v, const struct insn *in, u64 gpa)
{
	u32 reg = (u32)(gpa & (PAGE_SIZE - 1)) >> 4;
	struct vlapic_action a = {};
	u64 val = ~0ull;

	/* SDM, "APIC Register Address Map": 32 bits at 16-byte boundaries. */
	if (in->flags & INSN_F_WRITE || in->kind == INSN_STOS) {
		if (!(gpa & 15) && reg < VLAPIC_REGS)
			vlapic_write(&v->lapic, reg, false, (u32)store_value(v, in),
				     vcpu_tsc(v), &a);
		if (is_string(in))
			string_step(v, in);
		else
			exit_step(v, in->len);
		return apic_act(v, &a, RETRY);
	}
	if (reg < VLAPIC_REGS) {
		vlapic_read(&v->lapic, reg, false, vcpu_tsc(v), &val);
		val = (val & 0xffffffff) >> 8 * (gpa & 3);
		if (gpa & 12)
			val = 0;
	}
	load_finish(v, in, val);
	return RETRY;
}

/* What of an instruction on device memory can be handed to user space. */
static bool mmio_known(const struct insn *in)
{
	switch (in->kind) {
	case INSN_LOAD:
	case INSN_STORE:
	case INSN_STOS:
	case INSN_LODS:
		return true;
	case INSN_ALU:
		/* Compares and register results; no read-modify-write. */
		return !(in->flags & INSN_F_WRITE);
	default:
		return false;
	}
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
	if (gpa - VLAPIC_BASE_ADDR < PAGE_SIZE)
		return lapic_access(v, &in, gpa);

	v->run->rip = v->rip;
	v->run->mmio.gpa = gpa;
	v->run->mmio.size = in.size;
	v->forward = JOIST_EXIT_MMIO;
	if (in.kind == INSN_STORE || in.kind == INSN_STOS) {
		v->run->mmio.write = 1;
		v->run->mmio.data = store_value(v, &in);
		if (is_string(&in))
			string_step(v, &in);
		else
			exit_step(v, in.len);
		return FORWARD;
	}
	v->run->mmio.write = 0;
	v->run->mmio.data = 0;
	v->pending.kind = PENDING_MMIO;
	v->pending.insn = in;
	return FORWARD;
}

void mmio_complete(struct vcpu *v)
{
	v->pending.kind = PENDING_NONE;
	load_finish(v, &v->pending.insn, __atomic_load_n(&v->run->mmio.data, __ATOMIC_RELAXED));
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
	if (is_string(&in))
		string_step(v, &in);
	else
		exit_step(v, in.len);
	return RETRY;
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
	return forbidden_map_ones(gpa) ? exit_gp(v) : RETRY;
}
