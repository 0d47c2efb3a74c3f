/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smbios.c -- tables after the "System Management BIOS Reference
 * Specification", version 2.8: those it requires, with a 32-bit entry point.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "smbios.h"

#define MAKER		"Joist"
#define PRODUCT		"Joist virtual machine"
#define FIRST_HANDLE	0x100

/* "Required structures and data", and one for the processors. */
enum {
	T_FIRMWARE = 0, T_SYSTEM = 1, T_CHASSIS = 3, T_PROCESSOR = 4,
	T_MEMORY_ARRAY = 16, T_MEMORY = 17, T_MEMORY_MAP = 19, T_BOOT = 32,
	T_END = 127
};

#define UNKNOWN		2	/* in most enumerations */
#define OTHER		1
#define SAFE		3
#define NO_ERROR_INFO	0xfffe
#define NO_HANDLE	0xffff

struct tables {
	u8 *p, *end;
	bool full;
	u16 handle, count, longest;
	u8 *start;		/* of the table under way */
	u8 strings;
};

static void field(struct tables *t, u64 val, unsigned bytes)
{
	if (bytes > (size_t)(t->end - t->p)) {
		t->full = true;
		return;
	}
	while (bytes--) {
		*t->p++ = (u8)val;
		val >>= 8;
	}
}

/* Its formatted area is `len` bytes long, these four among them. */
static u16 begin(struct tables *t, u8 type, u8 len)
{
	t->start = t->p;
	t->strings = 0;
	field(t, type, 1);
	field(t, len, 1);
	field(t, t->handle, 2);
	return t->handle++;
}

/* Of the formatted area; the strings come behind it, in this order. */
static void string(struct tables *t)
{
	field(t, ++t->strings, 1);
}

static void end(struct tables *t, const char *const *strings)
{
	unsigned i, n;

	for (i = 0; i < t->strings; i++) {
		n = (unsigned)strlen(strings[i]) + 1;
		if (n > (size_t)(t->end - t->p)) {
			t->full = true;
			return;
		}
		memcpy(t->p, strings[i], n);
		t->p += n;
	}
	field(t, 0, t->strings ? 1 : 2);
	t->count++;
	t->longest = (u16)MAX(t->longest, t->p - t->start);
}

static void firmware(struct tables *t)
{
	static const char *const s[] = { MAKER, "1", "01/01/2026" };

	begin(t, T_FIRMWARE, 24);
	string(t);			/* vendor */
	string(t);			/* version */
	field(t, 0xf000, 2);		/* segment */
	string(t);			/* date */
	field(t, 0, 1);			/* 64 KiB */
	field(t, BIT(3), 8);		/* characteristics: not told */
	field(t, 0, 1);
	field(t, BIT(3) | BIT(4), 1);	/* UEFI is not told; virtual machine */
	field(t, 0xffff0001, 4);		/* releases: 1.0; none */
	end(t, s);
}

static u64 hash(const char *name, u64 h)
{
	while (*name)
		h = (h ^ (u8)*name++) * 0x100000001b3ull;	/* FNV-1a */
	return h;
}

/* From host and name, so that a VM keeps it; RFC 9562's version 8. */
static void uuid(struct tables *t, const char *name, u64 salt)
{
	u64 a = hash(name, 0xcbf29ce484222325ull ^ salt), b = hash(name, a);

	/* The third field is little-endian: its version is in byte 7. */
	field(t, (a & ~(0xfull << 60)) | 8ull << 60, 8);
	field(t, (b & ~0xc0ull) | 0x80, 8);
}

static void machine_tables(struct tables *t, const char *name, u64 salt)
{
	const char *const system[] = { MAKER, PRODUCT, "1", name, MAKER };
	static const char *const chassis[] = { MAKER };

	begin(t, T_SYSTEM, 27);
	string(t);			/* maker */
	string(t);			/* product */
	string(t);			/* version */
	string(t);			/* serial number */
	uuid(t, name, salt);
	field(t, 6, 1);			/* woken by the power switch */
	field(t, 0, 1);			/* no SKU */
	string(t);			/* family */
	end(t, system);

	begin(t, T_CHASSIS, 22);
	string(t);			/* maker */
	field(t, OTHER, 1);
	field(t, 0, 3);			/* version, serial number, tag */
	field(t, SAFE | SAFE << 8 | SAFE << 16 | UNKNOWN << 24, 4);
	field(t, 0, 4);			/* the maker's own */
	field(t, 0, 4);			/* height, cords, elements */
	field(t, 0, 1);			/* no SKU */
	end(t, chassis);
}

static void processor(struct tables *t, unsigned cpus)
{
	static const char *const s[] = { "CPU 0", MAKER };

	begin(t, T_PROCESSOR, 42);
	string(t);			/* socket */
	field(t, 3, 1);			/* a central processor */
	field(t, UNKNOWN, 1);		/* family: see CPUID */
	string(t);			/* maker */
	field(t, 0, 8);			/* CPUID: not told here */
	field(t, 0, 1);			/* version */
	field(t, 0, 1);			/* voltage */
	field(t, 0, 6);			/* clocks: not known */
	field(t, 0x41, 1);		/* populated, enabled */
	field(t, UNKNOWN, 1);		/* upgrade */
	field(t, NO_HANDLE, 2);		/* caches */
	field(t, NO_HANDLE, 2);
	field(t, NO_HANDLE, 2);
	field(t, 0, 3);			/* serial number, tag, part */
	field(t, MIN(cpus, 255u), 1);
	field(t, MIN(cpus, 255u), 1);	/* enabled */
	field(t, MIN(cpus, 255u), 1);	/* threads */
	field(t, BIT(2) | BIT(3), 2);	/* 64 bits, several cores */
	field(t, UNKNOWN, 2);		/* family again */
	end(t, s);
}

static void memory(struct tables *t, u64 bytes)
{
	static const char *const s[] = { "DIMM 0", MAKER };
	u64 kib = bytes / KiB, mib = bytes / MiB;
	u16 array = begin(t, T_MEMORY_ARRAY, 23);

	field(t, 3, 1);			/* on the board */
	field(t, 3, 1);			/* system memory */
	field(t, 3, 1);			/* no error correction */
	field(t, 0x80000000u, 4);		/* capacity: the last field */
	field(t, NO_ERROR_INFO, 2);
	field(t, 1, 2);			/* devices */
	field(t, bytes, 8);
	end(t, NULL);

	begin(t, T_MEMORY, 40);
	field(t, array, 2);
	field(t, NO_ERROR_INFO, 2);
	field(t, 64, 2);			/* total width */
	field(t, 64, 2);			/* data width */
	/* Size: in KiB, in MiB, or in the extended field. */
	field(t, mib < 1 ? BIT(15) | kib : mib < 0x7fff ? mib : 0x7fff, 2);
	field(t, OTHER, 1);		/* form */
	field(t, 0, 1);			/* no set */
	string(t);			/* locator */
	field(t, 0, 1);			/* bank */
	field(t, 7, 1);			/* RAM */
	field(t, BIT(1), 2);		/* other */
	field(t, 0, 2);			/* speed */
	string(t);			/* maker */
	field(t, 0, 3);			/* serial number, tag, part */
	field(t, 0, 1);			/* rank */
	field(t, mib < 0x7fff ? 0 : mib, 4);
	field(t, 0, 2);			/* configured speed */
	field(t, 0, 6);			/* voltages */
	end(t, s);

	begin(t, T_MEMORY_MAP, 31);
	field(t, 0xffffffffu, 4);		/* in the last fields */
	field(t, 0xffffffffu, 4);
	field(t, array, 2);
	field(t, 1, 1);			/* devices a row */
	field(t, 0, 8);
	field(t, bytes - 1, 8);
	end(t, NULL);
}

static void last(struct tables *t)
{
	begin(t, T_BOOT, 11);
	field(t, 0, 6);
	field(t, 0, 1);			/* no error */
	end(t, NULL);
	begin(t, T_END, 4);
	end(t, NULL);
}

static u8 sum_byte(const u8 *p, unsigned len)
{
	u8 s = 0;

	while (len--)
		s = (u8)(s + *p++);
	return (u8)-s;
}

/* "SMBIOS 2.1 (32-bit) Entry Point". */
static void entry_point(u8 *e, u32 tables, const struct tables *t, u16 len)
{
	memset(e, 0, SMBIOS_ENTRY);
	memcpy(e, "_SM_", 4);
	e[5] = SMBIOS_ENTRY_LEN;
	e[6] = 2;			/* version 2.8 */
	e[7] = 8;
	put16(e + 8, t->longest);
	memcpy(e + 16, "_DMI_", 5);
	put16(e + 22, len);
	put32(e + 24, tables);
	put16(e + 28, t->count);
	e[30] = 0x28;
	e[21] = sum_byte(e + 16, SMBIOS_ENTRY_LEN - 16);
	e[4] = sum_byte(e, SMBIOS_ENTRY_LEN);
}

int smbios_build(u8 area[SMBIOS_SIZE], u32 base, const struct smbios_vm *vm)
{
	struct tables t = {
		.p = area + SMBIOS_ENTRY, .end = area + SMBIOS_SIZE,
		.handle = FIRST_HANDLE,
	};
	u16 len;

	firmware(&t);
	machine_tables(&t, vm->name, vm->salt);
	processor(&t, vm->cpus);
	memory(&t, vm->memory);
	last(&t);
	if (t.full)
		return -ENOSPC;
	len = (u16)(t.p - area - SMBIOS_ENTRY);
	entry_point(area, base + SMBIOS_ENTRY, &t, len);
	return len;
}
