/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kbd.c -- i8042 keyboard controller with nothing plugged in.
 *
 * It answers what software asks a controller, resets the machine when told
 * so, and times out for what is meant for a keyboard.  A20 is always open:
 * its bit is kept and has no effect.
 */
#include <string.h>

#include "board.h"
#include "kbd.h"

#define CMD_READ_CONFIG		0x20
#define CMD_WRITE_CONFIG	0x60
#define CMD_DISABLE_AUX		0xa7
#define CMD_ENABLE_AUX		0xa8
#define CMD_TEST_AUX		0xa9
#define CMD_SELF_TEST		0xaa
#define CMD_TEST_KBD		0xab
#define CMD_DISABLE_KBD		0xad
#define CMD_ENABLE_KBD		0xae
#define CMD_READ_PORT		0xd0
#define CMD_WRITE_PORT		0xd1
#define CMD_WRITE_KBD_OUT	0xd2
#define CMD_WRITE_AUX_OUT	0xd3
#define CMD_WRITE_AUX		0xd4
#define CMD_PULSE		0xf0	/* ..0xff: pulse the bits that are 0 */

#define CONFIG_IRQ		BIT(0)
#define CONFIG_SYSTEM		BIT(2)
#define CONFIG_KBD_OFF		BIT(4)
#define CONFIG_AUX_OFF		BIT(5)

#define STATUS_FULL		BIT(0)
#define STATUS_SYSTEM		BIT(2)
#define STATUS_COMMAND		BIT(3)
#define STATUS_UNLOCKED		BIT(4)
/*
 * What the controller notes when nobody answers it, as at power-on already.
 * OVMF takes both for "no keyboard"; else it waits for one, for minutes where
 * port accesses are slow.
 */
#define STATUS_TIMEOUT		BIT(6)
#define STATUS_PARITY		BIT(7)

#define PORT_NO_RESET		BIT(0)
#define PORT_A20		BIT(1)

#define SELF_TEST_OK		0x55
#define TEST_OK			0x00

static void update(struct kbd *k)
{
	u8 level = k->full && (k->config & CONFIG_IRQ);

	if (level != k->line) {
		k->line = level;
		board_irq(IRQ_KBD, level);
	}
}

static void answer(struct kbd *k, u8 val)
{
	k->out = val;
	k->full = 1;
}

void kbd_init(struct kbd *k)
{
	memset(k, 0, sizeof(*k));
	k->config = CONFIG_SYSTEM | CONFIG_KBD_OFF | CONFIG_AUX_OFF;
	k->port = PORT_NO_RESET | PORT_A20;
	board_irq(IRQ_KBD, false);
}

u8 kbd_read_data(struct kbd *k)
{
	k->full = 0;
	update(k);
	return k->out;
}

static void write_port(struct kbd *k, u8 val)
{
	k->port = val;
	if (!(val & PORT_NO_RESET))
		board_reset("keyboard controller");
}

void kbd_write_data(struct kbd *k, u8 val)
{
	u8 command = k->command;

	k->command = 0;
	k->wrote_command = 0;
	switch (command) {
	case CMD_WRITE_CONFIG:
		k->config = val;
		break;
	case CMD_WRITE_PORT:
		write_port(k, val);
		break;
	case CMD_WRITE_KBD_OUT:
	case CMD_WRITE_AUX_OUT:
		answer(k, val);
		break;
	}
	update(k);
}

u8 kbd_read_status(const struct kbd *k)
{
	return (u8)((k->full ? STATUS_FULL : 0) | STATUS_UNLOCKED |
		    STATUS_TIMEOUT | STATUS_PARITY |
		    (k->config & CONFIG_SYSTEM ? STATUS_SYSTEM : 0) |
		    (k->wrote_command ? STATUS_COMMAND : 0));
}

void kbd_write_command(struct kbd *k, u8 val)
{
	k->wrote_command = 1;
	k->command = 0;
	switch (val) {
	case CMD_READ_CONFIG:
		answer(k, k->config);
		break;
	case CMD_WRITE_CONFIG:
	case CMD_WRITE_PORT:
	case CMD_WRITE_KBD_OUT:
	case CMD_WRITE_AUX_OUT:
	case CMD_WRITE_AUX:
		k->command = val;
		break;
	case CMD_DISABLE_AUX:
		k->config |= CONFIG_AUX_OFF;
		break;
	case CMD_ENABLE_AUX:
		k->config &= (u8)~CONFIG_AUX_OFF;
		break;
	case CMD_DISABLE_KBD:
		k->config |= CONFIG_KBD_OFF;
		break;
	case CMD_ENABLE_KBD:
		k->config &= (u8)~CONFIG_KBD_OFF;
		break;
	case CMD_SELF_TEST:
		answer(k, SELF_TEST_OK);
		break;
	case CMD_TEST_KBD:
	case CMD_TEST_AUX:
		answer(k, TEST_OK);
		break;
	case CMD_READ_PORT:
		answer(k, k->port);
		break;
	default:
		if (val >= CMD_PULSE && !(val & PORT_NO_RESET))
			board_reset("keyboard controller");
		break;
	}
	update(k);
}

u8 kbd_read_port92(const struct kbd *k)
{
	return k->port & PORT_A20;
}

void kbd_write_port92(struct kbd *k, u8 val)
{
	k->port = (u8)((k->port & ~PORT_A20) | (val & PORT_A20));
	if (val & BIT(0))
		board_reset("port 0x92");
}
