/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helper.h -- programs that the manager starts to serve the machine: a disk's
 * qemu-storage-daemon, a network's joist-net.
 *
 * They end with the manager, whatever way that ends.
 */
#ifndef VM_HELPER_H
#define VM_HELPER_H

#include <sys/types.h>

#include "guests/control/lib/util.h"

#define HELPER_SAYS	1024	/* of what one prints, at a time */

struct helper {
	pid_t pid;		/* 0: none */
	int fd;			/* its standard input, output and error */
	const char *program;
};

struct helper_start {
	const char *const *argv;	/* argv[0] is looked for in the path */
	const char *ready;		/* is in what it prints once it serves */
	int death_signal;		/* it gets when the manager dies */
	/* In the child, as its last act before the program, or NULL. */
	void (*prepare)(void *arg);
	void *arg;
};

/* Start it and wait until it serves; false: text says why it does not, and
 * helper_end() is due. */
bool helper_start(struct helper *h, const struct helper_start *s, char *text,
		  size_t size);
/* For prepare(): it did not work. */
void helper_fail(const char *what) __attribute__((noreturn));

/* Readable when it has something to say; -1: it does not run. */
int helper_fd(const struct helper *h);
/* A line of what it says, or of how it ended; false: nothing for people. */
bool helper_event(struct helper *h, char *text, size_t size);

/* Ask it to end; wait until it has, by force in the end. */
void helper_stop(const struct helper *h);
void helper_end(struct helper *h);

#endif
