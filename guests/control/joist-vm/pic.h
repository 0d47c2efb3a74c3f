/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pic.h -- the PC's two 8259A interrupt controllers.
 */
#ifndef VM_PIC_H
#define VM_PIC_H

#include "guests/control/lib/util.h"

struct pic_chip {
	u8 lines;		/* input levels */
	u8 irr, imr, isr;
	u8 elcr;		/* inputs that are level-triggered */
	u8 elcr_mask;
	u8 base;		/* vector of input 0 */
	u8 lowest;		/* input of lowest priority */
	u8 step;		/* ICW expected next; 0: initialized */
	u8 want_icw4;
	u8 auto_eoi, rotate_auto;
	u8 special_mask;
	u8 nested;		/* special fully nested mode */
	u8 read_isr;
	u8 poll;
};

struct pic {
	struct pic_chip chip[2];	/* master, slave on its input 2 */
	u8 intr;			/* output to the CPU */
};

void pic_init(struct pic *p);
void pic_irq(struct pic *p, unsigned line, bool level);
/* The CPU's acknowledge cycle: the vector. */
u8 pic_ack(struct pic *p);

u8 pic_read(struct pic *p, unsigned chip, unsigned reg);
void pic_write(struct pic *p, unsigned chip, unsigned reg, u8 val);
u8 pic_elcr_read(const struct pic *p, unsigned chip);
void pic_elcr_write(struct pic *p, unsigned chip, u8 val);

#endif
