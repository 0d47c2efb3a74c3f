/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * screen.h -- the boot loader's video mode as a console of Joist's own.
 */
#ifndef DRIVERS_SCREEN_H
#define DRIVERS_SCREEN_H

#include "core/types.h"

/* Multiboot2's framebuffer types. */
enum screen_type {
	SCREEN_INDEXED	= 0,		/* palette: no console on it */
	SCREEN_RGB	= 1,
	SCREEN_TEXT	= 2,		/* EGA: width and height in characters */
};

struct screen_field {
	u8 pos;				/* lowest bit in a pixel */
	u8 size;			/* bits */
};

struct screen_mode {
	u64 addr;			/* HPA */
	u32 pitch;			/* bytes from one line to the next */
	u32 width, height;
	u8 bpp;				/* bits a pixel; 16 a character */
	u8 type;			/* enum screen_type */
	struct screen_field red, green, blue;
};

/* Bytes of memory behind addr that the mode covers. */
static inline u64 screen_bytes(const struct screen_mode *m)
{
	return (u64)m->pitch * m->height;
}

/*
 * Clears the screen; base is where screen_bytes(m) at m->addr are mapped.
 * -ENODEV: a mode that we cannot write text in; screen_putc() is not to be
 * called then.
 */
int screen_init(const struct screen_mode *m, volatile void *base);

/* Takes newline, return and tab; a line that is full goes on in the next. */
void screen_putc(char c);

#endif
