/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf.h -- the configuration file, joist.conf(5).
 *
 * Here is its form: which VMs there are, and which settings are given for
 * each.  What the values mean is checked by joist-vm when it uses them.
 */
#ifndef TOOLS_CONF_H
#define TOOLS_CONF_H

#include "settings.h"

#define CONF_PATH	"/etc/joist/joist.conf"
#define CONF_LOADED	"/run/joist/loaded.%u.conf"	/* %u: user id */

struct conf_value {
	const struct setting *setting;
	char *text;
	unsigned line;
};

struct conf_vm {
	char *name;
	const char *path;	/* of the file */
	unsigned line;		/* of the first thing said about it */
	bool autostart;
	struct conf_value *values;
	unsigned count;
};

struct conf {
	struct conf_vm *vms;
	unsigned count;
};

/*
 * Read a file and add its VMs; those that are there already by name stay.
 * Dies with file and line if something is wrong.  False: no such file.
 */
bool conf_read(struct conf *c, const char *path);

/*
 * All that counts: the file given, or, without one (NULL), what this user has
 * loaded and then the system's.
 */
void conf_read_all(struct conf *c, const char *given);

/* This user's loaded file. */
const char *conf_loaded_path(void);

const struct conf_vm *conf_find(const struct conf *c, const char *name);

#endif
