/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kbd.h -- i8042 keyboard controller without keyboard or mouse, and port 0x92.
 */
#ifndef VM_KBD_H
#define VM_KBD_H

#include "guests/control/lib/util.h"

struct kbd {
	u8 command;		/* waits for its data byte; 0: none */
	u8 config;
	u8 out, full;		/* output buffer */
	u8 port;		/* output port: A20 and the rest */
	u8 wrote_command;	/* status: last write was to 0x64 */
	u8 line;
};

void kbd_init(struct kbd *k);
u8 kbd_read_data(struct kbd *k);
void kbd_write_data(struct kbd *k, u8 val);
u8 kbd_read_status(const struct kbd *k);
void kbd_write_command(struct kbd *k, u8 val);
u8 kbd_read_port92(const struct kbd *k);
void kbd_write_port92(struct kbd *k, u8 val);

#endif
