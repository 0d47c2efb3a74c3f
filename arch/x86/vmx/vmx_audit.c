/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmx_audit.c -- for debug builds: the VMCS is one that VM entry takes, and no tag
 * of the TLB stands for what is gone.
 *
 * SDM, "Checks on VMX Controls" and "Checks on Host Control Registers, MSRs, and
 * SSP"; the guest state is checked in vmcs.c, which names what is wrong.
 */
#include "arch/x86/audit.h"
#include "arch/x86/insn.h"
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "arch/x86/vmx/vmcs.h"
#include "core/log.h"
#include "core/vm.h"

#define EVENT_RESERVED	BITS(30, 12)
#define EPTP_LOW	BITS(11, 0)
#define EPTP_WB_4	(6 | 3 << 3)	/* write-back, four levels, no A and D bits */

/* Controls within what the CPU allows. */
static bool within(u64 val, u32 must, u32 may)
{
	return !(must & ~val) && !(val & ~(u64)may);
}

static const char *event_rule(u64 event, u64 error)
{
	u32 type = (u32)field_get(EVENT_TYPE, event), vector = event & JOIST_EVENT_VECTOR;

	if (!(event & JOIST_EVENT_VALID))
		return NULL;
	if (type == 1 || type == 7 || (event & EVENT_RESERVED))
		return "event's type";
	if ((type == EVENT_NMI && vector != EXC_NMI) || (type == EVENT_EXCEPTION && vector > 31))
		return "event's vector";
	if ((event & JOIST_EVENT_ERROR) && (type != EVENT_EXCEPTION || error >> 16))
		return "event's error code";
	return NULL;
}

static const char *pin_proc_rule(u64 pin, u64 proc, u64 proc2)
{
	if (!within(pin, vmx_caps.pin_must, vmx_caps.pin) ||
	    !within(proc, vmx_caps.proc_must, vmx_caps.proc) ||
	    !within(proc2, vmx_caps.proc2_must, vmx_caps.proc2))
		return "controls that this CPU does not have, or wants";
	if ((pin & PIN_VIRTUAL_NMI) && !(pin & PIN_NMI))
		return "virtual NMIs without NMI exiting";
	if ((proc & PROC_NMI_WINDOW) && !(pin & PIN_VIRTUAL_NMI))
		return "an NMI window without virtual NMIs";
	if (!(proc & PROC_TPR_SHADOW) &&
	    (proc2 & (PROC2_X2APIC_VIRT | PROC2_APIC_REGS | PROC2_VID)))
		return "LAPIC virtualization without TPR shadow";
	if ((proc2 & PROC2_VID) && !(pin & PIN_INTR))
		return "virtual-interrupt delivery without external-interrupt exiting";
	if (!(proc2 & PROC2_EPT) || !(proc2 & PROC2_UNRESTRICTED))
		return "no EPT";
	return NULL;
}

static const char *address_rule(u64 proc, u64 proc2, u32 phys_bits)
{
	u64 eptp = vmcs_read(VMCS_EPT_POINTER), bitmap = vmcs_read(VMCS_MSR_BITMAP);

	if ((eptp & EPTP_LOW) != EPTP_WB_4 || eptp >> phys_bits)
		return "EPT pointer";
	if ((bitmap & (PAGE_SIZE - 1)) || bitmap >> phys_bits)
		return "address of the MSR bitmap";
	if ((proc2 & PROC2_VPID) && !vmcs_read(VMCS_VPID))
		return "VPID 0";
	if (!(proc & PROC_TPR_SHADOW))
		return NULL;
	if ((vmcs_read(VMCS_VIRTUAL_APIC) & (PAGE_SIZE - 1)) ||
	    vmcs_read(VMCS_VIRTUAL_APIC) >> phys_bits)
		return "address of the virtual-APIC page";
	if (!(proc2 & PROC2_VID) && vmcs_read(VMCS_TPR_THRESHOLD) > 15)
		return "TPR threshold";
	return NULL;
}

static const char *host_rule(u32 phys_bits)
{
	u64 efer = vmcs_read(VMCS_HOST_EFER);

	if (vmcs_read(VMCS_HOST_CR0) != read_cr0() || vmcs_read(VMCS_HOST_CR3) != read_cr3() ||
	    vmcs_read(VMCS_HOST_CR4) != read_cr4() || vmcs_read(VMCS_HOST_CR3) >> phys_bits)
		return "host's control registers";
	if ((efer & (EFER_LMA | EFER_LME)) != (EFER_LMA | EFER_LME) ||
	    !pat_valid(vmcs_read(VMCS_HOST_PAT)))
		return "host's EFER or PAT";
	if (vmcs_read(VMCS_HOST_CS_SEL) != SEL_CODE || vmcs_read(VMCS_HOST_SS_SEL) != SEL_DATA ||
	    vmcs_read(VMCS_HOST_TR_SEL) != SEL_TSS)
		return "host's selectors";
	if (vmcs_read(VMCS_HOST_GS_BASE) != (u64)current_cpu())
		return "another core's host state";
	return NULL;
}

/* What Joist itself counts on. */
static const char *own_rule(const struct vcpu *v, u64 pin, u64 proc)
{
	u64 exceptions = vmcs_read(VMCS_EXCEPTION_BITMAP);

	if (!(pin & PIN_NMI) || !(proc & PROC_MSR_BITMAP))
		return "an exit is missing that Joist lives by";
	if (v->control)
		return NULL;
	if (!(pin & PIN_INTR) || !(proc & PROC_IO) || !(proc & PROC_HLT))
		return "an exit is missing that keeps a guest in";
	if (~exceptions & (BIT(EXC_DB) | BIT(EXC_AC) | BIT(EXC_MC)))
		return "an exception does not exit";
	if (!(vmcs_read(VMCS_GUEST_CR4) & CR4_MCE))
		return "CR4.MCE is clear";
	return NULL;
}

const char *vmx_broken_rule(const struct vcpu *v, u32 phys_bits)
{
	u64 pin = vmcs_read(VMCS_PIN_CONTROLS), proc = vmcs_read(VMCS_PROC_CONTROLS);
	u64 proc2 = vmcs_read(VMCS_PROC_CONTROLS2);
	const char *why = pin_proc_rule(pin, proc, proc2);

	if (!why)
		why = address_rule(proc, proc2, phys_bits);
	if (!why)
		why = event_rule(vmcs_read(VMCS_ENTRY_EVENT), vmcs_read(VMCS_ENTRY_EVENT_ERROR));
	if (!why)
		why = own_rule(v, pin, proc);
	return why ? why : host_rule(phys_bits);
}

static struct audit_mode mode(void)
{
	return (struct audit_mode){
		vmcs_read(VMCS_GUEST_CR0), vmcs_read(VMCS_GUEST_CR3),
		vmcs_read(VMCS_GUEST_CR4), vmcs_read(VMCS_GUEST_EFER) };
}

/* Without VPIDs each entry and exit flushes, as if there were one tag. */
static u32 tag_of(const struct cpu *c)
{
	if (vmcs_read(VMCS_PROC_CONTROLS2) & PROC2_VPID)
		return (u32)vmcs_read(VMCS_VPID);
	audit_flushed(c);
	return 1;
}

void vmx_audit_enter(const struct vcpu *v, const struct cpu *c)
{
	static u32 phys_bits;
	struct audit_mode m = mode();
	const char *why;

	if (!phys_bits)
		phys_bits = cpuid(0x80000008, 0).eax & 0xff;
	why = vmx_broken_rule(v, phys_bits);
	if (!why && !vmcs_state_ok())
		why = "guest state, see the log";
	if (!why)
		why = audit_stage2_rule(c, v);
	if (why)
		panic("vCPU %u of VM %u is about to be entered with a bad VMCS: %s", v->id,
		      v->vm->id, why);
	audit_enter(c, v, tag_of(c), &m);
}

void vmx_audit_exit(const struct vcpu *v, const struct cpu *c)
{
	struct audit_mode m = mode();

	audit_exit(c, v, tag_of(c), &m);
}
