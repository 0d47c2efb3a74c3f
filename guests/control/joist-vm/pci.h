/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.h -- PCI bus 0: configuration, where devices' memory windows are,
 * their interrupts, and the reset register.
 */
#ifndef VM_PCI_H
#define VM_PCI_H

#include "bus.h"

#define PCI_SLOTS	32	/* device numbers of bus 0; function 0 each */
#define PCI_CONFIG	256

/*
 * Where the guest may put device windows: above RAM and 2 GiB, where OVMF
 * begins, and below the IOAPIC.  We put them higher up.
 */
#define PCI_MMIO_MIN	0x80000000u
#define PCI_MMIO_BASE	0xd0000000u
#define PCI_MMIO_END	0xfec00000u
#define PCI_IO_BASE	0xc000u
#define PCI_IO_END	0x10000u

/* With so much RAM below 4 GiB. */
static inline u32 pci_window(u64 low_size)
{
	return low_size > PCI_MMIO_MIN ? (u32)low_size : PCI_MMIO_MIN;
}

/* INTA# of the slots is spread over the IOAPIC's upper inputs. */
#define PCI_LINE_FIRST	16
#define PCI_LINES	8
#define PCI_LINE(slot, pin)	(PCI_LINE_FIRST + ((slot) + (pin)) % PCI_LINES)

/* Windows of a device; those made here are 32-bit memory. */
#define PCI_BARS	2
#define PCI_VECTORS	18
#define PCI_NO_VECTOR	0xffffu

struct pci_bar {
	u32 size;		/* 0: there is none */
	u32 at;			/* where it answers now; 0: nowhere */
	void *dev;
	bus_read_fn *read;
	bus_write_fn *write;
};

struct msix_entry {
	u64 address;
	u32 data;
	u32 control;
};

struct pci_dev {
	u8 present;
	u8 config[PCI_CONFIG];
	u8 writable[PCI_CONFIG];	/* bits the guest can write */
	u8 cap_last;		/* the list's last capability; 0: none yet */
	u16 cap_end;		/* where the next one goes */
	u8 intx;		/* the device asserts INTA# */
	u8 line;		/* and it is seen: not disabled */
	u8 msix;		/* its capability; 0: none */
	u16 vectors;
	u32 pending;		/* bit by vector */
	struct msix_entry vector[PCI_VECTORS];
	struct pci_bar bar[PCI_BARS];

	/* What the guest does to the configuration, for the device. */
	void *dev;
	void (*before_read)(void *dev, unsigned at, unsigned size);
	void (*written)(void *dev, unsigned at, unsigned size);
	void (*moved)(void *dev);	/* a BAR, or MSI-X's state */
};

struct pci {
	u32 address;		/* of mechanism #1, port 0xcf8 */
	u8 reset;		/* port 0xcf9 */
	struct bus *mmio;	/* where BARs answer */
	u32 next_bar;		/* first address that pci_add_bar() gives */
	u32 window;		/* first address where they may */
	struct pci_dev dev[PCI_SLOTS];
	struct pci_dev pm;	/* function 3 of the ISA bridge */
};

/* A bus with nothing but the host bridge and the ISA bridge. */
void pci_init(struct pci *p, struct bus *mmio);
/* A function that says where the ACPI fixed hardware is: OVMF looks there. */
void pci_add_pm(struct pci *p, u16 base);

/* Ports 0xcf8..0xcff. */
u32 pci_read(struct pci *p, unsigned reg, unsigned size);
void pci_write(struct pci *p, unsigned reg, unsigned size, u32 val);

/* ---- for devices ---- */

struct pci_ids {
	u16 vendor, device, subsystem;
	u8 revision;
	u32 class;		/* 24 bits: class, subclass, interface */
};

/* A device in the first free slot: its number, or -ENOSPC. */
int pci_add(struct pci *p, const struct pci_ids *ids);
/* size: a power of two, 4 KiB or more.  It gets an address at once. */
int pci_add_bar(struct pci *p, unsigned slot, unsigned bar,
		const struct pci_bar *b);
/* Room for a capability of len bytes: its offset, or -ENOSPC. */
int pci_add_cap(struct pci_dev *d, u8 id, unsigned len);
/* MSI-X with table and pending bits in a BAR of its own. */
int pci_add_msix(struct pci *p, unsigned slot, unsigned bar, unsigned vectors);

/* May the device write to memory? */
bool pci_is_master(const struct pci_dev *d);
bool pci_msix_enabled(const struct pci_dev *d);
/* Send a vector's message, or remember it while it is masked. */
void pci_msix_raise(struct pci_dev *d, unsigned vector);
/* Its message; false: it must not be sent now. */
bool pci_msix_message(const struct pci_dev *d, unsigned vector, u64 *address,
		      u32 *data);
void pci_intx(struct pci *p, unsigned slot, bool level);

#endif
