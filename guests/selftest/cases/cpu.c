/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpu.c -- MSRs, control and debug registers, privilege: what a guest may do,
 * what it must get a fault for, and that nothing it does ends more than
 * itself.
 */
#include "guests/selftest/cases/case.h"

static struct vm vm;

static bool noise_device(struct vm *v, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = v->run[vcpu];

	if (exit == JOIST_EXIT_MMIO && !run->mmio.write)
		run->mmio.data = ~0ull;
	if (exit == JOIST_EXIT_IO && run->io.in && !run->io.string)
		run->io.data = ~0ull;
	return exit == JOIST_EXIT_MMIO ||
	       (exit == JOIST_EXIT_IO && run->io.port != DONE_PORT &&
		run->io.port != SYNC_PORT);
}

static void payload(const char *name, enum payload which)
{
	vm_new(&vm, name, 1, GUEST_RAM);
	vm.on_exit = noise_device;
	vm_payload(&vm, 0, which);
	run_done(&vm, 0);
}

static void cpu_msr(void)
{
	payload("msr", PL_msr);
}

static void cpu_msr_sweep(void)
{
	struct gshare *s;

	payload("msr-sweep", PL_msr_sweep);
	s = vm_share(&vm);
	CHECK(s->val[0] >= 10, "only %lu MSRs can be read", s->val[0]);
	CHECK(s->val[0] < 1000, "%lu MSRs can be read", s->val[0]);
	vm_payload(&vm, 0, PL_hello);
	run_done(&vm, 0);
}

static void cpu_cr(void)
{
	vm_new(&vm, "cr", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = cr0_checked();
	vm_payload(&vm, 0, PL_cr);
	run_done(&vm, 0);
	if (!cr0_checked())
		skip("the rest passed, but this CPU does not check CR0 writes");
	/* QEMU's emulation, where the KVM outside leaves CR8 to the CPU. */
	if (vm_share(&vm)->val[0] == NOFAULT)
		skip("the rest passed, but this CPU does not check CR8 writes");
}

/* Reserved bits of CR3.  Some emulators find them only at the next entry:
 * then the guest ends, and nobody else. */
static void cpu_cr3(void)
{
	static const u64 bad[] = { BIT(63), BIT(62), BIT(52), BIT(63) | 0x1000 };
	struct joist_regs_args reset;
	bool done;
	u32 i, exit;

	vm_new(&vm, "cr3", 1, GUEST_RAM);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		vm_share(&vm)->arg[0] = bad[i];
		vm_payload(&vm, 0, PL_cr3_bad);
		done = false;
		exit = run_user(&vm, 0);
		if (exit == JOIST_EXIT_IO &&
		    vm.run[0]->io.port == DONE_PORT) {
			CHECK(!vm.run[0]->io.data, "in the guest: %s",
			      vm_share(&vm)->why);
			done = true;
		}
		CHECK(done || exit == JOIST_EXIT_SHUTDOWN ||
		      exit == JOIST_EXIT_ERROR, "CR3 0x%lx: exit %s", bad[i],
		      exit_name(exit));
		CHECK(exit != JOIST_EXIT_ERROR ||
		      vm.run[0]->error.code == JOIST_ERR_ENTRY,
		      "CR3 0x%lx: error code %u", bad[i],
		      vm.run[0]->error.code);
		reset = (struct joist_regs_args){ .head = { vm.id, 0 } };
		HC_OK(HC_RESETCPU, &reset);
	}
}

static void cpu_xcr0(void)
{
	payload("xcr0", PL_xcr0);
}

static void cpu_dr(void)
{
	payload("dr", PL_dr);
}

static void cpu_step(void)
{
	payload("step", PL_step);
}

static void cpu_privileged(void)
{
	vm_new(&vm, "privileged", 1, GUEST_RAM);
	vm.on_exit = noise_device;
	vm_share(&vm)->arg[0] = into_refused();
	vm_payload(&vm, 0, PL_privileged);
	run_done(&vm, 0);
	if (!into_refused())
		skip("the rest passed, but this CPU has INTO in 64-bit mode");
}

static void cpu_privileged_user(void)
{
	payload("user", PL_privileged_user);
}

static void cpu_exceptions(void)
{
	payload("exceptions", PL_exceptions);
}

static void cpu_resume_flag(void)
{
	payload("resume-flag", PL_resume_flag);
}

/* Exceptions have no error code there. */
static void cpu_gp_real(void)
{
	extern const u8 blob_gp16[], blob_gp16_end[];

	vm_new(&vm, "gp-real", 1, GUEST_RAM);
	vm_blob(&vm, 0, 16, blob_gp16, blob_gp16_end);
	want_sync(&vm, 0, 6);
	want_sync(&vm, 0, 0);
	run_done(&vm, 0);
}

/* The control VM's branch steps are its own: a guest's steps are single ones. */
static void cpu_step_btf(void)
{
	u64 old = rdmsr(MSR_DEBUGCTL), now;
	u32 fault;

	wrmsr(MSR_DEBUGCTL, old | DEBUGCTL_BTF);
	now = rdmsr(MSR_DEBUGCTL);
	if (!(now & DEBUGCTL_BTF))
		skip("this CPU has no DEBUGCTL.BTF");
	payload("step", PL_step);
	now = rdmsr(MSR_DEBUGCTL);
	fault = try_wrmsr(MSR_DEBUGCTL, old);
	CHECK(!fault, "writing DEBUGCTL back gives exception %u", fault);
	CHECK(now & DEBUGCTL_BTF, "DEBUGCTL is 0x%lx after a guest ran", now);
}

/* Long mode with its enable bits in an unusual order. */
static void cpu_lme(void)
{
	extern const u8 blob_lme32[], blob_lme32_end[];

	vm_new(&vm, "lme", 1, GUEST_RAM);
	vm_blob(&vm, 0, 32, blob_lme32, blob_lme32_end);
	want_sync(&vm, 0, 1);
	want_sync(&vm, 0, EFER_LME | EFER_LMA);
	want_sync(&vm, 0, EFER_LME);
	run_done(&vm, 0);
}

/* Page-directory-pointer entries that no CPU loads. */
static void cpu_pdpte(void)
{
	extern const u8 blob_pdpte32[], blob_pdpte32_end[];
	struct joist_regs r;

	vm_new(&vm, "pdpte", 1, GUEST_RAM);
	vm_blob(&vm, 0, 32, blob_pdpte32, blob_pdpte32_end);
	want_sync(&vm, 0, 0);
	want_sync(&vm, 0, 2);
	want_sync(&vm, 0, 3);
	want_sync(&vm, 0, 5);
	/* The guest is in an IN now: registers are written while they are bad. */
	CHECK(run_user(&vm, 0) == JOIST_EXIT_IO && vm.run[0]->io.in, "no IN");
	regs_read(&vm, 0, JOIST_REGS_CR, &r);
	regs_write(&vm, 0, JOIST_REGS_CR, &r);
	want_sync(&vm, 0, 5);
	run_done(&vm, 0);
}

static u32 port_seen, port_exits;

static bool port_device(struct vm *v, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = v->run[vcpu];
	bool in;

	if (exit != JOIST_EXIT_IO || run->io.port == DONE_PORT)
		return false;
	port_exits++;
	if (run->io.in)
		run->io.data = ~0ull;
	if (port_seen < 0x10000) {
		while (port_seen == DONE_PORT || port_seen == SYNC_PORT)
			port_seen++;
		in = port_seen % 3;
		CHECK(run->io.port == port_seen && run->io.in == in &&
		      run->io.size == 1, "port 0x%x in %u size %u, want 0x%x "
		      "in %u", run->io.port, run->io.in, run->io.size,
		      port_seen, in);
		CHECK(in || run->io.data == (u8)port_seen, "data 0x%lx to port "
		      "0x%x", run->io.data, port_seen);
		port_seen++;
	}
	return true;
}

/* Every port comes out, none is touched by the hypervisor. */
static void cpu_ports(void)
{
	port_seen = port_exits = 0;
	vm_new(&vm, "ports", 1, GUEST_RAM);
	vm.on_exit = port_device;
	vm_payload(&vm, 0, PL_ports);
	run_done(&vm, 0);
	CHECK(port_seen >= 0x10000, "the sweep ended at port 0x%x", port_seen);
	CHECK(port_exits >= 0xfffe + 4, "%u exits", port_exits);
}

static void cpu_hypercall(void)
{
	struct joist_info info = { 0 };
	u32 n = 0;

	vm_new(&vm, "hypercall", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = vm.id;
	vm_payload(&vm, 0, PL_hypercall);
	run_done(&vm, 0);
	for (; !HC(HC_INFO, &info); n++)
		info.head.vm = 0;
	CHECK_EQ(n, 1, "VMs after a guest's hypercalls");
	vm_payload(&vm, 0, PL_hypercall_user);
	run_done(&vm, 0);
}

const struct tcase cases_cpu[] = {
	{ "cpu/msr", cpu_msr, 0 },
	{ "cpu/msr-sweep", cpu_msr_sweep, 0 },
	{ "cpu/cr", cpu_cr, 0 },
	{ "cpu/cr3", cpu_cr3, 0 },
	{ "cpu/xcr0", cpu_xcr0, 0 },
	{ "cpu/dr", cpu_dr, 0 },
	{ "cpu/single-step", cpu_step, 0 },
	{ "cpu/branch-step", cpu_step_btf, 0 },
	{ "cpu/privileged", cpu_privileged, 0 },
	{ "cpu/privileged-user", cpu_privileged_user, 0 },
	{ "cpu/long-mode-order", cpu_lme, 0 },
	{ "cpu/pdpte", cpu_pdpte, 0 },
	{ "cpu/exceptions", cpu_exceptions, 0 },
	{ "cpu/resume-flag", cpu_resume_flag, 0 },
	{ "cpu/real-mode-gp", cpu_gp_real, 0 },
	{ "cpu/ports", cpu_ports, 0 },
	{ "cpu/hypercall", cpu_hypercall, 0 },
	{ 0 },
};
