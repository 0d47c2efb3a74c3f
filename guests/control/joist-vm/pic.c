/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pic.c -- the PC's two 8259A interrupt controllers, after Intel's data sheet.
 *
 * IRR of a level-triggered input follows the input; that of an edge-triggered
 * one is set by a rising edge and cleared by the acknowledge.
 */
#include <string.h>

#include "board.h"
#include "pic.h"

#define ICW1_INIT	BIT(4)
#define ICW1_ICW4	BIT(0)
#define ICW4_AUTO_EOI	BIT(1)
#define ICW4_NESTED	BIT(4)
#define OCW3		BIT(3)
#define OCW3_POLL	BIT(2)
#define OCW3_READ	BIT(1)
#define OCW3_READ_ISR	BIT(0)
#define OCW3_SET_MASK	BIT(6)
#define OCW3_MASK	BIT(5)

#define CASCADE		2	/* the slave's input at the master */
#define NO_IRQ		8
#define SPURIOUS	7

/* Rank of the highest-priority input in mask, 0 is highest; 8 if none. */
static unsigned rank(const struct pic_chip *c, u8 mask)
{
	unsigned r;

	for (r = 0; r < 8; r++)
		if (mask & BIT((c->lowest + 1 + r) & 7))
			break;
	return r;
}

static unsigned rank_to_input(const struct pic_chip *c, unsigned r)
{
	return (c->lowest + 1 + r) & 7;
}

/* The input the chip would deliver now, or NO_IRQ. */
static unsigned chip_pending(const struct pic_chip *c, bool master)
{
	u8 serving = c->isr;
	unsigned r = rank(c, c->irr & (u8)~c->imr);

	if (r == 8)
		return NO_IRQ;
	if (c->special_mask)
		serving &= (u8)~c->imr;
	/* The slave may interrupt its own service at the master. */
	if (master && c->nested)
		serving &= (u8)~BIT(CASCADE);
	return r < rank(c, serving) ? rank_to_input(c, r) : NO_IRQ;
}

static void chip_line(struct pic_chip *c, unsigned input, bool level)
{
	u8 bit = (u8)BIT(input);

	if (c->elcr & bit)
		c->irr = level ? c->irr | bit : c->irr & (u8)~bit;
	else if (level && !(c->lines & bit))
		c->irr |= bit;
	c->lines = level ? c->lines | bit : c->lines & (u8)~bit;
}

static void pic_update(struct pic *p)
{
	bool slave = chip_pending(&p->chip[1], false) != NO_IRQ;
	u8 intr;

	/*
	 * The slave's output is a level; each acknowledged interrupt of it
	 * needs a new edge at the master, so let it fall first.
	 */
	chip_line(&p->chip[0], CASCADE, false);
	if (slave)
		chip_line(&p->chip[0], CASCADE, true);
	else
		p->chip[0].irr &= (u8)~BIT(CASCADE);
	intr = chip_pending(&p->chip[0], true) != NO_IRQ;
	if (intr != p->intr) {
		p->intr = intr;
		board_intr(intr);
	}
}

void pic_init(struct pic *p)
{
	memset(p, 0, sizeof(*p));
	p->chip[0].lowest = p->chip[1].lowest = 7;
	/* Timer, keyboard, cascade, RTC and FPU are edge-triggered always. */
	p->chip[0].elcr_mask = 0xf8;
	p->chip[1].elcr_mask = 0xde;
	/* Nobody has said which vectors: keep quiet until somebody does. */
	p->chip[0].imr = p->chip[1].imr = 0xff;
	board_intr(false);
}

void pic_irq(struct pic *p, unsigned line, bool level)
{
	if (line > 15 || line == CASCADE)
		return;
	chip_line(&p->chip[line / 8], line % 8, level);
	pic_update(p);
}

static void chip_eoi(struct pic_chip *c, unsigned input, bool rotate)
{
	c->isr &= (u8)~BIT(input);
	if (rotate)
		c->lowest = (u8)input;
}

static void chip_ack(struct pic_chip *c, unsigned input)
{
	u8 bit = (u8)BIT(input);

	if (!(c->elcr & bit))
		c->irr &= (u8)~bit;
	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_auto)
		c->lowest = (u8)input;
}

u8 pic_ack(struct pic *p)
{
	struct pic_chip *m = &p->chip[0], *s = &p->chip[1];
	unsigned input = chip_pending(m, true), sub;
	u8 vector;

	if (input == NO_IRQ) {
		vector = m->base + SPURIOUS;
	} else if (input == CASCADE) {
		sub = chip_pending(s, false);
		if (sub == NO_IRQ)
			sub = SPURIOUS;
		else
			chip_ack(s, sub);
		chip_ack(m, CASCADE);
		vector = (u8)(s->base + sub);
	} else {
		chip_ack(m, input);
		vector = (u8)(m->base + input);
	}
	pic_update(p);
	return vector;
}

static void write_icw1(struct pic_chip *c, u8 val)
{
	c->irr = c->lines & c->elcr;
	c->imr = c->isr = 0;
	c->lowest = 7;
	c->auto_eoi = c->rotate_auto = c->special_mask = c->nested = 0;
	c->read_isr = c->poll = 0;
	c->want_icw4 = val & ICW1_ICW4;
	c->step = 2;
}

static void write_ocw2(struct pic_chip *c, u8 val)
{
	bool rotate = val & BIT(7), specific = val & BIT(6);
	unsigned r, input = val & 7;

	if (!(val & BIT(5))) {			/* not an EOI */
		if (rotate && specific)
			c->lowest = (u8)input;
		else if (!specific)
			c->rotate_auto = rotate;
		return;
	}
	if (!specific) {
		u8 serving = c->isr;

		/* With special mask mode masked inputs keep their ISR bit. */
		if (c->special_mask)
			serving &= (u8)~c->imr;
		r = rank(c, serving);
		if (r == 8)
			return;
		input = rank_to_input(c, r);
	}
	chip_eoi(c, input, rotate);
}

static void write_ocw3(struct pic_chip *c, u8 val)
{
	if (val & OCW3_POLL)
		c->poll = 1;
	if (val & OCW3_READ)
		c->read_isr = val & OCW3_READ_ISR;
	if (val & OCW3_SET_MASK)
		c->special_mask = !!(val & OCW3_MASK);
}

static void write_data(struct pic_chip *c, u8 val)
{
	switch (c->step) {
	case 0:
		c->imr = val;
		break;
	case 2:
		c->base = val & 0xf8;
		c->step = 3;
		break;
	case 3:				/* the wiring is what it is */
		c->step = c->want_icw4 ? 4 : 0;
		break;
	case 4:
		c->auto_eoi = !!(val & ICW4_AUTO_EOI);
		c->nested = !!(val & ICW4_NESTED);
		c->step = 0;
		break;
	}
}

void pic_write(struct pic *p, unsigned chip, unsigned reg, u8 val)
{
	struct pic_chip *c = &p->chip[chip];

	if (reg == 1) {
		write_data(c, val);
	} else if (val & ICW1_INIT) {
		write_icw1(c, val);
	} else if (val & OCW3) {
		write_ocw3(c, val);
	} else {
		write_ocw2(c, val);
	}
	pic_update(p);
}

u8 pic_read(struct pic *p, unsigned chip, unsigned reg)
{
	struct pic_chip *c = &p->chip[chip];
	unsigned input;

	if (c->poll) {
		c->poll = 0;
		input = chip_pending(c, chip == 0);
		if (input == NO_IRQ)
			return SPURIOUS;
		chip_ack(c, input);
		pic_update(p);
		return (u8)(0x80 | input);
	}
	if (reg == 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

u8 pic_elcr_read(const struct pic *p, unsigned chip)
{
	return p->chip[chip].elcr;
}

void pic_elcr_write(struct pic *p, unsigned chip, u8 val)
{
	struct pic_chip *c = &p->chip[chip];
	u8 was = c->elcr;

	c->elcr = val & c->elcr_mask;
	/* An input that became level-triggered is pending while it is high. */
	c->irr = (u8)((c->irr & ~(c->elcr | was)) | (c->lines & c->elcr));
	pic_update(p);
}
