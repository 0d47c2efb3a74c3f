/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.h -- the log on serial ports and screen, until the control VM owns
 * them, and for a last word.
 */
#ifndef DRIVERS_CONSOLE_H
#define DRIVERS_CONSOLE_H

struct params;
struct boot_info;

/* As early as possible: ports need no mapping. */
void console_init_serial(const struct params *p);
/* Until then, a refusal brings the screen up by itself. */
void console_early_screen(const struct params *p, const struct boot_info *bi);
/* When pages can be mapped. */
void console_init_screen(const struct params *p, const struct boot_info *bi);

#endif
