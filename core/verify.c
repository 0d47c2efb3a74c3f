/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify.c -- for debug builds: no mapping disagrees with the owner of what it
 * maps, and the pool's books are right.
 *
 * Meaningful when no other call is under way.
 */
#include "core/hypercall.h"
#include "core/log.h"

struct check {
	u16 owner;
	bool control;
};

static bool leaf_ok(void *ctx, u64 gpa, u64 hpa, u64 len, u32 prot)
{
	const struct check *c = ctx;
	u64 off;

	for (off = 0; off < len && hpa + off < page_top(); off += PAGE_SIZE) {
		hpa_t pa = HPA(hpa + off);
		u16 owner = page_owner(pa);
		bool ok = owner == c->owner;

		if (c->control)
			ok = owner == OWNER_NONE || owner == OWNER_CONTROL ||
			     page_is_mapped(pa) ||
			     /* the page of ones, in a forbidden page's place */
			     (owner == OWNER_HYPERVISOR && gpa != hpa && prot == STAGE2_READ);
		if (!ok) {
			log_error("verify: %lx maps %lx, whose owner is %u", gpa + off,
				  pa.v, owner);
			return false;
		}
	}
	return true;
}

int verify_all(void)
{
	struct check c = { .control = true };
	const char *why;
	u32 index = 0;
	struct vm *vm;
	bool ok;

	if (!page_verify(&why)) {
		log_error("verify: %s", why);
		return -EIO;
	}
	spin_lock(&control_s2_lock);
	ok = stage2_each(&control_vm->s2, leaf_ok, &c);
	spin_unlock(&control_s2_lock);
	while (ok && (vm = vm_next(&index))) {
		c = (struct check){ .owner = vm->owner };
		read_lock(&vm->memsegs_lock);
		ok = stage2_each(&vm->s2, leaf_ok, &c);
		read_unlock(&vm->memsegs_lock);
		vm_put(vm);
	}
	return ok ? 0 : -EIO;
}
