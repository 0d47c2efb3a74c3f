/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.c -- PCI bus 0 behind configuration mechanism #1, after the PCI Local
 * Bus Specification 3.0, "Configuration Mechanism", "Base Addresses" and
 * "MSI-X Capability and Table Structure".
 *
 * A device's config space is bytes and a mask of the bits a guest can change.
 * A BAR may hold any address; it answers only while memory decoding is on, it
 * lies wholly in the range for device windows, and nothing else answers there
 * already.  So a guest can put it onto RAM or another BAR, to no effect.
 *
 * Port 0xcf9, the reset register, lies among the mechanism's ports: byte
 * accesses reach it, dword accesses to 0xcf8 do not.
 */
#include <errno.h>
#include <string.h>

#include "board.h"
#include "pci.h"

#define REG_ADDRESS	0
#define REG_RESET	1
#define REG_DATA	4

#define ADDR_ENABLE	BIT(31)
#define ADDR_BUS(a)	((a) >> 16 & 0xff)
#define ADDR_DEV(a)	((a) >> 11 & 0x1f)
#define ADDR_FN(a)	((a) >> 8 & 7)
#define ADDR_REG(a)	((a) & 0xfc)
#define ADDR_RW		0x80fffffcu

#define RESET_CPU	BIT(2)
#define RESET_RW	0x0e

#define CFG_VENDOR	0x00
#define CFG_DEVICE	0x02
#define CFG_COMMAND	0x04
#define CFG_STATUS	0x06
#define CFG_REVISION	0x08
#define CFG_INTERFACE	0x09
#define CFG_CLASS	0x0a
#define CFG_HEADER	0x0e
#define CFG_BAR		0x10
#define CFG_BAR_END	0x28
#define CFG_SUB_VENDOR	0x2c
#define CFG_SUB_DEVICE	0x2e
#define CFG_CAPS	0x34
#define CFG_LINE	0x3c
#define CFG_PIN		0x3d
#define CFG_FIRST_CAP	0x40

#define CMD_MEMORY	BIT(1)
#define CMD_MASTER	BIT(2)
#define CMD_NO_INTX	BIT(10)
#define CMD_RW		(CMD_MEMORY | CMD_MASTER | CMD_NO_INTX)
#define STATUS_INTX	BIT(3)
#define STATUS_CAPS	BIT(4)

#define CAP_MSIX	0x11
#define CAP_MSIX_LEN	12
#define MSIX_CONTROL	2	/* offsets in the capability */
#define MSIX_TABLE	4
#define MSIX_PBA	8
#define MSIX_ENABLE	BIT(15)
#define MSIX_MASK_ALL	BIT(14)
#define MSIX_ENTRY	16
#define MSIX_MASKED	BIT(0)
#define MSIX_BAR_SIZE	0x1000
#define MSIX_PBA_AT	0x800

/*
 * Intel's 440FX and PIIX3: the host bridge every system knows, and an ISA
 * bridge, without which OVMF has no serial port.  Firmware opens the memory
 * below 1 MiB by the PAM registers; it is always open.
 */
#define VENDOR_INTEL	0x8086
#define BRIDGE_REVISION	2
#define HOST_DEVICE	0x1237
#define HOST_CLASS	0x0600
#define HOST_PAM	0x59
#define HOST_PAMS	7
#define ISA_DEVICE	0x7000
#define ISA_CLASS	0x0601
#define ISA_SLOT	1
#define HEADER_MULTI	0x80		/* has functions beside 0 */
#define PM_DEVICE	0x7113
#define PM_CLASS	0x0680
#define PM_FUNCTION	3
#define PM_PMBA		0x40		/* Intel, "PIIX4": base address */
#define PM_PMREGMISC	0x80		/* decodes it if bit 0 is set */

static void add_bridge(struct pci_dev *d, u16 device, u16 class)
{
	d->present = 1;
	put16(d->config + CFG_VENDOR, VENDOR_INTEL);
	put16(d->config + CFG_DEVICE, device);
	put16(d->config + CFG_COMMAND, 0x0007);	/* wired on */
	d->config[CFG_REVISION] = BRIDGE_REVISION;
	put16(d->config + CFG_CLASS, class);
}

void pci_init(struct pci *p, struct bus *mmio)
{
	memset(p, 0, sizeof(*p));
	p->mmio = mmio;
	p->next_bar = PCI_MMIO_BASE;
	p->window = PCI_MMIO_BASE;
	add_bridge(&p->dev[0], HOST_DEVICE, HOST_CLASS);
	add_bridge(&p->dev[ISA_SLOT], ISA_DEVICE, ISA_CLASS);
	memset(p->dev[0].writable + HOST_PAM, 0xff, HOST_PAMS);
}

void pci_add_pm(struct pci *p, u16 base)
{
	add_bridge(&p->pm, PM_DEVICE, PM_CLASS);
	put32(p->pm.config + PM_PMBA, base | 1u);
	p->pm.config[PM_PMREGMISC] = 1;
	p->dev[ISA_SLOT].config[CFG_HEADER] = HEADER_MULTI;
}

static u16 command(const struct pci_dev *d)
{
	return get16(d->config + CFG_COMMAND);
}

bool pci_is_master(const struct pci_dev *d)
{
	return command(d) & CMD_MASTER;
}

/* ---- interrupts ---- */

static u16 msix_control(const struct pci_dev *d)
{
	return d->msix ? get16(d->config + d->msix + MSIX_CONTROL) : 0;
}

bool pci_msix_enabled(const struct pci_dev *d)
{
	return msix_control(d) & MSIX_ENABLE;
}

/* Send what is pending and not masked any more. */
static void msix_flush(struct pci_dev *d)
{
	u16 control = msix_control(d);
	unsigned i;

	/* What was pending then is not to come when the next driver enables it. */
	if (!(control & MSIX_ENABLE))
		d->pending = 0;
	if (!d->pending || (control & MSIX_MASK_ALL))
		return;
	for (i = 0; i < d->vectors; i++) {
		const struct msix_entry *e = &d->vector[i];

		if (!(d->pending & BIT(i)) || (e->control & MSIX_MASKED))
			continue;
		d->pending &= (u32)~BIT(i);
		board_msi(e->address, e->data);
	}
}

bool pci_msix_message(const struct pci_dev *d, unsigned vector, u64 *address,
		      u32 *data)
{
	const struct msix_entry *e;

	if (vector >= d->vectors ||
	    (msix_control(d) & (MSIX_ENABLE | MSIX_MASK_ALL)) != MSIX_ENABLE)
		return false;
	e = &d->vector[vector];
	if (e->control & MSIX_MASKED)
		return false;
	*address = e->address;
	*data = e->data;
	return true;
}

void pci_msix_raise(struct pci_dev *d, unsigned vector)
{
	if (vector >= d->vectors || !pci_msix_enabled(d))
		return;
	d->pending |= (u32)BIT(vector);
	msix_flush(d);
}

static void moved(struct pci_dev *d)
{
	if (d->moved)
		d->moved(d->dev);
}

/* The table's entry at that offset, or NULL. */
static struct msix_entry *msix_entry(struct pci_dev *d, u64 at)
{
	u64 i = at / MSIX_ENTRY;

	return at < MSIX_PBA_AT && i < d->vectors ? &d->vector[i] : NULL;
}

/* A register file of dwords: other widths touch the aligned dword's bytes. */
static u64 msix_read(void *dev, u64 at, unsigned size)
{
	struct pci_dev *d = dev;
	const struct msix_entry *e = msix_entry(d, at);
	u32 val = 0;

	(void)size;
	if (!e)
		return (at & ~3ull) == MSIX_PBA_AT ?
		       d->pending >> 8 * (at & 3) : 0;
	switch (at & 0xc) {
	case 0x0:
		val = (u32)e->address;
		break;
	case 0x4:
		val = (u32)(e->address >> 32);
		break;
	case 0x8:
		val = e->data;
		break;
	case 0xc:
		val = e->control;
		break;
	}
	return val >> 8 * (at & 3);
}

static void msix_write(void *dev, u64 at, unsigned size, u64 val)
{
	struct pci_dev *d = dev;
	struct msix_entry *e = msix_entry(d, at);

	if (!e || size != 4 || (at & 3))
		return;
	switch (at & 0xc) {
	case 0x0:
		e->address = (e->address & ~0xffffffffull) | (val & ~3ull);
		break;
	case 0x4:
		e->address = (e->address & 0xffffffff) | val << 32;
		break;
	case 0x8:
		e->data = (u32)val;
		break;
	case 0xc:
		e->control = val & MSIX_MASKED;
		break;
	}
	msix_flush(d);
	moved(d);
}

/* A line is shared by the slots that are wired to it. */
static void line_update(struct pci *p, unsigned slot)
{
	struct pci_dev *d = &p->dev[slot];
	bool level = false;
	unsigned i;

	d->line = d->intx && !(command(d) & CMD_NO_INTX);
	if (d->intx)
		d->config[CFG_STATUS] |= STATUS_INTX;
	else
		d->config[CFG_STATUS] &= (u8)~STATUS_INTX;
	for (i = slot % PCI_LINES; i < PCI_SLOTS; i += PCI_LINES)
		level |= p->dev[i].line;
	board_irq(PCI_LINE(slot, 0), level);
}

void pci_intx(struct pci *p, unsigned slot, bool level)
{
	if (p->dev[slot].intx == level)
		return;
	p->dev[slot].intx = level;
	line_update(p, slot);
}

/* ---- configuration ---- */

/* The device the address register points to, or NULL. */
static struct pci_dev *selected(struct pci *p)
{
	u32 a = p->address;
	struct pci_dev *d = &p->dev[ADDR_DEV(a)];

	if (ADDR_DEV(a) == ISA_SLOT && ADDR_FN(a) == PM_FUNCTION)
		d = &p->pm;
	else if (ADDR_FN(a))
		return NULL;
	if (!(a & ADDR_ENABLE) || ADDR_BUS(a))
		return NULL;
	return d->present ? d : NULL;
}

u32 pci_read(struct pci *p, unsigned reg, unsigned size)
{
	struct pci_dev *d;
	unsigned at, i;
	u32 val = 0;

	if (reg == REG_ADDRESS && size == 4)
		return p->address;
	if (reg == REG_RESET && size == 1)
		return p->reset;
	d = selected(p);
	if (reg < REG_DATA || !d)
		return ~0u;
	at = ADDR_REG(p->address) + reg - REG_DATA;
	if (d->before_read)
		d->before_read(d->dev, at, size);
	for (i = 0; i < size; i++)
		val |= (u32)d->config[at + i] << 8 * i;
	return val;
}

static void write_reset(struct pci *p, u8 val)
{
	bool rises = val & ~p->reset & RESET_CPU;

	p->reset = val & RESET_RW;
	if (rises)
		board_reset("port 0xcf9");
}

static void bar_map(struct pci *p, struct pci_dev *d, unsigned i)
{
	struct pci_bar *b = &d->bar[i];
	u32 base = get32(d->config + CFG_BAR + 4 * i);
	const struct bus_window w = {
		base, b->size, 4, b->dev, b->read, b->write
	};

	if (!b->size || !(command(d) & CMD_MEMORY) || base < p->window ||
	    base >= PCI_MMIO_END || b->size > PCI_MMIO_END - base)
		return;
	if (!bus_add(p->mmio, &w))
		b->at = base;
}

/*
 * All windows anew: what could not answer because another was in its place
 * may now.  Lower slots win.
 */
static void bars_map(struct pci *p)
{
	u32 before[PCI_SLOTS][PCI_BARS];
	unsigned slot, i;
	struct pci_bar *b;

	for (slot = 0; slot < PCI_SLOTS; slot++) {
		for (i = 0; i < PCI_BARS; i++) {
			b = &p->dev[slot].bar[i];
			before[slot][i] = b->at;
			if (b->at)
				bus_remove(p->mmio, b->at);
			b->at = 0;
		}
	}
	for (slot = 0; slot < PCI_SLOTS; slot++)
		for (i = 0; i < PCI_BARS; i++)
			bar_map(p, &p->dev[slot], i);
	for (slot = 0; slot < PCI_SLOTS; slot++)
		for (i = 0; i < PCI_BARS; i++)
			if (p->dev[slot].bar[i].at != before[slot][i]) {
				moved(&p->dev[slot]);
				break;
			}
}

/* Do the bytes [at, at + size) touch [start, end)? */
static bool touches(unsigned at, unsigned size, unsigned start, unsigned end)
{
	return at < end && at + size > start;
}

static void config_write(struct pci *p, struct pci_dev *d, unsigned at,
			 unsigned size, u32 val)
{
	unsigned i;
	u8 w;

	for (i = 0; i < size; i++) {
		w = d->writable[at + i];
		d->config[at + i] = (u8)((d->config[at + i] & ~w) |
					 (val >> 8 * i & w));
	}
	if (touches(at, size, CFG_COMMAND, CFG_STATUS) ||
	    touches(at, size, CFG_BAR, CFG_BAR_END))
		bars_map(p);
	if (touches(at, size, CFG_COMMAND, CFG_STATUS) && d != &p->pm)
		line_update(p, (unsigned)(d - p->dev));
	if (d->msix && touches(at, size, d->msix, d->msix + CAP_MSIX_LEN)) {
		msix_flush(d);
		moved(d);
	}
	if (d->written)
		d->written(d->dev, at, size);
}

void pci_write(struct pci *p, unsigned reg, unsigned size, u32 val)
{
	struct pci_dev *d;

	if (reg == REG_ADDRESS && size == 4) {
		p->address = val & ADDR_RW;
		return;
	}
	if (reg == REG_RESET && size == 1) {
		write_reset(p, (u8)val);
		return;
	}
	d = selected(p);
	if (reg < REG_DATA || !d)
		return;
	config_write(p, d, ADDR_REG(p->address) + reg - REG_DATA, size, val);
}

/* ---- putting devices in ---- */

int pci_add(struct pci *p, const struct pci_ids *ids)
{
	struct pci_dev *d;
	int slot;

	for (slot = 1; slot < PCI_SLOTS && p->dev[slot].present; slot++)
		;
	if (slot == PCI_SLOTS)
		return -ENOSPC;
	d = &p->dev[slot];
	memset(d, 0, sizeof(*d));
	d->present = 1;
	put16(d->config + CFG_VENDOR, ids->vendor);
	put16(d->config + CFG_DEVICE, ids->device);
	d->config[CFG_REVISION] = ids->revision;
	d->config[CFG_INTERFACE] = (u8)ids->class;
	put16(d->config + CFG_CLASS, (u16)(ids->class >> 8));
	put16(d->config + CFG_SUB_VENDOR, ids->vendor);
	put16(d->config + CFG_SUB_DEVICE, ids->subsystem);
	put16(d->writable + CFG_COMMAND, CMD_RW);
	d->config[CFG_PIN] = 1;
	d->config[CFG_LINE] = (u8)PCI_LINE(slot, 0);
	d->writable[CFG_LINE] = 0xff;
	return slot;
}

int pci_add_bar(struct pci *p, unsigned slot, unsigned bar,
		const struct pci_bar *b)
{
	struct pci_dev *d = &p->dev[slot];
	u64 at = ALIGN_UP(p->next_bar, b->size);

	if (at >= PCI_MMIO_END || b->size > PCI_MMIO_END - at)
		return -ENOSPC;
	d->bar[bar] = *b;
	d->bar[bar].at = 0;
	put32(d->config + CFG_BAR + 4 * bar, (u32)at);
	put32(d->writable + CFG_BAR + 4 * bar, ~(b->size - 1));
	p->next_bar = (u32)at + b->size;
	return 0;
}

int pci_add_cap(struct pci_dev *d, u8 id, unsigned len)
{
	unsigned at = d->cap_end ? d->cap_end : CFG_FIRST_CAP;

	if (len > PCI_CONFIG - at)
		return -ENOSPC;
	d->config[at] = id;
	d->config[d->cap_last ? d->cap_last + 1 : CFG_CAPS] = (u8)at;
	d->config[CFG_STATUS] |= STATUS_CAPS;
	d->cap_last = (u8)at;
	d->cap_end = (u16)ALIGN_UP(at + len, 4);
	return (int)at;
}

int pci_add_msix(struct pci *p, unsigned slot, unsigned bar, unsigned vectors)
{
	struct pci_dev *d = &p->dev[slot];
	const struct pci_bar b = {
		.size = MSIX_BAR_SIZE, .dev = d, .read = msix_read,
		.write = msix_write,
	};
	unsigned i;
	int at, err;

	if (!vectors || vectors > PCI_VECTORS)
		return -EINVAL;
	at = pci_add_cap(d, CAP_MSIX, CAP_MSIX_LEN);
	if (at < 0)
		return at;
	err = pci_add_bar(p, slot, bar, &b);
	if (err)
		return err;
	d->msix = (u8)at;
	d->vectors = (u16)vectors;
	put16(d->config + at + MSIX_CONTROL, (u16)(vectors - 1));
	put16(d->writable + at + MSIX_CONTROL, MSIX_ENABLE | MSIX_MASK_ALL);
	put32(d->config + at + MSIX_TABLE, bar);
	put32(d->config + at + MSIX_PBA, MSIX_PBA_AT | bar);
	for (i = 0; i < vectors; i++)
		d->vector[i].control = MSIX_MASKED;
	return 0;
}
