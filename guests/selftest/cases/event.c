/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event.c -- INTR in all its types, when events arrive, what is refused.
 */
#include "guests/selftest/cases/case.h"

static struct vm vm;

static void intr(u32 vcpu, u32 type, u32 vector)
{
	s64 ret = vm_intr(&vm, vcpu, type, vector);

	CHECK(!ret, "INTR of type %u, vector 0x%x gives %ld", type, vector,
	      ret);
}

static void event_refused(void)
{
	static const struct {
		u32 type, vector, flags;
	} bad[] = {
		{ JOIST_INTR_TYPES, 0x50, 0 }, { 0xffffffff, 0x50, 0 },
		{ JOIST_INTR_FIXED, 0, 0 }, { JOIST_INTR_FIXED, 15, 0 },
		{ JOIST_INTR_FIXED, 256, 0 },
		{ JOIST_INTR_FIXED, 0xffffffff, 0 },
		{ JOIST_INTR_FIXED, 0x150, 0 }, { JOIST_INTR_LEVEL, 15, 0 },
		{ JOIST_INTR_LEVEL, 256, 0 }, { JOIST_INTR_EXTINT, 256, 0 },
		{ JOIST_INTR_EXCEPTION, 2, 0 }, { JOIST_INTR_EXCEPTION, 9, 0 },
		{ JOIST_INTR_EXCEPTION, 15, 0 }, { JOIST_INTR_EXCEPTION, 20, 0 },
		{ JOIST_INTR_EXCEPTION, 31, 0 }, { JOIST_INTR_EXCEPTION, 32, 0 },
		{ JOIST_INTR_EXCEPTION, 0xffffffff, 0 },
		{ JOIST_INTR_FIXED, 0x50, JOIST_INTR_ERROR << 1 },
		{ JOIST_INTR_NMI, 0, 0x80000000 },
	};
	u32 i;
	s64 ret;

	vm_new(&vm, "refused", 1, GUEST_RAM);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct joist_intr in = {
			.type = bad[i].type, .vector = bad[i].vector,
			.flags = bad[i].flags,
		};

		ret = vm_intr_full(&vm, &in);
		CHECK(ret == -EINVAL, "type 0x%x vector 0x%x flags 0x%x gives "
		      "%ld", bad[i].type, bad[i].vector, bad[i].flags, ret);
	}
	vm_payload(&vm, 0, PL_hello);
	run_done(&vm, 0);
}

static void window(bool x2)
{
	u32 i;

	vm_new(&vm, "window", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = x2;
	vm_payload(&vm, 0, PL_window);
	for (i = 0; i < 20; i++) {
		want_sync(&vm, 0, i);
		intr(0, JOIST_INTR_FIXED, 0x51);
		want_sync(&vm, 0, 100 + i);
		intr(0, JOIST_INTR_FIXED, 0x52);
	}
	run_done(&vm, 0);
}

static void event_window(void)
{
	window(false);
}

static void event_window_x2(void)
{
	window(true);
}

static void event_nmi(void)
{
	u32 i, j;

	vm_new(&vm, "nmi", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_nmi);
	for (i = 0; i < 10; i++) {
		want_sync(&vm, 0, i);
		intr(0, JOIST_INTR_NMI, 0);
		want_sync(&vm, 0, 1000);
		for (j = 0; j < 3; j++)
			intr(0, JOIST_INTR_NMI, 0);
	}
	want_sync(&vm, 0, 100);
	want_exit(&vm, 0, JOIST_EXIT_HALTED);
	vm.wake = 0;
	intr(0, JOIST_INTR_NMI, 0);
	CHECK(vm.wake & 1, "an NMI to a halted vCPU wakes nobody");
	run_done(&vm, 0);
}

static void event_exception(void)
{
	static const struct {
		u32 vector, flags, error;
		u64 cr2;
	} list[] = {
		{ X_GP, JOIST_INTR_ERROR, 0x1238, 0 },
		{ X_UD, 0, 0, 0 },
		{ X_PF, JOIST_INTR_ERROR, 2, 0x123456789000 },
		{ X_DE, 0, 0, 0 },
		{ X_AC, JOIST_INTR_ERROR, 0, 0 },
		{ X_NP, JOIST_INTR_ERROR, 0xfff8, 0 },
		{ X_XM, 0, 0, 0 },
		{ X_BR, 0, 0, 0 },
	};
	struct gshare *s;
	struct joist_regs r;
	u32 i;
	s64 ret;

	vm_new(&vm, "exception", 1, GUEST_RAM);
	s = vm_share(&vm);
	s->arg[0] = ARRAY_SIZE(list);
	vm_payload(&vm, 0, PL_inject);
	for (i = 0; i < ARRAY_SIZE(list); i++) {
		struct joist_intr in = {
			.type = JOIST_INTR_EXCEPTION,
			.vector = list[i].vector, .flags = list[i].flags,
			.error = list[i].error,
		};
		u64 rip;

		want_sync(&vm, 0, i);
		if (list[i].cr2) {
			regs_read(&vm, 0, JOIST_REGS_CR, &r);
			r.cr2 = list[i].cr2;
			regs_write(&vm, 0, JOIST_REGS_CR, &r);
		}
		rip = vm.run[0]->rip;
		ret = vm_intr_full(&vm, &in);
		CHECK(!ret, "INTR of exception %u gives %ld", list[i].vector,
		      ret);
		ret = vm_intr_full(&vm, &in);
		CHECK(ret == -EBUSY, "a second exception gives %ld", ret);
		want_sync(&vm, 0, 100 + i);
		CHECK_EQ(s->val[0], list[i].vector, "vector");
		CHECK_EQ(s->val[1], list[i].error, "error code");
		/* Behind the OUT, whose work was done. */
		CHECK(s->val[2] > rip && s->val[2] <= rip + 3, "exception %u "
		      "came at 0x%lx, the OUT was at 0x%lx", list[i].vector,
		      s->val[2], rip);
		if (list[i].cr2)
			CHECK_EQ(s->val[3], list[i].cr2, "CR2");
	}
	run_done(&vm, 0);
}

/* The same through the event field of WRITEREGS. */
static void event_regs(void)
{
	struct gshare *s;
	struct joist_regs r;

	vm_new(&vm, "event-regs", 1, GUEST_RAM);
	s = vm_share(&vm);
	s->arg[0] = 1;
	vm_payload(&vm, 0, PL_inject);
	want_sync(&vm, 0, 0);
	regs_read(&vm, 0, JOIST_REGS_EVENT, &r);
	CHECK_EQ(r.event & JOIST_EVENT_VALID, 0, "event before any");
	r.event = JOIST_EVENT_VALID | JOIST_EVENT_ERROR |
		  JOIST_EVENT_TYPE(3) | X_GP;
	r.event_error = 0x4568;
	regs_write(&vm, 0, JOIST_REGS_EVENT, &r);
	r.event = r.event_error = 0;
	regs_read(&vm, 0, JOIST_REGS_EVENT, &r);
	CHECK_EQ(r.event, JOIST_EVENT_VALID | JOIST_EVENT_ERROR |
		 JOIST_EVENT_TYPE(3) | X_GP, "event");
	CHECK_EQ(r.event_error, 0x4568, "event_error");
	want_sync(&vm, 0, 100);
	CHECK_EQ(s->val[0], X_GP, "vector");
	CHECK_EQ(s->val[1], 0x4568, "error code");
	run_done(&vm, 0);
}

static void give_interrupt(struct joist_regs *r, u32 mask, u32 vector)
{
	r->event = JOIST_EVENT_VALID | vector;
	r->event_error = 0;
	regs_write(&vm, 0, mask | JOIST_REGS_EVENT, r);
	r->event = 0;
	regs_read(&vm, 0, JOIST_REGS_EVENT, r);
	CHECK_EQ(r->event, JOIST_EVENT_VALID | vector, "event");
}

/* An external interrupt waits for IF. */
static void event_held_back(void)
{
	struct joist_regs r;
	u32 i;

	vm_new(&vm, "held-back", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_window);
	for (i = 0; i < 20; i++) {
		want_sync(&vm, 0, i);
		regs_read(&vm, 0, JOIST_REGS_EVENT, &r);
		give_interrupt(&r, 0, 0x51);
		want_sync(&vm, 0, 100 + i);
		regs_read(&vm, 0, JOIST_REGS_EVENT, &r);
		give_interrupt(&r, 0, 0x52);
	}
	run_done(&vm, 0);
}

/* It waits for the end of a shadow, and no longer. */
static void event_held_back_shadow(void)
{
	static const u32 shadows[] = { 0, JOIST_SHADOW_STI, JOIST_SHADOW_MOVSS };
	struct joist_regs r;
	u32 i;

	vm_new(&vm, "held-back-shadow", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = ARRAY_SIZE(shadows);
	vm_payload(&vm, 0, PL_inject);
	for (i = 0; i < ARRAY_SIZE(shadows); i++) {
		want_sync(&vm, 0, i);
		regs_read(&vm, 0, JOIST_REGS_ALL, &r);
		r.rflags |= RFLAGS_IF;
		r.interruptibility = shadows[i];
		give_interrupt(&r, JOIST_REGS_GPR, 0x53);
		want_sync(&vm, 0, 100 + i);
		CHECK_EQ(vm_share(&vm)->val[4], i + 1, "interrupts");
		regs_read(&vm, 0, JOIST_REGS_EVENT, &r);
		CHECK_EQ(r.event, 0, "event after it was delivered");
	}
	run_done(&vm, 0);
}

static s64 msi(u32 vcpu, u64 address, u64 data)
{
	struct joist_intr in = {
		.head = { 0, vcpu }, .type = JOIST_INTR_MSI,
		.msi_address = address, .msi_data = data,
	};

	return vm_intr_full(&vm, &in);
}

static void event_msi(bool x2)
{
	static const struct {
		u64 address, data;
		u32 vector;		/* 0: must not arrive */
		bool x2_differs;
	} list[] = {
		{ 0xfee00000, 0x41, 0x41, false },	/* physical, id 0 */
		{ 0xfee01000, 0x42, 0, false },		/* id 1: nobody */
		{ 0xfeeff000, 0x43, 0x43, true },	/* everybody */
		{ 0xfee04004, 0x44, 0x44, true },	/* logical, flat */
		{ 0xfee02004, 0x45, 0, true },		/* logical, not us */
		{ 0xfee04008, 0x46, 0, false },		/* id 4: nobody */
		{ 0xfee0000c, 0x147, 0, true },		/* lowest, nobody */
		{ 0xfee0400c, 0x148, 0x48, true },	/* lowest priority */
		{ 0xfee00020, 0x49, 0, false },		/* extended id 0x100 */
		{ 0xfee00000, 0xc04a, 0x4a, false },	/* level, asserted */
	};
	struct gshare *s;
	u32 i, want[64] = { 0 };
	s64 ret;

	vm_new(&vm, "msi", 1, GUEST_RAM);
	s = vm_share(&vm);
	s->arg[0] = x2;
	s->arg[3] = ARRAY_SIZE(list);
	vm_payload(&vm, 0, PL_apic_msi);
	for (i = 0; i < ARRAY_SIZE(list); i++) {
		want_sync(&vm, 0, i);
		ret = msi(0, list[i].address, list[i].data);
		CHECK(!ret, "MSI 0x%lx 0x%lx gives %ld", list[i].address,
		      list[i].data, ret);
		if (x2 && list[i].x2_differs)
			continue;
		if (list[i].vector)
			want[list[i].vector - 0x40]++;
	}
	for (;;) {
		u32 exit = run_user(&vm, 0);

		if (exit == JOIST_EXIT_EOI) {
			CHECK_EQ(vm.run[0]->eoi.vector, 0x4a, "EOI vector");
			continue;
		}
		CHECK(exit == JOIST_EXIT_IO && vm.run[0]->io.port == DONE_PORT,
		      "exit %s", exit_name(exit));
		break;
	}
	for (i = 0; i < 64; i++)
		CHECK(s->val[i] == want[i] ||
		      (x2 && (BITS(8, 7) | BITS(5, 3)) & BIT(i)),
		      "vector 0x%x came %lu times, want %u", 0x40 + i,
		      s->val[i], want[i]);
	/* Not MSI addresses, vectors that cannot be. */
	ret = msi(0, 0xfed00000, 0x41);
	CHECK(ret == -EINVAL, "MSI to 0xfed00000 gives %ld", ret);
	ret = msi(0, 0x1fee00000, 0x41);
	CHECK(ret == -EINVAL || !ret, "MSI to 0x1fee00000 gives %ld", ret);
	ret = msi(0, 0, 0x41);
	CHECK(ret == -EINVAL, "MSI to 0 gives %ld", ret);
	ret = msi(0, 0xfee00000, 5);
	CHECK(ret == -EINVAL || !ret, "MSI of vector 5 gives %ld", ret);
}

static void event_msi_x(void)
{
	event_msi(false);
}

static void event_msi_x2(void)
{
	event_msi(true);
}

static void level(bool x2)
{
	u32 i;

	vm_new(&vm, "level", 1, GUEST_RAM);
	vm_share(&vm)->arg[0] = x2;
	vm_payload(&vm, 0, PL_apic_level);
	for (i = 0; i < 10; i++) {
		want_sync(&vm, 0, i);
		intr(0, JOIST_INTR_LEVEL, 0x55);
		want_exit(&vm, 0, JOIST_EXIT_EOI);
		CHECK_EQ(vm.run[0]->eoi.vector, 0x55, "EOI vector");
		want_sync(&vm, 0, 100 + i);
		intr(0, JOIST_INTR_FIXED, 0x56);
	}
	run_done(&vm, 0);
}

static void event_level(void)
{
	level(false);
}

static void event_level_x2(void)
{
	level(true);
}

/* As a user-space 8259 does it: the flag asks, the exit says now. */
static void extint_give(u32 vector)
{
	vm.run[0]->flags = JOIST_RUN_EXTINT;
	want_exit(&vm, 0, JOIST_EXIT_EXTINT);
	vm.run[0]->flags = 0;
	intr(0, JOIST_INTR_EXTINT, vector);
	CHECK_EQ(vm_intr(&vm, 0, JOIST_INTR_EXTINT, vector), -EBUSY,
		 "a second ExtINT");
}

static void event_extint(void)
{
	u32 i;
	s64 ret;

	vm_new(&vm, "extint", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_apic_extint);
	for (i = 0; i < 5; i++) {
		want_sync(&vm, 0, 2 * i);
		ret = vm_intr(&vm, 0, JOIST_INTR_EXTINT, 0x28);
		CHECK(ret < 0, "ExtINT before its exit works");
		extint_give(0x28);
		want_sync(&vm, 0, 2 * i + 1);
		extint_give(0x29);
	}
	want_sync(&vm, 0, 100);
	vm.run[0]->flags = JOIST_RUN_EXTINT;
	run_done(&vm, 0);
}

const struct tcase cases_event[] = {
	{ "event/refused", event_refused, 0 },
	{ "event/window", event_window, 0 },
	{ "event/window-x2apic", event_window_x2, 0 },
	{ "event/nmi", event_nmi, 0 },
	{ "event/exception", event_exception, 0 },
	{ "event/writeregs", event_regs, 0 },
	{ "event/held-back", event_held_back, 0 },
	{ "event/held-back-shadow", event_held_back_shadow, 0 },
	{ "event/msi", event_msi_x, 0 },
	{ "event/msi-x2apic", event_msi_x2, 0 },
	{ "event/level", event_level, 0 },
	{ "event/level-x2apic", event_level_x2, 0 },
	{ "event/extint", event_extint, 0 },
	{ 0 },
};
