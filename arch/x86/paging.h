/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * paging.h -- the hypervisor's own address space.
 *
 *	0xffff800000000000	RAM, at its host-physical address; RW, no execute
 *	0xffffff0000000000	windows: devices, firmware tables, stacks
 *	0xffffffff80000000	the image: text RX, constants R, data RW
 *
 * The image's frames and unmapped guard pages are left out of the RAM map.
 */
#ifndef ARCH_X86_PAGING_H
#define ARCH_X86_PAGING_H

#include "core/types.h"

#ifndef DIRECT_BASE		/* tests put the RAM map where a process may */
#define DIRECT_BASE	0xffff800000000000ull
#endif
#define DIRECT_MAX	BIT(46)		/* it maps so much */
#define WINDOW_BASE	0xffffff0000000000ull
#define IMAGE_BASE	0xffffffff80000000ull

#define PTE_P		BIT(0)
#define PTE_W		BIT(1)
#define PTE_U		BIT(2)
#define PTE_PWT		BIT(3)
#define PTE_PCD		BIT(4)
#define PTE_A		BIT(5)
#define PTE_D		BIT(6)
#define PTE_PS		BIT(7)
#define PTE_G		BIT(8)
#define PTE_KEY		BITS(62, 59)
#define PTE_NX		BIT(63)
#define PTE_ADDR	BITS(51, 12)

static inline void *hpa_ptr(hpa_t pa)
{
	return (void *)(DIRECT_BASE + pa.v);
}

static inline hpa_t ptr_hpa(const void *p)
{
	return HPA((u64)p - DIRECT_BASE);
}

/* Host-physical address of something in the image. */
hpa_t image_hpa(const void *p);

/* Boot: where the image lies. Before paging_init() RAM below 4 GiB is mapped
 * at its physical address only. */
void paging_early(u64 image_base);
struct boot_info;
/* Builds the final tables with pages from early_alloc and switches to them. */
void paging_init(const struct boot_info *bi);
/* Once everything marked __ro_after_init is written. */
void paging_seal(void);
u64 paging_root(void);


/* Maps a physical range into the window area; NULL when out of tables.  Boot
 * time only; never unmapped. */
void *map_window(u64 pa, u64 len, u64 prot);
#define MAP_DEVICE	(PTE_P | PTE_W | PTE_NX | PTE_PCD | PTE_PWT)
#define MAP_RAM		(PTE_P | PTE_W | PTE_NX)
#define MAP_RO		(PTE_P | PTE_NX)
/* A stack with an unmapped page below it; returns its top. */
void *map_stack(u64 size);
/* Identity mapping for the trampoline page, executable; and gone again. */
void map_trampoline(u64 pa);
void unmap_trampoline(u64 pa);

/* Clears memory past the caches; len is a multiple of 256. */
void page_clear(void *p, u64 len);

#endif
