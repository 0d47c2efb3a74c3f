/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image.c -- recognise a Linux bzImage or an ELF with a PVH entry.
 *
 * Whoever loads the image copies by what is found here and checks nothing
 * again but whether it fits into the control VM's memory.
 */
#include "boot/image.h"
#include "core/bytes.h"
#include "core/errno.h"
#include "core/string.h"

/* No CPU has more physical address bits than 52. */
#define PADDR_LIMIT		BIT(52)

/* Linux, Documentation/x86/boot.rst, "The Real-Mode Kernel Header". */
#define HDR_SETUP_SECTS		0x1f1
#define HDR_SYSSIZE		0x1f4
#define HDR_BOOT_FLAG		0x1fe
#define HDR_JUMP_LEN		0x201
#define HDR_JUMP_END		0x202	/* what HDR_JUMP_LEN counts from */
#define HDR_MAGIC		0x202
#define HDR_VERSION		0x206
#define HDR_LOADFLAGS		0x211
#define HDR_INITRD_MAX		0x22c
#define HDR_ALIGNMENT		0x230
#define HDR_RELOCATABLE		0x234
#define HDR_XLOADFLAGS		0x236
#define HDR_CMDLINE_SIZE	0x238
#define HDR_PAYLOAD_OFFSET	0x248
#define HDR_PAYLOAD_LEN		0x24c
#define HDR_PREF_ADDRESS	0x258
#define HDR_INIT_SIZE		0x260
#define HDR_END_2_12		0x268	/* of the fields of version 2.12 */

#define BOOT_FLAG		0xaa55
#define MAGIC			0x53726448u	/* "HdrS" */
#define VERSION_2_12		0x020c
#define LOADED_HIGH		BIT(0)
#define XLF_KERNEL_64		BIT(0)
#define XLF_ABOVE_4G		BIT(1)
#define SECTOR			512
#define SETUP_SECTS_OLD		4	/* what 0 stands for */

/* System V ABI, "ELF Header" and "Program Header"; note types are Xen's. */
#define ELF_MAGIC		0x464c457fu
#define ELF_CLASS		4
#define ELF_DATA		5
#define ELF_IDENT		16
#define ELFCLASS32		1
#define ELFCLASS64		2
#define ELFDATA2LSB		1
#define ET_EXEC			2
#define ET_DYN			3
#define EM_386			3
#define EM_X86_64		62
#define PT_LOAD			1
#define PT_NOTE			4
#define ELF_PHDRS_MAX		128
#define NOTE_HEADER		12
#define XEN_ELFNOTE_PHYS32_ENTRY	18

struct phdr {
	u32 type;
	u64 offset, filesz;
	u64 paddr, memsz;
	u64 align;
};

/* Where the fields of the two ELF classes are. */
static const struct elf_class {
	u32 ehdr, phdr;			/* sizes */
	u32 phoff, phentsize, phnum;	/* in the ELF header */
	u32 offset, paddr, filesz, memsz, align;	/* in a program header */
	bool wide;			/* addresses and sizes have 64 bits */
} elf32 = {
	52, 32,
	28, 42, 44,
	4, 12, 16, 20, 28,
	false,
}, elf64 = {
	64, 56,
	32, 54, 56,
	8, 24, 32, 40, 48,
	true,
};

static int reject(const char **why, const char *text)
{
	*why = text;
	return -EINVAL;
}

static int linux_probe(const u8 *img, size_t len, struct image *out,
		       const char **why)
{
	struct image_linux *l = &out->linux_image;
	u32 sects, end;

	if (len < HDR_END_2_12)
		return reject(why, "the Linux kernel is truncated in its header");
	l->version = load16(img + HDR_VERSION);
	if (l->version < VERSION_2_12)
		return reject(why,
			      "the Linux kernel's boot protocol is older than 2.12");
	end = HDR_JUMP_END + img[HDR_JUMP_LEN];
	if (end < HDR_END_2_12 || end > LINUX_HEADER + LINUX_HEADER_MAX ||
	    end > len)
		return reject(why, "the Linux kernel's header has an impossible length");
	if (!(load16(img + HDR_XLOADFLAGS) & XLF_KERNEL_64))
		return reject(why, "the Linux kernel is not a 64-bit one");
	if (!(img[HDR_LOADFLAGS] & LOADED_HIGH))
		return reject(why, "the Linux kernel is a zImage, not a bzImage");

	sects = img[HDR_SETUP_SECTS] ? img[HDR_SETUP_SECTS] : SETUP_SECTS_OLD;
	l->header_len = end - LINUX_HEADER;
	l->kernel_offset = (u64)(sects + 1) * SECTOR;
	if (len <= l->kernel_offset + LINUX_ENTRY_64)
		return reject(why, "the Linux kernel is truncated");
	/* A signature may follow; as every loader does, take it along. */
	l->kernel_len = len - l->kernel_offset;
	if (l->kernel_len < 16ull * load32(img + HDR_SYSSIZE))
		return reject(why, "the Linux kernel is truncated");
	l->init_size = load32(img + HDR_INIT_SIZE);
	if (l->init_size < l->kernel_len)
		return reject(why,
			      "the Linux kernel asks for less memory than it has bytes");
	l->pref_address = load64(img + HDR_PREF_ADDRESS);
	if (l->pref_address > PADDR_LIMIT - l->init_size)
		return reject(why, "the Linux kernel's preferred address is impossible");
	l->alignment = load32(img + HDR_ALIGNMENT);
	l->relocatable = img[HDR_RELOCATABLE];
	if (l->relocatable && (l->alignment < PAGE_SIZE ||
			       l->alignment != LOWEST_BIT(l->alignment)))
		return reject(why, "the Linux kernel's alignment is impossible");
	l->payload_offset = load32(img + HDR_PAYLOAD_OFFSET);
	l->payload_len = load32(img + HDR_PAYLOAD_LEN);
	if (l->payload_offset > l->kernel_len ||
	    l->payload_len > l->kernel_len - l->payload_offset)
		return reject(why, "the Linux kernel's payload is outside the file");

	l->above_4g = load16(img + HDR_XLOADFLAGS) & XLF_ABOVE_4G;
	l->initrd_max = load32(img + HDR_INITRD_MAX);
	l->cmdline_size = load32(img + HDR_CMDLINE_SIZE);
	out->kind = IMAGE_LINUX;
	return 0;
}

static u64 elf_word(const struct elf_class *c, const u8 *p)
{
	return c->wide ? load64(p) : load32(p);
}

static struct phdr elf_phdr(const struct elf_class *c, const u8 *p)
{
	return (struct phdr){
		.type   = load32(p),
		.offset = elf_word(c, p + c->offset),
		.paddr  = elf_word(c, p + c->paddr),
		.filesz = elf_word(c, p + c->filesz),
		.memsz  = elf_word(c, p + c->memsz),
		.align  = elf_word(c, p + c->align),
	};
}

static int elf_load(const struct phdr *ph, struct image *out, const char **why)
{
	const struct image_segment *s;

	if (ph->filesz > ph->memsz)
		return reject(why, "an ELF segment has more bytes than memory");
	if (ph->memsz > PADDR_LIMIT || ph->paddr > PADDR_LIMIT - ph->memsz)
		return reject(why, "an ELF segment's address is impossible");
	if (!ph->memsz)
		return 0;
	if (out->segments == IMAGE_SEGMENTS)
		return reject(why, "the ELF file has more than 16 segments");
	for (s = out->segment; s < out->segment + out->segments; s++)
		if (ph->paddr < s->paddr + s->memsz &&
		    s->paddr < ph->paddr + ph->memsz)
			return reject(why, "two ELF segments overlap");
	out->segment[out->segments++] = (struct image_segment){
		ph->offset, ph->filesz, ph->paddr, ph->memsz,
	};
	return 0;
}

/*
 * Looks for the PVH entry in one PT_NOTE segment.  The System V ABI pads
 * names and descriptors to 4 bytes; segments aligned to 8 pad to 8.
 */
static int elf_notes(const u8 *p, u64 left, u64 align, bool *found,
		     struct image *out, const char **why)
{
	u64 desc, end, entry;
	u32 namesz, descsz;

	for (align = align == 8 ? 8 : 4; left >= NOTE_HEADER; ) {
		namesz = load32(p);
		descsz = load32(p + 4);
		desc = ALIGN_UP((u64)NOTE_HEADER + namesz, align);
		end = desc + descsz;
		if (end > left)
			return reject(why, "an ELF note runs past its segment");
		if (!*found && load32(p + 8) == XEN_ELFNOTE_PHYS32_ENTRY &&
		    namesz == 4 && !memcmp(p + NOTE_HEADER, "Xen", 4)) {
			if (descsz != 4 && descsz != 8)
				return reject(why,
					      "the PVH note has an impossible length");
			entry = descsz == 8 ? load64(p + desc) :
					      load32(p + desc);
			if (entry >= 4 * GiB)
				return reject(why, "the PVH entry is above 4 GiB");
			out->entry = entry;
			*found = true;
		}
		/* The last one's padding may be missing. */
		end = MIN(ALIGN_UP(end, align), left);
		p += end;
		left -= end;
	}
	return 0;
}

static int elf_header(const u8 *img, size_t len, const struct elf_class **class,
		      const char **why)
{
	const struct elf_class *c;
	u16 type, machine;

	if (len < elf32.ehdr)
		return reject(why, "the ELF file is truncated in its header");
	if (img[ELF_DATA] != ELFDATA2LSB ||
	    (img[ELF_CLASS] != ELFCLASS32 && img[ELF_CLASS] != ELFCLASS64))
		return reject(why, "the ELF file is not for x86");
	c = img[ELF_CLASS] == ELFCLASS64 ? &elf64 : &elf32;
	if (len < c->ehdr)
		return reject(why, "the ELF file is truncated in its header");
	type = load16(img + ELF_IDENT);
	machine = load16(img + ELF_IDENT + 2);
	if (machine != EM_X86_64 && (machine != EM_386 || c->wide))
		return reject(why, "the ELF file is not for x86");
	if (type != ET_EXEC && type != ET_DYN)
		return reject(why, "the ELF file is not executable");
	*class = c;
	return 0;
}

static int elf_probe(const u8 *img, size_t len, struct image *out,
		     const char **why)
{
	const struct image_segment *s;
	const struct elf_class *c;
	struct phdr ph;
	bool found = false;
	u64 phoff;
	u32 phnum, i;
	int err;

	err = elf_header(img, len, &c, why);
	if (err)
		return err;
	phoff = elf_word(c, img + c->phoff);
	phnum = load16(img + c->phnum);
	if (!phnum)
		return reject(why, "the ELF file has no program headers");
	if (phnum > ELF_PHDRS_MAX)
		return reject(why, "the ELF file has more than 128 program headers");
	if (load16(img + c->phentsize) != c->phdr)
		return reject(why,
			      "the ELF file's program headers have an impossible size");
	if (phoff > len || (u64)phnum * c->phdr > len - phoff)
		return reject(why,
			      "the ELF file is truncated in its program headers");

	for (i = 0; i < phnum; i++) {
		ph = elf_phdr(c, img + phoff + (u64)i * c->phdr);
		if (ph.type != PT_LOAD && ph.type != PT_NOTE)
			continue;
		if (ph.offset > len || ph.filesz > len - ph.offset)
			return reject(why, "an ELF segment is outside the file");
		if (ph.type == PT_LOAD)
			err = elf_load(&ph, out, why);
		else
			err = elf_notes(img + ph.offset, ph.filesz, ph.align,
					&found, out, why);
		if (err)
			return err;
	}

	if (!out->segments)
		return reject(why, "the ELF file has nothing to load");
	if (!found)
		return reject(why, "the ELF file has no PVH entry note");
	for (s = out->segment; s < out->segment + out->segments; s++)
		if (out->entry >= s->paddr && out->entry - s->paddr < s->filesz)
			break;
	if (s == out->segment + out->segments)
		return reject(why, "the PVH entry is outside the ELF file's segments");
	out->kind = IMAGE_PVH;
	return 0;
}

int image_probe(const void *img, size_t len, struct image *out,
		const char **why)
{
	const u8 *p = img;

	memset(out, 0, sizeof(*out));
	if (!len)
		return reject(why, "the kernel image is empty");
	if (len >= ELF_IDENT && load32(p) == ELF_MAGIC)
		return elf_probe(p, len, out, why);
	if (len >= HDR_VERSION && load16(p + HDR_BOOT_FLAG) == BOOT_FLAG &&
	    load32(p + HDR_MAGIC) == MAGIC)
		return linux_probe(p, len, out, why);
	return reject(why,
		      "the kernel image is neither a Linux bzImage nor an ELF file");
}
