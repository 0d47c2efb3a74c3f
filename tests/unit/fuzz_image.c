/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_image.c -- any bytes as a kernel: refused with a reason, or an image
 * whose every part is where it is said to be.
 */
#include "boot/image.c"
#include "tests/unit/fuzz_patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u8 linux_image[1024 + 2048];

/* ELF64 with a note and three segments, as a linker makes it. */
static struct {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
	struct {
		u32 type, flags;
		u64 offset, vaddr, paddr, filesz, memsz, align;
	} ph[4];
	u32 namesz, descsz, note;
	char name[4];
	u64 desc;
	u8 code[256];
} elf_image = {
	{ 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
	ET_EXEC, EM_X86_64, 1, 0, 64, 0, 0, 64, 56, 4, 0, 0, 0,
	{
		{ PT_LOAD, 5, 0x140, 0, 0x100000, 0x80, 0x80, 0x1000 },
		{ PT_LOAD, 6, 0x1c0, 0, 0x101000, 0x40, 0x4000, 0x1000 },
		{ PT_NOTE, 4, 0x120, 0, 0x100000, 24, 24, 4 },
		{ PT_LOAD, 6, 0, 0, 0x200000, 0, 0x1000, 0x1000 },
	},
	4, 8, XEN_ELFNOTE_PHYS32_ENTRY, "Xen", 0x100010, { 0 },
};

static_assert(offsetof(__typeof__(elf_image), namesz) == 0x120, "note");

static void make_linux(u8 *b)
{
	b[HDR_SETUP_SECTS] = 1;
	store32(b + HDR_SYSSIZE, 2048 / 16);
	store32(b + HDR_BOOT_FLAG, BOOT_FLAG | 0x6aeb << 16);
	store32(b + HDR_MAGIC, MAGIC);
	store32(b + HDR_VERSION, 0x20f);
	b[HDR_LOADFLAGS] = LOADED_HIGH;
	store32(b + HDR_ALIGNMENT, 0x200000);
	b[HDR_RELOCATABLE] = 1;
	b[HDR_XLOADFLAGS] = XLF_KERNEL_64 | XLF_ABOVE_4G;
	store32(b + HDR_PAYLOAD_OFFSET, 0x300);
	store32(b + HDR_PAYLOAD_LEN, 0x400);
	store64(b + HDR_PREF_ADDRESS, 0x1000000);
	store32(b + HDR_INIT_SIZE, 0x800000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool elf = size && data[0] & 4;
	const struct image_segment *s, *t;
	const struct image_linux *l;
	static struct image im;
	const char *why = NULL;
	u8 *copy;

	make_linux(linux_image);
	if (elf)
		copy = fuzz_patch(data, size, (const u8 *)&elf_image,
				  sizeof(elf_image), &size);
	else
		copy = fuzz_patch(data, size, linux_image,
				  sizeof(linux_image), &size);
	if (image_probe(copy, size, &im, &why)) {
		must(why);
	} else if (im.kind == IMAGE_LINUX) {
		l = &im.linux_image;
		must(l->kernel_offset + l->kernel_len <= size);
		must(l->kernel_len <= l->init_size);
		must(l->kernel_len > LINUX_ENTRY_64);
		must(l->header_len <= LINUX_HEADER_MAX);
		must(LINUX_HEADER + l->header_len <= size);
		must((u64)l->payload_offset + l->payload_len <= l->kernel_len);
	} else {
		must(im.segments && im.segments <= IMAGE_SEGMENTS);
		for (s = im.segment; s < im.segment + im.segments; s++) {
			must(s->offset <= size && s->filesz <= size - s->offset);
			must(s->memsz && s->filesz <= s->memsz);
			must(s->paddr + s->memsz <= PADDR_LIMIT);
			for (t = im.segment; t < s; t++)
				must(t->paddr + t->memsz <= s->paddr ||
				     s->paddr + s->memsz <= t->paddr);
		}
	}
	free(copy);
	return 0;
}
