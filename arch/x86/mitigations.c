/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mitigations.c -- which of the known vulnerabilities this CPU has, and what is
 * done about each.
 *
 * Everything is decided once, from the boot core: models[] and immune[] say what
 * is wrong, rows[] what follows.  What is decided is carried out in guard.inc,
 * vcpu.c and stage2.c.  Indirect branches go by retpolines on every CPU, and no
 * path of the hypervisor is as deep as a return stack, so that one which was
 * filled at the exit does not run empty; hence IBRS is never switched on and off.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/insn.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/regs.h"
#include "core/log.h"
#include "core/string.h"
#include "core/vm.h"

/* IA32_ARCH_CAPABILITIES: SDM volume 4, "Architectural MSRs". */
#define CAP_RDCL_NO		BIT(0)
#define CAP_IBRS_ALL		BIT(1)
#define CAP_RSBA		BIT(2)
#define CAP_SKIP_L1DFL		BIT(3)
#define CAP_SSB_NO		BIT(4)
#define CAP_MDS_NO		BIT(5)
#define CAP_PSCHANGE_MC_NO	BIT(6)
#define CAP_TSX_CTRL		BIT(7)
#define CAP_TAA_NO		BIT(8)
#define CAP_SBDR_SSDP_NO	BIT(13)
#define CAP_FBSDP_NO		BIT(14)
#define CAP_PSDP_NO		BIT(15)
#define CAP_FB_CLEAR		BIT(17)
#define CAP_RRSBA		BIT(19)
#define CAP_BHI_NO		BIT(20)
#define CAP_PBRSB_NO		BIT(24)
#define CAP_GDS_CTRL		BIT(25)
#define CAP_GDS_NO		BIT(26)
#define CAP_RFDS_NO		BIT(27)
#define CAP_RFDS_CLEAR		BIT(28)
#define CAP_ITS_NO		BIT(62)
/* What guests are told of the CPU as it is. */
#define CAP_GUEST	(CAP_RDCL_NO | CAP_IBRS_ALL | CAP_RSBA | CAP_SSB_NO | CAP_MDS_NO | \
			 CAP_TAA_NO | CAP_SBDR_SSDP_NO | CAP_FBSDP_NO | CAP_PSDP_NO | \
			 CAP_FB_CLEAR | CAP_RRSBA | CAP_BHI_NO | CAP_PBRSB_NO | CAP_GDS_NO | \
			 CAP_RFDS_NO | CAP_RFDS_CLEAR | CAP_ITS_NO)

#define MCU_OPT_RNGDS_OFF	BIT(0)
#define MCU_OPT_GDS_OFF		BIT(4)

#define LEAF7_EBX_RTM		BIT(11)
#define LEAF7_EDX_SRBDS_CTRL	BIT(9)
#define LEAF7_EDX_MD_CLEAR	BIT(10)
#define LEAF7_EDX_IBRS		BIT(26)
#define LEAF7_EDX_STIBP		BIT(27)
#define LEAF7_EDX_FLUSH_L1D	BIT(28)
#define LEAF7_EDX_ARCH_CAP	BIT(29)
#define LEAF7_EDX_SSBD		BIT(31)
#define LEAF7_2_EDX_RRSBA_CTRL	BIT(2)
#define LEAF7_2_EDX_BHI_CTRL	BIT(4)
#define EXT8_EBX_IBPB		BIT(12)
#define EXT8_EBX_IBRS		BIT(14)
#define EXT8_EBX_STIBP		BIT(15)
#define EXT8_EBX_SSBD		BIT(24)
#define EXT8_EBX_SSB_NO		BIT(26)
#define EXT8_EBX_BTC_NO		BIT(29)
#define EXT21_EAX_LFENCE	BIT(2)
#define EXT21_EAX_VERW_CLEAR	BIT(5)
#define EXT21_EAX_AUTO_IBRS	BIT(8)
#define EXT21_EAX_IBPB_BRTYPE	BIT(28)
#define EXT21_EAX_SRSO_NO	BIT(29)
#define EXT21_EAX_SRSO_USER_NO	BIT(30)
#define EXT21_EAX_REDUCE	BIT(31)
#define EXT21_ECX_TSA_SQ_NO	BIT(1)
#define EXT21_ECX_TSA_L1_NO	BIT(2)
#define SVM_EDX_SPEC_CTRL	BIT(20)

#define SPEC_CTRL_IBRS		BIT(0)
#define SPEC_CTRL_RRSBA_DIS_S	BIT(6)
#define SPEC_CTRL_BHI_DIS_S	BIT(10)
#define PRED_CMD_IBPB		BIT(0)
#define FLUSH_CMD_L1D		BIT(0)
#define DE_CFG_LFENCE		BIT(1)
#define BP_CFG_SPEC_REDUCE	BIT(4)

#define IS(bug)			(1u << BUG_##bug)
#define ALL_MODELS			0xff

#define SNB	IS(VMSCAPE)
#define HSW_X	(IS(VMSCAPE) | IS(MMIO))
#define HSW	(IS(VMSCAPE) | IS(SRBDS))
#define SKX	(IS(VMSCAPE) | IS(MMIO) | IS(RETBLEED) | IS(GDS))
#define SKL	(SKX | IS(SRBDS))
#define ICL	(IS(MMIO) | IS(GDS) | IS(ITS))
#define ADL	(IS(VMSCAPE) | IS(RFDS))
#define ATOM	(IS(SSB) | IS(L1TF) | IS(ITLB))
#define GOLDMONT (IS(MDS) | IS(L1TF) | IS(ITLB))

/*
 * What a model has beyond, or has not of, what is taken for granted below.
 * Intel, "Affected Processors: Transient Execution Attacks"; AMD's bulletins.
 */
static const struct model {
	u8 vendor, family, model, first, last;	/* steppings */
	u32 has, has_not;
} models[] = {
	/* Atoms: Bonnell speculates in no order but the program's. */
	{ CPU_INTEL, 6, 0x1c, 0, 15, 0, ~0u }, { CPU_INTEL, 6, 0x26, 0, 15, 0, ~0u },
	{ CPU_INTEL, 6, 0x27, 0, 15, 0, ~0u }, { CPU_INTEL, 6, 0x35, 0, 15, 0, ~0u },
	{ CPU_INTEL, 6, 0x36, 0, 15, 0, ~0u },
	{ CPU_INTEL, 6, 0x37, 0, 15, 0, ATOM }, { CPU_INTEL, 6, 0x4a, 0, 15, 0, ATOM },
	{ CPU_INTEL, 6, 0x4c, 0, 15, 0, ATOM }, { CPU_INTEL, 6, 0x4d, 0, 15, 0, ATOM },
	{ CPU_INTEL, 6, 0x5a, 0, 15, 0, ATOM }, { CPU_INTEL, 6, 0x5d, 0, 15, 0, ATOM },
	{ CPU_INTEL, 6, 0x57, 0, 15, 0, ATOM }, { CPU_INTEL, 6, 0x85, 0, 15, 0, ATOM },
	{ CPU_INTEL, 6, 0x5c, 0, 15, IS(RFDS), GOLDMONT },
	{ CPU_INTEL, 6, 0x5f, 0, 15, IS(RFDS), GOLDMONT },
	{ CPU_INTEL, 6, 0x7a, 0, 15, IS(RFDS), GOLDMONT },
	{ CPU_INTEL, 6, 0x86, 0, 15, IS(RFDS) | IS(MMIO), IS(ITLB) },	/* Tremont */
	{ CPU_INTEL, 6, 0x96, 0, 15, IS(RFDS) | IS(MMIO), IS(ITLB) },
	{ CPU_INTEL, 6, 0x9c, 0, 15, IS(RFDS) | IS(MMIO), IS(ITLB) },
	{ CPU_INTEL, 6, 0xbe, 0, 15, IS(RFDS) },			/* Gracemont */
	{ CPU_INTEL, 6, 0xaf, 0, 15, IS(VMSCAPE) },			/* Sierra Forest */
	/* Sandy, Ivy Bridge; Haswell, Broadwell */
	{ CPU_INTEL, 6, 0x2a, 0, 15, SNB }, { CPU_INTEL, 6, 0x2d, 0, 15, SNB },
	{ CPU_INTEL, 6, 0x3a, 0, 15, HSW }, { CPU_INTEL, 6, 0x3e, 0, 15, SNB },
	{ CPU_INTEL, 6, 0x3c, 0, 15, HSW }, { CPU_INTEL, 6, 0x45, 0, 15, HSW },
	{ CPU_INTEL, 6, 0x46, 0, 15, HSW }, { CPU_INTEL, 6, 0x3f, 0, 15, HSW_X },
	{ CPU_INTEL, 6, 0x3d, 0, 15, HSW }, { CPU_INTEL, 6, 0x47, 0, 15, HSW },
	{ CPU_INTEL, 6, 0x4f, 0, 15, HSW_X }, { CPU_INTEL, 6, 0x56, 0, 15, HSW_X },
	/* Skylake, Cascade and Cooper Lake; Kaby, Coffee, Comet, Cannon Lake */
	{ CPU_INTEL, 6, 0x55, 0, 5, SKX }, { CPU_INTEL, 6, 0x55, 6, 15, SKX | IS(ITS) },
	{ CPU_INTEL, 6, 0x4e, 0, 15, SKL }, { CPU_INTEL, 6, 0x5e, 0, 15, SKL },
	{ CPU_INTEL, 6, 0x8e, 0, 11, SKL }, { CPU_INTEL, 6, 0x8e, 12, 15, SKL | IS(ITS) },
	{ CPU_INTEL, 6, 0x9e, 0, 12, SKL }, { CPU_INTEL, 6, 0x9e, 13, 15, SKL | IS(ITS) },
	{ CPU_INTEL, 6, 0xa5, 0, 15, SKX | IS(ITS) }, { CPU_INTEL, 6, 0xa6, 0, 15, SKX | IS(ITS) },
	{ CPU_INTEL, 6, 0x66, 0, 15, IS(RETBLEED) | IS(VMSCAPE) },
	/* Ice, Tiger, Rocket Lake; Lakefield */
	{ CPU_INTEL, 6, 0x7e, 0, 15, ICL | IS(RETBLEED) }, { CPU_INTEL, 6, 0x6a, 0, 15, ICL },
	{ CPU_INTEL, 6, 0x6c, 0, 15, ICL }, { CPU_INTEL, 6, 0xa7, 0, 15, ICL | IS(RETBLEED) },
	{ CPU_INTEL, 6, 0x8c, 0, 15, IS(GDS) | IS(ITS) },
	{ CPU_INTEL, 6, 0x8d, 0, 15, IS(GDS) | IS(ITS) },
	{ CPU_INTEL, 6, 0x8a, 0, 15, IS(MMIO) | IS(RETBLEED) },
	/* Alder, Raptor Lake; Meteor, Arrow, Lunar Lake; Sapphire, Emerald, Granite Rapids */
	{ CPU_INTEL, 6, 0x97, 0, 15, ADL }, { CPU_INTEL, 6, 0x9a, 0, 15, ADL },
	{ CPU_INTEL, 6, 0xb7, 0, 15, ADL }, { CPU_INTEL, 6, 0xba, 0, 15, ADL },
	{ CPU_INTEL, 6, 0xbf, 0, 15, ADL },
	{ CPU_INTEL, 6, 0xaa, 0, 15, IS(VMSCAPE) }, { CPU_INTEL, 6, 0xb5, 0, 15, IS(VMSCAPE) },
	{ CPU_INTEL, 6, 0xc5, 0, 15, IS(VMSCAPE) }, { CPU_INTEL, 6, 0xc6, 0, 15, IS(VMSCAPE) },
	{ CPU_INTEL, 6, 0xbd, 0, 15, IS(VMSCAPE) }, { CPU_INTEL, 6, 0x8f, 0, 15, IS(VMSCAPE) },
	{ CPU_INTEL, 6, 0xcf, 0, 15, IS(VMSCAPE) }, { CPU_INTEL, 6, 0xad, 0, 15, IS(VMSCAPE) },
	/* K8 to Llano; Bulldozer and Jaguar; Zen 1 and 2, Hygon's; Zen 3 and 4; Zen 5 */
	{ CPU_AMD, 0x0f, ALL_MODELS, 0, 15, 0, IS(SSB) }, { CPU_AMD, 0x10, ALL_MODELS, 0, 15, 0, IS(SSB) },
	{ CPU_AMD, 0x11, ALL_MODELS, 0, 15, 0, IS(SSB) }, { CPU_AMD, 0x12, ALL_MODELS, 0, 15, 0, IS(SSB) },
	{ CPU_AMD, 0x15, ALL_MODELS, 0, 15, IS(RETBLEED) }, { CPU_AMD, 0x16, ALL_MODELS, 0, 15, IS(RETBLEED) },
	{ CPU_AMD, 0x17, ALL_MODELS, 0, 15, IS(RETBLEED) | IS(SRSO) | IS(VMSCAPE) },
	{ CPU_AMD, 0x18, ALL_MODELS, 0, 15, IS(RETBLEED) | IS(SRSO) | IS(VMSCAPE) },
	{ CPU_AMD, 0x19, ALL_MODELS, 0, 15, IS(SRSO) | IS(TSA) | IS(VMSCAPE) },
	{ CPU_AMD, 0x1a, ALL_MODELS, 0, 15, IS(SRSO) | IS(VMSCAPE) },
};

/* What a CPU says it has not. */
static const struct {
	u64 cap;
	u32 bugs;
} immune[] = {
	{ CAP_RDCL_NO, IS(MELTDOWN) | IS(L1TF) },
	{ CAP_SSB_NO, IS(SSB) },
	{ CAP_MDS_NO, IS(MDS) },
	{ CAP_PSCHANGE_MC_NO, IS(ITLB) },
	{ CAP_TAA_NO, IS(TAA) },
	{ CAP_SBDR_SSDP_NO | CAP_FBSDP_NO | CAP_PSDP_NO, IS(MMIO) },
	{ CAP_GDS_NO, IS(GDS) },
	{ CAP_RFDS_NO, IS(RFDS) },
	{ CAP_ITS_NO, IS(ITS) },
};

struct mitigations mitigations __ro_after_init;
static bool smt __ro_after_init;
static const char *const names[BUG_COUNT] = {
#define B(name, text) [BUG_##name] = text,
	MITIGATION_BUGS(B)
#undef B
};

static u32 amd_bugs(const struct mitigation_cpu *c)
{
	const u32 tsa = EXT21_ECX_TSA_SQ_NO | EXT21_ECX_TSA_L1_NO;

	return (c->ext8_ebx & EXT8_EBX_SSB_NO ? IS(SSB) : 0) |
	       (c->ext8_ebx & EXT8_EBX_BTC_NO ? IS(RETBLEED) : 0) |
	       (c->ext21_eax & EXT21_EAX_SRSO_NO ? IS(SRSO) : 0) |
	       ((c->ext21_ecx & tsa) == tsa ? IS(TSA) : 0);
}

static u32 affected(const struct mitigation_cpu *c)
{
	u32 bugs = IS(V1) | IS(V2) | IS(SSB);
	const struct model *m;
	unsigned i;

	/* What is not known has what its kind had always. */
	if (c->vendor != CPU_AMD)
		bugs |= IS(MELTDOWN) | IS(L1TF) | IS(MDS) | IS(ITLB);
	for (m = models; m < models + ARRAY_SIZE(models); m++)
		if (m->vendor == c->vendor && m->family == c->family &&
		    (m->model == ALL_MODELS || m->model == c->model) &&
		    c->stepping >= m->first && c->stepping <= m->last)
			bugs = (bugs | m->has) & ~m->has_not;
	if (c->vendor == CPU_AMD)
		return bugs & ~amd_bugs(c);
	if ((c->leaf7_ebx & LEAF7_EBX_RTM) || (c->arch_cap & CAP_TSX_CTRL))
		bugs |= IS(TAA);
	bugs |= c->arch_cap & CAP_RFDS_CLEAR ? IS(RFDS) : 0;
	bugs |= c->arch_cap & CAP_RSBA ? IS(RETBLEED) : 0;
	for (i = 0; i < ARRAY_SIZE(immune); i++)
		if ((c->arch_cap & immune[i].cap) == immune[i].cap)
			bugs &= ~immune[i].bugs;
	/* It is about enhanced IBRS, and gone with BHI_CTRL. */
	if (!(c->arch_cap & CAP_IBRS_ALL) || (c->leaf7_2_edx & LEAF7_2_EDX_BHI_CTRL))
		bugs &= ~IS(ITS);
	return bugs;
}

static bool has_ibpb(const struct mitigation_cpu *c)
{
	return (c->leaf7_edx & LEAF7_EDX_IBRS) || (c->ext8_ebx & EXT8_EBX_IBPB);
}

static bool has_spec_ctrl(const struct mitigation_cpu *c)
{
	return (c->leaf7_edx & (LEAF7_EDX_IBRS | LEAF7_EDX_STIBP | LEAF7_EDX_SSBD)) ||
	       (c->ext8_ebx & (EXT8_EBX_IBRS | EXT8_EBX_STIBP | EXT8_EBX_SSBD));
}

static const char *gds(const struct mitigation_cpu *c, struct mitigations *m)
{
	if (!(c->arch_cap & CAP_GDS_CTRL))
		return "Vulnerable: No microcode";
	return c->mcu_opt & MCU_OPT_GDS_OFF ? "Vulnerable" : "Mitigation: Microcode";
}

static const char *srbds(const struct mitigation_cpu *c, struct mitigations *m)
{
	if (!(c->leaf7_edx & LEAF7_EDX_SRBDS_CTRL))
		return "Vulnerable: No microcode";
	return c->mcu_opt & MCU_OPT_RNGDS_OFF ? "Vulnerable" : "Mitigation: Microcode";
}

static const char *its(const struct mitigation_cpu *c, struct mitigations *m)
{
	m->guard |= GUARD_RSB;
	return "Mitigation: Retpolines, Stuffing RSB";
}

static const char *itlb(const struct mitigation_cpu *c, struct mitigations *m)
{
	m->nx_large = true;
	return "Mitigation: Split huge pages";
}

/* A flush by loads would need the microcode that brings IBPB and MD_CLEAR, too. */
static const char *l1tf(const struct mitigation_cpu *c, struct mitigations *m)
{
	if (!(c->leaf7_edx & LEAF7_EDX_FLUSH_L1D))
		return "Vulnerable: No microcode";
	m->l1d_flush = true;
	return "Mitigation: VMX: conditional cache flushes";
}

static const char *clear(struct mitigations *m, bool does)
{
	m->guard |= GUARD_VERW;
	return does ? "Mitigation: Clear CPU buffers" :
		      "Vulnerable: Clear CPU buffers attempted, no microcode";
}

static const char *mds(const struct mitigation_cpu *c, struct mitigations *m)
{
	return clear(m, c->leaf7_edx & LEAF7_EDX_MD_CLEAR);
}

static const char *tsa(const struct mitigation_cpu *c, struct mitigations *m)
{
	return clear(m, c->ext21_eax & EXT21_EAX_VERW_CLEAR);
}

static const char *rfds(const struct mitigation_cpu *c, struct mitigations *m)
{
	if (!(c->arch_cap & CAP_RFDS_CLEAR))
		return "Vulnerable: No microcode";
	m->guard |= GUARD_VERW;
	return "Mitigation: Clear Register File";
}

/* A guest's tables reach nothing of the hypervisor's. */
static const char *meltdown(const struct mitigation_cpu *c, struct mitigations *m)
{
	return "Mitigation: no page tables shared with guests";
}

static const char *mmio(const struct mitigation_cpu *c, struct mitigations *m)
{
	return "Mitigation: guests have no device memory";
}

static const char *v1(const struct mitigation_cpu *c, struct mitigations *m)
{
	return "Mitigation: indices from outside are masked";
}

static const char *ssb(const struct mitigation_cpu *c, struct mitigations *m)
{
	if (!(c->leaf7_edx & LEAF7_EDX_SSBD) && !(c->ext8_ebx & EXT8_EBX_SSBD))
		return "Vulnerable";
	return "Mitigation: Speculative Store Bypass disabled via SPEC_CTRL of guests";
}

static const char *retbleed(const struct mitigation_cpu *c, struct mitigations *m)
{
	if (c->vendor != CPU_AMD) {
		m->guard |= GUARD_RSB;
		return c->arch_cap & CAP_IBRS_ALL ? "Mitigation: Enhanced IBRS" :
						    "Mitigation: Stuffing";
	}
	if (!has_ibpb(c))
		return "Vulnerable";
	m->guard |= GUARD_IBPB;
	return "Mitigation: IBPB";
}

static const char *srso(const struct mitigation_cpu *c, struct mitigations *m)
{
	/* Before Zen 3 an IBPB has always been enough. */
	bool enough = c->family < 0x19 || (c->ext21_eax & EXT21_EAX_IBPB_BRTYPE);

	if (c->ext21_eax & EXT21_EAX_REDUCE) {
		m->reduce = true;
		return "Mitigation: Reduced Speculation";
	}
	if (!has_ibpb(c))
		return "Vulnerable";
	m->guard |= GUARD_IBPB;
	return enough ? "Mitigation: IBPB on VMEXIT only" : "Vulnerable: No microcode";
}

static const char *vmscape(const struct mitigation_cpu *c, struct mitigations *m)
{
	if (!has_ibpb(c))
		return "Vulnerable";
	m->ibpb = true;
	return "Mitigation: IBPB before exit to userspace";
}

static void say(char *text, size_t size, const char *what)
{
	size_t n = strlen(text);

	str_copy(text + n, what, size - n);
}

static const char *v2_bhi(const struct mitigation_cpu *c, const struct mitigations *m)
{
	if (c->vendor == CPU_AMD || (c->arch_cap & CAP_BHI_NO))
		return "; BHI: Not affected";
	if (m->spec_ctrl & SPEC_CTRL_BHI_DIS_S)
		return "; BHI: BHI_DIS_S";
	return "; BHI: Retpoline";
}

static const char *v2(const struct mitigation_cpu *c, struct mitigations *m)
{
	bool eibrs = c->vendor != CPU_AMD && (c->arch_cap & CAP_IBRS_ALL);

	m->guard |= GUARD_RSB;
	m->auto_ibrs = c->vendor == CPU_AMD && (c->ext21_eax & EXT21_EAX_AUTO_IBRS);
	m->ibpb = has_ibpb(c);
	if (eibrs)
		m->spec_ctrl = SPEC_CTRL_IBRS |
			(c->leaf7_2_edx & LEAF7_2_EDX_BHI_CTRL ? SPEC_CTRL_BHI_DIS_S : 0) |
			((c->arch_cap & CAP_RRSBA) && (c->leaf7_2_edx & LEAF7_2_EDX_RRSBA_CTRL) ?
			 SPEC_CTRL_RRSBA_DIS_S : 0);
	say(m->v2, sizeof(m->v2), eibrs || m->auto_ibrs ?
	    "Mitigation: Enhanced / Automatic IBRS + Retpolines" : "Mitigation: Retpolines");
	say(m->v2, sizeof(m->v2), m->ibpb ? "; IBPB: always-on" : "; IBPB: disabled");
	say(m->v2, sizeof(m->v2), "; RSB filling; PBRSB-eIBRS: ");
	say(m->v2, sizeof(m->v2), eibrs && !(c->arch_cap & CAP_PBRSB_NO) ?
	    "SW sequence" : "Not affected");
	say(m->v2, sizeof(m->v2), v2_bhi(c, m));
	return m->v2;
}

/* what(): decides, and says so.  off: what is true when nothing is done. */
static const struct {
	const char *(*what)(const struct mitigation_cpu *c, struct mitigations *m);
	bool always;		/* nothing to be switched off */
	bool smt;		/* a sibling sees what it should not */
	const char *off;
} rows[BUG_COUNT] = {
	[BUG_GDS] = { gds, true },
	[BUG_ITS] = { its },
	[BUG_ITLB] = { itlb },
	[BUG_L1TF] = { l1tf, .smt = true, .off = "Vulnerable: VMX: cache flushes disabled" },
	[BUG_MDS] = { mds, .smt = true },
	[BUG_MELTDOWN] = { meltdown, true },
	[BUG_MMIO] = { mmio, true },
	[BUG_RFDS] = { rfds },
	[BUG_RETBLEED] = { retbleed },
	[BUG_SRSO] = { srso },
	[BUG_SSB] = { ssb, true },
	[BUG_V1] = { v1, true },
	[BUG_V2] = { v2, .off = "Vulnerable: Retpolines alone" },
	[BUG_SRBDS] = { srbds, true },
	[BUG_TSA] = { tsa },
	[BUG_TAA] = { mds, .smt = true },
	[BUG_VMSCAPE] = { vmscape },
};

/* As the CPU has it, and what is done here. */
static u64 guest_arch_cap(const struct mitigation_cpu *c, const struct mitigations *m)
{
	if (c->vendor != CPU_INTEL)
		return 0;
	return (c->arch_cap & CAP_GUEST) | CAP_SKIP_L1DFL | CAP_PSCHANGE_MC_NO |
	       (m->how[BUG_MELTDOWN] || m->how[BUG_L1TF] ? 0 : CAP_RDCL_NO) |
	       (m->how[BUG_MDS] ? 0 : CAP_MDS_NO) | (m->how[BUG_SSB] ? 0 : CAP_SSB_NO) |
	       /* Its control is not for guests; they have no TSX either. */
	       (m->how[BUG_GDS] && gds(c, NULL)[0] == 'V' ? 0 : CAP_GDS_NO);
}

void mitigations_choose(const struct mitigation_cpu *c, enum mitigation_mode mode,
			struct mitigations *m)
{
	u32 bugs = affected(c);
	unsigned i;

	*m = (struct mitigations){};
	for (i = 0; i < BUG_COUNT; i++) {
		if (!(bugs & BIT(i)))
			continue;
		if (rows[i].smt)
			m->smt_leaks |= (u32)BIT(i);
		if (mode != MITIGATIONS_OFF || rows[i].always)
			m->how[i] = rows[i].what(c, m);
		else
			m->how[i] = rows[i].off ? rows[i].off : "Vulnerable";
	}
	if (mode == MITIGATIONS_ALL) {
		m->guard |= GUARD_RSB | GUARD_VERW | (has_ibpb(c) ? GUARD_IBPB : 0);
		m->l1d_flush = c->leaf7_edx & LEAF7_EDX_FLUSH_L1D;
		m->how[BUG_ITLB] = itlb(c, m);
	}
	/* An IBPB at each exit leaves nothing to be forgotten when RUN ends. */
	if (m->guard & GUARD_IBPB)
		m->ibpb = false;
	m->lfence = c->vendor == CPU_AMD && !(c->ext21_eax & EXT21_EAX_LFENCE);
	m->spec_in_vmcb = c->vendor == CPU_AMD && (c->svm_edx & SVM_EDX_SPEC_CTRL);
	if (has_spec_ctrl(c) && !m->spec_in_vmcb)
		m->guard |= GUARD_SPEC;
	m->flush_cmd = c->leaf7_edx & LEAF7_EDX_FLUSH_L1D;
	m->arch_cap = guest_arch_cap(c, m);
}

/* SDM and APM, CPUID leaf 1: "Version Information". */
static void read_model(struct mitigation_cpu *c, u32 eax)
{
	c->stepping = eax & 15;
	c->family = eax >> 8 & 15;
	c->model = eax >> 4 & 15;
	if (c->family == 6 || c->family == 15)
		c->model |= eax >> 12 & 0xf0;
	if (c->family == 15)
		c->family += eax >> 20 & 0xff;
}

/* A nested hypervisor may say more than it has. */
static void believe(struct mitigation_cpu *c)
{
	u64 val;

	if (has_ibpb(c) && !wrmsr_safe(MSR_PRED_CMD, PRED_CMD_IBPB)) {
		c->leaf7_edx &= ~(u32)LEAF7_EDX_IBRS;
		c->ext8_ebx &= ~(u32)EXT8_EBX_IBPB;
	}
	if (has_spec_ctrl(c) && !rdmsr_safe(MSR_SPEC_CTRL, &val)) {
		c->leaf7_edx &= ~(u32)(LEAF7_EDX_IBRS | LEAF7_EDX_STIBP | LEAF7_EDX_SSBD);
		c->ext8_ebx &= ~(u32)(EXT8_EBX_IBRS | EXT8_EBX_STIBP | EXT8_EBX_SSBD);
	}
	if ((c->leaf7_edx & LEAF7_EDX_FLUSH_L1D) && !wrmsr_safe(MSR_FLUSH_CMD, FLUSH_CMD_L1D))
		c->leaf7_edx &= ~(u32)LEAF7_EDX_FLUSH_L1D;
}

static void read_cpu(struct mitigation_cpu *c)
{
	struct cpuid l0 = cpuid(0, 0), l7;
	u32 ext = cpuid(0x80000000, 0).eax;

	*c = (struct mitigation_cpu){};
	/* "Genu", "Auth" and "Hygo" */
	c->vendor = l0.ebx == 0x756e6547 ? CPU_INTEL :
		    l0.ebx == 0x68747541 || l0.ebx == 0x6f677948 ? CPU_AMD : CPU_OTHER;
	read_model(c, cpuid(1, 0).eax);
	if (l0.eax >= 7) {
		l7 = cpuid(7, 0);
		c->leaf7_ebx = l7.ebx;
		c->leaf7_edx = l7.edx;
		if (l7.eax >= 2)
			c->leaf7_2_edx = cpuid(7, 2).edx;
	}
	if (ext >= 0x80000008)
		c->ext8_ebx = cpuid(0x80000008, 0).ebx;
	if (ext >= 0x8000000a && c->vendor == CPU_AMD)
		c->svm_edx = cpuid(0x8000000a, 0).edx;
	if (ext >= 0x80000021) {
		c->ext21_eax = cpuid(0x80000021, 0).eax;
		c->ext21_ecx = cpuid(0x80000021, 0).ecx;
	}
	believe(c);
	if (c->leaf7_edx & LEAF7_EDX_ARCH_CAP)
		rdmsr_safe(MSR_ARCH_CAPABILITIES, &c->arch_cap);
	if ((c->leaf7_edx & LEAF7_EDX_SRBDS_CTRL) || (c->arch_cap & CAP_GDS_CTRL))
		rdmsr_safe(MSR_MCU_OPT_CTRL, &c->mcu_opt);
}

void mitigations_init(enum mitigation_mode mode)
{
	struct mitigation_cpu c;

	read_cpu(&c);
	mitigations_choose(&c, mode, &mitigations);
}

static void msr_set(u32 msr, u64 bits)
{
	u64 now;

	if (rdmsr_safe(msr, &now))
		wrmsr_safe(msr, now | bits);
}

void mitigations_enable(void)
{
	if (mitigations.auto_ibrs)
		msr_set(MSR_EFER, EFER_AIBRSE);
	if (mitigations.lfence)
		msr_set(MSR_DE_CFG, DE_CFG_LFENCE);
	if (mitigations.reduce)
		msr_set(MSR_BP_CFG, BP_CFG_SPEC_REDUCE);
}

/* As guard.inc has them. */
static_assert(offsetof(struct cpu, guard) == 80, "CPU_GUARD");
static_assert(offsetof(struct cpu, spec_guest) == 84, "CPU_SPEC_GUEST");
static_assert(offsetof(struct cpu, spec_host) == 88, "CPU_SPEC_HOST");
static_assert(offsetof(struct cpu, verw) == 92, "CPU_VERW");

void guard_spec_ctrl(struct cpu *c, const struct vcpu *v)
{
	c->spec_guest = (u32)(v->gs.spec_ctrl | mitigations.spec_ctrl);
	c->guard &= ~(u32)GUARD_SPEC;
	if ((mitigations.guard & GUARD_SPEC) && c->spec_guest != c->spec_host)
		c->guard |= (u32)GUARD_SPEC;
}

/* The control VM's SPEC_CTRL is its own, and read; a guest's is known. */
void guard_load(struct cpu *c, struct vcpu *v)
{
	const struct mitigations *m = &mitigations;

	c->guard = m->guard;
	if (m->guard & GUARD_SPEC) {
		c->control->gs.spec_ctrl = rdmsr(MSR_SPEC_CTRL);
		if (c->control->gs.spec_ctrl != m->spec_ctrl)
			wrmsr_try(MSR_SPEC_CTRL, m->spec_ctrl);
	}
	c->spec_host = (u32)m->spec_ctrl;
	guard_spec_ctrl(c, v);
	/* What is in there of others, from here on only of this VM. */
	if (m->l1d_flush)
		wrmsr(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
}

/*
 * To the CPU guests and the control VM's kernel are alike.  What this guest has
 * taught the predictors must not meet that, its processes, or the next guest.
 */
void guard_unload(struct cpu *c)
{
	const struct mitigations *m = &mitigations;

	c->guard = 0;
	if (m->ibpb)
		wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
	if ((m->guard & GUARD_SPEC) && c->control->gs.spec_ctrl != m->spec_ctrl)
		wrmsr_try(MSR_SPEC_CTRL, c->control->gs.spec_ctrl);
}

/* Bits of an APIC id that tell the threads of one core apart. */
static u32 thread_bits(void)
{
	struct cpuid c;

	if (cpuid(0, 0).eax >= 0xb) {
		c = cpuid(0xb, 0);
		if (c.ebx && (c.ecx >> 8 & 0xff) == 1)
			return c.eax & 31;
	}
	if (cpuid(0x80000000, 0).eax >= 0x8000001e && (cpuid(0x80000001, 0).ecx & BIT(22)))
		return cpuid(0x8000001e, 0).ebx >> 8 & 0xff ? 1 : 0;
	return 0;
}

void mitigations_log(void)
{
	u32 bits = thread_bits(), i, k;
	char text[MITIGATION_TEXT];
	const char *name;

	for (i = 0; i < cpu_count && bits; i++)
		for (k = 0; k < i; k++)
			if (cpus[i]->apic_id >> bits == cpus[k]->apic_id >> bits)
				smt = true;
	for (i = 0; mitigations_describe(i, &name, text, sizeof(text)); i++)
		if (mitigations.how[i])
			log_info("%s: %s", name, text);
}

bool mitigations_describe(u32 i, const char **name, char *text, size_t size)
{
	const struct mitigations *m = &mitigations;

	if (i >= BUG_COUNT)
		return false;
	*name = names[i];
	text[0] = 0;
	say(text, size, m->how[i] ? m->how[i] : "Not affected");
	if (m->how[i] && (m->smt_leaks & BIT(i)))
		say(text, size, smt ? "; SMT vulnerable" : "; SMT disabled");
	return true;
}
