/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_mb2.c -- any bytes as a Multiboot2 tag list: an error that is named,
 * or a boot_info that keeps its promises.
 */
#include "boot/mb2.c"
#include "tests/unit/fuzz_patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A list as GRUB makes it. */
static const struct {
	u32 total, reserved;
	u32 cmdline, cmdline_size;
	char cmdline_text[16];
	u32 module, module_size, module_start, module_end;
	char module_text[8];
	u32 map, map_size, entry_size, entry_version;
	struct { u64 base, len; u32 type, zero; } entry[6];
	u32 screen, screen_size;
	u64 addr;
	u32 pitch, width, height;
	u8 bpp, type, zero[2], field[6], pad[2];
	u32 rsdp_old, rsdp_old_size;
	u8 rsdp_old_data[20], pad2[4];
	u32 rsdp_new, rsdp_new_size;
	u8 rsdp_new_data[36], pad3[4];
	u32 efi, efi_size;
	u64 efi_table;
	u32 load, load_size, load_base, pad4;
	u32 end, end_size;
} __packed list = {
	sizeof(list), 0,
	TAG_CMDLINE, 24, "console=com1",
	TAG_MODULE, 24, 0x100000, 0x200000, "control",
	TAG_MEMORY_MAP, 160, 24, 0,
	{
		{ 0, 0x9fc00, MEM_RAM, 0 },
		{ 0x9fc00, 0x400, MEM_RESERVED, 0 },
		{ 0x100000, 0x7fe0000, MEM_RAM, 0 },
		{ 0x80e0000, 0x20000, MEM_ACPI, 0 },
		{ 0x8100000, 0x1000, MEM_NVS, 0 },
		{ 0x100000000, 0x40000000, MEM_RAM, 0 },
	},
	TAG_FRAMEBUFFER, 38, 0xe0000000, 4096, 1024, 768, 32, SCREEN_RGB,
	{ 0 }, { 16, 8, 8, 8, 0, 8 }, { 0 },
	TAG_RSDP_OLD, 28, "RSD PTR ", { 0 },
	TAG_RSDP_NEW, 44, "RSD PTR ", { 0 },
	TAG_EFI64, 16, 0x1000,
	TAG_LOAD_BASE, 12, 0x200000, 0,
	TAG_END, 8,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct boot_info bi;
	const struct mem_range *r;
	const char *why = NULL;
	size_t len;
	u8 *copy = fuzz_patch(data, size, (const u8 *)&list, sizeof(list), &len);
	u32 i;

	if (mb2_parse(MB2_MAGIC, copy, len, &bi, &why)) {
		must(size);	/* unchanged, it is good */
		must(why);
	} else {
		must(bi.mem.count && bi.mem.count <= MEM_RANGES);
		for (i = 0; i < bi.mem.count; i++) {
			r = &bi.mem.range[i];
			must(r->len && r->base + r->len <= MEM_LIMIT);
			must(r->type >= MEM_RAM && r->type <= MEM_BAD);
			must(!i || r[-1].base + r[-1].len <= r->base);
		}
		must(bi.module_count <= MB2_MODULES);
		for (i = 0; i < bi.module_count; i++) {
			must(bi.module[i].start <= bi.module[i].end);
			must(strlen(bi.module[i].cmdline) < MB2_STRING);
		}
		must(strlen(bi.cmdline) < MB2_STRING);
		must(bi.rsdp_len <= MB2_RSDP);
	}
	free(copy);
	return 0;
}
