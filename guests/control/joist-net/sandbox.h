/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.h -- what is left to joist-net once it works.
 */
#ifndef NET_SANDBOX_H
#define NET_SANDBOX_H

/*
 * Sockets of IP, its own memory, and to read where names are resolved: nothing
 * else from now on.  Where the kernel has no Landlock, files stay as they are.
 * NULL, or what has failed, with errno.
 */
const char *sandbox_enter(void);

#endif
