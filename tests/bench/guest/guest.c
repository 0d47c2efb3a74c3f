/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest.c -- the guest that measures what leaving it costs.
 *
 * Each event stands between two readings of the TSC; the median of many is
 * printed, less what an empty bracket takes.  Where one TSC tick is one
 * instruction the figures are instructions, the event's own one included.
 * It knows nothing of the hypervisor under it but the hypercall instruction
 * of the CPU's vendor, so that the same file runs under any.
 *
 * Command line: `trace` repeats each event for long, announced by a line
 * "@ event", so that a tracer outside can look at it; `mark` repeats it a few
 * times between two instructions that stop Bochs' debugger.
 */
#include "guests/selftest/insn.h"

#define COM1		0x3f8
#define COM1_LSR	(COM1 + 5)
#define LSR_EMPTY	BIT(5)
#define EXIT_PORT	0xf4		/* as QEMU's isa-debug-exit */
#define POST_PORT	0x80
#define DEVICE_GPA	0xd0000000ul	/* no memory, no device */
#define FRESH_GPA	(24 * MiB)	/* memory that nobody has touched */

#define APIC_BASE_X2	BIT(10)
#define X2_SVR		0x80f
#define X2_LVT_TIMER	0x832
#define X2_TMICT	0x838
#define X2_TMCCT	0x839
#define X2_TDCR		0x83e
#define X2_SELF_IPI	0x83f
#define SVR_ENABLE	BIT(8)
#define TDCR_BY_1	0xb

#define VEC_TIMER	0x40
#define VEC_IPI		0x41
#define VEC_SPURIOUS	0xff

#define SAMPLES		101
#define TRACE_SAMPLES	40000
#define MARK_SAMPLES	9
#define SLEEP_TICKS	1000000

/* The start of PVH's struct hvm_start_info. */
struct start_info {
	u32 magic, version, flags, modules;
	u64 modlist, cmdline, rsdp;
};

struct gate {
	u16 low, cs, attr, mid;
	u32 high, reserved;
};

void guest_main(const struct start_info *si);
void broken(u64 vector, u64 error, u64 rip);
void isr_measured(void);
extern const u64 isr_table[32];
extern volatile u64 irq_tsc;

static struct gate idt[256];
static u64 samples[SAMPLES];
static bool by_vmcall;
static u64 apic_num, apic_den;	/* APIC timer ticks in so many TSC ticks */

static inline u64 tsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (u64)hi << 32 | lo;
}

static void put(char c)
{
	while (!(inb(COM1_LSR) & LSR_EMPTY))
		pause();
	outb(COM1, (u8)c);
}

static void print(const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			put('\r');
		put(*s);
	}
}

static void print_number(u64 n)
{
	char buf[21], *p = buf + sizeof(buf);

	*--p = 0;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	print(p);
}

void broken(u64 vector, u64 error, u64 rip)
{
	print("bench-broken: exception ");
	print_number(vector);
	print(", error code ");
	print_number(error);
	print(", at ");
	print_number(rip);
	print("\n");
	outb(EXIT_PORT, 1);
	for (;;)
		asm volatile("hlt");
}

/* The events.  Each gives the ticks between its brackets. */

static u64 event_empty(void)
{
	u64 t = tsc();

	return tsc() - t;
}

static u64 event_cpuid(void)
{
	u32 a = 0, c = 0, b, d;
	u64 t = tsc();

	asm volatile("cpuid" : "+a"(a), "+c"(c), "=b"(b), "=d"(d) : : "memory");
	return tsc() - t;
}

static u64 event_hypercall(void)
{
	u64 nr = ~0u, t = tsc();

	if (by_vmcall)
		asm volatile("vmcall" : "+a"(nr) : : "memory");
	else
		asm volatile("vmmcall" : "+a"(nr) : : "memory");
	return tsc() - t;
}

static u64 event_port(void)
{
	u64 t = tsc();

	asm volatile("outb %0, %1" : : "a"((u8)1), "i"(POST_PORT) : "memory");
	return tsc() - t;
}

static u64 event_mmio(void)
{
	u64 t, p = DEVICE_GPA;

	asm volatile("" : "+r"(p));
	t = tsc();
	asm volatile("movl $1, (%0)" : : "r"(p) : "memory");
	return tsc() - t;
}

static u64 event_touch(void)
{
	static u64 fresh = FRESH_GPA;
	u64 t, p = fresh += PAGE_SIZE;

	/* The address must be in a register by now. */
	asm volatile("" : "+r"(p));
	t = tsc();
	asm volatile("movb $1, (%0)" : : "r"(p) : "memory");
	return tsc() - t;
}

/* Sent with interrupts off, taken out of HLT. */
static u64 event_ipi(void)
{
	u64 t;

	irq_tsc = 0;
	t = tsc();
	wrmsr(X2_SELF_IPI, VEC_IPI);
	while (!irq_tsc)
		sti_hlt();
	return irq_tsc - t;
}

/* Sent with interrupts on: where the CPU delivers it, nobody leaves the guest. */
static u64 event_self(void)
{
	u64 t;

	irq_tsc = 0;
	asm volatile("sti; nop");
	t = tsc();
	wrmsr(X2_SELF_IPI, VEC_IPI);
	while (!irq_tsc)
		pause();
	asm volatile("cli");
	return irq_tsc - t;
}

/* Due at once: all that a timer costs but Linux's sleep. */
static u64 event_timer(void)
{
	u64 t;

	irq_tsc = 0;
	t = tsc();
	wrmsr(X2_LVT_TIMER, VEC_TIMER);
	wrmsr(X2_TMICT, 1);
	while (!irq_tsc)
		sti_hlt();
	return irq_tsc - t;
}

/* Due in a while: how much later than that the handler is reached. */
static u64 event_sleep(void)
{
	u64 t, count = SLEEP_TICKS * apic_num / apic_den;

	irq_tsc = 0;
	t = tsc();
	wrmsr(X2_TMICT, count);
	while (!irq_tsc)
		sti_hlt();
	return irq_tsc - t - SLEEP_TICKS;
}

static const struct {
	const char *name;
	u64 (*run)(void);
	u32 slow;		/* divides the number of repetitions */
} events[] = {
	{ "cpuid", event_cpuid, 1 },
	{ "hypercall", event_hypercall, 1 },
	{ "port", event_port, 1 },
	{ "mmio", event_mmio, 1 },
	{ "timer", event_timer, 1 },
	{ "sleep", event_sleep, 5 },
	{ "ipi", event_ipi, 1 },
	/* What may stay in the guest is not for tracing. */
	{ "touch", event_touch, 0 },
	{ "self", event_self, 0 },
};

static u64 median(u64 *s, u32 n)
{
	u32 i, j;

	for (i = 1; i < n; i++) {
		u64 v = s[i];

		for (j = i; j && s[j - 1] > v; j--)
			s[j] = s[j - 1];
		s[j] = v;
	}
	return s[n / 2];
}

static void measure(u32 i, u64 empty)
{
	u32 n = SAMPLES / MAX(events[i].slow, 1u), k;
	u64 m;

	events[i].run();
	for (k = 0; k < n; k++)
		samples[k] = events[i].run();
	m = median(samples, n);
	print("bench: ");
	print(events[i].name);
	print(" ");
	print_number(m - MIN(empty, m));
	print(" ");
	print_number(samples[0] - MIN(empty, samples[0]));
	print(" ");
	print_number(samples[n - 1] - MIN(empty, samples[n - 1]));
	print("\n");
}

static void trace(u32 i)
{
	u32 n, k;

	if (!events[i].slow)
		return;
	n = TRACE_SAMPLES / events[i].slow / events[i].slow;
	print("@ ");
	print(events[i].name);
	print("\n");
	for (k = 0; k < n; k++)
		events[i].run();
}

static void mark(u32 i)
{
	u32 k;

	for (k = 0; k < MARK_SAMPLES; k++)
		events[i].run();
	asm volatile("xchgw %bx, %bx");
	for (k = 0; k < MARK_SAMPLES; k++)
		events[i].run();
	asm volatile("xchgw %bx, %bx");
}

static void gate_set(u32 vector, u64 to)
{
	idt[vector] = (struct gate){
		.low = (u16)to, .cs = 8, .attr = 0x8e00, .mid = (u16)(to >> 16),
		.high = (u32)(to >> 32),
	};
}

static void setup(void)
{
	struct __packed { u16 limit; u64 base; } idtr = {
		sizeof(idt) - 1, (u64)idt,
	};
	u32 i, r[4];
	u64 t, c;

	for (i = 0; i < 32; i++)
		gate_set(i, isr_table[i]);
	gate_set(VEC_TIMER, (u64)isr_measured);
	gate_set(VEC_IPI, (u64)isr_measured);
	gate_set(VEC_SPURIOUS, (u64)isr_measured);
	asm volatile("lidt %0" : : "m"(idtr));

	cpuid(0, 0, r);
	by_vmcall = r[1] == 0x756e6547;		/* "Genu" */

	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	wrmsr(X2_SVR, SVR_ENABLE | VEC_SPURIOUS);
	wrmsr(X2_TDCR, TDCR_BY_1);
	wrmsr(X2_LVT_TIMER, VEC_TIMER | BIT(16));
	wrmsr(X2_TMICT, 0xffffffff);
	c = rdmsr(X2_TMCCT);
	t = tsc();
	while (tsc() - t < 10 * SLEEP_TICKS)
		pause();
	apic_num = c - rdmsr(X2_TMCCT);
	apic_den = tsc() - t;
	wrmsr(X2_TMICT, 0);
	wrmsr(X2_LVT_TIMER, VEC_TIMER);
}

static bool asked_to(const struct start_info *si, const char *word)
{
	const char *s = (const char *)si->cmdline;
	u32 n;

	for (; s && *s; s++) {
		for (n = 0; word[n] && s[n] == word[n]; n++)
			;
		if (!word[n])
			return true;
	}
	return false;
}

void guest_main(const struct start_info *si)
{
	bool tracing = asked_to(si, "trace"), marking = asked_to(si, "mark");
	u64 empty;
	u32 i;

	setup();
	for (i = 0; i < SAMPLES; i++)
		samples[i] = event_empty();
	empty = median(samples, SAMPLES);
	for (i = 0; i < ARRAY_SIZE(events); i++)
		if (tracing)
			trace(i);
		else if (marking)
			mark(i);
		else
			measure(i, empty);
	print("bench: done 0 0 0\n");
	outb(EXIT_PORT, 0);
}
