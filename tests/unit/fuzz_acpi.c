/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_acpi.c -- any bytes as an RSDP and the memory that it points into,
 * and the rebuild of whatever was found there.
 */
#include <stdlib.h>

#include "drivers/acpi.c"

#define MEMORY_PA	0x1000
#define BUF_PA		0x10000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const u8 *memory;
static size_t memory_size;
static u8 buf[65536];
static u8 *mapped;
static bool fix_checksums;
static bool buf_there;		/* the rebuilt tables are in memory */

static void must(bool ok)
{
	if (!ok)
		abort();
}

static const void *fuzz_map(void *ctx, u64 pa, size_t len)
{
	(void)ctx;
	free(mapped);
	mapped = NULL;
	if (buf_there && pa >= BUF_PA && pa - BUF_PA <= sizeof(buf) &&
	    len <= sizeof(buf) - (pa - BUF_PA)) {
		mapped = malloc(len);
		return memcpy(mapped, buf + (pa - BUF_PA), len);
	}
	if (pa < MEMORY_PA || pa - MEMORY_PA > memory_size ||
	    len > memory_size - (pa - MEMORY_PA))
		return NULL;
	mapped = malloc(len);
	memcpy(mapped, memory + (pa - MEMORY_PA), len);
	if (fix_checksums && len >= ACPI_HEADER && load32(mapped + 4) == len)
		mapped[TABLE_CHECKSUM] -= sum(mapped, len);
	return mapped;
}

static void ignore(void *ctx, const char *sig, const char *why)
{
	(void)ctx;
	must(strlen(sig) == 4 && why);
}

static const struct acpi_reader reader = { fuzz_map, ignore, NULL };

static void check_rebuild(const struct acpi_info *info)
{
	static const char *const hidden[] = { "DMAR", "IVRS" };
	static struct acpi_info again;
	struct acpi_control c = {
		info->apic_id, (info->cpus + 1) / 2, hidden, 2, 0x2000,
	};
	const char *why = NULL;
	u64 rsdp_pa;
	u32 i;

	if (acpi_rebuild(info, &reader, &c, buf, sizeof(buf), BUF_PA,
			 &rsdp_pa, &why)) {
		must(why);
		return;
	}
	buf_there = true;
	/* What the control VM reads is sound, and names only its CPUs. */
	must(!acpi_parse(buf + (rsdp_pa - BUF_PA), RSDP_V2, &reader, &again,
			 &why));
	must(again.cpus == c.cpus);
	for (i = 0; i < c.cpus; i++)
		must(again.apic_id[i] == info->apic_id[i]);
	must(!acpi_find(&again, "DMAR"));
	must(acpi_find(&again, "APIC")->pa >= BUF_PA);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct acpi_info info;
	const char *why = NULL;
	u8 rsdp[RSDP_V2];
	u32 i;

	if (size < RSDP_V2)
		return 0;
	memcpy(rsdp, data, RSDP_V2);
	memory = data + RSDP_V2;
	memory_size = size - RSDP_V2;
	buf_there = false;
	fix_checksums = rsdp[RSDP_OEM] & 1;
	/* Wrong checksums are what other bytes would find nothing but. */
	memcpy(rsdp, "RSD PTR ", 8);
	store32(rsdp + RSDP_LENGTH, RSDP_V2);
	rsdp[RSDP_CHECKSUM] -= sum(rsdp, RSDP_V1);
	rsdp[RSDP_CHECKSUM_V2] -= sum(rsdp, RSDP_V2);

	if (acpi_parse(rsdp, RSDP_V2, &reader, &info, &why)) {
		must(why);
	} else {
		must(info.tables && info.tables <= ACPI_TABLES);
		must(info.cpus && info.cpus <= ACPI_CPUS);
		for (i = 0; i < info.tables; i++)
			must(info.table[i].len >= ACPI_HEADER &&
			     info.table[i].len <= memory_size);
		must(!info.pm_timer_port || info.pm_timer_bits);
		check_rebuild(&info);
	}
	free(mapped);
	mapped = NULL;
	return 0;
}
