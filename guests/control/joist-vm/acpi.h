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

/* Where in the area a pointer into it lies, and its size in bytes. */
struct acpi_pointer {
	u32 at;
	u8 size;
};

/* A table whose checksum covers pointers. */
struct acpi_sum {
	u32 at;			/* of the checksum byte */
	u32 start, len;
};

/* What firmware that moves the area has to mend. */
#define ACPI_POINTERS	12
#define ACPI_SUMS	5
struct acpi_links {
	u32 used;		/* bytes of the area */
	u32 pointers, sums;
	struct acpi_pointer pointer[ACPI_POINTERS];
	struct acpi_sum sum[ACPI_SUMS];
};

#define ACPI_RSDP_LEN	36

/*
 * Write them for that many CPUs, to be at guest address `base`; PCI devices may
 * be at `window` and above, and of COM1 and COM2 those are there whose bits (0, 1)
 * are set in coms.  The RSDP comes first.  -ENOSPC.
 */
int acpi_build(u8 *area, u32 base, unsigned cpus, u32 window, unsigned coms,
	       struct acpi_links *links);

#endif
