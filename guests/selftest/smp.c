/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smp.c -- per-core tables, the other cores, the local APIC and its timer.
 *
 * The other cores are started by ACPI's wakeup mailbox (ACPI, "Multiprocessor
 * Wakeup Structure"): APIC id and entry point go into the mailbox, then the
 * command; the core clears the command when it has seen it.
 */
#include "guests/selftest/rt.h"

#define STACK_SIZE	32768
#define APIC_ID		0x20
#define APIC_TPR	0x80
#define APIC_EOI	0xb0
#define APIC_SVR	0xf0
#define APIC_ICR	0x300
#define APIC_ICR_HI	0x310
#define APIC_LVT_TIMER	0x320
#define APIC_LVT_LINT0	0x350
#define APIC_LVT_LINT1	0x360
#define APIC_LVT_ERROR	0x370
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0
#define LVT_MASKED	BIT(16)
#define LVT_PERIODIC	BIT(17)
#define BASE_X2APIC	BIT(10)
#define BASE_ENABLE	BIT(11)

struct gate {
	u16 offset0, selector, attr, offset1;
	u32 offset2, reserved;
};

struct table_reg {
	u16 limit;
	u64 base;
} __packed;

struct acpi_header {
	char signature[4];
	u32 length;
	u8 rest[28];
} __packed;

struct madt_wakeup {
	u8 type, len;
	u16 version;
	u32 reserved;
	u64 mailbox;
} __packed;

struct mailbox {
	volatile u16 command;
	u16 reserved;
	volatile u32 apic_id;
	volatile u64 vector;
};

struct cpu cpus[MAX_CPUS];
u32 cpu_count = 1;
u64 tsc_khz;
bool x2apic;
u64 ap_stack;

extern const u64 isr_table[256];
extern u64 boot_pml4[], boot_pdpt[], boot_pd[];
extern void ap_entry(void);

static struct gate idt[256];
static u8 stacks[MAX_CPUS][STACK_SIZE] __aligned(16);
static u8 trap_stacks[MAX_CPUS][STACK_SIZE] __aligned(16);
static u8 blocks[MAX_CPUS][4096] __aligned(4096);
u32 other_cores[MAX_CPUS], other_core_count;
static struct cpu *volatile ap_starting;
static volatile u32 ap_online;
static u64 ticks_scale;		/* LAPIC timer ticks per TSC tick, << 32 */

static void idt_init(void)
{
	u32 i;

	for (i = 0; i < 256; i++) {
		idt[i] = (struct gate){
			.offset0 = (u16)isr_table[i],
			.offset1 = (u16)(isr_table[i] >> 16),
			.offset2 = (u32)(isr_table[i] >> 32),
			.selector = 8,
			.attr = 0x8e00,
		};
	}
	idt[VEC_USER].attr = 0xee00;
	idt[X_DF].attr = 0x8e01;	/* IST 1: a bad stack must be seen */
}

void cpu_init(struct cpu *c)
{
	struct table_reg gdtr = { sizeof(c->gdt) - 1, (u64)c->gdt };
	struct table_reg idtr = { sizeof(idt) - 1, (u64)idt };
	u64 tss = (u64)c->tss, trap_top;
	u32 r[4];

	if (!idt[0].selector)
		idt_init();
	c->self = c;
	c->block = blocks[c->index];
	trap_top = (u64)trap_stacks[c->index] + STACK_SIZE;
	memcpy(c->tss + 4, &trap_top, 8);		/* RSP0 */
	memcpy(c->tss + 36, &trap_top, 8);		/* IST1 */
	c->tss[102] = sizeof(c->tss);			/* no I/O bitmap */
	c->gdt[1] = 0x00af9b000000ffff;
	c->gdt[2] = 0x00cf93000000ffff;
	c->gdt[4] = 0x00cff3000000ffff;			/* 0x23 */
	c->gdt[5] = 0x00affb000000ffff;			/* 0x2b */
	c->gdt[6] = (sizeof(c->tss) - 1) | (tss & 0xffffff) << 16 |
		    0x89ull << 40 | (tss >> 24 & 0xff) << 56;
	c->gdt[7] = tss >> 32;
	asm volatile("lgdt %0" : : "m"(gdtr));
	asm volatile("lidt %0" : : "m"(idtr));
	asm volatile("ltr %w0" : : "r"(0x30));
	asm volatile("movw %w0, %%ds; movw %w0, %%es; movw %w0, %%ss"
		     : : "r"(16));
	asm volatile("movw %w0, %%fs; movw %w0, %%gs" : : "r"(0));
	wrmsr(MSR_GS_BASE, (u64)c);
	wrmsr(MSR_KERNEL_GS_BASE, (u64)c);
	write_cr0((read_cr0() | CR0_WP | CR0_MP | CR0_NE) &
		  ~(CR0_EM | CR0_TS | CR0_NW | CR0_CD | CR0_AM));
	cpuid(1, 0, r);
	write_cr4(CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT |
		  (r[2] & BIT(26) ? CR4_OSXSAVE : 0));
	if (r[2] & BIT(26)) {
		cpuid(0xd, 0, r);
		try_xsetbv(0, r[0] & 7);
	}
	asm volatile("fninit");
	/* Identity map of 64 GiB; the entry code made the first 4. */
	if (!c->index) {
		u64 i;

		for (i = 4 * 512; i < 64 * 512; i++)
			boot_pd[i] = i << 21 | 0x87;
		for (i = 4; i < 64; i++)
			boot_pdpt[i] = ((u64)boot_pd + i * 4096) | 7;
		write_cr3((u64)boot_pml4);
	}
}

u64 apic_read(u32 reg)
{
	if (x2apic)
		return rdmsr(MSR_X2APIC + reg / 16);
	return *(volatile u32 *)(0xfee00000ull + reg);
}

void apic_write(u32 reg, u64 val)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + reg / 16, val);
	else
		*(volatile u32 *)(0xfee00000ull + reg) = (u32)val;
}

static void apic_icr(u32 apic_id, u32 low)
{
	if (x2apic) {
		apic_write(APIC_ICR, (u64)apic_id << 32 | low);
		return;
	}
	apic_write(APIC_ICR_HI, apic_id << 24);
	apic_write(APIC_ICR, low);
	while (apic_read(APIC_ICR) & BIT(12))
		pause();
}

void apic_ipi(u32 cpu, u32 vector)
{
	apic_icr(cpus[cpu].apic_id, vector | BIT(14));
}

void apic_nmi(u32 cpu)
{
	apic_icr(cpus[cpu].apic_id, 4 << 8 | BIT(14));
}

void core_wake_up(u32 apic_id, u32 low_page)
{
	u64 start = rdtsc();

	apic_icr(apic_id, 5 << 8 | BIT(14));
	while (rdtsc() - start < us(10000))
		pause();
	apic_icr(apic_id, 6 << 8 | BIT(14) | low_page >> 12);
	start = rdtsc();
	while (rdtsc() - start < us(1000))
		pause();
	apic_icr(apic_id, 6 << 8 | BIT(14) | low_page >> 12);
}

void apic_setup(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);
	u32 r[4];

	cpuid(1, 0, r);
	if (r[2] & BIT(21) && option_number("x2apic", 0))
		wrmsr(MSR_APIC_BASE, base |= BASE_X2APIC | BASE_ENABLE);
	x2apic = base & BASE_X2APIC;
	apic_write(APIC_SVR, VEC_SPURIOUS | BIT(8));
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, LVT_MASKED);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_TDCR, 0xb);		/* divide by 1 */
	this_cpu()->apic_id = x2apic ? (u32)apic_read(APIC_ID) :
				       (u32)apic_read(APIC_ID) >> 24;
}

/* How fast the LAPIC timer counts, in TSC ticks: over some 10 ms. */
void timer_calibrate(void)
{
	u64 start, ticks, span = 20000000;

	apic_write(APIC_TMICT, 0xffffffff);
	start = rdtsc();
	while (rdtsc() - start < span)
		pause();
	ticks = 0xffffffff - apic_read(APIC_TMCCT);
	span = rdtsc() - start;
	apic_write(APIC_TMICT, 0);
	ticks_scale = (ticks << 32) / span;
	if (!ticks_scale)
		ticks_scale = 1;
}

static u32 timer_ticks(u64 delta)
{
	delta = MIN(delta, 1ull << 40);
	delta = (u64)(((unsigned __int128)delta * ticks_scale) >> 32) + 1;
	return (u32)MIN(delta, 0xffffffffull);
}

static void timer_start(u32 mode, u64 delta)
{
	apic_write(APIC_LVT_TIMER, mode | VEC_TIMER);
	apic_write(APIC_TMICT, timer_ticks(delta));
}

void timer_stop(void)
{
	apic_write(APIC_TMICT, 0);
}

void timer_once(u64 delta)
{
	timer_start(0, delta);
}

/*
 * It repeats until it is taken, see trap(): QEMU with a thread per core loses
 * an interrupt that arrives in the instant in which VMRUN finds V_IRQ set, for
 * it changes the core's pending set without a lock there.
 */
void timer_arm(u64 tsc)
{
	u64 now = rdtsc(), delta = tsc > now ? tsc - now : 0;

	if (tsc == ~0ull) {
		timer_stop();
		apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
		return;
	}
	timer_start(LVT_PERIODIC, MAX(delta, us(50)));
}

void nap(u64 ticks)
{
	timer_arm(rdtsc() + ticks);
	sti_hlt();
	timer_arm(~0ull);
	irq_window();
}

u64 us(u64 n)
{
	return n * (tsc_khz ? tsc_khz : 1000000) / 1000;
}

static bool acpi_sum_ok(const void *p, u32 len)
{
	const u8 *b = p;
	u8 sum = 0;

	while (len--)
		sum += *b++;
	return !sum;
}

const u8 *acpi_find(u64 root, const char *signature)
{
	const u8 *r = (const u8 *)root;
	const struct acpi_header *sdt, *h;
	u32 i, size, n;
	u64 addr = 0;

	if (!root || memcmp(r, "RSD PTR ", 8) || !acpi_sum_ok(r, 20))
		return NULL;
	size = r[15] >= 2 ? 8 : 4;
	memcpy(&addr, r + (size == 8 ? 24 : 16), size);
	sdt = (const struct acpi_header *)addr;
	if (!acpi_sum_ok(sdt, sdt->length))
		return NULL;
	n = (sdt->length - 36) / size;
	for (i = 0; i < n; i++) {
		addr = 0;
		memcpy(&addr, (const u8 *)sdt + 36 + i * size, size);
		h = (const struct acpi_header *)addr;
		if (!memcmp(h->signature, signature, 4) &&
		    acpi_sum_ok(h, h->length))
			return (const u8 *)h;
	}
	return NULL;
}

__noreturn void ap_main(void);
void ap_main(void)
{
	struct cpu *c = ap_starting;
	struct jump escape;

	cpu_init(c);
	apic_setup();
	ap_online++;
	for (;;) {
		while (!c->fn)
			sti_hlt();
		c->escape = &escape;
		if (!jump_set(&escape))
			c->fn(c->arg);
		else
			c->failed = 1;
		c->escape = NULL;
		timer_arm(~0ull);
		asm volatile("" : : : "memory");
		c->fn = NULL;
		apic_ipi(0, VEC_KICK);
	}
}

static bool ap_start(struct mailbox *box, u32 apic_id)
{
	struct cpu *c = &cpus[cpu_count];
	u32 seen = ap_online;
	u64 start;

	c->index = cpu_count;
	c->apic_id = apic_id;
	ap_starting = c;
	ap_stack = (u64)stacks[cpu_count] + STACK_SIZE;
	box->apic_id = apic_id;
	box->vector = (u64)ap_entry;
	asm volatile("mfence" : : : "memory");
	box->command = 1;
	start = rdtsc();
	while (ap_online == seen) {
		if (rdtsc() - start > 20000000000ull) {
			print("selftest: core with APIC id %u does not come\n",
			      apic_id);
			return false;
		}
		pause();
	}
	cpu_count++;
	return true;
}

void cpus_start(u64 root)
{
	const u8 *madt = acpi_find(root, "APIC"), *e, *end;
	struct mailbox *box = NULL;
	u32 ids[MAX_CPUS], n = 0, i, id, flags;

	if (!madt) {
		print("selftest: no MADT, one core\n");
		return;
	}
	end = madt + ((const struct acpi_header *)madt)->length;
	for (e = madt + 44; e + 2 <= end && e[1] >= 2; e += e[1]) {
		if (e[0] == 0) {
			id = e[3];
			memcpy(&flags, e + 4, 4);
		} else if (e[0] == 9) {
			memcpy(&id, e + 4, 4);
			memcpy(&flags, e + 8, 4);
		} else {
			if (e[0] == 0x10)
				box = (struct mailbox *)
				      ((const struct madt_wakeup *)e)->mailbox;
			continue;
		}
		if ((flags & 1) && id != cpus[0].apic_id && n < MAX_CPUS - 1)
			ids[n++] = id;
		/* All ones: an entry that the firmware does not use. */
		if (!(flags & 1) && id != 0xff && id != ~0u && other_core_count < MAX_CPUS)
			other_cores[other_core_count++] = id;
	}
	if (n && !box) {
		print("selftest: no wakeup mailbox, one core of %u\n", n + 1);
		return;
	}
	for (i = 0; i < n && ap_start(box, ids[i]); i++)
		;
}

void job_start(u32 cpu, job_fn fn, void *arg)
{
	struct cpu *c = &cpus[cpu];

	CHECK(!c->fn, "core %u is still busy", cpu);
	c->failed = 0;
	c->arg = arg;
	asm volatile("" : : : "memory");
	c->fn = fn;
	apic_ipi(cpu, VEC_KICK);
}

bool job_done(u32 cpu)
{
	return !cpus[cpu].fn;
}

void job_wait(u32 cpu)
{
	struct cpu *c = &cpus[cpu];
	u64 start = rdtsc();

	while (c->fn) {
		CHECK(rdtsc() - start < us(60000000),
		      "core %u does not finish its job", cpu);
		nap(us(10000));
	}
	if (c->failed) {
		c->failed = 0;
		fail("core %u: %s", cpu, c->why);
	}
}
