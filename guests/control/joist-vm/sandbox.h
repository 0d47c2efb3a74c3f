/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.h -- what is left to the machine process once its guest runs: the
 * descriptors it has, and the system calls by which it uses them.
 *
 * In the order they are called.  Each gives 0, or -errno: then the machine
 * must not run.
 */
#ifndef VM_SANDBOX_H
#define VM_SANDBOX_H

#include "vm.h"

/*
 * User numbers that no distribution and no container manager hands out
 * (systemd's "Users, Groups, UIDs and GIDs" lists them as unused); with the
 * number of a process of the VM, at most 2^22, one is the VM's own.
 */
#define SANDBOX_UID	0x7a000000u

/* First: close what the manager has open, but what a machine needs. */
int sandbox_close(const struct vm_config *cfg, const struct machine_fds *fds);
/*
 * All is open, nothing a guest brings has been looked at, and there is one thread:
 * an empty file system, no network, no capabilities, and if it was root, a user
 * that nobody else is.  An errno above 0: the kernel has refused a user other
 * than root the first two, and the machine may run without them.
 */
int sandbox_enter(void);
/*
 * All is loaded: closes what that took, and limits the memory of its own and how
 * long it can make a file, which is as long as its longest image is.
 */
int sandbox_loaded(const struct vm_config *cfg);
/* All threads are there: only the calls in a list from now on. */
int sandbox_filter(const struct vm_config *cfg);

#endif
