/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pm.h -- ACPI fixed hardware: PM1 events and control, the PM timer.
 */
#ifndef VM_PM_H
#define VM_PM_H

#include "guests/control/lib/util.h"

#define PM_BASE		0xb000u
#define PM_LEN		12u
#define PM_EVT		0x00	/* status, enable */
#define PM_CNT		0x04
#define PM_TMR		0x08
#define PM_SLP_TYP_S5	0	/* PIIX4's, which OVMF writes unasked */

struct pm {
	u64 base;		/* board_ns() of count 0 */
	u64 seen;		/* half turns of the timer already reported */
	u16 status, enable, control;
	u8 line;
};

void pm_init(struct pm *p);
u32 pm_read(struct pm *p, unsigned reg, unsigned size);
void pm_write(struct pm *p, unsigned reg, unsigned size, u32 val);
void pm_timer(struct pm *p);	/* TIMER_PM has run out */
void pm_power_button(struct pm *p);

#endif
