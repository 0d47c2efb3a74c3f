/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_control.c -- which boot module becomes what: the control VM's kernel,
 * one initrd put together from several, or a line in the log.
 */
#include "tests/unit/host.h"

static char warned[8][256];
static unsigned warnings;

/* The log is what is looked at. */
#undef log_warn
#define log_warn(...)	snprintf(warned[warnings++ % 8], sizeof(warned[0]), __VA_ARGS__)

#include "boot/mb2.c"
#define reject	image_reject
#include "boot/image.c"
#undef reject
#include "boot/memory.c"
#include "core/page.c"
#include "boot/control.c"
#include "tests/unit/bzimage.h"

#undef fail
#include <cmocka.h>

struct cpu *cpus[MAX_CPUS] = { &the_cpu };
u32 cpu_count = 1;
struct guest_features guest_features;
const struct backend *backend;

int acpi_rebuild(const struct acpi_info *info, const struct acpi_reader *r,
		 const struct acpi_control *c, void *buf, size_t size, u64 pa,
		 u64 *rsdp_pa, const char **why)
{
	abort();
}

void cpu_watch(const volatile void *p)
{
	abort();
}

void cpu_rest(void)
{
	abort();
}

#define IMAGE_AT	(2 * MiB)
#define IMAGE_LEN	MiB
#define POOL_MODULE	(900 * MiB)	/* not the control VM's memory */
#define PVH_SEGMENT	(16 * MiB)

static struct boot_info bi;
static struct params params;

static void machine(void)
{
	memset(&control_memory, 0, sizeof(control_memory));
	memset(pool, 0, sizeof(pool));
	memset(busy, 0, sizeof(busy));
	memset(&tables, 0, sizeof(tables));
	pool_count = busy_count = early_count = warnings = 0;
	pool_filled = false;
	initrd = initrd_len = 0;
	memset(&bi, 0, sizeof(bi));
	memset(&params, 0, sizeof(params));
	host_ram(GiB);
	/* What was there before must not show between two archives. */
	memset(hpa_ptr(HPA(MiB)), 0xa5, 256 * MiB);
	bi.mem.range[bi.mem.count++] = (struct mem_range){ MiB, GiB - MiB, MEM_RAM };
}

static struct boot_module *put_module(u64 start, u64 len, const char *cmdline)
{
	struct boot_module *m = &bi.module[bi.module_count++];

	m->start = start;
	m->end = start + len;
	str_copy(m->cmdline, cmdline, sizeof(m->cmdline));
	return m;
}

static u8 *initrd_module(u64 start, const char *text, const char *cmdline)
{
	put_module(start, strlen(text), cmdline);
	return memcpy(at(start), text, strlen(text));
}

static void bzimage(u64 start, const char *cmdline)
{
	put_module(start, BZ_LEN, cmdline);
	bz_make(at(start));
}

static void boot(void *arg)
{
	memory_split(&bi, &params, IMAGE_AT, IMAGE_AT + IMAGE_LEN);
	control_load(&bi);
}

static void booted(void)
{
	assert_false(stops(boot, NULL));
	control_finish(&bi);
}

static void initrd_is(const void *want, size_t len)
{
	const u8 *bp = area->boot_params;

	assert_int_equal(load32(bp + BP_RAMDISK_SIZE), len);
	assert_int_equal(load32(bp + BP_RAMDISK_IMAGE), initrd);
	assert_int_equal(initrd_len, len);
	assert_true(control_owns(initrd, initrd + len));
	assert_memory_equal(at(initrd), want, len);
}

static void test_one_initrd(void **state)
{
	machine();
	bzimage(64 * MiB, "control root=/dev/vda2  quiet");
	initrd_module(80 * MiB, "initrd", "initrd");
	booted();
	assert_string_equal(area->cmdline, "root=/dev/vda2  quiet");
	initrd_is("initrd", 6);
	/* Where it was. */
	assert_int_equal(initrd, 80 * MiB);
	assert_int_equal(warnings, 0);

	machine();
	bzimage(POOL_MODULE, "control");
	initrd_module(POOL_MODULE + MiB, "initrd", "initrd of some name");
	booted();
	initrd_is("initrd", 6);

	machine();
	bzimage(64 * MiB, "control");
	booted();
	assert_int_equal(load32(area->boot_params + BP_RAMDISK_SIZE), 0);
	assert_int_equal(load32(area->boot_params + BP_RAMDISK_IMAGE), 0);
}

/* As GRUB's "initrd a b": in order, each at a multiple of 4, zeros between. */
static void test_initrds_are_joined(void **state)
{
	machine();
	initrd_module(POOL_MODULE, "ucode", "initrd");
	bzimage(64 * MiB, "control");
	initrd_module(80 * MiB, "main", "initrd");
	initrd_module(40 * MiB, "", "initrd");
	initrd_module(90 * MiB, "last one", "initrd x");
	booted();
	initrd_is("ucode\0\0\0mainlast one", 20);
	assert_true(initrd % PAGE_SIZE == 0);
	assert_int_equal(warnings, 0);
	/* Nothing that is still to be read was overwritten. */
	assert_memory_equal(at(80 * MiB), "main", 4);
}

static void pvh_kernel(u64 start)
{
	static const struct {
		u8 ident[16];
		u16 type, machine;
		u32 version;
		u64 entry, phoff, shoff;
		u32 flags;
		u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
		struct {
			u32 type, flags;
			u64 offset, vaddr, paddr, filesz, memsz, align;
		} ph[2];
		u32 namesz, descsz, note_type;
		char name[4];
		u32 note_entry;
		u8 code[12];
	} elf = {
		.ident = { 0x7f, 'E', 'L', 'F', 2, 1, 1 },
		.type = 2, .machine = 62, .version = 1, .phoff = 64,
		.ehsize = 64, .phentsize = 56, .phnum = 2,
		.ph = {
			{ 1, 5, 0, 0, PVH_SEGMENT, 208, 4 * MiB, 4096 },
			{ 4, 4, 176, 0, PVH_SEGMENT + 176, 20, 20, 4 },
		},
		.namesz = 4, .descsz = 4, .note_type = 18, .name = "Xen",
		.note_entry = PVH_SEGMENT + 196,
	};

	static_assert(sizeof(elf) == 208, "the note lies where its header says");
	put_module(start, sizeof(elf), "control");
	memcpy(at(start), &elf, sizeof(elf));
}

/* Modules that lie where the kernel's segments go are moved, each of them. */
static void test_initrds_give_way(void **state)
{
	machine();
	pvh_kernel(64 * MiB);
	initrd_module(PVH_SEGMENT + PAGE_SIZE, "abc", "initrd");
	initrd_module(PVH_SEGMENT + MiB, "defg", "initrd");
	booted();
	assert_int_equal(image.kind, IMAGE_PVH);
	assert_int_equal(area->pvh.module_count, 1);
	assert_int_equal(area->pvh_initrd.addr, initrd);
	assert_int_equal(area->pvh_initrd.size, 8);
	assert_true(initrd >= PVH_SEGMENT + 4 * MiB || initrd + 8 <= PVH_SEGMENT);
	assert_memory_equal(at(initrd), "abc\0defg", 8);
}

/* What is not used is named. */
static void test_unused_modules(void **state)
{
	machine();
	bzimage(64 * MiB, "control one");
	bzimage(70 * MiB, "control two");
	initrd_module(80 * MiB, "x", "");
	initrd_module(81 * MiB, "y", "initrds");
	initrd_module(82 * MiB, "z", "initrd");
	booted();
	assert_string_equal(area->cmdline, "one");
	initrd_is("z", 1);
	assert_int_equal(warnings, 3);
	assert_non_null(strstr(warned[0], "module 1"));
	assert_non_null(strstr(warned[0], "'control two' is a second control kernel"));
	assert_non_null(strstr(warned[1], "module 2"));
	assert_non_null(strstr(warned[2], "module 3"));
	assert_non_null(strstr(warned[2], "'initrds'"));
}

static void test_no_kernel(void **state)
{
	machine();
	initrd_module(80 * MiB, "x", "initrd");
	assert_true(stops(boot, NULL));
	assert_non_null(strstr(host_said, "no control kernel"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_initrd),
		cmocka_unit_test(test_initrds_are_joined),
		cmocka_unit_test(test_initrds_give_way),
		cmocka_unit_test(test_unused_modules),
		cmocka_unit_test(test_no_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
