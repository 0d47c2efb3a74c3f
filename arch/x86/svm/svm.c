/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * svm.c -- AMD's SVM: enabling it, and the state of a vCPU in its VMCB.
 *
 * Follows APM volume 2, chapter "Secure Virtual Machine".  GIF is 0 while the
 * hypervisor runs, so that nothing but a VMRUN ever meets an interrupt or NMI.
 */
#include "arch/x86/backend.h"
#include "arch/x86/control_io.h"
#include "arch/x86/insn.h"
#include "arch/x86/msr_policy.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "arch/x86/stage2.h"
#include "arch/x86/svm/svm_audit.h"
#include "arch/x86/svm/vmcb.h"
#include "boot/memory.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"

#define CPUID_SVM		0x8000000a
#define SVM_EDX_NP		BIT(0)
#define SVM_EDX_NRIPS		BIT(3)

/* CPUID 80000008h, EBX: instructions that guests are not told of. */
#define EXT8_EBX_INVLPGB	BIT(3)
#define EXT8_EBX_RDPRU		BIT(4)
#define EXT8_EBX_MCOMMIT	BIT(8)

#define VM_CR_R_INIT		BIT(1)
#define VM_CR_SVMDIS		BIT(4)

#define ASID_CONTROL		1
#define ASID_FIRST_GUEST	2

#define CR_WRITES		(BIT(0) | BIT(4))
#define CR0_CACHE		(CR0_CD | CR0_NW)

#define IOPM_SIZE		(3 * PAGE_SIZE)
#define MSRPM_SIZE		(2 * PAGE_SIZE)
#define MSRPM_WRITES		0xaa	/* the second bit of each MSR */

/* Segment attributes: VMCB packs VMX's access rights into 12 bits. */
#define ATTR_LOW		BITS(7, 0)
#define ATTR_UNUSABLE		BIT(16)
#define ATTR_BUSY		BIT(1)		/* of a TSS */
#define VMCB_ATTR_P		BIT(7)

extern const struct stage2_format npt_format;

void svm_vmrun(u64 guest_vmcb, u64 *gpr, u64 host_vmcb, u64 shadow);
void svm_take_nmi(void);
void svm_vmsave(u64 vmcb);
void svm_clgi(void);
void svm_stgi(void);

static u32 asid_count __ro_after_init;
static bool nrips __ro_after_init;
static bool init_dropped __ro_after_init;	/* VM_CR.R_INIT works */
static bool has_debugctl __ro_after_init;
static bool injects_twice __ro_after_init;
static u64 iopm_guest __ro_after_init, iopm_control __ro_after_init;
static u64 msrpm_guest __ro_after_init, msrpm_control __ro_after_init;

/*
 * QEMU's own emulation, as its CPUID says.  What EVENTINJ gives it as an external
 * interrupt it delivers again when the emulation of the core is interrupted
 * before the guest has exited; V_IRQ is good.  Bochs 2.7 has it the other way
 * round: it overlooks V_IRQ unless the guest changes IF.  A CPU can do both.
 */
static bool is_tcg(void)
{
	struct cpuid c;

	if (!(cpuid(1, 0).ecx & BIT(31)))
		return false;
	c = cpuid(0x40000000, 0);
	return c.ebx == 0x54474354 && c.ecx == 0x43544743 && c.edx == 0x47435447;
}

static bool svm_probe(const char **why)
{
	struct cpuid c;
	u64 vm_cr;

	if (cpuid(0x80000000, 0).eax < CPUID_SVM ||
	    !(cpuid(0x80000001, 0).ecx & BIT(2)))
		return false;
	if (rdmsr_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS)) {
		*why = "the firmware has switched SVM off (VM_CR.SVMDIS); enable virtualization in its setup";
		return false;
	}
	c = cpuid(CPUID_SVM, 0);
	if (!(c.edx & SVM_EDX_NP)) {
		*why = "this CPU's SVM has no nested paging (NPT)";
		return false;
	}
	if (c.ebx < ASID_FIRST_GUEST + 1) {
		*why = "this CPU's SVM has too few address space ids";
		return false;
	}
	asid_count = c.ebx;
	nrips = c.edx & SVM_EDX_NRIPS;
	injects_twice = is_tcg();
	stray_traps |= injects_twice;
	return true;
}

static u32 svm_features(void)
{
	return (nrips ? BACKEND_NEXT_RIP : 0) | (injects_twice ? BACKEND_OFFER : 0);
}

/* APM, "MSR Intercepts": two bits an MSR, three ranges of 8K MSRs. */
static void msrpm_set(u8 *map, const struct msr_range *r, bool exit)
{
	u64 msr;

	for (msr = r->first; msr <= r->last; msr++) {
		u64 bit;

		if (msr <= 0x1fff)
			bit = 2 * msr;
		else if (msr >= 0xc0000000 && msr <= 0xc0001fff)
			bit = 0x800 * 8 + 2 * (msr - 0xc0000000);
		else if (msr >= 0xc0010000 && msr <= 0xc0011fff)
			bit = 0x1000 * 8 + 2 * (msr - 0xc0010000);
		else
			continue;
		if (exit)
			map[bit / 8] |= (u8)(r->access << (bit % 8));
		else
			map[bit / 8] &= (u8)~(r->access << (bit % 8));
	}
}

static void msrpm_fill(u8 *guest, u8 *control)
{
	const struct msr_range *r;

	memset(guest, 0xff, MSRPM_SIZE);
	for (r = guest_direct_msrs; r->access; r++)
		msrpm_set(guest, r, false);
	memset(control, MSRPM_WRITES, MSRPM_SIZE);
	for (r = control_direct_msrs; r->access; r++)
		msrpm_set(control, r, false);
	for (r = control_trapped_reads; r->access; r++)
		msrpm_set(control, r, true);
}

/* APM, "I/O Permissions Map": a bit a port. */
static u64 build_control_iopm(void)
{
	const u16 *port;
	u32 n = control_ports(&port);
	u64 pa;
	u8 *map;

	if (!n)
		return 0;
	pa = early_alloc(IOPM_SIZE).v;
	map = hpa_ptr(HPA(pa));
	while (n--)
		map[port[n] / 8] |= (u8)(1u << (port[n] & 7));
	return pa;
}

static void build_maps(void)
{
	iopm_control = build_control_iopm();
	iopm_guest = early_alloc(IOPM_SIZE).v;
	memset(hpa_ptr(HPA(iopm_guest)), 0xff, IOPM_SIZE);
	msrpm_guest = early_alloc(MSRPM_SIZE).v;
	msrpm_control = early_alloc(MSRPM_SIZE).v;
	msrpm_fill(hpa_ptr(HPA(msrpm_guest)), hpa_ptr(HPA(msrpm_control)));
}

static bool svm_cpu_enable(struct cpu *c, const char **why)
{
	u64 vm_cr, debugctl;

	if (!svm_probe(why))
		return false;
	if (!iopm_guest) {
		build_maps();
		has_debugctl = rdmsr_safe(MSR_DEBUGCTL, &debugctl);
	}
	/* An INIT becomes #SX, which the trap handler drops, not a reset. */
	if (rdmsr_safe(MSR_VM_CR, &vm_cr) && wrmsr_safe(MSR_VM_CR, vm_cr | VM_CR_R_INIT) &&
	    !c->id)
		init_dropped = rdmsr_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_R_INIT) &&
			       !(cpuid(1, 0).ecx & BIT(31));
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	c->svm.hsave = c->vendor_page[0];
	c->svm.host_vmcb = c->vendor_page[1];
	wrmsr(MSR_VM_HSAVE_PA, c->svm.hsave.v);
	svm_clgi();
	svm_vmsave(c->svm.host_vmcb.v);
	c->svm.asid_generation = 1;
	c->svm.asid_next = ASID_FIRST_GUEST;
	c->svm.flush = TLB_FLUSH_ALL;
	return true;
}

/*
 * Instructions newer than SVM, where the CPU has them: a guest must not use what
 * CPUID does not show.  INVLPGB flushes an ASID on all cores, but a guest's ASIDs
 * are each core's own; RDPRU reads the machine's counters.
 */
static void intercept_new(struct vmcb *b)
{
	u32 has = cpuid(0x80000008, 0).ebx;

	if (has & EXT8_EBX_INVLPGB)
		b->intercept5 |= INTERCEPT_INVLPGB | INTERCEPT_INVLPGB_BAD | INTERCEPT_TLBSYNC;
	if (has & EXT8_EBX_MCOMMIT)
		b->intercept5 |= INTERCEPT_MCOMMIT;
	if (has & EXT8_EBX_RDPRU)
		b->intercept4 |= INTERCEPT_RDPRU;
}

/*
 * GIF.  SMM's code waits for all cores, so one that waits long must take its SMIs
 * (APM, "Effect of the GIF on Interrupt Handling").  But where INIT is not turned
 * into #SX, GIF 0 is what keeps a waiting core from being reset and started anew
 * without Joist: in emulators, and in KVM, which keeps VM_CR.R_INIT and no more.
 */
static void svm_let_in(bool on)
{
	if (!init_dropped || !(rdmsr(MSR_EFER) & EFER_SVME))
		return;
	if (on)
		svm_stgi();
	else
		svm_clgi();
}

static int svm_vcpu_init(struct vcpu *v)
{
	struct vmcb *b = page_alloc_hyp();

	if (!b)
		return fail(-ENOMEM);
	v->svm.vmcb = b;
	v->svm.vmcb_pa = ptr_hpa(b).v;
	b->intercept3 = INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_CPUID | INTERCEPT_INVD |
			INTERCEPT_INVLPGA | INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
	b->intercept4 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD |
			INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT;
	b->np_control = NP_ENABLE;
	b->clean = CLEAN_NONE;		/* for good: the CPU does not change it */
	b->nested_cr3 = ptr_hpa(v->vm->s2.root).v;
	if (v->control) {
		b->msrpm = msrpm_control;
		b->asid = ASID_CONTROL;
		b->iopm = iopm_control;
		b->intercept3 |= iopm_control ? (u32)INTERCEPT_IO : 0;
		return 0;
	}
	b->intercept3 |= INTERCEPT_INTR | INTERCEPT_RDPMC | INTERCEPT_RSM | INTERCEPT_HLT |
			 INTERCEPT_IO | INTERCEPT_FERR_FREEZE;
	b->intercept4 |= INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT |
			 INTERCEPT_XSETBV;
	/* What these may hold is checked by us, alike on every CPU. */
	b->intercept_cr_write = CR_WRITES;
	/*
	 * A #DB or #AC that raises itself while being delivered would keep the
	 * core in microcode for ever.
	 */
	b->intercept_exc = GUEST_EXCEPTIONS;
	intercept_new(b);
	b->iopm = iopm_guest;
	b->msrpm = msrpm_guest;
	b->int_ctl = VINTR_MASKING;
	return 0;
}

static void svm_vcpu_fini(struct vcpu *v)
{
	if (v->svm.vmcb)
		page_free_hyp(v->svm.vmcb);
	v->svm.vmcb = NULL;
}

static void svm_seg_set(struct vcpu *v, enum joist_seg s, const struct joist_segment *seg);

/* A guest's MCE is always on, whatever it sees: without it a machine check would
 * shut the core down in place of an exit. */
static void set_cr4(struct vcpu *v, u64 val)
{
	struct vmcb *b = v->svm.vmcb;

	v->svm.cr4 = b->cr4 = val;
	if (v->control)
		return;
	b->cr4 |= CR4_MCE;
	if (val & CR4_MCE)
		b->intercept_cr_read &= (u16)~BIT(4);
	else
		b->intercept_cr_read |= BIT(4);
}

/*
 * With nested paging a guest's CR0.CD would take the caches from its memory (APM,
 * "Nested Paging"): firmware, which leaves it set, would crawl.  The guest reads
 * what it wrote.
 */
static void set_cr0(struct vcpu *v, u64 val)
{
	struct vmcb *b = v->svm.vmcb;

	b->cr0 = val;
	if (v->control)
		return;
	v->svm.cr0_cache = val & CR0_CACHE;
	b->cr0 &= ~CR0_CACHE;
	if (v->svm.cr0_cache)
		b->intercept_cr_read |= BIT(0);
	else
		b->intercept_cr_read &= (u16)~BIT(0);
}

static void svm_vcpu_reset(struct vcpu *v)
{
	/* APM, "Processor Initialization State". */
	struct vmcb *b = v->svm.vmcb;
	enum joist_seg s;

	for (s = JOIST_ES; s < JOIST_SEGS; s++)
		svm_seg_set(v, s, &power_on_segments[s]);
	b->gdtr = b->idtr = (struct vmcb_seg){ .limit = 0xffff };
	b->cpl = 0;
	set_cr0(v, CR0_CD | CR0_NW | CR0_ET);
	b->cr2 = b->cr3 = 0;
	set_cr4(v, 0);
	b->efer = EFER_SVME;
	v->svm.efer = 0;
	b->dr6 = DR6_INIT;
	b->dr7 = DR7_INIT;
	b->star = b->lstar = b->cstar = b->sfmask = b->kernel_gs_base = 0;
	b->sysenter_cs = b->sysenter_esp = b->sysenter_eip = 0;
	b->debugctl = 0;
	b->g_pat = PAT_RESET;
	b->shadow = 0;
	b->event_inj = 0;
	b->exit_int_info = 0;
	b->intercept3 &= ~(u32)(INTERCEPT_IRET | INTERCEPT_VINTR);
	v->svm.nmi_blocked = v->svm.iret_step = v->svm.offered = false;
	v->svm.iret_rip = 0;
	v->svm.asid_cpu = 0;
	if (!v->control)
		b->int_ctl = VINTR_MASKING;
}

/*
 * Without LBR virtualization VMRUN leaves DEBUGCTL alone (APM, "Debug Extensions"):
 * branch steps and bus-lock traps that the control VM asked for would reach
 * guests.  Their own value is always 0.
 */
static void svm_load(struct vcpu *v)
{
	struct cpu *c = current_cpu();

	if (!has_debugctl)
		return;
	c->svm.control_debugctl = rdmsr(MSR_DEBUGCTL);
	if (unlikely(c->svm.control_debugctl))
		wrmsr(MSR_DEBUGCTL, 0);
}

static void svm_unload(struct vcpu *v)
{
	struct cpu *c = current_cpu();

	if (unlikely(c->svm.control_debugctl))
		wrmsr(MSR_DEBUGCTL, c->svm.control_debugctl);
}

/* A guest gets an address space id of this core; a new one means no stale
 * translation, whether or not the CPU can flush one id alone. */
static void assign_asid(struct vcpu *v, struct cpu *c)
{
	if (v->svm.asid_cpu == c->id + 1 && v->svm.asid_generation == c->svm.asid_generation)
		return;
	if (c->svm.asid_next == asid_count) {
		c->svm.asid_next = ASID_FIRST_GUEST;
		c->svm.asid_generation++;
		c->svm.flush = TLB_FLUSH_ALL;
	}
	v->svm.asid_cpu = c->id + 1;
	v->svm.asid_generation = c->svm.asid_generation;
	v->svm.vmcb->asid = c->svm.asid_next++;
}

static void svm_enter(struct vcpu *v)
{
	struct cpu *c = current_cpu();
	struct vmcb *b = v->svm.vmcb;
	u64 entered = v->rip;

	if (!v->control) {
		assign_asid(v, c);
		/* APM, "Speculation Control Virtualization", where there is such. */
		b->spec_ctrl = v->gs.spec_ctrl;
	}
	if (unlikely(!svm_audit(v))) {
		svm_exit_decode(v);
		return;
	}
	b->tlb_control = (u8)c->svm.flush;
	c->svm.flush = 0;
	b->rax = v->gpr[JOIST_RAX];
	b->rsp = v->gpr[JOIST_RSP];
	b->rip = v->rip;
	b->rflags = v->rflags;
	/* VMRUN loads it (APM, "Basic Operation"); Bochs 2.7 forgets to. */
	if (unlikely(read_cr2() != b->cr2))
		write_cr2(b->cr2);

	svm_audit_tag(v, c);
	svm_vmrun(v->svm.vmcb_pa, v->gpr, c->svm.host_vmcb.v, b->shadow & 1);

	svm_audit_exit(v, c);
	v->gpr[JOIST_RAX] = b->rax;
	v->gpr[JOIST_RSP] = b->rsp;
	v->rip = b->rip;
	v->rflags = b->rflags;
	svm_exit_decode(v);
	/* APM, "Shutdown Intercept": what is saved then is undefined. */
	if (unlikely(v->x.kind == JOIST_STAT_SHUTDOWN)) {
		v->x.vague = true;
		v->x.left = v->rip;
		v->rip = entered;
	}
}

/* Registers that are one field of the VMCB. */
static u64 *field(struct vmcb *b, enum vreg r)
{
	switch (r) {
	case VREG_CR2: return &b->cr2;
	case VREG_CR3: return &b->cr3;
	case VREG_CR4: return &b->cr4;
	case VREG_DR6: return &b->dr6;
	case VREG_DR7: return &b->dr7;
	case VREG_STAR: return &b->star;
	case VREG_LSTAR: return &b->lstar;
	case VREG_CSTAR: return &b->cstar;
	case VREG_SFMASK: return &b->sfmask;
	case VREG_KERNEL_GS_BASE: return &b->kernel_gs_base;
	case VREG_SYSENTER_CS: return &b->sysenter_cs;
	case VREG_SYSENTER_ESP: return &b->sysenter_esp;
	case VREG_SYSENTER_EIP: return &b->sysenter_eip;
	case VREG_DEBUGCTL: return &b->debugctl;
	case VREG_PAT: return &b->g_pat;
	case VREG_GDTR_BASE: return &b->gdtr.base;
	case VREG_IDTR_BASE: return &b->idtr.base;
	default: return NULL;
	}
}

static void svm_mode_get(struct vcpu *v, struct cpu_mode *m)
{
	const struct vmcb *b = v->svm.vmcb;

	m->cr0 = b->cr0;
	m->cr3 = b->cr3;
	m->cr4 = v->control ? b->cr4 : v->svm.cr4;
	/* Bochs 2.7 clears LMA before a MOV to CR0 that clears PG exits. */
	m->efer = v->control ? b->efer & ~EFER_SVME : v->svm.efer;
	m->cs_base = b->cs.base;
	m->cs_attr = (b->cs.attr & ATTR_LOW) | (b->cs.attr & 0xf00u) << 4;
	m->cpl = b->cpl;
}

static u64 svm_reg_get(struct vcpu *v, enum vreg r)
{
	struct vmcb *b = v->svm.vmcb;

	/* Every hypercall asks. */
	if (r == VREG_CPL)
		return b->cpl;
	switch (r) {
	case VREG_CR0: return b->cr0 | v->svm.cr0_cache;
	case VREG_CR3: return b->cr3;
	case VREG_CR4: return v->control ? b->cr4 : v->svm.cr4;
	case VREG_EFER: return v->control ? b->efer & ~EFER_SVME : v->svm.efer;
	/* The control VM has the real one. */
	case VREG_DEBUGCTL: return v->control && has_debugctl ? rdmsr(MSR_DEBUGCTL) : b->debugctl;
	case VREG_GDTR_LIMIT: return b->gdtr.limit;
	case VREG_IDTR_LIMIT: return b->idtr.limit;
	default: return *field(b, r);
	}
}

/*
 * LME means nothing while paging is off, and a guest cannot turn paging on
 * without an exit.  With it, but without PAE, QEMU's #VMEXIT fails to turn the
 * host's paging back on.
 */
static void hide_lme(struct vcpu *v)
{
	struct vmcb *b = v->svm.vmcb;

	b->efer = v->svm.efer | EFER_SVME;
	if (!(b->cr0 & CR0_PG))
		b->efer &= ~EFER_LME;
}

static void svm_reg_set(struct vcpu *v, enum vreg r, u64 val)
{
	struct vmcb *b = v->svm.vmcb;

	switch (r) {
	case VREG_EFER:
		v->svm.efer = val;
		b->efer = val | EFER_SVME;
		break;
	case VREG_CR0:
		set_cr0(v, val);
		break;
	case VREG_CR4:
		set_cr4(v, val);
		break;
	case VREG_GDTR_LIMIT:
		b->gdtr.limit = (u32)val;
		break;
	case VREG_IDTR_LIMIT:
		b->idtr.limit = (u32)val;
		break;
	case VREG_CPL:
		break;
	default:
		*field(b, r) = val;
	}
	if (!v->control)
		hide_lme(v);
	/* What bears on translation: nothing old may be used.  The control VM
	 * keeps its ASID: this core's, whose it is, forgets all. */
	if (r == VREG_CR0 || r == VREG_CR3 || r == VREG_CR4 || r == VREG_EFER) {
		v->svm.asid_cpu = 0;
		if (v->control)
			current_cpu()->svm.flush = TLB_FLUSH_ALL;
	}
}

static struct vmcb_seg *segment(struct vmcb *b, enum joist_seg s)
{
	/* The first six lie in the order of enum joist_seg. */
	return s == JOIST_LDTR ? &b->ldtr : s == JOIST_TR ? &b->tr : &b->es + s;
}

static void svm_seg_get(struct vcpu *v, enum joist_seg s, struct joist_segment *seg)
{
	const struct vmcb_seg *f = segment(v->svm.vmcb, s);

	seg->base = f->base;
	seg->limit = f->limit;
	seg->selector = f->selector;
	seg->attr = (f->attr & ATTR_LOW) | (f->attr & 0xf00u) << 4;
	if (!(f->attr & VMCB_ATTR_P))
		seg->attr |= ATTR_UNUSABLE;
	/* A loaded TSS is busy; QEMU's LTR writes that to the GDT only. */
	else if (s == JOIST_TR)
		seg->attr |= ATTR_BUSY;
	seg->reserved = 0;
	seg->reserved2 = 0;
}

static void svm_seg_set(struct vcpu *v, enum joist_seg s, const struct joist_segment *seg)
{
	struct vmcb *b = v->svm.vmcb;
	struct vmcb_seg *f = segment(b, s);

	f->base = seg->base;
	f->limit = seg->limit;
	f->selector = seg->selector;
	f->attr = (u16)((seg->attr & ATTR_LOW) | (seg->attr >> 4 & 0xf00));
	if (seg->attr & ATTR_UNUSABLE)
		f->attr &= (u16)~VMCB_ATTR_P;
	/* APM, "Canonicalization and Consistency Checks": CPL is SS's DPL. */
	if (s == JOIST_SS)
		b->cpl = field_get(BITS(6, 5), seg->attr);
}

static void svm_inject(struct vcpu *v, struct event ev)
{
	struct vmcb *b = v->svm.vmcb;

	/* APM, "Real Mode": no exception has an error code there. */
	if (!(b->cr0 & CR0_PE))
		ev.info &= ~(u32)JOIST_EVENT_ERROR;
	b->event_inj = ev.info | (u64)ev.error << 32;
	if (field_get(BITS(10, 8), ev.info) == 2) {
		v->svm.nmi_blocked = true;
		b->intercept3 |= (u32)INTERCEPT_IRET;
	}
}

/*
 * APM, "Injecting Virtual (INTR) Interrupts".  The vector was above TPR, and
 * until it is taken TPR does not move without an exit; so V_INTR_PRIO is not
 * used: where it equals V_TPR, CPUs and emulators differ.
 */
static void svm_offer(struct vcpu *v, u32 vector)
{
	struct vmcb *b = v->svm.vmcb;

	b->int_ctl = (b->int_ctl & ~VINTR_VECTOR) | (u64)vector << 32 |
		     VINTR_IRQ | VINTR_IGN_TPR;
	b->intercept_cr_write |= BIT(8);
	v->svm.offered = v->svm.watch = true;
}

/* It was taken: as after want_window() for nothing. */
void svm_offer_end(struct vcpu *v)
{
	v->svm.vmcb->int_ctl &= ~(VINTR_IRQ | VINTR_IGN_TPR);
	v->svm.vmcb->intercept_cr_write = CR_WRITES;
	v->window = false;
}

/*
 * A vector that TPR holds back waits for a write of CR8; one that only IF or a
 * shadow holds back, for the window.
 */
static void guest_window(struct vcpu *v, bool intr, u32 priority)
{
	struct vmcb *b = v->svm.vmcb;

	b->int_ctl &= ~(VINTR_IRQ | VINTR_IGN_TPR);
	b->intercept3 &= ~(u32)INTERCEPT_VINTR;
	b->intercept_cr_write = CR_WRITES;
	if (!intr)
		return;
	/* QEMU's SVM does not survive a write of CR8 with a window open, either. */
	b->intercept_cr_write |= BIT(8);
	if (priority <= field_get(VINTR_TPR, b->int_ctl))
		return;
	b->intercept3 |= (u32)INTERCEPT_VINTR;
	b->int_ctl |= VINTR_IRQ | VINTR_IGN_TPR;
	v->svm.watch = true;
}

static void svm_want_window(struct vcpu *v, bool intr, bool nmi, u32 priority)
{
	struct vmcb *b = v->svm.vmcb;

	if (!v->control)
		guest_window(v, intr, priority);
	if (!nmi || (v->svm.nmi_blocked && !v->svm.iret_rip))
		return;
	/* Another event goes in first, and would save our TF. */
	if (b->event_inj & JOIST_EVENT_VALID) {
		smp_kick_self();
		return;
	}
	/* Stopped at the IRET that ends the last NMI: step over it. */
	if (v->svm.iret_rip && !v->svm.iret_step) {
		v->svm.iret_step = true;
		v->svm.step_flags = v->rflags & RFLAGS_TF;
		b->intercept_exc |= STEP_EXCEPTIONS;
		v->rflags |= RFLAGS_TF;
	}
}

/* One bit for both kinds: with interrupts off it cannot be STI's. */
static u32 svm_shadow_get(struct vcpu *v)
{
	u32 kind = v->rflags & RFLAGS_IF ? JOIST_SHADOW_STI : JOIST_SHADOW_MOVSS;

	return (v->svm.vmcb->shadow & 1 ? kind : 0) |
	       (v->svm.nmi_blocked ? JOIST_NMI_BLOCKED : 0);
}

static void svm_shadow_set(struct vcpu *v, u32 shadow)
{
	struct vmcb *b = v->svm.vmcb;

	b->shadow = !!(shadow & (JOIST_SHADOW_STI | JOIST_SHADOW_MOVSS));
	if (!!(shadow & JOIST_NMI_BLOCKED) == v->svm.nmi_blocked)
		return;
	v->svm.nmi_blocked = shadow & JOIST_NMI_BLOCKED;
	v->svm.iret_step = false;
	v->svm.iret_rip = 0;
	if (v->svm.nmi_blocked)
		b->intercept3 |= (u32)INTERCEPT_IRET;
	else
		b->intercept3 &= ~(u32)INTERCEPT_IRET;
}

static void svm_shadow_end(struct vcpu *v)
{
	v->svm.vmcb->shadow = 0;
}

static u32 svm_tpr_get(struct vcpu *v)
{
	return v->svm.vmcb->int_ctl & 15;
}

static void svm_tpr_set(struct vcpu *v, u32 cr8)
{
	struct vmcb *b = v->svm.vmcb;

	b->int_ctl = (b->int_ctl & ~VINTR_TPR) | cr8;
}

static void svm_tsc_offset_set(struct vcpu *v, u64 offset)
{
	v->svm.vmcb->tsc_offset = offset;
}

static void svm_dr_intercept(struct vcpu *v, bool on)
{
	v->svm.vmcb->intercept_dr_read = v->svm.vmcb->intercept_dr_write = on ? 0xffff : 0;
}

static void svm_flush_control(struct cpu *c)
{
	c->svm.flush = TLB_FLUSH_ALL;
}

static void svm_flush(struct vcpu *v)
{
	v->svm.asid_cpu = 0;
}

const struct backend svm_backend = {
	.name = "AMD SVM",
	.vendor = JOIST_VENDOR_SVM,
	.cpuid_call = JOIST_CPUID_VMMCALL,
	.stage2 = &npt_format,
	.guest_stage2 = &npt_format,
	.probe = svm_probe,
	.features = svm_features,
	.cpu_enable = svm_cpu_enable,
	.let_in = svm_let_in,
	.vcpu_init = svm_vcpu_init,
	.vcpu_fini = svm_vcpu_fini,
	.vcpu_reset = svm_vcpu_reset,
	.load = svm_load,
	.unload = svm_unload,
	.enter = svm_enter,
	.exit_raw = svm_exit_raw,
	.mode_get = svm_mode_get,
	.reg_get = svm_reg_get,
	.reg_set = svm_reg_set,
	.seg_get = svm_seg_get,
	.seg_set = svm_seg_set,
	.inject = svm_inject,
	.want_window = svm_want_window,
	.offer = svm_offer,
	.shadow_get = svm_shadow_get,
	.shadow_set = svm_shadow_set,
	.shadow_end = svm_shadow_end,
	.tpr_get = svm_tpr_get,
	.tpr_set = svm_tpr_set,
	.tsc_offset_set = svm_tsc_offset_set,
	.dr_intercept = svm_dr_intercept,
	.flush_control = svm_flush_control,
	.flush = svm_flush,
};
