// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * main.c -- joist.ko loads and unloads.
 */
#include <linux/init.h>
#include <linux/module.h>

#include "ko.h"

static int __init joist_init(void)
{
	return hypercall_init();
}

static void __exit joist_exit(void)
{
}

module_init(joist_init);
module_exit(joist_exit);
MODULE_DESCRIPTION("Control of the Joist hypervisor");
MODULE_LICENSE("Dual BSD/GPL");
