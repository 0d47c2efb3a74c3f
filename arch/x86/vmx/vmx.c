/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmx.c -- Intel's VMX: enabling it, and the state of a vCPU in its VMCS.
 *
 * Follows SDM volume 3, "Virtual Machine Control Structures" to "VM Exits".
 * A VMCS is reached through the core it is current on.  Invariant: the VMCS of
 * a vCPU that nobody owns is not active on any core, so that any core may take
 * it next.  The owner's core clears it when it gives the vCPU back, which costs
 * less than asking that core to do it later.  The control VM's VMCSs stay.
 */
#include "arch/x86/audit.h"
#include "arch/x86/backend.h"
#include "arch/x86/control_io.h"
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/msr_policy.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "arch/x86/stage2.h"
#include "arch/x86/vmx/vmcs.h"
#include "boot/memory.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"

#define CPUID_1_ECX_VMX		BIT(5)

#define FEATURE_LOCKED		BIT(0)
#define FEATURE_VMX		BIT(2)		/* outside SMX */

#define BASIC_REVISION		BITS(30, 0)
#define BASIC_MEMORY_TYPE	BITS(53, 50)
#define BASIC_TRUE		BIT(55)
#define BASIC_ANY_ERROR		BIT(56)
#define MEMORY_TYPE_WB		6
#define MISC_TIMER_SHIFT	BITS(4, 0)

#define EPT_CAP_WALK_4		BIT(6)
#define EPT_CAP_WB		BIT(14)
#define EPT_CAP_2M		BIT(16)
#define EPT_CAP_1G		BIT(17)
#define EPT_CAP_INVEPT		BIT(20)
#define EPT_CAP_INVEPT_SINGLE	BIT(25)
#define EPT_CAP_INVEPT_ALL	BIT(26)
#define VPID_CAP_INVVPID	BIT(32)
#define VPID_CAP_SINGLE		BIT(41)
#define VPID_CAP_ALL		BIT(42)

#define INVVPID_SINGLE		1
#define INVVPID_ALL		2
#define VPID_CONTROL		1
#define VPID_FIRST_GUEST	2
#define VPID_COUNT		0x10000

#define VAPIC_TPR		0x80
#define SLICE_MS		1
#define NOTIFY_CYCLES		0x20000

/* Bits that the guest does not own; it sees what it wrote. */
#define CR0_MASK_CONTROL	CR0_NE
#define CR0_MASK_GUEST		(CR0_NE | CR0_CD | CR0_NW)
/* Without MCE a machine check would shut the core down in place of an exit. */
#define CR4_MASK_GUEST		(~guest_features.cr4 | CR4_MCE)

enum vmx_came_back vmx_run(u64 *gpr, bool launched);
extern const char vmx_exited[];

struct vmx_caps vmx_caps __ro_after_init;
u64 bitmap_guest __ro_after_init, vid_bitmap __ro_after_init, vid_bitmap_level __ro_after_init;
static u64 bitmap_control __ro_after_init, io_bitmaps_control __ro_after_init;
static u64 slice_ticks __ro_after_init;
static bool use_vpid __ro_after_init, use_vid __ro_after_init;

static_assert(offsetof(struct cpu, request) == 64, "CPU_REQUEST in vmx_entry.asm");

#define VPID_EPOCH		BIT(32)

/*
 * Not switched by the CPU, like KERNEL_GS_BASE, and real while the vCPU is
 * loaded.  They are written rarely, and the writes exit, guests' and the control
 * VM's, so that what is in them is always known.
 */
static const struct msr_range syscall_msrs = { MSR_STAR, MSR_SFMASK, MSR_W };
static_assert(MSR_SFMASK - MSR_STAR + 1 == VMX_SYSCALL_MSRS, "MSRs in a row");
static_assert(VREG_SFMASK - VREG_STAR + 1 == VMX_SYSCALL_MSRS, "registers in a row");

/* Controls that Joist cannot do without. */
static const struct need {
	u32 msr;
	bool must_be_free;	/* else: may be 1 */
	u32 bit;
	const char *why;
} needs[] = {
#define NEED(msr, bit, name) { MSR_VMX_##msr, false, bit, "this CPU's VMX has no " name }
	NEED(TRUE_PIN, PIN_INTR, "external-interrupt exiting"),
	NEED(TRUE_PIN, PIN_NMI, "NMI exiting"),
	NEED(TRUE_PIN, PIN_VIRTUAL_NMI, "virtual NMIs"),
	NEED(TRUE_PROC, PROC_SECONDARY, "secondary processor-based controls"),
	NEED(TRUE_PROC, PROC_MSR_BITMAP, "MSR bitmaps"),
	NEED(TRUE_PROC, PROC_TPR_SHADOW, "TPR shadow"),
	NEED(TRUE_PROC, PROC_INTR_WINDOW, "interrupt-window exiting"),
	NEED(TRUE_PROC, PROC_NMI_WINDOW, "NMI-window exiting"),
	NEED(TRUE_PROC, PROC_TSC_OFFSET, "TSC offsetting"),
	NEED(TRUE_PROC, PROC_HLT, "HLT exiting"),
	NEED(TRUE_PROC, PROC_MWAIT, "MWAIT exiting"),
	NEED(TRUE_PROC, PROC_MONITOR, "MONITOR exiting"),
	NEED(TRUE_PROC, PROC_RDPMC, "RDPMC exiting"),
	NEED(TRUE_PROC, PROC_MOV_DR, "MOV-DR exiting"),
	NEED(TRUE_PROC, PROC_IO, "unconditional I/O exiting"),
	{ MSR_VMX_TRUE_PROC, true, (u32)(PROC_CR3_LOAD | PROC_CR3_STORE),
	  "this CPU's VMX cannot leave CR3 accesses to the guest" },
	NEED(PROC2, PROC2_EPT, "extended page tables (EPT)"),
	NEED(PROC2, PROC2_UNRESTRICTED, "unrestricted guest"),
	NEED(PROC2, PROC2_WBINVD, "WBINVD exiting"),
	NEED(TRUE_EXIT, EXIT_HOST_64, "64-bit host"),
	NEED(TRUE_EXIT, EXIT_SAVE_PAT, "saving of the PAT at exits"),
	NEED(TRUE_EXIT, EXIT_LOAD_PAT, "loading of the PAT at exits"),
	NEED(TRUE_EXIT, EXIT_SAVE_EFER, "saving of EFER at exits"),
	NEED(TRUE_EXIT, EXIT_LOAD_EFER, "loading of EFER at exits"),
	NEED(TRUE_ENTRY, ENTRY_LONG_MODE, "IA-32e-mode guests"),
	NEED(TRUE_ENTRY, ENTRY_LOAD_PAT, "loading of the PAT at entries"),
	NEED(TRUE_ENTRY, ENTRY_LOAD_EFER, "loading of EFER at entries"),
#undef NEED
};

static const struct {
	u64 bit;
	const char *why;
} ept_needs[] = {
	{ EPT_CAP_WALK_4, "this CPU's EPT has no walks of 4 levels" },
	{ EPT_CAP_WB, "this CPU's EPT structures cannot be write-back memory" },
	{ EPT_CAP_2M, "this CPU's EPT has no 2 MiB pages" },
	{ EPT_CAP_INVEPT, "this CPU has no INVEPT" },
	{ EPT_CAP_INVEPT_ALL, "this CPU has no all-context INVEPT" },
};

/* A capability MSR: the low half must be 1, the high half may be. */
static u32 must(u32 msr)
{
	return (u32)rdmsr(msr);
}

static u32 may(u32 msr)
{
	return (u32)(rdmsr(msr) >> 32);
}

static bool check_needs(const char **why)
{
	u64 ept;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(needs); i++) {
		const struct need *n = &needs[i];

		if (n->must_be_free ? must(n->msr) & n->bit : !(may(n->msr) & n->bit)) {
			*why = n->why;
			return false;
		}
	}
	ept = rdmsr(MSR_VMX_EPT_VPID);
	for (i = 0; i < ARRAY_SIZE(ept_needs); i++)
		if (!(ept & ept_needs[i].bit)) {
			*why = ept_needs[i].why;
			return false;
		}
	return true;
}

static void read_caps(struct vmx_caps *c)
{
	u64 basic = rdmsr(MSR_VMX_BASIC), ept = rdmsr(MSR_VMX_EPT_VPID);

	c->revision = (u32)field_get(BASIC_REVISION, basic);
	c->any_error_code = basic & BASIC_ANY_ERROR;
	c->pin = may(MSR_VMX_TRUE_PIN);
	c->pin_must = must(MSR_VMX_TRUE_PIN);
	c->proc = may(MSR_VMX_TRUE_PROC);
	c->proc_must = must(MSR_VMX_TRUE_PROC);
	c->proc2 = may(MSR_VMX_PROC2);
	c->proc2_must = must(MSR_VMX_PROC2);
	c->exit = may(MSR_VMX_TRUE_EXIT);
	c->exit_must = must(MSR_VMX_TRUE_EXIT);
	c->entry = may(MSR_VMX_TRUE_ENTRY);
	c->entry_must = must(MSR_VMX_TRUE_ENTRY);
	c->timer_shift = (u32)field_get(MISC_TIMER_SHIFT, rdmsr(MSR_VMX_MISC));
	c->ept_vpid = ept;
	c->ept_1g = ept & EPT_CAP_1G;
	c->invept_single = ept & EPT_CAP_INVEPT_SINGLE;
	c->invvpid_all = ept & VPID_CAP_ALL;
	c->invvpid_single = ept & VPID_CAP_SINGLE;
}

/* The boot core's, and what follows from them. */
static void settle_caps(void)
{
	struct vmx_caps *c = &vmx_caps;

	read_caps(c);
	if ((c->pin & PIN_TIMER) && vmx_timer_broken(cpuid(1, 0).eax)) {
		log_warn("this CPU's VMX-preemption timer is known to be wrong: it is not used");
		c->pin &= ~(u32)PIN_TIMER;
	}
	slice_ticks = (u64)tsc_khz * SLICE_MS >> c->timer_shift;
	use_vid = vid_allowed && (c->proc2 & PROC2_VID) && (c->proc2 & PROC2_X2APIC_VIRT);
	use_vpid = (c->proc2 & PROC2_VPID) && (c->ept_vpid & VPID_CAP_INVVPID) && c->invvpid_all;
}

/* Another core must be able to do what the first can. */
static bool caps_alike(const char **why)
{
	struct vmx_caps own;
	const char *lack;

	read_caps(&own);
	lack = vmx_caps_lack(&vmx_caps, &own);
	if (lack)
		*why = lack;
	return !lack;
}

static bool vmx_probe(const char **why)
{
	u64 feature, basic;

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_VMX))
		return false;
	if (!rdmsr_safe(MSR_FEATURE_CONTROL, &feature))
		feature = 0;
	if ((feature & FEATURE_LOCKED) && !(feature & FEATURE_VMX)) {
		*why = "the firmware has locked VMX off (IA32_FEATURE_CONTROL); enable virtualization in its setup";
		return false;
	}
	basic = rdmsr(MSR_VMX_BASIC);
	if (!(basic & BASIC_TRUE)) {
		*why = "this CPU's VMX is too old: it has no TRUE capability MSRs";
		return false;
	}
	if (field_get(BASIC_MEMORY_TYPE, basic) != MEMORY_TYPE_WB) {
		*why = "this CPU's VMX wants its structures in uncached memory";
		return false;
	}
	/* Only readable if there are secondary controls. */
	if (!(may(MSR_VMX_TRUE_PROC) & PROC_SECONDARY) ||
	    !(may(MSR_VMX_PROC2) & PROC2_EPT)) {
		*why = "this CPU's VMX has no extended page tables (EPT)";
		return false;
	}
	return check_needs(why);
}

static u32 vmx_features(void)
{
	return BACKEND_NEXT_RIP | (vmx_caps.pin & PIN_TIMER ? BACKEND_TIMER : 0) |
	       (use_vid ? BACKEND_VID : 0);
}

/*
 * SDM, "Virtualizing MSR-Based APIC Accesses": what the CPU does itself.  With
 * APIC-register virtualization it reads any register from the page, those that
 * do not exist, too: only what vmx_vid.c puts there, or the CPU, is left to it.
 */
static u64 build_vid_bitmap(const u8 *guest, u8 eoi)
{
	const u8 read = vmx_caps.proc2 & PROC2_APIC_REGS ? MSR_R : 0;
#define REGS(first, last, access) \
	{ MSR_X2APIC_FIRST + VLAPIC_##first, MSR_X2APIC_FIRST + VLAPIC_##last, access }
	const struct msr_range own[] = {
		REGS(TPR, TPR, MSR_RW),
		REGS(SELF_IPI, SELF_IPI, MSR_W),
		REGS(EOI, EOI, eoi),
		REGS(ID, VERSION, read),
		REGS(PPR, PPR, read),
		REGS(LDR, LDR, read),
		REGS(SVR, SVR, read),
		REGS(ISR, ISR + 7, read),
		REGS(IRR, IRR + 7, read),
		REGS(LVT, LVT + VLAPIC_LVTS - 1, read),
		REGS(DCR, DCR, read),
	};
#undef REGS
	hpa_t pa = early_alloc(PAGE_SIZE);
	unsigned i;

	memcpy(hpa_ptr(pa), guest, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(own); i++)
		vmx_bitmap_set(hpa_ptr(pa), &own[i], false);
	return pa.v;
}

/* SDM, "I/O-Bitmap Addresses": ports below 8000h, and the others. */
static u64 build_io_bitmaps(void)
{
	const u16 *port;
	u32 n = control_ports(&port);
	u64 pa;
	u8 *map;

	if (!n)
		return 0;
	if (!(vmx_caps.proc & PROC_IO_BITMAPS)) {
		log_warn("this CPU's VMX has no I/O bitmaps: nobody looks after sleep registers");
		return 0;
	}
	pa = early_alloc(2 * PAGE_SIZE).v;
	map = hpa_ptr(HPA(pa));
	while (n--)
		map[port[n] / 8] |= (u8)(1u << (port[n] & 7));
	return pa;
}

static void build_bitmaps(void)
{
	u8 *guest, *control;

	io_bitmaps_control = build_io_bitmaps();
	bitmap_guest = early_alloc(PAGE_SIZE).v;
	bitmap_control = early_alloc(PAGE_SIZE).v;
	guest = hpa_ptr(HPA(bitmap_guest));
	control = hpa_ptr(HPA(bitmap_control));
	vmx_bitmaps_fill(guest, control);
	vmx_bitmap_set(guest, &syscall_msrs, true);
	vmx_bitmap_set(control, &syscall_msrs, true);
	if (use_vid) {
		vid_bitmap = build_vid_bitmap(guest, MSR_W);
		vid_bitmap_level = build_vid_bitmap(guest, 0);
	}
}

/* SDM, "Restrictions on VMX Operation". */
static bool fixed_bits_ok(void)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4();

	return !(rdmsr(MSR_VMX_CR0_FIXED0) & ~cr0) && !(cr0 & ~rdmsr(MSR_VMX_CR0_FIXED1)) &&
	       !(rdmsr(MSR_VMX_CR4_FIXED0) & ~cr4) && !(cr4 & ~rdmsr(MSR_VMX_CR4_FIXED1));
}

static bool vmxon(u64 pa)
{
	bool refused;

	__asm__ volatile("vmxon %1" : "=@ccbe"(refused) : "m"(pa) : "memory");
	return !refused;
}

static bool vmx_cpu_enable(struct cpu *c, const char **why)
{
	u64 feature;
	u32 msr;

	if (!vmx_probe(why))
		return false;
	if (!c->id) {
		settle_caps();
		build_bitmaps();
		ept_read_mtrrs();
	} else if (!caps_alike(why)) {
		return false;
	}
	if (rdmsr_safe(MSR_FEATURE_CONTROL, &feature) && !(feature & FEATURE_LOCKED))
		wrmsr(MSR_FEATURE_CONTROL, feature | FEATURE_LOCKED | FEATURE_VMX);
	write_cr4(read_cr4() | CR4_VMXE);
	if (!fixed_bits_ok()) {
		*why = "VMX wants CR0 or CR4 bits that Joist does not know";
		return false;
	}
	c->vmx.vmxon = c->vendor_page[0];
	*(u32 *)hpa_ptr(c->vmx.vmxon) = vmx_caps.revision;
	if (!vmxon(c->vmx.vmxon.v)) {
		*why = "VMXON failed";
		return false;
	}
	ept_flush_all();
	c->vmx.vpid_next = VPID_COUNT;		/* none given out: flush first */
	c->vmx.epoch = c->id + 1;
	/* The control VM finds them as after power-on. */
	for (msr = syscall_msrs.first; msr <= syscall_msrs.last; msr++)
		wrmsr(msr, 0);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	return true;
}

static void vmclear(struct vcpu *v)
{
	bool refused;

	__asm__ volatile("vmclear %1" : "=@ccbe"(refused) : "m"(v->vmx.vmcs_pa) : "memory");
	if (refused)
		panic("VMCLEAR was refused");
	v->vmx.launched = false;
}

static void vmx_release(struct vcpu *v)
{
	struct cpu *c = current_cpu();

	if (c->vmx.current != v || v == c->control)
		return;
	vmclear(v);
	c->vmx.current = NULL;
}

void vmx_switch(struct vcpu *v)
{
	struct cpu *c = current_cpu();
	bool refused;

	if (c->vmx.current)
		vmx_release(c->vmx.current);
	__asm__ volatile("vmptrld %1" : "=@ccbe"(refused) : "m"(v->vmx.vmcs_pa) : "memory");
	if (refused)
		panic("VMPTRLD was refused");
	c->vmx.current = v;
}

static void init_control(struct vcpu *v)
{
	u32 proc2 = PROC2_EPT | PROC2_UNRESTRICTED;

	/* What the OS may use is on where the CPU has it. */
	proc2 |= vmx_caps.proc2 & (PROC2_RDTSCP | PROC2_INVPCID | PROC2_XSAVES | PROC2_WAITPKG);
	proc2 |= use_vpid ? PROC2_VPID : 0;
	v->vmx.pin = PIN_NMI | PIN_VIRTUAL_NMI;
	v->vmx.proc = (u32)(PROC_MSR_BITMAP | PROC_SECONDARY);
	vmcs_write(VMCS_PROC_CONTROLS2, proc2 | vmx_caps.proc2_must);
	vmcs_write(VMCS_MSR_BITMAP, bitmap_control);
	if (io_bitmaps_control) {
		v->vmx.proc |= (u32)PROC_IO_BITMAPS;
		vmcs_write(VMCS_IO_BITMAP_A, io_bitmaps_control);
		vmcs_write(VMCS_IO_BITMAP_B, io_bitmaps_control + PAGE_SIZE);
	}
	vmcs_write(VMCS_CR0_MASK, CR0_MASK_CONTROL);
	vmcs_write(VMCS_CR4_MASK, ~control_features.cr4);
	if (proc2 & PROC2_XSAVES)
		vmcs_write(VMCS_XSS_EXITING, 0);
}

static void init_guest(struct vcpu *v)
{
	u32 proc2 = PROC2_EPT | PROC2_UNRESTRICTED | PROC2_WBINVD;

	proc2 |= vmx_caps.proc2 & (PROC2_RDTSCP | PROC2_INVPCID | PROC2_NOTIFY);
	proc2 |= use_vpid ? PROC2_VPID : 0;
	/* No guest keeps the CPU in microcode for longer. */
	if (proc2 & PROC2_NOTIFY)
		vmcs_write(VMCS_NOTIFY_WINDOW, NOTIFY_CYCLES);
	v->vmx.pin = PIN_INTR | PIN_NMI | PIN_VIRTUAL_NMI | (vmx_caps.pin & (u32)PIN_TIMER);
	v->vmx.proc = (u32)(PROC_TSC_OFFSET | PROC_HLT | PROC_MWAIT | PROC_MONITOR | PROC_RDPMC |
			    PROC_TPR_SHADOW | PROC_MOV_DR | PROC_IO | PROC_MSR_BITMAP |
			    PROC_SECONDARY);
	vmcs_write(VMCS_PROC_CONTROLS2, proc2 | vmx_caps.proc2_must);
	vmcs_write(VMCS_MSR_BITMAP, v->vmx.bitmap = bitmap_guest);
	if (use_vid) {
		v->vmx.todo = VMX_TODO_VID;
		vmcs_write(VMCS_EOI_EXIT_0, 0);
		vmcs_write(VMCS_EOI_EXIT_1, 0);
		vmcs_write(VMCS_EOI_EXIT_2, 0);
		vmcs_write(VMCS_EOI_EXIT_3, 0);
		vmcs_write(VMCS_GUEST_INTR_STATUS, 0);
	}
	vmcs_write(VMCS_VIRTUAL_APIC, ptr_hpa(v->vmx.vapic).v);
	vmcs_write(VMCS_TPR_THRESHOLD, 0);
	if (v->vmx.pin & PIN_TIMER)
		vmcs_write(VMCS_PREEMPTION_TIMER, v->vmx.timer = 0);
	vmcs_write(VMCS_CR0_MASK, CR0_MASK_GUEST);
	vmcs_write(VMCS_CR4_MASK, CR4_MASK_GUEST);
	/* See svm.c: a #DB or #AC could raise itself for ever. */
	vmcs_write(VMCS_EXCEPTION_BITMAP, BIT(EXC_DB) | BIT(EXC_AC) | BIT(EXC_MC));
}

static void init_common(struct vcpu *v)
{
	u64 save_timer = 0;

	v->vmx.pin |= vmx_caps.pin_must;
	v->vmx.proc |= vmx_caps.proc_must;
	v->vmx.eptp = ept_pointer(&v->vm->s2);
	vmcs_write(VMCS_PIN_CONTROLS, v->vmx.pin);
	vmcs_write(VMCS_PROC_CONTROLS, v->vmx.proc);
	/* Only with a timer that runs: SDM, "VM-Exit Control Fields". */
	if (v->vmx.pin & PIN_TIMER)
		save_timer = vmx_caps.exit & EXIT_SAVE_TIMER;
	vmcs_write(VMCS_EXIT_CONTROLS, vmx_caps.exit_must | EXIT_SAVE_DEBUG | EXIT_HOST_64 |
		   EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER | save_timer);
	vmcs_write(VMCS_ENTRY_CONTROLS, vmx_caps.entry_must | ENTRY_LOAD_DEBUG |
		   ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
	vmcs_write(VMCS_EPT_POINTER, v->vmx.eptp);
	vmcs_write(VMCS_LINK_POINTER, ~0ull);
	vmcs_write(VMCS_CR3_TARGETS, 0);
	vmcs_write(VMCS_EXIT_MSR_STORES, 0);
	vmcs_write(VMCS_EXIT_MSR_LOADS, 0);
	vmcs_write(VMCS_ENTRY_MSR_LOADS, 0);
	vmcs_write(VMCS_PF_ERROR_MASK, 0);
	vmcs_write(VMCS_PF_ERROR_MATCH, 0);
	vmcs_write(VMCS_ENTRY_EVENT, 0);
}

static int vmx_vcpu_init(struct vcpu *v)
{
	u32 *vmcs = page_alloc_hyp();

	if (!vmcs)
		return fail(-ENOMEM);
	if (!v->control) {
		v->vmx.vapic = page_alloc_hyp();
		if (!v->vmx.vapic) {
			page_free_hyp(vmcs);
			return fail(-ENOMEM);
		}
	}
	vmcs[0] = vmx_caps.revision;
	v->vmx.vmcs = vmcs;
	v->vmx.vmcs_pa = ptr_hpa(vmcs).v;
	vmclear(v);
	vmx_use(v);
	if (v->control)
		init_control(v);
	else
		init_guest(v);
	init_common(v);
	return 0;
}

static void vmx_vcpu_fini(struct vcpu *v)
{
	if (!v->vmx.vmcs)
		return;
	vmx_release(v);
	if (v->vmx.vapic)
		page_free_hyp(v->vmx.vapic);
	page_free_hyp(v->vmx.vmcs);
	v->vmx.vmcs = v->vmx.vapic = NULL;
}

static void vmx_seg_set(struct vcpu *v, enum joist_seg s, const struct joist_segment *seg);
static void vmx_reg_set(struct vcpu *v, enum vreg r, u64 val);

static void vmx_vcpu_reset(struct vcpu *v)
{
	/* SDM, "Processor State After Reset". */
	/* Every other register of enum vreg is 0, or set by the caller. */
	static const struct {
		enum vreg reg;
		u64 val;
	} regs[] = {
		{ VREG_CR0, CR0_CD | CR0_NW | CR0_ET }, { VREG_CR2, 0 }, { VREG_CR3, 0 },
		{ VREG_CR4, 0 }, { VREG_EFER, 0 }, { VREG_DR6, DR6_INIT },
		{ VREG_DR7, DR7_INIT }, { VREG_STAR, 0 }, { VREG_LSTAR, 0 },
		{ VREG_CSTAR, 0 }, { VREG_SFMASK, 0 }, { VREG_KERNEL_GS_BASE, 0 },
		{ VREG_SYSENTER_CS, 0 }, { VREG_SYSENTER_ESP, 0 },
		{ VREG_SYSENTER_EIP, 0 }, { VREG_DEBUGCTL, 0 },
		{ VREG_GDTR_BASE, 0 }, { VREG_GDTR_LIMIT, 0xffff },
		{ VREG_IDTR_BASE, 0 }, { VREG_IDTR_LIMIT, 0xffff },
	};
	enum joist_seg s;
	unsigned i;

	vmx_use(v);
	for (s = JOIST_ES; s < JOIST_SEGS; s++)
		vmx_seg_set(v, s, &power_on_segments[s]);
	for (i = 0; i < ARRAY_SIZE(regs); i++)
		vmx_reg_set(v, regs[i].reg, regs[i].val);
	v->vmx.nmi_blocked = false;
	vmcs_write(VMCS_GUEST_SHADOW, 0);
	vmcs_write(VMCS_GUEST_ACTIVITY, 0);
	vmcs_write(VMCS_GUEST_PENDING_DB, 0);
	vmcs_write(VMCS_ENTRY_EVENT, 0);
	vmcs_write(VMCS_GUEST_RSP, v->vmx.rsp = v->gpr[JOIST_RSP]);
	vmcs_write(VMCS_GUEST_RIP, v->vmx.rip = v->rip);
	vmcs_write(VMCS_GUEST_RFLAGS, v->vmx.rflags = v->rflags);
}

/* What is equal is not written. */
static inline void switch_syscall_msrs(const u64 *from, const u64 *to)
{
	u32 i;

	for (i = 0; i < VMX_SYSCALL_MSRS; i++)
		if (from[i] != to[i])
			wrmsr_try(syscall_msrs.first + i, to[i]);
}

/* Guests' MSRs in, the control VM's kept. */
static void vmx_load(struct vcpu *v)
{
	struct cpu *c = current_cpu();

	switch_syscall_msrs(c->control->vmx.syscall_msr, v->vmx.syscall_msr);
	c->vmx.control_kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	if (c->vmx.control_kernel_gs_base != v->vmx.kernel_gs_base)
		wrmsr_try(MSR_KERNEL_GS_BASE, v->vmx.kernel_gs_base);
	c->vmx.control_cr2 = read_cr2();
	write_cr2(v->vmx.cr2);
	if (v->dr_live) {
		c->vmx.control_dr6 = read_dr6();
		write_dr6(v->vmx.dr6);
	}
	v->vmx.loaded = true;
}

static void vmx_unload(struct vcpu *v)
{
	struct cpu *c = current_cpu();

	v->vmx.loaded = false;
	switch_syscall_msrs(v->vmx.syscall_msr, c->control->vmx.syscall_msr);
	/* SWAPGS writes it, too. */
	v->vmx.kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	if (c->vmx.control_kernel_gs_base != v->vmx.kernel_gs_base)
		wrmsr_try(MSR_KERNEL_GS_BASE, c->vmx.control_kernel_gs_base);
	v->vmx.cr2 = read_cr2();
	write_cr2(c->vmx.control_cr2);
	if (v->dr_live) {
		v->vmx.dr6 = read_dr6();
		write_dr6(c->vmx.control_dr6);
	}
}

static void invvpid(u64 type, u64 vpid)
{
	struct {
		u64 vpid, linear;
	} desc = { vpid, 0 };
	bool refused;

	__asm__ volatile("invvpid %1, %2" : "=@ccbe"(refused) : "m"(desc), "r"(type) : "memory");
	if (refused)
		panic("INVVPID was refused");
}

/* A new VPID means no stale translation of linear addresses. */
static void assign_vpid(struct vcpu *v, struct cpu *c)
{
	if (!use_vpid)
		return;			/* every entry and exit flushes */
	if (v->control) {
		vmcs_write(VMCS_VPID, VPID_CONTROL);
		invvpid(INVVPID_ALL, 0);
		audit_flushed(c);
		return;
	}
	if (c->vmx.vpid_next == VPID_COUNT) {
		c->vmx.vpid_next = VPID_FIRST_GUEST;
		c->vmx.epoch += VPID_EPOCH;
		invvpid(INVVPID_ALL, 0);
		audit_flushed(c);
	}
	vmcs_write(VMCS_VPID, c->vmx.vpid_next++);
}

/* What of the host state is this core's own. */
static void host_state(struct cpu *c)
{
	struct {
		u16 limit;
		u64 base;
	} __packed idtr;

	__asm__ volatile("sidt %0" : "=m"(idtr));
	vmcs_write(VMCS_HOST_CS_SEL, SEL_CODE);
	vmcs_write(VMCS_HOST_SS_SEL, SEL_DATA);
	vmcs_write(VMCS_HOST_DS_SEL, SEL_DATA);
	vmcs_write(VMCS_HOST_ES_SEL, SEL_DATA);
	vmcs_write(VMCS_HOST_FS_SEL, 0);
	vmcs_write(VMCS_HOST_GS_SEL, 0);
	vmcs_write(VMCS_HOST_TR_SEL, SEL_TSS);
	vmcs_write(VMCS_HOST_FS_BASE, 0);
	vmcs_write(VMCS_HOST_GS_BASE, (u64)c);
	vmcs_write(VMCS_HOST_TR_BASE, (u64)&c->tss);
	vmcs_write(VMCS_HOST_GDTR_BASE, (u64)c->gdt);
	vmcs_write(VMCS_HOST_IDTR_BASE, idtr.base);
	vmcs_write(VMCS_HOST_CR0, read_cr0());
	vmcs_write(VMCS_HOST_CR3, read_cr3());
	vmcs_write(VMCS_HOST_CR4, read_cr4());
	vmcs_write(VMCS_HOST_PAT, PAT_RESET);
	vmcs_write(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmcs_write(VMCS_HOST_SYSENTER_CS, 0);
	vmcs_write(VMCS_HOST_SYSENTER_ESP, 0);
	vmcs_write(VMCS_HOST_SYSENTER_EIP, 0);
	vmcs_write(VMCS_HOST_RIP, (u64)vmx_exited);
}

/* First entry on this core, or its translations may be stale. */
static void settle(struct vcpu *v, struct cpu *c)
{
	struct vmx_vcpu *x = &v->vmx;

	if ((u32)x->epoch != (u32)c->vmx.epoch) {
		host_state(c);
		x->todo |= VMX_TODO_FLUSH_EPT;
	}
	if (x->todo & VMX_TODO_FLUSH_EPT)
		ept_flush(x->eptp);
	if ((x->todo & VMX_TODO_FLUSH) || x->epoch != c->vmx.epoch)
		assign_vpid(v, c);
	x->epoch = c->vmx.epoch;
	x->todo &= ~(u32)(VMX_TODO_FLUSH | VMX_TODO_FLUSH_EPT);
}

/*
 * With EPT an entry takes them from the VMCS, so after a change of CR0, CR3 or
 * CR4 that the CPU has not made itself they must be put there.  Instructions of
 * the guest were checked; for state from outside there is none that could
 * fault: an entry with reserved bits maps nothing.  SDM, "Checks on Guest
 * Page-Directory-Pointer-Table Entries".
 */
static void load_pdptes(struct vcpu *v)
{
	u64 cr0 = backend->reg_get(v, VREG_CR0), cr4 = backend->reg_get(v, VREG_CR4);
	u64 pdpte[4] = {};
	unsigned i;

	v->vmx.todo &= ~(u32)VMX_TODO_PDPTES;
	if (!(cr0 & CR0_PG) || !(cr4 & CR4_PAE) || (backend->reg_get(v, VREG_EFER) & EFER_LMA))
		return;
	if (guest_pdptes(v, backend->reg_get(v, VREG_CR3), pdpte) == -EIO)
		memset(pdpte, 0, sizeof(pdpte));
	for (i = 0; i < 4; i++)
		vmcs_write((enum vmcs_field)(VMCS_GUEST_PDPTE0 + 2 * i),
			   pdpte_bad(pdpte[i]) ? 0 : pdpte[i]);
}

/* What must agree with RFLAGS when these were changed from outside: SDM,
 * "Checks on Guest Non-Register State". */
static void settle_flags(struct vcpu *v)
{
	u64 shadow = vmcs_read(VMCS_GUEST_SHADOW), pending;

	if (!(v->rflags & RFLAGS_IF) && (shadow & SHADOW_STI)) {
		shadow &= ~SHADOW_STI;
		vmcs_write(VMCS_GUEST_SHADOW, shadow);
	}
	if (shadow & (SHADOW_STI | SHADOW_MOVSS)) {
		pending = vmcs_read(VMCS_GUEST_PENDING_DB) & ~PENDING_DB_BS;
		if ((v->rflags & RFLAGS_TF) && !(vmcs_read(VMCS_GUEST_DEBUGCTL) & BIT(1)))
			pending |= PENDING_DB_BS;
		vmcs_write(VMCS_GUEST_PENDING_DB, pending);
	}
	if (v->rflags != v->vmx.rflags)
		vmcs_write(VMCS_GUEST_RFLAGS, v->rflags);
	v->vmx.rflags = v->rflags;
}

/* A vector that only TPR holds back: exit when TPR falls below its class;
 * else when interrupts can be taken. */
static void set_windows(struct vcpu *v)
{
	struct vmx_vcpu *x = &v->vmx;
	u32 proc = x->proc & ~(u32)(PROC_INTR_WINDOW | PROC_NMI_WINDOW), threshold = 0;

	if (unlikely(x->want_nmi))
		proc |= (u32)PROC_NMI_WINDOW;
	if (unlikely(x->want_intr)) {
		u32 tpr = v->control ? 0 : x->vapic[VAPIC_TPR] >> 4;

		if (x->priority > tpr)
			proc |= (u32)PROC_INTR_WINDOW;
		else
			threshold = x->priority;
	}
	if (proc != x->proc)
		vmcs_write(VMCS_PROC_CONTROLS, x->proc = proc);
	if (threshold != x->threshold)
		vmcs_write(VMCS_TPR_THRESHOLD, x->threshold = threshold);
	if (!x->want_nmi && !x->want_intr)
		x->todo &= ~(u32)VMX_TODO_WINDOW;
}

/* What most entries have no need of. */
static __noinline void get_ready(struct vcpu *v, struct cpu *c)
{
	struct vmx_vcpu *x = &v->vmx;

	if (x->epoch != c->vmx.epoch || (x->todo & (VMX_TODO_FLUSH | VMX_TODO_FLUSH_EPT)))
		settle(v, c);
	if (x->todo & VMX_TODO_PDPTES)
		load_pdptes(v);
	if (x->todo & VMX_TODO_VID) {
		bool on = vlapic_x2_enabled(&v->lapic);

		if (on != x->vid)
			vid_switch(v, on);
		if (on)
			vid_push(v);
	}
	if (x->todo & VMX_TODO_WINDOW)
		set_windows(v);
}

static void vmx_enter(struct vcpu *v)
{
	struct cpu *c = current_cpu();
	struct vmx_vcpu *x = &v->vmx;
	enum vmx_came_back how;

	vmx_use(v);
	if (unlikely((x->epoch ^ c->vmx.epoch) | x->todo))
		get_ready(v, c);
	if (v->rip != x->rip)
		vmcs_write(VMCS_GUEST_RIP, v->rip);
	if (unlikely(v->gpr[JOIST_RSP] != x->rsp))
		vmcs_write(VMCS_GUEST_RSP, v->gpr[JOIST_RSP]);
	if (unlikely(v->rflags != x->rflags || (v->rflags & RFLAGS_TF)))
		settle_flags(v);

	vmx_audit_enter(v, c);
	how = vmx_run(v->gpr, x->launched);
	vmx_audit_exit(v, c);

	if (likely(how == VMX_EXITED)) {
		v->gpr[JOIST_RSP] = vmcs_read(VMCS_GUEST_RSP);
		v->rip = vmcs_read(VMCS_GUEST_RIP);
		v->rflags = vmcs_read(VMCS_GUEST_RFLAGS);
		x->rflags = v->rflags;
	}
	x->rsp = v->gpr[JOIST_RSP];
	x->rip = v->rip;
	vmx_exit_decode(v, how);
}

static void vmx_exit_raw(struct vcpu *v)
{
	/* Its own are noted: vmx_exit.c. */
	if (v->x.kind == JOIST_STAT_ENTRY_FAIL)
		return;
	vmx_use(v);
	v->x.raw[0] = vmcs_read(VMCS_EXIT_REASON);
	v->x.raw[1] = vmcs_read(VMCS_QUALIFICATION);
	v->x.raw[2] = vmcs_read(VMCS_GUEST_PHYSICAL);
	v->x.raw[3] = vmcs_read(VMCS_VECTORING);
}

/* Registers that are one field. */
static enum vmcs_field field_of(enum vreg r)
{
	switch (r) {
	case VREG_CR3: return VMCS_GUEST_CR3;
	case VREG_DR7: return VMCS_GUEST_DR7;
	case VREG_SYSENTER_CS: return VMCS_GUEST_SYSENTER_CS;
	case VREG_SYSENTER_ESP: return VMCS_GUEST_SYSENTER_ESP;
	case VREG_SYSENTER_EIP: return VMCS_GUEST_SYSENTER_EIP;
	case VREG_DEBUGCTL: return VMCS_GUEST_DEBUGCTL;
	case VREG_PAT: return VMCS_GUEST_PAT;
	case VREG_EFER: return VMCS_GUEST_EFER;
	case VREG_GDTR_BASE: return VMCS_GUEST_GDTR_BASE;
	case VREG_GDTR_LIMIT: return VMCS_GUEST_GDTR_LIMIT;
	case VREG_IDTR_BASE: return VMCS_GUEST_IDTR_BASE;
	case VREG_IDTR_LIMIT: return VMCS_GUEST_IDTR_LIMIT;
	default: panic("register %u is no VMCS field", r);
	}
}

static u64 cr0_mask(const struct vcpu *v)
{
	return v->control ? CR0_MASK_CONTROL : CR0_MASK_GUEST;
}

static u64 cr4_mask(const struct vcpu *v)
{
	return v->control ? ~control_features.cr4 : CR4_MASK_GUEST;
}

/* Whether the real DR6 is this vCPU's. */
static bool dr6_real(const struct vcpu *v)
{
	return v->control || (v->vmx.loaded && v->dr_live);
}

static u64 vmx_reg_get(struct vcpu *v, enum vreg r)
{
	u64 mask;

	switch (r) {
	case VREG_STAR ... VREG_SFMASK:
		return v->vmx.syscall_msr[r - VREG_STAR];
	case VREG_KERNEL_GS_BASE:
		return v->vmx.loaded ? rdmsr(MSR_KERNEL_GS_BASE) : v->vmx.kernel_gs_base;
	case VREG_CR2:
		return v->vmx.loaded ? read_cr2() : v->vmx.cr2;
	case VREG_DR6:
		return dr6_real(v) ? read_dr6() : v->vmx.dr6;
	default:
		break;
	}
	vmx_use(v);
	switch (r) {
	case VREG_CR0:
		mask = cr0_mask(v);
		return (vmcs_read(VMCS_GUEST_CR0) & ~mask) | (vmcs_read(VMCS_CR0_READ) & mask);
	case VREG_CR4:
		mask = cr4_mask(v);
		return (vmcs_read(VMCS_GUEST_CR4) & ~mask) | (vmcs_read(VMCS_CR4_READ) & mask);
	case VREG_CPL:
		/* SDM, "Guest Register State": CPL is SS's DPL. */
		return field_get(BITS(6, 5), vmcs_read(VMCS_GUEST_SS_ATTR));
	default:
		return vmcs_read(field_of(r));
	}
}

static void vmx_mode_get(struct vcpu *v, struct cpu_mode *m)
{
	vmx_use(v);
	*m = (struct cpu_mode){
		.cr0 = vmcs_read(VMCS_GUEST_CR0),
		.cr3 = vmcs_read(VMCS_GUEST_CR3),
		.cr4 = vmcs_read(VMCS_GUEST_CR4),
		.efer = vmcs_read(VMCS_GUEST_EFER),
		.cs_base = vmcs_read(VMCS_GUEST_CS_BASE),
		.cs_attr = (u32)vmcs_read(VMCS_GUEST_CS_ATTR),
		.cpl = (u32)field_get(BITS(6, 5), vmcs_read(VMCS_GUEST_SS_ATTR)),
	};
}

static void set_cr0(struct vcpu *v, u64 val)
{
	vmcs_write(VMCS_CR0_READ, val);
	/* With EPT a guest's CR0.CD would take the caches from its memory. */
	vmcs_write(VMCS_GUEST_CR0,
		   (val | CR0_NE) & ~(v->control ? 0 : CR0_CD | CR0_NW));
}

static void set_efer(struct vcpu *v, u64 val)
{
	u64 entry = vmcs_read(VMCS_ENTRY_CONTROLS) & ~ENTRY_LONG_MODE;

	vmcs_write(VMCS_GUEST_EFER, val);
	vmcs_write(VMCS_ENTRY_CONTROLS, entry | (val & EFER_LMA ? ENTRY_LONG_MODE : 0));
}

static void vmx_reg_set(struct vcpu *v, enum vreg r, u64 val)
{
	bool paging = r == VREG_CR0 || r == VREG_CR3 || r == VREG_CR4;

	switch (r) {
	case VREG_STAR ... VREG_SFMASK:
		v->vmx.syscall_msr[r - VREG_STAR] = val;
		if (v->vmx.loaded || v->control)
			wrmsr_try(syscall_msrs.first + (r - VREG_STAR), val);
		return;
	case VREG_KERNEL_GS_BASE:
		v->vmx.kernel_gs_base = val;
		if (v->vmx.loaded)
			wrmsr_try(MSR_KERNEL_GS_BASE, val);
		return;
	case VREG_CR2:
		v->vmx.cr2 = val;
		if (v->vmx.loaded)
			write_cr2(val);
		return;
	case VREG_DR6:
		v->vmx.dr6 = val;
		if (dr6_real(v))
			write_dr6(val);
		return;
	case VREG_CPL:
		return;
	default:
		break;
	}
	vmx_use(v);
	if (r == VREG_CR0)
		set_cr0(v, val);
	else if (r == VREG_CR4) {
		vmcs_write(VMCS_CR4_READ, val);
		vmcs_write(VMCS_GUEST_CR4, val | CR4_VMXE | (v->control ? 0 : CR4_MCE));
	} else if (r == VREG_EFER) {
		paging = (vmcs_read(VMCS_GUEST_EFER) ^ val) & EFER_LMA;
		v->vmx.todo |= VMX_TODO_FLUSH;
		set_efer(v, val);
	} else
		vmcs_write(field_of(r), val);
	/* What bears on translation: nothing old may be used. */
	if (paging)
		v->vmx.todo |= VMX_TODO_FLUSH | VMX_TODO_PDPTES;
}

static void vmx_seg_get(struct vcpu *v, enum joist_seg s, struct joist_segment *seg)
{
	vmx_use(v);
	*seg = (struct joist_segment){
		.base = vmcs_read(VMCS_BASE(s)),
		.limit = (u32)vmcs_read(VMCS_LIMIT(s)),
		.selector = (u16)vmcs_read(VMCS_SEL(s)),
		.attr = (u32)vmcs_read(VMCS_ATTR(s)),
	};
}

#define ATTR_ACCESSED	BIT(0)
#define ATTR_S		BIT(4)
#define ATTR_P		BIT(7)
#define ATTR_G		BIT(15)

static void vmx_seg_set(struct vcpu *v, enum joist_seg s, const struct joist_segment *seg)
{
	u32 attr = seg->attr;

	/* As loading the register leaves it: SDM, "Checks on Guest Segment
	 * Registers", asks for no less. */
	if (!(attr & ATTR_P))
		attr |= ATTR_UNUSABLE;
	else if (attr & ATTR_S)
		attr |= ATTR_ACCESSED;
	/* Not every limit can be had with a given granularity. */
	if (seg->limit >> 20)
		attr |= ATTR_G;
	else if ((seg->limit & 0xfff) != 0xfff)
		attr &= ~(u32)ATTR_G;
	vmx_use(v);
	vmcs_write(VMCS_BASE(s), seg->base);
	vmcs_write(VMCS_LIMIT(s), seg->limit);
	vmcs_write(VMCS_SEL(s), seg->selector);
	vmcs_write(VMCS_ATTR(s), attr);
}

/* SDM, "Checks on VM-Entry Control Fields": who pushes an error code. */
static bool pushes_error(struct vcpu *v, struct event ev)
{
	const u32 vectors = BIT(8) | BITS(14, 10) | BIT(17);
	u32 vector = ev.info & JOIST_EVENT_VECTOR;

	if (field_get(EVENT_TYPE, ev.info) != EVENT_EXCEPTION ||
	    !(vmx_reg_get(v, VREG_CR0) & CR0_PE))
		return false;
	return vmx_caps.any_error_code ? ev.info & JOIST_EVENT_ERROR : vectors & BIT(vector);
}

static void vmx_inject(struct vcpu *v, struct event ev)
{
	u64 blocked = 0;

	vmx_use(v);
	ev.info &= ~(u32)JOIST_EVENT_ERROR;
	if (pushes_error(v, ev)) {
		ev.info |= (u32)JOIST_EVENT_ERROR;
		vmcs_write(VMCS_ENTRY_EVENT_ERROR, ev.error);
	}
	/*
	 * An NMI wants its own blocking lifted, which one that was cut short has
	 * begun already; and no CPU keeps an STI's shadow across an NMI.
	 */
	if (field_get(EVENT_TYPE, ev.info) == EVENT_NMI) {
		blocked = SHADOW_NMI | SHADOW_STI | SHADOW_MOVSS;
		v->vmx.nmi_blocked = true;
	} else if (field_get(EVENT_TYPE, ev.info) == EVENT_INTR)
		blocked = SHADOW_STI | SHADOW_MOVSS;
	if (blocked) {
		u64 shadow = vmcs_read(VMCS_GUEST_SHADOW);

		if (unlikely(shadow & blocked))
			vmcs_write(VMCS_GUEST_SHADOW, shadow & ~blocked);
	}
	vmcs_write(VMCS_ENTRY_EVENT, ev.info);
}

static void vmx_want_window(struct vcpu *v, bool intr, bool nmi, u32 priority)
{
	v->vmx.want_intr = intr;
	v->vmx.want_nmi = nmi;
	v->vmx.priority = priority;
	v->vmx.todo |= VMX_TODO_WINDOW;
}

static u32 vmx_shadow_get(struct vcpu *v)
{
	u64 s;

	vmx_use(v);
	s = vmcs_read(VMCS_GUEST_SHADOW);
	/*
	 * A guest ends NMI blocking itself; only an injected NMI begins it.  Bochs
	 * 2.7 keeps it across the exit of one guest and the entry of another.
	 */
	if (!v->vmx.nmi_blocked)
		s &= ~SHADOW_NMI;
	return (s & SHADOW_STI ? JOIST_SHADOW_STI : 0) |
	       (s & SHADOW_MOVSS ? JOIST_SHADOW_MOVSS : 0) |
	       (s & SHADOW_NMI ? JOIST_NMI_BLOCKED : 0);
}

static void vmx_shadow_set(struct vcpu *v, u32 shadow)
{
	u64 s = 0;

	vmx_use(v);
	/* Never both. */
	if (shadow & JOIST_SHADOW_MOVSS)
		s = SHADOW_MOVSS;
	else if ((shadow & JOIST_SHADOW_STI) && (v->rflags & RFLAGS_IF))
		s = SHADOW_STI;
	v->vmx.nmi_blocked = shadow & JOIST_NMI_BLOCKED;
	if (v->vmx.nmi_blocked)
		s |= SHADOW_NMI;
	vmcs_write(VMCS_GUEST_SHADOW, s);
	vmcs_write(VMCS_GUEST_PENDING_DB, 0);
	v->vmx.rflags = ~v->rflags;		/* settle_flags() must look */
}

static void vmx_shadow_end(struct vcpu *v)
{
	vmx_use(v);
	if (likely(!(vmcs_read(VMCS_GUEST_SHADOW) & (SHADOW_STI | SHADOW_MOVSS))))
		return;
	vmx_shadow_set(v, vmx_shadow_get(v) & JOIST_NMI_BLOCKED);
}

static u32 vmx_tpr_get(struct vcpu *v)
{
	return v->vmx.vapic[VAPIC_TPR] >> 4;
}

static void vmx_tpr_set(struct vcpu *v, u32 cr8)
{
	if (v->vmx.vapic)
		v->vmx.vapic[VAPIC_TPR] = (u8)(cr8 << 4);
}

static void vmx_tsc_offset_set(struct vcpu *v, u64 offset)
{
	vmx_use(v);
	vmcs_write(VMCS_TSC_OFFSET, offset);
}

static void vmx_dr_intercept(struct vcpu *v, bool on)
{
	struct cpu *c = current_cpu();
	u32 proc = v->vmx.proc & ~(u32)PROC_MOV_DR;

	if (v->control)
		return;
	if (on)
		proc |= (u32)PROC_MOV_DR;
	else if (v->vmx.loaded && (v->vmx.proc & PROC_MOV_DR)) {
		/* It goes live in the middle of RUN. */
		c->vmx.control_dr6 = read_dr6();
		write_dr6(v->vmx.dr6);
	}
	vmx_use(v);
	vmcs_write(VMCS_PROC_CONTROLS, v->vmx.proc = proc);
}

/*
 * The preemption timer always runs: if nothing is due sooner it ends guest mode
 * after a slice.  Bochs 2.7 leaves physical interrupts masked in a guest that is
 * entered with IF clear, and a guest may never set it.  An exit saves what is
 * left, so that one which exits all the time comes to its end, too; while no
 * deadline is near the field is written once a slice.
 */
static void vmx_timer_set(struct vcpu *v, u64 host_tsc)
{
	u64 ticks = slice_ticks;

	if (unlikely(host_tsc != JOIST_NO_DEADLINE)) {
		u64 now = rdtsc(), slice = (u64)tsc_khz * SLICE_MS;

		/* Counts down when bit timer_shift of the TSC changes: round up. */
		if (host_tsc <= now)
			ticks = 0;
		else if (host_tsc - now < slice)
			ticks = ((host_tsc - now) >> vmx_caps.timer_shift) + 1;
	}
	if (ticks == v->vmx.timer)
		return;
	vmx_use(v);
	vmcs_write(VMCS_PREEMPTION_TIMER, v->vmx.timer = ticks);
}

static void vmx_flush_control(struct cpu *c)
{
	ept_flush(ept_pointer(&control_vm->s2));
}

static void vmx_flush(struct vcpu *v)
{
	v->vmx.todo |= VMX_TODO_FLUSH_EPT;
}

const struct backend vmx_backend = {
	.name = "Intel VMX",
	.vendor = JOIST_VENDOR_VMX,
	.cpuid_call = JOIST_CPUID_VMCALL,
	.stage2 = &ept_format,
	.guest_stage2 = &ept_guest_format,
	.probe = vmx_probe,
	.features = vmx_features,
	.cpu_enable = vmx_cpu_enable,
	.vcpu_init = vmx_vcpu_init,
	.vcpu_fini = vmx_vcpu_fini,
	.vcpu_reset = vmx_vcpu_reset,
	.release = vmx_release,
	.load = vmx_load,
	.unload = vmx_unload,
	.enter = vmx_enter,
	.exit_raw = vmx_exit_raw,
	.mode_get = vmx_mode_get,
	.reg_get = vmx_reg_get,
	.reg_set = vmx_reg_set,
	.seg_get = vmx_seg_get,
	.seg_set = vmx_seg_set,
	.inject = vmx_inject,
	.want_window = vmx_want_window,
	.shadow_get = vmx_shadow_get,
	.shadow_set = vmx_shadow_set,
	.shadow_end = vmx_shadow_end,
	.tpr_get = vmx_tpr_get,
	.lapic_sync = vid_pull,
	.tpr_set = vmx_tpr_set,
	.tsc_offset_set = vmx_tsc_offset_set,
	.dr_intercept = vmx_dr_intercept,
	.timer_set = vmx_timer_set,
	.flush_control = vmx_flush_control,
	.flush = vmx_flush,
};
