// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * hypercall.c -- calls to the hypervisor, and is it there at all.
 *
 * The control VM's guest-physical addresses are host-physical ones, so a
 * block in the kernel's linear mapping is handed over as it is.  A block must
 * not cross a page: kmalloc() of a power of two, or a page.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/io.h>
#include <linux/printk.h>
#include <asm/processor.h>

#include "ko.h"

/* Which of the two instructions; the other one raises #UD. */
static bool by_vmcall __ro_after_init;

int hypercall(u32 nr, void *block)
{
	unsigned long ret = nr;

	if (by_vmcall)
		asm volatile("vmcall" : "+a" (ret) : "D" (virt_to_phys(block))
			     : "memory", "cc");
	else
		asm volatile("vmmcall" : "+a" (ret) : "D" (virt_to_phys(block))
			     : "memory", "cc");
	return (int)ret;
}

int __init hypercall_init(void)
{
	u32 eax, ebx, ecx, edx;

	cpuid(JOIST_CPUID_BASE, &eax, &ebx, &ecx, &edx);
	if (ebx != JOIST_CPUID_EBX || ecx != JOIST_CPUID_ECX ||
	    edx != JOIST_CPUID_EDX || eax < JOIST_CPUID_BASE + 1) {
		pr_err("this machine does not run under Joist\n");
		return -ENODEV;
	}
	cpuid(JOIST_CPUID_BASE + 1, &eax, &ebx, &ecx, &edx);
	if (!(ebx & JOIST_CPUID_CONTROL)) {
		pr_err("this is a guest of Joist, not its control VM\n");
		return -ENODEV;
	}
	if (eax != JOIST_ABI_VERSION) {
		pr_err("the hypervisor has ABI version %u, this module %u\n",
		       eax, JOIST_ABI_VERSION);
		return -EPROTO;
	}
	if (!(ebx & (JOIST_CPUID_VMCALL | JOIST_CPUID_VMMCALL))) {
		pr_err("the hypervisor names no hypercall instruction\n");
		return -EPROTO;
	}
	by_vmcall = ebx & JOIST_CPUID_VMCALL;
	return 0;
}
