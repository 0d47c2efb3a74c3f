/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * devices.c -- which devices the machine has, and where.
 */
#include <errno.h>

#include "machine.h"

static u64 pic_bus_read(void *dev, u64 at, unsigned size)
{
	struct pic *p = dev;

	(void)size;
	return pic_read(p, 0, (unsigned)at);
}

static void pic_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)size;
	pic_write(dev, 0, (unsigned)at, (u8)val);
}

static u64 pic2_bus_read(void *dev, u64 at, unsigned size)
{
	(void)size;
	return pic_read(dev, 1, (unsigned)at);
}

static void pic2_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)size;
	pic_write(dev, 1, (unsigned)at, (u8)val);
}

static u64 elcr_bus_read(void *dev, u64 at, unsigned size)
{
	(void)size;
	return pic_elcr_read(dev, (unsigned)at);
}

static void elcr_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)size;
	pic_elcr_write(dev, (unsigned)at, (u8)val);
}

static u64 pit_bus_read(void *dev, u64 at, unsigned size)
{
	(void)size;
	return pit_read(dev, (unsigned)at);
}

static void pit_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)size;
	pit_write(dev, (unsigned)at, (u8)val);
}

static u64 portb_bus_read(void *dev, u64 at, unsigned size)
{
	(void)at;
	(void)size;
	return pit_portb_read(dev);
}

static void portb_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)at;
	(void)size;
	pit_portb_write(dev, (u8)val);
}

static u64 kbd_data_bus_read(void *dev, u64 at, unsigned size)
{
	(void)at;
	(void)size;
	return kbd_read_data(dev);
}

static void kbd_data_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)at;
	(void)size;
	kbd_write_data(dev, (u8)val);
}

static u64 kbd_status_bus_read(void *dev, u64 at, unsigned size)
{
	(void)at;
	(void)size;
	return kbd_read_status(dev);
}

static void kbd_command_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)at;
	(void)size;
	kbd_write_command(dev, (u8)val);
}

static u64 port92_bus_read(void *dev, u64 at, unsigned size)
{
	(void)at;
	(void)size;
	return kbd_read_port92(dev);
}

static void port92_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)at;
	(void)size;
	kbd_write_port92(dev, (u8)val);
}

static u64 rtc_bus_read(void *dev, u64 at, unsigned size)
{
	(void)size;
	return rtc_read(dev, (unsigned)at);
}

static void rtc_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)size;
	rtc_write(dev, (unsigned)at, (u8)val);
}

static u64 uart_bus_read(void *dev, u64 at, unsigned size)
{
	(void)size;
	return uart_read(dev, (unsigned)at);
}

static void uart_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)size;
	uart_write(dev, (unsigned)at, (u8)val);
}

static u64 pm_bus_read(void *dev, u64 at, unsigned size)
{
	return pm_read(dev, (unsigned)at, size);
}

static void pm_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	pm_write(dev, (unsigned)at, size, (u32)val);
}

static u64 pci_bus_read(void *dev, u64 at, unsigned size)
{
	return pci_read(dev, (unsigned)at, size);
}

static void pci_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	pci_write(dev, (unsigned)at, size, (u32)val);
}

static u64 fwcfg_bus_read(void *dev, u64 at, unsigned size)
{
	return fwcfg_read(dev, (unsigned)at, size);
}

static void fwcfg_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	fwcfg_write(dev, &machine.mem, (unsigned)at, size, val);
}

static u64 flash_bus_read(void *dev, u64 at, unsigned size)
{
	(void)size;
	return flash_read(dev, machine.vars, (u32)at);
}

static void flash_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)size;
	flash_write(dev, machine.vars, (u32)at, (u8)val);
}

/* UEFI: its variables, below its code, and where it looks for the PM timer. */
static int add_uefi(struct machine *m)
{
	const struct vm_config *cfg = m->cfg;
	const struct bus_window flash = {
		FIRMWARE_END - cfg->firmware_size - cfg->vars_size,
		cfg->vars_size, 1, &m->dev.flash, flash_bus_read,
		flash_bus_write
	};

	flash_init(&m->dev.flash, (u32)cfg->vars_size);
	pci_add_pm(&m->dev.pci, PM_BASE);
	return bus_add(&m->mmio, &flash);
}

/* A 32-bit register file: other accesses touch the aligned dword's bytes. */
static u64 ioapic_bus_read(void *dev, u64 at, unsigned size)
{
	(void)size;
	return ioapic_read(dev, at & ~3ull) >> 8 * (at & 3);
}

static void ioapic_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)size;
	if (!(at & 3))
		ioapic_write(dev, at, (u32)val);
}

static u64 debug_bus_read(void *dev, u64 at, unsigned size)
{
	(void)dev;
	(void)at;
	(void)size;
	return 0;
}

static void debug_bus_write(void *dev, u64 at, unsigned size, u64 val)
{
	(void)dev;
	(void)at;
	(void)size;
	board_debug_exit((u32)val);
}

/* The widest access is written as one; at least one port, at most four. */
static int add_debug_exit(struct machine *m)
{
	struct bus_window w = {
		.base = (u64)m->cfg->debug_exit, .width = 4,
		.read = debug_bus_read, .write = debug_bus_write,
	};

	for (w.len = 4; w.len; w.len /= 2)
		if (w.base + w.len <= 0x10000 && !bus_add(&m->ports, &w))
			return 0;
	return -EEXIST;
}

static int add_serials(struct machine *m)
{
	static const struct { u16 base; u8 irq; } com[VM_SERIALS] = {
		{ 0x3f8, IRQ_COM1 }, { 0x2f8, IRQ_COM2 },
	};
	unsigned i;
	int err;

	for (i = 0; i < VM_SERIALS; i++) {
		const struct bus_window w = {
			com[i].base, 8, 1, &m->dev.com[i], uart_bus_read,
			uart_bus_write
		};

		if (m->fds.serial[i] < 0)
			continue;
		uart_init(&m->dev.com[i], i, com[i].irq);
		err = bus_add(&m->ports, &w);
		if (err)
			return err;
	}
	return 0;
}

int devices_init(struct machine *m)
{
	struct devices *d = &m->dev;
	const struct bus_window ports[] = {
		{ 0x020, 2, 1, &d->pic, pic_bus_read, pic_bus_write },
		{ 0x0a0, 2, 1, &d->pic, pic2_bus_read, pic2_bus_write },
		{ 0x4d0, 2, 1, &d->pic, elcr_bus_read, elcr_bus_write },
		{ 0x040, 4, 1, &d->pit, pit_bus_read, pit_bus_write },
		{ 0x061, 1, 1, &d->pit, portb_bus_read, portb_bus_write },
		{ 0x060, 1, 1, &d->kbd, kbd_data_bus_read, kbd_data_bus_write },
		{ 0x064, 1, 1, &d->kbd, kbd_status_bus_read, kbd_command_bus_write },
		{ 0x092, 1, 1, &d->kbd, port92_bus_read, port92_bus_write },
		{ 0x070, 2, 1, &d->rtc, rtc_bus_read, rtc_bus_write },
		{ PM_BASE, PM_LEN, 4, &d->pm, pm_bus_read, pm_bus_write },
		{ 0xcf8, 8, 4, &d->pci, pci_bus_read, pci_bus_write },
	};
	const struct bus_window ioapic = {
		IOAPIC_BASE, IOAPIC_LEN, 8, &d->ioapic, ioapic_bus_read,
		ioapic_bus_write
	};
	const struct bus_window fwcfg = {
		FWCFG_BASE, FWCFG_LEN, 4, &d->fwcfg, fwcfg_bus_read,
		fwcfg_bus_write
	};
	unsigned i;
	int err;

	/* Interrupt controllers first: the others lower their lines. */
	ioapic_init(&d->ioapic);
	pic_init(&d->pic);
	pit_init(&d->pit);
	rtc_init(&d->rtc, m->mem.low_size, m->mem.high_size);
	pm_init(&d->pm);
	kbd_init(&d->kbd);
	pci_init(&d->pci, &m->mmio);
	d->pci.window = pci_window(m->mem.low_size);
	for (i = 0; i < ARRAY_SIZE(ports); i++) {
		err = bus_add(&m->ports, &ports[i]);
		if (err)
			return err;
	}
	err = add_serials(m);
	if (err)
		return err;
	err = bus_add(&m->mmio, &ioapic);
	if (!err && m->flash)
		err = bus_add(&m->ports, &fwcfg);
	if (!err && m->vars)
		err = add_uefi(m);
	if (!err && m->cfg->debug_exit >= 0)
		err = add_debug_exit(m);
	return err;
}
