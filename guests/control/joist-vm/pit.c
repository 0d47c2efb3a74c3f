/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pit.c -- the PC's 8254 timer, after Intel's data sheet.
 *
 * Nothing ticks: a channel's count and output are functions of the time since
 * it was loaded.  Only channel 0 needs a real timer, for its rising edges.
 */
#include <string.h>

#include "board.h"
#include "pit.h"

#define ACCESS_LOW	1
#define ACCESS_HIGH	2
#define ACCESS_BOTH	3

#define PORTB_GATE2	BIT(0)
#define PORTB_SPEAKER	BIT(1)
#define PORTB_REFRESH	BIT(4)
#define PORTB_OUT2	BIT(5)

#define NS		1000000000ull
#define REFRESH_NS	15085		/* half period of the refresh toggle */

static u64 ns_to_ticks(u64 ns)
{
	return (u64)((unsigned __int128)ns * PIT_HZ / NS);
}

/* Rounded up: the tick has happened by then. */
static u64 ticks_to_ns(u64 ticks)
{
	return (u64)(((unsigned __int128)ticks * NS + PIT_HZ - 1) / PIT_HZ);
}

static u32 bcd_to_bin(u32 v)
{
	return (v & 15) + 10 * (v >> 4 & 15) + 100 * (v >> 8 & 15) +
	       1000 * (v >> 12 & 15);
}

static u16 bin_to_bcd(u32 v)
{
	return (u16)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 |
		     v / 1000 % 10 << 12);
}

static u32 modulus(const struct pit_channel *c)
{
	return c->bcd ? 10000 : 0x10000;
}

static u32 load_value(const struct pit_channel *c)
{
	u32 n = c->bcd ? bcd_to_bin(c->count) : c->count;

	return n ? n : modulus(c);
}

static bool periodic(const struct pit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

static u64 elapsed(const struct pit_channel *c)
{
	if (!c->running)
		return c->held;
	return ns_to_ticks(board_ns() - c->start);
}

static u16 current(const struct pit_channel *c)
{
	u64 d = elapsed(c);
	u32 n = load_value(c), m = modulus(c), v;

	switch (c->mode) {
	case 2:
		v = n - (u32)(d % n);
		break;
	case 3:			/* counts down by two, twice a period */
		v = n - (u32)(2 * d % n);
		v &= ~1u;
		break;
	default:
		v = (u32)((n + m - d % m) % m);
		break;
	}
	v %= m;
	return c->bcd ? bin_to_bcd(v) : (u16)v;
}

static bool output(const struct pit_channel *c)
{
	u64 d = elapsed(c);
	u32 n = load_value(c);

	switch (c->mode) {
	case 0:
	case 1:
		return d >= n;
	case 2:
		return !c->gate || d % n != n - 1;
	case 3:
		return !c->gate || d % n < (n + 1) / 2;
	default:		/* a strobe of one tick */
		return d != n;
	}
}

/* Arm the timer for channel 0's next rising edge. */
static void arm(struct pit *p)
{
	struct pit_channel *c = &p->ch[0];
	u64 n = load_value(c), edge;

	if (!c->running || (!periodic(c) && p->fired)) {
		board_timer(TIMER_PIT, TIMER_OFF);
		return;
	}
	edge = periodic(c) ? (elapsed(c) / n + 1) * n : n;
	board_timer(TIMER_PIT, c->start + ticks_to_ns(edge));
}

void pit_timer(struct pit *p)
{
	struct pit_channel *c = &p->ch[0];

	if (!c->running || (!periodic(c) && elapsed(c) < load_value(c))) {
		arm(p);		/* reprogrammed since */
		return;
	}
	p->fired = 1;
	board_irq(IRQ_PIT, false);
	board_irq(IRQ_PIT, true);
	arm(p);
}

static void restart(struct pit *p, struct pit_channel *c)
{
	c->start = board_ns();
	c->held = 0;
	c->running = 1;
	if (c == &p->ch[0]) {
		p->fired = 0;
		if (!periodic(c))
			board_irq(IRQ_PIT, false);
		arm(p);
	}
}

static void load(struct pit *p, struct pit_channel *c, u16 count)
{
	c->count = count;
	/* Modes 1 and 5 wait for a rising gate, the others for an open one. */
	if (c->mode == 1 || c->mode == 5)
		return;
	restart(p, c);
	if (!c->gate)
		c->running = 0;
}

static void gate(struct pit *p, struct pit_channel *c, bool level)
{
	if (c->gate == level)
		return;
	if (!level && c->mode != 1 && c->mode != 5) {
		c->held = elapsed(c);
		c->running = 0;
	}
	c->gate = level;
	if (!level)
		return;
	if (c->mode == 0 || c->mode == 4) {
		c->start = board_ns() - ticks_to_ns(c->held);
		c->running = 1;
	} else {
		restart(p, c);
	}
}

void pit_init(struct pit *p)
{
	unsigned i;

	memset(p, 0, sizeof(*p));
	for (i = 0; i < 3; i++) {
		p->ch[i].access = ACCESS_BOTH;
		p->ch[i].gate = i != 2;
		p->ch[i].mode = i == 2 ? 0 : 3;
	}
	board_irq(IRQ_PIT, false);
	board_timer(TIMER_PIT, TIMER_OFF);
}

static void latch_count(struct pit_channel *c)
{
	if (c->latched)
		return;
	c->latch = current(c);
	c->latched = c->access;
}

static void latch_status(struct pit_channel *c)
{
	if (c->status_latched)
		return;
	/* Bit 6, "null count": a load has not reached the counter yet. */
	c->status = (u8)(output(c) << 7 | c->have_low << 6 | c->access << 4 |
			 c->mode << 1 | c->bcd);
	c->status_latched = 1;
}

static void write_control(struct pit *p, u8 val)
{
	unsigned sel = val >> 6, i;
	struct pit_channel *c;

	if (sel == 3) {				/* read-back command */
		for (i = 0; i < 3; i++) {
			if (!(val & BIT(i + 1)))
				continue;
			if (!(val & BIT(5)))
				latch_count(&p->ch[i]);
			if (!(val & BIT(4)))
				latch_status(&p->ch[i]);
		}
		return;
	}
	c = &p->ch[sel];
	if (!(val & 0x30)) {
		latch_count(c);
		return;
	}
	c->access = val >> 4 & 3;
	c->mode = val >> 1 & 7;
	if (c->mode > 5)
		c->mode &= 3;
	c->bcd = val & 1;
	c->have_low = c->read_high = c->latched = c->status_latched = 0;
	c->running = 0;
	c->held = 0;
	if (sel == 0) {
		board_irq(IRQ_PIT, false);
		arm(p);
	}
}

void pit_write(struct pit *p, unsigned reg, u8 val)
{
	struct pit_channel *c;

	if (reg == 3) {
		write_control(p, val);
		return;
	}
	c = &p->ch[reg];
	switch (c->access) {
	case ACCESS_LOW:
		load(p, c, val);
		break;
	case ACCESS_HIGH:
		load(p, c, (u16)(val << 8));
		break;
	default:
		if (!c->have_low) {
			c->write_low = val;
			c->have_low = 1;
			if (c->mode == 0) {	/* stops until the high byte */
				c->held = elapsed(c);
				c->running = 0;
			}
			break;
		}
		c->have_low = 0;
		load(p, c, (u16)(val << 8 | c->write_low));
		break;
	}
}

u8 pit_read(struct pit *p, unsigned reg)
{
	struct pit_channel *c;
	u16 v;

	if (reg == 3)
		return 0xff;
	c = &p->ch[reg];
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->latched) {
		if (c->latched & ACCESS_LOW) {
			c->latched &= (u8)~ACCESS_LOW;
			return (u8)c->latch;
		}
		c->latched = 0;
		return (u8)(c->latch >> 8);
	}
	v = current(c);
	switch (c->access) {
	case ACCESS_LOW:
		return (u8)v;
	case ACCESS_HIGH:
		return (u8)(v >> 8);
	}
	c->read_high ^= 1;
	return (u8)(c->read_high ? v : v >> 8);
}

u8 pit_portb_read(struct pit *p)
{
	u8 val = p->ch[2].gate | p->speaker;

	if (board_ns() / REFRESH_NS & 1)
		val |= PORTB_REFRESH;
	if (output(&p->ch[2]))
		val |= PORTB_OUT2;
	return val;
}

void pit_portb_write(struct pit *p, u8 val)
{
	p->speaker = val & PORTB_SPEAKER;
	gate(p, &p->ch[2], val & PORTB_GATE2);
}
