/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi.h -- what Joist wants of the firmware's ACPI tables, and the view of
 * them that the control VM gets.
 */
#ifndef DRIVERS_ACPI_H
#define DRIVERS_ACPI_H

#include "core/types.h"

#define ACPI_TABLES	128
#define ACPI_CPUS	1024
#define ACPI_HEADER	36		/* bytes that open every table */
#define ACPI_HEADER_CHECKSUM	9	/* there */
#define ACPI_HIDDEN_NAME	'X'	/* in place of a name's first letter */
#define ACPI_HEADER_OEM	10		/* there: six bytes; then table id, creator */

struct acpi_reader {
	/* Bytes pa..pa + len, good until the next call; NULL: not readable. */
	const void *(*map)(void *ctx, u64 pa, size_t len);
	/* A table is passed over; sig is printable whatever it was. */
	void (*complain)(void *ctx, const char *sig, const char *why);
	void *ctx;
};

struct acpi_table {
	u64 pa;
	u32 len;
	char sig[5];
	bool valid;			/* its checksum is right */
};

/* A register: ACPI's Generic Address Structure. */
#define ACPI_SPACE_MEMORY	0
#define ACPI_SPACE_IO		1
struct acpi_register {
	u8 space, bits, offset, access;
	u64 address;
};

struct acpi_info {
	u32 tables;
	struct acpi_table table[ACPI_TABLES];
	u8 root[ACPI_HEADER];		/* header of the XSDT or RSDT */

	u64 lapic_pa;
	u32 cpus;			/* enabled ones, in the MADT's order */
	u32 apic_id[ACPI_CPUS];
	u32 spares;			/* not enabled, but may come online */
	u32 spare_id[ACPI_CPUS];
	u32 left_out;			/* enabled, and there was no room */

	bool has_fadt;			/* or else what follows is 0 */
	u32 fadt_flags;
	bool hw_reduced;
	u16 sci;			/* its interrupt in the 8259's count */
	u16 pm_timer_port;		/* 0: there is none */
	u8 pm_timer_bits;		/* 24 or 32 */
	bool has_reset;
	struct acpi_register reset;	/* a write of reset_value resets */
	u8 reset_value;
};

/*
 * rsdp points to len readable bytes.  Bad tables are complained about and
 * passed over; without a MADT that names a CPU there is no way on.
 */
int acpi_parse(const void *rsdp, size_t len, const struct acpi_reader *r,
	       struct acpi_info *out, const char **why);

/* The first valid table of that signature, or NULL. */
const struct acpi_table *acpi_find(const struct acpi_info *info,
				   const char *sig);

struct acpi_control {
	const u32 *apic_id;		/* cores the control VM may start */
	u32 cpus;
	const char *const *hidden;	/* signatures left out */
	u32 hidden_count;
	u64 mailbox_pa;			/* multiprocessor wakeup; a page */
};

/*
 * Writes an RSDP, XSDT, RSDT and MADT for the control VM into buf, which
 * it will see at buf_pa (a multiple of 16; below 4 GiB if there shall be an
 * RSDT).  All other tables stay where they are.
 */
int acpi_rebuild(const struct acpi_info *info, const struct acpi_reader *r,
		 const struct acpi_control *c, void *buf, size_t size,
		 u64 buf_pa, u64 *rsdp_pa, const char **why);

#endif
