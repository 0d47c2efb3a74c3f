/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serial.h -- where serial ports lead, --serial, and the virtio
 * console, --console.
 *
 * Both die with a message that names what is wrong.
 */
#ifndef VM_SERIAL_H
#define VM_SERIAL_H

#include "vm.h"

/* console, none, pty, file:PATH or unix:PATH; the text stays in use. */
void serial_parse(struct vm_config *cfg, char *text);
void console_parse(struct vm_config *cfg, char *text);

/* Files, pseudo-terminals and listening sockets; before a VM is there. */
void serials_open(struct vm_config *cfg);
/* The sockets' names go. */
void serials_close(const struct vm_config *cfg);

#endif
