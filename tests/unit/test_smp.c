/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_smp.c -- the start of the other cores, against cores that come at once,
 * late, never, fail, or stop half way.  Time is what udelay() says.
 */
#include "tests/unit/host.h"

#include "arch/x86/smp.c"

#undef fail
#include <cmocka.h>

#define CORES	8
#define NEVER	~0ull

struct cpu *cpus[MAX_CPUS] = { &the_cpu };
u32 cpu_count;
u32 tsc_khz = 1000000;
__asm__(".pushsection .rodata\n.globl trampoline, trampoline_end\n"
	"trampoline: .skip 64\ntrampoline_end: .skip 1\n.popsection");

/* A core: what it does after a SIPI. */
static struct core {
	u64 claim_us;		/* from its SIPI */
	u64 online_us;		/* from the claim */
	const char *fails;
	u64 sipi_at;		/* 0: it waits for one */
	bool claimed;
	u32 inits, sipis;
} core[CORES];
static struct cpu cpu_data[CORES + 1];
static struct ap_slot slot_data[CORES];
static char low_memory[PAGE_SIZE];
static u64 now;
static bool mapped;

u64 paging_root(void)
{
	return 0x1000;
}

void map_trampoline(u64 pa)
{
	mapped = true;
}

void unmap_trampoline(u64 pa)
{
	mapped = false;
}

void ap_entry(void)
{
}

void apic_send_nmi(u32 apic_id)
{
}

hpa_t early_alloc(u64 size)
{
	assert_true(size <= sizeof(slot_data));
	memset(slot_data, 0, sizeof(slot_data));
	return HPA((u64)slot_data - DIRECT_BASE);
}

struct cpu *cpu_alloc(u32 id, u32 apic_id)
{
	struct cpu *c = &cpu_data[id];

	*c = (struct cpu){ .id = id, .apic_id = apic_id, .stack_top = &core[id - 1] };
	return c;
}

void apic_send_init(u32 apic_id)
{
	core[apic_id].inits++;
	core[apic_id].sipi_at = 0;
	assert_false(core[apic_id].claimed);
}

void apic_send_startup(u32 apic_id, u64 low_page)
{
	core[apic_id].sipis++;
	/* Only after an INIT is it of use. */
	if (!core[apic_id].sipi_at)
		core[apic_id].sipi_at = now;
}

/* As ap_entry does it: by its id, and only if the slot is free. */
static bool claim(u32 id)
{
	u32 i, expected = AP_WAITED;

	for (i = 0; i < ap_slot_count; i++)
		if (ap_slots[i].apic_id == id)
			return __atomic_compare_exchange_n(&ap_slots[i].state, &expected,
							   AP_CLAIMED, false,
							   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return false;
}

static void live(u32 id)
{
	struct core *k = &core[id];
	struct cpu *c = NULL;
	u32 i;

	if (!k->sipi_at || now - k->sipi_at < k->claim_us)
		return;
	if (!k->claimed)
		k->claimed = claim(id);
	if (!k->claimed || now - k->sipi_at - k->claim_us < k->online_us)
		return;
	for (i = 0; i < ap_slot_count; i++)
		if (ap_slots[i].apic_id == id)
			c = ap_slots[i].cpu;
	/* Its own stack and data, whatever became of others meanwhile. */
	assert_int_equal(c->apic_id, id);
	c->why = k->fails;
	c->online = k->fails ? CORE_FAILED : CORE_ONLINE;
}

void udelay(u32 us)
{
	u32 i;

	assert_true(mapped);
	now += us;
	for (i = 0; i < CORES; i++)
		live(i);
}

static struct smp_core list[CORES];
static const char *why;

static void machine(void)
{
	u32 i;

	memset(core, 0, sizeof(core));
	memset(cpus, 0, sizeof(cpus));
	cpus[0] = &the_cpu;
	cpu_count = 1;
	now = 1;
	memset(low_memory, 0x5a, sizeof(low_memory));
	for (i = 0; i < CORES; i++) {
		core[i].claim_us = 50 + 10 * i;
		core[i].online_us = 300;
		list[i] = (struct smp_core){ .apic_id = i, .park = i >= 4, .optional = i >= 6 };
	}
}

static const struct smp_core *begin(void)
{
	const struct smp_core *bad = smp_start(list, CORES, (u64)low_memory - DIRECT_BASE, &why);
	u32 i;

	assert_false(mapped);
	for (i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(low_memory[i], 0x5a);
	return bad;
}

static void test_all_come(void **state)
{
	u32 i;

	machine();
	assert_null(begin());
	for (i = 0; i < CORES; i++) {
		assert_ptr_equal(list[i].cpu, &cpu_data[i + 1]);
		assert_int_equal(list[i].cpu->parked, i >= 4);
		assert_int_equal(core[i].inits, 1);
	}
	/* Only those in use are asked for anything later. */
	assert_int_equal(cpu_count, 5);
	for (i = 1; i < 5; i++)
		assert_ptr_equal(cpus[i], &cpu_data[i]);
	assert_null(cpus[5]);
	assert_true(now < 20000);
}

/* One that sleeps through the first attempt, and one that is only slow. */
static void test_late(void **state)
{
	machine();
	core[1].claim_us = WAIT_US / 2;
	core[2].online_us = WAIT_US / 2;
	assert_null(begin());
	assert_int_equal(core[1].inits, 1);
	/* It gets a second INIT, which begins its start anew, and comes at last. */
	machine();
	core[1].claim_us = WAIT_US + 50000;
	assert_null(begin());
	assert_int_equal(core[1].inits, 2);
	assert_int_equal(core[0].inits, 1);
}

static void test_never(void **state)
{
	machine();
	core[5].claim_us = NEVER;
	assert_ptr_equal(begin(), &list[5]);
	assert_null(why);
	machine();
	core[3].online_us = NEVER;		/* dies half way */
	assert_ptr_equal(begin(), &list[3]);
	assert_int_equal(core[3].inits, 1);
}

static void test_fails(void **state)
{
	machine();
	core[0].fails = "its VMX is another";
	assert_ptr_equal(begin(), &list[0]);
	assert_string_equal(why, "its VMX is another");
	/* One that need not be there must not be left outside, either. */
	machine();
	core[7].fails = "no SVM";
	assert_ptr_equal(begin(), &list[7]);
	assert_string_equal(why, "no SVM");
}

/* What need not come is not waited for long, and cannot come afterwards. */
static void test_optional(void **state)
{
	u64 end;

	machine();
	core[6].claim_us = NEVER;
	core[7].claim_us = WAIT_OPTIONAL_US + INIT_US + 2 * STARTUP_US + 5000;
	assert_null(begin());
	end = now;
	assert_true(end < 2 * WAIT_OPTIONAL_US);
	assert_null(list[6].cpu);
	assert_int_equal(ap_slots[6].state, AP_GIVEN_UP);
	assert_int_equal(core[6].inits, 2);	/* it waits for a SIPI again */
	assert_int_equal(core[6].sipi_at, 0);
	/* The late one came while the other was given up, or was, too. */
	assert_true((list[7].cpu && core[7].claimed) ||
		    ap_slots[7].state == AP_GIVEN_UP);
	/* A SIPI by somebody else: it finds no slot. */
	mapped = true;
	core[6].claim_us = 0;
	apic_send_startup(6, 0);
	udelay(1000);
	assert_false(core[6].claimed);
	/* Claimed in the last moment: it is waited for. */
	machine();
	core[6].claim_us = 1000;
	core[6].online_us = WAIT_OPTIONAL_US + 100000;
	assert_null(begin());
	assert_ptr_equal(list[6].cpu, &cpu_data[7]);
	assert_int_equal(core[6].inits, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_come),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_fails),
		cmocka_unit_test(test_optional),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
