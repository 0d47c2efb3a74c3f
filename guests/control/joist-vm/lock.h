/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.h -- files that one VM at a time may write to, with regard to QEMU's
 * programs, too.
 */
#ifndef VM_LOCK_H
#define VM_LOCK_H

#include <stdbool.h>

#define FILE_IN_USE	"in use by another VM or program"

/*
 * Would file_lock() find that others have it?  0: no; -EAGAIN: yes; or another
 * -errno.  fd is open for reading, and nothing is locked.
 */
int file_in_use(int fd, bool read_only);

/*
 * Others may read it meanwhile if we only read, too.  Dies, as "WHAT PATH: ...",
 * if another has it.  The lock goes with the open file, which the machine
 * inherits: it is there until the last of us is gone.
 */
void file_lock(int fd, bool read_only, const char *what, const char *path);

#endif
