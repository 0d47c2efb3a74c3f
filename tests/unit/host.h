/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host.h -- what the hypervisor's code finds under it in a unit test: a map of
 * RAM, a core, lock checks as in debug builds, and a panic that can be caught.
 *
 * Include it first: it moves DIRECT_BASE into the process.
 */
#ifndef TESTS_UNIT_HOST_H
#define TESTS_UNIT_HOST_H

/* As the hypervisor itself is built. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define DIRECT_BASE	0x200000000000ull
#define JOIST_DEBUG
#define BUILD_DEBUG	1
#define JOIST_VERSION	"test"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/types.h"

/* GS:0 is not ours in a process: the core is a variable. */
struct cpu;
static inline struct cpu *host_cpu(void);
#define current_cpu	current_cpu_gs
#include "arch/x86/cpu.h"
#undef current_cpu
#define current_cpu	host_cpu

#include "arch/x86/paging.h"
#include "core/lock.c"
#include "core/log.h"

static struct cpu the_cpu;
static jmp_buf host_trap;
static bool host_trap_armed;
static char host_said[256];

static inline struct cpu *host_cpu(void)
{
	return &the_cpu;
}

struct cpu *this_cpu(void)
{
	return &the_cpu;
}

static void __noreturn host_stop(const char *fmt, va_list ap)
{
	vsnprintf(host_said, sizeof(host_said), fmt, ap);
	if (host_trap_armed)
		longjmp(host_trap, 1);
	printf("unexpected: %s\n", host_said);
	fflush(stdout);
	abort();
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	host_stop(fmt, ap);
}

void refuse(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	host_stop(fmt, ap);
}

/* Whether f(arg) ends in panic() or refuse(); host_said tells what they said.
 * Locks that were held then stay taken: the caller busts them. */
static inline bool stops(void (*f)(void *arg), void *arg)
{
	bool stopped;

	host_trap_armed = true;
	stopped = setjmp(host_trap);
	if (!stopped)
		f(arg);
	else
		the_cpu.locks_held = 0;
	host_trap_armed = false;
	return stopped;
}

void log_print(enum loglevel level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(host_said, sizeof(host_said), fmt, ap);
	va_end(ap);
}

int fail_at(int err, const char *file, int line)
{
	return err;
}

void page_clear(void *p, u64 len)
{
	/* Given back, not written: tests hand out GiBs. */
	if (len >= PAGE_SIZE_2M) {
		if (madvise(p, len, MADV_DONTNEED))
			abort();
	} else {
		memset(p, 0, len);
	}
}

/* Physical addresses [0, size) exist, cost nothing until touched; zeroed. */
static inline void host_ram(u64 size)
{
	void *p = mmap((void *)DIRECT_BASE, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	if (p != (void *)DIRECT_BASE)
		abort();
}

/* A fixed sequence: what fails once fails again. */
static u64 host_seed = 88172645463325252ull;

static inline u64 rnd(void)
{
	host_seed ^= host_seed << 13;
	host_seed ^= host_seed >> 7;
	host_seed ^= host_seed << 17;
	return host_seed;
}

static inline u64 rnd_below(u64 n)
{
	return rnd() % n;
}

#endif
