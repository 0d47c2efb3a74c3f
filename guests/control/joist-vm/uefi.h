/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uefi.h -- the files behind `--firmware uefi`: Debian's OVMF, and the VM's
 * own store of UEFI variables.
 */
#ifndef VM_UEFI_H
#define VM_UEFI_H

#include "vm.h"

#define UEFI_CODE	"/usr/share/OVMF/OVMF_CODE_4M.fd"
#define UEFI_VARS	"/usr/share/OVMF/OVMF_VARS_4M.fd"
#define UEFI_DIR	"/var/lib/joist"

/* The text is "uefi[,vars=FILE]" from the comma on, or empty. */
void uefi_parse(struct vm_config *cfg, char *text);
/* Opens, locks and, the first time, makes the variables.  Dies if it cannot. */
void uefi_open(struct vm_config *cfg);

#endif
