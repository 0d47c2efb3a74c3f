/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit_io.c -- port accesses: all of a guest's go to user space.
 *
 * INS and OUTS move up to a run page's buffer of elements at a time.  RIP, RSI,
 * RDI and RCX change when the access is complete: at once for OUT and OUTS, at
 * the next RUN for IN and INS.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/regs.h"
#include "core/errno.h"
#include "core/string.h"

static u64 addr_mask(const struct insn *in)
{
	return in->addr_size == 8 ? ~0ull : in->addr_size == 4 ? 0xffffffff : 0xffff;
}

/* A register as wide as the address size; the rest of it stays. */
static void addr_reg_set(struct vcpu *v, enum joist_gpr r, const struct insn *in, u64 val)
{
	u64 mask = addr_mask(in);

	/* A 32-bit result clears the upper half. */
	if (mask == 0xffff)
		v->gpr[r] = (v->gpr[r] & ~mask) | (val & mask);
	else
		v->gpr[r] = val & mask;
}

/* Linear address of a string operand's element. */
static u64 string_linear(struct vcpu *v, const struct insn *in, bool is_in, u64 offset)
{
	enum joist_seg s = is_in ? JOIST_ES :
			   in->seg == INSN_NO_REG ? JOIST_DS : (enum joist_seg)in->seg;
	struct joist_segment seg;

	backend->seg_get(v, s, &seg);
	if (guest_mode(v) == INSN_64)
		return (s == JOIST_FS || s == JOIST_GS ? seg.base : 0) + (offset & addr_mask(in));
	return (u32)(seg.base + (offset & addr_mask(in)));
}

static u32 data_access(struct vcpu *v, bool write)
{
	return (write ? (u32)PF_WRITE : 0) |
	       (backend->reg_get(v, VREG_CPL) == 3 ? (u32)PF_USER : 0);
}

/*
 * One element between guest memory and buf.  True if it is done; else the
 * fault to take is queued.
 */
static bool move_element(struct vcpu *v, u64 linear, u8 *buf, u32 size, bool to_guest)
{
	u32 error, done = 0;

	while (done < size) {
		u32 n = MIN(size - done, (u32)(PAGE_SIZE - (linear & (PAGE_SIZE - 1))));
		gpa_t gpa;
		int err = guest_translate(v, GVA(linear), data_access(v, to_guest), &gpa, &error);

		if (err == -EFAULT) {
			backend->reg_set(v, VREG_CR2, linear);
			event_exception_error(v, EXC_PF, error);
			return false;
		}
		if (err)
			return false;
		/* Memory that is not there reads as ones and swallows writes. */
		if (to_guest)
			guest_write(v, gpa, buf + done, n);
		else if (guest_read(v, gpa, buf + done, n))
			memset(buf + done, 0xff, n);
		done += n;
		linear += n;
	}
	return true;
}

bool string_gpa(struct vcpu *v, const struct insn *in, bool dest, gpa_t *gpa)
{
	u64 linear = string_linear(v, in, dest, v->gpr[dest ? JOIST_RDI : JOIST_RSI]);
	u32 error;
	int err = guest_translate(v, GVA(linear), data_access(v, dest), gpa, &error);

	if (err == -EFAULT) {
		backend->reg_set(v, VREG_CR2, linear);
		event_exception_error(v, EXC_PF, error);
	}
	return !err;
}

bool string_move(struct vcpu *v, const struct insn *in, u8 *data, bool dest)
{
	u64 linear = string_linear(v, in, dest, v->gpr[dest ? JOIST_RDI : JOIST_RSI]);

	return move_element(v, linear, data, in->size, dest);
}

static u32 element_count(struct vcpu *v, const struct insn *in, u32 size)
{
	u64 n = v->gpr[JOIST_RCX] & addr_mask(in);

	if (!(in->flags & (INSN_F_REP | INSN_F_REPNE)))
		return 1;
	return (u32)MIN(n, JOIST_IO_BUF / size);
}

/* After `done` elements: registers move; the instruction is stepped over when
 * there are none left, otherwise it goes on with the rest. */
static void string_advance(struct vcpu *v, const struct insn *in, bool is_in, u32 size, u32 done)
{
	enum joist_gpr r = is_in ? JOIST_RDI : JOIST_RSI;
	u64 delta = (u64)done * size;

	addr_reg_set(v, r, in, v->rflags & RFLAGS_DF ? v->gpr[r] - delta : v->gpr[r] + delta);
	if (in->flags & (INSN_F_REP | INSN_F_REPNE)) {
		addr_reg_set(v, JOIST_RCX, in, v->gpr[JOIST_RCX] - done);
		if (v->gpr[JOIST_RCX] & addr_mask(in))
			return;
	}
	exit_step(v, in->len);
}

static u64 element_offset(struct vcpu *v, bool is_in, u32 size, u32 i)
{
	u64 base = v->gpr[is_in ? JOIST_RDI : JOIST_RSI], delta = (u64)i * size;

	return v->rflags & RFLAGS_DF ? base - delta : base + delta;
}

static __noinline enum verdict string_io(struct vcpu *v)
{
	bool is_in = v->x.io.in;
	u32 size = v->x.io.size, count, i;
	struct insn in;
	gpa_t gpa;

	if (guest_insn(v, &in) || (in.kind != INSN_INS && in.kind != INSN_OUTS))
		return RETRY;
	count = element_count(v, &in, size);
	if (!count) {
		exit_step(v, in.len);
		return RETRY;
	}
	/* The first element's page must be there before the device is read. */
	if (is_in && !string_gpa(v, &in, true, &gpa))
		return RETRY;
	for (i = 0; i < count && !is_in; i++)
		if (!move_element(v, string_linear(v, &in, false,
						   element_offset(v, false, size, i)),
				  v->run->buf + i * size, size, false))
			break;
	if (!is_in && !i)
		return RETRY;
	if (!is_in) {
		/* A fault part-way is taken when the rest is tried again. */
		v->exception.info = 0;
		count = i;
		string_advance(v, &in, false, size, count);
	} else {
		v->pending.kind = PENDING_IO;
		v->pending.read = true;
		v->pending.string = true;
		v->pending.size = (u8)size;
		v->pending.count = count;
		v->pending.insn = in;
	}
	v->run->io.count = count;
	v->run->io.string = 1;
	v->forward = JOIST_EXIT_IO;
	return FORWARD;
}

enum verdict exit_io(struct vcpu *v)
{
	struct joist_run *r = v->run;

	r->rip = v->rip;
	r->io.port = v->x.io.port;
	r->io.size = v->x.io.size;
	r->io.in = v->x.io.in ? JOIST_IO_IN : JOIST_IO_OUT;
	if (v->x.io.string)
		return string_io(v);
	r->io.count = 1;
	r->io.string = 0;
	if (v->x.io.in) {
		r->io.data = 0;
		v->pending.kind = PENDING_IO;
		v->pending.read = true;
		v->pending.string = false;
		v->pending.size = v->x.io.size;
		/* Stepped over now: a completion only fills the register. */
	} else {
		r->io.data = v->gpr[JOIST_RAX] & (BIT(8 * v->x.io.size) - 1);
	}
	exit_step(v, v->x.insn_len);
	v->forward = JOIST_EXIT_IO;
	return FORWARD;
}

/* What user space answered to IN or INS. */
void io_complete(struct vcpu *v)
{
	u32 size = v->pending.size, i;
	u64 data, mask;

	v->pending.kind = PENDING_NONE;
	if (!v->pending.string) {
		data = __atomic_load_n(&v->run->io.data, __ATOMIC_RELAXED);
		mask = ~0ull >> (64 - 8 * size);
		if (size == 4)
			v->gpr[JOIST_RAX] = (u32)data;
		else
			v->gpr[JOIST_RAX] = (v->gpr[JOIST_RAX] & ~mask) | (data & mask);
		return;
	}
	for (i = 0; i < v->pending.count; i++) {
		u64 linear = string_linear(v, &v->pending.insn, true,
					   element_offset(v, true, size, i));
		u8 element[4];

		memcpy(element, v->run->buf + i * size, size);
		if (!move_element(v, linear, element, size, true))
			break;
	}
	if (i)
		string_advance(v, &v->pending.insn, true, size, i);
}
