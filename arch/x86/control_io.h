/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_io.h -- ports that exit in the control VM.
 */
#ifndef ARCH_X86_CONTROL_IO_H
#define ARCH_X86_CONTROL_IO_H

#include "drivers/acpi_sleep.h"

/* Boot, before the backend is enabled. */
void control_sleep_init(const struct acpi_sleep *s);
/* Those ports, for the backends' bitmaps: how many. */
u32 control_ports(const u16 **list);
/* What an OUT there may write, and an IN reads; *slept: a sleep was refused. */
u32 control_sleep_out(u16 port, u8 size, u32 val, bool *slept);
u32 control_sleep_in(u16 port, u8 size, u32 val);

#endif
