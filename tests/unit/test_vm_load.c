/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_load.c -- the kernel loaders of joist-vm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guests/control/joist-vm/load.c"
#undef CR0_PE
#undef CR0_ET
#undef ATTR_UNUSABLE
#include "guests/control/joist-vm/load_linux.c"
#include "guests/control/joist-vm/load_elf.c"

#define LOW	(64 * MiB)

static struct load l;
static u8 *file;
static u64 file_size;

static int setup(void **state)
{
	(void)state;
	memset(&l, 0, sizeof(l));
	l.mem.low = calloc(1, LOW);
	l.mem.low_size = LOW;
	l.mem.high = calloc(1, MiB);
	l.mem.high_size = MiB;
	l.cmdline = "console=ttyS0";
	l.kernel.name = "kernel";
	l.initrd.name = "initrd";
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(l.mem.low);
	free(l.mem.high);
	free(file);
	file = NULL;
	return 0;
}

static void new_file(u64 size)
{
	free(file);
	file = calloc(1, size);
	file_size = size;
}

/* A heap block of just that size: reading behind it is caught. */
static int load(u64 size)
{
	u8 *copy = malloc(size ? size : 1);
	int err;

	memcpy(copy, file, MIN(size, file_size));
	l.kernel.data = copy;
	l.kernel.size = size;
	err = load_guest(&l);
	free(copy);
	return err;
}

static void refused(const char *why)
{
	assert_int_equal(load(file_size), -1);
	if (!strstr(l.error, why))
		fail_msg("said '%s', not '%s'", l.error, why);
	assert_null(strchr(l.error, '\n'));
}

/* ---- bzImage ---- */

static void make_bzimage(void)
{
	unsigned i;

	new_file(5 * 512 + 64 * 16);
	file[HDR_SETUP_SECTS] = 4;
	put32(file + HDR_SYSSIZE, 64);
	put16(file + HDR_BOOT_FLAG, 0xaa55);
	file[HDR_JUMP] = 0xeb;
	file[HDR_JUMP + 1] = 0x66;
	memcpy(file + HDR_MAGIC, "HdrS", 4);
	put16(file + HDR_VERSION, 0x20f);
	put32(file + HDR_INITRD_MAX, 0x7fffffff);
	put32(file + HDR_ALIGNMENT, 0x200000);
	file[HDR_RELOCATABLE] = 1;
	put16(file + HDR_XLOADFLAGS, XLF_KERNEL_64);
	put32(file + HDR_CMDLINE_SIZE, 2047);
	put64(file + HDR_PREF_ADDRESS, 16 * MiB);
	put32(file + HDR_INIT_SIZE, 8 * MiB);
	for (i = 0; i < 64 * 16; i++)
		file[5 * 512 + i] = (u8)i;
}

static void test_bzimage(void **state)
{
	u8 initrd[5000];
	const u8 *bp, *pml4;
	u64 rd;

	(void)state;
	make_bzimage();
	memset(initrd, 0x77, sizeof(initrd));
	l.initrd.data = initrd;
	l.initrd.size = sizeof(initrd);
	assert_int_equal(load(file_size), 0);
	assert_memory_equal(l.mem.low + 16 * MiB, file + 5 * 512, 64 * 16);
	assert_int_equal(l.regs.rip, 16 * MiB + 0x200);
	bp = l.mem.low + l.regs.gpr[JOIST_RSI];
	assert_memory_equal(bp + HDR_MAGIC, "HdrS", 4);
	assert_string_equal((char *)l.mem.low + get32(bp + HDR_CMDLINE),
			    "console=ttyS0");
	rd = get32(bp + HDR_RAMDISK);
	assert_int_equal(get32(bp + HDR_RAMDISK_SIZE), sizeof(initrd));
	assert_memory_equal(l.mem.low + rd, initrd, sizeof(initrd));
	assert_int_equal(bp[BP_E820_ENTRIES], 5);
	assert_int_equal(get64(bp + BP_E820 + 3 * 20), MiB);
	assert_int_equal(get64(bp + BP_E820 + 3 * 20 + 8), LOW - MiB);
	assert_int_equal(get64(bp + BP_E820 + 4 * 20), 4 * GiB);
	assert_int_equal(get64(bp + BP_ACPI_RSDP), ACPI_BASE);
	/* The identity map: 2 MiB page 8 of the first GiB. */
	pml4 = l.mem.low + l.regs.cr3;
	pml4 = l.mem.low + (get64(pml4) & ~0xfffull);
	pml4 = l.mem.low + (get64(pml4) & ~0xfffull);
	assert_int_equal(get64(pml4 + 8 * 8), 16 * MiB | 0x83);
	assert_int_equal(get64(l.mem.low + l.regs.gdtr.base + SEL_CS),
			 DESC_CODE64);
}

static void test_bzimage_relocated(void **state)
{
	(void)state;
	make_bzimage();
	put64(file + HDR_PREF_ADDRESS, 60 * MiB);
	assert_int_equal(load(file_size), 0);
	assert_int_equal(l.regs.rip, 2 * MiB + 0x200);
	file[HDR_RELOCATABLE] = 0;
	refused("needs 8 MiB");
}

static void test_bzimage_truncated(void **state)
{
	u64 size;

	(void)state;
	make_bzimage();
	for (size = 0; size <= file_size - PARAGRAPH; size++) {
		assert_int_equal(load(size), -1);
		if (size > HDR_MIN_FILE)
			assert_non_null(strstr(l.error, "truncated bzImage"));
	}
	/* Its size is in paragraphs, and its end need not be on one. */
	for (; size < file_size; size++) {
		memset(l.mem.low + 16 * MiB, 0, 64 * 16);
		assert_int_equal(load(size), 0);
		assert_memory_equal(l.mem.low + 16 * MiB, file + 5 * 512,
				    size - 5 * 512);
	}
}

static void test_bzimage_bad(void **state)
{
	static char line[3000];

	(void)state;
	make_bzimage();
	put16(file + HDR_VERSION, 0x20b);
	refused("64-bit");
	make_bzimage();
	put16(file + HDR_XLOADFLAGS, 0);
	refused("64-bit");
	make_bzimage();
	put16(file + HDR_BOOT_FLAG, 0);
	refused("boot flag");
	make_bzimage();
	put32(file + HDR_INIT_SIZE, 0xffffffff);
	refused("needs 4095 MiB");
	make_bzimage();
	put32(file + HDR_SYSSIZE, 0xffffffff);
	refused("truncated");
	make_bzimage();
	put64(file + HDR_PREF_ADDRESS, ~0ull);
	put32(file + HDR_ALIGNMENT, 3);
	refused("needs 8 MiB");
	make_bzimage();
	memset(line, 'x', sizeof(line) - 1);
	l.cmdline = line;
	refused("2047");
}

static void test_initrd_too_large(void **state)
{
	u8 *big = calloc(1, 50 * MiB);

	(void)state;
	make_bzimage();
	l.initrd.data = big;
	l.initrd.size = 50 * MiB;
	refused("initrd of 50 MiB");
	free(big);
}

/* ---- ELF ---- */

#define NOTE_AT		0x200
#define CODE_AT		0x300

static Elf32_Phdr *ph32(unsigned i)
{
	return (Elf32_Phdr *)(file + sizeof(Elf32_Ehdr)) + i;
}

static void make_elf32(u32 paddr)
{
	Elf32_Ehdr *h;

	new_file(0x400);
	h = (Elf32_Ehdr *)file;
	memcpy(h->e_ident, "\177ELF\1\1\1", 7);
	h->e_machine = EM_386;
	h->e_entry = paddr + 0x20;
	h->e_phoff = sizeof(*h);
	h->e_phentsize = sizeof(Elf32_Phdr);
	h->e_phnum = 2;
	*ph32(0) = (Elf32_Phdr){ .p_type = PT_LOAD, .p_offset = CODE_AT,
				 .p_filesz = 0x100, .p_vaddr = paddr,
				 .p_paddr = paddr,
				 .p_memsz = 0x3000 };
	memset(file + CODE_AT, 0x90, 0x100);
}

static void add_multiboot(u32 flags)
{
	put32(file + CODE_AT, MB_HEADER_MAGIC);
	put32(file + CODE_AT + 4, flags);
	put32(file + CODE_AT + 8, (u32)-(MB_HEADER_MAGIC + flags));
}

static void add_note(u32 entry)
{
	*ph32(1) = (Elf32_Phdr){ .p_type = PT_NOTE, .p_offset = NOTE_AT,
				 .p_filesz = 40, .p_align = 4 };
	put32(file + NOTE_AT, 4);
	put32(file + NOTE_AT + 4, 4);
	put32(file + NOTE_AT + 8, 7);		/* another of Xen's */
	memcpy(file + NOTE_AT + 12, "Xen", 4);
	put32(file + NOTE_AT + 20, 4);
	put32(file + NOTE_AT + 24, 4);
	put32(file + NOTE_AT + 28, NOTE_PVH_ENTRY);
	memcpy(file + NOTE_AT + 32, "Xen", 4);
	put32(file + NOTE_AT + 36, entry);
	ph32(1)->p_filesz = 40;
}

static void test_multiboot(void **state)
{
	u8 module[100];
	const u8 *info, *mod;

	(void)state;
	memset(module, 0x55, sizeof(module));
	l.initrd.data = module;
	l.initrd.size = sizeof(module);
	make_elf32(MiB);
	add_multiboot(3);
	memset(l.mem.low + MiB, 0xcc, 0x4000);
	assert_int_equal(load(file_size), 0);
	assert_int_equal(l.regs.rip, MiB + 0x20);
	assert_int_equal(l.regs.gpr[JOIST_RAX], MB_BOOT_MAGIC);
	assert_int_equal(l.mem.low[MiB + 0x20], 0x90);
	assert_int_equal(l.mem.low[MiB + 0x100], 0);		/* bss */
	assert_int_equal(l.mem.low[MiB + 0x2fff], 0);
	info = l.mem.low + l.regs.gpr[JOIST_RBX];
	assert_int_equal(get32(info + 4), 639);
	assert_int_equal(get32(info + 8), (LOW - MiB) / KiB);
	assert_string_equal((char *)l.mem.low + get32(info + 16), "console=ttyS0");
	assert_int_equal(get32(info + 20), 1);
	mod = l.mem.low + get32(info + 24);
	assert_int_equal(get32(mod) % PAGE_SIZE, 0);
	assert_int_equal(get32(mod + 4) - get32(mod), sizeof(module));
	assert_memory_equal(l.mem.low + get32(mod), module, sizeof(module));
	assert_true(get32(mod) >= MiB + 0x3000);
	assert_int_equal(get32(info + 44), 5 * MB_MAP_LEN);
	assert_int_equal(l.regs.cr0, 0x11);
}

/* Linked to run elsewhere than it is loaded. */
static void test_multiboot_entry(void **state)
{
	(void)state;
	make_elf32(MiB);
	add_multiboot(0);
	ph32(0)->p_vaddr = 0xc0100000;
	((Elf32_Ehdr *)file)->e_entry = 0xc0100030;
	assert_int_equal(load(file_size), 0);
	assert_int_equal(l.regs.rip, MiB + 0x30);
	/* Some give the physical address in spite of that. */
	((Elf32_Ehdr *)file)->e_entry = MiB + 0x30;
	assert_int_equal(load(file_size), 0);
	assert_int_equal(l.regs.rip, MiB + 0x30);
	((Elf32_Ehdr *)file)->e_entry = 0xc0103000;
	refused("entry point 0xc0103000 is in no segment");
	/* What another segment is linked for counts as little as a note. */
	((Elf32_Ehdr *)file)->e_entry = 0xc0100030;
	ph32(0)->p_type = PT_NOTE;
	*ph32(1) = *ph32(0);
	ph32(1)->p_type = PT_LOAD;
	ph32(1)->p_vaddr = 0xd0000000;
	refused("entry point 0xc0100030 is in no segment");
}

static void test_multiboot_wishes(void **state)
{
	(void)state;
	make_elf32(MiB);
	add_multiboot(4);			/* video mode */
	refused("wants what there is not");
	make_elf32(MiB);
	add_multiboot(0);
	put32(file + CODE_AT + 8, 0);		/* bad checksum: no header */
	refused("neither a PVH note nor");
}

static void test_pvh(void **state)
{
	const u8 *info, *map;

	(void)state;
	make_elf32(2 * MiB);
	add_note(2 * MiB + 0x40);
	add_multiboot(0);			/* PVH goes first */
	assert_int_equal(load(file_size), 0);
	assert_int_equal(l.regs.rip, 2 * MiB + 0x40);
	info = l.mem.low + l.regs.gpr[JOIST_RBX];
	assert_int_equal(get32(info), PVH_MAGIC);
	assert_int_equal(get32(info + 12), 0);
	assert_string_equal((char *)l.mem.low + get64(info + 24), "console=ttyS0");
	assert_int_equal(get64(info + 32), ACPI_BASE);
	map = l.mem.low + get64(info + 40);
	assert_int_equal(get32(info + 48), 5);
	assert_int_equal(get64(map + 3 * PVH_MAP_LEN), MiB);
}

static void test_elf64(void **state)
{
	Elf64_Ehdr *h;
	Elf64_Phdr *p;

	(void)state;
	make_elf32(2 * MiB);
	memset(file, 0, NOTE_AT);
	add_note(2 * MiB);
	h = (Elf64_Ehdr *)file;
	memset(file, 0, NOTE_AT);
	memcpy(h->e_ident, "\177ELF\2\1\1", 7);
	h->e_machine = EM_X86_64;
	h->e_entry = 0xffffffff81000000ull;
	h->e_phoff = sizeof(*h);
	h->e_phentsize = sizeof(*p);
	h->e_phnum = 2;
	p = (Elf64_Phdr *)(h + 1);
	p[0] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTE_AT,
			     .p_filesz = 40, .p_align = 4 };
	p[1] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = CODE_AT,
			     .p_filesz = 0x100, .p_memsz = 0x100,
			     .p_paddr = 2 * MiB };
	assert_int_equal(load(file_size), 0);
	assert_int_equal(l.regs.rip, 2 * MiB);
	p[1].p_paddr = 4 * GiB + MiB - 0x80;
	refused("outside the VM's memory");
	p[1].p_paddr = ~0ull - 4;
	refused("outside the VM's memory");
	p[1].p_paddr = 2 * MiB;
	p[1].p_memsz = ~0ull;
	refused("outside the VM's memory");
	p[1].p_memsz = 0x100;
	p[1].p_offset = ~0ull - 8;
	refused("truncated ELF");
}

static void test_elf_bad(void **state)
{
	(void)state;
	make_elf32(LOW);
	add_multiboot(0);
	refused("outside the VM's memory");
	make_elf32(LOW - 0x1000);
	add_multiboot(0);
	refused("outside the VM's memory");
	make_elf32(0x9e000);			/* into the BIOS data area */
	add_multiboot(0);
	refused("outside the VM's memory");
	make_elf32(0xeffff);			/* over our tables */
	add_multiboot(0);
	refused("outside the VM's memory");
	make_elf32(0xff000);			/* headers before 1 MiB */
	add_multiboot(0);
	assert_int_equal(load(file_size), 0);
	make_elf32(0);
	add_multiboot(0);
	refused("first page");
	make_elf32(MiB);
	add_multiboot(0);
	ph32(0)->p_filesz = 0x4000;
	refused("truncated ELF");
	make_elf32(MiB);
	add_multiboot(0);
	ph32(0)->p_memsz = 0x80;
	refused("more bytes in the file than in memory");
	make_elf32(MiB);
	add_multiboot(0);
	*ph32(1) = *ph32(0);
	ph32(1)->p_paddr += 0x2000;
	refused("overlaps another");
	make_elf32(MiB);
	add_multiboot(0);
	((Elf32_Ehdr *)file)->e_entry = 0x4000000;
	refused("entry point 0x4000000 is in no segment");
	make_elf32(MiB);
	add_note(0x100);
	refused("entry point 0x100 is in no segment");
	make_elf32(MiB);
	add_multiboot(0);
	((Elf32_Ehdr *)file)->e_machine = EM_ARM;
	refused("another machine");
	make_elf32(MiB);
	((Elf32_Ehdr *)file)->e_phnum = 0xffff;
	refused("truncated ELF");
	make_elf32(MiB);
	((Elf32_Ehdr *)file)->e_phnum = 0;
	refused("without program headers");
	make_elf32(MiB);
	add_multiboot(0);
	ph32(0)->p_type = PT_NULL;
	refused("nothing to load");
}

static void test_elf_truncated(void **state)
{
	u64 size;

	(void)state;
	make_elf32(2 * MiB);
	add_note(2 * MiB + 0x40);
	for (size = 0; size < file_size; size++)
		assert_int_equal(load(size), size >= CODE_AT + 0x100 ? 0 : -1);
}

static void test_no_kernel(void **state)
{
	(void)state;
	new_file(1024);
	refused("neither a Linux bzImage nor an ELF file");
	assert_int_equal(load(0), -1);
	assert_non_null(strstr(l.error, "empty"));
}

/* A kernel over all of low memory pushes the tables above itself. */
static void test_tables_move(void **state)
{
	(void)state;
	make_elf32(0x1000);
	add_multiboot(0);
	ph32(0)->p_memsz = LOW_RAM_END - 0x1000;
	assert_int_equal(load(file_size), 0);
	assert_true(l.regs.gpr[JOIST_RBX] >= MiB);
}

#define T(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_bzimage),
		T(test_bzimage_relocated),
		T(test_bzimage_truncated),
		T(test_bzimage_bad),
		T(test_initrd_too_large),
		T(test_multiboot),
		T(test_multiboot_entry),
		T(test_multiboot_wishes),
		T(test_pvh),
		T(test_elf64),
		T(test_elf_bad),
		T(test_elf_truncated),
		T(test_no_kernel),
		T(test_tables_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
