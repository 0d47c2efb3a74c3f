/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user_net.h -- network cards without a tap: joist-net serves each.
 *
 * The manager's: they start before the first machine and end after the last.
 */
#ifndef VM_USER_NET_H
#define VM_USER_NET_H

#include "vm.h"

/* False: error says why not, and user_net_close() is due. */
bool user_net_start(struct vm_config *cfg, char *error, size_t size);

/* Readable when that card's has something to say; -1: none. */
int user_net_fd(unsigned nic);
/* What it says, a line without its end; false: nothing yet. */
bool user_net_event(unsigned nic, char *text, size_t size);

void user_net_close(void);

#endif
