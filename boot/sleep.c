/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sleep.c -- the sleep states that the firmware offers are hidden from the
 * control VM, and their registers looked after (control_io.c says why).
 */
#include "arch/x86/control_io.h"
#include "arch/x86/paging.h"
#include "boot/sleep.h"

/*
 * An OS that finds no \_S3 does not try.  The table's checksum stays right: its
 * byte takes up the difference.
 */
static void hide_states(const struct acpi_sleep *s)
{
	u32 i;

	for (i = 0; i < s->names; i++) {
		u8 *name = map_window(s->name[i].name, 1, MAP_RAM);
		u8 *header = map_window(s->name[i].table, ACPI_HEADER, MAP_RAM);

		header[ACPI_HEADER_CHECKSUM] += *name - ACPI_HIDDEN_NAME;
		*name = ACPI_HIDDEN_NAME;
	}
}

void sleep_init(const struct acpi_info *info, const struct acpi_reader *r)
{
	struct acpi_sleep s;

	acpi_sleep_parse(info, r, &s);
	hide_states(&s);
	control_sleep_init(&s);
}
