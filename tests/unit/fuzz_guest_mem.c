/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_guest_mem.c -- any bytes as a guest's page tables: translation stays
 * inside the guest's memory, and is what a second walker makes of them.
 */
#include "tests/unit/guest_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AREA		(16 * PAGE_SIZE)	/* of tables, at GPA 0 */

struct setup {
	u8 mode, access, flags, cr3_page;
	u16 index[5];		/* table indexes, and so the address */
	u16 offset;
};

static u8 model[GUEST_RAM];

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Entries come from the input, in order; where it ends, again from the start. */
static void fill(const u8 *data, size_t size)
{
	u64 i;

	for (i = 0; i < AREA; i++)
		guest_ram[i] = size ? data[i % size] : 0;
	/* Most bytes would lead nowhere: keep every other entry inside. */
	for (i = 0; i < AREA; i += 16)
		*(u64 *)(guest_ram + i) = (*(u64 *)(guest_ram + i) & (0xf0fffull | PTE_NX)) | PTE_P;
	memcpy(model, guest_ram, AREA);
}

static u64 address(const struct setup *s, const struct paging_mode *m)
{
	u64 gva = 0;
	unsigned i;

	for (i = 0; i < m->levels; i++)
		gva = gva << (m->levels == 2 ? 10 : 9) | (s->index[i] & (m->levels == 2 ? 1023 : 511));
	return gva << 12 | (s->offset & 0xfff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const u32 accesses[] = { 0, PF_WRITE, PF_FETCH };
	const struct paging_mode *m;
	struct walk_result want, got;
	u8 bytes[INSN_MAX_LEN], again[INSN_MAX_LEN];
	u64 cr0, cr3, cr4, efer, gva;
	struct setup s;
	unsigned n;
	u32 access;

	if (size < sizeof(s))
		return 0;
	memcpy(&s, data, sizeof(s));
	if (!guest_ram)
		guest_begin();
	fill(data + sizeof(s), size - sizeof(s));
	m = &paging_modes[s.mode % ARRAY_SIZE(paging_modes)];
	access = accesses[s.access % 3] | (s.access & 0x80 ? (u32)PF_USER : 0);
	cr0 = guest_regs[VREG_CR0] = m->cr0 | (s.flags & 1 ? CR0_WP : 0);
	cr3 = guest_regs[VREG_CR3] = s.cr3_page % 20 * PAGE_SIZE | (s.cr3_page & 0xe0);
	cr4 = guest_regs[VREG_CR4] = m->cr4 | (s.flags & 2 ? CR4_SMEP : 0) |
				     (s.flags & 4 ? CR4_SMAP : 0) |
				     (s.flags & 64 && m->levels > 3 ? CR4_PKE : 0);
	guest_pkru = 0xe4e4e4e4;
	efer = guest_regs[VREG_EFER] = m->efer | (m->entry == 8 && s.flags & 8 ? EFER_NXE : 0);
	guest.rflags = RFLAGS_ONE | (s.flags & 16 ? RFLAGS_AC : 0);
	gva = address(&s, m);

	want = model_walk(model, m, cr0, cr3, cr4, efer, s.flags & 16, gva, access);
	got = real_walk(gva, access);
	must(want.err == got.err && want.gpa == got.gpa && want.error == got.error);
	must(!memcmp(model, guest_ram, AREA));

	/* As code: remembered or not, the same bytes. */
	guest_cs.attr = 0x9b | (m->levels > 3 ? ATTR_LONG : ATTR_DB);
	guest_regs[VREG_CPL] = s.flags & 32 ? 3 : 0;
	guest.rip = gva;
	fetch_forget(&guest);
	n = guest_insn_bytes(&guest, bytes);
	must(n <= INSN_MAX_LEN && guest_insn_bytes(&guest, again) == n);
	must(!memcmp(bytes, again, n));
	return 0;
}
