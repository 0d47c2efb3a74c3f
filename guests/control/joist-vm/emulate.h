/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * emulate.h -- instructions at device memory that the hypervisor hands out.
 */
#ifndef VM_EMULATE_H
#define VM_EMULATE_H

#include "include/joist.h"
#include "guests/control/lib/util.h"

struct emu;

/* The guest around the instruction. */
struct emu_world {
	/* HC_ACCESS; 0 or -errno. */
	int (*access)(struct emu *e, struct joist_access *a);
	u64 (*read)(struct emu *e, u64 gpa, unsigned size);
	void (*write)(struct emu *e, u64 gpa, unsigned size, u64 val);
	/* The vCPU's XSAVE area, out of it or into it; 0 or -errno. */
	int (*xstate)(struct emu *e, bool store);
};

enum emu_result {
	EMU_DONE,	/* regs are as after it */
	EMU_FAULT,	/* vector, error, cr2: nothing has changed */
	EMU_CANNOT,	/* why; nothing has changed */
};

struct emu {
	const struct emu_world *world;
	void *ctx;			/* the world's */
	struct joist_regs regs;		/* in and out: GPR and SEG, CR for SMSW */
	u8 xstate[JOIST_XSTATE_MAX] __attribute__((aligned(64)));
	u32 vector, error;
	bool has_error;
	bool cr0_changed;		/* LMSW */
	u64 cr2;
	const char *why;
};

/* mode: 16, 32 or 64.  native_init() was called. */
enum emu_result emulate(struct emu *e, const u8 *bytes, unsigned len,
			unsigned mode);

#endif
