/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native.c -- one instruction on this CPU, with a guest's registers.
 *
 * What is executed was put together by emulate.c, not by the guest: an
 * instruction that computes, with one operand in the page behind the code.  No
 * page is ever writable and executable: the code has two addresses.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "native.h"

#define PAGE		4096
#define XSTATE_USED	0xe7		/* x87, SSE, AVX, AVX-512 */
#define XSTATE_GUEST	0x2e7		/* and protection keys */
#define XSTATE_LEAST	576		/* legacy area and header */
#define FLAGS		0xcd5		/* CF PF AF ZF SF DF OF */

struct native native;
u8 native_host[PAGE] __attribute__((aligned(64)));
extern const char native_back[], native_fault[];
void native_enter(void);

static u8 *writable, *executable;	/* the same page; behind it, the operand */

#define S(x)	#x
#define STR(x)	S(x)
/* struct native, from its begin. */
#define RFLAGS		128
#define XSTATE		136
#define CODE		144
#define FAULT		152
#define HOST_RSP	160
#define MASK		168

_Static_assert(offsetof(struct native, rflags) == RFLAGS &&
	       offsetof(struct native, xstate) == XSTATE &&
	       offsetof(struct native, code) == CODE &&
	       offsetof(struct native, fault) == FAULT &&
	       offsetof(struct native, host_rsp) == HOST_RSP &&
	       offsetof(struct native, mask) == MASK, "as the assembly has it");

#define AT(field)	STR(field) "+native(%rip)"

/* Registers in, the code, registers out.  RSP is ours all the time. */
asm(".text\n"
    "native_enter:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, " AT(HOST_RSP) "\n"
    "	mov " AT(XSTATE) ", %rcx\n"
    "	test %rcx, %rcx\n"
    "	jz 1f\n"
    "	mov " AT(MASK) ", %rax\n"
    "	xor %edx, %edx\n"
    "	xsave64 native_host(%rip)\n"
    "	xrstor64 (%rcx)\n"
    "1:	push " AT(RFLAGS) "; popfq\n"
    "	mov 0+native(%rip), %rax; mov 8+native(%rip), %rcx\n"
    "	mov 16+native(%rip), %rdx; mov 24+native(%rip), %rbx\n"
    "	mov 40+native(%rip), %rbp; mov 48+native(%rip), %rsi\n"
    "	mov 56+native(%rip), %rdi; mov 64+native(%rip), %r8\n"
    "	mov 72+native(%rip), %r9; mov 80+native(%rip), %r10\n"
    "	mov 88+native(%rip), %r11; mov 96+native(%rip), %r12\n"
    "	mov 104+native(%rip), %r13; mov 112+native(%rip), %r14\n"
    "	mov 120+native(%rip), %r15\n"
    "	jmp *" AT(CODE) "\n"
    "native_back:\n"
    "	mov %rax, 0+native(%rip); mov %rcx, 8+native(%rip)\n"
    "	mov %rdx, 16+native(%rip); mov %rbx, 24+native(%rip)\n"
    "	mov %rbp, 40+native(%rip); mov %rsi, 48+native(%rip)\n"
    "	mov %rdi, 56+native(%rip); mov %r8, 64+native(%rip)\n"
    "	mov %r9, 72+native(%rip); mov %r10, 80+native(%rip)\n"
    "	mov %r11, 88+native(%rip); mov %r12, 96+native(%rip)\n"
    "	mov %r13, 104+native(%rip); mov %r14, 112+native(%rip)\n"
    "	mov %r15, 120+native(%rip)\n"
    "	pushfq; pop " AT(RFLAGS) "\n"
    "native_fault:\n"
    "	cld\n"
    "	mov " AT(XSTATE) ", %rcx\n"
    "	test %rcx, %rcx\n"
    "	jz 1f\n"
    "	mov " AT(MASK) ", %rax\n"
    "	xor %edx, %edx\n"
    "	xsave64 (%rcx)\n"
    "	xrstor64 native_host(%rip)\n"
    "1:	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n");

/* A fault of the code's goes on behind it; any other ends the process. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	u64 rip = (u64)c->uc_mcontext.gregs[REG_RIP];

	(void)info;
	/* Behind it the signal ends the process, as if nobody had caught it. */
	if (rip - (u64)executable >= PAGE) {
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	native.fault = (u64)sig;
	c->uc_mcontext.gregs[REG_RIP] = (greg_t)(u64)native_fault;
	c->uc_mcontext.gregs[REG_RSP] = (greg_t)native.host_rsp;
}

static u64 xstate_mask(void)
{
	unsigned a, b, c, d, lo, hi;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27))
		return 0;
	asm("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo & XSTATE_USED;
}

u32 native_xstate_size(void)
{
	unsigned all, size, offset, c, d, i, max = XSTATE_LEAST;

	__cpuid_count(0xd, 0, all, size, c, d);
	for (i = 2; i < 10; i++) {
		if (!(all & XSTATE_GUEST & 1u << i))
			continue;
		__cpuid_count(0xd, i, size, offset, c, d);
		max = MAX(max, offset + size);
	}
	return max;
}

static void catch_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction sa = {
		.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

int native_init(void)
{
	int fd = memfd_create("native", MFD_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	/* Code, operand, and a page that stays away. */
	executable = mmap(NULL, 3 * PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (executable == MAP_FAILED || ftruncate(fd, PAGE) ||
	    mmap(executable, PAGE, PROT_READ | PROT_EXEC,
		 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
	    mprotect(executable + PAGE, PAGE, PROT_READ | PROT_WRITE))
		err = -errno;
	writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (writable == MAP_FAILED)
		err = -errno;
	close(fd);
	catch_signals();
	native.mask = xstate_mask();
	return err;
}

u64 native_code(void)
{
	return (u64)executable;
}

bool native_has_xstate(void)
{
	return native.mask;
}

u8 *native_operand(u64 linear)
{
	return executable + PAGE + NATIVE_MEM + linear % NATIVE_MEM;
}

void native_run(const u8 *bytes, unsigned len)
{
	static const u8 jmp[6] = { 0xff, 0x25 };	/* jmp *0(%rip) */
	u64 back = (u64)native_back;

	memcpy(writable, bytes, len);
	memcpy(writable + len, jmp, sizeof(jmp));
	memcpy(writable + len + sizeof(jmp), &back, sizeof(back));
	native.code = (u64)executable;
	native.fault = 0;
	native.rflags = (native.rflags & FLAGS) | 2;
	native_enter();
	native.rflags &= FLAGS;
}
