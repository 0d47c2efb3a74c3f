// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * hypercall.c -- calls to the hypervisor, and is it there at all.
 *
 * The control VM's guest-physical addresses are host-physical ones, so a
 * block in the kernel's linear mapping is handed over as it is.  It must not
 * cross a page: block_alloc() sees to that.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/io.h>
#include <linux/log2.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ko.h"

struct joist_capabilities caps __ro_after_init;

/* Which of the two instructions; the other one raises #UD. */
static bool by_vmcall __ro_after_init;

/* Not traced: RUN calls it while RCU may believe that a guest is running. */
int notrace hypercall(u32 nr, void *block)
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

/* For calls that work in steps, to their end. */
int hypercall_again(u32 nr, void *block)
{
	int ret;

	while ((ret = hypercall(nr, block)) == -EAGAIN)
		cond_resched();
	return ret;
}

/* A power of two from kmalloc() is aligned to its size. */
void *block_alloc(size_t size)
{
	return ko_zalloc(roundup_pow_of_two(size), GFP_KERNEL);
}

/* The user's argument, copied once. */
void *block_get(const void __user *from, size_t size)
{
	void *block = ko_zalloc(roundup_pow_of_two(size), GFP_KERNEL);

	if (!block)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(block, from, size)) {
		ko_free(block);
		return ERR_PTR(-EFAULT);
	}
	return block;
}

static int __init caps_init(void)
{
	struct joist_capabilities *c = block_alloc(sizeof(*c));
	int ret;

	if (!c)
		return -ENOMEM;
	ret = hypercall(HC_CAPABILITIES, c);
	if (!ret && !c->tsc_khz)
		ret = -EPROTO;
	if (ret)
		pr_err("the hypervisor tells no capabilities: error %d\n", ret);
	caps = *c;
	ko_free(c);
	return ret;
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
	return caps_init();
}
