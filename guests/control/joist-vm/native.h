/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native.h -- one instruction on this CPU, with a guest's registers.
 */
#ifndef VM_NATIVE_H
#define VM_NATIVE_H

#include "guests/control/lib/util.h"

#define NATIVE_MEM	64		/* of the memory operand */

/* Registers as enum joist_gpr numbers them; RSP's is not loaded. */
struct native {
	u64 gpr[16];
	u64 rflags;			/* status flags and DF count */
	u64 xstate;			/* of an XSAVE area, or 0: not touched */
	u64 code;			/* where it is executed */
	u64 fault;			/* the signal that came instead, or 0 */
	u64 host_rsp, mask;
};
extern struct native native;

/*
 * Once, while memory may still be made executable.  A fault of the instruction
 * is caught by signals: they must not be blocked in the thread that runs one.
 */
int native_init(void);
/* Where an operand that lies at this linear address is to be: aligned alike. */
u8 *native_operand(u64 linear);
/* Where code is executed. */
u64 native_code(void);
/* Whether vector registers can be had. */
bool native_has_xstate(void);
/* Bytes of an area in standard form with all that guests have: HC_READXSTATE's. */
u32 native_xstate_size(void);
/* Executes the bytes, which must do nothing but compute. */
void native_run(const u8 *bytes, unsigned len);

#endif
