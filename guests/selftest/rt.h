/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rt.h -- the self-test's runtime: output, traps, cores, ACPI, timer.
 *
 * Interrupts are off except in the windows that irq_window() and wait_tsc()
 * open.  Only core 0 prints; what goes wrong on another core is kept there
 * and reported when the job is collected.
 */
#ifndef SELFTEST_RT_H
#define SELFTEST_RT_H

#include "core/types.h"
#include "guests/selftest/insn.h"

#define MAX_CPUS	256
#define VEC_TIMER	0x40
#define VEC_KICK	0x41
#define VEC_TEST	0x42	/* ... 0x4f: for cases */
#define VEC_USER	0x80	/* INT 0x80, from CPL 3 */
#define VEC_SPURIOUS	0xff

struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

struct jump {
	u64 reg[8];
};

typedef void (*job_fn)(void *arg);

struct cpu {
	struct cpu *self;		/* GS:0 */
	u32 index;
	u32 apic_id;
	u64 gdt[8];
	u8 tss[104];
	volatile u32 irqs[256];		/* interrupts and NMIs taken */
	u32 trap_vector;		/* of the last fault TRY() caught */
	u64 trap_error, trap_cr2;
	struct jump *escape;		/* where fail() goes */
	/* A job for this core: fn is set last, cleared when it has run. */
	job_fn volatile fn;
	void *arg;
	volatile u32 failed;
	char why[200];
	u8 *stack_top;
	u8 *block;			/* one page, for hypercall blocks */
};

extern struct cpu cpus[MAX_CPUS];
extern u32 cpu_count;			/* cores that run */
extern u64 tsc_khz;			/* as Joist reports it, or measured */
extern u8 image_end[];

static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	asm volatile("movq %%gs:0, %0" : "=r"(c));
	return c;
}

/* Strings. */
void *memcpy(void *d, const void *s, size_t n);
void *memset(void *d, int v, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
bool glob(const char *pattern, const char *s);
/* Value of `key=` on the command line, or NULL; ends at a space or NUL. */
const char *option(const char *key);
bool option_word(char *buf, size_t size, const char *key);
u64 option_number(const char *key, u64 otherwise);

/* Output. */
void uart_init(void);
void print(const char *fmt, ...) __printf(1, 2);
int format(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
__noreturn void finish(u32 failed);

/* A case (or a job on another core) ends here with a reason. */
__noreturn void fail(const char *fmt, ...) __printf(1, 2);
__noreturn void skip(const char *fmt, ...) __printf(1, 2);
#define JUMP_FAIL	1
#define JUMP_SKIP	2
int jump_set(struct jump *j) __attribute__((returns_twice));
__noreturn void jump_to(struct jump *j, int val);
extern char case_why[200];

#define STR2(x)		#x
#define STR(x)		STR2(x)
#define CHECK(cond, fmt, ...) do {					\
	if (unlikely(!(cond)))						\
		fail(__FILE_NAME__ ":" STR(__LINE__) ": " fmt,		\
		     ##__VA_ARGS__);					\
} while (0)
#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif
/* Two 64-bit values that must be equal. */
#define CHECK_EQ(got, want, what) do {					\
	u64 got_ = (u64)(got), want_ = (u64)(want);			\
	CHECK(got_ == want_, "%s: got 0x%lx, want 0x%lx", what,		\
	      got_, want_);						\
} while (0)

/* Cores. */
void cpu_init(struct cpu *c);
void cpus_start(u64 root);
/* An ACPI table whose checksum is right, or NULL. */
const u8 *acpi_find(u64 root, const char *signature);
extern u64 rsdp;
void job_start(u32 cpu, job_fn fn, void *arg);
/* Collect it; a failure over there is a failure here. */
void job_wait(u32 cpu);
bool job_done(u32 cpu);

/* Cores in the firmware's table that are not for the control VM: APIC ids. */
extern u32 other_cores[MAX_CPUS];
extern u32 other_core_count;
/* INIT and two SIPIs to a core, as if no hypervisor were there. */
void core_wake_up(u32 apic_id, u32 low_page);

/* Local APIC and time. */
extern bool x2apic;
u64 apic_read(u32 reg);			/* xAPIC offset */
void apic_write(u32 reg, u64 val);
void apic_ipi(u32 cpu, u32 vector);
void apic_nmi(u32 cpu);
void apic_setup(void);
void timer_calibrate(void);
/* A physical interrupt (VEC_TIMER) at this TSC value, again and again until it
 * is taken; JOIST_NO_DEADLINE: none. */
void timer_arm(u64 tsc);
void timer_once(u64 delta);		/* one, this many TSC ticks from now */
void timer_stop(void);
/* HLT until an interrupt comes, at most this long.  An emulator has more cores
 * to run than the machine it runs on: nobody should spin for long. */
void nap(u64 ticks);
u64 us(u64 n);				/* microseconds in TSC ticks */

/* The identity map; entries from 64 GiB on are free. */
extern u64 boot_pdpt[];

/* Memory map the loader gave. */
struct range {
	u64 start, size;
	u32 type;			/* E820: 1 is RAM */
};
extern struct range memmap[128];
extern u32 memmap_count;
bool memmap_is_ram(u64 addr);

u32 random32(void);
u64 random64(void);
void random_seed(u64 seed);

u64 user_hypercall(u32 nr, u64 block, u32 vmmcall);
/* Whether this CPU faults on CR0.NW without CD, and so checks CR0 at all. */
bool cr0_checked(void);
/* Whether INTO, which 64-bit mode does not have, is refused in it. */
bool into_refused(void);

#endif
