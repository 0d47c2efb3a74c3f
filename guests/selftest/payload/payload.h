/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * payload.h -- what the self-test and the code it runs in guests agree on.
 *
 * A guest's memory: page tables, one page shared with the self-test, the
 * image of 64-bit payloads, stacks at the top.  A payload is one function of
 * that image; it ends by DONE_PORT (0: passed, 1: failed, with the reason in
 * the shared page) and tells of its progress by SYNC_PORT.
 */
#ifndef SELFTEST_PAYLOAD_H
#define SELFTEST_PAYLOAD_H

#include "core/types.h"

#define GUEST_PT	0x1000		/* PML4, PDPT, four PDs: 0 .. 4 GiB */
#define GUEST_SHARE	0x8000
#define GUEST_SIPI	0x9000		/* real-mode entry of started vCPUs */
#define GUEST_CODE16	0xa000		/* payloads of other CPU modes */
#define GUEST_CODE64	0x10000
#define GUEST_SCRATCH	0x60000		/* for the payload's own use, 64 KiB */
#define GUEST_RAM	0x80000
#define GUEST_STACK(v)	(GUEST_RAM - (v) * 0x2000)
#define GUEST_VCPUS	8		/* at most, with stacks of that size */

#define DONE_PORT	0xe0
#define SYNC_PORT	0xe4

struct gshare {
	volatile u32 status;		/* set before DONE_PORT: 1 ok, 2 failed */
	volatile u32 line;
	char why[240];
	volatile u64 arg[32];		/* in */
	volatile u64 val[64];		/* out */
	volatile u64 flag[64];		/* for what runs at the same time */
};

#define PAYLOADS(P)							\
	P(hello) P(echo) P(hlt) P(cpuid) P(io) P(io_string)		\
	P(mmio) P(mmio_more) P(mmio_rmw) P(mmio_movs) P(mmio_bad)	\
	P(mmio_emulate) P(mmio_cross) P(mmio_cross_fault) P(mmio_io) P(io_fault) P(apic_string)	\
	P(rom_switch) P(rom_other) P(rom_tables)			\
	P(gpa_sweep) P(gpa_high) P(memory)				\
	P(msr) P(msr_sweep) P(cr) P(cr3_bad) P(xcr0) P(dr) P(step)	\
	P(privileged) P(privileged_user) P(ports) P(exceptions)		\
	P(hypercall) P(hypercall_user)					\
	P(apic_regs) P(apic_ipi) P(apic_hlt) P(apic_timer) P(apic_msi)	\
	P(apic_level) P(apic_extint) P(apic_self) P(apic_masked)	\
	P(window) P(nmi) P(inject) P(vectors) P(leak) P(clock)		\
	P(smp_start) P(smp_ring) P(smp_dest) P(smp_random) P(smp_count)	\
	P(smp_clock) P(smp_init) P(avx)				\
	P(far_deadline) P(tiny_period) P(resume_flag)

enum payload {
#define P(name) PL_##name,
	PAYLOADS(P)
#undef P
	PL_COUNT
};

#endif
