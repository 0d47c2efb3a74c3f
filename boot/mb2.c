/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mb2.c -- Multiboot2 boot information to struct boot_info.
 *
 * The tag list is input like any other: no byte is read before the size of
 * its tag says that it is there.  See "Boot information format" in the
 * Multiboot2 specification.
 */
#include "boot/mb2.h"
#include "core/bytes.h"
#include "core/errno.h"
#include "core/string.h"

#define TAG_END			0
#define TAG_CMDLINE		1
#define TAG_MODULE		3
#define TAG_MEMORY_MAP		6
#define TAG_FRAMEBUFFER		8
#define TAG_EFI32		11
#define TAG_EFI64		12
#define TAG_RSDP_OLD		14
#define TAG_RSDP_NEW		15
#define TAG_LOAD_BASE		21

#define INFO_HEADER		8	/* total size, reserved */
#define TAG_HEADER		8	/* type, size */
#define TAG_ALIGN		8

#define RSDP_LEN_OLD		20
#define RSDP_LEN_NEW		36

/* No CPU has more physical address bits than 52. */
#define MEM_LIMIT		BIT(52)

/* A tag; size includes the header, as the specification counts offsets. */
struct tag {
	const u8 *p;
	u32 size;
};

static int reject(int err, const char **why, const char *text)
{
	*why = text;
	return err;
}

/* How much a type forbids. */
static u32 mem_rank(u32 type)
{
	switch (type) {
	case MEM_RAM:
		return 0;
	case MEM_ACPI:
		return 1;
	case MEM_NVS:
		return 2;
	case MEM_BAD:
		return 4;
	default:
		return 3;
	}
}

static int mem_insert(struct mem_map *map, u32 at, u64 base, u64 end, u32 type)
{
	if (map->count == MEM_RANGES)
		return -ENOSPC;
	memmove(&map->range[at + 1], &map->range[at],
		(map->count - at) * sizeof(map->range[0]));
	map->range[at] = (struct mem_range){ base, end - base, type };
	map->count++;
	return 0;
}

/* Cuts range number i in two at address `at`, which lies inside it. */
static int mem_cut(struct mem_map *map, u32 i, u64 at)
{
	struct mem_range *r = &map->range[i];
	int err;

	err = mem_insert(map, i + 1, at, r->base + r->len, r->type);
	if (!err)
		r->len = at - r->base;
	return err;
}

static void mem_join(struct mem_map *map)
{
	struct mem_range *to = map->range, *from;

	for (from = to + 1; from < map->range + map->count; from++) {
		if (from->type == to->type && to->base + to->len == from->base)
			to->len += from->len;
		else
			*++to = *from;
	}
	if (map->count)
		map->count = to - map->range + 1;
}

int mem_map_add(struct mem_map *map, u64 base, u64 len, u32 type)
{
	struct mem_range *r;
	u64 end;
	u32 i = 0;
	int err = 0;

	if (type < MEM_RAM || type > MEM_BAD)
		type = MEM_RESERVED;
	if (!len || base >= MEM_LIMIT)
		return 0;
	if (len > MEM_LIMIT - base) {
		len = MEM_LIMIT - base;
		/* Its end is nonsense; so may be the rest. */
		if (type == MEM_RAM)
			type = MEM_RESERVED;
	}

	for (end = base + len; !err && base < end; ) {
		while (i < map->count &&
		       map->range[i].base + map->range[i].len <= base)
			i++;
		r = &map->range[i];
		if (i == map->count || r->base >= end) {
			err = mem_insert(map, i, base, end, type);
			break;
		}
		if (r->base > base) {
			err = mem_insert(map, i, base, r->base, type);
			base = map->range[i].base + map->range[i].len;
			continue;
		}
		/* The new range begins in r: who forbids more? */
		if (mem_rank(type) > mem_rank(r->type)) {
			if (r->base < base) {
				err = mem_cut(map, i, base);
				continue;
			}
			if (r->base + r->len > end)
				err = mem_cut(map, i, end);
			if (!err)
				r->type = type;
		}
		base = r->base + r->len;
	}
	mem_join(map);
	return err;
}

u64 mem_map_clip(struct mem_map *map, u64 limit)
{
	u64 clipped = 0;
	u32 i;

	for (i = 0; i < map->count; i++) {
		struct mem_range *r = &map->range[i];

		if (r->type != MEM_RAM || r->base + r->len <= limit)
			continue;
		/* No room to cut: rather lose what is below, too. */
		if (r->base < limit && !mem_cut(map, i, limit))
			continue;
		clipped += r->len;
		r->type = MEM_RESERVED;
	}
	mem_join(map);
	return clipped;
}

bool mem_map_is_ram(const struct mem_map *map, u64 base, u64 end)
{
	u32 i;

	for (i = 0; i < map->count; i++) {
		const struct mem_range *r = &map->range[i];

		if (r->type == MEM_RAM && base >= r->base && end <= r->base + r->len)
			return true;
	}
	return false;
}

bool mem_map_not_bad(const struct mem_map *map, u64 base, u64 end)
{
	u32 i;

	for (i = 0; i < map->count; i++) {
		const struct mem_range *r = &map->range[i];

		if (r->type == MEM_BAD && base < r->base + r->len && r->base < end)
			return false;
	}
	return true;
}

/* The string that fills the tag from offset `at` on. */
static int tag_string(const struct tag *t, u32 at, char *dst, const char **why)
{
	u32 n;

	for (n = 0; n < t->size - at; n++) {
		if (n == MB2_STRING)
			return reject(-E2BIG, why,
				      "a command line has more than 2047 characters");
		dst[n] = t->p[at + n];
		if (!dst[n])
			return 0;
	}
	return reject(-EINVAL, why,
		      "a command line does not end within its Multiboot2 tag");
}

static int tag_cmdline(const struct tag *t, struct boot_info *bi,
		       const char **why)
{
	return tag_string(t, 8, bi->cmdline, why);
}

static int tag_module(const struct tag *t, struct boot_info *bi,
		      const char **why)
{
	struct boot_module *m = &bi->module[bi->module_count];

	if (bi->module_count == MB2_MODULES)
		return reject(-E2BIG, why, "there are more than 8 boot modules");
	m->start = load32(t->p + 8);
	m->end = load32(t->p + 12);
	if (m->end < m->start)
		return reject(-EINVAL, why,
			      "a boot module ends before it begins");
	bi->module_count++;
	return tag_string(t, 16, m->cmdline, why);
}

static int tag_memory_map(const struct tag *t, struct boot_info *bi,
			  const char **why)
{
	u32 step = load32(t->p + 8);
	u32 at;

	/* Entries may grow, in steps of 8, at their end. */
	if (step < 24 || step % 8)
		return reject(-EINVAL, why,
			      "the memory map has entries of an impossible size");
	if ((t->size - 16) % step)
		return reject(-EINVAL, why,
			      "the memory map ends in the middle of an entry");
	for (at = 16; at < t->size; at += step) {
		const u8 *e = t->p + at;

		if (mem_map_add(&bi->mem, load64(e), load64(e + 8), load32(e + 16)) ||
		    bi->mem.count > MEM_FIRMWARE)
			return reject(-E2BIG, why,
				      "the memory map has more than 512 ranges");
	}
	return 0;
}

static bool field_fits(struct screen_field f, u8 bpp)
{
	return f.pos <= bpp && f.size <= bpp - f.pos;
}

/* A screen that cannot be right is no reason not to boot: there is none then. */
static int tag_framebuffer(const struct tag *t, struct boot_info *bi,
			   const char **why)
{
	struct screen_mode *m = &bi->screen;
	u64 line;

	(void)why;
	m->addr = load64(t->p + 8);
	m->pitch = load32(t->p + 16);
	m->width = load32(t->p + 20);
	m->height = load32(t->p + 24);
	m->bpp = t->p[28];
	m->type = t->p[29];
	/* Bits of a pixel in planes, as in the VGA's 16-colour modes: the pitch is
	 * one plane's, and nobody here draws on that. */
	if (m->bpp && m->bpp < 8 && m->type != SCREEN_TEXT)
		return 0;
	line = (u64)m->width * ((m->bpp + 7) / 8);
	if (!m->width || !m->height || !m->bpp || line > m->pitch ||
	    m->addr >= MEM_LIMIT || screen_bytes(m) > MEM_LIMIT - m->addr)
		return 0;
	if (m->type == SCREEN_RGB) {
		/* Behind bpp, type and two reserved bytes: the colour fields */
		if (t->size < 38)
			return 0;
		m->red = (struct screen_field){ t->p[32], t->p[33] };
		m->green = (struct screen_field){ t->p[34], t->p[35] };
		m->blue = (struct screen_field){ t->p[36], t->p[37] };
		if (!field_fits(m->red, m->bpp) ||
		    !field_fits(m->green, m->bpp) ||
		    !field_fits(m->blue, m->bpp))
			return 0;
	}
	bi->has_screen = true;
	return 0;
}

static int tag_rsdp(const struct tag *t, struct boot_info *bi,
		    const char **why)
{
	u32 len = t->size - TAG_HEADER;

	if (len > MB2_RSDP)
		return reject(-E2BIG, why, "the RSDP has more than 64 bytes");
	/* The old tag adds nothing to the new one, whichever comes first. */
	if (bi->rsdp_len >= RSDP_LEN_NEW && load32(t->p) == TAG_RSDP_OLD)
		return 0;
	memcpy(bi->rsdp, t->p + TAG_HEADER, len);
	bi->rsdp_len = len;
	return 0;
}

static int tag_efi(const struct tag *t, struct boot_info *bi,
		   const char **why)
{
	(void)t;
	(void)why;
	bi->efi = true;
	return 0;
}

static int tag_load_base(const struct tag *t, struct boot_info *bi,
			 const char **why)
{
	(void)why;
	bi->load_base = load32(t->p + 8);
	bi->has_load_base = true;
	return 0;
}

/* What is read; size is the least that the tag must have. */
static const struct tag_row {
	u32 type, size;
	int (*parse)(const struct tag *t, struct boot_info *bi,
		     const char **why);
	const char *too_short;
} rows[] = {
	{ TAG_CMDLINE,     9,  tag_cmdline,     "the command line tag is empty" },
	{ TAG_MODULE,      17, tag_module,      "a boot module tag is too short" },
	{ TAG_MEMORY_MAP,  16, tag_memory_map,  "the memory map tag is too short" },
	{ TAG_FRAMEBUFFER, 32, tag_framebuffer, "the framebuffer tag is too short" },
	{ TAG_EFI32,       12, tag_efi,         "the EFI tag is too short" },
	{ TAG_EFI64,       16, tag_efi,         "the EFI tag is too short" },
	{ TAG_RSDP_OLD,    TAG_HEADER + RSDP_LEN_OLD, tag_rsdp, "the RSDP tag is too short" },
	{ TAG_RSDP_NEW,    TAG_HEADER + RSDP_LEN_NEW, tag_rsdp, "the RSDP tag is too short" },
	{ TAG_LOAD_BASE,   12, tag_load_base,   "the load address tag is too short" },
};

static int tag_parse(const struct tag *t, struct boot_info *bi,
		     const char **why)
{
	const struct tag_row *row;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		if (row->type != load32(t->p))
			continue;
		if (t->size < row->size)
			return reject(-EINVAL, why, row->too_short);
		return row->parse(t, bi, why);
	}
	return 0;
}

int mb2_parse(u32 magic, const void *mbi, size_t mapped, struct boot_info *bi,
	      const char **why)
{
	const u8 *p = mbi;
	u32 total, left;
	struct tag t;
	int err;

	memset(bi, 0, sizeof(*bi));
	if (magic != MB2_MAGIC)
		return reject(-EINVAL, why, "not started by a Multiboot2 boot loader");
	if (mapped < INFO_HEADER)
		return reject(-EINVAL, why, "the boot information is truncated");
	total = load32(p);
	if (total < INFO_HEADER + TAG_HEADER || total > mapped)
		return reject(-EINVAL, why,
			      "the boot information has an impossible size");

	for (p += INFO_HEADER, left = total - INFO_HEADER; ; ) {
		if (left < TAG_HEADER)
			return reject(-EINVAL, why,
				      "the boot information has no end tag");
		t = (struct tag){ p, load32(p + 4) };
		if (t.size < TAG_HEADER || t.size > left)
			return reject(-EINVAL, why,
				      "a Multiboot2 tag has an impossible size");
		if (load32(p) == TAG_END)
			break;
		err = tag_parse(&t, bi, why);
		if (err)
			return err;
		/* The last tag's padding need not be there. */
		t.size = MIN(ALIGN_UP(t.size, TAG_ALIGN), (u64)left);
		p += t.size;
		left -= t.size;
	}
	if (!bi->mem.count)
		return reject(-EINVAL, why, "the boot loader gave no memory map");
	return 0;
}
