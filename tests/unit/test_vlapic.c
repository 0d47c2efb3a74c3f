/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vlapic.c -- the virtual local APIC, chapter by chapter of the manual.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/vlapic.c"

static struct vlapic la;
static struct vlapic_action act;
static u64 now;

#define REG_LVT(which)	(VLAPIC_LVT + (which))
#define MODE_X1		(VLAPIC_BASE_ADDR | VLAPIC_BASE_EN)
#define MODE_X2		(MODE_X1 | VLAPIC_BASE_EXTD)
#define MODE_OFF	VLAPIC_BASE_ADDR

static bool x2_now(void)
{
	return la.base & VLAPIC_BASE_EXTD;
}

static int try_write(u32 reg, u64 val)
{
	return vlapic_write(&la, reg, x2_now(), val, now, &act);
}

static void wr(u32 reg, u64 val)
{
	assert_int_equal(try_write(reg, val), 0);
}

static u64 rd(u32 reg)
{
	u64 val = 0x5555555555555555;

	assert_int_equal(vlapic_read(&la, reg, x2_now(), now, &val), 0);
	return val;
}

static int try_read(u32 reg)
{
	u64 val;

	return vlapic_read(&la, reg, x2_now(), now, &val);
}

/* A boot CPU's LAPIC that software has enabled. */
static int start(void **state)
{
	(void)state;
	memset(&la, 0xa5, sizeof(la));
	memset(&act, 0xa5, sizeof(act));
	now = 1000;
	vlapic_reset(&la, 3, true);
	wr(VLAPIC_SVR, 0x1ff);
	return 0;
}

static int start_x2(void **state)
{
	start(state);
	return vlapic_set_base(&la, MODE_X2);
}

static void check_sets(void)
{
	u32 i;

	for (i = 0; i < 4; i++) {
		assert_int_equal(!la.irr.word[i], !(la.irr.sum & 1 << i));
		assert_int_equal(!la.isr.word[i], !(la.isr.sum & 1 << i));
	}
}

/* ---- reset, modes ---- */

static void test_reset(void **state)
{
	u32 i;

	(void)state;
	vlapic_reset(&la, 5, false);
	assert_int_equal(la.base, MODE_X1);
	assert_int_equal(rd(VLAPIC_ID), 5u << 24);
	assert_int_equal(rd(VLAPIC_VERSION), 0x50014);
	assert_int_equal(rd(VLAPIC_SVR), 0xff);
	assert_int_equal(rd(VLAPIC_DFR), 0xffffffff);
	assert_int_equal(rd(VLAPIC_LDR), 0);
	for (i = 0; i < VLAPIC_LVTS; i++)
		assert_int_equal(rd(REG_LVT(i)), 0x10000);
	assert_int_equal(rd(VLAPIC_TMCCT), 0);
	assert_int_equal(vlapic_deadline(&la), VLAPIC_NEVER);
	assert_int_equal(vlapic_pending(&la), -1);
	assert_false(vlapic_accepts_extint(&la));

	vlapic_reset(&la, 0, true);
	assert_int_equal(la.base, MODE_X1 | VLAPIC_BASE_BSP);
	assert_true(vlapic_accepts_extint(&la));
}

static void test_init_keeps_id_and_mode(void **state)
{
	(void)state;
	assert_int_equal(vlapic_set_base(&la, MODE_X2), 0);
	wr(VLAPIC_TPR, 0x20);
	vlapic_accept(&la, 0x80, true);
	vlapic_init(&la);
	assert_true(x2_now());
	assert_int_equal(rd(VLAPIC_ID), 3);
	assert_int_equal(rd(VLAPIC_TPR), 0);
	assert_int_equal(rd(VLAPIC_SVR), 0xff);
	assert_int_equal(vlapic_pending(&la), -1);
	assert_int_equal(rd(VLAPIC_TMR + 4), 0);
}

static void test_base_transitions(void **state)
{
	static const u64 mode[3] = { MODE_OFF, MODE_X1, MODE_X2 };
	static const bool legal[3][3] = {
		{ true, true, false },
		{ true, true, true },
		{ true, false, true },
	};
	u32 from, to;

	(void)state;
	for (from = 0; from < 3; from++) {
		for (to = 0; to < 3; to++) {
			vlapic_reset(&la, 3, false);
			if (from == 2)
				vlapic_set_base(&la, MODE_X2);
			else
				vlapic_set_base(&la, mode[from]);
			assert_int_equal(la.base, mode[from]);
			assert_int_equal(vlapic_set_base(&la, mode[to]),
					 legal[from][to] ? 0 : -EINVAL);
			assert_int_equal(la.base,
					 mode[legal[from][to] ? to : from]);
			assert_int_equal(vlapic_set_base(&la, MODE_OFF |
						VLAPIC_BASE_EXTD), -EINVAL);
		}
	}
}

static void test_base_reserved(void **state)
{
	u64 before = la.base;
	u32 bit;

	(void)state;
	for (bit = 0; bit < 64; bit++) {
		if (bit == 8 || bit == 10 || bit == 11)
			continue;
		assert_int_equal(vlapic_set_base(&la, before ^ BIT(bit)),
				 -EINVAL);
		assert_int_equal(la.base, before);
	}
	/* Which CPU booted does not change. */
	assert_int_equal(vlapic_set_base(&la, MODE_X1), 0);
	assert_int_equal(la.base, MODE_X1 | VLAPIC_BASE_BSP);
}

static void test_hardware_disable(void **state)
{
	u64 val;

	(void)state;
	vlapic_accept(&la, 0x80, false);
	wr(VLAPIC_TPR, 0x10);
	assert_int_equal(vlapic_set_base(&la, MODE_OFF), 0);
	vlapic_accept(&la, 0x90, false);
	assert_int_equal(vlapic_pending(&la), -1);
	/* The pin goes straight to the CPU; nobody answers at the address. */
	assert_true(vlapic_accepts_extint(&la));
	assert_int_equal(vlapic_read(&la, VLAPIC_VERSION, false, now, &val), 0);
	assert_int_equal(val, 0xffffffff);
	assert_int_equal(vlapic_write(&la, VLAPIC_TPR, false, 0x20, now, &act),
			 0);
	assert_int_equal(act.what, 0);
	assert_int_equal(vlapic_read(&la, VLAPIC_VERSION, true, now, &val),
			 -EINVAL);
	assert_int_equal(vlapic_set_base(&la, MODE_X1), 0);
	assert_int_equal(rd(VLAPIC_TPR), 0);
	assert_int_equal(rd(VLAPIC_SVR), 0xff);
}

static void test_software_disable(void **state)
{
	u32 i;

	(void)state;
	vlapic_accept(&la, 0x80, false);
	for (i = 0; i < VLAPIC_LVTS; i++)
		wr(REG_LVT(i), 0x40);
	wr(VLAPIC_SVR, 0xff);
	for (i = 0; i < VLAPIC_LVTS; i++) {
		assert_int_equal(rd(REG_LVT(i)), 0x10040);
		wr(REG_LVT(i), 0x41);
		assert_int_equal(rd(REG_LVT(i)), 0x10041);
	}
	/* What had come is held; nothing new comes in. */
	vlapic_accept(&la, 0x90, false);
	assert_int_equal(vlapic_ack(&la), 0x80);
	assert_int_equal(vlapic_pending(&la), -1);
}

/* ---- registers ---- */

/* 'r' read, 'w' write, 'b' both; x2APIC as in SDM "x2APIC Register Address
 * Space". */
static char x2_access(u32 reg)
{
	switch (reg) {
	case VLAPIC_ID: case VLAPIC_VERSION: case VLAPIC_PPR: case VLAPIC_LDR:
	case VLAPIC_TMCCT:
	case VLAPIC_ISR ... VLAPIC_IRR + 7:
		return 'r';
	case VLAPIC_EOI: case VLAPIC_SELF_IPI:
		return 'w';
	case VLAPIC_TPR: case VLAPIC_SVR: case VLAPIC_ESR: case VLAPIC_ICR:
	case VLAPIC_LVT ... VLAPIC_LVT + 5:
	case VLAPIC_TMICT: case VLAPIC_DCR:
		return 'b';
	}
	return '-';
}

static void test_x2_register_space(void **state)
{
	u64 val;
	u32 reg;
	char how;

	(void)state;
	for (reg = 0; reg < 0x400; reg++) {
		how = x2_access(reg);
		assert_int_equal(try_read(reg), how == 'r' || how == 'b' ?
				 0 : -EINVAL);
		val = reg == VLAPIC_SELF_IPI || reg == VLAPIC_ICR ? 0x40 : 0;
		assert_int_equal(try_write(reg, val), how == 'w' || how == 'b' ?
				 0 : -EINVAL);
	}
	/* None of these set an error: #GP said it all. */
	wr(VLAPIC_ESR, 0);
	assert_int_equal(rd(VLAPIC_ESR), 0);
}

static void check_reserved(u32 reg, u64 allowed)
{
	u32 bit;

	for (bit = 0; bit < 64; bit++)
		assert_int_equal(try_write(reg, BIT(bit)),
				 allowed & BIT(bit) ? 0 : -EINVAL);
}

static void test_x2_reserved_bits(void **state)
{
	(void)state;
	check_reserved(VLAPIC_TPR, 0xff);
	check_reserved(VLAPIC_EOI, 0);
	check_reserved(VLAPIC_ESR, 0);
	check_reserved(VLAPIC_TMICT, 0xffffffff);
	check_reserved(VLAPIC_DCR, 0xb);
	check_reserved(VLAPIC_SELF_IPI, 0xff);
	check_reserved(VLAPIC_ICR, 0xffffffff000cdfff);
	check_reserved(REG_LVT(LVT_TIMER), 0x750ff);
	check_reserved(REG_LVT(LVT_LINT0), 0x1f7ff);
	check_reserved(REG_LVT(LVT_ERROR), 0x150ff);
	assert_int_equal(try_write(REG_LVT(LVT_TIMER), 0x60040), -EINVAL);
	check_reserved(VLAPIC_SVR, 0x1ff);
}

static void test_x2_needs_the_mode(void **state)
{
	u64 val;

	(void)state;
	assert_int_equal(vlapic_read(&la, VLAPIC_ID, true, now, &val), -EINVAL);
	assert_int_equal(vlapic_write(&la, VLAPIC_TPR, true, 0, now, &act),
			 -EINVAL);
	assert_int_equal(vlapic_set_base(&la, MODE_X2), 0);
	assert_int_equal(vlapic_read(&la, VLAPIC_ID, false, now, &val), 0);
	assert_int_equal(val, 0xffffffff);
	assert_int_equal(vlapic_write(&la, VLAPIC_TPR, false, 0x30, now, &act),
			 0);
	assert_int_equal(rd(VLAPIC_TPR), 0);
	assert_int_equal(rd(VLAPIC_ID), 3);
	assert_int_equal(rd(VLAPIC_LDR), 8);
}

static void test_x2_ldr(void **state)
{
	(void)state;
	vlapic_reset(&la, 0x123, false);
	vlapic_set_base(&la, MODE_X2);
	assert_int_equal(rd(VLAPIC_LDR), 0x120008);
}

static void test_xapic_reserved(void **state)
{
	u32 reg;

	(void)state;
	wr(VLAPIC_TPR, 0xffffff21);
	assert_int_equal(rd(VLAPIC_TPR), 0x21);
	wr(VLAPIC_LDR, 0xffffffff);
	assert_int_equal(rd(VLAPIC_LDR), 0xff000000);
	wr(VLAPIC_DFR, 0);
	assert_int_equal(rd(VLAPIC_DFR), 0x0fffffff);
	wr(VLAPIC_DCR, 0xffffffff);
	assert_int_equal(rd(VLAPIC_DCR), 0xb);
	wr(REG_LVT(LVT_TIMER), 0xffffffff);
	assert_int_equal(rd(REG_LVT(LVT_TIMER)), 0x100ff);
	wr(REG_LVT(LVT_LINT1), 0xffffffff);
	assert_int_equal(rd(REG_LVT(LVT_LINT1)), 0x1a7ff);
	wr(VLAPIC_ID, 0x55000000);
	assert_int_equal(rd(VLAPIC_ID), 3u << 24);
	wr(VLAPIC_VERSION, 1);
	assert_int_equal(rd(VLAPIC_VERSION), 0x50014);
	assert_int_equal(rd(VLAPIC_EOI), 0);

	/* Reserved registers read as 0 and make an error, known ones do not. */
	wr(VLAPIC_ESR, 0);
	assert_int_equal(rd(VLAPIC_ESR), 0);
	for (reg = 0; reg < 0x100; reg++) {
		bool known = (x2_access(reg) != '-' || reg == VLAPIC_APR ||
			      reg == VLAPIC_RRD || reg == VLAPIC_DFR ||
			      reg == VLAPIC_ICR_HIGH) && reg != VLAPIC_SELF_IPI;

		if (!known)
			assert_int_equal(rd(reg), 0);
		else
			rd(reg);
		wr(VLAPIC_ESR, 0);
		assert_int_equal(rd(VLAPIC_ESR), known ? 0 : 0x80);
		if (known)
			continue;
		wr(reg, 0x40);
		wr(VLAPIC_ESR, 0);
		assert_int_equal(rd(VLAPIC_ESR), 0x80);
	}
}

static void test_esr(void **state)
{
	(void)state;
	vlapic_accept(&la, 15, false);
	assert_int_equal(rd(VLAPIC_ESR), 0);	/* not until written */
	wr(VLAPIC_ESR, 0);
	assert_int_equal(rd(VLAPIC_ESR), 0x40);
	wr(VLAPIC_ICR, 0x40000 | 7);
	assert_int_equal(act.what, 0);
	wr(VLAPIC_ESR, 0xffffffff);
	assert_int_equal(rd(VLAPIC_ESR), 0x20);
	wr(VLAPIC_ESR, 0);
	assert_int_equal(rd(VLAPIC_ESR), 0);
	assert_int_equal(vlapic_pending(&la), -1);

	wr(REG_LVT(LVT_ERROR), 0x33);
	vlapic_accept(&la, 0, false);
	assert_int_equal(vlapic_ack(&la), 0x33);
	vlapic_eoi(&la);
	/* An error interrupt that is in error itself comes to an end. */
	wr(REG_LVT(LVT_ERROR), 0x3);
	wr(VLAPIC_ICR, 0x40000 | 7);
	wr(VLAPIC_ESR, 0);
	assert_int_equal(rd(VLAPIC_ESR), 0x60);
	assert_int_equal(vlapic_pending(&la), -1);
}

/* ---- priorities and delivery ---- */

static void test_every_vector(void **state)
{
	u32 v;

	(void)state;
	for (v = 16; v < 256; v++) {
		vlapic_accept(&la, v, v & 1);
		assert_int_equal(vlapic_pending(&la), v);
		assert_int_equal(rd(VLAPIC_IRR + v / 32), 1u << v % 32);
		assert_int_equal(rd(VLAPIC_TMR + v / 32) >> v % 32 & 1, v & 1);
		assert_int_equal(vlapic_ack(&la), v);
		assert_int_equal(rd(VLAPIC_IRR + v / 32), 0);
		assert_int_equal(rd(VLAPIC_ISR + v / 32), 1u << v % 32);
		assert_int_equal(rd(VLAPIC_PPR), v & 0xf0);
		check_sets();
		wr(VLAPIC_EOI, 0);
		assert_int_equal(act.what, v & 1 ? VLAPIC_EOI_OUT : 0);
		if (v & 1)
			assert_int_equal(act.eoi, v);
		assert_int_equal(rd(VLAPIC_PPR), 0);
		check_sets();
	}
}

static void test_nesting(void **state)
{
	(void)state;
	vlapic_accept(&la, 0x41, false);
	assert_int_equal(vlapic_ack(&la), 0x41);
	vlapic_accept(&la, 0x4f, false);	/* same class: waits */
	assert_int_equal(vlapic_pending(&la), -1);
	assert_int_equal(vlapic_ack(&la), -1);
	vlapic_accept(&la, 0x50, true);
	assert_int_equal(vlapic_ack(&la), 0x50);
	assert_int_equal(rd(VLAPIC_PPR), 0x50);
	assert_int_equal(rd(VLAPIC_APR), 0x40);
	assert_int_equal(vlapic_eoi(&la), 0x50);
	assert_int_equal(vlapic_pending(&la), -1);
	assert_int_equal(vlapic_eoi(&la), -1);
	assert_int_equal(vlapic_ack(&la), 0x4f);
	assert_int_equal(vlapic_eoi(&la), -1);
	assert_int_equal(vlapic_eoi(&la), -1);	/* nothing in service */
	assert_int_equal(rd(VLAPIC_PPR), 0);
}

static void test_tpr(void **state)
{
	(void)state;
	vlapic_set_tpr(&la, 5);
	assert_int_equal(rd(VLAPIC_TPR), 0x50);
	assert_int_equal(vlapic_tpr(&la), 5);
	vlapic_accept(&la, 0x5f, false);
	assert_int_equal(vlapic_pending(&la), -1);
	vlapic_accept(&la, 0x60, false);
	assert_int_equal(vlapic_pending(&la), 0x60);
	wr(VLAPIC_TPR, 0x68);
	assert_int_equal(vlapic_tpr(&la), 6);
	assert_int_equal(rd(VLAPIC_PPR), 0x68);
	assert_int_equal(vlapic_pending(&la), -1);
	wr(VLAPIC_TPR, 0x4f);
	assert_int_equal(vlapic_ack(&la), 0x60);
	assert_int_equal(rd(VLAPIC_PPR), 0x60);
	wr(VLAPIC_TPR, 0xff);
	assert_int_equal(rd(VLAPIC_PPR), 0xff);
	assert_int_equal(rd(VLAPIC_APR), 0xff);
	assert_int_equal(vlapic_eoi(&la), -1);
	vlapic_set_tpr(&la, 0x10);		/* bits above CR8's four */
	assert_int_equal(vlapic_ack(&la), 0x5f);
}

static void test_waiting_for_tpr(void **state)
{
	(void)state;
	assert_int_equal(vlapic_waiting(&la), -1);
	vlapic_set_tpr(&la, 15);
	vlapic_accept(&la, 0x41, false);
	assert_int_equal(vlapic_pending(&la), -1);
	assert_int_equal(vlapic_waiting(&la), 0x41);
	vlapic_set_tpr(&la, 3);
	assert_int_equal(vlapic_ack(&la), 0x41);
	vlapic_accept(&la, 0x4f, false);
	assert_int_equal(vlapic_waiting(&la), -1);
	vlapic_set_tpr(&la, 15);
	vlapic_accept(&la, 0x50, false);
	assert_int_equal(vlapic_waiting(&la), 0x50);
}

static void test_same_vector_again(void **state)
{
	(void)state;
	vlapic_accept(&la, 0x70, true);
	assert_int_equal(vlapic_ack(&la), 0x70);
	vlapic_accept(&la, 0x70, false);	/* now as an edge */
	vlapic_accept(&la, 0x70, false);
	assert_int_equal(vlapic_eoi(&la), -1);
	assert_int_equal(vlapic_ack(&la), 0x70);
	assert_int_equal(vlapic_pending(&la), -1);
}

static void test_lint(void **state)
{
	(void)state;
	wr(REG_LVT(LVT_LINT0), 0x10700);
	assert_false(vlapic_accepts_extint(&la));
	wr(REG_LVT(LVT_LINT0), 0x8700);
	assert_true(vlapic_accepts_extint(&la));
	wr(REG_LVT(LVT_LINT0), 0x30);
	assert_false(vlapic_accepts_extint(&la));
	wr(REG_LVT(LVT_LINT0), 0x700);
	assert_true(vlapic_accepts_extint(&la));
	wr(VLAPIC_SVR, 0xff);
	assert_false(vlapic_accepts_extint(&la));
}

/* ---- timer ---- */

static void test_timer_one_shot(void **state)
{
	(void)state;
	wr(VLAPIC_DCR, 0xb);			/* by 1 */
	wr(REG_LVT(LVT_TIMER), 0x40);
	wr(VLAPIC_TMICT, 500);
	assert_int_equal(act.what, VLAPIC_TIMER);
	assert_int_equal(vlapic_deadline(&la), 1500);
	assert_int_equal(rd(VLAPIC_TMCCT), 500);
	now = 1499;
	vlapic_timer_check(&la, now);
	assert_int_equal(rd(VLAPIC_TMCCT), 1);
	assert_int_equal(vlapic_pending(&la), -1);
	now = 1500;
	vlapic_timer_check(&la, now);
	assert_int_equal(rd(VLAPIC_TMCCT), 0);
	assert_int_equal(rd(VLAPIC_TMICT), 500);
	assert_int_equal(vlapic_ack(&la), 0x40);
	vlapic_eoi(&la);
	assert_int_equal(vlapic_deadline(&la), VLAPIC_NEVER);
	vlapic_timer_check(&la, ~0ull);
	assert_int_equal(vlapic_pending(&la), -1);
	wr(VLAPIC_TMICT, 500);
	wr(VLAPIC_TMICT, 0);			/* stops it */
	assert_int_equal(act.what, VLAPIC_TIMER);
	assert_int_equal(vlapic_deadline(&la), VLAPIC_NEVER);
}

static void test_timer_divisors(void **state)
{
	static const u8 code[8] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };
	u32 i;

	(void)state;
	for (i = 0; i < 8; i++) {
		wr(VLAPIC_DCR, code[i]);
		wr(VLAPIC_TMICT, 0xffffffff);
		assert_int_equal(vlapic_deadline(&la) - now,
				 0xffffffffull << i);
		now += 1 << i;
		assert_int_equal(rd(VLAPIC_TMCCT), 0xfffffffe);
	}
}

static void test_timer_new_divisor(void **state)
{
	(void)state;
	wr(VLAPIC_DCR, 0xb);
	wr(VLAPIC_TMICT, 1000);
	now += 600;
	wr(VLAPIC_DCR, 0);			/* by 2, with 400 to go */
	assert_int_equal(act.what, VLAPIC_TIMER);
	assert_int_equal(rd(VLAPIC_TMCCT), 400);
	assert_int_equal(vlapic_deadline(&la), now + 800);
	now += 10;
	assert_int_equal(rd(VLAPIC_TMCCT), 395);
}

/* Periods that a host cannot follow: fewer interrupts, in phase. */
static void test_timer_tiny_period(void **state)
{
	u64 start = now, due;
	u32 i;

	(void)state;
	vlapic_min_period = 1000;
	wr(VLAPIC_DCR, 0xb);
	wr(REG_LVT(LVT_TIMER), 0x40 | 1 << 17);
	wr(VLAPIC_TMICT, 7);
	for (i = 0; i < 20; i++) {
		due = vlapic_deadline(&la);
		assert_int_equal((due - start) % 7, 0);
		now = due + i % 5;
		vlapic_timer_check(&la, now);
		assert_true(vlapic_deadline(&la) >= due + (i ? 1000 - 7 : 0));
		assert_true(vlapic_deadline(&la) - now <= 1000 + 7);
		assert_true(vlapic_deadline(&la) - now > 990);
		assert_int_equal(rd(VLAPIC_TMCCT), 7 - (now - start) % 7);
	}
	vlapic_min_period = 0;
}

static void test_timer_periodic(void **state)
{
	(void)state;
	wr(VLAPIC_DCR, 0xb);
	wr(REG_LVT(LVT_TIMER), 0x20040);
	wr(VLAPIC_TMICT, 100);
	now = 1130;				/* 30 late */
	vlapic_timer_check(&la, now);
	assert_int_equal(vlapic_deadline(&la), 1200);	/* no drift */
	assert_int_equal(rd(VLAPIC_TMCCT), 70);
	assert_int_equal(vlapic_ack(&la), 0x40);
	assert_int_equal(vlapic_eoi(&la), -1);
	now = 1999;				/* missed many: one */
	vlapic_timer_check(&la, now);
	assert_int_equal(vlapic_deadline(&la), 2000);
	assert_int_equal(vlapic_ack(&la), 0x40);
	assert_int_equal(vlapic_eoi(&la), -1);
	assert_int_equal(vlapic_pending(&la), -1);
	now = 2000;
	vlapic_timer_check(&la, now);
	assert_int_equal(vlapic_deadline(&la), 2100);
	assert_int_equal(vlapic_ack(&la), 0x40);
	vlapic_eoi(&la);
	/* A write that finds a period over counts it first, and says so. */
	now = 2101;
	wr(VLAPIC_TPR, 0);
	assert_int_equal(act.what, VLAPIC_TIMER);
	assert_int_equal(vlapic_pending(&la), 0x40);
}

static void test_timer_masked(void **state)
{
	(void)state;
	wr(VLAPIC_DCR, 0xb);
	wr(REG_LVT(LVT_TIMER), 0x30040);
	wr(VLAPIC_TMICT, 100);
	now = 1150;
	vlapic_timer_check(&la, now);
	assert_int_equal(vlapic_pending(&la), -1);
	assert_int_equal(rd(VLAPIC_TMCCT), 50);
	wr(REG_LVT(LVT_TIMER), 0x20040);
	now = 1200;
	vlapic_timer_check(&la, now);
	assert_int_equal(vlapic_ack(&la), 0x40);
}

static void test_timer_deadline(void **state)
{
	(void)state;
	/* Outside its mode the MSR is 0 and cannot be written. */
	assert_false(vlapic_set_tsc_deadline(&la, 5000));
	assert_int_equal(vlapic_get_tsc_deadline(&la), 0);
	wr(VLAPIC_DCR, 0xb);
	wr(VLAPIC_TMICT, 100);
	wr(REG_LVT(LVT_TIMER), 0x40040);
	assert_int_equal(act.what, VLAPIC_TIMER);	/* disarmed */
	assert_int_equal(vlapic_deadline(&la), VLAPIC_NEVER);
	assert_true(vlapic_set_tsc_deadline(&la, 5000));
	assert_false(vlapic_set_tsc_deadline(&la, 5000));
	assert_int_equal(vlapic_get_tsc_deadline(&la), 5000);
	assert_int_equal(vlapic_deadline(&la), 5000);
	wr(VLAPIC_TMICT, 7);				/* ignored */
	assert_int_equal(act.what, 0);
	assert_int_equal(rd(VLAPIC_TMICT), 0);
	assert_int_equal(rd(VLAPIC_TMCCT), 0);
	vlapic_timer_check(&la, 4999);
	assert_int_equal(vlapic_pending(&la), -1);
	vlapic_timer_check(&la, 5000);
	assert_int_equal(vlapic_ack(&la), 0x40);
	assert_int_equal(vlapic_get_tsc_deadline(&la), 0);
	assert_int_equal(vlapic_deadline(&la), VLAPIC_NEVER);
	vlapic_eoi(&la);
	/* In the past: at once.  0: never.  Leaving the mode: disarmed. */
	assert_true(vlapic_set_tsc_deadline(&la, 1));
	vlapic_timer_check(&la, 5000);
	assert_int_equal(vlapic_ack(&la), 0x40);
	vlapic_set_tsc_deadline(&la, 9000);
	assert_true(vlapic_set_tsc_deadline(&la, 0));
	assert_int_equal(vlapic_deadline(&la), VLAPIC_NEVER);
	vlapic_set_tsc_deadline(&la, 9000);
	wr(REG_LVT(LVT_TIMER), 0x40);
	assert_int_equal(vlapic_deadline(&la), VLAPIC_NEVER);
	assert_int_equal(vlapic_get_tsc_deadline(&la), 0);
}

static void test_timer_tsc_moved(void **state)
{
	(void)state;
	wr(VLAPIC_DCR, 0xb);
	wr(REG_LVT(LVT_TIMER), 0x40);
	wr(VLAPIC_TMICT, 500);
	now = 1200;
	vlapic_tsc_moved(&la, -now);		/* TSC set to 0 */
	now = 0;
	assert_int_equal(rd(VLAPIC_TMCCT), 300);
	assert_int_equal(vlapic_deadline(&la), 300);
	vlapic_timer_check(&la, 300);
	assert_int_equal(vlapic_pending(&la), 0x40);
	wr(REG_LVT(LVT_TIMER), 0x40040);
	vlapic_set_tsc_deadline(&la, 700);
	vlapic_tsc_moved(&la, 1000);
	assert_int_equal(vlapic_deadline(&la), 700);
}

static void test_timer_illegal_vector(void **state)
{
	(void)state;
	wr(VLAPIC_DCR, 0xb);
	wr(REG_LVT(LVT_TIMER), 0x5);
	wr(VLAPIC_TMICT, 1);
	vlapic_timer_check(&la, now + 1);
	assert_int_equal(vlapic_pending(&la), -1);
	wr(VLAPIC_ESR, 0);
	assert_int_equal(rd(VLAPIC_ESR), 0x40);
}

/* ---- sending ---- */

static void test_icr_xapic(void **state)
{
	(void)state;
	wr(VLAPIC_ICR_HIGH, 0xa5ffffff);
	assert_int_equal(act.what, 0);
	assert_int_equal(rd(VLAPIC_ICR_HIGH), 0xa5000000);
	wr(VLAPIC_ICR, 0xfff33000 | 0x4800 | 0x41);
	assert_int_equal(rd(VLAPIC_ICR), 0x4841);
	assert_int_equal(act.what, VLAPIC_SEND);
	assert_int_equal(act.msg.vector, 0x41);
	assert_int_equal(act.msg.mode, APIC_FIXED);
	assert_int_equal(act.msg.dest, 0xa5);
	assert_true(act.msg.logical);
	assert_true(act.msg.assert);
	assert_false(act.msg.level);
	assert_false(act.msg.x2);
}

static void test_icr_x2(void **state)
{
	(void)state;
	wr(VLAPIC_ICR, 0x1234567800004641);
	assert_int_equal(act.what, VLAPIC_SEND);
	assert_int_equal(act.msg.vector, 0x41);
	assert_int_equal(act.msg.mode, APIC_STARTUP);
	assert_int_equal(act.msg.dest, 0x12345678);
	assert_true(act.msg.x2);
	assert_int_equal(rd(VLAPIC_ICR), 0x1234567800004641);
}

static void test_icr_modes(void **state)
{
	static const bool sent[8] = { 1, 1, 1, 0, 1, 1, 1, 0 };
	u32 mode;

	(void)state;
	for (mode = 0; mode < 8; mode++) {
		wr(VLAPIC_ICR, 0x4041 | mode << 8);
		assert_int_equal(act.what, sent[mode] ? VLAPIC_SEND : 0);
		wr(VLAPIC_ICR, 0xc4041 | mode << 8);	/* others */
		assert_int_equal(act.what, sent[mode] ? VLAPIC_SEND : 0);
		wr(VLAPIC_ICR, 0x84041 | mode << 8);	/* all */
		assert_int_equal(act.what, mode ? 0 : VLAPIC_SEND);
		wr(VLAPIC_ICR, 0x44041 | mode << 8);	/* self */
		assert_int_equal(act.what, 0);
		assert_int_equal(vlapic_ack(&la), mode ? -1 : 0x41);
		vlapic_eoi(&la);
	}
	/* INIT level de-assert: from another age. */
	wr(VLAPIC_ICR, 0x8500);
	assert_int_equal(act.what, 0);
	wr(VLAPIC_ICR, 0xc500);
	assert_int_equal(act.what, VLAPIC_SEND);
	/* NMI needs no vector. */
	wr(VLAPIC_ICR, 0x4400);
	assert_int_equal(act.what, VLAPIC_SEND);
}

static void test_self_ipi(void **state)
{
	(void)state;
	wr(VLAPIC_SELF_IPI, 0xf3);
	assert_int_equal(act.what, 0);
	assert_int_equal(vlapic_ack(&la), 0xf3);
	wr(VLAPIC_EOI, 0);
	assert_int_equal(act.what, 0);
	wr(VLAPIC_SELF_IPI, 0xf);
	assert_int_equal(vlapic_pending(&la), -1);
	wr(VLAPIC_ESR, 0);
	assert_int_equal(rd(VLAPIC_ESR), 0x20);
}

static void test_msi(void **state)
{
	struct vlapic_msg m;
	u32 mode;

	(void)state;
	assert_int_equal(vlapic_msi(0xfee05000, 0x4041, &m), 0);
	assert_int_equal(m.vector, 0x41);
	assert_int_equal(m.mode, APIC_FIXED);
	assert_int_equal(m.dest, 5);
	assert_false(m.logical);
	assert_false(m.level);
	assert_true(m.assert);
	assert_false(m.x2);
	assert_int_equal(m.shorthand, APIC_DEST);
	/* Extended destination: address bits 11:5. */
	assert_int_equal(vlapic_msi(0xfee12fe4, 0xc141, &m), 0);
	assert_int_equal(m.dest, 0x7f12);
	assert_true(m.logical);
	assert_true(m.level);
	assert_true(m.assert);
	assert_int_equal(m.mode, APIC_LOWEST);
	assert_int_equal(vlapic_msi(0xfee0100c, 0x8041, &m), 0);
	assert_int_equal(m.mode, APIC_LOWEST);	/* redirection hint */
	assert_false(m.assert);

	assert_int_equal(vlapic_msi(0xfed00000, 0x41, &m), -EINVAL);
	assert_int_equal(vlapic_msi(0xfef00000, 0x41, &m), -EINVAL);
	assert_int_equal(vlapic_msi(0x1fee00000, 0x41, &m), -EINVAL);
	assert_int_equal(vlapic_msi(0, 0x41, &m), -EINVAL);
	assert_int_equal(vlapic_msi(0xfee00000, BIT(32), &m), -EINVAL);
	for (mode = 0; mode < 8; mode++)
		assert_int_equal(vlapic_msi(0xfee00000, mode << 8 | 0x41, &m),
				 mode == 3 || mode == 6 ? -EINVAL : 0);
}

/* ---- destinations ---- */

#define CPUS	8

static struct vlapic cpu[CPUS];

static const struct vlapic *get(void *ctx, unsigned i)
{
	assert_ptr_equal(ctx, cpu);
	assert_true(i < CPUS);
	return i == 7 ? NULL : &cpu[i];
}

static u64 targets(struct vlapic_msg m, unsigned self)
{
	m.assert = true;
	return vlapic_targets(&m, self, CPUS, get, cpu);
}

static void start_cpus(bool x2)
{
	struct vlapic_action a;
	u32 i;

	for (i = 0; i < CPUS; i++) {
		vlapic_reset(&cpu[i], i, !i);
		vlapic_write(&cpu[i], VLAPIC_SVR, false, 0x1ff, 0, &a);
		vlapic_write(&cpu[i], VLAPIC_LDR, false, 1u << (24 + i), 0, &a);
		if (x2)
			vlapic_set_base(&cpu[i], MODE_X2);
	}
	/* 5: disabled by software, 6: off, 7: not there. */
	cpu[5].svr = 0xff;
	vlapic_set_base(&cpu[6], MODE_OFF);
}

static void test_targets_physical(void **state)
{
	u32 i;

	(void)state;
	start_cpus(false);
	for (i = 0; i < CPUS; i++) {
		assert_int_equal(targets((struct vlapic_msg){ .dest = i }, 0),
				 i < 5 ? 1 << i : 0);
		assert_int_equal(targets((struct vlapic_msg){ .dest = i,
					 .mode = APIC_NMI }, 0),
				 i < 6 ? 1 << i : 0);
	}
	assert_int_equal(targets((struct vlapic_msg){ .dest = 0xff }, 0), 0x1f);
	assert_int_equal(targets((struct vlapic_msg){ .dest = 0xff,
				 .mode = APIC_INIT }, 0), 0x3f);
	assert_int_equal(targets((struct vlapic_msg){ .dest = 0xff,
				 .x2 = true }, 0), 0);
	assert_int_equal(targets((struct vlapic_msg){ .dest = ~0u,
				 .x2 = true }, 0), 0x1f);
	assert_int_equal(targets((struct vlapic_msg){ .dest = 77 }, 0), 0);
	/* Ids that are not the indexes. */
	cpu[1].id = 40;
	cpu[2].id = 1;
	assert_int_equal(targets((struct vlapic_msg){ .dest = 1 }, 0), 4);
	assert_int_equal(targets((struct vlapic_msg){ .dest = 40 }, 0), 2);
	assert_int_equal(targets((struct vlapic_msg){ .dest = 2 }, 0), 0);
}

static void test_targets_shorthand(void **state)
{
	struct vlapic_msg m = { .dest = 3, .assert = true };

	(void)state;
	start_cpus(false);
	m.shorthand = APIC_SELF;
	assert_int_equal(vlapic_targets(&m, 2, CPUS, get, cpu), 4);
	m.shorthand = APIC_ALL;
	assert_int_equal(vlapic_targets(&m, 2, CPUS, get, cpu), 0x1f);
	m.shorthand = APIC_OTHERS;
	assert_int_equal(vlapic_targets(&m, 2, CPUS, get, cpu), 0x1b);
	m.mode = APIC_STARTUP;
	assert_int_equal(vlapic_targets(&m, 2, CPUS, get, cpu), 0x3b);
	m.assert = false;
	assert_int_equal(vlapic_targets(&m, 2, CPUS, get, cpu), 0);
}

static void test_targets_flat(void **state)
{
	struct vlapic_msg m = { .logical = true };

	(void)state;
	start_cpus(false);
	m.dest = 0x0a;
	assert_int_equal(targets(m, 0), 0x0a);
	m.dest = 0xff;
	assert_int_equal(targets(m, 0), 0x1f);
	m.dest = 0;
	assert_int_equal(targets(m, 0), 0);
	m.dest = 0x101;
	assert_int_equal(targets(m, 0), 0);
}

static void test_targets_cluster(void **state)
{
	struct vlapic_msg m = { .logical = true };
	u32 i;

	(void)state;
	start_cpus(false);
	for (i = 0; i < CPUS; i++) {
		cpu[i].dfr = 0x0fffffff;
		cpu[i].ldr = (i / 2) << 28 | 1u << (24 + i % 2);
	}
	m.dest = 0x13;
	assert_int_equal(targets(m, 0), 0x0c);
	m.dest = 0x02;
	assert_int_equal(targets(m, 0), 0x02);
	m.dest = 0xf1;			/* member 0 of all clusters */
	assert_int_equal(targets(m, 0), 0x15);
	m.dest = 0xff;
	assert_int_equal(targets(m, 0), 0x1f);
}

static void test_targets_x2_logical(void **state)
{
	struct vlapic_msg m = { .logical = true, .x2 = true };

	(void)state;
	start_cpus(true);
	cpu[4].id = 0x14;
	m.dest = 0x0000000a;
	assert_int_equal(targets(m, 0), 0x0a);
	m.dest = 0x00010010;
	assert_int_equal(targets(m, 0), 0x10);
	m.dest = 0x0001000f;
	assert_int_equal(targets(m, 0), 0);
	m.dest = 0xffffffff;
	assert_int_equal(targets(m, 0), 0x1f);
	/* Eight bits of an MSI are members of cluster 0. */
	m.x2 = false;
	m.dest = 0xff;
	assert_int_equal(targets(m, 0), 0x0f);
	m.logical = false;
	assert_int_equal(targets(m, 0), 0x1f);
}

static void test_targets_lowest(void **state)
{
	struct vlapic_msg m = { .logical = true, .mode = APIC_LOWEST };
	u64 seen = 0, one;
	u32 v;

	(void)state;
	start_cpus(false);
	m.dest = 0xff;
	for (v = 16; v < 256; v++) {
		m.vector = v;
		one = targets(m, 0);
		assert_true(one && !(one & (one - 1)));
		assert_int_equal(targets(m, 0), one);
		seen |= one;
	}
	assert_int_equal(seen, 0x1f);
	m.dest = 0x60;			/* only disabled ones */
	assert_int_equal(targets(m, 0), 0);
}

/* ---- export and import ---- */

/* What the CPU did to its copy is taken over; what it has not seen stays. */
static void test_take_back(void **state)
{
	const u64 irr[4] = { BIT(0x33), 0, BIT(1), 0 }, isr[4] = { 0, BIT(2), 0, 0 };
	const u64 none[4] = {};

	(void)state;
	vlapic_accept(&la, 0x50, false);
	assert_int_equal(vlapic_ack(&la), 0x50);
	vlapic_accept(&la, 0x95, false);
	vlapic_take_back(&la, irr, isr, 0x31);
	assert_int_equal(rd(VLAPIC_TPR), 0x31);
	assert_int_equal(rd(VLAPIC_PPR), 0x40);
	assert_int_equal(vlapic_pending(&la), 0x95);
	assert_int_equal(vlapic_ack(&la), 0x95);
	assert_int_equal(vlapic_eoi(&la), -1);
	assert_int_equal(vlapic_ack(&la), 0x81);
	assert_int_equal(vlapic_eoi(&la), -1);
	assert_int_equal(vlapic_eoi(&la), -1);		/* 0x42 */
	assert_int_equal(vlapic_pending(&la), -1);	/* TPR holds 0x33 back */
	vlapic_take_back(&la, none, none, 0);
	assert_int_equal(vlapic_ack(&la), 0x33);
	vlapic_take_back(&la, NULL, NULL, 0);
	assert_int_equal(rd(VLAPIC_PPR), 0);
	assert_int_equal(vlapic_eoi(&la), -1);
	assert_int_equal(la.irr.sum | la.isr.sum, 0);
}

static void test_export_import(void **state)
{
	struct joist_lapic page, again;
	struct vlapic other;
	bool x2 = x2_now();

	(void)state;
	vlapic_accept(&la, 0x41, true);
	vlapic_accept(&la, 0xfe, false);
	assert_int_equal(vlapic_ack(&la), 0xfe);
	vlapic_accept(&la, 2, false);
	wr(VLAPIC_TPR, 0x21);
	wr(VLAPIC_DCR, 0xb);
	wr(REG_LVT(LVT_TIMER), 0x20055);
	wr(VLAPIC_TMICT, 1000);
	wr(VLAPIC_ICR, 0x4041);
	now = 1100;
	memset(&page, 0xcc, sizeof(page));
	vlapic_export(&la, now, &page);
	assert_int_equal(page.regs[VLAPIC_ID], x2 ? 3 : 3u << 24);
	assert_int_equal(page.regs[VLAPIC_TMCCT], 900);
	assert_int_equal(page.regs[VLAPIC_ISR + 7], 1u << 30);
	assert_int_equal(page.timer_start, 1000);

	vlapic_reset(&other, 3, true);
	vlapic_set_base(&other, la.base);
	assert_int_equal(vlapic_import(&other, &page), 0);
	assert_memory_equal(&other.irr, &la.irr, sizeof(la.irr));
	assert_int_equal(vlapic_deadline(&other), 2000);
	vlapic_export(&other, now, &again);
	assert_memory_equal(page.regs, again.regs, sizeof(page.regs));
	la = other;
	wr(VLAPIC_ESR, 0);
	assert_int_equal(rd(VLAPIC_ESR), 0x40);
	assert_int_equal(vlapic_eoi(&la), -1);
	assert_int_equal(vlapic_ack(&la), 0x41);
	assert_int_equal(vlapic_eoi(&la), 0x41);
}

static void test_import_timer(void **state)
{
	struct joist_lapic page;

	(void)state;
	wr(VLAPIC_DCR, 0xb);
	wr(REG_LVT(LVT_TIMER), 0x40);
	wr(VLAPIC_TMICT, 1000);
	vlapic_timer_check(&la, 3000);		/* over */
	vlapic_export(&la, 3000, &page);
	start(NULL);
	assert_int_equal(vlapic_import(&la, &page), 0);
	assert_int_equal(vlapic_deadline(&la), VLAPIC_NEVER);
	assert_int_equal(vlapic_pending(&la), 0x40);

	start(NULL);
	wr(VLAPIC_DCR, 0xb);
	wr(REG_LVT(LVT_TIMER), 0x40);
	wr(VLAPIC_TMICT, 1000);
	vlapic_export(&la, 3000, &page);	/* due, not yet seen to be */
	start(NULL);
	assert_int_equal(vlapic_import(&la, &page), 0);
	vlapic_timer_check(&la, 3000);
	assert_int_equal(vlapic_pending(&la), 0x40);

	start(NULL);
	wr(REG_LVT(LVT_TIMER), 0x40040);
	vlapic_set_tsc_deadline(&la, 12345);
	vlapic_export(&la, 3000, &page);
	assert_int_equal(page.timer_deadline, 12345);
	start(NULL);
	assert_int_equal(vlapic_import(&la, &page), 0);
	assert_int_equal(vlapic_get_tsc_deadline(&la), 12345);
	assert_int_equal(vlapic_deadline(&la), 12345);
}

static void refuse(const struct joist_lapic *good, u32 reg, u32 flip)
{
	struct joist_lapic page = *good;
	struct vlapic before = la;

	page.regs[reg] ^= flip;
	assert_int_equal(vlapic_import(&la, &page), -EINVAL);
	assert_memory_equal(&la, &before, sizeof(la));
}

static void test_import_refuses(void **state)
{
	struct joist_lapic page;

	(void)state;
	wr(REG_LVT(LVT_LINT1), 0x400);
	vlapic_export(&la, now, &page);
	assert_int_equal(vlapic_import(&la, &page), 0);
	refuse(&page, VLAPIC_ID, 0x01000000);
	refuse(&page, VLAPIC_VERSION, 1);
	refuse(&page, VLAPIC_TPR, 0x100);
	refuse(&page, VLAPIC_SVR, 0x1000);
	refuse(&page, VLAPIC_SVR, 0x100);	/* disabled, LINT1 open */
	refuse(&page, VLAPIC_ESR, 1);
	refuse(&page, VLAPIC_RRD, 1);
	refuse(&page, VLAPIC_ISR, 0x8000);
	refuse(&page, VLAPIC_IRR, 1);
	refuse(&page, REG_LVT(LVT_TIMER), 0x60000);
	refuse(&page, REG_LVT(LVT_ERROR), 0x100);
	refuse(&page, VLAPIC_DCR, 4);
	refuse(&page, VLAPIC_LDR, 1);
	refuse(&page, VLAPIC_DFR, 1);
	page.icr = BIT(20);
	assert_int_equal(vlapic_import(&la, &page), -EINVAL);
	page.icr = BIT(32);
	assert_int_equal(vlapic_import(&la, &page), -EINVAL);
}

#define TEST(f)		cmocka_unit_test_setup(f, start)
#define TEST_X2(f)	{ #f " (x2APIC)", f, start_x2, NULL, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reset),
		TEST(test_init_keeps_id_and_mode),
		TEST(test_base_transitions),
		TEST(test_base_reserved),
		TEST(test_hardware_disable),
		TEST(test_software_disable), TEST_X2(test_software_disable),
		TEST_X2(test_x2_register_space),
		TEST_X2(test_x2_reserved_bits),
		TEST(test_x2_needs_the_mode),
		TEST(test_x2_ldr),
		TEST(test_xapic_reserved),
		TEST(test_esr),
		TEST(test_every_vector), TEST_X2(test_every_vector),
		TEST(test_nesting),
		TEST(test_tpr), TEST(test_waiting_for_tpr),
		TEST_X2(test_same_vector_again),
		TEST(test_lint), TEST_X2(test_lint),
		TEST(test_timer_one_shot), TEST_X2(test_timer_one_shot),
		TEST(test_timer_divisors), TEST_X2(test_timer_divisors),
		TEST(test_timer_new_divisor),
		TEST(test_timer_periodic), TEST_X2(test_timer_periodic),
		TEST(test_timer_tiny_period),
		TEST(test_timer_masked),
		TEST(test_timer_deadline), TEST_X2(test_timer_deadline),
		TEST(test_timer_tsc_moved),
		TEST(test_timer_illegal_vector),
		TEST(test_icr_xapic),
		TEST_X2(test_icr_x2),
		TEST(test_icr_modes), TEST_X2(test_icr_modes),
		TEST_X2(test_self_ipi),
		TEST(test_msi),
		TEST(test_targets_physical),
		TEST(test_targets_shorthand),
		TEST(test_targets_flat),
		TEST(test_targets_cluster),
		TEST(test_targets_x2_logical),
		TEST(test_targets_lowest),
		TEST(test_take_back), TEST_X2(test_take_back),
		TEST(test_export_import), TEST_X2(test_export_import),
		TEST(test_import_timer),
		TEST(test_import_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
