/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_svm.c -- what SVM's backend puts into a VMCB, where no emulator shows it.
 */
#define HOST_SVM_EXIT
#include "tests/unit/host_vcpu.h"

#undef fail
#include <cmocka.h>

struct vm *control_vm;
static struct vm the_vm, the_control;
static struct vcpu *vcpu;

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

/* A guest's NMI handler at its IRET, with another NMI to come, in its step. */
static struct vmcb *stepping(u64 own_tf)
{
	struct vmcb *b = vcpu->svm.vmcb;

	backend->inject(vcpu, (struct event){ JOIST_EVENT_VALID | JOIST_EVENT_TYPE(2) | 2, 0 });
	assert_true(b->intercept3 & INTERCEPT_IRET);
	b->event_inj = 0;
	b->exit_code = SVM_EXIT_IRET;
	vcpu->rip = 0x1000;
	vcpu->rflags = RFLAGS_ONE | own_tf;
	svm_exit_decode(vcpu);
	assert_int_equal(vcpu->x.kind, JOIST_STAT_NMI_WINDOW);
	assert_true(backend->shadow_get(vcpu) & JOIST_NMI_BLOCKED);
	backend->want_window(vcpu, false, true, 0);
	assert_true(vcpu->rflags & RFLAGS_TF);
	return b;
}

static void step_exit(u64 code, u64 rip)
{
	vcpu->svm.vmcb->exit_code = code;
	vcpu->rip = rip;
	svm_exit_decode(vcpu);
	assert_int_equal(vcpu->svm.vmcb->intercept_exc, GUEST_EXCEPTIONS);
}

static void test_iret_step(void **state)
{
	struct vmcb *b = stepping(0);

	/* Done: IRET loads RFLAGS.  The trap was ours. */
	b->dr6 = DR6_INIT | BIT(14);
	vcpu->rflags = RFLAGS_ONE;
	step_exit(SVM_EXIT_EXCP0 + EXC_DB, 0x2000);
	assert_int_equal(vcpu->x.kind, JOIST_STAT_NMI_WINDOW);
	assert_int_equal(b->dr6, DR6_INIT);
	assert_false(backend->shadow_get(vcpu) & JOIST_NMI_BLOCKED);
	/* The guest steps by itself: its trap. */
	b = stepping(RFLAGS_TF);
	b->dr6 = DR6_INIT | BIT(14);
	step_exit(SVM_EXIT_EXCP0 + EXC_DB, 0x2000);
	assert_int_equal(vcpu->x.kind, JOIST_STAT_EXCEPTION);
	assert_int_equal(b->dr6, DR6_INIT | BIT(14));
	assert_false(backend->shadow_get(vcpu) & JOIST_NMI_BLOCKED);
}

/* Nobody sees our TF: not the guest in the frame of a fault, not who reads RFLAGS. */
static void test_iret_step_cut_short(void **state)
{
	struct vmcb *b = stepping(0);

	step_exit(SVM_EXIT_INTR, 0x1000);
	assert_int_equal(vcpu->rflags, RFLAGS_ONE);
	assert_true(backend->shadow_get(vcpu) & JOIST_NMI_BLOCKED);
	backend->want_window(vcpu, false, true, 0);
	assert_true(vcpu->rflags & RFLAGS_TF);
	b->exit_info1 = 4;
	b->exit_info2 = 0xcafe000;
	step_exit(SVM_EXIT_EXCP0 + EXC_PF, 0x1000);
	assert_int_equal(vcpu->rflags, RFLAGS_ONE);
	assert_int_equal(vcpu->x.kind, JOIST_STAT_EXCEPTION);
	assert_int_equal(vcpu->x.vector, EXC_PF);
	assert_int_equal(vcpu->x.error, 4);
	assert_int_equal(b->cr2, 0xcafe000);
	/* The handler's IRET is the next that counts. */
	assert_true(backend->shadow_get(vcpu) & JOIST_NMI_BLOCKED);
	assert_true(b->intercept3 & INTERCEPT_IRET);
	assert_false(vcpu->svm.iret_rip);
	/* Its own TF stays. */
	stepping(RFLAGS_TF);
	step_exit(SVM_EXIT_NPF, 0x1000);
	assert_int_equal(vcpu->rflags, RFLAGS_ONE | RFLAGS_TF);
}

/* Not while another event would take our TF with it: behind that. */
static void test_window_behind_an_event(void **state)
{
	struct vmcb *b = vcpu->svm.vmcb;

	kicked_self = 0;
	b->event_inj = JOIST_EVENT_VALID | EXC_UD;
	backend->want_window(vcpu, false, true, 0);
	assert_int_equal(kicked_self, 1);
	assert_false(vcpu->rflags & RFLAGS_TF);
	b->event_inj = 0;
	backend->want_window(vcpu, false, true, 0);
	assert_int_equal(kicked_self, 1);
}

/* Whatever the guest sees: a machine check must exit, not shut down. */
static void test_mce_stays_on(void **state)
{
	struct vmcb *b = vcpu->svm.vmcb;

	assert_true(b->cr4 & CR4_MCE);
	assert_int_equal(backend->reg_get(vcpu, VREG_CR4), 0);
	backend->reg_set(vcpu, VREG_CR4, CR4_PAE);
	assert_true(b->cr4 & CR4_MCE);
	assert_true(b->intercept_cr_read & BIT(4));
	assert_int_equal(backend->reg_get(vcpu, VREG_CR4), CR4_PAE);
	backend->reg_set(vcpu, VREG_CR4, CR4_PAE | CR4_MCE);
	assert_false(b->intercept_cr_read & BIT(4));
	assert_int_equal(backend->reg_get(vcpu, VREG_CR4), CR4_PAE | CR4_MCE);
	assert_true(b->intercept_exc & BIT(EXC_MC));
	assert_false(the_control.vcpu[0]->svm.vmcb->cr4 & CR4_MCE);
}

/* What Joist counts on in a guest's VMCB. */
static void test_audit_own(void **state)
{
	struct vmcb *b = vcpu->svm.vmcb, good;

	b->asid = 5;
	assert_null(own_broken(vcpu));
	good = *b;
#define BAD(change) do { change; assert_non_null(own_broken(vcpu)); *b = good; } while (0)
	BAD(b->asid = 1);
	BAD(b->intercept3 &= ~(u32)INTERCEPT_IO);
	BAD(b->intercept4 &= ~(u32)INTERCEPT_VMLOAD);
	BAD(b->intercept_exc = BIT(EXC_DB));
	BAD(b->int_ctl = 0);
#undef BAD
	vcpu->svm.nmi_blocked = true;
	assert_non_null(own_broken(vcpu));
	assert_null(own_broken(the_control.vcpu[0]));
}

/* What a core may still have under a tag. */
static void test_audit_tags(void **state)
{
	struct audit_mode m = { CR0_PG | CR0_PE, 0x1000, CR4_PAE, EFER_NXE | EFER_LMA }, n;
	struct vcpu other = { .vm = &the_vm };

	audit_flushed(&the_cpu);
	audit_stage2_flushed(&the_cpu, AUDIT_ALL);
	assert_null(audit_rule(&the_cpu, vcpu, 7, &m));
	audit_exit(&the_cpu, vcpu, 7, &m);
	assert_null(audit_rule(&the_cpu, vcpu, 7, &m));
	assert_null(audit_stage2_rule(&the_cpu, vcpu));
	assert_non_null(audit_rule(&the_cpu, &other, 7, &m));
	assert_null(audit_rule(&the_cpu, &other, 8, &m));
	n = m;
	n.cr3 = 0x2000;
	assert_non_null(audit_rule(&the_cpu, vcpu, 7, &n));
	n = m;
	n.efer &= ~EFER_NXE;
	assert_non_null(audit_rule(&the_cpu, vcpu, 7, &n));
	assert_null(audit_rule(&the_cpu, vcpu, 8, &n));
	n = m;
	n.cr0 |= CR0_TS;
	n.efer |= EFER_SCE;
	assert_null(audit_rule(&the_cpu, vcpu, 7, &n));
	/* Memory is taken away: a new tag, or a flush. */
	assert_int_equal(stage2_unmap(&the_vm.s2, 0, PAGE_SIZE), 0);
	assert_non_null(audit_rule(&the_cpu, vcpu, 7, &m));
	assert_null(audit_rule(&the_cpu, vcpu, 9, &m));
	assert_non_null(audit_stage2_rule(&the_cpu, vcpu));
	audit_stage2_flushed(&the_cpu, ptr_hpa(the_vm.s2.root).v);
	assert_null(audit_stage2_rule(&the_cpu, vcpu));
	assert_null(audit_rule(&the_cpu, vcpu, 7, &m));
	audit_exit(&the_cpu, vcpu, 7, &m);
	assert_int_equal(stage2_protect(&the_vm.s2, 0, PAGE_SIZE, STAGE2_READ), 0);
	assert_non_null(audit_rule(&the_cpu, vcpu, 7, &m));
	audit_flushed(&the_cpu);
	assert_null(audit_rule(&the_cpu, vcpu, 7, &m));
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

/* Firmware leaves CD set, and would have its memory uncached. */
static void test_caches_stay_on(void **state)
{
	static const u64 values[] = {
		CR0_ET | CR0_CD | CR0_NW, CR0_ET | CR0_CD | CR0_PE, CR0_ET | CR0_PE,
	};
	struct vmcb *b = vcpu->svm.vmcb;
	unsigned i;

	/* After reset. */
	assert_int_equal(backend->reg_get(vcpu, VREG_CR0), CR0_CD | CR0_NW | CR0_ET);
	assert_int_equal(b->cr0, CR0_ET);
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		backend->reg_set(vcpu, VREG_CR0, values[i]);
		assert_int_equal(backend->reg_get(vcpu, VREG_CR0), values[i]);
		assert_int_equal(b->cr0, values[i] & ~(CR0_CD | CR0_NW));
		/* It reads what it wrote. */
		assert_int_equal(b->intercept_cr_read & 1, !!(values[i] & CR0_CD));
	}
	vcpu_init_signal(vcpu);
	assert_false(b->cr0 & (CR0_CD | CR0_NW));
	/* The control VM has the machine. */
	backend->reg_set(the_control.vcpu[0], VREG_CR0, values[1]);
	assert_int_equal(the_control.vcpu[0]->svm.vmcb->cr0, values[1]);
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
		cmocka_unit_test_setup(test_iret_step, start),
		cmocka_unit_test_setup(test_iret_step_cut_short, start),
		cmocka_unit_test_setup(test_window_behind_an_event, start),
		cmocka_unit_test_setup(test_mce_stays_on, start),
		cmocka_unit_test_setup(test_audit_own, start),
		cmocka_unit_test_setup(test_audit_tags, start),
		cmocka_unit_test_setup(test_no_error_code_in_real_mode, start),
		cmocka_unit_test_setup(test_caches_stay_on, start),
		cmocka_unit_test_setup(test_control_mode_change_flushes, start),
		cmocka_unit_test_setup(test_intercepts, start),
		cmocka_unit_test_setup(test_audit_control, start),
		cmocka_unit_test_setup(test_audit_registers, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
