/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * landlock.h -- a process keeps to the files that it names itself.
 */
#ifndef LIB_LANDLOCK_H
#define LIB_LANDLOCK_H

#include <linux/landlock.h>
#include <stdbool.h>

#include "util.h"

/* Since version 3, and not in Debian 12's header. */
#define LANDLOCK_TRUNCATE	BIT(14)

#define LANDLOCK_READ	LANDLOCK_ACCESS_FS_READ_FILE
#define LANDLOCK_WRITE	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_TRUNCATE)
#define LANDLOCK_RUN	(LANDLOCK_READ | LANDLOCK_ACCESS_FS_READ_DIR | \
			 LANDLOCK_ACCESS_FS_EXECUTE)

/* Has this kernel got it? */
bool landlock_can(void);

/* All of these give -1 and errno. */

/* No access but what is allowed next; the rules' descriptor. */
int landlock_open(void);

/* LANDLOCK_* of a file, or of all below a folder; open in any way. */
int landlock_allow(int rules, int fd, u64 access);

/* By its path; one that is not there needs no rule. */
int landlock_allow_path(int rules, const char *path, u64 access);

/* From now on, for this thread and what it starts.  The rules are closed. */
int landlock_enter(int rules);

#endif
