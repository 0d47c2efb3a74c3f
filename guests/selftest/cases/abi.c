/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abi.c -- the hypercall itself: numbers, blocks, callers, reserved bytes.
 */
#include "guests/selftest/cases/case.h"

static u8 area[3 * 4096] __aligned(4096);

static void abi_version(void)
{
	struct joist_version v;

	memset(&v, 0, sizeof(v));
	HC_OK(HC_VERSION, &v);
	CHECK_EQ(v.abi, JOIST_ABI_VERSION, "abi");
	CHECK(v.debug <= 1, "debug is %u", v.debug);
	CHECK(v.version[0] && !v.version[sizeof(v.version) - 1],
	      "version is empty or not terminated");
}

static void abi_capabilities(void)
{
	struct joist_capabilities c = { 0 };
	u32 r[4];

	HC_OK(HC_CAPABILITIES, &c);
	CHECK(c.vendor == JOIST_VENDOR_VMX || c.vendor == JOIST_VENDOR_SVM,
	      "vendor %u", c.vendor);
	cpuid(JOIST_CPUID_BASE + 1, 0, r);
	CHECK(r[1] & (c.vendor == JOIST_VENDOR_VMX ? JOIST_CPUID_VMCALL :
						     JOIST_CPUID_VMMCALL),
	      "CPUID offers the wrong hypercall instruction (EBX 0x%x)", r[1]);
	CHECK(c.pcpus >= 1 && c.pcpus >= cpu_count, "%u cores, %u here",
	      c.pcpus, cpu_count);
	CHECK(c.max_vms && c.max_vms <= JOIST_MAX_VMS, "max_vms %u", c.max_vms);
	CHECK(c.max_vcpus && c.max_vcpus <= JOIST_MAX_VCPUS, "max_vcpus %u",
	      c.max_vcpus);
	CHECK(c.max_memsegs && c.max_memsegs <= JOIST_MAX_MEMSEGS,
	      "max_memsegs %u", c.max_memsegs);
	CHECK(c.tsc_khz > 1000, "tsc_khz %u", c.tsc_khz);
	CHECK((has_xsave() ? c.xstate_size >= 576 : c.xstate_size == 512) &&
	      c.xstate_size <= JOIST_XSTATE_MAX,
	      "xstate_size %u", c.xstate_size);
	CHECK(c.pool_total && c.pool_free <= c.pool_total &&
	      !(c.pool_total % PAGE_SIZE) && !(c.pool_free % PAGE_SIZE),
	      "pool 0x%lx, free 0x%lx", c.pool_total, c.pool_free);
	CHECK(c.hypervisor_bytes && c.hypervisor_bytes < GiB,
	      "hypervisor_bytes 0x%lx", c.hypervisor_bytes);
	CHECK(c.control_bytes > (u64)image_end - 16 * MiB,
	      "control_bytes 0x%lx", c.control_bytes);
	CHECK(c.max_gpa >= 4 * GiB && !(c.max_gpa & (c.max_gpa - 1)),
	      "max_gpa 0x%lx", c.max_gpa);
}

/* RAM the loader told of, what Joist calls control_bytes, within reason. */
static void abi_memmap(void)
{
	u64 ram = 0;
	u32 i;

	for (i = 0; i < memmap_count; i++) {
		CHECK(memmap[i].size, "memory map entry %u is empty", i);
		if (memmap[i].type == 1)
			ram += memmap[i].size;
	}
	CHECK(memmap_count, "there is no memory map");
	CHECK(ram <= caps.control_bytes, "0x%lx bytes of RAM in the map, "
	      "control_bytes 0x%lx", ram, caps.control_bytes);
	CHECK(ram + 2 * MiB >= caps.control_bytes, "0x%lx bytes of RAM in the "
	      "map, control_bytes 0x%lx", ram, caps.control_bytes);
}

static void abi_number(void)
{
	static const u64 bad[] = {
		HC_COUNT, HC_COUNT + 1, 255, 256, 0x7fffffff, 0x80000000,
		0xffffffff, 0x100000000, 0x100000000 | HC_COUNT,
		0x7fffffffffffffff, 0x8000000000000000, ~0ull,
	};
	u32 i;
	s64 ret;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ret = hc_raw(bad[i], (u64)area);
		CHECK(ret == -ENOSYS, "call number 0x%lx gives %ld", bad[i],
		      ret);
	}
}

static void bad_block(u32 nr, u64 gpa, const char *what)
{
	s64 ret = hc_raw(nr, gpa);

	CHECK(ret == -EINVAL || ret == -EFAULT,
	      "%s with its block %s (0x%lx) gives %ld", hc_name(nr), what, gpa,
	      ret);
}

static void abi_block(void)
{
	u32 nr, id, i;
	struct joist_memseg m;
	u64 pool;
	s64 ret;

	ret = vm_create("abi-block", 1, &id);
	CHECK(!ret, "CREATE gives %ld", ret);
	ret = seg_alloc(id, 0, 0, 16 * PAGE_SIZE);
	CHECK(!ret, "ALLOC gives %ld", ret);
	CHECK(!seg_query(id, 0, 0, &m), "QUERY fails");
	pool = m.hpa;
	for (nr = 0; nr < HC_COUNT; nr++) {
		if (nr == HC_VERIFY && !hc_debug)
			continue;
		memset(area, 0, sizeof(area));
		for (i = 1; i < 8; i++)
			bad_block(nr, (u64)area + i, "misaligned");
		if (hc_size(nr) > 8)
			bad_block(nr, (u64)area + 4096 - 8, "across pages");
		if (hc_size(nr) > 8)
			bad_block(nr, (u64)area + 4096 - hc_size(nr) + 8,
				  "8 bytes over the page's end");
		bad_block(nr, pool, "in an unmapped guest page");
		bad_block(nr, caps.max_gpa, "beyond all memory");
		bad_block(nr, ~0ull & ~7ull, "at the end of the space");
		bad_block(nr, 1ull << 52, "beyond physical addresses");
		bad_block(nr, 1ull << 63, "at bit 63");
		bad_block(nr, 0xfee00000, "in the LAPIC page");
	}
	/* In mapped guest memory: refused or served, but nothing worse. */
	ret = seg_call(HC_MEMSEG_MAP, id, 0);
	CHECK(!ret, "MAP gives %ld", ret);
	memset((void *)pool, 0, PAGE_SIZE);
	ret = hc_raw(HC_VERSION, pool);
	CHECK(!ret || ret == -EFAULT || ret == -EINVAL,
	      "a block in mapped guest memory gives %ld", ret);
	/* The last place in a page that is still right. */
	memset(area, 0, sizeof(area));
	ret = hc_raw(HC_VERSION, (u64)area + 4096 -
				 sizeof(struct joist_version));
	CHECK(!ret, "VERSION at the end of a page gives %ld", ret);
}

/* Registers around a call; the asm has none left to point at these with. */
enum { IN_RCX, IN_RDX, IN_RBX, IN_RBP, IN_RSI, IN_R8, IN_R15 = IN_R8 + 7,
       IN_COUNT };
u64 abi_in[IN_COUNT], abi_out[IN_COUNT], abi_rdi, abi_flags;

static void abi_registers(void)
{
	u64 rax = HC_VERSION;
	u32 i;

	memset(area, 0, sizeof(area));
	for (i = 0; i < IN_COUNT; i++)
		abi_in[i] = 0x1111111111111111ull * (i + 1);
#define IN(n, reg)	"movq abi_in + 8 * " #n ", %%" #reg "\n\t"
#define OUT(n, reg)	"movq %%" #reg ", abi_out + 8 * " #n "\n\t"
#define ALL(X)								\
	X(0, rcx) X(1, rdx) X(2, rbx) X(3, rbp) X(4, rsi) X(5, r8)	\
	X(6, r9) X(7, r10) X(8, r11) X(9, r12) X(10, r13) X(11, r14)	\
	X(12, r15)
	asm volatile("pushq %%rbp\n\tpushq %%rbx\n\t"
		     ALL(IN)
		     "cmpb $0, hc_vmmcall\n\tstc\n\tje 1f\n\t"
		     "vmmcall\n\tjmp 2f\n"
		     "1:\tvmcall\n"
		     "2:\tpushfq\n\tpopq abi_flags\n\t"
		     "movq %%rdi, abi_rdi\n\t"
		     ALL(OUT)
		     "popq %%rbx\n\tpopq %%rbp"
		     : "+a"(rax) : "D"(area)
		     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12",
		       "r13", "r14", "r15", "memory", "cc");
#undef IN
#undef OUT
#undef ALL
	CHECK_EQ(rax, 0, "RAX");
	CHECK_EQ(abi_rdi, (u64)area, "RDI");
	CHECK_EQ(abi_flags & 1, 1, "the carry flag");
	for (i = 0; i < IN_COUNT; i++)
		CHECK(abi_out[i] == abi_in[i], "register %u was 0x%lx, is "
		      "0x%lx", i, abi_in[i], abi_out[i]);
}

static void abi_cpl3(void)
{
	u32 nr;
	u64 ret;

	memset(area, 0, sizeof(area));
	for (nr = 0; nr < HC_COUNT; nr++) {
		ret = user_hypercall(nr, (u64)area, hc_vmmcall);
		CHECK(ret == FAULT(X_UD) || ret == (u64)-EPERM,
		      "%s at CPL 3 gives 0x%lx", hc_name(nr), ret);
	}
	for (nr = 0; nr < sizeof(area); nr++)
		CHECK(!area[nr], "a call at CPL 3 wrote to its block");
}

/* The instruction of the other vendor must fault, or do the same. */
static void abi_other_insn(void)
{
	u32 f;
	s64 ret = 0;

	memset(area, 0, sizeof(area));
	if (hc_vmmcall)
		TRY(f, "vmcall", LIST(, "+a"(ret)), "D"(area));
	else
		TRY(f, "vmmcall", LIST(, "+a"(ret)), "D"(area));
	CHECK(f == FAULT(X_UD) || (!f && !ret),
	      "the other vendor's hypercall gives fault 0x%x, RAX %ld", f, ret);
}

/* Reserved fields: one bit at a time must be refused, and change nothing. */
static void reserved(u32 nr, const void *good, size_t off, size_t len,
		     const char *what)
{
	u8 block[4096];
	size_t i;
	s64 ret;

	for (i = 0; i < len; i++) {
		memcpy(block, good, hc_size(nr));
		block[off + i] = (u8)(1 << (i & 7));
		ret = hc_block(nr, block, hc_size(nr));
		CHECK(ret == -EINVAL, "%s with byte %lu of %s set gives %ld",
		      hc_name(nr), (u64)i, what, ret);
	}
}

#define RESERVED(nr, block, field)					\
	reserved(nr, &(block), offsetof(typeof(block), field),		\
		 sizeof((block).field), #field)

static void abi_reserved(void)
{
	static struct vm vm;
	struct joist_create c = { .vcpus = 1, .name = "abi-reserved-2" };
	struct joist_regs_args r = { .mask = JOIST_REGS_GPR };
	struct joist_vmparam_args p = { .param = JOIST_PARAM_TSC_KHZ };
	struct joist_memseg m = { .seg = 1, .gpa = MiB, .size = PAGE_SIZE };
	struct joist_run_args run = { 0 };
	struct joist_stats st = { 0 };
	struct joist_log log = { 0 };
	struct joist_pool pool = { 0 };
	struct joist_mitigation mit = { 0 };
	struct joist_xstate x = { .size = caps.xstate_size };
	struct joist_intr in = { .type = JOIST_INTR_NMI };

	vm_new(&vm, "abi-reserved", 1, GUEST_RAM);
	RESERVED(HC_CREATE, c, flags);
	r.head.vm = p.head.vm = m.head.vm = run.head.vm = vm.id;
	st.head.vm = x.head.vm = in.head.vm = vm.id;
	RESERVED(HC_READREGS, r, reserved);
	RESERVED(HC_WRITEREGS, r, reserved);
	RESERVED(HC_RESETCPU, r, reserved);
	RESERVED(HC_READVMPARAMS, p, reserved);
	RESERVED(HC_MEMSEG_ALLOC, m, flags);
	RESERVED(HC_RUN, run, reserved);
	RESERVED(HC_STATS, st, reserved);
	RESERVED(HC_LOG, log, reserved);
	RESERVED(HC_POOL, pool, reserved);
	RESERVED(HC_POOL, pool, head);
	RESERVED(HC_MITIGATION, mit, reserved);
	RESERVED(HC_MITIGATION, mit, head);
	RESERVED(HC_READXSTATE, x, reserved);
	RESERVED(HC_WRITEXSTATE, x, reserved);
	in.flags = 2;
	HC_WANT(HC_INTR, &in, -EINVAL);
	in.flags = 0x80000000;
	HC_WANT(HC_INTR, &in, -EINVAL);
	/* And the good blocks are good. */
	HC_OK(HC_READREGS, &r);
	HC_OK(HC_READVMPARAMS, &p);
	HC_OK(HC_STATS, &st);
	HC_OK(HC_LOG, &log);
	HC_OK(HC_POOL, &pool);
	HC_OK(HC_MITIGATION, &mit);
	HC_OK(HC_READXSTATE, &x);
	HC_OK(HC_MEMSEG_ALLOC, &m);
}

/* Ids that name nothing. */
static void abi_ids(void)
{
	static struct vm vm;
	u8 block[4096];
	struct joist_head *h = (struct joist_head *)block;
	static const u32 about_vm[] = {
		HC_DESTROY, HC_TERM, HC_RUN, HC_RESETCPU, HC_INTR, HC_READREGS,
		HC_WRITEREGS, HC_READVMPARAMS, HC_WRITEVMPARAMS,
		HC_MEMSEG_ALLOC, HC_MEMSEG_FREE, HC_MEMSEG_MAP,
		HC_MEMSEG_UNMAP, HC_MEMSEG_PROTECT, HC_MEMSEG_QUERY,
		HC_MEMSEG_DROP, HC_MEMSEG_FILL, HC_STATS, HC_READXSTATE,
		HC_WRITEXSTATE, HC_READLAPIC, HC_WRITELAPIC,
	};
	static const u32 about_vcpu[] = {
		HC_RUN, HC_RESETCPU, HC_INTR, HC_READREGS, HC_WRITEREGS,
		HC_STATS, HC_READXSTATE, HC_WRITEXSTATE, HC_READLAPIC,
		HC_WRITELAPIC,
	};
	u32 i, j, bad[] = { 0, 0, 0xffffffff, 0x80000000, 0x7fffffff };
	s64 ret;

	vm_new(&vm, "abi-ids", 2, GUEST_RAM);
	for (i = 0; i < ARRAY_SIZE(about_vm); i++) {
		for (j = 0; j < ARRAY_SIZE(bad); j++) {
			/* STATS of VM 0 is that of the control VM. */
			if (about_vm[i] == HC_STATS && !bad[j] && j != 1)
				continue;
			memset(block, 0, sizeof(block));
			h->vm = j == 1 ? vm.id + 1 : bad[j];
			ret = hc_block(about_vm[i], block,
				       hc_size(about_vm[i]));
			CHECK(ret == -ENOENT || (!h->vm && ret == -EINVAL),
			      "%s of VM 0x%x gives %ld", hc_name(about_vm[i]),
			      h->vm, ret);
		}
	}
	bad[0] = 2;
	bad[1] = 32;
	for (i = 0; i < ARRAY_SIZE(about_vcpu); i++) {
		for (j = 0; j < ARRAY_SIZE(bad); j++) {
			memset(block, 0, sizeof(block));
			h->vm = vm.id;
			h->vcpu = bad[j];
			ret = hc_block(about_vcpu[i], block,
				       hc_size(about_vcpu[i]));
			CHECK(ret == -ENOENT || ret == -EINVAL,
			      "%s of vCPU 0x%x gives %ld",
			      hc_name(about_vcpu[i]), bad[j], ret);
		}
	}
	/* An id that was good until the VM went. */
	vm_destroy(vm.id);
	for (i = 0; i < ARRAY_SIZE(about_vm); i++) {
		memset(block, 0, sizeof(block));
		h->vm = vm.id;
		ret = hc_block(about_vm[i], block, hc_size(about_vm[i]));
		CHECK(ret == -ENOENT, "%s of a destroyed VM gives %ld",
		      hc_name(about_vm[i]), ret);
	}
}

/* What is done about the CPU's vulnerabilities: each has a name and says one of three. */
static void abi_mitigations(void)
{
	static const char *const ways[] = { "Not affected", "Mitigation: ", "Vulnerable" };
	struct joist_mitigation m = { 0 };
	u32 n, i;

	for (n = 0; !HC(HC_MITIGATION, &m); n++) {
		CHECK(m.index == n + 1, "index %u after %u", m.index, n);
		CHECK(m.name[0] && !m.name[sizeof(m.name) - 1], "no name at %u", n);
		CHECK(!m.text[sizeof(m.text) - 1], "text of %s does not end", m.name);
		for (i = 0; i < ARRAY_SIZE(ways); i++)
			if (!memcmp(m.text, ways[i], strlen(ways[i])))
				break;
		CHECK(i < ARRAY_SIZE(ways), "%s says '%s'", m.name, m.text);
	}
	CHECK(n > 10, "only %u vulnerabilities", n);
	HC_WANT(HC_MITIGATION, &m, -ENOENT);
	m.index = 0xffffffff;
	HC_WANT(HC_MITIGATION, &m, -ENOENT);
}

static void abi_log(void)
{
	struct joist_log log = { 0 };
	u64 total = 0, last;
	u32 i, rounds = 0;

	do {
		last = log.pos;
		HC_OK(HC_LOG, &log);
		CHECK(log.len <= sizeof(log.text), "len %u", log.len);
		CHECK(log.pos >= last + log.len, "pos 0x%lx after 0x%lx and "
		      "%u bytes", log.pos, last, log.len);
		for (i = 0; i < log.len; i++)
			CHECK((u8)log.text[i] >= ' ' || log.text[i] == '\n' ||
			      log.text[i] == '\t', "byte 0x%x in the log",
			      (u8)log.text[i]);
		total += log.len;
		CHECK(++rounds < 10000, "the log never ends");
	} while (log.len);
	CHECK(total, "the log is empty");
	/* Positions nobody was given. */
	log.pos = ~0ull;
	HC_OK(HC_LOG, &log);
	CHECK(log.len <= sizeof(log.text), "len %u", log.len);
	log.pos = 1ull << 63;
	HC_OK(HC_LOG, &log);
	log.pos = last + 1000000;
	HC_OK(HC_LOG, &log);
}

static void abi_stats(void)
{
	static struct vm vm;
	struct joist_stats s = { 0 }, t = { 0 };
	u32 i;

	HC_OK(HC_STATS, &s);
	CHECK(s.entries == JOIST_STAT_COUNT && s.entries <= 48, "entries %u",
	      s.entries);
	for (i = s.entries; i < 48; i++)
		CHECK(!s.count[i], "count %u is not used", i);
	HC_OK(HC_STATS, &t);
	CHECK(t.count[JOIST_STAT_HYPERCALL] == s.count[JOIST_STAT_HYPERCALL] +
	      1, "the hypercall counter went from %lu to %lu by one call",
	      s.count[JOIST_STAT_HYPERCALL], t.count[JOIST_STAT_HYPERCALL]);
	s.head.vcpu = caps.pcpus;
	i = (u32)-HC(HC_STATS, &s);
	CHECK(i == ENOENT || i == EINVAL, "STATS of core %u gives -%u",
	      caps.pcpus, i);

	vm_new(&vm, "stats", 1, GUEST_RAM);
	t = (struct joist_stats){ .head = { vm.id, 0 } };
	HC_OK(HC_STATS, &t);
	CHECK(!t.runs, "%lu runs before the first", t.runs);
	for (i = 0; i < t.entries; i++)
		CHECK(!t.count[i], "count %u is %lu before the first run", i,
		      t.count[i]);
	vm_payload(&vm, 0, PL_hello);
	run_done(&vm, 0);
	HC_OK(HC_STATS, &t);
	CHECK(t.runs >= 2, "%lu runs", t.runs);
	CHECK_EQ(t.count[JOIST_STAT_IO], 2, "I/O exits");
}

static void abi_verify(void)
{
	struct joist_vm v = { 0 };
	s64 ret = HC(HC_VERIFY, &v);

	if (!hc_debug && ret == -ENOSYS)
		skip("not a debug build");
	CHECK(!ret, "VERIFY gives %ld", ret);
}

const struct tcase cases_abi[] = {
	{ "abi/version", abi_version, 0 },
	{ "abi/capabilities", abi_capabilities, 0 },
	{ "abi/memmap", abi_memmap, 0 },
	{ "abi/number", abi_number, 0 },
	{ "abi/block", abi_block, 0 },
	{ "abi/registers", abi_registers, 0 },
	{ "abi/cpl3", abi_cpl3, 0 },
	{ "abi/other-instruction", abi_other_insn, 0 },
	{ "abi/reserved", abi_reserved, 0 },
	{ "abi/ids", abi_ids, 0 },
	{ "abi/log", abi_log, 0 },
	{ "abi/mitigations", abi_mitigations, 0 },
	{ "abi/stats", abi_stats, 0 },
	{ "abi/verify", abi_verify, 0 },
	{ 0 },
};
