/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h -- the log ring, the console, and the two ways to give up.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/errno.h"
#include "core/types.h"

enum loglevel { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* A line without newline.  Understands %s %c %d %u %x %p, l and ll, width, 0. */
void log_print(enum loglevel level, const char *fmt, ...) __printf(2, 3);
#define log_error(...)	log_print(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)	log_print(LOG_WARN, __VA_ARGS__)
#define log_info(...)	log_print(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	log_print(LOG_DEBUG, __VA_ARGS__)

void log_level_set(enum loglevel level);
/* Where lines go besides the ring, one call a character; what the ring holds
 * already goes there at once. */
void log_sink_add(void (*putc)(char c));
/* A last chance to bring up a console; NULL: none is needed any more. */
void log_before_refuse(void (*f)(void));
/* The control VM owns the devices from now on: nothing but panics go there. */
void log_sinks_quiet(bool quiet);
/* Copies up to size bytes from byte number *pos on; advances *pos. */
u32 log_read(u64 *pos, char *dst, u32 size);

/* At most `burst` of these a second are logged; the rest is counted. */
struct ratelimit {
	u64 start;
	u32 count;
	u32 dropped;
};
bool ratelimit_ok(struct ratelimit *r, u32 burst);

/* Joist broke its own rule: report, stop all cores, reboot or halt. */
void panic(const char *fmt, ...) __noreturn __printf(1, 2);
/* This machine cannot serve: one clear sentence, then stop. */
void refuse(const char *fmt, ...) __noreturn __printf(1, 2);

#define assert(c) \
	do { if (unlikely(!(c))) panic("%s:%d: %s", __FILE__, __LINE__, #c); } while (0)

/* return fail(-EINVAL): in debug builds the first refusal shows in the log. */
#ifdef JOIST_DEBUG
int fail_at(int err, const char *file, int line);
#define fail(err)	fail_at((err), __FILE__, __LINE__)
#define debug_assert(c)	assert(c)
#else
#define fail(err)	(err)
#define debug_assert(c)	((void)sizeof(c))
#endif

#endif
