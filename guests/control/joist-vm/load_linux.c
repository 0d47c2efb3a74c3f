/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load_linux.c -- a Linux bzImage, by the 64-bit boot protocol of Linux's
 * "The Linux/x86 Boot Protocol".
 */
#include <string.h>

#include "acpi.h"
#include "load.h"

/* Offsets in the setup header, the same in file and boot_params. */
#define HDR_SETUP_SECTS		0x1f1
#define HDR_SYSSIZE		0x1f4
#define HDR_BOOT_FLAG		0x1fe
#define HDR_JUMP		0x200
#define HDR_MAGIC		0x202
#define HDR_VERSION		0x206
#define HDR_LOADER		0x210
#define HDR_LOADFLAGS		0x211
#define HDR_RAMDISK		0x218
#define HDR_RAMDISK_SIZE	0x21c
#define HDR_CMDLINE		0x228
#define HDR_INITRD_MAX		0x22c
#define HDR_ALIGNMENT		0x230
#define HDR_RELOCATABLE		0x234
#define HDR_XLOADFLAGS		0x236
#define HDR_CMDLINE_SIZE	0x238
#define HDR_PREF_ADDRESS	0x258
#define HDR_INIT_SIZE		0x260
#define HDR_MIN_FILE		0x264

/* Offsets in boot_params. */
#define BP_ACPI_RSDP		0x070
#define BP_EXT_RAMDISK		0x0c0
#define BP_EXT_RAMDISK_SIZE	0x0c4
#define BP_EXT_CMDLINE		0x0c8
#define BP_E820_ENTRIES		0x1e8
#define BP_HDR			0x1f1
#define BP_E820			0x2d0
#define BP_SIZE			4096

#define SECTOR			512u
#define VERSION_MIN		0x020c	/* the first with a 64-bit entry */
#define XLF_KERNEL_64		BIT(0)
#define LOADED_HIGH		BIT(0)
#define LOADER_UNKNOWN		0xff
#define ENTRY_64		0x200

#define CR0_PE			BIT(0)
#define CR0_ET			BIT(4)
#define CR0_NE			BIT(5)
#define CR0_PG			BIT(31)
#define CR4_PAE			BIT(5)
#define EFER_LME		BIT(8)
#define EFER_LMA		BIT(10)
#define PTE_P_RW		3ull
#define PDE_PS			BIT(7)
#define SEL_CS			0x10
#define SEL_DS			0x18
#define SEL_TSS			0x20
#define DESC_CODE64		0x00af9b000000ffffull
#define DESC_DATA		0x00cf93000000ffffull
#define ATTR_CODE64		0xa09bu
#define ATTR_DATA		0xc093u
#define ATTR_TSS64		0x008bu
#define ATTR_UNUSABLE		0x10000u

#define PARAGRAPH		16	/* the unit of HDR_SYSSIZE */
#define IDENTITY_GIB		4	/* that much is mapped one to one */

struct kernel {
	const u8 *hdr;		/* the file from its start */
	const u8 *payload;
	u64 payload_size;
	u64 load;		/* where it goes */
	u64 init_size;		/* bytes it needs there */
	u64 params, cmdline;
	u64 initrd;
};

static int check_file(struct load *l, struct kernel *k)
{
	const struct image *im = &l->kernel;
	const u8 *h = im->data;
	u64 setup, need;

	if (im->size < HDR_MIN_FILE)
		return load_fail(l, "%s: truncated bzImage: its header alone "
				 "has %u bytes, the file %llu", im->name,
				 HDR_MIN_FILE, (unsigned long long)im->size);
	if (get16(h + HDR_BOOT_FLAG) != 0xaa55)
		return load_fail(l, "%s: bad bzImage: no boot flag", im->name);
	if (get16(h + HDR_VERSION) < VERSION_MIN ||
	    !(get16(h + HDR_XLOADFLAGS) & XLF_KERNEL_64))
		return load_fail(l, "%s: this Linux has no 64-bit entry point",
				 im->name);
	setup = h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : 4;
	setup = (setup + 1) * SECTOR;
	need = setup + (u64)PARAGRAPH * get32(h + HDR_SYSSIZE);
	/* Counted in paragraphs: the last one need not be whole in the file. */
	if (need > im->size && need - im->size < PARAGRAPH)
		need = im->size;
	if (need > im->size)
		return load_fail(l, "%s: truncated bzImage: %llu bytes wanted, "
				 "the file has %llu", im->name,
				 (unsigned long long)need,
				 (unsigned long long)im->size);
	if (need <= setup)
		return load_fail(l, "%s: bad bzImage: no kernel in it",
				 im->name);
	if (strlen(l->cmdline) > get32(h + HDR_CMDLINE_SIZE))
		return load_fail(l, "command line of %zu bytes: this kernel "
				 "takes %u", strlen(l->cmdline),
				 get32(h + HDR_CMDLINE_SIZE));
	k->hdr = h;
	k->payload = h + setup;
	k->payload_size = need - setup;
	return 0;
}

static int place_kernel(struct load *l, struct kernel *k)
{
	const u8 *h = k->hdr;
	u64 pref = get64(h + HDR_PREF_ADDRESS);
	u64 align = get32(h + HDR_ALIGNMENT);

	k->init_size = MAX(get32(h + HDR_INIT_SIZE), k->payload_size);
	k->load = pref;
	/* Below 4 GiB: the entry's page tables reach no further. */
	if (pref >= MiB && pref < MEM_HIGH_BASE &&
	    load_ptr(l, pref, k->init_size) &&
	    load_take(l, pref, k->init_size))
		return 0;
	if (h[HDR_RELOCATABLE] && align && !(align & (align - 1)))
		k->load = load_place(l, k->init_size, align, MiB,
				     l->mem.low_size);
	else
		k->load = 0;
	if (!k->load)
		return load_fail(l, "%s: the kernel needs %llu MiB of memory "
				 "at %#llx, the VM has %llu MiB",
				 l->kernel.name,
				 (unsigned long long)(k->init_size >> 20),
				 (unsigned long long)pref,
				 (unsigned long long)(l->mem.low_size >> 20));
	return 0;
}

static int place_initrd(struct load *l, struct kernel *k)
{
	u64 max = get32(k->hdr + HDR_INITRD_MAX) + 1ull;

	if (!l->initrd.data || !l->initrd.size)
		return 0;
	k->initrd = load_place_top(l, l->initrd.size, PAGE_SIZE, MiB, max);
	if (!k->initrd)
		return load_fail(l, "%s: initrd of %llu MiB: no room beside "
				 "the kernel in the VM's %llu MiB",
				 l->initrd.name,
				 (unsigned long long)(l->initrd.size >> 20),
				 (unsigned long long)(l->mem.low_size >> 20));
	memcpy(load_ptr(l, k->initrd, l->initrd.size), l->initrd.data,
	       l->initrd.size);
	return 0;
}

static int fill_params(struct load *l, struct kernel *k)
{
	size_t len = strlen(l->cmdline) + 1;
	struct load_map map[LOAD_MAP_MAX];
	unsigned i, n = load_map(l, map), hdr_end;
	u8 *bp;

	k->params = load_place(l, BP_SIZE, PAGE_SIZE, PAGE_SIZE, LOW_RAM_END);
	k->cmdline = load_place(l, len, 16, PAGE_SIZE, LOW_RAM_END);
	if (!k->params || !k->cmdline)
		return load_fail(l, "command line of %zu bytes: too long", len);
	memcpy(load_ptr(l, k->cmdline, len), l->cmdline, len);
	bp = load_ptr(l, k->params, BP_SIZE);
	memset(bp, 0, BP_SIZE);
	/* The header says itself how long it is: by its jump over it. */
	hdr_end = MIN(HDR_MAGIC + k->hdr[HDR_JUMP + 1], BP_E820);
	memcpy(bp + BP_HDR, k->hdr + BP_HDR,
	       MIN(hdr_end, l->kernel.size) - BP_HDR);
	bp[HDR_LOADER] = LOADER_UNKNOWN;
	bp[HDR_LOADFLAGS] |= LOADED_HIGH;
	put32(bp + HDR_CMDLINE, (u32)k->cmdline);
	put32(bp + HDR_RAMDISK, (u32)k->initrd);
	put32(bp + HDR_RAMDISK_SIZE, k->initrd ? (u32)l->initrd.size : 0);
	put64(bp + BP_ACPI_RSDP, ACPI_BASE);
	for (i = 0; i < n; i++) {
		u8 *e = bp + BP_E820 + 20 * i;

		put64(e, map[i].base);
		put64(e + 8, map[i].len);
		put32(e + 16, map[i].type);
	}
	bp[BP_E820_ENTRIES] = (u8)n;
	return 0;
}

/* Identity page tables of 2 MiB pages, and the GDT the protocol asks for. */
static int enter(struct load *l, struct kernel *k)
{
	struct joist_regs *r = &l->regs;
	u64 tables, gdt, i;
	u8 *t, *g;

	tables = load_place(l, (2 + IDENTITY_GIB) * PAGE_SIZE, PAGE_SIZE,
			    PAGE_SIZE, LOW_RAM_END);
	gdt = load_place(l, 6 * 8, 16, PAGE_SIZE, LOW_RAM_END);
	if (!tables || !gdt)
		return load_fail(l, "no room for page tables in low memory");
	t = load_ptr(l, tables, (2 + IDENTITY_GIB) * PAGE_SIZE);
	memset(t, 0, 2 * PAGE_SIZE);
	put64(t, (tables + PAGE_SIZE) | PTE_P_RW);
	for (i = 0; i < IDENTITY_GIB; i++)
		put64(t + PAGE_SIZE + 8 * i,
		      (tables + (2 + i) * PAGE_SIZE) | PTE_P_RW);
	for (i = 0; i < IDENTITY_GIB * 512; i++)
		put64(t + 2 * PAGE_SIZE + 8 * i, i << 21 | PTE_P_RW | PDE_PS);

	g = load_ptr(l, gdt, 6 * 8);
	memset(g, 0, 6 * 8);
	put64(g + SEL_CS, DESC_CODE64);
	put64(g + SEL_DS, DESC_DATA);

	memset(r->gpr, 0, sizeof(r->gpr));
	r->gpr[JOIST_RSI] = k->params;
	r->rip = k->load + ENTRY_64;
	r->rflags = 2;
	for (i = 0; i < JOIST_SEGS; i++)
		r->seg[i] = (struct joist_segment){
			.limit = 0xffffffff, .selector = SEL_DS,
			.attr = ATTR_DATA,
		};
	r->seg[JOIST_CS].selector = SEL_CS;
	r->seg[JOIST_CS].attr = ATTR_CODE64;
	r->seg[JOIST_TR] = (struct joist_segment){
		.limit = 0x67, .selector = SEL_TSS, .attr = ATTR_TSS64,
	};
	r->seg[JOIST_LDTR] = (struct joist_segment){ .attr = ATTR_UNUSABLE };
	r->gdtr = (struct joist_segment){ .base = gdt, .limit = 6 * 8 - 1 };
	r->idtr = (struct joist_segment){ 0 };
	r->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
	r->cr3 = tables;
	r->cr4 = CR4_PAE;
	r->msr[JOIST_MSR_EFER] = EFER_LME | EFER_LMA;
	return 0;
}

int load_linux(struct load *l)
{
	struct kernel k = { 0 };

	if (check_file(l, &k) || place_kernel(l, &k))
		return -1;
	memcpy(load_ptr(l, k.load, k.payload_size), k.payload, k.payload_size);
	if (place_initrd(l, &k) || fill_params(l, &k))
		return -1;
	return enter(l, &k);
}
