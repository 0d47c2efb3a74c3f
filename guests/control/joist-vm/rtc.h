/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtc.h -- MC146818 real-time clock with 128 bytes of CMOS memory.
 */
#ifndef VM_RTC_H
#define VM_RTC_H

#include "guests/control/lib/util.h"

struct rtc {
	s64 offset;		/* clock minus board_wall_ns() */
	u64 period_base;	/* board_ns() the periodic interrupt counts from */
	u64 c_read;		/* clock at the last read of register C */
	u64 c_read_ns;		/* board_ns() then */
	u8 ram[128];		/* registers and memory */
	u8 index;
	u8 line;
};

/* mem_low: RAM below 4 GiB, mem_high: above, as firmware leaves them. */
void rtc_init(struct rtc *r, u64 mem_low, u64 mem_high);
u8 rtc_read(struct rtc *r, unsigned reg);
void rtc_write(struct rtc *r, unsigned reg, u8 val);
void rtc_timer(struct rtc *r);	/* TIMER_RTC has run out */

#endif
