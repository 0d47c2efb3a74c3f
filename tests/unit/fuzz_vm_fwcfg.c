/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vm_fwcfg.c -- any accesses to the firmware configuration device, with
 * requests of any content in guest memory.
 */
#include <stdlib.h>

#include "guests/control/joist-vm/fwcfg.c"

#define RAM	(64 * KiB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fwcfg f;
	struct guest_mem mem = { .low = malloc(RAM), .low_size = RAM };
	static const u8 sizes[] = { 1, 2, 4, 4 };
	unsigned reg, width;

	memset(mem.low, 0, RAM);
	fwcfg_init(&f, 1, RAM);
	fwcfg_add(&f, "a", "some bytes", 10);
	fwcfg_add(&f, "b", "", 0);
	/* A request or two where the fuzzer can find them. */
	memcpy(mem.low, data, size < RAM ? size : RAM);
	for (; size >= 6; data += 6, size -= 6) {
		width = sizes[data[0] & 3];
		reg = data[1] % FWCFG_LEN;
		if (reg + width > FWCFG_LEN)
			continue;
		if (data[0] & 4)
			fwcfg_read(&f, reg, width);
		else
			fwcfg_write(&f, &mem, reg, width, get32(data + 2));
	}
	free(mem.low);
	return 0;
}
