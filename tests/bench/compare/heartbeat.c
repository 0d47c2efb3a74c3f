/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heartbeat.c -- an interrupt of the HPET, 100 times a second, for ever.
 *
 * In QEMU 7.2 a VMRUN with V_IRQ set may forget that the local APIC has an
 * interrupt for the CPU: KVM opens its interrupt windows so.  The next one from
 * anywhere makes up for it, but Linux, which waits for its one-shot timer, has
 * no next one.
 */
#include <fcntl.h>
#include <linux/hpet.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FREQUENCY 100ul

int main(void)
{
	int fd = open("/dev/hpet", O_RDONLY);
	unsigned long count;

	if (fd < 0 || ioctl(fd, HPET_IRQFREQ, FREQUENCY) ||
	    ioctl(fd, HPET_EPI, 0) || ioctl(fd, HPET_IE_ON, 0)) {
		perror("heartbeat: /dev/hpet");
		return 1;
	}
	while (read(fd, &count, sizeof(count)) > 0)
		;
	perror("heartbeat: /dev/hpet");
	return 1;
}
