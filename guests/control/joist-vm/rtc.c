/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtc.c -- MC146818 real-time clock, after Motorola's data sheet.
 *
 * The clock is the wall clock plus an offset, in UTC; the time registers are
 * filled in when read, and turned into a new offset when written (or, with
 * SET, when SET is cleared).  A timer runs only while an interrupt is enabled;
 * without one the flags of register C are computed when it is read.
 */
#include <string.h>
#include <time.h>

#include "board.h"
#include "rtc.h"

enum {
	SEC = 0, SEC_ALARM, MIN_, MIN_ALARM, HOUR, HOUR_ALARM, WDAY, MDAY,
	MONTH, YEAR, REG_A, REG_B, REG_C, REG_D,
	CMOS_EQUIPMENT = 0x14, CMOS_BASE_LOW = 0x15, CMOS_BASE_HIGH = 0x16,
	CMOS_EXT_LOW = 0x17, CMOS_EXT_HIGH = 0x18, CMOS_EXT2_LOW = 0x30,
	CMOS_EXT2_HIGH = 0x31, CENTURY = 0x32, CMOS_16M_LOW = 0x34,
	CMOS_16M_HIGH = 0x35, CMOS_4G = 0x5b,
};

#define A_UIP		BIT(7)
#define A_DIVIDER	0x70
#define A_DIVIDER_RUN	0x20
#define A_RATE		0x0f
#define B_SET		BIT(7)
#define B_PIE		BIT(6)
#define B_AIE		BIT(5)
#define B_UIE		BIT(4)
#define B_BINARY	BIT(2)
#define B_24H		BIT(1)
#define C_IRQF		BIT(7)
#define C_PF		BIT(6)
#define C_AF		BIT(5)
#define C_UF		BIT(4)
#define D_VALID		BIT(7)
#define HOUR_PM		BIT(7)
#define ALARM_ANY	0xc0	/* two top bits: "don't care" */

#define NS		1000000000ull
#define UIP_NS		244000ull	/* UIP is set that long before an update */

static u64 rtc_now(const struct rtc *r)
{
	return board_wall_ns() + (u64)r->offset;
}

static u8 encode(const struct rtc *r, int v)
{
	return (u8)(r->ram[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static int decode(const struct rtc *r, u8 v)
{
	return r->ram[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static u8 encode_hour(const struct rtc *r, int h)
{
	if (r->ram[REG_B] & B_24H)
		return encode(r, h);
	return encode(r, h % 12 ? h % 12 : 12) | (h >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct rtc *r, u8 v)
{
	if (r->ram[REG_B] & B_24H)
		return decode(r, v);
	return decode(r, v & (u8)~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* Time registers from the clock, unless the guest holds them. */
static void show_time(struct rtc *r)
{
	time_t t = (time_t)(rtc_now(r) / NS);
	struct tm tm;

	if (r->ram[REG_B] & B_SET)
		return;
	gmtime_r(&t, &tm);
	r->ram[SEC] = encode(r, tm.tm_sec);
	r->ram[MIN_] = encode(r, tm.tm_min);
	r->ram[HOUR] = encode_hour(r, tm.tm_hour);
	r->ram[WDAY] = encode(r, tm.tm_wday + 1);
	r->ram[MDAY] = encode(r, tm.tm_mday);
	r->ram[MONTH] = encode(r, tm.tm_mon + 1);
	r->ram[YEAR] = encode(r, tm.tm_year % 100);
	r->ram[CENTURY] = encode(r, 19 + tm.tm_year / 100);
}

/* The clock from the time registers.  Nonsense in them gives some time. */
static void take_time(struct rtc *r)
{
	struct tm tm = {
		.tm_sec = decode(r, r->ram[SEC]),
		.tm_min = decode(r, r->ram[MIN_]),
		.tm_hour = decode_hour(r, r->ram[HOUR]),
		.tm_mday = decode(r, r->ram[MDAY]),
		.tm_mon = decode(r, r->ram[MONTH]) - 1,
		.tm_year = decode(r, r->ram[YEAR]) +
			   100 * (decode(r, r->ram[CENTURY]) - 19),
	};

	r->offset = (s64)((u64)timegm(&tm) * NS - board_wall_ns());
}

/* Nanoseconds of the periodic interrupt's period, 0: none. */
static u64 period(const struct rtc *r)
{
	unsigned rate = r->ram[REG_A] & A_RATE;

	if (!rate || (r->ram[REG_A] & A_DIVIDER) != A_DIVIDER_RUN)
		return 0;
	if (rate < 3)
		rate += 7;
	return NS * (1u << (rate - 1)) / 32768;
}

static bool running(const struct rtc *r)
{
	return (r->ram[REG_A] & A_DIVIDER) == A_DIVIDER_RUN &&
	       !(r->ram[REG_B] & B_SET);
}

static bool alarm_matches(const struct rtc *r, u64 sec)
{
	const struct { u8 want, is; } f[] = {
		{ r->ram[SEC_ALARM], encode(r, (int)(sec % 60)) },
		{ r->ram[MIN_ALARM], encode(r, (int)(sec / 60 % 60)) },
		{ r->ram[HOUR_ALARM], encode_hour(r, (int)(sec / 3600 % 24)) },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(f); i++)
		if ((f[i].want & ALARM_ANY) != ALARM_ANY &&
		    f[i].want != f[i].is)
			return false;
	return true;
}

/* Has the alarm matched in a second of (from, to]?  A day is all there is. */
static bool alarm_between(const struct rtc *r, u64 from, u64 to)
{
	u64 s;

	if (to > from + 86400)
		from = to - 86400;
	for (s = from + 1; s <= to; s++)
		if (alarm_matches(r, s))
			return true;
	return false;
}

/* Set the flags of what has happened since this was last called. */
static void catch_up(struct rtc *r)
{
	u64 clock = rtc_now(r), now = board_ns(), p = period(r);

	if (p && (now - r->period_base) / p !=
		 (r->c_read_ns - r->period_base) / p)
		r->ram[REG_C] |= C_PF;
	if (running(r) && clock / NS > r->c_read / NS) {
		r->ram[REG_C] |= C_UF;
		if (alarm_between(r, r->c_read / NS, clock / NS))
			r->ram[REG_C] |= C_AF;
	}
	r->c_read = clock;
	r->c_read_ns = now;
}

static void arm(struct rtc *r)
{
	u64 now = board_ns(), p = period(r), next = TIMER_OFF, t;

	if (p && (r->ram[REG_B] & B_PIE))
		next = r->period_base + ((now - r->period_base) / p + 1) * p;
	if (running(r) && (r->ram[REG_B] & (B_UIE | B_AIE))) {
		t = now + NS - rtc_now(r) % NS;
		if (next == TIMER_OFF || t < next)
			next = t;
	}
	board_timer(TIMER_RTC, next);
}

static void update(struct rtc *r)
{
	u8 level;

	/* PF, AF, UF of C and PIE, AIE, UIE of B are the same bits. */
	level = !!(r->ram[REG_C] & r->ram[REG_B] & (C_PF | C_AF | C_UF));
	r->ram[REG_C] = (u8)((r->ram[REG_C] & ~C_IRQF) |
			     (level ? C_IRQF : 0));
	if (level != r->line) {
		r->line = level;
		board_irq(IRQ_RTC, level);
	}
}

void rtc_timer(struct rtc *r)
{
	catch_up(r);
	update(r);
	arm(r);
}

static void put_kib(struct rtc *r, unsigned reg, u64 units)
{
	units = MIN(units, 0xffffull);
	r->ram[reg] = (u8)units;
	r->ram[reg + 1] = (u8)(units >> 8);
}

void rtc_init(struct rtc *r, u64 mem_low, u64 mem_high)
{
	memset(r, 0, sizeof(*r));
	r->ram[REG_A] = A_DIVIDER_RUN | 6;	/* 1024 Hz, as firmware sets it */
	r->ram[REG_B] = B_24H;
	r->ram[REG_D] = D_VALID;
	r->ram[CMOS_EQUIPMENT] = 0x02;		/* FPU */
	put_kib(r, CMOS_BASE_LOW, 640);
	put_kib(r, CMOS_EXT_LOW, mem_low > MiB ? (mem_low - MiB) / KiB : 0);
	put_kib(r, CMOS_EXT2_LOW, mem_low > MiB ? (mem_low - MiB) / KiB : 0);
	put_kib(r, CMOS_16M_LOW, mem_low > 16 * MiB ?
		(mem_low - 16 * MiB) / (64 * KiB) : 0);
	r->ram[CMOS_4G] = (u8)(mem_high >> 16);
	r->ram[CMOS_4G + 1] = (u8)(mem_high >> 24);
	r->ram[CMOS_4G + 2] = (u8)(mem_high >> 32);
	r->c_read = rtc_now(r);
	r->c_read_ns = r->period_base = board_ns();
	board_irq(IRQ_RTC, false);
	board_timer(TIMER_RTC, TIMER_OFF);
}

static void write_a(struct rtc *r, u8 val)
{
	r->ram[REG_A] = val & (u8)~A_UIP;
	r->period_base = r->c_read_ns = board_ns();
}

static void write_b(struct rtc *r, u8 val)
{
	u8 was = r->ram[REG_B];

	if (val & B_SET)
		val &= (u8)~B_UIE;	/* SET clears it */
	show_time(r);			/* SET freezes what is shown now */
	r->ram[REG_B] = val;
	if ((was & B_SET) && !(val & B_SET)) {
		take_time(r);
		r->c_read = rtc_now(r);
	}
}

static bool is_time(unsigned i)
{
	return i == CENTURY || (i <= YEAR && i != SEC_ALARM &&
				i != MIN_ALARM && i != HOUR_ALARM);
}

void rtc_write(struct rtc *r, unsigned reg, u8 val)
{
	unsigned i = r->index;

	if (reg == 0) {
		r->index = val & 0x7f;	/* bit 7 masks NMI; there is none */
		return;
	}
	catch_up(r);
	if (i == REG_A) {
		write_a(r, val);
	} else if (i == REG_B) {
		write_b(r, val);
	} else if (i == REG_C || i == REG_D) {
		return;
	} else if (is_time(i)) {
		show_time(r);
		r->ram[i] = val;
		if (!(r->ram[REG_B] & B_SET)) {
			take_time(r);
			r->c_read = rtc_now(r);
		}
	} else {
		r->ram[i] = val;
	}
	update(r);
	arm(r);
}

u8 rtc_read(struct rtc *r, unsigned reg)
{
	unsigned i = r->index;
	u8 val;

	if (reg == 0)
		return 0xff;		/* the index is write-only */
	if (is_time(i))
		show_time(r);
	val = r->ram[i];
	if (i == REG_A && running(r) && rtc_now(r) % NS >= NS - UIP_NS)
		val |= A_UIP;
	if (i == REG_C) {
		catch_up(r);
		update(r);
		val = r->ram[REG_C];
		r->ram[REG_C] = 0;
		update(r);
	}
	return val;
}
