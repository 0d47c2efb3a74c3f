/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mce.c -- machine checks.
 *
 * Only the control VM's OS reads the banks and decides; Joist leaves them and
 * MCG_STATUS as they are, so that it finds what it would on the bare machine.
 * In the control VM a machine check is not intercepted: it comes by itself.  In a
 * guest it exits; in the hypervisor it is a trap.  Intel sends one to all cores
 * (SDM, "Machine-Check Error Codes"): then each core's OS gets its own.
 */
#include "arch/x86/mce.h"
#include "arch/x86/cpu.h"
#include "arch/x86/insn.h"
#include "arch/x86/regs.h"
#include "core/log.h"
#include "core/vm.h"

#define MCG_CAP_BANKS	BITS(7, 0)
#define MCG_CAP_SER	BIT(24)		/* MCI_S, MCI_AR have a meaning */
#define MCG_RIPV	BIT(0)

#define MCI_STATUS(bank)	(0x401u + 4 * (bank))
#define MCI_VAL		BIT(63)
#define MCI_UC		BIT(61)
#define MCI_PCC		BIT(57)		/* processor context corrupt */
#define MCI_AR		BIT(55)		/* action required */

bool mce_restartable(void)
{
	u64 status;

	return rdmsr_safe(MSR_MCG_STATUS, &status) && (status & MCG_RIPV);
}

/* The first bank by which what was running cannot go on; -1: none. */
static int fatal_bank(u64 *status)
{
	u64 cap, fatal = MCI_PCC;
	u32 i;

	if (!rdmsr_safe(MSR_MCG_CAP, &cap))
		return -1;
	if (cap & MCG_CAP_SER)
		fatal |= MCI_AR;
	for (i = 0; i < field_get(MCG_CAP_BANKS, cap); i++)
		if (rdmsr_safe(MCI_STATUS(i), status) && (*status & MCI_VAL) &&
		    (*status & MCI_UC) && (*status & fatal))
			return (int)i;
	return -1;
}

void mce_hand_over(struct cpu *c)
{
	struct vcpu *v = c->control;

	/* Its OS is not there yet, or has not asked for this core: with MCIP set
	 * the next one would shut the machine down. */
	if (!v || v->activity != JOIST_VCPU_IDLE) {
		wrmsr_safe(MSR_MCG_STATUS, 0);
		return;
	}
	v->mc_pending = true;
	__atomic_fetch_or(&c->request, REQ_NMI, __ATOMIC_SEQ_CST);
}

void mce_in_hypervisor(struct cpu *c, u64 rip)
{
	u64 status = 0;
	int bank = fatal_bank(&status);

	if (bank >= 0)
		panic("core %u: machine check in the hypervisor: bank %d, status %lx, rip %lx",
		      c->id, bank, status, rip);
	if (!mce_restartable())
		panic("core %u: machine check in the hypervisor, which cannot be gone on from: rip %lx",
		      c->id, rip);
	mce_hand_over(c);
}
