/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * create.c -- CREATE, DESTROY, TERM, INFO.
 */
#include "guests/selftest/cases/case.h"

static s64 create_raw(const char *name, u32 len, u32 vcpus)
{
	struct joist_create c = { .vcpus = vcpus };

	memcpy(c.name, name, len);
	return HC(HC_CREATE, &c);
}

static void create_names(void)
{
	static const char *const good[] = {
		"a", "Z", "0", "a.b", "a-b_c.d", "x123456789012345678901234567890",
	};
	static const char *const bad[] = {
		"", ".", "-", "_", ".a", "-a", "_a", "a b", " a", "a/b", "a\\b",
		"a:b", "a\nb", "a\x7f", "\x80", "a\xff", "../a", "a%s", "a*",
		"a@", "a[", "a`", "a{", "a,", "a/",
	};
	char full[JOIST_NAME_LEN];
	u32 i, id, ids[ARRAY_SIZE(good)];
	s64 ret;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ret = vm_create(bad[i], 1, &id);
		CHECK(ret == -EINVAL, "name number %u ('%s') gives %ld", i,
		      bad[i], ret);
	}
	memset(full, 'a', sizeof(full));
	ret = create_raw(full, sizeof(full), 1);
	CHECK(ret == -EINVAL, "a name without NUL gives %ld", ret);
	/* After the NUL there must be nothing. */
	ret = create_raw("ab\0c", 4, 1);
	CHECK(ret == -EINVAL, "bytes after the NUL give %ld", ret);
	memset(full, 0, sizeof(full));
	full[0] = 'a';
	full[JOIST_NAME_LEN - 1] = 'b';
	ret = create_raw(full, sizeof(full), 1);
	CHECK(ret == -EINVAL, "a byte at the very end gives %ld", ret);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		ret = vm_create(good[i], 1, &ids[i]);
		CHECK(!ret, "name '%s' gives %ld", good[i], ret);
	}
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		ret = vm_create(good[i], 1, &id);
		CHECK(ret == -EEXIST, "'%s' twice gives %ld", good[i], ret);
	}
	/* A name is free again when its VM is gone. */
	for (i = 0; i < ARRAY_SIZE(good); i++)
		vm_destroy(ids[i]);
	ret = vm_create("a", 1, &id);
	CHECK(!ret, "a name used before gives %ld", ret);
}

static void create_vcpus(void)
{
	static const u32 bad[] = {
		0, JOIST_MAX_VCPUS + 1, 64, 0x7fffffff, 0x80000000, 0xffffffff,
	};
	struct joist_info info = { 0 };
	u32 i, id;
	s64 ret;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ret = vm_create("vcpus", bad[i], &id);
		CHECK(ret == -EINVAL, "%u vCPUs give %ld", bad[i], ret);
	}
	for (i = 1; i <= caps.max_vcpus; i += i < 4 ? 1 : 7) {
		ret = vm_create("vcpus", i, &id);
		CHECK(!ret, "%u vCPUs give %ld", i, ret);
		info = (struct joist_info){ 0 };
		HC_OK(HC_INFO, &info);
		CHECK_EQ(info.vcpus, i, "vCPUs in INFO");
		vm_destroy(id);
	}
	ret = vm_create("vcpus", caps.max_vcpus, &id);
	CHECK(!ret, "%u vCPUs give %ld", caps.max_vcpus, ret);
}

static void create_info(void)
{
	struct joist_info info = { 0 };
	u32 a, b, c, seen = 0, last;
	s64 ret;

	HC_WANT(HC_INFO, &info, -ENOENT);
	CHECK(!vm_create("info-a", 1, &a) && !vm_create("info-b", 3, &b) &&
	      !vm_create("info-c", 2, &c), "CREATE fails");
	CHECK(a && b && c && a != b && b != c && a != c, "ids %u %u %u", a, b,
	      c);
	CHECK(!seg_alloc(b, 3, 0, 5 * PAGE_SIZE), "ALLOC fails");
	CHECK(!seg_alloc(b, 5, MiB, 2 * PAGE_SIZE), "ALLOC fails");
	for (info.index = 0;; ) {
		last = info.index;
		info.head.vm = 0;
		ret = HC(HC_INFO, &info);
		if (ret)
			break;
		CHECK(info.index > last, "index went from %u to %u", last,
		      info.index);
		CHECK(!info.name[JOIST_NAME_LEN - 1], "name is not terminated");
		CHECK_EQ(info.state, 0, "state");
		CHECK_EQ(info.exits, 0, "exits");
		CHECK(info.overhead >= PAGE_SIZE * info.vcpus,
		      "overhead 0x%lx", info.overhead);
		if (info.head.vm == a) {
			seen |= 1;
			CHECK(!strcmp(info.name, "info-a") && info.vcpus == 1,
			      "VM a is '%s'", info.name);
			CHECK(!info.memory && !info.memsegs, "memory 0x%lx",
			      info.memory);
			CHECK_EQ(info.vcpu_state, JOIST_VCPU_IDLE, "vcpu_state");
		} else if (info.head.vm == b) {
			seen |= 2;
			CHECK(!strcmp(info.name, "info-b") && info.vcpus == 3,
			      "VM b is '%s'", info.name);
			CHECK_EQ(info.memory, 7 * PAGE_SIZE, "memory");
			CHECK_EQ(info.memsegs, 2, "memsegs");
			CHECK_EQ(info.vcpu_state, JOIST_VCPU_WAIT_SIPI << 2 |
				 JOIST_VCPU_WAIT_SIPI << 4, "vcpu_state");
		} else if (info.head.vm == c) {
			seen |= 4;
		} else {
			fail("VM %u ('%s') is not one of ours", info.head.vm,
			     info.name);
		}
	}
	CHECK(ret == -ENOENT, "the last INFO gives %ld", ret);
	CHECK(seen == 7, "INFO showed VMs 0x%x", seen);
	info.head.vm = 0;
	info.index = 0xffffffff;
	HC_WANT(HC_INFO, &info, -ENOENT);
	info.index = JOIST_MAX_VMS;
	HC_WANT(HC_INFO, &info, -ENOENT);
	/* A gap in the slots is stepped over. */
	vm_destroy(b);
	seen = 0;
	for (info.index = 0; !HC(HC_INFO, &info); seen++) {
		CHECK(info.head.vm != b, "a destroyed VM is in INFO");
		info.head.vm = 0;
	}
	CHECK_EQ(seen, 2, "VMs in INFO");
}

/* As many VMs as there may be; the next is refused, and all go again. */
static void create_slots(void)
{
	static u32 ids[JOIST_MAX_VMS];
	u32 i, n, id;
	char name[16];
	s64 ret = 0;

	for (n = 0; n < caps.max_vms; n++) {
		format(name, sizeof(name), "slot-%u", n);
		ret = vm_create(name, 1, &ids[n]);
		if (ret)
			break;
		for (i = 0; i < n; i++)
			CHECK(ids[i] != ids[n], "id %u twice", ids[n]);
	}
	CHECK(!ret || (ret == -ENOMEM && n > 4), "VM %u gives %ld", n, ret);
	ret = vm_create("one-more", 1, &id);
	CHECK(ret == (n < caps.max_vms ? -ENOMEM : -ENOSPC),
	      "VM number %u gives %ld", n + 1, ret);
	/* A freed slot is used again, under another id. */
	vm_destroy(ids[n / 2]);
	ret = vm_create("one-more", 1, &id);
	CHECK(!ret, "the freed slot gives %ld", ret);
	CHECK(id != ids[n / 2], "the id %u is handed out again at once", id);
	ids[n / 2] = id;
	for (i = 0; i < n; i++)
		vm_destroy(ids[i]);
}

static void create_term(void)
{
	static struct vm vm;
	struct joist_info info = { 0 };
	struct joist_run_args a;
	struct joist_vm v;
	u32 i;

	vm_new(&vm, "term", 2, GUEST_RAM);
	vm_payload(&vm, 0, PL_hello);
	v = (struct joist_vm){ .head = { vm.id, 0 } };
	HC_OK(HC_TERM, &v);
	HC_OK(HC_TERM, &v);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(run_once(&vm, 0, &a), JOIST_EXIT_TERM, "exit");
		CHECK_EQ(run_once(&vm, 1, &a), JOIST_EXIT_TERM, "exit");
	}
	HC_OK(HC_INFO, &info);
	CHECK_EQ(info.state, JOIST_VM_TERMINATED, "state");
	vm_destroy(vm.id);
	HC_WANT(HC_TERM, &v, -ENOENT);
	HC_WANT(HC_DESTROY, &v, -ENOENT);
	v.head.vm = 0;
	CHECK(HC(HC_DESTROY, &v) < 0, "DESTROY of VM 0 works");
	CHECK(HC(HC_TERM, &v) < 0, "TERM of VM 0 works");
}

/* Create, run, destroy, over and over, with varying shapes. */
static void create_cycles(void)
{
	static struct vm vm;
	u64 free = pool_free();
	u32 i, n = (u32)option_number("cycles", 1000);

	for (i = 0; i < n; i++) {
		if (i % 8) {
			/* The short way: real-mode code, one page of RAM. */
			extern const u8 blob_real16[], blob_real16_end[];
			struct joist_regs r;

			vm_new(&vm, "cycle", 1 + i % 3, 12 * PAGE_SIZE);
			vm_write(&vm, GUEST_CODE16, blob_real16,
				 (u64)(blob_real16_end - blob_real16));
			regs_read(&vm, 0, JOIST_REGS_ALL, &r);
			regs_real(&r, 0, GUEST_CODE16);
			regs_write(&vm, 0, JOIST_REGS_ALL, &r);
			want_sync(&vm, 0, 0x12345678);
		} else {
			vm_new(&vm, "cycle", 1 + i % 4, GUEST_RAM);
			vm_payload(&vm, 0, PL_hello);
			run_done(&vm, 0);
		}
		if (i & 1)
			seg_wipe(vm.id, 0);
		vm_destroy(vm.id);
		CHECK(pool_free() == free, "after cycle %u the pool has 0x%lx "
		      "bytes, had 0x%lx", i, pool_free(), free);
	}
}

const struct tcase cases_create[] = {
	{ "create/names", create_names, 0 },
	{ "create/vcpus", create_vcpus, 0 },
	{ "create/info", create_info, 0 },
	{ "create/slots", create_slots, 0 },
	{ "create/term", create_term, 0 },
	{ "create/cycles", create_cycles, 0 },
	{ 0 },
};
