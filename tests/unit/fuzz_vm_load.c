/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vm_load.c -- kernel files of any content against joist-vm's loaders.
 *
 * Guest memory is a heap block of its exact size, so a write outside is seen,
 * and so is the file.  The first byte chooses magic numbers to put in, so that
 * what stands behind them is reached.
 */
#include <stdlib.h>

#include "guests/control/joist-vm/load.c"
#undef CR0_PE
#undef CR0_ET
#undef ATTR_UNUSABLE
#include "guests/control/joist-vm/load_linux.c"
#include "guests/control/joist-vm/load_elf.c"

#define LOW	(4 * MiB)
#define HIGH	(64 * KiB)

static void put_magic(u8 *file, size_t size, unsigned kind)
{
	if (kind >= 3 && size >= HDR_MIN_FILE) {
		memcpy(file + HDR_MAGIC, "HdrS", 4);
		put16(file + HDR_BOOT_FLAG, 0xaa55);
		put16(file + HDR_VERSION, 0x20f);
		file[HDR_XLOADFLAGS] |= XLF_KERNEL_64;
		file[HDR_SETUP_SECTS] = 1;
		put16(file + HDR_SYSSIZE + 2, 0);
	} else if (size >= sizeof(Elf64_Ehdr)) {
		memcpy(file, "\177ELF", 4);
		file[EI_CLASS] = kind == 1 ? ELFCLASS64 : ELFCLASS32;
		file[EI_DATA] = ELFDATA2LSB;
		put16(file + offsetof(Elf64_Ehdr, e_machine), EM_X86_64);
		if (kind == 1) {
			put64(file + offsetof(Elf64_Ehdr, e_phoff), 64);
			put16(file + offsetof(Elf64_Ehdr, e_phentsize), 56);
		} else {
			put32(file + offsetof(Elf32_Ehdr, e_phoff), 52);
			put16(file + offsetof(Elf32_Ehdr, e_phentsize), 32);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const u8 module[100];
	static struct load l;
	u8 *file;

	if (!size)
		return 0;
	if (!l.mem.low) {
		l.mem.low = malloc(LOW);
		l.mem.high = malloc(HIGH);
		l.mem.low_size = LOW;
		l.mem.high_size = HIGH;
	}
	file = malloc(size);
	memcpy(file, data + 1, size - 1);
	file[size - 1] = 0;
	if (data[0] % 8)
		put_magic(file, size, data[0] % 8);
	l.kernel = (struct image){ "kernel", file, size };
	l.initrd = (struct image){ "initrd", module, sizeof(module) };
	l.cmdline = "console=ttyS0";
	if (!load_guest(&l) && l.regs.rip > MEM_HIGH_BASE)
		abort();
	free(file);
	return 0;
}
