/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hc.c -- the hypercall itself, and the few calls everything needs.
 */
#include "guests/selftest/hc.h"

#define KVM_BASE	0x40000000u

bool hc_vmmcall, hc_debug;
struct joist_capabilities caps;

static const struct {
	const char *name;
	size_t size;
} calls[HC_COUNT] = {
	[HC_VERSION]		= { "VERSION", sizeof(struct joist_version) },
	[HC_CAPABILITIES]	= { "CAPABILITIES", sizeof(struct joist_capabilities) },
	[HC_CREATE]		= { "CREATE", sizeof(struct joist_create) },
	[HC_DESTROY]		= { "DESTROY", sizeof(struct joist_vm) },
	[HC_TERM]		= { "TERM", sizeof(struct joist_vm) },
	[HC_INFO]		= { "INFO", sizeof(struct joist_info) },
	[HC_RUN]		= { "RUN", sizeof(struct joist_run_args) },
	[HC_RESETCPU]		= { "RESETCPU", sizeof(struct joist_regs_args) },
	[HC_INTR]		= { "INTR", sizeof(struct joist_intr) },
	[HC_READREGS]		= { "READREGS", sizeof(struct joist_regs_args) },
	[HC_WRITEREGS]		= { "WRITEREGS", sizeof(struct joist_regs_args) },
	[HC_READVMPARAMS]	= { "READVMPARAMS", sizeof(struct joist_vmparam_args) },
	[HC_WRITEVMPARAMS]	= { "WRITEVMPARAMS", sizeof(struct joist_vmparam_args) },
	[HC_MEMSEG_ALLOC]	= { "MEMSEG_ALLOC", sizeof(struct joist_memseg) },
	[HC_MEMSEG_FREE]	= { "MEMSEG_FREE", sizeof(struct joist_memseg) },
	[HC_MEMSEG_MAP]		= { "MEMSEG_MAP", sizeof(struct joist_memseg) },
	[HC_MEMSEG_UNMAP]	= { "MEMSEG_UNMAP", sizeof(struct joist_memseg) },
	[HC_MEMSEG_PROTECT]	= { "MEMSEG_PROTECT", sizeof(struct joist_memseg) },
	[HC_MEMSEG_QUERY]	= { "MEMSEG_QUERY", sizeof(struct joist_memseg) },
	[HC_STATS]		= { "STATS", sizeof(struct joist_stats) },
	[HC_LOG]		= { "LOG", sizeof(struct joist_log) },
	[HC_READXSTATE]		= { "READXSTATE", sizeof(struct joist_xstate) },
	[HC_WRITEXSTATE]	= { "WRITEXSTATE", sizeof(struct joist_xstate) },
	[HC_READLAPIC]		= { "READLAPIC", sizeof(struct joist_lapic) },
	[HC_WRITELAPIC]		= { "WRITELAPIC", sizeof(struct joist_lapic) },
	[HC_MEMSEG_DROP]	= { "MEMSEG_DROP", sizeof(struct joist_pages) },
	[HC_MEMSEG_FILL]	= { "MEMSEG_FILL", sizeof(struct joist_pages) },
	[HC_POOL]		= { "POOL", sizeof(struct joist_pool) },
	[HC_MITIGATION]		= { "MITIGATION", sizeof(struct joist_mitigation) },
	[HC_ACCESS]		= { "ACCESS", sizeof(struct joist_access) },
	[HC_VERIFY]		= { "VERIFY", sizeof(struct joist_vm) },
};

const char *hc_name(u32 nr)
{
	return nr < HC_COUNT ? calls[nr].name : "?";
}

size_t hc_size(u32 nr)
{
	return nr < HC_COUNT ? calls[nr].size : 4096;
}

static s64 hc_instruction(u64 nr, u64 gpa)
{
	s64 ret;

	if (hc_vmmcall)
		asm volatile("vmmcall" : "=a"(ret) : "a"(nr), "D"(gpa)
			     : "memory");
	else
		asm volatile("vmcall" : "=a"(ret) : "a"(nr), "D"(gpa)
			     : "memory");
	return ret;
}

u64 hc_longest[HC_COUNT];
bool hc_counted;

/* Each instruction is one tick, as in an emulator that is told so. */
static void find_out_ticks(void)
{
	u64 start, ticks, i;
	u32 round;

	for (round = 0; round < 8; round++) {
		i = 50000;
		start = rdtsc();
		asm volatile("1: decq %0\n\tjnz 1b" : "+r"(i) : : "cc");
		ticks = rdtsc() - start;
		if (ticks < 100000 || ticks > 100100)
			return;
	}
	hc_counted = true;
}

s64 hc_raw(u64 nr, u64 gpa)
{
	u64 start = rdtsc();
	s64 ret = hc_instruction(nr, gpa);
	u64 ticks = rdtsc() - start;

	if (nr < HC_COUNT && ticks > hc_longest[nr])
		hc_longest[nr] = ticks;
	return ret;
}

s64 hc_raw_copy(u32 nr, void *block, size_t size)
{
	u8 *page = this_cpu()->block;
	s64 ret;

	memcpy(page, block, size);
	ret = hc_raw(nr, (u64)page);
	memcpy(block, page, size);
	return ret;
}

s64 hc_block(u32 nr, void *block, size_t size)
{
	u8 *page = this_cpu()->block;
	s64 ret;

	memcpy(page, block, size);
	ret = hc_raw(nr, (u64)page);
	if (ret >= 0 || ret == -EAGAIN)
		memcpy(block, page, size);
	else
		CHECK(!memcmp(page, block, size),
		      "%s fails with %ld and changes its block",
		      hc_name(nr), ret);
	return ret;
}

bool hc_init(void)
{
	struct joist_version ver = { 0 };
	u32 r[4];
	s64 ret;

	cpuid(JOIST_CPUID_BASE, 0, r);
	if (r[0] < JOIST_CPUID_BASE + 1 || r[0] > JOIST_CPUID_BASE + 0xff ||
	    r[1] != JOIST_CPUID_EBX || r[2] != JOIST_CPUID_ECX ||
	    r[3] != JOIST_CPUID_EDX) {
		print("selftest: not running on Joist (CPUID leaf 0x%x is "
		      "%x %x %x %x)\n", JOIST_CPUID_BASE, r[0], r[1], r[2],
		      r[3]);
		return false;
	}
	cpuid(JOIST_CPUID_BASE + 1, 0, r);
	if (r[0] != JOIST_ABI_VERSION) {
		print("selftest: built for ABI %u, Joist has %u\n",
		      JOIST_ABI_VERSION, r[0]);
		return false;
	}
	if (!(r[1] & JOIST_CPUID_CONTROL)) {
		print("selftest: Joist says this is not its control VM\n");
		return false;
	}
	hc_vmmcall = r[1] & JOIST_CPUID_VMMCALL;
	ret = HC(HC_VERSION, &ver);
	if (ret) {
		print("selftest: VERSION gives %ld\n", ret);
		return false;
	}
	ret = HC(HC_CAPABILITIES, &caps);
	if (ret) {
		print("selftest: CAPABILITIES gives %ld\n", ret);
		return false;
	}
	hc_debug = ver.debug;
	tsc_khz = caps.tsc_khz;
	find_out_ticks();
	return true;
}

u64 pool_free(void)
{
	struct joist_capabilities c = { 0 };

	HC_OK(HC_CAPABILITIES, &c);
	return c.pool_free;
}

u64 stat_get(u32 vm, u32 vcpu, u32 stat)
{
	struct joist_stats s = { .head = { vm, vcpu } };

	HC_OK(HC_STATS, &s);
	CHECK(s.entries > stat, "STATS knows %u counters only", s.entries);
	return s.count[stat];
}
