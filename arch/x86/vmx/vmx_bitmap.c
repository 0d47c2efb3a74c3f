/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmx_bitmap.c -- the MSR bitmaps, of guests and of the control VM.
 *
 * MSRs outside the two ranges always exit.
 */
#include "arch/x86/msr_policy.h"
#include "arch/x86/vmx/vmcs.h"
#include "core/string.h"

#define MSR_BITMAP_WRITE	0x800		/* byte offsets */
#define MSR_BITMAP_HIGH		0x400

/* SDM, "MSR-Bitmap Address": a bit an MSR and direction, two ranges of 8K. */
void vmx_bitmap_set(u8 *map, const struct msr_range *r, bool exit)
{
	u64 msr;

	for (msr = r->first; msr <= r->last; msr++) {
		u64 at;
		u8 bit = (u8)(1u << (msr & 7));

		if (msr <= 0x1fff)
			at = msr / 8;
		else if (msr >= 0xc0000000 && msr <= 0xc0001fff)
			at = MSR_BITMAP_HIGH + (msr - 0xc0000000) / 8;
		else
			continue;
		if (r->access & MSR_R)
			map[at] = (u8)(exit ? map[at] | bit : map[at] & ~bit);
		at += MSR_BITMAP_WRITE;
		if (r->access & MSR_W)
			map[at] = (u8)(exit ? map[at] | bit : map[at] & ~bit);
	}
}

void vmx_bitmaps_fill(u8 *guest, u8 *control)
{
	const struct msr_range *r;

	memset(guest, 0xff, PAGE_SIZE);
	for (r = guest_direct_msrs; r->access; r++)
		vmx_bitmap_set(guest, r, false);
	memset(control, 0, MSR_BITMAP_WRITE);
	memset(control + MSR_BITMAP_WRITE, 0xff, PAGE_SIZE - MSR_BITMAP_WRITE);
	for (r = control_direct_msrs; r->access; r++)
		vmx_bitmap_set(control, r, false);
	for (r = control_trapped_reads; r->access; r++)
		vmx_bitmap_set(control, r, true);
}
