/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib.c -- runtime of the 64-bit payloads: tables, traps, results.
 */
#include "guests/selftest/payload/lib.h"

#define BASE_ENABLE	BIT(11)
#define BASE_X2APIC	BIT(10)

struct gate {
	u16 offset0, selector, attr, offset1;
	u32 offset2, reserved;
};

struct table_reg {
	u16 limit;
	u64 base;
} __packed;

struct gcpu gcpus[GUEST_VCPUS];
volatile bool no_eoi[256];
bool (*volatile trap_hook)(struct frame *f);
void (*volatile ap_fn)(void);
static struct gate idt[256];
static u8 trap_stacks[GUEST_VCPUS][2048] __aligned(16);

extern const u64 isr_table[256], extable_start[], extable_end[];
extern const u8 user_back[];

#define P(name)	void pl_##name(void);
PAYLOADS(P)
#undef P

static void (*const payloads[PL_COUNT])(void) = {
#define P(name)	[PL_##name] = pl_##name,
	PAYLOADS(P)
#undef P
};

void *memcpy(void *d, const void *s, size_t n)
{
	void *ret = d;

	asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	return ret;
}

void *memset(void *d, int v, size_t n)
{
	void *ret = d;

	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(v) : "memory");
	return ret;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void done(void)
{
	SHARE->status = 1;
	outb(DONE_PORT, 0);
	for (;;)
		asm volatile("cli; hlt");
}

static char *put_hex(char *p, u64 val)
{
	int shift = 60;

	while (shift && !(val >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*p++ = "0123456789abcdef"[val >> shift & 15];
	return p;
}

void failed(const char *what, u64 got, u64 want)
{
	char *p = SHARE->why;
	size_t n = 0;

	while (what[n] && n < sizeof(SHARE->why) - 50)
		n++;
	memcpy(p, what, n);
	p += n;
	memcpy(p, " (0x", 4);
	p = put_hex(p + 4, got);
	memcpy(p, ", 0x", 4);
	p = put_hex(p + 4, want);
	*p++ = ')';
	*p = 0;
	SHARE->status = 2;
	outb(DONE_PORT, 1);
	for (;;)
		asm volatile("cli; hlt");
}

void trap(struct frame *f);
void trap(struct frame *f)
{
	struct gcpu *c = self();
	const u64 *e;

	if (trap_hook && trap_hook(f))
		return;
	if (f->vector >= 32 || f->vector == X_NMI) {
		if (f->cs & 3)
			goto user;
		c->irqs[f->vector]++;
		if (c->order_len < sizeof(c->order))
			c->order[c->order_len++] = (u8)f->vector;
		if (f->vector != X_NMI && !no_eoi[f->vector])
			apic_write(0xb0, 0);
		return;
	}
	if (f->cs & 3) {
user:
		if (f->vector != 0x80)
			f->rax = FAULT(f->vector);
		f->rip = (u64)user_back;
		f->cs = 8;
		f->ss = 16;
		return;
	}
	for (e = extable_start; e < extable_end; e += 2) {
		if (f->rip < e[0] || f->rip >= e[1])
			continue;
		c->trap_vector = (u32)f->vector;
		c->trap_error = f->error;
		c->trap_cr2 = read_cr2();
		c->trap_rip = f->rip;
		f->r11 = FAULT(f->vector);
		f->rip = e[1];
		return;
	}
	SHARE->val[60] = f->rip;
	SHARE->val[61] = f->error;
	SHARE->val[62] = read_cr2();
	failed("trap with vector, rip", f->vector, f->rip);
}

static void cpu_setup(u32 index)
{
	struct gcpu *c = &gcpus[index];
	struct table_reg gdtr = { sizeof(c->gdt) - 1, (u64)c->gdt };
	struct table_reg idtr = { sizeof(idt) - 1, (u64)idt };
	u64 tss = (u64)c->tss, top;
	u32 i;

	for (i = 0; !index && i < 256; i++) {
		idt[i] = (struct gate){
			.offset0 = (u16)isr_table[i],
			.offset1 = (u16)(isr_table[i] >> 16),
			.selector = 8, .attr = 0x8e00,
		};
	}
	idt[0x80].attr = 0xee00;
	c->self = c;
	c->index = index;
	top = (u64)trap_stacks[index] + sizeof(trap_stacks[index]);
	memcpy(c->tss + 4, &top, 8);
	c->tss[102] = sizeof(c->tss);
	c->gdt[1] = 0x00af9b000000ffff;
	c->gdt[2] = 0x00cf93000000ffff;
	c->gdt[4] = 0x00cff3000000ffff;
	c->gdt[5] = 0x00affb000000ffff;
	c->gdt[6] = (sizeof(c->tss) - 1) | (tss & 0xffffff) << 16 |
		    0x89ull << 40 | (tss >> 24 & 0xff) << 56;
	asm volatile("lgdt %0" : : "m"(gdtr));
	asm volatile("lidt %0" : : "m"(idtr));
	asm volatile("ltr %w0" : : "r"(0x30));
	asm volatile("movw %w0, %%fs; movw %w0, %%gs" : : "r"(0));
	wrmsr(MSR_GS_BASE, (u64)c);
	wrmsr(MSR_KERNEL_GS_BASE, (u64)c);
}

void payload_main(u32 which, u32 index);
void payload_main(u32 which, u32 index)
{
	cpu_setup(index);
	if (which == ~0u) {
		if (ap_fn)
			ap_fn();
		for (;;)
			asm volatile("cli; hlt");
	}
	if (which < PL_COUNT)
		payloads[which]();
	else
		failed("no such payload", which, PL_COUNT);
	done();
}

bool apic_x2(void)
{
	return rdmsr(MSR_APIC_BASE) & BASE_X2APIC;
}

u64 apic_read(u32 reg)
{
	if (apic_x2())
		return rdmsr(MSR_X2APIC + reg / 16);
	return *(volatile u32 *)(0xfee00000ull + reg);
}

void apic_write(u32 reg, u64 val)
{
	if (apic_x2())
		wrmsr(MSR_X2APIC + reg / 16, val);
	else
		*(volatile u32 *)(0xfee00000ull + reg) = (u32)val;
}

/* Software-enabled, everything accepted, LINT pins masked. */
void apic_on(bool x2)
{
	if (x2)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_ENABLE |
		      BASE_X2APIC);
	apic_write(0xf0, 0x1ff);
	apic_write(0x80, 0);
}

void apic_ipi_low(u32 dest, u32 low)
{
	if (apic_x2()) {
		wrmsr(MSR_X2APIC + 0x30, (u64)dest << 32 | low);
		return;
	}
	apic_write(0x310, dest << 24);
	apic_write(0x300, low);
}
