/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_regs.c -- register state from outside: what no CPU can be in is
 * refused and changes nothing, all else is taken and read back the same.
 */
#include "tests/unit/host_vcpu.h"

#include "core/hc_regs.c"

#undef fail
#include <cmocka.h>

#define F(field)	offsetof(struct joist_regs, field), sizeof(((struct joist_regs *)0)->field)
#define GPR		JOIST_REGS_GPR
#define SEG		JOIST_REGS_SEG
#define CR		JOIST_REGS_CR
#define DR		JOIST_REGS_DR
#define MSR		JOIST_REGS_MSR
#define EVENT		JOIST_REGS_EVENT
#define ALL		JOIST_REGS_ALL
#define NON_CANONICAL	0x0000800000000000ull
#define EV(type, vec)	(JOIST_EVENT_VALID | JOIST_EVENT_TYPE(type) | (vec))

struct vm *control_vm;
static struct vm the_vm;
static struct vcpu *vcpu;

static int start(void **state)
{
	host_pool(0, 16 * MiB);
	host_features();
	memset(&the_vm, 0, sizeof(the_vm));
	the_vm.owner = OWNER_GUEST;
	the_vm.vcpu_count = 2;
	if (stage2_init(&the_vm.s2, backend->stage2) ||
	    vcpu_create(&the_vm, 0, &the_vm.vcpu[0]) || vcpu_create(&the_vm, 1, &the_vm.vcpu[1]))
		return -1;
	vcpu = the_vm.vcpu[0];
	return 0;
}

static int call(hc_handler f, u32 mask, struct joist_regs *r)
{
	struct hc_context c = { .vm = &the_vm, .vcpu = vcpu };
	struct joist_regs_args a = { .mask = mask, .regs = *r };
	int err = f(&c, &a);

	*r = a.regs;
	return err;
}

static int write(u32 mask, const struct joist_regs *r)
{
	struct joist_regs copy = *r;

	return call(hc_writeregs, mask, &copy);
}

static int reset(u32 mask, const struct joist_regs *r)
{
	struct joist_regs copy = *r;

	return call(hc_resetcpu, mask, &copy);
}

static struct joist_regs read(u32 mask)
{
	struct joist_regs r;

	memset(&r, 0x5a, sizeof(r));
	assert_int_equal(call(hc_readregs, mask, &r), 0);
	return r;
}

/* All that a vCPU is, in the hypervisor's words. */
struct snapshot {
	struct vcpu v;
	struct vmcb b;
	u8 xstate[PAGE_SIZE];
	struct vm vm;
};

static void snap(struct snapshot *s)
{
	s->v = *vcpu;
	s->b = *vcpu->svm.vmcb;
	memcpy(s->xstate, vcpu->xstate, PAGE_SIZE);
	s->vm = the_vm;
}

static void unchanged(const struct snapshot *s, const char *what)
{
	if (memcmp(&s->v, vcpu, sizeof(s->v)) ||
	    memcmp(&s->b, vcpu->svm.vmcb, sizeof(s->b)) ||
	    memcmp(s->xstate, vcpu->xstate, PAGE_SIZE) || memcmp(&s->vm, &the_vm, sizeof(the_vm)))
		fail_msg("%s: refused, but something has changed", what);
}

static struct joist_segment seg(u64 base, u32 attr)
{
	return (struct joist_segment){ .base = base, .limit = ~0u, .selector = 8, .attr = attr };
}

/* A 64-bit kernel at work. */
static struct joist_regs long_mode(void)
{
	struct joist_regs r = read(ALL);
	unsigned i;

	for (i = 0; i < 16; i++)
		r.gpr[i] = 0x1111111111111111ull * i;
	r.rip = 0xffffffff81234567;
	r.rflags = RFLAGS_ONE | RFLAGS_IF;
	for (i = 0; i < JOIST_SEGS; i++)
		r.seg[i] = seg(0, 0xc093);
	r.seg[JOIST_CS] = seg(0, 0xa09b);
	r.seg[JOIST_GS] = seg(0xffff888000000000, 0xc093);
	r.seg[JOIST_TR] = seg(0xfffffe0000001000, 0x8b);
	r.seg[JOIST_LDTR] = seg(0, BIT(16));
	r.gdtr = (struct joist_segment){ .base = 0xfffffe0000000000, .limit = 0x7f };
	r.idtr = (struct joist_segment){ .base = 0xfffffe0000002000, .limit = 0xfff };
	r.cr0 = CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE;
	r.cr2 = 0x7fffdeadbeef;
	r.cr3 = 0x123456000;
	r.cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP;
	r.cr8 = 3;
	r.xcr0 = 7;
	r.dr[0] = 0xffffffff81000000;
	r.dr6 = DR6_INIT | 1;
	r.dr7 = DR7_INIT | 2;
	r.msr[JOIST_MSR_EFER] = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	r.msr[JOIST_MSR_STAR] = 0x0023001000000000;
	r.msr[JOIST_MSR_LSTAR] = 0xffffffff81800000;
	r.msr[JOIST_MSR_SFMASK] = 0x47700;
	r.msr[JOIST_MSR_KERNEL_GS_BASE] = 0x7f0012345678;
	r.msr[JOIST_MSR_TSC_AUX] = 5;
	r.msr[JOIST_MSR_SPEC_CTRL] = 1;
	r.interruptibility = 0;
	return r;
}

static struct joist_regs protected_mode(void)
{
	struct joist_regs r = long_mode();

	r.msr[JOIST_MSR_EFER] = 0;
	r.cr4 = 0;
	r.cr0 = CR0_PE | CR0_ET;
	r.rip = 0x100000;
	r.seg[JOIST_CS] = seg(0, 0xc09b);
	return r;
}

static struct joist_regs real_mode(void)
{
	return read(ALL);
}

static struct joist_regs v8086_mode(void)
{
	struct joist_regs r = protected_mode();
	unsigned i;

	r.rflags |= RFLAGS_VM;
	r.rip = 0x1234;
	for (i = JOIST_ES; i <= JOIST_GS; i++)
		r.seg[i] = (struct joist_segment){ .base = 0x80, .limit = 0xffff,
						   .selector = 8, .attr = 0xf3 };
	return r;
}

static struct joist_regs (*const states[])(void) = {
	real_mode, protected_mode, long_mode, v8086_mode,
};
enum { REAL = BIT(0), PROT = BIT(1), LONG = BIT(2), ANY = 7, V8086 = BIT(3) };

struct change {
	const char *name;
	u32 in;			/* REAL, PROT, LONG */
	u32 mask;		/* groups that must be written for it to count */
	size_t offset, size;
	u64 val;
};

static const struct change illegal[] = {
	{ "RFLAGS without bit 1", ANY, GPR, F(rflags), 0 },
	{ "RFLAGS bit 3", ANY, GPR, F(rflags), RFLAGS_ONE | BIT(3) },
	{ "RFLAGS bit 5", ANY, GPR, F(rflags), RFLAGS_ONE | BIT(5) },
	{ "RFLAGS bit 15", ANY, GPR, F(rflags), RFLAGS_ONE | BIT(15) },
	{ "RFLAGS bit 22", ANY, GPR, F(rflags), RFLAGS_ONE | BIT(22) },
	{ "RFLAGS bit 63", ANY, GPR, F(rflags), RFLAGS_ONE | BIT(63) },
	{ "VM86 in real and long mode", REAL | LONG, GPR, F(rflags), RFLAGS_ONE | RFLAGS_VM },
	{ "VM86 with segments of another mode", PROT, GPR, F(rflags), RFLAGS_ONE | RFLAGS_VM },
	{ "RIP above 4 GiB", REAL | PROT | V8086, GPR, F(rip), BIT(32) },
	{ "RIP not canonical", ANY, GPR, F(rip), NON_CANONICAL },
	{ "RIP not canonical, high", ANY, GPR, F(rip), ~NON_CANONICAL << 1 },

	{ "ES base not canonical", ANY, SEG, F(seg[JOIST_ES].base), NON_CANONICAL },
	{ "FS base not canonical", ANY, SEG, F(seg[JOIST_FS].base), 0xffff700000000000 },
	{ "TR base not canonical", ANY, SEG, F(seg[JOIST_TR].base), NON_CANONICAL },
	{ "LDTR base not canonical", ANY, SEG, F(seg[JOIST_LDTR].base), NON_CANONICAL },
	{ "GDTR base not canonical", ANY, SEG, F(gdtr.base), NON_CANONICAL },
	{ "IDTR base not canonical", ANY, SEG, F(idtr.base), NON_CANONICAL },
	{ "GDTR limit", ANY, SEG, F(gdtr.limit), 0x10000 },
	{ "IDTR limit", ANY, SEG, F(idtr.limit), 0xffffffff },
	{ "attribute bit 8", ANY, SEG, F(seg[JOIST_DS].attr), 0xc193 },
	{ "attribute bit 11", ANY, SEG, F(seg[JOIST_SS].attr), 0xc893 },
	{ "attribute bit 17", ANY, SEG, F(seg[JOIST_LDTR].attr), 0x20082 },
	{ "attribute bit 31", ANY, SEG, F(seg[JOIST_GS].attr), 0x80000093 },
	{ "segment reserved", ANY, SEG, F(seg[JOIST_DS].reserved), 1 },
	{ "segment reserved2", ANY, SEG, F(seg[JOIST_TR].reserved2), 1 },
	{ "CS with L and D", ANY, SEG, F(seg[JOIST_CS].attr), 0xe09b },
	{ "CS unusable", ANY, SEG, F(seg[JOIST_CS].attr), 0x1a09b },
	{ "CS a data segment", PROT | LONG, SEG, F(seg[JOIST_CS].attr), 0xc093 },
	{ "CS a read-only data segment", ANY, SEG, F(seg[JOIST_CS].attr), 0x91 },
	{ "CS a system segment", ANY, SEG, F(seg[JOIST_CS].attr), 0x8b },
	{ "TR unusable", ANY, SEG, F(seg[JOIST_TR].attr), 0x1008b },
	{ "TR not present", ANY, SEG, F(seg[JOIST_TR].attr), 0x0b },
	{ "TR a code segment", ANY, SEG, F(seg[JOIST_TR].attr), 0x9b },
	{ "CS not present", ANY, SEG, F(seg[JOIST_CS].attr), 0x1b },
	{ "TR an idle TSS", ANY, SEG, F(seg[JOIST_TR].attr), 0x89 },
	{ "TR a data segment's type", ANY, SEG, F(seg[JOIST_TR].attr), 0x92 },

	{ "RIP above 4 GiB in compatibility mode", LONG, SEG, F(seg[JOIST_CS].attr), 0xc09b },
	{ "CS base above 4 GiB", ANY, SEG, F(seg[JOIST_CS].base), BIT(32) },
	{ "SS base above 4 GiB", ANY, SEG, F(seg[JOIST_SS].base), BIT(32) },
	{ "DS base above 4 GiB", ANY, SEG, F(seg[JOIST_DS].base), BIT(46) },
	{ "CS DPL above SS's", ANY, SEG, F(seg[JOIST_CS].attr), 0xfb },
	{ "CS DPL below SS's", PROT | LONG, SEG, F(seg[JOIST_SS].attr), 0xf3 },
	{ "CS conforming, DPL above SS's", ANY, SEG, F(seg[JOIST_CS].attr), 0xff },
	{ "SS DPL in real mode", REAL, SEG, F(seg[JOIST_SS].attr), 0xf3 },
	{ "SS code", ANY, SEG, F(seg[JOIST_SS].attr), 0x9b },
	{ "SS that cannot be written", ANY, SEG, F(seg[JOIST_SS].attr), 0x91 },
	{ "ES code that cannot be read", ANY, SEG, F(seg[JOIST_ES].attr), 0x99 },
	{ "GS a system segment", ANY, SEG, F(seg[JOIST_GS].attr), 0x82 },
	{ "LDTR a TSS", ANY, SEG, F(seg[JOIST_LDTR].attr), 0x8b },
	{ "LDTR a data segment", ANY, SEG, F(seg[JOIST_LDTR].attr), 0x93 },
	{ "TR in the LDT", ANY, SEG, F(seg[JOIST_TR].selector), 0xc },
	{ "TR a 16-bit TSS in long mode", LONG, SEG, F(seg[JOIST_TR].attr), 0x83 },
	{ "limit neither in bytes nor in pages", ANY, SEG, F(seg[JOIST_FS].limit), 0x100000 },
	{ "VM86 base", V8086, SEG, F(seg[JOIST_CS].base), 0x90 },
	{ "VM86 limit", V8086, SEG, F(seg[JOIST_GS].limit), 0xfffff },
	{ "VM86 attributes", V8086, SEG, F(seg[JOIST_SS].attr), 0x93 },
	{ "VM86 without PE", V8086, CR, F(cr0), CR0_ET },

	{ "CR0 bit 6", ANY, CR, F(cr0), CR0_PE | CR0_ET | BIT(6) },
	{ "CR0 bit 32", PROT | REAL, CR, F(cr0), CR0_PE | CR0_ET | BIT(32) },
	{ "CR0 PG without PE", ANY, CR | SEG, F(cr0), CR0_PG | CR0_ET },
	{ "CR0 NW without CD", PROT, CR, F(cr0), CR0_PE | CR0_ET | CR0_NW },
	{ "long mode without paging", LONG, CR, F(cr0), CR0_PE | CR0_ET },
	{ "long mode without PAE", LONG, CR, F(cr4), CR4_PGE },
	{ "CR3 beyond the physical address", ANY, CR, F(cr3), BIT(40) },
	{ "CR3 bit 63", ANY, CR, F(cr3), BIT(63) },
	{ "CR4 VMXE", ANY, CR, F(cr4), CR4_PAE | CR4_VMXE },
	{ "CR4 SMXE", ANY, CR, F(cr4), CR4_PAE | CR4_SMXE },
	{ "CR4 LA57", ANY, CR, F(cr4), CR4_PAE | CR4_LA57 },
	{ "CR4 bit 15", ANY, CR, F(cr4), CR4_PAE | BIT(15) },
	{ "CR4 bit 63", ANY, CR, F(cr4), CR4_PAE | BIT(63) },
	{ "CR4 PCIDE outside long mode", REAL | PROT, CR, F(cr4), CR4_PAE | CR4_PCIDE },
	{ "CR8", ANY, CR, F(cr8), 16 },
	{ "CR8, high", ANY, CR, F(cr8), BIT(32) },
	{ "XCR0 without x87", ANY, CR, F(xcr0), 6 },
	{ "XCR0 0", ANY, CR, F(xcr0), 0 },
	{ "XCR0 AVX without SSE", ANY, CR, F(xcr0), 5 },
	{ "XCR0 half of AVX-512", ANY, CR, F(xcr0), 0x67 },
	{ "XCR0 AVX-512 without AVX", ANY, CR, F(xcr0), 0xe3 },
	{ "XCR0 what the machine lacks", ANY, CR, F(xcr0), 7 | BIT(3) },
	{ "XCR0 bit 63", ANY, CR, F(xcr0), 7 | BIT(63) },

	{ "DR6 high", ANY, DR, F(dr6), BIT(32) },
	{ "DR7 high", ANY, DR, F(dr7), BIT(63) },

	{ "EFER SVME", REAL | PROT, MSR, F(msr[JOIST_MSR_EFER]), EFER_SVME },
	{ "EFER bit 1", REAL | PROT, MSR, F(msr[JOIST_MSR_EFER]), BIT(1) },
	{ "EFER LMA alone", REAL | PROT, MSR, F(msr[JOIST_MSR_EFER]), EFER_LMA },
	{ "EFER LMA without paging", REAL | PROT, MSR, F(msr[JOIST_MSR_EFER]), EFER_LMA | EFER_LME },
	{ "EFER LME without LMA", LONG, MSR, F(msr[JOIST_MSR_EFER]), EFER_LME },
	{ "EFER LMA without LME", LONG, MSR, F(msr[JOIST_MSR_EFER]), EFER_LMA },
	{ "LSTAR", ANY, MSR, F(msr[JOIST_MSR_LSTAR]), NON_CANONICAL },
	{ "CSTAR", ANY, MSR, F(msr[JOIST_MSR_CSTAR]), NON_CANONICAL },
	{ "KERNEL_GS_BASE", ANY, MSR, F(msr[JOIST_MSR_KERNEL_GS_BASE]), NON_CANONICAL },
	{ "SYSENTER_ESP", ANY, MSR, F(msr[JOIST_MSR_SYSENTER_ESP]), NON_CANONICAL },
	{ "SYSENTER_EIP", ANY, MSR, F(msr[JOIST_MSR_SYSENTER_EIP]), NON_CANONICAL },
	{ "SYSENTER_CS", ANY, MSR, F(msr[JOIST_MSR_SYSENTER_CS]), BIT(32) },
	{ "SFMASK", ANY, MSR, F(msr[JOIST_MSR_SFMASK]), BIT(32) },
	{ "PAT type 2", ANY, MSR, F(msr[JOIST_MSR_PAT]), 0x0002040600070406 },
	{ "PAT type 8", ANY, MSR, F(msr[JOIST_MSR_PAT]), 0x0807040600070406 },
	{ "APIC_BASE elsewhere", ANY, MSR, F(msr[JOIST_MSR_APIC_BASE]), 0xfee01900 },
	{ "APIC_BASE x2APIC alone", ANY, MSR, F(msr[JOIST_MSR_APIC_BASE]), 0xfee00500 },
	{ "APIC_BASE reserved", ANY, MSR, F(msr[JOIST_MSR_APIC_BASE]), 0xfee00901 },
	{ "TSC_AUX", ANY, MSR, F(msr[JOIST_MSR_TSC_AUX]), BIT(32) },
	{ "SPEC_CTRL", ANY, MSR, F(msr[JOIST_MSR_SPEC_CTRL]), BIT(3) },
	{ "XSS", ANY, MSR, F(msr[JOIST_MSR_XSS]), BIT(8) },
	{ "DEBUGCTL", ANY, MSR, F(msr[JOIST_MSR_DEBUGCTL]), 1 },

	{ "activity running", ANY, EVENT, F(activity), JOIST_VCPU_RUNNING },
	{ "activity 4", ANY, EVENT, F(activity), 4 },
	{ "interruptibility bit 4", ANY, EVENT, F(interruptibility), BIT(4) },
	{ "STI shadow with IF clear", REAL, EVENT, F(interruptibility), JOIST_SHADOW_STI },
	{ "both shadows", PROT | LONG, EVENT, F(interruptibility),
	  JOIST_SHADOW_STI | JOIST_SHADOW_MOVSS },
	{ "event not valid, not 0", ANY, EVENT, F(event), 0x30e },
	{ "event reserved bit", ANY, EVENT, F(event), EV(3, 14) | BIT(12) },
	{ "event reserved bit 30", ANY, EVENT, F(event), EV(3, 14) | BIT(30) },
	{ "event type 1", ANY, EVENT, F(event), EV(1, 32) },
	{ "event type 5", ANY, EVENT, F(event), EV(5, 3) },
	{ "event type 7", ANY, EVENT, F(event), EV(7, 3) },
	{ "NMI of another vector", ANY, EVENT, F(event), EV(2, 3) },
	{ "NMI as an exception", ANY, EVENT, F(event), EV(3, 2) },
	{ "exception 32", ANY, EVENT, F(event), EV(3, 32) },
	{ "exception 255", ANY, EVENT, F(event), EV(3, 255) },
	{ "interrupt with an error code", ANY, EVENT, F(event), EV(0, 32) | JOIST_EVENT_ERROR },
	{ "NMI with an error code", ANY, EVENT, F(event), EV(2, 2) | JOIST_EVENT_ERROR },
	{ "#UD with an error code", ANY, EVENT, F(event), EV(3, 6) | JOIST_EVENT_ERROR },
};

static const struct change legal[] = {
	{ "RFLAGS all", V8086, GPR, F(rflags), RFLAGS_ALL },
	{ "RFLAGS all but VM", ANY, GPR, F(rflags), RFLAGS_ALL & ~RFLAGS_VM },
	{ "RIP highest", LONG, GPR, F(rip), ~0ull },
	{ "RIP at the border", LONG, GPR, F(rip), NON_CANONICAL - 1 },
	{ "RIP at the other border", LONG, GPR, F(rip), 0xffff800000000000 },
	{ "RIP highest, 32 bits", ANY | V8086, GPR, F(rip), 0xffffffff },
	{ "RSP anything", ANY, GPR, F(gpr[JOIST_RSP]), NON_CANONICAL },
	{ "GS base high", ANY, SEG, F(seg[JOIST_GS].base), 0xffff800000000000 },
	{ "GDTR limit", ANY, SEG, F(gdtr.limit), 0xffff },
	{ "CS conforming, 32 bits", PROT, SEG, F(seg[JOIST_CS].attr), 0xc09f },
	{ "CS conforming, 64 bits", LONG, SEG, F(seg[JOIST_CS].attr), 0xa09f },
	{ "ES null", ANY, SEG, F(seg[JOIST_ES].attr), BIT(16) },
	{ "DS code that can be read", ANY, SEG, F(seg[JOIST_DS].attr), 0x9b },
	{ "SS growing down", ANY, SEG, F(seg[JOIST_SS].attr), 0x97 },
	{ "DS with DPL 3", ANY, SEG, F(seg[JOIST_DS].attr), 0xf3 },
	{ "LDTR a table", ANY, SEG, F(seg[JOIST_LDTR].attr), 0x82 },
	{ "CS data in real mode", REAL, SEG, F(seg[JOIST_CS].attr), 0x93 },
	{ "TR a busy 16-bit TSS", PROT, SEG, F(seg[JOIST_TR].attr), 0x83 },
	{ "CR0 cache off", PROT, CR, F(cr0), CR0_PE | CR0_ET | CR0_CD },
	{ "CR0 paging, 32 bits", PROT, CR, F(cr0), CR0_PE | CR0_ET | CR0_PG },
	{ "CR2 anything", ANY, CR, F(cr2), NON_CANONICAL },
	{ "CR3 highest", ANY, CR, F(cr3), BIT(40) - 1 },
	{ "CR4 PCIDE", LONG, CR, F(cr4), CR4_PAE | CR4_PCIDE },
	{ "CR4 PKE", LONG, CR, F(cr4), CR4_PAE | CR4_PKE },
	{ "CR8", ANY, CR, F(cr8), 15 },
	{ "XCR0 x87", ANY, CR, F(xcr0), 1 },
	{ "XCR0 all", ANY, CR, F(xcr0), 0x2e7 },
	{ "DR0 anything", ANY, DR, F(dr[0]), ~0ull },
	{ "DR7 all", ANY, DR, F(dr7), 0xffffffff },
	{ "EFER SCE", REAL | PROT, MSR, F(msr[JOIST_MSR_EFER]), EFER_SCE },
	{ "EFER LME waits for paging", REAL | PROT, MSR, F(msr[JOIST_MSR_EFER]), EFER_LME },
	{ "LSTAR", ANY, MSR, F(msr[JOIST_MSR_LSTAR]), 0xffff800000000000 },
	{ "STAR anything", ANY, MSR, F(msr[JOIST_MSR_STAR]), ~0ull },
	{ "SFMASK", ANY, MSR, F(msr[JOIST_MSR_SFMASK]), 0xffffffff },
	{ "PAT", ANY, MSR, F(msr[JOIST_MSR_PAT]), 0x0001040506070000 },
	{ "APIC_BASE x2APIC", ANY, MSR, F(msr[JOIST_MSR_APIC_BASE]), 0xfee00d00 },
	{ "TSC_AUX", ANY, MSR, F(msr[JOIST_MSR_TSC_AUX]), 0xffffffff },
	{ "SPEC_CTRL", ANY, MSR, F(msr[JOIST_MSR_SPEC_CTRL]), 7 },
	{ "TSC_ADJUST", ANY, MSR, F(msr[JOIST_MSR_TSC_ADJUST]), ~0ull },
	{ "halted", ANY, EVENT, F(activity), JOIST_VCPU_HALTED },
	{ "waits for SIPI", ANY, EVENT, F(activity), JOIST_VCPU_WAIT_SIPI },
	{ "STI shadow", PROT | LONG, EVENT, F(interruptibility), JOIST_SHADOW_STI },
	{ "MOV SS shadow with IF clear", REAL, EVENT, F(interruptibility), JOIST_SHADOW_MOVSS },
	{ "NMI blocked", ANY, EVENT, F(interruptibility), JOIST_NMI_BLOCKED },
	{ "NMI pending", ANY, EVENT, F(interruptibility), JOIST_NMI_PENDING | JOIST_NMI_BLOCKED },
	{ "interrupt", PROT | LONG, EVENT, F(event), EV(0, 0xec) },
	{ "NMI", ANY, EVENT, F(event), EV(2, 2) },
	{ "#UD", ANY, EVENT, F(event), EV(3, 6) },
	{ "#PF", ANY, EVENT, F(event), EV(3, 14) | JOIST_EVENT_ERROR },
	{ "#AC", ANY, EVENT, F(event), EV(3, 17) | JOIST_EVENT_ERROR },
	{ "#DF", ANY, EVENT, F(event), EV(3, 8) | JOIST_EVENT_ERROR },
};

static struct joist_regs changed(const struct joist_regs *r, const struct change *c)
{
	struct joist_regs n = *r;

	memcpy((char *)&n + c->offset, &c->val, c->size);
	return n;
}

static void test_illegal_refused(void **state)
{
	static struct snapshot before;
	struct joist_regs r, bad;
	unsigned s, i;

	for (s = 0; s < ARRAY_SIZE(states); s++) {
		start(state);
		r = states[s]();
		assert_int_equal(write(ALL, &r), 0);
		snap(&before);
		for (i = 0; i < ARRAY_SIZE(illegal); i++) {
			if (!(illegal[i].in & BIT(s)))
				continue;
			bad = changed(&r, &illegal[i]);
			if (write(ALL, &bad) != -EINVAL)
				fail_msg("%s was taken, state %u", illegal[i].name, s);
			unchanged(&before, illegal[i].name);
			if (write(illegal[i].mask, &bad) != -EINVAL)
				fail_msg("%s was taken alone, state %u", illegal[i].name, s);
			unchanged(&before, illegal[i].name);
			if (reset(ALL, &bad) != -EINVAL)
				fail_msg("%s was taken by a reset, state %u", illegal[i].name, s);
			unchanged(&before, illegal[i].name);
			/* It counts only if its group is written. */
			if (write(ALL & ~illegal[i].mask, &bad))
				fail_msg("%s was looked at, state %u", illegal[i].name, s);
			assert_int_equal(write(ALL, &r), 0);
			snap(&before);
		}
	}
}

static void same_regs(struct joist_regs a, struct joist_regs b, const char *what)
{
	unsigned i;

	a.tsc = b.tsc = 0;
	for (i = 0; i < sizeof(a); i++)
		if (((u8 *)&a)[i] != ((u8 *)&b)[i])
			fail_msg("%s: read back differs at byte %u", what, i);
}

static void test_legal_taken_and_read_back(void **state)
{
	struct joist_regs r, good;
	unsigned s, i;

	for (s = 0; s < ARRAY_SIZE(states); s++)
		for (i = 0; i < ARRAY_SIZE(legal); i++) {
			if (!(legal[i].in & BIT(s)))
				continue;
			start(state);
			r = states[s]();
			good = changed(&r, &legal[i]);
			if (write(ALL, &good))
				fail_msg("%s was refused, state %u", legal[i].name, s);
			same_regs(read(ALL), good, legal[i].name);
			/* Alone, over the state without it; and by a reset. */
			start(state);
			assert_int_equal(write(ALL, &r), 0);
			if (write(legal[i].mask, &good))
				fail_msg("%s alone was refused, state %u", legal[i].name, s);
			same_regs(read(ALL), good, legal[i].name);
			if (reset(ALL, &good))
				fail_msg("%s was refused by a reset, state %u", legal[i].name, s);
			same_regs(read(ALL), good, legal[i].name);
		}
}

static void test_masks(void **state)
{
	static struct snapshot before;
	struct joist_regs_args a = {};
	struct hc_context c = { .vm = &the_vm, .vcpu = vcpu };
	hc_handler calls[] = { hc_readregs, hc_writeregs, hc_resetcpu };
	struct joist_regs r = long_mode(), got, none = {};
	unsigned i, m;

	snap(&before);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		a = (struct joist_regs_args){ .mask = ALL + 1, .regs = r };
		assert_int_equal(calls[i](&c, &a), -EINVAL);
		a = (struct joist_regs_args){ .mask = BIT(31), .regs = r };
		assert_int_equal(calls[i](&c, &a), -EINVAL);
		a = (struct joist_regs_args){ .mask = ALL, .reserved = 1, .regs = r };
		assert_int_equal(calls[i](&c, &a), -EINVAL);
	}
	assert_int_equal(write(0, &r), 0);
	unchanged(&before, "mask 0");

	/* A group that is not asked for reads as zeros, and is not written. */
	assert_int_equal(write(ALL, &r), 0);
	for (m = 0; m <= ALL; m++) {
		got = read(m);
		assert_int_equal(got.rip, m & GPR ? r.rip : 0);
		assert_int_equal(got.seg[JOIST_CS].attr, m & SEG ? r.seg[JOIST_CS].attr : 0);
		assert_int_equal(got.cr3, m & CR ? r.cr3 : 0);
		assert_int_equal(got.dr6, m & DR ? r.dr6 : 0);
		assert_int_equal(got.msr[JOIST_MSR_LSTAR], m & MSR ? r.msr[JOIST_MSR_LSTAR] : 0);
		if (!m)
			assert_memory_equal(&got, &none, sizeof(got));
	}
	for (m = 1; m <= ALL; m <<= 1) {
		assert_int_equal(write(m, &r), 0);
		same_regs(read(ALL), r, "one group");
	}
}

/* Whatever is read can be written: else a snapshot could not be restored. */
static void test_what_is_read_can_be_written(void **state)
{
	unsigned i;
	struct joist_regs r;

	for (i = 0; i < 2; i++) {
		vcpu = the_vm.vcpu[i];
		r = read(ALL);
		assert_int_equal(write(ALL, &r), 0);
		same_regs(read(ALL), r, "power-on state");
	}
	vcpu = the_vm.vcpu[0];
	/* After MOV SS with interrupts off: one bit of SVM, not STI's. */
	vcpu->svm.vmcb->shadow = 1;
	assert_int_equal(vcpu->rflags & RFLAGS_IF, 0);
	r = read(ALL);
	assert_int_equal(r.interruptibility, JOIST_SHADOW_MOVSS);
	assert_int_equal(write(ALL, &r), 0);
	assert_int_equal(vcpu->svm.vmcb->shadow, 1);
	vcpu->rflags |= RFLAGS_IF;
	r = read(ALL);
	assert_int_equal(r.interruptibility, JOIST_SHADOW_STI);
	assert_int_equal(write(ALL, &r), 0);

	event_exception_error(vcpu, EXC_GP, 0x18);
	r = read(ALL);
	assert_int_equal(r.event, EV(3, 13) | JOIST_EVENT_ERROR);
	assert_int_equal(r.event_error, 0x18);
	assert_int_equal(write(ALL, &r), 0);
	event_exception(vcpu, EXC_DE);
	r = read(ALL);
	assert_int_equal(write(ALL, &r), 0);
}

/* An INIT posted before the read shows in all groups, or in none. */
static void test_read_is_of_one_moment(void **state)
{
	struct joist_regs r = long_mode();

	vcpu = the_vm.vcpu[1];
	assert_int_equal(write(ALL, &r), 0);
	event_post(vcpu, POST_INIT);
	r = read(ALL);
	assert_int_equal(r.activity, JOIST_VCPU_WAIT_SIPI);
	assert_int_equal(r.rip, 0xfff0);
	assert_int_equal(r.rflags, RFLAGS_ONE);
	assert_int_equal(r.cr0 & CR0_PG, 0);
	assert_int_equal(r.msr[JOIST_MSR_EFER], 0);
}

/* Switching the LAPIC off clears its TPR; the CR8 that is written stays. */
static void test_apic_off_keeps_cr8(void **state)
{
	struct joist_regs r = long_mode();

	r.msr[JOIST_MSR_APIC_BASE] = 0xfee00100;
	r.cr8 = 9;
	assert_int_equal(write(ALL, &r), 0);
	same_regs(read(ALL), r, "LAPIC off");
	assert_int_equal(reset(ALL, &r), 0);
	same_regs(read(ALL), r, "LAPIC off, by a reset");
}

static void test_write_revives(void **state)
{
	struct joist_regs r = long_mode();

	vcpu->dead = JOIST_EXIT_SHUTDOWN;
	r.rip = NON_CANONICAL;
	assert_int_equal(write(GPR, &r), -EINVAL);
	assert_int_equal(vcpu->dead, JOIST_EXIT_SHUTDOWN);
	vcpu->pending.kind = PENDING_IO;
	r.rip = 0x1000;
	assert_int_equal(write(GPR, &r), 0);
	assert_int_equal(vcpu->dead, 0);
	assert_int_equal(vcpu->pending.kind, PENDING_NONE);
}

/* Interrupts off by a new RFLAGS end an STI shadow that is still there. */
static void test_rflags_end_the_sti_shadow(void **state)
{
	struct joist_regs r = long_mode();

	r.interruptibility = JOIST_SHADOW_STI;
	assert_int_equal(write(ALL, &r), 0);
	r.rflags = RFLAGS_ONE;
	assert_int_equal(write(GPR, &r), 0);
	assert_int_equal(read(ALL).interruptibility, 0);
}

static void test_reset(void **state)
{
	struct joist_regs first = read(ALL), r = long_mode();
	static struct snapshot before;

	assert_int_equal(write(ALL, &r), 0);
	assert_int_equal(reset(0, &r), 0);
	same_regs(read(ALL), first, "reset");

	/* Groups left out are as after power-on, and are judged so. */
	assert_int_equal(write(ALL, &r), 0);
	snap(&before);
	assert_int_equal(reset(MSR, &r), -EINVAL);	/* LMA without paging */
	unchanged(&before, "reset");
	assert_int_equal(reset(CR, &r), 0);		/* paging, 32 bits, with PAE */
	assert_int_equal(read(ALL).msr[JOIST_MSR_EFER], 0);
	assert_int_equal(read(ALL).rip, first.rip);
	assert_int_equal(reset(CR | MSR, &r), 0);
	assert_int_equal(read(ALL).cr3, r.cr3);
}

/* What the vCPU was before has no say in what it may be after a reset. */
static void test_reset_forgets(void **state)
{
	struct joist_regs r = long_mode(), x2 = r, off = r;
	static struct snapshot before;

	r.msr[JOIST_MSR_APIC_BASE] = 0xfee00900;
	x2.msr[JOIST_MSR_APIC_BASE] = 0xfee00d00;
	off.msr[JOIST_MSR_APIC_BASE] = 0xfee00100;
	/* WRITEREGS goes the ways that WRMSR goes; RESETCPU starts anew. */
	assert_int_equal(write(ALL, &x2), 0);
	assert_int_equal(write(ALL, &r), -EINVAL);
	assert_int_equal(reset(ALL, &r), 0);
	assert_int_equal(read(ALL).msr[JOIST_MSR_APIC_BASE], 0xfee00900);
	assert_int_equal(write(ALL, &off), 0);
	assert_int_equal(write(ALL, &x2), -EINVAL);
	assert_int_equal(reset(ALL, &x2), 0);
	assert_int_equal(read(ALL).msr[JOIST_MSR_APIC_BASE], 0xfee00d00);

	/* VM86 mode is over. */
	r = v8086_mode();
	assert_int_equal(reset(ALL, &r), 0);
	r = long_mode();
	assert_int_equal(reset(ALL & ~GPR, &r), 0);
	/* So is IF: no STI shadow without it. */
	assert_int_equal(write(ALL, &r), 0);
	r.interruptibility = JOIST_SHADOW_STI;
	snap(&before);
	assert_int_equal(reset(ALL & ~GPR, &r), -EINVAL);
	unchanged(&before, "reset");
}

static void test_random_bytes(void **state)
{
	static struct snapshot before;
	struct joist_regs r, base;
	unsigned i, k, taken = 0;

	base = long_mode();
	assert_int_equal(write(ALL, &base), 0);
	for (i = 0; i < 20000; i++) {
		u32 m = (u32)rnd_below(ALL + 1);
		int err;

		base = read(ALL);
		r = base;
		for (k = 1 + rnd_below(3); k--; )
			((u8 *)&r)[rnd_below(sizeof(r))] ^= (u8)BIT(rnd_below(8));
		snap(&before);
		err = write(m, &r);
		if (err) {
			assert_int_equal(err, -EINVAL);
			unchanged(&before, "random change");
			continue;
		}
		taken += m != 0;
		/* What was taken is entered next: it must pass as a whole. */
		r = read(ALL);
		if (write(ALL, &r))
			fail_msg("state %u was taken in part, and is refused as a whole", i);
	}
	assert_true(taken > 1000);
}

static int xcall(hc_handler f, struct joist_xstate *a)
{
	struct hc_context c = { .vm = &the_vm, .vcpu = vcpu };

	return f(&c, a);
}

static void test_xstate(void **state)
{
	static struct joist_xstate a, b;
	static struct snapshot before;

	a = (struct joist_xstate){ .size = xstate_size() };
	assert_int_equal(xcall(hc_readxstate, &a), 0);
	assert_int_equal(a.data[0] | a.data[1] << 8, 0x37f);
	assert_int_equal(xcall(hc_writexstate, &a), 0);
	a.data[160] = 0x77;			/* XMM0 */
	a.data[512] = 3;			/* XSTATE_BV */
	assert_int_equal(xcall(hc_writexstate, &a), 0);
	b.size = xstate_size();
	assert_int_equal(xcall(hc_readxstate, &b), 0);
	assert_memory_equal(a.data, b.data, a.size);

	snap(&before);
	b = a; b.size--;
	assert_int_equal(xcall(hc_writexstate, &b), -EINVAL);
	assert_int_equal(xcall(hc_readxstate, &b), -EINVAL);
	b = a; b.size = ~0u;
	assert_int_equal(xcall(hc_writexstate, &b), -EINVAL);
	b = a; b.reserved = 1;
	assert_int_equal(xcall(hc_writexstate, &b), -EINVAL);
	b = a; b.data[26] = 1;			/* MXCSR bit 16 */
	assert_int_equal(xcall(hc_writexstate, &b), -EINVAL);
	b = a; b.data[512] |= 8;		/* a component guests have not */
	assert_int_equal(xcall(hc_writexstate, &b), -EINVAL);
	b = a; b.data[519] = 0x80;
	assert_int_equal(xcall(hc_writexstate, &b), -EINVAL);
	b = a; b.data[527] = 0x80;		/* compacted form */
	assert_int_equal(xcall(hc_writexstate, &b), -EINVAL);
	b = a; b.data[575] = 1;
	assert_int_equal(xcall(hc_writexstate, &b), -EINVAL);
	unchanged(&before, "xstate");
}

/* SDM, "Checks on Guest RIP, RFLAGS, and SSP": no interrupt goes in without IF. */
static void test_interrupt_waits_for_if(void **state)
{
	const u32 intr = JOIST_EVENT_VALID | 0x41;
	const u32 ud = JOIST_EVENT_VALID | JOIST_EVENT_TYPE(3) | EXC_UD;
	struct joist_regs r = long_mode();

	assert_int_equal(write(ALL, &r), 0);
	/* Its delivery was cut short by an exit. */
	vcpu->reinject.info = intr;
	assert_int_equal(write(JOIST_REGS_GPR, &r), 0);
	assert_int_equal(vcpu->reinject.info, intr);
	r.rflags &= ~RFLAGS_IF;
	assert_int_equal(write(JOIST_REGS_GPR, &r), 0);
	assert_int_equal(vcpu->reinject.info, 0);
	assert_int_equal(vcpu->extint, intr);
	assert_int_equal(read(JOIST_REGS_EVENT).event, intr);
	vcpu->extint = 0;
	vcpu->reinject.info = ud;
	assert_int_equal(write(JOIST_REGS_GPR, &r), 0);
	assert_int_equal(vcpu->reinject.info, ud);
	vcpu->reinject.info = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_illegal_refused, start),
		cmocka_unit_test_setup(test_legal_taken_and_read_back, start),
		cmocka_unit_test_setup(test_masks, start),
		cmocka_unit_test_setup(test_what_is_read_can_be_written, start),
		cmocka_unit_test_setup(test_read_is_of_one_moment, start),
		cmocka_unit_test_setup(test_apic_off_keeps_cr8, start),
		cmocka_unit_test_setup(test_write_revives, start),
		cmocka_unit_test_setup(test_rflags_end_the_sti_shadow, start),
		cmocka_unit_test_setup(test_interrupt_waits_for_if, start),
		cmocka_unit_test_setup(test_reset, start),
		cmocka_unit_test_setup(test_reset_forgets, start),
		cmocka_unit_test_setup(test_random_bytes, start),
		cmocka_unit_test_setup(test_xstate, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
