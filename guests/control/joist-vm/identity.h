/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * identity.h -- what tells a VM from others in its network.
 */
#ifndef VM_IDENTITY_H
#define VM_IDENTITY_H

#include "virtio_net.h"

#define IDENTITY_HOST	"/etc/machine-id"

/* Of the host whose machine-id(5) is in that file; 0: there is none. */
u64 identity_salt(const char *path);

/* Card `index` of VM `name`: locally administered, unicast. */
void identity_mac(u8 mac[NET_MAC], u64 salt, const char *name, unsigned index);

#endif
