/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hv.h -- calls to the hypervisor through joist.ko.
 */
#ifndef TOOLS_HV_H
#define TOOLS_HV_H

#include "guests/control/joist_ioctl.h"
#include "util.h"

/*
 * The ioctl, repeated while there is work left (-EAGAIN) or a signal came
 * between (-EINTR): the block carries the progress.  0 or more, or -errno.
 */
int hv_call(int fd, unsigned long request, void *block);

/* /dev/joistctl, after a check that it speaks our ABI; dies if not. */
int hv_open_control(void);

/* /dev/joist/NAME: a descriptor or -errno. */
int hv_open_vm(const char *name);

/* NULL, or what is wrong with the name. */
const char *hv_name_error(const char *name);

/* The VM of that name: 0 and *info, or -ENOENT. */
int hv_find(int control, const char *name, struct joist_info *info);

#endif
