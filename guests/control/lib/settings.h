/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * settings.h -- what can be said about a VM, one row each.
 *
 * A row is an option of joist-vm (and so of joistctl start and run), the word
 * of the same name in joist.conf with _ for -, and an entry of the manual
 * page.  What a value means is joist-vm's business (joist-vm/main.c).
 */
#ifndef TOOLS_SETTINGS_H
#define TOOLS_SETTINGS_H

#include "util.h"

/* Where a setting has no letter, its number is its own. */
enum setting_key {
	SET_DEBUG_EXIT = 256, SET_ON_CRASH, SET_ON_REBOOT, SET_ON_POWEROFF,
	SET_STOP_TIMEOUT, SET_ON_ERROR, SET_AUTOSTART, SET_VSOCK, SET_CONSOLE,
	SET_BALLOON,
};

struct setting {
	const char *name;
	int key;		/* the option's letter, or one of the above */
	const char *arg;	/* what its value is called */
	const char *value;	/* in effect where none is given, or NULL */
	bool list;		/* may be given several times */
	bool path;		/* the value begins with a path */
	bool conf_only;		/* no option */
	const char *help;	/* lines of up to 70 characters */
};

extern const struct setting settings[];
extern const unsigned settings_count;

const struct setting *setting_by_name(const char *name);
/* Its name in joist.conf. */
const char *setting_word(const struct setting *s);

#endif
