/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * settings.c -- the table of what can be said about a VM.
 */
#include <stdio.h>
#include <string.h>

#include "settings.h"

#define WORD_MAX	32	/* longer than any name */

const struct setting settings[] = {
	{ "kernel", 'k', "FILE", .path = true, .help =
	  "Linux bzImage, or ELF with a PVH note or a Multiboot header" },
	{ "initrd", 'r', "FILE", .path = true, .help =
	  "initial RAM disk, or the one Multiboot module" },
	{ "firmware", 'f', "bios|uefi[,vars=FILE]|FILE", .help =
	  "in place of a kernel: firmware, which boots from a disk.  SeaBIOS\n"
	  "(as with a disk and no kernel); UEFI, whose variables are kept in\n"
	  "FILE (default /var/lib/joist/NAME.vars); or an image of your own" },
	{ "append", 'a', "TEXT", .help = "kernel command line" },
	{ "memory", 'm', "SIZE", .value = "512M", .help =
	  "guest memory, as 512M or 4G; a bare number is MiB (default 512M)" },
	{ "cpus", 'c', "N", .value = "1", .help =
	  "virtual CPUs (default 1)" },
	{ "disk", 'd', "PATH[,ro|cd][,serial=TEXT][,format=FORMAT[,backing=FILE]...]",
	  .list = true, .path = true,
	  .help =
	  "virtio disk: an image or a block device; up to 16.  Formats: raw\n"
	  "(default), qcow2, qcow, qed, vdi, vhdx, vmdk, vpc, parallels.  FILE:\n"
	  "what the image is on top of, all the way down; it is only read.  With\n"
	  "cd it is in a CD drive (virtio SCSI), as installers want theirs" },
	{ "net", 'n', "tap=NAME|bridge=NAME|user[,mac=MAC][,queues=N][,allow]"
	  "[,loopback][,forward=FORWARD]", .list = true, .help =
	  "virtio network card on a tap, on a new tap in a bridge, or on a\n"
	  "network of its own that needs no rights; up to 8.  N pairs of\n"
	  "queues, 1 (default) to 8, for that many CPUs.  With allow, its\n"
	  "guest may use other source addresses than its own.  FORWARD, of a\n"
	  "user network: tcp:[ADDRESS]:PORT:GUEST-PORT, or udp.  With\n"
	  "loopback, its guest reaches this system's 127.0.0.1 as 10.0.2.2" },
	{ "serial", 's', "console|none|pty|file:PATH|unix:PATH", .list = true,
	  .help =
	  "where a serial port leads: COM1, and, given twice, COM2 (default\n"
	  "console, and no COM2)" },
	{ "console", SET_CONSOLE, "console|none|pty|file:PATH|unix:PATH",
	  .value = "none", .help =
	  "where the virtio console leads, hvc0 in Linux (default none)" },
	{ "vsock", SET_VSOCK, "CID", .help =
	  "sockets between guest and control VM: the guest's address, 3 or\n"
	  "more, which no other VM has" },
	{ "balloon", SET_BALLOON, "yes|no", .value = "no", .help =
	  "whether memory can be taken from the guest while it runs, and given\n"
	  "back: by joistctl memory (default no)" },
	{ "debug-exit", SET_DEBUG_EXIT, "PORT", .help =
	  "a write of V to this I/O port ends the VM with exit code\n"
	  "(V << 1) | 1" },
	{ "on-error", SET_ON_ERROR, "pause|report", .value = "pause", .help =
	  "when a write to a disk fails as there is no room on the host: pause\n"
	  "the VM, and write again at joistctl unpause (default), or report\n"
	  "the error to the guest, as all others are" },
	{ "on-crash", SET_ON_CRASH, "destroy|restart|preserve",
	  .value = "destroy", .help =
	  "after a triple fault, or if the device process dies (default\n"
	  "destroy).  With preserve the VM stays as it is until it is killed\n"
	  "or reset" },
	{ "on-reboot", SET_ON_REBOOT, "destroy|restart|preserve",
	  .value = "restart", .help =
	  "when the guest reboots (default restart)" },
	{ "on-poweroff", SET_ON_POWEROFF, "destroy|restart|preserve",
	  .value = "destroy", .help =
	  "when the guest powers itself off (default destroy)" },
	{ "stop-timeout", SET_STOP_TIMEOUT, "SECONDS", .value = "30", .help =
	  "how long a guest may take to power itself off after joist-vm has got\n"
	  "SIGTERM or SIGHUP (default 30)" },
	{ "autostart", SET_AUTOSTART, "yes|no", .value = "no",
	  .conf_only = true, .help =
	  "whether joistctl autostart starts it (default no)" },
};

const unsigned settings_count = ARRAY_SIZE(settings);

const struct setting *setting_by_name(const char *name)
{
	const struct setting *s;

	for (s = settings; s < settings + settings_count; s++)
		if (!strcmp(s->name, name))
			return s;
	return NULL;
}

const char *setting_word(const struct setting *s)
{
	static char words[ARRAY_SIZE(settings)][WORD_MAX];
	char *word = words[s - settings], *p;

	snprintf(word, WORD_MAX, "%s", s->name);
	for (p = word; *p; p++)
		if (*p == '-')
			*p = '_';
	return word;
}
