/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random.c -- every call with boundary values in every field, and then with
 * random ones: the result is 0 or an error that the interface knows, and
 * afterwards all still works.
 */
#include "guests/selftest/cases/case.h"

static struct vm vm, other;

static bool known(s64 ret)
{
	static const u8 errors[] = {
		EPERM, ENOENT, EAGAIN, ENOMEM, EFAULT, EBUSY, EEXIST, EINVAL,
		ENOSPC, ERANGE, ENOSYS, E2BIG,
	};
	u32 i;

	if (ret >= 0)
		return ret < 4096;
	for (i = 0; i < ARRAY_SIZE(errors); i++)
		if (ret == -(s64)errors[i])
			return true;
	return false;
}

/* Calls that could go on for long are cut by the timer. */
static void call(u32 nr, void *block)
{
	u8 before[64];
	s64 ret;

	memcpy(before, block, sizeof(before));
	timer_arm(rdtsc() + us(300));
	ret = hc_block(nr, block, hc_size(nr));
	irq_window();
	CHECK(known(ret), "%s gives %ld (block 0x%lx 0x%lx 0x%lx 0x%lx "
	      "0x%lx)", hc_name(nr), ret, *(u64 *)before,
	      *(u64 *)(before + 8), *(u64 *)(before + 16),
	      *(u64 *)(before + 24), *(u64 *)(before + 32));
}

static void still_works(void)
{
	static struct vm fresh;
	struct joist_vm v = { 0 };
	s64 ret = HC(HC_VERIFY, &v);

	CHECK(!ret || (!hc_debug && ret == -ENOSYS), "VERIFY gives %ld", ret);
	vm_new(&fresh, "fresh", 1, GUEST_RAM);
	vm_payload(&fresh, 0, PL_hello);
	run_done(&fresh, 0);
	vm_destroy(fresh.id);
}

/* Two VMs to be abused: destroyed ones are made anew. */
static void victims(void)
{
	struct joist_info info = { 0 };
	bool a = false, b = false;
	static u32 spare[JOIST_MAX_VMS];
	u32 spares = 0;

	while (!HC(HC_INFO, &info)) {
		if (info.head.vm == vm.id && !info.state)
			a = info.memsegs;
		else if (info.head.vm == other.id && !info.state)
			b = info.memsegs;
		else
			spare[spares++] = info.head.vm;
		info.head.vm = 0;
	}
	/* The ones random calls have made, and the broken ones. */
	if (!a && vm.id)
		spare[spares++] = vm.id;
	if (!b && other.id)
		spare[spares++] = other.id;
	while (spares) {
		struct joist_vm v = { .head = { spare[--spares], 0 } };
		s64 ret;

		do
			ret = HC(HC_DESTROY, &v);
		while (ret == -EAGAIN);
		CHECK(!ret || ret == -ENOENT, "DESTROY gives %ld", ret);
	}
	if (!a)
		vm_new(&vm, "victim-a", 2, GUEST_RAM);
	if (!b)
		vm_new(&other, "victim-b", 1, GUEST_RAM);
}

static const u64 edges[] = {
	0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 4095,
	4096, 4097, 0x7fff, 0x8000, 0xffff, 0x10000, 0xfffff, 0x100000,
	0x7fffffff, 0x80000000, 0xfee00000, 0xfffff000, 0xffffffff,
	0x100000000, 0xffffffffff, 0x10000000000, 0xffffffffffff,
	0x7ffffffffffff000, 0x7fffffffffffffff, 0x8000000000000000,
	0x8000000000000001, 0xfffffffffffff000, 0xffffffffffffffff,
};

/* A block of this call that could be right. */
static void plausible(u32 nr, u8 *block)
{
	struct joist_head *h = (struct joist_head *)block;

	memset(block, 0, 4096);
	if (nr >= HC_DESTROY && nr != HC_INFO && nr != HC_LOG &&
	    nr != HC_VERIFY)
		h->vm = random32() & 1 ? vm.id : other.id;
	switch (nr) {
	case HC_CREATE:
		((struct joist_create *)block)->vcpus = 1 + random32() % 3;
		format(((struct joist_create *)block)->name, JOIST_NAME_LEN,
		       "r%u", random32() % 50);
		break;
	case HC_RESETCPU:
	case HC_READREGS:
	case HC_WRITEREGS: {
		struct joist_regs_args a = {
			.head = *h, .mask = JOIST_REGS_ALL,
		};

		/* Start from what is there. */
		if (!HC(HC_READREGS, &a))
			memcpy(block, &a, sizeof(a));
		break;
	}
	case HC_READXSTATE:
	case HC_WRITEXSTATE: {
		struct joist_xstate x = {
			.head = *h, .size = caps.xstate_size,
		};

		if (!HC(HC_READXSTATE, &x))
			memcpy(block, &x, sizeof(x));
		break;
	}
	case HC_READLAPIC:
	case HC_WRITELAPIC: {
		struct joist_lapic l = { .head = *h };

		if (!HC(HC_READLAPIC, &l))
			memcpy(block, &l, sizeof(l));
		break;
	}
	case HC_INTR:
		((struct joist_intr *)block)->type = random32() %
						     JOIST_INTR_TYPES;
		((struct joist_intr *)block)->vector = random32() % 256;
		((struct joist_intr *)block)->msi_address = 0xfee00000;
		break;
	case HC_READVMPARAMS:
	case HC_WRITEVMPARAMS:
		((struct joist_vmparam_args *)block)->param = random32() %
							      JOIST_PARAMS;
		break;
	case HC_MEMSEG_ALLOC:
	case HC_MEMSEG_FREE:
	case HC_MEMSEG_MAP:
	case HC_MEMSEG_UNMAP:
	case HC_MEMSEG_PROTECT:
	case HC_MEMSEG_QUERY: {
		struct joist_memseg *m = (struct joist_memseg *)block;

		m->seg = random32() % JOIST_MAX_MEMSEGS;
		if (nr == HC_MEMSEG_ALLOC) {
			m->gpa = MiB + random32() % 64 * 64 * KiB;
			m->size = (1 + random32() % 32) * PAGE_SIZE;
		}
		if (nr == HC_MEMSEG_PROTECT)
			m->flags = random32() % 4;
		break;
	}
	case HC_MEMSEG_DROP:
	case HC_MEMSEG_FILL: {
		struct joist_pages *p = (struct joist_pages *)block;
		u32 i;

		p->seg = random32() % 3;
		p->ranges = random32() % 8;
		for (i = 0; i < p->ranges; i++) {
			p->range[i].page = random32() % 40;
			p->range[i].count = random32() % 8;
		}
		break;
	}
	}
}

/* RUN with what was let through: a state that is accepted can be entered. */
static void enter(u8 *block, u32 nr, u32 off, u64 val)
{
	struct joist_run_args *a = (struct joist_run_args *)block;
	struct joist_head head = a->head;
	volatile struct joist_run *run;

	plausible(HC_RUN, block);
	a->head = head;
	call(HC_RUN, block);
	if (a->exit != JOIST_EXIT_ERROR)
		return;
	run = (a->head.vm == vm.id ? &vm : &other)->run[a->head.vcpu];
	CHECK(run->error.code != JOIST_ERR_ENTRY, "%s of 0x%lx at offset %u "
	      "leaves a state that cannot be entered", hc_name(nr), val, off);
}

/* Every field of every call takes every edge, alone. */
static void random_edges(void)
{
	u8 block[4096] __aligned(8);
	u32 nr, off, e, n = 0;
	size_t limit;

	for (nr = 0; nr < HC_COUNT; nr++) {
		if (nr == HC_VERIFY)
			continue;
		if (option_number("verbose", 0))
			print("# %s\n", hc_name(nr));
		/* The data of xstate and log are not arguments. */
		limit = hc_size(nr);
		if (nr == HC_LOG)
			limit = offsetof(struct joist_log, text);
		if (nr == HC_READXSTATE || nr == HC_WRITEXSTATE)
			limit = 16 + 600;
		for (off = 0; off < limit; off += 4) {
			/* The large blocks take every third, another third
			 * in each field. */
			e = limit > 512 ? off / 4 % 3 : 0;
			for (; e < ARRAY_SIZE(edges);
			     e += limit > 512 ? 3 : 1) {
				if (n++ % 64 == 0)
					victims();
				plausible(nr, block);
				memcpy(block + off, &edges[e],
				       off % 8 || off + 8 > hc_size(nr) ? 4 : 8);
				if (option_number("verbose", 0) > 1)
					print("# %s %u: 0x%lx\n",
					      hc_name(nr), off, edges[e]);
				call(nr, block);
				if (nr == HC_WRITEREGS || nr == HC_RESETCPU ||
				    nr == HC_WRITELAPIC ||
				    nr == HC_WRITEXSTATE)
					enter(block, nr, off, edges[e]);
			}
		}
		still_works();
	}
}

static void random_calls(void)
{
	u8 block[4096] __aligned(8);
	u64 n, count = option_number("random", 100000), done[HC_COUNT] = { 0 };
	u32 nr, i, k, off;
	s64 ret;

	for (n = 0; n < count; n++) {
		if (n % 128 == 0)
			victims();
		if (n % 8192 == 0)
			still_works();
		nr = random32() % HC_COUNT;
		if (nr == HC_VERIFY)
			continue;
		done[nr]++;
		switch (random32() % 8) {
		case 0:			/* pure noise */
			for (i = 0; i < 512; i++)
				((u64 *)block)[i] = random64();
			break;
		case 1:			/* noise about a real VM */
			for (i = 0; i < 512; i++)
				((u64 *)block)[i] = random64();
			((struct joist_head *)block)->vm = vm.id;
			((struct joist_head *)block)->vcpu = random32() % 3;
			break;
		case 2:			/* no block at all */
			ret = hc_raw(nr, random64());
			CHECK(known(ret) && ret < 0, "%s with a random block "
			      "address gives %ld", hc_name(nr), ret);
			continue;
		case 3:			/* as it should be */
			plausible(nr, block);
			break;
		default:		/* a few fields wrong */
			plausible(nr, block);
			for (k = 1 + random32() % 3; k; k--) {
				off = random32() % (hc_size(nr) / 4) * 4;
				if (random32() & 1)
					*(u32 *)(block + off) = random32();
				else
					*(u32 *)(block + off) = (u32)edges[
						random32() %
						ARRAY_SIZE(edges)];
			}
		}
		/* A segment so large that its zeroing takes seconds proves
		 * nothing more. */
		if (nr == HC_MEMSEG_ALLOC &&
		    ((struct joist_memseg *)block)->size > 16 * MiB &&
		    ((struct joist_memseg *)block)->size <= caps.pool_total)
			((struct joist_memseg *)block)->size = PAGE_SIZE;
		call(nr, block);
	}
	still_works();
}

const struct tcase cases_random[] = {
	{ "random/edges", random_edges, 0 },
	{ "random/calls", random_calls, 0 },
	{ 0 },
};
