/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmcs.c -- names of VMCS fields, and why the CPU refuses a VMCS.
 *
 * After a failed entry the CPU says at most that the guest state is bad.  The
 * checks of SDM volume 3, "Checks on the Guest State Area", are made again
 * here, so that the log names the field.
 */
#include "arch/x86/backend.h"
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "arch/x86/vmx/vmcs.h"
#include "core/log.h"
#include "core/vm.h"

#define AR_TYPE		BITS(3, 0)
#define AR_S		BIT(4)
#define AR_DPL		BITS(6, 5)
#define AR_P		BIT(7)
#define AR_L		BIT(13)
#define AR_DB		BIT(14)
#define AR_G		BIT(15)
#define AR_RESERVED	(BITS(31, 17) | BITS(11, 8))

static const struct {
	enum vmcs_field field;
	const char *name;
} fields[] = {
#define F(name, code) { VMCS_##name, #name },
	VMCS_FIELDS(F)
#undef F
};

const char *vmcs_field_name(enum vmcs_field field)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].field == field)
			return fields[i].name;
	return "?";
}

void vmcs_refused(enum vmcs_field field, bool write)
{
	panic("VM%s of VMCS field %s (%x) was refused", write ? "WRITE" : "READ",
	      vmcs_field_name(field), field);
}

/* SDM, "VM-Instruction Error Numbers". */
void vmcs_explain_refusal(const struct vcpu *v)
{
	static const char *const text[] = {
		[4] = "VMLAUNCH with a VMCS that is launched",
		[5] = "VMRESUME with a VMCS that is not launched",
		[7] = "invalid control field",
		[8] = "invalid host-state field",
		[26] = "events blocked by MOV SS",
	};
	u64 n = vmcs_read(VMCS_INSN_ERROR);

	log_error("vCPU %u of VM %u cannot be entered: VM-instruction error %lu%s%s", v->id,
		  v->vm->id, n, n < ARRAY_SIZE(text) && text[n] ? ", " : "",
		  n < ARRAY_SIZE(text) && text[n] ? text[n] : "");
	log_error("pin %lx proc %lx proc2 %lx exit %lx entry %lx event %lx",
		  vmcs_read(VMCS_PIN_CONTROLS), vmcs_read(VMCS_PROC_CONTROLS),
		  vmcs_read(VMCS_PROC_CONTROLS2), vmcs_read(VMCS_EXIT_CONTROLS),
		  vmcs_read(VMCS_ENTRY_CONTROLS), vmcs_read(VMCS_ENTRY_EVENT));
}

static u32 found_bad;

static void bad(enum vmcs_field field, const char *why)
{
	found_bad++;
	log_warn("guest state: %s is %lx: %s", vmcs_field_name(field), vmcs_read(field), why);
}

static void check(bool ok, enum vmcs_field field, const char *why)
{
	if (!ok)
		bad(field, why);
}

/* "Checks on Guest Control Registers, Debug Registers, and MSRs" */
static void check_control(void)
{
	u64 cr0 = vmcs_read(VMCS_GUEST_CR0), cr4 = vmcs_read(VMCS_GUEST_CR4);
	u64 efer = vmcs_read(VMCS_GUEST_EFER);
	bool lm = vmcs_read(VMCS_ENTRY_CONTROLS) & ENTRY_LONG_MODE;
	u64 cr0_must = rdmsr(MSR_VMX_CR0_FIXED0) & ~(CR0_PE | CR0_PG);

	check(!(cr0_must & ~cr0), VMCS_GUEST_CR0, "a bit that VMX wants set is clear");
	check(!(cr0 & ~rdmsr(MSR_VMX_CR0_FIXED1)), VMCS_GUEST_CR0, "reserved bits");
	check(!(cr0 & CR0_PG) || (cr0 & CR0_PE), VMCS_GUEST_CR0, "PG without PE");
	check(!(rdmsr(MSR_VMX_CR4_FIXED0) & ~cr4), VMCS_GUEST_CR4,
	      "a bit that VMX wants set is clear");
	check(!(cr4 & ~rdmsr(MSR_VMX_CR4_FIXED1)), VMCS_GUEST_CR4, "reserved bits");
	check(!lm || (cr0 & CR0_PG), VMCS_GUEST_CR0, "long mode without PG");
	check(!lm || (cr4 & CR4_PAE), VMCS_GUEST_CR4, "long mode without PAE");
	check(lm || !(cr4 & CR4_PCIDE), VMCS_GUEST_CR4, "PCIDE outside long mode");
	check(!!(efer & EFER_LMA) == lm, VMCS_GUEST_EFER, "LMA is not the entry control's");
	check(!(cr0 & CR0_PG) || !(efer & EFER_LMA) == !(efer & EFER_LME), VMCS_GUEST_EFER,
	      "LMA is not LME, with paging on");
	check(!(efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)), VMCS_GUEST_EFER,
	      "reserved bits");
	check(pat_valid(vmcs_read(VMCS_GUEST_PAT)), VMCS_GUEST_PAT, "no memory type");
	check(!(vmcs_read(VMCS_GUEST_DR7) >> 32), VMCS_GUEST_DR7, "upper half");
	check(canonical(vmcs_read(VMCS_GUEST_SYSENTER_ESP)), VMCS_GUEST_SYSENTER_ESP,
	      "not canonical");
	check(canonical(vmcs_read(VMCS_GUEST_SYSENTER_EIP)), VMCS_GUEST_SYSENTER_EIP,
	      "not canonical");
}

static void check_v8086(enum joist_seg s)
{
	check(vmcs_read(VMCS_BASE(s)) == vmcs_read(VMCS_SEL(s)) << 4, VMCS_BASE(s),
	      "not the selector's, in virtual-8086 mode");
	check(vmcs_read(VMCS_LIMIT(s)) == 0xffff, VMCS_LIMIT(s), "not 64 KiB, in virtual-8086 mode");
	check(vmcs_read(VMCS_ATTR(s)) == 0xf3, VMCS_ATTR(s), "not f3, in virtual-8086 mode");
}

static bool type_ok(enum joist_seg s, u32 type)
{
	switch (s) {
	case JOIST_CS: return type == 3 || type == 9 || type == 11 || type == 13 || type == 15;
	case JOIST_SS: return type == 3 || type == 7;
	case JOIST_LDTR: return type == 2;
	case JOIST_TR: return type == 3 || type == 11;
	default: return (type & 1) && (!(type & 8) || (type & 2));
	}
}

static void check_segment(enum joist_seg s, bool lm)
{
	u32 attr = (u32)vmcs_read(VMCS_ATTR(s)), limit = (u32)vmcs_read(VMCS_LIMIT(s));
	u32 dpl = (u32)field_get(AR_DPL, attr), type = attr & AR_TYPE;
	u32 ss_dpl = (u32)field_get(AR_DPL, vmcs_read(VMCS_GUEST_SS_ATTR));
	u64 base = vmcs_read(VMCS_BASE(s));

	if (s >= JOIST_FS)
		check((attr & ATTR_UNUSABLE && s == JOIST_LDTR) || canonical(base), VMCS_BASE(s),
		      "not canonical");
	else if (s == JOIST_CS || !(attr & ATTR_UNUSABLE))
		check(!(base >> 32), VMCS_BASE(s), "beyond 4 GiB");
	if (attr & ATTR_UNUSABLE) {
		check(s != JOIST_CS && s != JOIST_TR, VMCS_ATTR(s), "unusable");
		return;
	}
	check(type_ok(s, type), VMCS_ATTR(s), "a type it cannot have");
	check(!(attr & AR_S) == (s >= JOIST_LDTR), VMCS_ATTR(s), "system or not");
	check(attr & AR_P, VMCS_ATTR(s), "not present");
	check(!(attr & AR_RESERVED), VMCS_ATTR(s), "reserved bits");
	check((limit & 0xfff) == 0xfff || !(attr & AR_G), VMCS_LIMIT(s),
	      "low bits clear with 4 KiB granularity");
	check(!(limit >> 20) || (attr & AR_G), VMCS_LIMIT(s), "too large without granularity");
	if (s == JOIST_CS) {
		check(!lm || !(attr & AR_L) || !(attr & AR_DB), VMCS_ATTR(s), "L and D");
		check(type == 3 ? dpl == 0 : type & 4 ? dpl <= ss_dpl : dpl == ss_dpl, VMCS_ATTR(s),
		      "DPL does not fit SS's");
	}
	check(s != JOIST_TR || !lm || type == 11, VMCS_ATTR(s), "16-bit TSS in long mode");
}

/* "Checks on Guest RIP, RFLAGS, and SSP", "... Non-Register State" */
static void check_rest(bool lm)
{
	u64 rip = vmcs_read(VMCS_GUEST_RIP), flags = vmcs_read(VMCS_GUEST_RFLAGS);
	u64 shadow = vmcs_read(VMCS_GUEST_SHADOW), event = vmcs_read(VMCS_ENTRY_EVENT);
	bool in_64 = lm && (vmcs_read(VMCS_GUEST_CS_ATTR) & AR_L);

	check(in_64 ? canonical(rip) : !(rip >> 32), VMCS_GUEST_RIP, "out of its range");
	check((flags & RFLAGS_ONE) && !(flags & ~RFLAGS_ALL), VMCS_GUEST_RFLAGS, "reserved bits");
	check(!(flags & RFLAGS_VM) || (!lm && (vmcs_read(VMCS_GUEST_CR0) & CR0_PE)),
	      VMCS_GUEST_RFLAGS, "VM in long or real mode");
	check(vmcs_read(VMCS_GUEST_ACTIVITY) <= 1, VMCS_GUEST_ACTIVITY, "not active");
	check((shadow & (SHADOW_STI | SHADOW_MOVSS)) != (SHADOW_STI | SHADOW_MOVSS),
	      VMCS_GUEST_SHADOW, "STI and MOV SS");
	check(!(shadow & SHADOW_STI) || (flags & RFLAGS_IF), VMCS_GUEST_SHADOW, "STI without IF");
	if ((event & JOIST_EVENT_VALID) && field_get(EVENT_TYPE, event) == EVENT_INTR) {
		check(flags & RFLAGS_IF, VMCS_GUEST_RFLAGS, "IF is clear, an interrupt goes in");
		check(!(shadow & (SHADOW_STI | SHADOW_MOVSS)), VMCS_GUEST_SHADOW,
		      "interrupts are blocked, one goes in");
	}
	check(vmcs_read(VMCS_GUEST_GDTR_LIMIT) <= 0xffff, VMCS_GUEST_GDTR_LIMIT, "too large");
	check(vmcs_read(VMCS_GUEST_IDTR_LIMIT) <= 0xffff, VMCS_GUEST_IDTR_LIMIT, "too large");
	check(canonical(vmcs_read(VMCS_GUEST_GDTR_BASE)), VMCS_GUEST_GDTR_BASE, "not canonical");
	check(canonical(vmcs_read(VMCS_GUEST_IDTR_BASE)), VMCS_GUEST_IDTR_BASE, "not canonical");
	check(vmcs_read(VMCS_LINK_POINTER) == ~0ull, VMCS_LINK_POINTER, "not unused");
}

bool vmcs_state_ok(void)
{
	bool lm = vmcs_read(VMCS_ENTRY_CONTROLS) & ENTRY_LONG_MODE;
	u32 before = found_bad;
	enum joist_seg s;

	check_control();
	for (s = JOIST_ES; s < JOIST_SEGS; s++) {
		if (s < JOIST_LDTR && (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_VM))
			check_v8086(s);
		else
			check_segment(s, lm);
	}
	check_rest(lm);
	return found_bad == before;
}

/* Exit qualification of a failed entry: SDM, "VM-Entry Failures During or
 * After Loading Guest State". */
void vmcs_explain_state(const struct vcpu *v)
{
	static const char *const text[] = {
		"", "", ", PDPTEs", ", NMI injection blocked", ", VMCS link pointer",
	};
	u64 n = vmcs_read(VMCS_QUALIFICATION);

	log_warn("vCPU %u of VM %u cannot be entered: reason %lx, qualification %lx%s", v->id,
		 v->vm->id, vmcs_read(VMCS_EXIT_REASON), n, n < ARRAY_SIZE(text) ? text[n] : "");
	vmcs_state_ok();
}
