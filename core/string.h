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
