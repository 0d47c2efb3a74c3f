/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * param.c -- boot tunables, one table.
 *
 * A setter changes its part of struct params whole or not at all.  Defaults
 * are written as a user would write them and go through the same setters.
 */
#include "boot/param.h"
#include "arch/x86/cpu.h"
#include "core/errno.h"
#include "core/string.h"

#define CONTROL_MEM_MIN		(64 * MiB)
#define MEM_LIMIT		BIT(52)
#define PANIC_MAX		86400	/* a day; more is a slip of the hand */
#define UART_CLOCK		115200	/* the highest baud of a 16550 */
#define UART_BAUD_MIN		50
#define UART_PORTS		8	/* I/O ports of one */
#define UART_PORT_MIN		0x100	/* below are the mainboard's own */

static const char not_a_number[] = "not a number";

static int reject(const char **why, const char *text)
{
	*why = text;
	return -EINVAL;
}

static u32 digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/*
 * A decimal number, or a hexadecimal one if 0x goes before it, of at most
 * max; *s is moved behind it.
 */
static bool take_number(const char **s, u64 max, u64 *val)
{
	const char *p = *s;
	u32 base = 10;
	u64 v = 0;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	if (digit(*p) >= base)
		return false;
	for (; digit(*p) < base; p++) {
		if (v > (max - MIN(digit(*p), max)) / base)
			return false;
		v = v * base + digit(*p);
	}
	if (v > max)
		return false;
	*s = p;
	*val = v;
	return true;
}

static bool take(const char **s, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*s, word, n))
		return false;
	*s += n;
	return true;
}

static int set_control_mem(struct params *p, const char *s, const char **why)
{
	u32 shift = 0;
	u64 v;

	if (!take_number(&s, ~0ull, &v))
		return reject(why, "not a size such as 512M or 2G");
	switch (*s) {
	case 'G': case 'g':
		shift += 10;
		/* fallthrough */
	case 'M': case 'm':
		shift += 10;
		/* fallthrough */
	case 'K': case 'k':
		shift += 10;
		s++;
	}
	if (*s)
		return reject(why, "not a size such as 512M or 2G");
	if (v > MEM_LIMIT >> shift)
		return reject(why, "more memory than a machine can have");
	v <<= shift;
	if (v && v < CONTROL_MEM_MIN)
		return reject(why, "less than the 64M that a Linux needs");
	p->control_mem = v;
	return 0;
}

static int take_uart(const char **s, struct param_uart *u, const char **why)
{
	u64 v = 0;

	if (take(s, "com1"))
		u->port = 0x3f8;
	else if (take(s, "com2"))
		u->port = 0x2f8;
	else if (**s != '0' || !take_number(s, 0xffff, &v))
		return reject(why, "not a list of com1, com2, 0xPORT, screen");
	else if (v < UART_PORT_MIN || v % UART_PORTS)
		return reject(why, "no serial port can be at that I/O port");
	else
		u->port = v;
	u->baud = UART_CLOCK;
	if (take(s, ":")) {
		if (!take_number(s, UART_CLOCK, &v) ||
		    v < UART_BAUD_MIN || UART_CLOCK % v)
			return reject(why, "not a baud rate from 50 that divides 115200");
		u->baud = v;
	}
	return 0;
}

static int set_console(struct params *p, const char *s, const char **why)
{
	struct param_uart u[PARAM_UARTS];
	bool screen = false;
	u32 n = 0, i;
	int err;

	if (!strcmp(s, "none"))
		goto out;
	do {
		if (take(&s, "screen")) {
			screen = true;
			continue;
		}
		if (n == PARAM_UARTS)
			return reject(why, "more than 4 serial ports");
		err = take_uart(&s, &u[n], why);
		if (err)
			return err;
		for (i = 0; i < n; i++)
			if (u[i].port == u[n].port)
				return reject(why, "the same serial port twice");
		n++;
	} while (take(&s, ","));
	if (*s)
		return reject(why, "not a list of com1, com2, 0xPORT, screen");
out:
	memcpy(p->uart, u, n * sizeof(u[0]));
	p->uarts = n;
	p->screen = screen;
	return 0;
}

static int set_loglvl(struct params *p, const char *s, const char **why)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(s, names[i]) || (s[0] == (char)('0' + i) && !s[1])) {
			p->loglvl = i;
			return 0;
		}
	}
	return reject(why, "not one of error, warn, info, debug or 0 to 3");
}

static int set_maxcpu(struct params *p, const char *s, const char **why)
{
	u64 v;

	if (!take_number(&s, ~0ull, &v) || *s)
		return reject(why, not_a_number);
	if (!v || v > MAX_CPUS)
		return reject(why, "not a number from 1 to 256");
	p->maxcpu = v;
	return 0;
}

static int set_panic(struct params *p, const char *s, const char **why)
{
	u64 v;

	if (!strcmp(s, "halt")) {
		p->panic = PARAM_PANIC_HALT;
		return 0;
	}
	if (!take_number(&s, PANIC_MAX, &v) || *s)
		return reject(why, "not halt, nor seconds from 0 to 86400");
	p->panic = v;
	return 0;
}

static int set_vid(struct params *p, const char *s, const char **why)
{
	static const char *const word[] = {
		[PARAM_VID_OFF] = "off", [PARAM_VID_ON] = "on", [PARAM_VID_AUTO] = "auto",
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(word); i++)
		if (!strcmp(s, word[i])) {
			p->vid = (enum param_vid)i;
			return 0;
		}
	return reject(why, "not auto, on or off");
}

static int set_mitigations(struct params *p, const char *s, const char **why)
{
	static const char *const word[] = {
		[MITIGATIONS_OFF] = "off", [MITIGATIONS_AUTO] = "auto",
		[MITIGATIONS_ALL] = "all",
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(word); i++)
		if (!strcmp(s, word[i])) {
			p->mitigations = (enum mitigation_mode)i;
			return 0;
		}
	return reject(why, "not auto, off or all");
}

static const struct param_row {
	const char *name, *def;
	int (*set)(struct params *p, const char *s, const char **why);
} rows[] = {
	{ "control_mem=", "0",            set_control_mem },
	{ "console=",     "com1,screen",  set_console },
	{ "loglvl=",      "info",         set_loglvl },
	{ "maxcpu=",      "256",          set_maxcpu },
	{ "panic=",       "halt",         set_panic },
	{ "vid=",         "auto",         set_vid },
	{ "mitigations=", "auto",         set_mitigations },
};

static int set_word(struct params *p, const char *word, const char **why)
{
	const struct param_row *row;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		if (take(&word, row->name))
			return row->set(p, word, why);
	return reject(why, "no such boot tunable");
}

/*
 * Copies the next word, unquoted; false if there is none.  GRUB puts double
 * quotes around an argument that has blanks in it, and a backslash before
 * quotes and backslashes.
 */
static bool next_word(const char **s, char *word, const char **why)
{
	const char *p = *s;
	bool quoted = false;
	size_t n = 0;

	*why = NULL;
	while (*p == ' ' || *p == '\t' || *p == '\n')
		p++;
	if (!*p)
		return false;
	for (; *p && (quoted || (*p != ' ' && *p != '\t' && *p != '\n')); p++) {
		if (*p == '"') {
			quoted = !quoted;
			continue;
		}
		if (*p == '\\' && p[1])
			p++;
		if (n < PARAM_WORD - 1)
			word[n++] = *p;
		else
			*why = "too long";
	}
	if (quoted)
		*why = "a double quote is not closed";
	word[n] = 0;
	*s = p;
	return true;
}

void param_parse(const char *cmdline, struct params *p,
		 void (*complain)(void *ctx, const char *word, const char *why),
		 void *ctx)
{
	const struct param_row *row;
	char word[PARAM_WORD];
	const char *why;

	memset(p, 0, sizeof(*p));
	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		row->set(p, row->def, &why);
	while (next_word(&cmdline, word, &why))
		if (why || set_word(p, word, &why))
			complain(ctx, word, why);
}
