/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit_io.c -- port accesses: all of a guest's go to user space.
 *
 * INS and OUTS move up to a run page's buffer of elements at a time.  RIP, RSI,
 * RDI and RCX change when the access is complete: at once for OUT and OUTS, at
 * the next RUN for IN and INS.  INS knows where its elements go before the
 * device is asked for them, so that none is lost.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/operand.h"
#include "arch/x86/regs.h"
#include "core/errno.h"
#include "core/string.h"

#define ELEMENTS	256		/* of a string that one exit moves */

static u32 element_count(struct vcpu *v, const struct insn *in)
{
	u64 mask = ~0ull >> (64 - 8 * in->addr_size);

	if (!(in->flags & (INSN_F_REP | INSN_F_REPNE)))
		return 1;
	/* Interrupts are off until all are found and moved. */
	return (u32)MIN(v->gpr[JOIST_RCX] & mask, MIN(JOIST_IO_BUF / in->size, (u64)ELEMENTS));
}

/* Whether all of an element is memory, for that access. */
static bool in_memory(struct vcpu *v, const struct places *p, u64 linear, u32 size, bool write)
{
	u64 gpa, left, n;

	while (places_gpa(p, linear, &gpa, &left)) {
		if (!(write ? guest_ptr_write(v, GPA(gpa), &n) : guest_ptr(v, GPA(gpa), &n)))
			return false;
		if (size <= left)
			return true;
		linear += left;
		size -= (u32)left;
	}
	return false;
}

/*
 * How many elements, from the first on, can be moved at one time: they lie in
 * memory, and in two pages at most, which p then has.  If the first one is at
 * fault, that is queued: -EFAULT.  0: its memory is a device's.
 */
static int find_elements(struct vcpu *v, const struct insn *in, u32 count, struct places *p)
{
	bool is_in = in->kind == INSN_INS;
	struct operand_seg s;
	u64 linear, last;
	u32 i;
	int err;

	operand_seg(v, in, is_in, is_in, &s);
	for (i = 0; i < count; i++) {
		bool ok = operand_linear(v, &s, string_offset(v, in, is_in, i), in->size,
					 &linear);

		err = ok ? 0 : -EFAULT;
		if (!i && ok)
			err = places_find(v, p, linear, in->size, is_in);
		last = linear + in->size - 1;
		if (i && ok)
			err = places_add(v, p, linear, is_in);
		if (i && !err)
			err = places_add(v, p, last, is_in);
		if (err && !i)
			return err;
		/* What the rest runs into is for when it is its turn. */
		if (err == -EFAULT)
			v->exception.info = 0;
		if (err || !in_memory(v, p, linear, in->size, is_in))
			break;
	}
	return (int)i;
}

/* Between the run page and the elements' memory, which find_elements() found. */
static void move_elements(struct vcpu *v, const struct insn *in, const struct places *p, u32 count)
{
	bool is_in = in->kind == INSN_INS;
	u64 base = p->linear - string_offset(v, in, is_in, 0), gpa, left;
	u32 i, n, done;

	for (i = 0; i < count; i++) {
		u64 linear = base + string_offset(v, in, is_in, i);
		u8 *buf = v->run->buf + i * in->size;

		for (done = 0; done < in->size; done += n) {
			if (!places_gpa(p, linear + done, &gpa, &left))
				return;
			n = (u32)MIN(left, (u64)in->size - done);
			if (is_in)
				guest_write(v, GPA(gpa), buf + done, n);
			else
				guest_read(v, GPA(gpa), buf + done, n);
		}
	}
}

static enum verdict forward_string(struct vcpu *v, const struct insn *in, u32 count)
{
	v->run->io.port = (u16)v->gpr[JOIST_RDX];
	v->run->io.size = in->size;
	v->run->io.in = in->kind == INSN_INS ? JOIST_IO_IN : JOIST_IO_OUT;
	v->run->io.count = count;
	v->run->io.string = 1;
	v->forward = JOIST_EXIT_IO;
	return FORWARD;
}

static __noinline enum verdict string_io(struct vcpu *v)
{
	struct pending *p = &v->pending;
	struct insn *in = &p->insn;
	u32 count;
	int n;

	if (guest_insn(v, in) || (in->kind != INSN_INS && in->kind != INSN_OUTS))
		return RETRY;
	count = element_count(v, in);
	if (!count) {
		exit_step(v, in->len);
		return RETRY;
	}
	n = find_elements(v, in, count, &p->at);
	if (n < 0)
		return operand_failed(v, n);
	if (in->kind == INSN_OUTS) {
		if (!n)
			return mmio_string(v, 0);
		move_elements(v, in, &p->at, (u32)n);
		string_advance(v, in, (u32)n);
		return forward_string(v, in, (u32)n);
	}
	/* To a device, one at a time. */
	p->kind = PENDING_IO;
	p->string = true;
	p->size = in->size;
	p->count = (u32)n;
	return forward_string(v, in, n ? (u32)n : 1);
}

enum verdict outs_from_device(struct vcpu *v)
{
	struct pending *p = &v->pending;

	memcpy(v->run->buf, &p->data, p->insn.size);
	string_advance(v, &p->insn, 1);
	return forward_string(v, &p->insn, 1);
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

static void in_complete(struct vcpu *v)
{
	u32 size = v->pending.size;
	u64 data = __atomic_load_n(&v->run->io.data, __ATOMIC_RELAXED);
	u64 mask = ~0ull >> (64 - 8 * size);

	if (size == 4)
		v->gpr[JOIST_RAX] = (u32)data;
	else
		v->gpr[JOIST_RAX] = (v->gpr[JOIST_RAX] & ~mask) | (data & mask);
}

/* What user space answered to IN or INS.  FORWARD: RUN ends with a device's
 * part of INS. */
enum verdict io_complete(struct vcpu *v)
{
	struct pending *p = &v->pending;
	u64 data = 0;

	p->kind = PENDING_NONE;
	if (!p->string) {
		in_complete(v);
		return RETRY;
	}
	if (!p->count) {
		memcpy(&data, v->run->buf, p->insn.size);
		return mmio_string(v, data);
	}
	move_elements(v, &p->insn, &p->at, p->count);
	string_advance(v, &p->insn, p->count);
	return RETRY;
}
