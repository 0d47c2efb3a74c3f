/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c -- find out where we are, start the cores, run the cases, report.
 *
 * Output, for a program to read: a line per case, `ok NAME`, `FAIL NAME: why`
 * or `skip NAME: why`, and at the end `selftest: N passed, N failed, N
 * skipped`.
 */
#include "guests/selftest/cases/case.h"

#define START_MAGIC	0x336ec578u
#define COMMAND_LINE	2048

struct start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist, cmdline, rsdp, memmap;
	u32 memmap_entries, reserved;
};

struct memmap_entry {
	u64 addr, size;
	u32 type, reserved;
};

u64 rsdp;
static char cmdline[COMMAND_LINE];
const char *command_line = cmdline;
struct range memmap[128];
u32 memmap_count;
u64 pool_gone;

static const struct tcase *const lists[] = {
#define L(name)	cases_##name,
	CASE_LISTS(L)
#undef L
};

/* What a guest must never change in the control VM. */
struct control_state {
	u64 cr0, cr3, cr4, cr8, xcr0, dr6, dr7;
	u64 efer, star, lstar, cstar, sfmask, fs, gs, kgs;
	u64 sysenter_cs, sysenter_esp, sysenter_eip, pat, apic_base;
	u64 misc_enable;
};

static void control_state(struct control_state *s)
{
	memset(s, 0, sizeof(*s));
	s->cr0 = read_cr0();
	s->cr3 = read_cr3();
	s->cr4 = read_cr4();
	s->cr8 = read_cr8();
	s->xcr0 = s->cr4 & CR4_OSXSAVE ? xgetbv(0) : 0;
	s->dr6 = read_dr6();
	s->dr7 = read_dr7();
	s->efer = rdmsr(MSR_EFER);
	s->star = rdmsr(MSR_STAR);
	s->lstar = rdmsr(MSR_LSTAR);
	s->cstar = rdmsr(MSR_CSTAR);
	s->sfmask = rdmsr(MSR_SFMASK);
	s->fs = rdmsr(MSR_FS_BASE);
	s->gs = rdmsr(MSR_GS_BASE);
	s->kgs = rdmsr(MSR_KERNEL_GS_BASE);
	s->sysenter_cs = rdmsr(MSR_SYSENTER_CS);
	s->sysenter_esp = rdmsr(MSR_SYSENTER_ESP);
	s->sysenter_eip = rdmsr(MSR_SYSENTER_EIP);
	s->pat = rdmsr(MSR_PAT);
	s->apic_base = rdmsr(MSR_APIC_BASE);
}

bool memmap_is_ram(u64 addr)
{
	u32 i;

	for (i = 0; i < memmap_count; i++)
		if (memmap[i].type == 1 && addr >= memmap[i].start &&
		    addr - memmap[i].start < memmap[i].size)
			return true;
	return false;
}

/* All copied out: cases may use any RAM that is not our image. */
static void start_info_read(const struct start_info *si)
{
	const struct memmap_entry *e;
	const char *s = (const char *)si->cmdline;
	u32 i;

	for (i = 0; s && s[i] && i < COMMAND_LINE - 1; i++)
		cmdline[i] = s[i];
	if (si->version < 1)
		return;
	e = (const struct memmap_entry *)si->memmap;
	for (i = 0; i < si->memmap_entries && i < ARRAY_SIZE(memmap); i++)
		memmap[memmap_count++] = (struct range){
			e[i].addr, e[i].size, e[i].type,
		};
}

/* Whatever a case left: cores in RUN, VMs, a timer. */
static void sweep_up(void)
{
	struct joist_info info = { 0 };
	struct joist_vm vm;
	u64 limit = rdtsc() + us(20000000);
	u32 i;

	timer_arm(JOIST_NO_DEADLINE);
	sweeping = 1;
	while (!HC(HC_INFO, &info)) {
		vm = (struct joist_vm){ .head = { info.head.vm, 0 } };
		HC(HC_TERM, &vm);
		for (i = 1; i < cpu_count; i++)
			if (!job_done(i))
				apic_ipi(i, VEC_KICK);
		vm_destroy(info.head.vm);
		info = (struct joist_info){ 0 };
	}
	for (i = 1; i < cpu_count; i++)
		while (!job_done(i))
			CHECK(rdtsc() < limit, "core %u does not come back", i);
	irq_window();
}

/* 0: passed, else JUMP_*; the reason is in case_why. */
static int run_case(const struct tcase *t)
{
	struct control_state before, after;
	struct joist_vm verify = { 0 };
	char why[sizeof(case_why)];
	struct jump here;
	u64 pool;
	s64 ret;
	volatile int how;

	if (t->cpus > cpu_count) {
		format(case_why, sizeof(case_why), "needs %u cores, has %u",
		       t->cpus, cpu_count);
		return JUMP_SKIP;
	}
	pool = pool_free();
	pool_gone = 0;
	control_state(&before);
	sweeping = 0;
	this_cpu()->escape = &here;
	how = jump_set(&here);
	if (!how)
		t->fn();
	memcpy(why, case_why, sizeof(why));
	/* A second way out, for what goes wrong in here. */
	if (jump_set(&here)) {
		this_cpu()->escape = NULL;
		if (how == JUMP_FAIL)
			print("# %s: %s\n", t->name, why);
		return JUMP_FAIL;
	}
	sweep_up();
	if (how) {
		memcpy(case_why, why, sizeof(why));
	} else {
		control_state(&after);
		CHECK(!memcmp(&before, &after, sizeof(before)),
		      "control registers or MSRs of this VM have changed "
		      "(first at 64-bit word %u)", ({
			u32 i_ = 0;
			while (((u64 *)&before)[i_] == ((u64 *)&after)[i_])
				i_++;
			i_; }));
		CHECK(pool_free() == pool - pool_gone, "the pool had 0x%lx bytes free, "
		      "now 0x%lx", pool, pool_free());
		ret = HC(HC_VERIFY, &verify);
		CHECK(hc_debug ? !ret : !ret || ret == -ENOSYS,
		      "VERIFY gives %ld", ret);
	}
	this_cpu()->escape = NULL;
	return how;
}

__noreturn static void run_cases(void)
{
	u32 passed = 0, failed = 0, skipped = 0, l;
	char pattern[128] = "*", skips[256] = "";
	const struct tcase *t;
	u64 start;
	bool timing = option_number("time", 0);

	option_word(pattern, sizeof(pattern), "cases");
	option_word(skips, sizeof(skips), "skip");
	for (l = 0; l < ARRAY_SIZE(lists); l++) {
		for (t = lists[l]; t->name; t++) {
			if (!glob(pattern, t->name))
				continue;
			if (glob(skips, t->name)) {
				skipped++;
				print("skip %s: left out by skip=\n", t->name);
				continue;
			}
			if (option_number("verbose", 0))
				print("# %s\n", t->name);
			start = rdtsc();
			switch (run_case(t)) {
			case 0:
				passed++;
				print("ok %s\n", t->name);
				break;
			case JUMP_SKIP:
				skipped++;
				print("skip %s: %s\n", t->name, case_why);
				break;
			default:
				failed++;
				print("FAIL %s: %s\n", t->name, case_why);
			}
			if (timing)
				print("# %s: %lu us\n", t->name,
				      (rdtsc() - start) * 1000 / tsc_khz);
		}
	}
	print("selftest: %u passed, %u failed, %u skipped\n", passed, failed,
	      skipped);
	finish(failed || !(passed + skipped));
}

void selftest_main(const struct start_info *si);
void selftest_main(const struct start_info *si)
{
	uart_init();
	cpu_init(&cpus[0]);
	if (si->magic != START_MAGIC) {
		print("selftest: no PVH start info\n");
		finish(1);
	}
	start_info_read(si);
	/* All lines of the 8259s masked: nothing here uses them. */
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	apic_setup();
	timer_calibrate();
	if (!hc_init())
		finish(1);
	random_seed(option_number("seed", 1));
	rsdp = si->rsdp;
	cpus_start(rsdp);
	print("selftest: %s%s, %u of %u cores, pool 0x%lx bytes, seed %lu\n",
	      caps.vendor == JOIST_VENDOR_VMX ? "VMX" : "SVM",
	      hc_debug ? ", debug build" : "", cpu_count, caps.pcpus,
	      caps.pool_total, option_number("seed", 1));
	run_cases();
}
