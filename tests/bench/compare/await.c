/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * await.c -- how many TSC ticks a command takes until it says something.
 *
 *	await TEXT COMMAND [WORD...]
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

int main(int argc, char **argv)
{
	unsigned long long start = __rdtsc(), end = 0;
	char line[4096];
	int out[2];
	pid_t pid;
	FILE *f;

	if (argc < 3) {
		fputs("usage: await TEXT COMMAND [WORD...]\n", stderr);
		return 64;
	}
	if (pipe(out) || (pid = fork()) < 0) {
		perror("await");
		return 1;
	}
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	close(out[1]);
	f = fdopen(out[0], "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!end && strstr(line, argv[1]))
			end = __rdtsc();
		else
			fputs(line, stdout);
	}
	waitpid(pid, NULL, 0);
	if (!end) {
		fprintf(stderr, "await: %s never said '%s'\n", argv[2],
			argv[1]);
		return 1;
	}
	printf("bench: boot %llu\n", end - start);
	return 0;
}
