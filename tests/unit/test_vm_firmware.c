/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_firmware.c -- joist-vm's firmware configuration device, and the
 * files in it, read as firmware does: by port, by DMA, by the loader script.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guests/control/joist-vm/load.c"
#include "guests/control/joist-vm/fwcfg.c"
#include "guests/control/joist-vm/aml.c"
#include "guests/control/joist-vm/acpi.c"
#include "guests/control/joist-vm/smbios.c"
#include "guests/control/joist-vm/firmware.c"

int load_linux(struct load *l)
{
	return load_fail(l, "not here");
}

int load_elf(struct load *l)
{
	return load_fail(l, "not here");
}

#define RAM	(2 * MiB)
#define REQ	0x1000

static const struct smbios_vm about = { "fw", 3, 5 * GiB, 0 };
static struct fwcfg f;
static struct guest_mem mem = { .low_size = RAM };

static int setup(void **state)
{
	(void)state;
	mem.low = calloc(1, RAM);
	fwcfg_init(&f, 3, 5 * GiB);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(mem.low);
	return 0;
}

static void pick(u16 key)
{
	fwcfg_write(&f, &mem, REG_SELECTOR, 2, key);
}

static u64 port_number(unsigned bytes)
{
	u64 val = 0;
	unsigned i;

	for (i = 0; i < bytes; i++)
		val |= fwcfg_read(&f, REG_DATA, 1) << 8 * i;
	return val;
}

static u32 do_dma(u32 control, u32 len, u64 address)
{
	u8 *p = mem.low + REQ;

	put32(p, be32(control));
	put32(p + 4, be32(len));
	put32(p + 8, be32((u32)(address >> 32)));
	put32(p + 12, be32((u32)address));
	fwcfg_write(&f, &mem, REG_DMA_HIGH, 4, 0);
	fwcfg_write(&f, &mem, REG_DMA_LOW, 4, be32(REQ));
	return be32(get32(p));
}

static void test_items(void **state)
{
	(void)state;
	pick(KEY_SIGNATURE);
	assert_int_equal(port_number(4), 0x554d4551);
	assert_int_equal(port_number(4), 0);
	pick(KEY_ID);
	assert_int_equal(port_number(4), 3);
	pick(KEY_CPUS);
	assert_int_equal(port_number(2), 3);
	pick(KEY_RAM_SIZE);
	assert_int_equal(port_number(8), 5 * GiB);
	pick(0xffff);
	assert_int_equal(port_number(8), 0);
	assert_int_equal(be32((u32)fwcfg_read(&f, REG_DMA_HIGH, 4)),
			 0x51454d55);
	assert_int_equal(be32((u32)fwcfg_read(&f, REG_DMA_LOW, 4)),
			 0x20434647);
}

/* The key and size of a file, by the directory. */
static u16 find(const char *name, u32 *size)
{
	u32 n, i, j;
	u8 e[64];

	pick(KEY_DIR);
	n = be32((u32)port_number(4));
	for (i = 0; i < n; i++) {
		for (j = 0; j < sizeof(e); j++)
			e[j] = (u8)port_number(1);
		if (strcmp((char *)e + 8, name))
			continue;
		*size = be32(get32(e));
		return (u16)(e[4] << 8 | e[5]);
	}
	fail_msg("no file %s", name);
	return 0;
}

static void test_files(void **state)
{
	u8 big[100000];
	u32 size, i;
	u16 key;

	(void)state;
	memset(big, 0x5a, sizeof(big));
	assert_int_equal(fwcfg_add(&f, "one", "abc", 3), 0);
	assert_int_equal(fwcfg_add(&f, "big", big, sizeof(big)), 0);
	assert_int_equal(fwcfg_add(&f, "more", big, sizeof(big)), -ENOSPC);
	key = find("one", &size);
	assert_int_equal(size, 3);
	pick(key);
	assert_int_equal(port_number(8), 0x636261);
	for (i = f.files; i < FWCFG_FILES; i++)
		assert_int_equal(fwcfg_add(&f, "x", "", 1), 0);
	assert_int_equal(fwcfg_add(&f, "x", "", 1), -ENOSPC);
}

static void test_dma(void **state)
{
	u8 *to = mem.low + 0x2000;
	u32 size;

	(void)state;
	assert_int_equal(fwcfg_add(&f, "letters", "abcdefgh", 8), 0);
	size = (u32)find("letters", &size) << 16;
	assert_int_equal(do_dma(size | DMA_SELECT | DMA_READ, 3, 0x2000), 0);
	assert_memory_equal(to, "abc", 4);
	assert_int_equal(do_dma(DMA_SKIP, 2, 0), 0);
	assert_int_equal(do_dma(DMA_READ, 5, 0x2000), 0);
	assert_memory_equal(to, "fgh\0\0", 5);
	assert_int_equal(do_dma(DMA_SKIP, ~0u, 0), 0);
	assert_int_equal(do_dma(DMA_READ, 4, 0x2000), 0);
	assert_int_equal(get32(to), 0);
	/* Nothing is written, nothing outside memory is touched. */
	assert_int_equal(do_dma(DMA_WRITE, 4, 0x2000), DMA_ERROR);
	assert_int_equal(do_dma(DMA_READ, 4, RAM - 3), DMA_ERROR);
	assert_int_equal(do_dma(DMA_READ, ~0u, 0), DMA_ERROR);
	assert_int_equal(do_dma(DMA_READ, 4, ~0ull - 3), DMA_ERROR);
	fwcfg_write(&f, &mem, REG_DMA_HIGH, 4, 0);
	fwcfg_write(&f, &mem, REG_DMA_LOW, 4, be32(RAM - 8));
}

/* What firmware makes of the script: tables at 1 MiB, the RSDP at 0xf0000. */
#define TABLES_AT	0x100000u
#define RSDP_AT		0xf0000u

static u8 *file_at(const u8 *name, u32 *gpa)
{
	*gpa = strcmp((const char *)name, FILE_RSDP) ? TABLES_AT : RSDP_AT;
	return mem.low + *gpa;
}

static void run_command(const u8 *c)
{
	u32 gpa, src, size, at;
	u8 *file = file_at(c + 4, &gpa);
	u16 key;

	switch (get32(c)) {
	case CMD_ALLOCATE:
		key = find((const char *)c + 4, &size);
		assert_int_equal(do_dma((u32)key << 16 | DMA_SELECT | DMA_READ,
					size, gpa), 0);
		break;
	case CMD_POINTER:
		file_at(c + 4 + FWCFG_NAME, &src);
		at = get32(c + 4 + 2 * FWCFG_NAME);
		if (c[8 + 2 * FWCFG_NAME] == 8)
			put64(file + at, get64(file + at) + src);
		else
			put32(file + at, get32(file + at) + src);
		break;
	case CMD_CHECKSUM:
		at = get32(c + 4 + FWCFG_NAME);
		/* SeaBIOS subtracts the sum from it, OVMF does not. */
		assert_int_equal(file[at], 0);
		file[at] = (u8)(file[at] +
				checksum(file + get32(c + 8 + FWCFG_NAME),
					 get32(c + 12 + FWCFG_NAME)));
		break;
	default:
		fail_msg("command %u", get32(c));
	}
}

static const u8 *table(u64 gpa, const char *sig)
{
	const u8 *t = mem.low + gpa;

	assert_in_range(gpa, TABLES_AT, TABLES_AT + ACPI_SIZE);
	assert_memory_equal(t, sig, 4);
	if (strcmp(sig, "FACS"))
		assert_int_equal(checksum(t, get32(t + 4)), 0);
	return t;
}

static void test_script(void **state)
{
	const u8 *rsdp = mem.low + RSDP_AT, *xsdt, *rsdt, *fadt;
	u32 size, i, n;
	u8 *script;
	u16 key;

	(void)state;
	assert_int_equal(firmware_files(&f, &mem, &about, 1), 0);
	key = find("etc/table-loader", &size);
	assert_int_equal(size % CMD_SIZE, 0);
	script = malloc(size);
	assert_int_equal(do_dma((u32)key << 16 | DMA_SELECT | DMA_READ, size,
				0x2000), 0);
	memcpy(script, mem.low + 0x2000, size);
	n = size / CMD_SIZE;
	for (i = 0; i < n; i++)
		run_command(script + i * CMD_SIZE);
	free(script);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(checksum(rsdp, 20), 0);
	assert_int_equal(checksum(rsdp, 36), 0);
	rsdt = table(get32(rsdp + 16), "RSDT");
	xsdt = table(get64(rsdp + 24), "XSDT");
	fadt = table(get64(xsdt + 36), "FACP");
	assert_int_equal(get32(rsdt + 36), get64(xsdt + 36));
	table(get64(xsdt + 44), "APIC");
	table(get32(fadt + 40), "DSDT");
	table(get64(fadt + 140), "DSDT");
	table(get32(fadt + 36), "FACS");
}

/* The entry point is for the tables as long as they are. */
static void test_smbios(void **state)
{
	u8 entry[SMBIOS_ENTRY_LEN];
	u32 size, i;

	(void)state;
	assert_int_equal(firmware_files(&f, &mem, &about, 1), 0);
	pick(find("etc/smbios/smbios-anchor", &size));
	assert_int_equal(size, SMBIOS_ENTRY_LEN);
	for (i = 0; i < size; i++)
		entry[i] = (u8)port_number(1);
	assert_memory_equal(entry, "_SM_", 4);
	pick(find("etc/smbios/smbios-tables", &size));
	assert_int_equal(get16(entry + 22), size);
	assert_int_equal(port_number(2), 24 << 8);	/* type 0, its length */
}

static void test_map(void **state)
{
	u32 size;

	(void)state;
	mem.high_size = GiB;
	assert_int_equal(firmware_files(&f, &mem, &about, 1), 0);
	mem.high_size = 0;
	pick(find("etc/e820", &size));
	assert_int_equal(size, 40);
	assert_int_equal(port_number(8), 0);
	assert_int_equal(port_number(8), RAM);
	assert_int_equal(port_number(4), 1);
	assert_int_equal(port_number(8), 4 * GiB);
	assert_int_equal(port_number(8), GiB);
}

static void test_boot_order(void **state)
{
	static const struct boot_device device[BOOT_DEVICES] = {
		{ BOOT_CD, 0x1f }, { BOOT_DISK, 2 }, { BOOT_NET, 10 },
	};
	static const char text[] = "/pci@i0cf8/scsi@1f/channel@0/disk@0,0\n"
				   "/pci@i0cf8/scsi@2/disk@0,0\n"
				   "/pci@i0cf8/ethernet@a/ethernet-phy@0";
	u32 size, i;

	(void)state;
	assert_int_equal(firmware_boot_order(&f, device, 0), 0);
	assert_int_equal(f.files, 0);
	assert_int_equal(firmware_boot_order(&f, device, 3), 0);
	pick(find("bootorder", &size));
	assert_int_equal(size, sizeof(text));
	for (i = 0; i < size; i++)
		assert_int_equal(port_number(1), text[i]);
	/* As many as there can be. */
	assert_int_equal(firmware_boot_order(&f, device, BOOT_DEVICES), 0);
}

static void test_image(void **state)
{
	static u8 image[256 * KiB], flash[256 * KiB];
	struct load l = { .mem = mem, .kernel = { "bios", image, sizeof(image) } };
	u32 i;

	(void)state;
	for (i = 0; i < sizeof(image); i++)
		image[i] = (u8)(i * 7 + i / 256);
	assert_int_equal(firmware_load(&l, flash, sizeof(flash)), 0);
	assert_memory_equal(flash, image, sizeof(image));
	assert_memory_equal(mem.low + 0xe0000, image + 128 * KiB, 128 * KiB);
	l.kernel.size = 64 * KiB;
	assert_int_equal(firmware_load(&l, flash, sizeof(flash)), -1);
	assert_int_equal(firmware_load(&l, flash, 64 * KiB), 0);
	assert_memory_equal(mem.low + 0xf0000, image, 64 * KiB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_items, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dma, setup, teardown),
		cmocka_unit_test_setup_teardown(test_script, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boot_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_smbios, setup, teardown),
		cmocka_unit_test_setup_teardown(test_image, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
