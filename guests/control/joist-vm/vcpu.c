/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vcpu.c -- the vCPU threads: run, serve the exit, run again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "emulate.h"
#include "guests/control/lib/hv.h"
#include "machine.h"
#include "native.h"

#define KICK_AGAIN_NS	1000000		/* of a vCPU that has not parked yet */

typedef unsigned long long ull;

static void reset_vcpu(struct machine *m, unsigned vcpu)
{
	struct joist_regs_args a = { .head.vcpu = vcpu };
	int err = hv_call(m->fds.vm, JOIST_RESETCPU, &a);

	if (err < 0)
		machine_end(END_ERROR, 0, "vCPU %u: reset: %s", vcpu,
			    strerror(-err));
}

static u64 vmparam(struct machine *m, unsigned vcpu, u32 param, bool write,
		   u64 value)
{
	struct joist_vmparam_args a = {
		.head.vcpu = vcpu, .param = param, .value = value,
	};
	int err = hv_call(m->fds.vm, write ? JOIST_WRITEVMPARAMS :
			  JOIST_READVMPARAMS, &a);

	if (err < 0)
		machine_end(END_ERROR, 0, "VM parameter %u: %s", param,
			    strerror(-err));
	return a.value;
}

static void set_wall_clock(struct machine *m)
{
	struct joist_regs_args a = { .mask = JOIST_REGS_MSR };
	u64 khz = vmparam(m, 0, JOIST_PARAM_TSC_KHZ, false, 0), since;
	int err = hv_call(m->fds.vm, JOIST_READREGS, &a);

	if (err < 0)
		machine_end(END_ERROR, 0, "vCPU 0: read registers: %s",
			    strerror(-err));
	if (!khz)
		return;		/* the guest has no kvmclock then */
	since = (u64)((unsigned __int128)a.regs.tsc * 1000000 / khz);
	vmparam(m, 0, JOIST_PARAM_WALL_CLOCK, true, board_wall_ns() - since);
}

/* Every vCPU to power-on state, memory loaded, vCPU 0 at the kernel's entry. */
void vcpu_reset_all(struct machine *m)
{
	struct joist_regs_args a = { .mask = JOIST_REGS_ALL };
	unsigned v;
	u64 offset;
	int err;

	for (v = 0; v < m->cfg->vcpus; v++)
		reset_vcpu(m, v);
	err = hv_call(m->fds.vm, JOIST_READREGS, &a);
	if (err < 0)
		machine_end(END_ERROR, 0, "vCPU 0: read registers: %s",
			    strerror(-err));
	/* Writing the MSR group moves the TSC; all vCPUs are to agree. */
	offset = vmparam(m, 0, JOIST_PARAM_TSC_OFFSET, false, 0);
	machine_load(m, &a.regs);
	a.mask = JOIST_REGS_GPR | JOIST_REGS_SEG | JOIST_REGS_CR |
		 JOIST_REGS_MSR;
	err = hv_call(m->fds.vm, JOIST_RESETCPU, &a);
	if (err < 0)
		machine_end(END_ERROR, 0, "vCPU 0: set start registers: %s",
			    strerror(-err));
	for (v = 0; v < m->cfg->vcpus; v++)
		vmparam(m, v, JOIST_PARAM_TSC_OFFSET, true, offset);
	set_wall_clock(m);
}

static void exit_io(struct machine *m, struct joist_run *run)
{
	unsigned size = run->io.size, i, count = run->io.count;
	u8 *p = run->buf;
	u64 val = 0;

	if (!run->io.string) {
		if (run->io.in)
			run->io.data = bus_read(&m->ports, run->io.port, size);
		else
			bus_write(&m->ports, run->io.port, size, run->io.data);
		return;
	}
	for (i = 0; i < count; i++, p += size) {
		if (run->io.in) {
			val = bus_read(&m->ports, run->io.port, size);
			memcpy(p, &val, size);
		} else {
			memcpy(&val, p, size);
			bus_write(&m->ports, run->io.port, size, val);
		}
	}
}

static void exit_mmio(struct machine *m, struct joist_run *run)
{
	if (run->mmio.write)
		bus_write(&m->mmio, run->mmio.gpa, run->mmio.size,
			  run->mmio.data);
	else
		run->mmio.data = bus_read(&m->mmio, run->mmio.gpa,
					  run->mmio.size);
}

/* The vCPU acknowledges the 8259s, unless their request is gone again. */
static void exit_extint(struct machine *m, unsigned vcpu)
{
	struct joist_intr a = {
		.head.vcpu = vcpu, .type = JOIST_INTR_EXTINT,
	};

	if (!m->dev.pic.intr)
		return;
	a.vector = pic_ack(&m->dev.pic);
	hv_call(m->fds.vm, JOIST_INTR, &a);
}

static const char *hex(const u8 *bytes, u32 len, char *out)
{
	u32 i;

	*out = 0;
	for (i = 0; i < len; i++)
		snprintf(out + 3 * i, 4, " %02x", bytes[i]);
	return len ? out : " -";
}

static void exit_error(struct machine *m, unsigned vcpu)
{
	static const char *const names[] = {
		[JOIST_ERR_ENTRY] = "the CPU refused the guest's state",
		[JOIST_ERR_EMULATE] = "cannot emulate an instruction on "
				      "unmapped memory",
		[JOIST_ERR_EXIT] = "an exit nobody expects",
		[JOIST_ERR_MEMORY] = "the pool has no page left for tables",
		[JOIST_ERR_EVENT] = "an interrupt's stack or table is not in "
				    "memory",
	};
	const struct joist_run *run = m->run[vcpu];
	u32 code = run->error.code, len = MIN(run->error.len, 16u);
	char text[3 * 16 + 1];

	machine_end(END_ERROR, code, "vCPU %u: %s (error %u) at rip %#llx, "
		    "code%s, detail %#llx %#llx %#llx %#llx", vcpu,
		    code < ARRAY_SIZE(names) && names[code] ? names[code] :
		    "unknown error", code, (ull)run->rip,
		    hex(run->error.insn, len, text),
		    (ull)run->error.detail[0], (ull)run->error.detail[1],
		    (ull)run->error.detail[2], (ull)run->error.detail[3]);
}

/* ---- instructions that the hypervisor hands out ---- */

#define RFLAGS_TF	(1ull << 8)
#define DR6_BS		(1ull << 14)
#define X_DB		1
#define SHADOW		(JOIST_SHADOW_STI | JOIST_SHADOW_MOVSS)

static int world_access(struct emu *e, struct joist_access *a)
{
	a->head.vcpu = (unsigned)(uintptr_t)e->ctx;
	return hv_call(machine.fds.vm, JOIST_ACCESS, a);
}

static u64 world_read(struct emu *e, u64 gpa, unsigned size)
{
	(void)e;
	return bus_read(&machine.mmio, gpa, size);
}

static void world_write(struct emu *e, u64 gpa, unsigned size, u64 val)
{
	(void)e;
	bus_write(&machine.mmio, gpa, size, val);
}

/* XSAVE areas are as large as all components that guests have make them. */
static int world_xstate(struct emu *e, bool store)
{
	static struct joist_xstate x;
	int err;

	x = (struct joist_xstate){
		.head.vcpu = (unsigned)(uintptr_t)e->ctx,
		.size = native_xstate_size(),
	};
	if (store)
		memcpy(x.data, e->xstate, sizeof(x.data));
	err = hv_call(machine.fds.vm, store ? JOIST_WRITEXSTATE :
		      JOIST_READXSTATE, &x);
	if (!err && !store)
		memcpy(e->xstate, x.data, sizeof(x.data));
	return err;
}

static void call_or_end(struct machine *m, unsigned vcpu, unsigned long call,
			void *block)
{
	int err = hv_call(m->fds.vm, call, block);

	if (err < 0)
		machine_end(err == -ENXIO ? END_GONE : END_ERROR, 0,
			    "vCPU %u: emulation: %s", vcpu, strerror(-err));
}

static void raise_fault(struct machine *m, unsigned vcpu, u32 vector, bool has_error,
		  u32 error)
{
	struct joist_intr a = {
		.head.vcpu = vcpu, .type = JOIST_INTR_EXCEPTION,
		.vector = vector, .error = has_error ? error : 0,
		.flags = has_error ? JOIST_INTR_ERROR : 0,
	};

	call_or_end(m, vcpu, JOIST_INTR, &a);
}

/* The registers behind it, and what its end brings with it. */
static void emulated(struct machine *m, unsigned vcpu, const struct emu *e)
{
	struct joist_regs_args a = {
		.head.vcpu = vcpu, .mask = JOIST_REGS_GPR, .regs = e->regs,
	};
	bool step = e->regs.rflags & RFLAGS_TF;

	if (e->cr0_changed)
		a.mask |= JOIST_REGS_CR;
	if (a.regs.interruptibility & SHADOW)
		a.mask |= JOIST_REGS_EVENT;
	a.regs.interruptibility &= ~SHADOW;
	if (step)
		a.mask |= JOIST_REGS_DR;
	a.regs.dr6 |= DR6_BS;
	call_or_end(m, vcpu, JOIST_WRITEREGS, &a);
	if (step)
		raise_fault(m, vcpu, X_DB, false, 0);
}

static void emulated_fault(struct machine *m, unsigned vcpu,
			   const struct emu *e, u64 cr2)
{
	struct joist_regs_args a = {
		.head.vcpu = vcpu, .mask = JOIST_REGS_CR, .regs = e->regs,
	};

	a.regs.cr2 = e->cr2;
	if (e->cr2 != cr2)
		call_or_end(m, vcpu, JOIST_WRITEREGS, &a);
	raise_fault(m, vcpu, e->vector, e->has_error, e->error);
}

static void exit_emulate(struct machine *m, unsigned vcpu)
{
	static const struct emu_world world = {
		world_access, world_read, world_write, world_xstate,
	};
	static struct emu e;
	const struct joist_run *run = m->run[vcpu];
	struct joist_regs_args a = { .head.vcpu = vcpu, .mask = JOIST_REGS_ALL };
	u32 len = MIN(run->emulate.len, 15u), mode = run->emulate.mode;
	char text[3 * 16 + 1];
	u8 bytes[16];

	memcpy(bytes, run->emulate.insn, sizeof(bytes));
	call_or_end(m, vcpu, JOIST_READREGS, &a);
	e.world = &world;
	e.ctx = (void *)(uintptr_t)vcpu;
	e.regs = a.regs;
	e.cr2 = a.regs.cr2;
	switch (emulate(&e, bytes, len, mode)) {
	case EMU_DONE:
		emulated(m, vcpu, &e);
		break;
	case EMU_FAULT:
		emulated_fault(m, vcpu, &e, a.regs.cr2);
		break;
	case EMU_CANNOT:
		machine_end(END_ERROR, JOIST_ERR_EMULATE, "vCPU %u: cannot "
			    "emulate an instruction on device memory at %#llx "
			    "(%s): rip %#llx, %u-bit code%s", vcpu,
			    (ull)run->emulate.gpa, e.why, (ull)a.regs.rip,
			    mode, hex(bytes, len, text));
	}
}

static void serve(struct machine *m, unsigned vcpu, u32 exit)
{
	struct joist_run *run = m->run[vcpu];

	switch (exit) {
	case JOIST_EXIT_NONE:
	case JOIST_EXIT_INTR:
	case JOIST_EXIT_HALTED:
	case JOIST_EXIT_TIMER:
	case JOIST_EXIT_WAKE:
		break;
	case JOIST_EXIT_IO:
		exit_io(m, run);
		break;
	case JOIST_EXIT_MMIO:
		exit_mmio(m, run);
		break;
	case JOIST_EXIT_EOI:
		ioapic_eoi(&m->dev.ioapic, (u8)run->eoi.vector);
		break;
	case JOIST_EXIT_EXTINT:
		exit_extint(m, vcpu);
		break;
	case JOIST_EXIT_SHUTDOWN:
		if (run->shutdown.exact)
			machine_end(END_CRASH, 0, "vCPU %u: triple fault at rip "
				    "%#llx", vcpu, (ull)run->rip);
		machine_end(END_CRASH, 0, "vCPU %u: triple fault, after rip %#llx; "
			    "left at %#llx, which this CPU does not vouch for",
			    vcpu, (ull)run->rip, (ull)run->shutdown.left);
	case JOIST_EXIT_TERM:
		machine_end(END_GONE, 0, "the VM was terminated");
	case JOIST_EXIT_ERROR:
		exit_error(m, vcpu);
		break;
	case JOIST_EXIT_EMULATE:
		exit_emulate(m, vcpu);
		break;
	default:
		machine_end(END_ERROR, exit, "vCPU %u: unknown exit %u", vcpu,
			    exit);
	}
}

static void park_if_paused(struct machine *m)
{
	while (m->paused) {
		m->parked++;
		pthread_cond_broadcast(&m->cond);
		pthread_cond_wait(&m->cond, &m->lock);
		m->parked--;
	}
}

static void *vcpu_thread(void *arg)
{
	struct machine *m = &machine;
	unsigned vcpu = (unsigned)(uintptr_t)arg;
	char name[16];
	int exit;

	snprintf(name, sizeof(name), "vcpu%u", vcpu);
	pthread_setname_np(pthread_self(), name);
	pthread_mutex_lock(&m->lock);
	for (;;) {
		park_if_paused(m);
		pthread_mutex_unlock(&m->lock);
		exit = ioctl(m->fds.vm, JOIST_RUN, (unsigned long)vcpu);
		if (exit < 0) {
			int err = errno;

			pthread_mutex_lock(&m->lock);
			if (err == EINTR || err == EAGAIN)
				continue;
			if (err == ENXIO)
				machine_end(END_GONE, 0, "the VM was "
					    "destroyed");
			machine_end(END_ERROR, 0, "vCPU %u: run: %s", vcpu,
				    strerror(err));
		}
		pthread_mutex_lock(&m->lock);
		serve(m, vcpu, (u32)exit);
	}
	return NULL;
}

void vcpu_start_all(struct machine *m)
{
	sigset_t all, old;
	pthread_t t;
	unsigned v;
	int err;

	/* Signals are for the main thread, but for those of native.c. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (v = 0; v < m->cfg->vcpus; v++) {
		err = pthread_create(&t, NULL, vcpu_thread,
				     (void *)(uintptr_t)v);
		if (err)
			machine_end(END_ERROR, 0, "vCPU %u: thread: %s", v,
				    strerror(err));
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void vcpu_kick(struct machine *m, unsigned vcpu)
{
	struct joist_vm a = { .head.vcpu = vcpu };

	hv_call(m->fds.vm, JOIST_KICK, &a);
}

/* On return no vCPU runs. */
void vcpu_pause_all(struct machine *m)
{
	struct timespec t;
	unsigned v;

	m->paused = true;
	while (m->parked < m->cfg->vcpus) {
		for (v = 0; v < m->cfg->vcpus; v++)
			vcpu_kick(m, v);
		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_nsec += KICK_AGAIN_NS;
		if (t.tv_nsec >= 1000000000) {
			t.tv_nsec -= 1000000000;
			t.tv_sec++;
		}
		pthread_cond_timedwait(&m->cond, &m->lock, &t);
	}
}

void vcpu_unpause_all(struct machine *m)
{
	m->paused = false;
	pthread_cond_broadcast(&m->cond);
}
