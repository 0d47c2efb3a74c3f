/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * size.h -- sizes as people write them: 512M, 4G; a bare number is MiB.
 */
#ifndef TOOLS_SIZE_H
#define TOOLS_SIZE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

/* False: not a size. */
static inline bool size_parse(const char *s, u64 *bytes)
{
	static const char units[] = "KMGT";
	const char *unit;
	u64 v, shift = 20;
	char *end;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (*end && (unit = strchr(units, *end & ~0x20))) {
		shift = 10 * (u64)(unit - units + 1);
		end++;
		if (*end == 'B' || *end == 'b')
			end++;
	}
	if (*s < '0' || *s > '9' || *end || errno || v > (~0ull >> shift))
		return false;
	*bytes = v << shift;
	return true;
}

#endif
