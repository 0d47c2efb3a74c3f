/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * isolate.c -- what the control VM itself must not be able to do: use VMX or
 * SVM, reach the hypervisor's memory or the pool, upset its core.
 */
#include "guests/selftest/cases/case.h"

static void isolate_cpuid(void)
{
	u32 r[4], max;

	cpuid(1, 0, r);
	CHECK(!(r[2] & BIT(5)), "CPUID shows VMX");
	CHECK(!(r[2] & BIT(6)), "CPUID shows SMX");
	CHECK(r[2] & BIT(31), "CPUID does not show a hypervisor");
	CHECK_EQ(r[1] >> 24, this_cpu()->apic_id & 0xff, "initial APIC id");
	CHECK_EQ((r[2] >> 27) & 1, read_cr4() / CR4_OSXSAVE & 1, "OSXSAVE");
	cpuid(0x80000000, 0, r);
	max = r[0];
	/* Its second-level tables reach no further. */
	cpuid(0x80000008, 0, r);
	CHECK(max < 0x80000008 || (r[0] & 0xff) <= 48, "CPUID shows %u physical bits",
	      r[0] & 0xff);
	cpuid(0x80000001, 0, r);
	CHECK(!(r[2] & BIT(2)), "CPUID shows SVM");
	CHECK(!(r[2] & BIT(12)), "CPUID shows SKINIT");
	if (max >= 0x8000000a) {
		cpuid(0x8000000a, 0, r);
		CHECK(!(r[0] | r[1] | r[2] | r[3]), "CPUID's SVM leaf is %x "
		      "%x %x %x", r[0], r[1], r[2], r[3]);
	}
	/* Whoever Joist is a guest of is not to be seen. */
	for (max = 0x40000000; max < 0x40000030; max++) {
		cpuid(max, 0, r);
		CHECK(!(r[0] | r[1] | r[2] | r[3]), "CPUID 0x%x is %x %x %x %x", max, r[0],
		      r[1], r[2], r[3]);
	}
}

/* What writes memory at addresses of its own, or what Joist does not know. */
static void isolate_cpuid_hidden(void)
{
	static const struct {
		u32 leaf, sub, reg, bits;
		const char *name;
	} hidden[] = {
		{ 1, 0, 2, BIT(2) | BIT(4), "DTES64, DS_CPL" },
		{ 1, 0, 3, BIT(21), "DS" },
		{ 6, 0, 0, BIT(19) | BIT(23), "HFI" },
		{ 7, 0, 1, BIT(1), "TSC_ADJUST" },
		{ 7, 0, 1, BIT(2) | BIT(25), "SGX, PT" },
		{ 7, 0, 2, BIT(13) | BIT(16) | BIT(29) | BIT(31), "TME, LA57, ENQCMD, PKS" },
		{ 7, 0, 3, BIT(5) | BIT(18) | BIT(19), "UINTR, PCONFIG, LBR" },
		{ 7, 1, 0, BIT(17) | BIT(26), "FRED, LAM" },
		{ 0xd, 0, 0, BIT(3) | BIT(4) | BIT(8), "MPX, PT" },
		{ 0xd, 1, 2, BIT(8), "PT" },
		{ 0x80000001, 0, 2, BIT(15), "LWP" },
		{ 0x80000008, 0, 1, BIT(3), "INVLPGB" },
	};
	static const u32 none[] = { 0x12, 0x14, 0x19, 0x1c, 0x23, 0x8000001c, 0x8000001f };
	u32 r[4], i;

	for (i = 0; i < ARRAY_SIZE(hidden); i++) {
		cpuid(hidden[i].leaf, hidden[i].sub, r);
		CHECK(!(r[hidden[i].reg] & hidden[i].bits), "CPUID 0x%x shows %s", hidden[i].leaf,
		      hidden[i].name);
	}
	for (i = 0; i < ARRAY_SIZE(none); i++) {
		cpuid(none[i], 0, r);
		CHECK(!(r[0] | r[1] | r[2] | r[3]), "CPUID leaf 0x%x is shown", none[i]);
	}
}

/* The compacted form ends where CPUID says, with the last component in use. */
static void isolate_xsave_size(void)
{
	static u8 area[4096] __aligned(64);
	u32 r[4], i, size;
	u64 old, xcr0;

	cpuid(1, 0, r);
	if (!(r[2] & BIT(26)))
		skip("no XSAVE");
	cpuid(0xd, 0, r);
	CHECK(r[1] <= r[2], "CPUID 0Dh: %u enabled, %u in all", r[1], r[2]);
	xcr0 = r[0] & 7;
	cpuid(0xd, 1, r);
	if (!(r[0] & BIT(1)))
		skip("no XSAVEC");
	old = xgetbv(0);
	CHECK_EQ(try_xsetbv(0, xcr0), NOFAULT, "XCR0");
	cpuid(0xd, 1, r);
	size = r[1];
	memset(area, 0xa5, sizeof(area));
	if (xcr0 & 4)
		asm volatile("vpcmpeqd %xmm0, %xmm0, %xmm0; vinsertf128 $1, %xmm0, %ymm0, %ymm0");
	asm volatile("xsavec64 (%0)" : : "r"(area), "a"(~0), "d"(~0) : "memory");
	if (xcr0 & 4)
		asm volatile("vzeroall");
	CHECK_EQ(try_xsetbv(0, old), NOFAULT, "XCR0 restored");
	CHECK_EQ(size, xcr0 & 4 ? 832 : 576, "compacted size");
	for (i = size; i < sizeof(area); i++)
		CHECK(area[i] == 0xa5, "XSAVEC wrote at %u, CPUID says %u", i, size);
}

#define INSNS(I)							\
	I("vmrun") I("vmload") I("vmsave") I("stgi") I("clgi") I("skinit") \
	I("invlpga") I("vmlaunch") I("vmresume") I("vmxoff")		\
	I("vmread %%rax, %%rcx") I("vmwrite %%rax, %%rcx")		\
	I(".byte 0xf3, 0x0f, 0xc7, 0x34, 0x24")	/* vmxon (%rsp) */	\
	I(".byte 0x66, 0x0f, 0xc7, 0x34, 0x24")	/* vmclear (%rsp) */	\
	I(".byte 0x0f, 0xc7, 0x34, 0x24")	/* vmptrld (%rsp) */	\
	I(".byte 0x0f, 0xc7, 0x3c, 0x24")	/* vmptrst (%rsp) */	\
	I(".byte 0x0f, 0x01, 0xd4")		/* vmfunc */		\
	I("invept (%%rsp), %%rax") I("invvpid (%%rsp), %%rax")		\
	I(".byte 0x0f, 0x37")			/* getsec */

static void isolate_insns(void)
{
	u32 f;

#define I(insn)								\
	f = TRY_PLAIN("xorl %%eax, %%eax\n\t" insn);			\
	CHECK(f == FAULT(X_UD), "'%s' gives 0x%x", insn, f);
	INSNS(I)
#undef I
}

static void isolate_msrs(void)
{
	static volatile u8 page[4096] __aligned(4096);
	u64 val, efer = rdmsr(MSR_EFER), cr4 = read_cr4();
	u32 m, f;

	CHECK(!(efer & EFER_SVME), "EFER.SVME is visible");
	f = try_wrmsr(MSR_EFER, efer | EFER_SVME);
	CHECK(f == FAULT(X_GP), "EFER.SVME set gives 0x%x", f);
	CHECK_EQ(rdmsr(MSR_EFER), efer, "EFER");
	CHECK(!(cr4 & CR4_VMXE), "CR4.VMXE is visible");
	if (cr0_checked()) {
		f = try_write_cr4(cr4 | CR4_VMXE);
		CHECK(f == FAULT(X_GP), "CR4.VMXE set gives 0x%x", f);
		CHECK_EQ(read_cr4(), cr4, "CR4");
	}
	for (m = MSR_VMX_BASIC; m <= MSR_VMX_LAST; m++) {
		f = try_rdmsr(m, &val);
		CHECK(f == FAULT(X_GP), "RDMSR 0x%x gives 0x%x, 0x%lx", m, f,
		      val);
		f = try_wrmsr(m, 0);
		CHECK(f == FAULT(X_GP), "WRMSR 0x%x gives 0x%x", m, f);
	}
	static const u32 svm[] = {
		MSR_VM_CR, MSR_VM_HSAVE_PA, 0xc0010115, 0xc0010116, 0xc0010118,
	};
	for (m = 0; m < ARRAY_SIZE(svm); m++) {
		f = try_rdmsr(svm[m], &val);
		CHECK(f == FAULT(X_GP), "RDMSR 0x%x gives 0x%x, 0x%lx",
		      svm[m], f, val);
		f = try_wrmsr(svm[m], 0);
		CHECK(f == FAULT(X_GP), "WRMSR 0x%x gives 0x%x", svm[m], f);
	}
	f = try_rdmsr(MSR_FEATURE_CONTROL, &val);
	CHECK(f == FAULT(X_GP) || !(val & 6), "FEATURE_CONTROL is 0x%lx", val);
	/* No KVM paravirtualization here: like an MSR that is not there. */
	f = try_wrmsr(MSR_KVM_SYSTEM_TIME, (u64)page | 1);
	CHECK(f == try_wrmsr(0x4b564d7f, 0), "kvmclock in the control VM "
	      "gives 0x%x", f);
	for (m = 0; m < sizeof(page); m++)
		CHECK(!page[m], "kvmclock wrote into the control VM");
}

/* Not to be read, not to be written: as if the CPU had none. */
static void isolate_msrs_hidden(void)
{
	static const u32 hidden[] = {
		0x11, 0x12, 0x3f1, 0x560, 0x561, 0x570, 0x571, 0x580, 0x600, 0x17d0, 0x17d1,
		0x40000000, 0x40000001, 0x40000073, 0x4b564d00, 0x4b564d01, 0x4b564d02,
		0x4b564d03, 0x4b564d04,
	};
	static volatile u8 page[4096] __aligned(4096);
	u64 val;
	u32 i, f;

	for (i = 0; i < ARRAY_SIZE(hidden); i++) {
		f = try_rdmsr(hidden[i], &val);
		CHECK(f == FAULT(X_GP), "RDMSR 0x%x gives 0x%x, 0x%lx", hidden[i], f, val);
		f = try_wrmsr(hidden[i], (u64)page | 1);
		CHECK(f == FAULT(X_GP), "WRMSR 0x%x gives 0x%x", hidden[i], f);
	}
	for (i = 0; i < sizeof(page); i++)
		CHECK(!page[i], "something wrote into the control VM");
}

/* Read as they are, and can be written as they are, if at all; no further. */
static void isolate_msrs_kept(void)
{
	static const struct {
		u32 first, last;
		u64 change;
	} kept[] = {
		{ 0x3b, 0x3b, 1000 },			/* TSC_ADJUST */
		{ 0x33, 0x33, BIT(29) },		/* TEST_CTRL */
		{ 0x150, 0x150, 1 },
		{ 0x200, 0x20f, BIT(20) },		/* MTRRs */
		{ 0x250, 0x250, 1 }, { 0x258, 0x259, 1 }, { 0x268, 0x26f, 1 }, { 0x2ff, 0x2ff, 1 },
		{ 0xc0010010, 0xc0010010, BIT(18) },
		{ 0xc0010016, 0xc001001a, BIT(24) }, { 0xc001001d, 0xc001001d, BIT(24) },
		{ 0xc0010058, 0xc0010058, 1 }, { 0xc0010111, 0xc0010113, BIT(20) },
	};
	u64 now, val;
	u32 i, m, f, there = 0;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		for (m = kept[i].first; m <= kept[i].last; m++) {
			if (try_rdmsr(m, &now))
				continue;
			there++;
			f = try_wrmsr(m, now ^ kept[i].change);
			CHECK(f == FAULT(X_GP), "WRMSR 0x%x gives 0x%x", m, f);
			CHECK(!try_rdmsr(m, &val) && val == now, "MSR 0x%x was 0x%lx, is 0x%lx",
			      m, now, val);
			f = try_wrmsr(m, now);
			CHECK(!f, "MSR 0x%x, the same value again: 0x%x", m, f);
		}
	CHECK(there, "none of these MSRs is there");
	/* MTRRs are switched off while they are written back. */
	if (!try_rdmsr(0x2ff, &now)) {
		CHECK(!try_wrmsr(0x2ff, now & ~0xcffull), "MTRRs off");
		CHECK_EQ(rdmsr(0x2ff), now, "MTRR_DEF_TYPE");
	}
	/* No time goes back. */
	now = rdtsc();
	f = try_wrmsr(0x10, now + BIT(60));
	CHECK(f == FAULT(X_GP), "WRMSR TSC gives 0x%x", f);
	CHECK(rdtsc() - now < BIT(60), "the TSC was written");
	if (!try_rdmsr(0x1a0, &now))
		CHECK((now & (BIT(11) | BIT(12))) == (BIT(11) | BIT(12)) ||
		      !try_rdmsr(0xc0010010, &val), "MISC_ENABLE 0x%lx offers BTS or PEBS", now);
	if (!try_rdmsr(0x1d9, &now)) {
		f = try_wrmsr(0x1d9, now | BIT(6) | BIT(7));
		CHECK(f == FAULT(X_GP), "branch traces give 0x%x", f);
	}
	f = try_wrmsr(0xda0, BIT(8));
	CHECK(f == FAULT(X_GP), "XSS with PT's state gives 0x%x", f);
}

/* What an OS does all day still works. */
static void isolate_msrs_own(void)
{
	static const u32 own[] = { 0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083,
				   0xc0000084, 0xc0000102 };
	u64 now;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(own); i++) {
		now = rdmsr(own[i]);
		CHECK(!try_wrmsr(own[i], now ^ 0x10), "MSR 0x%x is refused", own[i]);
		CHECK_EQ(rdmsr(own[i]), now ^ 0x10, "an MSR of its own");
		CHECK(!try_wrmsr(own[i], now), "MSR 0x%x", own[i]);
	}
	now = rdmsr(0x277);
	CHECK(!try_wrmsr(0x277, now ^ 0x0100000000000000), "PAT");
	CHECK_EQ(rdmsr(0x277), now ^ 0x0100000000000000, "PAT");
	CHECK(!try_wrmsr(0x277, now), "PAT");
}

/* EFER's other bits stay the control VM's own. */
static void isolate_efer(void)
{
	u64 efer = rdmsr(MSR_EFER);

	CHECK_EQ(try_wrmsr(MSR_EFER, efer | EFER_SCE), NOFAULT, "EFER.SCE");
	CHECK_EQ(rdmsr(MSR_EFER), efer | EFER_SCE, "EFER");
	CHECK_EQ(try_wrmsr(MSR_EFER, efer | EFER_NX), NOFAULT, "EFER.NX");
	CHECK_EQ(rdmsr(MSR_EFER), efer | EFER_NX, "EFER");
	CHECK_EQ(try_wrmsr(MSR_EFER, efer | BIT(63)), FAULT(X_GP),
		 "EFER bit 63");
	CHECK_EQ(try_wrmsr(MSR_EFER, efer & ~EFER_LME), FAULT(X_GP),
		 "EFER.LME cleared");
	CHECK_EQ(try_wrmsr(MSR_EFER, efer), NOFAULT, "EFER restored");
	CHECK_EQ(rdmsr(MSR_EFER), efer, "EFER");
}

static void isolate_cr(void)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4();
	u32 i, f;

	for (i = 0; i < 4; i++) {
		write_cr0(cr0 | CR0_CD);
		CHECK_EQ(read_cr0(), cr0 | CR0_CD, "CR0.CD");
		write_cr0(cr0 | CR0_CD | CR0_NW);
		CHECK_EQ(read_cr0(), cr0 | CR0_CD | CR0_NW, "CR0.NW");
		write_cr0(cr0);
		write_cr0(cr0 & ~CR0_WP);
		CHECK_EQ(read_cr0(), cr0 & ~CR0_WP, "CR0.WP");
		write_cr0(cr0 | CR0_TS);
		asm volatile("clts");
		CHECK_EQ(read_cr0(), cr0, "CR0 after CLTS");
		write_cr4(cr4 ^ CR4_PGE);
		CHECK_EQ(read_cr4(), cr4 ^ CR4_PGE, "CR4.PGE");
		write_cr4(cr4);
	}
	if (cr0_checked()) {
		/* A KVM outside that emulates it drops what is above bit 31. */
		f = try_write_cr0(cr0 | BIT(40));
		CHECK(f == FAULT(X_GP) || f == NOFAULT, "CR0 bit 40 gives 0x%x",
		      f);
		CHECK_EQ(read_cr0(), cr0, "CR0 after bit 40");
		CHECK_EQ(try_write_cr4(cr4 & ~CR4_PAE), FAULT(X_GP),
			 "PAE cleared");
		CHECK_EQ(try_write_cr4(cr4 | BIT(31)), FAULT(X_GP),
			 "CR4 bit 31");
		/* KVM leaves it to the CPU, and QEMU's takes the low bits. */
		f = try_write_cr8(16);
		CHECK(f == FAULT(X_GP) || (f == NOFAULT && !read_cr8()),
		      "CR8 of 16 gives 0x%x", f);
	}
	write_cr8(7);
	CHECK_EQ(read_cr8(), 7, "CR8");
	CHECK_EQ(apic_read(0x80), 0x70, "TPR of CR8");
	write_cr8(0);
	asm volatile("wbinvd");
	CHECK_EQ(read_cr0(), cr0, "CR0");
	CHECK_EQ(read_cr4(), cr4, "CR4");
}

static void isolate_xcr0(void)
{
	u32 r[4];
	u64 old;

	cpuid(1, 0, r);
	if (!(r[2] & BIT(26)))
		skip("no XSAVE");
	old = xgetbv(0);
	CHECK_EQ(try_xsetbv(0, 0), FAULT(X_GP), "XCR0 of 0");
	CHECK_EQ(try_xsetbv(0, BIT(63) | 1), FAULT(X_GP), "XCR0 bit 63");
	CHECK_EQ(try_xsetbv(7, 1), FAULT(X_GP), "XCR7");
	CHECK_EQ(try_xsetbv(0, 5), FAULT(X_GP), "AVX without SSE");
	CHECK_EQ(try_xsetbv(0, 1), NOFAULT, "XCR0 of 1");
	CHECK_EQ(xgetbv(0), 1, "XCR0");
	CHECK_EQ(try_xsetbv(0, old), NOFAULT, "XCR0 restored");
}

static u16 in16(u16 port)
{
	u16 v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void out16(u16 port, u16 v)
{
	asm volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

/* Whether AML has this name. */
static bool aml_has(const u8 *table, const char *name)
{
	u32 len, i;

	memcpy(&len, table + 4, 4);
	for (i = 36; i + 4 <= len; i++)
		if (!memcmp(table + i, name, 4))
			return true;
	return false;
}

/*
 * No sleep but power-off: in S3 memory stays, and the firmware would wake what
 * FACS names without a hypervisor.  Each type but the one of S5 is tried; where
 * that is not looked at, the machine sleeps here and the case does not end.
 */
static void isolate_sleep(void)
{
	const u8 *fadt = acpi_find(rsdp, "FACP"), *dsdt, *p;
	u32 event, control, type, off = 8, len, i, at;
	u16 before;

	if (!fadt)
		skip("no FADT");
	memcpy(&at, fadt + 40, 4);
	memcpy(&event, fadt + 56, 4);
	memcpy(&control, fadt + 64, 4);
	if (!control || !event)
		skip("no PM1 registers");
	dsdt = (const u8 *)(u64)at;
	CHECK(!aml_has(dsdt, "_S3_"), "the DSDT offers S3");
	CHECK(!aml_has(dsdt, "_S4_"), "the DSDT offers S4");
	for (i = 0, len = 0; i < *(const u32 *)(dsdt + 4); i++)
		len += dsdt[i];
	CHECK(!(len & 0xff), "the DSDT's checksum is wrong");
	/* The first element of \_S5: 0, 1, or a byte constant. */
	len = *(const u32 *)(dsdt + 4);
	for (p = dsdt + 36; p + 9 <= dsdt + len && off == 8; p++)
		if (!memcmp(p, "_S5_", 4) && p[4] == 0x12)
			off = p[7] == 0x0a ? p[8] : p[7];
	CHECK(off < 8, "the DSDT does not offer S5");
	before = in16((u16)control);
	for (type = 0; type < 8; type++) {
		if (type == off)
			continue;
		out16((u16)event, 0x8000);
		out16((u16)control, (u16)((before & ~0x3c00) | type << 10 | 0x2000));
		CHECK(in16((u16)event) & 0x8000, "sleep type %u has not woken", type);
		CHECK(!(in16((u16)control) & 0x2000), "SLP_EN is set");
		asm volatile("outb %0, %1" : : "a"((u8)(type << 2 | 0x20)),
			     "Nd"((u16)(control + 1)));
	}
	out16((u16)event, 0x8000);
	CHECK(!(in16((u16)event) & 0x8000), "WAK_STS stays");
	out16((u16)control, before);
	CHECK_EQ(in16((u16)control), before, "PM1_CNT");
}

static void isolate_apic_base(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	CHECK_EQ(base & ~0xfffull, 0xfee00000, "APIC base");
	CHECK_EQ(try_wrmsr(MSR_APIC_BASE, base ^ 0x1000), FAULT(X_GP),
		 "APIC relocation by a page");
	CHECK_EQ(try_wrmsr(MSR_APIC_BASE, (base & 0xfff) | 16 * MiB),
		 FAULT(X_GP), "APIC relocation into RAM");
	CHECK_EQ(rdmsr(MSR_APIC_BASE), base, "APIC_BASE");
	CHECK_EQ(try_wrmsr(MSR_APIC_BASE, base), NOFAULT,
		 "APIC_BASE unchanged");
}

/* A page of ours below 640 KiB. */
static u8 *low_page(void)
{
	u64 pa;

	for (pa = 0x8000; pa < 0x9f000; pa += PAGE_SIZE)
		if (memmap_is_ram(pa) && memmap_is_ram(pa + PAGE_SIZE - 1))
			return (u8 *)pa;
	fail("there is no RAM below 640 KiB");
}

/* Cores that Joist does not use: what we start there would run without it. */
static void isolate_parked(void)
{
	/* mov ax, cs; mov ds, ax; inc word [0x100]; cli; hlt; jmp $ - 1 */
	static const u8 stub[] = { 0x8c, 0xc8, 0x8e, 0xd8, 0xff, 0x06, 0x00, 0x01,
				   0xfa, 0xf4, 0xeb, 0xfd };
	static u8 saved[PAGE_SIZE];
	volatile u16 *ran;
	u8 *page;
	u32 i, n;
	u64 start;

	if (!other_core_count)
		skip("there is no core that is not in use");
	if (caps.vendor == JOIST_VENDOR_SVM && !cr0_checked())
		skip("QEMU's SVM resets a core upon INIT, whatever GIF says");
	page = low_page();
	ran = (u16 *)(page + 0x100);
	memcpy(saved, page, PAGE_SIZE);
	memset(page, 0, PAGE_SIZE);
	memcpy(page, stub, sizeof(stub));
	for (i = 0; i < other_core_count; i++)
		core_wake_up(other_cores[i], (u32)(u64)page);
	start = rdtsc();
	while (rdtsc() - start < us(200000) && !*ran)
		pause();
	n = *ran;
	if (!n)
		memcpy(page, saved, PAGE_SIZE);
	CHECK(!n, "%u cores run outside Joist", n);
}

static struct joist_memseg hidden;
static u32 hidden_vm;

/* A page of the pool that belongs to a guest and is not mapped here. */
static u8 *hidden_page(void)
{
	s64 ret = vm_create("hidden", 1, &hidden_vm);

	CHECK(!ret, "CREATE gives %ld", ret);
	/* Large, so that its first pages lie together. */
	ret = seg_alloc(hidden_vm, 0, 0, 4 * MiB);
	CHECK(!ret, "ALLOC gives %ld", ret);
	CHECK(!seg_query(hidden_vm, 0, 0, &hidden), "QUERY fails");
	CHECK(hidden.len >= 4 * PAGE_SIZE, "the segment is scattered: 0x%lx "
	      "bytes at 0x%lx", hidden.len, hidden.hpa);
	return (u8 *)hidden.hpa;
}

/* Nothing of what was tried has arrived. */
static void hidden_check(void)
{
	u64 *p = (u64 *)hidden.hpa, i;
	s64 ret = seg_call(HC_MEMSEG_MAP, hidden_vm, 0);

	CHECK(!ret, "MAP gives %ld", ret);
	for (i = 0; i < 4 * 512; i++)
		CHECK(!p[i], "word %lu of a forbidden page is 0x%lx now", i,
		      p[i]);
}

static void isolate_pool(void)
{
	u8 *p = hidden_page();
	static u8 buf[256] __aligned(64);
	struct joist_capabilities a = { 0 }, b = { 0 };
	u64 rsi, rdi, rcx, rax;
	u32 i;

	HC_OK(HC_CAPABILITIES, &a);
	/* Loads of all sizes. */
	CHECK_EQ(*(volatile u8 *)p, 0xff, "8-bit load");
	CHECK_EQ(*(volatile u16 *)(p + 2), 0xffff, "16-bit load");
	CHECK_EQ(*(volatile u32 *)(p + 4), 0xffffffff, "32-bit load");
	CHECK_EQ(*(volatile u64 *)(p + 8), ~0ull, "64-bit load");
	asm volatile("movzbl (%1), %%eax" : "=a"(rax) : "r"(p));
	CHECK_EQ(rax, 0xff, "MOVZX");
	asm volatile("movslq (%1), %%rax" : "=a"(rax) : "r"(p));
	CHECK_EQ(rax, ~0ull, "MOVSXD");
	rax = 0;
	asm volatile("movb (%1), %%ah" : "+a"(rax) : "r"(p));
	CHECK_EQ(rax, 0xff00, "MOV AH");
	/* Stores. */
	*(volatile u8 *)p = 1;
	*(volatile u16 *)(p + 2) = 2;
	*(volatile u32 *)(p + 4) = 3;
	*(volatile u64 *)(p + 8) = 4;
	asm volatile("movq $-5, 16(%0)" : : "r"(p) : "memory");
	asm volatile("movnti %1, 24(%0)" : : "r"(p), "r"(5ull) : "memory");
	/* Read-modify-write. */
	rax = 6;
	asm volatile("xchgq %0, (%1)" : "+a"(rax) : "r"(p) : "memory");
	asm volatile("lock addl $1, (%0)" : : "r"(p) : "memory", "cc");
	asm volatile("orb $1, (%0)" : : "r"(p) : "memory", "cc");
	asm volatile("incq (%0)" : : "r"(p) : "memory", "cc");
	asm volatile("lock btsl $3, (%0)" : : "r"(p) : "memory", "cc");
	/* String instructions, up and down, across pages. */
	rdi = (u64)buf;
	rsi = (u64)p + PAGE_SIZE - 16;
	rcx = 32;
	memset(buf, 0, sizeof(buf));
	asm volatile("rep movsb" : "+D"(rdi), "+S"(rsi), "+c"(rcx) : :
		     "memory");
	CHECK_EQ(rcx, 0, "RCX after REP MOVSB");
	for (i = 0; i < 32; i++)
		CHECK(buf[i] == 0xff, "REP MOVSB brings 0x%x", buf[i]);
	CHECK_EQ(buf[32], 0, "REP MOVSB wrote too far");
	rdi = (u64)p + PAGE_SIZE - 16;
	rsi = (u64)buf;
	rcx = 8;
	memset(buf, 0x77, 64);
	asm volatile("rep movsl" : "+D"(rdi), "+S"(rsi), "+c"(rcx) : :
		     "memory");
	CHECK_EQ(rdi, (u64)p + PAGE_SIZE + 16, "RDI after REP MOVSD");
	rdi = (u64)p;
	rcx = 3 * 512;
	asm volatile("rep stosq" : "+D"(rdi), "+c"(rcx) : "a"(0x4242) :
		     "memory");
	CHECK_EQ(rdi, (u64)p + 3 * PAGE_SIZE, "RDI after REP STOSQ");
	rdi = (u64)p + 64;
	rcx = 8;
	asm volatile("std; rep stosb; cld" : "+D"(rdi), "+c"(rcx) : "a"(1) :
		     "memory");
	CHECK_EQ(rdi, (u64)p + 56, "RDI after REP STOSB down");
	rsi = (u64)p;
	asm volatile("lodsq" : "+S"(rsi), "=a"(rax));
	CHECK_EQ(rax, ~0ull, "LODSQ");
	/* Page-crossing. */
	CHECK_EQ(*(volatile u64 *)(p + PAGE_SIZE - 3), ~0ull,
		 "page-crossing load");
	*(volatile u64 *)(p + PAGE_SIZE - 3) = 7;
	CHECK_EQ(*(volatile u64 *)(p - 0 + 2 * PAGE_SIZE - 1), ~0ull,
		 "page-crossing load");
	HC_OK(HC_CAPABILITIES, &b);
	CHECK(b.forbidden_reads >= a.forbidden_reads + 8,
	      "%lu forbidden reads counted",
	      b.forbidden_reads - a.forbidden_reads);
	CHECK(b.forbidden_writes >= a.forbidden_writes + 20,
	      "%lu forbidden writes counted",
	      b.forbidden_writes - a.forbidden_writes);
	hidden_check();
}

/* The register half of an exchange with memory that is not ours. */
static void isolate_pool_rmw(void)
{
	u8 *p = hidden_page();
	u64 rax = 6;

	asm volatile("xchgq %0, (%1)" : "+a"(rax) : "r"(p) : "memory");
	CHECK_EQ(rax, ~0ull, "XCHG brings");
	hidden_check();
}

/* The last bytes before the pool that are ours; NULL: none lie there. */
static volatile u32 *border(void)
{
	struct joist_pool pool = { 0 };
	volatile u32 *last;
	u32 old;

	while (!HC(HC_POOL, &pool)) {
		last = (volatile u32 *)(pool.hpa - 4);
		old = *last;
		*last = 0x13572468;
		if (*last == 0x13572468) {
			*last = old;
			return last;
		}
	}
	return NULL;
}

/* An access that is half ours: that half is as ever. */
static void isolate_pool_border(void)
{
	volatile u32 *own = border();
	volatile u64 *both = (volatile u64 *)own;
	u64 rax = 0x99aabbccddeeff00, rdi = (u64)own, old;

	if (!own)
		skip("no page of ours lies before the pool");
	old = *own;
	*both = 0x1122334455667788;
	CHECK_EQ(*own, 0x55667788, "MOV");
	CHECK_EQ(*both, 0xffffffff55667788, "what is read");
	asm volatile("addq $1, %0" : "+m"(*both) : : "cc");
	CHECK_EQ(*own, 0x55667789, "ADD");
	asm volatile("xchgq %0, %1" : "+a"(rax), "+m"(*both));
	CHECK_EQ(*own, 0xddeeff00, "XCHG");
	CHECK_EQ(rax, 0xffffffff55667789, "what XCHG brings");
	asm volatile("stosq" : "+D"(rdi) : "a"(0x0102030405060708) : "memory");
	CHECK_EQ(*own, 0x05060708, "STOSQ");
	CHECK_EQ(rdi, (u64)own + 8, "RDI after STOSQ");
	*own = (u32)old;
}

/* Instructions nobody will emulate: a fault or nothing, but no access. */
static void isolate_pool_other(void)
{
	u8 *p = hidden_page();
	u32 f, n = 0;

#define ODD(insn)							\
	if (option_number("verbose", 0) > 1)				\
		print("# %s\n", insn);					\
	TRY(f, insn, NO_OUT, [p] "r"(p), , "rax", "rbx", "rcx", "rdx",	\
	    "rsi", "rdi");						\
	n++;								\
	CHECK(!f || f == FAULT(X_GP) || f == FAULT(X_PF) ||		\
	      f == FAULT(X_UD), "'%s' gives 0x%x", insn, f);
	ODD("movups %%xmm0, (%[p])")
	ODD("movaps %%xmm0, 64(%[p])")
	ODD("movups (%[p]), %%xmm0")
	ODD("movntdq %%xmm0, (%[p])")
	ODD("cmpxchg %%rcx, (%[p])")
	ODD("lock cmpxchg8b (%[p])")
	ODD("lock cmpxchg16b (%[p])")
	ODD("lock xaddq %%rax, (%[p])")
	ODD("fxsave (%[p])")
	ODD("fstpl (%[p])")
	ODD("fnstcw (%[p])")
	ODD("stmxcsr (%[p])")
	ODD("sgdt (%[p])")
	ODD("sidt (%[p])")
	ODD("movq %%cr0, %%rax; movq %%rax, (%[p])")
	ODD("pushq (%[p]); popq %%rax")
	ODD("shlq $1, (%[p])")
	ODD("rolb $1, (%[p])")
	ODD("sete (%[p])")
	ODD("movbe %%eax, (%[p])")
	ODD("prefetcht0 (%[p])")
	ODD("clflush (%[p])")
	ODD("imulq (%[p]), %%rax")
	ODD("bsfq (%[p]), %%rax")
	ODD("fninit; fldl (%[p])")
	ODD("fninit")
#undef ODD
	hidden_check();
}

/* Memory between and above what the map gives: where the hypervisor and the
 * pool are.  Every page reads as all ones there and takes no write. */
static void isolate_map(void)
{
	struct joist_capabilities a = { 0 }, b = { 0 };
	u64 addr, top = 0, reads = 0, val;
	u8 *p = hidden_page();
	u32 i;

	for (i = 0; i < memmap_count; i++)
		if (memmap[i].type == 1)
			top = MAX(top, memmap[i].start + memmap[i].size);
	top = MAX(top, (u64)p + 4 * PAGE_SIZE);
	top = MIN(top, 0xa0000000);	/* no devices below, in PCs */
	HC_OK(HC_CAPABILITIES, &a);
	for (addr = MiB; addr < top; addr += 64 * KiB) {
		if (memmap_is_ram(addr))
			continue;
		val = *(volatile u64 *)addr;
		/* Reserved memory of the firmware can be read. */
		for (i = 0; i < memmap_count; i++)
			if (addr >= memmap[i].start &&
			    addr - memmap[i].start < memmap[i].size)
				break;
		if (i < memmap_count && val != ~0ull)
			continue;
		CHECK(val == ~0ull, "0x%lx is not ours and reads 0x%lx", addr,
		      val);
		*(volatile u64 *)addr = 0x1badb002;
		CHECK(*(volatile u64 *)addr == ~0ull, "0x%lx is not ours and "
		      "takes a write", addr);
		reads++;
	}
	HC_OK(HC_CAPABILITIES, &b);
	CHECK(reads, "there is nothing below 0x%lx that is not ours", top);
	CHECK(b.forbidden_reads > a.forbidden_reads,
	      "%lu reads of 0x100000 .. 0x%lx, none counted", reads, top);
	hidden_check();
}

/* All that others can have of the pool, to the last page. */
static void drain_pool(u32 id[4])
{
	u64 size = ALIGN_UP(caps.pool_total, 2 * MiB);
	char name[] = "drain-0";
	u32 i, seg = 0;

	for (i = 0; i < 4; i++, name[6]++)
		CHECK(!vm_create(name, 1, &id[i]), "CREATE fails");
	/* Where a page needs no table any more. */
	CHECK(!seg_alloc(id[3], 0, 0, PAGE_SIZE), "ALLOC fails");
	while (size >= PAGE_SIZE) {
		CHECK(seg < 24, "the pool is not to be drained");
		if (seg_alloc(id[seg / 8], seg % 8, seg % 8 * 64 * GiB, size))
			size = ALIGN_DOWN(size / 2, PAGE_SIZE);
		else
			seg++;
	}
	for (i = 1; i < 8; i++)
		if (seg_alloc(id[3], i, i * PAGE_SIZE, PAGE_SIZE))
			break;
	CHECK(i < 8, "the pool is not empty");
	CHECK_EQ(pool_free(), 0, "pool");
}

/*
 * A device that is touched the first time when the pool is empty: the control
 * VM's kernel has asked for nothing, and gets no fault.
 */
static void isolate_device(void)
{
	static u64 pd[512] __aligned(4096);
	u64 at, val, free = pool_free();
	struct joist_memseg m;
	u32 r[4], id[4], i;

	cpuid(0x80000008, 0, r);
	/* Above RAM and all tables there are: the upper half of what there is. */
	if ((r[0] & 0xff) < 40)
		skip("%u bits of physical addresses are too few", r[0] & 0xff);
	at = 1ull << (MIN(r[0] & 0xff, 48) - 1);
	for (i = 0; i < 512; i++)
		pd[i] = (at + ((u64)i << 21)) | 0x9b;	/* uncached */
	boot_pdpt[64] = (u64)pd | 7;
	drain_pool(id);
	val = *(volatile u64 *)(64 * GiB + 0x1000);
	*(volatile u64 *)(64 * GiB + 0x1000) = val;
	/* What is read of forbidden memory by such an instruction needs tables, too. */
	CHECK(!seg_query(id[0], 0, 0, &m), "QUERY fails");
	for (i = 0; i < 32 && (i + 1) * 5 * PAGE_SIZE <= m.len; i++) {
		val = 7;
		asm volatile("bsfq (%1), %0"
			     : "+r"(val) : "r"(m.hpa + i * 5 * PAGE_SIZE) : "cc");
		CHECK_EQ(val, 0, "first bit of a forbidden page");
	}
	boot_pdpt[64] = 0;
	write_cr3(read_cr3());
	for (i = 0; i < 4; i++)
		vm_destroy(id[i]);
	/* The device stays mapped: its tables are gone from the pool. */
	pool_gone = free - pool_free();
	CHECK(pool_gone <= 3 * PAGE_SIZE, "0x%lx bytes are gone", pool_gone);
}

/* The control VM's own interrupts: direct, also across hypercalls. */
static void isolate_interrupts(void)
{
	struct joist_version v;
	u32 i, n = this_cpu()->irqs[VEC_TEST], t;

	for (i = 0; i < 200; i++) {
		apic_ipi(0, VEC_TEST);
		v = (struct joist_version){ 0 };
		HC_OK(HC_VERSION, &v);
		CHECK_EQ(this_cpu()->irqs[VEC_TEST], n + i,
			 "self-IPIs taken with IF 0");
		irq_window();
		CHECK_EQ(this_cpu()->irqs[VEC_TEST], n + i + 1,
			 "self-IPIs taken");
	}
	t = this_cpu()->irqs[VEC_TIMER];
	timer_once(us(200));
	while (this_cpu()->irqs[VEC_TIMER] == t)
		sti_hlt();
	n = this_cpu()->irqs[X_NMI];
	for (i = 0; i < 50; i++) {
		apic_nmi(0);
		v = (struct joist_version){ 0 };
		HC_OK(HC_VERSION, &v);
		CHECK_EQ(this_cpu()->irqs[X_NMI], n + i + 1, "NMIs");
	}
}

/* NMIs of the control VM's own to a core that runs a guest. */
static struct vm vm;
static volatile u32 nmi_stop, nmi_ready;

static void nmi_job(void *arg)
{
	struct joist_run_args a;

	nmi_ready = 1;
	while (!nmi_stop) {
		CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_INTR, "exit");
		irq_window();
	}
	(void)arg;
}

static void nmi_ours_job(void *arg)
{
	struct joist_run_args a;

	(void)arg;
	nmi_ready = 1;
	while (!nmi_stop) {
		run_once(&vm, 0, &a);
		irq_window();
	}
}

static void isolate_nmi_other(void)
{
	extern const u8 blob_spin64[], blob_spin64_end[];
	u32 i, n = cpus[1].irqs[X_NMI];
	u64 t;

	vm_new(&vm, "nmi-other", 1, GUEST_RAM);
	vm_blob(&vm, 0, 64, blob_spin64, blob_spin64_end);
	nmi_stop = nmi_ready = 0;
	job_start(1, nmi_job, NULL);
	while (!nmi_ready)
		pause();
	for (i = 0; i < 100; i++) {
		apic_nmi(1);
		t = rdtsc();
		while (cpus[1].irqs[X_NMI] != n + i + 1) {
			if (job_done(1))
				job_wait(1);
			CHECK(rdtsc() - t < us(5000000), "NMI %u to a core in "
			      "guest mode arrived %u times", i,
			      cpus[1].irqs[X_NMI] - n - i);
		}
	}
	nmi_stop = 1;
	apic_ipi(1, VEC_KICK);
	job_wait(1);
	CHECK_EQ(cpus[1].irqs[X_NMI], n + 100, "NMIs on core 1");
}

#define ASKS	20000

static void ask_job(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < ASKS; i++)
		CHECK_EQ(vm_intr(&vm, 0, JOIST_INTR_FIXED, 0x40), 0, "INTR");
}

/* Joist's own, by which several cores at once ask one to leave a guest. */
static void isolate_nmi_ours(void)
{
	extern const u8 blob_spin64[], blob_spin64_end[];
	u32 n[4], i;

	vm_new(&vm, "nmi-ours", 1, GUEST_RAM);
	vm_blob(&vm, 0, 64, blob_spin64, blob_spin64_end);
	for (i = 0; i < 4; i++)
		n[i] = cpus[i].irqs[X_NMI];
	nmi_stop = nmi_ready = 0;
	job_start(1, nmi_ours_job, NULL);
	while (!nmi_ready)
		pause();
	job_start(2, ask_job, NULL);
	job_start(3, ask_job, NULL);
	ask_job(NULL);
	job_wait(2);
	job_wait(3);
	nmi_stop = 1;
	apic_ipi(1, VEC_KICK);
	job_wait(1);
	for (i = 0; i < 4; i++)
		CHECK(cpus[i].irqs[X_NMI] == n[i], "core %u of the control VM "
		      "saw %u NMIs", i, cpus[i].irqs[X_NMI] - n[i]);
}

const struct tcase cases_isolate[] = {
	{ "isolate/cpuid", isolate_cpuid, 0 },
	{ "isolate/cpuid-hidden", isolate_cpuid_hidden, 0 },
	{ "isolate/xsave-size", isolate_xsave_size, 0 },
	{ "isolate/instructions", isolate_insns, 0 },
	{ "isolate/msrs", isolate_msrs, 0 },
	{ "isolate/msrs-hidden", isolate_msrs_hidden, 0 },
	{ "isolate/msrs-kept", isolate_msrs_kept, 0 },
	{ "isolate/msrs-own", isolate_msrs_own, 0 },
	{ "isolate/efer", isolate_efer, 0 },
	{ "isolate/control-registers", isolate_cr, 0 },
	{ "isolate/xcr0", isolate_xcr0, 0 },
	{ "isolate/sleep", isolate_sleep, 0 },
	{ "isolate/apic-base", isolate_apic_base, 0 },
	{ "isolate/pool", isolate_pool, 0 },
	{ "isolate/pool-read-modify-write", isolate_pool_rmw, 0 },
	{ "isolate/pool-border", isolate_pool_border, 0 },
	{ "isolate/pool-other-instructions", isolate_pool_other, 0 },
	{ "isolate/map", isolate_map, 0 },
	{ "isolate/device-with-empty-pool", isolate_device, 0 },
	{ "isolate/parked-cores", isolate_parked, 0 },
	{ "isolate/interrupts", isolate_interrupts, 0 },
	{ "isolate/nmi-other-core", isolate_nmi_other, 2 },
	{ "isolate/nmi-ours", isolate_nmi_ours, 4 },
	{ 0 },
};
