/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * svm_audit.c -- for debug builds: would every CPU enter with this VMCB?
 *
 * APM volume 2, "Canonicalization and Consistency Checks".  A CPU answers a
 * broken one with VMEXIT_INVALID; emulators check little of it, so that what
 * they take may fail on hardware.  What Joist sets itself must be right; a
 * guest's registers come from outside, too, and then the guest fares here as it
 * would on a CPU.
 */
#include "arch/x86/audit.h"
#include "arch/x86/exit.h"
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "arch/x86/svm/svm_audit.h"
#include "arch/x86/svm/vmcb.h"
#include "core/log.h"
#include "core/vm.h"

#define EFER_KNOWN	(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | BITS(15, 13) | BITS(18, 17) | \
			 BITS(21, 20))
#define CR4_KNOWN	(BITS(12, 0) | BITS(18, 16) | BITS(23, 20))
#define CR3_MBZ		BITS(63, 52)
#define EVENT_TYPE	BITS(10, 8)
#define EVENT_RESERVED	BITS(30, 12)
#define CS_L		BIT(9)		/* attributes as a VMCB packs them */
#define CS_D		BIT(10)

static bool long_mode_ok(const struct vmcb *b)
{
	return (b->efer & EFER_LME) && (b->cr0 & CR0_PG);
}

/* An event that VMRUN injects: APM, "Event Injection". */
static bool inject_ok(u64 ev)
{
	u32 type = (u32)field_get(EVENT_TYPE, ev), vector = ev & JOIST_EVENT_VECTOR;

	if (!(ev & JOIST_EVENT_VALID))
		return true;
	switch (type) {
	case 0: case 4:				/* INTR, software interrupt */
		return !(ev & EVENT_RESERVED);
	case 2:					/* NMI: the vector is ignored */
		return !(ev & EVENT_RESERVED);
	case 3:
		return !(ev & EVENT_RESERVED) && vector <= 31 && vector != EXC_NMI;
	default:
		return false;
	}
}

/* Whether a map of that size lies in physical memory as a CPU can reach it. */
static bool map_ok(u64 pa, unsigned phys_bits)
{
	return !(pa & (PAGE_SIZE - 1)) && !(pa >> phys_bits);
}

const char *vmcb_registers_broken(const struct vmcb *b)
{
	const struct { bool broken; const char *rule; } rules[] = {
		{ !(b->efer & EFER_SVME), "EFER.SVME is clear" },
		{ b->efer & ~EFER_KNOWN, "EFER has reserved bits" },
		{ !(b->cr0 & CR0_CD) && (b->cr0 & CR0_NW), "CR0.NW without CR0.CD" },
		{ b->cr0 >> 32, "CR0 has bits above 31" },
		{ b->cr4 & ~CR4_KNOWN, "CR4 has reserved bits" },
		{ b->dr6 >> 32, "DR6 has bits above 31" },
		{ b->dr7 >> 32, "DR7 has bits above 31" },
		{ long_mode_ok(b) && !(b->cr4 & CR4_PAE), "long mode without CR4.PAE" },
		{ long_mode_ok(b) && !(b->cr0 & CR0_PE), "long mode without CR0.PE" },
		{ long_mode_ok(b) && (b->cr4 & CR4_PAE) && (b->cs.attr & CS_L) &&
		  (b->cs.attr & CS_D), "CS.L with CS.D in long mode" },
		{ long_mode_ok(b) && (b->cr3 & CR3_MBZ), "CR3 has bits above 51" },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].broken)
			return rules[i].rule;
	return NULL;
}

const char *vmcb_broken(const struct vmcb *b, unsigned phys_bits)
{
	const struct { bool broken; const char *rule; } rules[] = {
		{ !(b->intercept4 & INTERCEPT_VMRUN), "VMRUN is not intercepted" },
		{ !b->asid, "ASID 0" },
		{ (b->intercept3 & INTERCEPT_MSR) && !map_ok(b->msrpm, phys_bits),
		  "the MSR map is not in memory" },
		{ (b->intercept3 & INTERCEPT_IO) && !map_ok(b->iopm, phys_bits),
		  "the I/O map is not in memory" },
		{ !map_ok(b->nested_cr3, phys_bits), "nCR3 has reserved bits" },
		{ !(b->np_control & NP_ENABLE), "nested paging is off" },
		{ !pat_valid(b->g_pat), "G_PAT has a reserved type" },
		{ !inject_ok(b->event_inj), "EVENTINJ has no event that can be injected" },
		{ b->tlb_control > 7 || b->tlb_control == 2, "TLB_CONTROL is reserved" },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].broken)
			return rules[i].rule;
	return NULL;
}

bool svm_audit(const struct vcpu *v)
{
	struct vmcb *b = v->svm.vmcb;
	const char *rule = vmcb_broken(b, guest_features.phys_bits);

	if (!rule && v->control)
		rule = vmcb_registers_broken(b);
	if (rule)
		panic("VMRUN of VM %s, vCPU %u: %s", v->control ? "0" : v->vm->name, v->id, rule);
	if (likely(!vmcb_registers_broken(b)))
		return true;
	b->exit_code = SVM_EXIT_INVALID;
	b->exit_info1 = b->exit_info2 = b->exit_int_info = b->event_inj = 0;
	return false;
}

/* Intercepts and the like that Joist counts on: NULL, or what is missing. */
static const char *own_broken(const struct vcpu *v)
{
	const struct vmcb *b = v->svm.vmcb;
	const u32 must3 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_IO |
			  INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
	const u32 must4 = INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI |
			  INTERCEPT_SKINIT | INTERCEPT_XSETBV;

	if (v->control)
		return b->asid == 1 ? NULL : "the control VM's ASID is not 1";
	if (b->asid == 1)
		return "a guest has the control VM's ASID";
	if ((must3 & ~b->intercept3) || (must4 & ~b->intercept4) ||
	    (GUEST_EXCEPTIONS & ~b->intercept_exc))
		return "an intercept is missing that keeps a guest in";
	if (!(b->int_ctl & VINTR_MASKING))
		return "V_INTR_MASKING is clear";
	if (v->svm.nmi_blocked && !v->svm.iret_rip && !(b->intercept3 & INTERCEPT_IRET))
		return "NMIs are blocked, and IRET is not intercepted";
	return NULL;
}

static struct audit_mode mode_of(const struct vmcb *b)
{
	return (struct audit_mode){ b->cr0, b->cr3, b->cr4, b->efer };
}

void svm_audit_tag(const struct vcpu *v, const struct cpu *c)
{
	struct audit_mode m = mode_of(v->svm.vmcb);
	const char *why = own_broken(v);

	if (why)
		panic("VMRUN of vCPU %u of VM %u: %s", v->id, v->vm->id, why);
	if (v->svm.vmcb->tlb_control == TLB_FLUSH_ALL)
		audit_flushed(c);
	audit_enter(c, v, v->svm.vmcb->asid, &m);
}

void svm_audit_exit(const struct vcpu *v, const struct cpu *c)
{
	struct audit_mode m = mode_of(v->svm.vmcb);

	audit_exit(c, v, v->svm.vmcb->asid, &m);
}
