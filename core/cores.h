/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cores.h -- which cores are used, and which are parked.
 */
#ifndef CORE_CORES_H
#define CORE_CORES_H

#include "arch/x86/cpu.h"
#include "core/types.h"

struct acpi_info;

/*
 * What to start besides the boot core (`own`), those to be used first, at most
 * max - 1 of them.  list has room for AP_SLOTS_MAX.  -errno: this machine cannot
 * be kept; *why says so, about the core *which.
 */
int cores_choose(const struct acpi_info *acpi, u32 own, bool x2apic, u32 max,
		 struct smp_core *list, u32 *count, const char **why, u32 *which);

#endif
