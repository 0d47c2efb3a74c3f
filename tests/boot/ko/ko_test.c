// SPDX-License-Identifier: BSD-2-Clause
/*
 * ko_test.c -- joist.ko's interface, driven from the control VM.
 *
 * Prints one line a case, ends with "ko_test: N passed, M failed".  Guests
 * here are a few bytes of real-mode code at address 0.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "joist_ioctl.h"

#define MIB	(1ull << 20)

static int passed, failed;

static void check_at(int line, bool ok, const char *what)
{
	if (ok) {
		passed++;
	} else {
		failed++;
		printf("FAIL line %d: %s (errno %d)\n", line, what, errno);
	}
}
#define check(cond)	check_at(__LINE__, (cond), #cond)
#define check_err(expr, e)	check_at(__LINE__, \
	(errno = 0, (expr)) == -1 && errno == (e), #expr " == " #e)

static int ctl = -1;

static int create(int fd, const char *name, unsigned vcpus, unsigned flags)
{
	struct joist_create c = { .vcpus = vcpus, .flags = flags };

	memcpy(c.name, name, strnlen(name, sizeof(c.name)));
	return ioctl(fd, JOIST_CREATE, &c);
}

static int destroy(const char *name)
{
	struct joist_destroy d = { 0 };

	memcpy(d.name, name, strnlen(name, sizeof(d.name)));
	return ioctl(ctl, JOIST_DESTROY, &d);
}

static int vm_open(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), JOIST_VM_DIR "/%s", name);
	return open(path, O_RDWR | O_CLOEXEC);
}

static unsigned long long pool_free(void)
{
	struct joist_capabilities c = { 0 };

	if (ioctl(ctl, JOIST_CAPABILITIES, &c))
		return 0;
	return c.pool_free;
}

static int memseg(int vm, unsigned long cmd, unsigned seg, uint64_t size)
{
	struct joist_memseg m = { .seg = seg, .size = size };

	return ioctl(vm, cmd, &m);
}

static int protect(int vm, unsigned seg, unsigned access)
{
	struct joist_memseg m = { .seg = seg, .flags = access };

	return ioctl(vm, JOIST_MEMSEG_PROTECT, &m);
}

/* Segment 0 from its start on. */
static int query(int vm, struct joist_memseg *m)
{
	memset(m, 0, sizeof(*m));
	return ioctl(vm, JOIST_MEMSEG_QUERY, m);
}

static struct joist_run *run_page(int vm, unsigned vcpu)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vm,
		    vcpu * 4096);
}

static uint8_t *seg_mmap(int vm, unsigned seg, size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm,
		    JOIST_MMAP_SEG(seg));
}

/* Real mode at 0:0, with the flags as after reset. */
static int start_at_zero(int vm, unsigned vcpu)
{
	struct joist_regs_args r = { .head.vcpu = vcpu };

	r.mask = JOIST_REGS_SEG | JOIST_REGS_GPR | JOIST_REGS_EVENT;
	if (ioctl(vm, JOIST_READREGS, &r))
		return -1;
	r.regs.seg[JOIST_CS].base = 0;
	r.regs.seg[JOIST_CS].selector = 0;
	r.regs.rip = 0;
	r.regs.activity = JOIST_VCPU_IDLE;
	return ioctl(vm, JOIST_WRITEREGS, &r);
}

static int run(int vm, unsigned vcpu, unsigned *exit)
{
	int ret = ioctl(vm, JOIST_RUN, (unsigned long)vcpu);

	*exit = ret < 0 ? JOIST_EXIT_NONE : (unsigned)ret;
	return ret < 0 ? ret : 0;
}

static int run_on(int vm, unsigned vcpu, unsigned *exit)
{
	int ret;

	do
		ret = run(vm, vcpu, exit);
	while (ret && errno == EINTR);
	return ret;
}

/* A VM with 1 MiB at 0 that holds `code`; mem may be NULL. */
static int guest(const char *name, unsigned vcpus, const void *code, size_t len,
		 uint8_t **mem)
{
	uint8_t *p;
	unsigned i;
	int vm;

	if (create(ctl, name, vcpus, 0))
		return -1;
	vm = vm_open(name);
	if (vm < 0 || memseg(vm, JOIST_MEMSEG_ALLOC, 0, MIB))
		return -1;
	p = seg_mmap(vm, 0, MIB);
	if (p == MAP_FAILED)
		return -1;
	memcpy(p, code, len);
	for (i = 0; i < vcpus; i++)
		if (start_at_zero(vm, i))
			return -1;
	if (mem)
		*mem = p;
	else
		munmap(p, MIB);
	return vm;
}

static void wait_child(int pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static const uint8_t code_out[] = { 0xe6, 0x80, 0xeb, 0xfc };	/* out, jmp */
static const uint8_t code_spin[] = { 0xeb, 0xfe };
static const uint8_t code_hlt[] = { 0xfa, 0xf4, 0xeb, 0xfd };

static void test_create(void)
{
	static const char *const bad[] = {
		"", "/", "..", ".x", "-x", "a/b", "a b", "a\n", "\xe4",
		"0123456789012345678901234567890123456789",
	};
	struct stat st;
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_err(create(ctl, bad[i], 1, 0), EINVAL);
	check_err(create(ctl, "a", 0, 0), EINVAL);
	check_err(create(ctl, "a", JOIST_MAX_VCPUS + 1, 0), EINVAL);
	check_err(create(ctl, "a", ~0u, 0), EINVAL);
	check_err(create(ctl, "a", 1, 2), EINVAL);
	check_err(create(ctl, "a", 1, ~0u), EINVAL);
	check_err(ioctl(ctl, JOIST_CREATE, NULL), EFAULT);
	check_err(ioctl(ctl, JOIST_RUN, NULL), ENOTTY);
	check_err(ioctl(ctl, 0, NULL), ENOTTY);
	check_err(destroy("nobody"), ENOENT);
	check(create(ctl, "a.b-c_1", 2, 0) == 0);
	check(stat(JOIST_VM_DIR "/a.b-c_1", &st) == 0 &&
	      (st.st_mode & 0777) == 0660);
	check_err(create(ctl, "a.b-c_1", 1, 0), EEXIST);
	check(create(ctl, "joistctl", JOIST_MAX_VCPUS, 0) == 0);
	check(destroy("joistctl") == 0);
	check(destroy("a.b-c_1") == 0);
	check_err(destroy("a.b-c_1"), ENOENT);
	check(stat(JOIST_VM_DIR "/a.b-c_1", &st) == -1);
}

static void test_life(void)
{
	unsigned long long before = pool_free();
	struct joist_info info = { 0 };
	int fd, vm, other;

	/* The creator's descriptor alone holds it. */
	fd = open(JOIST_CTL_PATH, O_RDWR);
	check(create(fd, "x", 1, 0) == 0);
	close(fd);
	check(vm_open("x") == -1 && errno == ENOENT);
	/* Then the VM's own. */
	fd = open(JOIST_CTL_PATH, O_RDWR);
	check(create(fd, "x", 1, 0) == 0);
	vm = vm_open("x");
	close(fd);
	other = vm_open("x");
	check(vm >= 0 && other >= 0);
	check(memseg(vm, JOIST_MEMSEG_ALLOC, 0, 4 * MIB) == 0);
	check(pool_free() < before);
	close(vm);
	check(memseg(other, JOIST_MEMSEG_QUERY, 0, 0) == 0);
	close(other);
	check(pool_free() == before);
	/* A persistent one outlives them. */
	fd = open(JOIST_CTL_PATH, O_RDWR);
	check(create(fd, "p", 1, JOIST_CREATE_PERSISTENT) == 0);
	close(fd);
	vm = vm_open("p");
	check(vm >= 0);
	close(vm);
	check(ioctl(ctl, JOIST_INFO, &info) == 0 && !strcmp(info.name, "p"));
	check(destroy("p") == 0);
	memset(&info, 0, sizeof(info));
	check_err(ioctl(ctl, JOIST_INFO, &info), ENOENT);
	check(pool_free() == before);
}

/* Who may read a VM's node may look, and no more. */
static void test_read_only(void)
{
	struct joist_regs_args r = { .mask = JOIST_REGS_GPR };
	struct joist_memseg m = { 0 };
	unsigned exit;
	int fd, vm;

	check(create(ctl, "r", 1, 0) == 0);
	vm = vm_open("r");
	fd = open(JOIST_VM_DIR "/r", O_RDONLY | O_CLOEXEC);
	check(vm >= 0 && fd >= 0);
	check(ioctl(fd, JOIST_READREGS, &r) == 0);
	check_err(ioctl(fd, JOIST_WRITEREGS, &r), EBADF);
	check_err(run(fd, 0, &exit), EBADF);
	check_err(memseg(fd, JOIST_MEMSEG_ALLOC, 0, MIB), EBADF);
	check(memseg(vm, JOIST_MEMSEG_ALLOC, 0, MIB) == 0);
	check(query(fd, &m) == 0);
	close(fd);
	close(vm);
	fd = open(JOIST_CTL_PATH, O_RDONLY | O_CLOEXEC);
	check_err(create(fd, "s", 1, 0), EBADF);
	close(fd);
	check(destroy("r") == 0);
}

/* An old node leads to no other VM. */
static void test_minor(void)
{
	struct stat one, other;

	check(create(ctl, "m", 1, 0) == 0);
	check(stat(JOIST_VM_DIR "/m", &one) == 0);
	check(destroy("m") == 0);
	check(create(ctl, "m", 1, 0) == 0);
	check(stat(JOIST_VM_DIR "/m", &other) == 0);
	check(one.st_rdev != other.st_rdev);
	check(destroy("m") == 0);
}

static void test_hibernate(void)
{
	int fd = open("/sys/power/state", O_WRONLY | O_CLOEXEC);

	check(fd >= 0);
	check_err(write(fd, "disk", 4), EBUSY);
	close(fd);
}

static void test_memory(void)
{
	unsigned long long before = pool_free();
	struct joist_memseg q;
	uint8_t *p, *half;
	size_t i;
	int vm;

	check(create(ctl, "m", 2, 0) == 0);
	vm = vm_open("m");
	check_err(memseg(vm, JOIST_MEMSEG_ALLOC, 0, 0), EINVAL);
	check_err(memseg(vm, JOIST_MEMSEG_ALLOC, 0, 4095), EINVAL);
	check_err(memseg(vm, JOIST_MEMSEG_ALLOC, JOIST_MAX_MEMSEGS, MIB), EINVAL);
	check_err(memseg(vm, JOIST_MEMSEG_ALLOC, ~0u, MIB), EINVAL);
	check_err(memseg(vm, JOIST_MEMSEG_ALLOC, 0, 1ull << 50), EINVAL);
	check(pool_free() <= before);
	check(memseg(vm, JOIST_MEMSEG_ALLOC, 0, 8 * MIB) == 0);
	check_err(memseg(vm, JOIST_MEMSEG_ALLOC, 0, MIB), EEXIST);
	check(mmap(NULL, 4096, PROT_READ, MAP_SHARED, vm, 2 * 4096) == MAP_FAILED);
	check(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, vm, 0) == MAP_FAILED);
	check(mmap(NULL, 3 * 4096, PROT_READ, MAP_SHARED, vm, 0) == MAP_FAILED);
	check(seg_mmap(vm, 1, MIB) == MAP_FAILED);
	check(seg_mmap(vm, JOIST_MAX_MEMSEGS, MIB) == MAP_FAILED);
	check(seg_mmap(vm, 0, 8 * MIB + 4096) == MAP_FAILED);
	p = seg_mmap(vm, 0, 8 * MIB);
	check(p != MAP_FAILED);
	for (i = 0; i < 8 * MIB && p[i] == 0; i++)
		;
	check(i == 8 * MIB);
	for (i = 0; i < 8 * MIB; i += 4096)
		*(size_t *)(p + i) = i;
	half = mmap(NULL, 4 * MIB, PROT_READ, MAP_SHARED, vm,
		    JOIST_MMAP_SEG(0) + 4 * MIB);
	check(half != MAP_FAILED);
	for (i = 0; i < 4 * MIB; i += 4096)
		if (*(size_t *)(half + i) != i + 4 * MIB)
			break;
	check(i == 4 * MIB);
	check_err(memseg(vm, JOIST_MEMSEG_FREE, 0, 0), EBUSY);
	/* What it is, but not where in the machine. */
	check(query(vm, &q) == 0 && q.flags == 1 && q.size == 8 * MIB);
	check(q.hpa == 0 && q.len == 0);
	memset(&q, 0, sizeof(q));
	q.seg = JOIST_SEG_RUN;
	check(ioctl(vm, JOIST_MEMSEG_QUERY, &q) == 0 && q.hpa == 0 && q.len == 0);
	/* Split, and unmap the middle: still mapped for the control VM. */
	munmap(p + 2 * MIB, 2 * MIB);
	munmap(half, 4 * MIB);
	check(*(size_t *)(p + 4 * MIB) == 4 * MIB);
	munmap(p, 2 * MIB);
	check(query(vm, &q) == 0 && q.flags == 1);
	munmap(p + 4 * MIB, 4 * MIB);
	check(query(vm, &q) == 0 && q.flags == 0);
	/* By ioctl. */
	check_err(memseg(vm, JOIST_MEMSEG_UNMAP, 0, 0), ENOENT);
	check_err(protect(vm, 0, JOIST_SEG_WRITE), EINVAL);
	check_err(protect(vm, 1, JOIST_SEG_READ), ENOENT);
	check_err(protect(vm, JOIST_MAX_MEMSEGS, JOIST_SEG_READ), ENOENT);
	check(protect(vm, 0, 0) == 0);
	check(memseg(vm, JOIST_MEMSEG_MAP, 0, 0) == 0);
	check_err(memseg(vm, JOIST_MEMSEG_MAP, 0, 0), EEXIST);
	check_err(memseg(vm, JOIST_MEMSEG_FREE, 0, 0), EBUSY);
	check(memseg(vm, JOIST_MEMSEG_UNMAP, 0, 0) == 0);
	/* The contents stay. */
	p = seg_mmap(vm, 0, 8 * MIB);
	check(*(size_t *)(p + 6 * MIB) == 6 * MIB);
	munmap(p, 8 * MIB);
	check(memseg(vm, JOIST_MEMSEG_FREE, 0, 0) == 0);
	check_err(memseg(vm, JOIST_MEMSEG_FREE, 0, 0), ENOENT);
	close(vm);
	check(destroy("m") == 0);
	check(pool_free() == before);
}

static int pages(int vm, unsigned long cmd, unsigned seg, unsigned page, unsigned count)
{
	struct joist_pages p = {
		.seg = seg, .ranges = 2, .range = { { page, count }, { page, 0 } },
	};

	return ioctl(vm, cmd, &p);
}

static uint64_t vm_memory(const char *name)
{
	struct joist_info info = { 0 };

	for (; ioctl(ctl, JOIST_INFO, &info) == 0; info.head.vm = 0)
		if (!strcmp(info.name, name))
			return info.memory;
	return 0;
}

/* mov 0x8000, %al; out; jmp */
static const uint8_t code_read[] = { 0xa0, 0x00, 0x80, 0xe6, 0x80, 0xeb, 0xf9 };

static void test_pages(void)
{
	unsigned long long before = pool_free(), with;
	struct joist_run *page;
	struct joist_pages p = { .ranges = JOIST_PAGE_RANGES + 1 };
	uint8_t *mem;
	unsigned exit;
	int vm = guest("b", 1, code_read, sizeof(code_read), &mem), pid, status;

	check(vm >= 0);
	page = run_page(vm, 0);
	with = pool_free();
	check_err(pages(vm, JOIST_MEMSEG_DROP, 0, 256, 1), EINVAL);
	check_err(pages(vm, JOIST_MEMSEG_DROP, 0, 1, ~0u), EINVAL);
	check_err(pages(vm, JOIST_MEMSEG_FILL, 0, ~0u, ~0u), EINVAL);
	check_err(pages(vm, JOIST_MEMSEG_DROP, 1, 0, 1), ENOENT);
	check_err(pages(vm, JOIST_MEMSEG_DROP, JOIST_MAX_MEMSEGS, 0, 1), ENOENT);
	check_err(pages(vm, JOIST_MEMSEG_FILL, ~0u, 0, 1), ENOENT);
	check_err(ioctl(vm, JOIST_MEMSEG_DROP, &p), EINVAL);
	check_err(ioctl(vm, JOIST_MEMSEG_DROP, NULL), EFAULT);
	check(pool_free() == with);
	memset(mem + 0x7000, 7, 0x4000);
	check(run_on(vm, 0, &exit) == 0 && exit == JOIST_EXIT_IO && page->io.data == 7);
	/* Two pages go: what is read and written there now is in one of no use. */
	check(pages(vm, JOIST_MEMSEG_DROP, 0, 8, 2) == 0);
	check(pool_free() == with + 8192);
	check(vm_memory("b") == MIB - 8192);
	check(mem[0x7fff] == 7 && mem[0x8000] == 0 && mem[0x9fff] == 0 && mem[0xa000] == 7);
	mem[0x8000] = 9;
	check(mem[0x9000] == 9);
	pid = fork();
	if (pid == 0)
		_exit(mem[0x8000] == 9 && mem[0x7fff] == 7 ? 0 : 1);
	check(waitpid(pid, &status, 0) == pid && status == 0);
	check(run_on(vm, 0, &exit) == 0 && exit == JOIST_EXIT_MMIO &&
	      page->mmio.gpa == 0x8000 && !page->mmio.write);
	page->mmio.data = 0x55;
	check(run_on(vm, 0, &exit) == 0 && exit == JOIST_EXIT_IO && page->io.data == 0x55);
	/* Gone once more is no error; then they are there again, and clean. */
	check(pages(vm, JOIST_MEMSEG_DROP, 0, 8, 1) == 0);
	check(pages(vm, JOIST_MEMSEG_FILL, 0, 0, 256) == 0);
	check(vm_memory("b") == MIB && pool_free() == with);
	check(mem[0x8000] == 0 && mem[0x9000] == 0 && mem[0x7fff] == 7 && mem[0xa000] == 7);
	mem[0x8000] = 3;
	check(run_on(vm, 0, &exit) == 0 && exit == JOIST_EXIT_IO && page->io.data == 3);
	/* Without a mapping, and then with a new one. */
	munmap(mem, MIB);
	check(pages(vm, JOIST_MEMSEG_DROP, 0, 8, 1) == 0);
	check(pool_free() >= with + 4096);
	mem = seg_mmap(vm, 0, MIB);
	check(mem != MAP_FAILED && mem[0x8000] == 9 && mem[0x9000] == 0 && mem[0x7fff] == 7);
	munmap(mem, MIB);
	munmap(page, 4096);
	close(vm);
	check(destroy("b") == 0);
	check(pool_free() == before);
}

/* Processes go on writing to pages that come and go. */
static void test_pages_race(int rounds)
{
	unsigned long long before = pool_free();
	int vm, i, pid[2], status;
	unsigned exit = 0;
	uint8_t *mem;

	vm = guest("c", 1, code_read, sizeof(code_read), &mem);
	check(vm >= 0);
	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			for (;; exit++)
				mem[4096 + exit % 255 * 4096u] = 0xaa;
	}
	for (i = 0; i < rounds; i++) {
		check(pages(vm, JOIST_MEMSEG_DROP, 0, 1 + i % 200, 1 + i % 50) == 0);
		check(run_on(vm, 0, &exit) == 0);
		if (i % 3 == 0)
			check(pages(vm, JOIST_MEMSEG_FILL, 0, 1, 255) == 0);
	}
	for (i = 0; i < 2; i++) {
		check(waitpid(pid[i], &status, WNOHANG) == 0);
		kill(pid[i], SIGKILL);
		wait_child(pid[i]);
	}
	munmap(mem, MIB);
	close(vm);
	check(destroy("c") == 0);
	check(pool_free() == before);
}

static void test_run(void)
{
	struct joist_run *page;
	unsigned exit, i, n = 0;
	int vm;

	vm = guest("r", 1, code_out, sizeof(code_out), NULL);
	check(vm >= 0);
	page = run_page(vm, 0);
	check(page != MAP_FAILED);
	/* On a busy machine Linux may want the thread in between. */
	for (i = 0; i < 1000; i++)
		n += run_on(vm, 0, &exit) == 0 && exit == JOIST_EXIT_IO &&
		     page->exit == JOIST_EXIT_IO && page->io.port == 0x80;
	check(n == 1000);
	if (n != 1000)
		printf("exit %u rip %#llx port %#x error %u detail %#llx %#llx\n",
		       page->exit, (unsigned long long)page->rip,
		       page->io.port, page->error.code,
		       (unsigned long long)page->error.detail[0],
		       (unsigned long long)page->error.detail[1]);
	check_err(run(vm, 1, &exit), EINVAL);
	check_err(run(vm, ~0u, &exit), EINVAL);
	check_err(ioctl(vm, JOIST_RUN, 1ul << 32), EINVAL);
	check_err(ioctl(vm, JOIST_CREATE, NULL), ENOTTY);
	check_err(ioctl(vm, JOIST_READREGS, NULL), EFAULT);
	munmap(page, 4096);
	close(vm);
	check(destroy("r") == 0);
}

struct runner {
	int vm;
	unsigned vcpu, exit;
	int ret, err;
	pthread_t thread;
	volatile int running, kicked;
};

static void *runner_main(void *arg)
{
	struct runner *r = arg;

	r->running = 1;
	/* EINTR without a reason is allowed, and means: again. */
	do {
		r->ret = run(r->vm, r->vcpu, &r->exit);
	} while (r->ret < 0 && errno == EINTR && !r->kicked);
	r->err = errno;
	return NULL;
}

static void runner_start(struct runner *r, int vm, unsigned vcpu)
{
	r->vm = vm;
	r->vcpu = vcpu;
	r->running = r->kicked = 0;
	pthread_create(&r->thread, NULL, runner_main, r);
	while (!r->running)
		usleep(1000);
	usleep(20000);
}

static void test_threads(const uint8_t *code, size_t len)
{
	struct joist_regs_args regs = { .mask = JOIST_REGS_GPR };
	struct joist_vm head = { 0 };
	struct runner r;
	unsigned exit, i, n;
	int vm;

	vm = guest("t", 2, code, len, NULL);
	check(vm >= 0);
	/* While it runs: one runner, registers by kicking, then a kick. */
	runner_start(&r, vm, 0);
	check_err(run(vm, 0, &exit), EBUSY);
	for (i = n = 0; i < 100; i++)
		n += ioctl(vm, JOIST_READREGS, &regs) == 0;
	check(n == 100);
	check(memseg(vm, JOIST_MEMSEG_ALLOC, 1, 0) == -1);
	/* The memory its code is in. */
	for (i = n = 0; i < 100; i++)
		n += protect(vm, 0, i & 1 ? JOIST_SEG_RW : JOIST_SEG_READ) == 0;
	check(n == 100);
	r.kicked = 1;
	check(ioctl(vm, JOIST_KICK, &head) == 0);
	pthread_join(r.thread, NULL);
	check(r.ret == -1 && r.err == EINTR);
	/* A kick that nobody met yet. */
	check(ioctl(vm, JOIST_KICK, &head) == 0);
	check_err(run(vm, 0, &exit), EINTR);
	head.head.vcpu = 2;
	check_err(ioctl(vm, JOIST_KICK, &head), EINVAL);
	head.head.vcpu = 0;
	/* TERM ends it. */
	runner_start(&r, vm, 0);
	check(ioctl(vm, JOIST_TERM, &head) == 0);
	pthread_join(r.thread, NULL);
	check(r.ret == 0 && r.exit == JOIST_EXIT_TERM);
	close(vm);
	check(destroy("t") == 0);
	/* DESTROY by name ends it too. */
	vm = guest("t", 2, code, len, NULL);
	runner_start(&r, vm, 1);
	check(destroy("t") == 0);
	pthread_join(r.thread, NULL);
	check(r.ret == -1 && r.err == ENXIO);
	check_err(run(vm, 0, &exit), ENXIO);
	check_err(ioctl(vm, JOIST_READREGS, &regs), ENXIO);
	check_err(memseg(vm, JOIST_MEMSEG_ALLOC, 0, MIB), ENXIO);
	check(seg_mmap(vm, 0, MIB) == MAP_FAILED && errno == ENXIO);
	close(vm);
}

static int doorbell(int vm, uint64_t addr, unsigned size, int fd,
		    unsigned flags, uint64_t value)
{
	struct joist_doorbell d = {
		.addr = addr, .size = size, .fd = fd, .flags = flags,
		.value = value,
	};

	return ioctl(vm, JOIST_DOORBELL, &d);
}

static int irqfd(int vm, int fd, unsigned flags, uint64_t data)
{
	struct joist_irqfd d = {
		.fd = fd, .flags = flags, .msi_address = 0xfee00000,
		.msi_data = data,
	};

	return ioctl(vm, JOIST_IRQFD, &d);
}

static uint64_t count(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* Writes to port 0x80 ten times, then to 0x81, then again. */
static const uint8_t code_ring[] = {
	0xb9, 0x0a, 0x00,	/* mov cx, 10 */
	0xe6, 0x80,		/* out 0x80, al */
	0xe2, 0xfc,		/* loop */
	0xe6, 0x81,		/* out 0x81, al */
	0xeb, 0xf5,		/* jmp */
};

/* The same to memory: 2 bytes at 1 MiB, where there is none. */
static const uint8_t code_ring_mem[] = {
	0xb8, 0xff, 0xff,	/* mov ax, 0xffff */
	0x8e, 0xd8,		/* mov ds, ax */
	0xb9, 0x0a, 0x00,	/* mov cx, 10 */
	0xb8, 0x34, 0x12,	/* mov ax, 0x1234 */
	0xa3, 0x10, 0x00,	/* mov [0x10], ax */
	0xe2, 0xfb,		/* loop */
	0xe6, 0x81,		/* out 0x81, al */
	0xeb, 0xf1,		/* jmp */
};

static void test_doorbell_refusals(int vm, int fd)
{
	struct joist_doorbell d = { .size = 1, .fd = fd, .reserved = 1 };
	int i, more;

	check_err(ioctl(vm, JOIST_DOORBELL, &d), EINVAL);
	d.reserved = 0;
	d.head.vcpu = 1;
	check_err(ioctl(vm, JOIST_DOORBELL, &d), EINVAL);
	check_err(doorbell(vm, 0, 3, fd, 0, 0), EINVAL);
	check_err(doorbell(vm, 0, 0, fd, 0, 0), EINVAL);
	check_err(doorbell(vm, 0, 16, fd, 0, 0), EINVAL);
	check_err(doorbell(vm, 0, 1, fd, 1u << 4, 0), EINVAL);
	check_err(doorbell(vm, 0, 1, fd, 0, 5), EINVAL);
	check_err(doorbell(vm, 0xffff, 2, fd, JOIST_EVENT_PORT, 0), EINVAL);
	check_err(doorbell(vm, 0, 8, fd, JOIST_EVENT_PORT, 0), EINVAL);
	check_err(doorbell(vm, ~0ull, 1, fd, 0, 0), EINVAL);
	check_err(doorbell(vm, 0, 1, -1, 0, 0), EBADF);
	check_err(doorbell(vm, 0, 1, vm, 0, 0), EINVAL);
	check_err(doorbell(vm, 0, 1, fd, JOIST_EVENT_REMOVE, 0), ENOENT);
	check_err(irqfd(vm, -1, 0, 0), EBADF);
	check_err(irqfd(vm, vm, 0, 0), EINVAL);
	check_err(irqfd(vm, fd, 1u << 2, 0), EINVAL);
	check_err(irqfd(vm, fd, JOIST_EVENT_REMOVE, 0), ENOENT);
	/* There is an end to them. */
	for (i = 0; i < 10000 && !doorbell(vm, 16 * (uint64_t)i, 1, fd, 0, 0);
	     i++)
		;
	check(i == 1024 && errno == ENOSPC);
	check(doorbell(vm, 0, 0, -1, JOIST_EVENT_CLEAR, 0) == 0);
	for (i = 0; i < 10000; i++) {
		more = eventfd(0, 0);
		if (more < 0 || irqfd(vm, more, 0, 0))
			break;
		close(more);
	}
	check(i == 1024 && errno == ENOSPC);
	close(more);
	check(irqfd(vm, -1, JOIST_EVENT_CLEAR, 0) == 0);
	close(eventfd(0, 0));
}

/* Function call interrupts, which an expedited RCU grace period is made of. */
static long calls_on(unsigned cpu)
{
	FILE *f = fopen("/proc/interrupts", "r");
	char line[4096], *p;
	long n = -1;

	while (f && fgets(line, sizeof(line), f)) {
		p = strstr(line, "CAL:");
		if (!p)
			continue;
		p += 4;
		do
			n = strtol(p, &p, 10);
		while (cpu--);
		break;
	}
	if (f)
		fclose(f);
	return n;
}

static void stay_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* A guest can have them come and go as it likes: no other CPU may notice. */
static void test_doorbell_quiet(void)
{
	int fd = eventfd(0, EFD_NONBLOCK), vm, pid, i;
	cpu_set_t all;
	long before;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return;
	vm = guest("q", 1, code_hlt, sizeof(code_hlt), NULL);
	check(vm >= 0);
	/* RCU asks busy CPUs only. */
	pid = fork();
	if (!pid) {
		stay_on(1);
		for (;;)
			;
	}
	sched_getaffinity(0, sizeof(all), &all);
	stay_on(0);
	usleep(100000);
	before = calls_on(1);
	for (i = 0; i < 200; i++)
		if (doorbell(vm, 0, 1, fd, 0, 0) ||
		    doorbell(vm, 0, 1, fd, JOIST_EVENT_REMOVE, 0))
			break;
	check(i == 200);
	check(before >= 0 && calls_on(1) - before < 100);
	sched_setaffinity(0, sizeof(all), &all);
	kill(pid, SIGKILL);
	wait_child(pid);
	close(vm);
	check(destroy("q") == 0);
	close(fd);
}

/* Doorbells by port and by memory: no exit, and all of them counted. */
static void test_doorbell(const uint8_t *code, size_t len, uint64_t addr,
			  unsigned size, unsigned flags, uint64_t value)
{
	int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK);
	struct joist_run *page;
	unsigned exit;
	int vm;

	vm = guest("d", 2, code, len, NULL);
	page = run_page(vm, 0);
	check(vm >= 0 && page != MAP_FAILED);
	test_doorbell_refusals(vm, fd);
	check(doorbell(vm, addr, size, fd, flags, 0) == 0);
	check_err(doorbell(vm, addr, size, fd, flags, 0), EEXIST);
	check_err(doorbell(vm, addr, size, other, flags, 0), EEXIST);
	check(run_on(vm, 0, &exit) == 0 && exit == JOIST_EXIT_IO &&
	      page->io.port == 0x81);
	check(count(fd) == 10);
	/* Of another value: not a doorbell, so it exits. */
	check(doorbell(vm, addr, size, fd, flags | JOIST_EVENT_REMOVE, 0) == 0);
	check(doorbell(vm, addr, size, other, flags | JOIST_EVENT_MATCH,
		       value + 1) == 0);
	check(run_on(vm, 0, &exit) == 0 && !(exit == JOIST_EXIT_IO &&
					     page->io.port == 0x81));
	check(count(other) == 0);
	check(doorbell(vm, addr, size, fd, flags | JOIST_EVENT_MATCH,
		       value) == 0);
	check(run_on(vm, 0, &exit) == 0 && exit == JOIST_EXIT_IO &&
	      page->io.port == 0x81);
	check(count(fd) == 9 && count(other) == 0);
	/* The eventfd's file is closed first; then the VM goes with them. */
	close(other);
	munmap(page, 4096);
	close(vm);
	check(destroy("d") == 0);
	close(fd);
}

static void test_irqfd(void)
{
	struct joist_lapic l = { { 0, 0 }, 0, 0, { 0 }, 0 };
	int fd = eventfd(0, EFD_NONBLOCK), vm;
	uint64_t one = 1;

	vm = guest("i", 2, code_hlt, sizeof(code_hlt), NULL);
	check(vm >= 0);
	/* Software-enabled, so that it takes vectors. */
	check(ioctl(vm, JOIST_READLAPIC, &l) == 0);
	l.regs[0xf0 / 16] |= 0x100;
	check(ioctl(vm, JOIST_WRITELAPIC, &l) == 0);
	/* Counted before it was an interrupt: delivered all the same. */
	check(write(fd, &one, 8) == 8);
	check(irqfd(vm, fd, 0, 0x4030) == 0);
	check(ioctl(vm, JOIST_READLAPIC, &l) == 0);
	check(l.regs[0x210 / 16] == 1u << 16);
	/* Another message for the same eventfd. */
	check(irqfd(vm, fd, 0, 0x4041) == 0);
	check(write(fd, &one, 8) == 8);
	check(ioctl(vm, JOIST_READLAPIC, &l) == 0);
	check(l.regs[0x210 / 16] == 1u << 16);
	check(l.regs[0x220 / 16] == 1u << 1);
	check(count(fd) == 0);
	/* Removed: it counts again. */
	check(irqfd(vm, fd, JOIST_EVENT_REMOVE, 0) == 0);
	check(write(fd, &one, 8) == 8);
	check(count(fd) == 1);
	/* Nonsense goes nowhere. */
	check(irqfd(vm, fd, 0, ~0ull) == 0);
	check(write(fd, &one, 8) == 8);
	/* The VM goes first. */
	close(vm);
	check(destroy("i") == 0);
	check(write(fd, &one, 8) == 8);
	check(count(fd) == 1);
	close(fd);
}

struct storm {
	int fd;
	volatile int stop;
};

static void *storm_main(void *arg)
{
	struct storm *s = arg;
	uint64_t one = 1;

	while (!s->stop)
		if (write(s->fd, &one, 8) != 8)
			usleep(100);
	return NULL;
}

/* Added, signalled, removed and destroyed at the same time. */
static void test_events_race(int rounds)
{
	unsigned long long before = pool_free();
	struct storm s = { eventfd(0, EFD_NONBLOCK), 0 };
	struct runner r;
	pthread_t t;
	int i, j, vm;

	pthread_create(&t, NULL, storm_main, &s);
	for (i = 0; i < rounds; i++) {
		vm = guest("e", 1, code_ring, sizeof(code_ring), NULL);
		runner_start(&r, vm, 0);
		for (j = 0; j < 20; j++) {
			doorbell(vm, 0x81, 1, s.fd, JOIST_EVENT_PORT, 0);
			doorbell(vm, 0x80, 1, s.fd, JOIST_EVENT_PORT, 0);
			irqfd(vm, s.fd, 0, 0x4030 + j);
			if (j % 3 == 0)
				irqfd(vm, s.fd, JOIST_EVENT_REMOVE, 0);
			if (j % 5 == 0)
				doorbell(vm, 0, 0, -1, JOIST_EVENT_CLEAR, 0);
		}
		r.kicked = 1;
		check(destroy("e") == 0);
		pthread_join(r.thread, NULL);
		check_err(doorbell(vm, 0x80, 1, s.fd, JOIST_EVENT_PORT, 0),
			  ENXIO);
		check_err(irqfd(vm, s.fd, 0, 0), ENXIO);
		close(vm);
	}
	s.stop = 1;
	pthread_join(t, NULL);
	close(s.fd);
	check(pool_free() == before);
}

static sigjmp_buf bus;

static void on_bus(int sig)
{
	siglongjmp(bus, sig);
}

static void test_zap(void)
{
	uint8_t *mem;
	volatile int got = 0;
	int vm, pid, status;

	signal(SIGBUS, on_bus);
	vm = guest("z", 1, code_out, sizeof(code_out), &mem);
	check(vm >= 0);
	mem[100] = 1;
	/* A child has the mapping as well, and goes. */
	pid = fork();
	if (pid == 0)
		_exit(mem[100] == 1 ? 0 : 1);
	check(waitpid(pid, &status, 0) == pid && status == 0);
	mem[200] = 1;
	check(destroy("z") == 0);
	if (!sigsetjmp(bus, 1))
		mem[300] = 1;
	else
		got = 1;
	check(got);
	munmap(mem, MIB);
	close(vm);
	signal(SIGBUS, SIG_DFL);
}

static int seg_fd(int vm, unsigned seg)
{
	struct joist_segment_fd a = { .seg = seg };

	return ioctl(vm, JOIST_SEGMENT, &a) ? -1 : a.fd;
}

static bool writes_fault(uint8_t *p)
{
	if (sigsetjmp(bus, 1))
		return true;
	*(volatile uint8_t *)p = 1;
	return false;
}

static void *map_fd(int fd, size_t size, off_t at)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);
}

static void test_segment_refusals(int vm, int fd)
{
	struct joist_segment_fd a = { .fd = 1 };
	struct joist_vm head = { 0 };
	char path[64];
	int ro;

	check_err(ioctl(vm, JOIST_SEGMENT, NULL), EFAULT);
	check_err(ioctl(vm, JOIST_SEGMENT, &a), EINVAL);
	a.fd = 0;
	a.head.vcpu = 1;
	check_err(ioctl(vm, JOIST_SEGMENT, &a), EINVAL);
	check_err(seg_fd(vm, 2), ENOENT);
	check_err(seg_fd(vm, JOIST_MAX_MEMSEGS), EINVAL);
	check_err(seg_fd(vm, ~0u), EINVAL);
	check_err(seg_fd(ctl, 0), ENOTTY);
	/* To be mapped, within the segment, and nothing else. */
	check(map_fd(fd, MIB + 4096, 0) == MAP_FAILED && errno == EINVAL);
	check(map_fd(fd, 4096, MIB) == MAP_FAILED && errno == EINVAL);
	check(map_fd(fd, 4096, JOIST_MMAP_SEG(0)) == MAP_FAILED &&
	      errno == EINVAL);
	check(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	check_err(ioctl(fd, JOIST_TERM, &head), ENOTTY);
	check_err(seg_fd(fd, 0), ENOTTY);
	check(read(fd, path, 1) == -1 && write(fd, path, 1) == -1);
	check(lseek(fd, 4096, SEEK_SET) == -1 && errno == ESPIPE);
	check(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	/* Not more than its maker may. */
	ro = open(JOIST_VM_DIR "/s", O_RDONLY | O_CLOEXEC);
	fd = seg_fd(ro, 0);
	check(fd >= 0 && map_fd(fd, 4096, 0) == MAP_FAILED && errno == EACCES);
	close(fd);
	close(ro);
}

/* Descriptors of segments: in other processes, and longer than the VM's. */
static void test_segment(void)
{
	unsigned long long before = pool_free();
	uint8_t *mem, *seg, *half, *next;
	int own, vm, fd, second, pid, status;

	signal(SIGBUS, on_bus);
	vm = guest("s", 1, code_out, sizeof(code_out), &mem);
	check(vm >= 0);
	own = ctl;
	fd = seg_fd(vm, 0);
	check(fd >= 0);
	test_segment_refusals(vm, fd);
	seg = map_fd(fd, MIB, 0);
	half = map_fd(fd, MIB / 2, MIB / 2);
	check(seg != MAP_FAILED && half != MAP_FAILED);
	check(!memcmp(seg, code_out, sizeof(code_out)));
	seg[MIB / 2] = 42;
	check(mem[MIB / 2] == 42 && half[0] == 42);
	/* A child has the mappings, makes one more, and writes. */
	pid = fork();
	if (pid == 0) {
		next = map_fd(fd, MIB, 0);
		half[1] = 43;
		next[MIB / 2 + 2] = seg[MIB / 2] + 2;
		munmap(seg + 4096, 4096);
		_exit(next == MAP_FAILED);
	}
	check(waitpid(pid, &status, 0) == pid && status == 0);
	check(mem[MIB / 2 + 1] == 43 && mem[MIB / 2 + 2] == 44);
	munmap(mem, MIB);
	munmap(half, MIB / 2);
	check(seg[MIB / 2 + 1] == 43);
	/* Destroyed under its mappings, here and in a child. */
	pid = fork();
	if (pid == 0) {
		while (!writes_fault(seg))
			usleep(1000);
		_exit(0);
	}
	check(destroy("s") == 0);
	check(writes_fault(seg));
	check(waitpid(pid, &status, 0) == pid && status == 0);
	check(map_fd(fd, 4096, 0) == MAP_FAILED && errno == ENXIO);
	check_err(seg_fd(vm, 0), ENXIO);
	munmap(seg, MIB);
	close(fd);
	close(vm);
	check(pool_free() == before);
	/* It is the last that is left of a VM; then a mapping of it is. */
	ctl = open(JOIST_CTL_PATH, O_RDWR | O_CLOEXEC);
	vm = guest("s", 1, code_out, sizeof(code_out), NULL);
	fd = seg_fd(vm, 0);
	check(fd >= 0);
	close(vm);
	close(ctl);
	ctl = own;
	check(pool_free() < before);
	vm = vm_open("s");
	check(memseg(vm, JOIST_MEMSEG_ALLOC, 1, 0) == -1 && errno != ENXIO);
	second = seg_fd(vm, 0);
	close(vm);
	close(fd);
	seg = map_fd(second, MIB, 0);
	close(second);
	check(seg != MAP_FAILED && !writes_fault(seg + 4096));
	check(!memcmp(seg, code_out, sizeof(code_out)));
	munmap(seg, MIB);
	check(vm_open("s") == -1);
	check(pool_free() == before);
	signal(SIGBUS, SIG_DFL);
}

/* A process with running, halted and mapped VMs is killed at any moment. */
static void test_kill(int rounds)
{
	unsigned long long before = pool_free();
	struct joist_info info = { 0 };
	struct runner r[2];
	uint8_t *mem;
	int i, pid, vm;

	srandom(1);
	for (i = 0; i < rounds; i++) {
		pid = fork();
		if (pid == 0) {
			close(ctl);
			ctl = open(JOIST_CTL_PATH, O_RDWR);
			for (;;) {
				vm = guest("k", 2, i & 1 ? code_spin : code_hlt,
					   4, &mem);
				if (vm < 0)
					_exit(1);
				memset(mem + 4096, 1, MIB - 4096);
				r[0].vm = r[1].vm = vm;
				r[0].kicked = r[1].kicked = 0;
				r[0].vcpu = 0;
				r[1].vcpu = 1;
				pthread_create(&r[0].thread, NULL, runner_main,
					       &r[0]);
				pthread_create(&r[1].thread, NULL, runner_main,
					       &r[1]);
				usleep(random() % 3000);
				destroy("k");
				pthread_join(r[0].thread, NULL);
				pthread_join(r[1].thread, NULL);
				munmap(mem, MIB);
				close(vm);
			}
		}
		usleep(random() % 30000);
		kill(pid, SIGKILL);
		wait_child(pid);
	}
	check(pool_free() == before);
	check_err(ioctl(ctl, JOIST_INFO, &info), ENOENT);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 20;

	setvbuf(stdout, NULL, _IOLBF, 0);
	ctl = open(JOIST_CTL_PATH, O_RDWR | O_CLOEXEC);
	if (ctl < 0) {
		perror(JOIST_CTL_PATH);
		return 1;
	}
#define step(call) (printf("%s\n", #call), call)
	step(test_create());
	step(test_life());
	step(test_read_only());
	step(test_minor());
	step(test_hibernate());
	step(test_memory());
	step(test_pages());
	step(test_pages_race(rounds * 4));
	step(test_run());
	step(test_threads(code_spin, sizeof(code_spin)));
	step(test_threads(code_hlt, sizeof(code_hlt)));
	step(test_doorbell(code_ring, sizeof(code_ring), 0x80, 1,
			   JOIST_EVENT_PORT, 0));
	step(test_doorbell(code_ring_mem, sizeof(code_ring_mem), MIB, 2, 0,
			   0x1234));
	step(test_doorbell_quiet());
	step(test_irqfd());
	step(test_events_race(rounds));
	step(test_zap());
	step(test_segment());
	step(test_kill(rounds));
	printf("ko_test: %d passed, %d failed\n", passed, failed);
	return failed != 0;
}
