/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cores.c -- which cores are used, and which are parked.
 *
 * The control VM has the real local APIC, and could start a core that is left
 * alone: outside Joist.  So every core is taken in, whatever maxcpu= says; those
 * that are not used wait inside Joist for ever, where neither INIT nor SIPI
 * reaches them.  A machine with a core that cannot be taken in is refused.
 */
#include "core/cores.h"
#include "core/errno.h"
#include "core/log.h"
#include "drivers/acpi.h"
#include "drivers/apic.h"

static bool has(const u32 *ids, u32 n, u32 id)
{
	while (n--)
		if (ids[n] == id)
			return true;
	return false;
}

static int reject(const char **why, u32 *which, u32 id, const char *text)
{
	*why = text;
	*which = id;
	return fail(-EINVAL);
}

int cores_choose(const struct acpi_info *acpi, u32 own, bool x2apic, u32 max,
		 struct smp_core *list, u32 *count, const char **why, u32 *which)
{
	u32 i, n = 0, id;

	if (acpi->left_out)
		return reject(why, which, own, "there are more than 1024");
	/* An interrupt's message names 8 bits of it: Intel, "Message Address". */
	if (own > APIC_ID_MAX)
		return reject(why, which, own,
			      "devices cannot reach the boot core without interrupt remapping");
	for (i = 0; i < acpi->cpus && n + 1 < max; i++) {
		id = acpi->apic_id[i];
		if (id != own && id <= APIC_ID_MAX)
			list[n++] = (struct smp_core){ .apic_id = id };
	}
	for (i = 0; i < acpi->cpus; i++) {
		bool listed = false;
		u32 k;

		id = acpi->apic_id[i];
		for (k = 0; k < n; k++)
			listed |= list[k].apic_id == id;
		if (id == own || listed)
			continue;
		if (n == AP_SLOTS_MAX)
			return reject(why, which, id, "there are more than 1024");
		list[n++] = (struct smp_core){ .apic_id = id, .park = true };
	}
	for (i = 0; i < acpi->spares; i++) {
		id = acpi->spare_id[i];
		if (id == own || has(acpi->apic_id, acpi->cpus, id))
			continue;
		/* What is plugged in later nobody guards, anyway. */
		if (n == AP_SLOTS_MAX || (!x2apic && id > APIC_ID_MAX))
			continue;
		list[n++] = (struct smp_core){ .apic_id = id, .park = true, .optional = true };
	}
	for (i = 0; i < n; i++)
		if (!x2apic && list[i].apic_id > APIC_ID_MAX)
			return reject(why, which, list[i].apic_id,
				      "it cannot be started in xAPIC mode; switch x2APIC on in the firmware's setup");
	*count = n;
	return 0;
}
