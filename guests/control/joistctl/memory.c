/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c -- how much of its memory a VM has, and is to have.
 *
 * The guest's driver does it, when and as far as it can; what the VM has is
 * the hypervisor's word.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guests/control/lib/size.h"
#include "joistctl.h"

#define LOOK_NS		500000000	/* between two looks */

typedef unsigned long long ull;

static u64 number_of(const json_t *o, const char *key)
{
	return (u64)json_integer_value(json_object_get(o, key));
}

static ull mib_of(const json_t *o, const char *key)
{
	return number_of(o, key) / MiB;
}

static bool is(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static void print_memory(const json_t *o)
{
	static const char *const said[] = { "total", "free", "available" };
	const json_t *stats = json_object_get(o, "stats");
	unsigned i;

	printf("configured  %llu MiB\n", mib_of(o, "configured"));
	printf("target      %llu MiB\n", mib_of(o, "target"));
	printf("held        %llu MiB, given back %llu MiB\n",
	       mib_of(o, "held"),
	       (ull)(number_of(o, "configured") - number_of(o, "held")) / MiB);
	printf("guest       ");
	if (!is(o, "driver"))
		printf("no driver for the balloon at work");
	else if (!json_object_size(stats))
		printf("does not tell");
	for (i = 0; i < ARRAY_SIZE(said) && json_object_size(stats); i++)
		printf("%s%llu MiB %s", i ? ", " : "", mib_of(stats, said[i]),
		       said[i]);
	if (json_object_size(stats) && number_of(stats, "age") > 1)
		printf(" (%llu s ago)", (ull)number_of(stats, "age"));
	putchar('\n');
	if (is(o, "starved"))
		printf("            wants memory back that the pool has not got "
		       "now\n");
}

/* What keeps the guest from it, if that is not what was said last. */
static void explain(const char *name, const json_t *o, const char **last)
{
	const char *why = NULL;

	if (is(o, "starved"))
		why = "the pool has not got that much now: its guest waits for "
		      "it";
	else if (!is(o, "driver"))
		why = "its guest has no driver for the balloon at work: it is "
		      "asked when there is one";
	if (why && why != *last)
		warn_msg("%s: %s", name, why);
	*last = why;
}

static void progress(const char *name, const json_t *o, u64 target)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "%s: %llu MiB, to be %llu MiB\033[K\r", name,
			mib_of(o, "held"), (ull)target / MiB);
}

/* Until the VM has what it is to have; gives what it said last. */
static json_t *wait_for(int fd, const struct options *opt, u64 target,
			json_t *o)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	u64 end = now_ms() + opt->seconds * 1000ull;
	const char *why = NULL;

	while (number_of(o, "held") != target) {
		explain(opt->name, o, &why);
		if (number_of(o, "target") != target)
			die("%s: somebody else has asked for %llu MiB "
			    "meanwhile", opt->name, mib_of(o, "target"));
		if (opt->seconds && now_ms() >= end)
			die("%s: after %u s it has %llu MiB, not %llu MiB",
			    opt->name, opt->seconds, mib_of(o, "held"),
			    (ull)target / MiB);
		progress(opt->name, o, target);
		json_decref(o);
		nanosleep(&pause, NULL);
		o = ask_memory(fd, opt->name, 0);
	}
	progress(opt->name, o, target);
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
	return o;
}

int cmd_memory(int argc, char **argv)
{
	struct options opt = { .takes_value = true };
	const char *why = NULL;
	u64 target = 0;
	json_t *o;
	int fd;

	parse_options(&opt, argc, argv, "jwt:", NAME_MUST);
	if (opt.value && (!size_parse(opt.value, &target) || !target))
		die_usage("memory: '%s': not a size such as 512M or 4G",
			  opt.value);
	if (!opt.value && (opt.follow || opt.seconds))
		die_usage("memory: %s: wait for which size?", opt.name);
	fd = ask_connect(opt.name);
	o = ask_memory(fd, opt.name, target);
	if (opt.value && (opt.follow || opt.seconds))
		o = wait_for(fd, &opt, target, o);
	else if (opt.value && number_of(o, "held") != target)
		explain(opt.name, o, &why);
	if (opt.json) {
		json_object_del(o, "ok");
		print_json(o);
		return EXIT_OK;
	}
	if (!opt.value)
		print_memory(o);
	json_decref(o);
	return EXIT_OK;
}
