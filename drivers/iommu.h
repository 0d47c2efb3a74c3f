/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.h -- switching off what firmware left on.
 */
#ifndef DRIVERS_IOMMU_H
#define DRIVERS_IOMMU_H

#include "drivers/acpi.h"

/* A unit's registers, all of 32 bits here, by physical address. */
struct iommu_io {
	u32 (*read)(void *ctx, u64 pa);
	void (*write)(void *ctx, u64 pa, u32 val);
	/* Before the first access to a unit; false: it cannot be reached. */
	bool (*open)(void *ctx, u64 base);
	/* A unit was on, and is off now. */
	void (*was_on)(void *ctx, u64 base, const char *what);
	void *ctx;
};

/* All units that DMAR or IVRS lists.  -EBUSY: *stuck does not go off. */
int iommu_off(const struct acpi_info *info, const struct acpi_reader *r,
	      const struct iommu_io *io, u64 *stuck);

#endif
