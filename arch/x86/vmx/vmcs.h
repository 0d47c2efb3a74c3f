/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmcs.h -- VMCS fields, VMX controls and capabilities.
 *
 * SDM volume 3, appendix "Field Encoding in VMCS", and the chapter "Virtual
 * Machine Control Structures".  A field is read and written only by
 * vmcs_read() and vmcs_write(): these stop the machine, naming the field, when
 * the CPU refuses, since that means Joist is wrong about which VMCS is current.
 */
#ifndef ARCH_X86_VMX_VMCS_H
#define ARCH_X86_VMX_VMCS_H

#include "arch/x86/backend.h"
#include "core/types.h"

#define VMCS_FIELDS(F)				\
	F(VPID,			0x0000)		\
	F(GUEST_ES_SEL,		0x0800)		\
	F(GUEST_CS_SEL,		0x0802)		\
	F(GUEST_SS_SEL,		0x0804)		\
	F(GUEST_DS_SEL,		0x0806)		\
	F(GUEST_FS_SEL,		0x0808)		\
	F(GUEST_GS_SEL,		0x080a)		\
	F(GUEST_LDTR_SEL,	0x080c)		\
	F(GUEST_TR_SEL,		0x080e)		\
	F(GUEST_INTR_STATUS,	0x0810)		\
	F(HOST_ES_SEL,		0x0c00)		\
	F(HOST_CS_SEL,		0x0c02)		\
	F(HOST_SS_SEL,		0x0c04)		\
	F(HOST_DS_SEL,		0x0c06)		\
	F(HOST_FS_SEL,		0x0c08)		\
	F(HOST_GS_SEL,		0x0c0a)		\
	F(HOST_TR_SEL,		0x0c0c)		\
	F(IO_BITMAP_A,		0x2000)		\
	F(IO_BITMAP_B,		0x2002)		\
	F(MSR_BITMAP,		0x2004)		\
	F(TSC_OFFSET,		0x2010)		\
	F(VIRTUAL_APIC,		0x2012)		\
	F(EPT_POINTER,		0x201a)		\
	F(EOI_EXIT_0,		0x201c)		\
	F(EOI_EXIT_1,		0x201e)		\
	F(EOI_EXIT_2,		0x2020)		\
	F(EOI_EXIT_3,		0x2022)		\
	F(XSS_EXITING,		0x202c)		\
	F(GUEST_PHYSICAL,	0x2400)		\
	F(LINK_POINTER,		0x2800)		\
	F(GUEST_DEBUGCTL,	0x2802)		\
	F(GUEST_PAT,		0x2804)		\
	F(GUEST_EFER,		0x2806)		\
	F(GUEST_PDPTE0,		0x280a)		\
	F(GUEST_PDPTE1,		0x280c)		\
	F(GUEST_PDPTE2,		0x280e)		\
	F(GUEST_PDPTE3,		0x2810)		\
	F(HOST_PAT,		0x2c00)		\
	F(HOST_EFER,		0x2c02)		\
	F(PIN_CONTROLS,		0x4000)		\
	F(PROC_CONTROLS,	0x4002)		\
	F(EXCEPTION_BITMAP,	0x4004)		\
	F(PF_ERROR_MASK,	0x4006)		\
	F(PF_ERROR_MATCH,	0x4008)		\
	F(CR3_TARGETS,		0x400a)		\
	F(EXIT_CONTROLS,	0x400c)		\
	F(EXIT_MSR_STORES,	0x400e)		\
	F(EXIT_MSR_LOADS,	0x4010)		\
	F(ENTRY_CONTROLS,	0x4012)		\
	F(ENTRY_MSR_LOADS,	0x4014)		\
	F(ENTRY_EVENT,		0x4016)		\
	F(ENTRY_EVENT_ERROR,	0x4018)		\
	F(ENTRY_INSN_LEN,	0x401a)		\
	F(TPR_THRESHOLD,	0x401c)		\
	F(PROC_CONTROLS2,	0x401e)		\
	F(NOTIFY_WINDOW,	0x4024)		\
	F(INSN_ERROR,		0x4400)		\
	F(EXIT_REASON,		0x4402)		\
	F(EXIT_EVENT,		0x4404)		\
	F(EXIT_EVENT_ERROR,	0x4406)		\
	F(VECTORING,		0x4408)		\
	F(VECTORING_ERROR,	0x440a)		\
	F(EXIT_INSN_LEN,	0x440c)		\
	F(EXIT_INSN_INFO,	0x440e)		\
	F(GUEST_ES_LIMIT,	0x4800)		\
	F(GUEST_CS_LIMIT,	0x4802)		\
	F(GUEST_SS_LIMIT,	0x4804)		\
	F(GUEST_DS_LIMIT,	0x4806)		\
	F(GUEST_FS_LIMIT,	0x4808)		\
	F(GUEST_GS_LIMIT,	0x480a)		\
	F(GUEST_LDTR_LIMIT,	0x480c)		\
	F(GUEST_TR_LIMIT,	0x480e)		\
	F(GUEST_GDTR_LIMIT,	0x4810)		\
	F(GUEST_IDTR_LIMIT,	0x4812)		\
	F(GUEST_ES_ATTR,	0x4814)		\
	F(GUEST_CS_ATTR,	0x4816)		\
	F(GUEST_SS_ATTR,	0x4818)		\
	F(GUEST_DS_ATTR,	0x481a)		\
	F(GUEST_FS_ATTR,	0x481c)		\
	F(GUEST_GS_ATTR,	0x481e)		\
	F(GUEST_LDTR_ATTR,	0x4820)		\
	F(GUEST_TR_ATTR,	0x4822)		\
	F(GUEST_SHADOW,		0x4824)		\
	F(GUEST_ACTIVITY,	0x4826)		\
	F(GUEST_SYSENTER_CS,	0x482a)		\
	F(PREEMPTION_TIMER,	0x482e)		\
	F(HOST_SYSENTER_CS,	0x4c00)		\
	F(CR0_MASK,		0x6000)		\
	F(CR4_MASK,		0x6002)		\
	F(CR0_READ,		0x6004)		\
	F(CR4_READ,		0x6006)		\
	F(QUALIFICATION,	0x6400)		\
	F(GUEST_LINEAR,		0x640a)		\
	F(GUEST_CR0,		0x6800)		\
	F(GUEST_CR3,		0x6802)		\
	F(GUEST_CR4,		0x6804)		\
	F(GUEST_ES_BASE,	0x6806)		\
	F(GUEST_CS_BASE,	0x6808)		\
	F(GUEST_SS_BASE,	0x680a)		\
	F(GUEST_DS_BASE,	0x680c)		\
	F(GUEST_FS_BASE,	0x680e)		\
	F(GUEST_GS_BASE,	0x6810)		\
	F(GUEST_LDTR_BASE,	0x6812)		\
	F(GUEST_TR_BASE,	0x6814)		\
	F(GUEST_GDTR_BASE,	0x6816)		\
	F(GUEST_IDTR_BASE,	0x6818)		\
	F(GUEST_DR7,		0x681a)		\
	F(GUEST_RSP,		0x681c)		\
	F(GUEST_RIP,		0x681e)		\
	F(GUEST_RFLAGS,		0x6820)		\
	F(GUEST_PENDING_DB,	0x6822)		\
	F(GUEST_SYSENTER_ESP,	0x6824)		\
	F(GUEST_SYSENTER_EIP,	0x6826)		\
	F(HOST_CR0,		0x6c00)		\
	F(HOST_CR3,		0x6c02)		\
	F(HOST_CR4,		0x6c04)		\
	F(HOST_FS_BASE,		0x6c06)		\
	F(HOST_GS_BASE,		0x6c08)		\
	F(HOST_TR_BASE,		0x6c0a)		\
	F(HOST_GDTR_BASE,	0x6c0c)		\
	F(HOST_IDTR_BASE,	0x6c0e)		\
	F(HOST_SYSENTER_ESP,	0x6c10)		\
	F(HOST_SYSENTER_EIP,	0x6c12)		\
	F(HOST_RSP,		0x6c14)		\
	F(HOST_RIP,		0x6c16)

enum vmcs_field {
#define F(name, code) VMCS_##name = (code),
	VMCS_FIELDS(F)
#undef F
};

/* The fields of a segment; the order is that of enum joist_seg. */
#define VMCS_SEL(s)	((enum vmcs_field)(VMCS_GUEST_ES_SEL + 2 * (s)))
#define VMCS_LIMIT(s)	((enum vmcs_field)(VMCS_GUEST_ES_LIMIT + 2 * (s)))
#define VMCS_ATTR(s)	((enum vmcs_field)(VMCS_GUEST_ES_ATTR + 2 * (s)))
#define VMCS_BASE(s)	((enum vmcs_field)(VMCS_GUEST_ES_BASE + 2 * (s)))
static_assert(VMCS_SEL(JOIST_TR) == VMCS_GUEST_TR_SEL, "segment order");
static_assert(VMCS_LIMIT(JOIST_TR) == VMCS_GUEST_TR_LIMIT, "segment order");
static_assert(VMCS_ATTR(JOIST_TR) == VMCS_GUEST_TR_ATTR, "segment order");
static_assert(VMCS_BASE(JOIST_TR) == VMCS_GUEST_TR_BASE, "segment order");

/* Pin-based controls */
#define PIN_INTR		BIT(0)
#define PIN_NMI			BIT(3)
#define PIN_VIRTUAL_NMI		BIT(5)
#define PIN_TIMER		BIT(6)

/* Primary processor-based controls */
#define PROC_INTR_WINDOW	BIT(2)
#define PROC_TSC_OFFSET		BIT(3)
#define PROC_HLT		BIT(7)
#define PROC_MWAIT		BIT(10)
#define PROC_RDPMC		BIT(11)
#define PROC_CR3_LOAD		BIT(15)
#define PROC_CR3_STORE		BIT(16)
#define PROC_TPR_SHADOW		BIT(21)
#define PROC_NMI_WINDOW		BIT(22)
#define PROC_MOV_DR		BIT(23)
#define PROC_IO			BIT(24)
#define PROC_IO_BITMAPS		BIT(25)
#define PROC_MSR_BITMAP		BIT(28)
#define PROC_MONITOR		BIT(29)
#define PROC_SECONDARY		BIT(31)

/* Secondary processor-based controls */
#define PROC2_EPT		BIT(1)
#define PROC2_RDTSCP		BIT(3)
#define PROC2_X2APIC_VIRT	BIT(4)
#define PROC2_VPID		BIT(5)
#define PROC2_WBINVD		BIT(6)
#define PROC2_UNRESTRICTED	BIT(7)
#define PROC2_APIC_REGS		BIT(8)
#define PROC2_VID		BIT(9)
#define PROC2_INVPCID		BIT(12)
#define PROC2_XSAVES		BIT(20)
#define PROC2_WAITPKG		BIT(26)
#define PROC2_NOTIFY		BIT(31)

/* VM-exit controls, VM-entry controls */
#define EXIT_SAVE_DEBUG		BIT(2)
#define EXIT_HOST_64		BIT(9)
#define EXIT_SAVE_PAT		BIT(18)
#define EXIT_LOAD_PAT		BIT(19)
#define EXIT_SAVE_EFER		BIT(20)
#define EXIT_LOAD_EFER		BIT(21)
#define EXIT_SAVE_TIMER		BIT(22)
#define ENTRY_LOAD_DEBUG	BIT(2)
#define ENTRY_LONG_MODE		BIT(9)
#define ENTRY_LOAD_PAT		BIT(14)
#define ENTRY_LOAD_EFER		BIT(15)

/* Interruptibility state */
#define SHADOW_STI		BIT(0)
#define SHADOW_MOVSS		BIT(1)
#define SHADOW_NMI		BIT(3)

#define PENDING_DB_BS		BIT(14)

/* Event information: as JOIST_EVENT_*, and on the way out: */
#define EVENT_TYPE		BITS(10, 8)
#define EVENT_INTR		0
#define EVENT_NMI		2
#define EVENT_EXCEPTION		3
#define EVENT_INT1		5	/* privileged software exception */
#define EVENT_NMI_UNBLOCKED	BIT(12)	/* an IRET had ended NMI blocking */

#define ATTR_UNUSABLE		BIT(16)

/* Basic exit reasons: SDM, appendix "VMX Basic Exit Reasons". */
enum vmx_exit {
	VMX_EXIT_EXCEPTION = 0, VMX_EXIT_INTR = 1, VMX_EXIT_TRIPLE_FAULT = 2,
	VMX_EXIT_INIT = 3, VMX_EXIT_SIPI = 4, VMX_EXIT_INTR_WINDOW = 7,
	VMX_EXIT_NMI_WINDOW = 8, VMX_EXIT_TASK_SWITCH = 9, VMX_EXIT_CPUID = 10,
	VMX_EXIT_GETSEC = 11, VMX_EXIT_HLT = 12, VMX_EXIT_INVD = 13,
	VMX_EXIT_INVLPG = 14, VMX_EXIT_RDPMC = 15, VMX_EXIT_RSM = 17,
	VMX_EXIT_VMCALL = 18, VMX_EXIT_VMCLEAR = 19, VMX_EXIT_VMLAUNCH = 20,
	VMX_EXIT_VMPTRLD = 21, VMX_EXIT_VMPTRST = 22, VMX_EXIT_VMREAD = 23,
	VMX_EXIT_VMRESUME = 24, VMX_EXIT_VMWRITE = 25, VMX_EXIT_VMXOFF = 26,
	VMX_EXIT_VMXON = 27, VMX_EXIT_CR = 28, VMX_EXIT_DR = 29,
	VMX_EXIT_IO = 30, VMX_EXIT_RDMSR = 31, VMX_EXIT_WRMSR = 32,
	VMX_EXIT_BAD_STATE = 33, VMX_EXIT_BAD_MSR = 34, VMX_EXIT_MWAIT = 36,
	VMX_EXIT_MONITOR = 39, VMX_EXIT_PAUSE = 40, VMX_EXIT_ENTRY_MC = 41,
	VMX_EXIT_TPR = 43, VMX_EXIT_EPT_VIOLATION = 48, VMX_EXIT_EPT_MISCONFIG = 49,
	VMX_EXIT_INVEPT = 50, VMX_EXIT_TIMER = 52, VMX_EXIT_INVVPID = 53,
	VMX_EXIT_WBINVD = 54, VMX_EXIT_XSETBV = 55, VMX_EXIT_APIC_WRITE = 56,
	VMX_EXIT_VMFUNC = 59, VMX_EXIT_ENCLS = 60, VMX_EXIT_PCONFIG = 65,
	VMX_EXIT_LOADIWKEY = 69, VMX_EXIT_ENCLV = 70, VMX_EXIT_NOTIFY = 75,
	VMX_EXIT_SEAMCALL = 76,
	VMX_EXIT_TDCALL = 77, VMX_EXIT_RDMSRLIST = 78, VMX_EXIT_WRMSRLIST = 79,
	VMX_EXIT_URDMSR = 80, VMX_EXIT_UWRMSR = 81,
};
#define VMX_EXIT_BASIC		BITS(15, 0)
#define VMX_EXIT_ENTRY_FAILED	BIT(31)

/* Qualification of an I/O exit */
#define IO_QUAL_SIZE		BITS(2, 0)	/* bytes - 1 */
#define IO_QUAL_IN		BIT(3)
#define IO_QUAL_STRING		BIT(4)
#define IO_QUAL_REP		BIT(5)
#define IO_QUAL_PORT		BITS(31, 16)

/* Qualification of a notify exit */
#define NOTIFY_QUAL_INVALID	BIT(0)		/* the guest's state is lost */
#define NOTIFY_QUAL_NMI_UNBLOCKED BIT(12)

/* Qualification of an EPT violation */
#define EPT_QUAL_WRITE		BIT(1)
#define EPT_QUAL_FETCH		BIT(2)
#define EPT_QUAL_ALLOWED	BITS(5, 3)	/* what the translation allows */
#define EPT_QUAL_LINEAR		BIT(7)		/* there is a linear address */
#define EPT_QUAL_FINAL		BIT(8)		/* not the walk to it */
#define EPT_QUAL_NMI_UNBLOCKED	BIT(12)

/* Capability MSRs: SDM, appendix "VMX Capability Reporting Facility". */
#define MSR_VMX_BASIC		0x480
#define MSR_VMX_MISC		0x485
#define MSR_VMX_CR0_FIXED0	0x486
#define MSR_VMX_CR0_FIXED1	0x487
#define MSR_VMX_CR4_FIXED0	0x488
#define MSR_VMX_CR4_FIXED1	0x489
#define MSR_VMX_PROC2		0x48b
#define MSR_VMX_EPT_VPID	0x48c
#define MSR_VMX_TRUE_PIN	0x48d
#define MSR_VMX_TRUE_PROC	0x48e
#define MSR_VMX_TRUE_EXIT	0x48f
#define MSR_VMX_TRUE_ENTRY	0x490

const char *vmcs_field_name(enum vmcs_field field);
void vmcs_refused(enum vmcs_field field, bool write) __attribute__((noreturn, cold));

static inline u64 vmcs_read(enum vmcs_field field)
{
	bool refused;
	u64 val;

	__asm__ volatile("vmread %2, %0" : "=r"(val), "=@ccbe"(refused) : "r"((u64)field));
	if (unlikely(refused))
		vmcs_refused(field, false);
	return val;
}

static inline void vmcs_write(enum vmcs_field field, u64 val)
{
	bool refused;

	__asm__ volatile("vmwrite %1, %2" : "=@ccbe"(refused) : "r"(val), "r"((u64)field));
	if (unlikely(refused))
		vmcs_refused(field, true);
}

/* What this CPU's VMX can do; fixed at boot. */
struct vmx_caps {
	u32 revision;			/* of VMCS and VMXON region */
	u32 pin, proc, proc2;		/* what may be 1 ... */
	u32 pin_must, proc_must, proc2_must;	/* ... and what must */
	u32 exit, entry, exit_must, entry_must;
	u32 timer_shift;		/* preemption timer: TSC >> this */
	u64 ept_vpid;			/* IA32_VMX_EPT_VPID_CAP */
	bool any_error_code;		/* with any injected exception */
	bool ept_1g, invept_single, invvpid_all, invvpid_single;
};
extern struct vmx_caps vmx_caps;

/* vmx_caps.c */
/* Whether the preemption timer of the CPU with this CPUID signature is unusable. */
bool vmx_timer_broken(u32 signature);
/* Why a core with c cannot run what was made for the first one; NULL: it can. */
const char *vmx_caps_lack(const struct vmx_caps *first, const struct vmx_caps *c);

/* How vmx_run() came back. */
enum vmx_came_back {
	VMX_EXITED,
	VMX_FAILED,		/* VMLAUNCH or VMRESUME set CF or ZF */
	VMX_ABANDONED,		/* an NMI or an ask came first */
};

/* vmx_audit.c, debug builds: panics if something is wrong with it; NULL: nothing. */
#ifdef JOIST_DEBUG
void vmx_audit_enter(const struct vcpu *v, const struct cpu *c);
void vmx_audit_exit(const struct vcpu *v, const struct cpu *c);
const char *vmx_broken_rule(const struct vcpu *v, u32 phys_bits);
#else
#define vmx_audit_enter(v, c)	do { } while (0)
#define vmx_audit_exit(v, c)	do { } while (0)
#endif

/* vmcs.c: whether the guest state can be entered; what cannot is logged. */
bool vmcs_state_ok(void);
/* Why an entry failed, for the log. */
void vmcs_explain_refusal(const struct vcpu *v);
void vmcs_explain_state(const struct vcpu *v);
/* vmx.c: v's VMCS becomes this core's current one. */
void vmx_switch(struct vcpu *v);
static inline void vmx_use(struct vcpu *v)
{
	if (unlikely(current_cpu()->vmx.current != v))
		vmx_switch(v);
}
/* vmx_exit.c: decodes the exit into v->x. */
void vmx_exit_decode(struct vcpu *v, enum vmx_came_back how);
/* What must be done before an entry: struct vmx_vcpu's todo. */
#define VMX_TODO_FLUSH		BIT(0)	/* no old translation of linear addresses */
#define VMX_TODO_FLUSH_EPT	BIT(1)	/* nor of guest-physical ones */
#define VMX_TODO_PDPTES		BIT(2)	/* they are to be read from memory */
#define VMX_TODO_VID		BIT(3)	/* struct vlapic holds IRR, ISR and TPR */
#define VMX_TODO_WINDOW		BIT(4)	/* a window is wanted, or is open */

/* vmx_vid.c */
extern u64 bitmap_guest, vid_bitmap, vid_bitmap_level;
void vid_push(struct vcpu *v);
void vid_pull(struct vcpu *v);
void vid_switch(struct vcpu *v, bool on);
void vid_apic_write(struct vcpu *v, u32 offset);
/* ept.c */
extern const struct stage2_format ept_format, ept_guest_format;
/* vmx_bitmap.c: exit or not at these MSRs; all of guests' and the control VM's. */
struct msr_range;
void vmx_bitmap_set(u8 *map, const struct msr_range *r, bool exit);
void vmx_bitmaps_fill(u8 *guest, u8 *control);

void ept_read_mtrrs(void);
u64 ept_pointer(const struct stage2 *s);
void ept_flush(u64 eptp);
void ept_flush_all(void);

#endif
