/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_screen.c -- the text console on a made-up screen, in every depth.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "drivers/screen.c"

/* Each glyph tells its character; the blank is blank. */
const u8 font[FONT_LAST - FONT_FIRST + 1][FONT_HEIGHT] = {
	['A' - FONT_FIRST] = { 0x80, [15] = 0x01 },
	['B' - FONT_FIRST] = { 0xff, 0x55 },
	['?' - FONT_FIRST] = { [7] = 0x18 },
};

static u8 *video;
static u32 video_size;

static struct screen_mode rgb(u32 width, u32 height, u8 bpp, u32 pitch)
{
	struct screen_mode m = {
		.addr = 0xe0000000, .pitch = pitch, .width = width,
		.height = height, .bpp = bpp, .type = SCREEN_RGB,
	};

	if (bpp <= 16) {
		m.red = (struct screen_field){ bpp - 5, 5 };
		m.green = (struct screen_field){ 5, bpp - 10 };
		m.blue = (struct screen_field){ 0, 5 };
	} else {
		m.red = (struct screen_field){ 16, 8 };
		m.green = (struct screen_field){ 8, 8 };
		m.blue = (struct screen_field){ 0, 8 };
	}
	return m;
}

static int start(struct screen_mode m)
{
	free(video);
	video_size = screen_bytes(&m);
	video = aligned_alloc(16, ALIGN_UP(video_size, 16));
	memset(video, 0xcc, video_size);
	return screen_init(&m, video);
}

static void print(const char *s)
{
	while (*s)
		screen_putc(*s++);
}

static u32 pixel(const struct screen_mode *m, u32 x, u32 y)
{
	u32 v = 0, n = (m->bpp + 7) / 8;

	memcpy(&v, video + y * m->pitch + x * n, n);
	return v;
}

/* The cell shows the character's glyph, in the mode's white. */
static void check_glyph(const struct screen_mode *m, u32 col, u32 row, char c)
{
	u32 white = m->bpp == 15 ? 0x7fff : m->bpp == 16 ? 0xffff : 0xffffff;
	u32 x, y;

	for (y = 0; y < 16; y++)
		for (x = 0; x < 8; x++)
			assert_int_equal(pixel(m, col * 8 + x, row * 16 + y),
				font[c - FONT_FIRST][y] & 0x80 >> x ? white : 0);
}

static void test_depths(void **state)
{
	static const struct { u8 bpp; u32 pitch; } modes[] = {
		{ 15, 200 }, { 16, 160 }, { 24, 247 }, { 32, 324 },
	};
	struct screen_mode m;
	u32 i, row, col, y, x;
	(void)state;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		/* 10 columns, 3 rows, and bits of cells left over. */
		m = rgb(80, 50, modes[i].bpp, modes[i].pitch);
		assert_int_equal(start(m), 0);
		for (y = 0; y < m.height; y++)
			for (x = 0; x < m.width; x++)
				assert_int_equal(pixel(&m, x, y), 0);
		print("AB \x01\n\tB");
		for (row = 0; row < 3; row++)
			for (col = 0; col < 10; col++)
				check_glyph(&m, col, row,
					    row == 0 && col == 0 ? 'A' :
					    row == 0 && col == 1 ? 'B' :
					    row == 0 && col == 3 ? '?' :
					    row == 1 && col == 8 ? 'B' : ' ');
		/* Nothing is written behind a line's pixels. */
		for (y = 0; y < m.height; y++)
			for (x = m.width * ((m.bpp + 7) / 8); x < m.pitch; x++)
				assert_int_equal(video[y * m.pitch + x], 0xcc);
	}
}

static const struct screen_mode ega = {
	.addr = 0xb8000, .pitch = 160, .width = 80, .height = 25, .bpp = 16,
	.type = SCREEN_TEXT,
};

static void text_line(u32 row, char *dst)
{
	u32 i;

	for (i = 0; i < 80; i++) {
		dst[i] = video[row * 160 + i * 2];
		assert_int_equal(video[row * 160 + i * 2 + 1], 0x07);
	}
	while (i && dst[i - 1] == ' ')
		i--;
	dst[i] = 0;
}

static void line_is(u32 row, const char *want)
{
	char got[81];

	text_line(row, got);
	assert_string_equal(got, want);
}

static void test_text(void **state)
{
	char line[200];
	u32 i;
	(void)state;

	assert_int_equal(start(ega), 0);
	for (i = 0; i < 25; i++)
		line_is(i, "");
	print("one\ntwo\rT\n\tx\xff");
	line_is(0, "one");
	line_is(1, "Two");
	line_is(2, "        x?");

	/* A full line and its newline are one line; a longer one is two. */
	memset(line, 'a', 80);
	line[80] = 0;
	print("\n");
	print(line);
	print("\nb\n");
	print(line);
	print("c");
	line_is(3, line);
	line_is(4, "b");
	line_is(5, line);
	line_is(6, "c");
}

static void test_scroll(void **state)
{
	char name[3] = "00";
	u32 i;
	(void)state;

	assert_int_equal(start(ega), 0);
	for (i = 0; i < 25; i++) {
		name[0] = '0' + i / 10;
		name[1] = '0' + i % 10;
		print(name);
		if (i < 24)
			print("\n");
	}
	line_is(0, "00");
	line_is(24, "24");
	/* The next one makes room for a quarter. */
	print("\nnext");
	line_is(0, "06");
	line_is(18, "24");
	line_is(19, "next");
	for (i = 20; i < 25; i++)
		line_is(i, "");
	/* However long it goes on, the last line is there. */
	for (i = 0; i < 1000; i++)
		print("more\n");
	print("last");
	for (i = 0; i < 25; i++) {
		char got[81];

		text_line(i, got);
		if (!strcmp(got, "last"))
			return;
		assert_string_equal(got, "more");
	}
	fail();
}

static void test_one_line(void **state)
{
	struct screen_mode m = rgb(8, 16, 32, 32);
	(void)state;

	assert_int_equal(start(m), 0);
	print("\nx\n\n\tBA");
	check_glyph(&m, 0, 0, 'A');
}

static void test_huge(void **state)
{
	struct screen_mode m = rgb(3840, 2160, 32, 3840 * 4);
	u32 i;
	(void)state;

	assert_int_equal(start(m), 0);
	for (i = 0; i < COLS_MAX; i++)
		print("A");
	check_glyph(&m, COLS_MAX - 1, 0, 'A');
	check_glyph(&m, COLS_MAX, 0, ' ');
	print("B");
	check_glyph(&m, 0, 1, 'B');
	for (i = 0; i < 500; i++)
		print("B\n");
	check_glyph(&m, 0, ROWS_MAX, ' ');
}

static void test_refused(void **state)
{
	struct screen_mode m;
	(void)state;

	m = rgb(640, 480, 8, 640);
	assert_int_equal(start(m), -ENODEV);
	m = rgb(640, 480, 32, 2560);
	m.type = SCREEN_INDEXED;
	assert_int_equal(start(m), -ENODEV);
	m.type = 3;
	assert_int_equal(start(m), -ENODEV);
	m = rgb(640, 480, 40, 3200);
	assert_int_equal(start(m), -ENODEV);
	m = rgb(640, 480, 32, 2559);
	assert_int_equal(start(m), -ENODEV);
	m = rgb(640, 480, 32, 2562);
	assert_int_equal(start(m), -ENODEV);
	m = rgb(640, 480, 16, 1281);
	assert_int_equal(start(m), -ENODEV);
	m = rgb(7, 480, 32, 32);
	assert_int_equal(start(m), -ENODEV);
	m = rgb(640, 15, 32, 2560);
	assert_int_equal(start(m), -ENODEV);
	m = ega;
	m.bpp = 8;
	assert_int_equal(start(m), -ENODEV);
	m = ega;
	m.pitch = 158;
	assert_int_equal(start(m), -ENODEV);
	m = rgb(640, 480, 32, 2560);
	assert_int_equal(screen_init(&m, video + 2), -ENODEV);
}

static int end(void **state)
{
	(void)state;
	free(video);
	video = NULL;
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depths),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_scroll),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
