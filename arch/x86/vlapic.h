/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlapic.h -- a virtual local APIC, xAPIC and x2APIC.
 *
 * Plain data without pointers.  Only the core that owns the vCPU calls the
 * functions that take a struct vlapic; other cores read base, id, svr, ldr
 * and dfr of it, through vlapic_targets(), and hand vectors over by other
 * means, for the owner to vlapic_accept().  All times are guest TSC ticks;
 * the APIC timer's input clock runs at the guest TSC's rate.
 */
#ifndef ARCH_X86_VLAPIC_H
#define ARCH_X86_VLAPIC_H

#include "core/types.h"
#include "include/joist.h"

#define VLAPIC_BASE_ADDR	0xfee00000ull
#define VLAPIC_BASE_BSP		BIT(8)
#define VLAPIC_BASE_EXTD	BIT(10)
#define VLAPIC_SVR_ENABLE	BIT(8)
#define VLAPIC_BASE_EN		BIT(11)

#define VLAPIC_NEVER		(~0ull)

/* Register numbers: xAPIC offset >> 4, and x2APIC MSR - 0x800. */
enum vlapic_reg {
	VLAPIC_ID	= 0x02,
	VLAPIC_VERSION	= 0x03,
	VLAPIC_TPR	= 0x08,
	VLAPIC_APR	= 0x09,
	VLAPIC_PPR	= 0x0a,
	VLAPIC_EOI	= 0x0b,
	VLAPIC_RRD	= 0x0c,
	VLAPIC_LDR	= 0x0d,
	VLAPIC_DFR	= 0x0e,
	VLAPIC_SVR	= 0x0f,
	VLAPIC_ISR	= 0x10,		/* eight of each */
	VLAPIC_TMR	= 0x18,
	VLAPIC_IRR	= 0x20,
	VLAPIC_ESR	= 0x28,
	VLAPIC_ICR	= 0x30,
	VLAPIC_ICR_HIGH	= 0x31,
	VLAPIC_LVT	= 0x32,		/* VLAPIC_LVTS of them */
	VLAPIC_TMICT	= 0x38,
	VLAPIC_TMCCT	= 0x39,
	VLAPIC_DCR	= 0x3e,
	VLAPIC_SELF_IPI	= 0x3f,
	VLAPIC_REGS	= 0x40,
};

enum vlapic_lvt {
	LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR,
	VLAPIC_LVTS
};

/* Delivery modes, as in the ICR, an LVT entry and MSI data. */
enum vlapic_mode {
	APIC_FIXED	= 0,
	APIC_LOWEST	= 1,
	APIC_SMI	= 2,
	APIC_NMI	= 4,
	APIC_INIT	= 5,
	APIC_STARTUP	= 6,
	APIC_EXTINT	= 7,
};

enum vlapic_shorthand { APIC_DEST, APIC_SELF, APIC_ALL, APIC_OTHERS };

/* A 256-bit vector set; bit i of sum: word i is not 0. */
struct vlapic_set {
	u64 word[4];
	u32 sum;
	u32 pad;
};

struct vlapic {
	/* What other cores read, for destination matching. */
	u64 base;			/* IA32_APIC_BASE */
	u32 id;				/* x2APIC ID, fixed at reset */
	u32 svr;
	u32 ldr;			/* xAPIC only; x2APIC's comes from id */
	u32 dfr;

	struct vlapic_set irr;
	struct vlapic_set isr;
	u64 tmr[4];
	u32 tpr;
	u32 ppr;			/* kept up to date */
	u32 esr;			/* as last latched */
	u32 esr_new;			/* errors since */
	u64 icr;
	u32 lvt[VLAPIC_LVTS];
	u32 tmict;
	u32 dcr;
	u64 timer_next;			/* or VLAPIC_NEVER */
	u64 timer_start;		/* of the running period */
	u64 tsc_deadline;		/* IA32_TSC_DEADLINE, 0 if not armed */
};

/* An interrupt on its way to one or more LAPICs. */
struct vlapic_msg {
	u8 vector;
	u8 mode;			/* enum vlapic_mode */
	bool logical;
	bool level;			/* level-triggered */
	bool assert;			/* false: reaches nobody */
	u8 shorthand;			/* enum vlapic_shorthand */
	bool x2;			/* dest is 32 bits wide, ~0 for all */
	u32 dest;
};

/* What the caller of vlapic_write() has to do. */
#define VLAPIC_SEND	0x1		/* msg, to vlapic_targets() */
#define VLAPIC_EOI_OUT	0x2		/* report EOI of vector eoi */
#define VLAPIC_TIMER	0x4		/* there is a new deadline */

struct vlapic_action {
	u32 what;
	u32 eoi;
	struct vlapic_msg msg;
};

/* Power-on state, enabled in xAPIC mode. */
void vlapic_reset(struct vlapic *l, u32 id, bool bsp);
/* What an INIT does: as reset, but id and base stay. */
void vlapic_init(struct vlapic *l);

/* Write IA32_APIC_BASE; -EINVAL: #GP.  The address cannot be moved. */
int vlapic_set_base(struct vlapic *l, u64 val);

/*
 * Register access: by RDMSR/WRMSR if x2, else 32 bits by MMIO.  -EINVAL: #GP,
 * only if x2.  By MMIO while the LAPIC is not in xAPIC mode there is nothing
 * at the address: reads give all ones, writes vanish.  *a is always set.
 */
int vlapic_read(struct vlapic *l, u32 reg, bool x2, u64 now, u64 *val);
int vlapic_write(struct vlapic *l, u32 reg, bool x2, u64 val, u64 now,
		 struct vlapic_action *a);

/*
 * IA32_TSC_DEADLINE.  True if vlapic_deadline() has changed.  Ask
 * vlapic_timer_check() first: what is due counts as done before.
 */
bool vlapic_set_tsc_deadline(struct vlapic *l, u64 val);
u64 vlapic_get_tsc_deadline(const struct vlapic *l);

/* Guest TSC at which vlapic_timer_check() must be called next. */
static inline u64 vlapic_deadline(const struct vlapic *l)
{
	return l->timer_next;
}

/* TSC ticks: shorter periods of a periodic timer become one. */
extern u64 vlapic_min_period;
void vlapic_timer_expire(struct vlapic *l, u64 now);

static inline void vlapic_timer_check(struct vlapic *l, u64 now)
{
	if (unlikely(now >= l->timer_next))
		vlapic_timer_expire(l, now);
}

/* The guest TSC was set, to `delta` more than it was: keep the count. */
void vlapic_tsc_moved(struct vlapic *l, u64 delta);

/* A fixed interrupt arrives.  Vectors below 16 end in the ESR. */
void vlapic_accept(struct vlapic *l, u32 vector, bool level);

static inline int vlapic_highest(const struct vlapic_set *s)
{
	u32 w;

	if (!s->sum)
		return -1;
	w = 31 - __builtin_clz(s->sum);
	return w * 64 + 63 - __builtin_clzll(s->word[w]);
}

/* The vector to deliver now, or -1. */
static inline int vlapic_pending(const struct vlapic *l)
{
	int v;

	if (likely(!l->irr.sum))
		return -1;
	v = vlapic_highest(&l->irr);
	return (u32)v >> 4 > l->ppr >> 4 ? v : -1;
}

/*
 * The vector that would be delivered if TPR were 0, or -1.  Where the guest
 * lowers CR8 without an exit, vlapic_pending() alone would miss the moment:
 * ask for a window of this vector's class.
 */
static inline int vlapic_waiting(const struct vlapic *l)
{
	int v;

	if (likely(!l->irr.sum))
		return -1;
	v = vlapic_highest(&l->irr);
	return v >> 4 > vlapic_highest(&l->isr) >> 4 ? v : -1;
}

/* Takes vlapic_pending() into service and returns it, or -1. */
int vlapic_ack(struct vlapic *l);
/* What the CPU has done to its copy of these, NULL if that is empty; it may not
 * have got all of IRR. */
void vlapic_take_back(struct vlapic *l, const u64 *irr, const u64 *isr, u32 tpr);
/* Returns the vector if it was level-triggered, for report, else -1. */
int vlapic_eoi(struct vlapic *l);

/* In x2APIC mode, and enabled: a CPU may do its part (BACKEND_VID). */
static inline bool vlapic_x2_enabled(const struct vlapic *l)
{
	return (l->base & VLAPIC_BASE_EXTD) && (l->svr & VLAPIC_SVR_ENABLE);
}

/* TPR as CR8 sees it, 0..15. */
static inline u32 vlapic_tpr(const struct vlapic *l)
{
	return l->tpr >> 4;
}
void vlapic_set_tpr(struct vlapic *l, u32 cr8);

/* Whether LINT0 lets an 8259 interrupt through to the CPU. */
bool vlapic_accepts_extint(const struct vlapic *l);

/*
 * A device's MSI write.  -EINVAL: not an interrupt address, or a delivery
 * mode that a device cannot ask for.
 */
int vlapic_msi(u64 addr, u64 data, struct vlapic_msg *m);

/*
 * Bitmap of the LAPICs m is for, among get(ctx, 0..n-1), n <= 64; self: index
 * of the sender, for shorthands.  get() may return NULL.  A LAPIC that would
 * not accept m is not in it.
 */
u64 vlapic_targets(const struct vlapic_msg *m, unsigned self, unsigned n,
		   const struct vlapic *(*get)(void *ctx, unsigned i),
		   void *ctx);

/*
 * To and from the form of HC_READLAPIC and HC_WRITELAPIC.  base is not part
 * of it and must be set before import.  -EINVAL: state no LAPIC can be in,
 * or another LAPIC's id or version; nothing is changed then.
 */
void vlapic_export(const struct vlapic *l, u64 now, struct joist_lapic *p);
int vlapic_import(struct vlapic *l, const struct joist_lapic *p);

#endif
