/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * e9.c -- standard input to I/O port 0xe9, where emulators keep it in a file.
 */
#include <stdio.h>
#include <sys/io.h>
#include <unistd.h>

#define PORT	0xe9

int main(void)
{
	static char buf[65536];
	ssize_t n;

	if (ioperm(PORT, 1, 1) < 0) {
		perror("ioperm");
		return 1;
	}
	while ((n = read(0, buf, sizeof(buf))) > 0)
		outsb(PORT, buf, (unsigned long)n);
	return n < 0;
}
