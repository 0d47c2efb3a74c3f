/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host_vcpu.h -- vCPUs of a VM as they are, with their VMCBs, up to the point
 * where one would be entered.  What lies beyond is stubbed and counts calls.
 */
#ifndef TESTS_UNIT_HOST_VCPU_H
#define TESTS_UNIT_HOST_VCPU_H

#include "tests/unit/host_pool.h"

#include "arch/x86/audit.c"
#include "arch/x86/exit_cpuid.c"
#include "arch/x86/control_cpuid.c"
#include "arch/x86/control_io.c"
#include "arch/x86/control_msr.c"
#include "arch/x86/exit_msr.c"
#include "arch/x86/mitigations.c"
#include "arch/x86/stage2.c"
#include "arch/x86/svm/npt.c"
#include "arch/x86/svm/svm.c"
#include "arch/x86/svm/svm_audit.c"
#include "arch/x86/vlapic.c"
#include "arch/x86/xstate.c"
#include "core/event.c"
#include "core/vcpu.c"

const struct backend *backend = &svm_backend;
struct cpu *cpus[MAX_CPUS] = { &the_cpu };
u32 cpu_count = 1, tsc_khz = 2000000;

static u32 asked_exit, asked_flush, kicked_self;

void smp_ask(struct cpu *c, u32 request)
{
	asked_exit += request == REQ_EXIT;
}

void smp_ask_all_wait(u32 request)
{
	asked_flush += request == REQ_FLUSH_CONTROL;
}

void smp_kick_self(void)
{
	kicked_self++;
}

bool stray_traps;

void cpu_halt(void)
{
	abort();
}

/* Nothing enters a guest here. */
void svm_vmrun(u64 guest_vmcb, u64 *gpr, u64 host_vmcb, u64 shadow)
{
	abort();
}

void svm_take_nmi(void)
{
}

void svm_vmsave(u64 vmcb)
{
}

void svm_clgi(void)
{
}

void svm_stgi(void)
{
}


#ifdef HOST_SVM_EXIT
int guest_insn(struct vcpu *v, struct insn *in)
{
	abort();
}

void apic_look_again(void)
{
}

#include "arch/x86/svm/svm_exit.c"
#else
void svm_exit_decode(struct vcpu *v)
{
	abort();
}

void svm_exit_raw(struct vcpu *v)
{
}
#endif

enum verdict exit_guest(struct vcpu *v)
{
	abort();
}

enum verdict exit_control(struct vcpu *v)
{
	abort();
}

enum verdict control_shutdown(struct vcpu *v)
{
	abort();
}

enum verdict apic_act(struct vcpu *v, const struct vlapic_action *a, enum verdict done)
{
	return done;
}

enum verdict exit_gp(struct vcpu *v)
{
	event_exception_error(v, EXC_GP, 0);
	return RETRY;
}

enum verdict exit_ud(struct vcpu *v)
{
	event_exception(v, EXC_UD);
	return RETRY;
}

void exit_step(struct vcpu *v, unsigned len)
{
	v->rip += len;
}

enum verdict exit_error(struct vcpu *v, u32 code)
{
	v->dead = v->forward = JOIST_EXIT_ERROR;
	v->run->error.code = code;
	return FORWARD;
}

enum verdict io_complete(struct vcpu *v)
{
	return RETRY;
}

enum verdict mmio_complete(struct vcpu *v)
{
	return RETRY;
}

void pvclock_update(struct vcpu *v)
{
}

void pvclock_wall_clock(struct vm *vm)
{
}

bool ratelimit_ok(struct ratelimit *r, u32 burst)
{
	return true;
}

hpa_t early_alloc(u64 size)
{
	abort();
}

#ifndef HOST_SHOWS		/* a test has its own of these */
int control_show(u64 hpa, u64 len)
{
	return 0;
}

void control_hide(const u64 *hpa, u32 pages)
{
}
#endif

/* A machine with all that a guest may have. */
static inline void host_features(void)
{
	guest_features = (struct guest_features){
		.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU,
		.cr4 = BITS(11, 0) | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP |
		       CR4_SMAP | CR4_PKE,
		.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
		.phys_bits = 40, .spec_ctrl = 7, .pred_cmd = 1, .tsc_aux = true,
	};
	mask = guest_features.xcr0;
	xstate_compacts = true;
	size = 2696;
	mxcsr_mask = 0xffff;
}

#endif
