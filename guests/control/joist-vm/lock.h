/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.h -- files that one VM at a time may write to.
 */
#ifndef VM_LOCK_H
#define VM_LOCK_H

#include <stdbool.h>

/*
 * Others may read it meanwhile if we only read, too.  Dies, as "WHAT PATH: ...",
 * if another VM has it.  The lock goes with the open file, which the machine
 * inherits: it is there until the last of us is gone.
 */
void file_lock(int fd, bool read_only, const char *what, const char *path);

#endif
