/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hypercall.c -- the table and its dispatch: for every row, who may call,
 * where the block may lie, what is found and locked, and that all of it is
 * given back.  The handlers are stand-ins that look around.
 */
#define HOST_SHOWS
#include "tests/unit/host_vcpu.h"

#include "core/hypercall.c"
#include "core/vm.c"

#undef fail
#include <cmocka.h>

#define VCPUS		3

struct spinlock control_s2_lock = SPINLOCK(LOCK_CONTROL_S2);
u32 forbidden_windows;

static struct vm control;
static struct vcpu *caller;
static u32 the_id;
static hpa_t block_pa;

/* What the stand-in saw, and what it answers. */
static struct {
	unsigned calls, row;
	struct hc_context c;
	u8 block[PAGE_SIZE];
	u32 busy;		/* bitmap of vCPUs that were owned */
	u32 memsegs;		/* lock word */
	int answer;
	bool scribble;
} seen;

static unsigned unmapped_all;

void forbidden_unmap_all(void)
{
	unmapped_all++;
	forbidden_windows = 0;
}

int control_show(u64 hpa, u64 len)
{
	page_set_mapped(HPA(hpa), len >> PAGE_SHIFT, true);
	return 0;
}

void control_hide(const u64 *hpa, u32 pages)
{
	while (pages--)
		page_set_mapped(HPA(hpa[pages]), 1, false);
}

int memseg_free_all(struct vm *vm)
{
	return 0;
}

void *guest_ptr(struct vcpu *v, gpa_t gpa, u64 *len)
{
	if (page_owner(HPA(gpa.v)) != OWNER_CONTROL)
		return NULL;
	*len = PAGE_SIZE - (gpa.v & (PAGE_SIZE - 1));
	return hpa_ptr(HPA(gpa.v));
}

static int stand_in(unsigned row, struct hc_context *c, void *args)
{
	u32 i;

	seen.calls++;
	seen.row = row;
	seen.c = *c;
	memcpy(seen.block, args, calls[row].size);
	seen.busy = 0;
	for (i = 0; c->vm && i < c->vm->vcpu_count; i++)
		seen.busy |= c->vm->vcpu[i]->busy << i;
	seen.memsegs = c->vm ? c->vm->memsegs_lock.count : 0;
	if (seen.scribble)
		memset(args, 0xee, calls[row].size);
	return seen.answer;
}

#define STAND_INS(S)							\
	S(HC_VERSION, hc_version) S(HC_CAPABILITIES, hc_capabilities)	\
	S(HC_CREATE, hc_create) S(HC_TERM, hc_term)			\
	S(HC_INFO, hc_info) S(HC_RUN, hc_run) S(HC_RESETCPU, hc_resetcpu)	\
	S(HC_INTR, hc_intr) S(HC_READREGS, hc_readregs)			\
	S(HC_WRITEREGS, hc_writeregs) S(HC_READVMPARAMS, hc_readvmparams)	\
	S(HC_WRITEVMPARAMS, hc_writevmparams)				\
	S(HC_MEMSEG_ALLOC, hc_memseg_alloc) S(HC_MEMSEG_FREE, hc_memseg_free)	\
	S(HC_MEMSEG_MAP, hc_memseg_map) S(HC_MEMSEG_UNMAP, hc_memseg_unmap)	\
	S(HC_MEMSEG_PROTECT, hc_memseg_protect)				\
	S(HC_MEMSEG_DROP, hc_memseg_drop) S(HC_MEMSEG_FILL, hc_memseg_fill)	\
	S(HC_POOL, hc_pool) S(HC_MITIGATION, hc_mitigation)			\
	S(HC_ACCESS, hc_access)							\
	S(HC_MEMSEG_QUERY, hc_memseg_query) S(HC_STATS, hc_stats)	\
	S(HC_LOG, hc_log) S(HC_READXSTATE, hc_readxstate)		\
	S(HC_WRITEXSTATE, hc_writexstate) S(HC_READLAPIC, hc_readlapic)	\
	S(HC_WRITELAPIC, hc_writelapic) S(HC_VERIFY, hc_verify)

#define S(nr, fn) int fn(struct hc_context *c, void *args) { return stand_in(nr, c, args); }
STAND_INS(S)
#undef S

/* The real one: it drops the caller's hold. */
int hc_destroy(struct hc_context *c, void *args)
{
	int err = stand_in(HC_DESTROY, c, args);

	if (!err)
		err = vm_destroy(c->vm);
	c->gone = !err;
	return err;
}

static u64 pool_before;

static int start(void **state)
{
	struct joist_create a = { .vcpus = VCPUS, .name = "guest" };

	host_pool(0, 64 * MiB);
	host_features();
	memset(slots, 0, sizeof(slots));
	memset(&vms_lock, 0, sizeof(vms_lock));
	vms_lock.rank = LOCK_VMS;
	memset(&control, 0, sizeof(control));
	control_vm = &control;
	control.owner = OWNER_CONTROL;
	if (stage2_init(&control.s2, backend->stage2) || vcpu_create(&control, 0, &caller))
		return -1;
	/* Two pages of the control VM's, and one of somebody else after them. */
	if (!real_page_alloc(2, OWNER_CONTROL, &block_pa))
		return -1;
	page_set_owner(HPA(block_pa.v + 2 * PAGE_SIZE), 2, OWNER_CONTROL, OWNER_HYPERVISOR);
	the_cpu.args = real_page_alloc_hyp();
	pool_before = pool_free();
	if (vm_create(&a, &the_id))
		return -1;
	memset(&seen, 0, sizeof(seen));
	return 0;
}

static void *block_at_pa(u64 pa)
{
	return hpa_ptr(HPA(pa));
}

static s64 invoke(u64 nr, u64 gpa)
{
	caller->gpr[JOIST_RAX] = nr;
	caller->gpr[JOIST_RDI] = gpa;
	assert_int_equal(hypercall(caller), DONE);
	assert_int_equal(the_cpu.locks_held, 0);
	return (s64)caller->gpr[JOIST_RAX];
}

static s64 invoke_head(u64 nr, u32 vm, u32 vcpu)
{
	struct joist_head *h = block_at_pa(block_pa.v);

	memset(h, 0, PAGE_SIZE);
	*h = (struct joist_head){ vm, vcpu };
	return invoke(nr, block_pa.v);
}

/* Nothing is held, owned or locked once a call is over. */
static void all_given_back(void)
{
	struct vm *vm = vm_get(the_id);
	u32 i;

	if (!vm)
		return;
	assert_int_equal(slot_of(the_id)->hold, 1);
	vm_put(vm);
	for (i = 0; i < vm->vcpu_count; i++)
		assert_int_equal(vm->vcpu[i]->busy, 0);
	assert_int_equal(vm->memsegs_lock.count, 0);
	assert_int_equal(vms_lock.next, vms_lock.serving);
}

static void test_table_is_whole(void **state)
{
	unsigned i;

	for (i = 0; i < HC_COUNT; i++) {
		const struct hypercall *hc = &calls[i];

		assert_non_null(hc->handle);
		assert_int_equal(strncmp(hc->name, "HC_", 3), 0);
		assert_in_range(hc->size, sizeof(struct joist_head), PAGE_SIZE);
		assert_int_equal(hc->size % 8, 0);
		/* One way to lock vCPUs, one to lock segments. */
		assert_true(!(hc->need & LOCK_ONE_VCPU) || !(hc->need & LOCK_ALL_VCPUS));
		assert_true(!(hc->need & SLOCK_MEMSEGS) || !(hc->need & XLOCK_MEMSEGS));
	}
}

static void test_each_row_gets_what_it_names(void **state)
{
	unsigned i;

	for (i = 0; i < HC_COUNT; i++) {
		u32 need = calls[i].need, vcpu = need & (LOCK_ONE_VCPU | NAMES_VCPU) ? 2 : 0;
		struct vm *vm = slot_of(the_id)->vm;

		if (i == HC_DESTROY)
			continue;
		seen.calls = 0;
		assert_int_equal(invoke_head(i, need ? the_id : 0, vcpu), 0);
		assert_int_equal(seen.calls, 1);
		assert_int_equal(seen.row, i);
		assert_ptr_equal(seen.c.vm, need ? vm : NULL);
		assert_ptr_equal(seen.c.vcpu, vcpu ? vm->vcpu[2] : NULL);
		assert_int_equal(seen.busy, need & LOCK_ONE_VCPU ? 4 :
				 need & LOCK_ALL_VCPUS ? 7 : 0);
		assert_int_equal(seen.memsegs, need & XLOCK_MEMSEGS ? RW_WRITER :
				 need & SLOCK_MEMSEGS ? 1 : 0);
		all_given_back();
		/* Also after a failure. */
		seen.answer = -ENOSPC;
		assert_int_equal(invoke_head(i, need ? the_id : 0, vcpu), -ENOSPC);
		all_given_back();
		seen.answer = 0;
	}
}

static void test_ids(void **state)
{
	u32 bad[] = { 0, 1, the_id + 1, the_id ^ 0x100, ~0u, the_id | 1u << 31, 0xff, 0x81 };
	unsigned i, k;

	for (i = 0; i < HC_COUNT; i++) {
		if (!calls[i].need)
			continue;
		seen.calls = 0;
		for (k = 0; k < ARRAY_SIZE(bad); k++)
			if (bad[k] != the_id)
				assert_int_equal(invoke_head(i, bad[k], 0), -ENOENT);
		/* A vCPU that is not there, or one where none is meant. */
		assert_int_equal(invoke_head(i, the_id, VCPUS), -EINVAL);
		assert_int_equal(invoke_head(i, the_id, ~0u), -EINVAL);
		if (!(calls[i].need & (LOCK_ONE_VCPU | NAMES_VCPU)))
			assert_int_equal(invoke_head(i, the_id, 1), -EINVAL);
		assert_int_equal(seen.calls, 0);
		all_given_back();
	}
}

/* A vCPU in RUN elsewhere: what wants it outside RUN is refused, undone. */
static void test_busy(void **state)
{
	struct vm *vm = slot_of(the_id)->vm;
	unsigned i, who;

	for (who = 0; who < VCPUS; who++)
		for (i = 0; i < HC_COUNT; i++) {
			u32 need = calls[i].need, k;

			if (i == HC_DESTROY)
				continue;
			vm->vcpu[who]->busy = 1;
			seen.calls = 0;
			if (need & LOCK_ALL_VCPUS)
				assert_int_equal(invoke_head(i, the_id, 0), -EBUSY);
			else if (need & LOCK_ONE_VCPU)
				assert_int_equal(invoke_head(i, the_id, who), -EBUSY);
			else
				assert_int_equal(invoke_head(i, need ? the_id : 0, 0), 0);
			assert_int_equal(seen.calls, need & (LOCK_ALL_VCPUS | LOCK_ONE_VCPU) ? 0 : 1);
			for (k = 0; k < VCPUS; k++)
				assert_int_equal(vm->vcpu[k]->busy, k == who);
			vm->vcpu[who]->busy = 0;
			all_given_back();
		}
}

static void test_block_place(void **state)
{
	struct joist_head *h = block_at_pa(block_pa.v);
	u64 end = block_pa.v + 2 * PAGE_SIZE;
	unsigned i;

	for (i = 0; i < HC_COUNT; i++) {
		u32 size = calls[i].size;

		seen.calls = 0;
		if (i == HC_DESTROY)
			continue;
		/* Not aligned; in nobody's, the hypervisor's, a guest's memory. */
		assert_int_equal(invoke(i, block_pa.v + 1), -EFAULT);
		assert_int_equal(invoke(i, block_pa.v + 4), -EFAULT);
		assert_int_equal(invoke(i, end), -EFAULT);
		assert_int_equal(invoke(i, ptr_hpa(slot_of(the_id)->vm->vcpu[0]->run).v), -EFAULT);
		assert_int_equal(invoke(i, ptr_hpa(caller).v), -EFAULT);
		assert_int_equal(invoke(i, 16 * MiB), -EFAULT);
		assert_int_equal(invoke(i, ~7ull), -EFAULT);
		assert_int_equal(invoke(i, 1ull << 63 | block_pa.v), -EFAULT);
		/* Over the end of a page, though the next is the caller's as well. */
		if (size > 8 && size < PAGE_SIZE)
			assert_int_equal(invoke(i, block_pa.v + PAGE_SIZE - size + 8), -EFAULT);
		assert_int_equal(seen.calls, 0);
		/* Up to the end of a page is fine. */
		h = block_at_pa(end - size);
		memset(h, 0, size);
		h->vm = calls[i].need ? the_id : 0;
		assert_int_equal(invoke(i, end - size), 0);
		assert_int_equal(seen.calls, 1);
	}
}

/* The block goes in once, and out when the call has run: by size, no more. */
static void test_copies(void **state)
{
	static const struct { int answer; bool out; } cases[] = {
		{ 0, true }, { 7, true }, { -EAGAIN, true }, { -EINVAL, false }, { -EBUSY, false },
	};
	u8 *page = block_at_pa(block_pa.v), wrote[PAGE_SIZE];
	unsigned i, k, j;

	for (i = 0; i < HC_COUNT; i++)
		for (k = 0; i != HC_DESTROY && k < ARRAY_SIZE(cases); k++) {
			for (j = 0; j < PAGE_SIZE; j++)
				page[j] = (u8)rnd();
			*(struct joist_head *)page = (struct joist_head){
				calls[i].need ? the_id : 0, 0 };
			memcpy(wrote, page, PAGE_SIZE);
			seen.answer = cases[k].answer;
			seen.scribble = true;
			assert_int_equal(invoke(i, block_pa.v), cases[k].answer);
			assert_memory_equal(seen.block, wrote, calls[i].size);
			for (j = 0; j < calls[i].size; j++)
				assert_int_equal(page[j], cases[k].out ? 0xee : wrote[j]);
			assert_memory_equal(page + calls[i].size, wrote + calls[i].size,
					    PAGE_SIZE - calls[i].size);
		}
}

static void test_numbers(void **state)
{
	static const u64 bad[] = { HC_COUNT, HC_COUNT + 1, 1u << 31, 1ull << 32,
				   1ull << 32 | HC_RUN, ~0ull, 1ull << 63 };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(invoke(bad[i], block_pa.v), -ENOSYS);
	assert_int_equal(seen.calls, 0);
}

static void test_only_cpl_0(void **state)
{
	unsigned cpl, i;

	for (cpl = 1; cpl <= 3; cpl++)
		for (i = 0; i < HC_COUNT; i++) {
			caller->svm.vmcb->cpl = cpl;
			caller->exception.info = 0;
			caller->gpr[JOIST_RAX] = i;
			caller->gpr[JOIST_RDI] = block_pa.v;
			assert_int_equal(hypercall(caller), RETRY);
			assert_int_equal(caller->exception.info & JOIST_EVENT_VECTOR, EXC_UD);
			assert_int_equal(caller->gpr[JOIST_RAX], i);
		}
	assert_int_equal(seen.calls, 0);
}

/* Only RAX changes. */
static void test_registers_preserved(void **state)
{
	u64 gpr[16];
	unsigned i;

	for (i = 0; i < 16; i++)
		caller->gpr[i] = rnd();
	memset(block_at_pa(block_pa.v), 0, PAGE_SIZE);
	caller->gpr[JOIST_RAX] = HC_VERSION;
	caller->gpr[JOIST_RDI] = block_pa.v;
	memcpy(gpr, caller->gpr, sizeof(gpr));
	forbidden_windows = 2;
	assert_int_equal(hypercall(caller), DONE);
	assert_int_equal(unmapped_all, 1);
	gpr[JOIST_RAX] = 0;
	assert_memory_equal(gpr, caller->gpr, sizeof(gpr));
}

static void test_destroy(void **state)
{
	u32 old = the_id;
	struct joist_create a = { .vcpus = 1, .name = "guest" };
	struct vm *held = vm_get(the_id);

	/* Somebody is inside a call about it. */
	assert_int_equal(invoke_head(HC_DESTROY, old, 0), -EBUSY);
	assert_int_equal(invoke_head(HC_RUN, old, 0), 0);
	vm_put(held);
	all_given_back();
	seen.answer = -ENOSPC;
	assert_int_equal(invoke_head(HC_DESTROY, old, 0), -ENOSPC);
	all_given_back();
	seen.answer = 0;
	assert_int_equal(invoke_head(HC_DESTROY, old, 0), 0);
	assert_int_equal(invoke_head(HC_DESTROY, old, 0), -ENOENT);
	assert_int_equal(invoke_head(HC_RUN, old, 0), -ENOENT);
	assert_int_equal(pool_free(), pool_before);
	assert_int_equal(slots[0].hold & ~CLOSED, 0);
	/* The name is free again, the id is another. */
	assert_int_equal(vm_create(&a, &the_id), 0);
	assert_int_not_equal(the_id, old);
	assert_int_equal(invoke_head(HC_RUN, old, 0), -ENOENT);
	assert_int_equal(invoke_head(HC_RUN, the_id, 0), 0);
	all_given_back();
}

/* As a call of its own does. */
static int destroy_id(u32 id)
{
	work_begin();
	return vm_destroy(vm_get(id));
}

static int create(const char *name, size_t len, u32 vcpus, u32 flags, u32 *id)
{
	struct joist_create a = { .vcpus = vcpus, .flags = flags };

	memcpy(a.name, name, MIN(len, sizeof(a.name)));
	return vm_create(&a, id);
}

static void test_create_checks(void **state)
{
	static const char *const bad[] = { "", " ", ".a", "-a", "_a", "a b", "a/b", "a\n", "\xc3\xa4",
					   "a:", "..", "a\x7f" };
	static const char *const good[] = { "a", "0", "a.b-c_d", "Z9",
					    "abcdefghijklmnopqrstuvwxyz01234" };
	u64 before = pool_free();
	u32 id, i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (create(bad[i], strlen(bad[i]), 1, 0, &id) != -EINVAL)
			fail_msg("name \"%s\" was taken", bad[i]);
	assert_int_equal(create("abcdefghijklmnopqrstuvwxyz012345", 32, 1, 0, &id), -EINVAL);
	assert_int_equal(create("a\0b", 3, 1, 0, &id), -EINVAL);
	assert_int_equal(create("a", 1, 0, 0, &id), -EINVAL);
	assert_int_equal(create("a", 1, JOIST_MAX_VCPUS + 1, 0, &id), -EINVAL);
	assert_int_equal(create("a", 1, ~0u, 0, &id), -EINVAL);
	assert_int_equal(create("a", 1, 1, 1, &id), -EINVAL);
	assert_int_equal(create("guest", 5, 1, 0, &id), -EEXIST);
	assert_int_equal(pool_free(), before);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		if (create(good[i], strlen(good[i]), 1, 0, &id))
			fail_msg("name \"%s\" was refused", good[i]);
		assert_int_equal(destroy_id(id), 0);
	}
	assert_int_equal(create("most", 4, JOIST_MAX_VCPUS, 0, &id), 0);
	assert_int_equal(destroy_id(id), 0);
	assert_int_equal(pool_free(), before);
}

static void test_all_slots(void **state)
{
	static u32 ids[JOIST_MAX_VMS];
	u64 before = pool_free();
	u32 i, k, index, n, id;
	char name[8];

	for (i = 1; i < JOIST_MAX_VMS; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		assert_int_equal(create(name, strlen(name), 1, 0, &ids[i]), 0);
		for (k = 1; k < i; k++)
			assert_int_not_equal(ids[k], ids[i]);
	}
	assert_int_equal(create("more", 4, 1, 0, &id), -ENOSPC);
	for (index = n = 0; vm_next(&index); n++)
		vm_put(slot_at(index - 1)->vm);
	assert_int_equal(n, JOIST_MAX_VMS);
	for (i = 1; i < JOIST_MAX_VMS; i++)
		assert_int_equal(destroy_id(ids[i]), 0);
	assert_int_equal(pool_free(), before);
	all_given_back();
}

/* Every allocation of a CREATE in turn fails: all is as before. */
static void test_create_without_memory(void **state)
{
	u64 before = pool_free(), k;
	const char *why;
	u32 id;
	int err = -ENOMEM;

	for (k = 0; err; k++) {
		alloc_budget = k;
		err = create("poor", 4, 3, 0, &id);
		alloc_budget = ~0ull;
		assert_in_range(k, 0, 40);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(pool_free(), before);
		assert_int_equal(vms_lock.next, vms_lock.serving);
		assert_true(page_verify(&why));
	}
	assert_true(k > 8);
	assert_int_equal(destroy_id(id), 0);
	assert_int_equal(pool_free(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_table_is_whole, start),
		cmocka_unit_test_setup(test_each_row_gets_what_it_names, start),
		cmocka_unit_test_setup(test_ids, start),
		cmocka_unit_test_setup(test_busy, start),
		cmocka_unit_test_setup(test_block_place, start),
		cmocka_unit_test_setup(test_copies, start),
		cmocka_unit_test_setup(test_numbers, start),
		cmocka_unit_test_setup(test_only_cpl_0, start),
		cmocka_unit_test_setup(test_registers_preserved, start),
		cmocka_unit_test_setup(test_destroy, start),
		cmocka_unit_test_setup(test_create_checks, start),
		cmocka_unit_test_setup(test_all_slots, start),
		cmocka_unit_test_setup(test_create_without_memory, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
