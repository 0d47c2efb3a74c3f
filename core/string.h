/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * string.h -- memory and strings: ours in the hypervisor, libc's in tests.
 */
#ifndef CORE_STRING_H
#define CORE_STRING_H

#include "core/types.h"

#if __STDC_HOSTED__
#include <string.h>
#else
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);

/*
 * -fno-builtin would make a call of each, also to copy four bytes.  Memory that
 * others change meanwhile is copied with a length that is not known here, or by
 * volatile reads: else it might be read twice.
 */
#define memcpy(dst, src, n)	__builtin_memcpy(dst, src, n)
#define memset(dst, c, n)	__builtin_memset(dst, c, n)
#define memcmp(a, b, n)		__builtin_memcmp(a, b, n)
#endif

/* Copies src with its NUL, cut to size bytes; false if it was cut. */
static inline bool str_copy(char *dst, const char *src, size_t size)
{
	size_t i;

	for (i = 0; i + 1 < size && src[i]; i++)
		dst[i] = src[i];
	if (size)
		dst[i] = 0;
	return !src[i];
}

#endif
