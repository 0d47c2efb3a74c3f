/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err.h -- one-line messages on standard error, and the exit codes.
 *
 * The codes are even, or 0: the odd ones belong to the guest's debug exit
 * port, which ends a VM with (value << 1) | 1.
 */
#ifndef TOOLS_ERR_H
#define TOOLS_ERR_H

#include "util.h"

#define EXIT_OK		0	/* done; of a VM: the guest powered itself off */
#define EXIT_FAIL	2	/* refused or failed; nothing was started */
#define EXIT_CRASH	4	/* the guest triple-faulted */
#define EXIT_KILLED	6	/* the operator ended it: kill, or a signal */
#define EXIT_VM_ERROR	8	/* a vCPU could not go on */
#define EXIT_REBOOT	10	/* the guest wanted a reset and was not to get it */
#define EXIT_GONE	12	/* the VM was destroyed from elsewhere */
#define EXIT_DEVICE	14	/* the device process died */
#define EXIT_USAGE_ERR	64	/* wrong use of the command line */

/* What stands before the colon; the program's name unless changed. */
extern const char *err_prog;
/* While a file's line is looked at: "FILE:LINE", else NULL. */
extern const char *err_where;

void warn_msg(const char *fmt, ...) PRINTF(1, 2);
void die(const char *fmt, ...) PRINTF(1, 2) __attribute__((noreturn));
void die_usage(const char *fmt, ...) PRINTF(1, 2) __attribute__((noreturn));

#endif
