/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * confine.h -- what is left to a program that reads files which others have
 * made: those files, and what it takes to run at all.
 */
#ifndef VM_CONFINE_H
#define VM_CONFINE_H

#include <stdbool.h>

struct confine_file {
	int fd;			/* open in any way */
	bool write;		/* else it is only read */
};

/*
 * In the child, before the program: no network, no rights but to open these
 * files; under root, a user that nobody else is.  Where the kernel cannot do
 * that (landlock_can(), user namespaces), less.  NULL, or what has failed, with
 * errno: then the program must not run.
 */
const char *confine(const struct confine_file *file, unsigned count);

#endif
