/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c -- joistctl: command table and command lines.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guests/control/lib/conf.h"
#include "joistctl.h"

const char *conf_file;

static int cmd_help(int argc, char **argv);

static const struct command {
	const char *name;
	int (*fn)(int argc, char **argv);
	const char *args;
	const char *help;
} commands[] = {
	{ "start", cmd_start, "NAME [OPTION...]",
	  "start a VM, as configured or as the options say (start --help lists\n"
	  "\tthem); returns when it runs" },
	{ "run", cmd_run, "NAME [OPTION...]",
	  "the same, with its serial port here, and its end as exit code" },
	{ "stop", cmd_stop, "NAME|--all [-t SECONDS] [-f]",
	  "press the power button; after 30 s, or at once with -f, kill" },
	{ "kill", cmd_kill, "NAME", "end a VM at once" },
	{ "reset", cmd_simple, "NAME", "press the reset button" },
	{ "pause", cmd_simple, "NAME", "stop a VM's virtual CPUs" },
	{ "unpause", cmd_simple, "NAME", "let them go on" },
	{ "memory", cmd_memory, "NAME [SIZE] [-w] [-t SECONDS] [--json]",
	  "what a VM with a balloon has of its memory; with SIZE, ask it to\n"
	  "\tkeep to that, and with -w wait until it does" },
	{ "status", cmd_status, "[NAME] [--all] [--json]",
	  "list VMs, or one; with --all also those that are only configured" },
	{ "show", cmd_show, "NAME [--json]",
	  "a VM's settings: those it runs with, or would be started with" },
	{ "autostart", cmd_autostart, "",
	  "start the VMs that are configured with autostart" },
	{ "load", cmd_load, "FILE",
	  "check a configuration file; until reload its VMs can be started" },
	{ "reload", cmd_reload, "",
	  "check " CONF_PATH ", forget what was loaded, and autostart" },
	{ "create", cmd_create, "PATH -s SIZE [-F FORMAT] [-b BACKING]",
	  "make a disk image (create --help)" },
	{ "console", cmd_console, "NAME [-p PORT] [-d]",
	  "this terminal on its serial port COM1 (2: COM2, hvc: the virtio\n"
	  "\tconsole); ~. leaves it; with -d only watch" },
	{ "log", cmd_log, "NAME [-p PORT]",
	  "what that port has said so far" },
	{ "wait", cmd_wait, "NAME [--json]",
	  "wait for a VM's end; its exit code is ours" },
	{ "stats", cmd_stats, "[NAME] [--json]",
	  "count exits by reason, of a VM or of the control VM" },
	{ "top", cmd_top, "[-d SECONDS] [-n COUNT] [--json]",
	  "what the VMs are doing" },
	{ "info", cmd_info, "[--json]", "the hypervisor and its memory" },
	{ "dmesg", cmd_dmesg, "[-w]", "the hypervisor's log; -w waits for more" },
	{ "version", cmd_version, "", "of this tool, and of the hypervisor" },
	{ "help", cmd_help, "[COMMAND]", "this, or about one of them" },
};

static const char footer[] =
"\n"
"Exit codes: 0 done, 2 failed, 64 wrong use of the command line; of run and\n"
"wait, that of the VM: 0 powered off, 4 triple fault, 6 killed, 8 a virtual\n"
"CPU could not go on, 10 rebooted (on_reboot), 12 destroyed from elsewhere,\n"
"14 its device process died, odd: its debug exit port.\n";

static const struct command *find_command(const char *name)
{
	const struct command *c;

	for (c = commands; c < commands + ARRAY_SIZE(commands); c++)
		if (!strcmp(c->name, name))
			return c;
	die_usage("'%s': no such command; 'joistctl help' lists them", name);
}

static void print_command(const struct command *c)
{
	printf("  %s%s%s\n\t%s\n", c->name, *c->args ? " " : "", c->args,
	       c->help);
}

/* "COMMAND --help", for those that have no page of their own. */
static int help_one(const char *name)
{
	const struct command *c = find_command(name);

	printf("usage: joistctl [-f FILE] %s %s\n\n\t%s\n", name, c->args,
	       c->help);
	return EXIT_OK;
}

static int cmd_help(int argc, char **argv)
{
	const struct command *c;

	if (argc > 2)
		die_usage("help: what is '%s' for?", argv[2]);
	if (argc == 2 && *argv[1] != '-') {
		char *args[] = { argv[1], (char *)(uintptr_t)"--help", NULL };

		c = find_command(argv[1]);
		return c->fn == cmd_help ? help_one(c->name) : c->fn(2, args);
	}
	printf("usage: joistctl [-f FILE] COMMAND ...\n\n"
	       "  -f FILE\n\tthe configuration, in place of " CONF_PATH
	       "\n\n");
	for (c = commands; c < commands + ARRAY_SIZE(commands); c++)
		print_command(c);
	fputs(footer, stdout);
	return EXIT_OK;
}

static unsigned number(const char *option, const char *s)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || errno || v > 1000000)
		die_usage("-%s '%s': not a number", option, s);
	return (unsigned)v;
}

void parse_options(struct options *o, int argc, char **argv,
		   const char *flags, enum name_rule rule)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "force", no_argument, NULL, 'f' },
		{ "all", no_argument, NULL, 'a' },
		{ "follow", no_argument, NULL, 'w' },
		{ "watch", no_argument, NULL, 'w' },
		{ "wait", no_argument, NULL, 'w' },
		{ "timeout", required_argument, NULL, 't' },
		{ "delay", required_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'n' },
		{ "port", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *p;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, flags, longs, NULL)) >= 0) {
		if (c == 'h' || (c == '?' && optopt == 'h'))
			exit(help_one(argv[0]));
		p = strchr(flags, c);
		/* A long one is taken only as the short one is. */
		if (c == '?' || !p || (p[1] == ':') != !!optarg)
			die_usage("%s: option '%s': not known here, or "
				  "without its value", argv[0],
				  argv[optind - 1 - (optarg == argv[optind - 1])]);
		o->json |= c == 'j';
		o->force |= c == 'f';
		o->follow |= c == 'w' || (c == 'd' && !optarg);
		o->all |= c == 'a';
		if (c == 't' || (c == 'd' && optarg))
			o->seconds = number(c == 't' ? "t" : "d", optarg);
		if (c == 'p')
			o->port = strcmp(optarg, "hvc") ? number("p", optarg) :
				  PROTO_PORT_HVC;
		if (c == 'n')
			o->count = number("n", optarg);
	}
	if (optind < argc && rule != NAME_NONE)
		o->name = argv[optind++];
	if (optind < argc && o->takes_value)
		o->value = argv[optind++];
	if (optind < argc)
		die_usage("%s: what is '%s' for?", argv[0], argv[optind]);
	if (!o->name && rule == NAME_MUST)
		die_usage("%s: which %s?", argv[0],
			  o->plain_name ? "file" : "VM");
	if (o->name && !o->plain_name && hv_name_error(o->name))
		die("'%s': %s", o->name, hv_name_error(o->name));
}

void print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(o);
}

int main(int argc, char **argv)
{
	const struct command *c;
	int code;

	err_prog = "joistctl";
	if (argc > 1 && (!strcmp(argv[1], "-f") ||
			 !strcmp(argv[1], "--config"))) {
		if (argc == 2)
			die_usage("%s: which file?", argv[1]);
		conf_file = argv[2];
		argc -= 2;
		argv += 2;
	}
	if (argc < 2)
		die_usage("which command? 'joistctl help' lists them");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return cmd_help(0, NULL);
	if (!strcmp(argv[1], "--version"))
		return cmd_version(1, argv);
	c = find_command(argv[1]);
	code = c->fn(argc - 1, argv + 1);
	if (fflush(stdout) || ferror(stdout))
		die("standard output: %s", strerror(errno));
	return code;
}
