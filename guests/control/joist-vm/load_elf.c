/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load_elf.c -- an ELF kernel: by its PVH note (Xen's "x86/HVM direct boot
 * ABI", ELF32 and ELF64), else by its Multiboot header (Multiboot
 * Specification 0.6.96, ELF32).
 */
#include <elf.h>
#include <string.h>

#include "acpi.h"
#include "load.h"

#define NOTE_PVH_ENTRY		18	/* XEN_ELFNOTE_PHYS32_ENTRY */

#define PVH_MAGIC		0x336ec578u
#define PVH_INFO_LEN		56	/* struct hvm_start_info, version 1 */
#define PVH_MODULE_LEN		32
#define PVH_MAP_LEN		24

#define MB_SEARCH		8192u
#define MB_HEADER_MAGIC		0x1badb002u
#define MB_BOOT_MAGIC		0x2badb002u
#define MB_INFO_LEN		116
#define MB_MAP_LEN		24	/* with its size field */
#define MB_MODULE_LEN		16
#define MB_HDR_ALIGN		BIT(0)
#define MB_HDR_MEMORY		BIT(1)
#define MB_HDR_MUST		0xffffu
#define MB_INFO_MEMORY		BIT(0)
#define MB_INFO_CMDLINE		BIT(2)
#define MB_INFO_MODS		BIT(3)
#define MB_INFO_MAP		BIT(6)
#define MB_INFO_LOADER		BIT(9)

#define SEGMENTS_MAX		32

struct segment {
	u32 type;
	u64 offset, filesz, vaddr, paddr, memsz, align;
};

struct elf {
	bool is64;
	u64 entry;
	unsigned count;
	struct segment seg[SEGMENTS_MAX];
	bool pvh;
	u32 pvh_entry;
};

typedef unsigned long long ull;

/* Is [off, off + len) inside the file? */
static bool in_file(const struct image *im, u64 off, u64 len)
{
	return off <= im->size && len <= im->size - off;
}

static void read_segment(const struct elf *e, const u8 *p, struct segment *s)
{
	if (e->is64) {
		Elf64_Phdr h;

		memcpy(&h, p, sizeof(h));
		*s = (struct segment){ h.p_type, h.p_offset, h.p_filesz,
				       h.p_vaddr, h.p_paddr, h.p_memsz,
				       h.p_align };
	} else {
		Elf32_Phdr h;

		memcpy(&h, p, sizeof(h));
		*s = (struct segment){ h.p_type, h.p_offset, h.p_filesz,
				       h.p_vaddr, h.p_paddr, h.p_memsz,
				       h.p_align };
	}
}

static int read_headers(struct load *l, struct elf *e)
{
	const struct image *im = &l->kernel;
	u64 phoff, phentsize, phnum, want, machine, i;
	Elf64_Ehdr h64;
	Elf32_Ehdr h32;

	if (im->size < sizeof(h32) ||
	    (im->data[EI_CLASS] == ELFCLASS64 && im->size < sizeof(h64)))
		return load_fail(l, "%s: truncated ELF file: %llu bytes",
				 im->name, (ull)im->size);
	e->is64 = im->data[EI_CLASS] == ELFCLASS64;
	if (im->data[EI_DATA] != ELFDATA2LSB)
		return load_fail(l, "%s: not a little-endian ELF file",
				 im->name);
	memcpy(&h32, im->data, sizeof(h32));
	machine = h32.e_machine;
	if (e->is64) {
		memcpy(&h64, im->data, sizeof(h64));
		e->entry = h64.e_entry;
		phoff = h64.e_phoff;
		phentsize = h64.e_phentsize;
		phnum = h64.e_phnum;
		want = sizeof(Elf64_Phdr);
	} else {
		e->entry = h32.e_entry;
		phoff = h32.e_phoff;
		phentsize = h32.e_phentsize;
		phnum = h32.e_phnum;
		want = sizeof(Elf32_Phdr);
	}
	if (machine != EM_386 && machine != EM_X86_64)
		return load_fail(l, "%s: ELF file for another machine (%llu)",
				 im->name, (ull)machine);
	if (!phnum || phentsize < want)
		return load_fail(l, "%s: ELF file without program headers",
				 im->name);
	if (!in_file(im, phoff, phnum * phentsize))
		return load_fail(l, "%s: truncated ELF file: its program "
				 "headers lie behind its end", im->name);
	for (i = 0; i < phnum; i++) {
		struct segment *s = &e->seg[e->count];

		read_segment(e, im->data + phoff + i * phentsize, s);
		if (s->type != PT_LOAD && s->type != PT_NOTE)
			continue;
		if (!in_file(im, s->offset, s->filesz))
			return load_fail(l, "%s: truncated ELF file: segment "
					 "%llu lies behind its end", im->name,
					 (ull)i);
		if (++e->count == SEGMENTS_MAX)
			return load_fail(l, "%s: ELF file with more than %d "
					 "segments", im->name,
					 SEGMENTS_MAX - 1);
	}
	return 0;
}

static void find_note(const struct image *im, const struct segment *s,
		      struct elf *e)
{
	u64 align = s->align == 8 ? 8 : 4, at = 0, name, desc, next;
	const u8 *n = im->data + s->offset;

	while (s->filesz - at >= 12) {
		name = at + 12;
		if (get32(n + at) > s->filesz - name)
			return;
		desc = ALIGN_UP(name + get32(n + at), align);
		if (desc > s->filesz || get32(n + at + 4) > s->filesz - desc)
			return;
		if (get32(n + at) == 4 && !memcmp(n + name, "Xen", 4) &&
		    get32(n + at + 8) == NOTE_PVH_ENTRY &&
		    get32(n + at + 4) >= 4) {
			e->pvh = true;
			e->pvh_entry = get32(n + desc);
			return;
		}
		next = ALIGN_UP(desc + get32(n + at + 4), align);
		if (next > s->filesz)
			return;
		at = next;
	}
}

static int load_segments(struct load *l, struct elf *e)
{
	const struct image *im = &l->kernel;
	const struct segment *s;
	bool any = false;
	u8 *p;

	for (s = e->seg; s < e->seg + e->count; s++) {
		if (s->type != PT_LOAD || !s->memsz)
			continue;
		if (s->filesz > s->memsz)
			return load_fail(l, "%s: bad ELF file: the segment at "
					 "%#llx has more bytes in the file "
					 "than in memory", im->name,
					 (ull)s->paddr);
		if (!load_ptr(l, s->paddr, s->memsz) ||
		    (s->paddr < TABLES_END &&
		     s->paddr + s->memsz > LOW_RAM_END))
			return load_fail(l, "%s: ELF segment at %#llx, "
					 "%#llx bytes: outside the VM's "
					 "memory", im->name, (ull)s->paddr,
					 (ull)s->memsz);
		if (s->paddr < PAGE_SIZE)
			return load_fail(l, "%s: ELF segment at %#llx: the "
					 "first page cannot be loaded",
					 im->name, (ull)s->paddr);
		if (!load_take(l, s->paddr, s->memsz))
			return load_fail(l, "%s: ELF segment at %#llx, "
					 "%#llx bytes: overlaps another",
					 im->name, (ull)s->paddr,
					 (ull)s->memsz);
		any = true;
	}
	if (!any)
		return load_fail(l, "%s: ELF file with nothing to load",
				 im->name);
	/* All of it is right: only now is memory written. */
	for (s = e->seg; s < e->seg + e->count; s++) {
		if (s->type != PT_LOAD || !s->memsz)
			continue;
		p = load_ptr(l, s->paddr, s->memsz);
		memcpy(p, im->data + s->offset, s->filesz);
		memset(p + s->filesz, 0, s->memsz - s->filesz);
	}
	return 0;
}

static int check_entry(struct load *l, const struct elf *e, u64 entry)
{
	const struct segment *s;

	for (s = e->seg; s < e->seg + e->count; s++)
		if (s->type == PT_LOAD && entry >= s->paddr &&
		    entry - s->paddr < s->memsz && entry <= 0xffffffff)
			return 0;
	return load_fail(l, "%s: entry point %#llx is in no segment",
			 l->kernel.name, (ull)entry);
}

/*
 * Multiboot starts a kernel without paging, but its file may give the entry as
 * it is linked: the segment that has it there says where that is loaded.
 */
static u64 physical_entry(const struct elf *e)
{
	const struct segment *s;

	for (s = e->seg; s < e->seg + e->count; s++)
		if (s->type == PT_LOAD && e->entry >= s->vaddr &&
		    e->entry - s->vaddr < s->memsz)
			return e->entry - s->vaddr + s->paddr;
	return e->entry;
}

/* Zeroed room for a table: in low memory, else above the kernel; 0: none. */
static u64 table(struct load *l, u64 len)
{
	u64 at = load_place(l, len, 16, PAGE_SIZE, LOW_RAM_END);

	if (!at)
		at = load_place(l, len, 16, MiB, l->mem.low_size);
	if (at)
		memset(load_ptr(l, at, len), 0, len);
	return at;
}

static u64 string(struct load *l, const char *s)
{
	u64 at = table(l, strlen(s) + 1);

	if (at)
		memcpy(load_ptr(l, at, strlen(s) + 1), s, strlen(s) + 1);
	return at;
}

static int no_room(struct load *l)
{
	return load_fail(l, "%s: no memory left beside the kernel for its "
			 "boot information", l->kernel.name);
}

static int place_module(struct load *l, u64 *at)
{
	*at = 0;
	if (!l->initrd.data || !l->initrd.size)
		return 0;
	*at = load_place(l, l->initrd.size, PAGE_SIZE, MiB, l->mem.low_size);
	if (!*at)
		return load_fail(l, "%s: module of %llu MiB: no room beside "
				 "the kernel in the VM's %llu MiB",
				 l->initrd.name, (ull)(l->initrd.size >> 20),
				 (ull)(l->mem.low_size >> 20));
	memcpy(load_ptr(l, *at, l->initrd.size), l->initrd.data,
	       l->initrd.size);
	return 0;
}

static int boot_pvh(struct load *l, const struct elf *e)
{
	struct load_map map[LOAD_MAP_MAX];
	unsigned i, n = load_map(l, map);
	u64 info, cmdline, maps, mods = 0, module;
	u8 *p;

	if (check_entry(l, e, e->pvh_entry) || place_module(l, &module))
		return -1;
	info = table(l, PVH_INFO_LEN);
	maps = table(l, n * PVH_MAP_LEN);
	cmdline = string(l, l->cmdline);
	if (module)
		mods = table(l, PVH_MODULE_LEN);
	if (!info || !maps || !cmdline || (module && !mods))
		return no_room(l);
	for (i = 0; i < n; i++) {
		p = load_ptr(l, maps + i * PVH_MAP_LEN, PVH_MAP_LEN);
		put64(p, map[i].base);
		put64(p + 8, map[i].len);
		put32(p + 16, map[i].type);
	}
	if (module) {
		p = load_ptr(l, mods, PVH_MODULE_LEN);
		put64(p, module);
		put64(p + 8, l->initrd.size);
	}
	p = load_ptr(l, info, PVH_INFO_LEN);
	put32(p, PVH_MAGIC);
	put32(p + 4, 1);			/* version */
	put32(p + 12, module ? 1 : 0);
	put64(p + 16, mods);
	put64(p + 24, cmdline);
	put64(p + 32, ACPI_BASE);
	put64(p + 40, maps);
	put32(p + 48, n);
	load_enter_flat32(l, e->pvh_entry);
	l->regs.gpr[JOIST_RBX] = info;
	return 0;
}

/* The Multiboot header, 0 if there is none. */
static const u8 *find_multiboot(const struct image *im)
{
	u64 at, end = MIN(im->size, MB_SEARCH);

	for (at = 0; at + 12 <= end; at += 4)
		if (get32(im->data + at) == MB_HEADER_MAGIC &&
		    get32(im->data + at) + get32(im->data + at + 4) +
		    get32(im->data + at + 8) == 0)
			return im->data + at;
	return NULL;
}

static int boot_multiboot(struct load *l, const struct elf *e, const u8 *hdr)
{
	struct load_map map[LOAD_MAP_MAX];
	unsigned i, n = load_map(l, map);
	u64 info, cmdline, maps, mods, module, name, loader;
	u64 entry = physical_entry(e);
	u32 must = get32(hdr + 4) & MB_HDR_MUST;
	u8 *p;

	if (e->is64)
		return load_fail(l, "%s: a Multiboot kernel must be ELF32",
				 l->kernel.name);
	if (must & ~(MB_HDR_ALIGN | MB_HDR_MEMORY))
		return load_fail(l, "%s: its Multiboot header wants what there "
				 "is not (flags %#x)", l->kernel.name, must);
	if (check_entry(l, e, entry) || place_module(l, &module))
		return -1;
	info = table(l, MB_INFO_LEN);
	maps = table(l, n * MB_MAP_LEN);
	mods = table(l, MB_MODULE_LEN);
	cmdline = string(l, l->cmdline);
	name = string(l, module ? l->initrd.name : "");
	loader = string(l, "Joist");
	if (!info || !maps || !mods || !cmdline || !name || !loader)
		return no_room(l);
	for (i = 0; i < n; i++) {
		p = load_ptr(l, maps + i * MB_MAP_LEN, MB_MAP_LEN);
		put32(p, MB_MAP_LEN - 4);
		put64(p + 4, map[i].base);
		put64(p + 12, map[i].len);
		put32(p + 20, map[i].type);
	}
	p = load_ptr(l, mods, MB_MODULE_LEN);
	put32(p, (u32)module);
	put32(p + 4, (u32)(module + l->initrd.size));
	put32(p + 8, (u32)name);
	p = load_ptr(l, info, MB_INFO_LEN);
	put32(p, MB_INFO_MEMORY | MB_INFO_CMDLINE | MB_INFO_MODS |
		 MB_INFO_MAP | MB_INFO_LOADER);
	put32(p + 4, (u32)(LOW_RAM_END / KiB));
	put32(p + 8, (u32)((l->mem.low_size - MiB) / KiB));
	put32(p + 16, (u32)cmdline);
	put32(p + 20, module ? 1 : 0);
	put32(p + 24, (u32)mods);
	put32(p + 44, n * MB_MAP_LEN);
	put32(p + 48, (u32)maps);
	put32(p + 64, (u32)loader);
	load_enter_flat32(l, (u32)entry);
	l->regs.gpr[JOIST_RAX] = MB_BOOT_MAGIC;
	l->regs.gpr[JOIST_RBX] = info;
	return 0;
}

int load_elf(struct load *l)
{
	struct elf e = { 0 };
	const u8 *multiboot;
	unsigned i;

	if (read_headers(l, &e))
		return -1;
	for (i = 0; i < e.count; i++)
		if (e.seg[i].type == PT_NOTE && !e.pvh)
			find_note(&l->kernel, &e.seg[i], &e);
	multiboot = find_multiboot(&l->kernel);
	if (!e.pvh && !multiboot)
		return load_fail(l, "%s: ELF file with neither a PVH note nor "
				 "a Multiboot header", l->kernel.name);
	if (load_segments(l, &e))
		return -1;
	return e.pvh ? boot_pvh(l, &e) : boot_multiboot(l, &e, multiboot);
}
