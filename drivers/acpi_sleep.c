/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi_sleep.c -- sleep registers from the FADT, and what is written to them
 * from \_S1 to \_S5.
 *
 * AML is not interpreted: a package of constants is looked for behind each of
 * these names.  See "System \_Sx States" and "AML Grammar Definition" in the
 * ACPI specification.
 */
#include "drivers/acpi_sleep.h"
#include "core/bytes.h"
#include "core/string.h"

/* "Fixed ACPI Description Table" */
#define FADT_DSDT		40
#define FADT_PM1A_EVT		56
#define FADT_PM1B_EVT		60
#define FADT_PM1A_CNT		64
#define FADT_PM1B_CNT		68
#define FADT_V1			116
#define FADT_X_DSDT		140
#define FADT_X_PM1A_EVT		148
#define FADT_X_PM1B_EVT		160
#define FADT_X_PM1A_CNT		172
#define FADT_X_PM1B_CNT		184
#define FADT_SLEEP_CONTROL	244
#define FADT_SLEEP_STATUS	256
#define REGISTER_LEN		12

#define TABLE_LENGTH		4
#define TABLE_MAX		(16 * MiB)

#define AML_ZERO		0x00
#define AML_ONE			0x01
#define AML_NAME		0x08
#define AML_BYTE		0x0a
#define AML_WORD		0x0b
#define AML_DWORD		0x0c
#define AML_PACKAGE		0x12
#define AML_ROOT		'\\'

/* A register in ports, or 0; x: where it is in the 64-bit form. */
static u16 port_of(const u8 *fadt, u32 len, u32 old, u32 x, bool *elsewhere)
{
	u64 port = old ? load32(fadt + old) : 0;

	if (len >= x + REGISTER_LEN && load64(fadt + x + 4)) {
		port = load64(fadt + x + 4);
		if (fadt[x] != ACPI_SPACE_IO) {
			*elsewhere = true;
			return 0;
		}
	}
	return port < 0xffff ? (u16)port : 0;
}

static void read_registers(const u8 *fadt, u32 len, struct acpi_sleep *s)
{
	static const u16 cnt[] = { FADT_PM1A_CNT, FADT_PM1B_CNT };
	static const u16 xcnt[] = { FADT_X_PM1A_CNT, FADT_X_PM1B_CNT };
	static const u16 evt[] = { FADT_PM1A_EVT, FADT_PM1B_EVT };
	static const u16 xevt[] = { FADT_X_PM1A_EVT, FADT_X_PM1B_EVT };
	u32 i;

	/* PM1 control and status: 16 bits, the upper byte. */
	for (i = 0; i < 2; i++) {
		u16 c = port_of(fadt, len, cnt[i], xcnt[i], &s->elsewhere);
		u16 e = port_of(fadt, len, evt[i], xevt[i], &s->elsewhere);

		s->control[i] = c ? c + 1 : 0;
		s->status[i] = e ? e + 1 : 0;
	}
	s->control[2] = port_of(fadt, len, 0, FADT_SLEEP_CONTROL, &s->elsewhere);
	s->status[2] = port_of(fadt, len, 0, FADT_SLEEP_STATUS, &s->elsewhere);
}

/* The constant at p; how many bytes it takes, 0 if it is none. */
static u32 constant(const u8 *p, u32 left, u8 *val)
{
	static const u8 more[] = { [AML_BYTE] = 1, [AML_WORD] = 2, [AML_DWORD] = 4 };
	u32 n;

	if (!left)
		return 0;
	*val = p[0];
	if (p[0] == AML_ZERO || p[0] == AML_ONE)
		return 1;
	n = p[0] < sizeof(more) ? more[p[0]] : 0;
	if (!n || left < 1 + n)
		return 0;
	*val = p[1];
	return 1 + n;
}

/* Name (_Sx, Package () { PM1a's type, PM1b's, ... }), p behind the name. */
static bool read_package(const u8 *p, u32 left, u8 type[2])
{
	u32 used, at;

	/* Package opcode, its length in 1 to 4 bytes, the number of elements. */
	if (left < 3 || p[0] != AML_PACKAGE)
		return false;
	at = 1 + 1 + (p[1] >> 6);
	if (at >= left || !p[at])
		return false;
	at++;
	used = constant(p + at, left - at, &type[0]);
	if (!used)
		return false;
	at += used;
	if (!constant(p + at, left - at, &type[1]))
		type[1] = type[0];
	type[0] &= 7;
	type[1] &= 7;
	return true;
}

static bool is_name(const u8 *aml, u32 at)
{
	return aml[at] == '_' && aml[at + 1] == 'S' && aml[at + 2] >= '1' && aml[at + 2] <= '5' &&
	       aml[at + 3] == '_' && at &&
	       (aml[at - 1] == AML_NAME ||
		(at > 1 && aml[at - 1] == AML_ROOT && aml[at - 2] == AML_NAME));
}

static void scan(const u8 *aml, u32 len, u64 pa, struct acpi_sleep *s, u8 sleeps[2])
{
	u8 type[2];
	u32 at;

	for (at = ACPI_HEADER; len - at >= 4; at++) {
		if (!is_name(aml, at) || !read_package(aml + at + 4, len - at - 4, type))
			continue;
		if (aml[at + 2] == '5') {
			s->off[0] |= (u8)BIT(type[0]);
			s->off[1] |= (u8)BIT(type[1]);
			continue;
		}
		/* In S4 memory is lost, and some firmware gives it S5's type. */
		if (aml[at + 2] != '4') {
			sleeps[0] |= (u8)BIT(type[0]);
			sleeps[1] |= (u8)BIT(type[1]);
		}
		if (s->names < SLEEP_NAMES)
			s->name[s->names++] = (struct acpi_sleep_name){ pa, pa + at };
	}
}

static void scan_table(const struct acpi_reader *r, u64 pa, struct acpi_sleep *s, u8 sleeps[2])
{
	const u8 *p = r->map(r->ctx, pa, ACPI_HEADER);
	u32 len = p ? load32(p + TABLE_LENGTH) : 0;

	if (len < ACPI_HEADER + 4 || len > TABLE_MAX)
		return;
	p = r->map(r->ctx, pa, len);
	if (p)
		scan(p, len, pa, s, sleeps);
}

void acpi_sleep_parse(const struct acpi_info *info, const struct acpi_reader *r,
		      struct acpi_sleep *out)
{
	const struct acpi_table *t = acpi_find(info, "FACP");
	const u8 *fadt = t && t->len >= FADT_V1 ? r->map(r->ctx, t->pa, t->len) : NULL;
	u8 sleeps[2] = {};
	u64 dsdt = 0;
	u32 i;

	memset(out, 0, sizeof(*out));
	if (!fadt)
		return;
	read_registers(fadt, t->len, out);
	if (t->len >= FADT_X_DSDT + 8)
		dsdt = load64(fadt + FADT_X_DSDT);
	if (!dsdt)
		dsdt = load32(fadt + FADT_DSDT);
	if (dsdt)
		scan_table(r, dsdt, out, sleeps);
	for (i = 0; i < info->tables; i++)
		if (info->table[i].valid && !memcmp(info->table[i].sig, "SSDT", 4))
			scan_table(r, info->table[i].pa, out, sleeps);
	/* One that is both is taken for a sleep. */
	out->off[0] &= (u8)~sleeps[0];
	out->off[1] &= (u8)~sleeps[1];
	out->off[2] = out->off[0];
}
