/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hypercall.h -- the table of hypercalls and what each needs.
 */
#ifndef CORE_HYPERCALL_H
#define CORE_HYPERCALL_H

#include "arch/x86/exit.h"
#include "core/vm.h"

/* Preconditions, taken by dispatch in this order. */
#define NEED_VM		BIT(0)	/* head.vm names a VM; implied by those below */
#define LOCK_ONE_VCPU	BIT(1)	/* head.vcpu, outside RUN */
#define LOCK_ALL_VCPUS	BIT(2)
#define SLOCK_MEMSEGS	BIT(3)
#define XLOCK_MEMSEGS	BIT(4)
#define LOCK_WHOLE	(LOCK_ALL_VCPUS | SLOCK_MEMSEGS | XLOCK_MEMSEGS)
#define NAMES_VCPU	BIT(5)	/* head.vcpu must exist, nothing is locked */

/* What dispatch found and locked for the handler. */
struct hc_context {
	struct vm *vm;
	struct vcpu *vcpu;	/* with LOCK_ONE_VCPU or NAMES_VCPU */
	bool gone;		/* set by DESTROY: nothing is left to release */
};

typedef int (*hc_handler)(struct hc_context *c, void *args);

struct hypercall {
	const char *name;
	hc_handler handle;
	u32 size;		/* of the argument block */
	u32 need;
};

/* The exit: dispatches by the table. */
enum verdict hypercall(struct vcpu *v);

int hc_version(struct hc_context *c, void *args);	/* hc_vm.c */
int hc_capabilities(struct hc_context *c, void *args);
int hc_create(struct hc_context *c, void *args);
int hc_destroy(struct hc_context *c, void *args);
int hc_term(struct hc_context *c, void *args);
int hc_info(struct hc_context *c, void *args);
int hc_stats(struct hc_context *c, void *args);
int hc_log(struct hc_context *c, void *args);
int hc_verify(struct hc_context *c, void *args);
int hc_pool(struct hc_context *c, void *args);
int hc_mitigation(struct hc_context *c, void *args);
int hc_run(struct hc_context *c, void *args);		/* hc_vcpu.c */
int hc_intr(struct hc_context *c, void *args);
int hc_readvmparams(struct hc_context *c, void *args);
int hc_writevmparams(struct hc_context *c, void *args);
int hc_readlapic(struct hc_context *c, void *args);
int hc_writelapic(struct hc_context *c, void *args);
int hc_access(struct hc_context *c, void *args);	/* hc_access.c */
int hc_resetcpu(struct hc_context *c, void *args);	/* hc_regs.c */
int hc_readregs(struct hc_context *c, void *args);
int hc_writeregs(struct hc_context *c, void *args);
int hc_readxstate(struct hc_context *c, void *args);
int hc_writexstate(struct hc_context *c, void *args);
int hc_memseg_alloc(struct hc_context *c, void *args);	/* hc_memseg.c */
int hc_memseg_free(struct hc_context *c, void *args);
int hc_memseg_map(struct hc_context *c, void *args);
int hc_memseg_unmap(struct hc_context *c, void *args);
int hc_memseg_protect(struct hc_context *c, void *args);
int hc_memseg_query(struct hc_context *c, void *args);
int hc_memseg_drop(struct hc_context *c, void *args);
int hc_memseg_fill(struct hc_context *c, void *args);

/* Debug builds: every mapping agrees with the owner of what it maps. */
int verify_all(void);

#endif
