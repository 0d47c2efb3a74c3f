/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_mb2.c -- any bytes as a Multiboot2 tag list: an error that is named,
 * or a boot_info that keeps its promises.
 */
#include <stdlib.h>

#include "boot/mb2.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct boot_info bi;
	const struct mem_range *r;
	const char *why = NULL;
	u8 *copy = malloc(size + 1);
	u32 i;

	memcpy(copy, data, size);
	/* Most sizes are wrong: help, unless the bytes ask not to be. */
	if (size >= 8 && !data[4])
		store32(copy, size);
	if (mb2_parse(MB2_MAGIC, copy, size, &bi, &why)) {
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
