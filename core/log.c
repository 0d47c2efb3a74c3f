/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.c -- formatted lines into a ring, and to the console until the control
 * VM owns it.
 */
#include <stdarg.h>

#include "arch/x86/cpu.h"
#include "arch/x86/insn.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/string.h"

#define RING_SIZE	(64 * KiB)	/* a power of two */
#define LINE_MAX	256
#define SINKS		4

static struct spinlock log_lock = SPINLOCK(LOCK_LOG);
static char ring[RING_SIZE];
static u64 ring_end;			/* bytes ever written */
static enum loglevel max_level = LOG_INFO;
static void (*sinks[SINKS])(char c);
static bool quiet;
static void (*before_refuse)(void);

struct out {
	char *p;
	char *end;
};

static void out_char(struct out *o, char c)
{
	if (o->p < o->end)
		*o->p++ = c;
}

static void out_number(struct out *o, u64 v, unsigned base, int width, char pad, bool neg)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (neg)
		digits[n++] = '-';
	for (; width > n; width--)
		out_char(o, pad);
	while (n)
		out_char(o, digits[--n]);
}

static int format(char *dst, size_t size, const char *fmt, va_list ap)
{
	struct out o = { dst, dst + size - 1 };
	const char *s;

	for (; *fmt; fmt++) {
		char pad = ' ';
		int width = 0, longs = 0;
		u64 v;

		if (*fmt != '%') {
			out_char(&o, *fmt);
			continue;
		}
		if (*++fmt == '0')
			pad = '0';
		while (*fmt >= '0' && *fmt <= '9')
			width = width * 10 + (*fmt++ - '0');
		while (*fmt == 'l') {
			longs++;
			fmt++;
		}
		switch (*fmt) {
		case 'd':
			v = longs ? va_arg(ap, u64) : (u64)(s64)va_arg(ap, int);
			out_number(&o, (s64)v < 0 ? -v : v, 10, width, pad, (s64)v < 0);
			break;
		case 'u':
		case 'x':
			v = longs ? va_arg(ap, u64) : va_arg(ap, u32);
			out_number(&o, v, *fmt == 'u' ? 10 : 16, width, pad, false);
			break;
		case 'p':
			out_number(&o, (u64)va_arg(ap, void *), 16, 16, '0', false);
			break;
		case 'c':
			out_char(&o, (char)va_arg(ap, int));
			break;
		case 's':
			for (s = va_arg(ap, const char *); *s; s++, width--)
				out_char(&o, *s);
			for (; width > 0; width--)
				out_char(&o, ' ');
			break;
		case 0:
			fmt--;
			break;
		default:
			out_char(&o, *fmt);
		}
	}
	*o.p = 0;
	return (int)(o.p - dst);
}

static void emit(const char *s)
{
	unsigned i;

	for (; *s; s++) {
		ring[ring_end++ % RING_SIZE] = *s;
		for (i = 0; i < SINKS && !quiet; i++)
			if (sinks[i])
				sinks[i](*s);
	}
}

static void line(enum loglevel level, const char *fmt, va_list ap)
{
	static const char tag[][4] = { "E: ", "W: ", "", "D: " };
	char buf[LINE_MAX];

	format(buf, sizeof(buf), fmt, ap);
	emit("joist: ");
	emit(tag[level]);
	emit(buf);
	emit("\n");
}

void log_print(enum loglevel level, const char *fmt, ...)
{
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	spin_lock(&log_lock);
	line(level, fmt, ap);
	spin_unlock(&log_lock);
	va_end(ap);
}

void log_level_set(enum loglevel level)
{
	max_level = level;
}

void log_sink_add(void (*putc)(char c))
{
	u64 pos = ring_end > RING_SIZE ? ring_end - RING_SIZE : 0;
	unsigned i;

	for (i = 0; i < SINKS && sinks[i]; i++)
		;
	if (i == SINKS)
		return;
	for (; pos < ring_end && !quiet; pos++)
		putc(ring[pos % RING_SIZE]);
	sinks[i] = putc;
}

void log_before_refuse(void (*f)(void))
{
	before_refuse = f;
}

void log_sinks_quiet(bool q)
{
	quiet = q;
}

u32 log_read(u64 *pos, char *dst, u32 size)
{
	u32 n = 0;

	spin_lock(&log_lock);
	if (*pos > ring_end)
		*pos = ring_end;
	if (ring_end > RING_SIZE && *pos < ring_end - RING_SIZE)
		*pos = ring_end - RING_SIZE;
	for (; n < size && *pos < ring_end; n++, ++*pos)
		dst[n] = ring[*pos % RING_SIZE];
	spin_unlock(&log_lock);
	return n;
}

bool ratelimit_ok(struct ratelimit *r, u32 burst)
{
	u64 now = rdtsc();

	if (now - r->start > (u64)tsc_khz * 1000 || !r->start) {
		if (r->dropped)
			log_warn("%u similar messages were left out", r->dropped);
		r->start = now;
		r->count = r->dropped = 0;
	}
	if (r->count++ < burst)
		return true;
	r->dropped++;
	return false;
}

#ifdef JOIST_DEBUG
int fail_at(int err, const char *file, int line_nr)
{
	log_debug("%s:%d: error %d", file, line_nr, err);
	return err;
}
#endif

/*
 * Only the first core to panic says so: others are stopped, or halt here.  If it
 * faults while it does, it has said what it could.
 */
static void first_panic(void)
{
	static u32 panics, core;
	u32 me = this_cpu() ? this_cpu()->id + 1 : 0;

	if (!__atomic_exchange_n(&panics, 1, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&core, me, __ATOMIC_SEQ_CST);
		return;
	}
	if (__atomic_load_n(&core, __ATOMIC_SEQ_CST) == me)
		cpu_stop_machine();
	cpu_halt();
}

void panic(const char *fmt, ...)
{
	va_list ap;

	first_panic();
	va_start(ap, fmt);
	smp_stop_others();
	spin_bust(&log_lock);
	quiet = false;
	emit("\njoist: panic\n");
	line(LOG_ERROR, fmt, ap);
	va_end(ap);
	cpu_stop_machine();
}

void refuse(const char *fmt, ...)
{
	va_list ap;

	if (before_refuse)
		before_refuse();
	va_start(ap, fmt);
	quiet = false;
	line(LOG_ERROR, fmt, ap);
	emit("joist: Joist stops here.\n");
	va_end(ap);
	cpu_halt();
}
