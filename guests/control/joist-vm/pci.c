/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.c -- PCI bus 0 behind configuration mechanism #1, after the PCI Local
 * Bus Specification, "Configuration Mechanism".
 *
 * A device's config space is bytes and a mask of the bits a guest can change.
 * Port 0xcf9, the reset register, lies among the mechanism's ports: byte
 * accesses reach it, dword accesses to 0xcf8 do not.
 */
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
#define CFG_CLASS	0x0a

/* Intel's 440FX, the host bridge every system knows. */
#define HOST_VENDOR	0x8086
#define HOST_DEVICE	0x1237
#define HOST_CLASS	0x0600
#define HOST_REVISION	2

void pci_init(struct pci *p)
{
	struct pci_dev *d = &p->dev[0];

	memset(p, 0, sizeof(*p));
	d->present = 1;
	put16(d->config + CFG_VENDOR, HOST_VENDOR);
	put16(d->config + CFG_DEVICE, HOST_DEVICE);
	put16(d->config + CFG_COMMAND, 0x0007);	/* wired on */
	d->config[0x08] = HOST_REVISION;
	put16(d->config + CFG_CLASS, HOST_CLASS);
}

/* The device the address register points to, or NULL. */
static struct pci_dev *selected(struct pci *p)
{
	u32 a = p->address;
	struct pci_dev *d = &p->dev[ADDR_DEV(a)];

	if (!(a & ADDR_ENABLE) || ADDR_BUS(a) || ADDR_FN(a))
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

void pci_write(struct pci *p, unsigned reg, unsigned size, u32 val)
{
	struct pci_dev *d;
	unsigned at, i;
	u8 w;

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
	at = ADDR_REG(p->address) + reg - REG_DATA;
	for (i = 0; i < size; i++) {
		w = d->writable[at + i];
		d->config[at + i] = (u8)((d->config[at + i] & ~w) |
					 (val >> 8 * i & w));
	}
}
