/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smbios.h -- what the guest's dmidecode shows, and its DMI matches see.
 */
#ifndef VM_SMBIOS_H
#define VM_SMBIOS_H

#include "guests/control/lib/util.h"

/* Where the entry point and the tables lie when there is no firmware: the
 * upper half of a PC's BIOS area, which guests search. */
#define SMBIOS_BASE	0xf0000u
#define SMBIOS_SIZE	0x1000u
#define SMBIOS_ENTRY	32u	/* the tables begin behind so many bytes */
#define SMBIOS_ENTRY_LEN	31u

struct smbios_vm {
	const char *name;
	unsigned cpus;
	u64 memory;
	u64 salt;		/* of its UUID: see identity.h */
};

/* Entry point and tables, to be at guest address `base`; gives the tables'
 * length, or -ENOSPC. */
int smbios_build(u8 area[SMBIOS_SIZE], u32 base, const struct smbios_vm *vm);

#endif
