/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_svm.c -- what SVM's backend puts into a VMCB, where no emulator shows it.
 */
#include "tests/unit/host_vcpu.h"

#undef fail
#include <cmocka.h>

struct vm *control_vm;
static struct vm the_vm, the_control;
static struct vcpu *vcpu;

int control_show(u64 hpa, u64 len)
{
	return 0;
}

void control_hide(u64 hpa, u64 len)
{
}

static int start(void **state)
{
	host_pool(0, 16 * MiB);
	host_features();
	memset(&the_vm, 0, sizeof(the_vm));
	memset(&the_control, 0, sizeof(the_control));
	control_vm = &the_control;
	the_vm.owner = OWNER_GUEST;
	the_control.owner = OWNER_CONTROL;
	the_vm.vcpu_count = the_control.vcpu_count = 1;
	if (stage2_init(&the_vm.s2, backend->guest_stage2) ||
	    stage2_init(&the_control.s2, backend->stage2) ||
	    vcpu_create(&the_vm, 0, &the_vm.vcpu[0]) ||
	    vcpu_create(&the_control, 0, &the_control.vcpu[0]))
		return -1;
	vcpu = the_vm.vcpu[0];
	return 0;
}

static u64 injected(u64 cr0, u32 info, u32 error)
{
	backend->reg_set(vcpu, VREG_CR0, cr0);
	backend->inject(vcpu, (struct event){ info, error });
	return vcpu->svm.vmcb->event_inj;
}

/* APM, "Real Mode": the CPU would push what EVENTINJ has. */
static void test_no_error_code_in_real_mode(void **state)
{
	const u32 gp = JOIST_EVENT_VALID | JOIST_EVENT_TYPE(3) | EXC_GP;

	assert_int_equal(injected(CR0_ET, gp | JOIST_EVENT_ERROR, 0x18) & 0xffffffff, gp);
	assert_int_equal(injected(CR0_ET | CR0_PE, gp | JOIST_EVENT_ERROR, 0x18),
			 (gp | JOIST_EVENT_ERROR) | 0x18ull << 32);
}

/* APM, "TLB Control": the control VM keeps its ASID, so the core must flush. */
static void test_control_mode_change_flushes(void **state)
{
	static const enum vreg regs[] = { VREG_CR0, VREG_CR3, VREG_CR4, VREG_EFER };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		the_cpu.svm.flush = 0;
		backend->reg_set(the_control.vcpu[0], regs[i], 0);
		assert_int_equal(the_cpu.svm.flush, TLB_FLUSH_ALL);
		/* A guest gets another ASID; nobody else suffers. */
		the_cpu.svm.flush = 0;
		vcpu->svm.asid_cpu = 1;
		backend->reg_set(vcpu, regs[i], 0);
		assert_int_equal(the_cpu.svm.flush, 0);
		assert_int_equal(vcpu->svm.asid_cpu, 0);
	}
}

static void test_intercepts(void **state)
{
	const struct vmcb *g = vcpu->svm.vmcb, *c = the_control.vcpu[0]->svm.vmcb;
	u32 has = cpuid(0x80000008, 0).ebx;

	assert_true(g->intercept3 & INTERCEPT_FERR_FREEZE);
	assert_false(c->intercept3 & INTERCEPT_FERR_FREEZE);
	assert_int_equal(!!(g->intercept5 & INTERCEPT_INVLPGB), !!(has & EXT8_EBX_INVLPGB));
	assert_int_equal(!!(g->intercept5 & INTERCEPT_TLBSYNC), !!(has & EXT8_EBX_INVLPGB));
	assert_int_equal(!!(g->intercept5 & INTERCEPT_MCOMMIT), !!(has & EXT8_EBX_MCOMMIT));
	assert_int_equal(!!(g->intercept4 & INTERCEPT_RDPRU), !!(has & EXT8_EBX_RDPRU));
}

#define BREAKS(judge, change)						\
	do {								\
		struct vmcb b = *vcpu->svm.vmcb;			\
									\
		b.asid = 2;						\
		assert_null(vmcb_broken(&b, 40));			\
		assert_null(vmcb_registers_broken(&b));			\
		b.change;						\
		assert_non_null(judge);					\
	} while (0)

/* APM, "Canonicalization and Consistency Checks". */
static void test_audit_control(void **state)
{
	iopm_guest = msrpm_guest = 0x100000;
	vcpu->svm.vmcb->iopm = vcpu->svm.vmcb->msrpm = 0x100000;
	BREAKS(vmcb_broken(&b, 40), intercept4 &= ~INTERCEPT_VMRUN);
	BREAKS(vmcb_broken(&b, 40), asid = 0);
	BREAKS(vmcb_broken(&b, 40), msrpm = BIT(40));
	BREAKS(vmcb_broken(&b, 40), iopm = 0x100800);
	BREAKS(vmcb_broken(&b, 40), nested_cr3 |= BIT(51));
	BREAKS(vmcb_broken(&b, 40), np_control = 0);
	BREAKS(vmcb_broken(&b, 40), g_pat = 2);
	BREAKS(vmcb_broken(&b, 40), tlb_control = 2);
	BREAKS(vmcb_broken(&b, 40), event_inj = JOIST_EVENT_VALID | JOIST_EVENT_TYPE(3) | 32);
	BREAKS(vmcb_broken(&b, 40), event_inj = JOIST_EVENT_VALID | JOIST_EVENT_TYPE(3) | 2);
	BREAKS(vmcb_broken(&b, 40), event_inj = JOIST_EVENT_VALID | JOIST_EVENT_TYPE(1) | 2);
	BREAKS(vmcb_broken(&b, 40), event_inj = JOIST_EVENT_VALID | BIT(12) | 50);
}

static void test_audit_registers(void **state)
{
	struct vmcb *v = vcpu->svm.vmcb;

	v->iopm = v->msrpm = 0x100000;
	v->cr0 = CR0_PG | CR0_PE | CR0_ET;
	v->cr4 = CR4_PAE;
	v->efer = EFER_SVME | EFER_LME | EFER_LMA;
	v->cs.attr = 0x29b;
	BREAKS(vmcb_registers_broken(&b), efer &= ~EFER_SVME);
	BREAKS(vmcb_registers_broken(&b), efer |= BIT(1));
	BREAKS(vmcb_registers_broken(&b), cr0 |= CR0_NW);
	BREAKS(vmcb_registers_broken(&b), cr0 |= BIT(32));
	BREAKS(vmcb_registers_broken(&b), cr3 = BIT(52));
	BREAKS(vmcb_registers_broken(&b), cr4 |= BIT(15));
	BREAKS(vmcb_registers_broken(&b), dr6 |= BIT(32));
	BREAKS(vmcb_registers_broken(&b), dr7 |= BIT(63));
	BREAKS(vmcb_registers_broken(&b), cr4 &= ~CR4_PAE);
	BREAKS(vmcb_registers_broken(&b), cr0 &= ~CR0_PE);
	BREAKS(vmcb_registers_broken(&b), cs.attr |= CS_D);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_no_error_code_in_real_mode, start),
		cmocka_unit_test_setup(test_control_mode_change_flushes, start),
		cmocka_unit_test_setup(test_intercepts, start),
		cmocka_unit_test_setup(test_audit_control, start),
		cmocka_unit_test_setup(test_audit_registers, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
