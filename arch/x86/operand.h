/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * operand.h -- where a memory operand of a guest's instruction lies.
 *
 * The CPU tells the address of an access that exits, but not the other half of
 * one that crosses a page, nor the other end of a string instruction, nor
 * anything for the operand of an exit that is about something else.
 */
#ifndef ARCH_X86_OPERAND_H
#define ARCH_X86_OPERAND_H

#include "core/vm.h"

/* A segment, looked up once for a whole string. */
struct operand_seg {
	struct joist_segment seg;
	enum joist_seg nr;
	bool write;
	bool wide;		/* 64-bit code: base alone counts */
	bool typed;		/* protected mode: rights count */
	bool la57;
};

/* The segment of the memory operand; of ES:rDI if dest. */
void operand_seg(struct vcpu *v, const struct insn *in, bool dest, bool write,
		 struct operand_seg *s);
/*
 * The linear address of `size` bytes at an offset.  False: the CPU would raise
 * #GP or #SS here; it is queued.
 */
bool operand_linear(struct vcpu *v, const struct operand_seg *s, u64 offset, u32 size,
		    u64 *linear);

/*
 * Where `size` bytes at a linear address lie: -EFAULT, and the page fault is
 * queued, or -EIO (guest_translate()).  places_add() takes one page more into p:
 * -ENOSPC if it is full.
 */
int places_find(struct vcpu *v, struct places *p, u64 linear, u32 size, bool write);
int places_add(struct vcpu *v, struct places *p, u64 linear, bool write);
/* One frame that the CPU has told. */
void places_set(struct places *p, u64 gpa);
/* The GPA of a linear address in one of the pages; *left bytes to its end. */
bool places_gpa(const struct places *p, u64 linear, u64 *gpa, u64 *left);

/* The operand of an instruction at hand: offset, segment, pages.  Results as
 * places_find()'s; -EFAULT also if #GP or #SS is queued. */
int operand_find(struct vcpu *v, const struct insn *in, bool dest, bool write,
		 struct places *p);
/* Whether all of it lies in one page, whichever that is. */
bool operand_in_page(struct vcpu *v, const struct insn *in, bool dest);
/* What to do about an error of these. */
enum verdict operand_failed(struct vcpu *v, int err);

/* A string's element i from where rDI (dest) or rSI is, as an offset. */
u64 string_offset(struct vcpu *v, const struct insn *in, bool dest, u32 i);
/* n elements are done: rSI, rDI, rCX, and RIP when none is left. */
void string_advance(struct vcpu *v, const struct insn *in, u32 n);
bool insn_is_string(const struct insn *in);

#endif
