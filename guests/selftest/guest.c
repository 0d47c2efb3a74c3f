/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest.c -- make a small VM, put code into it, run it.
 */
#include "guests/selftest/guest.h"

/* No payload takes this long, in ms. */
#define PORT_LIMIT	us(1000 * option_number("limit", 20000))
#define SLICE		us(2000)

extern const u8 payload64[], payload64_end[];

static const char *const exit_names[JOIST_EXIT_COUNT] = {
	"NONE", "INTR", "HALTED", "TIMER", "WAKE", "IO", "MMIO", "EOI",
	"EXTINT", "SHUTDOWN", "TERM", "ERROR", "EMULATE",
};

const char *exit_name(u32 exit)
{
	return exit < JOIST_EXIT_COUNT ? exit_names[exit] : "?";
}

s64 vm_create(const char *name, u32 vcpus, u32 *id)
{
	struct joist_create c = { .vcpus = vcpus };
	s64 ret;

	memcpy(c.name, name, MIN(strlen(name), sizeof(c.name)));
	ret = HC(HC_CREATE, &c);
	*id = c.head.vm;
	return ret;
}

/* DESTROY until it has finished; also from states a failed case left. */
void vm_destroy(u32 id)
{
	struct joist_vm v = { .head = { id, 0 } };
	u64 start = rdtsc();
	s64 ret;

	do {
		ret = HC(HC_DESTROY, &v);
		CHECK(rdtsc() - start < PORT_LIMIT,
		      "DESTROY still gives %ld", ret);
	} while (ret == -EAGAIN || ret == -EBUSY);
	CHECK(!ret, "DESTROY gives %ld", ret);
}

s64 seg_alloc(u32 id, u32 seg, u64 gpa, u64 size)
{
	struct joist_memseg m = {
		.head = { id, 0 }, .seg = seg, .gpa = gpa, .size = size,
	};
	u64 calls = 0, last = 0, turns = 0;
	s64 ret;

	/* Up, and when the pool has not enough, down again; the call in which it
	 * turns may have gone as far down as up. */
	while ((ret = HC(HC_MEMSEG_ALLOC, &m)) == -EAGAIN) {
		turns += m.offset <= last && !turns;
		CHECK(m.offset <= size && (turns || m.offset > last) &&
		      ++calls < 1u << 22,
		      "ALLOC makes no progress (at 0x%lx)", m.offset);
		last = m.offset;
	}
	CHECK(ret || !turns, "ALLOC went back and says 0");
	return ret;
}

s64 seg_call(u32 nr, u32 id, u32 seg)
{
	struct joist_memseg m = { .head = { id, 0 }, .seg = seg };
	s64 ret;

	while ((ret = HC(nr, &m)) == -EAGAIN)
		;
	return ret;
}

s64 seg_protect(u32 id, u32 seg, u32 access)
{
	struct joist_memseg m = {
		.head = { id, 0 }, .seg = seg, .flags = access,
	};
	s64 ret;

	while ((ret = HC(HC_MEMSEG_PROTECT, &m)) == -EAGAIN)
		;
	return ret;
}

s64 seg_pages(u32 nr, u32 id, u32 seg, u32 page, u32 count)
{
	struct joist_pages p = {
		.head = { id, 0 }, .seg = seg, .ranges = 1,
		.range = { { page, count } },
	};
	s64 ret;

	while ((ret = HC(nr, &p)) == -EAGAIN)
		;
	return ret;
}

s64 seg_query(u32 id, u32 seg, u64 offset, struct joist_memseg *m)
{
	*m = (struct joist_memseg){
		.head = { id, 0 }, .seg = seg, .offset = offset,
	};
	return HC(HC_MEMSEG_QUERY, m);
}

void seg_wipe(u32 id, u32 seg)
{
	s64 ret = seg_call(HC_MEMSEG_UNMAP, id, seg);

	CHECK(!ret, "UNMAP gives %ld", ret);
	ret = seg_call(HC_MEMSEG_FREE, id, seg);
	CHECK(!ret, "FREE gives %ld", ret);
}

void vm_new(struct vm *vm, const char *name, u32 vcpus, u64 ram)
{
	struct joist_memseg m;
	u64 off;
	s64 ret;
	u32 i;

	memset(vm, 0, sizeof(*vm));
	vm->vcpus = vcpus;
	vm->ram = ram;
	ret = vm_create(name, vcpus, &vm->id);
	CHECK(!ret, "CREATE of %s gives %ld", name, ret);
	CHECK(vm->id, "CREATE gives VM id 0");
	ret = seg_alloc(vm->id, 0, 0, ram);
	CHECK(!ret, "ALLOC of 0x%lx bytes gives %ld", ram, ret);
	ret = seg_call(HC_MEMSEG_MAP, vm->id, 0);
	CHECK(!ret, "MAP gives %ld", ret);
	for (off = 0; off < ram; off += m.len) {
		ret = seg_query(vm->id, 0, off, &m);
		CHECK(!ret, "QUERY gives %ld", ret);
		CHECK(m.len && m.len <= ram - off,
		      "QUERY gives length 0x%lx at 0x%lx", m.len, off);
		CHECK(vm->extents < VM_EXTENTS, "more than %u extents",
		      VM_EXTENTS);
		vm->extent[vm->extents].gpa = off;
		vm->extent[vm->extents].hpa = m.hpa;
		vm->extent[vm->extents++].len = m.len;
	}
	for (i = 0; i < vcpus; i++) {
		ret = seg_query(vm->id, JOIST_SEG_RUN, i * PAGE_SIZE, &m);
		CHECK(!ret, "QUERY of run page %u gives %ld", i, ret);
		vm->run[i] = (volatile struct joist_run *)m.hpa;
		vm->deadline[i] = JOIST_NO_DEADLINE;
	}
}

void *vm_ptr(struct vm *vm, u64 gpa, u64 len)
{
	u64 off;
	u32 i;

	for (i = 0; i < vm->extents; i++) {
		off = gpa - vm->extent[i].gpa;
		if (gpa >= vm->extent[i].gpa && off < vm->extent[i].len &&
		    len <= vm->extent[i].len - off)
			return (void *)(vm->extent[i].hpa + off);
	}
	fail("guest memory 0x%lx + 0x%lx is not contiguous", gpa, len);
}

void vm_write(struct vm *vm, u64 gpa, const void *src, u64 len)
{
	u64 n;

	for (; len; len -= n, gpa += n, src = (const u8 *)src + n) {
		n = MIN(len, PAGE_SIZE - gpa % PAGE_SIZE);
		memcpy(vm_ptr(vm, gpa, n), src, n);
	}
}

struct gshare *vm_share(struct vm *vm)
{
	return vm_ptr(vm, GUEST_SHARE, sizeof(struct gshare));
}

static s64 regs_call(u32 nr, u32 id, u32 vcpu, u32 mask, struct joist_regs *r)
{
	struct joist_regs_args a = { .head = { id, vcpu }, .mask = mask };
	s64 ret;

	if (nr != HC_READREGS && r)
		a.regs = *r;
	ret = HC(nr, &a);
	if (nr == HC_READREGS)
		*r = a.regs;
	return ret;
}

void regs_read(struct vm *vm, u32 vcpu, u32 mask, struct joist_regs *r)
{
	s64 ret = regs_call(HC_READREGS, vm->id, vcpu, mask, r);

	CHECK(!ret, "READREGS gives %ld", ret);
}

s64 regs_try_write(struct vm *vm, u32 vcpu, u32 mask,
		   const struct joist_regs *r)
{
	struct joist_regs copy = *r;

	return regs_call(HC_WRITEREGS, vm->id, vcpu, mask, &copy);
}

void regs_write(struct vm *vm, u32 vcpu, u32 mask, const struct joist_regs *r)
{
	s64 ret = regs_try_write(vm, vcpu, mask, r);

	CHECK(!ret, "WRITEREGS of 0x%x gives %ld", mask, ret);
}

static struct joist_segment segment(u16 sel, u64 base, u32 limit, u32 attr)
{
	return (struct joist_segment){
		.base = base, .limit = limit, .selector = sel, .attr = attr,
	};
}

static void regs_flat(struct joist_regs *r, u32 code_attr)
{
	u32 i;

	for (i = JOIST_ES; i <= JOIST_GS; i++)
		r->seg[i] = segment(0x10, 0, 0xffffffff, 0xc093);
	r->seg[JOIST_CS] = segment(8, 0, 0xffffffff, code_attr);
	r->seg[JOIST_LDTR] = segment(0, 0, 0, 0x10000);
	r->seg[JOIST_TR] = segment(0x18, 0, 0x67, 0x8b);
	r->gdtr.limit = 0;
	r->idtr.limit = 0;
	r->rflags = 2;
	r->activity = JOIST_VCPU_IDLE;
	r->interruptibility = 0;
	r->event = 0;
}

/* Both start from what READREGS gave: only what must change is changed. */
void regs_long(struct joist_regs *r, u64 rip)
{
	regs_flat(r, 0xa09b);
	r->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	r->cr3 = GUEST_PT;
	r->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	r->msr[JOIST_MSR_EFER] = EFER_LME | EFER_LMA;
	r->rip = rip;
}

void regs_prot32(struct joist_regs *r, u32 eip)
{
	regs_flat(r, 0xc09b);
	r->cr0 = CR0_PE | CR0_ET | CR0_NE;
	r->cr3 = 0;
	r->cr4 = CR4_OSFXSR;
	r->msr[JOIST_MSR_EFER] = 0;
	r->rip = eip;
	r->gpr[JOIST_RSP] = GUEST_CODE16 - 16;
}

void regs_real(struct joist_regs *r, u16 cs, u16 ip)
{
	u32 i;

	regs_flat(r, 0x9b);
	for (i = JOIST_ES; i <= JOIST_GS; i++)
		r->seg[i] = segment(0, 0, 0xffff, 0x93);
	r->seg[JOIST_CS] = segment(cs, (u64)cs << 4, 0xffff, 0x9b);
	r->seg[JOIST_LDTR] = segment(0, 0, 0xffff, 0x82);
	r->seg[JOIST_TR] = segment(0, 0, 0xffff, 0x8b);
	r->idtr = segment(0, 0, 0x3ff, 0);
	r->cr0 = CR0_ET;
	r->cr3 = 0;
	r->cr4 = 0;
	r->msr[JOIST_MSR_EFER] = 0;
	r->rip = ip;
	r->gpr[JOIST_RSP] = GUEST_CODE16 - 16;
}

static void vm_tables(struct vm *vm)
{
	u64 entry;
	u32 i;

	if (vm->tables)
		return;
	entry = (GUEST_PT + 0x1000) | 7;
	vm_write(vm, GUEST_PT, &entry, 8);
	for (i = 0; i < 4; i++) {
		entry = (GUEST_PT + 0x2000 + i * 0x1000) | 7;
		vm_write(vm, GUEST_PT + 0x1000 + i * 8, &entry, 8);
	}
	for (i = 0; i < 2048; i++) {
		entry = (u64)i << 21 | 0x87;
		vm_write(vm, GUEST_PT + 0x2000 + i * 8, &entry, 8);
	}
	vm_write(vm, GUEST_CODE64, payload64,
		 (u64)(payload64_end - payload64));
	vm->tables = true;
}

void vm_payload(struct vm *vm, u32 vcpu, enum payload which)
{
	struct joist_regs r;

	vm_tables(vm);
	regs_read(vm, vcpu, JOIST_REGS_ALL, &r);
	regs_long(&r, GUEST_CODE64);
	r.gpr[JOIST_RDI] = which;
	r.gpr[JOIST_RSI] = vcpu;
	r.gpr[JOIST_RSP] = GUEST_STACK(vcpu);
	regs_write(vm, vcpu, JOIST_REGS_ALL, &r);
	vm->wake |= BIT(vcpu);
}

void vm_blob(struct vm *vm, u32 vcpu, u32 bits, const u8 *start,
	     const u8 *end)
{
	struct joist_regs r;

	vm_tables(vm);
	vm_write(vm, GUEST_CODE16, start, (u64)(end - start));
	regs_read(vm, vcpu, JOIST_REGS_ALL, &r);
	if (bits == 16)
		regs_real(&r, 0, GUEST_CODE16);
	else if (bits == 32)
		regs_prot32(&r, GUEST_CODE16);
	else
		regs_long(&r, GUEST_CODE16);
	r.gpr[JOIST_RSP] = GUEST_CODE16 - 16;
	regs_write(vm, vcpu, JOIST_REGS_ALL, &r);
	vm->wake |= BIT(vcpu);
}

u32 run_once(struct vm *vm, u32 vcpu, struct joist_run_args *args)
{
	s64 ret;

	*args = (struct joist_run_args){ .head = { vm->id, vcpu } };
	ret = HC(HC_RUN, args);
	CHECK(!ret, "RUN gives %ld", ret);
	CHECK(args->exit > JOIST_EXIT_NONE && args->exit < JOIST_EXIT_COUNT,
	      "RUN gives exit %u", args->exit);
	CHECK(vm->run[vcpu]->exit == args->exit,
	      "exit %u in the run page, %u in the block",
	      vm->run[vcpu]->exit, args->exit);
	CHECK(!(args->wake >> vm->vcpus), "wake 0x%lx with %u vCPUs",
	      args->wake, vm->vcpus);
	if (args->wake)
		__atomic_or_fetch(&vm->wake, args->wake, __ATOMIC_SEQ_CST);
	vm->deadline[vcpu] = args->deadline;
	vm->last_exit[vcpu] = args->exit;
	return args->exit;
}

static bool wake_take(struct vm *vm, u32 vcpu)
{
	u64 bit = BIT(vcpu);

	return __atomic_fetch_and(&vm->wake, ~bit, __ATOMIC_SEQ_CST) & bit;
}

/* 0: the limit has passed. */
u32 run_user_limit(struct vm *vm, u32 vcpu, u64 limit)
{
	struct joist_run_args a;
	u64 armed = JOIST_NO_DEADLINE, next;
	u32 exit;

	for (;;) {
		next = MIN(vm->deadline[vcpu], limit);
		if (next != armed)
			timer_arm(armed = next);
		wake_take(vm, vcpu);
		exit = run_once(vm, vcpu, &a);
		switch (exit) {
		case JOIST_EXIT_INTR:
			vm->intr_exits++;
			irq_window();
			armed = JOIST_NO_DEADLINE;
			break;
		case JOIST_EXIT_TIMER:
		case JOIST_EXIT_WAKE:
			break;
		case JOIST_EXIT_HALTED:
			if (vm->wake & BIT(vcpu))
				break;
			if (a.deadline == JOIST_NO_DEADLINE)
				goto out;
			while (rdtsc() < MIN(a.deadline, limit) &&
			       !(vm->wake & BIT(vcpu))) {
				timer_arm(MIN(a.deadline, limit));
				sti_hlt();
			}
			armed = JOIST_NO_DEADLINE;
			break;
		default:
			goto out;
		}
		if (rdtsc() >= limit) {
			exit = 0;
			goto out;
		}
	}
out:
	timer_arm(JOIST_NO_DEADLINE);
	irq_window();
	return exit;
}

/* What a vCPU that did not end was at: the exits of each kind. */
static void print_exits(const struct vm *vm, u32 vcpu)
{
	static const char *const names[] = {
#define S(name, text) text,
		JOIST_STATS(S)
#undef S
	};
	struct joist_stats st = { .head = { vm->id, vcpu } };
	u32 i;

	HC_OK(HC_STATS, &st);
	print("# vCPU %u, runs %lu", vcpu, st.runs);
	for (i = 0; i < JOIST_STAT_COUNT; i++)
		if (st.count[i])
			print(", %s %lu", names[i], st.count[i]);
	print("\n");
}

u32 run_user(struct vm *vm, u32 vcpu)
{
	u32 exit = run_user_limit(vm, vcpu, rdtsc() + PORT_LIMIT);
	struct joist_regs r;

	if (!exit) {
		print_exits(vm, vcpu);
		regs_read(vm, vcpu, JOIST_REGS_ALL, &r);
		fail("vCPU %u runs and runs: rip 0x%lx rflags 0x%lx "
		     "rax 0x%lx rcx 0x%lx", vcpu, r.rip, r.rflags,
		     r.gpr[JOIST_RAX], r.gpr[JOIST_RCX]);
	}
	return exit;
}

/* Says as much as can be said of an exit nobody wanted. */
__noreturn static void unwanted(struct vm *vm, u32 vcpu, u32 exit)
{
	volatile struct joist_run *run = vm->run[vcpu];
	struct joist_lapic l = { 0 };
	struct joist_regs r;
	u32 i, irr = 0, isr = 0;

	switch (exit) {
	case JOIST_EXIT_IO:
		fail("vCPU %u: unexpected IO %s port 0x%x size %u count %u "
		     "data 0x%lx at 0x%lx", vcpu, run->io.in ? "in" : "out",
		     run->io.port, run->io.size, run->io.count,
		     run->io.data, run->rip);
	case JOIST_EXIT_MMIO:
		fail("vCPU %u: unexpected MMIO %s 0x%lx size %u data 0x%lx "
		     "at 0x%lx", vcpu, run->mmio.write ? "write" : "read",
		     run->mmio.gpa, run->mmio.size, run->mmio.data, run->rip);
	case JOIST_EXIT_ERROR:
		fail("vCPU %u: ERROR code %u detail 0x%lx 0x%lx 0x%lx 0x%lx "
		     "at 0x%lx", vcpu, run->error.code, run->error.detail[0],
		     run->error.detail[1], run->error.detail[2],
		     run->error.detail[3], run->rip);
	default:
		regs_read(vm, vcpu, JOIST_REGS_ALL, &r);
		l.head = (struct joist_head){ vm->id, vcpu };
		HC_OK(HC_READLAPIC, &l);
		for (i = 0; i < 8; i++) {
			if (l.regs[0x20 + i])
				irr = i * 32 + 31 -
				      __builtin_clz(l.regs[0x20 + i]);
			if (l.regs[0x10 + i])
				isr = i * 32 + 31 -
				      __builtin_clz(l.regs[0x10 + i]);
		}
		fail("vCPU %u: unexpected exit %s: rip 0x%lx rsp 0x%lx "
		     "rflags 0x%lx cr0 0x%lx cr2 0x%lx TPR 0x%x SVR 0x%x IRR "
		     "0x%x ISR 0x%x", vcpu, exit_name(exit), r.rip,
		     r.gpr[JOIST_RSP], r.rflags, r.cr0, r.cr2, l.regs[8],
		     l.regs[0xf], irr, isr);
	}
}

/* true: it was an exit of the payload's own protocol; *done if the last. */
static bool protocol(struct vm *vm, u32 vcpu, u32 exit, bool *done)
{
	volatile struct joist_run *run = vm->run[vcpu];
	struct gshare *s;

	*done = false;
	if (exit != JOIST_EXIT_IO || run->io.in)
		return false;
	if (run->io.port == SYNC_PORT) {
		if (vm->syncs < ARRAY_SIZE(vm->sync))
			vm->sync[vm->syncs] = run->io.data;
		vm->syncs++;
		return true;
	}
	if (run->io.port != DONE_PORT)
		return false;
	s = vm_share(vm);
	CHECK(!(run->io.data & 0xff), "in the guest (vCPU %u): %s", vcpu,
	      s->why);
	*done = true;
	return true;
}

void run_done(struct vm *vm, u32 vcpu)
{
	bool done = false;
	u32 exit;

	while (!done) {
		exit = run_user(vm, vcpu);
		if (vm->on_exit && vm->on_exit(vm, vcpu, exit))
			continue;
		if (!protocol(vm, vcpu, exit, &done))
			unwanted(vm, vcpu, exit);
	}
}

/* Whoever sleeps in run_share() on another core looks again. */
static void kick_cores(struct vm *vm, u32 core, u64 wake)
{
	u32 c;

	for (; wake; wake &= wake - 1) {
		c = (u32)__builtin_ctzll(wake) % vm->cores;
		if (c != core)
			apic_ipi(c, VEC_KICK);
	}
}

static bool wake_waiting(struct vm *vm, u32 core)
{
	u32 v;

	for (v = core; v < vm->vcpus; v += vm->cores)
		if (vm->wake & BIT(v))
			return true;
	return false;
}

/* Whether a vCPU is where it was when this was asked last. */
static bool stands(struct vm *vm, u32 v, u64 *rip)
{
	struct joist_regs r;
	u64 old = *rip;

	if (regs_call(HC_READREGS, vm->id, v, JOIST_REGS_GPR, &r))
		return false;
	*rip = r.rip;
	return r.rip == old;
}

/* The case has ended: no core waits for a vCPU of its any more. */
volatile u32 sweeping;

/* One core's share of the vCPUs, round robin. */
static void run_share(struct vm *vm, u32 core)
{
	u64 limit = rdtsc() + 3 * PORT_LIMIT, now, next;
	struct joist_run_args a;
	bool done = false, ran;
	u64 first, slice = SLICE, rip[JOIST_MAX_VCPUS] = { 0 };
	u32 v, exit;

	while (!vm->stop && !sweeping) {
		ran = false;
		first = JOIST_NO_DEADLINE;
		now = rdtsc();
		CHECK(now < limit, "core %u: the payload does not finish "
		      "(last exit %s)", core, exit_name(vm->last_exit[core]));
		for (v = core; v < vm->vcpus && !vm->stop; v += vm->cores) {
			/* A sleeper is let alone until it is woken. */
			if (!wake_take(vm, v) &&
			    vm->last_exit[v] == JOIST_EXIT_HALTED &&
			    vm->deadline[v] > rdtsc()) {
				first = MIN(first, vm->deadline[v]);
				continue;
			}
			ran = true;
			next = rdtsc() + slice;
			timer_arm(MIN(vm->deadline[v], next));
			exit = run_once(vm, v, &a);
			/* Where to begin takes as long, none would get on. */
			if (exit == JOIST_EXIT_INTR && stands(vm, v, &rip[v]))
				slice = MIN(slice * 2, 50 * SLICE);
			else
				slice = MAX(slice - slice / 8, SLICE);
			kick_cores(vm, core, a.wake);
			if (exit < JOIST_EXIT_IO)
				irq_window();
			if (exit < JOIST_EXIT_IO)
				continue;
			if (vm->on_exit && vm->on_exit(vm, v, exit))
				continue;
			if (!protocol(vm, v, exit, &done))
				unwanted(vm, v, exit);
			if (done) {
				vm->stop = 1;
				break;
			}
		}
		/* All asleep: until one's time has come, or another core kicks. */
		if (!ran && !vm->stop && !wake_waiting(vm, core)) {
			timer_arm(MIN(first, rdtsc() + 10 * SLICE));
			sti_hlt();
		}
		irq_window();
		/* One that has failed ends it for all. */
		for (v = 1; !core && v < vm->cores && !vm->stop; v++)
			if (job_done(v))
				job_wait(v);
	}
	timer_arm(JOIST_NO_DEADLINE);
	irq_window();
}

/* Where every vCPU stands, for a person to read. */
static void dump(struct vm *vm)
{
	struct joist_regs_args r;
	struct joist_lapic l;
	u32 v, i;

	for (v = 0; v < vm->vcpus; v++) {
		r = (struct joist_regs_args){
			.head = { vm->id, v }, .mask = JOIST_REGS_ALL,
		};
		l = (struct joist_lapic){ .head = { vm->id, v } };
		if (hc_raw_copy(HC_READREGS, &r, sizeof(r)) ||
		    hc_raw_copy(HC_READLAPIC, &l, sizeof(l)))
			continue;
		print("# vCPU %u: last exit %s, wake %u, rip 0x%lx rflags "
		      "0x%lx activity %u interruptibility 0x%x TPR 0x%x IRR",
		      v, exit_name(vm->last_exit[v]),
		      (u32)(vm->wake >> v) & 1, r.regs.rip, r.regs.rflags,
		      r.regs.activity, r.regs.interruptibility, l.regs[8]);
		for (i = 0; i < 8; i++)
			print(" %x", l.regs[0x20 + i]);
		print("\n");
	}
}

struct share {
	struct vm *vm;
	u32 core;
};

static void run_share_job(void *arg)
{
	struct share *s = arg;

	run_share(s->vm, s->core);
}

void run_vcpus(struct vm *vm, u32 cores)
{
	static struct share shares[MAX_CPUS];
	struct jump here, *outer = this_cpu()->escape;
	volatile int how;
	u32 i;

	cores = MIN(MIN(cores, cpu_count), vm->vcpus);
	vm->cores = cores;
	vm->stop = 0;
	vm->wake |= BIT(vm->vcpus) - 1;
	for (i = 1; i < cores; i++) {
		shares[i] = (struct share){ vm, i };
		job_start(i, run_share_job, &shares[i]);
	}
	/* Whatever happens here, the others must come back. */
	this_cpu()->escape = &here;
	how = jump_set(&here);
	if (!how)
		run_share(vm, 0);
	this_cpu()->escape = outer;
	vm->stop = 1;
	for (i = 1; i < cores; i++)
		if (!job_done(i))
			apic_ipi(i, VEC_KICK);
	if (how) {
		u64 limit = rdtsc() + PORT_LIMIT;

		for (i = 1; i < cores; i++)
			while (!job_done(i) && rdtsc() < limit)
				nap(us(10000));
		if (how == JUMP_FAIL && option_number("verbose", 0))
			dump(vm);
		jump_to(outer, how);
	}
	for (i = 1; i < cores; i++)
		job_wait(i);
}

void want_exit(struct vm *vm, u32 vcpu, u32 exit)
{
	u32 got = run_user(vm, vcpu);
	bool done;

	if (got == exit)
		return;
	if (protocol(vm, vcpu, got, &done) && done)
		fail("vCPU %u: the payload ended, want exit %s", vcpu,
		     exit_name(exit));
	unwanted(vm, vcpu, got);
}

void want_io(struct vm *vm, u32 vcpu, u16 port, u8 size, bool in)
{
	volatile struct joist_run *run = vm->run[vcpu];

	want_exit(vm, vcpu, JOIST_EXIT_IO);
	if (run->io.port != port || run->io.size != size || run->io.in != in)
		unwanted(vm, vcpu, JOIST_EXIT_IO);
}

void want_sync(struct vm *vm, u32 vcpu, u32 val)
{
	u32 got = run_user(vm, vcpu);
	volatile struct joist_run *run = vm->run[vcpu];
	bool done;

	if (got != JOIST_EXIT_IO || run->io.port != SYNC_PORT) {
		protocol(vm, vcpu, got, &done);
		unwanted(vm, vcpu, got);
	}
	CHECK(run->io.data == val, "vCPU %u is at sync point %lu, want %u",
	      vcpu, run->io.data, val);
}

s64 vm_intr_full(struct vm *vm, struct joist_intr *in)
{
	s64 ret;

	in->head.vm = vm->id;
	ret = HC(HC_INTR, in);
	if (!ret && in->wake)
		__atomic_or_fetch(&vm->wake, in->wake, __ATOMIC_SEQ_CST);
	return ret;
}

s64 vm_intr(struct vm *vm, u32 vcpu, u32 type, u32 vector)
{
	struct joist_intr in = {
		.head = { vm->id, vcpu }, .type = type, .vector = vector,
	};

	return vm_intr_full(vm, &in);
}
