/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi.h -- the guest's ACPI tables.
 */
#ifndef VM_ACPI_H
#define VM_ACPI_H

#include "guests/control/lib/util.h"

/* Where they live: a PC's BIOS area, which guests search for the RSDP. */
#define ACPI_BASE	0xe0000u
#define ACPI_SIZE	0x10000u

/* Write them for that many CPUs; the RSDP is at ACPI_BASE. */
int acpi_build(u8 *area, unsigned cpus);

#endif
