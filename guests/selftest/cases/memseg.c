/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memseg.c -- guest memory: what ALLOC refuses, where it lies, who sees it.
 */
#include "guests/selftest/cases/case.h"

static u32 one_vm(const char *name)
{
	u32 id;
	s64 ret = vm_create(name, 1, &id);

	CHECK(!ret, "CREATE gives %ld", ret);
	return id;
}

static void want_alloc(u32 id, u32 seg, u64 gpa, u64 size, s64 want)
{
	s64 ret = seg_alloc(id, seg, gpa, size);

	CHECK(ret == want, "ALLOC of segment %u at 0x%lx + 0x%lx gives %ld, "
	      "want %ld", seg, gpa, size, ret, want);
}

static void memseg_refused(void)
{
	static const struct {
		u32 seg;
		u64 gpa, size;
	} bad[] = {
		{ 0, 0, 0 }, { 0, 1, PAGE_SIZE }, { 0, 0x800, PAGE_SIZE },
		{ 0, 0, 1 }, { 0, 0, PAGE_SIZE - 1 }, { 0, 0, PAGE_SIZE + 8 },
		{ 0, 0xfff, 0xfff }, { 0, 0, ~0ull }, { 0, ~0ull, ~0ull },
		{ 0, ~0xfffull, PAGE_SIZE }, { 0, ~0xfffull, 2 * PAGE_SIZE },
		{ 0, PAGE_SIZE, ~0xfffull }, { 0, 0, ~0xfffull },
		{ 0, 1ull << 63, 1ull << 63 }, { 0, 1ull << 63, PAGE_SIZE },
		{ 0, 0xfee00000, PAGE_SIZE }, { 0, 0xfedff000, 2 * PAGE_SIZE },
		{ 0, 0xfee00000 - MiB, 2 * MiB },
		{ JOIST_MAX_MEMSEGS, 0, PAGE_SIZE },
		{ 0x7fffffff, 0, PAGE_SIZE }, { 0x80000000, 0, PAGE_SIZE },
		{ JOIST_SEG_RUN, 0, PAGE_SIZE },
	};
	u32 id = one_vm("refused"), i;
	u64 free = pool_free();

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		want_alloc(id, bad[i].seg, bad[i].gpa, bad[i].size, -EINVAL);
	want_alloc(id, 0, caps.max_gpa, PAGE_SIZE, -EINVAL);
	want_alloc(id, 0, caps.max_gpa - PAGE_SIZE, 2 * PAGE_SIZE, -EINVAL);
	CHECK(pool_free() == free, "refused calls took 0x%lx bytes",
	      free - pool_free());
	/* Right beside what is refused. */
	want_alloc(id, 0, 0xfedff000, PAGE_SIZE, 0);
	want_alloc(id, 1, 0xfee01000, PAGE_SIZE, 0);
	want_alloc(id, 2, caps.max_gpa - PAGE_SIZE, PAGE_SIZE, 0);
}

static void memseg_overlap(void)
{
	u32 id = one_vm("overlap"), other = one_vm("overlap-2");

	want_alloc(id, 0, 0x10000, 0x4000, 0);
	want_alloc(id, 0, 0x20000, 0x1000, -EEXIST);	/* number taken */
	want_alloc(id, 1, 0x10000, 0x4000, -EEXIST);
	want_alloc(id, 1, 0x10000, 0x1000, -EEXIST);
	want_alloc(id, 1, 0x13000, 0x1000, -EEXIST);
	want_alloc(id, 1, 0xf000, 0x2000, -EEXIST);
	want_alloc(id, 1, 0x13000, 0x2000, -EEXIST);
	want_alloc(id, 1, 0xf000, 0x10000, -EEXIST);
	want_alloc(id, 1, 0x11000, 0x1000, -EEXIST);
	want_alloc(id, 1, 0xf000, 0x1000, 0);		/* touching is fine */
	want_alloc(id, 2, 0x14000, 0x1000, 0);
	want_alloc(other, 0, 0x10000, 0x4000, 0);
	CHECK(!seg_call(HC_MEMSEG_FREE, id, 0), "FREE fails");
	want_alloc(id, 3, 0x10000, 0x4000, 0);
	want_alloc(id, 0, 0x10000, 0x4000, -EEXIST);
}

static void memseg_numbers(void)
{
	static const u32 calls[] = {
		HC_MEMSEG_FREE, HC_MEMSEG_MAP, HC_MEMSEG_UNMAP,
		HC_MEMSEG_PROTECT, HC_MEMSEG_QUERY,
	};
	static const u32 bad[] = {
		JOIST_MAX_MEMSEGS, 64, 0x7fffffff, 0x80000000, 0xfffffffe,
	};
	u32 id = one_vm("numbers"), i, j;
	s64 ret;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		for (j = 0; j < ARRAY_SIZE(bad); j++) {
			ret = seg_call(calls[i], id, bad[j]);
			CHECK(ret == -EINVAL || ret == -ENOENT,
			      "%s of segment 0x%x gives %ld",
			      hc_name(calls[i]), bad[j], ret);
		}
		/* In range, but not there. */
		for (j = 0; j < JOIST_MAX_MEMSEGS; j++) {
			ret = seg_call(calls[i], id, j);
			CHECK(ret == -ENOENT, "%s of no segment gives %ld",
			      hc_name(calls[i]), ret);
		}
		if (calls[i] != HC_MEMSEG_QUERY) {
			ret = seg_call(calls[i], id, JOIST_SEG_RUN);
			CHECK(ret == -EINVAL || ret == -ENOENT,
			      "%s of the run pages gives %ld",
			      hc_name(calls[i]), ret);
		}
	}
	/* All numbers can be used at once. */
	for (j = 0; j < caps.max_memsegs; j++)
		want_alloc(id, j, (u64)j * MiB, PAGE_SIZE * (j + 1), 0);
}

static void memseg_map(void)
{
	u32 id = one_vm("map");
	struct joist_memseg m;
	s64 ret;

	want_alloc(id, 0, 0, 4 * PAGE_SIZE, 0);
	ret = seg_call(HC_MEMSEG_UNMAP, id, 0);
	CHECK(ret < 0 && ret != -ENOSYS, "UNMAP of what is not mapped gives "
	      "%ld", ret);
	CHECK(!seg_query(id, 0, 0, &m) && !m.flags, "flags 0x%x", m.flags);
	CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
	CHECK(!seg_query(id, 0, 0, &m) && m.flags == 1, "flags 0x%x", m.flags);
	ret = seg_call(HC_MEMSEG_FREE, id, 0);
	CHECK(ret == -EBUSY, "FREE of a mapped segment gives %ld", ret);
	ret = seg_call(HC_MEMSEG_MAP, id, 0);
	CHECK(ret == -EEXIST || ret == -EBUSY || !ret,
	      "MAP of a mapped segment gives %ld", ret);
	CHECK(!seg_call(HC_MEMSEG_UNMAP, id, 0), "UNMAP fails");
	CHECK(!seg_query(id, 0, 0, &m) && !m.flags, "flags 0x%x", m.flags);
	CHECK(!seg_call(HC_MEMSEG_FREE, id, 0), "FREE fails");
	/* DESTROY undoes a mapping by itself. */
	want_alloc(id, 0, 0, 4 * PAGE_SIZE, 0);
	CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
	CHECK(!seg_query(id, 0, 0, &m), "QUERY fails");
	vm_destroy(id);
	CHECK(*(volatile u64 *)m.hpa == ~0ull,
	      "a destroyed VM's page can still be read");
}

/* What PROTECT refuses; what it hides is still the segment's. */
static void memseg_protect(void)
{
	static const u32 bad[] = {
		JOIST_SEG_WRITE, 4, 5, 7, 0x80000000, 0xffffffff,
	};
	struct joist_memseg m, part = { .seg = 0, .flags = JOIST_SEG_READ };
	u32 id = one_vm("protect"), i, access;
	u64 free, hpa;
	s64 ret;

	want_alloc(id, 0, 2 * MiB, 4 * MiB, 0);
	CHECK(!seg_query(id, 0, 0, &m), "QUERY fails");
	hpa = m.hpa;
	free = pool_free();
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ret = seg_protect(id, 0, bad[i]);
		CHECK(ret == -EINVAL, "PROTECT with 0x%x gives %ld", bad[i],
		      ret);
	}
	ret = seg_protect(id, 1, JOIST_SEG_READ);
	CHECK(ret == -ENOENT, "PROTECT of no segment gives %ld", ret);
	part.head.vm = id;
	part.size = PAGE_SIZE;
	HC_WANT(HC_MEMSEG_PROTECT, &part, -EINVAL);
	part.size = 0;
	part.offset = PAGE_SIZE;
	HC_WANT(HC_MEMSEG_PROTECT, &part, -EINVAL);
	for (access = 0; access <= JOIST_SEG_RW; access++) {
		if (access == JOIST_SEG_WRITE)
			continue;
		ret = seg_protect(id, 0, access);
		CHECK(!ret, "PROTECT with 0x%x gives %ld", access, ret);
		CHECK(!seg_query(id, 0, 0, &m) && m.hpa == hpa &&
		      m.size == 4 * MiB, "it lies at 0x%lx, not 0x%lx", m.hpa,
		      hpa);
		want_alloc(id, 1, 3 * MiB, PAGE_SIZE, -EEXIST);
		CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
		*(volatile u64 *)hpa = access;
		CHECK(!seg_call(HC_MEMSEG_UNMAP, id, 0), "UNMAP fails");
	}
	CHECK_EQ(pool_free(), free, "pool");
	CHECK(!seg_protect(id, 0, 0), "PROTECT fails");
	CHECK(!seg_call(HC_MEMSEG_FREE, id, 0), "FREE of what is hidden fails");
	want_alloc(id, 0, 2 * MiB, 4 * MiB, 0);
	/* DESTROY frees what is hidden, too. */
	CHECK(!seg_protect(id, 0, 0), "PROTECT fails");
}

static void pages_refused(u32 id)
{
	static const struct {
		u32 seg, page, count;
		s64 want;
	} bad[] = {
		{ 0, 0, 1025, -EINVAL }, { 0, 1024, 1, -EINVAL },
		{ 0, 1025, 0, -EINVAL }, { 0, 0xffffffff, 1, -EINVAL },
		{ 0, 1, 0xffffffff, -EINVAL },
		{ 0, 0xffffffff, 0xffffffff, -EINVAL },
		{ 1, 0, 1, -ENOENT }, { JOIST_MAX_MEMSEGS, 0, 1, -ENOENT },
		{ JOIST_SEG_RUN, 0, 1, -ENOENT },
	};
	struct joist_pages p = { .head = { id, 0 }, .ranges = 2,
				 .range = { { 0, 1 }, { 1024, 1 } } };
	u32 i, nr;
	s64 ret;

	for (nr = HC_MEMSEG_DROP; nr <= HC_MEMSEG_FILL; nr++) {
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			ret = seg_pages(nr, id, bad[i].seg, bad[i].page,
					bad[i].count);
			CHECK(ret == bad[i].want, "%s of page 0x%x, 0x%x of "
			      "segment %u gives %ld", hc_name(nr), bad[i].page,
			      bad[i].count, bad[i].seg, ret);
		}
		/* One bad range: nothing is done of the good one. */
		HC_WANT(nr, &p, -EINVAL);
		p.ranges = JOIST_PAGE_RANGES + 1;
		HC_WANT(nr, &p, -EINVAL);
		p.ranges = 0xffffffff;
		HC_WANT(nr, &p, -EINVAL);
		p.ranges = 2;
	}
}

static u64 vm_memory(u32 id)
{
	struct joist_info info = { 0 };

	while (!HC(HC_INFO, &info)) {
		if (info.head.vm == id)
			return info.memory;
		info.head.vm = 0;
	}
	return 0;
}

/* Pages go to the pool and come back clean; the others are left alone. */
static void memseg_drop(void)
{
	struct joist_pages p = { 0 };
	u32 id = one_vm("drop"), i, round;
	struct joist_memseg m;
	u64 free, got;

	want_alloc(id, 0, 2 * MiB, 4 * MiB, 0);
	free = pool_free();
	pages_refused(id);
	CHECK_EQ(pool_free(), free, "pool");
	for (round = 0; round < 2; round++) {
		/* With and without a mapping for the control VM. */
		CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
		CHECK(!seg_query(id, 0, 0, &m), "QUERY fails");
		memset((void *)m.hpa, 0x77, PAGE_SIZE);
		if (round)
			CHECK(!seg_call(HC_MEMSEG_UNMAP, id, 0), "UNMAP fails");
		/* Every other page, some named twice: as many as fit. */
		p = (struct joist_pages){ .head = { id, 0 },
					  .ranges = JOIST_PAGE_RANGES };
		for (i = 0; i < JOIST_PAGE_RANGES; i++) {
			p.range[i].page = 2 * i;
			p.range[i].count = 1;
		}
		p.range[JOIST_PAGE_RANGES - 1] = (struct joist_page_range){ 0, 3 };
		while (HC(HC_MEMSEG_DROP, &p) == -EAGAIN)
			;
		got = JOIST_PAGE_RANGES * PAGE_SIZE;
		CHECK_EQ(vm_memory(id), 4 * MiB - got, "the VM's memory");
		/* Tables may have been needed: one here, one for the control VM. */
		CHECK(pool_free() - free + 4 * PAGE_SIZE >= got &&
		      pool_free() - free <= got, "the pool got 0x%lx",
		      pool_free() - free);
		CHECK(*(volatile u64 *)m.hpa == ~0ull,
		      "a dropped page reads 0x%lx", *(u64 *)m.hpa);
		CHECK(!seg_query(id, 0, 0, &m) && m.hpa == JOIST_NO_PAGE &&
		      m.len >= PAGE_SIZE, "page 0 lies at 0x%lx", m.hpa);
		CHECK(!seg_query(id, 0, 3 * PAGE_SIZE, &m) &&
		      m.hpa != JOIST_NO_PAGE && m.len == PAGE_SIZE,
		      "page 3 lies at 0x%lx, 0x%lx bytes", m.hpa, m.len);
		/* What is gone can go again; then all of it goes. */
		CHECK(!seg_pages(HC_MEMSEG_DROP, id, 0, 0, 10), "DROP fails");
		CHECK(!seg_pages(HC_MEMSEG_DROP, id, 0, 0, 1024), "DROP fails");
		CHECK(pool_free() >= free + 4 * MiB, "the pool got 0x%lx",
		      pool_free() - free);
		CHECK_EQ(vm_memory(id), 0, "the VM's memory");
		want_alloc(id, 1, 3 * MiB, PAGE_SIZE, -EEXIST);
		if (!round)
			CHECK(!seg_call(HC_MEMSEG_UNMAP, id, 0), "UNMAP fails");
		CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP of nothing fails");
		CHECK(!seg_pages(HC_MEMSEG_FILL, id, 0, 1, 700), "FILL fails");
		CHECK(!seg_pages(HC_MEMSEG_FILL, id, 0, 0, 1024), "FILL fails");
		CHECK_EQ(vm_memory(id), 4 * MiB, "the VM's memory");
		for (got = 0; got < 4 * MiB; got += m.len) {
			CHECK(!seg_query(id, 0, got, &m) &&
			      m.hpa != JOIST_NO_PAGE, "a hole at 0x%lx", got);
			for (i = 0; i < m.len / 8; i++)
				CHECK(!((u64 *)m.hpa)[i], "0x%lx at 0x%lx",
				      ((u64 *)m.hpa)[i], got + i * 8);
		}
		CHECK(!seg_call(HC_MEMSEG_UNMAP, id, 0), "UNMAP fails");
		CHECK(free - pool_free() <= 4 * PAGE_SIZE, "the pool lacks 0x%lx",
		      free - pool_free());
	}
	/* Half of it gone, and then the VM. */
	CHECK(!seg_pages(HC_MEMSEG_DROP, id, 0, 100, 500), "DROP fails");
	CHECK(!seg_call(HC_MEMSEG_FREE, id, 0), "FREE fails");
	CHECK_EQ(vm_memory(id), 0, "the VM's memory");
	want_alloc(id, 0, 2 * MiB, 4 * MiB, 0);
	CHECK(!seg_pages(HC_MEMSEG_DROP, id, 0, 100, 500), "DROP fails");
	CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
}

/* With an empty pool, and more than a call does at once. */
static void memseg_fill(void)
{
	u32 id = one_vm("fill"), id2 = one_vm("fill-2");
	struct joist_pages p = { .head = { id, 0 }, .ranges = 1 };
	u64 size = 80 * MiB, free;
	s64 ret;

	if (pool_free() < size + 16 * MiB)
		size = ALIGN_DOWN(pool_free() / 2, 2 * MiB);
	want_alloc(id, 0, 4 * GiB, size, 0);
	p.range[0].count = (u32)(size / PAGE_SIZE);
	while ((ret = HC(HC_MEMSEG_DROP, &p)) == -EAGAIN)
		CHECK(p.range[0].page && p.range[0].page + p.range[0].count ==
		      size / PAGE_SIZE, "left: 0x%x, 0x%x", p.range[0].page,
		      p.range[0].count);
	CHECK(!ret, "DROP gives %ld", ret);
	CHECK(!p.range[0].count, "0x%x are left", p.range[0].count);
	/* Another VM takes it all. */
	free = ALIGN_DOWN(pool_free() - 2 * MiB, 2 * MiB);
	want_alloc(id2, 0, 4 * GiB, free, 0);
	ret = seg_pages(HC_MEMSEG_FILL, id, 0, 0, (u32)(size / PAGE_SIZE));
	CHECK(ret == -ENOMEM, "FILL from an empty pool gives %ld", ret);
	CHECK(!seg_call(HC_MEMSEG_FREE, id2, 0), "FREE fails");
	ret = seg_pages(HC_MEMSEG_FILL, id, 0, 0, (u32)(size / PAGE_SIZE));
	CHECK(!ret, "FILL gives %ld", ret);
	CHECK_EQ(vm_memory(id), size, "the VM's memory");
}

/* The stretches of the pool: in order, none the control VM's, all of the pool. */
static void memseg_pool(void)
{
	struct joist_pool p = { 0 };
	u64 sum = 0, last = 0, off;

	while (!HC(HC_POOL, &p)) {
		CHECK(p.len && !((p.hpa | p.len) % PAGE_SIZE) && p.hpa >= last,
		      "0x%lx, 0x%lx bytes after 0x%lx", p.hpa, p.len, last);
		for (off = 0; off < p.len; off += ALIGN_UP(p.len / 256, PAGE_SIZE))
			CHECK(!memmap_is_ram(p.hpa + off),
			      "0x%lx is control VM memory", p.hpa + off);
		sum += p.len;
		last = p.hpa + p.len;
	}
	CHECK_EQ(sum, caps.pool_total, "sum");
	p.index = 0xffffffff;
	HC_WANT(HC_POOL, &p, -ENOENT);
}

static void memseg_query(void)
{
	u32 id = one_vm("query"), i;
	struct joist_memseg m;
	u64 off, size = 3 * MiB + 5 * PAGE_SIZE;
	s64 ret;

	want_alloc(id, 2, 0x40000000, size, 0);
	for (off = 0; off < size; off += m.len) {
		CHECK(!seg_query(id, 2, off, &m), "QUERY fails");
		CHECK_EQ(m.gpa, 0x40000000, "gpa");
		CHECK_EQ(m.size, size, "size");
		CHECK_EQ(m.offset, off, "offset");
		CHECK(m.len && m.len <= size - off && !(m.len % PAGE_SIZE) &&
		      !(m.hpa % PAGE_SIZE) && m.hpa,
		      "offset 0x%lx lies at 0x%lx + 0x%lx", off, m.hpa, m.len);
		CHECK(!memmap_is_ram(m.hpa), "0x%lx is control VM memory",
		      m.hpa);
	}
	/* From the middle of a page. */
	CHECK(!seg_query(id, 2, 5 * PAGE_SIZE, &m), "QUERY fails");
	off = m.hpa;
	ret = seg_query(id, 2, 5 * PAGE_SIZE + 0x123, &m);
	CHECK(ret == -EINVAL || (!ret && m.hpa == off + 0x123),
	      "an offset inside a page gives %ld, 0x%lx", ret, m.hpa);
	for (i = 0; i < 4; i++) {
		static const u64 over[] = { 0, 1, ~0ull, 1ull << 63 };

		ret = seg_query(id, 2, i < 2 ? size + over[i] : over[i], &m);
		CHECK(ret == -EINVAL, "QUERY beyond the end gives %ld", ret);
	}
	/* Run pages: one a vCPU. */
	CHECK(!seg_query(id, JOIST_SEG_RUN, 0, &m), "QUERY of run page fails");
	CHECK(m.hpa && !(m.hpa % PAGE_SIZE) && m.len >= PAGE_SIZE,
	      "the run page lies at 0x%lx + 0x%lx", m.hpa, m.len);
	*(volatile u32 *)m.hpa = 0;
	ret = seg_query(id, JOIST_SEG_RUN, PAGE_SIZE, &m);
	CHECK(ret == -EINVAL || ret == -ENOENT,
	      "QUERY of a second run page gives %ld", ret);
}

/* What the control VM sees of a segment, before, during and after MAP. */
static void memseg_visible(void)
{
	struct joist_capabilities before = { 0 }, after = { 0 };
	u32 id = one_vm("visible"), i;
	struct joist_memseg m;
	volatile u64 *p;
	u64 val;

	want_alloc(id, 0, 0, 4 * PAGE_SIZE, 0);
	CHECK(!seg_query(id, 0, 0, &m), "QUERY fails");
	p = (volatile u64 *)m.hpa;
	HC_OK(HC_CAPABILITIES, &before);
	for (i = 0; i < 8; i++) {
		val = p[i * 17];
		CHECK(val == ~0ull, "an unmapped page reads 0x%lx", val);
		p[i * 17] = 0x4242424242424242;
	}
	HC_OK(HC_CAPABILITIES, &after);
	CHECK_EQ(after.forbidden_reads - before.forbidden_reads, 8,
		 "reads counted");
	CHECK_EQ(after.forbidden_writes - before.forbidden_writes, 8,
		 "writes counted");
	CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
	for (i = 0; i < MIN(m.len, 4 * PAGE_SIZE) / 8; i++)
		CHECK(!p[i], "word %u of a new page is 0x%lx", i, p[i]);
	p[0] = 0x1234;
	p[511] = 0x5678;
	CHECK(p[0] == 0x1234 && p[511] == 0x5678, "a mapped page does not "
	      "keep what is written");
	CHECK(!seg_call(HC_MEMSEG_UNMAP, id, 0), "UNMAP fails");
	CHECK(p[0] == ~0ull && p[511] == ~0ull, "after UNMAP it reads 0x%lx",
	      p[0]);
	p[0] = 1;
	CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
	CHECK(p[0] == 0x1234 && p[511] == 0x5678, "after UNMAP and MAP it "
	      "reads 0x%lx 0x%lx", p[0], p[511]);
	HC_OK(HC_CAPABILITIES, &before);
	CHECK_EQ(before.forbidden_reads - after.forbidden_reads, 2,
		 "reads counted");
	CHECK_EQ(before.forbidden_writes - after.forbidden_writes, 1,
		 "writes counted");
}

/* A page full of one guest's bytes comes clean to the next. */
static void memseg_zeroed(void)
{
	struct joist_memseg m;
	u64 size = 2 * MiB, off, i;
	u32 round, id;

	for (round = 0; round < 3; round++) {
		id = one_vm("zeroed");
		want_alloc(id, 0, 0, size, 0);
		CHECK(!seg_call(HC_MEMSEG_MAP, id, 0), "MAP fails");
		for (off = 0; off < size; off += m.len) {
			u64 *p;

			CHECK(!seg_query(id, 0, off, &m), "QUERY fails");
			p = (u64 *)m.hpa;
			for (i = 0; i < m.len / 8; i++)
				CHECK(!p[i], "round %u: 0x%lx at offset 0x%lx",
				      round, p[i], off + i * 8);
			memset(p, 0xa5, m.len);
		}
		if (round & 1)
			seg_wipe(id, 0);
		vm_destroy(id);
	}
}

/* More than there is: all or nothing. */
static void memseg_enomem(void)
{
	u32 id = one_vm("enomem"), id2 = one_vm("enomem-2");
	struct joist_memseg m = { .head = { id, 0 } };
	u64 free = pool_free(), size;
	s64 ret;

	size = ALIGN_UP(caps.pool_total + MiB, MiB);
	if (size < caps.max_gpa - 4 * GiB)
		want_alloc(id, 0, 4 * GiB, size, -ENOMEM);
	CHECK_EQ(pool_free(), free, "pool after a too large segment");
	want_alloc(id, 0, 4 * GiB, free + PAGE_SIZE, -ENOMEM);
	CHECK_EQ(pool_free(), free, "pool after a little too large segment");
	/* Half of it is there: the second VM must do with the rest. */
	size = ALIGN_DOWN(free / 2, 2 * MiB);
	want_alloc(id, 0, 4 * GiB, size, 0);
	free = pool_free();
	want_alloc(id2, 0, 4 * GiB, size + 4 * MiB, -ENOMEM);
	CHECK_EQ(pool_free(), free, "pool after the second VM's attempt");
	want_alloc(id2, 0, 0, PAGE_SIZE, 0);
	/* Left half done, then destroyed. */
	m.seg = 1;
	m.gpa = 0;
	m.size = size / 2;
	ret = HC(HC_MEMSEG_ALLOC, &m);
	CHECK(!ret || ret == -EAGAIN, "ALLOC gives %ld", ret);
}

/* ALLOC in steps: the block that comes back is the only one that goes on. */
static void memseg_steps(void)
{
	u32 id = one_vm("steps");
	struct joist_memseg m = { .head = { id, 0 }, .size = 64 * MiB }, bad;
	struct joist_memseg q;
	u64 last = 0;
	s64 ret;

	if (pool_free() < 80 * MiB)
		m.size = ALIGN_DOWN(pool_free() / 2, 2 * MiB);
	bad = m;
	bad.offset = PAGE_SIZE;
	ret = HC(HC_MEMSEG_ALLOC, &bad);
	CHECK(ret == -EINVAL, "a first ALLOC at offset 0x1000 gives %ld", ret);
	while ((ret = HC(HC_MEMSEG_ALLOC, &m)) == -EAGAIN) {
		CHECK(m.offset > last && m.offset < m.size,
		      "offset 0x%lx after 0x%lx", m.offset, last);
		last = m.offset;
		/* Not with other numbers than it began with. */
		bad = m;
		bad.size += PAGE_SIZE;
		ret = HC(HC_MEMSEG_ALLOC, &bad);
		CHECK(ret < 0 && ret != -EAGAIN, "other size half-way: %ld",
		      ret);
		bad = m;
		bad.gpa += PAGE_SIZE;
		ret = HC(HC_MEMSEG_ALLOC, &bad);
		CHECK(ret < 0 && ret != -EAGAIN, "other GPA half-way: %ld",
		      ret);
		bad = m;
		bad.offset += PAGE_SIZE;
		ret = HC(HC_MEMSEG_ALLOC, &bad);
		CHECK(ret < 0 && ret != -EAGAIN, "other offset half-way: %ld",
		      ret);
		/* Nor mapped or run before it is whole. */
		ret = seg_call(HC_MEMSEG_MAP, id, 0);
		CHECK(ret < 0, "MAP half-way works");
	}
	CHECK(!ret, "ALLOC gives %ld", ret);
	CHECK(!seg_query(id, 0, m.size - PAGE_SIZE, &q), "QUERY fails");
}

/* More than 1 GiB, at such a border: in one page, where the pool has it. */
static void memseg_1g(void)
{
	u64 free = pool_free();
	struct joist_memseg m;
	struct vm vm;
	u32 round;
	s64 ret;

	if (free < GiB + 64 * MiB)
		skip("the pool is smaller than 1 GiB");
	vm_new(&vm, "large", 1, GUEST_RAM);
	for (round = 0; round < 2; round++) {
		/* Given up half-way. */
		m = (struct joist_memseg){ .head = { vm.id, 0 }, .seg = 1,
			.gpa = GiB, .size = GiB + 4 * MiB };
		ret = HC(HC_MEMSEG_ALLOC, &m);
		CHECK(ret == -EAGAIN, "a first ALLOC gives %ld", ret);
		while ((ret = seg_call(HC_MEMSEG_FREE, vm.id, 1)) == -EAGAIN)
			;
		CHECK(!ret, "FREE gives %ld", ret);

		want_alloc(vm.id, 1, GiB, GiB + 4 * MiB, 0);
		vm_share(&vm)->arg[0] = GiB;
		vm_share(&vm)->arg[1] = 2 * GiB + 4 * MiB;
		vm_payload(&vm, 0, PL_memory);
		run_done(&vm, 0);
		while ((ret = seg_call(HC_MEMSEG_FREE, vm.id, 1)) == -EAGAIN)
			;
		CHECK(!ret, "FREE gives %ld", ret);
	}
}

/* Every free of a segment brings back exactly what its ALLOC took. */
static void memseg_churn(void)
{
	u32 id = one_vm("churn"), i, seg;
	u64 size[JOIST_MAX_MEMSEGS] = { 0 }, gpa;
	s64 ret;

	for (i = 0; i < 400; i++) {
		seg = random32() % caps.max_memsegs;
		if (size[seg]) {
			ret = seg_call(HC_MEMSEG_FREE, id, seg);
			CHECK(!ret, "FREE gives %ld", ret);
			size[seg] = 0;
			continue;
		}
		gpa = (u64)seg * 16 * MiB + random32() % 1024 * PAGE_SIZE;
		size[seg] = (1 + random32() % (i % 16 ? 64 : 1024)) *
			    PAGE_SIZE;
		want_alloc(id, seg, gpa, size[seg], 0);
	}
}

#define EXEC_RAM	(64 * MiB)

static bool splits_for_code(void)
{
	static const char split[] = "Mitigation: Split huge pages";
	struct joist_mitigation m = { 0 };

	while (!HC(HC_MITIGATION, &m))
		if (!memcmp(m.name, "itlb_multihit", sizeof("itlb_multihit")))
			return !memcmp(m.text, split, sizeof(split));
	return false;
}

/* OUT at gpa, which no code was fetched from before. */
static u32 execute(struct vm *vm, u32 gpa)
{
	static const u8 out[] = { 0xe6, 0x50 };
	struct joist_regs r;

	vm_write(vm, gpa, out, sizeof(out));
	regs_read(vm, 0, JOIST_REGS_ALL, &r);
	regs_prot32(&r, gpa);
	regs_write(vm, 0, JOIST_REGS_ALL, &r);
	vm->wake |= 1;
	return run_user(vm, 0);
}

/* All of it, in segments of another VM, but for a few pages. */
static u32 empty_pool(void)
{
	u32 id = one_vm("empty"), seg;
	u64 size;

	for (seg = 0; seg < caps.max_memsegs; seg++) {
		size = pool_free();
		while (size && seg_alloc(id, seg, seg * 64 * GiB, size) == -ENOMEM)
			size = ALIGN_DOWN(size / 16 * 15, PAGE_SIZE);
	}
	return id;
}

/*
 * Code in all 2 MiB of a segment.  Where large pages must not be executable, the
 * first fetch from one exits, and splits it; elsewhere nothing does.
 */
static void memseg_execute(void)
{
	struct joist_info before = { 0 }, after = { 0 };
	bool split = splits_for_code();
	u64 exits, n = 0, gpa;
	static struct vm vm;
	u32 other, exit;

	vm_new(&vm, "execute", 1, EXEC_RAM);
	before.index = after.index = 0;
	HC_OK(HC_INFO, &before);
	exits = stat_get(vm.id, 0, JOIST_STAT_STAGE2);
	for (gpa = 4 * MiB; gpa < 16 * MiB; gpa += MiB, n++) {
		exit = execute(&vm, (u32)(gpa + n * PAGE_SIZE));
		CHECK(exit == JOIST_EXIT_IO && vm.run[0]->io.port == 0x50,
		      "at 0x%lx: exit %s", gpa, exit_name(exit));
	}
	HC_OK(HC_INFO, &after);
	exits = stat_get(vm.id, 0, JOIST_STAT_STAGE2) - exits;
	CHECK_EQ(exits, split ? n / 2 : 0, "exits for fetches");
	CHECK_EQ(after.overhead - before.overhead, exits * PAGE_SIZE, "bytes of tables");
	if (!split)
		return;
	/* With nothing left to split with. */
	other = empty_pool();
	for (gpa = 16 * MiB; gpa < EXEC_RAM; gpa += 2 * MiB) {
		exit = execute(&vm, (u32)gpa);
		if (exit != JOIST_EXIT_IO)
			break;
	}
	CHECK(exit == JOIST_EXIT_ERROR && vm.run[0]->error.code == JOIST_ERR_MEMORY,
	      "with an empty pool: exit %s", exit_name(exit));
	CHECK_EQ(run_user(&vm, 0), JOIST_EXIT_ERROR, "exit of the next RUN");
	vm_destroy(other);
	exit = execute(&vm, (u32)gpa);
	CHECK(exit == JOIST_EXIT_IO, "with memory again: exit %s", exit_name(exit));
}

const struct tcase cases_memseg[] = {
	{ "memseg/refused", memseg_refused, 0 },
	{ "memseg/overlap", memseg_overlap, 0 },
	{ "memseg/numbers", memseg_numbers, 0 },
	{ "memseg/map", memseg_map, 0 },
	{ "memseg/protect", memseg_protect, 0 },
	{ "memseg/drop", memseg_drop, 0 },
	{ "memseg/fill", memseg_fill, 0 },
	{ "memseg/pool", memseg_pool, 0 },
	{ "memseg/query", memseg_query, 0 },
	{ "memseg/visible", memseg_visible, 0 },
	{ "memseg/zeroed", memseg_zeroed, 0 },
	{ "memseg/enomem", memseg_enomem, 0 },
	{ "memseg/steps", memseg_steps, 0 },
	{ "memseg/1g", memseg_1g, 0 },
	{ "memseg/execute", memseg_execute, 0 },
	{ "memseg/churn", memseg_churn, 0 },
	{ 0 },
};
