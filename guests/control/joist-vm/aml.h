/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aml.h -- writes ACPI machine language.
 *
 * Objects that contain others are opened and closed; the length is filled in
 * at the close.  Running out of room is remembered in `full`, not reported
 * by each call.
 */
#ifndef VM_AML_H
#define VM_AML_H

#include "guests/control/lib/util.h"

#define AML_DEPTH	8

struct aml {
	u8 *buf;
	size_t size, len;
	bool full;
	unsigned depth;
	size_t open[AML_DEPTH];		/* where each open length field is */
};

void aml_init(struct aml *a, u8 *buf, size_t size);
void aml_byte(struct aml *a, u8 byte);

/* Names are paths of four-letter segments: "\\_SB_", "_HID". */
void aml_scope_open(struct aml *a, const char *name);
void aml_device_open(struct aml *a, const char *name);
void aml_name(struct aml *a, const char *name);	/* then its value */
void aml_package_open(struct aml *a, u8 elements);
void aml_buffer_open(struct aml *a);		/* then aml_res_*() */
void aml_close(struct aml *a);
void aml_buffer_close(struct aml *a);

void aml_int(struct aml *a, u64 val);
void aml_eisaid(struct aml *a, const char *id);	/* "PNP0A03" */

/* Resource descriptors. */
void aml_res_io(struct aml *a, u16 base, u8 len);
void aml_res_irq(struct aml *a, unsigned irq);
void aml_res_bus(struct aml *a, u16 first, u16 last);
void aml_res_io_window(struct aml *a, u16 first, u16 last);
void aml_res_mem_window(struct aml *a, u32 first, u32 last);

#endif
