/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smp.c -- starting the other cores, and asking something of a core.
 *
 * An ask never interrupts the hypervisor: it is seen when the core enters a
 * guest the next time, or at once by an NMI if it is in a guest now.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/insn.h"
#include "arch/x86/paging.h"
#include "boot/memory.h"
#include "core/log.h"
#include "core/string.h"
#include "drivers/apic.h"

#define ONLINE_WAIT_US	1000000
#define STEP_US		100

/* The words at the end of trampoline.asm. */
struct trampoline_args {
	u64 cr3, stack, arg, entry;
};

extern const char trampoline[], trampoline_end[];
void ap_main(struct cpu *c);

static bool start_one(struct cpu *c, u64 low_page, struct trampoline_args *args)
{
	u32 waited;

	args->stack = (u64)c->stack_top;
	args->arg = (u64)c;
	args->entry = (u64)ap_main;
	apic_start_cpu(c->apic_id, low_page);
	for (waited = 0; waited < ONLINE_WAIT_US; waited += STEP_US) {
		if (__atomic_load_n(&c->online, __ATOMIC_ACQUIRE))
			return true;
		udelay(STEP_US);
	}
	return false;
}

void smp_start(const u32 *apic_ids, u32 count, u64 low_page)
{
	static char saved[PAGE_SIZE];
	u64 len = (u64)(trampoline_end - trampoline);
	char *low = hpa_ptr(HPA(low_page));
	struct trampoline_args args = { .cr3 = paging_root() };
	u32 i;

	memcpy(saved, low, PAGE_SIZE);
	memcpy(low, trampoline, len);
	map_trampoline(low_page);
	for (i = 0; i < count && cpu_count < MAX_CPUS; i++) {
		struct cpu *c;

		if (apic_ids[i] == apic_id())
			continue;
		c = cpu_alloc(cpu_count, apic_ids[i]);
		args.stack = (u64)c->stack_top;
		args.arg = (u64)c;
		args.entry = (u64)ap_main;
		memcpy(low + len - sizeof(args), &args, sizeof(args));
		if (start_one(c, low_page, &args)) {
			cpu_count++;
		} else {
			/* It may wake later and use its stack: leave both. */
			log_error("core with APIC id %u does not start; going on without it",
				  apic_ids[i]);
			cpus[c->id] = NULL;
		}
	}
	unmap_trampoline(low_page);
	memcpy(low, saved, PAGE_SIZE);
}

void smp_ask(struct cpu *c, u32 request)
{
	__atomic_fetch_or(&c->request, request, __ATOMIC_SEQ_CST);
	if (c == current_cpu() || !__atomic_load_n(&c->in_guest, __ATOMIC_SEQ_CST))
		return;
	/* One on its way does for all; a second would look like somebody else's. */
	if (!__atomic_exchange_n(&c->nmi_due, 1, __ATOMIC_SEQ_CST))
		apic_send_nmi(c->apic_id);
}

void smp_kick_self(void)
{
	struct cpu *c = current_cpu();

	if (!__atomic_exchange_n(&c->nmi_due, 1, __ATOMIC_SEQ_CST))
		apic_send_nmi(c->apic_id);
}

void smp_ask_all_wait(u32 request)
{
	u32 i;

	for (i = 0; i < cpu_count; i++)
		smp_ask(cpus[i], request);
	for (i = 0; i < cpu_count; i++)
		while (cpus[i] != current_cpu() &&
		       (__atomic_load_n(&cpus[i]->request, __ATOMIC_SEQ_CST) & request) &&
		       __atomic_load_n(&cpus[i]->in_guest, __ATOMIC_SEQ_CST))
			pause();
}

void smp_stop_others(void)
{
	u32 i;

	if (!this_cpu())
		return;
	for (i = 0; i < cpu_count; i++)
		if (cpus[i] && cpus[i] != current_cpu()) {
			__atomic_fetch_or(&cpus[i]->request, REQ_STOP, __ATOMIC_SEQ_CST);
			apic_send_nmi(cpus[i]->apic_id);
		}
}
