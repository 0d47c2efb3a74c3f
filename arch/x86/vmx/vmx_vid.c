/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmx_vid.c -- virtual-interrupt delivery: the CPU as a guest's x2APIC.
 *
 * Follows SDM volume 3, "APIC Virtualization and Virtual Interrupts".  IRR, ISR
 * and TPR of a guest in x2APIC mode are in one of two places.  vid_push() hands
 * them to the CPU before an entry: from then on it delivers vectors, and does
 * EOI, TPR and self-IPI, without an exit.  vid_pull() takes them back before
 * anybody looks at the LAPIC: for anything but a plain entry, for exits of the
 * LAPIC's MSRs, and for calls that read or write it.  RUN may end meanwhile, and
 * another core go on.  In xAPIC mode, and for writes of all other registers,
 * nothing changes; with APIC-register virtualization most are read from the page,
 * too, without an exit.  While they are in struct vlapic the page's IRR and ISR are empty.
 *
 * A level-triggered vector's EOI must be seen.  While there is one, EOI exits.
 */
#include "arch/x86/backend.h"
#include "arch/x86/regs.h"
#include "arch/x86/vmx/vmcs.h"
#include "core/vm.h"

#define PAGE_TPR	0x080		/* registers in the virtual-APIC page */
#define PAGE_SVR	0x0f0
#define PAGE_ISR	0x100
#define PAGE_IRR	0x200
#define PAGE_LVT	0x320
#define PAGE_DCR	0x3e0
#define PAGE_SELF_IPI	0x3f0
#define REG_SELF_IPI	0x3f

#define STATUS_RVI	BITS(7, 0)	/* requesting virtual interrupt */
#define STATUS_SVI	BITS(15, 8)	/* servicing virtual interrupt */

#define VID_CONTROLS	(PROC2_X2APIC_VIRT | PROC2_VID)

static u32 *reg(const struct vcpu *v, u32 offset)
{
	return (u32 *)(v->vmx.vapic + offset);
}

/* Into one that is empty. */
static void put_set(const struct vcpu *v, u32 offset, const struct vlapic_set *s)
{
	u32 left;

	for (left = s->sum; left; left &= left - 1) {
		u32 i = (u32)__builtin_ctz(left);

		*reg(v, offset + 32 * i) = (u32)s->word[i];
		*reg(v, offset + 32 * i + 16) = (u32)(s->word[i] >> 32);
	}
}

static __noinline const u64 *take_set(const struct vcpu *v, u32 offset, u64 *word)
{
	u32 i;

	for (i = 0; i < 4; i++) {
		u32 *low = reg(v, offset + 32 * i), *high = reg(v, offset + 32 * i + 16);

		word[i] = *low | (u64)*high << 32;
		*low = *high = 0;
	}
	return word;
}

static bool has_level(const struct vlapic *l)
{
	u64 level = 0;
	u32 i;

	for (i = 0; i < 4; i++)
		level |= l->tmr[i] & (l->irr.word[i] | l->isr.word[i]);
	return level;
}

/*
 * What the guest reads without an exit, but for IRR, ISR and priorities.  What
 * others may change, counts, or is not the same in struct vlapic, exits.
 */
static void put_registers(const struct vcpu *v)
{
	const struct vlapic *l = &v->lapic;
	u32 i;

	*reg(v, PAGE_SVR) = l->svr;
	for (i = 0; i < VLAPIC_LVTS; i++)
		*reg(v, PAGE_LVT + 16 * i) = l->lvt[i];
	*reg(v, PAGE_DCR) = l->dcr;
}

/* Those that stay as long as the mode does. */
static void put_constants(struct vcpu *v)
{
	static const u8 constant[] = { VLAPIC_ID, VLAPIC_VERSION, VLAPIC_LDR };
	unsigned i;

	for (i = 0; i < sizeof(constant); i++) {
		u64 val = 0;

		vlapic_read(&v->lapic, constant[i], true, 0, &val);
		*reg(v, constant[i] * 16u) = (u32)val;
	}
}

void vid_push(struct vcpu *v)
{
	struct vlapic *l = &v->lapic;
	u64 bitmap = vid_bitmap, status = 0;

	if (l->irr.sum | l->isr.sum) {
		bitmap = has_level(l) ? vid_bitmap_level : vid_bitmap;
		status = (u64)MAX(vlapic_highest(&l->isr), 0) << 8 |
			 (u64)MAX(vlapic_highest(&l->irr), 0);
	}
	if (l->irr.sum) {
		put_set(v, PAGE_IRR, &l->irr);
		l->irr = (struct vlapic_set){};
	}
	if (l->isr.sum)
		put_set(v, PAGE_ISR, &l->isr);
	*reg(v, PAGE_TPR) = l->tpr;
	put_registers(v);
	if (v->vmx.intr_status != status)
		vmcs_write(VMCS_GUEST_INTR_STATUS, status);
	if (v->vmx.bitmap != bitmap)
		vmcs_write(VMCS_MSR_BITMAP, v->vmx.bitmap = bitmap);
	v->vmx.vid_live = true;
	v->vmx.todo &= ~(u32)VMX_TODO_VID;
}

void vid_pull(struct vcpu *v)
{
	const u64 *waiting = NULL, *in_service = NULL;
	u64 irr[4], isr[4], status;

	if (!v->vmx.vid_live)
		return;
	vmx_use(v);
	v->vmx.vid_live = false;
	v->vmx.todo |= VMX_TODO_VID;
	/* The highest of each, SDM, "Guest Interrupt Status"; 0: the set is empty. */
	v->vmx.intr_status = status = vmcs_read(VMCS_GUEST_INTR_STATUS);
	if (status & STATUS_RVI)
		waiting = take_set(v, PAGE_IRR, irr);
	if (status & STATUS_SVI)
		in_service = take_set(v, PAGE_ISR, isr);
	vlapic_take_back(&v->lapic, waiting, in_service, *reg(v, PAGE_TPR));
}

/* Into or out of x2APIC mode.  Out: the CPU knows of no vector any more. */
void vid_switch(struct vcpu *v, bool on)
{
	u64 proc2 = vmcs_read(VMCS_PROC_CONTROLS2) & ~(VID_CONTROLS | PROC2_APIC_REGS);

	v->vmx.vid = on;
	if (on) {
		proc2 |= VID_CONTROLS | (vmx_caps.proc2 & PROC2_APIC_REGS);
		put_constants(v);
	} else {
		vmcs_write(VMCS_GUEST_INTR_STATUS, v->vmx.intr_status = 0);
		vmcs_write(VMCS_MSR_BITMAP, v->vmx.bitmap = bitmap_guest);
	}
	vmcs_write(VMCS_PROC_CONTROLS2, proc2);
}

/* A self-IPI of a vector below 16 exits behind the WRMSR: SDM, "Virtualizing
 * MSR-Based APIC Accesses". */
void vid_apic_write(struct vcpu *v, u32 offset)
{
	struct vlapic_action none;

	vid_pull(v);
	if (offset == PAGE_SELF_IPI)
		vlapic_write(&v->lapic, REG_SELF_IPI, true, *reg(v, PAGE_SELF_IPI), 0, &none);
}
