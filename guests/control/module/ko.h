/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ko.h -- what the files of joist.ko share.
 */
#ifndef KO_H
#define KO_H

#include <linux/types.h>

#include "joist_ioctl.h"

/* hypercall.c */
int hypercall_init(void);
int hypercall(u32 nr, void *block);

#endif
