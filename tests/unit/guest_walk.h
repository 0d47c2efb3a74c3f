/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest_walk.h -- a guest with memory and page tables, and a second walker,
 * written from the manual, to hold guest_mem.c against.
 *
 * SDM, "Paging"; APM, "Page Translation and Protection".
 */
#ifndef TESTS_UNIT_GUEST_WALK_H
#define TESTS_UNIT_GUEST_WALK_H

#include "tests/unit/host_pool.h"

#include "arch/x86/decode.c"
#include "arch/x86/guest_mem.c"
#include "arch/x86/stage2.c"
#include "arch/x86/svm/npt.c"

#define GUEST_RAM	(8 * MiB)	/* at GPA 0, and again at HIGH_RAM */
#define HIGH_RAM	(6 * GiB)	/* beyond what 32 bits reach */
#define GUEST_POOL	(64 * MiB)

struct guest_features guest_features = { .phys_bits = 40 };
static struct vm guest_vm;
static struct vcpu guest;
static u64 guest_regs[VREG_COUNT];
static struct joist_segment guest_cs;
static u8 *guest_ram;
static u32 guest_pkru;

u32 xstate_pkru(struct vcpu *v)
{
	return guest_pkru;
}

static u64 fake_reg_get(struct vcpu *v, enum vreg r)
{
	return guest_regs[r];
}

static void fake_seg_get(struct vcpu *v, enum joist_seg s, struct joist_segment *seg)
{
	*seg = guest_cs;
}

static void fake_mode_get(struct vcpu *v, struct cpu_mode *m)
{
	*m = (struct cpu_mode){
		.cr0 = guest_regs[VREG_CR0], .cr3 = guest_regs[VREG_CR3],
		.cr4 = guest_regs[VREG_CR4], .efer = guest_regs[VREG_EFER],
		.cs_base = guest_cs.base, .cs_attr = guest_cs.attr,
		.cpl = (u32)guest_regs[VREG_CPL],
	};
}

static const struct backend fake_backend = {
	.name = "test", .reg_get = fake_reg_get, .seg_get = fake_seg_get,
	.mode_get = fake_mode_get,
};
const struct backend *backend = &fake_backend;

static inline void guest_begin(void)
{
	hpa_t pa;
	int err;

	host_pool(0, GUEST_POOL);
	err = stage2_init(&guest_vm.s2, &npt_format);
	/* Scattered: no GPA is its HPA. */
	if (err || !real_page_alloc(ORDER_2M + 2, OWNER_GUEST, &pa) ||
	    stage2_map(&guest_vm.s2, 0, pa.v, GUEST_RAM, STAGE2_RWX, 3) ||
	    stage2_map(&guest_vm.s2, HIGH_RAM, pa.v, GUEST_RAM, STAGE2_RWX, 2))
		abort();
	guest_ram = hpa_ptr(pa);
	memset(&guest, 0, sizeof(guest));
	memset(guest_regs, 0, sizeof(guest_regs));
	guest.vm = &guest_vm;
	guest.rflags = RFLAGS_ONE;
}

/* Where a GPA lies in guest_ram; NULL: not memory. */
static inline u8 *model_ram(u8 *ram, u64 gpa)
{
	if (gpa < GUEST_RAM)
		return ram + gpa;
	if (gpa >= HIGH_RAM && gpa - HIGH_RAM < GUEST_RAM)
		return ram + (gpa - HIGH_RAM);
	return NULL;
}

/* One paging mode: how many index bits a level has, how wide an entry is. */
struct paging_mode {
	const char *name;
	u64 cr0, cr4, efer;
	unsigned levels, entry;
};

static const struct paging_mode paging_modes[] = {
	{ "32-bit", CR0_PG | CR0_PE, 0, 0, 2, 4 },
	{ "32-bit with PSE", CR0_PG | CR0_PE, CR4_PSE, 0, 2, 4 },
	{ "PAE", CR0_PG | CR0_PE, CR4_PAE, 0, 3, 8 },
	{ "4-level", CR0_PG | CR0_PE, CR4_PAE, EFER_LME | EFER_LMA, 4, 8 },
	{ "5-level", CR0_PG | CR0_PE, CR4_PAE | CR4_LA57, EFER_LME | EFER_LMA, 5, 8 },
};

struct walk_result {
	int err;
	u64 gpa;
	u32 error;
};

static inline u64 entry_load(const u8 *p, unsigned size)
{
	u64 e = 0;

	memcpy(&e, p, size);
	return e;
}

static inline bool leaf_here(const struct paging_mode *m, unsigned level, u64 e)
{
	if (level == 1)
		return true;
	if (!(e & PTE_PS))
		return false;
	if (m->levels == 2)
		return m->cr4 & CR4_PSE;
	return level == 2 || (level == 3 && m->levels > 3);
}

static inline u64 leaf_gpa(const struct paging_mode *m, unsigned level, u64 e, u64 gva)
{
	unsigned shift = m->levels == 2 ? (level == 2 ? 22 : 12) : 12 + 9 * (level - 1);
	u64 page = 1ull << shift, offset = gva & (page - 1);

	if (m->levels == 2 && level == 2)	/* PSE-36 */
		return (e & 0xffc00000) + ((e >> 13 & 0xff) << 32) + offset;
	if (m->levels == 2)
		return (e & 0xfffff000) + offset;
	return ((e & 0xffffffffff000) & ~(page - 1)) + offset;
}

/* Bit by bit: what an entry of that level may not have set. */
static inline bool model_reserved(const struct paging_mode *m, unsigned level, u64 e, u64 efer,
				  bool leaf)
{
	unsigned b;

	for (b = 0; b < 64; b++) {
		bool bad = false;

		if (!(e >> b & 1))
			continue;
		if (m->levels == 2)
			bad = leaf && level == 2 && b == 21;
		else if (m->levels == 3 && level == 3)
			bad = false;	/* looked at when it was loaded */
		else if (b == 63)
			bad = !(efer & EFER_NXE);
		else if (b >= 52)
			bad = m->levels == 3;
		else if (b >= 40)
			bad = true;
		else if (leaf && level == 2)
			bad = b >= 13 && b <= 20;
		else if (leaf && level == 3)
			bad = b >= 13 && b <= 29;
		else if (level > 3)
			bad = b == 7;
		if (bad)
			return true;
	}
	return false;
}

/*
 * Translates in ram, and sets accessed and dirty there: a table entry that was
 * used is accessed; a leaf is only when the access was allowed, dirty by a
 * write.  Fetches set none: the CPU that fetched has.
 */
static inline struct walk_result model_walk(u8 *ram, const struct paging_mode *m, u64 cr0,
					    u64 cr3, u64 cr4, u64 efer, bool ac, u64 gva,
					    u32 access)
{
	bool user = access & PF_USER, write = access & PF_WRITE, fetch = access & PF_FETCH;
	bool all_w = true, all_u = true, any_nx = false, key = false;
	u64 table = m->levels == 2 ? cr3 & 0xfffff000 : m->levels == 3 ? cr3 & 0xffffffe0 :
		    cr3 & 0xffffffffff000;
	unsigned level;

	if (m->levels < 4)
		gva &= 0xffffffff;
	for (level = m->levels; level; level--) {
		bool pdpte = m->levels == 3 && level == 3;
		unsigned shift = m->levels == 2 ? (level == 2 ? 22 : 12) : 12 + 9 * (level - 1);
		u64 index = gva >> shift & (m->levels == 2 ? 1023 : pdpte ? 3 : 511), e;
		u8 *p = model_ram(ram, table + index * m->entry);
		bool ok;

		if (!p)
			return (struct walk_result){ .err = -EIO };
		e = entry_load(p, m->entry);
		if (!(e & PTE_P))
			return (struct walk_result){ .err = -EFAULT, .error = access };
		if (!fetch && model_reserved(m, level, e, efer,
					     !pdpte && leaf_here(m, level, e)))
			return (struct walk_result){ .err = -EFAULT,
						     .error = access | PF_PRESENT | PF_RESERVED };
		if (!pdpte) {
			all_w = all_w && (e & PTE_W);
			all_u = all_u && (e & PTE_U);
			any_nx = any_nx || (m->entry == 8 && (efer & EFER_NXE) && (e & PTE_NX));
		}
		if (!leaf_here(m, level, e)) {
			if (!pdpte && !fetch)
				*p |= PTE_A;
			table = e & (m->levels == 2 ? 0xfffff000 : 0xffffffffff000);
			continue;
		}
		if (fetch)
			ok = !any_nx && (user ? all_u : !(all_u && (cr4 & CR4_SMEP)));
		else if (user)
			ok = all_u && (all_w || !write);
		else
			ok = (all_w || !write || !(cr0 & CR0_WP)) &&
			     !(all_u && (cr4 & CR4_SMAP) && !ac);
		if (m->levels > 3 && (cr4 & CR4_PKE) && all_u && !fetch) {
			unsigned n = e >> 59 & 15;

			key = (guest_pkru >> 2 * n & 1) ||
			      (write && (user || (cr0 & CR0_WP)) && (guest_pkru >> (2 * n + 1) & 1));
		}
		if (!ok || key)
			return (struct walk_result){ .err = -EFAULT, .error = access | PF_PRESENT |
						     (key ? PF_KEY : 0) };
		if (!fetch)
			*p |= PTE_A | (write ? PTE_D : 0);
		return (struct walk_result){ .gpa = leaf_gpa(m, level, e, gva) };
	}
	return (struct walk_result){ .err = -EIO };
}

static inline struct walk_result real_walk(u64 gva, u32 access)
{
	struct walk_result r = {};
	gpa_t gpa = {};

	r.err = guest_translate(&guest, GVA(gva), access, &gpa, &r.error);
	r.gpa = r.err ? 0 : gpa.v;
	if (r.err != -EFAULT)
		r.error = 0;
	return r;
}

#endif
