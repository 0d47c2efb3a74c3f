/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pm.c -- ACPI fixed hardware, after the ACPI specification's chapter "ACPI
 * Hardware Specification".
 *
 * There is no SMI and no legacy mode: SCI_EN is always set.
 */
#include <string.h>

#include "board.h"
#include "pm.h"

#define PM_HZ		3579545ull
#define NS		1000000000ull
#define HALF_TURN	(1ull << 31)	/* TMR_STS follows the top bit */

#define STS_TIMER	BIT(0)
#define STS_BUTTON	BIT(8)
#define EN_MASK		(BIT(0) | BIT(5) | BIT(8) | BIT(9) | BIT(10))
#define STS_MASK	(EN_MASK | BIT(4) | BIT(15))
#define CNT_SCI		BIT(0)
#define CNT_SLP_EN	BIT(13)
#define CNT_RW		0x1c06		/* BM_RLD, GBL_RLS, SLP_TYP */
#define CNT_SLP_TYP(v)	((v) >> 10 & 7)

static u64 ticks(const struct pm *p)
{
	return (u64)((unsigned __int128)(board_ns() - p->base) * PM_HZ / NS);
}

static void update(struct pm *p)
{
	u64 half = ticks(p) / HALF_TURN, next = TIMER_OFF;
	u8 level;

	if (half != p->seen) {
		p->seen = half;
		p->status |= STS_TIMER;
	}
	level = !!(p->status & p->enable);
	if (level != p->line) {
		p->line = level;
		board_irq(IRQ_SCI, level);
	}
	if (p->enable & STS_TIMER)
		next = p->base + (u64)((unsigned __int128)(half + 1) *
				       HALF_TURN * NS / PM_HZ) + 1;
	board_timer(TIMER_PM, next);
}

void pm_init(struct pm *p)
{
	memset(p, 0, sizeof(*p));
	p->base = board_ns();
	board_irq(IRQ_SCI, false);
	board_timer(TIMER_PM, TIMER_OFF);
}

void pm_timer(struct pm *p)
{
	update(p);
}

void pm_power_button(struct pm *p)
{
	p->status |= STS_BUTTON;
	update(p);
}

static u32 read_all(struct pm *p, unsigned reg)
{
	switch (reg) {
	case PM_EVT:
		update(p);
		return p->status | (u32)p->enable << 16;
	case PM_CNT:
		return p->control | CNT_SCI;
	default:
		return (u32)ticks(p);
	}
}

u32 pm_read(struct pm *p, unsigned reg, unsigned size)
{
	unsigned shift = reg % 4;

	/* The accesses a guest makes are aligned; others give zeros above. */
	(void)size;
	return read_all(p, reg - shift) >> (8 * shift);
}

static void write_control(struct pm *p, u16 val)
{
	p->control = val & CNT_RW;
	/* The other sleep states do not exist: \_S5 is all the DSDT has. */
	if ((val & CNT_SLP_EN) && CNT_SLP_TYP(val) == PM_SLP_TYP_S5)
		board_power_off();
}

void pm_write(struct pm *p, unsigned reg, unsigned size, u32 val)
{
	unsigned shift = 8 * (reg % 4), dword = reg & ~3u;
	u32 mask = (size == 4 ? ~0u : (1u << 8 * size) - 1) << shift;
	u32 now;

	val <<= shift;
	if (dword == PM_EVT) {
		p->status &= (u16)~(val & mask & STS_MASK);
		now = (u32)p->enable << 16;
		p->enable = (u16)(((now & ~mask) | (val & mask)) >> 16) &
			    EN_MASK;
		update(p);
	} else if (dword == PM_CNT) {
		now = p->control;
		write_control(p, (u16)((now & ~mask) | (val & mask)));
	}
}
