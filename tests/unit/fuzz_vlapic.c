/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vlapic.c -- any sequence of accesses to four LAPICs, by guests, devices
 * and the management side: what they say of themselves stays true.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/vlapic.c"

#define CPUS	4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vlapic apic[CPUS];
static u64 now;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static const struct vlapic *get(void *ctx, unsigned i)
{
	(void)ctx;
	must(i < CPUS);
	return &apic[i];
}

static void check_set(const struct vlapic_set *s)
{
	u32 i;

	must(!(s->word[0] & 0xffff));
	must(s->sum < 16);
	for (i = 0; i < 4; i++)
		must(!s->word[i] == !(s->sum & 1u << i));
}

static void check(const struct vlapic *l)
{
	struct joist_lapic page, again;
	struct vlapic copy = *l;
	int v = vlapic_pending(l);
	u32 i;

	check_set(&l->irr);
	check_set(&l->isr);
	update_ppr(&copy);
	must(copy.ppr == l->ppr && l->ppr <= 0xff && l->tpr <= 0xff);
	must(v == -1 || (v >= 16 && v < 256));
	copy.tpr = 0;
	update_ppr(&copy);
	must(vlapic_waiting(l) == vlapic_pending(&copy));
	must(timer_count(l, now) <= l->tmict);
	for (i = 0; i < VLAPIC_LVTS; i++)
		must(!(l->lvt[i] & ~lvt_writable[i]));
	must(timer_mode(l) <= TIMER_DEADLINE);

	/* What is exported is taken back, and then it is the same. */
	vlapic_export(l, now, &page);
	memset(&copy, 0x5a, sizeof(copy));
	copy.base = l->base;
	copy.id = l->id;
	must(!vlapic_import(&copy, &page));
	vlapic_export(&copy, now, &again);
	must(!memcmp(page.regs, again.regs, sizeof(page.regs)));
	must(page.icr == again.icr);
	must(copy.timer_next == l->timer_next);
	must(vlapic_pending(&copy) == v);
}

struct input {
	const u8 *p;
	size_t left;
};

static u64 take(struct input *in, unsigned n)
{
	u64 v = 0;

	for (; n && in->left; n--, in->left--)
		v = v << 8 | *in->p++;
	return v;
}

static void deliver(const struct vlapic_msg *m, unsigned self)
{
	u64 set = vlapic_targets(m, self, CPUS, get, NULL);
	unsigned i;

	must(!(set >> CPUS));
	for (i = 0; i < CPUS; i++) {
		if (!(set & BIT(i)))
			continue;
		must(apic[i].base & VLAPIC_BASE_EN);
		if (m->mode == APIC_INIT)
			vlapic_init(&apic[i]);
		else if (m->mode <= APIC_LOWEST)
			vlapic_accept(&apic[i], m->vector, m->level);
	}
}

static void hostile_import(struct vlapic *l, struct input *in)
{
	struct joist_lapic page;
	u32 n;

	vlapic_export(l, now, &page);
	for (n = take(in, 1) & 7; n; n--)
		page.regs[take(in, 1) & 63] ^= take(in, 4);
	page.timer_deadline = take(in, 8);
	page.timer_start = take(in, 8);
	page.icr = take(in, 8);
	vlapic_import(l, &page);
}

static void step(struct input *in)
{
	unsigned self = take(in, 1);
	unsigned op = self >> 2 & 15;
	struct vlapic *l = &apic[self & 3];
	struct vlapic_action a;
	struct vlapic_msg m;
	u64 val = 0, before;
	u32 reg;
	int v;

	self &= 3;
	switch (op) {
	case 0: case 1: case 2: case 3:
		reg = take(in, 1) & 0x7f;
		v = vlapic_write(l, reg, op & 1, take(in, op & 2 ? 2 : 8), now,
				 &a);
		must(v == 0 || (v == -EINVAL && op & 1));
		must(!v || !(a.what & ~VLAPIC_TIMER));
		if (a.what & VLAPIC_EOI_OUT)
			must(a.eoi >= 16 && a.eoi < 256);
		if (a.what & VLAPIC_SEND)
			deliver(&a.msg, self);
		break;
	case 4: case 5:
		v = vlapic_read(l, take(in, 1), op & 1, now, &val);
		must(v == 0 || op & 1);
		must(op & 1 || val <= 0xffffffff);
		break;
	case 6:
		before = l->base;
		v = vlapic_set_base(l, take(in, 1) & 1 ? take(in, 8) :
				    VLAPIC_BASE_ADDR | take(in, 2));
		must(!v || before == l->base);
		must((l->base & BITS(63, 12)) == VLAPIC_BASE_ADDR);
		must((l->base & (BIT(10) | BIT(11))) != BIT(10));
		break;
	case 7:
		now += take(in, 4);
		vlapic_timer_check(l, now);
		must(l->timer_next > now || l->timer_next + timer_period(l) <
		     timer_period(l));
		break;
	case 8:
		vlapic_set_tsc_deadline(l, now + take(in, 2));
		break;
	case 9:
		v = vlapic_pending(l);
		must(vlapic_ack(l) == v);
		must(v < 0 || (int)l->ppr == (v & 0xf0));
		break;
	case 10:
		vlapic_eoi(l);
		break;
	case 11:
		vlapic_set_tpr(l, take(in, 1));
		must(vlapic_tpr(l) <= 15);
		break;
	case 12:
		if (!vlapic_msi(0xfee00000 + (take(in, 3) & 0xfffff),
				take(in, 2), &m))
			deliver(&m, 0);
		break;
	case 13:
		hostile_import(l, in);
		break;
	case 14:
		before = take(in, 8);
		vlapic_tsc_moved(l, before);
		break;
	default:
		if (take(in, 1) & 1)
			vlapic_reset(l, self, !self);
		else
			vlapic_accept(l, take(in, 1), take(in, 1) & 1);
		break;
	}
	check(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned i;

	now = 1000;
	for (i = 0; i < CPUS; i++)
		vlapic_reset(&apic[i], i, !i);
	while (in.left)
		step(&in);
	return 0;
}
