/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_image.c -- any bytes as a kernel: refused with a reason, or an image
 * whose every part is where it is said to be.
 */
#include <stdlib.h>

#include "boot/image.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct image_segment *s, *t;
	const struct image_linux *l;
	static struct image im;
	const char *why = NULL;
	u8 *copy = malloc(size + 1);

	memcpy(copy, data, size);
	/* The first byte says what the rest shall be taken for. */
	if (size >= HDR_END_2_12 && copy[0] == 'L') {
		copy[HDR_BOOT_FLAG] = 0x55;
		copy[HDR_BOOT_FLAG + 1] = 0xaa;
		store32(copy + HDR_MAGIC, MAGIC);
	} else if (size >= 64 && copy[0] == 'E') {
		store32(copy, ELF_MAGIC);
	}
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
