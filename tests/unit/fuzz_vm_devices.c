/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vm_devices.c -- any accesses to what every machine has, where it has
 * it: interrupt controllers, timers, clock, keyboard controller, serial
 * ports, power management, fw_cfg, flash memory and PCI's ports, on the buses
 * that devices.c makes.  Meanwhile time passes and the outside does things.
 *
 * Beside what sanitizers see: an interrupt line's and a timer's number exist,
 * and no timer that has been served is due again at once.
 */
#include <stdlib.h>

#include "tests/unit/vm_board.h"

#include "guests/control/joist-vm/devices.c"
#include "guests/control/joist-vm/uart.c"
#include "guests/control/joist-vm/bus.c"
#include "guests/control/joist-vm/fwcfg.c"
#include "guests/control/joist-vm/ioapic.c"
#undef REG_DATA
#include "guests/control/joist-vm/pci.c"
#include "guests/control/joist-vm/pic.c"
/* Some static functions have the same names. */
#define command	flash_command
#include "guests/control/joist-vm/flash.c"
#undef command
#define update	kbd_update
#include "guests/control/joist-vm/kbd.c"
#undef update
#define update	pm_update
#define write_control	pm_write_control
#include "guests/control/joist-vm/pm.c"
#undef update
#undef write_control
#include "guests/control/joist-vm/rtc.c"
#define arm	pit_arm
#include "guests/control/joist-vm/pit.c"

#define RAM	(64 * KiB)

struct machine machine;

/* Where something answers, and where it does not. */
static const u16 ports[] = {
	0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61,
	0x60, 0x64, 0x92, 0x70, 0x71, PM_BASE, PM_BASE + 2, PM_BASE + 4,
	PM_BASE + 8, 0xcf8, 0xcf9, 0xcfc, 0xcfe, 0x3f8, 0x3f9, 0x3fa, 0x3fb,
	0x3fc, 0x3fd, 0x3fe, 0x2f8, 0x2f9, 0x2fa, 0x2fb, 0x2fc, FWCFG_BASE,
	FWCFG_BASE + 1, FWCFG_BASE + 4, FWCFG_BASE + 8, 0xf4, 0x80,
};

/* Around the I/O APIC, and around the flash memory below the firmware. */
#define CODE		(64 * KiB)
#define FLASH		(2 * FLASH_BLOCK)
#define FLASH_AT	(FIRMWARE_END - CODE - FLASH)
#define STEPS	100

void board_flash_show(bool memory)
{
	(void)memory;
}

bool board_flash_store(u32 at, u32 len)
{
	if (at >= FLASH || len > FLASH - at)
		abort();
	return at & 1;		/* or the file is full */
}

void board_flash_sync(void)
{
}

struct input {
	const u8 *p, *end;
	u64 more;
};

/* A short input goes on with numbers that follow from it. */
static u64 take(struct input *in, unsigned bytes)
{
	u64 v = 0;

	while (bytes--) {
		in->more ^= in->more << 13;
		in->more ^= in->more >> 7;
		in->more ^= in->more << 17;
		v = v << 8 | (in->p < in->end ? *in->p++ :
			      (u8)(in->more >> 24));
	}
	return v;
}

static void setup(void)
{
	static struct vm_config cfg = {
		.vcpus = 2, .debug_exit = 0xf4, .firmware_size = CODE,
		.vars_size = FLASH,
	};
	static u8 flash[1], vars[FLASH];
	struct machine *m = &machine;
	u8 *low = m->mem.low ? m->mem.low : malloc(RAM);

	/* What has an init of its own is not large, or is cleared there. */
	memset(&m->ports, 0, sizeof(m->ports));
	memset(&m->mmio, 0, sizeof(m->mmio));
	memset(low, 0, 256);
	board_clear();
	m->cfg = &cfg;
	m->mem = (struct guest_mem){ .low = low, .low_size = RAM };
	m->flash = flash;
	m->vars = vars;
	m->fds.serial[PORT_HVC] = -1;
	if (devices_init(m))
		abort();
	fwcfg_init(&m->dev.fwcfg, 2, RAM);
	fwcfg_add(&m->dev.fwcfg, "a", "some bytes", 10);
}

/* A timer that is due is served, as the main thread does, once. */
static void timers(void)
{
	static void *const devs[] = {
		[TIMER_PIT] = &machine.dev.pit, [TIMER_RTC] = &machine.dev.rtc,
		[TIMER_PM] = &machine.dev.pm,
	};
	unsigned i;

	for (i = 0; i < TIMER_COUNT; i++) {
		if (!board.timer[i] || board.timer[i] > board.ns)
			continue;
		board.timer[i] = 0;
		if (i == TIMER_PIT)
			pit_timer(devs[i]);
		else if (i == TIMER_RTC)
			rtc_timer(devs[i]);
		else
			pm_timer(devs[i]);
		/* Time goes on only in board_pass(). */
		if (board.timer[i] && board.timer[i] <= board.ns)
			abort();
	}
}

static void outside(struct input *in)
{
	unsigned what = (unsigned)take(in, 1), i = what & 1;
	struct uart *u = &machine.dev.com[i];

	switch (what >> 1 & 3) {
	case 0:
		for (what = (unsigned)take(in, 1) % (uart_rx_room(u) + 1);
		     what; what--)
			uart_rx(u, (u8)take(in, 1));
		break;
	case 1:
		board.serial_room = (unsigned)take(in, 1);
		uart_tx_room(u);
		break;
	case 2:
		pm_power_button(&machine.dev.pm);
		break;
	case 3:
		if (board.intr)
			pic_ack(&machine.dev.pic);
		pic_irq(&machine.dev.pic, (unsigned)take(in, 1) % 16, i);
		ioapic_irq(&machine.dev.ioapic, (unsigned)take(in, 1) % 24, i);
		ioapic_eoi(&machine.dev.ioapic, (u8)take(in, 1));
		break;
	}
}

static u64 memory(struct input *in)
{
	u64 at = take(in, 2);

	return at & 0x8000 ? FLASH_AT - 16 + at % (FLASH + 32) :
	       IOAPIC_BASE - 16 + at % (IOAPIC_LEN + 32);
}

static void step(struct input *in)
{
	u8 op = (u8)take(in, 1);
	unsigned size = 1u << (op >> 4 & 3), port;

	port = op & 0x40 ? (unsigned)take(in, 2) :
	       ports[take(in, 1) % ARRAY_SIZE(ports)];
	switch (op & 7) {
	case 0:
	case 1:
	case 2:
		bus_write(&machine.ports, port, MIN(size, 4u), take(in, 4));
		break;
	case 3:
		bus_read(&machine.ports, port, MIN(size, 4u));
		break;
	case 4:
		bus_write(&machine.mmio, memory(in), size, take(in, 8));
		break;
	case 5:
		bus_read(&machine.mmio, memory(in), size);
		/* What fw_cfg's DMA may be pointed at. */
		machine.mem.low[take(in, 2)] = (u8)take(in, 1);
		break;
	case 6:
		/* From nothing to two days. */
		board_pass(take(in, 1) << take(in, 1) % 40);
		timers();
		break;
	case 7:
		outside(in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size, 88172645463325252ull };
	unsigned i;

	for (i = 0; i < size; i++)
		in.more = (in.more ^ data[i]) * 1099511628211ull | 1;
	setup();
	for (i = 0; i < STEPS || in.p < in.end; i++)
		step(&in);
	return 0;
}
