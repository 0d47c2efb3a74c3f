/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hc.h -- hypercalls, by VMCALL or VMMCALL as Joist's CPUID leaf says.
 */
#ifndef SELFTEST_HC_H
#define SELFTEST_HC_H

#include "core/errno.h"
#include "guests/selftest/rt.h"
#include "include/joist.h"

/* What hc_init() found out. */
extern bool hc_vmmcall;
extern bool hc_debug;			/* HC_VERIFY works */
extern struct joist_capabilities caps;	/* as at the start */

/* false: this is not Joist's control VM (and why has been printed). */
bool hc_init(void);

/* Whether a TSC tick is an instruction; and the longest call of each number. */
extern bool hc_counted;
extern u64 hc_longest[HC_COUNT];

/* The bare call.  Any core. */
s64 hc_raw(u64 nr, u64 gpa);

/*
 * The call with a copy of the block in this core's own page.  The copy comes
 * back after 0 or a positive result and after -EAGAIN; after any other error
 * the hypervisor must have left it alone, which is checked.
 */
s64 hc_block(u32 nr, void *block, size_t size);
/* Without checks: for use while a failure is being reported. */
s64 hc_raw_copy(u32 nr, void *block, size_t size);
#define HC(nr, block)	hc_block(nr, block, sizeof(*(block)))

/* HC(), and the case fails unless the result is `want`. */
#define HC_WANT(nr, block, want) do {					\
	s64 ret_ = HC(nr, block), want_ = (want);			\
	CHECK(ret_ == want_, #nr " gives %ld, want %ld", ret_, want_);	\
} while (0)
#define HC_OK(nr, block)	HC_WANT(nr, block, 0)

const char *hc_name(u32 nr);
size_t hc_size(u32 nr);			/* of its argument block */
u64 pool_free(void);
/* Counters of one vCPU. */
u64 stat_get(u32 vm, u32 vcpu, u32 stat);

#endif
