/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.h -- the options that describe disks and network cards.
 *
 * All of these die with a message that names what is wrong.
 */
#ifndef VM_CONFIG_H
#define VM_CONFIG_H

#include "vm.h"

/*
 * PATH[,ro][,serial=TEXT][,format=FORMAT][,backing=FILE]... and
 * tap=NAME|bridge=NAME|user[,mac=MAC][,queues=N][,allow][,forward=...].  The text is cut into pieces
 * and stays in use.
 */
void disk_parse(struct vm_config *cfg, char *text);
void nic_parse(struct vm_config *cfg, char *text);

/* Open images and lock them; find taps, or make them. */
void disks_open(struct vm_config *cfg);
void nics_open(struct vm_config *cfg);

#endif
