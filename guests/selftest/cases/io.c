/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io.c -- CPUID and port access: the self-test plays the device.
 */
#include "guests/selftest/cases/case.h"

static struct vm vm;

static void io_cpuid(void)
{
	vm_new(&vm, "cpuid", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_cpuid);
	run_done(&vm, 0);
	CHECK(stat_get(vm.id, 0, JOIST_STAT_CPUID) >= 70, "%lu CPUID exits",
	      stat_get(vm.id, 0, JOIST_STAT_CPUID));
}

static void want_out(u16 port, u8 size, u64 data)
{
	want_io(&vm, 0, port, size, false);
	CHECK(vm.run[0]->io.count == 1 && !vm.run[0]->io.string &&
	      vm.run[0]->io.data == data, "OUT to 0x%x: count %u string %u "
	      "data 0x%lx, want 0x%lx", port, vm.run[0]->io.count,
	      vm.run[0]->io.string, vm.run[0]->io.data, data);
}

static void answer_in(u16 port, u8 size, u64 data)
{
	want_io(&vm, 0, port, size, true);
	CHECK(vm.run[0]->io.count == 1 && !vm.run[0]->io.string,
	      "IN from 0x%x: count %u string %u", port, vm.run[0]->io.count,
	      vm.run[0]->io.string);
	vm.run[0]->io.data = data;
}

static void io_plain(void)
{
	vm_new(&vm, "io", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_io);
	want_out(0x300, 1, 0x11);
	want_out(0x300, 2, 0x2222);
	want_out(0x300, 4, 0x33333333);
	want_out(0xffff, 1, 0x44);
	want_out(0x80, 1, 0x55);
	want_out(0x81, 1, 0x66);
	want_out(0x82, 4, 0x77777777);
	answer_in(0x310, 1, 0xa1);
	answer_in(0x310, 2, 0xa2a2);
	answer_in(0x310, 4, 0xa4a4a4a4);
	answer_in(0x31, 1, 0xa1);
	answer_in(0x311, 1, ~0ull);
	run_done(&vm, 0);
}

/* What came by OUTS, per port 0x320..0x327, and how much INS was given. */
static struct {
	u8 data[4 * 4096];
	u32 len;
} outs[8];
static u32 ins[8];

static bool string_device(struct vm *vm, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = vm->run[vcpu];
	u32 i, n, p = run->io.port & 7;

	if (exit != JOIST_EXIT_IO || (run->io.port & ~7) !=
	    (run->io.in ? 0x330 : 0x320))
		return false;
	n = run->io.count * run->io.size;
	CHECK(run->io.string == 1, "INS or OUTS without string set");
	CHECK(run->io.count && run->io.count <= JOIST_IO_BUF &&
	      n <= JOIST_IO_BUF, "count %u of size %u", run->io.count,
	      run->io.size);
	if (run->io.in) {
		for (i = 0; i < n; i++)
			run->buf[i] = (u8)ins[p]++;
		return true;
	}
	CHECK(outs[p].len + n <= sizeof(outs[p].data), "%u bytes too many",
	      outs[p].len + n);
	for (i = 0; i < n; i++)
		outs[p].data[outs[p].len++] = run->buf[i];
	return true;
}

static void want_outs(u32 port, u32 len, const char *what)
{
	CHECK(outs[port & 7].len == len, "%s: %u bytes, want %u", what,
	      outs[port & 7].len, len);
}

static void io_string(void)
{
	static const char abc[] = "abcdefghijklmnopqrstuvwxyz";
	u32 i;

	memset(outs, 0, sizeof(outs));
	memset(ins, 0, sizeof(ins));
	vm_new(&vm, "io-string", 1, GUEST_RAM);
	vm.on_exit = string_device;
	vm_payload(&vm, 0, PL_io_string);
	run_done(&vm, 0);
	want_outs(0x320, 5, "OUTSB and OUTSD");
	CHECK(!memcmp(outs[0].data, "abcde", 5), "OUTSB, OUTSD data");
	want_outs(0x321, 26, "REP OUTSB");
	CHECK(!memcmp(outs[1].data, abc, 26), "REP OUTSB data");
	want_outs(0x322, 26, "REP OUTSB down");
	for (i = 0; i < 26; i++)
		CHECK(outs[2].data[i] == abc[25 - i], "REP OUTSB down: byte %u "
		      "is 0x%x", i, outs[2].data[i]);
	CHECK_EQ(ins[3], 0, "bytes given to REP INSB of nothing");
	want_outs(0x324, 4, "address-size REP OUTSB");
	CHECK(!memcmp(outs[4].data, abc, 4), "address-size REP OUTSB data");
	want_outs(0x325, 16, "REP OUTSD across a page");
	for (i = 0; i < 16; i++)
		CHECK(outs[5].data[i] == (u8)((4090 + i) * 7),
		      "REP OUTSD across a page: byte %u", i);
	want_outs(0x326, 3 * 4096, "long REP OUTSB");
	for (i = 0; i < 3 * 4096; i++)
		CHECK(outs[6].data[i] == (u8)(i * 7), "long REP OUTSB: byte "
		      "%u is 0x%x", i, outs[6].data[i]);
}

const struct tcase cases_io[] = {
	{ "io/cpuid", io_cpuid, 0 },
	{ "io/plain", io_plain, 0 },
	{ "io/string", io_string, 0 },
	{ 0 },
};
