/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_acpi.c -- any bytes as an RSDP and the memory that it points into,
 * and the rebuild of whatever was found there.
 */
#include "drivers/acpi.c"
#include "tests/unit/fuzz_patch.h"

#define MEMORY_PA	0x1000
#define BUF_PA		0x10000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const u8 *memory;
static size_t memory_size;
static u8 buf[65536];
static u8 *mapped;
static bool fix_checksums;
static bool buf_there;		/* the rebuilt tables are in memory */

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

/* An RSDP, then what is at MEMORY_PA: XSDT, RSDT, FADT, MADT, DMAR. */
static u8 machine[1024];
static size_t machine_size;

static u8 *add_bytes(const void *p, size_t n)
{
	u8 *to = machine + machine_size;

	memcpy(to, p, n);
	machine_size += n;
	return to;
}

static u32 add(const char *sig, const void *body, u32 len)
{
	u8 header[ACPI_HEADER] = { 0 };
	u32 pa = MEMORY_PA + machine_size - RSDP_V2;

	memcpy(header, sig, 4);
	store32(header + TABLE_LENGTH, ACPI_HEADER + len);
	add_bytes(header, ACPI_HEADER);
	add_bytes(body, len);
	return pa;
}

static void make_machine(void)
{
	static const u8 madt[] = {
		0, 0, 0xe0, 0xfe, 1, 0, 0, 0,
		MADT_LAPIC, 8, 0, 0, 1, 0, 0, 0,
		MADT_LAPIC, 8, 1, 1, 1, 0, 0, 0,
		1, 12, 1, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,
		MADT_X2APIC, 16, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0,
		MADT_LAPIC_PA_64, 12, 0, 0, 0, 0, 0xe0, 0xfe, 0, 0, 0, 0,
		MADT_WAKEUP, 16, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
		4, 6, 0xff, 0, 0, 1,
	};
	static const u8 zero[244 - ACPI_HEADER];
	u8 rsdp[RSDP_V2] = { 0 };
	u32 root[2], pa[3], i, k;
	u8 *entry;

	if (machine_size)
		return;
	add_bytes(rsdp, sizeof(rsdp));
	root[0] = add("XSDT", zero, 3 * 8);
	root[1] = add("RSDT", zero, 3 * 4);
	pa[0] = add("FACP", zero, sizeof(zero));
	pa[1] = add("APIC", madt, sizeof(madt));
	pa[2] = add("DMAR", zero, 12);
	for (i = 0; i < 2; i++) {
		entry = machine + RSDP_V2 + root[i] - MEMORY_PA + ACPI_HEADER;
		for (k = 0; k < 3; k++)
			store32(entry + k * (i ? 4 : 8), pa[k]);
	}
	machine[RSDP_REVISION] = 2;
	store32(machine + RSDP_RSDT, root[1]);
	store64(machine + RSDP_XSDT, root[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct acpi_info info;
	const char *why = NULL;
	u8 *copy;
	u32 i;

	make_machine();
	buf_there = false;
	/* Wrong checksums are what most bytes would find nothing but. */
	fix_checksums = !size || !(data[0] & 8);
	copy = fuzz_patch(data, size, machine, machine_size, &size);
	if (size < RSDP_V2)
		goto out;
	memory = copy + RSDP_V2;
	memory_size = size - RSDP_V2;
	memcpy(copy, "RSD PTR ", 8);
	store32(copy + RSDP_LENGTH, RSDP_V2);
	copy[RSDP_CHECKSUM] -= sum(copy, RSDP_V1);
	copy[RSDP_CHECKSUM_V2] -= sum(copy, RSDP_V2);

	if (acpi_parse(copy, RSDP_V2, &reader, &info, &why)) {
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
out:
	free(mapped);
	mapped = NULL;
	free(copy);
	return 0;
}
