/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy.c -- on_crash, on_reboot and on_poweroff.
 *
 * What the operator does comes before what is configured: a VM that is to stop
 * ends in whatever way its guest does.  A machine that has never run is not
 * started again: it would fail for the same reason.
 */
#include "guests/control/lib/err.h"
#include "policy.h"

/* Each is processes and namespaces made and taken down, at the guest's wish. */
#define RESTART_NS	1000000000ull
#define RESTART_BURST	5

static struct outcome by(const struct ending *e, enum policy policy,
			 enum verdict again, int code)
{
	struct outcome o = { VERDICT_END, code };

	if (e->want_stop)
		return o;
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
	return by(e, cfg->on_crash, VERDICT_RESTART, code);
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
		return by(e, cfg->on_poweroff, VERDICT_RESTART, EXIT_OK);
	case END_RESET:
		return by(e, cfg->on_reboot, VERDICT_REBOOT, EXIT_REBOOT);
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

u64 policy_restart_at(struct restarts *r, u64 now)
{
	u64 at = now;

	r->paid_until = MAX(r->paid_until, now) + RESTART_NS;
	if (r->paid_until - now > RESTART_BURST * RESTART_NS)
		at = r->paid_until - RESTART_BURST * RESTART_NS;
	return at;
}
