/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apic.c -- the virtual local APIC of one vCPU, its timer; kvmclock.
 */
#include "guests/selftest/cases/case.h"

static struct vm vm;

static void payload(const char *name, enum payload which, bool x2, bool hlt)
{
	struct gshare *s;

	vm_new(&vm, name, 1, GUEST_RAM);
	s = vm_share(&vm);
	s->arg[0] = x2;
	s->arg[1] = hlt;
	/* Its periods are not to be shorter than a RUN takes, on what is slow. */
	s->arg[2] = us(20 * option_number("slow", 1));
	vm_payload(&vm, 0, which);
	run_done(&vm, 0);
}

#define BOTH(name, which)						\
static void apic_##name##_x1(void) { payload(#name, which, false, false); }	\
static void apic_##name##_x2(void) { payload(#name, which, true, false); }
BOTH(regs, PL_apic_regs)
BOTH(ipi, PL_apic_ipi)
BOTH(hlt, PL_apic_hlt)
BOTH(timer, PL_apic_timer)

static void apic_timer_hlt(void)
{
	payload("timer-hlt", PL_apic_timer, false, true);
}

static void apic_timer_hlt_x2(void)
{
	payload("timer-hlt", PL_apic_timer, true, true);
}

static void apic_string(void)
{
	payload("string", PL_apic_string, false, false);
}

static u64 msr_writes(void)
{
	struct joist_stats st = { .head = { vm.id, 0 } };

	HC_OK(HC_STATS, &st);
	return st.count[JOIST_STAT_MSR_WRITE];
}

/* With virtual-interrupt delivery they cost no exit; READLAPIC sees them. */
static void apic_self(void)
{
	const u64 n = 300;
	struct joist_lapic l = { 0 };
	struct gshare *s;
	u64 before, exits;

	vm_new(&vm, "self", 1, GUEST_RAM);
	s = vm_share(&vm);
	s->arg[2] = n;
	vm_payload(&vm, 0, PL_apic_self);
	want_sync(&vm, 0, 0);
	before = msr_writes();
	want_sync(&vm, 0, 1);
	exits = msr_writes() - before;
	/* TPR, self-IPI, EOI. */
	CHECK(caps.features & JOIST_CAP_VID ? !exits : exits == 3 * n,
	      "%lu exits by WRMSR for %lu self-IPIs", exits, n);
	want_sync(&vm, 0, 2);
	l.head.vm = vm.id;
	HC_OK(HC_READLAPIC, &l);
	CHECK_EQ(l.regs[0x20 + 3], BIT(1) | BIT(0x12), "IRR of vectors 0x60 to 0x7f");
	CHECK_EQ(l.regs[0x08], 0x60, "TPR");
	run_done(&vm, 0);
}

static void apic_masked(bool x2)
{
	u32 i;

	vm_new(&vm, "masked", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = x2;
	vm_payload(&vm, 0, PL_apic_masked);
	for (i = 0; i < 50; i++)
		CHECK_EQ(run_user_limit(&vm, 0, rdtsc() + us(200)), 0, "exit");
	CHECK(vm.intr_exits, "nothing has interrupted the guest");
	vm_share(&vm)->flag[0] = 1;
	run_done(&vm, 0);
}

static void apic_masked_x(void)
{
	apic_masked(false);
}

static void apic_masked_x2(void)
{
	apic_masked(true);
}

/* READLAPIC shows what the guest did, WRITELAPIC can bring it elsewhere. */
static void apic_save(void)
{
	static struct vm other;
	struct joist_lapic l = { 0 }, m;
	u32 i;
	s64 ret;

	vm_new(&vm, "save", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_apic_msi);
	vm_share(&vm)->arg[3] = 1;
	want_sync(&vm, 0, 0);
	CHECK(!vm_intr(&vm, 0, JOIST_INTR_FIXED, 0x41), "INTR fails");
	l.head.vm = vm.id;
	HC_OK(HC_READLAPIC, &l);
	CHECK_EQ(l.regs[0xf], 0x1ff, "SVR");
	CHECK_EQ(l.regs[0xd], 0x04000000, "LDR");
	CHECK_EQ(l.regs[0x20 + 2], 1 << 1, "IRR");
	vm_new(&other, "save-2", 1, GUEST_RAM);
	m = l;
	m.head.vm = other.id;
	HC_OK(HC_WRITELAPIC, &m);
	memset(&m, 0, sizeof(m));
	m.head.vm = other.id;
	HC_OK(HC_READLAPIC, &m);
	m.head = l.head;
	for (i = 0; i < 64; i++)
		CHECK(m.regs[i] == l.regs[i], "register 0x%x0 was 0x%x, is "
		      "0x%x", i, l.regs[i], m.regs[i]);
	CHECK(!memcmp(&m, &l, sizeof(l)), "timer or ICR differ");
	/* Noise: taken or refused, never harmful. */
	for (i = 0; i < 300; i++) {
		u32 n;

		m = l;
		m.head.vm = other.id;
		for (n = 0; n < 1 + i % 8; n++)
			m.regs[random32() % 64] = random32();
		if (i % 3 == 0)
			m.timer_deadline = random64();
		if (i % 5 == 0)
			m.timer_start = random64();
		if (i % 7 == 0)
			m.icr = random64();
		ret = HC(HC_WRITELAPIC, &m);
		CHECK(!ret || ret == -EINVAL, "WRITELAPIC gives %ld", ret);
		if (i % 10 == 0) {
			struct joist_run_args a;

			vm_payload(&other, 0, PL_hello);
			timer_arm(rdtsc() + us(500));
			run_once(&other, 0, &a);
			irq_window();
		}
	}
}

static void clock(u64 wall)
{
	struct joist_vmparam_args p;
	struct gshare *s;
	bool more = true;
	u64 sec;

	vm_new(&vm, "clock", 1, GUEST_RAM);
	s = vm_share(&vm);
	s->arg[0] = tsc_khz;
	p = (struct joist_vmparam_args){
		.head = { vm.id, 0 }, .param = JOIST_PARAM_WALL_CLOCK,
		.value = wall,
	};
	HC_OK(HC_WRITEVMPARAMS, &p);
	p.value = 0;
	HC_OK(HC_READVMPARAMS, &p);
	CHECK_EQ(p.value, wall, "WALL_CLOCK");
	vm_payload(&vm, 0, PL_clock);
	p = (struct joist_vmparam_args){
		.head = { vm.id, 0 }, .param = JOIST_PARAM_PVCLOCK_GPA,
	};
	want_sync(&vm, 0, 0);
	HC_OK(HC_READVMPARAMS, &p);
	CHECK_EQ(p.value, GUEST_SCRATCH + 0x41, "PVCLOCK_GPA");
	p.param = JOIST_PARAM_PVCLOCK_VERSION;
	HC_OK(HC_READVMPARAMS, &p);
	CHECK(p.value && !(p.value & 1), "PVCLOCK_VERSION %lu", p.value);
	while (more) {
		u32 exit = run_user(&vm, 0);

		CHECK(exit == JOIST_EXIT_IO, "exit %s", exit_name(exit));
		if (vm.run[0]->io.port == DONE_PORT)
			fail("in the guest: %s", s->why);
		more = vm.run[0]->io.data != 100;
	}
	run_done(&vm, 0);
	sec = wall / 1000000000;
	CHECK(s->val[2] >= sec && s->val[2] - sec < 3600 * 24,
	      "the wall clock says %lu s, was set to %lu s", s->val[2], sec);
	if (s->val[2] == sec)
		CHECK_EQ(s->val[3], wall % 1000000000, "wall clock ns");
	p.param = JOIST_PARAM_WALL_CLOCK_GPA;
	HC_OK(HC_READVMPARAMS, &p);
}

static void clock_basic(void)
{
	clock(1700000000123456789ull);
}

static void clock_params(void)
{
	struct joist_vmparam_args p = { 0 };
	u64 tsc;
	u32 i;
	s64 ret;

	vm_new(&vm, "params", 2, GUEST_RAM);
	p.head.vm = vm.id;
	for (i = 0; i < JOIST_PARAMS; i++) {
		p.param = i;
		HC_OK(HC_READVMPARAMS, &p);
	}
	p.param = JOIST_PARAM_TSC_KHZ;
	HC_OK(HC_READVMPARAMS, &p);
	CHECK_EQ(p.value, caps.tsc_khz, "TSC_KHZ");
	HC_WANT(HC_WRITEVMPARAMS, &p, -EPERM);
	p.param = JOIST_PARAM_PVCLOCK_VERSION;
	HC_WANT(HC_WRITEVMPARAMS, &p, -EPERM);
	for (i = JOIST_PARAMS; i; i <<= 1) {
		p.param = i;
		HC_WANT(HC_READVMPARAMS, &p, -EINVAL);
		HC_WANT(HC_WRITEVMPARAMS, &p, -EINVAL);
	}
	p.param = 0xffffffff;
	HC_WANT(HC_READVMPARAMS, &p, -EINVAL);
	HC_WANT(HC_WRITEVMPARAMS, &p, -EINVAL);
	p.param = JOIST_PARAM_PVCLOCK_GPA;
	for (i = 0; i < 5; i++) {
		static const u64 bad[] = {
			0x1001 | 1ull << 55, ~0ull, 1ull << 63 | 1, 0x7ffffffffffff001,
			0x1003,
		};

		p.value = bad[i];
		ret = HC(HC_WRITEVMPARAMS, &p);
		CHECK(ret == -EINVAL, "PVCLOCK_GPA 0x%lx gives %ld", bad[i],
		      ret);
	}
	p.value = GUEST_SCRATCH | 1;
	HC_OK(HC_WRITEVMPARAMS, &p);
	p.value = 0;
	HC_OK(HC_READVMPARAMS, &p);
	CHECK_EQ(p.value, GUEST_SCRATCH | 1, "PVCLOCK_GPA");
	p.value = 0;
	HC_OK(HC_WRITEVMPARAMS, &p);
	/* The TSC offset: the guest's TSC moves by it. */
	p.head.vcpu = 1;
	p.param = JOIST_PARAM_TSC_OFFSET;
	p.value = 0x123456789abc;
	HC_OK(HC_WRITEVMPARAMS, &p);
	p.value = 0;
	HC_OK(HC_READVMPARAMS, &p);
	CHECK_EQ(p.value, 0x123456789abc, "TSC_OFFSET");
	{
		struct joist_regs r;

		tsc = rdtsc();
		regs_read(&vm, 1, JOIST_REGS_MSR, &r);
		CHECK(r.tsc >= tsc + 0x123456789abc &&
		      r.tsc <= rdtsc() + 0x123456789abc,
		      "guest TSC 0x%lx, host TSC 0x%lx", r.tsc, tsc);
	}
}

const struct tcase cases_apic[] = {
	{ "apic/regs", apic_regs_x1, 0 },
	{ "apic/regs-x2apic", apic_regs_x2, 0 },
	{ "apic/ipi", apic_ipi_x1, 0 },
	{ "apic/ipi-x2apic", apic_ipi_x2, 0 },
	{ "apic/hlt", apic_hlt_x1, 0 },
	{ "apic/hlt-x2apic", apic_hlt_x2, 0 },
	{ "apic/timer", apic_timer_x1, 0 },
	{ "apic/timer-x2apic", apic_timer_x2, 0 },
	{ "apic/timer-hlt", apic_timer_hlt, 0 },
	{ "apic/timer-hlt-x2apic", apic_timer_hlt_x2, 0 },
	{ "apic/string", apic_string, 0 },
	{ "apic/save", apic_save, 0 },
	{ "apic/self-x2apic", apic_self, 0 },
	{ "apic/masked", apic_masked_x, 0 },
	{ "apic/masked-x2apic", apic_masked_x2, 0 },
	{ "clock/kvmclock", clock_basic, 0 },
	{ "clock/params", clock_params, 0 },
	{ 0 },
};
