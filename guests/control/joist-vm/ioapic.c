/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioapic.c -- an 82093AA I/O APIC, after Intel's data sheet.
 *
 * It delivers by writing the message that its bus transaction amounts to.
 * A level-triggered entry sends once, sets its remote IRR, and sends again
 * only after the EOI, if the input is still high.  An edge is delivered when it
 * comes; one that meets a masked entry is lost, as the data sheet has it
 * ("Redirection Table Registers", interrupt mask).
 */
#include <string.h>

#include "board.h"
#include "ioapic.h"

#define REG_SELECT	0x00
#define REG_WINDOW	0x10

#define SEL_ID		0
#define SEL_VERSION	1
#define SEL_ARB		2
#define SEL_ENTRY	0x10

#define VERSION		(0x11 | (IOAPIC_PINS - 1) << 16)

#define ENTRY_VECTOR	0xffull
#define ENTRY_MODE	(7ull << 8)
#define ENTRY_LOGICAL	BIT(11)
#define ENTRY_STATUS	BIT(12)
#define ENTRY_REMOTE	BIT(14)
#define ENTRY_LEVEL	BIT(15)
#define ENTRY_MASKED	BIT(16)
#define ENTRY_RW	(~0ull << 56 | 0x1ffff)	/* reserved bits read 0 */
#define ENTRY_RO	(ENTRY_STATUS | ENTRY_REMOTE)

#define MODE_LOWEST	(1ull << 8)

/* Intel SDM, "Message Address Register Format" and "Message Data ...". */
#define MSI_BASE	0xfee00000ull
#define MSI_HINT	BIT(3)
#define MSI_LOGICAL	BIT(2)
#define MSI_ASSERT	BIT(14)

static void deliver(u64 e)
{
	u64 address = MSI_BASE | (e >> 56) << 12;

	if (e & ENTRY_LOGICAL)
		address |= MSI_LOGICAL;
	if ((e & ENTRY_MODE) == MODE_LOWEST)
		address |= MSI_HINT;
	board_msi(address, (e & (ENTRY_VECTOR | ENTRY_MODE | ENTRY_LEVEL)) |
			   MSI_ASSERT);
}

/* A level-triggered entry whose input is high sends, unless it has. */
static void service(struct ioapic *a, unsigned pin)
{
	u64 *e = &a->entry[pin];

	if (!(a->lines & 1u << pin) || !(*e & ENTRY_LEVEL) ||
	    (*e & (ENTRY_MASKED | ENTRY_REMOTE)))
		return;
	*e |= ENTRY_REMOTE;
	deliver(*e);
}

void ioapic_init(struct ioapic *a)
{
	unsigned i;

	memset(a, 0, sizeof(*a));
	for (i = 0; i < IOAPIC_PINS; i++)
		a->entry[i] = ENTRY_MASKED;
}

void ioapic_irq(struct ioapic *a, unsigned pin, bool level)
{
	bool rises;
	u32 bit;

	if (pin >= IOAPIC_PINS)
		return;
	bit = 1u << pin;
	/* Polarity is not looked at: a line's level means "asserted". */
	rises = level && !(a->lines & bit);
	if (level)
		a->lines |= bit;
	else
		a->lines &= ~bit;
	if (rises && !(a->entry[pin] & (ENTRY_LEVEL | ENTRY_MASKED)))
		deliver(a->entry[pin]);
	service(a, pin);
}

void ioapic_eoi(struct ioapic *a, u8 vector)
{
	unsigned i;

	for (i = 0; i < IOAPIC_PINS; i++) {
		u64 *e = &a->entry[i];

		if ((*e & ENTRY_VECTOR) != vector || !(*e & ENTRY_REMOTE))
			continue;
		*e &= ~ENTRY_REMOTE;
		service(a, i);
	}
}

static void write_entry(struct ioapic *a, unsigned reg, u32 val)
{
	unsigned pin = reg / 2, shift = reg % 2 ? 32 : 0;
	u64 *e = &a->entry[pin], keep = *e & ENTRY_RO;

	*e = (*e & ~(0xffffffffull << shift)) | (u64)val << shift;
	*e = (*e & ENTRY_RW & ~ENTRY_RO) | keep;
	/* Turned to edge, an entry has nothing outstanding: Linux's way to
	 * clear a stuck remote IRR. */
	if (!(*e & ENTRY_LEVEL))
		*e &= ~ENTRY_REMOTE;
	service(a, pin);
}

u32 ioapic_read(const struct ioapic *a, u64 offset)
{
	unsigned reg = a->select;

	if (offset == REG_SELECT)
		return a->select;
	if (offset != REG_WINDOW)
		return 0;
	switch (reg) {
	case SEL_ID:
	case SEL_ARB:
		return (u32)a->id << 24;
	case SEL_VERSION:
		return VERSION;
	}
	reg -= SEL_ENTRY;
	if (reg >= 2 * IOAPIC_PINS)
		return 0;
	return (u32)(a->entry[reg / 2] >> (reg % 2 ? 32 : 0));
}

void ioapic_write(struct ioapic *a, u64 offset, u32 val)
{
	if (offset == REG_SELECT)
		a->select = (u8)val;
	if (offset != REG_WINDOW)
		return;
	if (a->select == SEL_ID)
		a->id = (val >> 24) & 0x0f;
	else if ((unsigned)a->select - SEL_ENTRY < 2 * IOAPIC_PINS)
		write_entry(a, (unsigned)a->select - SEL_ENTRY, val);
}
