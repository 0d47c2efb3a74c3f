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
#include "arch/x86/operand.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "core/forbidden.h"
#include "core/log.h"
#include "core/string.h"

static u64 size_mask(u32 size)
{
	return ~0ull >> (64 - 8 * size);
}

/* The operand that is not memory. */
static u64 source(struct vcpu *v, const struct insn *in)
{
	return insn_source(in, in->flags & INSN_F_IMM ? 0 : v->gpr[in->reg]);
}

static void step(struct vcpu *v, const struct insn *in)
{
	if (insn_is_string(in))
		string_advance(v, in, 1);
	else
		exit_step(v, in->len);
}

/*
 * The instruction has read `data`.  True if it goes on to write *out to the
 * same place, or a string to its other end.
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
		break;
	default:
		v->gpr[in->reg] = insn_load_result(in, v->gpr[in->reg], data);
	}
	return in->flags & INSN_F_WRITE;
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

static bool in_lapic(struct vcpu *v, u64 gpa)
{
	return !v->control && gpa - VLAPIC_BASE_ADDR < PAGE_SIZE;
}

/* The access is complete, and nothing of it waits any more. */
static void finish(struct vcpu *v)
{
	v->pending.kind = PENDING_NONE;
	step(v, &v->pending.insn);
}

/* A part in the LAPIC's page.  DONE, FORWARD: the instruction is complete. */
static enum verdict lapic_part(struct vcpu *v, u64 gpa, void *data, u32 n)
{
	struct pending *p = &v->pending;
	struct vlapic_action a = {};
	u64 val = 0;

	p->done += n;
	if (!p->write) {
		val = lapic_load(v, gpa);
		memcpy(data, &val, n);
		return RETRY;
	}
	memcpy(&val, data, n);
	lapic_store(v, gpa, val, &a);
	/* What acts is no part, but the whole of it. */
	if (!a.what)
		return RETRY;
	finish(v);
	return apic_act(v, &a, RETRY) == FORWARD ? FORWARD : DONE;
}

/* A part that a device is to do: as much of it as one access can be. */
static enum verdict device_part(struct vcpu *v, u64 gpa, u32 n)
{
	struct pending *p = &v->pending;

	n = 1u << (31 - __builtin_clz(n));
	v->run->mmio.gpa = gpa;
	v->run->mmio.size = (u8)n;
	v->run->mmio.write = p->write;
	v->run->mmio.data = p->write ? p->data >> 8 * p->done & size_mask(n) : 0;
	v->forward = JOIST_EXIT_MMIO;
	p->size = (u8)n;
	p->kind = PENDING_MMIO;
	if (p->write && p->done + n == p->insn.size)
		finish(v);
	return FORWARD;
}

/* One part of the access, within a page: memory, the LAPIC, or a device.  RETRY:
 * go on with the next. */
static enum verdict part(struct vcpu *v)
{
	struct pending *p = &v->pending;
	u64 gpa = 0, left = 0, n;
	u8 *data = (u8 *)&p->data + p->done;
	void *mem;

	/* Both pages were found before. */
	places_gpa(&p->at, p->at.linear + p->done, &gpa, &left);
	left = MIN(left, (u64)p->insn.size - p->done);
	mem = p->write ? guest_ptr_write(v, GPA(gpa), &n) : guest_ptr(v, GPA(gpa), &n);
	if (!mem && in_lapic(v, gpa))
		return lapic_part(v, gpa, data, (u32)left);
	if (!mem && !v->control)
		return device_part(v, gpa, (u32)left);
	/* To the control VM, what is not its own is all ones for ever. */
	if (p->write && mem)
		memcpy(mem, data, left);
	else if (mem)
		memcpy(data, mem, left);
	else if (!p->write)
		memset(data, 0xff, left);
	p->done += (u8)left;
	return RETRY;
}

/* Goes on with the access at hand until it is done, or RUN must end. */
static enum verdict go_on(struct vcpu *v)
{
	struct pending *p = &v->pending;
	enum verdict verdict;

	for (;;) {
		while (p->done < p->insn.size) {
			verdict = part(v);
			if (verdict != RETRY)
				return verdict == DONE ? RETRY : verdict;
		}
		if (p->write)
			break;
		if (p->insn.kind == INSN_OUTS)
			return outs_from_device(v);
		if (!loaded(v, &p->insn, p->data, &p->data))
			break;
		if (p->insn.kind == INSN_MOVS)
			p->at = p->to;
		p->write = true;
		p->done = 0;
	}
	finish(v);
	return RETRY;
}

static enum verdict begin(struct vcpu *v, bool write, u64 data)
{
	struct pending *p = &v->pending;

	p->write = write;
	p->data = data;
	p->done = 0;
	return go_on(v);
}

/*
 * Where the instruction's memory is, of which one piece is at gpa.  The CPU tells
 * no more: an address at the begin of a page may be the second half of one that
 * begins in another.
 */
static int find_operands(struct vcpu *v, u64 gpa)
{
	struct pending *p = &v->pending;
	const struct insn *in = &p->insn;
	u64 offset = gpa & (PAGE_SIZE - 1);
	bool dest = in->kind == INSN_STOS;
	int err;

	if (in->kind == INSN_MOVS) {
		err = operand_find(v, in, false, false, &p->at);
		return err ? err : operand_find(v, in, true, true, &p->to);
	}
	if (in->size == 1 || (offset ? offset + in->size <= PAGE_SIZE :
				       operand_in_page(v, in, dest))) {
		places_set(&p->at, gpa);
		return 0;
	}
	err = operand_find(v, in, dest, in->flags & INSN_F_WRITE, &p->at);
	if (!err && p->at.pages == 1)
		places_set(&p->at, gpa);
	return err;
}

/* An instruction that user space has to carry out: registers are as before it. */
enum verdict exit_emulate(struct vcpu *v, u64 gpa)
{
	/* One that also reaches the LAPIC is nothing that user space could do. */
	if (in_lapic(v, gpa))
		return exit_error(v, JOIST_ERR_EMULATE);
	v->run->rip = v->rip;
	v->run->emulate.gpa = gpa;
	v->run->emulate.mode = guest_mode(v);
	v->run->emulate.len = guest_insn_bytes(v, v->run->emulate.insn);
	v->forward = JOIST_EXIT_EMULATE;
	return FORWARD;
}

enum verdict exit_stage2(struct vcpu *v)
{
	struct insn *in = &v->pending.insn;
	int err;

	/* The first fetch from a large page, where that must be split for it. */
	if (v->x.s2.exec && !v->x.s2.in_walk) {
		err = stage2_execute(&v->vm->s2, v->x.s2.gpa);
		if (err != -ENOENT)
			return err ? exit_error(v, JOIST_ERR_MEMORY) : RETRY;
	}
	/* Neither a fetch nor a table walk nor event delivery is a device's. */
	if (v->x.s2.exec || v->x.s2.in_walk || v->reinject.info)
		return exit_error(v, v->reinject.info ? JOIST_ERR_EVENT : JOIST_ERR_EMULATE);
	err = guest_insn(v, in);
	if (err == -EFAULT)
		return RETRY;
	if (err)
		return exit_error(v, JOIST_ERR_EMULATE);
	v->run->rip = v->rip;
	if (!mmio_known(in))
		return exit_emulate(v, v->x.s2.gpa);
	err = find_operands(v, v->x.s2.gpa);
	if (err)
		return operand_failed(v, err);
	if (only_writes(in))
		return begin(v, true, source(v, in));
	return begin(v, false, 0);
}

/* One element of OUTS or INS whose memory is not memory. */
enum verdict mmio_string(struct vcpu *v, u64 data)
{
	return begin(v, v->pending.insn.kind == INSN_INS, data);
}

/* What user space answered, or that it has written. */
enum verdict mmio_complete(struct vcpu *v)
{
	struct pending *p = &v->pending;
	u64 data = __atomic_load_n(&v->run->mmio.data, __ATOMIC_RELAXED);

	p->kind = PENDING_NONE;
	if (!p->write)
		memcpy((u8 *)&p->data + p->done, &data, p->size);
	p->done += p->size;
	return go_on(v);
}

/*
 * A write to memory that is not the control VM's own: as if that were read-only.
 * What else the instruction writes, where it crosses into it, is done.
 */
static enum verdict drop_write(struct vcpu *v)
{
	struct insn *in = &v->pending.insn;
	int err = guest_insn(v, in);

	if (err == -EFAULT)
		return RETRY;
	if (err)
		return exit_gp(v);
	if (!mmio_known(in)) {
		step(v, in);
		return RETRY;
	}
	err = find_operands(v, v->x.s2.gpa);
	if (err)
		return operand_failed(v, err);
	return begin(v, only_writes(in), only_writes(in) ? source(v, in) : 0);
}

/* A load, done here: every one is counted.  Anything else finds a page. */
static enum verdict read_ones(struct vcpu *v, u64 gpa)
{
	struct insn *in = &v->pending.insn;

	if (!guest_insn(v, in) && (in->kind == INSN_LOAD || in->kind == INSN_LODS)) {
		int err = find_operands(v, gpa);

		return err ? operand_failed(v, err) : begin(v, false, 0);
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
