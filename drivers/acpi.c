/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi.c -- a walk over the firmware's static tables, and their rebuild.
 *
 * Tables are read through struct acpi_reader only; what map() gave is not
 * used after the next map().  AML is never looked at: DSDT and SSDTs are the
 * control VM's.  See "ACPI Software Programming Model" in the ACPI
 * specification.
 */
#include "drivers/acpi.h"
#include "core/bytes.h"
#include "core/errno.h"
#include "core/string.h"

#define PA_LIMIT		BIT(52)
#define TABLE_MAX		(16 * MiB)

/* "Root System Description Pointer" */
#define RSDP_V1			20	/* bytes under the first checksum */
#define RSDP_V2			36
#define RSDP_CHECKSUM		8
#define RSDP_OEM		9
#define RSDP_REVISION		15
#define RSDP_RSDT		16
#define RSDP_LENGTH		20
#define RSDP_XSDT		24
#define RSDP_CHECKSUM_V2	32

/* "System Description Table Header" */
#define TABLE_LENGTH		4
#define TABLE_REVISION		8
#define TABLE_CHECKSUM		9

/* "Multiple APIC Description Table" */
#define MADT_LAPIC_PA		36
#define MADT_ENTRIES		44
#define MADT_LAPIC		0
#define MADT_LAPIC_LEN		8
#define MADT_LAPIC_PA_64	5
#define MADT_LAPIC_PA_64_LEN	12
#define MADT_X2APIC		9
#define MADT_X2APIC_LEN		16
#define MADT_WAKEUP		0x10
#define MADT_WAKEUP_LEN		16
#define MADT_WAKEUP_REVISION	5	/* of the MADT that introduced it */
#define CPU_ENABLED		BIT(0)
#define CPU_ONLINE_CAPABLE	BIT(1)
#define MAILBOX_ALIGN		PAGE_SIZE

/* "Fixed ACPI Description Table" */
#define FADT_SCI		46
#define FADT_PM_TIMER		76
#define FADT_PM_TIMER_LEN	91
#define FADT_FLAGS		112
#define FADT_RESET		116
#define FADT_RESET_VALUE	128
#define FADT_X_PM_TIMER		208
#define FADT_V1			116	/* bytes there are at least */
#define FLAG_TIMER_32		BIT(8)
#define FLAG_RESET		BIT(10)
#define FLAG_HW_REDUCED		BIT(20)
#define REGISTER_LEN		12

static int reject(int err, const char **why, const char *text)
{
	*why = text;
	return err;
}

static u8 sum(const u8 *p, size_t len)
{
	u8 s = 0;

	while (len--)
		s += *p++;
	return s;
}

static void complain(const struct acpi_reader *r, const u8 *sig,
		     const char *why)
{
	char text[5] = "????";
	u32 i;

	for (i = 0; sig && i < 4; i++)
		if (sig[i] > ' ' && sig[i] < 0x7f)
			text[i] = sig[i];
	r->complain(r->ctx, text, why);
}

static const u8 *map(const struct acpi_reader *r, u64 pa, size_t len)
{
	if (pa > PA_LIMIT || len > PA_LIMIT - pa)
		return NULL;
	return r->map(r->ctx, pa, len);
}

/* The whole table; *len is set; sig is 4 bytes, copied even if it is bad. */
static const u8 *map_table(const struct acpi_reader *r, u64 pa, u32 *len,
			   u8 *sig)
{
	const u8 *p = map(r, pa, ACPI_HEADER);

	if (!p) {
		complain(r, NULL, "table outside readable memory");
		return NULL;
	}
	memcpy(sig, p, 4);
	*len = load32(p + TABLE_LENGTH);
	if (*len < ACPI_HEADER || *len > TABLE_MAX) {
		complain(r, sig, "table with an impossible length");
		return NULL;
	}
	p = map(r, pa, *len);
	if (!p)
		complain(r, sig, "table reaches outside readable memory");
	return p;
}

static void add_table(struct acpi_info *info, const struct acpi_reader *r,
		      u64 pa)
{
	struct acpi_table *t = &info->table[info->tables];
	const u8 *p;
	u8 sig[4];
	u32 len;

	p = map_table(r, pa, &len, sig);
	if (!p)
		return;
	if (info->tables == ACPI_TABLES) {
		complain(r, sig, "table number 129: there is room for 128");
		return;
	}
	*t = (struct acpi_table){ .pa = pa, .len = len };
	memcpy(t->sig, sig, 4);
	t->valid = !sum(p, len);
	if (!t->valid)
		complain(r, sig, "table with a wrong checksum");
	info->tables++;
}

/* Reads the XSDT (entries of 8 bytes) or RSDT (of 4) and what it lists. */
static bool read_root(struct acpi_info *info, const struct acpi_reader *r,
		      u64 root_pa, const char *want, u32 entry)
{
	const u8 *p;
	u8 sig[4];
	u32 len, at;
	u64 pa;

	p = map_table(r, root_pa, &len, sig);
	if (!p)
		return false;
	if (memcmp(sig, want, 4)) {
		complain(r, sig, "this is where XSDT or RSDT should be");
		return false;
	}
	if (sum(p, len)) {
		complain(r, sig, "table with a wrong checksum");
		return false;
	}
	memcpy(info->root, p, ACPI_HEADER);
	for (at = ACPI_HEADER; len - at >= entry; at += entry) {
		/* Mapped anew, because add_table() maps too. */
		p = map(r, root_pa + at, entry);
		if (!p)
			return false;
		pa = entry == 8 ? load64(p) : load32(p);
		if (pa)
			add_table(info, r, pa);
	}
	return true;
}

static int read_rsdp(const u8 *p, size_t len, const struct acpi_reader *r,
		     struct acpi_info *info, const char **why)
{
	u32 full;

	if (len < RSDP_V1)
		return reject(-EINVAL, why, "the ACPI RSDP is truncated");
	if (memcmp(p, "RSD PTR ", 8) || sum(p, RSDP_V1))
		return reject(-EINVAL, why,
			      "the ACPI RSDP has a wrong signature or checksum");
	if (p[RSDP_REVISION] >= 2 && len >= RSDP_V2) {
		full = load32(p + RSDP_LENGTH);
		if (full < RSDP_V2 || full > len || sum(p, full))
			complain(r, (const u8 *)"RSDP",
				 "ACPI 2.0 part is damaged");
		else if (load64(p + RSDP_XSDT) &&
			 read_root(info, r, load64(p + RSDP_XSDT), "XSDT", 8))
			return 0;
	}
	/* Firmware from before ACPI 2.0, or with a useless XSDT. */
	info->tables = 0;
	if (load32(p + RSDP_RSDT) &&
	    read_root(info, r, load32(p + RSDP_RSDT), "RSDT", 4))
		return 0;
	return reject(-ENOENT, why, "ACPI has neither a usable XSDT nor an RSDT");
}

/* The entry at *at, or NULL at the end; *at moves on. */
static const u8 *madt_next(const u8 *madt, u32 len, u32 *at)
{
	const u8 *e = madt + *at;

	/* Every entry opens with its type and length. */
	if (len - *at < 2 || e[1] < 2 || e[1] > len - *at)
		return NULL;
	*at += e[1];
	return e;
}

struct madt_cpu {
	u32 apic_id;
	u32 flags_at;			/* in the entry */
};

static bool madt_is_cpu(const u8 *e, struct madt_cpu *cpu)
{
	if (e[0] == MADT_LAPIC && e[1] >= MADT_LAPIC_LEN)
		*cpu = (struct madt_cpu){ e[3], 4 };
	else if (e[0] == MADT_X2APIC && e[1] >= MADT_X2APIC_LEN)
		*cpu = (struct madt_cpu){ load32(e + 4), 8 };
	else
		return false;
	/* Broadcast: how firmware marks an entry that it does not use. */
	return cpu->apic_id != (e[0] == MADT_LAPIC ? 0xff : 0xffffffff);
}

static bool has_id(const u32 *ids, u32 n, u32 id)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static void add_cpu(struct acpi_info *info, const struct acpi_reader *r,
		    u32 *ids, u32 *count, u32 apic_id)
{
	/* Some firmware names a CPU as LAPIC and as x2APIC. */
	if (has_id(ids, *count, apic_id))
		return;
	if (*count < ACPI_CPUS) {
		ids[(*count)++] = apic_id;
		return;
	}
	if (ids == info->apic_id && !info->left_out++)
		complain(r, (const u8 *)"APIC", "CPUs beyond 1024 are left out");
}

static int read_madt(struct acpi_info *info, const struct acpi_reader *r,
		     const char **why)
{
	const struct acpi_table *t = acpi_find(info, "APIC");
	const u8 *madt = NULL, *e;
	struct madt_cpu cpu;
	u32 at = MADT_ENTRIES, flags;

	if (t && t->len >= MADT_ENTRIES)
		madt = map(r, t->pa, t->len);
	if (!madt)
		return reject(-ENOENT, why, "ACPI has no usable MADT");
	info->lapic_pa = load32(madt + MADT_LAPIC_PA);
	while ((e = madt_next(madt, t->len, &at))) {
		if (e[0] == MADT_LAPIC_PA_64 && e[1] >= MADT_LAPIC_PA_64_LEN)
			info->lapic_pa = load64(e + 4);
		if (!madt_is_cpu(e, &cpu))
			continue;
		flags = load32(e + cpu.flags_at);
		if (flags & CPU_ENABLED)
			add_cpu(info, r, info->apic_id, &info->cpus, cpu.apic_id);
		else if (flags & CPU_ONLINE_CAPABLE)
			add_cpu(info, r, info->spare_id, &info->spares, cpu.apic_id);
	}
	if (at != t->len)
		complain(r, (const u8 *)t->sig,
			 "an entry of impossible length ends the list");
	if (!info->cpus)
		return reject(-ENOENT, why, "the ACPI MADT has no enabled CPU");
	return 0;
}

static struct acpi_register load_register(const u8 *p)
{
	return (struct acpi_register){ p[0], p[1], p[2], p[3], load64(p + 4) };
}

static void read_fadt(struct acpi_info *info, const struct acpi_reader *r)
{
	const struct acpi_table *t = acpi_find(info, "FACP");
	struct acpi_register x;
	const u8 *p;
	u32 port = 0;

	if (!t)
		return;
	p = t->len < FADT_V1 ? NULL : map(r, t->pa, t->len);
	if (!p) {
		complain(r, (const u8 *)t->sig, "table too short");
		return;
	}
	info->has_fadt = true;
	info->sci = load16(p + FADT_SCI);
	info->fadt_flags = load32(p + FADT_FLAGS);
	info->hw_reduced = info->fadt_flags & FLAG_HW_REDUCED;

	if (p[FADT_PM_TIMER_LEN] == 4)
		port = load32(p + FADT_PM_TIMER);
	if (t->len >= FADT_X_PM_TIMER + REGISTER_LEN) {
		x = load_register(p + FADT_X_PM_TIMER);
		if (x.address)
			port = x.space == ACPI_SPACE_IO &&
			       x.address <= 0xffff ? x.address : 0;
	}
	/* A timer of 4 ports must be below 64 KiB, and a reduced ACPI has none. */
	if (port && port <= 0xfffc && !info->hw_reduced) {
		info->pm_timer_port = port;
		info->pm_timer_bits = info->fadt_flags & FLAG_TIMER_32 ? 32 : 24;
	}
	if (info->fadt_flags & FLAG_RESET && t->len > FADT_RESET_VALUE) {
		info->reset = load_register(p + FADT_RESET);
		info->reset_value = p[FADT_RESET_VALUE];
		info->has_reset = info->reset.address;
	}
}

const struct acpi_table *acpi_find(const struct acpi_info *info,
				   const char *sig)
{
	u32 i;

	for (i = 0; i < info->tables; i++)
		if (info->table[i].valid && !strcmp(info->table[i].sig, sig))
			return &info->table[i];
	return NULL;
}

int acpi_parse(const void *rsdp, size_t len, const struct acpi_reader *r,
	       struct acpi_info *out, const char **why)
{
	int err;

	memset(out, 0, sizeof(*out));
	err = read_rsdp(rsdp, len, r, out, why);
	if (err)
		return err;
	read_fadt(out, r);
	return read_madt(out, r, why);
}

/* The memory that a rebuild is written to. */
struct area {
	u8 *buf;
	size_t size, used;
	u64 pa;
};

/* Zeroed bytes at a multiple of 16, or NULL. */
static u8 *area_take(struct area *a, size_t len, u64 *pa)
{
	size_t at = ALIGN_UP(a->used, 16);

	if (at > a->size || len > a->size - at)
		return NULL;
	a->used = at + len;
	*pa = a->pa + at;
	return memset(a->buf + at, 0, len);
}

static void seal(u8 *table, u32 len)
{
	store32(table + TABLE_LENGTH, len);
	table[TABLE_CHECKSUM] = 0;
	table[TABLE_CHECKSUM] = -sum(table, len);
}

static int build_madt(const struct acpi_info *info, const struct acpi_reader *r,
		      const struct acpi_control *c, struct area *a, u64 *pa,
		      const char **why)
{
	const struct acpi_table *t = acpi_find(info, "APIC");
	const u8 *old = t ? map(r, t->pa, t->len) : NULL;
	u32 at = MADT_ENTRIES, len = MADT_ENTRIES;
	struct madt_cpu cpu;
	const u8 *e;
	u8 *new;

	if (!old || t->len < MADT_ENTRIES)
		return reject(-ENOENT, why, "ACPI has no usable MADT");
	new = area_take(a, t->len + MADT_WAKEUP_LEN, pa);
	if (!new)
		return reject(-ENOSPC, why, "no room for the control VM's MADT");
	memcpy(new, old, len);
	new[TABLE_REVISION] = MAX(new[TABLE_REVISION], MADT_WAKEUP_REVISION);
	while ((e = madt_next(old, t->len, &at))) {
		/* The firmware's own mailbox is not for the control VM. */
		if (e[0] == MADT_WAKEUP)
			continue;
		memcpy(new + len, e, e[1]);
		if (madt_is_cpu(e, &cpu) &&
		    !has_id(c->apic_id, c->cpus, cpu.apic_id))
			store32(new + len + cpu.flags_at,
				load32(e + cpu.flags_at) &
				~(CPU_ENABLED | CPU_ONLINE_CAPABLE));
		len += e[1];
	}
	/* "Multiprocessor Wakeup Structure": version 0, then 4 bytes of 0 */
	new[len] = MADT_WAKEUP;
	new[len + 1] = MADT_WAKEUP_LEN;
	store64(new + len + 8, c->mailbox_pa);
	seal(new, len + MADT_WAKEUP_LEN);
	return 0;
}

static bool is_hidden(const struct acpi_control *c, const char *sig)
{
	u32 i;

	for (i = 0; i < c->hidden_count; i++)
		if (!strcmp(c->hidden[i], sig))
			return true;
	return false;
}

/* An XSDT or RSDT; *pa is 0 for an RSDT that nobody could reach. */
static int build_root(const struct acpi_info *info, const struct acpi_control *c,
		      struct area *a, u64 madt_pa, u32 entry, u64 *pa,
		      const char **why)
{
	u64 limit = entry == 8 ? PA_LIMIT : 4 * GiB, table_pa;
	const struct acpi_table *t;
	bool madt_listed = false;
	u32 len = ACPI_HEADER;
	u8 *p;

	*pa = 0;
	if (a->pa + a->used >= limit || a->size > limit - a->pa)
		return 0;
	p = area_take(a, ACPI_HEADER + (u64)info->tables * entry, pa);
	if (!p)
		return reject(-ENOSPC, why,
			      "no room for the control VM's list of ACPI tables");
	memcpy(p, info->root, ACPI_HEADER);
	memcpy(p, entry == 8 ? "XSDT" : "RSDT", 4);
	p[TABLE_REVISION] = 1;
	for (t = info->table; t < info->table + info->tables; t++) {
		if (is_hidden(c, t->sig))
			continue;
		table_pa = t->pa;
		if (!strcmp(t->sig, "APIC")) {
			/* The new one in its place, and only once. */
			if (madt_listed)
				continue;
			madt_listed = true;
			table_pa = madt_pa;
		}
		if (table_pa >= limit)
			continue;
		if (entry == 8)
			store64(p + len, table_pa);
		else
			store32(p + len, table_pa);
		len += entry;
	}
	seal(p, len);
	return 0;
}

int acpi_rebuild(const struct acpi_info *info, const struct acpi_reader *r,
		 const struct acpi_control *c, void *buf, size_t size,
		 u64 buf_pa, u64 *rsdp_pa, const char **why)
{
	struct area a = { buf, size, 0, buf_pa };
	u64 madt_pa, xsdt_pa, rsdt_pa;
	u8 *rsdp;
	int err;

	if (!IS_ALIGNED(buf_pa, 16) || buf_pa >= PA_LIMIT ||
	    size > PA_LIMIT - buf_pa)
		return reject(-EINVAL, why,
			      "the control VM's ACPI tables have no good address");
	if (!IS_ALIGNED(c->mailbox_pa, MAILBOX_ALIGN))
		return reject(-EINVAL, why, "the ACPI wakeup mailbox is not a page");
	rsdp = area_take(&a, RSDP_V2, rsdp_pa);
	if (!rsdp)
		return reject(-ENOSPC, why, "no room for the control VM's RSDP");
	err = build_madt(info, r, c, &a, &madt_pa, why);
	if (!err)
		err = build_root(info, c, &a, madt_pa, 8, &xsdt_pa, why);
	if (!err)
		err = build_root(info, c, &a, madt_pa, 4, &rsdt_pa, why);
	if (err)
		return err;

	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + RSDP_OEM, info->root + ACPI_HEADER_OEM, 6);
	rsdp[RSDP_REVISION] = 2;
	store32(rsdp + RSDP_RSDT, rsdt_pa);
	store32(rsdp + RSDP_LENGTH, RSDP_V2);
	store64(rsdp + RSDP_XSDT, xsdt_pa);
	rsdp[RSDP_CHECKSUM] = -sum(rsdp, RSDP_V1);
	rsdp[RSDP_CHECKSUM_V2] = -sum(rsdp, RSDP_V2);
	return 0;
}
