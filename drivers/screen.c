/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * screen.c -- text on EGA text memory or on a linear RGB framebuffer.
 *
 * Video memory is never read, which can take a microsecond a word: what is
 * on the screen is known from `cells`, and only what changes is painted.
 */
#include "drivers/screen.h"
#include "core/errno.h"
#include "core/string.h"
#include "drivers/font.h"

/* Larger screens are used in their upper left part. */
#define COLS_MAX	160
#define ROWS_MAX	64
#define TAB		8

#define EGA_GREY	0x0700		/* attribute: grey on black */
#define EGA_CELL	2

static struct {
	volatile u8 *base;
	u32 pitch;
	u32 pixel;			/* bytes; 0: EGA text */
	u32 white;
	u32 cols, rows;
	u32 col, row;			/* where the next character goes */
	char cells[ROWS_MAX][COLS_MAX];
} screen;

static void put_pixel(volatile u8 *p, u32 colour)
{
	switch (screen.pixel) {
	case 2:
		*(volatile u16 *)p = colour;
		break;
	case 3:
		p[0] = colour;
		p[1] = colour >> 8;
		p[2] = colour >> 16;
		break;
	case 4:
		*(volatile u32 *)p = colour;
		break;
	}
}

static void put_glyph(u32 col, u32 row, const u8 *glyph)
{
	volatile u8 *p;
	u32 x, y;

	for (y = 0; y < FONT_HEIGHT; y++) {
		p = screen.base + (u64)(row * FONT_HEIGHT + y) * screen.pitch +
		    col * FONT_WIDTH * screen.pixel;
		for (x = 0; x < FONT_WIDTH; x++, p += screen.pixel)
			put_pixel(p, glyph[y] << x & 0x80 ? screen.white : 0);
	}
}

static void put_cell(u32 col, u32 row, char c)
{
	if (screen.cells[row][col] == c)
		return;
	screen.cells[row][col] = c;
	if (screen.pixel)
		put_glyph(col, row, font[c - FONT_FIRST]);
	else
		*(volatile u16 *)(screen.base + (u64)row * screen.pitch +
				  col * EGA_CELL) = EGA_GREY | (u8)c;
}

/* By a quarter of the screen: every cell is painted anew, so do it rarely. */
static void scroll(void)
{
	u32 by = MAX(screen.rows / 4, 1u);
	u32 row, col;

	for (row = 0; row < screen.rows; row++)
		for (col = 0; col < screen.cols; col++)
			put_cell(col, row, row + by < screen.rows ?
				 screen.cells[row + by][col] : ' ');
	screen.row -= by;
}

static void newline(void)
{
	screen.col = 0;
	if (++screen.row == screen.rows)
		scroll();
}

void screen_putc(char c)
{
	switch (c) {
	case '\n':
		newline();
		return;
	case '\r':
		screen.col = 0;
		return;
	case '\t':
		do {
			screen_putc(' ');
		} while (screen.col % TAB && screen.col < screen.cols);
		return;
	}
	if (c < FONT_FIRST || c > FONT_LAST)
		c = '?';
	/* Only now: a line that is just full needs no empty one after it. */
	if (screen.col == screen.cols)
		newline();
	put_cell(screen.col++, screen.row, c);
}

static u32 field_mask(struct screen_field f)
{
	return f.size ? BITS(f.pos + f.size - 1, f.pos) : 0;
}

/* Black, in words as wide as can be. */
static void clear_line(volatile u8 *p, u32 bytes)
{
	for (; bytes && (uintptr_t)p % 8; bytes--)
		*p++ = 0;
	for (; bytes >= 8; bytes -= 8, p += 8)
		*(volatile u64 *)p = 0;
	while (bytes--)
		*p++ = 0;
}

static int init_text(const struct screen_mode *m)
{
	if (m->bpp != 8 * EGA_CELL || (u64)m->width * EGA_CELL > m->pitch ||
	    !IS_ALIGNED(m->pitch, EGA_CELL))
		return -ENODEV;
	screen.cols = MIN(m->width, COLS_MAX);
	screen.rows = MIN(m->height, ROWS_MAX);
	return 0;
}

static int init_rgb(const struct screen_mode *m)
{
	screen.pixel = (m->bpp + 7) / 8;
	if (screen.pixel < 2 || screen.pixel > 4 ||
	    (u64)m->width * screen.pixel > m->pitch ||
	    (screen.pixel != 3 && !IS_ALIGNED(m->pitch, screen.pixel)))
		return -ENODEV;
	screen.white = field_mask(m->red) | field_mask(m->green) |
		       field_mask(m->blue);
	screen.cols = MIN(m->width / FONT_WIDTH, COLS_MAX);
	screen.rows = MIN(m->height / FONT_HEIGHT, ROWS_MAX);
	return 0;
}

int screen_init(const struct screen_mode *m, volatile void *base)
{
	int err = -ENODEV;
	u32 row, col;

	memset(&screen, 0, sizeof(screen));
	screen.base = base;
	screen.pitch = m->pitch;
	if (m->type == SCREEN_TEXT)
		err = init_text(m);
	else if (m->type == SCREEN_RGB)
		err = init_rgb(m);
	if (err)
		return err;
	if (!screen.cols || !screen.rows || !IS_ALIGNED((uintptr_t)base, 4))
		return -ENODEV;

	if (screen.pixel) {
		for (row = 0; row < m->height; row++)
			clear_line(screen.base + (u64)row * m->pitch,
				   m->width * screen.pixel);
		memset(screen.cells, ' ', sizeof(screen.cells));
	} else {
		for (row = 0; row < screen.rows; row++)
			for (col = 0; col < screen.cols; col++)
				put_cell(col, row, ' ');
	}
	return 0;
}
