/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c -- the order in which everything starts, on one page.
 */
#include "arch/x86/backend.h"
#include "arch/x86/cpu.h"
#include "arch/x86/exit.h"
#include "arch/x86/insn.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/mtrr.h"
#include "arch/x86/paging.h"
#include "arch/x86/stack_guard.h"
#include "arch/x86/xstate.h"
#include "boot/control.h"
#include "boot/mb2.h"
#include "boot/memory.h"
#include "boot/param.h"
#include "boot/sleep.h"
#include "core/cores.h"
#include "core/forbidden.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"
#include "drivers/acpi.h"
#include "drivers/apic.h"
#include "drivers/console.h"
#include "drivers/iommu.h"

#define MBI_MAPPED	(4 * GiB)	/* the entry's tables map so much */
#define LOW_END		0xa0000
#define MIN_PERIOD_US	200		/* of what guests' periodic timers cost the host */

const struct backend *backend __ro_after_init;
static struct boot_info boot_info;
static struct params params;
bool vid_allowed __ro_after_init;
static struct acpi_info acpi;
static u32 go;				/* [a] the other cores may go on */

extern char __image_start[], __image_end[];
void boot_main(u32 magic, u64 mbi, u64 image_base) __noreturn;
void ap_main(struct cpu *c) __noreturn;

/* CPUID, "Linear/Physical Address size". */
static u64 phys_limit(void)
{
	u32 bits = cpuid(0x80000000, 0).eax >= 0x80000008 ?
		   cpuid(0x80000008, 0).eax & 0xff : 36;

	return BIT(bits);
}

/* What this CPU, or the map of all RAM, cannot reach. */
static void clip_memory(void)
{
	u64 lost = mem_map_clip(&boot_info.mem, MIN(phys_limit(), DIRECT_MAX));

	if (lost)
		log_warn("%lu MiB of RAM lie beyond what can be addressed, and are not used",
			 lost / MiB);
}

static void complain_param(void *ctx, const char *word, const char *why)
{
	log_warn("boot tunable '%s' ignored: %s", word, why);
}

static void complain_acpi(void *ctx, const char *sig, const char *why)
{
	log_warn("ACPI table %s passed over: %s", sig, why);
}

/* The map lists it, mostly; what it does not list may be there all the same. */
static const void *map_firmware(void *ctx, u64 pa, size_t len)
{
	const struct boot_info *bi = ctx;

	if (!len || pa + len < pa || pa + len > phys_limit() ||
	    !mem_map_not_bad(&bi->mem, pa, pa + len))
		return NULL;
	return map_window(pa, len, MAP_RO);
}

static const struct acpi_reader firmware = {
	.map = map_firmware,
	.complain = complain_acpi,
	.ctx = &boot_info,
};

static void choose_backend(void)
{
	static const struct backend *const all[] = { &svm_backend, &vmx_backend };
	const char *why = NULL;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->probe(&why)) {
			backend = all[i];
			return;
		}
	refuse("this machine cannot serve: %s",
	       why ? why : "this CPU has neither Intel VMX nor AMD SVM");
}

/* A page below 1 MiB where the other cores wake up. */
static u64 low_page(void)
{
	u64 pa = control_take(PAGE_SIZE, PAGE_SIZE, 0x8000, LOW_END);

	if (!pa)
		refuse("no free page below 640 KiB to start the other cores");
	return pa;
}

/* Those in use, and all others, which nobody else may start. */
static void start_cores(void)
{
	static struct smp_core list[AP_SLOTS_MAX];
	const struct smp_core *bad;
	const char *why;
	u32 i, n, which, parked = 0;

	if (apic_x2_locked())
		log_warn("the firmware has locked x2APIC mode: Linux, which finds no interrupt remapping, may not start; if so, switch x2APIC off in the firmware's setup");
	if (cores_choose(&acpi, cpus[0]->apic_id, apic_is_x2(), params.maxcpu, list, &n,
			 &why, &which))
		refuse("this machine cannot serve: core with APIC id %u: %s", which, why);
	if (!n)
		return;
	bad = smp_start(list, n, low_page(), &why);
	if (bad && why)
		refuse("core with APIC id %u cannot serve: %s", bad->apic_id, why);
	if (bad)
		refuse("core with APIC id %u does not start, and the control VM could start it without Joist; switch it off in the firmware's setup",
		       bad->apic_id);
	for (i = 0; i < n; i++)
		parked += list[i].cpu && list[i].park;
	if (parked)
		log_info("%u more cores are parked", parked);
}

static bool enable(struct cpu *c)
{
	c->why = "it lacks what the first one has";
	if (!backend->cpu_enable(c, &c->why))
		return false;
	mtrr_init(c);
	control_msrs_init();
	mitigations_enable();
	return true;
}

void ap_main(struct cpu *c)
{
	cpu_init(c);
	if (!enable(c)) {
		/* The boot core says why. */
		__atomic_store_n(&c->online, CORE_FAILED, __ATOMIC_RELEASE);
		cpu_halt();
	}
	__atomic_store_n(&c->online, CORE_ONLINE, __ATOMIC_RELEASE);
	if (c->parked)
		cpu_halt();
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE)) {
		tsc_compare();
		pause();
	}
	/* paging_seal() has taken rights away that this core may remember. */
	write_cr3(paging_root());
	control_wait_wakeup(c->control, c->apic_id);
	control_run();
}

static void create_control_vm(void)
{
	struct vm *vm = page_alloc_hyp();
	u32 i;

	if (!vm)
		refuse("there is no memory for the control VM's tables");
	control_vm = vm;
	vm->owner = OWNER_CONTROL;
	vm->vcpu_count = cpu_count;
	vm->memsegs_lock.rank = LOCK_MEMSEGS;
	if (stage2_init(&vm->s2, backend->stage2))
		refuse("there is no memory for the control VM's tables");
	control_stage2_init();
	for (i = 0; i < cpu_count; i++) {
		struct vcpu *v;

		if (vcpu_create(vm, i, &v))
			refuse("there is no memory for the control VM's vCPUs");
		cpus[i]->control = v;
	}
}

static void parse_boot_info(u32 magic, u64 mbi)
{
	const char *why;
	/* mbi comes from a 32-bit register: it is below MBI_MAPPED. */
	int err = mb2_parse(magic, (const void *)mbi, MBI_MAPPED - mbi, &boot_info, &why);

	/* Defaults first: a refusal needs somewhere to be seen. */
	param_parse(err ? "" : boot_info.cmdline, &params, complain_param, NULL);
	console_init_serial(&params);
	log_level_set(params.loglvl);
	panic_action_set(params.panic == PARAM_PANIC_HALT ? -1 : (int)params.panic);
	log_info("Joist %s", JOIST_VERSION);
	if (err)
		refuse("the boot loader's information cannot be used: %s", why);
}

/*
 * Bochs, which nothing but its firmware gives away; QEMU's has the same name, and
 * a hypervisor's bit in CPUID.  Bochs 2.7 delivers a virtual interrupt that waits
 * for IF when a physical one comes.
 */
static bool in_bochs(void)
{
	return !(cpuid(1, 0).ecx & BIT(31)) &&
	       !memcmp(acpi.root + ACPI_HEADER_OEM, "BOCHS ", 6);
}

/* What the page tables need; before there are any, or a way to catch a fault. */
static void check_cpu(void)
{
	if (!(cpuid(0x80000001, 0).edx & BIT(20)))
		refuse("this machine cannot serve: its CPU has no execute-disable bit (NX, XD), or the firmware has switched it off");
}

/*
 * CPUs of Intel's that may sleep through a write to the line they watch: Goldmont
 * and Lunar Lake.  (In Bochs 2.7, too, other cores may write it unseen.)
 */
static bool monitor_broken(void)
{
	u32 sig = cpuid(1, 0).eax & 0x0fff0ff0;

	return sig == 0x506c0 || sig == 0xb06d0;
}

/* A unit's registers are mapped while it is looked at. */
static volatile u8 *unit_regs;
static u64 unit_base;

static bool unit_open(void *ctx, u64 base)
{
	if (base > phys_limit() - PAGE_SIZE)
		return false;
	unit_base = base;
	unit_regs = map_window(base, PAGE_SIZE, MAP_DEVICE);
	return true;
}

static u32 unit_read(void *ctx, u64 pa)
{
	return *(volatile u32 *)(unit_regs + (pa - unit_base));
}

static void unit_write(void *ctx, u64 pa, u32 val)
{
	*(volatile u32 *)(unit_regs + (pa - unit_base)) = val;
}

static void unit_was_on(void *ctx, u64 base, const char *what)
{
	log_info("the firmware left the IOMMU at %lx on (%s): switched off", base, what);
}

/* Nobody else will: the control VM is not told of them. */
static void stop_iommus(void)
{
	static const struct iommu_io io = { unit_read, unit_write, unit_open, unit_was_on };
	u64 stuck;

	if (iommu_off(&acpi, &firmware, &io, &stuck))
		refuse("the IOMMU at %lx, which the firmware left on, cannot be switched off; switch it off in the firmware's setup",
		       stuck);
}

static void read_firmware(void)
{
	const char *why;

	if (!boot_info.rsdp_len)
		refuse("this machine cannot serve: the boot loader found no ACPI tables");
	if (acpi_parse(boot_info.rsdp, boot_info.rsdp_len, &firmware, &acpi, &why))
		refuse("this machine cannot serve: its ACPI tables are unusable: %s", why);
	stray_traps |= in_bochs();
	sleep_init(&acpi, &firmware);
	vid_allowed = params.vid == PARAM_VID_AUTO ? !in_bochs() : params.vid == PARAM_VID_ON;
	if (acpi.has_reset && acpi.reset.space == ACPI_SPACE_IO)
		reset_register_set((u16)acpi.reset.address, acpi.reset_value);
	mwait_works = (cpuid(1, 0).ecx & BIT(3)) && !in_bochs() && !monitor_broken();
	tsc_calibrate(acpi.pm_timer_port, acpi.pm_timer_bits == 32);
	vlapic_min_period = (u64)tsc_khz * MIN_PERIOD_US / 1000;
}

void boot_main(u32 magic, u64 mbi, u64 image_base)
{
	u64 image_end = image_base + ALIGN_UP((u64)__image_end - (u64)__image_start, PAGE_SIZE);
	struct pool_stats pool;

	stack_guard_init();
	paging_early(image_base);
	parse_boot_info(magic, mbi);
	console_early_screen(&params, &boot_info);
	check_cpu();
	clip_memory();
	memory_split(&boot_info, &params, image_base, image_end);
	paging_init(&boot_info);
	memory_init_frames(&boot_info, image_base, image_end);
	console_init_screen(&params, &boot_info);

	apic_init();
	cpus[0] = cpu_alloc(0, apic_id());
	cpu_init(cpus[0]);
	choose_backend();		/* it reads MSRs that may fault */
	cpus[0]->online = CORE_ONLINE;
	cpu_count = 1;
	read_firmware();
	stop_iommus();
	mitigations_init(params.mitigations);
	if (!enable(cpus[0]))
		refuse("this machine cannot serve: %s", cpus[0]->why);
	guest_features_init();
	control_features_init();
	xstate_setup();
	control_load(&boot_info);
	start_cores();
	mitigations_log();
	forbidden_init();
	control_acpi(&acpi, &firmware);	/* maps tables: before the pool is filled */
	control_finish(&boot_info);
	memory_fill_pool();
	create_control_vm();
	control_set_entry(cpus[0]->control);

	tsc_refine();
	tsc_check();
	page_pool_stats(&pool);
	log_info("%s, %u cores, TSC %u.%03u MHz", backend->name, cpu_count, tsc_khz / 1000,
		 tsc_khz % 1000);
	log_info("RAM: control VM %lu MiB, pool %lu MiB, hypervisor %lu KiB",
		 control_memory.total / MiB, pool.total / MiB, memory_hypervisor_bytes() / KiB);
	paging_seal();
	log_sinks_quiet(true);
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	/* From the image's stack to one with an unmapped page below it. */
	stack_leave(cpus[0]->stack_top, control_run);
}
