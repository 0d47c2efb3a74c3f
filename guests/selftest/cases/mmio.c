/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmio.c -- accesses to guest addresses without memory.
 *
 * The self-test is the device: a page at mmio_base that behaves like RAM.
 */
#include "guests/selftest/cases/case.h"

static u64 mmio_base = 0xd0000000;

static struct vm vm;
static u8 page[2 * PAGE_SIZE];
static u32 reads, writes;

static bool ram_device(struct vm *v, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = v->run[vcpu];
	u64 off = run->mmio.gpa - mmio_base, data = 0;
	u32 size = run->mmio.size;

	if (exit != JOIST_EXIT_MMIO || run->mmio.gpa < mmio_base ||
	    off >= sizeof(page))
		return false;
	CHECK(size == 1 || size == 2 || size == 4 || size == 8,
	      "MMIO of size %u", size);
	CHECK(run->mmio.write <= 1, "MMIO write %u", run->mmio.write);
	CHECK(off % PAGE_SIZE + size <= PAGE_SIZE, "MMIO over the page's end");
	if (run->mmio.write) {
		data = run->mmio.data;
		CHECK(size == 8 || !(data >> (size * 8)),
		      "MMIO write of size %u with data 0x%lx", size, data);
		memcpy(page + off, &data, size);
		writes++;
	} else {
		/* More bits than the access has must be ignored. */
		data = ~0ull;
		memcpy(&data, page + off, size);
		run->mmio.data = data;
		reads++;
	}
	return true;
}

static void payload(const char *name, enum payload which)
{
	vm_new(&vm, name, 1, GUEST_RAM);
	memset(page, 0, sizeof(page));
	reads = writes = 0;
	vm.on_exit = ram_device;
	vm_payload(&vm, 0, which);
	run_done(&vm, 0);
	CHECK(reads && writes, "%u reads, %u writes", reads, writes);
}

/* What a hypervisor may refuse to emulate, as long as it says so. */
static bool refuse_device(struct vm *v, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = v->run[vcpu];

	if (exit == JOIST_EXIT_EMULATE)
		skip("not emulated on MMIO (%u bytes: %x %x %x %x)",
		     run->emulate.len, run->emulate.insn[0], run->emulate.insn[1],
		     run->emulate.insn[2], run->emulate.insn[3]);
	return ram_device(v, vcpu, exit);
}

static void optional(const char *name, enum payload which)
{
	vm_new(&vm, name, 1, GUEST_RAM);
	memset(page, 0, sizeof(page));
	vm.on_exit = refuse_device;
	vm_payload(&vm, 0, which);
	run_done(&vm, 0);
}

static void mmio_rmw(void)
{
	optional("mmio-rmw", PL_mmio_rmw);
}

static void mmio_movs(void)
{
	optional("mmio-movs", PL_mmio_movs);
}

static void mmio_ops(void)
{
	payload("mmio", PL_mmio);
}

static void mmio_more(void)
{
	payload("mmio-more", PL_mmio_more);
}

static void mmio_cross(void)
{
	payload("mmio-cross", PL_mmio_cross);
}

static void mmio_cross_fault(void)
{
	payload("mmio-cross-fault", PL_mmio_cross_fault);
}

/* What cannot be emulated ends in ERROR; the VM can be reset and runs. */
static void mmio_errors(void)
{
	struct joist_regs_args reset;
	struct joist_run_args a;
	u32 i, exit, code;

	vm_new(&vm, "mmio-bad", 1, GUEST_RAM);
	for (i = 0; i < 8; i++) {
		vm.tables = false;
		vm_payload(&vm, 0, PL_mmio_bad);
		vm_share(&vm)->arg[0] = i;
		exit = run_user(&vm, 0);
		if (exit == JOIST_EXIT_SHUTDOWN)
			goto reset;
		if (i == 0 || i >= 4) {
			CHECK(exit == JOIST_EXIT_EMULATE, "number %u: exit %s",
			      i, exit_name(exit));
			CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_EMULATE,
				 "exit after EMULATE");
			goto reset;
		}
		CHECK(exit == JOIST_EXIT_ERROR, "number %u: exit %s", i,
		      exit_name(exit));
		code = vm.run[0]->error.code;
		CHECK(code == JOIST_ERR_EMULATE || code == JOIST_ERR_EVENT,
		      "number %u: error code %u", i, code);
		CHECK(vm.run[0]->error.len <= 15, "number %u: %u bytes of "
		      "instruction", i, vm.run[0]->error.len);
		CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_ERROR,
			 "exit after ERROR");
reset:
		reset = (struct joist_regs_args){ .head = { vm.id, 0 } };
		HC_OK(HC_RESETCPU, &reset);
		vm.tables = false;
		vm_payload(&vm, 0, PL_hello);
		run_done(&vm, 0);
	}
}

static s64 access_call(struct joist_access *a, u64 gva, u32 len, u32 flags)
{
	a->head = (struct joist_head){ vm.id, 0 };
	a->gva = gva;
	a->len = len;
	a->flags = flags;
	return HC(HC_ACCESS, a);
}

/* Memory as the guest's instruction would have found it. */
static void access_check(u64 ram, u64 device, u64 none)
{
	struct joist_access a = { 0 };
	u64 word = 0x0123456789abcdef, back = 0;

	memcpy(a.data, &word, 8);
	CHECK(!access_call(&a, ram, 8, JOIST_ACCESS_WRITE | JOIST_ACCESS_TEST) &&
	      a.result == JOIST_ACCESS_MEMORY && a.gpa == GUEST_SCRATCH + 0x3008,
	      "TEST: result %u at 0x%lx", a.result, a.gpa);
	CHECK_EQ(*(u64 *)vm_ptr(&vm, GUEST_SCRATCH + 0x3008, 8), 0x77, "memory after TEST");
	CHECK(!access_call(&a, ram, 8, JOIST_ACCESS_WRITE), "WRITE fails");
	CHECK_EQ(*(u64 *)vm_ptr(&vm, GUEST_SCRATCH + 0x3008, 8), word, "what was written");
	memset(a.data, 0, sizeof(a.data));
	CHECK(!access_call(&a, ram, 64, 0), "read fails");
	memcpy(&back, a.data, 8);
	CHECK_EQ(back, word, "what is read");
	CHECK(!access_call(&a, device + 8, 4, 0) && a.result == JOIST_ACCESS_DEVICE &&
	      a.gpa == mmio_base + 8, "device: result %u at 0x%lx", a.result, a.gpa);
	CHECK(!access_call(&a, 0xfee00020, 4, 0) && a.result == JOIST_ACCESS_LAPIC,
	      "LAPIC: result %u", a.result);
	CHECK(!access_call(&a, none, 1, JOIST_ACCESS_WRITE) &&
	      a.result == JOIST_ACCESS_FAULT && a.error == 2,
	      "fault: result %u, error 0x%x", a.result, a.error);
	CHECK_EQ(access_call(&a, ram, 0, 0), -EINVAL, "length 0");
	CHECK_EQ(access_call(&a, ram, 65, 0), -EINVAL, "length 65");
	CHECK_EQ(access_call(&a, (ram | 0xfff) - 2, 4, 0), -EINVAL, "over a page's end");
	CHECK_EQ(access_call(&a, ram, 4, 8), -EINVAL, "flags");
}

/* What is handed out: the instruction as it is, registers as before it. */
static void mmio_emulate(void)
{
	struct joist_regs r;
	u32 n = 0, exit;

	vm_new(&vm, "emulate", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_mmio_emulate);
	while ((exit = run_user(&vm, 0)) == JOIST_EXIT_EMULATE) {
		volatile struct joist_run *run = vm.run[0];
		u64 skip = vm_share(&vm)->val[0] & 15;

		regs_read(&vm, 0, JOIST_REGS_GPR, &r);
		CHECK(run->rip == r.rip && run->emulate.mode == 64 &&
		      run->emulate.gpa == mmio_base + 0x40 &&
		      run->emulate.len == 15, "number %u: rip 0x%lx, mode %u, "
		      "GPA 0x%lx, %u bytes", n, run->rip, run->emulate.mode,
		      run->emulate.gpa, run->emulate.len);
		CHECK(!memcmp((void *)run->emulate.insn,
			      vm_ptr(&vm, r.rip, 15), 15), "number %u: other bytes", n);
		access_check(vm_share(&vm)->val[1], vm_share(&vm)->val[2],
			     vm_share(&vm)->val[3]);
		r.rip += skip;
		regs_write(&vm, 0, JOIST_REGS_GPR, &r);
		n++;
	}
	CHECK(exit == JOIST_EXIT_IO && vm.run[0]->io.port == DONE_PORT &&
	      vm_share(&vm)->status == 1, "exit %s", exit_name(exit));
	CHECK_EQ(n, 4, "instructions handed out");
}

static u64 sweep_next, sweep_step;
static bool sweep_write;

static bool sweep_device(struct vm *v, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = v->run[vcpu];

	if (exit != JOIST_EXIT_MMIO)
		return false;
	CHECK(run->mmio.gpa == sweep_next && run->mmio.write == sweep_write &&
	      run->mmio.size == 8, "%s of 0x%lx size %u, want %s of 0x%lx",
	      run->mmio.write ? "write" : "read", run->mmio.gpa,
	      run->mmio.size, sweep_write ? "write" : "read", sweep_next);
	if (sweep_write) {
		CHECK_EQ(run->mmio.data, sweep_next, "data written");
		sweep_next += sweep_step;
	} else {
		run->mmio.data = ~0ull;
	}
	sweep_write = !sweep_write;
	return true;
}

/* All of the first 4 GiB that is not memory, sampled. */
static void mmio_sweep(void)
{
	static const struct {
		u64 from, to, step;
	} ranges[] = {
		{ GUEST_RAM, GUEST_RAM + 16 * PAGE_SIZE, PAGE_SIZE },
		{ MiB, 0xfee00000, 4 * MiB + PAGE_SIZE },
		{ 0xfedff000, 0xfee00000, PAGE_SIZE },
		{ 0xfee01000, 0xfee04000, PAGE_SIZE },
		{ 0xfee02000, 0x100000000, MiB + 0x3000 },
		{ 0xfffff000, 0x100000000, PAGE_SIZE },
	};
	struct gshare *s;
	u32 i;

	vm_new(&vm, "sweep", 1, GUEST_RAM);
	s = vm_share(&vm);
	vm.on_exit = sweep_device;
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		s->arg[0] = sweep_next = ranges[i].from;
		s->arg[1] = ranges[i].to;
		s->arg[2] = sweep_step = ranges[i].step;
		sweep_write = false;
		vm_payload(&vm, 0, PL_gpa_sweep);
		run_done(&vm, 0);
		CHECK(sweep_next >= ranges[i].to, "the sweep ended at 0x%lx",
		      sweep_next);
	}
}

/* Segments taken away and added while the VM lives. */
static void mmio_segments(void)
{
	struct gshare *s;
	u32 i;

	vm_new(&vm, "segments", 1, GUEST_RAM);
	s = vm_share(&vm);
	vm.on_exit = sweep_device;
	for (i = 0; i < 4; i++) {
		s->arg[0] = sweep_next = 0x40000000;
		s->arg[1] = 0x40000000 + 4 * PAGE_SIZE;
		s->arg[2] = sweep_step = PAGE_SIZE;
		sweep_write = false;
		vm_payload(&vm, 0, PL_gpa_sweep);
		run_done(&vm, 0);
		CHECK(sweep_next == (i & 1 ? 0x40000000 : s->arg[1]),
		      "round %u: MMIO ended at 0x%lx", i, sweep_next);
		if (i & 1) {
			CHECK(!s->val[1], "new memory "
			      "reads 0x%lx", s->val[1]);
			CHECK(!seg_call(HC_MEMSEG_FREE, vm.id, 1),
			      "FREE fails");
		} else {
			CHECK(!seg_alloc(vm.id, 1, 0x40000000, 4 * PAGE_SIZE),
			      "ALLOC fails");
		}
	}
}

/* Addresses above 4 GiB, up to the last a guest can have. */
static void mmio_high(void)
{
	static const u64 gpas[] = {
		4 * GiB, 4 * GiB + 0x123000, 64 * GiB, 512 * GiB, 1ull << 43,
	};
	struct gshare *s;
	u32 i;

	vm_new(&vm, "high", 1, GUEST_RAM);
	s = vm_share(&vm);
	vm.on_exit = ram_device;
	for (i = 0; i <= ARRAY_SIZE(gpas); i++) {
		u64 gpa = i < ARRAY_SIZE(gpas) ? gpas[i] :
			  caps.max_gpa - PAGE_SIZE;

		if (gpa >= caps.max_gpa)
			continue;
		mmio_base = gpa;
		memset(page, 0, sizeof(page));
		reads = writes = 0;
		s->arg[0] = gpa;
		vm_payload(&vm, 0, PL_gpa_high);
		run_done(&vm, 0);
		CHECK(reads == 1 && writes == 1, "0x%lx: %u reads, %u writes",
		      gpa, reads, writes);
	}
	mmio_base = 0xd0000000;
}

/*
 * Memory that may be read only, in the device's place, written by us when the
 * guest tries to: to the guest it is as RAM, and its reads do not come here.
 */
#define ROM_SIZE	PAGE_SIZE_2M	/* in one piece */

static u8 *rom;

static bool rom_device(struct vm *v, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = v->run[vcpu];
	u64 off = run->mmio.gpa - mmio_base, data = run->mmio.data;

	if (exit != JOIST_EXIT_MMIO || run->mmio.gpa < mmio_base ||
	    off + run->mmio.size > ROM_SIZE)
		return refuse_device(v, vcpu, exit);
	CHECK(run->mmio.write, "a read of memory at 0x%lx comes out",
	      run->mmio.gpa);
	memcpy(rom + off, &data, run->mmio.size);
	writes++;
	return true;
}

static void rom_new(const char *name, u32 vcpus)
{
	struct joist_memseg m;

	vm_new(&vm, name, vcpus, GUEST_RAM);
	CHECK(!seg_alloc(vm.id, 1, mmio_base, ROM_SIZE), "ALLOC fails");
	CHECK(!seg_call(HC_MEMSEG_MAP, vm.id, 1), "MAP fails");
	CHECK(!seg_query(vm.id, 1, 0, &m) && m.len == ROM_SIZE,
	      "it lies in pieces");
	rom = (u8 *)m.hpa;
	CHECK(!seg_protect(vm.id, 1, JOIST_SEG_READ), "PROTECT fails");
	writes = 0;
}

static void mmio_rom(void)
{
	static const enum payload which[] = {
		PL_mmio, PL_mmio_rmw, PL_mmio_movs, PL_mmio_more,
	};
	u32 i;

	rom_new("rom", 1);
	vm.on_exit = rom_device;
	for (i = 0; i < ARRAY_SIZE(which); i++) {
		writes = 0;
		vm_payload(&vm, 0, which[i]);
		run_done(&vm, 0);
		CHECK(writes, "no write came out");
	}
}

static u64 switched;
static bool rom_hidden;

static bool rom_switcher(struct vm *v, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = v->run[vcpu];

	if (exit == JOIST_EXIT_IO && run->io.port == 0x320)
		return true;
	/* INS into it is a write as any other: dropped. */
	if (exit == JOIST_EXIT_MMIO && run->mmio.write &&
	    run->mmio.gpa - mmio_base - 0x480 < 16)
		return true;
	if (exit != JOIST_EXIT_MMIO || run->mmio.gpa != mmio_base + 8)
		return false;
	CHECK(run->mmio.write == !rom_hidden, "%s of %s memory",
	      run->mmio.write ? "write" : "read",
	      rom_hidden ? "hidden" : "read-only");
	if (rom_hidden)
		run->mmio.data = ~switched;
	else
		switched = run->mmio.data;
	CHECK(!seg_protect(v->id, 1, rom_hidden ? JOIST_SEG_READ : 0),
	      "PROTECT fails");
	rom_hidden = !rom_hidden;
	writes++;
	return true;
}

/* Taken away and put back between accesses, with code in it. */
static void mmio_rom_switch(void)
{
	static const u64 word = 0xc39090c312345678;
	/* movabs $word, %rax; ret */
	static const u8 code[] = {
		0x48, 0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3, 0x90, 0x90, 0xc3, 0xc3,
	};
	u32 i;

	rom_new("rom-switch", 1);
	for (i = 0; i < ROM_SIZE / 8; i++)
		((u64 *)rom)[i] = word;
	memcpy(rom + 0x1800, code, sizeof(code));
	rom_hidden = false;
	vm.on_exit = rom_switcher;
	vm_share(&vm)->arg[0] = word;
	vm_payload(&vm, 0, PL_rom_switch);
	run_done(&vm, 0);
	CHECK(writes == 400, "%u accesses, want 400", writes);
	for (i = 0; i < 0x1800 / 8; i++)
		CHECK(((u64 *)rom)[i] == word, "word %u is 0x%lx", i,
		      ((u64 *)rom)[i]);
}

static bool drop_device(struct vm *v, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = v->run[vcpu];

	if (exit != JOIST_EXIT_MMIO || run->mmio.gpa != mmio_base)
		return false;
	if (!run->mmio.write)
		run->mmio.data = 0x5a;
	writes++;
	return true;
}

/* No vCPU keeps a translation from before, on whatever core it ran. */
static void mmio_rom_vcpus(void)
{
	static const struct { u32 access, exits; } steps[] = {
		{ JOIST_SEG_RW, 0 }, { JOIST_SEG_READ, 1 }, { 0, 3 },
		{ JOIST_SEG_RW, 0 }, { 0, 3 }, { JOIST_SEG_READ, 1 },
	};
	u32 i, v, sum = 0;

	rom_new("rom-vcpus", 2);
	vm.on_exit = drop_device;
	memset(rom, 0, ROM_SIZE);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		CHECK(!seg_protect(vm.id, 1, steps[i].access), "PROTECT fails");
		for (v = 0; v < 2; v++) {
			writes = 0;
			vm_share(&vm)->arg[1] = steps[i].access;
			vm_payload(&vm, v, PL_rom_other);
			run_done(&vm, v);
			CHECK(writes == steps[i].exits, "step %u, vCPU %u: %u "
			      "accesses came out, want %u", i, v, writes,
			      steps[i].exits);
			sum += steps[i].access == JOIST_SEG_RW;
			CHECK_EQ(*(volatile u64 *)rom, sum, "memory");
		}
	}
}

/*
 * A page that was dropped is a device to every vCPU, one that came back is memory
 * and clean; the rest of the large page it was in stays as it was.
 */
static void mmio_dropped(void)
{
	struct joist_memseg m;
	u32 i, v, want;

	rom_new("dropped", 2);
	CHECK(!seg_protect(vm.id, 1, JOIST_SEG_RW), "PROTECT fails");
	vm.on_exit = drop_device;
	memset(rom, 0xa5, ROM_SIZE);
	*(u64 *)rom = 0;
	for (i = 0; i < 6; i++) {
		/* First as it is, then dropped and filled in turn. */
		if (i)
			CHECK(!seg_pages(i & 1 ? HC_MEMSEG_DROP : HC_MEMSEG_FILL,
					 vm.id, 1, 0, 1), "round %u fails", i);
		want = i & 1 ? 3 : 0;
		vm_share(&vm)->arg[1] = i & 1 ? 0 : JOIST_SEG_RW;
		for (v = 0; v < 2; v++) {
			writes = 0;
			vm_payload(&vm, v, PL_rom_other);
			run_done(&vm, v);
			CHECK(writes == want, "round %u, vCPU %u: %u accesses "
			      "came out, want %u", i, v, writes, want);
		}
		CHECK(!seg_query(vm.id, 1, 0, &m), "QUERY fails");
		CHECK((m.hpa == JOIST_NO_PAGE) == (i & 1), "it lies at 0x%lx",
		      m.hpa);
		if (i & 1)
			continue;
		CHECK_EQ(*(volatile u64 *)m.hpa, 2, "memory");
		for (v = 1; v < PAGE_SIZE / 8 && i; v++)
			CHECK(!((u64 *)m.hpa)[v], "word %u is not clean", v);
	}
	for (i = PAGE_SIZE / 8; i < ROM_SIZE / 8; i++)
		CHECK(((u64 *)rom)[i] == 0xa5a5a5a5a5a5a5a5, "word %u is 0x%lx",
		      i, ((u64 *)rom)[i]);
}

/* Page tables there cannot be marked accessed: an error, and no write. */
static void mmio_rom_tables(void)
{
	u64 *table, before;
	u32 exit;

	rom_new("rom-tables", 1);
	vm_payload(&vm, 0, PL_rom_tables);
	table = vm_ptr(&vm, GUEST_PT, PAGE_SIZE);
	memcpy(rom, table, PAGE_SIZE);
	before = *(u64 *)rom &= ~0x20ull;
	exit = run_user(&vm, 0);
	if (exit == JOIST_EXIT_IO && *(u64 *)rom != before)
		skip("this CPU marks entries in read-only memory");
	CHECK(exit == JOIST_EXIT_ERROR &&
	      vm.run[0]->error.code == JOIST_ERR_EMULATE, "exit %s, code %u",
	      exit_name(exit), vm.run[0]->error.code);
	CHECK_EQ(*(u64 *)rom, before, "entry");
}

#define BLOB(name)	extern const u8 blob_##name[], blob_##name##_end[]
BLOB(real_io);
BLOB(paging32);
BLOB(task32);

static char outs[4][64];
static u32 outs_len[4];
static u8 ins;

/* The page of RAM, and ports 0x320 .. 0x333 with string I/O. */
static bool small_machine(struct vm *v, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = v->run[vcpu];
	u32 i, n, p = run->io.port & 3;

	if (exit != JOIST_EXIT_IO || (run->io.port & ~0x13) != 0x320)
		return ram_device(v, vcpu, exit);
	n = run->io.count * run->io.size;
	CHECK(run->io.string == 1 && n && n <= JOIST_IO_BUF, "string %u count "
	      "%u size %u", run->io.string, run->io.count, run->io.size);
	for (i = 0; i < n; i++) {
		if (run->io.in)
			run->buf[i] = ins++;
		else if (outs_len[p] < sizeof(outs[p]) - 1)
			outs[p][outs_len[p]++] = (char)run->buf[i];
	}
	return true;
}

static void blob(const char *name, u32 bits, const u8 *start, const u8 *end,
		 const u32 *want, u32 n)
{
	u32 i;

	memset(page, 0, sizeof(page));
	memset(outs, 0, sizeof(outs));
	memset(outs_len, 0, sizeof(outs_len));
	ins = 0;
	vm_new(&vm, name, 1, GUEST_RAM);
	vm.on_exit = small_machine;
	vm_blob(&vm, 0, bits, start, end);
	run_done(&vm, 0);
	for (i = 0; i < n && i < vm.syncs; i++)
		CHECK(vm.sync[i] == want[i], "value %u is 0x%lx, want 0x%x", i,
		      vm.sync[i], want[i]);
	CHECK(vm.syncs == n, "%u values, want %u", vm.syncs, n);
}

static void mmio_real16(void)
{
	static const u32 want[] = {
		10, 0, 0x03020100, 0x07060504, 1, 8, 0x07420741, 0x0742, 1,
	};

	mmio_base = 0xb8000;
	blob("real-io", 16, blob_real_io, blob_real_io_end, want,
	     ARRAY_SIZE(want));
	mmio_base = 0xd0000000;
	CHECK(!strcmp(outs[1], "0123456789"), "REP OUTSB gives '%s'", outs[1]);
	CHECK(!strcmp(outs[2], "0123456789ab"), "A32 REP OUTSD gives '%s'",
	      outs[2]);
	CHECK(outs_len[3] == 2, "REP OUTSB over 64 KiB gives %u bytes",
	      outs_len[3]);
	CHECK(!memcmp(page, "\x41\x07\x42\x07\x42\x07\x42\x07", 8),
	      "video memory is 0x%lx", *(u64 *)page);
}

static void mmio_paging32(void)
{
	static const u32 want[] = { 0x22, 0x55667788, 0xffffbbcc };

	blob("paging32", 32, blob_paging32, blob_paging32_end, want,
	     ARRAY_SIZE(want));
	CHECK(!strcmp(outs[1], "wxyz"), "REP OUTSB gives '%s'", outs[1]);
	CHECK(!strcmp(outs[2], "wxyz"), "REP OUTSB gives '%s'", outs[2]);
}

static void mmio_task(void)
{
	u32 exit;

	vm_new(&vm, "task", 1, GUEST_RAM);
	vm_blob(&vm, 0, 32, blob_task32, blob_task32_end);
	exit = run_user(&vm, 0);
	if (exit == JOIST_EXIT_ERROR)
		skip("task switches are not emulated (ERROR code %u)",
		     vm.run[0]->error.code);
	CHECK(exit == JOIST_EXIT_IO && vm.run[0]->io.data == 0x7a5c,
	      "exit %s, data 0x%lx", exit_name(exit), vm.run[0]->io.data);
	want_sync(&vm, 0, 0x20);
	run_done(&vm, 0);
}

static void small_payload(const char *name, enum payload which)
{
	memset(page, 0, sizeof(page));
	memset(outs, 0, sizeof(outs));
	memset(outs_len, 0, sizeof(outs_len));
	ins = 0;
	vm_new(&vm, name, 1, GUEST_RAM);
	vm.on_exit = small_machine;
	vm_payload(&vm, 0, which);
	run_done(&vm, 0);
}

static void mmio_io(void)
{
	small_payload("mmio-io", PL_mmio_io);
	CHECK(!strcmp(outs[0], "hello"), "REP OUTSB gives '%s'", outs[0]);
	CHECK(!strcmp(outs[1], "ABCDEFGH"), "REP OUTSD gives '%s'", outs[1]);
}

static void mmio_io_fault(void)
{
	small_payload("io-fault", PL_io_fault);
	CHECK_EQ(ins, 81, "bytes taken from the device");
}

const struct tcase cases_mmio[] = {
	{ "mmio/instructions", mmio_ops, 0 },
	{ "mmio/more-instructions", mmio_more, 0 },
	{ "mmio/read-modify-write", mmio_rmw, 0 },
	{ "mmio/movs", mmio_movs, 0 },
	{ "mmio/cross", mmio_cross, 0 },
	{ "mmio/cross-fault", mmio_cross_fault, 0 },
	{ "mmio/string-io", mmio_io, 0 },
	{ "mmio/string-io-fault", mmio_io_fault, 0 },
	{ "mmio/errors", mmio_errors, 0 },
	{ "mmio/emulate", mmio_emulate, 0 },
	{ "mmio/read-only", mmio_rom, 0 },
	{ "mmio/read-only-switch", mmio_rom_switch, 0 },
	{ "mmio/read-only-vcpus", mmio_rom_vcpus, 0 },
	{ "mmio/dropped", mmio_dropped, 0 },
	{ "mmio/read-only-tables", mmio_rom_tables, 0 },
	{ "mmio/sweep", mmio_sweep, 0 },
	{ "mmio/segments", mmio_segments, 0 },
	{ "mmio/high", mmio_high, 0 },
	{ "mmio/real-mode", mmio_real16, 0 },
	{ "mmio/32-bit-paging", mmio_paging32, 0 },
	{ "mmio/task-switch", mmio_task, 0 },
	{ 0 },
};
