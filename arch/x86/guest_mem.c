/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest_mem.c -- walking a guest's page tables and touching its memory.
 *
 * The guest may change all of it at any time: every entry is read once.
 */
#include "arch/x86/exit.h"
#include "arch/x86/guest_mem.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "arch/x86/xstate.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"

#define ATTR_LONG	BIT(13)
#define ATTR_DB		BIT(14)
#define PAE_CR3_TABLE	BITS(31, 5)

/* The control VM's memory is at its own address: the owner decides. */
static void *control_ptr(u64 gpa, u64 *len)
{
	if (page_owner(HPA(gpa)) != OWNER_CONTROL)
		return NULL;
	*len = PAGE_SIZE - (gpa & (PAGE_SIZE - 1));
	return hpa_ptr(HPA(gpa));
}

static void *ptr_for(struct vcpu *v, gpa_t gpa, u32 access, u64 *len)
{
	u64 hpa;

	if (v->control)
		return control_ptr(gpa.v, len);
	return stage2_walk(&v->vm->s2, gpa.v, &hpa, len) & access ? hpa_ptr(HPA(hpa)) : NULL;
}

void *guest_ptr(struct vcpu *v, gpa_t gpa, u64 *len)
{
	return ptr_for(v, gpa, STAGE2_READ, len);
}

void *guest_ptr_write(struct vcpu *v, gpa_t gpa, u64 *len)
{
	return ptr_for(v, gpa, STAGE2_WRITE, len);
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
		void *p = guest_ptr_write(v, gpa, &n);

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

/* What the walk gathers: an access must be allowed at every level. */
struct walk {
	struct vcpu *v;
	u32 access;
	bool write, user, exec;		/* allowed so far */
	bool nx;			/* such a bit exists */
	u64 cr0, cr4, efer;
	struct fetch_cache *trace;	/* records the entries it reads, or NULL */
};

static u32 pf_code(const struct walk *w, bool present)
{
	return w->access | (present ? PF_PRESENT : 0);
}

/* SDM, "Protection Keys": the leaf's, of a user page. */
static bool key_denied(const struct walk *w, u64 leaf)
{
	u32 rights;

	if (!(w->cr4 & CR4_PKE) || !w->user || (w->access & PF_FETCH))
		return false;
	rights = xstate_pkru(w->v) >> 2 * field_get(PTE_KEY, leaf);
	if (rights & 1)
		return true;
	return (rights & 2) && (w->access & PF_WRITE) &&
	       ((w->access & PF_USER) || (w->cr0 & CR0_WP));
}

/*
 * SDM, "Reserved Bits" of entries of 8 bytes.  Of code, the CPU that fetched it
 * has seen to that.
 */
static bool reserved(const struct walk *w, u64 e, unsigned level, bool leaf)
{
	u64 bits = BITS(51, 12) & ~(BIT(guest_features.phys_bits) - 1);

	bits |= w->nx ? 0 : PTE_NX;
	if (!(w->efer & EFER_LMA))
		bits |= BITS(62, 52);
	if (level > 3)
		bits |= PTE_PS;
	if (leaf && level > 1)
		bits |= (BIT(12 + 9 * (level - 1)) - 1) & ~BITS(12, 0);
	return !(w->access & PF_FETCH) && (e & bits);
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

/* Whether the accessed and dirty bits of the entry there can be set. */
static bool entry_writable(struct vcpu *v, u64 gpa)
{
	u64 len;

	return guest_ptr_write(v, GPA(gpa), &len);
}

static int translate_long(struct walk *w, u64 gva, u64 cr3, unsigned levels, u64 *gpa,
			  u32 *error)
{
	u64 table = cr3 & PTE_ADDR;
	unsigned level;

	if (levels == 3)
		table = cr3 & PAE_CR3_TABLE;
	for (level = levels; level; level--) {
		unsigned shift = 12 + 9 * (level - 1);
		u64 index = levels == 3 && level == 3 ? (gva >> 30) & 3 : (gva >> shift) & 511;
		u64 at = table + index * 8, *p = entry_ptr(w->v, at), e;
		bool pdpte = levels == 3 && level == 3, leaf, key;
		u64 bits;

		if (!p)
			return fail(-EIO);
		e = __atomic_load_n(p, __ATOMIC_RELAXED);
		if (!(e & PTE_P)) {
			*error = pf_code(w, false);
			return -EFAULT;
		}
		if (w->trace) {
			w->trace->entry[w->trace->depth] = p;
			w->trace->value[w->trace->depth++] = e;
		}
		leaf = level == 1 || (level <= 3 && !pdpte && (e & PTE_PS));
		/* PAE's first level was looked at when it was loaded. */
		if (!pdpte && reserved(w, e, level, leaf)) {
			*error = pf_code(w, true) | (u32)PF_RESERVED;
			return -EFAULT;
		}
		if (!pdpte) {
			w->write &= !!(e & PTE_W);
			w->user &= !!(e & PTE_U);
			w->exec &= !(w->nx && (e & PTE_NX));
			key = leaf && key_denied(w, e);
			/* A write that is refused makes no page dirty. */
			if (leaf && (key || denied(w))) {
				*error = pf_code(w, true) | (key ? (u32)PF_KEY : 0);
				return -EFAULT;
			}
			bits = PTE_A | (leaf && (w->access & PF_WRITE) ? PTE_D : 0);
			if ((e & bits) != bits && !(w->access & PF_FETCH)) {
				if (!entry_writable(w->v, at))
					return fail(-EIO);
				__atomic_fetch_or(p, bits, __ATOMIC_RELAXED);
			}
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

/* SDM, "PDPTE Registers"; APM, "Page-Translation-Table Entry Fields", says the
 * same. */
bool pdpte_bad(u64 pdpte)
{
	u64 reserved = BITS(2, 1) | BITS(8, 5) | ~(BIT(guest_features.phys_bits) - 1);

	return (pdpte & PTE_P) && (pdpte & reserved);
}

int guest_pdptes(struct vcpu *v, u64 cr3, u64 pdpte[4])
{
	u32 i;

	if (guest_read(v, GPA(cr3 & PAE_CR3_TABLE), pdpte, 4 * sizeof(*pdpte)))
		return -EIO;
	for (i = 0; i < 4; i++)
		if (pdpte_bad(pdpte[i]))
			return -EINVAL;
	return 0;
}

/* PSE-36: what of bits 39:32 no address has, and bit 21. */
static u32 reserved_4m(void)
{
	u64 high = BITS(39, 32) & ~(BIT(guest_features.phys_bits) - 1);

	return (u32)(BIT(21) | high >> 19);
}

static int translate_32(struct walk *w, u32 gva, u32 cr3, bool pse, u64 *gpa, u32 *error)
{
	u32 table = cr3 & 0xfffff000;
	unsigned level;

	for (level = 2; level; level--) {
		u32 shift = level == 2 ? 22 : 12, e, bits = (u32)PTE_A;
		u32 at = table + ((gva >> shift) & 1023) * 4, *p = entry_ptr(w->v, at);
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
		if (leaf && level == 2 && !(w->access & PF_FETCH) && (e & reserved_4m())) {
			*error = pf_code(w, true) | (u32)PF_RESERVED;
			return -EFAULT;
		}
		if (leaf && denied(w)) {
			*error = pf_code(w, true);
			return -EFAULT;
		}
		if (leaf && (w->access & PF_WRITE))
			bits |= (u32)PTE_D;
		if ((e & bits) != bits && !(w->access & PF_FETCH)) {
			if (!entry_writable(w->v, at))
				return fail(-EIO);
			__atomic_fetch_or(p, bits, __ATOMIC_RELAXED);
		}
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

static int translate(struct vcpu *v, u64 gva, u32 access, const struct cpu_mode *m,
		     struct fetch_cache *trace, u64 *gpa, u32 *error)
{
	struct walk w = {
		.v = v, .access = access, .write = true, .user = true, .exec = true,
		.cr0 = m->cr0, .cr4 = m->cr4, .efer = m->efer, .nx = m->efer & EFER_NXE,
		.trace = trace,
	};

	if (!(m->cr0 & CR0_PG)) {
		*gpa = (u32)gva;
		return 0;
	}
	if (m->efer & EFER_LMA)
		return translate_long(&w, gva, m->cr3, m->cr4 & CR4_LA57 ? 5 : 4, gpa, error);
	if (m->cr4 & CR4_PAE)
		return translate_long(&w, (u32)gva, m->cr3, 3, gpa, error);
	/* Entries of 4 bytes are not recorded: such a walk is never reused. */
	if (trace)
		trace->page = 0;
	return translate_32(&w, (u32)gva, (u32)m->cr3, m->cr4 & CR4_PSE, gpa, error);
}

int guest_translate(struct vcpu *v, gva_t gva, u32 access, gpa_t *gpa, u32 *error)
{
	struct cpu_mode m;

	backend->mode_get(v, &m);
	return translate(v, gva.v, access, &m, NULL, &gpa->v, error);
}

static enum insn_mode insn_mode(struct vcpu *v, const struct cpu_mode *m)
{
	if ((m->cs_attr & ATTR_LONG) && (m->efer & EFER_LMA))
		return INSN_64;
	if (!(m->cr0 & CR0_PE) || (v->rflags & RFLAGS_VM))
		return INSN_16;
	return m->cs_attr & ATTR_DB ? INSN_32 : INSN_16;
}

static u64 code_linear(struct vcpu *v, const struct cpu_mode *m)
{
	return insn_mode(v, m) == INSN_64 ? v->rip : (u32)(m->cs_base + v->rip);
}

enum insn_mode guest_mode(struct vcpu *v)
{
	struct cpu_mode m;

	backend->mode_get(v, &m);
	return insn_mode(v, &m);
}

/* The same page by the same way as last time: every entry is compared, not
 * trusted, and stage-2 changes drop the cache (fetch_forget). */
static bool cached(const struct fetch_cache *f, u64 page, const struct cpu_mode *m)
{
	u32 i;

	if (f->page != page || f->m.cr3 != m->cr3 || f->m.cr0 != m->cr0 ||
	    f->m.cr4 != m->cr4 || f->m.efer != m->efer || f->m.cpl != m->cpl)
		return false;
	/* Mostly four: without a loop. */
	#pragma GCC unroll 5
	for (i = 0; i < ARRAY_SIZE(f->entry); i++)
		if (__atomic_load_n(f->entry[i], __ATOMIC_RELAXED) != f->value[i])
			return false;
	return true;
}

void fetch_forget(struct vcpu *v)
{
	v->fetch.page = 0;
}

/* Where the page of code at a linear address lies. */
static int code_page(struct vcpu *v, u64 linear, const struct cpu_mode *m, const u8 **host)
{
	u64 page = ALIGN_DOWN(linear, PAGE_SIZE) | 1, len;
	struct fetch_cache *f = &v->fetch;
	gpa_t gpa;
	u32 error, i;
	int err;

	if (likely(cached(f, page, m))) {
		*host = f->host;
		return 0;
	}
	f->page = page;
	f->m = *m;
	f->depth = 0;
	/* Entries that the walk does not have stay as they are. */
	for (i = 0; i < ARRAY_SIZE(f->entry); i++)
		f->entry[i] = &f->value[i];
	err = translate(v, ALIGN_DOWN(linear, PAGE_SIZE),
			PF_FETCH | (m->cpl == 3 ? (u32)PF_USER : 0), m, f, &gpa.v, &error);
	f->host = err ? NULL : guest_ptr(v, gpa, &len);
	*host = f->host;
	if (!f->host) {
		f->page = 0;
		return err ? err : fail(-EIO);
	}
	return 0;
}

/* Up to `want` bytes at a linear address, at most to the end of its page. */
static int fetch(struct vcpu *v, u64 linear, const struct cpu_mode *m, u8 *buf, unsigned want,
		 unsigned *got)
{
	unsigned offset = linear & (PAGE_SIZE - 1);
	const u8 *host;
	int err = code_page(v, linear, m, &host);

	if (err)
		return err;
	*got = MIN(want, (unsigned)PAGE_SIZE - offset);
	if (likely(*got == 16))
		__builtin_memcpy(buf, host + offset, 16);
	else
		memcpy(buf, host + offset, *got);
	return 0;
}

bool guest_insn_is(struct vcpu *v, u32 bytes, unsigned n)
{
	struct cpu_mode m;
	u64 linear;
	u32 offset, code;

	backend->mode_get(v, &m);
	linear = code_linear(v, &m);
	offset = linear & (PAGE_SIZE - 1);
	if (offset > PAGE_SIZE - sizeof(code) || !cached(&v->fetch, (linear - offset) | 1, &m))
		return false;
	__builtin_memcpy(&code, v->fetch.host + offset, sizeof(code));
	return !((code ^ bytes) << (32 - 8 * n));
}

/* What an instruction means depends on its own bytes and the mode, on nothing else. */
static bool decoded(const struct insn_cache *c, const u64 bytes[2], enum insn_mode mode)
{
	return c->mask[0] && c->mode == mode && !((bytes[0] ^ c->bytes[0]) & c->mask[0]) &&
	       !((bytes[1] ^ c->bytes[1]) & c->mask[1]);
}

/* `bytes` are 16, all of them fetched, of which an instruction has 15 at most. */
static int decode_full(struct vcpu *v, const u64 bytes[2], enum insn_mode mode,
		       struct insn *in)
{
	struct insn_cache *c = &v->decoded;
	unsigned bits;
	int err;

	if (likely(decoded(c, bytes, mode))) {
		*in = c->insn;
		return 0;
	}
	err = insn_decode((const u8 *)bytes, INSN_MAX_LEN, mode, in);
	if (err)
		return err;
	bits = 8u * in->len;
	*c = (struct insn_cache){
		.bytes = { bytes[0], bytes[1] },
		.mask = { bits < 64 ? BIT(bits) - 1 : ~0ull, bits > 64 ? BIT(bits - 64) - 1 : 0 },
		.mode = mode,
		.insn = *in,
	};
	return 0;
}

int guest_insn(struct vcpu *v, struct insn *in)
{
	struct cpu_mode m;
	enum insn_mode mode;
	unsigned n, more;
	u64 linear, bytes[2];
	u8 *buf = (u8 *)bytes;
	int err;

	backend->mode_get(v, &m);
	mode = insn_mode(v, &m);
	linear = code_linear(v, &m);
	err = fetch(v, linear, &m, buf, sizeof(bytes), &n);
	if (err)
		return err;
	if (likely(n == sizeof(bytes)))
		return decode_full(v, bytes, mode, in);
	err = insn_decode(buf, n, mode, in);
	if (likely(err != -EAGAIN))
		return err;
	err = fetch(v, linear + n, &m, buf + n, sizeof(bytes) - n, &more);
	if (err)
		return err;
	err = insn_decode(buf, MIN(n + more, (unsigned)INSN_MAX_LEN), mode, in);
	return err == -EAGAIN ? fail(-EINVAL) : err;
}

unsigned guest_insn_bytes(struct vcpu *v, u8 *buf)
{
	unsigned n = 0, more = 0;
	struct cpu_mode m;
	u64 linear;

	backend->mode_get(v, &m);
	linear = code_linear(v, &m);
	if (fetch(v, linear, &m, buf, INSN_MAX_LEN, &n))
		return 0;
	if (n < INSN_MAX_LEN && !fetch(v, linear + n, &m, buf + n, INSN_MAX_LEN - n, &more))
		n += more;
	return n;
}
