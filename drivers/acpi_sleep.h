/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi_sleep.h -- where an OS puts the machine to sleep, and which of that is
 * power-off.
 */
#ifndef DRIVERS_ACPI_SLEEP_H
#define DRIVERS_ACPI_SLEEP_H

#include "drivers/acpi.h"

/* The byte of a register that has SLP_TYP in bits 4:2, SLP_EN in bit 5; the one
 * that has WAK_STS in bit 7: alike in all of them. */
#define SLEEP_TYPE	BITS(4, 2)
#define SLEEP_ENABLE	BIT(5)
#define SLEEP_WAKE	BIT(7)

#define SLEEP_REGISTERS	3		/* PM1a, PM1b, of reduced hardware */
#define SLEEP_NAMES	16

struct acpi_sleep {
	u16 control[SLEEP_REGISTERS];	/* ports; 0: there is none */
	u16 status[SLEEP_REGISTERS];
	u8 off[SLEEP_REGISTERS];	/* bit N: SLP_TYP of N is S5, and no other's */
	bool elsewhere;			/* a register is not a port */
	/* Names of S1 to S4, in tables whose checksum counts them. */
	u32 names;
	struct acpi_sleep_name {
		u64 table, name;	/* their addresses */
	} name[SLEEP_NAMES];
};

void acpi_sleep_parse(const struct acpi_info *info, const struct acpi_reader *r,
		      struct acpi_sleep *out);

#endif
