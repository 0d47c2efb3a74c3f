/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * firmware.c -- what SeaBIOS and OVMF need of the machine at its start: their
 * image, the memory map, the SMBIOS tables, and the ACPI tables with a script that
 * says how to put them where the firmware likes.  The script's commands are those of
 * QEMU's "BIOS Linker Loader".
 */
#include <stdio.h>
#include <string.h>

#include "acpi.h"
#include "firmware.h"
#include "pci.h"

#define LOW_COPY	(128 * KiB)

#define FILE_RSDP	"etc/acpi/rsdp"
#define FILE_TABLES	"etc/acpi/tables"

#define CMD_SIZE	128u
#define CMD_ALLOCATE	1u
#define CMD_POINTER	2u
#define CMD_CHECKSUM	3u
#define ZONE_HIGH	1
#define ZONE_FSEG	2		/* where a search for the RSDP looks */
#define COMMANDS	(2 + ACPI_POINTERS + ACPI_SUMS)

struct script {
	u32 commands;
	u8 data[COMMANDS * CMD_SIZE];
};

static u8 *command(struct script *s, u32 what)
{
	u8 *c = s->data + CMD_SIZE * s->commands++;

	put32(c, what);
	return c + 4;
}

static u8 *put_file(u8 *p, const char *name)
{
	memcpy(p, name, strlen(name));
	return p + FWCFG_NAME;
}

static void allocate(struct script *s, const char *file, u8 zone)
{
	u8 *p = put_file(command(s, CMD_ALLOCATE), file);

	put32(p, 64);			/* alignment: the FACS's */
	p[4] = zone;
}

/* The RSDP is a file of its own, and the first thing in the area. */
static const char *file_of(u32 at)
{
	return at < ACPI_RSDP_LEN ? FILE_RSDP : FILE_TABLES;
}

static void build_script(struct script *s, const struct acpi_links *l)
{
	u32 i;
	u8 *p;

	allocate(s, FILE_RSDP, ZONE_FSEG);
	allocate(s, FILE_TABLES, ZONE_HIGH);
	for (i = 0; i < l->pointers; i++) {
		p = put_file(command(s, CMD_POINTER),
			     file_of(l->pointer[i].at));
		p = put_file(p, FILE_TABLES);
		put32(p, l->pointer[i].at);
		p[4] = l->pointer[i].size;
	}
	for (i = 0; i < l->sums; i++) {
		p = put_file(command(s, CMD_CHECKSUM), file_of(l->sum[i].at));
		put32(p, l->sum[i].at);
		put32(p + 4, l->sum[i].start);
		put32(p + 8, l->sum[i].len);
	}
}

static int add_acpi(struct fwcfg *f, unsigned vcpus, u32 window,
		    unsigned coms)
{
	static struct script s;
	static u8 area[ACPI_SIZE];
	struct acpi_links links;
	u32 i;

	memset(&s, 0, sizeof(s));
	if (acpi_build(area, 0, vcpus, window, coms, &links))
		return -1;
	build_script(&s, &links);
	/* OVMF sums up the byte it is about to write, too. */
	for (i = 0; i < links.sums; i++)
		area[links.sum[i].at] = 0;
	return fwcfg_add(f, FILE_RSDP, area, ACPI_RSDP_LEN) ||
	       fwcfg_add(f, FILE_TABLES, area, links.used) ||
	       fwcfg_add(f, "etc/table-loader", s.data,
			 s.commands * CMD_SIZE) ? -1 : 0;
}

/* RAM only: firmware adds what it keeps for itself. */
static int add_map(struct fwcfg *f, const struct guest_mem *mem)
{
	u8 map[2 * 20] = { 0 };
	u32 len = 20;

	put64(map + 8, mem->low_size);
	put32(map + 16, MAP_RAM);
	if (mem->high_size) {
		put64(map + 20, MEM_HIGH_BASE);
		put64(map + 28, mem->high_size);
		put32(map + 36, MAP_RAM);
		len = 40;
	}
	return fwcfg_add(f, "etc/e820", map, len);
}

static int add_smbios(struct fwcfg *f, const struct smbios_vm *vm)
{
	static u8 area[SMBIOS_SIZE];
	int len = smbios_build(area, 0, vm);

	return len < 0 ||
	       fwcfg_add(f, "etc/smbios/smbios-anchor", area,
			 SMBIOS_ENTRY_LEN) ||
	       fwcfg_add(f, "etc/smbios/smbios-tables", area + SMBIOS_ENTRY,
			 (u32)len) ? -1 : 0;
}

int firmware_files(struct fwcfg *f, const struct guest_mem *mem,
		   const struct smbios_vm *vm, unsigned coms)
{
	/* SeaBIOS: the screen of BIOS programs is COM1. */
	static const u8 console[] = { 0xf8, 0x03 };

	return add_map(f, mem) || add_smbios(f, vm) ||
	       add_acpi(f, vm->cpus, pci_window(mem->low_size), coms) ||
	       fwcfg_add(f, "etc/sercon-port", console, sizeof(console)) ?
	       -1 : 0;
}

/*
 * A line for each, by the names that Open Firmware's PCI binding gives them, as
 * SeaBIOS compares them and OVMF translates them into its own.
 */
int firmware_boot_order(struct fwcfg *f, const struct boot_device *device,
			unsigned count)
{
	static const char *const name[] = {
		[BOOT_DISK] = "/pci@i0cf8/scsi@%x/disk@0,0\n",
		[BOOT_CD] = "/pci@i0cf8/scsi@%x/channel@0/disk@0,0\n",
		[BOOT_NET] = "/pci@i0cf8/ethernet@%x/ethernet-phy@0\n",
	};
	char text[48 * BOOT_DEVICES];
	unsigned i, len = 0;

	for (i = 0; i < count; i++)
		len += (unsigned)sprintf(text + len, name[device[i].kind],
					 device[i].slot);
	/* In place of the last newline: the file is a string. */
	if (len)
		text[len - 1] = 0;
	return len ? fwcfg_add(f, "bootorder", text, len) : 0;
}

int firmware_load(struct load *l, u8 *flash, u64 flash_size)
{
	const struct image *im = &l->kernel;
	u64 copy = MIN(im->size, LOW_COPY);

	if (im->size != flash_size)
		return load_fail(l, "%s: the firmware's size has changed",
				 im->name);
	memcpy(flash, im->data, im->size);
	memcpy(load_ptr(l, MiB - copy, copy), im->data + im->size - copy,
	       copy);
	return 0;
}
