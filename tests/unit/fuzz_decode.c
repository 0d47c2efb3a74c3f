/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_decode.c -- any bytes as an instruction: what comes out is in range,
 * depends on the instruction's own bytes only, and suits every helper.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/decode.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static bool is_size(unsigned n)
{
	return n == 1 || n == 2 || n == 4 || n == 8;
}

static void check_fields(const struct insn *in)
{
	u64 rflags = 2;

	must(in->len >= 1 && in->len <= INSN_MAX_LEN);
	must(in->kind <= INSN_INVLPGA && in->map <= INSN_MAP_VEX);
	must(is_size(in->size) && is_size(in->dest_size));
	must(in->addr_size != 1 && is_size(in->addr_size));
	must(in->reg < 16 && in->cr < 16);
	must(in->seg <= JOIST_GS || in->seg == INSN_NO_REG);
	must(!(in->flags & INSN_F_REP) || !(in->flags & INSN_F_REPNE));
	must(!(in->flags & INSN_F_HIGH) || in->reg < 4);
	if (in->kind >= INSN_LOAD && in->kind <= INSN_ALU)
		must(in->flags & INSN_F_MEM &&
		     in->flags & (INSN_F_READ | INSN_F_WRITE));

	insn_source(in, ~0ull);
	insn_load_result(in, ~0ull, ~0ull);
	insn_alu(in, ~0ull, ~0ull, &rflags);
}

static int decode(const u8 *bytes, size_t n, enum insn_mode mode,
		  struct insn *in)
{
	u8 *copy = malloc(n ? n : 1);
	int err;

	memcpy(copy, bytes, n);
	err = insn_decode(copy, n, mode, in);
	free(copy);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum insn_mode modes[] = { INSN_16, INSN_32, INSN_64 };
	struct insn in, cut;
	unsigned m, k;
	int err;

	for (m = 0; m < ARRAY_SIZE(modes); m++) {
		err = decode(data, size, modes[m], &in);
		must(err == 0 || err == -EINVAL || err == -EAGAIN);
		must(err != -EAGAIN || size < INSN_MAX_LEN);
		if (err)
			continue;
		must(in.len <= size);
		check_fields(&in);
		for (k = 0; k < in.len; k++)
			must(decode(data, k, modes[m], &cut) == -EAGAIN);
		must(!decode(data, in.len, modes[m], &cut));
		must(!memcmp(&in, &cut, sizeof(in)));
	}
	return 0;
}
