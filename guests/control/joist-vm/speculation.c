/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * speculation.c -- what Linux does for a VM's processes about CPUs that speculate.
 *
 * The hypervisor sees to it that nothing which a guest has taught a core's branch
 * predictors is left when RUN returns.  What another process of the control VM, one
 * that serves another guest, has taught them is Linux' business, and so is who runs
 * on the other thread of a core; it has to be told to care.
 */
#include <string.h>
#include <sys/prctl.h>

#include "guests/control/lib/hv.h"
#include "speculation.h"

/* linux/prctl.h of 5.14. */
#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE			62
#define PR_SCHED_CORE_CREATE		1
#endif
#ifndef PR_SCHED_CORE_SCOPE_THREAD_GROUP
#define PR_SCHED_CORE_SCOPE_THREAD_GROUP	1
#endif

/* Whether a CPU shows one thread of a core what the other has worked on. */
static bool siblings_see(int control)
{
	struct joist_mitigation m = { 0 };

	while (!hv_call(control, JOIST_MITIGATION, &m)) {
		m.text[sizeof(m.text) - 1] = 0;
		if (strstr(m.text, "SMT vulnerable"))
			return true;
	}
	return false;
}

/*
 * Where the CPU or the kernel has no such thing it fails, and nothing can be done.
 * Core scheduling leaves the other thread idle where this VM has nothing to run on
 * it, so only where there is need.
 */
void speculation_guard(int control)
{
	prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_DISABLE, 0, 0);
	if (siblings_see(control))
		prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0);
}
