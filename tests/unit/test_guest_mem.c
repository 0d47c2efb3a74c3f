/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_guest_mem.c -- translation of guest addresses against a second walker,
 * and the reading, writing and fetching that rest on it.
 */
#include "tests/unit/guest_walk.h"

#undef fail
#include <cmocka.h>

/* The tables lie in these pages, and so meet themselves at all levels. */
#define TABLES		24
#define TABLE_AREA	(TABLES * PAGE_SIZE)
#define TABLE_BASE	(2 * MiB)

static u8 *shadow;

static int start(void **state)
{
	guest_begin();
	free(shadow);
	shadow = calloc(1, GUEST_RAM);
	return 0;
}

static u64 an_address(void)
{
	switch (rnd_below(16)) {
	case 0: return HIGH_RAM + (rnd_below(GUEST_RAM) & ~0xfffull);
	case 1: return rnd() & 0x000ffffffffff000ull;
	case 2: return 0xfee00000;
	case 3: return rnd_below(GUEST_RAM) & ~0xfffull;
	default: return TABLE_BASE + rnd_below(TABLES) * PAGE_SIZE;
	}
}

/* Mostly present and permissive, or nothing would get through. */
static u64 an_entry(const struct paging_mode *m)
{
	u64 e = an_address() & (m->entry == 4 ? 0xfffff000 : ~0ull);

	e |= rnd_below(12) ? PTE_P : 0;
	e |= rnd_below(5) ? PTE_W : 0;
	e |= rnd_below(5) ? PTE_U : 0;
	e |= rnd_below(4) ? 0 : PTE_PS;
	e |= rnd_below(3) ? 0 : PTE_A;
	e |= rnd_below(3) ? 0 : PTE_D;
	e |= rnd_below(3) ? 0 : PTE_G;
	/* Mostly no bits that are reserved here or there. */
	if (m->entry == 8 && rnd_below(8))
		e &= ~(BITS(62, 40) | (e & PTE_PS ? BITS(20, 13) : 0));
	else if (m->entry == 8)
		e |= rnd() & BITS(62, 52);
	if (m->entry == 8)
		e |= rnd_below(8) ? 0 : PTE_NX;
	else if (e & PTE_PS)
		e |= rnd() & 0x1fe000;
	return e;
}

static void fill_tables(const struct paging_mode *m)
{
	u64 i, e;

	for (i = 0; i < TABLE_AREA; i += m->entry) {
		e = an_entry(m);
		memcpy(guest_ram + TABLE_BASE + i, &e, m->entry);
	}
}

static u64 sometimes(u64 bits)
{
	return rnd() & 1 ? bits : 0;
}

static u32 an_access(void)
{
	static const u32 kinds[] = { 0, PF_WRITE, PF_FETCH };

	return kinds[rnd_below(3)] | (u32)sometimes(PF_USER);
}

static void one_walk(const struct paging_mode *m, unsigned *ok)
{
	u64 cr0 = m->cr0 | sometimes(CR0_WP);
	u64 cr4 = m->cr4 | sometimes(CR4_SMEP) | sometimes(CR4_SMAP) |
		  (m->levels > 3 ? sometimes(CR4_PKE) : 0);
	u64 efer = m->efer | (m->entry == 8 ? sometimes(EFER_NXE) : 0);
	u64 cr3 = (an_address() & ~0xfffull) | (rnd() & (m->levels == 3 ? 0xfe0 : 0x18));
	u64 gva = rnd();
	u32 access = an_access();
	bool ac = rnd() & 1;
	struct walk_result want, got;

	guest_regs[VREG_CR0] = cr0;
	guest_regs[VREG_CR3] = cr3;
	guest_regs[VREG_CR4] = cr4;
	guest_regs[VREG_EFER] = efer;
	guest_pkru = rnd() & rnd();
	guest.rflags = RFLAGS_ONE | (ac ? RFLAGS_AC : 0);
	memcpy(shadow + TABLE_BASE, guest_ram + TABLE_BASE, TABLE_AREA);
	memcpy(shadow, guest_ram, 2 * PAGE_SIZE);
	want = model_walk(shadow, m, cr0, cr3, cr4, efer, ac, gva, access);
	got = real_walk(gva, access);
	if (want.err != got.err || want.gpa != got.gpa || want.error != got.error)
		fail_msg("%s: cr3 %lx, %lx by %x: %d %lx %x, not %d %lx %x", m->name, cr3, gva,
			 access, got.err, got.gpa, got.error, want.err, want.gpa, want.error);
	if (memcmp(shadow + TABLE_BASE, guest_ram + TABLE_BASE, TABLE_AREA))
		fail_msg("%s: cr3 %lx, %lx by %x: accessed or dirty differ", m->name, cr3, gva,
			 access);
	*ok += !got.err;
}

static void test_walk_against_model(void **state)
{
	unsigned i, k, n;

	for (i = 0; i < ARRAY_SIZE(paging_modes); i++) {
		n = 0;
		for (k = 0; k < 20000; k++) {
			if (k % 500 == 0)
				fill_tables(&paging_modes[i]);
			one_walk(&paging_modes[i], &n);
		}
		/* Not only refusals. */
		assert_true(n > 1000);
	}
}

static void put(u64 gpa, u64 e, unsigned size)
{
	memcpy(guest_ram + gpa, &e, size);
}

static void set_mode(u64 cr0, u64 cr3, u64 cr4, u64 efer)
{
	guest_regs[VREG_CR0] = cr0;
	guest_regs[VREG_CR3] = cr3;
	guest_regs[VREG_CR4] = cr4;
	guest_regs[VREG_EFER] = efer;
}

static void expect_gpa(u64 gva, u32 access, u64 gpa)
{
	struct walk_result r = real_walk(gva, access);

	assert_int_equal(r.err, 0);
	assert_int_equal(r.gpa, gpa);
}

static void expect_fault(u64 gva, u32 access, u32 error)
{
	struct walk_result r = real_walk(gva, access);

	assert_int_equal(r.err, -EFAULT);
	assert_int_equal(r.error, error);
}

/* By hand, the addresses of each kind of page. */
static void test_page_sizes(void **state)
{
	u64 rwu = PTE_P | PTE_W | PTE_U;

	set_mode(CR0_PE, 0, 0, 0);
	expect_gpa(0x123456789abcdef0, PF_WRITE, 0x9abcdef0);

	set_mode(CR0_PE | CR0_PG, 0x1000, CR4_PSE, 0);
	put(0x1000 + 4 * 0x301, 0x00c00000 | 0x5a << 13 | PTE_PS | rwu, 4);
	expect_gpa(0xc0567890, 0, 0x5a00000000 | 0xd67890);
	put(0x1000 + 4 * 1, 0x2000 | rwu, 4);
	put(0x2000 + 4 * 2, 0xfff7f000 | rwu, 4);
	expect_gpa(0x402abc, PF_USER, 0xfff7fabc);
	/* Without PSE bit 7 of a directory entry means nothing. */
	set_mode(CR0_PE | CR0_PG, 0x1000, 0, 0);
	put(0x1000 + 4 * 1, 0x2000 | PTE_PS | rwu, 4);
	expect_gpa(0x402abc, PF_USER, 0xfff7fabc);

	set_mode(CR0_PE | CR0_PG, 0x3020, CR4_PAE, 0);
	put(0x3020 + 8 * 3, 0x4000 | PTE_P, 8);
	put(0x4000 + 8 * 5, 0x7000200000 | PTE_PS | rwu, 8);
	put(0x4000 + 8 * 6, 0x5000 | rwu, 8);
	put(0x5000 + 8 * 7, 0xabcde000 | rwu, 8);
	expect_gpa(0xc0a12345, PF_WRITE | PF_USER, 0x7000212345);
	expect_gpa(0xc0c07fff, PF_WRITE | PF_USER, 0xabcdefff);
	/* Addresses of 32-bit code wrap. */
	expect_gpa(0x1c0c07fff, 0, 0xabcdefff);
	expect_fault(0x80000000, PF_WRITE, PF_WRITE);

	set_mode(CR0_PE | CR0_PG, 0x6000 | 0x18, CR4_PAE, EFER_LME | EFER_LMA);
	put(0x6000 + 8 * 511, 0x7000 | rwu, 8);
	put(0x7000 + 8 * 510, 0x40000000 | PTE_PS | rwu, 8);
	put(0x7000 + 8 * 509, 0x8000 | rwu, 8);
	put(0x8000 + 8 * 1, 0x80000000 | PTE_PS | rwu, 8);
	put(0x8000 + 8 * 2, 0x9000 | rwu, 8);
	put(0x9000 + 8 * 3, 0x5555000 | PTE_P, 8);
	expect_gpa(0xffffffff80000000 | 0x2345678, 0, 0x42345678);
	expect_gpa(0xffffffff40200000 | 0x54321, 0, 0x80054321);
	expect_gpa(0xffffffff40403888, 0, 0x5555888);
	expect_fault(0xffffffff40403888, PF_USER, PF_USER | PF_PRESENT);
	expect_fault(0xffffffff40404888, PF_WRITE, PF_WRITE);
}

/* A write that is refused leaves no dirty page behind. */
static void test_refused_write_is_not_dirty(void **state)
{
	u64 e;

	set_mode(CR0_PE | CR0_PG | CR0_WP, 0x1000, 0, 0);
	put(0x1000, 0x2000 | PTE_P | PTE_W, 4);
	put(0x2000, 0x3000 | PTE_P, 4);
	expect_fault(0, PF_WRITE, PF_WRITE | PF_PRESENT);
	e = entry_load(guest_ram + 0x2000, 4);
	assert_int_equal(e & (PTE_A | PTE_D), 0);
	expect_gpa(0, 0, 0x3000);
	e = entry_load(guest_ram + 0x2000, 4);
	assert_int_equal(e & (PTE_A | PTE_D), PTE_A);
	/* WP off: the supervisor may write it, and then it is dirty. */
	guest_regs[VREG_CR0] &= ~CR0_WP;
	expect_gpa(0, PF_WRITE, 0x3000);
	e = entry_load(guest_ram + 0x2000, 4);
	assert_int_equal(e & (PTE_A | PTE_D), PTE_A | PTE_D);
	assert_int_equal(entry_load(guest_ram + 0x1000, 4) & PTE_D, 0);
}

static void test_tables_outside_memory(void **state)
{
	set_mode(CR0_PE | CR0_PG, GUEST_RAM, CR4_PAE, EFER_LME | EFER_LMA);
	assert_int_equal(real_walk(0, 0).err, -EIO);
	guest_regs[VREG_CR3] = 0x000ffffffffff000;
	assert_int_equal(real_walk(~0ull, PF_WRITE).err, -EIO);
	guest_regs[VREG_CR3] = 0x1000;
	put(0x1000, 0xfee00000 | PTE_P | PTE_W, 8);
	assert_int_equal(real_walk(0, PF_WRITE).err, -EIO);
}

static void test_read_write(void **state)
{
	static u8 buf[3 * PAGE_SIZE], back[3 * PAGE_SIZE];
	u64 i, gpa, len;
	unsigned k;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = (u8)rnd();
	for (k = 0; k < 300; k++) {
		len = rnd_below(sizeof(buf));
		gpa = rnd_below(GUEST_RAM - len);
		assert_int_equal(guest_write(&guest, GPA(gpa), buf, len), 0);
		assert_int_equal(guest_read(&guest, GPA(HIGH_RAM + gpa), back, len), 0);
		assert_memory_equal(buf, back, len);
		assert_memory_equal(buf, guest_ram + gpa, len);
	}
	/* Over the end of memory. */
	assert_int_equal(guest_write(&guest, GPA(GUEST_RAM - 3), buf, 4), -EFAULT);
	assert_int_equal(guest_read(&guest, GPA(GUEST_RAM - 3), back, 4), -EFAULT);
	assert_int_equal(guest_read(&guest, GPA(GUEST_RAM), back, 1), -EFAULT);
	assert_int_equal(guest_read(&guest, GPA(~0ull), back, 2), -EFAULT);
	assert_int_equal(guest_read(&guest, GPA(HIGH_RAM - 1), back, 2), -EFAULT);
	assert_int_equal(guest_read(&guest, GPA(GUEST_RAM), back, 0), 0);
}

/* Memory that may only be read, or not even that. */
static void test_read_only(void **state)
{
	const u64 page = TABLE_BASE + 5 * PAGE_SIZE, table = TABLE_BASE + PAGE_SIZE;
	u64 pte = 0x3000 | PTE_P | PTE_W, len, old[4] = { 0 }, got[4];

	(void)state;
	assert_int_equal(stage2_protect(&guest_vm.s2, page, PAGE_SIZE, STAGE2_READ | STAGE2_EXEC), 0);
	assert_non_null(guest_ptr(&guest, GPA(page), &len));
	assert_null(guest_ptr_write(&guest, GPA(page), &len));
	assert_int_equal(guest_read(&guest, GPA(page), got, sizeof(got)), 0);
	assert_int_equal(guest_write(&guest, GPA(page), got, 1), -EFAULT);
	memset(old, 0xff, sizeof(old));
	/* What lies before it is written. */
	assert_int_equal(guest_write(&guest, GPA(page - 8), old, 16), -EFAULT);
	assert_int_equal(guest_read(&guest, GPA(page - 8), got, 16), 0);
	assert_true(got[0] == ~0ull && !got[1]);

	/* A table there serves as long as nothing is to be marked in it. */
	set_mode(CR0_PE | CR0_PG, 0x1000, CR4_PAE, EFER_LME | EFER_LMA);
	assert_int_equal(stage2_protect(&guest_vm.s2, page, PAGE_SIZE, STAGE2_RWX), 0);
	put(page, pte, 8);
	put(table, page | PTE_P | PTE_W | PTE_A, 8);
	put(TABLE_BASE, table | PTE_P | PTE_W | PTE_A, 8);
	put(0x1000, TABLE_BASE | PTE_P | PTE_W | PTE_A, 8);
	assert_int_equal(stage2_protect(&guest_vm.s2, page, PAGE_SIZE, STAGE2_READ | STAGE2_EXEC), 0);
	assert_int_equal(real_walk(0, 0).err, -EIO);
	assert_int_equal(real_walk(0, PF_FETCH).err, 0);
	assert_int_equal(guest_read(&guest, GPA(page), got, 8), 0);
	assert_int_equal(got[0], pte);
	assert_int_equal(stage2_protect(&guest_vm.s2, page, PAGE_SIZE, STAGE2_RWX), 0);
	put(page, pte | PTE_A, 8);
	assert_int_equal(stage2_protect(&guest_vm.s2, page, PAGE_SIZE, STAGE2_READ | STAGE2_EXEC), 0);
	assert_int_equal(real_walk(0, 0).err, 0);
	assert_int_equal(real_walk(0, PF_WRITE).err, -EIO);

	assert_int_equal(stage2_protect(&guest_vm.s2, page, PAGE_SIZE, 0), 0);
	assert_null(guest_ptr(&guest, GPA(page), &len));
	assert_int_equal(real_walk(0, 0).err, -EIO);
}

/* SDM, "PDPTE Registers": bit by bit, and only of entries that are present. */
static void test_pdptes(void **state)
{
	/* PWT, PCD, what is ignored, an address of 40 bits. */
	const u64 allowed = BITS(4, 3) | BITS(11, 9) | BITS(39, 12);
	const u64 base = 2 * MiB + 0x60;
	u64 e[4] = { 0, 0x1001, 0, 0x2001 }, got[4];
	u32 i, b;

	(void)state;
	for (i = 0; i < 4; i++) {
		for (b = 1; b < 64; b++) {
			u64 was = e[i];
			bool bad = !(allowed & BIT(b));

			e[i] |= BIT(b);
			guest_write(&guest, GPA(base), e, sizeof(e));
			assert_int_equal(guest_pdptes(&guest, base | 0x1f, got),
					 bad && (was & 1) ? -EINVAL : 0);
			assert_memory_equal(got, e, sizeof(e));
			assert_int_equal(pdpte_bad(e[i] | 1), bad);
			e[i] = was;
		}
	}
	assert_int_equal(guest_pdptes(&guest, GUEST_RAM, got), -EIO);
	/* CR3 has 32 bits of it. */
	guest_write(&guest, GPA(base), e, sizeof(e));
	assert_int_equal(guest_pdptes(&guest, base | BIT(32), got), 0);
}

/* The control VM's memory is its own frames only, page by page. */
static void test_control_memory(void **state)
{
	u64 len;
	hpa_t pa;

	assert_true(page_alloc(1, OWNER_CONTROL, &pa));
	guest.control = true;
	assert_ptr_equal(guest_ptr(&guest, GPA(pa.v + 0x123), &len), hpa_ptr(HPA(pa.v + 0x123)));
	assert_int_equal(len, PAGE_SIZE - 0x123);
	assert_null(guest_ptr(&guest, GPA(pa.v + 2 * PAGE_SIZE), &len));
	assert_null(guest_ptr(&guest, GPA(ptr_hpa(guest_ram).v), &len));
	assert_null(guest_ptr(&guest, GPA(ptr_hpa(guest_vm.s2.root).v), &len));
	assert_null(guest_ptr(&guest, GPA(GUEST_POOL), &len));
	assert_null(guest_ptr(&guest, GPA(~0ull), &len));
	assert_null(guest_ptr(&guest, GPA(pa.v | 1ull << 63), &len));
}

/* NOPs differ by address: which bytes are read tells where from. */
static void expect_code_at(u64 gpa)
{
	u8 bytes[INSN_MAX_LEN];

	memset(guest_ram + gpa, 0x40 + gpa % 61, INSN_MAX_LEN);
	assert_int_equal(guest_insn_bytes(&guest, bytes), INSN_MAX_LEN);
	assert_memory_equal(bytes, guest_ram + gpa, INSN_MAX_LEN);
	memset(guest_ram + gpa, 0, INSN_MAX_LEN);
}

static void test_modes(void **state)
{
	guest_cs = (struct joist_segment){ .base = 0xf0000, .attr = 0x9b };
	set_mode(0, 0, 0, 0);
	guest.rip = 0xff00;
	assert_int_equal(guest_mode(&guest), INSN_16);
	expect_code_at(0xfff00);
	guest_regs[VREG_CR0] = CR0_PE;
	assert_int_equal(guest_mode(&guest), INSN_16);
	guest_cs.attr |= ATTR_DB;
	assert_int_equal(guest_mode(&guest), INSN_32);
	guest.rflags |= RFLAGS_VM;
	assert_int_equal(guest_mode(&guest), INSN_16);
	guest.rflags &= ~RFLAGS_VM;
	/* L counts in long mode only. */
	guest_cs.attr = 0x9b | ATTR_LONG;
	assert_int_equal(guest_mode(&guest), INSN_16);
	guest_regs[VREG_EFER] = EFER_LMA;
	assert_int_equal(guest_mode(&guest), INSN_64);
	/* In 64-bit code the base does not count ... */
	guest.rip = 0x12300;
	expect_code_at(0x12300);
	/* ... in compatibility mode it does, and 4 GiB wrap. */
	guest_cs = (struct joist_segment){ .base = 0xfffff000, .attr = 0x9b | ATTR_DB };
	guest.rip = 0x2100;
	assert_int_equal(guest_mode(&guest), INSN_32);
	expect_code_at(0x1100);
}

/* What is remembered of the last fetch never shows. */
static void test_fetch_cache_is_unseen(void **state)
{
	u8 with[INSN_MAX_LEN], without[INSN_MAX_LEN];
	const struct paging_mode *m = NULL;
	unsigned i, n, k, hits = 0;

	for (i = 0; i < GUEST_RAM; i += 8)
		put(i, rnd(), 8);
	for (i = 0; i < 60000; i++) {
		if (i % 3000 == 0) {
			m = &paging_modes[i / 3000 % ARRAY_SIZE(paging_modes)];
			fill_tables(m);
			set_mode(m->cr0, TABLE_BASE, m->cr4, m->efer);
		}
		switch (rnd_below(12)) {
		case 0:		/* an entry that may be on the way */
			put(TABLE_BASE + rnd_below(TABLE_AREA / 8) * 8, an_entry(m), m->entry);
			break;
		case 1:
			for (k = 0; k < guest.fetch.depth && guest.fetch.page; k++)
				if (rnd_below(3) == 0)
					*(u64 *)guest.fetch.entry[k] = an_entry(m);
			break;
		case 2: guest_regs[VREG_CPL] = rnd_below(2) * 3; break;
		case 3: guest_regs[VREG_CR4] ^= CR4_SMEP; break;
		case 4: guest_regs[VREG_EFER] ^= m->entry == 8 ? EFER_NXE : 0; break;
		case 5: guest_regs[VREG_CR3] = TABLE_BASE + rnd_below(TABLES) * PAGE_SIZE; break;
		case 6: guest.rip = rnd(); break;
		case 7: guest.rip += rnd_below(PAGE_SIZE); break;
		}
		guest_cs.attr = 0x9b | (m->levels > 3 ? ATTR_LONG : ATTR_DB);
		hits += guest.fetch.page == (ALIGN_DOWN(guest.rip, PAGE_SIZE) | 1);
		memset(with, 0, sizeof(with));
		memset(without, 0, sizeof(without));
		n = guest_insn_bytes(&guest, with);
		fetch_forget(&guest);
		assert_int_equal(guest_insn_bytes(&guest, without), n);
		assert_memory_equal(with, without, INSN_MAX_LEN);
	}
	assert_true(hits > 1000);
}

/* An instruction decoded before is the same only with the same bytes and mode. */
static void test_insn_cache_is_unseen(void **state)
{
	static const u8 likely_bytes[] = { 0x66, 0x48, 0x89, 0x8b, 0xc7, 0x0f, 0x05, 0x84 };
	unsigned i, k, hits = 0, with_err, without_err;
	struct insn with, without;
	u8 *code = guest_ram + 0x3000;

	set_mode(CR0_PE, 0, 0, EFER_LMA);
	guest.rip = 0x3000;
	for (i = 0; i < 200000; i++) {
		if (i % 4 == 0)
			code[rnd_below(INSN_MAX_LEN)] = rnd_below(4) ? (u8)rnd() :
				likely_bytes[rnd_below(ARRAY_SIZE(likely_bytes))];
		if (i % 64 == 0)
			for (k = 0; k < INSN_MAX_LEN; k++)
				code[k] = rnd_below(2) ? (u8)rnd() :
					  likely_bytes[rnd_below(ARRAY_SIZE(likely_bytes))];
		guest_cs = (struct joist_segment){
			.attr = 0x9b | (rnd_below(8) ? ATTR_LONG : rnd_below(2) ? ATTR_DB : 0),
		};
		memset(&with, 0, sizeof(with));
		memset(&without, 0, sizeof(without));
		hits += decoded(&guest.decoded, (const u64 *)code, guest_mode(&guest));
		with_err = guest_insn(&guest, &with);
		without_err = insn_decode(code, INSN_MAX_LEN, guest_mode(&guest), &without);
		assert_int_equal(with_err, without_err);
		if (!with_err)
			assert_memory_equal(&with, &without, sizeof(with));
	}
	assert_in_range(hits, 1000, 199000);
}

/* An instruction over the border of two pages that lie apart. */
static void test_fetch_over_pages(void **state)
{
	static const u8 mov[] = { 0x48, 0xc7, 0x05, 4, 3, 2, 1, 0x78, 0x56, 0x34, 0x12 };
	u8 bytes[INSN_MAX_LEN];
	struct insn in;
	unsigned split;

	set_mode(CR0_PE | CR0_PG, 0x1000, CR4_PAE, EFER_LME | EFER_LMA);
	guest_cs = (struct joist_segment){ .attr = 0x9b | ATTR_LONG };
	put(0x1000, 0x2000 | PTE_P, 8);
	put(0x2000, 0x3000 | PTE_P, 8);
	put(0x3000, 0x4000 | PTE_P, 8);
	put(0x4000 + 8 * 5, 0x20000 | PTE_P, 8);
	put(0x4000 + 8 * 6, 0x10000 | PTE_P, 8);
	for (split = 1; split < sizeof(mov); split++) {
		memcpy(guest_ram + 0x21000 - split, mov, split);
		memcpy(guest_ram + 0x10000, mov + split, sizeof(mov) - split);
		guest.rip = 0x6000 - split;
		put(0x4000 + 8 * 6, 0x10000 | PTE_P, 8);
		assert_int_equal(guest_insn(&guest, &in), 0);
		assert_int_equal(in.len, sizeof(mov));
		assert_int_equal(guest_insn_bytes(&guest, bytes), INSN_MAX_LEN);
		assert_memory_equal(bytes, mov, sizeof(mov));
		/* The second page is gone: a fault if it is needed. */
		put(0x4000 + 8 * 6, 0, 8);
		assert_int_equal(guest_insn(&guest, &in), -EFAULT);
		assert_int_equal(guest_insn_bytes(&guest, bytes), split);
	}
	/* ... and none if it is not. */
	memcpy(guest_ram + 0x21000 - sizeof(mov), mov, sizeof(mov));
	guest.rip = 0x6000 - sizeof(mov);
	assert_int_equal(guest_insn(&guest, &in), 0);
	assert_int_equal(in.len, sizeof(mov));
	/* Fetches go through no page that is not to be executed. */
	guest_regs[VREG_EFER] |= EFER_NXE;
	put(0x4000 + 8 * 5, 0x20000 | PTE_P | PTE_NX, 8);
	assert_int_equal(guest_insn(&guest, &in), -EFAULT);
	assert_int_equal(guest_insn_bytes(&guest, bytes), 0);
	/* Code in a hole of guest memory. */
	put(0x4000 + 8 * 5, 0xfee00000 | PTE_P, 8);
	assert_int_equal(guest_insn(&guest, &in), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_walk_against_model, start),
		cmocka_unit_test_setup(test_page_sizes, start),
		cmocka_unit_test_setup(test_refused_write_is_not_dirty, start),
		cmocka_unit_test_setup(test_tables_outside_memory, start),
		cmocka_unit_test_setup(test_read_write, start),
		cmocka_unit_test_setup(test_read_only, start),
		cmocka_unit_test_setup(test_pdptes, start),
		cmocka_unit_test_setup(test_control_memory, start),
		cmocka_unit_test_setup(test_modes, start),
		cmocka_unit_test_setup(test_fetch_cache_is_unseen, start),
		cmocka_unit_test_setup(test_insn_cache_is_unseen, start),
		cmocka_unit_test_setup(test_fetch_over_pages, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
