/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forbidden.c -- what the control VM finds where memory is not its own.
 *
 * A read gives all ones, whatever instruction makes it: a page of ones is
 * mapped there, read-only.  Only a few such pages are mapped at a time, so
 * that reading through all memory costs a bounded number of tables; the
 * oldest goes when a new one comes.
 */
#include "arch/x86/paging.h"
#include "boot/memory.h"
#include "core/errno.h"
#include "core/forbidden.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"

#define WINDOWS		16	/* pages of ones mapped at one time */
#define LOG_BURST	5

struct forbidden_counts forbidden_counts;

static u64 ones __ro_after_init;	/* HPA of the page of ones */
static u64 window[WINDOWS];	/* [control_s2_lock] GPA | 1, 0: free */
static u32 next_window;		/* [control_s2_lock] */
u32 forbidden_windows;		/* [a] how many are mapped */

bool forbidden(u64 gpa)
{
	u16 owner = page_owner(HPA(gpa));

	return owner != OWNER_NONE && owner != OWNER_CONTROL;
}

void forbidden_count(struct vcpu *v, u64 gpa, bool write)
{
	static struct ratelimit limit;

	__atomic_fetch_add(write ? &forbidden_counts.writes : &forbidden_counts.reads, 1,
			   __ATOMIC_RELAXED);
	if (ratelimit_ok(&limit, LOG_BURST))
		log_warn("the control VM %s memory that is not its own: %lx, rip %lx",
			 write ? "writes" : "reads", gpa, v->rip);
}

void forbidden_init(void)
{
	hpa_t pa = early_alloc(PAGE_SIZE);

	memset(hpa_ptr(pa), 0xff, PAGE_SIZE);
	ones = pa.v;
}

static void unmap_window_locked(u32 i)
{
	if (!window[i])
		return;
	stage2_unmap(&control_vm->s2, window[i] & ~1ull, PAGE_SIZE);
	window[i] = 0;
	__atomic_fetch_sub(&forbidden_windows, 1, __ATOMIC_RELAXED);
}

void forbidden_unmap_all(void)
{
	u32 i;

	spin_lock(&control_s2_lock);
	for (i = 0; i < WINDOWS; i++)
		unmap_window_locked(i);
	smp_ask_all_wait(REQ_FLUSH_CONTROL);
	stage2_collect(&control_vm->s2);
	spin_unlock(&control_s2_lock);
}

void forbidden_unmap_ones_locked(u64 gpa, u64 len)
{
	u32 i;

	assert_held(&control_s2_lock);
	for (i = 0; i < WINDOWS; i++)
		if (window[i] && (window[i] & ~1ull) - gpa < len)
			unmap_window_locked(i);
}

int forbidden_map_ones(u64 gpa)
{
	u32 i;
	int err;

	gpa = ALIGN_DOWN(gpa, PAGE_SIZE);
	spin_lock(&control_s2_lock);
	i = next_window++ % WINDOWS;
	unmap_window_locked(i);
	err = stage2_map(&control_vm->s2, gpa, ones, PAGE_SIZE, STAGE2_READ, 1);
	if (!err) {
		window[i] = gpa | 1;
		__atomic_fetch_add(&forbidden_windows, 1, __ATOMIC_RELAXED);
	} else if (err == -EEXIST) {
		/* Another core's fault on the same page, or it is shown now. */
		err = 0;
	}
	smp_ask_all_wait(REQ_FLUSH_CONTROL);
	stage2_collect(&control_vm->s2);
	spin_unlock(&control_s2_lock);
	return err;
}

/* In blocks of 1 GiB, as far as they hold no RAM. */
int control_map_device(u64 gpa)
{
	u64 base = ALIGN_DOWN(gpa, PAGE_SIZE_1G);
	int err;

	if (gpa >> STAGE2_GPA_BITS)
		return fail(-ERANGE);
	spin_lock(&control_s2_lock);
	if (base >= page_top())
		err = stage2_map(&control_vm->s2, base, base, PAGE_SIZE_1G, STAGE2_RWX, 3);
	else
		err = stage2_map(&control_vm->s2, ALIGN_DOWN(gpa, PAGE_SIZE),
				 ALIGN_DOWN(gpa, PAGE_SIZE), PAGE_SIZE, STAGE2_RWX, 1);
	spin_unlock(&control_s2_lock);
	/* Another core was faster. */
	return err == -EEXIST ? 0 : err;
}
