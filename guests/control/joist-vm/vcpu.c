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

#include "guests/control/lib/hv.h"
#include "machine.h"

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
	u32 code = run->error.code, len = MIN(run->error.len, 16u), i;
	char hex[3 * 16 + 1] = "";

	for (i = 0; i < len; i++)
		snprintf(hex + 3 * i, 4, " %02x", run->error.insn[i]);
	machine_end(END_ERROR, code, "vCPU %u: %s (error %u) at rip %#llx, "
		    "code%s, detail %#llx %#llx %#llx %#llx", vcpu,
		    code < ARRAY_SIZE(names) && names[code] ? names[code] :
		    "unknown error", code, (ull)run->rip, len ? hex : " -",
		    (ull)run->error.detail[0], (ull)run->error.detail[1],
		    (ull)run->error.detail[2], (ull)run->error.detail[3]);
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
		machine_end(END_CRASH, 0, "vCPU %u: triple fault at rip %#llx",
			    vcpu, (ull)run->rip);
	case JOIST_EXIT_TERM:
		machine_end(END_GONE, 0, "the VM was terminated");
	case JOIST_EXIT_ERROR:
		exit_error(m, vcpu);
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

	/* Signals are for the main thread. */
	sigfillset(&all);
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
