/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_patch.h -- a fuzzer's bytes as changes to something well-formed, so
 * that few runs get beyond the first check.
 */
#ifndef FUZZ_PATCH_H
#define FUZZ_PATCH_H

#include <stdlib.h>

#include "core/bytes.h"

/* Ends the run, and so reports the input, unless ok. */
static inline void must(bool ok)
{
	if (!ok)
		abort();
}

/*
 * A heap block of *len bytes: the fuzzer's own if its first byte is odd, else
 * the n bytes at `whole`, cut and changed.  Patches are an offset (2 bytes)
 * and a value (1).
 */
static inline u8 *fuzz_patch(const u8 *data, size_t size, const u8 *whole,
			     size_t n, size_t *len)
{
	bool raw = size && data[0] & 1;
	u8 *copy;

	*len = raw ? size - 1 : n;
	if (!raw && size >= 3 && data[0] & 2)
		*len = load16(data + 1) % (n + 1);
	copy = malloc(*len + 1);
	memcpy(copy, raw ? data + 1 : whole, *len);
	for (data += 3; !raw && *len && size >= 6; size -= 3, data += 3)
		copy[load16(data) % *len] = data[2];
	return copy;
}

#endif
