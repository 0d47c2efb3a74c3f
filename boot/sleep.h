/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sleep.h -- no sleep state but power-off.
 */
#ifndef BOOT_SLEEP_H
#define BOOT_SLEEP_H

#include "drivers/acpi.h"

void sleep_init(const struct acpi_info *info, const struct acpi_reader *r);

#endif
