/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlapic.c -- a virtual local APIC, xAPIC and x2APIC.
 *
 * SDM "Advanced Programmable Interrupt Controller (APIC)".  Registers that
 * can be computed (PPR aside, which every entry to the guest wants) are not
 * stored.  Invariants: irr.sum and isr.sum name exactly the words that are not
 * zero, ppr is up to date, timer_next is VLAPIC_NEVER unless a timer runs, no
 * vector below 16 is ever in irr or isr.
 */
#include "arch/x86/vlapic.h"
#include "core/errno.h"
#include "core/string.h"

/* An integrated APIC with six LVT entries, no EOI-broadcast suppression. */
#define VERSION		(0x14 | (VLAPIC_LVTS - 1) << 16)

#define FIRST_VECTOR	16		/* lower ones are illegal */

#define SVR_WRITABLE	BITS(8, 0)
#define SVR_RESET	0xff

#define LDR_WRITABLE	BITS(31, 24)
#define DFR_WRITABLE	BITS(31, 28)
#define DFR_FLAT	0xf

#define LVT_VECTOR	BITS(7, 0)
#define LVT_MODE	BITS(10, 8)
#define LVT_STATUS	BIT(12)		/* read-only, never set */
#define LVT_POLARITY	BIT(13)
#define LVT_REMOTE_IRR	BIT(14)		/* read-only, never set */
#define LVT_LEVEL	BIT(15)
#define LVT_MASKED	BIT(16)
#define LVT_TIMER_MODE	BITS(18, 17)

#define TIMER_PERIODIC	1
#define TIMER_DEADLINE	2

#define ESR_SEND_VECTOR	BIT(5)
#define ESR_RECV_VECTOR	BIT(6)
#define ESR_REGISTER	BIT(7)
#define ESR_ALL		BITS(7, 5)

#define ICR_VECTOR	BITS(7, 0)
#define ICR_MODE	BITS(10, 8)
#define ICR_LOGICAL	BIT(11)
#define ICR_STATUS	BIT(12)		/* read-only, never busy */
#define ICR_ASSERT	BIT(14)
#define ICR_LEVEL	BIT(15)
#define ICR_SHORTHAND	BITS(19, 18)
#define ICR_LOW		(ICR_VECTOR | ICR_MODE | ICR_LOGICAL | \
			 ICR_ASSERT | ICR_LEVEL | ICR_SHORTHAND)
#define ICR_X2_DEST	BITS(63, 32)
#define ICR_X1_DEST	BITS(63, 56)

#define DCR_WRITABLE	0xb

static const u32 lvt_writable[VLAPIC_LVTS] = {
	[LVT_TIMER]   = LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE,
	[LVT_THERMAL] = LVT_VECTOR | LVT_MODE | LVT_MASKED,
	[LVT_PERF]    = LVT_VECTOR | LVT_MODE | LVT_MASKED,
	[LVT_LINT0]   = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL |
			LVT_MASKED,
	[LVT_LINT1]   = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL |
			LVT_MASKED,
	[LVT_ERROR]   = LVT_VECTOR | LVT_MASKED,
};

/* ---- vector sets ---- */

static void set_add(struct vlapic_set *s, u32 v)
{
	s->word[v >> 6] |= BIT(v & 63);
	s->sum |= 1u << (v >> 6);
}

static void set_remove(struct vlapic_set *s, u32 v)
{
	s->word[v >> 6] &= ~BIT(v & 63);
	if (!s->word[v >> 6])
		s->sum &= ~(1u << (v >> 6));
}

static u32 words_get(const u64 *word, u32 i)
{
	return word[i >> 1 & 3] >> (i & 1) * 32;
}

/* ---- priorities ---- */

static u32 highest_class(const struct vlapic_set *s)
{
	int v = vlapic_highest(s);

	return v < 0 ? 0 : v & 0xf0;
}

/* SDM "Task and Processor Priorities". */
static void update_ppr(struct vlapic *l)
{
	u32 isrv = highest_class(&l->isr);

	l->ppr = (l->tpr & 0xf0) >= isrv ? l->tpr : isrv;
}

void vlapic_set_tpr(struct vlapic *l, u32 cr8)
{
	l->tpr = (cr8 & 0xf) << 4;
	update_ppr(l);
}

/* SDM "Arbitration Priority Register (APR)", to the letter. */
static u32 arbitration_priority(const struct vlapic *l)
{
	u32 tpr = l->tpr & 0xf0;
	u32 irrv = highest_class(&l->irr);
	u32 isrv = highest_class(&l->isr);

	if (tpr >= irrv && tpr > isrv)
		return l->tpr;
	return MAX(tpr & isrv, irrv);
}

/* ---- interrupts: arrival, delivery, end ---- */

static bool software_enabled(const struct vlapic *l)
{
	return l->svr & VLAPIC_SVR_ENABLE;
}

static void accept(struct vlapic *l, u32 vector, bool level)
{
	u64 bit = BIT(vector & 63);

	if (level)
		l->tmr[vector >> 6] |= bit;
	else
		l->tmr[vector >> 6] &= ~bit;
	set_add(&l->irr, vector);
}

/* SDM "Error Handling": errors gather until ESR is written. */
static void error(struct vlapic *l, u32 bit)
{
	u32 lvt = l->lvt[LVT_ERROR];
	u32 vector = lvt & LVT_VECTOR;

	l->esr_new |= bit;
	if (lvt & LVT_MASKED)
		return;
	if (vector < FIRST_VECTOR)
		l->esr_new |= ESR_RECV_VECTOR;	/* and not again */
	else
		accept(l, vector, false);
}

void vlapic_accept(struct vlapic *l, u32 vector, bool level)
{
	/* One that was sent while we were still enabled. */
	if (!(l->base & VLAPIC_BASE_EN) || !software_enabled(l))
		return;
	vector &= 0xff;
	if (vector < FIRST_VECTOR)
		error(l, ESR_RECV_VECTOR);
	else
		accept(l, vector, level);
}

int vlapic_ack(struct vlapic *l)
{
	int v = vlapic_pending(l);

	if (v < 0)
		return -1;
	set_remove(&l->irr, v);
	set_add(&l->isr, v);
	l->ppr = v & 0xf0;	/* it was above PPR, so above TPR */
	return v;
}

void vlapic_take_back(struct vlapic *l, const u64 *irr, const u64 *isr, u32 tpr)
{
	u32 i;

	for (i = 0; irr && i < 4; i++) {
		l->irr.word[i] |= irr[i];
		l->irr.sum |= (u32)!!l->irr.word[i] << i;
	}
	if (isr || l->isr.sum)
		l->isr = (struct vlapic_set){};
	for (i = 0; isr && i < 4; i++) {
		l->isr.word[i] = isr[i];
		l->isr.sum |= (u32)!!isr[i] << i;
	}
	l->tpr = tpr & 0xff;
	update_ppr(l);
}

int vlapic_eoi(struct vlapic *l)
{
	int v = vlapic_highest(&l->isr);

	if (v < 0)
		return -1;
	set_remove(&l->isr, v);
	update_ppr(l);
	return l->tmr[v >> 6] & BIT(v & 63) ? v : -1;
}

/* An event of the LAPIC's own. */
static void local_event(struct vlapic *l, enum vlapic_lvt which)
{
	u32 lvt = l->lvt[which];

	if (!(lvt & LVT_MASKED))
		vlapic_accept(l, lvt & LVT_VECTOR, false);
}

bool vlapic_accepts_extint(const struct vlapic *l)
{
	u32 lvt = l->lvt[LVT_LINT0];

	/* Without LAPIC the pin is the CPU's INTR pin. */
	if (!(l->base & VLAPIC_BASE_EN))
		return true;
	return !(lvt & LVT_MASKED) && field_get(LVT_MODE, lvt) == APIC_EXTINT;
}

/* ---- timer ---- */

static u32 timer_mode(const struct vlapic *l)
{
	return field_get(LVT_TIMER_MODE, l->lvt[LVT_TIMER]);
}

/* Input clocks per count.  SDM "Divide Configuration Register". */
static u64 timer_divisor(const struct vlapic *l)
{
	u32 code = (l->dcr & 3) | (l->dcr & 8) >> 1;

	return 1ull << ((code + 1) & 7);
}

static u64 timer_period(const struct vlapic *l)
{
	return l->tmict * timer_divisor(l);
}

/*
 * Arithmetic on times wraps: when the guest sets its TSC back, a running
 * period's start lies before TSC 0.
 */
static void timer_arm(struct vlapic *l, u64 start)
{
	u64 period = timer_period(l);

	l->timer_start = start;
	l->timer_next = period ? start + period : VLAPIC_NEVER;
}

static u32 timer_count(const struct vlapic *l, u64 now)
{
	u64 period = timer_period(l);
	u64 gone = now - l->timer_start;

	if (timer_mode(l) == TIMER_DEADLINE || l->timer_next == VLAPIC_NEVER)
		return 0;
	if (timer_mode(l) == TIMER_PERIODIC)
		gone %= period;
	if (gone >= period)
		return 0;
	return l->tmict - gone / timer_divisor(l);
}

u64 vlapic_min_period __ro_after_init;

void vlapic_timer_expire(struct vlapic *l, u64 now)
{
	u64 period = timer_period(l);
	u64 next = l->timer_next;

	if (now < next || next == VLAPIC_NEVER)
		return;
	l->timer_next = VLAPIC_NEVER;
	if (timer_mode(l) == TIMER_DEADLINE)
		l->tsc_deadline = 0;
	else if (timer_mode(l) == TIMER_PERIODIC) {
		/* Missed periods become one; the phase stays. */
		timer_arm(l, next + (now - next) / period * period);
		/* So do those that the host could not follow. */
		if (period < vlapic_min_period)
			l->timer_next += (vlapic_min_period - 1) / period * period;
	}
	local_event(l, LVT_TIMER);
}

bool vlapic_set_tsc_deadline(struct vlapic *l, u64 val)
{
	u64 before = l->timer_next;

	if (timer_mode(l) != TIMER_DEADLINE)
		return false;
	l->tsc_deadline = val;
	l->timer_next = val ? val : VLAPIC_NEVER;
	return l->timer_next != before;
}

u64 vlapic_get_tsc_deadline(const struct vlapic *l)
{
	return l->tsc_deadline;
}

void vlapic_tsc_moved(struct vlapic *l, u64 delta)
{
	/* A deadline is a TSC value by definition, and does not move. */
	if (timer_mode(l) == TIMER_DEADLINE || l->timer_next == VLAPIC_NEVER)
		return;
	timer_arm(l, l->timer_start + delta);
}

/* ---- reset and modes ---- */

void vlapic_init(struct vlapic *l)
{
	u64 base = l->base;
	u32 id = l->id;
	u32 i;

	memset(l, 0, sizeof(*l));
	l->base = base;
	l->id = id;
	l->svr = SVR_RESET;
	l->dfr = ~0u;
	l->timer_next = VLAPIC_NEVER;
	for (i = 0; i < VLAPIC_LVTS; i++)
		l->lvt[i] = LVT_MASKED;
	/*
	 * What firmware leaves behind, not what the CPU comes up with: the
	 * boot CPU takes 8259 interrupts.  MultiProcessor Specification
	 * "Virtual Wire Mode".  Kernels that are entered without firmware
	 * count on it.
	 */
	if (base & VLAPIC_BASE_BSP)
		l->lvt[LVT_LINT0] = field_put(LVT_MODE, APIC_EXTINT);
}

void vlapic_reset(struct vlapic *l, u32 id, bool bsp)
{
	l->id = id;
	l->base = VLAPIC_BASE_ADDR | VLAPIC_BASE_EN |
		  (bsp ? VLAPIC_BASE_BSP : 0);
	vlapic_init(l);
}

int vlapic_set_base(struct vlapic *l, u64 val)
{
	u64 mode = VLAPIC_BASE_EN | VLAPIC_BASE_EXTD;
	u64 old = l->base & mode;

	if ((val & ~(mode | VLAPIC_BASE_BSP)) != VLAPIC_BASE_ADDR)
		return -EINVAL;
	val &= ~VLAPIC_BASE_BSP;
	val |= l->base & VLAPIC_BASE_BSP;
	/* SDM "x2APIC State Transitions". */
	switch (val & mode) {
	case VLAPIC_BASE_EXTD:
		return -EINVAL;
	case VLAPIC_BASE_EN:
		if (old == mode)
			return -EINVAL;
		break;
	case VLAPIC_BASE_EN | VLAPIC_BASE_EXTD:
		if (!old)
			return -EINVAL;
		break;
	}
	l->base = val;
	if (old && !(val & VLAPIC_BASE_EN))
		vlapic_init(l);
	return 0;
}

static bool is_x2(const struct vlapic *l)
{
	return l->base & VLAPIC_BASE_EXTD;
}

static u32 x2_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

/* ---- register reads ---- */

static u32 read_icr(const struct vlapic *l, u32 reg)
{
	return reg == VLAPIC_ICR ? l->icr : l->icr >> 32;
}

/* Registers that both modes have; -EINVAL for others. */
static int read_common(const struct vlapic *l, u32 reg, u64 now, u32 *val)
{
	switch (reg) {
	case VLAPIC_VERSION:
		*val = VERSION;
		return 0;
	case VLAPIC_TPR:
		*val = l->tpr;
		return 0;
	case VLAPIC_PPR:
		*val = l->ppr;
		return 0;
	case VLAPIC_SVR:
		*val = l->svr;
		return 0;
	case VLAPIC_ISR ... VLAPIC_ISR + 7:
		*val = words_get(l->isr.word, reg - VLAPIC_ISR);
		return 0;
	case VLAPIC_TMR ... VLAPIC_TMR + 7:
		*val = words_get(l->tmr, reg - VLAPIC_TMR);
		return 0;
	case VLAPIC_IRR ... VLAPIC_IRR + 7:
		*val = words_get(l->irr.word, reg - VLAPIC_IRR);
		return 0;
	case VLAPIC_ESR:
		*val = l->esr;
		return 0;
	case VLAPIC_LVT ... VLAPIC_LVT + VLAPIC_LVTS - 1:
		*val = l->lvt[index_mask(reg - VLAPIC_LVT, VLAPIC_LVTS)];
		return 0;
	case VLAPIC_TMICT:
		*val = l->tmict;
		return 0;
	case VLAPIC_TMCCT:
		*val = timer_count(l, now);
		return 0;
	case VLAPIC_DCR:
		*val = l->dcr;
		return 0;
	}
	return -EINVAL;
}

/* Registers that only the xAPIC has, or has in another form. */
static int read_xapic(const struct vlapic *l, u32 reg, u32 *val)
{
	switch (reg) {
	case VLAPIC_ID:
		*val = l->id << 24;
		return 0;
	case VLAPIC_APR:
		*val = arbitration_priority(l);
		return 0;
	case VLAPIC_EOI:
	case VLAPIC_RRD:
		*val = 0;
		return 0;
	case VLAPIC_LDR:
		*val = l->ldr;
		return 0;
	case VLAPIC_DFR:
		*val = l->dfr;
		return 0;
	case VLAPIC_ICR:
	case VLAPIC_ICR_HIGH:
		*val = read_icr(l, reg);
		return 0;
	}
	return -EINVAL;
}

static int read_x2(struct vlapic *l, u32 reg, u64 now, u64 *val)
{
	u32 v;
	int err;

	switch (reg) {
	case VLAPIC_ID:
		*val = l->id;
		return 0;
	case VLAPIC_LDR:
		*val = x2_ldr(l->id);
		return 0;
	case VLAPIC_ICR:
		*val = l->icr;
		return 0;
	}
	err = read_common(l, reg, now, &v);
	if (!err)
		*val = v;
	return err;
}

int vlapic_read(struct vlapic *l, u32 reg, bool x2, u64 now, u64 *val)
{
	u32 v;

	if (x2)
		return is_x2(l) ? read_x2(l, reg, now, val) : -EINVAL;
	*val = ~0u;
	if (!(l->base & VLAPIC_BASE_EN) || is_x2(l))
		return 0;
	if (read_xapic(l, reg, &v) && read_common(l, reg, now, &v)) {
		error(l, ESR_REGISTER);
		v = 0;
	}
	*val = v;
	return 0;
}

/* ---- register writes ---- */

/* Sending, from an ICR value.  x2: its destination is 32 bits wide. */
static void send(struct vlapic *l, u64 icr, bool x2, struct vlapic_action *a)
{
	struct vlapic_msg *m = &a->msg;
	u32 mode = field_get(ICR_MODE, icr);
	u32 shorthand = field_get(ICR_SHORTHAND, icr);
	u32 vector = icr & ICR_VECTOR;

	if (mode <= APIC_LOWEST && vector < FIRST_VECTOR) {
		error(l, ESR_SEND_VECTOR);
		return;
	}
	/*
	 * SDM "Valid Combinations for the Pentium 4 and Intel Xeon
	 * Processors' Local xAPIC Interrupt Command Register": only fixed
	 * interrupts reach oneself by shorthand; level is ignored but for
	 * INIT, where it means the de-assertion that nobody acts upon.
	 */
	if ((shorthand == APIC_SELF || shorthand == APIC_ALL) &&
	    mode != APIC_FIXED)
		return;
	if (mode == APIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
		return;
	if (mode == 3 || mode == APIC_EXTINT)
		return;
	if (shorthand == APIC_SELF) {
		vlapic_accept(l, vector, false);
		return;
	}
	m->vector = vector;
	m->mode = mode;
	m->logical = icr & ICR_LOGICAL;
	m->level = false;
	m->assert = true;
	m->shorthand = shorthand;
	m->x2 = x2;
	m->dest = x2 ? icr >> 32 : icr >> 56;
	a->what |= VLAPIC_SEND;
}

static void write_svr(struct vlapic *l, u32 val)
{
	u32 i;

	l->svr = val;
	if (software_enabled(l))
		return;
	for (i = 0; i < VLAPIC_LVTS; i++)
		l->lvt[i] |= LVT_MASKED;
}

static void write_lvt(struct vlapic *l, enum vlapic_lvt which, u32 val)
{
	u32 mode = timer_mode(l);

	if (!software_enabled(l))
		val |= LVT_MASKED;
	l->lvt[index_mask(which, VLAPIC_LVTS)] = val;
	if (which != LVT_TIMER)
		return;
	/* SDM "TSC-Deadline Mode": entering and leaving it disarms. */
	if ((mode == TIMER_DEADLINE) == (timer_mode(l) == TIMER_DEADLINE))
		return;
	l->timer_next = VLAPIC_NEVER;
	l->tsc_deadline = 0;
	l->tmict = 0;
}

static void write_tmict(struct vlapic *l, u32 val, u64 now)
{
	if (timer_mode(l) == TIMER_DEADLINE)
		return;
	l->tmict = val;
	timer_arm(l, now);
}

/* The count goes on from where it is, at the new rate. */
static void write_dcr(struct vlapic *l, u32 val, u64 now)
{
	u64 done = l->tmict - timer_count(l, now);

	l->dcr = val;
	if (timer_mode(l) == TIMER_DEADLINE || l->timer_next == VLAPIC_NEVER)
		return;
	timer_arm(l, now - done * timer_divisor(l));
}

/*
 * Which bits of a register can be written; the others are reserved.  0: not a
 * writable register of 32 bits that both modes have.
 */
static u32 writable(u32 reg)
{
	switch (reg) {
	case VLAPIC_TPR:
		return 0xff;
	case VLAPIC_SVR:
		return SVR_WRITABLE;
	case VLAPIC_LVT ... VLAPIC_LVT + VLAPIC_LVTS - 1:
		return lvt_writable[reg - VLAPIC_LVT];
	case VLAPIC_TMICT:
		return ~0u;
	case VLAPIC_DCR:
		return DCR_WRITABLE;
	}
	return 0;
}

/* val has only bits of writable(). */
static void write_common(struct vlapic *l, u32 reg, u32 val, u64 now)
{
	switch (reg) {
	case VLAPIC_TPR:
		l->tpr = val;
		update_ppr(l);
		break;
	case VLAPIC_SVR:
		write_svr(l, val);
		break;
	case VLAPIC_TMICT:
		write_tmict(l, val, now);
		break;
	case VLAPIC_DCR:
		write_dcr(l, val, now);
		break;
	default:
		write_lvt(l, reg - VLAPIC_LVT, val);
		break;
	}
}

static void latch_esr(struct vlapic *l)
{
	l->esr = l->esr_new;
	l->esr_new = 0;
}

static void write_eoi(struct vlapic *l, struct vlapic_action *a)
{
	int v = vlapic_eoi(l);

	if (v < 0)
		return;
	a->what |= VLAPIC_EOI_OUT;
	a->eoi = v;
}

static int write_x2(struct vlapic *l, u32 reg, u64 val, u64 now,
		    struct vlapic_action *a)
{
	u32 mask, ignored;

	switch (reg) {
	case VLAPIC_EOI:
		if (val)
			return -EINVAL;
		write_eoi(l, a);
		return 0;
	case VLAPIC_SELF_IPI:
		if (val & ~ICR_VECTOR)
			return -EINVAL;
		if (val < FIRST_VECTOR)
			error(l, ESR_SEND_VECTOR);
		else
			vlapic_accept(l, val, false);
		return 0;
	case VLAPIC_ICR:
		if (val & ~(ICR_LOW | ICR_STATUS | ICR_X2_DEST))
			return -EINVAL;
		l->icr = val & ~ICR_STATUS;
		send(l, val, true, a);
		return 0;
	case VLAPIC_ESR:
		if (val)
			return -EINVAL;
		latch_esr(l);
		return 0;
	}
	mask = writable(reg);
	ignored = reg >= VLAPIC_LVT && reg < VLAPIC_LVT + VLAPIC_LVTS ?
		  LVT_STATUS | LVT_REMOTE_IRR : 0;
	if (!mask || val & ~(u64)(mask | ignored))
		return -EINVAL;
	if (reg == VLAPIC_LVT + LVT_TIMER &&
	    field_get(LVT_TIMER_MODE, val) > TIMER_DEADLINE)
		return -EINVAL;
	write_common(l, reg, val & mask, now);
	return 0;
}

static void write_xapic(struct vlapic *l, u32 reg, u32 val, u64 now,
			struct vlapic_action *a)
{
	u32 mask, unused;

	switch (reg) {
	case VLAPIC_EOI:
		write_eoi(l, a);
		return;
	case VLAPIC_LDR:
		l->ldr = val & LDR_WRITABLE;
		return;
	case VLAPIC_DFR:
		l->dfr = val | ~(u32)DFR_WRITABLE;
		return;
	case VLAPIC_ICR:
		l->icr = (l->icr & ICR_X1_DEST) | (val & ICR_LOW);
		send(l, l->icr, false, a);
		return;
	case VLAPIC_ICR_HIGH:
		l->icr = (u32)l->icr | ((u64)val << 32 & ICR_X1_DEST);
		return;
	case VLAPIC_ESR:
		latch_esr(l);
		return;
	}
	mask = writable(reg);
	if (mask) {
		val &= mask;
		if (reg == VLAPIC_LVT + LVT_TIMER &&
		    field_get(LVT_TIMER_MODE, val) > TIMER_DEADLINE)
			val &= ~LVT_TIMER_MODE;
		write_common(l, reg, val, now);
	} else if (read_xapic(l, reg, &unused) &&
		   read_common(l, reg, now, &unused)) {
		error(l, ESR_REGISTER);
	}
}

int vlapic_write(struct vlapic *l, u32 reg, bool x2, u64 val, u64 now,
		 struct vlapic_action *a)
{
	u64 before = l->timer_next;
	int err = 0;

	a->what = 0;
	vlapic_timer_check(l, now);	/* what is due comes first */
	if (x2 && !is_x2(l))
		return -EINVAL;
	if (x2)
		err = write_x2(l, reg, val, now, a);
	else if (l->base & VLAPIC_BASE_EN && !is_x2(l))
		write_xapic(l, reg, val, now, a);
	if (l->timer_next != before)
		a->what |= VLAPIC_TIMER;
	return err;
}

/* ---- messages ---- */

/* SDM "Message Signalled Interrupts". */
#define MSI_ADDR	BITS(63, 20)
#define MSI_ADDR_VALUE	0xfee00000ull
#define MSI_DEST	BITS(19, 12)
#define MSI_DEST_HIGH	BITS(11, 5)	/* KVM MSI_EXT_DEST_ID */
#define MSI_REDIRECT	BIT(3)
#define MSI_LOGICAL	BIT(2)
#define MSI_VECTOR	BITS(7, 0)
#define MSI_MODE	BITS(10, 8)
#define MSI_ASSERT	BIT(14)
#define MSI_LEVEL	BIT(15)

int vlapic_msi(u64 addr, u64 data, struct vlapic_msg *m)
{
	u32 mode = field_get(MSI_MODE, data);

	if ((addr & MSI_ADDR) != MSI_ADDR_VALUE || data >> 32)
		return -EINVAL;
	if (mode == 3 || mode == APIC_STARTUP)
		return -EINVAL;
	/* A redirection hint lets the logical destination choose one. */
	if (mode == APIC_FIXED && addr & MSI_REDIRECT && addr & MSI_LOGICAL)
		mode = APIC_LOWEST;
	m->vector = data & MSI_VECTOR;
	m->mode = mode;
	m->logical = addr & MSI_LOGICAL;
	m->level = data & MSI_LEVEL;
	m->assert = !m->level || data & MSI_ASSERT;
	m->shorthand = APIC_DEST;
	m->x2 = false;
	m->dest = field_get(MSI_DEST, addr) |
		  field_get(MSI_DEST_HIGH, addr) << 8;
	return 0;
}

/* What another core may read: each a single aligned load. */
#define PEEK(field)	(*(const volatile __typeof__(field) *)&(field))

static bool match_logical(const struct vlapic *t, bool t_x2,
			  const struct vlapic_msg *m)
{
	u32 ldr, mda;

	if (t_x2) {
		ldr = x2_ldr(t->id);
		return ldr >> 16 == m->dest >> 16 && ldr & m->dest & 0xffff;
	}
	if (m->dest > 0xff)
		return false;
	ldr = PEEK(t->ldr) >> 24;
	mda = m->dest;
	if (PEEK(t->dfr) >> 28 == DFR_FLAT)
		return ldr & mda;
	/* Cluster model: a number, and four members' bits. */
	return (mda >> 4 == ldr >> 4 || mda >> 4 == 0xf) && ldr & mda & 0xf;
}

static bool match_dest(const struct vlapic *t, const struct vlapic_msg *m)
{
	bool t_x2 = PEEK(t->base) & VLAPIC_BASE_EXTD;

	/* 8 logical bits mean members of cluster 0 to an x2APIC, never all. */
	if (m->dest == (m->x2 ? ~0u : 0xffu) &&
	    !(m->logical && t_x2 && !m->x2))
		return true;
	return m->logical ? match_logical(t, t_x2, m) : t->id == m->dest;
}

/* INIT, SIPI, NMI and SMI reach a LAPIC that software has disabled. */
static bool accepts(const struct vlapic *t, const struct vlapic_msg *m)
{
	if (!t || !(PEEK(t->base) & VLAPIC_BASE_EN))
		return false;
	return m->mode > APIC_LOWEST || PEEK(t->svr) & VLAPIC_SVR_ENABLE;
}

/*
 * Of those that qualify, a lowest-priority interrupt goes to one that its
 * vector chooses: SDM "Lowest Priority Delivery Mode" leaves the choice to the
 * model, and a vector that stays on one CPU keeps its caches warm.
 */
static u64 choose_one(u64 set, u32 vector)
{
	u64 s = set;
	u32 n = 0;

	for (; s; s &= s - 1)
		n++;
	if (!n)
		return 0;
	for (n = vector % n; n; n--)
		set &= set - 1;
	return LOWEST_BIT(set);
}

u64 vlapic_targets(const struct vlapic_msg *m, unsigned self, unsigned n,
		   const struct vlapic *(*get)(void *ctx, unsigned i),
		   void *ctx)
{
	const struct vlapic *t;
	u64 set = 0;
	unsigned i;

	if (!m->assert)
		return 0;
	/* Where index and id agree, as they mostly do, one look is enough. */
	if (m->shorthand == APIC_DEST && !m->logical && m->dest < n) {
		t = get(ctx, m->dest);
		if (t && t->id == m->dest)
			return accepts(t, m) ? BIT(m->dest) : 0;
	}
	for (i = 0; i < n && i < 64; i++) {
		t = get(ctx, i);
		if (m->shorthand == APIC_SELF && i != self)
			continue;
		if (m->shorthand == APIC_OTHERS && i == self)
			continue;
		if (!accepts(t, m))
			continue;
		if (m->shorthand != APIC_DEST || match_dest(t, m))
			set |= BIT(i);
	}
	return m->mode == APIC_LOWEST ? choose_one(set, m->vector) : set;
}

/* ---- export and import ---- */

/* RRD is always 0 and unused since the P6 family: it carries errors that
 * ESR does not show yet. */
#define EXPORT_ESR_NEW	VLAPIC_RRD

void vlapic_export(const struct vlapic *l, u64 now, struct joist_lapic *p)
{
	bool x2 = is_x2(l);
	u32 i, v;

	memset(p->regs, 0, sizeof(p->regs));
	for (i = 0; i < VLAPIC_REGS; i++) {
		if (!read_common(l, i, now, &v) || !read_xapic(l, i, &v))
			p->regs[i] = v;
	}
	if (x2) {
		p->regs[VLAPIC_ID] = l->id;
		p->regs[VLAPIC_LDR] = x2_ldr(l->id);
		p->regs[VLAPIC_DFR] = 0;	/* does not exist */
	}
	/* Whether it runs is told by the count: due is not yet done. */
	if (l->timer_next != VLAPIC_NEVER &&
	    timer_mode(l) != TIMER_DEADLINE && !p->regs[VLAPIC_TMCCT])
		p->regs[VLAPIC_TMCCT] = 1;
	p->regs[EXPORT_ESR_NEW] = l->esr_new;
	p->icr = l->icr;
	p->timer_deadline = l->tsc_deadline;
	p->timer_start = l->timer_start;
}

static bool import_valid(const struct vlapic *l, const struct joist_lapic *p)
{
	const u32 *r = p->regs;
	u64 icr_dest = is_x2(l) ? ICR_X2_DEST : ICR_X1_DEST;
	u32 i;

	if (r[VLAPIC_ID] != (is_x2(l) ? l->id : l->id << 24) ||
	    r[VLAPIC_VERSION] != VERSION)
		return false;
	for (i = 0; i < VLAPIC_REGS; i++)
		if (writable(i) && r[i] & ~writable(i))
			return false;
	/* Only firmware's LINT0, see vlapic_init(), is open while disabled. */
	for (i = 0; i < VLAPIC_LVTS; i++)
		if (!(r[VLAPIC_SVR] & VLAPIC_SVR_ENABLE) && i != LVT_LINT0 &&
		    !(r[VLAPIC_LVT + i] & LVT_MASKED))
			return false;
	if (field_get(LVT_TIMER_MODE, r[VLAPIC_LVT]) > TIMER_DEADLINE)
		return false;
	if ((r[VLAPIC_ISR] | r[VLAPIC_IRR]) & BITS(FIRST_VECTOR - 1, 0))
		return false;
	if ((r[VLAPIC_ESR] | r[EXPORT_ESR_NEW]) & ~ESR_ALL)
		return false;
	if (!is_x2(l) && (r[VLAPIC_LDR] & ~LDR_WRITABLE ||
			  ~r[VLAPIC_DFR] & ~(u32)DFR_WRITABLE))
		return false;
	return !(p->icr & ~(ICR_LOW | icr_dest));
}

static void set_import(struct vlapic_set *s, const u32 *regs)
{
	u32 i;

	s->sum = 0;
	for (i = 0; i < 4; i++) {
		s->word[i] = regs[2 * i] | (u64)regs[2 * i + 1] << 32;
		if (s->word[i])
			s->sum |= 1u << i;
	}
}

int vlapic_import(struct vlapic *l, const struct joist_lapic *p)
{
	const u32 *r = p->regs;
	struct vlapic_set tmr;
	u32 i;

	if (!import_valid(l, p))
		return -EINVAL;
	set_import(&l->irr, r + VLAPIC_IRR);
	set_import(&l->isr, r + VLAPIC_ISR);
	set_import(&tmr, r + VLAPIC_TMR);
	memcpy(l->tmr, tmr.word, sizeof(l->tmr));
	for (i = 0; i < VLAPIC_LVTS; i++)
		l->lvt[i] = r[VLAPIC_LVT + i];
	l->svr = r[VLAPIC_SVR];
	l->tpr = r[VLAPIC_TPR];
	l->esr = r[VLAPIC_ESR];
	l->esr_new = r[EXPORT_ESR_NEW];
	l->ldr = is_x2(l) ? 0 : r[VLAPIC_LDR];
	l->dfr = is_x2(l) ? ~0u : r[VLAPIC_DFR];
	l->icr = p->icr;
	l->tmict = r[VLAPIC_TMICT];
	l->dcr = r[VLAPIC_DCR];
	l->timer_start = p->timer_start;
	l->timer_next = VLAPIC_NEVER;
	l->tsc_deadline = 0;
	update_ppr(l);
	if (timer_mode(l) == TIMER_DEADLINE)
		vlapic_set_tsc_deadline(l, p->timer_deadline);
	else if (r[VLAPIC_TMCCT])
		timer_arm(l, p->timer_start);
	return 0;
}
