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

/* One page for the control VM, which has not asked: an empty pool is no reason. */
static int map_urgent_locked(u64 gpa, u64 hpa, u64 size, u32 prot)
{
	struct stage2 *s = &control_vm->s2;
	int err;

	assert_held(&control_s2_lock);
	s->urgent = true;
	err = stage2_map(s, gpa, hpa, size, prot, s->max_level);
	s->urgent = false;
	return err;
}

int forbidden_map_ones(u64 gpa)
{
	u64 hpa, len;
	u32 i;
	int err;

	gpa = ALIGN_DOWN(gpa, PAGE_SIZE);
	spin_lock(&control_s2_lock);
	i = next_window++ % WINDOWS;
	unmap_window_locked(i);
	err = map_urgent_locked(gpa, ones, PAGE_SIZE, STAGE2_READ);
	if (!err) {
		window[i] = gpa | 1;
		__atomic_fetch_add(&forbidden_windows, 1, __ATOMIC_RELAXED);
	} else if (err == -EEXIST && stage2_walk(&control_vm->s2, gpa, &hpa, &len)) {
		/* Another core's fault on the same page, or it is shown now. */
		err = 0;
	}
	smp_ask_all_wait(REQ_FLUSH_CONTROL);
	stage2_collect(&control_vm->s2);
	spin_unlock(&control_s2_lock);
	return err;
}

/* The largest page around gpa that has one memory type and touches no RAM. */
static u64 device_page_size(u64 gpa)
{
	u64 size = stage2_page_size(&control_vm->s2, gpa);

	while (size > PAGE_SIZE && ALIGN_DOWN(gpa, size) < page_top())
		size >>= 9;
	return size;
}

int control_map_device(u64 gpa)
{
	struct stage2 *s = &control_vm->s2;
	u64 size, hpa, len;
	int err;

	if (gpa >> STAGE2_GPA_BITS)
		return fail(-ERANGE);
	size = device_page_size(gpa);
	spin_lock(&control_s2_lock);
	err = map_urgent_locked(ALIGN_DOWN(gpa, size), ALIGN_DOWN(gpa, size), size, STAGE2_RWX);
	if (err && s->garbage) {
		smp_ask_all_wait(REQ_FLUSH_CONTROL);
		stage2_collect(s);
	}
	/* Another core may have been faster. */
	if (err == -EEXIST && stage2_walk(s, gpa, &hpa, &len))
		err = 0;
	spin_unlock(&control_s2_lock);
	return err;
}
