/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apic.c -- sending INIT, SIPI and NMI by the physical local APIC.
 *
 * The control VM owns the APIC; an NMI must not disturb an ICR write that it
 * is in the middle of.  Only the xAPIC's ICR has two halves: the upper one is
 * put back as it was.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/insn.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "drivers/apic.h"

#define APIC_ID		0x20
#define APIC_TPR	0x80
#define APIC_ICR	0x300
#define APIC_ICR_HIGH	0x310
#define APIC_LVT_COUNTER	0x340
#define X2APIC_ID	0x802
#define X2APIC_TPR	0x808
#define X2APIC_ICR	0x830
#define X2APIC_LVT_COUNTER	0x834

#define LVT_MODE	(7u << 8)
#define LVT_NMI		(4u << 8)
#define LVT_MASKED	(1u << 16)
#define ICR_NMI		(4u << 8)
#define ICR_INIT	(5u << 8)
#define ICR_STARTUP	(6u << 8)
#define ICR_ASSERT	(1u << 14)
#define ICR_PENDING	(1u << 12)
#define MSR_XAPIC_DISABLE	0xbd
#define ARCH_CAPS_XAPIC_DISABLE	BIT(21)
#define CPUID_7_EDX_ARCH_CAPS	BIT(29)
#define PENDING_SPINS	100000

volatile u8 *apic_regs __ro_after_init;		/* trampoline.asm's, too */

void apic_init(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	apic_regs = map_window(base & APIC_BASE_ADDR, PAGE_SIZE, MAP_DEVICE);
	if (!(base & APIC_BASE_EN))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_EN);
}

bool apic_is_x2(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_X2;
}

/* SDM, "IA32_XAPIC_DISABLE_STATUS": it cannot be left. */
bool apic_x2_locked(void)
{
	u64 caps, status;

	return cpuid(0, 0).eax >= 7 && (cpuid(7, 0).edx & CPUID_7_EDX_ARCH_CAPS) &&
	       rdmsr_safe(MSR_ARCH_CAPABILITIES, &caps) && (caps & ARCH_CAPS_XAPIC_DISABLE) &&
	       rdmsr_safe(MSR_XAPIC_DISABLE, &status) && (status & 1);
}

static u32 reg_read(u32 reg)
{
	return *(volatile u32 *)(apic_regs + reg);
}

static void reg_write(u32 reg, u32 val)
{
	*(volatile u32 *)(apic_regs + reg) = val;
}

u32 apic_id(void)
{
	return apic_is_x2() ? (u32)rdmsr(X2APIC_ID) : reg_read(APIC_ID) >> 24;
}

static void wait_idle(void)
{
	int i;

	for (i = 0; i < PENDING_SPINS && (reg_read(APIC_ICR) & ICR_PENDING); i++)
		pause();
}

static void send(u32 apic_id, u32 command)
{
	u32 high;

	if (apic_is_x2()) {
		wrmsr(X2APIC_ICR, (u64)apic_id << 32 | command);
		return;
	}
	wait_idle();
	high = reg_read(APIC_ICR_HIGH);
	reg_write(APIC_ICR_HIGH, apic_id << 24);
	reg_write(APIC_ICR, command);
	wait_idle();
	reg_write(APIC_ICR_HIGH, high);
}

/* TPR stays as it is; but whoever emulates a write of it looks at IRR anew. */
void apic_look_again(void)
{
	if (apic_is_x2())
		wrmsr(X2APIC_TPR, rdmsr(X2APIC_TPR));
	else
		reg_write(APIC_TPR, reg_read(APIC_TPR));
}

bool apic_counter_masked(void)
{
	u32 lvt = apic_is_x2() ? (u32)rdmsr(X2APIC_LVT_COUNTER) : reg_read(APIC_LVT_COUNTER);

	return (lvt & (LVT_MASKED | LVT_MODE)) == (LVT_MASKED | LVT_NMI);
}

void apic_send_nmi(u32 apic_id)
{
	send(apic_id, ICR_NMI | ICR_ASSERT);
}

/* SDM, "MP Initialization Protocol Algorithm for MP Systems". */
void apic_send_init(u32 apic_id)
{
	send(apic_id, ICR_INIT | ICR_ASSERT);
}

void apic_send_startup(u32 apic_id, u64 low_page)
{
	send(apic_id, ICR_STARTUP | ICR_ASSERT | (u32)(low_page >> PAGE_SHIFT));
}
