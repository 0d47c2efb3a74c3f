/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes.h -- little-endian fields at addresses of any alignment, as they
 * stand in boot loader tags, kernel images and firmware tables.
 */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include "core/string.h"
#include "core/types.h"

static inline u16 load16(const void *p)
{
	u16 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline u32 load32(const void *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline u64 load64(const void *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void store32(void *p, u32 v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void store64(void *p, u64 v)
{
	memcpy(p, &v, sizeof(v));
}

#endif
