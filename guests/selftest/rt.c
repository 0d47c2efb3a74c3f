/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rt.c -- strings, output, failures, traps, random numbers.
 */
#include <stdarg.h>

#include "guests/selftest/rt.h"

#define COM1		0x3f8
#define BOCHS_SHUTDOWN	0x8900

extern const char *command_line;
extern const u64 extable_start[], extable_end[];
extern const u8 user_back[];

char case_why[200];

void *memcpy(void *d, const void *s, size_t n)
{
	void *ret = d;

	asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	return ret;
}

void *memset(void *d, int v, size_t n)
{
	void *ret = d;

	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(v) : "memory");
	return ret;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (u8)*a - (u8)*b;
}

/* '*' matches anything; the pattern ends at NUL or ','. */
static bool glob_one(const char *p, const char *s)
{
	for (; *p && *p != ','; p++, s++) {
		if (*p == '*') {
			do {
				if (glob_one(p + 1, s))
					return true;
			} while (*s++);
			return false;
		}
		if (*p != *s)
			return false;
	}
	return !*s;
}

/* A comma-separated list of patterns, any of which may match. */
bool glob(const char *p, const char *s)
{
	for (;;) {
		if (glob_one(p, s))
			return true;
		while (*p && *p != ',')
			p++;
		if (!*p++)
			return false;
	}
}

const char *option(const char *key)
{
	size_t n = strlen(key);
	const char *s = command_line;

	while (*s) {
		while (*s == ' ')
			s++;
		if (!memcmp(s, key, MIN(n, strlen(s))) && strlen(s) >= n &&
		    s[n] == '=')
			return s + n + 1;
		while (*s && *s != ' ')
			s++;
	}
	return NULL;
}

bool option_word(char *buf, size_t size, const char *key)
{
	const char *s = option(key);
	size_t n = 0;

	if (!s)
		return false;
	while (s[n] && s[n] != ' ' && n < size - 1) {
		buf[n] = s[n];
		n++;
	}
	buf[n] = 0;
	return true;
}

u64 option_number(const char *key, u64 otherwise)
{
	const char *s = option(key);
	u64 val = 0;
	u32 base = 10, digit;

	if (!s)
		return otherwise;
	if (s[0] == '0' && s[1] == 'x') {
		base = 16;
		s += 2;
	}
	for (; *s && *s != ' '; s++) {
		digit = *s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10;
		if (digit >= base)
			break;
		val = val * base + digit;
	}
	return val;
}

void uart_init(void)
{
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 0x80);
	outb(COM1 + 0, 1);		/* 115200 */
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 3);
	outb(COM1 + 2, 7);
	outb(COM1 + 4, 3);
}

static void uart_char(char ch)
{
	u32 spins = 1000000;

	/* Bounded: a machine without the port must not hang us. */
	while (!(inb(COM1 + 5) & 0x20) && --spins)
		pause();
	outb(COM1, ch);
}

struct sink {
	char *buf;
	size_t size, len;
};

static void put(struct sink *s, char ch)
{
	if (!s->buf) {
		if (ch == '\n')
			uart_char('\r');
		uart_char(ch);
	} else if (s->len + 1 < s->size) {
		s->buf[s->len] = ch;
	}
	s->len++;
}

static void put_number(struct sink *s, u64 val, u32 base, u32 width, char pad)
{
	char tmp[24];
	u32 n = 0;

	do {
		tmp[n++] = "0123456789abcdef"[val % base];
		val /= base;
	} while (val);
	while (width-- > n)
		put(s, pad);
	while (n)
		put(s, tmp[--n]);
}

/* %s %c %u %d %x %p, with l, a width and a leading 0. */
static void vput(struct sink *s, const char *fmt, va_list ap)
{
	const char *str;
	bool wide;
	char pad;
	u32 width;
	u64 val;

	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(s, *fmt);
			continue;
		}
		fmt++;
		pad = *fmt == '0' ? '0' : ' ';
		for (width = 0; *fmt >= '0' && *fmt <= '9'; fmt++)
			width = width * 10 + *fmt - '0';
		wide = *fmt == 'l';
		while (*fmt == 'l')
			fmt++;
		switch (*fmt) {
		case 's':
			str = va_arg(ap, const char *);
			while (*str)
				put(s, *str++);
			break;
		case 'c':
			put(s, (char)va_arg(ap, int));
			break;
		case 'd':
			val = wide ? va_arg(ap, u64) :
				     (u64)(s64)va_arg(ap, int);
			if ((s64)val < 0) {
				put(s, '-');
				val = -val;
			}
			put_number(s, val, 10, width, pad);
			break;
		case 'u':
		case 'x':
			val = wide ? va_arg(ap, u64) : va_arg(ap, u32);
			put_number(s, val, *fmt == 'u' ? 10 : 16, width, pad);
			break;
		case 'p':
			put_number(s, va_arg(ap, u64), 16, 16, '0');
			break;
		default:
			put(s, *fmt);
		}
	}
	if (s->buf && s->size)
		s->buf[MIN(s->len, s->size - 1)] = 0;
}

void print(const char *fmt, ...)
{
	struct sink s = { 0 };
	va_list ap;

	va_start(ap, fmt);
	vput(&s, fmt, ap);
	va_end(ap);
}

int format(char *buf, size_t size, const char *fmt, ...)
{
	struct sink s = { .buf = buf, .size = size };
	va_list ap;

	va_start(ap, fmt);
	vput(&s, fmt, ap);
	va_end(ap);
	return (int)s.len;
}

__noreturn static void leave(int how, const char *fmt, va_list ap)
{
	struct cpu *c = this_cpu();
	struct sink s = {
		.buf = c->index ? c->why : case_why,
		.size = sizeof(case_why),
	};

	vput(&s, fmt, ap);
	if (!c->escape) {
		print("selftest: %s\n", s.buf);
		finish(1);
	}
	jump_to(c->escape, how);
}

void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	leave(JUMP_FAIL, fmt, ap);
}

void skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	leave(JUMP_SKIP, fmt, ap);
}

/* The end: the result goes to whatever can end this emulator. */
void finish(u32 failed)
{
	const char *s;
	u64 port = option_number("exit", 0);

	if (port && port < 0x10000)
		outl((u16)port, failed ? 1 : 0);
	for (s = "Shutdown"; *s; s++)
		outb(BOCHS_SHUTDOWN, *s);
	for (;;)
		asm volatile("cli; hlt");
}

static bool is_error_vector(u64 vec)
{
	return vec < 32 && vec != X_NMI;
}

void trap(struct frame *f);
void trap(struct frame *f)
{
	struct cpu *c = this_cpu();
	const u64 *e;

	if (!is_error_vector(f->vector) && f->vector != VEC_USER) {
		c->irqs[f->vector]++;
		if (f->vector == VEC_TIMER)
			timer_stop();
		if (f->vector != X_NMI && f->vector != VEC_SPURIOUS)
			apic_write(0xb0, 0);
		return;
	}
	if (f->cs & 3) {
		/* CPL 3 code of user_hypercall(): back with RAX. */
		if (f->vector != VEC_USER)
			f->rax = FAULT(f->vector);
		f->rip = (u64)user_back;
		f->cs = 8;
		f->ss = 16;
		return;
	}
	for (e = extable_start; e < extable_end; e += 2) {
		if (f->rip < e[0] || f->rip >= e[1])
			continue;
		c->trap_vector = (u32)f->vector;
		c->trap_error = f->error;
		asm volatile("movq %%cr2, %0" : "=r"(c->trap_cr2));
		f->r11 = FAULT(f->vector);
		f->rip = e[1];
		return;
	}
	fail("trap %lu error 0x%lx at 0x%lx (cr2 0x%lx, rsp 0x%lx)",
	     f->vector, f->error, f->rip, read_cr2(), f->rsp);
}

bool cr0_checked(void)
{
	u64 cr0 = read_cr0();

	if (try_write_cr0(cr0 | CR0_NW) == FAULT(X_GP))
		return true;
	write_cr0(cr0);
	return false;
}

bool into_refused(void)
{
	return TRY_PLAIN(".byte 0xce") == FAULT(X_UD);
}

/* xorshift64*; each core would need its own, so only core 0 draws. */
static u64 random_state = 88172645463325252ull;

void random_seed(u64 seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ull + 1;
	if (!random_state)
		random_state = 1;
}

u64 random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

u32 random32(void)
{
	return (u32)(random64() >> 32);
}
