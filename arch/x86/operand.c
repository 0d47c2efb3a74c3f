/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * operand.c -- where a memory operand of a guest's instruction lies.
 *
 * Every check is one that the CPU would have made: a fault is the guest's, as
 * if the instruction had been executed.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/operand.h"
#include "arch/x86/regs.h"
#include "core/errno.h"

#define TYPE_CODE	BIT(3)
#define TYPE_WRITE	BIT(1)		/* of data; of code: may be read */
#define TYPE_DOWN	BIT(2)		/* data that grows down */
#define ATTR_DB		BIT(14)
#define ATTR_UNUSABLE	BIT(16)

void operand_seg(struct vcpu *v, const struct insn *in, bool dest, bool write,
		 struct operand_seg *s)
{
	struct cpu_mode m;

	s->nr = dest ? JOIST_ES : in->seg != INSN_NO_REG ? (enum joist_seg)in->seg :
		in->flags & INSN_F_STACK ? JOIST_SS : JOIST_DS;
	backend->mode_get(v, &m);
	backend->seg_get(v, s->nr, &s->seg);
	s->write = write;
	s->wide = guest_mode(v) == INSN_64;
	s->typed = (m.cr0 & CR0_PE) && !(v->rflags & RFLAGS_VM);
	s->la57 = m.cr4 & CR4_LA57;
	if (s->wide && s->nr != JOIST_FS && s->nr != JOIST_GS)
		s->seg.base = 0;
}

static bool is_canonical(const struct operand_seg *s, u64 linear)
{
	unsigned up = s->la57 ? 7 : 16;

	return (u64)((s64)(linear << up) >> up) == linear;
}

/* SDM, "Limit Checking", "Type Checking". */
static bool allowed(const struct operand_seg *s, u64 offset, u32 size)
{
	u32 attr = s->seg.attr;
	u64 last = offset + size - 1;

	if (s->typed && ((attr & ATTR_UNUSABLE) ||
			 (s->write ? (attr & (TYPE_CODE | TYPE_WRITE)) != TYPE_WRITE :
				     (attr & (TYPE_CODE | TYPE_WRITE)) == TYPE_CODE)))
		return false;
	if ((attr & (TYPE_CODE | TYPE_DOWN)) == TYPE_DOWN)
		return offset > s->seg.limit && last <= (attr & ATTR_DB ? 0xffffffff : 0xffff);
	return last <= s->seg.limit;
}

bool operand_linear(struct vcpu *v, const struct operand_seg *s, u64 offset, u32 size,
		    u64 *linear)
{
	bool ok;

	*linear = s->seg.base + offset;
	if (s->wide) {
		ok = is_canonical(s, *linear) && is_canonical(s, *linear + size - 1);
	} else {
		*linear = (u32)*linear;
		ok = allowed(s, offset, size);
	}
	if (!ok)
		event_exception_error(v, s->nr == JOIST_SS ? EXC_SS : EXC_GP, 0);
	return ok;
}

void places_set(struct places *p, u64 gpa)
{
	p->linear = gpa;
	p->mask = ~0ull;
	p->pages = 1;
	p->page[0] = p->gpa[0] = ALIGN_DOWN(gpa, PAGE_SIZE);
}

bool places_gpa(const struct places *p, u64 linear, u64 *gpa, u64 *left)
{
	u64 offset = linear & (PAGE_SIZE - 1);
	u32 i;

	linear = (linear & p->mask) - offset;
	for (i = 0; i < p->pages; i++) {
		if (p->page[i] != linear)
			continue;
		*gpa = p->gpa[i] + offset;
		*left = PAGE_SIZE - offset;
		return true;
	}
	return false;
}

int places_add(struct vcpu *v, struct places *p, u64 linear, bool write)
{
	u32 access = (write ? (u32)PF_WRITE : 0) |
		     (backend->reg_get(v, VREG_CPL) == 3 ? (u32)PF_USER : 0), error;
	u64 left;
	gpa_t gpa;
	int err;

	linear &= p->mask;
	if (places_gpa(p, linear, &gpa.v, &left))
		return 0;
	if (p->pages == ARRAY_SIZE(p->page))
		return -ENOSPC;
	err = guest_translate(v, GVA(linear), access, &gpa, &error);
	if (err == -EFAULT) {
		backend->reg_set(v, VREG_CR2, linear);
		event_exception_error(v, EXC_PF, error);
	}
	if (err)
		return err;
	p->page[p->pages] = ALIGN_DOWN(linear, PAGE_SIZE);
	p->gpa[p->pages++] = ALIGN_DOWN(gpa.v, PAGE_SIZE);
	return 0;
}

int places_find(struct vcpu *v, struct places *p, u64 linear, u32 size, bool write)
{
	u64 offset = linear & (PAGE_SIZE - 1);
	int err;

	p->linear = linear;
	p->mask = guest_mode(v) == INSN_64 ? ~0ull : 0xffffffff;
	p->pages = 0;
	err = places_add(v, p, linear, write);
	if (!err && size > PAGE_SIZE - offset)
		err = places_add(v, p, linear - offset + PAGE_SIZE, write);
	return err;
}

bool insn_is_string(const struct insn *in)
{
	return in->kind >= INSN_STOS && in->kind <= INSN_OUTS;
}

static u64 operand_offset(struct vcpu *v, const struct insn *in, bool dest)
{
	return insn_is_string(in) ? string_offset(v, in, dest, 0) :
				    insn_offset(in, v->gpr, v->rip);
}

bool operand_in_page(struct vcpu *v, const struct insn *in, bool dest)
{
	u64 linear = operand_offset(v, in, dest);
	struct operand_seg s;

	/* Flat, as mostly: nothing to look up. */
	if (guest_mode(v) != INSN_64 || in->seg == JOIST_FS || in->seg == JOIST_GS) {
		operand_seg(v, in, dest, false, &s);
		linear += s.seg.base;
	}
	return (linear & (PAGE_SIZE - 1)) + in->size <= PAGE_SIZE;
}

int operand_find(struct vcpu *v, const struct insn *in, bool dest, bool write,
		 struct places *p)
{
	u64 offset = operand_offset(v, in, dest), linear;
	struct operand_seg s;

	operand_seg(v, in, dest, write, &s);
	if (!operand_linear(v, &s, offset, in->size, &linear))
		return -EFAULT;
	return places_find(v, p, linear, in->size, write);
}

enum verdict operand_failed(struct vcpu *v, int err)
{
	if (err == -EFAULT)
		return RETRY;
	return v->control ? exit_gp(v) : exit_error(v, JOIST_ERR_EMULATE);
}

static u64 addr_mask(const struct insn *in)
{
	return ~0ull >> (64 - 8 * in->addr_size);
}

u64 string_offset(struct vcpu *v, const struct insn *in, bool dest, u32 i)
{
	u64 at = v->gpr[dest ? JOIST_RDI : JOIST_RSI], delta = (u64)i * in->size;

	return (v->rflags & RFLAGS_DF ? at - delta : at + delta) & addr_mask(in);
}

/* A register as wide as the address size; the rest of it stays, or is cleared
 * by a 32-bit result. */
static void addr_reg_set(struct vcpu *v, enum joist_gpr r, const struct insn *in, u64 val)
{
	u64 keep = in->addr_size == 2 ? ~0xffffull : 0;

	v->gpr[r] = (v->gpr[r] & keep) | (val & addr_mask(in));
}

void string_advance(struct vcpu *v, const struct insn *in, u32 n)
{
	if (in->kind == INSN_STOS || in->kind == INSN_MOVS || in->kind == INSN_INS)
		addr_reg_set(v, JOIST_RDI, in, string_offset(v, in, true, n));
	if (in->kind == INSN_LODS || in->kind == INSN_MOVS || in->kind == INSN_OUTS)
		addr_reg_set(v, JOIST_RSI, in, string_offset(v, in, false, n));
	if (in->flags & (INSN_F_REP | INSN_F_REPNE)) {
		addr_reg_set(v, JOIST_RCX, in, v->gpr[JOIST_RCX] - n);
		/* The rest is executed at the same RIP. */
		if (v->gpr[JOIST_RCX] & addr_mask(in))
			return;
	}
	exit_step(v, in->len);
}
