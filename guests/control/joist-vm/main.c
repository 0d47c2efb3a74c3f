/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c -- joist-vm's command line.
 *
 * Everything that can be wrong with it is found here, before a VM exists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests/control/lib/err.h"
#include "guests/control/lib/hv.h"
#include "config.h"
#include "firmware.h"

#define MEMORY_DEFAULT	(512 * MiB)
#define MEMORY_MIN	(4 * MiB)
#define CMDLINE_MAX	65535
#define FIRMWARE_BIOS	"/usr/share/seabios/bios-256k.bin"

enum {
	OPT_DEBUG_EXIT = 256, OPT_ON_CRASH, OPT_ON_REBOOT, OPT_DAEMON,
	OPT_ATTACH, OPT_PROG,
};

static const struct option options[] = {
	{ "kernel", required_argument, NULL, 'k' },
	{ "initrd", required_argument, NULL, 'r' },
	{ "firmware", required_argument, NULL, 'f' },
	{ "append", required_argument, NULL, 'a' },
	{ "memory", required_argument, NULL, 'm' },
	{ "cpus", required_argument, NULL, 'c' },
	{ "disk", required_argument, NULL, 'd' },
	{ "net", required_argument, NULL, 'n' },
	{ "debug-exit", required_argument, NULL, OPT_DEBUG_EXIT },
	{ "on-crash", required_argument, NULL, OPT_ON_CRASH },
	{ "on-reboot", required_argument, NULL, OPT_ON_REBOOT },
	{ "daemon", no_argument, NULL, OPT_DAEMON },
	{ "help", no_argument, NULL, 'h' },
	/* Between joistctl and us. */
	{ "attach", required_argument, NULL, OPT_ATTACH },
	{ "prog", required_argument, NULL, OPT_PROG },
	{ 0 },
};

static const char help[] =
"usage: joist-vm NAME -k FILE|-d PATH [OPTION...]\n"
"\n"
"Create the VM NAME, boot a kernel or a disk in it and serve its devices.\n"
"\n"
"  -k, --kernel FILE     Linux bzImage, or ELF with a PVH note or a Multiboot\n"
"                        header\n"
"  -r, --initrd FILE     initial ram disk, or the one module\n"
"  -f, --firmware bios|FILE\n"
"                        start firmware, which boots from a disk: SeaBIOS (as\n"
"                        with a disk and no -k), or an image of your own\n"
"  -a, --append TEXT     kernel command line\n"
"  -m, --memory SIZE     guest memory, as 512M or 4G (default 512M)\n"
"  -c, --cpus N          virtual CPUs (default 1)\n"
"  -d, --disk PATH[,ro][,serial=TEXT][,format=FORMAT]\n"
"                        image or block device as a virtio disk; up to 16.\n"
"                        Formats: raw (default), qcow2, qcow, qed, vdi, vhdx,\n"
"                        vmdk, vpc, parallels\n"
"  -n, --net tap=NAME|bridge=NAME|user[,mac=MAC][,allow][,forward=FORWARD]\n"
"                        virtio network card on a tap, on a new tap in a bridge,\n"
"                        or on a network of its own that needs no rights; up to\n"
"                        8.  With allow, its guest may use other source\n"
"                        addresses than its own.  FORWARD, of a user network:\n"
"                        tcp:[ADDRESS]:PORT:GUEST-PORT, or udp\n"
"  --debug-exit PORT     a write of V to this I/O port ends the VM with exit\n"
"                        code (V << 1) | 1\n"
"  --on-crash=stop|restart    after a triple fault (default stop)\n"
"  --on-reboot=stop|restart   when the guest reboots (default restart)\n"
"  --daemon              return when the VM runs\n"
"\n"
"The exit code is 0 if the guest powered itself off, (V << 1) | 1 after a\n"
"write to the debug exit port, and else:\n"
"  2   refused or failed to start\n"
"  4   the guest triple-faulted\n"
"  6   killed by the operator or a signal\n"
"  8   a virtual CPU could not go on\n"
"  10  the guest rebooted, with --on-reboot=stop\n"
"  12  the VM was destroyed from elsewhere\n"
"  14  the device process died\n"
"  64  wrong use of the command line\n";

struct args {
	struct vm_config cfg;
	struct manager_args run;
	bool daemon;
};

static u64 parse_size(const char *what, const char *s)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	u64 v, shift = 20;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (*end && (unit = strchr(units, *end & ~0x20))) {
		shift = 10 * (u64)(unit - units + 1);
		end++;
		if (*end == 'B' || *end == 'b')
			end++;
	}
	if (*s < '0' || *s > '9' || *end || errno || v > (~0ull >> shift))
		die_usage("%s '%s': not a size such as 512M or 4G", what, s);
	return v << shift;
}

static u64 parse_number(const char *what, const char *s, u64 max)
{
	char *end;
	u64 v;

	errno = 0;
	v = strtoull(s, &end, 0);
	if (*s < '0' || *s > '9' || *end || errno || v > max)
		die_usage("%s '%s': not a number from 0 to %llu", what, s,
			  (unsigned long long)max);
	return v;
}

static enum policy parse_policy(const char *what, const char *s)
{
	if (!strcmp(s, "stop"))
		return POLICY_STOP;
	if (!strcmp(s, "restart"))
		return POLICY_RESTART;
	die_usage("%s '%s': it is 'stop' or 'restart'", what, s);
}

static void parse_option(struct args *a, int key, char *arg)
{
	struct vm_config *c = &a->cfg;

	switch (key) {
	case 'k':
		c->kernel.path = arg;
		break;
	case 'r':
		c->initrd.path = arg;
		break;
	case 'f':
		c->firmware.path = strcmp(arg, "bios") ? arg : FIRMWARE_BIOS;
		break;
	case 'a':
		c->cmdline = arg;
		break;
	case 'm':
		c->memory = parse_size("--memory", arg);
		break;
	case 'c':
		c->vcpus = (unsigned)parse_number("--cpus", arg, 0xffffffff);
		break;
	case 'd':
		disk_parse(c, arg);
		break;
	case 'n':
		nic_parse(c, arg);
		break;
	case OPT_DEBUG_EXIT:
		c->debug_exit = (int)parse_number("--debug-exit", arg, 0xffff);
		break;
	case OPT_ON_CRASH:
		c->on_crash = parse_policy("--on-crash", arg);
		break;
	case OPT_ON_REBOOT:
		c->on_reboot = parse_policy("--on-reboot", arg);
		break;
	case OPT_DAEMON:
		a->daemon = true;
		break;
	case OPT_ATTACH:
		a->run.attach = (int)parse_number("--attach", arg, 1 << 20);
		break;
	case OPT_PROG:
		err_prog = arg;
		break;
	}
}

static void parse(struct args *a, int argc, char **argv)
{
	int key;

	opterr = 0;
	while ((key = getopt_long(argc, argv, "k:r:f:a:m:c:d:n:h", options,
				  NULL)) >= 0) {
		if (key == '?')
			die_usage("option '%s': not known, or without its "
				  "value", argv[optind - 1]);
		if (key == 'h') {
			fputs(help, stdout);
			exit(EXIT_OK);
		}
		parse_option(a, key, optarg);
	}
	if (optind == argc)
		die_usage("which name is the VM to have?");
	if (optind + 1 < argc)
		die_usage("one name, please: '%s' or '%s'?", argv[optind],
			  argv[optind + 1]);
	a->cfg.name = argv[optind];
}

static void open_file(struct file *f, const char *what)
{
	struct stat st;

	if (!f->path)
		return;
	f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0)
		die("%s %s: %s", what, f->path, strerror(errno));
	if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode))
		die("%s %s: not a regular file", what, f->path);
}

static void open_firmware(struct vm_config *c)
{
	struct stat st;

	open_file(&c->firmware, "firmware");
	if (!c->firmware.path)
		return;
	if (fstat(c->firmware.fd, &st) < 0)
		die("firmware %s: %s", c->firmware.path, strerror(errno));
	if (st.st_size < (off_t)FIRMWARE_MIN ||
	    st.st_size > (off_t)FIRMWARE_MAX || st.st_size % PAGE_SIZE)
		die("firmware %s: %lld bytes: it must be 64 KiB to 16 MiB, in "
		    "whole pages", c->firmware.path, (long long)st.st_size);
	c->firmware_size = (u64)st.st_size;
}

static void check(struct args *a)
{
	struct vm_config *c = &a->cfg;
	const char *wrong = hv_name_error(c->name);

	if (wrong)
		die("'%s': %s", c->name, wrong);
	if (c->kernel.path && c->firmware.path)
		die_usage("%s: a kernel or firmware, not both", c->name);
	if (!c->kernel.path && (c->initrd.path || *c->cmdline))
		die_usage("%s: no kernel given (-k FILE)", c->name);
	if (!c->kernel.path && !c->firmware.path && !c->disks)
		die_usage("%s: nothing to boot: give a kernel (-k), a disk "
			  "(-d) or firmware (-f)", c->name);
	if (!c->kernel.path && !c->firmware.path)
		c->firmware.path = FIRMWARE_BIOS;
	if (!c->vcpus)
		die("%s: a VM has at least one virtual CPU", c->name);
	if (c->memory < MEMORY_MIN || c->memory % PAGE_SIZE)
		die("%s: %llu KiB of memory: it must be 4 MiB or more, in "
		    "steps of 4 KiB", c->name,
		    (unsigned long long)(c->memory / KiB));
	if (strlen(c->cmdline) > CMDLINE_MAX)
		die("%s: the kernel command line is longer than %d bytes",
		    c->name, CMDLINE_MAX);
	open_file(&c->kernel, "kernel");
	open_file(&c->initrd, "initrd");
	open_firmware(c);
	disks_open(c);
}

static void check_capabilities(struct args *a)
{
	struct joist_capabilities caps = { 0 };
	struct vm_config *c = &a->cfg;
	int err = hv_call(a->run.control, JOIST_CAPABILITIES, &caps);

	if (err < 0)
		die("%s: %s", JOIST_CTL_PATH, strerror(-err));
	if (c->vcpus > caps.max_vcpus)
		die("%s: %u virtual CPUs: a VM can have %u", c->name, c->vcpus,
		    caps.max_vcpus);
	if (c->memory > caps.pool_free)
		die("%s: %llu MiB of memory: the pool has %llu MiB free",
		    c->name, (unsigned long long)(c->memory / MiB),
		    (unsigned long long)(caps.pool_free / MiB));
	if (vm_high_size(c) && MEM_HIGH_BASE + vm_high_size(c) > caps.max_gpa)
		die("%s: %llu MiB of memory: more than this CPU can address",
		    c->name, (unsigned long long)(c->memory / MiB));
}

/*
 * Go into the background.  The process started waits until the VM runs, or
 * gives its exit code if it does not come to that.
 */
static void daemonize(struct args *a)
{
	int p[2], status;
	pid_t pid;
	char byte;

	if (pipe2(p, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid > 0) {
		close(p[1]);
		if (read(p[0], &byte, 1) == 1)
			_exit(EXIT_OK);
		if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
			_exit(WEXITSTATUS(status) ? WEXITSTATUS(status) :
			      EXIT_FAIL);
		_exit(EXIT_DEVICE);
	}
	close(p[0]);
	setsid();
	if (chdir("/") < 0)
		die("/: %s", strerror(errno));
	a->run.ready = p[1];
	a->run.quiet = true;
}

int main(int argc, char **argv)
{
	struct args a = {
		.cfg = {
			.cmdline = "",
			.memory = MEMORY_DEFAULT,
			.vcpus = 1,
			.debug_exit = -1,
			.on_crash = POLICY_STOP,
			.on_reboot = POLICY_RESTART,
		},
		.run = { .attach = -1, .ready = -1 },
	};

	parse(&a, argc, argv);
	check(&a);
	a.run.cfg = &a.cfg;
	a.run.control = hv_open_control();
	check_capabilities(&a);
	nics_open(&a.cfg);
	if (a.daemon)
		daemonize(&a);
	return manager_main(&a.run);
}
