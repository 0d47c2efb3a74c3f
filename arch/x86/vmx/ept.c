/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ept.c -- the format of extended page tables, their memory types, flushes.
 *
 * In VMX non-root operation with EPT the MTRRs have no say (SDM, "EPT and
 * Memory Typing"): the type of an access comes from the EPT entry and the
 * guest's PAT.  So every entry carries what the firmware's MTRRs say of the
 * frame, and a large page ends where the type changes.
 */
#include "arch/x86/audit.h"
#include "arch/x86/insn.h"
#include "arch/x86/mtrr.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "arch/x86/stage2.h"
#include "arch/x86/vmx/vmcs.h"
#include "core/log.h"

#define EPT_R		BIT(0)
#define EPT_W		BIT(1)
#define EPT_X		BIT(2)
#define EPT_TYPE	BITS(5, 3)
#define EPT_IPAT	BIT(6)		/* the guest's PAT has no say */
#define EPT_PS		BIT(7)

#define EPTP_WB		6
#define EPTP_WALK_4	(3 << 3)	/* levels - 1 */

#define INVEPT_SINGLE	1
#define INVEPT_ALL	2

#define TYPE_UC		0
#define TYPE_WT		4
#define TYPE_WB		6

#define FIXED_END	MiB

/* The fixed-range MTRRs: 88 ranges of 64, 16 and 4 KiB. */
static u8 fixed[8 * MTRR_FIXED] __ro_after_init;
static bool fixed_on __ro_after_init;
static u8 default_type __ro_after_init;
static struct {
	u64 base, mask;
	u8 type;
} var[MTRR_MAX_VAR] __ro_after_init;
static u32 var_count __ro_after_init;

static void read_fixed(void)
{
	unsigned i, j;

	for (i = 0; i < MTRR_FIXED; i++) {
		u64 val = rdmsr(mtrr_fixed_msr[i]);

		for (j = 0; j < 8; j++)
			fixed[8 * i + j] = (u8)(val >> 8 * j);
	}
}

/* SDM, "Memory Type Range Registers".  With them off all memory is UC. */
void ept_read_mtrrs(void)
{
	u64 cap = rdmsr(MSR_MTRR_CAP), def = rdmsr(MSR_MTRR_DEF_TYPE), base, mask;
	u32 i, n = (u32)MIN(field_get(MTRR_CAP_VCNT, cap), (u64)MTRR_MAX_VAR);

	if (!(def & MTRR_DEF_ON)) {
		default_type = TYPE_UC;
		log_warn("the firmware left the MTRRs off: memory is not cached");
		return;
	}
	default_type = (u8)field_get(MTRR_DEF_TYPE, def);
	fixed_on = (cap & MTRR_CAP_FIX) && (def & MTRR_DEF_FIX);
	if (fixed_on)
		read_fixed();
	for (i = 0; i < n; i++) {
		base = rdmsr(MSR_MTRR_PHYS0 + 2 * i);
		mask = rdmsr(MSR_MTRR_PHYS0 + 2 * i + 1);
		if (!(mask & MTRR_MASK_VALID))
			continue;
		var[var_count].type = (u8)base;
		var[var_count].base = ALIGN_DOWN(base, PAGE_SIZE);
		var[var_count].mask = ALIGN_DOWN(mask, PAGE_SIZE);
		var_count++;
	}
}

static u8 fixed_type(u64 hpa)
{
	if (hpa < 0x80000)
		return fixed[hpa >> 16];
	if (hpa < 0xc0000)
		return fixed[8 + ((hpa - 0x80000) >> 14)];
	return fixed[24 + ((hpa - 0xc0000) >> 12)];
}

/* Where variable ranges overlap: SDM, "MTRR Precedences". */
static u8 memory_type(u64 hpa)
{
	bool found = false;
	u8 type = TYPE_WB;
	u32 i;

	if (fixed_on && hpa < FIXED_END)
		return fixed_type(hpa);
	for (i = 0; i < var_count; i++) {
		if ((hpa ^ var[i].base) & var[i].mask)
			continue;
		if (found && var[i].type != type && type != TYPE_UC)
			type = var[i].type == TYPE_UC ? TYPE_UC : TYPE_WT;
		else if (!found)
			type = var[i].type;
		found = true;
	}
	return found ? type : default_type;
}

/* Whether no border of a range lies inside [hpa, hpa + size). */
static bool one_type(u64 hpa, u64 size)
{
	u32 i;

	if (fixed_on && hpa < FIXED_END)
		return false;
	/* A mask bit below the size parts the block; base decides above it. */
	for (i = 0; i < var_count; i++)
		if ((var[i].mask & (size - 1)) &&
		    !((hpa ^ var[i].base) & var[i].mask & ~(size - 1)))
			return false;
	return true;
}

static unsigned ept_uniform(u64 hpa, unsigned level)
{
	while (level > 1) {
		u64 size = PAGE_SIZE << 9 * (level - 1);

		if (one_type(ALIGN_DOWN(hpa, size), size))
			break;
		level--;
	}
	return level;
}

static u64 ept_leaf(u64 hpa, unsigned level, u32 prot)
{
	return hpa | field_put(EPT_TYPE, memory_type(hpa)) | (level > 1 ? EPT_PS : 0) |
	       (prot & STAGE2_READ ? EPT_R : 0) | (prot & STAGE2_WRITE ? EPT_W : 0) |
	       (prot & STAGE2_EXEC ? EPT_X : 0);
}

/*
 * A guest's memory is mapped write-back elsewhere: by the control VM's processes
 * and by devices' DMA.  With another type of its own choice it would see old
 * bytes, and on CPUs that do not snoop themselves such aliases can hang the core
 * (SDM, "Programming the PAT").
 */
static u64 ept_guest_leaf(u64 hpa, unsigned level, u32 prot)
{
	u64 e = ept_leaf(hpa, level, prot);

	return field_get(EPT_TYPE, e) == TYPE_WB ? e | EPT_IPAT : e;
}

static u64 ept_table(u64 hpa)
{
	return hpa | EPT_R | EPT_W | EPT_X;
}

static u32 ept_prot(u64 e)
{
	return (e & EPT_R ? STAGE2_READ : 0) | (e & EPT_W ? STAGE2_WRITE : 0) |
	       (e & EPT_X ? STAGE2_EXEC : 0);
}

static bool ept_has_1g(void)
{
	return vmx_caps.ept_1g;
}

const struct stage2_format ept_format = {
#define EPT_FORMAT(leaf_of)			\
	.present = EPT_R | EPT_W | EPT_X,	\
	.leaf = leaf_of,			\
	.table = ept_table,			\
	.prot = ept_prot,			\
	.has_1g = ept_has_1g,			\
	.uniform = ept_uniform
	EPT_FORMAT(ept_leaf)
};

const struct stage2_format ept_guest_format = { EPT_FORMAT(ept_guest_leaf) };

u64 ept_pointer(const struct stage2 *s)
{
	return ptr_hpa(s->root).v | EPTP_WB | EPTP_WALK_4;
}

static void invept(u64 type, u64 eptp)
{
	struct {
		u64 eptp, reserved;
	} desc = { eptp, 0 };
	bool refused;

	__asm__ volatile("invept %1, %2" : "=@ccbe"(refused) : "m"(desc), "r"(type) : "memory");
	if (refused)
		panic("INVEPT was refused");
}

void ept_flush(u64 eptp)
{
	invept(vmx_caps.invept_single ? INVEPT_SINGLE : INVEPT_ALL, eptp);
	audit_stage2_flushed(current_cpu(), ALIGN_DOWN(eptp, PAGE_SIZE));
}

void ept_flush_all(void)
{
	invept(INVEPT_ALL, 0);
}
