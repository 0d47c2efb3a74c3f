/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smp.c -- starting the other cores, and asking something of a core.
 *
 * All are started at once.  A core finds its own slot by its APIC id and claims
 * it before it has a stack, so one that comes late meets nobody else's.
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

#define INIT_US		10000
#define STARTUP_US	200
#define STEP_US		100
#define WAIT_US		10000000	/* what must come: long for a busy emulator, */
#define WAIT_OPTIONAL_US 200000		/* what may: a real core takes a few ms */
#define ATTEMPTS	2

/* The words at the end of trampoline.asm. */
struct trampoline_args {
	u64 cr3, entry;
};

/* One for each core that is started; trampoline.asm knows its layout. */
struct ap_slot {
	u32 apic_id;
	u32 state;			/* [a] */
	struct cpu *cpu;
	void *stack_top;
};
#define AP_WAITED	0		/* whoever wakes up may claim it */
#define AP_CLAIMED	1
#define AP_GIVEN_UP	2		/* nobody may any more */
static_assert(sizeof(struct ap_slot) == 24 && offsetof(struct ap_slot, state) == 4 &&
	      offsetof(struct ap_slot, cpu) == 8 && offsetof(struct ap_slot, stack_top) == 16,
	      "SLOT_ in trampoline.asm");

struct ap_slot *ap_slots __ro_after_init;
u32 ap_slot_count __ro_after_init;
extern const char trampoline[], trampoline_end[];
void ap_entry(void);

static u32 state_of(const struct ap_slot *s)
{
	return __atomic_load_n(&s->cpu->online, __ATOMIC_ACQUIRE);
}

static bool claimed(const struct ap_slot *s)
{
	return __atomic_load_n(&s->state, __ATOMIC_ACQUIRE) == AP_CLAIMED;
}

/*
 * INIT and SIPI to all that have not come.  An INIT to one that is under way
 * makes it begin anew, so only what has not even claimed its slot gets one.
 */
static void wake(u64 low_page)
{
	static bool silent[AP_SLOTS_MAX];
	u32 i, again;

	for (i = 0; i < ap_slot_count; i++) {
		silent[i] = !claimed(&ap_slots[i]);
		if (silent[i])
			apic_send_init(ap_slots[i].apic_id);
	}
	udelay(INIT_US);
	for (again = 0; again < 2; again++) {
		for (i = 0; i < ap_slot_count; i++)
			if (silent[i] && !claimed(&ap_slots[i]))
				apic_send_startup(ap_slots[i].apic_id, low_page);
		udelay(STARTUP_US);
	}
}

/* Whether some core is still missing. */
static bool missing(const struct smp_core *list, bool optional)
{
	u32 i;

	for (i = 0; i < ap_slot_count; i++)
		if (list[i].optional == optional && state_of(&ap_slots[i]) == CORE_ABSENT)
			return true;
	return false;
}

static void wait_for(const struct smp_core *list)
{
	u32 waited;

	for (waited = 0; waited < WAIT_US; waited += STEP_US) {
		if (!missing(list, false) &&
		    (waited >= WAIT_OPTIONAL_US || !missing(list, true)))
			return;
		udelay(STEP_US);
	}
}

/*
 * The end for one that never came: its slot is closed, so that it cannot run on
 * what is somebody else's by then, and it waits for a SIPI again.
 */
static bool give_up(struct ap_slot *s)
{
	u32 expected = AP_WAITED;

	if (!__atomic_compare_exchange_n(&s->state, &expected, AP_GIVEN_UP, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return false;		/* it has come after all */
	apic_send_init(s->apic_id);
	udelay(INIT_US);
	return true;
}

static void make_slots(struct smp_core *list, u32 count)
{
	u32 i;

	ap_slots = hpa_ptr(early_alloc(count * sizeof(*ap_slots)));
	for (i = 0; i < count; i++) {
		struct cpu *c = cpu_alloc(i + 1, list[i].apic_id);

		c->parked = list[i].park;
		ap_slots[i] = (struct ap_slot){ c->apic_id, AP_WAITED, c, c->stack_top };
		if (!c->parked)
			cpus[cpu_count++] = c;
	}
	ap_slot_count = count;
}

/* What has claimed its slot must come to an end of its start. */
static bool settle(struct ap_slot *s)
{
	u32 waited;

	for (waited = 0; waited < WAIT_US && state_of(s) == CORE_ABSENT; waited += STEP_US)
		udelay(STEP_US);
	return state_of(s) != CORE_ABSENT;
}

static const struct smp_core *collect(struct smp_core *list, const char **why)
{
	u32 i;

	for (i = 0; i < ap_slot_count; i++) {
		struct ap_slot *s = &ap_slots[i];

		*why = NULL;
		if (state_of(s) == CORE_ABSENT && list[i].optional && give_up(s))
			continue;
		if (state_of(s) == CORE_ABSENT && !settle(s))
			return &list[i];
		if (state_of(s) == CORE_FAILED) {
			*why = s->cpu->why;
			return &list[i];
		}
		list[i].cpu = s->cpu;
	}
	return NULL;
}

const struct smp_core *smp_start(struct smp_core *list, u32 count, u64 low_page,
				 const char **why)
{
	static char saved[PAGE_SIZE];
	u64 len = (u64)(trampoline_end - trampoline);
	char *low = hpa_ptr(HPA(low_page));
	const struct trampoline_args args = { paging_root(), (u64)ap_entry };
	const struct smp_core *bad;
	u32 i;

	assert(count <= AP_SLOTS_MAX);
	make_slots(list, count);
	memcpy(saved, low, PAGE_SIZE);
	memcpy(low, trampoline, len);
	memcpy(low + len - sizeof(args), &args, sizeof(args));
	map_trampoline(low_page);
	for (i = 0; i < ATTEMPTS && (!i || missing(list, false)); i++) {
		wake(low_page);
		wait_for(list);
	}
	bad = collect(list, why);
	unmap_trampoline(low_page);
	memcpy(low, saved, PAGE_SIZE);
	return bad;
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
