/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioapic.h -- an 82093AA I/O APIC with 24 inputs.
 */
#ifndef VM_IOAPIC_H
#define VM_IOAPIC_H

#include "guests/control/lib/util.h"

#define IOAPIC_BASE	0xfec00000u
#define IOAPIC_LEN	0x1000u
#define IOAPIC_PINS	24

struct ioapic {
	u64 entry[IOAPIC_PINS];
	u32 lines;		/* input levels */
	u8 select, id;
};

void ioapic_init(struct ioapic *a);
void ioapic_irq(struct ioapic *a, unsigned pin, bool level);
/* A CPU has finished a level-triggered interrupt of that vector. */
void ioapic_eoi(struct ioapic *a, u8 vector);

u32 ioapic_read(const struct ioapic *a, u64 offset);
void ioapic_write(struct ioapic *a, u64 offset, u32 val);

#endif
