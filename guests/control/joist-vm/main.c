/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c -- joist-vm's command line.
 *
 * It, and what the configuration file says about the VM.  Everything that can
 * be wrong with them is found here, before a VM exists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests/control/lib/conf.h"
#include "guests/control/lib/err.h"
#include "guests/control/lib/hv.h"
#include "guests/control/lib/size.h"
#include "config.h"
#include "firmware.h"
#include "identity.h"
#include "serial.h"
#include "uefi.h"
#include "virtio_vsock.h"

#define MEMORY_MIN	(4 * MiB)
#define CMDLINE_MAX	65535
#define FIRMWARE_BIOS	"/usr/share/seabios/bios-256k.bin"

enum {
	OPT_CONFIG = 512, OPT_DAEMON, OPT_SHOW, OPT_ATTACH, OPT_PROG,
};

static const struct option more_options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "daemon", no_argument, NULL, OPT_DAEMON },
	{ "show", no_argument, NULL, OPT_SHOW },
	{ "help", no_argument, NULL, 'h' },
	/* Between joistctl and us. */
	{ "attach", required_argument, NULL, OPT_ATTACH },
	{ "prog", required_argument, NULL, OPT_PROG },
	{ 0 },
};

static const char help_head[] =
"Create the VM NAME, boot a kernel or a disk in it and serve its devices.\n"
"What is not given here is taken from NAME's section of " CONF_PATH ",\n"
"if there is one.  A kernel (-k), firmware (-f), or a disk (-d) it must have.\n"
"\n";

static const char help_tail[] =
"      --config FILE\n"
"          the configuration file, in place of " CONF_PATH "\n"
"      --show\n"
"          print the settings in effect, as JSON, and do nothing else\n"
"      --daemon\n"
"          return when the VM runs\n"
"  -h, --help\n"
"          this\n"
"\n"
"The exit code is 0 if the guest powered itself off, (V << 1) | 1 after a\n"
"write to the debug exit port, and else:\n"
"  2   refused or failed to start\n"
"  4   the guest triple-faulted\n"
"  6   killed by the operator or a signal\n"
"  8   a virtual CPU could not go on\n"
"  10  the guest rebooted, with --on-reboot=destroy\n"
"  12  the VM was destroyed from elsewhere\n"
"  14  the device process died\n"
"  64  wrong use of the command line\n";

struct args {
	struct vm_config cfg;
	struct manager_args run;
	const char *conf_path;		/* --config, or NULL */
	const struct conf_vm *conf;	/* its section, or NULL */
	bool daemon, show;
	/* What is given on the command line takes the file's place. */
	bool own_disks, own_nics, own_serials;
	json_t *shown;
};

static void print_help(void)
{
	const struct setting *s;
	const char *p;

	printf("usage: %s NAME [OPTION...]\n\n",
	       err_prog ? "joistctl start|run" : "joist-vm");
	fputs(help_head, stdout);
	for (s = settings; s < settings + settings_count; s++) {
		if (s->conf_only)
			continue;
		if (s->key < 256)
			printf("  -%c, ", s->key);
		else
			printf("      ");
		printf("--%s %s\n          ", s->name, s->arg);
		for (p = s->help; *p; p++)
			printf(*p == '\n' ? "\n          " : "%c", *p);
		putchar('\n');
	}
	fputs(help_tail, stdout);
}

static u64 parse_size(const char *what, const char *s)
{
	u64 v;

	if (!size_parse(s, &v))
		die_usage("%s '%s': not a size such as 512M or 4G", what, s);
	return v;
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
	if (!strcmp(s, "destroy"))
		return POLICY_DESTROY;
	if (!strcmp(s, "restart"))
		return POLICY_RESTART;
	if (!strcmp(s, "preserve"))
		return POLICY_PRESERVE;
	die_usage("%s '%s': it is 'destroy', 'restart' or 'preserve'", what, s);
}

static enum on_error parse_on_error(const char *s)
{
	if (strcmp(s, "pause") && strcmp(s, "report"))
		die_usage("--on-error '%s': it is 'pause' or 'report'", s);
	return *s == 'p' ? ON_ERROR_PAUSE : ON_ERROR_REPORT;
}

static bool parse_yes(const char *what, const char *s)
{
	if (strcmp(s, "yes") && strcmp(s, "no"))
		die_usage("%s '%s': it is 'yes' or 'no'", what, s);
	return *s == 'y';
}

static void firmware_parse(struct vm_config *c, char *text)
{
	c->uefi = !strncmp(text, "uefi", 4) && (!text[4] || text[4] == ',');
	if (c->uefi)
		uefi_parse(c, text + 4);
	else
		c->firmware.path = strcmp(text, "bios") ? text : FIRMWARE_BIOS;
}

/* The text is cut into pieces and stays in use. */
static void apply(struct args *a, const struct setting *s, char *arg)
{
	struct vm_config *c = &a->cfg;

	switch (s->key) {
	case 'k':
		c->kernel.path = arg;
		break;
	case 'r':
		c->initrd.path = arg;
		break;
	case 'f':
		firmware_parse(c, arg);
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
	case 's':
		serial_parse(c, arg);
		break;
	case SET_CONSOLE:
		console_parse(c, arg);
		break;
	case SET_VSOCK:
		c->vsock = parse_number("--vsock", arg, VSOCK_CID_MAX);
		if (c->vsock < VSOCK_CID_MIN)
			die_usage("--vsock '%s': a guest's CID is %u or more",
				  arg, VSOCK_CID_MIN);
		break;
	case SET_BALLOON:
		c->balloon = parse_yes("--balloon", arg);
		break;
	case SET_DEBUG_EXIT:
		c->debug_exit = (int)parse_number("--debug-exit", arg, 0xffff);
		break;
	case SET_ON_ERROR:
		c->on_error = parse_on_error(arg);
		break;
	case SET_ON_CRASH:
		c->on_crash = parse_policy("--on-crash", arg);
		break;
	case SET_ON_REBOOT:
		c->on_reboot = parse_policy("--on-reboot", arg);
		break;
	case SET_ON_POWEROFF:
		c->on_poweroff = parse_policy("--on-poweroff", arg);
		break;
	case SET_STOP_TIMEOUT:
		c->stop_timeout = parse_number("--stop-timeout", arg, 86400);
		break;
	}
}

/* Keep it as it was given, by its name in joist.conf, for who asks later. */
static void remember(struct args *a, const struct setting *s, const char *arg)
{
	json_t *text = s->key == SET_AUTOSTART ?
		       json_boolean(a->conf && a->conf->autostart) :
		       json_string(arg);
	json_t *list;

	if (!text)
		die_usage("--%s '%s': not UTF-8", s->name, arg);
	if (!s->list) {
		json_object_set_new(a->shown, setting_word(s), text);
		return;
	}
	list = json_object_get(a->shown, setting_word(s));
	if (!list) {
		list = json_array();
		json_object_set_new(a->shown, setting_word(s), list);
	}
	json_array_append_new(list, text);
}

static void set(struct args *a, const struct setting *s, char *arg)
{
	remember(a, s, arg);
	apply(a, s, arg);
}

static void defaults(struct args *a)
{
	const struct setting *s;

	a->shown = json_object();
	for (s = settings; s < settings + settings_count; s++) {
		if (s->value)
			set(a, s, strdup(s->value));
	}
}

/* What the configuration file says about this VM. */
static void from_file(struct args *a)
{
	static struct conf conf;
	char where[PATH_MAX + 32];
	unsigned i;

	conf_read_all(&conf, a->conf_path);
	a->conf = conf_find(&conf, a->cfg.name);
	if (!a->conf && a->conf_path)
		die("%s: it has no vm '%s'", a->conf_path, a->cfg.name);
	for (i = 0; a->conf && i < a->conf->count; i++) {
		const struct conf_value *v = &a->conf->values[i];

		snprintf(where, sizeof(where), "%s:%u", a->conf->path,
			 v->line);
		err_where = where;
		set(a, v->setting, v->text);
		err_where = NULL;
	}
}

static void forget(struct args *a, const char *name)
{
	json_object_del(a->shown, name);
}

/* A setting of the command line, which outdoes those of the file. */
static void from_option(struct args *a, const struct setting *s, char *arg)
{
	struct vm_config *c = &a->cfg;

	if (s->key == 'd' && !a->own_disks) {
		forget(a, "disk");
		memset(c->disk, 0, sizeof(c->disk));
		c->disks = 0;
		a->own_disks = true;
	} else if (s->key == 'n' && !a->own_nics) {
		forget(a, "net");
		memset(c->nic, 0, sizeof(c->nic));
		c->nics = 0;
		a->own_nics = true;
	} else if (s->key == 's' && !a->own_serials) {
		forget(a, "serial");
		memset(c->serial, 0, VM_SERIALS * sizeof(c->serial[0]));
		c->serials = 0;
		a->own_serials = true;
	}
	set(a, s, arg);
}

/* Firmware there in place of a kernel here, or the other way round. */
static void resolve_boot(struct args *a, bool kernel, bool firmware)
{
	struct vm_config *c = &a->cfg;

	if (kernel && !firmware) {
		forget(a, "firmware");
		c->firmware.path = NULL;
		c->uefi = false;
	} else if (firmware && !kernel) {
		forget(a, "kernel");
		forget(a, "initrd");
		forget(a, "append");
		c->kernel.path = c->initrd.path = NULL;
		c->cmdline = "";
	}
}

#define SHORT_MAX	64

/* getopt's two lists out of the table. */
static const struct option *long_options(char letters[SHORT_MAX])
{
	struct option *o = calloc(settings_count + ARRAY_SIZE(more_options),
				  sizeof(*o)), *p = o;
	const struct setting *s;
	char *l = letters;

	if (!o)
		die("out of memory");
	for (s = settings; s < settings + settings_count; s++) {
		if (s->conf_only)
			continue;
		*p++ = (struct option){ s->name, required_argument, NULL,
					s->key };
		if (s->key < 256 && l < letters + SHORT_MAX - 4) {
			*l++ = (char)s->key;
			*l++ = ':';
		}
	}
	strcpy(l, "h");
	memcpy(p, more_options, sizeof(more_options));
	return o;
}

static const struct setting *setting_by_key(int key)
{
	const struct setting *s;

	for (s = settings; s < settings + settings_count; s++)
		if (s->key == key)
			return s;
	return NULL;
}

/* What is not about the VM. */
static void other_option(struct args *a, int key, char *arg)
{
	switch (key) {
	case OPT_CONFIG:
		a->conf_path = arg;
		break;
	case OPT_DAEMON:
		a->daemon = true;
		break;
	case OPT_SHOW:
		a->show = true;
		break;
	case OPT_ATTACH:
		a->run.attach = (int)parse_number("--attach", arg, 1 << 20);
		fcntl(a->run.attach, F_SETFD, FD_CLOEXEC);
		break;
	case OPT_PROG:
		err_prog = arg;
		break;
	case 'h':
		print_help();
		exit(EXIT_OK);
	}
}

/*
 * Twice over the command line: what the VM is called and where its
 * configuration is must be known before that is read, and the other options
 * come on top of it.
 */
static void parse(struct args *a, int argc, char **argv)
{
	bool kernel = false, firmware = false;
	char letters[SHORT_MAX];
	const struct option *longs = long_options(letters);
	const char *wrong;
	int key;

	opterr = 0;
	while ((key = getopt_long(argc, argv, letters, longs, NULL)) >= 0) {
		if (key == '?')
			die_usage("option '%s': not known, or without its "
				  "value", argv[optind - 1]);
		kernel |= key == 'k';
		firmware |= key == 'f';
		other_option(a, key, optarg);
	}
	if (optind == argc)
		die_usage("which name is the VM to have?");
	if (optind + 1 < argc)
		die_usage("one name, please: '%s' or '%s'?", argv[optind],
			  argv[optind + 1]);
	a->cfg.name = argv[optind];
	wrong = hv_name_error(a->cfg.name);
	if (wrong)
		die("'%s': %s", a->cfg.name, wrong);
	from_file(a);
	resolve_boot(a, kernel, firmware);
	optind = 0;		/* glibc: from the beginning */
	while ((key = getopt_long(argc, argv, letters, longs, NULL)) >= 0)
		if (setting_by_key(key))
			from_option(a, setting_by_key(key), optarg);
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
	uefi_open(c);
}

static void check(struct args *a)
{
	struct vm_config *c = &a->cfg;

	if (c->kernel.path && c->firmware.path)
		die_usage("%s: a kernel or firmware, not both", c->name);
	if (!c->kernel.path && (c->initrd.path || *c->cmdline))
		die_usage("%s: no kernel given (-k FILE)", c->name);
	if (!c->kernel.path && !c->firmware.path && !c->disks)
		die_usage("%s: nothing to boot: %s give a kernel (-k), a disk "
			  "(-d) or firmware (-f)", c->name, a->conf ?
			  "its section in the configuration has none;" :
			  "it is not in " CONF_PATH ", so");
	if (!c->kernel.path && !c->firmware.path)
		set(a, setting_by_name("firmware"), strdup("bios"));
	if (!c->serials)
		set(a, setting_by_name("serial"), strdup("console"));
	if (!c->vcpus)
		die("%s: a VM has at least one virtual CPU", c->name);
	if (c->memory < MEMORY_MIN || c->memory % PAGE_SIZE)
		die("%s: %llu KiB of memory: it must be 4 MiB or more, in "
		    "steps of 4 KiB", c->name,
		    (unsigned long long)(c->memory / KiB));
	c->target = c->memory;
	if (strlen(c->cmdline) > CMDLINE_MAX)
		die("%s: the kernel command line is longer than %d bytes",
		    c->name, CMDLINE_MAX);
}

static void open_files(struct vm_config *c)
{
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
 * Does the VM come to run?  Much memory, all of which is zeroed first, takes
 * its time: who waits at a terminal is told.
 */
static bool started(int fd, const struct vm_config *c)
{
	struct pollfd p = { fd, POLLIN, 0 };
	bool told = false;
	unsigned s;
	char byte;

	for (s = 1; poll(&p, 1, 1000) == 0; s++) {
		if (s < 5 || !isatty(STDERR_FILENO))
			continue;
		fprintf(stderr, "\r%s: starting, with %llu MiB of memory: %u s",
			c->name, (unsigned long long)(c->memory / MiB), s);
		told = true;
	}
	if (told)
		fputc('\n', stderr);
	return read(fd, &byte, 1) == 1;
}

/*
 * Go into the background.  The process started waits until the VM runs, or
 * gives its exit code if it does not come to that.
 */
static void daemonize(struct args *a)
{
	int p[2], status;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid > 0) {
		close(p[1]);
		if (started(p[0], &a->cfg))
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

static void show(struct args *a)
{
	json_dumpf(a->shown, stdout, JSON_INDENT(2));
	putchar('\n');
	if (fflush(stdout))
		die("standard output: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct args a = {
		.cfg = { .cmdline = "", .debug_exit = -1 },
		.run = { .attach = -1, .ready = -1 },
	};

	defaults(&a);
	parse(&a, argc, argv);
	check(&a);
	json_object_set_new(a.shown, "name", json_string(a.cfg.name));
	if (a.show) {
		show(&a);
		return EXIT_OK;
	}
	a.cfg.shown = json_dumps(a.shown, JSON_COMPACT);
	open_files(&a.cfg);
	a.run.cfg = &a.cfg;
	a.run.control = hv_open_control();
	check_capabilities(&a);
	a.cfg.salt = identity_salt(IDENTITY_HOST);
	nics_open(&a.cfg);
	serials_open(&a.cfg);
	if (a.daemon)
		daemonize(&a);
	return manager_main(&a.run);
}
