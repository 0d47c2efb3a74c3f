/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c -- RUN in every CPU mode, its exits to joist.ko, RESETCPU.
 */
#include "guests/selftest/cases/case.h"

#define BLOB(name)	extern const u8 blob_##name[], blob_##name##_end[]
BLOB(real16);
BLOB(prot32);
BLOB(spin64);
BLOB(spin16);
BLOB(hlt64);
BLOB(triple64);
BLOB(ac32);
BLOB(reset);

static struct vm vm;

static void run_hello(void)
{
	vm_new(&vm, "hello", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_hello);
	want_sync(&vm, 0, 0x600d);
	CHECK(vm.run[0]->io.size == 4 && vm.run[0]->io.count == 1 &&
	      !vm.run[0]->io.string && !vm.run[0]->io.in,
	      "size %u count %u string %u in %u", vm.run[0]->io.size,
	      vm.run[0]->io.count, vm.run[0]->io.string, vm.run[0]->io.in);
	CHECK(vm.run[0]->rip >= GUEST_CODE64 && vm.run[0]->rip < GUEST_RAM,
	      "rip 0x%lx", vm.run[0]->rip);
	run_done(&vm, 0);
}

static void run_echo(void)
{
	struct gshare *s;
	u32 i;

	vm_new(&vm, "echo", 1, GUEST_RAM);
	s = vm_share(&vm);
	for (i = 0; i < 32; i++)
		s->arg[i] = random64();
	vm_payload(&vm, 0, PL_echo);
	run_done(&vm, 0);
	for (i = 0; i < 32; i++)
		CHECK(s->val[i] == (s->arg[i] ^ 0x5555555555555555),
		      "word %u is 0x%lx", i, s->val[i]);
	CHECK_EQ(vm.sync[0], (u32)s->arg[0], "sync value");
}

static void run_real16(void)
{
	vm_new(&vm, "real16", 1, GUEST_RAM);
	vm_blob(&vm, 0, 16, blob_real16, blob_real16_end);
	want_sync(&vm, 0, 0x12345678);
	want_sync(&vm, 0, 0x600d);
	run_done(&vm, 0);
}

static void run_prot32(void)
{
	vm_new(&vm, "prot32", 1, GUEST_RAM);
	vm_blob(&vm, 0, 32, blob_prot32, blob_prot32_end);
	want_sync(&vm, 0, 0x87654321);
	want_sync(&vm, 0, 0xcafe);
	run_done(&vm, 0);
}

/* Segment 1 just below 4 GiB, with code at the reset vector. */
static void reset_memory(void)
{
	struct joist_memseg m;
	s64 ret;

	ret = seg_alloc(vm.id, 1, 0xffff0000, 0x10000);
	CHECK(!ret, "ALLOC below 4 GiB gives %ld", ret);
	ret = seg_call(HC_MEMSEG_MAP, vm.id, 1);
	CHECK(!ret, "MAP gives %ld", ret);
	ret = seg_query(vm.id, 1, 0xf000, &m);
	CHECK(!ret, "QUERY gives %ld", ret);
	memcpy((void *)(m.hpa + 0xff0), blob_reset,
	       (u64)(blob_reset_end - blob_reset));
}

/* A VM as CREATE makes it starts at F000:FFF0 with base 0xffff0000. */
static void run_power_on(void)
{
	struct joist_regs r;
	u32 i;

	vm_new(&vm, "power-on", 2, GUEST_RAM);
	regs_read(&vm, 0, JOIST_REGS_ALL, &r);
	CHECK_EQ(r.rip, 0xfff0, "rip");
	CHECK_EQ(r.rflags, 2, "rflags");
	CHECK_EQ(r.seg[JOIST_CS].base, 0xffff0000, "CS base");
	CHECK_EQ(r.seg[JOIST_CS].selector, 0xf000, "CS selector");
	CHECK_EQ(r.seg[JOIST_CS].limit, 0xffff, "CS limit");
	for (i = JOIST_ES; i <= JOIST_GS; i++) {
		if (i == JOIST_CS)
			continue;
		CHECK(!r.seg[i].base && !r.seg[i].selector &&
		      r.seg[i].limit == 0xffff, "segment %u: 0x%x 0x%lx 0x%x",
		      i, r.seg[i].selector, r.seg[i].base, r.seg[i].limit);
	}
	/* SDM, "Processor State After Reset": CR0 60000010H. */
	CHECK_EQ(r.cr0, 0x60000010, "cr0");
	CHECK_EQ(r.cr2 | r.cr3 | r.cr4 | r.cr8, 0, "cr2, cr3, cr4, cr8");
	CHECK_EQ(r.xcr0, 1, "xcr0");
	CHECK_EQ(r.dr6, 0xffff0ff0, "dr6");
	CHECK_EQ(r.dr7, 0x400, "dr7");
	CHECK_EQ(r.dr[0] | r.dr[1] | r.dr[2] | r.dr[3], 0, "dr0..3");
	CHECK_EQ(r.gdtr.limit, 0xffff, "GDTR limit");
	CHECK_EQ(r.idtr.limit, 0xffff, "IDTR limit");
	CHECK_EQ(r.gdtr.base | r.idtr.base, 0, "GDTR and IDTR base");
	CHECK_EQ(r.msr[JOIST_MSR_EFER], 0, "EFER");
	CHECK_EQ(r.msr[JOIST_MSR_PAT], 0x0007040600070406, "PAT");
	CHECK_EQ(r.msr[JOIST_MSR_APIC_BASE], 0xfee00900, "APIC_BASE");
	CHECK_EQ(r.activity, JOIST_VCPU_IDLE, "activity");
	for (i = 0; i < 16; i++)
		CHECK(!r.gpr[i] || i == JOIST_RDX, "gpr %u is 0x%lx", i,
		      r.gpr[i]);
	regs_read(&vm, 1, JOIST_REGS_ALL, &r);
	CHECK_EQ(r.activity, JOIST_VCPU_WAIT_SIPI, "activity of vCPU 1");
	CHECK_EQ(r.msr[JOIST_MSR_APIC_BASE], 0xfee00800,
		 "APIC_BASE of vCPU 1");
	reset_memory();
	want_sync(&vm, 0, 0x5e5e7);
	run_done(&vm, 0);
	CHECK_EQ(run_user(&vm, 1), JOIST_EXIT_HALTED,
		 "exit of a vCPU waiting for SIPI");
}

static void run_reset(void)
{
	struct joist_regs_args a;
	struct joist_regs before, after;
	struct joist_info info = { 0 };

	vm_new(&vm, "reset", 2, GUEST_RAM);
	reset_memory();
	regs_read(&vm, 0, JOIST_REGS_ALL, &before);
	vm_payload(&vm, 0, PL_hello);
	want_sync(&vm, 0, 0x600d);
	/* In the middle of an OUT. */
	a = (struct joist_regs_args){ .head = { vm.id, 0 } };
	HC_OK(HC_RESETCPU, &a);
	regs_read(&vm, 0, JOIST_REGS_ALL, &after);
	before.tsc = after.tsc = 0;
	CHECK(!memcmp(&before, &after, sizeof(before)), "registers after "
	      "RESETCPU differ from those after CREATE (byte %u)", ({
		u32 i_ = 0;
		while (((u8 *)&before)[i_] == ((u8 *)&after)[i_])
			i_++;
		i_; }));
	want_sync(&vm, 0, 0x5e5e7);
	run_done(&vm, 0);
	/* With a mask: power-on state and then these. */
	regs_long(&after, GUEST_CODE64);
	after.gpr[JOIST_RDI] = PL_hello;
	after.gpr[JOIST_RSI] = 0;
	after.gpr[JOIST_RSP] = GUEST_STACK(0);
	a = (struct joist_regs_args){
		.head = { vm.id, 0 }, .mask = JOIST_REGS_ALL, .regs = after,
	};
	HC_OK(HC_RESETCPU, &a);
	want_sync(&vm, 0, 0x600d);
	run_done(&vm, 0);
	/* vCPU 1 goes back to waiting. */
	vm_payload(&vm, 1, PL_hello);
	want_sync(&vm, 1, 0x600d);
	a = (struct joist_regs_args){ .head = { vm.id, 1 } };
	HC_OK(HC_RESETCPU, &a);
	regs_read(&vm, 1, JOIST_REGS_ALL, &after);
	CHECK_EQ(after.activity, JOIST_VCPU_WAIT_SIPI, "activity of vCPU 1");
	HC_OK(HC_INFO, &info);
	CHECK_EQ(info.vcpu_state >> 2, JOIST_VCPU_WAIT_SIPI, "vcpu_state");
	/* A bad state is refused whole. */
	regs_read(&vm, 0, JOIST_REGS_ALL, &before);
	a = (struct joist_regs_args){
		.head = { vm.id, 0 }, .mask = JOIST_REGS_ALL, .regs = before,
	};
	a.regs.cr0 = CR0_PG;
	HC_WANT(HC_RESETCPU, &a, -EINVAL);
	a.regs = before;
	a.mask = 0x80000000;
	HC_WANT(HC_RESETCPU, &a, -EINVAL);
	regs_read(&vm, 0, JOIST_REGS_ALL, &after);
	before.tsc = after.tsc = 0;
	CHECK(!memcmp(&before, &after, sizeof(before)),
	      "a refused RESETCPU changed registers");
}

/* HLT with interrupts off: sleeps for ever, an NMI ends it. */
static void run_hlt_cli(void)
{
	struct joist_info info = { 0 };
	struct joist_run_args a;
	u32 i;

	vm_new(&vm, "hlt-cli", 1, GUEST_RAM);
	vm_blob(&vm, 0, 64, blob_hlt64, blob_hlt64_end);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(run_user(&vm, 0), JOIST_EXIT_HALTED, "exit");
		CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_HALTED, "exit");
		CHECK_EQ(a.deadline, JOIST_NO_DEADLINE, "deadline");
	}
	HC_OK(HC_INFO, &info);
	CHECK_EQ(info.vcpu_state, JOIST_VCPU_HALTED, "vcpu_state");
}

/* HLT with interrupts on: each INTR wakes it once. */
static void hlt_wake(bool x2)
{
	struct gshare *s;
	u32 i;

	vm_new(&vm, "hlt-wake", 1, GUEST_RAM);
	s = vm_share(&vm);
	s->arg[0] = 20;
	s->arg[1] = x2;
	vm_payload(&vm, 0, PL_hlt);
	for (i = 0; i < 20; i++) {
		want_sync(&vm, 0, i);
		want_exit(&vm, 0, JOIST_EXIT_HALTED);
		want_exit(&vm, 0, JOIST_EXIT_HALTED);
		CHECK(!vm_intr(&vm, 0, JOIST_INTR_FIXED, 0x50), "INTR fails");
		CHECK(vm.wake & 1, "INTR to a halted vCPU wakes nobody");
	}
	run_done(&vm, 0);
	CHECK_EQ(s->val[0], 20, "interrupts that arrived");
}

static void run_hlt_wake(void)
{
	hlt_wake(false);
}

static void run_hlt_wake_x2(void)
{
	hlt_wake(true);
}

/* Code that never gives up the core, with interrupts off: RUN returns. */
static void spin(u32 bits, const u8 *start, const u8 *end)
{
	struct joist_regs r1, r2;
	struct joist_run_args a;
	u64 t;
	u32 i, irqs, progress = 0, delay = 500;

	vm_new(&vm, "spin", 1, GUEST_RAM);
	vm_blob(&vm, 0, bits, start, end);
	for (i = 0; i < 20; i++) {
		irqs = this_cpu()->irqs[VEC_TIMER];
		regs_read(&vm, 0, JOIST_REGS_GPR, &r1);
		timer_once(us(delay));
		t = rdtsc();
		/* A turn that lasts ends by itself, too, where there are exits. */
		do {
			CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_INTR, "exit");
			CHECK_EQ(this_cpu()->irqs[VEC_TIMER], irqs,
				 "timer interrupts taken inside RUN");
			irq_window();
		} while (this_cpu()->irqs[VEC_TIMER] == irqs &&
			 rdtsc() - t < us(2000000));
		CHECK(rdtsc() - t < us(2000000), "RUN came back after %lu us",
		      (rdtsc() - t) / us(1));
		CHECK_EQ(this_cpu()->irqs[VEC_TIMER], irqs + 1,
			 "timer interrupts after RUN");
		regs_read(&vm, 0, JOIST_REGS_GPR, &r2);
		/* On a busy machine the timer may be quicker than the guest. */
		if (r1.gpr[JOIST_RAX] != r2.gpr[JOIST_RAX])
			progress++;
		else if (delay < 50000)
			delay *= 2;
	}
	CHECK(progress >= 5, "the guest got on in %u of 20 runs", progress);
}

static void run_spin64(void)
{
	spin(64, blob_spin64, blob_spin64_end);
}

static void run_spin16(void)
{
	spin(16, blob_spin16, blob_spin16_end);
}

/* A pending interrupt ends RUN before the guest has done anything. */
static void run_pending(void)
{
	struct joist_run_args a;
	struct joist_regs r1, r2;

	vm_new(&vm, "pending", 1, GUEST_RAM);
	vm_blob(&vm, 0, 64, blob_spin64, blob_spin64_end);
	apic_ipi(0, VEC_TEST);
	/* With IF set until its first instruction: Bochs 2.7 keeps an interrupt
	 * masked in a guest that is entered with IF clear (see vmx.c). */
	regs_read(&vm, 0, JOIST_REGS_ALL, &r1);
	r1.rflags |= RFLAGS_IF;
	regs_write(&vm, 0, JOIST_REGS_GPR, &r1);
	CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_INTR, "exit");
	CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_INTR, "second exit");
	regs_read(&vm, 0, JOIST_REGS_ALL, &r2);
	/* A CPU lets it do nothing at all, an emulator perhaps a little. */
	CHECK(r2.gpr[JOIST_RAX] - r1.gpr[JOIST_RAX] <= us(5000),
	      "the guest ran %lu rounds with an interrupt pending",
	      r2.gpr[JOIST_RAX] - r1.gpr[JOIST_RAX]);
	irq_window();
	/* An NMI of the control VM's own ends RUN too and arrives here. */
	vm.sync[0] = this_cpu()->irqs[X_NMI];
	apic_nmi(0);
	CHECK(this_cpu()->irqs[X_NMI] == vm.sync[0] + 1,
	      "the control VM's NMI arrives %lu times",
	      this_cpu()->irqs[X_NMI] - vm.sync[0]);
}

/* Timers that would take all of the core's time: the guest gets on. */
static void timer_storm(enum payload which, u32 syncs)
{
	u32 x2, i;

	for (x2 = 0; x2 < 2; x2++) {
		vm_new(&vm, "timer-storm", 1, GUEST_RAM);
		vm_share(&vm)->arg[0] = x2;
		vm_payload(&vm, 0, which);
		for (i = 0; i < syncs; i++)
			want_sync(&vm, 0, i);
		run_done(&vm, 0);
		vm_destroy(vm.id);
	}
}

static void run_far_deadline(void)
{
	timer_storm(PL_far_deadline, 6);
}

static void run_tiny_period(void)
{
	timer_storm(PL_tiny_period, 2);
}

/*
 * A fault in the delivery of an exception goes in in its place.  One that faults
 * in its own delivery leaves no instruction boundary at which an interrupt could
 * end the turn: it ends all the same.
 */
static void run_fault_storm(void)
{
	struct joist_run_args a;
	u64 t;
	u32 i;

	vm_new(&vm, "fault-storm", 1, GUEST_RAM);
	vm_blob(&vm, 0, 32, blob_ac32, blob_ac32_end);
	want_exit(&vm, 0, JOIST_EXIT_IO);
	if (!vm.run[0]->io.data)
		skip("this CPU makes no alignment checks");
	CHECK_EQ(vm.run[0]->io.data, 1, "at its first sync point");
	want_sync(&vm, 0, 2);
	for (i = 0; i < 20; i++) {
		timer_once(us(500));
		t = rdtsc();
		CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_INTR, "exit");
		CHECK(rdtsc() - t < us(2000000), "RUN came back after %lu us",
		      (rdtsc() - t) / us(1));
		irq_window();
	}
	timer_stop();
}

static void run_triple(void)
{
	struct joist_regs_args reset;
	struct joist_run_args a;
	const u64 ud2 = GUEST_CODE16 + (u64)(blob_triple64_end - blob_triple64) - 2;
	volatile struct joist_run *run;
	u32 i;

	vm_new(&vm, "triple", 1, GUEST_RAM);
	run = vm.run[0];
	for (i = 0; i < 3; i++) {
		vm_blob(&vm, 0, 64, blob_triple64, blob_triple64_end);
		want_exit(&vm, 0, JOIST_EXIT_SHUTDOWN);
		if (run->shutdown.exact)
			CHECK_EQ(run->rip, ud2, "rip");
		else
			CHECK(run->rip >= GUEST_CODE16 && run->rip <= ud2,
			      "entered at rip %lx, which is not its code", run->rip);
		CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_SHUTDOWN,
			 "exit after SHUTDOWN");
		CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_SHUTDOWN,
			 "exit after SHUTDOWN");
		reset = (struct joist_regs_args){ .head = { vm.id, 0 } };
		HC_OK(HC_RESETCPU, &reset);
		vm_payload(&vm, 0, PL_hello);
		run_done(&vm, 0);
		/* Writing registers alone is enough as well. */
		vm_blob(&vm, 0, 64, blob_triple64, blob_triple64_end);
		want_exit(&vm, 0, JOIST_EXIT_SHUTDOWN);
		vm_payload(&vm, 0, PL_hello);
		run_done(&vm, 0);
	}
}

/* JOIST_RUN_RETURN: pending I/O is completed, no instruction more. */
static void run_return(void)
{
	struct joist_run_args a;
	struct joist_regs r1, r2;

	vm_new(&vm, "return", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_hello);
	vm.run[0]->flags = JOIST_RUN_RETURN;
	regs_read(&vm, 0, JOIST_REGS_GPR, &r1);
	CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_INTR, "exit");
	regs_read(&vm, 0, JOIST_REGS_GPR, &r2);
	CHECK_EQ(r2.rip, r1.rip, "rip");
	vm.run[0]->flags = 0;
	want_sync(&vm, 0, 0x600d);
	regs_read(&vm, 0, JOIST_REGS_GPR, &r1);
	vm.run[0]->flags = JOIST_RUN_RETURN;
	CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_INTR, "exit");
	regs_read(&vm, 0, JOIST_REGS_GPR, &r2);
	CHECK(r2.rip >= r1.rip && r2.rip - r1.rip <= 3,
	      "rip 0x%lx at the OUT, 0x%lx behind it", r1.rip, r2.rip);
	vm.run[0]->flags = 0;
	run_done(&vm, 0);
}

/* Nonsense in the run page harms nobody. */
static void run_page_noise(void)
{
	u32 i;

	vm_new(&vm, "noise", 1, GUEST_RAM);
	for (i = 0; i < 200; i++) {
		volatile u8 *p = (volatile u8 *)vm.run[0];
		struct joist_run_args a;
		u32 n;

		if (i % 4 == 0)
			vm_payload(&vm, 0, i % 8 ? PL_hello : PL_io_string);
		for (n = 0; n < PAGE_SIZE; n++)
			p[n] = (u8)random32();
		vm.run[0]->flags &= ~(u32)JOIST_RUN_EXTINT;
		timer_arm(rdtsc() + us(1000));
		run_once(&vm, 0, &a);
		irq_window();
	}
	vm.run[0]->flags = 0;
	vm_payload(&vm, 0, PL_hello);
	run_done(&vm, 0);
}

/* A second core must not get at what the first one runs. */
struct busy {
	volatile u32 ready;
	u32 exits;
};

static void busy_job(void *arg)
{
	struct busy *b = arg;
	struct joist_run_args a;

	b->ready = 1;
	while (!vm.stop) {
		if (run_once(&vm, 0, &a) != JOIST_EXIT_INTR)
			break;
		b->exits++;
		irq_window();
	}
}

static void run_busy(void)
{
	static const u32 vcpu_calls[] = {
		HC_RUN, HC_RESETCPU, HC_READREGS, HC_WRITEREGS, HC_READXSTATE,
		HC_WRITEXSTATE, HC_READLAPIC, HC_WRITELAPIC,
	};
	static const u32 vm_calls[] = {
		HC_MEMSEG_ALLOC, HC_MEMSEG_FREE, HC_MEMSEG_MAP,
		HC_MEMSEG_UNMAP, HC_MEMSEG_PROTECT, HC_MEMSEG_DROP,
		HC_MEMSEG_FILL,
	};
	static struct busy b;
	struct joist_info info;
	u8 block[4096];
	u64 t;
	u32 i;
	s64 ret;

	vm_new(&vm, "busy", 2, GUEST_RAM);
	vm_blob(&vm, 0, 64, blob_spin64, blob_spin64_end);
	memset(&b, 0, sizeof(b));
	job_start(1, busy_job, &b);
	t = rdtsc();
	do {
		info = (struct joist_info){ 0 };
		HC_OK(HC_INFO, &info);
		CHECK(rdtsc() - t < us(5000000), "INFO never shows RUNNING");
	} while ((info.vcpu_state & 3) != JOIST_VCPU_RUNNING);
	for (i = 0; i < ARRAY_SIZE(vcpu_calls); i++) {
		memset(block, 0, sizeof(block));
		((struct joist_head *)block)->vm = vm.id;
		if (vcpu_calls[i] == HC_READREGS)
			((struct joist_regs_args *)block)->mask = 1;
		if (vcpu_calls[i] == HC_READXSTATE ||
		    vcpu_calls[i] == HC_WRITEXSTATE)
			((struct joist_xstate *)block)->size =
				caps.xstate_size;
		ret = hc_block(vcpu_calls[i], block, hc_size(vcpu_calls[i]));
		CHECK(ret == -EBUSY, "%s of a running vCPU gives %ld",
		      hc_name(vcpu_calls[i]), ret);
	}
	for (i = 0; i < ARRAY_SIZE(vm_calls); i++) {
		struct joist_memseg m = {
			.head = { vm.id, 0 }, .seg = 0,
		};

		if (vm_calls[i] == HC_MEMSEG_ALLOC) {
			m.seg = 1;
			m.gpa = MiB;
			m.size = PAGE_SIZE;
		}
		ret = HC(vm_calls[i], &m);
		CHECK(ret == -EBUSY, "%s with a running vCPU gives %ld",
		      hc_name(vm_calls[i]), ret);
	}
	/* The other vCPU is free for use. */
	{
		struct joist_regs r;

		regs_read(&vm, 1, JOIST_REGS_ALL, &r);
		vm_payload(&vm, 1, PL_hello);
		run_done(&vm, 1);
	}
	CHECK(!job_done(1), "the running vCPU stopped");
	vm.stop = 1;
	apic_ipi(1, VEC_KICK);
	job_wait(1);
	CHECK(b.exits >= 1, "no exit for the kick");
}

static void term_job(void *arg)
{
	struct busy *b = arg;
	struct joist_run_args a;

	b->ready = 1;
	while (run_once(&vm, 0, &a) == JOIST_EXIT_INTR)
		irq_window();
	b->exits = a.exit;
}

/* TERM and DESTROY from another core, while the guest spins. */
static void run_term_other(void)
{
	static struct busy b;
	struct joist_vm v;
	u64 t;
	u32 i;

	for (i = 0; i < 20; i++) {
		vm_new(&vm, "term-other", 1, GUEST_RAM);
		vm_blob(&vm, 0, 64, blob_spin64, blob_spin64_end);
		memset(&b, 0, sizeof(b));
		job_start(1, term_job, &b);
		while (!b.ready)
			pause();
		t = rdtsc() + us(random32() % 2000);
		while (rdtsc() < t)
			pause();
		if (i & 1) {
			v = (struct joist_vm){ .head = { vm.id, 0 } };
			HC_OK(HC_TERM, &v);
			job_wait(1);
			CHECK_EQ(b.exits, JOIST_EXIT_TERM, "exit after TERM");
			vm_destroy(vm.id);
			continue;
		}
		/* RUN after the VM is gone gives -ENOENT: then the job fails,
		 * which is as good. */
		vm_destroy(vm.id);
		while (!job_done(1))
			pause();
		CHECK(cpus[1].failed || b.exits == JOIST_EXIT_TERM,
		      "exit %u after DESTROY", b.exits);
		cpus[1].failed = 0;
	}
}

const struct tcase cases_run[] = {
	{ "run/hello", run_hello, 0 },
	{ "run/echo", run_echo, 0 },
	{ "run/real16", run_real16, 0 },
	{ "run/prot32", run_prot32, 0 },
	{ "run/power-on", run_power_on, 0 },
	{ "run/reset", run_reset, 0 },
	{ "run/hlt-cli", run_hlt_cli, 0 },
	{ "run/hlt-wake", run_hlt_wake, 0 },
	{ "run/hlt-wake-x2apic", run_hlt_wake_x2, 0 },
	{ "run/spin64", run_spin64, 0 },
	{ "run/spin16", run_spin16, 0 },
	{ "run/pending", run_pending, 0 },
	{ "run/far-deadline", run_far_deadline, 0 },
	{ "run/tiny-period", run_tiny_period, 0 },
	{ "run/fault-storm", run_fault_storm, 0 },
	{ "run/triple-fault", run_triple, 0 },
	{ "run/return", run_return, 0 },
	{ "run/page-noise", run_page_noise, 0 },
	{ "run/busy", run_busy, 2 },
	{ "run/term-other-core", run_term_other, 2 },
	{ 0 },
};
