/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject.c -- makes another process do a system call, by ptrace:
 *	inject PID CALL [ARGUMENT...]
 * as somebody would who has taken it over.  Prints the call's result; whether
 * the process has survived it is for the caller to see.
 *
 * The process waits in a system call: it goes back to that instruction, with
 * other registers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#define SYSCALL_LEN	2

static int fail(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	return 1;
}

/* To the next system call's entry or exit; false: it has died. */
static int step(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SYSCALL, pid, 0, 0) < 0 ||
	    waitpid(pid, &status, 0) < 0)
		return 0;
	return WIFSTOPPED(status);
}

int main(int argc, char **argv)
{
	struct user_regs_struct was, r;
	unsigned long arg[6] = { 0 };
	int status, i;
	pid_t pid;

	if (argc < 3 || argc > 9)
		return fail("wrong use");
	pid = (pid_t)atoi(argv[1]);
	for (i = 3; i < argc; i++)
		arg[i - 3] = strtoul(argv[i], NULL, 0);
	if (ptrace(PTRACE_ATTACH, pid, 0, 0) < 0)
		return fail("attach");
	if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_GETREGS, pid, 0, &was) < 0)
		return fail("stop");
	r = was;
	r.rip -= SYSCALL_LEN;
	r.rax = strtoul(argv[2], NULL, 0);
	r.orig_rax = ~0ull;		/* nothing is to be restarted */
	r.rdi = arg[0];
	r.rsi = arg[1];
	r.rdx = arg[2];
	r.r10 = arg[3];
	r.r8 = arg[4];
	r.r9 = arg[5];
	if (ptrace(PTRACE_SETREGS, pid, 0, &r) < 0)
		return fail("registers");
	if (!step(pid) || !step(pid) ||
	    ptrace(PTRACE_GETREGS, pid, 0, &r) < 0)
		return 0;
	printf("%lld\n", (long long)r.rax);
	/* Back to its own call, which begins anew. */
	was.rip -= SYSCALL_LEN;
	was.rax = was.orig_rax;
	was.orig_rax = ~0ull;
	/* Or it has been killed meanwhile, for what it did. */
	if ((ptrace(PTRACE_SETREGS, pid, 0, &was) < 0 ||
	     ptrace(PTRACE_DETACH, pid, 0, 0) < 0) && errno != ESRCH)
		return fail("detach");
	return 0;
}
