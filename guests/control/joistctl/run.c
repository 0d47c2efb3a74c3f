/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c -- start and run: a joist-vm for a new VM.
 *
 * Both hand their command line on to joist-vm, which checks it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "joistctl.h"

static volatile sig_atomic_t vm_pid;

/* joist-vm from where this program is, else from the path. */
static void exec_joist_vm(int argc, char **argv, const char *first)
{
	char path[4096], **args;
	ssize_t n;
	int i;

	args = calloc((size_t)argc + 6, sizeof(*args));
	if (!args)
		die("out of memory");
	args[0] = "joist-vm";
	args[1] = "--prog=joistctl";
	args[2] = (char *)(uintptr_t)first;
	if (conf_file) {
		args[3] = "--config";
		args[4] = (char *)(uintptr_t)conf_file;
	}
	for (i = 1; i < argc; i++)
		args[i + (conf_file ? 4 : 2)] = argv[i];
	n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	if (n > 0) {
		path[n] = 0;
		strcpy(strrchr(path, '/') + 1, "joist-vm");
		execv(path, args);
	}
	execvp("joist-vm", args);
	die("joist-vm: %s", strerror(errno));
}

int cmd_start(int argc, char **argv)
{
	exec_joist_vm(argc, argv, "--daemon");
	return EXIT_FAIL;
}

static void forward(int sig)
{
	kill(vm_pid, sig);
}

/* A session of its own: keys and hang-ups here are not signals there. */
static void run_child(int argc, char **argv, int fd, pid_t parent)
{
	char attach[32];
	sigset_t set;

	/* One of these may come before it is ready to take them. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fcntl(fd, F_SETFD, 0);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_KILLED);
	snprintf(attach, sizeof(attach), "--attach=%d", fd);
	exec_joist_vm(argc, argv, attach);
}

static int exit_code(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("joist-vm: %s", strerror(errno));
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	warn_msg("joist-vm died of signal %d (%s)", WTERMSIG(status),
		 strsignal(WTERMSIG(status)));
	return EXIT_DEVICE;
}

int cmd_run(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = forward };
	pid_t parent = getpid(), pid;
	char byte;
	int s[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0)
		die("socketpair: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		close(s[0]);
		run_child(argc, argv, s[1], parent);
	}
	close(s[1]);
	vm_pid = pid;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	switch (console_loop(s[0], false)) {
	case CONSOLE_DETACHED:
		/* It closes our console once it no longer depends on us. */
		kill(pid, SIGUSR1);
		while (read(s[0], &byte, 1) > 0)
			;
		return EXIT_OK;
	case CONSOLE_BROKEN:
		warn_msg("standard output: %s", strerror(errno));
		/* Not read any more, it would hold the guest up. */
		close(s[0]);
		kill(pid, SIGTERM);
		break;
	case CONSOLE_CLOSED:
		break;
	}
	return exit_code(pid);
}

static pid_t fork_or_die(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	return pid;
}

int vm_start(const char *name)
{
	char *argv[] = { "start", (char *)(uintptr_t)name };
	pid_t pid = fork_or_die();

	if (pid == 0)
		exec_joist_vm(2, argv, "--daemon");
	return exit_code(pid);
}

json_t *vm_settings(const char *name, const char *path)
{
	char *argv[] = { "show", (char *)(uintptr_t)name };
	json_t *o = NULL;
	FILE *from;
	pid_t pid;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	pid = fork_or_die();
	if (pid == 0) {
		dup2(p[1], STDOUT_FILENO);
		conf_file = path;
		exec_joist_vm(2, argv, "--show");
	}
	close(p[1]);
	from = fdopen(p[0], "r");
	if (from) {
		o = json_loadf(from, 0, NULL);
		fclose(from);
	}
	if (exit_code(pid) == EXIT_OK)
		return o;
	json_decref(o);
	return NULL;
}
