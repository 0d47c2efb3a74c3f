/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * work.c -- no call keeps interrupts off for long, in the worst case.
 *
 * Where a tick of the TSC is an executed instruction (QEMU's -icount, Bochs
 * with one core) the longest call of each kind is known; it includes all those
 * that cases before these have made.  Nothing here looks at time.
 */
#include "guests/selftest/cases/case.h"

#define LIMIT		200000u		/* instructions of one call */
#define SMALL		(64 * MiB)	/* of it in pages of 4 KiB */

static void need_counting(void)
{
	if (hc_debug)
		skip("a debug build checks as it goes");
	if (!hc_counted)
		skip("the TSC does not count instructions here");
	if (cpu_count > 1)
		skip("other cores' instructions are counted, too");
}

static void within(u32 nr)
{
	CHECK(hc_longest[nr] <= LIMIT, "%s takes %lu instructions",
	      hc_name(nr), hc_longest[nr]);
}

static u32 work_vm(const char *name, u32 vcpus)
{
	u32 id;
	s64 ret = vm_create(name, vcpus, &id);

	CHECK(!ret, "CREATE gives %ld", ret);
	return id;
}

/* All of segment 0 in pages of 4 KiB, which lie here and there. */
static void splinter(u32 id, u64 size)
{
	u32 pages = (u32)(size / PAGE_SIZE), i;

	for (i = 0; i < pages; i += 512)
		CHECK(!seg_pages(HC_MEMSEG_DROP, id, 0, i + i / 512 % 512, 1),
		      "DROP fails");
	for (i = 0; i < pages; i += 512)
		CHECK(!seg_pages(HC_MEMSEG_FILL, id, 0, i, 512), "FILL fails");
}

/* As in a VM whose memory was allocated while the pool was in crumbs. */
static void crumbs(u32 id, u32 other, u64 size)
{
	struct joist_pages p = { .head = { id, 0 } };
	u32 pages = (u32)(size / PAGE_SIZE), i, k;

	/* Every second page of one goes to the other, by turns. */
	for (i = 0; i < pages; i += 2 * JOIST_PAGE_RANGES) {
		p.ranges = JOIST_PAGE_RANGES;
		for (k = 0; k < JOIST_PAGE_RANGES; k++)
			p.range[k] = (struct joist_page_range){
				(i + 2 * k) % pages, 1 };
		while (HC(HC_MEMSEG_DROP, &p) == -EAGAIN)
			;
	}
	CHECK(!seg_alloc(other, 0, 0x1000, size / 2), "ALLOC fails");
	CHECK(!seg_pages(HC_MEMSEG_FILL, id, 0, 0, pages), "FILL fails");
}

/* Every second page, and then the others: at last nothing lies beside each. */
static void sieve(u32 id, u64 size)
{
	struct joist_pages p = { .head = { id, 0 } };
	u32 pages = (u32)(size / PAGE_SIZE), i, k, first;
	s64 ret;

	for (first = 2; first--;)
		for (i = first; i < pages; i += 2 * JOIST_PAGE_RANGES) {
			p.ranges = JOIST_PAGE_RANGES;
			for (k = 0; k < JOIST_PAGE_RANGES; k++)
				p.range[k] = (struct joist_page_range){ i + 2 * k, 1 };
			while ((ret = HC(HC_MEMSEG_DROP, &p)) == -EAGAIN)
				;
			CHECK(!ret, "DROP gives %ld", ret);
		}
	CHECK(!seg_pages(HC_MEMSEG_FILL, id, 0, 0, pages), "FILL fails");
}

static void every_call_on(u32 id, u32 seg, u64 size)
{
	struct joist_memseg m;
	u64 off;

	for (off = 0; off < size; off += 4 * MiB)
		CHECK(!seg_query(id, seg, off, &m), "QUERY fails");
	CHECK(!seg_protect(id, seg, JOIST_SEG_READ), "PROTECT fails");
	CHECK(!seg_call(HC_MEMSEG_MAP, id, seg), "MAP fails");
	CHECK(!seg_protect(id, seg, JOIST_SEG_RW), "PROTECT fails");
	CHECK(!seg_call(HC_MEMSEG_UNMAP, id, seg), "UNMAP fails");
}

static void calls_within(void)
{
	within(HC_MEMSEG_ALLOC);
	within(HC_MEMSEG_QUERY);
	within(HC_MEMSEG_PROTECT);
	within(HC_MEMSEG_MAP);
	within(HC_MEMSEG_UNMAP);
	within(HC_MEMSEG_DROP);
	within(HC_MEMSEG_FILL);
	within(HC_MEMSEG_FREE);
	within(HC_DESTROY);
}

/* Large pages, small ones, and large ones of which one small page is gone. */
static void work_memory(void)
{
	u64 size = 256 * MiB, free = pool_free();
	u32 id, other, i;

	need_counting();
	if (free < size + 2 * SMALL)
		size = ALIGN_DOWN(free / 2, 2 * MiB);
	id = work_vm("work-large", JOIST_MAX_VCPUS);
	CHECK(!seg_alloc(id, 0, 0, size), "ALLOC fails");
	every_call_on(id, 0, size);
	CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
	for (i = 0; i < size / PAGE_SIZE; i += 512)
		CHECK(!seg_pages(HC_MEMSEG_DROP, id, 0, i + 5, 1), "DROP fails");
	/* Parts of large pages. */
	for (i = 0; i + 600 < size / 2 / PAGE_SIZE; i += 1024)
		CHECK(!seg_pages(HC_MEMSEG_DROP, id, 0, i + 100, 500), "DROP fails");
	CHECK(!seg_call(HC_MEMSEG_UNMAP, id, 0), "UNMAP fails");
	every_call_on(id, 0, size);
	vm_destroy(id);
	id = work_vm("work-small", JOIST_MAX_VCPUS);
	other = work_vm("work-other", 1);
	CHECK(!seg_alloc(id, 0, 0x1000, SMALL), "ALLOC fails");
	splinter(id, SMALL);
	crumbs(id, other, SMALL);
	every_call_on(id, 0, SMALL);
	every_call_on(other, 0, SMALL / 2);
	sieve(id, SMALL);
	CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
	sieve(id, SMALL);
	CHECK(!seg_pages(HC_MEMSEG_DROP, id, 0, 0, SMALL / PAGE_SIZE),
	      "DROP fails");
	CHECK(!seg_pages(HC_MEMSEG_FILL, id, 0, 0, SMALL / PAGE_SIZE),
	      "FILL fails");
	/* Nothing to do in all of it. */
	CHECK(!seg_pages(HC_MEMSEG_FILL, id, 0, 0, SMALL / PAGE_SIZE),
	      "FILL fails");
	CHECK(!seg_call(HC_MEMSEG_FREE, other, 0), "FREE fails");
	vm_destroy(id);
	vm_destroy(other);
	calls_within();
}

/* An ALLOC that the pool is too small for, and what it had is given back. */
static void work_no_memory(void)
{
	u32 id;

	need_counting();
	id = work_vm("work-too-much", 1);
	CHECK(seg_alloc(id, 0, 0, ALIGN_UP(caps.pool_total, 2 * MiB)) == -ENOMEM,
	      "ALLOC of more than there is does not fail");
	CHECK(seg_call(HC_MEMSEG_FREE, id, 0) == -ENOENT, "it is still there");
	calls_within();
}

static void work_vms(void)
{
	u32 ids[8], i, id = 0;
	char name[] = "work-vm-0";
	s64 ret;

	need_counting();
	for (i = 0; i < ARRAY_SIZE(ids); i++, name[8]++)
		ids[i] = work_vm(name, JOIST_MAX_VCPUS);
	ret = vm_create("work-vm-0", 1, &id);
	CHECK(ret == -EEXIST, "a name twice gives %ld", ret);
	for (i = 0; i < ARRAY_SIZE(ids); i++)
		vm_destroy(ids[i]);
	within(HC_CREATE);
	within(HC_DESTROY);
}

/* A guest that has the hypervisor move a string, element by element. */
static void work_string(void)
{
	static struct vm vm;
	struct joist_run_args a;
	u64 start, ticks, longest = 0, n = 0;
	u32 exit = 0, port = 0, i, k, ins[8] = { 0 };

	need_counting();
	vm_new(&vm, "work-string", 1, GUEST_RAM);
	vm_payload(&vm, 0, PL_io_string);
	for (i = 0; i < 10000 && exit != JOIST_EXIT_ERROR; i++) {
		start = rdtsc();
		exit = run_once(&vm, 0, &a);
		ticks = rdtsc() - start;
		if (exit != JOIST_EXIT_IO) {
			irq_window();
			port = 0;
			continue;
		}
		if (vm.run[0]->io.port == DONE_PORT)
			break;
		if (vm.run[0]->io.in)
			for (k = 0; k < vm.run[0]->io.count * vm.run[0]->io.size; k++)
				vm.run[0]->buf[k] = (u8)ins[vm.run[0]->io.port & 7]++;
		/* The guest has done nothing since the last exit but go on with it. */
		if (vm.run[0]->io.string && vm.run[0]->io.port == port) {
			longest = MAX(longest, ticks);
			n++;
		}
		port = vm.run[0]->io.port;
	}
	CHECK(n > 2, "the payload's long string was not seen");
	CHECK(longest <= LIMIT, "a string of one exit takes %lu instructions",
	      longest);
}

/* And all calls that any case has made.  RUN has a guest's instructions in it,
 * VERIFY is for debug builds. */
static void work_all(void)
{
	u32 nr;

	need_counting();
	for (nr = 0; nr < HC_COUNT; nr++)
		if (hc_longest[nr] && nr != HC_RUN && nr != HC_VERIFY)
			print("# %s: at most %lu instructions\n", hc_name(nr),
			      hc_longest[nr]);
	for (nr = 0; nr < HC_COUNT; nr++)
		if (nr != HC_RUN && nr != HC_VERIFY)
			within(nr);
}

const struct tcase cases_work[] = {
	{ "work/memory", work_memory, 0 },
	{ "work/no-memory", work_no_memory, 0 },
	{ "work/vms", work_vms, 0 },
	{ "work/string", work_string, 0 },
	{ "work/every-call", work_all, 0 },
	{ 0 },
};
