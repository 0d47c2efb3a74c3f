/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aml.c -- writes ACPI machine language, after the ACPI specification's
 * chapters "ACPI Machine Language (AML) Specification" and "Resource Data
 * Types for ACPI".
 */
#include <string.h>

#include "aml.h"

#define OP_ZERO		0x00
#define OP_ONE		0x01
#define OP_NAME		0x08
#define OP_BYTE		0x0a
#define OP_WORD		0x0b
#define OP_DWORD	0x0c
#define OP_QWORD	0x0e
#define OP_SCOPE	0x10
#define OP_BUFFER	0x11
#define OP_PACKAGE	0x12
#define OP_EXT		0x5b
#define OP_EXT_DEVICE	0x82
#define OP_DUAL_NAME	0x2e
#define OP_MULTI_NAME	0x2f

#define RES_IRQ		0x22	/* small: IRQ, 2 bytes */
#define RES_IO		0x47	/* small: I/O port, 7 bytes */
#define RES_END		0x79	/* small: end tag, 1 byte */
#define RES_DWORD	0x87	/* large: DWORD address space */
#define RES_WORD	0x88	/* large: WORD address space */
#define RES_MEM		0
#define RES_IOPORT	1
#define RES_BUS		2
#define RES_FIXED	0x0c	/* minimum and maximum are fixed */
#define RES_IO_ENTIRE	3
#define RES_MEM_RW	1

/* A length field is always written in its 3-byte form, good for 1 MiB. */
#define LEN_BYTES	3
/* A buffer's size: a WORD constant. */
#define BUFSIZE_BYTES	3

void aml_init(struct aml *a, u8 *buf, size_t size)
{
	memset(a, 0, sizeof(*a));
	a->buf = buf;
	a->size = size;
}

void aml_byte(struct aml *a, u8 byte)
{
	if (a->len == a->size) {
		a->full = true;
		return;
	}
	a->buf[a->len++] = byte;
}

static void put(struct aml *a, u64 val, unsigned bytes)
{
	unsigned i;

	for (i = 0; i < bytes; i++)
		aml_byte(a, (u8)(val >> 8 * i));
}

static void put_name(struct aml *a, const char *name)
{
	size_t segs, i;

	if (*name == '\\')
		aml_byte(a, (u8)*name++);
	segs = strlen(name) / 4;
	if (segs == 2) {
		aml_byte(a, OP_DUAL_NAME);
	} else if (segs > 2) {
		aml_byte(a, OP_MULTI_NAME);
		aml_byte(a, (u8)segs);
	}
	for (i = 0; i < segs * 4; i++)
		aml_byte(a, (u8)name[i]);
}

static void length_open(struct aml *a)
{
	if (a->depth == AML_DEPTH) {
		a->full = true;
		return;
	}
	a->open[a->depth++] = a->len;
	put(a, 0, LEN_BYTES);
}

void aml_close(struct aml *a)
{
	size_t at, len;

	if (!a->depth || a->full)
		return;
	at = a->open[--a->depth];
	len = a->len - at;		/* the field counts itself */
	a->buf[at] = (u8)(0x80 | (len & 0x0f));
	a->buf[at + 1] = (u8)(len >> 4);
	a->buf[at + 2] = (u8)(len >> 12);
}

void aml_scope_open(struct aml *a, const char *name)
{
	aml_byte(a, OP_SCOPE);
	length_open(a);
	put_name(a, name);
}

void aml_device_open(struct aml *a, const char *name)
{
	aml_byte(a, OP_EXT);
	aml_byte(a, OP_EXT_DEVICE);
	length_open(a);
	put_name(a, name);
}

void aml_name(struct aml *a, const char *name)
{
	aml_byte(a, OP_NAME);
	put_name(a, name);
}

void aml_package_open(struct aml *a, u8 elements)
{
	aml_byte(a, OP_PACKAGE);
	length_open(a);
	aml_byte(a, elements);
}

void aml_buffer_open(struct aml *a)
{
	aml_byte(a, OP_BUFFER);
	length_open(a);
	aml_byte(a, OP_WORD);
	put(a, 0, 2);
}

void aml_buffer_close(struct aml *a)
{
	size_t start;

	aml_byte(a, RES_END);
	aml_byte(a, 0);			/* checksum: 0 is "not given" */
	if (!a->depth || a->full)
		return;
	start = a->open[a->depth - 1] + LEN_BYTES + BUFSIZE_BYTES;
	put16(a->buf + start - 2, (u16)(a->len - start));
	aml_close(a);
}

void aml_int(struct aml *a, u64 val)
{
	if (val <= 1) {
		aml_byte(a, val ? OP_ONE : OP_ZERO);
	} else if (val <= 0xff) {
		aml_byte(a, OP_BYTE);
		put(a, val, 1);
	} else if (val <= 0xffff) {
		aml_byte(a, OP_WORD);
		put(a, val, 2);
	} else if (val <= 0xffffffff) {
		aml_byte(a, OP_DWORD);
		put(a, val, 4);
	} else {
		aml_byte(a, OP_QWORD);
		put(a, val, 8);
	}
}

static u32 hex(char c)
{
	return (u32)(c <= '9' ? c - '0' : c - 'A' + 10);
}

void aml_eisaid(struct aml *a, const char *id)
{
	u32 v;

	/* Three letters of five bits, four hex digits; high byte first. */
	v = (u32)(id[0] - '@') << 26 | (u32)(id[1] - '@') << 21 |
	    (u32)(id[2] - '@') << 16 | hex(id[3]) << 12 | hex(id[4]) << 8 |
	    hex(id[5]) << 4 | hex(id[6]);
	aml_byte(a, OP_DWORD);
	put(a, __builtin_bswap32(v), 4);
}

void aml_res_io(struct aml *a, u16 base, u8 len)
{
	aml_byte(a, RES_IO);
	aml_byte(a, 1);			/* decodes 16 bits */
	put(a, base, 2);
	put(a, base, 2);
	aml_byte(a, 1);			/* alignment */
	aml_byte(a, len);
}

void aml_res_irq(struct aml *a, unsigned irq)
{
	aml_byte(a, RES_IRQ);
	put(a, 1u << irq, 2);
}

static void address_space(struct aml *a, u8 tag, u8 type, u8 flags,
			  u32 first, u32 last)
{
	unsigned bytes = tag == RES_DWORD ? 4 : 2;

	aml_byte(a, tag);
	put(a, 3 + 5 * bytes, 2);
	aml_byte(a, type);
	aml_byte(a, RES_FIXED);
	aml_byte(a, flags);
	put(a, 0, bytes);		/* granularity */
	put(a, first, bytes);
	put(a, last, bytes);
	put(a, 0, bytes);		/* translation */
	put(a, last - first + 1, bytes);
}

void aml_res_bus(struct aml *a, u16 first, u16 last)
{
	address_space(a, RES_WORD, RES_BUS, 0, first, last);
}

void aml_res_io_window(struct aml *a, u16 first, u16 last)
{
	address_space(a, RES_WORD, RES_IOPORT, RES_IO_ENTIRE, first, last);
}

void aml_res_mem_window(struct aml *a, u32 first, u32 last)
{
	address_space(a, RES_DWORD, RES_MEM, RES_MEM_RW, first, last);
}
