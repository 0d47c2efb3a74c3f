// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * run.c -- the thread that is a vCPU.
 *
 * HC_RUN is made with interrupts off: the hypervisor ends it for any physical
 * interrupt, which stays pending and is taken when they are on again.  Who
 * wants something of the thread sets a word, then looks at in_guest; the
 * thread sets in_guest, then looks at the words.  So one sees the other, and
 * the reschedule IPI ends the guest's turn if it has begun.
 */
#include <linux/context_tracking.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/vtime.h>
/* Since Linux 6.4 smp_send_reschedule() is traced where it is called. */
#include <trace/events/ipi.h>
#include <asm/tsc.h>

#include "ko.h"

/* An hour: far deadlines are slept for in pieces, nothing overflows. */
#define MAX_SLEEP_NS	(3600ull * NSEC_PER_SEC)

void vcpu_kick(struct vcpu *v)
{
	smp_mb();	/* the request before in_guest; pairs with vcpu_enter() */
	preempt_disable();
	if (READ_ONCE(v->in_guest))
		smp_send_reschedule(READ_ONCE(v->cpu));
	preempt_enable();
	rcuwait_wake_up(&v->wait);
}

/* Events are pending in the hypervisor: their vCPUs must not sleep. */
void vcpus_wake(struct vm *vm, u64 mask)
{
	u32 i;

	for (i = 0; i < vm->vcpus && mask >> i; i++)
		if (mask >> i & 1) {
			WRITE_ONCE(vm->vcpu[i]->wake, 1);
			rcuwait_wake_up(&vm->vcpu[i]->wait);
		}
}

/* Get the vCPU outside RUN and keep it there; all: with those before it. */
void vcpu_lock(struct vcpu *v, struct mutex *all)
{
	atomic_inc(&v->want);
	vcpu_kick(v);
	if (all)
		mutex_lock_nest_lock(&v->lock, all);
	else
		mutex_lock(&v->lock);
}

void vcpu_unlock(struct vcpu *v)
{
	mutex_unlock(&v->lock);
	if (atomic_dec_and_test(&v->want))
		rcuwait_wake_up(&v->wait);
}

/* The interrupt itself ends the guest's turn, if it is on this core. */
static enum hrtimer_restart vcpu_timer(struct hrtimer *timer)
{
	struct vcpu *v = container_of(timer, struct vcpu, timer);

	WRITE_ONCE(v->armed, JOIST_NO_DEADLINE);
	WRITE_ONCE(v->wake, 1);
	vcpu_kick(v);
	return HRTIMER_NORESTART;
}

struct vcpu *vcpu_new(struct vm *vm, u32 id)
{
	struct vcpu *v;

	/* Aligned to its size, so that args lies in one page. */
	v = ko_zalloc(roundup_pow_of_two(sizeof(*v)), GFP_KERNEL_ACCOUNT);
	if (!v)
		return NULL;
	v->vm = vm;
	v->id = id;
	v->args.head.vcpu = id;
	v->deadline = JOIST_NO_DEADLINE;
	v->armed = JOIST_NO_DEADLINE;
	mutex_init(&v->lock);
	rcuwait_init(&v->wait);
	init_timer(&v->timer, vcpu_timer, CLOCK_MONOTONIC,
		   HRTIMER_MODE_ABS_PINNED_HARD);
	return v;
}

void vcpu_free(struct vcpu *v)
{
	hrtimer_cancel(&v->timer);
	ko_free(v);
}

static bool deadline_is_past(const struct vcpu *v)
{
	return v->deadline != JOIST_NO_DEADLINE &&
	       (s64)(v->deadline - rdtsc()) <= 0;
}

/* Nothing to do if the timer is set for it already, on whichever core. */
static void timer_arm(struct vcpu *v)
{
	u64 ticks, ns;

	if (v->deadline == READ_ONCE(v->armed) ||
	    v->deadline == JOIST_NO_DEADLINE || deadline_is_past(v))
		return;
	ticks = v->deadline - rdtsc();
	ns = ticks / caps.tsc_khz >= MAX_SLEEP_NS / NSEC_PER_MSEC ?
	     MAX_SLEEP_NS :
	     ticks / caps.tsc_khz * NSEC_PER_MSEC +
	     ticks % caps.tsc_khz * NSEC_PER_MSEC / caps.tsc_khz;
	WRITE_ONCE(v->armed, v->deadline);
	hrtimer_start(&v->timer, ktime_add_ns(ktime_get(), ns),
		      HRTIMER_MODE_ABS_PINNED_HARD);
}

/* Is there a reason not to be in the guest? */
static bool vcpu_is_asked(const struct vcpu *v)
{
	return atomic_read(&v->want) || READ_ONCE(v->kick) ||
	       READ_ONCE(v->vm->dead);
}

/*
 * Work that Linux keeps for the return to user space is seldom urgent, and
 * with rseq every reschedule leaves some.  So let it wait a little.
 */
static bool task_must_return(const struct vcpu *v)
{
	return signal_pending(current) ||
	       (test_thread_flag(TIF_NOTIFY_RESUME) &&
		time_after(jiffies, v->since + HZ / 10));
}

static bool task_is_asked(const struct vcpu *v)
{
	return must_resched() || task_must_return(v);
}

#define NOT_ENTERED	2

/* One turn in the guest.  NOT_ENTERED: the thread was asked for something. */
static int vcpu_enter(struct vcpu *v)
{
	int ret;

	local_irq_disable();
	WRITE_ONCE(v->cpu, smp_processor_id());
	WRITE_ONCE(v->in_guest, 1);
	/* What made anybody wake us is pending in the hypervisor already. */
	WRITE_ONCE(v->wake, 0);
	smp_mb();	/* pairs with vcpu_kick() */
	if (vcpu_is_asked(v) || task_is_asked(v)) {
		WRITE_ONCE(v->in_guest, 0);
		/* The clearing above may have met a wake-up of now. */
		WRITE_ONCE(v->wake, 1);
		local_irq_enable();
		return NOT_ENTERED;
	}
	if (!(caps.features & JOIST_CAP_TIMER))
		timer_arm(v);

	/*
	 * As KVM does: the time is the guest's, and RCU need not wait.  The
	 * tick ends every turn, so once a tick is as often as RCU looks.
	 */
	vtime_account_guest_enter();
	if (!context_tracking_guest_enter() && v->noted != jiffies) {
		v->noted = jiffies;
		rcu_note_context_switch(false);
	}
	ret = hypercall(HC_RUN, &v->args);
	context_tracking_guest_exit();

	WRITE_ONCE(v->in_guest, 0);
	v->deadline = v->args.deadline;
	/*
	 * Interrupts that ended the turn come in here, the tick among them,
	 * which books its time.  (An instruction must stand between STI and
	 * CLI: the first has a shadow.)
	 */
	local_irq_enable();
	barrier();
	asm volatile("nop");
	local_irq_disable();
	vtime_account_guest_exit();
	local_irq_enable();
	return ret;
}

/* HLT: until an event, the deadline, or somebody who wants something. */
static int vcpu_sleep(struct vcpu *v)
{
	if (deadline_is_past(v))
		return 0;
	timer_arm(v);
	return rcuwait_wait_event(&v->wait, READ_ONCE(v->wake) ||
				  vcpu_is_asked(v), TASK_INTERRUPTIBLE);
}

/* Let those have the vCPU who want it.  On failure the lock is not held. */
static int vcpu_yield_locked(struct vcpu *v)
{
	int ret;

	mutex_unlock(&v->lock);
	ret = rcuwait_wait_event(&v->wait, !atomic_read(&v->want),
				 TASK_INTERRUPTIBLE);
	return ret ? ret : mutex_lock_interruptible(&v->lock);
}

/* Do what the thread was asked.  On failure the lock is not held. */
static int vcpu_answer_locked(struct vcpu *v)
{
	int ret = 0;

	if (READ_ONCE(v->vm->dead))
		ret = -ENXIO;
	else if (xchg(&v->kick, 0) || task_must_return(v))
		ret = -EINTR;
	if (ret) {
		mutex_unlock(&v->lock);
		return ret;
	}
	if (atomic_read(&v->want)) {
		ret = vcpu_yield_locked(v);
		if (ret)
			return ret;
	}
	if (must_resched()) {
		/* It may be long: who wants the vCPU need not wait for it. */
		mutex_unlock(&v->lock);
		schedule();
		return mutex_lock_interruptible(&v->lock);
	}
	return 0;
}

/* What is the module's own is done here.  1: on; 0: for user space. */
static int vcpu_exit(struct vcpu *v)
{
	struct joist_run_args *a = &v->args;

	if (a->wake)
		vcpus_wake(v->vm, a->wake);
	switch (a->exit) {
	case JOIST_EXIT_INTR:
		return READ_ONCE(v->run->flags) & JOIST_RUN_RETURN ? -EINTR : 1;
	case JOIST_EXIT_TIMER:
	case JOIST_EXIT_WAKE:
		return 1;
	case JOIST_EXIT_HALTED:
		return vcpu_sleep(v) ? -EINTR : 1;
	case JOIST_EXIT_IO:
	case JOIST_EXIT_MMIO:
		return event_exit(v);
	case JOIST_EXIT_NONE:
		return -EIO;
	case JOIST_EXIT_TERM:
		/* Destroying a VM begins with terminating it. */
		return READ_ONCE(v->vm->dead) ? -ENXIO : 0;
	default:
		return a->exit < JOIST_EXIT_COUNT ? 0 : -EIO;
	}
}

static int vcpu_run(struct vcpu *v)
{
	int ret;

	if (mutex_lock_interruptible(&v->lock))
		return -EINTR;
	v->since = jiffies;
	do {
		ret = vcpu_enter(v);
		if (ret == 0) {
			ret = vcpu_exit(v);
		} else if (ret == NOT_ENTERED) {
			ret = vcpu_answer_locked(v);
			if (ret)
				return ret;
			ret = 1;
		}
	} while (ret > 0);
	if (!ret)
		ret = (int)v->args.exit;
	mutex_unlock(&v->lock);
	return ret == -ENOENT ? -ENXIO : ret;
}

long vcpu_run_ioctl(struct vm *vm, unsigned long id)
{
	struct vcpu *v;
	int ret;

	if (id >= vm->vcpus)
		return -EINVAL;
	v = vm->vcpu[id];
	if (atomic_cmpxchg(&v->runner, 0, 1))
		return -EBUSY;
	ret = vcpu_run(v);
	atomic_set_release(&v->runner, 0);
	return ret;
}
