/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mb2.h -- what the boot loader said, copied out of its Multiboot2 tags.
 */
#ifndef BOOT_MB2_H
#define BOOT_MB2_H

#include "core/types.h"
#include "drivers/screen.h"

#define MB2_MAGIC	0x36d76289u	/* in EAX at entry */
#define MB2_STRING	2048		/* bytes of a command line, with its NUL */
#define MB2_MODULES	8
#define MB2_RSDP	64
#define MEM_FIRMWARE	512	/* ranges that firmware may give */
#define MEM_RANGES	1024	/* with those that Joist's own borders add */

/* As BIOS function e820 and Multiboot2 number them; others become RESERVED. */
enum mem_type {
	MEM_RAM		= 1,
	MEM_RESERVED	= 2,
	MEM_ACPI	= 3,
	MEM_NVS		= 4,
	MEM_BAD		= 5,
};

struct mem_range {
	u64 base, len;
	u32 type;			/* enum mem_type */
};

/* Sorted by base, disjoint, no range empty, below 2^52; neighbours of one
 * type that touch are one range. */
struct mem_map {
	u32 count;
	struct mem_range range[MEM_RANGES];
};

struct boot_module {
	u64 start, end;			/* HPA, end excluded */
	char cmdline[MB2_STRING];
};

/* Plain data; nothing in it points into the tag list. */
struct boot_info {
	char cmdline[MB2_STRING];	/* empty if there is none */
	struct mem_map mem;
	u32 module_count;
	struct boot_module module[MB2_MODULES];
	u32 rsdp_len;			/* 0: the boot loader gave no RSDP */
	u8 rsdp[MB2_RSDP];
	bool has_screen;
	struct screen_mode screen;
	bool has_load_base;
	u32 load_base;			/* where the image was put */
	bool efi;			/* booted by UEFI */
};

/*
 * magic and mbi as GRUB left them in EAX and EBX; mapped is how many bytes
 * may be read at mbi.  On failure *why says what is wrong and bi is void.
 */
int mb2_parse(u32 magic, const void *mbi, size_t mapped, struct boot_info *bi,
	      const char **why);

/*
 * Adds [base, base + len).  Where it overlaps what is there, the type that
 * allows less stays.  -ENOSPC: too many ranges.
 */
int mem_map_add(struct mem_map *map, u64 base, u64 len, u32 type);
/* RAM from `limit` on becomes RESERVED; how many bytes that was. */
u64 mem_map_clip(struct mem_map *map, u64 limit);
/* All of [base, end) is RAM, in one piece; nothing in it is bad memory. */
bool mem_map_is_ram(const struct mem_map *map, u64 base, u64 end);
bool mem_map_not_bad(const struct mem_map *map, u64 base, u64 end);

#endif
