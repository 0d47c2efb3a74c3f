/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest_mem.h -- a VM's memory as its vCPUs see it: translation, bytes.
 */
#ifndef ARCH_X86_GUEST_MEM_H
#define ARCH_X86_GUEST_MEM_H

#include "arch/x86/decode.h"
#include "core/types.h"

struct vcpu;

/* The frame behind gpa, if it is the VM's RAM, and *len bytes to its end;
 * NULL otherwise. */
void *guest_ptr(struct vcpu *v, gpa_t gpa, u64 *len);
/* The same, but NULL also where the VM may not write. */
void *guest_ptr_write(struct vcpu *v, gpa_t gpa, u64 *len);
int guest_read(struct vcpu *v, gpa_t gpa, void *dst, u64 len);
int guest_write(struct vcpu *v, gpa_t gpa, const void *src, u64 len);

/*
 * Translates as the CPU would for an access with these PF_* bits (WRITE,
 * USER, FETCH).  -EFAULT: page fault, *error is its code; -EIO: a table lies
 * outside memory, or is to be marked accessed in memory that cannot be written.
 */
int guest_translate(struct vcpu *v, gva_t gva, u32 access, gpa_t *gpa, u32 *error);

/*
 * The four page-directory-pointer entries that a CPU loads when PAE paging
 * begins, as they are in memory.  -EINVAL: one has reserved bits set, -EIO: they
 * lie outside memory; both are #GP of the instruction that loads them.
 */
int guest_pdptes(struct vcpu *v, u64 cr3, u64 pdpte[4]);
/* One that a CPU would not load. */
bool pdpte_bad(u64 pdpte);

/* Decodes the instruction at RIP.  -EINVAL, -EFAULT, -EIO. */
int guest_insn(struct vcpu *v, struct insn *in);
/*
 * Whether the code at RIP begins with these n bytes, 1 to 4, the first in the
 * lowest.  False may also mean that it is not known without effort.
 */
bool guest_insn_is(struct vcpu *v, u32 bytes, unsigned n);
/* What is at RIP: up to INSN_MAX_LEN bytes; returns how many could be read. */
unsigned guest_insn_bytes(struct vcpu *v, u8 *buf);
enum insn_mode guest_mode(struct vcpu *v);
/* The VM's stage-2 tables have changed. */
void fetch_forget(struct vcpu *v);

#endif
