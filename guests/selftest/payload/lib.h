/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib.h -- runtime of the 64-bit payloads.
 *
 * A payload runs with interrupts off until it opens them.  irqs[] counts what
 * arrived; EOI is sent for every interrupt unless no_eoi says otherwise.
 */
#ifndef SELFTEST_PAYLOAD_LIB_H
#define SELFTEST_PAYLOAD_LIB_H

#include "guests/selftest/insn.h"
#include "guests/selftest/payload/payload.h"

struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

struct gcpu {
	struct gcpu *self;		/* GS:0 */
	u32 index;
	u32 trap_vector;
	u64 trap_error, trap_cr2, trap_rip;
	u64 gdt[8];
	u8 tss[104];
	volatile u32 irqs[256];
	volatile u32 order_len;
	volatile u8 order[64];		/* vectors as they came */
};

extern struct gcpu gcpus[GUEST_VCPUS];
extern volatile bool no_eoi[256];
/* Called first for every interrupt and trap; true: it is dealt with. */
extern bool (*volatile trap_hook)(struct frame *f);

/* What vCPUs started by SIPI do; they never end the payload themselves. */
extern void (*volatile ap_fn)(void);

#define SHARE	((struct gshare *)GUEST_SHARE)

static inline struct gcpu *self(void)
{
	struct gcpu *c;

	asm volatile("movq %%gs:0, %0" : "=r"(c));
	return c;
}

void *memcpy(void *d, const void *s, size_t n);
void *memset(void *d, int v, size_t n);
int memcmp(const void *a, const void *b, size_t n);

__noreturn void done(void);
/* Ends the payload with text and two numbers. */
__noreturn void failed(const char *what, u64 got, u64 want);
static inline void sync(u32 val)
{
	outl(SYNC_PORT, val);
}
int user_run(const void *code);

#define STR2(x)		#x
#define STR(x)		STR2(x)
#define CHECK(cond, what) do {						\
	if (unlikely(!(cond)))						\
		failed(STR(__LINE__) ": " what, 0, 0);			\
} while (0)
#define CHECK_EQ(got, want, what) do {					\
	u64 got_ = (u64)(got), want_ = (u64)(want);			\
	if (unlikely(got_ != want_))					\
		failed(STR(__LINE__) ": " what, got_, want_);		\
} while (0)

/* Local APIC, in the mode it is in. */
u64 apic_read(u32 reg);
void apic_write(u32 reg, u64 val);
void apic_on(bool x2);
void apic_ipi_low(u32 dest, u32 low);
bool apic_x2(void);

#define PAYLOAD(name)	void pl_##name(void); void pl_##name(void)

#endif
