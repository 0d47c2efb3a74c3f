/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regs.c -- READREGS, WRITEREGS and the XSAVE area: what is written comes
 * back, what no CPU can be in is refused whole, nothing leaks from one world
 * into another.
 */
#include "guests/selftest/cases/case.h"

static struct vm vm, other;

static u64 canonical(u64 v)
{
	return (u64)((s64)(v << 16) >> 16);
}

/* The first byte that differs, for the message. */
static u32 difference(const struct joist_regs *a, const struct joist_regs *b)
{
	const u8 *x = (const u8 *)a, *y = (const u8 *)b;
	u32 i;

	for (i = 0; i < sizeof(*a); i++)
		if (x[i] != y[i])
			return i & ~7u;
	return i;
}

static void same(const struct joist_regs *a, const struct joist_regs *b,
		 const char *when)
{
	struct joist_regs x = *a, y = *b;
	u32 at;

	x.tsc = y.tsc = 0;
	at = difference(&x, &y);
	if (at < sizeof(x))
		fail("%s: byte %u of the registers was 0x%lx, is 0x%lx", when,
		     at, *(u64 *)((u8 *)&x + at), *(u64 *)((u8 *)&y + at));
}

/* A state a CPU can be in, with as much noise as that allows. */
static void legal_noise(struct joist_regs *r)
{
	u32 i;

	for (i = 0; i < 16; i++)
		r->gpr[i] = random64();
	regs_long(r, canonical(random64()));
	r->rflags = 2 | (random64() & 0x210cd5);
	r->seg[JOIST_FS].base = canonical(random64());
	r->seg[JOIST_GS].base = canonical(random64());
	r->seg[JOIST_TR].base = canonical(random64());
	for (i = JOIST_ES; i <= JOIST_GS; i++)
		r->seg[i].selector = (u16)(random32() & 0xfff8);
	r->seg[JOIST_DS].limit = random32() | 0xfff;
	r->gdtr.base = canonical(random64());
	r->gdtr.limit = random32() & 0xffff;
	r->idtr.base = canonical(random64());
	r->idtr.limit = random32() & 0xffff;
	r->cr0 |= random64() & (CR0_TS | CR0_MP | CR0_WP | CR0_AM | CR0_NE);
	r->cr2 = random64();
	r->cr3 = random64() & 0x7ffffff000;
	r->cr4 |= random64() & (CR4_PGE | CR4_DE | CR4_TSD | CR4_PSE);
	r->cr8 = random32() & 15;
	r->xcr0 = has_xsave() && (random32() & 1) ? 3 : 1;
	for (i = 0; i < 4; i++)
		r->dr[i] = canonical(random64());
	r->dr6 = 0xffff0ff0 | (random32() & 0xe00f);
	r->dr7 = 0x400 | (random32() & 0xff);
	r->msr[JOIST_MSR_EFER] = EFER_LME | EFER_LMA |
		(random64() & EFER_SCE);
	r->msr[JOIST_MSR_STAR] = random64();
	r->msr[JOIST_MSR_LSTAR] = canonical(random64());
	r->msr[JOIST_MSR_CSTAR] = canonical(random64());
	r->msr[JOIST_MSR_SFMASK] = random32();
	r->msr[JOIST_MSR_KERNEL_GS_BASE] = canonical(random64());
	r->msr[JOIST_MSR_SYSENTER_CS] = random32() & 0xffff;
	r->msr[JOIST_MSR_SYSENTER_ESP] = canonical(random64());
	r->msr[JOIST_MSR_SYSENTER_EIP] = canonical(random64());
	r->msr[JOIST_MSR_PAT] = 0x0706050400010406;
	r->msr[JOIST_MSR_TSC_AUX] = random32();
	r->interruptibility = random32() & 3 ?
		0 : JOIST_NMI_BLOCKED | JOIST_NMI_PENDING;
	r->event = 0;
	r->event_error = 0;
}

static void regs_round_trip(void)
{
	struct joist_regs r, back, start;
	u32 i, g;

	vm_new(&vm, "round-trip", 2, GUEST_RAM);
	regs_read(&vm, 1, JOIST_REGS_ALL, &start);
	for (i = 0; i < 200; i++) {
		regs_read(&vm, 0, JOIST_REGS_ALL, &r);
		legal_noise(&r);
		regs_write(&vm, 0, JOIST_REGS_ALL, &r);
		regs_read(&vm, 0, JOIST_REGS_ALL, &back);
		same(&r, &back, "WRITEREGS, READREGS");
		CHECK(back.tsc - r.tsc < us(2000000), "the TSC was set to "
		      "0x%lx, is 0x%lx", r.tsc, back.tsc);
	}
	/* One group leaves the others alone. */
	for (g = JOIST_REGS_GPR; g <= JOIST_REGS_EVENT; g <<= 1) {
		if (g == JOIST_REGS_MSR || g == JOIST_REGS_CR)
			continue;	/* EFER and CR0 belong together */
		regs_read(&vm, 0, JOIST_REGS_ALL, &r);
		legal_noise(&r);
		regs_write(&vm, 0, g, &r);
		back = (struct joist_regs){ 0 };
		regs_read(&vm, 0, g, &back);
		regs_write(&vm, 0, JOIST_REGS_ALL, &r);
		regs_read(&vm, 0, JOIST_REGS_ALL, &back);
		same(&r, &back, "after single groups");
	}
	regs_read(&vm, 1, JOIST_REGS_ALL, &back);
	same(&start, &back, "the other vCPU");
}

/* What is asked for comes, the rest of the block stays as it was. */
static void regs_masks(void)
{
	struct joist_regs_args a;
	static const u32 bad[] = {
		0x40, 0x80, 0x100, 0x80000000, 0xffffffff, 0x41, 0x7f,
	};
	u32 i;
	s64 ret;

	vm_new(&vm, "masks", 1, GUEST_RAM);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		a = (struct joist_regs_args){
			.head = { vm.id, 0 }, .mask = bad[i],
		};
		HC_WANT(HC_READREGS, &a, -EINVAL);
		HC_WANT(HC_WRITEREGS, &a, -EINVAL);
		HC_WANT(HC_RESETCPU, &a, -EINVAL);
	}
	for (i = 1; i < 64; i++) {
		memset(&a, 0x5a, sizeof(a));
		a.head.vm = vm.id;
		a.head.vcpu = 0;
		a.mask = i;
		a.reserved = 0;
		HC_OK(HC_READREGS, &a);
		if (i & JOIST_REGS_GPR)
			CHECK_EQ(a.regs.rip, 0xfff0, "rip");
		if (i & JOIST_REGS_CR)
			CHECK_EQ(a.regs.cr0, 0x60000010, "cr0");
		if (i & JOIST_REGS_DR)
			CHECK_EQ(a.regs.dr7, 0x400, "dr7");
	}
	/* An empty mask is nothing to do, or a mistake. */
	a = (struct joist_regs_args){ .head = { vm.id, 0 } };
	ret = HC(HC_WRITEREGS, &a);
	CHECK(!ret || ret == -EINVAL, "WRITEREGS of nothing gives %ld", ret);
}

#define ILLEGAL(I)							\
	I("rip not canonical", r.rip = 0x8000000000000000)		\
	I("rflags bit 1 clear", r.rflags = 0)				\
	I("rflags bit 3", r.rflags |= BIT(3))				\
	I("rflags bit 5", r.rflags |= BIT(5))				\
	I("rflags bit 15", r.rflags |= BIT(15))				\
	I("rflags bit 22", r.rflags |= BIT(22))				\
	I("rflags bit 63", r.rflags |= BIT(63))				\
	I("VM86 in long mode", r.rflags |= BIT(17))			\
	I("segment attribute bit 8", r.seg[JOIST_DS].attr |= BIT(8))	\
	I("segment attribute bit 17", r.seg[JOIST_DS].attr |= BIT(17))	\
	I("segment reserved", r.seg[JOIST_ES].reserved = 1)		\
	I("segment reserved2", r.seg[JOIST_ES].reserved2 = 1)		\
	I("FS base not canonical", r.seg[JOIST_FS].base = 1ull << 60)	\
	I("GS base not canonical", r.seg[JOIST_GS].base = 1ull << 47)	\
	I("TR base not canonical", r.seg[JOIST_TR].base = 1ull << 63)	\
	I("CS unusable", r.seg[JOIST_CS].attr = 0x10000)		\
	I("CS is data", r.seg[JOIST_CS].attr = 0xc093)			\
	I("CS with L and D", r.seg[JOIST_CS].attr = 0xe09b)		\
	I("TR unusable", r.seg[JOIST_TR].attr = 0x10000)		\
	I("GDTR base not canonical", r.gdtr.base = 1ull << 55)		\
	I("GDTR limit", r.gdtr.limit = 0x10000)				\
	I("IDTR base not canonical", r.idtr.base = 1ull << 55)		\
	I("IDTR limit", r.idtr.limit = 0xffffffff)			\
	I("CR0.PG without PE", r.cr0 &= ~CR0_PE)			\
	I("CR0.NW without CD", r.cr0 |= CR0_NW)				\
	I("CR0 bit 32", r.cr0 |= BIT(32))				\
	I("CR3 bit 63", r.cr3 |= BIT(63))				\
	I("CR3 bit 52", r.cr3 |= BIT(52))				\
	I("CR4 bit 15", r.cr4 |= BIT(15))				\
	I("CR4 bit 31", r.cr4 |= BIT(31))				\
	I("CR4 bit 63", r.cr4 |= BIT(63))				\
	I("CR4.VMXE", r.cr4 |= CR4_VMXE)				\
	I("CR4.PAE clear in long mode", r.cr4 &= ~CR4_PAE)		\
	I("CR8 of 16", r.cr8 = 16)					\
	I("XCR0 of 0", r.xcr0 = 0)					\
	I("XCR0 without x87", r.xcr0 = 2)				\
	I("XCR0 AVX without SSE", r.xcr0 = 5)				\
	I("XCR0 bit 63", r.xcr0 = BIT(63) | 1)				\
	I("XCR0 bit 62", r.xcr0 = BIT(62) | 1)				\
	I("DR6 bit 32", r.dr6 |= BIT(32))				\
	I("DR7 bit 32", r.dr7 |= BIT(32))				\
	I("DR7 bit 63", r.dr7 |= BIT(63))				\
	I("EFER bit 1", r.msr[JOIST_MSR_EFER] |= BIT(1))		\
	I("EFER.SVME", r.msr[JOIST_MSR_EFER] |= EFER_SVME)		\
	I("EFER bit 63", r.msr[JOIST_MSR_EFER] |= BIT(63))		\
	I("EFER.LMA alone", r.msr[JOIST_MSR_EFER] = EFER_LMA)		\
	I("EFER.LME without LMA, PG set", r.msr[JOIST_MSR_EFER] = EFER_LME) \
	I("PAT type 2", r.msr[JOIST_MSR_PAT] = 0x0007040600070402)	\
	I("APIC_BASE elsewhere", r.msr[JOIST_MSR_APIC_BASE] ^= 0x100000) \
	I("APIC_BASE bit 0", r.msr[JOIST_MSR_APIC_BASE] |= 1)		\
	I("APIC_BASE x2 without enable", r.msr[JOIST_MSR_APIC_BASE] =	\
	  0xfee00400)							\
	I("SYSENTER_ESP", r.msr[JOIST_MSR_SYSENTER_ESP] = 1ull << 63)	\
	I("SYSENTER_EIP", r.msr[JOIST_MSR_SYSENTER_EIP] = 1ull << 47)	\
	I("LSTAR", r.msr[JOIST_MSR_LSTAR] = 1ull << 47)			\
	I("CSTAR", r.msr[JOIST_MSR_CSTAR] = 1ull << 50)			\
	I("KERNEL_GS_BASE", r.msr[JOIST_MSR_KERNEL_GS_BASE] = 1ull << 50) \
	I("XSS", r.msr[JOIST_MSR_XSS] = BIT(63))			\
	I("activity RUNNING", r.activity = JOIST_VCPU_RUNNING)		\
	I("activity 4", r.activity = 4)					\
	I("activity -1", r.activity = 0xffffffff)			\
	I("interruptibility bit 4", r.interruptibility = 16)		\
	I("interruptibility bit 31", r.interruptibility = BIT(31))	\
	I("STI shadow without IF", (r.interruptibility = JOIST_SHADOW_STI, \
	  r.rflags = 2))						\
	I("event type 1", r.event = JOIST_EVENT_VALID |			\
	  JOIST_EVENT_TYPE(1) | 13)					\
	I("event type 7", r.event = JOIST_EVENT_VALID |			\
	  JOIST_EVENT_TYPE(7) | 13)					\
	I("event exception 9", r.event = JOIST_EVENT_VALID |		\
	  JOIST_EVENT_TYPE(3) | 9)					\
	I("event exception 31", r.event = JOIST_EVENT_VALID |		\
	  JOIST_EVENT_TYPE(3) | 31)					\
	I("event exception 32", r.event = JOIST_EVENT_VALID |		\
	  JOIST_EVENT_TYPE(3) | 32)					\
	I("event reserved bit", r.event = JOIST_EVENT_VALID | BIT(20) |	\
	  JOIST_EVENT_TYPE(3) | 13)

static void regs_illegal(void)
{
	struct joist_regs before, after, good, r;
	char bad[160];
	u32 n = 0;
	s64 ret;

	vm_new(&vm, "illegal", 1, GUEST_RAM);
	regs_read(&vm, 0, JOIST_REGS_ALL, &good);
	regs_long(&good, GUEST_CODE64);
	regs_write(&vm, 0, JOIST_REGS_ALL, &good);
	regs_read(&vm, 0, JOIST_REGS_ALL, &before);
	bad[0] = 0;
	/* All are tried, so that one report names all that get through. */
#define I(name, change) do {						\
	r = good;							\
	r.gpr[JOIST_RAX] = 0xbadbadbad;	/* must not be written either */	\
	(void)(change);							\
	ret = regs_try_write(&vm, 0, JOIST_REGS_ALL, &r);		\
	if (ret != -EINVAL) {						\
		if (!n++)						\
			format(bad, sizeof(bad), "%s: %d", name,	\
			       (int)ret);				\
		else							\
			format(bad + strlen(bad),			\
			       sizeof(bad) - strlen(bad), "; %s: %d",	\
			       name, (int)ret);				\
		regs_write(&vm, 0, JOIST_REGS_ALL, &good);		\
	}								\
	regs_read(&vm, 0, JOIST_REGS_ALL, &after);			\
	same(&before, &after, name);					\
} while (0);
	ILLEGAL(I)
#undef I
	CHECK(!n, "%u illegal states are not refused: %s", n, bad);
}

/* The guest sees what WRITEREGS wrote, READREGS what the guest has. */
static void regs_live(void)
{
	struct joist_regs r;
	u32 i;

	vm_new(&vm, "live", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_hello);
	want_sync(&vm, 0, 0x600d);
	regs_read(&vm, 0, JOIST_REGS_ALL, &r);
	CHECK_EQ((u32)r.gpr[JOIST_RAX], 0x600d, "RAX at the OUT");
	CHECK(r.gpr[JOIST_RSP] <= GUEST_STACK(0) &&
	      r.gpr[JOIST_RSP] > GUEST_STACK(0) - 0x2000, "RSP 0x%lx",
	      r.gpr[JOIST_RSP]);
	CHECK_EQ(r.cr3, GUEST_PT, "CR3");
	CHECK_EQ(r.seg[JOIST_CS].selector, 8, "CS");
	CHECK(r.seg[JOIST_TR].selector == 0x30 &&
	      r.seg[JOIST_TR].limit == 103, "TR 0x%x limit %u",
	      r.seg[JOIST_TR].selector, r.seg[JOIST_TR].limit);
	CHECK(r.seg[JOIST_GS].base == r.msr[JOIST_MSR_KERNEL_GS_BASE],
	      "GS base 0x%lx", r.seg[JOIST_GS].base);
	CHECK_EQ(r.idtr.limit, 4095, "IDTR limit");
	/* Every register in a new vCPU arrives: through CPUID-free code. */
	for (i = 0; i < 16; i++)
		r.gpr[i] = 0x1000100010001000ull * i;
	regs_write(&vm, 0, JOIST_REGS_GPR, &r);
	regs_read(&vm, 0, JOIST_REGS_GPR, &r);
	for (i = 0; i < 16; i++)
		CHECK_EQ(r.gpr[i], 0x1000100010001000ull * i, "GPR");
}

static struct joist_xstate xs __aligned(64), xs2 __aligned(64);

static void xstate_read(struct vm *v, struct joist_xstate *x)
{
	memset(x, 0, sizeof(*x));
	x->head.vm = v->id;
	x->size = caps.xstate_size;
	HC_OK(HC_READXSTATE, x);
}

static void regs_xstate(void)
{
	u64 xmm0 = 0x1234567800000001, bv;
	u32 i, off;
	s64 ret;
	static const u32 sizes[] = { 0, 1, 512, 575, 4032, 4033, 0xffffffff };

	vm_new(&vm, "xstate", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = xmm0;
	vm_share(&vm)->arg[1] = 4;
	vm_payload(&vm, 0, PL_vectors);
	want_sync(&vm, 0, 0);
	xstate_read(&vm, &xs);
	CHECK(!memcmp(xs.data + 160, &xmm0, 8), "XMM0 in the XSAVE area is "
	      "0x%lx", *(u64 *)(xs.data + 160));
	CHECK_EQ(*(u32 *)(xs.data + 24), 0x1f80 ^ 0x6000, "MXCSR in the area");
	if (has_xsave()) {
		bv = *(u64 *)(xs.data + 512);
		CHECK(bv & 3, "XSTATE_BV 0x%lx", bv);
		CHECK_EQ(*(u64 *)(xs.data + 520), 0, "XCOMP_BV");
	}
	/* Cleared and brought back, the guest sees no difference. */
	xs2 = xs;
	memset(xs2.data, 0, sizeof(xs2.data));
	*(u32 *)(xs2.data + 24) = 0x1f80;
	*(u16 *)xs2.data = 0x37f;
	HC_OK(HC_WRITEXSTATE, &xs2);
	HC_OK(HC_WRITEXSTATE, &xs);
	want_sync(&vm, 0, 1);
	xstate_read(&vm, &xs2);
	CHECK(!memcmp(xs.data + 160, xs2.data + 160, 256),
	      "XMM registers differ after a round trip");
	/* And moved to another VM's vCPU. */
	vm_new(&other, "xstate-2", 1, GUEST_RAM);
	vm_share(&other)->arg[0] = xmm0;
	vm_share(&other)->arg[1] = 2;
	vm_payload(&other, 0, PL_vectors);
	want_sync(&other, 0, 0);
	memset(xs2.data, 0, sizeof(xs2.data));
	*(u32 *)(xs2.data + 24) = 0x1f80;
	xs2.head.vm = other.id;
	HC_OK(HC_WRITEXSTATE, &xs2);
	xs.head.vm = other.id;
	HC_OK(HC_WRITEXSTATE, &xs);
	run_done(&other, 0);
	/* Illegal ones. */
	xs.head.vm = vm.id;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (sizes[i] == caps.xstate_size)
			continue;
		xs2 = xs;
		xs2.size = sizes[i];
		HC_WANT(HC_WRITEXSTATE, &xs2, -EINVAL);
		HC_WANT(HC_READXSTATE, &xs2, -EINVAL);
	}
	xs2 = xs;
	*(u32 *)(xs2.data + 24) = 0xffffffff;
	ret = HC(HC_WRITEXSTATE, &xs2);
	CHECK(ret == -EINVAL, "a bad MXCSR gives %ld", ret);
	if (!has_xsave())
		return;		/* there is no header */
	xs2 = xs;
	*(u64 *)(xs2.data + 512) |= BIT(63);
	ret = HC(HC_WRITEXSTATE, &xs2);
	CHECK(ret == -EINVAL, "XSTATE_BV bit 63 gives %ld", ret);
	xs2 = xs;
	*(u64 *)(xs2.data + 512) |= BIT(62) | BIT(40);
	ret = HC(HC_WRITEXSTATE, &xs2);
	CHECK(ret == -EINVAL, "XSTATE_BV bit 62 gives %ld", ret);
	xs2 = xs;
	*(u64 *)(xs2.data + 520) = BIT(63) | 3;
	ret = HC(HC_WRITEXSTATE, &xs2);
	CHECK(ret == -EINVAL, "XCOMP_BV gives %ld", ret);
	for (off = 528; off < 576; off++) {
		xs2 = xs;
		xs2.data[off] = 1;
		ret = HC(HC_WRITEXSTATE, &xs2);
		CHECK(ret == -EINVAL, "XSAVE header byte %u gives %ld", off,
		      ret);
	}
	vm_payload(&vm, 0, PL_hello);
	run_done(&vm, 0);
}

/* Two guests and this VM, each with its own vector registers, in turns. */
static void regs_switch(void)
{
	u64 mine[2] = { 0x1111222233334444, 0x5555666677778888 }, now[2];
	u32 i, mx = 0x1f80 ^ 0x2000, mx2;

	vm_new(&vm, "switch", 1, GUEST_RAM);
	vm_new(&other, "switch-2", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = 0xaaaaaaaaaaaaaaaa;
	vm_share(&other)->arg[0] = 0x0bbbbbbbbbbbbbbb;
	vm_share(&vm)->arg[1] = vm_share(&other)->arg[1] = 20;
	vm_payload(&vm, 0, PL_vectors);
	vm_payload(&other, 0, PL_vectors);
	asm volatile("movups (%0), %%xmm0; movups (%0), %%xmm9; ldmxcsr %1"
		     : : "r"(mine), "m"(mx));
	asm volatile("fninit; fldz");
	try_write_dr0(0x1000);
	try_write_dr1(0x2000);
	try_write_dr2(0x3000);
	try_write_dr3(0x4000);
	wrmsr(MSR_LSTAR, 0x12345);
	wrmsr(MSR_CSTAR, 0x12346);
	wrmsr(MSR_STAR, 0x1234700000000);
	wrmsr(MSR_SFMASK, 0x3000);
	wrmsr(MSR_SYSENTER_ESP, 0x12348);
	wrmsr(MSR_SYSENTER_EIP, 0x12349);
	write_cr2(0xabcdef);
	for (i = 0; i < 20; i++) {
		want_sync(&vm, 0, i);
		asm volatile("movups %%xmm0, (%0)" : : "r"(now) : "memory");
		CHECK(!memcmp(now, mine, 16), "XMM0 of this VM is 0x%lx",
		      now[0]);
		asm volatile("movups %%xmm9, (%0)" : : "r"(now) : "memory");
		CHECK(!memcmp(now, mine, 16), "XMM9 of this VM is 0x%lx",
		      now[0]);
		asm volatile("stmxcsr %0" : "=m"(mx2));
		CHECK_EQ(mx2, mx, "MXCSR of this VM");
		asm volatile("fstl %0" : "=m"(now[0]));
		CHECK_EQ(now[0], 0, "ST0 of this VM");
		CHECK(read_dr0() == 0x1000 && read_dr1() == 0x2000 &&
		      read_dr2() == 0x3000 && read_dr3() == 0x4000,
		      "DR0 .. DR3 of this VM: 0x%lx 0x%lx 0x%lx 0x%lx",
		      read_dr0(), read_dr1(), read_dr2(), read_dr3());
		CHECK_EQ(rdmsr(MSR_LSTAR), 0x12345, "LSTAR");
		CHECK_EQ(rdmsr(MSR_CSTAR), 0x12346, "CSTAR");
		CHECK_EQ(rdmsr(MSR_STAR), 0x1234700000000, "STAR");
		CHECK_EQ(rdmsr(MSR_SFMASK), 0x3000, "SFMASK");
		CHECK_EQ(rdmsr(MSR_SYSENTER_ESP), 0x12348, "SYSENTER_ESP");
		CHECK_EQ(rdmsr(MSR_SYSENTER_EIP), 0x12349, "SYSENTER_EIP");
		CHECK_EQ(read_cr2(), 0xabcdef, "CR2");
		want_sync(&other, 0, i);
	}
	run_done(&vm, 0);
	run_done(&other, 0);
	wrmsr(MSR_LSTAR, 0);
	wrmsr(MSR_CSTAR, 0);
	wrmsr(MSR_STAR, 0);
	wrmsr(MSR_SFMASK, 0);
	wrmsr(MSR_SYSENTER_ESP, 0);
	wrmsr(MSR_SYSENTER_EIP, 0);
	mx = 0x1f80;
	asm volatile("ldmxcsr %0; fninit" : : "m"(mx));
}

/* A guest that fills everything, then a fresh one on the same core. */
static void regs_leak(void)
{
	u64 out[2];
	u32 i, r[4];
	bool tsc_aux;

	cpuid(0x80000001, 0, r);
	tsc_aux = r[3] & BIT(27);
	if (tsc_aux)
		wrmsr(MSR_TSC_AUX, 0x1234);
	for (i = 0; i < 3; i++) {
		asm volatile("xorps %%xmm0, %%xmm0; movaps %%xmm0, %%xmm5;"
			     "movaps %%xmm0, %%xmm15" : : );
		try_write_dr0(0);
		try_write_dr3(0);
		vm_new(&vm, "leak", 1, GUEST_RAM);
		vm_share(&vm)->arg[0] = 1;
		vm_share(&vm)->arg[2] = tsc_aux;
		vm_payload(&vm, 0, PL_leak);
		want_sync(&vm, 0, 1);
		if (tsc_aux)
			CHECK_EQ(rdmsr(MSR_TSC_AUX), 0x1234, "TSC_AUX of this "
				 "VM");
		asm volatile("movups %%xmm5, (%0)" : : "r"(out) : "memory");
		CHECK_EQ(out[0] | out[1], 0, "XMM5 of this VM");
		CHECK_EQ(read_dr0() | read_dr3(), 0, "DR0, DR3 of this VM");
		CHECK(rdmsr(MSR_LSTAR) != 0x5ec0e7 &&
		      rdmsr(MSR_STAR) != 0x5ec0e700000000 &&
		      rdmsr(MSR_KERNEL_GS_BASE) != 0x5ec0e7 &&
		      rdmsr(MSR_FS_BASE) != 0x5ec0e7 &&
		      rdmsr(MSR_SYSENTER_EIP) != 0x5ec0e7,
		      "a guest's MSRs are in this VM");
		run_done(&vm, 0);
		vm_destroy(vm.id);
	}
}

/* Upper halves of YMM registers; guests with XCR0 of their own. */
static void regs_avx(void)
{
	u64 mine[4] = { 5, 6, 7, 8 }, now[4];
	u32 i;

	vm_new(&vm, "avx", 1, GUEST_RAM);
	vm_new(&other, "avx-2", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = 0xaaaaaaaaaaaaaaaa;
	vm_share(&other)->arg[0] = 0x0bbbbbbbbbbbbbbb;
	vm_share(&vm)->arg[1] = vm_share(&other)->arg[1] = 10;
	vm_payload(&vm, 0, PL_avx);
	vm_payload(&other, 0, PL_avx);
	if (!(read_cr4() & CR4_OSXSAVE) || !(xgetbv(0) & 4))
		skip("no AVX");
	asm volatile("vmovups (%0), %%ymm0; vmovups (%0), %%ymm7"
		     : : "r"(mine));
	for (i = 0; i < 10; i++) {
		want_sync(&vm, 0, i);
		asm volatile("vmovups %%ymm0, (%0)" : : "r"(now) : "memory");
		CHECK(!memcmp(now, mine, 32), "YMM0 of this VM is 0x%lx 0x%lx "
		      "0x%lx 0x%lx", now[0], now[1], now[2], now[3]);
		asm volatile("vmovups %%ymm7, (%0)" : : "r"(now) : "memory");
		CHECK(!memcmp(now, mine, 32), "YMM7 of this VM");
		/* Our own XCR0 may be smaller than a guest's. */
		if (i == 4)
			CHECK_EQ(try_xsetbv(0, 1), NOFAULT, "XCR0");
		want_sync(&other, 0, i);
		if (i == 4) {
			CHECK_EQ(xgetbv(0), 1, "XCR0 of this VM");
			CHECK_EQ(try_xsetbv(0, 7), NOFAULT, "XCR0");
		}
	}
	run_done(&vm, 0);
	run_done(&other, 0);
	asm volatile("vzeroall");
}

const struct tcase cases_regs[] = {
	{ "regs/round-trip", regs_round_trip, 0 },
	{ "regs/masks", regs_masks, 0 },
	{ "regs/illegal", regs_illegal, 0 },
	{ "regs/live", regs_live, 0 },
	{ "regs/xstate", regs_xstate, 0 },
	{ "regs/switch", regs_switch, 0 },
	{ "regs/leak", regs_leak, 0 },
	{ "regs/avx", regs_avx, 0 },
	{ 0 },
};
