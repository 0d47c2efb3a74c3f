/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_memseg.c -- memory segments from creation to the end of their VM: each
 * page has one owner, is shown to the control VM only while it is mapped, and
 * the pool is in the end what it was, also when it runs dry on the way.
 */
#define HOST_SHOWS
#include "tests/unit/host_vcpu.h"

/* vcpu.c, in the same program here, has another of this name. */
#define window	ones_window
#include "core/forbidden.c"
#undef window
#include "core/hc_memseg.c"
#include "core/memseg.c"
#include "core/verify.c"
#include "core/vm.c"

#undef fail
#include <cmocka.h>

#define TOP		(1536 * MiB)
#define CONTROL_END	(64 * MiB)

static struct vm control;
static struct vm *vm;
static u64 pool_at_start;
static u32 forgotten;

void fetch_forget(struct vcpu *v)
{
	forgotten++;
}

static struct vm *new_vm(const char *name)
{
	struct joist_create a = { .vcpus = 2 };
	u32 id;

	strcpy(a.name, name);
	return vm_create(&a, &id) ? NULL : vm_get(id);
}

static int start_with(u64 top)
{
	host_pool(CONTROL_END, top);
	host_features();
	page_set_owner(HPA(0), CONTROL_END >> PAGE_SHIFT, OWNER_NONE, OWNER_CONTROL);
	memset(slots, 0, sizeof(slots));
	memset(&vms_lock, 0, sizeof(vms_lock));
	vms_lock.rank = LOCK_VMS;
	memset(&control_s2_lock, 0, sizeof(control_s2_lock));
	control_s2_lock.rank = LOCK_CONTROL_S2;
	memset(ones_window, 0, sizeof(ones_window));
	forbidden_windows = 0;
	memset(&control, 0, sizeof(control));
	control_vm = &control;
	control.owner = OWNER_CONTROL;
	if (stage2_init(&control.s2, backend->stage2))
		return -1;
	ones = ptr_hpa(real_page_alloc_hyp()).v;
	control_stage2_init();
	asked_flush = 0;
	pool_at_start = pool_free();
	vm = new_vm("guest");
	return vm ? 0 : -1;
}

static int start(void **state)
{
	return start_with(TOP);
}

/* With one block of 1 GiB in the pool. */
static int start_1g(void **state)
{
	return start_with(2 * GiB + 128 * MiB);
}

static void consistent(void)
{
	if (verify_all())
		fail_msg("%s", host_said);
	assert_int_equal(the_cpu.locks_held, 0);
}

/* Each call does its share and no more, by its own count. */
static void step_begin(void)
{
	work_begin();
}

static int step_end(int err)
{
	/* The first thing is always done, however large: 2 MiB cleared. */
	if (the_cpu.work > WORK_LIMIT + 90000)
		fail_msg("a call did %u", the_cpu.work);
	return err;
}

static int alloc_steps(struct vm *v, u32 seg, u64 gpa, u64 size, unsigned *steps)
{
	struct joist_memseg a = { .seg = seg, .gpa = gpa, .size = size };
	int err;

	for (*steps = 1; ; ++*steps) {
		step_begin();
		err = step_end(memseg_alloc(v, &a));
		if (err != -EAGAIN)
			break;
		assert_true(a.offset <= size && *steps < 100000);
	}
	if (!err)
		assert_int_equal(a.offset, size);
	return err;
}

static int alloc(u32 seg, u64 gpa, u64 size)
{
	unsigned steps;

	return alloc_steps(vm, seg, gpa, size, &steps);
}

static int repeat(int (*call)(struct vm *vm, u32 seg), struct vm *v, u32 seg)
{
	unsigned steps = 0;
	int err;

	do {
		step_begin();
		err = step_end(call(v, seg));
	} while (err == -EAGAIN && ++steps < 100000);
	return err;
}

static int free_steps(struct vm *v, u32 seg)
{
	return repeat(memseg_free, v, seg);
}

static int map_steps(struct vm *v, u32 seg)
{
	return repeat(memseg_map, v, seg);
}

static int unmap_steps(struct vm *v, u32 seg)
{
	return repeat(memseg_unmap, v, seg);
}

static int protect_steps(struct vm *v, u32 seg, u32 access)
{
	struct joist_memseg a = { .seg = seg, .flags = access };
	int err;

	do {
		step_begin();
		err = step_end(memseg_protect(v, &a));
	} while (err == -EAGAIN);
	return err;
}

static void destroy(struct vm *v)
{
	int err;

	do {
		step_begin();
		err = step_end(vm_destroy(v));
	} while (err == -EAGAIN);
	assert_int_equal(err, 0);
}

/* Every page is there, zero, the VM's, and nobody else's place. */
static void check_pages(const struct vm *v, u64 gpa, u64 size)
{
	u64 off, hpa, len, k;

	for (off = 0; off < size; off += PAGE_SIZE) {
		assert_int_equal(stage2_walk(&v->s2, gpa + off, &hpa, &len), STAGE2_RWX);
		assert_int_equal(page_owner(HPA(hpa)), v->owner);
		if (off % (61 * PAGE_SIZE) == 0)
			for (k = 0; k < PAGE_SIZE / 8; k++)
				assert_int_equal(((u64 *)hpa_ptr(HPA(hpa)))[k], 0);
	}
	assert_int_equal(stage2_walk(&v->s2, gpa + size, &hpa, &len), 0);
	assert_true(!gpa || !stage2_walk(&v->s2, gpa - 1, &hpa, &len));
}

static void dirty(const struct vm *v, u64 gpa, u64 size)
{
	u64 off, hpa, len;

	for (off = 0; off < size; off += 61 * PAGE_SIZE)
		if (stage2_walk(&v->s2, gpa + off, &hpa, &len))
			memset(hpa_ptr(HPA(hpa)), 0xa5, PAGE_SIZE);
}

static const struct { u64 gpa, size; } shapes[] = {
	{ 0, PAGE_SIZE }, { 0, 2 * MiB }, { 0, 640 * KiB }, { MiB, 255 * MiB },
	{ 0x1000, 600 * MiB }, { 4 * GiB, 300 * MiB }, { 3 * GiB - 0x3000, 0x6000 },
	{ 0xfee01000, MiB }, { 0xfee00000 - MiB, MiB }, { (1ull << 40) - MiB, MiB },
	{ 512 * GiB - 0x5000, 4 * MiB + 0xa000 },
};

static void test_alloc_and_free(void **state)
{
	u64 before = pool_free();
	unsigned i, steps, round;

	for (round = 0; round < 2; round++)
		for (i = 0; i < ARRAY_SIZE(shapes); i++) {
			u64 gpa = shapes[i].gpa, size = shapes[i].size;

			assert_int_equal(alloc_steps(vm, i % 8, gpa, size, &steps), 0);
			/* No step does more than 2 MiB. */
			assert_true(steps >= size / (2 * MiB));
			assert_int_equal(pool_free(), before - size -
					 (vm->s2.tables - 1) * PAGE_SIZE);
			check_pages(vm, gpa, size);
			dirty(vm, gpa, size);
			consistent();
			assert_int_equal(free_steps(vm, i % 8), 0);
			assert_int_equal(vm->s2.tables, 1);
			assert_int_equal(pool_free(), before);
			consistent();
		}
}

static void test_large_pages(void **state)
{
	u64 hpa, len, off;

	assert_int_equal(alloc(0, 2 * MiB, 64 * MiB), 0);
	for (off = 0; off < 64 * MiB; off += 2 * MiB) {
		assert_true(stage2_walk(&vm->s2, 2 * MiB + off, &hpa, &len));
		assert_int_equal(len, 2 * MiB);
	}
	assert_int_equal(vm->s2.tables, 3);
}

/* A 1 GiB page between two of 2 MiB; nothing is seen of it before all is clear. */
static void test_1g_page(void **state)
{
	u64 gpa = 6 * GiB - 2 * MiB, size = GiB + 4 * MiB, before = pool_free(), hpa, len, off;
	struct joist_memseg a = { .gpa = gpa, .size = size };
	unsigned round, steps, i;

	if (!backend->stage2->has_1g())
		skip();
	for (round = 0; round < 2; round++) {
		for (off = 0; off < GiB; off += 61 * PAGE_SIZE)
			*(u64 *)hpa_ptr(HPA(GiB + off + 0x100)) = ~0ull;
		/* Given up half-way: by FREE, by the end of the VM. */
		a.offset = 0;
		for (i = 0; i < 3; i++) {
			work_begin();
			assert_int_equal(memseg_alloc(vm, &a), -EAGAIN);
		}
		assert_true(before - pool_free() > GiB);
		assert_int_equal(stage2_walk(&vm->s2, 6 * GiB, &hpa, &len), STAGE2_RWX);
		assert_int_equal(len, 2 * MiB);
		assert_int_equal(stage2_walk(&vm->s2, 6 * GiB + 4 * MiB, &hpa, &len), 0);
		consistent();
		if (round) {
			destroy(vm);
			vm = new_vm("again");
			assert_non_null(vm);
		} else {
			assert_int_equal(free_steps(vm, 0), 0);
		}
		assert_int_equal(pool_free(), before);
		consistent();

		assert_int_equal(alloc_steps(vm, 0, gpa, size, &steps), 0);
		assert_true(stage2_walk(&vm->s2, 6 * GiB, &hpa, &len));
		assert_int_equal(len, GiB);
		check_pages(vm, gpa, size);
		for (off = 0; off < GiB; off += 61 * PAGE_SIZE)
			assert_int_equal(*(u64 *)hpa_ptr(HPA(hpa + off + 0x100)), 0);
		consistent();
		assert_int_equal(map_steps(vm, 0), 0);
		consistent();
		assert_int_equal(unmap_steps(vm, 0), 0);
		/* Without memory, too: no page needs to be split. */
		alloc_budget = 0;
		assert_int_equal(free_steps(vm, 0), 0);
		alloc_budget = ~0ull;
		assert_int_equal(vm->s2.tables, 1);
		assert_int_equal(pool_free(), before);
		consistent();
	}
	/* Clear, but there is no table to map it in. */
	alloc_budget = 0;
	assert_int_equal(alloc(0, 6 * GiB, GiB), -ENOMEM);
	alloc_budget = ~0ull;
	assert_int_equal(vm->s2.tables, 1);
	assert_int_equal(pool_free(), before);
	consistent();
}

struct bad_alloc {
	const char *name;
	struct joist_memseg a;
	int err;
};

static const struct bad_alloc bad_allocs[] = {
	{ "size 0", { .gpa = 0x1000 }, -EINVAL },
	{ "size not whole pages", { .size = 0x1001 }, -EINVAL },
	{ "size a byte", { .size = 1 }, -EINVAL },
	{ "gpa not aligned", { .gpa = 0x800, .size = 0x1000 }, -EINVAL },
	{ "segment 8", { .seg = 8, .size = 0x1000 }, -EINVAL },
	{ "segment of run pages", { .seg = JOIST_SEG_RUN, .size = 0x1000 }, -EINVAL },
	{ "flags", { .flags = 1, .size = 0x1000 }, -EINVAL },
	{ "hpa", { .size = 0x1000, .hpa = 0x1000 }, -EINVAL },
	{ "len", { .size = 0x1000, .len = 1 }, -EINVAL },
	{ "offset at first", { .size = 0x2000, .offset = 0x1000 }, -EINVAL },
	{ "beyond the limit", { .gpa = 1ull << 40, .size = 0x1000 }, -EINVAL },
	{ "over the limit", { .gpa = (1ull << 40) - 0x1000, .size = 0x2000 }, -EINVAL },
	{ "wraps", { .gpa = ~0xfffull, .size = 0x2000 }, -EINVAL },
	{ "all there is", { .size = ~0xfffull }, -EINVAL },
	{ "LAPIC page", { .gpa = 0xfee00000, .size = 0x1000 }, -EINVAL },
	{ "over the LAPIC page", { .gpa = 0xf0000000, .size = 0x10000000 }, -EINVAL },
	{ "segment taken", { .seg = 2, .gpa = 64 * MiB, .size = 0x1000 }, -EEXIST },
	{ "range taken", { .gpa = 16 * MiB, .size = 0x1000 }, -EEXIST },
	{ "over a range from below", { .gpa = 15 * MiB, .size = 2 * MiB }, -EEXIST },
	{ "over a range from above", { .gpa = 17 * MiB, .size = 2 * MiB }, -EEXIST },
	{ "around a range", { .gpa = MiB, .size = 64 * MiB }, -EEXIST },
	{ "more than the pool", { .gpa = 4 * GiB, .size = 64 * GiB }, -ENOMEM },
};

static void test_bad_allocs(void **state)
{
	static struct vm before;
	u64 pool, gpa = 16 * MiB, size = 2 * MiB;
	unsigned i;
	int err;

	assert_int_equal(alloc(2, gpa, size), 0);
	pool = pool_free();
	before = *vm;
	for (i = 0; i < ARRAY_SIZE(bad_allocs); i++) {
		struct joist_memseg a = bad_allocs[i].a;

		do {
			step_begin();
			err = step_end(memseg_alloc(vm, &a));
		} while (err == -EAGAIN);
		if (err != bad_allocs[i].err)
			fail_msg("%s: %d", bad_allocs[i].name, err);
		assert_int_equal(pool_free(), pool);
		/* A slot that was used and is free again may differ inside. */
		assert_int_equal(vm->seg[0].size, 0);
		assert_int_equal(vm->s2.tables, before.s2.tables);
		assert_memory_equal(&vm->seg[2], &before.seg[2], sizeof(struct memseg));
	}
	/* Next to it on both sides is fine. */
	assert_int_equal(alloc(0, gpa - PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(alloc(1, gpa + size, PAGE_SIZE), 0);
	consistent();
}

/* A call in the middle of an allocation that is not its next step. */
static void test_half_allocated(void **state)
{
	struct joist_memseg a = { .seg = 1, .gpa = GiB, .size = 100 * MiB }, b;

	step_begin();
	assert_int_equal(step_end(memseg_alloc(vm, &a)), -EAGAIN);
	b = a; b.offset = 0;
	assert_int_equal(memseg_alloc(vm, &b), -EEXIST);
	b = a; b.size += PAGE_SIZE;
	assert_int_equal(memseg_alloc(vm, &b), -EEXIST);
	b = a; b.gpa += PAGE_SIZE;
	assert_int_equal(memseg_alloc(vm, &b), -EEXIST);
	b = (struct joist_memseg){ .seg = 2, .gpa = GiB + 99 * MiB, .size = PAGE_SIZE };
	assert_int_equal(memseg_alloc(vm, &b), -EEXIST);
	/* It is neither to be mapped nor asked about, but to be freed. */
	assert_int_equal(map_steps(vm, 1), -ENOENT);
	b = (struct joist_memseg){ .seg = 1 };
	assert_int_equal(memseg_query(vm, &b), -ENOENT);
	assert_int_equal(free_steps(vm, 1), 0);
	assert_int_equal(vm->s2.tables, 1);
	assert_int_equal(free_steps(vm, 1), -ENOENT);
	consistent();
}

static u64 shown(u64 gpa, u64 size)
{
	u64 off, hpa, len, h, n, sum = 0;

	for (off = 0; off < size; off += PAGE_SIZE) {
		u32 prot;

		assert_true(stage2_walk(&vm->s2, gpa + off, &hpa, &len));
		prot = stage2_walk(&control.s2, hpa, &h, &n);
		if (!prot) {
			assert_false(page_is_mapped(HPA(hpa)));
			continue;
		}
		assert_int_equal(prot, STAGE2_READ | STAGE2_WRITE);
		assert_int_equal(h, hpa);
		assert_true(page_is_mapped(HPA(hpa)));
		sum += PAGE_SIZE;
	}
	return sum;
}

/* The same where pages may be missing; what is shown but not held is an error. */
static u64 shown_or_hole(u64 gpa, u64 size)
{
	u64 off, hpa, len, sum = 0;

	for (off = 0; off < size; off += len) {
		bool there = stage2_find(&vm->s2, gpa + off, &hpa, &len);

		len = MIN(len, size - off);
		if (there && page_is_mapped(HPA(hpa)))
			sum += len;
	}
	return sum;
}

static bool page_is_zero(u64 hpa)
{
	const u64 *p = hpa_ptr(HPA(hpa));
	unsigned i;

	for (i = 0; i < PAGE_SIZE / 8; i++)
		if (p[i])
			return false;
	return true;
}

static void test_map_and_unmap(void **state)
{
	u64 gpa = 0x5000, size = 40 * MiB, tables = control.s2.tables;
	unsigned i, flushes;

	assert_int_equal(alloc(3, gpa, size), 0);
	assert_int_equal(shown(gpa, size), 0);
	assert_int_equal(unmap_steps(vm, 3), -ENOENT);
	for (i = 0; i < 3; i++) {
		assert_int_equal(map_steps(vm, 3), 0);
		assert_int_equal(map_steps(vm, 3), -EEXIST);
		assert_int_equal(shown(gpa, size), size);
		assert_int_equal(memseg_free(vm, 3), -EBUSY);
		consistent();
		flushes = asked_flush;
		assert_int_equal(unmap_steps(vm, 3), 0);
		assert_true(asked_flush > flushes);
		assert_int_equal(shown(gpa, size), 0);
		assert_int_equal(control.s2.tables, tables);
		assert_int_equal(control.s2.garbage, 0);
		consistent();
	}
	assert_int_equal(map_steps(vm, 4), -ENOENT);
	assert_int_equal(map_steps(vm, 8), -ENOENT);
	assert_int_equal(map_steps(vm, ~0u), -ENOENT);
	assert_int_equal(unmap_steps(vm, ~0u), -ENOENT);
	assert_int_equal(memseg_free(vm, ~0u), -ENOENT);
}

/* Each allocation of an ALLOC and of a MAP in turn fails. */
static void test_without_memory(void **state)
{
	u64 gpa = 2 * MiB - 0x3000, size = 4 * MiB + 0x5000, before = pool_free(), k;
	u64 tables = control.s2.tables;
	int err = -ENOMEM;

	for (k = 0; err; k++) {
		alloc_budget = k;
		err = alloc(0, gpa, size);
		alloc_budget = ~0ull;
		assert_true(k < 100 && (!err || err == -ENOMEM));
		if (err) {
			assert_int_equal(pool_free(), before);
			assert_int_equal(vm->s2.tables, 1);
		}
		consistent();
	}
	assert_true(k > 10);
	before = pool_free();
	for (k = 0, err = -ENOMEM; err; k++) {
		alloc_budget = k;
		err = map_steps(vm, 0);
		alloc_budget = ~0ull;
		assert_true(k < 20 && (!err || err == -ENOMEM));
		if (err) {
			assert_int_equal(pool_free(), before);
			assert_int_equal(control.s2.tables, tables);
			assert_int_equal(shown(gpa, size), 0);
		}
		consistent();
	}
	assert_int_equal(unmap_steps(vm, 0), 0);
}

/* Nothing that frees needs memory: a dry pool must fill again. */
static void test_free_with_an_empty_pool(void **state)
{
	u64 before = pool_free();
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		assert_int_equal(alloc(i % 8, shapes[i].gpa, shapes[i].size), 0);
		assert_int_equal(map_steps(vm, i % 8), 0);
		alloc_budget = 0;
		assert_int_equal(unmap_steps(vm, i % 8), 0);
		if (free_steps(vm, i % 8))
			fail_msg("%lx of %lx cannot be freed", shapes[i].size, shapes[i].gpa);
		alloc_budget = ~0ull;
		assert_int_equal(pool_free(), before);
		consistent();
	}
	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		assert_int_equal(alloc(i % 8, shapes[i].gpa, shapes[i].size), 0);
		assert_int_equal(map_steps(vm, i % 8), 0);
		alloc_budget = 0;
		destroy(vm);
		alloc_budget = ~0ull;
		assert_int_equal(pool_free(), pool_at_start);
		vm = new_vm("next");
		assert_non_null(vm);
		consistent();
	}
}

static void test_query(void **state)
{
	u64 gpa = 0x5000, size = 10 * MiB, off, hpa, len;
	struct joist_memseg a;
	struct hc_context c = { .vm = vm };

	assert_int_equal(alloc(3, gpa, size), 0);
	for (off = 0; off < size; off += 0x3800) {
		a = (struct joist_memseg){ .seg = 3, .offset = off };
		assert_int_equal(hc_memseg_query(&c, &a), 0);
		assert_true(a.gpa == gpa && a.size == size && a.flags == 0);
		assert_true(stage2_walk(&vm->s2, gpa + off, &hpa, &len));
		assert_int_equal(a.hpa, hpa);
		assert_true(a.len && a.len <= size - off);
		/* Contiguous to its very end. */
		assert_true(stage2_walk(&vm->s2, gpa + off + a.len - 1, &hpa, &len));
		assert_int_equal(hpa, a.hpa + a.len - 1);
	}
	a = (struct joist_memseg){ .seg = 3, .offset = size };
	assert_int_equal(hc_memseg_query(&c, &a), -EINVAL);
	a = (struct joist_memseg){ .seg = 3, .offset = ~0ull };
	assert_int_equal(hc_memseg_query(&c, &a), -EINVAL);
	a = (struct joist_memseg){ .seg = 3, .len = 1 };
	assert_int_equal(hc_memseg_query(&c, &a), -EINVAL);
	a = (struct joist_memseg){ .seg = 9 };
	assert_int_equal(hc_memseg_query(&c, &a), -ENOENT);
	a = (struct joist_memseg){ .seg = JOIST_SEG_RUN, .offset = PAGE_SIZE };
	assert_int_equal(hc_memseg_query(&c, &a), 0);
	assert_int_equal(a.hpa, ptr_hpa(vm->vcpu[1]->run).v);
	assert_true(page_is_mapped(HPA(a.hpa)));
	a = (struct joist_memseg){ .seg = JOIST_SEG_RUN, .offset = 2 * PAGE_SIZE };
	assert_int_equal(hc_memseg_query(&c, &a), -EINVAL);
	a = (struct joist_memseg){ .seg = JOIST_SEG_RUN, .offset = 8 };
	assert_int_equal(hc_memseg_query(&c, &a), -EINVAL);
	a = (struct joist_memseg){ .seg = 3, .offset = 1 };
	assert_int_equal(hc_memseg_free(&c, &a), -EINVAL);
	a = (struct joist_memseg){ .seg = 3, .gpa = gpa };
	assert_int_equal(hc_memseg_map(&c, &a), -EINVAL);
	a = (struct joist_memseg){ .seg = 3, .size = 1 };
	assert_int_equal(hc_memseg_unmap(&c, &a), -EINVAL);
}

/* The control VM's own map: all that is its, and nothing else. */
static void test_control_map(void **state)
{
	u64 pa, hpa, len;

	for (pa = 0; pa < 4 * GiB; pa += 37 * PAGE_SIZE) {
		u32 prot = stage2_walk(&control.s2, pa, &hpa, &len);

		if (forbidden(pa) && !page_is_mapped(HPA(pa))) {
			assert_int_equal(prot, 0);
			continue;
		}
		assert_true(prot & STAGE2_WRITE);
		assert_int_equal(hpa, pa);
	}
	assert_true(forbidden(ptr_hpa(vm->s2.root).v));
	assert_true(forbidden(CONTROL_END));
	assert_false(forbidden(CONTROL_END - 1));
	assert_false(forbidden(TOP));
}

/* Reads of what is not its own show ones, and that ends when it is shown. */
static void test_ones(void **state)
{
	u64 hpa, len, h, n, i, tables = control.s2.tables, before = pool_free();

	assert_int_equal(alloc(0, 0, 8 * MiB), 0);
	for (i = 0; i < 3 * WINDOWS; i++) {
		assert_true(stage2_walk(&vm->s2, i * 37 * PAGE_SIZE, &hpa, &len));
		assert_int_equal(forbidden_map_ones(hpa + 8), 0);
		assert_int_equal(stage2_walk(&control.s2, hpa, &h, &n), STAGE2_READ);
		assert_int_equal(h, ones);
		/* Once more is no error. */
		assert_int_equal(forbidden_map_ones(hpa), 0);
		consistent();
	}
	assert_true(forbidden_windows <= WINDOWS);
	assert_int_equal(map_steps(vm, 0), 0);
	assert_int_equal(shown(0, 8 * MiB), 8 * MiB);
	consistent();
	assert_int_equal(unmap_steps(vm, 0), 0);
	forbidden_unmap_all();
	assert_int_equal(forbidden_windows, 0);
	assert_int_equal(free_steps(vm, 0), 0);
	assert_int_equal(control.s2.tables, tables);
	assert_int_equal(pool_free(), before);
	consistent();
}

/* As much as there is, in pages of all sizes. */
static void drain(void)
{
	hpa_t pa;
	unsigned o;

	for (o = ORDER_MAX + 1; o--; )
		while (page_take(o, OWNER_HYPERVISOR, &pa))
			;
	assert_null(page_alloc_hyp());
}

static bool has_device(u64 gpa)
{
	u64 hpa, len;

	return stage2_walk(&control.s2, gpa, &hpa, &len) == STAGE2_RWX && hpa == gpa;
}

/* The control VM's kernel did not ask for tables: it gets them all the same. */
static void test_device_with_an_empty_pool(void **state)
{
	u64 tables, hpa, len, i, at = 1ull << 45;

	drain();
	tables = control.s2.tables;
	assert_int_equal(control_map_device(at + 0x1234), 0);
	assert_true(has_device(at) && has_device(at + GiB - 1) && !has_device(at + GiB));
	assert_true(control.s2.tables > tables);
	/* Once more is no error: another core was faster. */
	assert_int_equal(control_map_device(at), 0);
	/* Between RAM's end and the next GiB: in smaller pages, none of them RAM. */
	assert_int_equal(control_map_device(4 * GiB), 0);
	assert_true(has_device(4 * GiB));
	for (i = 0; i < WINDOWS; i++)
		assert_int_equal(forbidden_map_ones(CONTROL_END + i * 37 * 2 * MiB), 0);
	assert_int_equal(control_map_device(1ull << STAGE2_GPA_BITS), -ERANGE);
	/* A failure is one, leaves nothing behind, and frees nothing unflushed. */
	tables = control.s2.tables;
	at += 512 * GiB;
	if (!backend->stage2->has_1g()) {
		alloc_budget = 1;
		asked_flush = 0;
		assert_int_equal(control_map_device(at), -ENOMEM);
		alloc_budget = ~0ull;
		assert_int_equal(asked_flush, 1);
	}
	alloc_budget = 0;
	assert_int_equal(control_map_device(at), -ENOMEM);
	alloc_budget = ~0ull;
	assert_int_equal(control.s2.tables, tables);
	assert_int_equal(control.s2.garbage, 0);
	assert_false(stage2_find(&control.s2, at, &hpa, &len));
	/* Something else there, by which the page is not: not to be tried for ever. */
	assert_int_equal(stage2_map(&control.s2, at, at, PAGE_SIZE, STAGE2_READ, 1), -ENOMEM);
	control.s2.urgent = true;
	assert_int_equal(stage2_map(&control.s2, at, at, PAGE_SIZE, STAGE2_READ, 1), 0);
	control.s2.urgent = false;
	assert_int_equal(control_map_device(at + MiB), -EEXIST);
}

/* What the guest may do changes nothing of whose memory it is. */
static void test_protect(void **state)
{
	static const u32 bad[] = { JOIST_SEG_WRITE, 4, 8, JOIST_SEG_RW | 4, ~0u };
	static const struct { u32 access, prot; } good[] = {
		{ 0, 0 }, { JOIST_SEG_READ, STAGE2_READ | STAGE2_EXEC },
		{ JOIST_SEG_RW, STAGE2_RWX },
	};
	struct joist_memseg a = { .seg = 2, .flags = JOIST_SEG_READ, .len = 1 };
	u64 gpa = 2 * MiB - PAGE_SIZE, size = 5 * MiB, hpa, len, want, free;
	struct hc_context c = { .vm = vm };
	unsigned i;

	assert_int_equal(alloc(2, gpa, size), 0);
	free = pool_free();
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(protect_steps(vm, 2, bad[i]), -EINVAL);
	assert_int_equal(protect_steps(vm, 1, JOIST_SEG_READ), -ENOENT);
	assert_int_equal(protect_steps(vm, JOIST_MAX_MEMSEGS, 0), -ENOENT);
	assert_int_equal(hc_memseg_protect(&c, &a), -EINVAL);
	assert_int_equal(stage2_walk(&vm->s2, gpa, &want, &len), STAGE2_RWX);
	for (i = 0; i < 9; i++) {
		forgotten = 0;
		a = (struct joist_memseg){ .seg = 2, .flags = good[i % 3].access };
		assert_int_equal(hc_memseg_protect(&c, &a), 0);
		assert_int_equal(forgotten, vm->vcpu_count);
		assert_int_equal(stage2_walk(&vm->s2, gpa, &hpa, &len), good[i % 3].prot);
		assert_int_equal(stage2_walk(&vm->s2, gpa + size - 1, &hpa, &len), good[i % 3].prot);
		a = (struct joist_memseg){ .seg = 2 };
		assert_int_equal(memseg_query(vm, &a), 0);
		assert_int_equal(a.hpa, want);
		assert_int_equal(map_steps(vm, 2), 0);
		assert_true(page_is_mapped(HPA(want)));
		assert_int_equal(unmap_steps(vm, 2), 0);
		assert_int_equal(alloc(3, gpa + MiB, PAGE_SIZE), -EEXIST);
		assert_int_equal(pool_free(), free);
		consistent();
	}
	assert_int_equal(protect_steps(vm, 2, 0), 0);
	assert_int_equal(free_steps(vm, 2), 0);
	assert_int_equal(vm->s2.tables, 1);
	consistent();
	assert_int_equal(alloc(2, gpa, size), 0);
	check_pages(vm, gpa, size);
	assert_int_equal(protect_steps(vm, 2, 0), 0);
	destroy(vm);
	assert_int_equal(pool_free(), pool_at_start);
}

static int pages(int (*call)(struct vm *vm, struct joist_pages *a), struct vm *v, u32 seg,
		 u64 page, u64 count)
{
	struct joist_pages a = { .seg = seg, .ranges = 1, .range = { { (u32)page, (u32)count } } };
	unsigned steps = 0;
	int err;

	for (;;) {
		step_begin();
		err = step_end(call(v, &a));
		if (err != -EAGAIN)
			break;
		assert_true(a.range[0].page + a.range[0].count == page + count && ++steps < 100000);
	}
	if (!err)
		assert_int_equal(a.range[0].count, 0);
	return err;
}

static u64 held(struct vm *v, u32 seg)
{
	u64 gpa = v->seg[seg].gpa, end = gpa + v->seg[seg].size, sum = 0, hpa, len;

	for (; gpa < end; gpa += len) {
		bool there = stage2_find(&v->s2, gpa, &hpa, &len);

		assert_true(len && len <= PAGE_SIZE_1G * 512);
		len = MIN(len, end - gpa);
		sum += there ? len : 0;
	}
	return sum;
}

/* What was dropped is nobody's, what comes back is clean, and nothing else moves. */
static void test_drop_and_fill(void **state)
{
	u64 gpa = 2 * MiB - 0x3000, size = 40 * MiB, i, n = size >> PAGE_SHIFT, hpa, len, kept;
	u64 before = pool_free(), tables = control.s2.tables;
	unsigned round;

	assert_int_equal(alloc(1, gpa, size), 0);
	assert_true(stage2_find(&vm->s2, gpa + 8 * MiB, &kept, &len));
	for (round = 0; round < 4; round++) {
		if (round & 1)
			assert_int_equal(map_steps(vm, 1), 0);
		if (round & 2)
			assert_int_equal(protect_steps(vm, 1, 0), 0);
		forgotten = 0;
		asked_flush = 0;
		assert_int_equal(pages(memseg_drop, vm, 1, 5, 1), 0);
		assert_int_equal(forgotten, vm->vcpu_count);
		assert_int_equal(!!asked_flush, round & 1);
		assert_int_equal(vm->seg[1].held, size - PAGE_SIZE);
		assert_false(stage2_find(&vm->s2, gpa + 0x5000, &hpa, &len));
		assert_int_equal(pages(memseg_drop, vm, 1, 600, 1000), 0);
		assert_int_equal(pages(memseg_drop, vm, 1, 500, 300), 0);
		assert_int_equal(vm->seg[1].held, held(vm, 1));
		assert_int_equal(vm->seg[1].held, size - 1101 * PAGE_SIZE);
		consistent();
		assert_int_equal(shown_or_hole(gpa, size), round & 1 ? vm->seg[1].held : 0);
		assert_int_equal(pages(memseg_fill, vm, 1, 0, n), 0);
		assert_int_equal(held(vm, 1), size);
		assert_int_equal(vm->seg[1].held, size);
		for (i = 0; i < 1600; i++) {
			assert_true(stage2_find(&vm->s2, gpa + i * PAGE_SIZE, &hpa, &len));
			if (i == 5 || (i >= 500 && i < 1600))
				assert_true(page_is_zero(hpa));
		}
		assert_int_equal(stage2_walk(&vm->s2, gpa + 0x5000, &hpa, &len),
				 round & 2 ? 0 : STAGE2_RWX);
		assert_true(stage2_find(&vm->s2, gpa + 8 * MiB, &hpa, &len));
		assert_int_equal(hpa, kept);
		consistent();
		if (round & 1) {
			assert_int_equal(shown_or_hole(gpa, size), size);
			assert_int_equal(unmap_steps(vm, 1), 0);
		}
		assert_int_equal(control.s2.tables, tables);
		assert_int_equal(control.s2.garbage, 0);
	}
	/* All of it, twice, and what is left is freed. */
	assert_int_equal(pages(memseg_drop, vm, 1, 0, n), 0);
	assert_int_equal(pages(memseg_drop, vm, 1, 0, n), 0);
	assert_int_equal(vm->s2.tables, 1);
	assert_int_equal(pool_free(), before);
	assert_int_equal(map_steps(vm, 1), 0);
	assert_int_equal(unmap_steps(vm, 1), 0);
	assert_int_equal(pages(memseg_fill, vm, 1, 3, 700), 0);
	assert_int_equal(free_steps(vm, 1), 0);
	assert_int_equal(pool_free(), before);
	consistent();
}

/* Each allocation on the way fails once: no page is lost or in two hands. */
static void test_drop_and_fill_without_memory(void **state)
{
	u64 gpa = 0, size = 4 * MiB, before = pool_free(), k, n = size >> PAGE_SHIFT;
	int err;

	for (k = 0; k < 12; k++) {
		assert_int_equal(alloc(0, gpa, size), 0);
		assert_int_equal(map_steps(vm, 0), 0);
		alloc_budget = k;
		err = pages(memseg_drop, vm, 0, 100, 600);
		/* Two large pages, split here and for the control VM. */
		assert_int_equal(err, k < 4 ? -ENOMEM : 0);
		consistent();
		assert_int_equal(held(vm, 0), vm->seg[0].held);
		assert_int_equal(shown_or_hole(gpa, size), vm->seg[0].held);
		alloc_budget = ~0ull;
		assert_int_equal(pages(memseg_drop, vm, 0, 100, 600), 0);
		assert_int_equal(held(vm, 0), size - 600 * PAGE_SIZE);
		alloc_budget = k;
		err = pages(memseg_fill, vm, 0, 0, n);
		assert_int_equal(err, -ENOMEM);
		consistent();
		assert_int_equal(held(vm, 0), vm->seg[0].held);
		assert_int_equal(shown_or_hole(gpa, size), vm->seg[0].held);
		alloc_budget = ~0ull;
		assert_int_equal(pages(memseg_fill, vm, 0, 0, n), 0);
		assert_int_equal(held(vm, 0), size);
		assert_int_equal(shown_or_hole(gpa, size), size);
		assert_int_equal(unmap_steps(vm, 0), 0);
		assert_int_equal(free_steps(vm, 0), 0);
		assert_int_equal(pool_free(), before);
	}
}

static void test_drop_of_a_1g_page(void **state)
{
	u64 before = pool_free(), hpa, len;

	assert_int_equal(alloc(0, GiB, GiB), 0);
	assert_true(stage2_find(&vm->s2, GiB, &hpa, &len) && len == GiB);
	assert_int_equal(map_steps(vm, 0), 0);
	assert_int_equal(pages(memseg_drop, vm, 0, 1000, 1), 0);
	assert_false(stage2_find(&vm->s2, GiB + 1000 * PAGE_SIZE, &hpa, &len));
	assert_int_equal(held(vm, 0), GiB - PAGE_SIZE);
	consistent();
	assert_int_equal(pages(memseg_fill, vm, 0, 1000, 1), 0);
	assert_int_equal(pages(memseg_drop, vm, 0, 0, GiB >> PAGE_SHIFT), 0);
	consistent();
	assert_int_equal(unmap_steps(vm, 0), 0);
	assert_int_equal(pool_free(), before);
	assert_int_equal(free_steps(vm, 0), 0);
}

/* Two VMs come and go in all orders; the pool is what it was. */
static void test_random_lives(void **state)
{
	struct vm *other = new_vm("other"), *all[2] = { vm, other };
	unsigned i;

	for (i = 0; i < 400; i++) {
		struct vm *v = all[rnd_below(2)];
		u32 seg = (u32)rnd_below(JOIST_MAX_MEMSEGS);
		u64 gpa = seg * GiB + rnd_below(600) * PAGE_SIZE;
		u64 size = PAGE_SIZE * (1 + rnd_below(rnd() & 1 ? 3000 : 20));
		struct memseg *s = &v->seg[seg];
		unsigned steps;
		int err;

		/* 3 GiB on is where the LAPIC is. */
		if (seg == 3)
			continue;
		alloc_budget = rnd_below(5) ? ~0ull : rnd_below(40);
		switch (rnd_below(6)) {
		case 0:
			err = alloc_steps(v, seg, gpa, size, &steps);
			assert_true(!err || err == -ENOMEM || err == -EEXIST);
			break;
		case 1:
			err = map_steps(v, seg);
			assert_true(!err || err == -ENOMEM || !s->size || s->shown);
			break;
		case 2:
			assert_int_equal(unmap_steps(v, seg), s->size && s->shown ? 0 : -ENOENT);
			break;
		case 3:
			err = s->size ? s->shown ? -EBUSY : 0 : -ENOENT;
			assert_int_equal(free_steps(v, seg), err);
			break;
		case 4:
			err = protect_steps(v, seg, rnd() & JOIST_SEG_READ);
			assert_int_equal(err, s->size ? 0 : -ENOENT);
			break;
		case 5: {
			u64 n = s->size >> PAGE_SHIFT, page = rnd_below(n + 1);

			err = pages(rnd() & 1 ? memseg_drop : memseg_fill, v, seg, page,
				    rnd_below(n + 1 - page));
			assert_true(s->size ? !err || err == -ENOMEM : err == -ENOENT);
			assert_int_equal(s->held, held(v, seg));
			break;
		}
		}
		alloc_budget = ~0ull;
		if (i % 20 == 0)
			consistent();
	}
	destroy(vm);
	consistent();
	destroy(other);
	assert_int_equal(pool_free(), pool_at_start);
	consistent();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_alloc_and_free, start),
		cmocka_unit_test_setup(test_large_pages, start),
		cmocka_unit_test_setup(test_1g_page, start_1g),
		cmocka_unit_test_setup(test_bad_allocs, start),
		cmocka_unit_test_setup(test_half_allocated, start),
		cmocka_unit_test_setup(test_map_and_unmap, start),
		cmocka_unit_test_setup(test_without_memory, start),
		cmocka_unit_test_setup(test_free_with_an_empty_pool, start),
		cmocka_unit_test_setup(test_protect, start),
		cmocka_unit_test_setup(test_drop_and_fill, start),
		cmocka_unit_test_setup(test_drop_and_fill_without_memory, start),
		cmocka_unit_test_setup(test_drop_of_a_1g_page, start_1g),
		cmocka_unit_test_setup(test_query, start),
		cmocka_unit_test_setup(test_control_map, start),
		cmocka_unit_test_setup(test_ones, start),
		cmocka_unit_test_setup(test_device_with_an_empty_pool, start),
		cmocka_unit_test_setup(test_random_lives, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
