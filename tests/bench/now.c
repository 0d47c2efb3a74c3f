/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * now.c -- the first program: the TSC as Linux hands over, then the script.
 */
#include <stdio.h>
#include <unistd.h>
#include <x86intrin.h>

int main(void)
{
	unsigned long long t = __rdtsc();

	printf("bench: init %llu\n", t);
	fflush(stdout);
	execl("/bench-init", "/bench-init", (char *)NULL);
	perror("/bench-init");
	return 1;
}
