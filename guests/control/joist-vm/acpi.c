/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi.c -- the guest's ACPI tables, after the ACPI specification 5.1.
 *
 * RSDP, XSDT (and RSDT for old systems), FADT, FACS, MADT, and a DSDT with
 * the sleep state S5, the PCI root and the ISA devices there are.
 */
#include <errno.h>
#include <string.h>

#include "acpi.h"
#include "aml.h"
#include "board.h"
#include "ioapic.h"
#include "pci.h"
#include "pm.h"

#define LAPIC_BASE	0xfee00000u

#define HEADER_LEN	36
#define FACS_LEN	64
#define FADT_LEN	268		/* of ACPI 5.1, revision 5 */
#define FADT_REV	5
#define MADT_REV	3
#define DSDT_REV	2		/* 64-bit integers */

/* FADT field offsets. */
#define FADT_FACS	36
#define FADT_DSDT	40
#define FADT_PROFILE	45
#define FADT_SCI	46
#define FADT_PM1_EVT	56
#define FADT_PM1_CNT	64
#define FADT_PM_TMR	76
#define FADT_EVT_LEN	88
#define FADT_CNT_LEN	89
#define FADT_TMR_LEN	91
#define FADT_LVL2	96
#define FADT_LVL3	98
#define FADT_CENTURY	108
#define FADT_BOOT	109
#define FADT_FLAGS	112
#define FADT_RESET	116
#define FADT_RESET_VAL	128
#define FADT_XFACS	132
#define FADT_XDSDT	140
#define FADT_XPM1_EVT	148
#define FADT_XPM1_CNT	172
#define FADT_XPM_TMR	208

#define NO_C2		0x65		/* latencies that mean "none" */
#define NO_C3		0x3e9
#define CMOS_CENTURY	0x32
#define BOOT_LEGACY	BIT(0)		/* ISA devices; BIT(1) is the i8042 */
#define BOOT_NO_VGA	BIT(2)
#define FLAG_WBINVD	BIT(0)
#define FLAG_C1		BIT(2)
#define FLAG_SLP_BUTTON	BIT(5)		/* no fixed sleep button */
#define FLAG_TMR_EXT	BIT(8)		/* the PM timer has 32 bits */
#define FLAG_RESET	BIT(10)
#define RESET_PORT	0xcf9
#define RESET_VALUE	0x06

#define GAS_IO		1

#define MADT_PCAT	1		/* there are 8259s too */
#define MADT_LAPIC	0
#define MADT_IOAPIC	1
#define MADT_OVERRIDE	2
#define MADT_LAPIC_NMI	4
#define MPS_EDGE_HIGH	0x05
#define MPS_LEVEL_HIGH	0x0d
#define PIT_PIN		2		/* IRQ 0 is wired to IOAPIC pin 2 */

struct area {
	u8 *base;
	u32 gpa;
	u32 used;
	bool full;
	u32 window;		/* of PCI devices: its first address */
	unsigned coms;
	struct acpi_links *links;
};

static u8 checksum(const u8 *p, size_t len)
{
	u8 sum = 0;

	while (len--)
		sum = (u8)(sum + *p++);
	return (u8)-sum;
}

/* A pointer at `field` to the table at `to`. */
static void point(struct area *a, u8 *field, u8 size, const u8 *to)
{
	u32 gpa = a->gpa + (u32)(to - a->base);

	if (size == 8)
		put64(field, gpa);
	else
		put32(field, gpa);
	a->links->pointer[a->links->pointers++] = (struct acpi_pointer){
		(u32)(field - a->base), size,
	};
}

/* The bytes from `start` sum up to 0, by the one at `at`. */
static void sum(struct area *a, u8 *start, u32 at, u32 len)
{
	u32 offset = (u32)(start - a->base);

	start[at] = 0;
	start[at] = checksum(start, len);
	a->links->sum[a->links->sums++] = (struct acpi_sum){
		offset + at, offset, len,
	};
}

/* Zeroed room; the area's start if there is none left, with full set. */
static u8 *reserve(struct area *a, u32 len, u32 align)
{
	u32 at = (u32)ALIGN_UP(a->used, align);

	if (len > ACPI_SIZE || at > ACPI_SIZE - len) {
		a->full = true;
		return a->base;
	}
	a->used = at + len;
	memset(a->base + at, 0, len);
	return a->base + at;
}

static void header(u8 *t, const char *sig, u32 len, u8 revision)
{
	memcpy(t, sig, 4);
	put32(t + 4, len);
	t[8] = revision;
	memcpy(t + 10, "JOIST ", 6);
	memcpy(t + 16, "JOISTVM ", 8);
	put32(t + 24, 1);
	memcpy(t + 28, "JOIS", 4);
	put32(t + 32, 1);
	t[9] = 0;
	t[9] = checksum(t, len);
}

static void gas_io(u8 *p, u32 port, u8 bits)
{
	p[0] = GAS_IO;
	p[1] = bits;
	p[3] = bits == 8 ? 1 : bits == 16 ? 2 : 3;	/* access size */
	put64(p + 4, port);
}

static void isa_device(struct aml *m, const char *name, const char *id,
		       unsigned uid, u16 port, u8 ports, unsigned irq)
{
	aml_device_open(m, name);
	aml_name(m, "_HID");
	aml_eisaid(m, id);
	aml_name(m, "_UID");
	aml_int(m, uid);
	aml_name(m, "_CRS");
	aml_buffer_open(m);
	aml_res_io(m, port, ports);
	aml_res_irq(m, irq);
	aml_buffer_close(m);
	aml_close(m);
}

/* Pins A to D of each slot. */
static void pci_routing(struct aml *m)
{
	unsigned slot, pin;

	aml_name(m, "_PRT");
	aml_package_open(m, PCI_SLOTS * 4);
	for (slot = 0; slot < PCI_SLOTS; slot++) {
		for (pin = 0; pin < 4; pin++) {
			aml_package_open(m, 4);
			aml_int(m, slot << 16 | 0xffff);
			aml_int(m, pin);
			aml_int(m, 0);
			aml_int(m, PCI_LINE(slot, pin));
			aml_close(m);
		}
	}
	aml_close(m);
}

static void pci_root(struct aml *m, u32 window)
{
	aml_device_open(m, "PCI0");
	aml_name(m, "_HID");
	aml_eisaid(m, "PNP0A03");
	aml_name(m, "_UID");
	aml_int(m, 0);
	aml_name(m, "_CRS");
	aml_buffer_open(m);
	aml_res_bus(m, 0, 0);
	aml_res_io(m, 0xcf8, 8);
	aml_res_io_window(m, PCI_IO_BASE, (u16)(PCI_IO_END - 1));
	aml_res_mem_window(m, window, PCI_MMIO_END - 1);
	aml_buffer_close(m);
	pci_routing(m);
	aml_close(m);
}

static u8 *build_dsdt(struct area *a)
{
	u8 *t = reserve(a, HEADER_LEN, 16);
	struct aml m;

	aml_init(&m, t + HEADER_LEN, ACPI_SIZE - a->used);
	aml_name(&m, "\\_S5_");
	aml_package_open(&m, 4);
	aml_int(&m, PM_SLP_TYP_S5);
	aml_int(&m, PM_SLP_TYP_S5);
	aml_int(&m, 0);
	aml_int(&m, 0);
	aml_close(&m);
	aml_scope_open(&m, "\\_SB_");
	pci_root(&m, a->window);
	if (a->coms & BIT(0))
		isa_device(&m, "COM1", "PNP0501", 1, 0x3f8, 8, IRQ_COM1);
	if (a->coms & BIT(1))
		isa_device(&m, "COM2", "PNP0501", 2, 0x2f8, 8, IRQ_COM2);
	isa_device(&m, "RTC0", "PNP0B00", 1, 0x70, 2, IRQ_RTC);
	aml_close(&m);
	a->full |= m.full;
	a->used += (u32)m.len;
	header(t, "DSDT", HEADER_LEN + (u32)m.len, DSDT_REV);
	return t;
}

static u8 *build_facs(struct area *a)
{
	u8 *t = reserve(a, FACS_LEN, 64);

	memcpy(t, "FACS", 4);
	put32(t + 4, FACS_LEN);
	t[32] = 2;
	return t;
}

static u8 *build_fadt(struct area *a)
{
	u8 *facs = build_facs(a), *dsdt = build_dsdt(a);
	u8 *t = reserve(a, FADT_LEN, 16);

	point(a, t + FADT_FACS, 4, facs);
	point(a, t + FADT_DSDT, 4, dsdt);
	point(a, t + FADT_XDSDT, 8, dsdt);
	t[FADT_PROFILE] = 1;			/* desktop */
	put16(t + FADT_SCI, IRQ_SCI);
	put32(t + FADT_PM1_EVT, PM_BASE + PM_EVT);
	put32(t + FADT_PM1_CNT, PM_BASE + PM_CNT);
	put32(t + FADT_PM_TMR, PM_BASE + PM_TMR);
	t[FADT_EVT_LEN] = 4;
	t[FADT_CNT_LEN] = 2;
	t[FADT_TMR_LEN] = 4;
	gas_io(t + FADT_XPM1_EVT, PM_BASE + PM_EVT, 32);
	gas_io(t + FADT_XPM1_CNT, PM_BASE + PM_CNT, 16);
	gas_io(t + FADT_XPM_TMR, PM_BASE + PM_TMR, 32);
	put16(t + FADT_LVL2, NO_C2);
	put16(t + FADT_LVL3, NO_C3);
	t[FADT_CENTURY] = CMOS_CENTURY;
	put16(t + FADT_BOOT, BOOT_LEGACY | BOOT_NO_VGA);
	put32(t + FADT_FLAGS, FLAG_WBINVD | FLAG_C1 | FLAG_SLP_BUTTON |
			      FLAG_TMR_EXT | FLAG_RESET);
	gas_io(t + FADT_RESET, RESET_PORT, 8);
	t[FADT_RESET_VAL] = RESET_VALUE;
	header(t, "FACP", FADT_LEN, FADT_REV);
	t[131] = 1;				/* minor version: 5.1 */
	sum(a, t, 9, FADT_LEN);
	return t;
}

static u8 *madt_override(u8 *p, u8 irq, u8 pin, u16 flags)
{
	p[0] = MADT_OVERRIDE;
	p[1] = 10;
	p[3] = irq;
	put32(p + 4, pin);
	put16(p + 8, flags);
	return p + 10;
}

static u8 *build_madt(struct area *a, unsigned cpus)
{
	u32 len = HEADER_LEN + 8 + 8 * cpus + 12 + 2 * 10 + 6;
	u8 *t = reserve(a, len, 16), *p = t + HEADER_LEN;
	unsigned i;

	put32(p, LAPIC_BASE);
	put32(p + 4, MADT_PCAT);
	p += 8;
	for (i = 0; i < cpus; i++, p += 8) {
		p[0] = MADT_LAPIC;
		p[1] = 8;
		p[2] = (u8)i;
		p[3] = (u8)i;			/* APIC id */
		put32(p + 4, 1);		/* enabled */
	}
	p[0] = MADT_IOAPIC;
	p[1] = 12;
	put32(p + 4, IOAPIC_BASE);
	p += 12;
	p = madt_override(p, IRQ_PIT, PIT_PIN, MPS_EDGE_HIGH);
	p = madt_override(p, IRQ_SCI, IRQ_SCI, MPS_LEVEL_HIGH);
	p[0] = MADT_LAPIC_NMI;			/* all CPUs, LINT1 */
	p[1] = 6;
	p[2] = 0xff;
	put16(p + 3, MPS_EDGE_HIGH);
	p[5] = 1;
	header(t, "APIC", len, MADT_REV);
	return t;
}

int acpi_build(u8 *area, u32 base, unsigned cpus, u32 window, unsigned coms,
	       struct acpi_links *links)
{
	struct area a = {
		.base = area, .gpa = base, .window = window, .coms = coms,
		.links = links,
	};
	u8 *rsdp, *rsdt, *xsdt, *fadt, *madt;

	memset(area, 0, ACPI_SIZE);
	memset(links, 0, sizeof(*links));
	rsdp = reserve(&a, ACPI_RSDP_LEN, 16);
	rsdt = reserve(&a, HEADER_LEN + 2 * 4, 16);
	xsdt = reserve(&a, HEADER_LEN + 2 * 8, 16);
	fadt = build_fadt(&a);
	madt = build_madt(&a, cpus);
	if (a.full)
		return -ENOSPC;
	links->used = a.used;

	header(rsdt, "RSDT", HEADER_LEN + 2 * 4, 1);
	point(&a, rsdt + HEADER_LEN, 4, fadt);
	point(&a, rsdt + HEADER_LEN + 4, 4, madt);
	sum(&a, rsdt, 9, HEADER_LEN + 2 * 4);
	header(xsdt, "XSDT", HEADER_LEN + 2 * 8, 1);
	point(&a, xsdt + HEADER_LEN, 8, fadt);
	point(&a, xsdt + HEADER_LEN + 8, 8, madt);
	sum(&a, xsdt, 9, HEADER_LEN + 2 * 8);

	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "JOIST ", 6);
	rsdp[15] = 2;
	put32(rsdp + 20, ACPI_RSDP_LEN);
	point(&a, rsdp + 16, 4, rsdt);
	point(&a, rsdp + 24, 8, xsdt);
	sum(&a, rsdp, 8, 20);
	sum(&a, rsdp, 32, ACPI_RSDP_LEN);
	return 0;
}
