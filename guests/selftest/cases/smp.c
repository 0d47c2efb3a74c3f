/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smp.c -- several vCPUs, on one core in turns and on many at once; several
 * cores that make hypercalls at the same time.
 */
#include "guests/selftest/cases/case.h"

static struct vm vm;

static void payload(const char *name, enum payload which, bool x2, u32 vcpus,
		    u32 cores, u64 events)
{
	struct gshare *s;

	vm_new(&vm, name, vcpus, GUEST_RAM);
	s = vm_share(&vm);
	s->arg[0] = x2;
	s->arg[1] = vcpus;
	s->arg[2] = events;
	s->arg[3] = random64();
	s->arg[4] = us(200000000);
	s->arg[5] = us(300);
	vm_payload(&vm, 0, which);
	run_vcpus(&vm, cores);
}

#define CASE4(name, which, vcpus, cores, events)			\
static void smp_##name##_x1(void)					\
{									\
	payload(#name, which, false, vcpus, cores, events);		\
}									\
static void smp_##name##_x2(void)					\
{									\
	payload(#name "-x2", which, true, vcpus, cores, events);	\
}
CASE4(start_one, PL_smp_start, 4, 1, 0)
CASE4(start, PL_smp_start, 4, 4, 0)
CASE4(start_more, PL_smp_start, 8, 4, 0)
CASE4(ring_one, PL_smp_ring, 3, 1, 100)
CASE4(ring, PL_smp_ring, 4, 4, 500)
CASE4(dest_one, PL_smp_dest, 4, 1, 0)
CASE4(dest, PL_smp_dest, 4, 4, 0)
#define CASE2(name, which, vcpus, cores, events)			\
static void smp_##name##_x1(void)					\
{									\
	payload(#name, which, false, vcpus, cores, events);		\
}
CASE2(clock_one, PL_smp_clock, 3, 1, 200)
CASE2(clock, PL_smp_clock, 4, 4, 500)
CASE4(init_one, PL_smp_init, 2, 1, 12)
CASE4(init, PL_smp_init, 2, 2, 12)
CASE4(random_one, PL_smp_random, 3, 1, 100)
CASE4(random_more, PL_smp_random, 6, 2, 100)

static void random_done(u32 min)
{
	struct gshare *s = vm_share(&vm);

	CHECK(s->val[0] + s->val[1] + s->val[2] > min, "%lu timers, %lu IPIs, "
	      "%lu NMIs", s->val[0], s->val[1], s->val[2]);
}

static void smp_random_x1(void)
{
	payload("random", PL_smp_random, false, 4, 4,
		option_number("events", 200));
	random_done(100);
}

static void smp_random_x2(void)
{
	payload("random-x2", PL_smp_random, true, 4, 4,
		option_number("events", 200));
	random_done(100);
}

/* A job that runs vCPU 0 of vm until it is done. */
static volatile u32 started;

static void done_job(void *arg)
{
	(void)arg;
	run_vcpus(&vm, 1);
}

/* HC_INTR, and what joist.ko does with its `wake`. */
static void intr_and_kick(u32 type, u32 vector)
{
	CHECK(!vm_intr(&vm, 0, type, vector), "INTR fails");
	if (vm.wake & 1)
		apic_ipi(1, VEC_KICK);
}

static void count_vcpu(bool x2, bool hlt)
{
	struct gshare *s;
	u32 i, n = hlt ? 100 : 40;
	u64 t;

	vm_new(&vm, "count", 1, GUEST_RAM);
	s = vm_share(&vm);
	s->arg[0] = x2;
	s->arg[1] = hlt;
	vm_payload(&vm, 0, PL_smp_count);
	want_sync(&vm, 0, 1);
	job_start(1, done_job, NULL);
	for (i = 1; i <= n; i++) {
		intr_and_kick(JOIST_INTR_FIXED, 0x50);
		t = rdtsc();
		while (s->val[0] < i)
			CHECK(rdtsc() - t < us(30000000) && !cpus[1].failed,
			      "interrupt %u to a vCPU on another core is lost",
			      i);
		CHECK_EQ(s->val[0], i, "interrupts");
		intr_and_kick(JOIST_INTR_NMI, 0);
		t = rdtsc();
		while (s->val[1] < i)
			CHECK(rdtsc() - t < us(30000000) && !cpus[1].failed,
			      "NMI %u to a vCPU on another core is lost", i);
		CHECK_EQ(s->val[1], i, "NMIs");
	}
	s->flag[2] = 1;
	intr_and_kick(JOIST_INTR_FIXED, 0x50);
	job_wait(1);
}

static void smp_intr_spin(void)
{
	count_vcpu(false, false);
}

static void smp_intr_hlt(void)
{
	count_vcpu(true, true);
}

/* A vCPU goes from core to core; its vector state and timer go with it. */
static struct {
	u32 want;
	volatile u32 exit;
} hop;

static void hop_job(void *arg)
{
	(void)arg;
	want_sync(&vm, 0, hop.want);
}

static void smp_migrate(void)
{
	u32 i, core;

	vm_new(&vm, "migrate", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = 0x7777123400005678;
	vm_share(&vm)->arg[1] = 40;
	vm_payload(&vm, 0, PL_vectors);
	for (i = 0; i < 40; i++) {
		core = i % cpu_count;
		if (!core) {
			want_sync(&vm, 0, i);
			continue;
		}
		hop.want = i;
		job_start(core, hop_job, NULL);
		job_wait(core);
	}
	run_done(&vm, 0);
}

/* UNMAP returns when no core can see the segment any more. */
static volatile u64 *shown;
static volatile u32 show_stop, show_reads;
static volatile u64 show_last;

static void show_job(void *arg)
{
	(void)arg;
	while (!show_stop) {
		show_last = *shown;
		show_reads++;
	}
}

static void smp_unmap(void)
{
	struct joist_memseg m;
	u32 id, i, n;
	u64 t;

	CHECK(!vm_create("unmap", 1, &id), "CREATE fails");
	CHECK(!seg_alloc(id, 0, 0, PAGE_SIZE), "ALLOC fails");
	CHECK(!seg_query(id, 0, 0, &m), "QUERY fails");
	shown = (volatile u64 *)m.hpa;
	for (i = 0; i < 20; i++) {
		CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
		*shown = 0x1234;
		show_stop = show_reads = 0;
		job_start(1, show_job, NULL);
		t = rdtsc();
		while (show_reads < 100)
			CHECK(rdtsc() - t < us(5000000), "core 1 hangs");
		CHECK_EQ(show_last, 0x1234, "core 1 reads");
		CHECK(!seg_call(HC_MEMSEG_UNMAP, id, 0), "UNMAP fails");
		n = show_reads;
		t = rdtsc();
		while (show_reads < n + 2)
			CHECK(rdtsc() - t < us(5000000), "core 1 hangs");
		CHECK(show_last == ~0ull, "core 1 still reads 0x%lx after "
		      "UNMAP", show_last);
		show_stop = 1;
		job_wait(1);
	}
}

/* All cores create, run and destroy VMs at the same time. */
static struct vm storm_vms[MAX_CPUS];
static volatile u32 storm_go;

static void storm_job(void *arg)
{
	u32 core = this_cpu()->index, i;
	struct vm *v = &storm_vms[core];
	char name[16];
	struct joist_info info;

	while (!storm_go)
		pause();
	for (i = 0; i < 12; i++) {
		format(name, sizeof(name), "storm-%u-%u", core, i & 1);
		vm_new(v, name, 1 + i % 3, GUEST_RAM);
		v->on_exit = NULL;
		vm_payload(v, 0, i % 3 ? PL_hello : PL_exceptions);
		run_done(v, 0);
		/* A name everybody wants. */
		{
			struct joist_create c = { .vcpus = 1, .name = "storm" };
			s64 ret = HC(HC_CREATE, &c);

			CHECK(!ret || ret == -EEXIST, "CREATE of a contended "
			      "name gives %ld", ret);
			if (!ret)
				vm_destroy(c.head.vm);
		}
		info = (struct joist_info){ 0 };
		while (!HC(HC_INFO, &info))
			info.head.vm = 0;
		if (i & 1)
			seg_wipe(v->id, 0);
		vm_destroy(v->id);
	}
	(void)arg;
}

static void smp_storm(void)
{
	u32 i;

	storm_go = 0;
	for (i = 1; i < cpu_count; i++)
		job_start(i, storm_job, NULL);
	storm_go = 1;
	storm_job(NULL);
	for (i = 1; i < cpu_count; i++)
		job_wait(i);
}

/* Two cores make calls about the same VM: each is done, or told -EBUSY. */
static void fight_job(void *arg)
{
	u32 i;
	s64 ret;
	u64 v = *(u64 *)arg;

	while (!storm_go)
		pause();
	for (i = 0; i < 300; i++) {
		struct joist_memseg m = {
			.head = { vm.id, 0 }, .seg = 1 + i % 3,
			.gpa = MiB + (i % 3) * MiB, .size = 64 * KiB,
		};
		struct joist_regs_args r = {
			.head = { vm.id, 0 }, .mask = JOIST_REGS_ALL,
		};
		struct joist_intr in = {
			.head = { vm.id, 0 }, .type = JOIST_INTR_FIXED,
			.vector = 0x50,
		};

		while ((ret = HC(HC_MEMSEG_ALLOC, &m)) == -EAGAIN)
			;
		CHECK(!ret || ret == -EEXIST || ret == -EBUSY ||
		      ret == -EINVAL, "ALLOC gives %ld", ret);
		ret = HC(HC_READREGS, &r);
		CHECK(!ret || ret == -EBUSY, "READREGS gives %ld", ret);
		if (!ret) {
			ret = HC(HC_WRITEREGS, &r);
			CHECK(!ret || ret == -EBUSY, "WRITEREGS gives %ld",
			      ret);
		}
		ret = HC(HC_INTR, &in);
		CHECK(!ret || ret == -EBUSY, "INTR gives %ld", ret);
		ret = seg_call(HC_MEMSEG_MAP, vm.id, 1 + (i + v) % 3);
		CHECK(!ret || ret == -EBUSY || ret == -ENOENT ||
		      ret == -EEXIST, "MAP gives %ld", ret);
		ret = seg_call(HC_MEMSEG_UNMAP, vm.id, 1 + i % 3);
		CHECK(!ret || ret == -EBUSY || ret == -ENOENT ||
		      ret == -EINVAL, "UNMAP gives %ld", ret);
		ret = seg_call(HC_MEMSEG_FREE, vm.id, 1 + (i + v) % 3);
		CHECK(!ret || ret == -EBUSY || ret == -ENOENT,
		      "FREE gives %ld", ret);
	}
}

static void smp_fight(void)
{
	static u64 n[MAX_CPUS];
	u32 i;

	vm_new(&vm, "fight", 1, GUEST_RAM);
	storm_go = 0;
	for (i = 0; i < cpu_count; i++)
		n[i] = i;
	for (i = 1; i < cpu_count; i++)
		job_start(i, fight_job, &n[i]);
	storm_go = 1;
	fight_job(&n[0]);
	for (i = 1; i < cpu_count; i++)
		job_wait(i);
}

/* One core destroys what the others run and ask about. */
static void victim_job(void *arg)
{
	struct joist_run_args a;
	s64 ret;

	(void)arg;
	started = 1;
	do {
		a = (struct joist_run_args){ .head = { vm.id, 0 } };
		ret = HC(HC_RUN, &a);
		irq_window();
		CHECK(!ret || ret == -ENOENT || ret == -EBUSY,
		      "RUN gives %ld", ret);
	} while (ret != -ENOENT && a.exit != JOIST_EXIT_TERM);
}

static void smp_destroy(void)
{
	extern const u8 blob_spin64[], blob_spin64_end[];
	struct joist_intr in;
	u32 i, j;

	for (i = 0; i < 30; i++) {
		vm_new(&vm, "victim", 1, GUEST_RAM);
		vm_blob(&vm, 0, 64, blob_spin64, blob_spin64_end);
		started = 0;
		job_start(1, victim_job, NULL);
		while (!started)
			pause();
		for (j = 0; j < random32() % 20; j++) {
			in = (struct joist_intr){
				.head = { vm.id, 0 },
				.type = JOIST_INTR_FIXED, .vector = 0x50,
			};
			HC_OK(HC_INTR, &in);
		}
		vm_destroy(vm.id);
		job_wait(1);
	}
}

const struct tcase cases_smp[] = {
	{ "smp/start-one-core", smp_start_one_x1, 0 },
	{ "smp/start-one-core-x2apic", smp_start_one_x2, 0 },
	{ "smp/start", smp_start_x1, 4 },
	{ "smp/start-x2apic", smp_start_x2, 4 },
	{ "smp/start-8-vcpus", smp_start_more_x1, 4 },
	{ "smp/start-8-vcpus-x2apic", smp_start_more_x2, 4 },
	{ "smp/ring-one-core", smp_ring_one_x1, 0 },
	{ "smp/ring-one-core-x2apic", smp_ring_one_x2, 0 },
	{ "smp/ring", smp_ring_x1, 4 },
	{ "smp/ring-x2apic", smp_ring_x2, 4 },
	{ "smp/destinations-one-core", smp_dest_one_x1, 0 },
	{ "smp/destinations-one-core-x2apic", smp_dest_one_x2, 0 },
	{ "smp/destinations", smp_dest_x1, 4 },
	{ "smp/destinations-x2apic", smp_dest_x2, 4 },
	{ "smp/clock-one-core", smp_clock_one_x1, 0 },
	{ "smp/clock", smp_clock_x1, 4 },
	{ "smp/init-one-core", smp_init_one_x1, 0 },
	{ "smp/init-one-core-x2apic", smp_init_one_x2, 0 },
	{ "smp/init", smp_init_x1, 2 },
	{ "smp/init-x2apic", smp_init_x2, 2 },
	{ "smp/random-one-core", smp_random_one_x1, 0 },
	{ "smp/random-one-core-x2apic", smp_random_one_x2, 0 },
	{ "smp/random-6-vcpus-2-cores", smp_random_more_x1, 2 },
	{ "smp/random-6-vcpus-2-cores-x2apic", smp_random_more_x2, 2 },
	{ "smp/random", smp_random_x1, 4 },
	{ "smp/random-x2apic", smp_random_x2, 4 },
	{ "smp/interrupts-to-other-core", smp_intr_spin, 2 },
	{ "smp/interrupts-to-other-core-hlt", smp_intr_hlt, 2 },
	{ "smp/migrate", smp_migrate, 2 },
	{ "smp/unmap", smp_unmap, 2 },
	{ "smp/storm", smp_storm, 2 },
	{ "smp/fight", smp_fight, 2 },
	{ "smp/destroy-running", smp_destroy, 2 },
	{ 0 },
};
