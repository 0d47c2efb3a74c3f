/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy.c -- on_crash, on_reboot and on_poweroff.
 *
 * What the operator does comes before what is configured, and a machine that
 * has never run is not started again: it would fail for the same reason.
 */
#include "guests/control/lib/err.h"
#include "policy.h"

static struct outcome by(enum policy policy, enum verdict again, int code)
{
	struct outcome o = { VERDICT_END, code };

	if (policy == POLICY_RESTART)
		o.verdict = again;
	else if (policy == POLICY_PRESERVE)
		o.verdict = VERDICT_PRESERVE;
	return o;
}

static struct outcome failed(const struct vm_config *cfg,
			     const struct ending *e, int code)
{
	if (!e->ready)
		return (struct outcome){ VERDICT_END, EXIT_FAIL };
	return by(cfg->on_crash, VERDICT_RESTART, code);
}

struct outcome policy_decide(const struct vm_config *cfg,
			     const struct ending *e)
{
	if (e->want_kill)
		return (struct outcome){ VERDICT_END, EXIT_KILLED };
	if (e->want_reset)
		return (struct outcome){ VERDICT_REBOOT, 0 };
	switch (e->how) {
	case END_POWER_OFF:
		return by(e->want_stop ? POLICY_DESTROY : cfg->on_poweroff,
			  VERDICT_RESTART, EXIT_OK);
	case END_RESET:
		/* A reboot loop is the guest's business, and as fast as it. */
		return by(cfg->on_reboot, VERDICT_REBOOT, EXIT_REBOOT);
	case END_DEBUG_EXIT:
		return (struct outcome){ VERDICT_END,
					 (int)((e->value << 1 | 1) & 0xff) };
	case END_CRASH:
		return failed(cfg, e, EXIT_CRASH);
	case END_ERROR:
		return failed(cfg, e, EXIT_VM_ERROR);
	case END_GONE:
		return (struct outcome){ VERDICT_END, EXIT_GONE };
	case END_REFUSED:
		return (struct outcome){ VERDICT_END, EXIT_FAIL };
	default:
		return failed(cfg, e, EXIT_DEVICE);
	}
}
