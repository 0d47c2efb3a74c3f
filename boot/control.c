/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.c -- starts the control VM: a Linux bzImage by its 64-bit boot
 * protocol, or an ELF by its PVH entry.
 *
 * What the kernel needs to start lies in one area of the control VM's own
 * memory, below 4 GiB, reserved in its memory map.  The other cores wait for
 * ACPI's multiprocessor wakeup mailbox: no INIT or SIPI has to be emulated, and
 * the local APIC is the control VM's without an exit.
 */
#include "arch/x86/exit.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "boot/control.h"
#include "boot/image.h"
#include "boot/memory.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"
#include "drivers/acpi.h"

#define CMDLINE_MAX	MB2_STRING
#define KERNEL_MIN	(1 * MiB)
#define INITRD_ALIGN	4

/* Linux, "The Linux/x86 Boot Protocol": struct boot_params. */
#define BP_SCREEN_INFO		0x000
#define BP_RSDP			0x070
#define BP_EXT_RAMDISK_IMAGE	0x0c0
#define BP_EXT_RAMDISK_SIZE	0x0c4
#define BP_E820_ENTRIES		0x1e8
#define BP_VID_MODE		0x1fa
#define BP_LOADER		0x210
#define BP_RAMDISK_IMAGE	0x218
#define BP_RAMDISK_SIZE		0x21c
#define BP_CMDLINE		0x228
#define BP_E820			0x2d0
#define BP_E820_MAX		128
#define BP_SETUP_DATA		0x250
#define SETUP_E820_EXT		1
#define LOADER_UNDEFINED	0xff
#define VIDEO_TEXT		1
#define VIDEO_VLFB		0x23
#define VIDEO_EFI		0x70

struct e820_entry {
	u64 base, len;
	u32 type;
} __packed;

/* struct setup_data, with what boot_params has no room for. */
struct e820_more {
	u64 next;
	u32 type, len;
	struct e820_entry entry[MEM_RANGES - BP_E820_MAX];
} __packed;

/* Xen, "PVH direct boot": struct hvm_start_info and what hangs on it. */
#define PVH_MAGIC	0x336ec578u

struct pvh_start {
	u32 magic, version, flags, module_count;
	u64 modules, cmdline, rsdp, memmap;
	u32 memmap_count, reserved;
};

struct pvh_module {
	u64 addr, size, cmdline, reserved;
};

struct pvh_memmap {
	u64 addr, size;
	u32 type, reserved;
};

/* ACPI, "Multiprocessor Wakeup Structure": the mailbox. */
struct mailbox {
	u16 command;
	u16 reserved;
	u32 apic_id;
	u64 vector;
	u8 os[2032], firmware[2048];
};
#define MAILBOX_WAKEUP	1

/* Everything that the kernel is pointed to. */
struct control_area {
	struct mailbox mailbox;
	u64 pml4[512];			/* identity map of 4 GiB, for entries in */
	u64 pdpt[512];			/* 64-bit mode */
	u64 pd[4 * 512];
	u64 gdt[4];
	u8 pad[PAGE_SIZE - 32];
	u8 boot_params[PAGE_SIZE];
	char cmdline[CMDLINE_MAX];
	char pad2[PAGE_SIZE - CMDLINE_MAX % PAGE_SIZE];
	struct pvh_start pvh;
	struct pvh_module pvh_initrd;
	struct pvh_memmap pvh_map[MEM_RANGES];
	struct e820_more e820_more;
	u8 acpi[64 * KiB] __aligned(64);
};

/* Descriptors: Linux wants code at 10h and data at 18h. */
#define SEL_BOOT_CODE	0x10
#define SEL_BOOT_DATA	0x18

static u64 area_pa __ro_after_init;
static struct control_area *area __ro_after_init;
static struct image image;
static u64 entry __ro_after_init;
static u64 initrd, initrd_len;
/* The boot modules that are one initrd together, in the boot loader's order. */
static struct boot_module *initrds[MB2_MODULES];
static u32 initrd_count;

static void *at(u64 pa)
{
	return hpa_ptr(HPA(pa));
}

/* A module's role is the first word of its command line; NULL: another one. */
static const char *role_args(const struct boot_module *m, const char *role)
{
	const char *c = m->cmdline;
	size_t len = strlen(role);

	if (strncmp(c, role, len) || (c[len] && c[len] != ' '))
		return NULL;
	for (c += len; *c == ' '; c++)
		;
	return c;
}

static struct boot_module *find_modules(struct boot_info *bi, const char **args)
{
	struct boot_module *control = NULL, *m;
	const char *c;

	initrd_count = 0;
	for (m = bi->module; m < bi->module + bi->module_count; m++) {
		c = role_args(m, "control");
		if (c && !control) {
			control = m;
			*args = c;
		} else if (role_args(m, "initrd")) {
			initrds[initrd_count++] = m;
		} else {
			log_warn("boot module %u is not used: '%s' %s",
				 (u32)(m - bi->module), m->cmdline,
				 c ? "is a second control kernel" :
				 "begins with neither 'control' nor 'initrd'");
		}
	}
	return control;
}

static void area_init(void)
{
	u64 size = ALIGN_UP(sizeof(*area), PAGE_SIZE);
	unsigned i;

	area_pa = control_take(size, PAGE_SIZE, MiB, 4 * GiB);
	if (!area_pa)
		refuse("the control VM's memory has no room for boot data below 4 GiB");
	area = at(area_pa);
	memset(area, 0, size);
	area->pml4[0] = (area_pa + offsetof(struct control_area, pdpt)) | PTE_P | PTE_W;
	for (i = 0; i < 4; i++)
		area->pdpt[i] = (area_pa + offsetof(struct control_area, pd) + i * PAGE_SIZE) | PTE_P | PTE_W;
	for (i = 0; i < 4 * 512; i++)
		area->pd[i] = i * PAGE_SIZE_2M | PTE_P | PTE_W | PTE_PS;
	area->gdt[SEL_BOOT_CODE / 8] = 0x00af9b000000ffff;
	area->gdt[SEL_BOOT_DATA / 8] = 0x00cf93000000ffff;
}

static void load_linux(const struct boot_module *m, const void *file)
{
	const struct image_linux *l = &image.linux_image;
	u64 align = l->alignment, load = 0;

	if (!l->relocatable || IS_ALIGNED(l->pref_address, align))
		load = control_take(l->init_size, l->relocatable ? align : PAGE_SIZE,
				    MAX(l->pref_address, KERNEL_MIN),
				    l->relocatable ? 4 * GiB : l->pref_address + l->init_size);
	/* The tables it starts with map 4 GiB. */
	if (!load && l->relocatable)
		load = control_take(l->init_size, align, KERNEL_MIN, 4 * GiB);
	if (!load)
		refuse("the control kernel needs %lu MiB in one piece below 4 GiB; control_mem= is too small",
		       (u64)l->init_size / MiB);
	memcpy(at(load), (const char *)file + l->kernel_offset, l->kernel_len);
	memset(at(load + l->kernel_len), 0, l->init_size - l->kernel_len);
	entry = load + LINUX_ENTRY_64;
	memcpy(area->boot_params + LINUX_HEADER, (const char *)file + LINUX_HEADER,
	       l->header_len);
	if (strlen(area->cmdline) > l->cmdline_size)
		refuse("the control kernel's command line is longer than the %u characters it takes",
		       l->cmdline_size);
}

/* A module that lies where a segment must go gives way. */
static void make_way(struct boot_module *m, u64 base, u64 end)
{
	u64 len = m->end - m->start, to;

	if (m->start >= end || m->end <= base)
		return;
	to = control_take(len, PAGE_SIZE, end, ~0ull);
	if (!to)
		refuse("a boot module (%lu MiB) lies where the control image must go, and there is no other room",
		       len / MiB);
	memcpy(at(to), at(m->start), len);
	control_release(m->start);
	m->start = to;
	m->end = to + len;
}

static void load_pvh(struct boot_module *m)
{
	u64 base = ~0ull, end = 0;
	const void *file;
	u32 i;

	for (i = 0; i < image.segments; i++) {
		base = MIN(base, image.segment[i].paddr);
		end = MAX(end, image.segment[i].paddr + image.segment[i].memsz);
	}
	make_way(m, base, end);
	for (i = 0; i < initrd_count; i++)
		make_way(initrds[i], base, end);
	file = at(m->start);
	entry = image.entry;
	for (i = 0; i < image.segments; i++) {
		const struct image_segment *s = &image.segment[i];

		if (control_take(s->memsz, 1, s->paddr, s->paddr + s->memsz) != s->paddr)
			refuse("a segment of the control image at %lx, %lu KiB, is not in free memory",
			       s->paddr, s->memsz / KiB);
		memcpy(at(s->paddr), (const char *)file + s->offset, s->filesz);
		memset(at(s->paddr + s->filesz), 0, s->memsz - s->filesz);
	}
}

/*
 * One initrd stays where GRUB put it if that is the control VM's memory.  Linux
 * looks for an archive after another at multiples of 4, with zeros before it.
 */
static void load_initrd(void)
{
	const struct image_linux *l = &image.linux_image;
	const struct boot_module *m;
	u64 max = ~0ull, len = 0, start;
	u32 i;

	if (image.kind == IMAGE_LINUX && !l->above_4g)
		max = (u64)l->initrd_max + 1;
	for (i = 0; i < initrd_count; i++)
		len = ALIGN_UP(len, INITRD_ALIGN) + initrds[i]->end - initrds[i]->start;
	initrd_len = len;
	if (!len)
		return;
	m = initrds[0];
	initrd = m->start;
	if (initrd_count == 1 && control_owns(m->start, m->end) && m->end <= max)
		return;
	initrd = control_take(len, PAGE_SIZE, KERNEL_MIN, max);
	if (!initrd)
		refuse("no room for the initrd (%lu MiB) in the control VM's memory; see control_mem=",
		       len / MiB);
	for (i = 0, len = 0; i < initrd_count; i++) {
		m = initrds[i];
		start = ALIGN_UP(len, INITRD_ALIGN);
		memset(at(initrd + len), 0, start - len);
		memcpy(at(initrd + start), at(m->start), m->end - m->start);
		len = start + m->end - m->start;
	}
}

void control_load(struct boot_info *bi)
{
	const char *args = "", *why;
	struct boot_module *m = find_modules(bi, &args);

	if (!m)
		refuse("there is no control kernel: no boot module's command line starts with 'control'");
	if (image_probe(at(m->start), m->end - m->start, &image, &why))
		refuse("the control kernel cannot be used: %s", why);
	/* An ELF's segments have places of their own: they go first. */
	if (image.kind != IMAGE_LINUX)
		load_pvh(m);
	area_init();
	str_copy(area->cmdline, args, sizeof(area->cmdline));
	if (image.kind == IMAGE_LINUX)
		load_linux(m, at(m->start));
	load_initrd();
}

static u64 rsdp_pa;

void control_acpi(const struct acpi_info *acpi, const struct acpi_reader *r)
{
	/* What describes the IOMMU is Joist's. */
	static const char *const hidden[] = { "DMAR", "IVRS" };
	u32 ids[MAX_CPUS], i;
	struct acpi_control c = {
		.apic_id = ids,
		.cpus = cpu_count,
		.hidden = hidden,
		.hidden_count = ARRAY_SIZE(hidden),
		.mailbox_pa = area_pa,
	};
	const char *why;

	for (i = 0; i < cpu_count; i++)
		ids[i] = cpus[i]->apic_id;
	if (acpi_rebuild(acpi, r, &c, area->acpi, sizeof(area->acpi),
			 area_pa + offsetof(struct control_area, acpi), &rsdp_pa, &why))
		refuse("the ACPI tables cannot be handed on: %s", why);
}

static void reserve(void *ctx, u64 base, u64 end)
{
	struct mem_map *map = ctx;

	if (mem_map_add(map, base, end - base, MEM_RESERVED))
		refuse("the memory map has too many pieces");
}

/* Firmware's map, but RAM that is not the control VM's is reserved. */
static void control_map(const struct boot_info *bi, struct mem_map *map)
{
	u32 i;

	*map = bi->mem;
	for (i = 0; i < bi->mem.count; i++) {
		const struct mem_range *r = &bi->mem.range[i];

		if (r->type == MEM_RAM)
			control_gaps(r->base, r->base + r->len, reserve, map);
	}
	reserve(map, area_pa, area_pa + ALIGN_UP(sizeof(*area), PAGE_SIZE));
}

static void put16(u8 *p, u32 v)
{
	memcpy(p, &v, 2);
}

static void put32(u8 *p, u64 v)
{
	memcpy(p, &v, 4);
}

/* struct screen_info: offsets in Linux's include/uapi/linux/screen_info.h. */
static void fill_screen(u8 *si, const struct boot_info *bi)
{
	const struct screen_mode *m = &bi->screen;

	if (!bi->has_screen)
		return;
	if (m->type == SCREEN_TEXT) {
		si[0x06] = 3;			/* BIOS mode: 80x25 text */
		si[0x07] = (u8)m->width;
		si[0x0e] = (u8)m->height;
		si[0x0f] = VIDEO_TEXT;
		put16(si + 0x10, 16);		/* character height */
		si[0x01] = (u8)(m->height - 1);	/* cursor on the last line */
		return;
	}
	if (m->type != SCREEN_RGB)
		return;
	si[0x0f] = bi->efi ? VIDEO_EFI : VIDEO_VLFB;
	put16(si + 0x12, m->width);
	put16(si + 0x14, m->height);
	put16(si + 0x16, m->bpp);
	put32(si + 0x18, m->addr);
	put32(si + 0x1c, bi->efi ? screen_bytes(m) : ALIGN_UP(screen_bytes(m), 65536) / 65536);
	put16(si + 0x24, m->pitch);
	si[0x26] = m->red.size;
	si[0x27] = m->red.pos;
	si[0x28] = m->green.size;
	si[0x29] = m->green.pos;
	si[0x2a] = m->blue.size;
	si[0x2b] = m->blue.pos;
	put16(si + 0x32, 1);			/* pages */
	put32(si + 0x36, m->addr >> 32 ? 2 : 0);	/* 64-bit base */
	put32(si + 0x3a, m->addr >> 32);
}

static void fill_boot_params(const struct boot_info *bi, const struct mem_map *map)
{
	u8 *bp = area->boot_params;
	struct e820_entry *e = (struct e820_entry *)(bp + BP_E820);
	u64 cmdline = area_pa + offsetof(struct control_area, cmdline);
	u64 more_pa = area_pa + offsetof(struct control_area, e820_more);
	u32 i, n = MIN(map->count, (u32)BP_E820_MAX);

	for (i = 0; i < map->count; i++) {
		if (i == BP_E820_MAX)
			e = area->e820_more.entry;
		*e++ = (struct e820_entry){ map->range[i].base, map->range[i].len,
					    map->range[i].type };
	}
	bp[BP_E820_ENTRIES] = (u8)n;
	if (n < map->count) {
		area->e820_more.type = SETUP_E820_EXT;
		area->e820_more.len = (map->count - n) * sizeof(*e);
		memcpy(bp + BP_SETUP_DATA, &more_pa, 8);
	}
	fill_screen(bp + BP_SCREEN_INFO, bi);
	memcpy(bp + BP_RSDP, &rsdp_pa, 8);
	put16(bp + BP_VID_MODE, 0xffff);
	bp[BP_LOADER] = LOADER_UNDEFINED;
	put32(bp + BP_CMDLINE, cmdline);
	put32(bp + BP_RAMDISK_IMAGE, initrd);
	put32(bp + BP_RAMDISK_SIZE, initrd_len);
	put32(bp + BP_EXT_RAMDISK_IMAGE, initrd >> 32);
	put32(bp + BP_EXT_RAMDISK_SIZE, initrd_len >> 32);
}

static void fill_pvh(const struct mem_map *map)
{
	u32 i;

	for (i = 0; i < map->count; i++)
		area->pvh_map[i] = (struct pvh_memmap){ map->range[i].base, map->range[i].len,
							map->range[i].type, 0 };
	area->pvh_initrd = (struct pvh_module){ .addr = initrd, .size = initrd_len };
	area->pvh = (struct pvh_start){
		.magic = PVH_MAGIC,
		.version = 1,
		.module_count = initrd_len ? 1 : 0,
		.modules = area_pa + offsetof(struct control_area, pvh_initrd),
		.cmdline = area_pa + offsetof(struct control_area, cmdline),
		.rsdp = rsdp_pa,
		.memmap = area_pa + offsetof(struct control_area, pvh_map),
		.memmap_count = map->count,
	};
}

void control_finish(const struct boot_info *bi)
{
	static struct mem_map map;

	control_map(bi, &map);
	if (image.kind == IMAGE_LINUX)
		fill_boot_params(bi, &map);
	else
		fill_pvh(&map);
}

static void set_segments(struct vcpu *v, bool long_mode)
{
	const struct joist_segment code = {
		.limit = ~0u, .selector = SEL_BOOT_CODE, .attr = long_mode ? 0xa09b : 0xc09b };
	const struct joist_segment data = {
		.limit = ~0u, .selector = SEL_BOOT_DATA, .attr = 0xc093 };
	const struct joist_segment tss = { .limit = 0x67, .attr = 0x8b };
	enum joist_seg s;

	for (s = JOIST_ES; s <= JOIST_GS; s++)
		backend->seg_set(v, s, s == JOIST_CS ? &code : &data);
	backend->seg_set(v, JOIST_TR, &tss);
	backend->reg_set(v, VREG_GDTR_BASE, area_pa + offsetof(struct control_area, gdt));
	backend->reg_set(v, VREG_GDTR_LIMIT, sizeof(area->gdt) - 1);
}

static void set_long_mode(struct vcpu *v, u64 rip)
{
	set_segments(v, true);
	backend->reg_set(v, VREG_CR3, area_pa + offsetof(struct control_area, pml4));
	backend->reg_set(v, VREG_CR4, CR4_PAE);
	/*
	 * With NX where there is one: in Linux 6.12 a core that the mailbox woke
	 * loads page tables that have it at once.
	 */
	backend->reg_set(v, VREG_EFER, EFER_LME | EFER_LMA |
			 (guest_features.efer & EFER_NXE));
	backend->reg_set(v, VREG_CR0, CR0_PE | CR0_ET | CR0_NE | CR0_PG);
	v->rip = rip;
}

void control_set_entry(struct vcpu *v)
{
	v->activity = JOIST_VCPU_IDLE;
	if (image.kind == IMAGE_LINUX) {
		set_long_mode(v, entry);
		v->gpr[JOIST_RSI] = area_pa + offsetof(struct control_area, boot_params);
		return;
	}
	set_segments(v, false);
	backend->reg_set(v, VREG_CR0, CR0_PE | CR0_ET);
	v->rip = entry;
	v->gpr[JOIST_RBX] = area_pa + offsetof(struct control_area, pvh);
}

void control_wait_wakeup(struct vcpu *v, u32 apic_id)
{
	volatile struct mailbox *m = &area->mailbox;
	u64 vector;

	for (;; cpu_rest()) {
		cpu_watch(m);
		if (m->command != MAILBOX_WAKEUP || m->apic_id != apic_id)
			continue;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		vector = m->vector;
		/* Seen: the OS may wake the next. */
		m->command = 0;
		break;
	}
	v->activity = JOIST_VCPU_IDLE;
	/* Meant for a core that ran: it has no IDT yet. */
	v->nmi_pending = false;
	set_long_mode(v, vector);
}
