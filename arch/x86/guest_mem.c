/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest_mem.c -- walking a guest's page tables and touching its memory.
 *
 * The guest may change all of it at any time: every entry is read once.
 */
#include "arch/x86/guest_mem.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"

#define ATTR_LONG	BIT(13)
#define ATTR_DB		BIT(14)

/* The control VM's memory is at its own address: the owner decides. */
static void *control_ptr(u64 gpa, u64 *len)
{
	if (page_owner(HPA(gpa)) != OWNER_CONTROL)
		return NULL;
	*len = PAGE_SIZE - (gpa & (PAGE_SIZE - 1));
	return hpa_ptr(HPA(gpa));
}

void *guest_ptr(struct vcpu *v, gpa_t gpa, u64 *len)
{
	u64 hpa;

	if (v->control)
		return control_ptr(gpa.v, len);
	return stage2_walk(&v->vm->s2, gpa.v, &hpa, len) ? hpa_ptr(HPA(hpa)) : NULL;
}

int guest_read(struct vcpu *v, gpa_t gpa, void *dst, u64 len)
{
	while (len) {
		u64 n;
		const void *p = guest_ptr(v, gpa, &n);

		if (!p)
			return fail(-EFAULT);
		n = MIN(n, len);
		memcpy(dst, p, n);
		dst = (char *)dst + n;
		gpa.v += n;
		len -= n;
	}
	return 0;
}

int guest_write(struct vcpu *v, gpa_t gpa, const void *src, u64 len)
{
	while (len) {
		u64 n;
		void *p = guest_ptr(v, gpa, &n);

		if (!p)
			return fail(-EFAULT);
		n = MIN(n, len);
		memcpy(p, src, n);
		src = (const char *)src + n;
		gpa.v += n;
		len -= n;
	}
	return 0;
}

enum insn_mode guest_mode(struct vcpu *v)
{
	struct joist_segment cs;

	if (!(backend->reg_get(v, VREG_CR0) & CR0_PE) || (v->rflags & RFLAGS_VM))
		return INSN_16;
	backend->seg_get(v, JOIST_CS, &cs);
	if ((cs.attr & ATTR_LONG) && (backend->reg_get(v, VREG_EFER) & EFER_LMA))
		return INSN_64;
	return cs.attr & ATTR_DB ? INSN_32 : INSN_16;
}

u64 guest_linear_rip(struct vcpu *v)
{
	struct joist_segment cs;

	backend->seg_get(v, JOIST_CS, &cs);
	if ((cs.attr & ATTR_LONG) && (backend->reg_get(v, VREG_EFER) & EFER_LMA))
		return v->rip;
	return (u32)(cs.base + v->rip);
}

/* What the walk gathers: an access must be allowed at every level. */
struct walk {
	struct vcpu *v;
	u32 access;
	bool write, user, exec;		/* allowed so far */
	u64 cr0, cr4;
};

static u32 pf_code(const struct walk *w, bool present)
{
	return w->access | (present ? PF_PRESENT : 0);
}

/* SDM, "Determination of Access Rights". */
static bool denied(const struct walk *w)
{
	bool user = w->access & PF_USER;

	if (w->access & PF_FETCH)
		return !w->exec || (user ? !w->user : w->user && (w->cr4 & CR4_SMEP));
	if (user)
		return !w->user || ((w->access & PF_WRITE) && !w->write);
	return ((w->access & PF_WRITE) && !w->write && (w->cr0 & CR0_WP)) ||
	       (w->user && (w->cr4 & CR4_SMAP) && !(w->v->rflags & RFLAGS_AC));
}

/* Reads an entry of 8 or 4 bytes; NULL: not in memory. */
static void *entry_ptr(struct vcpu *v, u64 gpa)
{
	u64 len;

	return guest_ptr(v, GPA(gpa), &len);
}

static int translate_long(struct walk *w, u64 gva, u64 cr3, unsigned levels, bool nx,
			  u64 *gpa, u32 *error)
{
	u64 table = cr3 & PTE_ADDR;
	unsigned level;

	if (levels == 3)
		table = cr3 & 0xffffffe0;
	for (level = levels; level; level--) {
		unsigned shift = 12 + 9 * (level - 1);
		u64 index = levels == 3 && level == 3 ? (gva >> 30) & 3 : (gva >> shift) & 511;
		u64 *p = entry_ptr(w->v, table + index * 8), e;
		bool pdpte = levels == 3 && level == 3, leaf;
		u64 bits;

		if (!p)
			return fail(-EIO);
		e = __atomic_load_n(p, __ATOMIC_RELAXED);
		if (!(e & PTE_P)) {
			*error = pf_code(w, false);
			return -EFAULT;
		}
		leaf = level == 1 || (level <= 3 && !pdpte && (e & PTE_PS));
		if (!pdpte) {
			w->write &= !!(e & PTE_W);
			w->user &= !!(e & PTE_U);
			w->exec &= !(nx && (e & PTE_NX));
			/* A write that is refused makes no page dirty. */
			if (leaf && denied(w)) {
				*error = pf_code(w, true);
				return -EFAULT;
			}
			bits = PTE_A | (leaf && (w->access & PF_WRITE) ? PTE_D : 0);
			if ((e & bits) != bits && !(w->access & PF_FETCH))
				__atomic_fetch_or(p, bits, __ATOMIC_RELAXED);
		}
		if (leaf) {
			u64 mask = BIT(shift) - 1;

			*gpa = (e & PTE_ADDR & ~mask) | (gva & mask);
			return 0;
		}
		table = e & PTE_ADDR;
	}
	return fail(-EIO);
}

static int translate_32(struct walk *w, u32 gva, u32 cr3, bool pse, u64 *gpa, u32 *error)
{
	u32 table = cr3 & 0xfffff000;
	unsigned level;

	for (level = 2; level; level--) {
		u32 shift = level == 2 ? 22 : 12, e, bits = (u32)PTE_A;
		u32 *p = entry_ptr(w->v, table + ((gva >> shift) & 1023) * 4);
		bool leaf;

		if (!p)
			return fail(-EIO);
		e = __atomic_load_n(p, __ATOMIC_RELAXED);
		if (!(e & PTE_P)) {
			*error = pf_code(w, false);
			return -EFAULT;
		}
		w->write &= !!(e & PTE_W);
		w->user &= !!(e & PTE_U);
		leaf = level == 1 || (pse && (e & PTE_PS));
		if (leaf && denied(w)) {
			*error = pf_code(w, true);
			return -EFAULT;
		}
		if (leaf && (w->access & PF_WRITE))
			bits |= (u32)PTE_D;
		if ((e & bits) != bits && !(w->access & PF_FETCH))
			__atomic_fetch_or(p, bits, __ATOMIC_RELAXED);
		if (leaf && level == 2) {
			/* PSE-36: bits 39:32 of the address in bits 20:13. */
			*gpa = (e & 0xffc00000) | (u64)(e >> 13 & 0xff) << 32 |
			       (gva & 0x3fffff);
			return 0;
		}
		if (leaf) {
			*gpa = (e & 0xfffff000) | (gva & 0xfff);
			return 0;
		}
		table = e & 0xfffff000;
	}
	return fail(-EIO);
}

int guest_translate(struct vcpu *v, gva_t gva, u32 access, gpa_t *gpa, u32 *error)
{
	u64 cr3 = backend->reg_get(v, VREG_CR3), efer = backend->reg_get(v, VREG_EFER);
	struct walk w = {
		.v = v, .access = access, .write = true, .user = true, .exec = true,
		.cr0 = backend->reg_get(v, VREG_CR0), .cr4 = backend->reg_get(v, VREG_CR4),
	};
	bool nx = efer & EFER_NXE;

	if (!(w.cr0 & CR0_PG)) {
		gpa->v = (u32)gva.v;
		return 0;
	}
	if (efer & EFER_LMA)
		return translate_long(&w, gva.v, cr3, w.cr4 & CR4_LA57 ? 5 : 4, nx, &gpa->v,
				      error);
	if (w.cr4 & CR4_PAE)
		return translate_long(&w, (u32)gva.v, cr3, 3, nx, &gpa->v, error);
	return translate_32(&w, (u32)gva.v, (u32)cr3, w.cr4 & CR4_PSE, &gpa->v, error);
}

static u32 fetch_access(struct vcpu *v)
{
	return PF_FETCH | (backend->reg_get(v, VREG_CPL) == 3 ? PF_USER : 0);
}

/* Bytes at a linear address, at most to the end of its page. */
static int fetch(struct vcpu *v, u64 linear, u8 *buf, unsigned want, unsigned *got)
{
	unsigned n = PAGE_SIZE - (linear & (PAGE_SIZE - 1));
	u64 len;
	gpa_t gpa;
	u32 error;
	void *p;
	int err = guest_translate(v, GVA(linear), fetch_access(v), &gpa, &error);

	if (err)
		return err;
	p = guest_ptr(v, gpa, &len);
	if (!p)
		return fail(-EIO);
	n = MIN(n, want);
	if (likely(n == 16)) {
		__builtin_memcpy(buf, p, 16);
	} else {
		memcpy(buf, p, n);
	}
	*got = n;
	return 0;
}

int guest_insn(struct vcpu *v, struct insn *in)
{
	u64 linear = guest_linear_rip(v);
	enum insn_mode mode = guest_mode(v);
	u8 buf[16];
	unsigned n, more;
	int err = fetch(v, linear, buf, sizeof(buf), &n);

	if (err)
		return err;
	err = insn_decode(buf, MIN(n, (unsigned)INSN_MAX_LEN), mode, in);
	if (err != -EAGAIN)
		return err;
	err = fetch(v, linear + n, buf + n, sizeof(buf) - n, &more);
	if (err)
		return err;
	err = insn_decode(buf, MIN(n + more, (unsigned)INSN_MAX_LEN), mode, in);
	return err == -EAGAIN ? fail(-EINVAL) : err;
}

unsigned guest_insn_bytes(struct vcpu *v, u8 *buf)
{
	u64 linear = guest_linear_rip(v);
	unsigned n = 0, more = 0;

	if (fetch(v, linear, buf, INSN_MAX_LEN, &n))
		return 0;
	if (n < INSN_MAX_LEN && !fetch(v, linear + n, buf + n, INSN_MAX_LEN - n, &more))
		n += more;
	return n;
}
