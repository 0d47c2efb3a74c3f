/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy.h -- what becomes of a VM whose machine has ended.
 */
#ifndef VM_POLICY_H
#define VM_POLICY_H

#include "vm.h"

/* What is known about the end. */
struct ending {
	enum vm_end how;	/* END_NONE: the process died without a word */
	u32 value;		/* END_DEBUG_EXIT */
	bool ready;		/* its vCPUs have run */
	/* What the operator has asked for meanwhile. */
	bool want_kill, want_reset, want_stop;
};

enum verdict {
	VERDICT_END,		/* the VM goes, with that code */
	VERDICT_RESTART,	/* a new machine, which is told */
	VERDICT_REBOOT,		/* a new machine, as the guest wants */
	VERDICT_PRESERVE,	/* the VM stays, without a machine */
};

struct outcome {
	enum verdict verdict;
	int code;
};

struct outcome policy_decide(const struct vm_config *cfg,
			     const struct ending *e);

/* How often a VM got a new machine; all zeros at first. */
struct restarts {
	u64 paid_until;		/* ns: later by a second for each */
};

/*
 * When the next one may start, now or later; ns, any clock that does not go
 * back.  It counts as started.
 */
u64 policy_restart_at(struct restarts *r, u64 now);

#endif
