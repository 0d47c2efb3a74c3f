/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * types.h -- fixed-width integers, addresses that cannot be mixed, bit masks.
 *
 * Compiles freestanding and, for the unit tests, hosted.
 */
#ifndef CORE_TYPES_H
#define CORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int32_t s32;
typedef int64_t s64;

/* Host-physical, guest-physical and guest-virtual addresses. */
typedef struct { u64 v; } hpa_t;
typedef struct { u64 v; } gpa_t;
typedef struct { u64 v; } gva_t;

#define HPA(x)		((hpa_t){ (x) })
#define GPA(x)		((gpa_t){ (x) })
#define GVA(x)		((gva_t){ (x) })

#define static_assert	_Static_assert

#define BIT(n)		(1ul << (n))
#define BITS(hi, lo)	((~0ul >> (63 - (hi))) & ~(BIT(lo) - 1))
#define LOWEST_BIT(m)	((m) & -(m))

/* Value of the field that mask selects, and back: mask is a BITS() constant. */
#define field_get(mask, val)	(((u64)(val) & (mask)) / LOWEST_BIT(mask))
#define field_put(mask, val)	(((u64)(val) * LOWEST_BIT(mask)) & (mask))

#define PAGE_SHIFT	12
#define PAGE_SIZE	4096ul
#define PAGE_SIZE_2M	(512 * PAGE_SIZE)
#define PAGE_SIZE_1G	(512 * PAGE_SIZE_2M)
#define KiB		1024ul
#define MiB		(1024 * KiB)
#define GiB		(1024 * MiB)

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	((a) < (b) ? (a) : (b))
#define MAX(a, b)	((a) > (b) ? (a) : (b))
/* a is a power of two. */
#define ALIGN_DOWN(x, a)	((x) & ~((u64)(a) - 1))
#define ALIGN_UP(x, a)		ALIGN_DOWN((x) + (u64)(a) - 1, a)
#define IS_ALIGNED(x, a)	(((x) & ((u64)(a) - 1)) == 0)

/*
 * An index from outside, which was checked: 0 if it is not below count, also where
 * the CPU has mispredicted the check and speculates.
 */
static inline u64 index_mask(u64 index, u64 count)
{
	u64 mask;

	__asm__ volatile("cmp %2, %1\n\tsbb %0, %0" : "=r"(mask) : "r"(index), "r"(count) : "cc");
	return index & mask;
}

#define __packed	__attribute__((packed))
#define __aligned(n)	__attribute__((aligned(n)))
#define __noreturn	__attribute__((noreturn))
/* What is seldom needed, kept out of a function that is often. */
#define __noinline	__attribute__((noinline))
/* Written during boot, read-only once the control VM runs (paging_seal). */
#define __ro_after_init	__attribute__((section(".ro_after_init")))
#define __printf(f, a)	__attribute__((format(printf, f, a)))
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#endif
