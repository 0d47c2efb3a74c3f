/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpu.c -- a core's descriptor tables and traps, and stopping the machine.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/insn.h"
#include "arch/x86/mce.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "boot/memory.h"
#include "core/log.h"
#include "core/vm.h"
#include "drivers/apic.h"

#define ERROR_IDT	BIT(1)	/* of an error code that names a gate */
#define IST_NMI		1
#define IST_FAULT	2		/* #DF, #PF: the stack may be gone */
#define IST_MC		3		/* may come in the middle of any other */
#define IDT_GATE	0x8e00ull	/* present, DPL 0, interrupt gate */
#define TRAPS		32

#define CPUID_EXT_PERFMON	0x80000022

struct gate {
	u64 lo, hi;
};

struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

struct extable {
	u64 fault, fixup;
};

extern const char trap_stubs[];
/* Between its last look at `request` and guest mode VMX can take an NMI. */
extern const char entry_window[], entry_window_end[], entry_abandon[];
extern const struct extable __extable_start[], __extable_end[];

struct cpu *cpus[MAX_CPUS] __ro_after_init;
u32 cpu_count __ro_after_init;
static struct gate idt[TRAPS] __ro_after_init;
static bool traps_ready;
static int panic_seconds __ro_after_init = -1;
static u16 reset_port __ro_after_init;
static u8 reset_value __ro_after_init;
bool stray_traps __ro_after_init;
static bool has_overflow_status __ro_after_init;

void trap_handle(struct trap_frame *f);

struct cpu *this_cpu(void)
{
	return traps_ready ? current_cpu() : NULL;
}

static void load_tables(struct cpu *c)
{
	struct {
		u16 limit;
		u64 base;
	} __packed gdtr = { sizeof(c->gdt) - 1, (u64)c->gdt },
	  idtr = { sizeof(idt) - 1, (u64)idt };
	u64 tss = (u64)&c->tss;

	c->gdt[1] = 0x00af9b000000ffff;		/* 64-bit code */
	c->gdt[2] = 0x00cf93000000ffff;		/* data */
	c->gdt[3] = (sizeof(c->tss) - 1) | field_get(BITS(23, 0), tss) << 16 |
		    0x89ull << 40 | field_get(BITS(31, 24), tss) << 56;
	c->gdt[4] = tss >> 32;
	c->tss.iomap = sizeof(c->tss);
	__asm__ volatile("lgdt %0\n\tlidt %1\n\t"
			 "mov %2, %%ds\n\tmov %2, %%es\n\tmov %2, %%ss\n\t"
			 "mov %3, %%fs\n\tmov %3, %%gs\n\t"
			 "pushq %4\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\tlretq\n1:\n\t"
			 "ltr %w5"
			 : : "m"(gdtr), "m"(idtr), "r"(SEL_DATA), "r"(0),
			     "i"(SEL_CODE), "r"(SEL_TSS) : "rax", "memory");
	wrmsr(MSR_GS_BASE, (u64)c);
}

static void idt_init(void)
{
	unsigned i;

	for (i = 0; i < TRAPS; i++) {
		u64 f = (u64)trap_stubs + 16 * i;
		u64 ist = i == EXC_NMI ? IST_NMI :
			  i == EXC_MC ? IST_MC :
			  i == EXC_DF || i == EXC_PF ? IST_FAULT : 0;

		idt[i].lo = (f & 0xffff) | SEL_CODE << 16 | ist << 32 | IDT_GATE << 32 |
			    (f >> 16 & 0xffff) << 48;
		idt[i].hi = f >> 32;
	}
}

struct cpu *cpu_alloc(u32 id, u32 apic_id)
{
	struct cpu *c = hpa_ptr(early_alloc(ALIGN_UP(sizeof(*c), PAGE_SIZE)));

	c->self = c;
	c->id = id;
	c->apic_id = apic_id;
	c->verw = SEL_DATA;
	c->args = hpa_ptr(early_alloc(PAGE_SIZE));
	c->vendor_page[0] = early_alloc(PAGE_SIZE);
	c->vendor_page[1] = early_alloc(PAGE_SIZE);
	c->stack_top = map_stack(STACK_SIZE);
	c->tss.ist[IST_NMI - 1] = (u64)map_stack(PAGE_SIZE);
	c->tss.ist[IST_FAULT - 1] = (u64)map_stack(PAGE_SIZE);
	c->tss.ist[IST_MC - 1] = (u64)map_stack(PAGE_SIZE);
	return c;
}

void cpu_init(struct cpu *c)
{
	u64 cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	struct cpuid f1 = cpuid(1, 0), f7 = cpuid(0, 0).eax >= 7 ? cpuid(7, 0) : (struct cpuid){};

	if (!c->id) {
		idt_init();
		has_overflow_status = cpuid(0x80000000, 0).eax >= CPUID_EXT_PERFMON &&
				      (cpuid(CPUID_EXT_PERFMON, 0).eax & BIT(0));
	}
	load_tables(c);
	if (f1.ecx & BIT(26))
		cr4 |= CR4_OSXSAVE;
	if (f7.ebx & BIT(7))
		cr4 |= CR4_SMEP;
	/* For RDPKRU: no page of the hypervisor's is a user's. */
	if (f7.ecx & BIT(3))
		cr4 |= CR4_PKE;
	write_cr4((read_cr4() & CR4_VMXE) | cr4);
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	traps_ready = true;
}

/* Where the hypervisor goes on after a guest, with no state of its own yet. */
extern const u8 exit_point[], exit_point_shadow[];

static bool fixup(struct trap_frame *f)
{
	const struct extable *e;

	for (e = __extable_start; e < __extable_end; e++)
		if (e->fault == f->rip) {
			f->rip = e->fixup;
			return true;
		}
	return false;
}

/*
 * A CPU keeps one NMI only, so one that Joist sent may also be the control VM's.
 * Its performance counters' can be told: on Intel a counter's interrupt masks the
 * LAPIC's entry for it, until the OS has dealt with it (SDM, "Local Vector Table");
 * newer CPUs of AMD's have a register that says which counters have overflowed
 * (APM, "Performance Monitoring Version 2").
 */
static bool counter_interrupts(void)
{
	u64 status;

	return apic_counter_masked() ||
	       (has_overflow_status && rdmsr_safe(MSR_PERF_GLOBAL_STATUS, &status) && status);
}

/*
 * An NMI that nobody here sent is the control VM's: whoever enters a guest next
 * on this core looks at nmi_pending.  With SVM NMIs come only where
 * svm_take_nmi() lets them in; with VMX they can come anywhere.
 */
static void take_nmi(struct cpu *c, struct trap_frame *f)
{
	/* Cleared before requests are looked at: who asks later sends another. */
	u32 due = __atomic_exchange_n(&c->nmi_due, 0, __ATOMIC_SEQ_CST);

	if (__atomic_load_n(&c->request, __ATOMIC_RELAXED) & REQ_STOP)
		cpu_halt();
	if (c->control && c->control->activity == JOIST_VCPU_IDLE &&
	    (!due || counter_interrupts())) {
		c->control->nmi_pending = true;
		__atomic_fetch_or(&c->request, REQ_NMI, __ATOMIC_SEQ_CST);
	}
	if (f->rip - (u64)entry_window < (u64)(entry_window_end - entry_window))
		f->rip = (u64)entry_abandon;
}

/*
 * Only in emulators: what belongs to the guest that was left, and hits the
 * hypervisor before its own GS is back: a single step or breakpoint (APM, "#VMEXIT", clears them;
 * Bochs 2.7 does not), and with QEMU 7.2, rarely, an interrupt that was injected
 * at the entry, once more.  The IDT has no gate for it, which is what a #GP
 * with the error code's IDT bit says; with interrupts off none can be meant for
 * the hypervisor.  And nothing faults at the instruction #VMEXIT goes on at.
 */
static bool is_stray(const struct trap_frame *f)
{
	if (!stray_traps || f->vector == EXC_MC)
		return false;
	if (f->vector == EXC_DB || (f->vector == EXC_GP && (f->error & ERROR_IDT)))
		return true;
	return f->vector != EXC_NMI &&
	       (f->rip == (u64)exit_point || f->rip == (u64)exit_point_shadow);
}

/* Behind #VMEXIT GS is the guest's for some instructions; the stack is not. */
static struct cpu *core_of_stack(u64 at)
{
	u32 i, k;

	for (i = 0; i < cpu_count; i++) {
		struct cpu *c = cpus[i];

		if (!c)
			continue;
		if ((u64)c->stack_top - at <= STACK_SIZE)
			return c;
		for (k = IST_NMI; k <= IST_MC; k++)
			if (c->tss.ist[k - 1] - at <= PAGE_SIZE)
				return c;
	}
	return current_cpu();
}

void trap_handle(struct trap_frame *f)
{
	struct cpu *c;

	if (is_stray(f))
		return;
	if (f->vector == EXC_NMI) {
		take_nmi(current_cpu(), f);
		return;
	}
	if (f->vector == EXC_SX)
		return;
	if (f->vector == EXC_GP && fixup(f))
		return;
	c = core_of_stack((u64)f);
	/* With GIF clear none comes (APM, "Effect of the GIF on Interrupt
	 * Handling"), so GS is ours. */
	if (f->vector == EXC_MC) {
		mce_in_hypervisor(c, f->rip);
		return;
	}
	wrmsr(MSR_GS_BASE, (u64)c);
	panic("core %u: exception %lu, error %lx, rip %lx, rsp %lx, cr2 %lx\n"
	      "rax %lx rbx %lx rcx %lx rdx %lx rsi %lx rdi %lx rbp %lx r8 %lx r9 %lx r12 %lx",
	      c->id, f->vector, f->error, f->rip, f->rsp, read_cr2(),
	      f->rax, f->rbx, f->rcx, f->rdx, f->rsi, f->rdi, f->rbp, f->r8, f->r9, f->r12);
}

/* What SVM's GIF holds back may come in, or not any more. */
static void let_in(bool on)
{
	if (backend && backend->let_in)
		backend->let_in(on);
}

bool mwait_works __ro_after_init;

void cpu_watch(const volatile void *line)
{
	if (!mwait_works)
		return;
	/* Some CPUs want the line out of the caches first. */
	__asm__ volatile("clflush (%0)\n\tmonitor" : : "a"(line), "c"(0), "d"(0) : "memory");
}

void cpu_rest(void)
{
	let_in(true);
	if (mwait_works)
		__asm__ volatile("mwait" : : "a"(0), "c"(0) : "memory");
	else
		pause();
	let_in(false);
}

void cpu_halt(void)
{
	let_in(true);
	for (;;)
		hlt();
}

void panic_action_set(int seconds)
{
	panic_seconds = seconds;
}

void reset_register_set(u16 port, u8 value)
{
	reset_port = port;
	reset_value = value;
}

void reset_machine(void)
{
	static const struct gate none[1];
	struct {
		u16 limit;
		u64 base;
	} __packed idtr = { 0, (u64)none };

	let_in(true);			/* it may take an SMI */
	if (reset_port)
		outb(reset_port, reset_value);
	udelay(100000);
	outb(0x64, 0xfe);		/* keyboard controller: pulse RESET# */
	udelay(100000);
	outb(0xcf9, 0x06);		/* PCI reset control: full reset */
	udelay(100000);
	__asm__ volatile("lidt %0\n\tud2" : : "m"(idtr));
	cpu_halt();
}

void cpu_stop_machine(void)
{
	int i;

	if (panic_seconds >= 0) {
		for (i = 0; i < panic_seconds; i++)
			udelay(1000000);
		reset_machine();
	}
	cpu_halt();
}
