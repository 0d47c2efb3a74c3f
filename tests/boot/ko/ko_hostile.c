// SPDX-License-Identifier: BSD-2-Clause
/*
 * ko_hostile.c -- a user of joist.ko who means harm.
 *
 *	ko_hostile CALLS [SEED]
 *
 * Two threads make CALLS calls together, on two VMs that come and go: each
 * ioctl with arguments that make sense, with values from the edges and with
 * any, with pointers that lead nowhere, with numbers that are no ioctl's; and
 * mappings that are touched while their memory goes.  A third one sends both
 * signals, so that no RUN is for ever.
 *
 * At the end all is closed, and the pool is as it was.  Prints what succeeded and
 * failed, of each ioctl; ends with "ko_hostile: CALLS calls, N failed".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "joist_ioctl.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define MIB		(1u << 20)
#define WORDS		(8192 / 4)
#define THREADS		2
#define VMS		2

enum place { VM, CTL };

#define CALL(p, name)	{ p, JOIST_##name, #name }
static const struct call {
	enum place place;
	unsigned long cmd;
	const char *name;
} calls[] = {
	CALL(VM, TERM), CALL(VM, RUN), CALL(VM, RESETCPU), CALL(VM, INTR),
	CALL(VM, READREGS), CALL(VM, WRITEREGS), CALL(VM, READVMPARAMS),
	CALL(VM, WRITEVMPARAMS), CALL(VM, MEMSEG_ALLOC), CALL(VM, MEMSEG_FREE),
	CALL(VM, MEMSEG_MAP), CALL(VM, MEMSEG_UNMAP), CALL(VM, MEMSEG_PROTECT),
	CALL(VM, MEMSEG_DROP), CALL(VM, MEMSEG_FILL), CALL(VM, MEMSEG_QUERY),
	CALL(VM, READXSTATE), CALL(VM, WRITEXSTATE), CALL(VM, READLAPIC),
	CALL(VM, WRITELAPIC), CALL(VM, ACCESS), CALL(VM, KICK),
	CALL(VM, DOORBELL), CALL(VM, IRQFD), CALL(VM, SEGMENT),
	CALL(CTL, VERSION), CALL(CTL, CAPABILITIES), CALL(CTL, CREATE),
	CALL(CTL, DESTROY), CALL(CTL, INFO), CALL(CTL, STATS_GET), CALL(CTL, LOG),
	CALL(CTL, MITIGATION),
};

static struct {
	unsigned good, bad;
} counts[COUNT(calls)];

static int ctl, fds[VMS] = { -1, -1 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of fds */
static volatile int stop;
static uint32_t xstate_size;
static unsigned failed;

struct user {
	pthread_t thread;
	unsigned long calls;
	uint64_t seed;
	int event;
	sigjmp_buf fault;
	uint32_t block[WORDS];
};

static __thread struct user *self;

/* Numerical Recipes' 64-bit constants; the upper half. */
static uint32_t any(struct user *u)
{
	u->seed = u->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(u->seed >> 32);
}

static bool one_in(struct user *u, unsigned n)
{
	return any(u) % n == 0;
}

static uint32_t edge(struct user *u)
{
	static const uint32_t edges[] = {
		0, 0, 0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 255, 256, 4095, 4096,
		0x7fffffff, 0x80000000, 0xfee00000, 0xffff8000, 0xfffff000, 0xffffffff,
	};

	return one_in(u, 8) ? any(u) : edges[any(u) % COUNT(edges)];
}

static void name_of(unsigned i, char *name)
{
	strcpy(name, i ? "hostile-1" : "hostile-0");
}

/* What a vCPU has, and half of the time with one word of it changed. */
static void as_it_is(struct user *u, unsigned long get)
{
	unsigned words = _IOC_SIZE(get) / 4;
	int err;

	pthread_mutex_lock(&lock);
	err = ioctl(fds[any(u) % VMS], get, u->block);
	pthread_mutex_unlock(&lock);
	if (!err && one_in(u, 2))
		u->block[any(u) % words] = edge(u);
}

/* Something that mostly works, so that more than the first check is reached. */
static void sensible(struct user *u, const struct call *c)
{
	union {
		uint32_t *words;
		struct joist_memseg *seg;
		struct joist_pages *pages;
		struct joist_regs_args *regs;
		struct joist_intr *intr;
		struct joist_create *create;
		struct joist_destroy *destroy;
		struct joist_irqfd *irqfd;
		struct joist_doorbell *bell;
		struct joist_access *access;
		struct joist_xstate *xstate;
		struct joist_vm *vm;
	} b = { u->block };
	unsigned i;

	memset(u->block, 0, sizeof(u->block));
	b.vm->head.vcpu = any(u) % 3;
	switch (c->cmd) {
	case JOIST_CREATE:
		name_of(any(u) % VMS, b.create->name);
		b.create->vcpus = 1 + any(u) % 3;
		b.create->flags = one_in(u, 4) ? JOIST_CREATE_PERSISTENT : 0;
		break;
	case JOIST_DESTROY:
		name_of(any(u) % VMS, b.destroy->name);
		break;
	case JOIST_MEMSEG_ALLOC:
		b.seg->head.vcpu = 0;
		b.seg->seg = any(u) % 4;
		b.seg->gpa = b.seg->seg * 4 * MIB;
		b.seg->size = (1 + any(u) % 1024) * 4096;
		break;
	case JOIST_MEMSEG_PROTECT:
		b.seg->flags = any(u) % 8;
		/* fall through */
	case JOIST_MEMSEG_FREE:
	case JOIST_MEMSEG_MAP:
	case JOIST_MEMSEG_UNMAP:
	case JOIST_MEMSEG_QUERY:
	case JOIST_SEGMENT:
		b.seg->head.vcpu = 0;
		b.seg->seg = any(u) % 4;
		break;
	case JOIST_MEMSEG_DROP:
	case JOIST_MEMSEG_FILL:
		b.pages->head.vcpu = 0;
		b.pages->seg = any(u) % 4;
		b.pages->ranges = any(u) % 8;
		for (i = 0; i < b.pages->ranges; i++)
			b.pages->range[i] = (struct joist_page_range){
				any(u) % 512, any(u) % 16 };
		break;
	case JOIST_RESETCPU:
	case JOIST_READREGS:
	case JOIST_WRITEREGS:
		b.regs->mask = 0x3f;
		as_it_is(u, JOIST_READREGS);
		b.regs->mask = any(u) % 64;
		break;
	case JOIST_READLAPIC:
		break;
	case JOIST_READXSTATE:
		b.xstate->size = xstate_size;
		break;
	case JOIST_WRITEXSTATE:
		b.xstate->size = xstate_size;
		as_it_is(u, JOIST_READXSTATE);
		break;
	case JOIST_WRITELAPIC:
		as_it_is(u, JOIST_READLAPIC);
		break;
	case JOIST_INTR:
		b.intr->type = any(u) % (JOIST_INTR_TYPES + 1);
		b.intr->vector = any(u) % 256;
		break;
	case JOIST_IRQFD:
		b.irqfd->fd = u->event;
		b.irqfd->flags = any(u) % 4;
		b.irqfd->msi_address = 0xfee00000 + (any(u) % 3 << 12);
		b.irqfd->msi_data = any(u) % 256;
		break;
	case JOIST_DOORBELL:
		b.bell->fd = u->event;
		b.bell->size = 1u << any(u) % 4;
		b.bell->flags = any(u) % 16;
		b.bell->addr = one_in(u, 2) ? any(u) % 0x100 : 0xfe000000 + any(u) % 4096;
		break;
	case JOIST_ACCESS:
		b.access->gva = any(u) % (4 * MIB);
		b.access->len = 1 + any(u) % 64;
		b.access->flags = any(u) % 4;
		break;
	case JOIST_INFO:
		b.vm->head.vcpu = 0;
		break;
	default:
		b.words[2] = any(u) % 16;
	}
}

static void *pointer(struct user *u)
{
	static uint8_t *page;

	if (!one_in(u, 64))
		return u->block;
	if (!page) {
		uint8_t *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		munmap(p + 4096, 4096);
		page = p;
	}
	switch (any(u) % 4) {
	case 0:
		return NULL;
	case 1:
		return (void *)0xffff888000000000;
	case 2:
		return (void *)0x7ffffffff000;
	default:
		return page + 4096 - any(u) % 64;
	}
}

static bool known(int e)
{
	static const int errors[] = {
		EPERM, ENOENT, EINTR, ENXIO, E2BIG, EBADF, EAGAIN, ENOMEM, EACCES, EFAULT, EBUSY,
		EEXIST, ENODEV, EINVAL, EMFILE, ENOTTY, ENOSPC, ERANGE, EOPNOTSUPP,
	};
	unsigned i;

	for (i = 0; i < COUNT(errors); i++)
		if (e == errors[i])
			return true;
	return false;
}

static void check_errno(const char *what)
{
	if (known(errno))
		return;
	printf("FAIL %s gives errno %d\n", what, errno);
	__atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
}

static int vm_fd(struct user *u)
{
	struct joist_create c = { .vcpus = 2 };
	unsigned i = any(u) % VMS;
	char path[64];
	int fd;

	pthread_mutex_lock(&lock);
	if (fds[i] < 0 || one_in(u, 500)) {
		if (fds[i] >= 0)
			close(fds[i]);
		strcpy(path, JOIST_VM_DIR "/");
		name_of(i, path + strlen(path));
		fds[i] = open(path, O_RDWR | O_CLOEXEC);
		if (fds[i] < 0 && errno == ENOENT && !one_in(u, 4)) {
			name_of(i, c.name);
			ioctl(ctl, JOIST_CREATE, &c);
		}
	}
	fd = fds[i];
	pthread_mutex_unlock(&lock);
	return fd;
}

static void touch_mapping(struct user *u, int fd)
{
	static const uint8_t code[] = { 0xe6, 0x80, 0x0f, 0xa2, 0xf4, 0xeb, 0xf9 };
	uint64_t at = one_in(u, 3) ? any(u) % 4 * 4096ull :
		      JOIST_MMAP_SEG(any(u) % 4) + any(u) % 64 * 4096ull;
	size_t len = (1 + any(u) % 512) * 4096ull;
	volatile uint8_t *p;

	if (one_in(u, 16))
		at = (uint64_t)edge(u) << (12 + any(u) % 40);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);
	if (p == MAP_FAILED) {
		check_errno("mmap");
		return;
	}
	if (!sigsetjmp(u->fault, 1)) {
		memcpy((void *)(p + any(u) % (len / 4096) * 4096), code, sizeof(code));
		if (one_in(u, 4))
			madvise((void *)p, len, one_in(u, 2) ? MADV_DONTNEED : MADV_PAGEOUT);
		(void)p[any(u) % len];
	}
	munmap((void *)p, len);
}

static void one_call(struct user *u)
{
	unsigned n = any(u) % COUNT(calls), i;
	const struct call *c = &calls[n];
	unsigned long cmd = c->cmd;
	int fd, ret;

	/* Not so often that nothing ever runs. */
	if ((cmd == JOIST_TERM || cmd == JOIST_DESTROY) && !one_in(u, 10))
		return;
	fd = c->place == CTL ? ctl : vm_fd(u);
	if (one_in(u, 16)) {
		touch_mapping(u, fd);
		return;
	}
	sensible(u, c);
	if (one_in(u, 3))
		for (i = 1 + any(u) % 4; i--; )
			u->block[any(u) % (4 + _IOC_SIZE(cmd) / 4)] = edge(u);
	if (one_in(u, 64))
		for (i = 0; i < WORDS; i++)
			u->block[i] = edge(u);
	/* Nobody waits for all of the pool to be cleared. */
	if (cmd == JOIST_MEMSEG_ALLOC && !one_in(u, 1000))
		((struct joist_memseg *)u->block)->size &= 16 * MIB - 1;
	if (one_in(u, 64))
		cmd ^= 1u << any(u) % 32;
	if (c->cmd == JOIST_RUN)
		ret = ioctl(fd, cmd, one_in(u, 8) ? (unsigned long)edge(u) : any(u) % 3);
	else
		ret = ioctl(fd, cmd, pointer(u));
	if (ret < 0)
		check_errno(c->name);
	__atomic_fetch_add(ret < 0 ? &counts[n].bad : &counts[n].good, 1, __ATOMIC_RELAXED);
	if (ret >= 0 && cmd == JOIST_SEGMENT) {
		fd = ((struct joist_segment_fd *)u->block)->fd;
		touch_mapping(u, fd);
		close(fd);
	}
}

static void on_fault(int sig)
{
	siglongjmp(self->fault, sig);
}

static void on_kick(int sig)
{
	(void)sig;
}

static void *user_main(void *arg)
{
	struct user *u = self = arg;
	unsigned long i;

	u->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (i = 0; i < u->calls; i++)
		one_call(u);
	close(u->event);
	return NULL;
}

static void *kicker_main(void *arg)
{
	struct user *users = arg;
	unsigned i;

	while (!stop) {
		usleep(1000);
		for (i = 0; i < THREADS; i++)
			pthread_kill(users[i].thread, SIGUSR1);
	}
	return NULL;
}

/* By the list: a name with a changed word may be one as well ("hostile-"). */
static void destroy_all(void)
{
	struct joist_destroy d;
	struct joist_info info;
	unsigned i;

	for (i = 0; i < VMS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (;;) {
		memset(&info, 0, sizeof(info));
		if (ioctl(ctl, JOIST_INFO, &info) < 0)
			return;
		memset(&d, 0, sizeof(d));
		memcpy(d.name, info.name, sizeof(d.name));
		printf("# destroys %.*s\n", (int)sizeof(d.name), d.name);
		if (ioctl(ctl, JOIST_DESTROY, &d) < 0)
			return;
	}
}

static struct joist_capabilities capabilities(void)
{
	struct joist_capabilities c = { 0 };

	ioctl(ctl, JOIST_CAPABILITIES, &c);
	return c;
}

static void expect(bool ok, const char *what)
{
	if (ok)
		return;
	printf("FAIL %s\n", what);
	failed++;
}

int main(int argc, char **argv)
{
	unsigned long total = argc > 1 ? strtoul(argv[1], NULL, 0) : 10000;
	unsigned long long before;
	static struct user users[THREADS];
	struct sigaction sa = { .sa_handler = on_kick };
	struct joist_info info = { 0 };
	pthread_t kicker;
	unsigned i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	/* No SA_RESTART: RUN is to return. */
	sigaction(SIGUSR1, &sa, NULL);
	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	ctl = open(JOIST_CTL_PATH, O_RDWR | O_CLOEXEC);
	if (ctl < 0) {
		perror(JOIST_CTL_PATH);
		return 1;
	}
	before = capabilities().pool_free;
	xstate_size = capabilities().xstate_size;
	for (i = 0; i < THREADS; i++) {
		users[i].calls = total / THREADS;
		users[i].seed = (argc > 2 ? strtoull(argv[2], NULL, 0) : 1) * 2 + i;
		pthread_create(&users[i].thread, NULL, user_main, &users[i]);
	}
	pthread_create(&kicker, NULL, kicker_main, users);
	for (i = 0; i < THREADS; i++)
		pthread_join(users[i].thread, NULL);
	stop = 1;
	pthread_join(kicker, NULL);
	destroy_all();
	expect(ioctl(ctl, JOIST_INFO, &info) < 0 && errno == ENOENT, "a VM is left");
	expect(capabilities().pool_free == before, "the pool is not as before");
	for (i = 0; i < COUNT(calls); i++) {
		printf("# %s: %u succeeded, %u failed\n", calls[i].name, counts[i].good,
		       counts[i].bad);
		/* Else it is not known whether anything was reached. */
		if (total >= 10000)
			expect(counts[i].good && (counts[i].bad || calls[i].cmd == JOIST_VERSION),
			       calls[i].name);
	}
	printf("ko_hostile: %lu calls, %u failed\n", total, failed);
	return failed != 0;
}
