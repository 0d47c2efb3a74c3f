/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err.c -- one-line messages on standard error.
 *
 * A message is one write, so that lines of several processes do not mix.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "err.h"

const char *err_prog;
const char *err_where;

static void say(const char *fmt, va_list ap)
{
	char line[1024];
	int n, m;

	/* A path may be longer than the line. */
	n = snprintf(line, sizeof(line) / 2, "%s: %s%s",
		     err_prog ? err_prog : program_invocation_short_name,
		     err_where ? err_where : "", err_where ? ": " : "");
	n = (int)MIN((size_t)n, sizeof(line) / 2 - 1);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	if (m > 0)
		n = (int)MIN((size_t)n + (size_t)m, sizeof(line) - 2);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;		/* nowhere left to complain */
}

void warn_msg(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	exit(EXIT_FAIL);
}

void die_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	exit(err_where ? EXIT_FAIL : EXIT_USAGE_ERR);
}
