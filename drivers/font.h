/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * font.h -- glyphs for the screen; font.py makes the table from a font file.
 */
#ifndef DRIVERS_FONT_H
#define DRIVERS_FONT_H

#include "core/types.h"

#define FONT_WIDTH	8
#define FONT_HEIGHT	16
#define FONT_FIRST	32
#define FONT_LAST	126

/* A byte a line, the highest bit leftmost. */
extern const u8 font[FONT_LAST - FONT_FIRST + 1][FONT_HEIGHT];

#endif
