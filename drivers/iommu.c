/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.c -- switching off IOMMUs that firmware left on.
 *
 * Firmware may use them against DMA before the system starts, and leaves it to
 * the system to take over.  The control VM is not told of them (boot/control.c), so
 * nobody else would: its devices' DMA and interrupts would go nowhere.
 *
 * Intel, "Virtualization Technology for Directed I/O": "DMA Remapping Reporting
 * Structure", "Register Descriptions".  AMD, "I/O Virtualization Technology
 * (IOMMU) Specification": "I/O Virtualization Reporting Structure", "MMIO Offset
 * 0018h IOMMU Control Register".
 */
#include "drivers/iommu.h"
#include "core/bytes.h"
#include "core/errno.h"

#define ENTRIES			48	/* of both tables */
#define REGISTERS		PAGE_SIZE
#define UNIT_BASE		8	/* in an entry of both */
#define UNIT_LEN		16
#define ABSENT			0xffffffffu
#define SPINS			1000000

#define DMAR_DRHD		0
#define VTD_CAP			0x08
#define VTD_GCMD		0x18
#define VTD_GSTS		0x1c
#define VTD_PMEN		0x64
#define CAP_PROTECTED		(BIT(5) | BIT(6))	/* PLMR, PHMR */
#define GSTS_TRANSLATION	BIT(31)
#define GSTS_QUEUE		BIT(26)
#define GSTS_INTERRUPTS		BIT(25)
#define GSTS_KEEP		0x96ffffffu	/* what a command does not do once */
#define PMEN_ENABLE		BIT(31)
#define PMEN_STATUS		BIT(0)

#define AMD_CONTROL		0x18
#define CONTROL_ENABLE		BIT(0)
/* Event log, command buffer, PPR log, guest APIC log, and their interrupts. */
#define CONTROL_QUEUES		(BIT(2) | BIT(3) | BIT(12) | BIT(13) | BIT(14) | \
				 BIT(28) | BIT(29))

static bool clears(const struct iommu_io *io, u64 reg, u64 bit)
{
	u32 i;

	for (i = 0; i < SPINS; i++)
		if (!(io->read(io->ctx, reg) & bit))
			return true;
	return false;
}

/* Intel's: interrupts first, and the queue by which both are told, last. */
static bool vtd_off(const struct iommu_io *io, u64 base)
{
	static const struct {
		u64 bit;
		const char *what;
	} parts[] = {
		{ GSTS_INTERRUPTS, "interrupt remapping" },
		{ GSTS_TRANSLATION, "DMA translation" },
		{ GSTS_QUEUE, "its queue" },
	};
	u32 i, status = io->read(io->ctx, base + VTD_GSTS), pmen;

	if (status == ABSENT)
		return true;
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		status = io->read(io->ctx, base + VTD_GSTS) & GSTS_KEEP;
		if (!(status & parts[i].bit))
			continue;
		io->write(io->ctx, base + VTD_GCMD, status & ~(u32)parts[i].bit);
		if (!clears(io, base + VTD_GSTS, parts[i].bit))
			return false;
		io->was_on(io->ctx, base, parts[i].what);
	}
	if (!(io->read(io->ctx, base + VTD_CAP) & CAP_PROTECTED))
		return true;
	pmen = io->read(io->ctx, base + VTD_PMEN);
	if (!(pmen & (PMEN_ENABLE | PMEN_STATUS)))
		return true;
	io->write(io->ctx, base + VTD_PMEN, pmen & ~(u32)PMEN_ENABLE);
	if (!clears(io, base + VTD_PMEN, PMEN_STATUS))
		return false;
	io->was_on(io->ctx, base, "memory protected from DMA");
	return true;
}

static bool amd_off(const struct iommu_io *io, u64 base)
{
	u32 control = io->read(io->ctx, base + AMD_CONTROL);

	if (control == ABSENT || !(control & CONTROL_ENABLE))
		return true;
	control &= ~(u32)CONTROL_QUEUES;
	io->write(io->ctx, base + AMD_CONTROL, control);
	io->write(io->ctx, base + AMD_CONTROL, control & ~(u32)CONTROL_ENABLE);
	if (!clears(io, base + AMD_CONTROL, CONTROL_ENABLE))
		return false;
	io->was_on(io->ctx, base, "DMA translation");
	return true;
}

struct table_kind {
	const char *sig;
	/* The length of the entry at e, and whether it describes a unit. */
	u32 (*entry)(const u8 *e, bool *unit);
	bool (*off)(const struct iommu_io *io, u64 base);
};

static u32 dmar_entry(const u8 *e, bool *unit)
{
	*unit = load16(e) == DMAR_DRHD;
	return load16(e + 2);
}

/* One unit may be described by several types, for newer systems each. */
static u32 ivrs_entry(const u8 *e, bool *unit)
{
	*unit = e[0] == 0x10 || e[0] == 0x11 || e[0] == 0x40;
	return load16(e + 2);
}

static const struct table_kind kinds[] = {
	{ "DMAR", dmar_entry, vtd_off },
	{ "IVRS", ivrs_entry, amd_off },
};

static int table_off(const struct table_kind *k, const struct acpi_table *t,
		     const struct acpi_reader *r, const struct iommu_io *io, u64 *stuck)
{
	u32 at, len;
	const u8 *p;
	bool unit;
	u64 base;

	for (at = ENTRIES; at < t->len && t->len - at >= 4; at += len) {
		/* Mapped anew: open() may map, too. */
		p = r->map(r->ctx, t->pa, t->len);
		if (!p)
			break;
		len = k->entry(p + at, &unit);
		if (len < 4 || len > t->len - at)
			break;
		if (!unit || len < UNIT_LEN)
			continue;
		base = load64(p + at + UNIT_BASE);
		if (!base || !IS_ALIGNED(base, REGISTERS) || !io->open(io->ctx, base))
			continue;
		if (!k->off(io, base)) {
			*stuck = base;
			return -EBUSY;
		}
	}
	if (at != t->len)
		r->complain(r->ctx, k->sig, "an entry of impossible length ends the list");
	return 0;
}

int iommu_off(const struct acpi_info *info, const struct acpi_reader *r,
	      const struct iommu_io *io, u64 *stuck)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct acpi_table *t = acpi_find(info, kinds[i].sig);
		int err = t ? table_off(&kinds[i], t, r, io, stuck) : 0;

		if (err)
			return err;
	}
	return 0;
}
