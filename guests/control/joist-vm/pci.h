/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.h -- PCI bus 0, its configuration mechanism, and the reset register.
 */
#ifndef VM_PCI_H
#define VM_PCI_H

#include "guests/control/lib/util.h"

#define PCI_SLOTS	32	/* device numbers of bus 0; function 0 each */
#define PCI_CONFIG	256

/* Where the guest may put device windows: below the IOAPIC. */
#define PCI_MMIO_BASE	0xd0000000u
#define PCI_MMIO_END	0xfec00000u
#define PCI_IO_BASE	0xc000u
#define PCI_IO_END	0x10000u

struct pci_dev {
	u8 present;
	u8 config[PCI_CONFIG];
	u8 writable[PCI_CONFIG];	/* bits the guest can write */
};

struct pci {
	u32 address;		/* of mechanism #1, port 0xcf8 */
	u8 reset;		/* port 0xcf9 */
	struct pci_dev dev[PCI_SLOTS];
};

/* A bus with nothing but the host bridge. */
void pci_init(struct pci *p);

/* Ports 0xcf8..0xcff. */
u32 pci_read(struct pci *p, unsigned reg, unsigned size);
void pci_write(struct pci *p, unsigned reg, unsigned size, u32 val);

#endif
