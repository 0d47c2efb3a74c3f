/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * svm_audit.h -- checks of a VMCB before its VMRUN; debug builds only.
 */
#ifndef ARCH_X86_SVM_SVM_AUDIT_H
#define ARCH_X86_SVM_SVM_AUDIT_H

#include "core/types.h"

struct vcpu;
struct vmcb;

#ifdef JOIST_DEBUG
/* The rule that its control area, its registers break; NULL: none. */
const char *vmcb_broken(const struct vmcb *b, unsigned phys_bits);
const char *vmcb_registers_broken(const struct vmcb *b);
/* False: a CPU would refuse the guest's registers, and its VMCB says so. */
bool svm_audit(const struct vcpu *v);
/* Told of each VMRUN: no entry can use a translation that is gone (audit.h). */
struct cpu;
void svm_audit_tag(const struct vcpu *v, const struct cpu *c);
void svm_audit_exit(const struct vcpu *v, const struct cpu *c);
#else
#define svm_audit_tag(v, c)	do { } while (0)
#define svm_audit_exit(v, c)	do { } while (0)
static inline bool svm_audit(const struct vcpu *v)
{
	return true;
}
#endif

#endif
