/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_param.c -- boot tunables: each one's values, limits and complaints.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "boot/param.c"

static struct params p;
static u32 complaints;
static char bad_word[PARAM_WORD];
static const char *bad_why;

static void complain(void *ctx, const char *word, const char *why)
{
	assert_ptr_equal(ctx, &p);
	assert_non_null(why);
	complaints++;
	assert_true(strlen(word) < PARAM_WORD);
	strcpy(bad_word, word);
	bad_why = why;
}

static void parse(const char *s)
{
	char *copy = strdup(s);

	complaints = 0;
	bad_why = NULL;
	memset(&p, 0xa5, sizeof(p));
	param_parse(copy, &p, complain, &p);
	free(copy);
}

static void good(const char *s)
{
	parse(s);
	if (complaints)
		fail_msg("%s: %s", bad_word, bad_why);
}

/* One word, refused: complained about by name, all values the defaults. */
static void refused(const char *word, const char *why)
{
	struct params def;

	good("");
	def = p;
	parse(word);
	assert_int_equal(complaints, 1);
	assert_string_equal(bad_word, word);
	assert_string_equal(bad_why, why);
	assert_memory_equal(&p, &def, sizeof(p));
}

static void test_defaults(void **state)
{
	(void)state;

	good("");
	assert_int_equal(p.control_mem, 0);
	assert_int_equal(p.uarts, 1);
	assert_int_equal(p.uart[0].port, 0x3f8);
	assert_int_equal(p.uart[0].baud, 115200);
	assert_true(p.screen);
	assert_int_equal(p.loglvl, 2);
	assert_int_equal(p.maxcpu, 256);
	assert_int_equal(p.panic, PARAM_PANIC_HALT);
	assert_int_equal(p.vid, PARAM_VID_AUTO);
	assert_int_equal(p.mitigations, MITIGATIONS_AUTO);
}

static void test_all_defaults_are_valid(void **state)
{
	const struct param_row *row;
	const char *why;
	(void)state;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		assert_int_equal(row->set(&p, row->def, &why), 0);
}

static void test_together(void **state)
{
	(void)state;

	good("  control_mem=512M console=com2:9600,screen\tloglvl=3 maxcpu=4 "
	     "panic=10 vid=off ");
	assert_int_equal(p.control_mem, 512 * MiB);
	assert_int_equal(p.uarts, 1);
	assert_int_equal(p.uart[0].port, 0x2f8);
	assert_int_equal(p.uart[0].baud, 9600);
	assert_true(p.screen);
	assert_int_equal(p.loglvl, 3);
	assert_int_equal(p.maxcpu, 4);
	assert_int_equal(p.panic, 10);
	assert_int_equal(p.vid, PARAM_VID_OFF);

	/* The last one counts. */
	good("maxcpu=4 maxcpu=5");
	assert_int_equal(p.maxcpu, 5);
	/* A bad one leaves what was set before. */
	parse("maxcpu=4 maxcpu=0");
	assert_int_equal(p.maxcpu, 4);
	assert_int_equal(complaints, 1);
}

static void test_control_mem(void **state)
{
	static const char bad_size[] = "not a size such as 512M or 2G";
	(void)state;

	good("control_mem=2G");
	assert_int_equal(p.control_mem, 2 * GiB);
	good("control_mem=131072k");
	assert_int_equal(p.control_mem, 128 * MiB);
	good("control_mem=67108864");
	assert_int_equal(p.control_mem, 64 * MiB);
	good("control_mem=0x4000000");
	assert_int_equal(p.control_mem, 64 * MiB);
	good("control_mem=4194304G");
	assert_int_equal(p.control_mem, BIT(52));

	refused("control_mem=", bad_size);
	refused("control_mem=M", bad_size);
	refused("control_mem=-1", bad_size);
	refused("control_mem=1T", bad_size);
	refused("control_mem=1MB", bad_size);
	refused("control_mem=1.5G", bad_size);
	refused("control_mem=0x", bad_size);
	refused("control_mem=18446744073709551616", bad_size);
	refused("control_mem=18446744073709551615", "more memory than a machine can have");
	refused("control_mem=17179869185G", "more memory than a machine can have");
	refused("control_mem=4194305G", "more memory than a machine can have");
	refused("control_mem=63M", "less than the 64M that a Linux needs");
	refused("control_mem=512", "less than the 64M that a Linux needs");
}

static void test_console(void **state)
{
	static const char not_list[] = "not a list of com1, com2, 0xPORT, screen";
	static const char bad_baud[] = "not a baud rate from 50 that divides 115200";
	static const char bad_port[] = "no serial port can be at that I/O port";
	(void)state;

	good("console=none");
	assert_int_equal(p.uarts, 0);
	assert_false(p.screen);
	good("console=screen");
	assert_int_equal(p.uarts, 0);
	assert_true(p.screen);
	good("console=com2,0xe000:38400,com1:50");
	assert_int_equal(p.uarts, 3);
	assert_false(p.screen);
	assert_int_equal(p.uart[0].port, 0x2f8);
	assert_int_equal(p.uart[0].baud, 115200);
	assert_int_equal(p.uart[1].port, 0xe000);
	assert_int_equal(p.uart[1].baud, 38400);
	assert_int_equal(p.uart[2].baud, 50);

	refused("console=", not_list);
	refused("console=com3", not_list);
	refused("console=com10", not_list);
	refused("console=com1,", not_list);
	refused("console=,com1", not_list);
	refused("console=com1,none", not_list);
	refused("console=none,com1", not_list);
	refused("console=screens", not_list);
	refused("console=com1;com2", not_list);
	refused("console=0x10000", not_list);
	refused("console=0x3f9", bad_port);
	refused("console=0x60", bad_port);
	refused("console=0", bad_port);
	refused("console=com1:", bad_baud);
	refused("console=com1:0", bad_baud);
	refused("console=com1:48", bad_baud);
	refused("console=com1:115201", bad_baud);
	refused("console=com1:100000", bad_baud);
	refused("console=com1:9600n8", not_list);
	refused("console=com1,0x3f8", "the same serial port twice");
	refused("console=com1,com2,0x100,0x108,0x110", "more than 4 serial ports");
}

static void test_small_ones(void **state)
{
	static const char bad_lvl[] =
		"not one of error, warn, info, debug or 0 to 3";
	static const char bad_panic[] =
		"not halt, nor seconds from 0 to 86400";
	(void)state;

	good("loglvl=error");
	assert_int_equal(p.loglvl, 0);
	good("loglvl=1");
	assert_int_equal(p.loglvl, 1);
	good("loglvl=debug");
	assert_int_equal(p.loglvl, 3);
	refused("loglvl=4", bad_lvl);
	refused("loglvl=", bad_lvl);
	refused("loglvl=11", bad_lvl);
	refused("loglvl=Debug", bad_lvl);

	good("maxcpu=1");
	assert_int_equal(p.maxcpu, 1);
	good("maxcpu=256");
	refused("maxcpu=0", "not a number from 1 to 256");
	refused("maxcpu=257", "not a number from 1 to 256");
	refused("maxcpu=4294967297", "not a number from 1 to 256");
	refused("maxcpu=", "not a number");
	refused("maxcpu=4x", "not a number");
	refused("maxcpu=all", "not a number");

	good("panic=halt");
	assert_int_equal(p.panic, PARAM_PANIC_HALT);
	good("panic=0");
	assert_int_equal(p.panic, 0);
	good("panic=86400");
	refused("panic=86401", bad_panic);
	refused("panic=-1", bad_panic);
	refused("panic=", bad_panic);
	refused("panic=halts", bad_panic);

	good("vid=on");
	assert_int_equal(p.vid, PARAM_VID_ON);
	good("vid=auto");
	assert_int_equal(p.vid, PARAM_VID_AUTO);
	refused("vid=", "not auto, on or off");
	refused("vid=1", "not auto, on or off");
	refused("vid=onn", "not auto, on or off");
	good("mitigations=off");
	assert_int_equal(p.mitigations, MITIGATIONS_OFF);
	good("mitigations=all");
	assert_int_equal(p.mitigations, MITIGATIONS_ALL);
	refused("mitigations=", "not auto, off or all");
	refused("mitigations=on", "not auto, off or all");
}

static void test_unknown(void **state)
{
	static const char none[] = "no such boot tunable";
	(void)state;

	refused("maxcpus=4", none);
	refused("maxcpu", none);
	refused("MAXCPU=4", none);
	refused("quiet", none);
	refused("=", none);
	refused("pptdevs=1/0/0", none);

	parse("a b=1 maxcpu=3 c");
	assert_int_equal(complaints, 3);
	assert_int_equal(p.maxcpu, 3);
}

static void test_words(void **state)
{
	char text[2048];
	(void)state;

	good("   \t ");
	good("max\"cpu=\"7");
	assert_int_equal(p.maxcpu, 7);
	good("max\\cpu=8");
	assert_int_equal(p.maxcpu, 8);

	parse("\"maxcpu=4");
	assert_int_equal(complaints, 1);
	assert_string_equal(bad_why, "a double quote is not closed");
	assert_int_equal(p.maxcpu, 256);
	parse("maxcpu=4\\");
	assert_string_equal(bad_word, "maxcpu=4\\");
	assert_string_equal(bad_why, "not a number");
	parse("a\\ b");
	assert_string_equal(bad_word, "a b");
	parse("\"\"");
	assert_int_equal(complaints, 1);
	assert_string_equal(bad_word, "");

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	parse(text);
	assert_int_equal(complaints, 1);
	assert_int_equal(strlen(bad_word), PARAM_WORD - 1);
	assert_string_equal(bad_why, "too long");
	text[PARAM_WORD - 1] = 0;
	refused(text, "no such boot tunable");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_defaults_are_valid),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_control_mem),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_small_ones),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
