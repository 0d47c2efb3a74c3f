/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user_net.h -- network cards without a tap: joist-net serves each.
 */
#ifndef VM_USER_NET_H
#define VM_USER_NET_H

#include "vm.h"

/* In the manager.  They end with the VM.  False: error says why not. */
bool user_net_start(struct vm_config *cfg, char *error, size_t size);

#endif
