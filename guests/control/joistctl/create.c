/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * create.c -- disk images.
 *
 * A raw image is a file with a size.  Other formats are qemu-img's: none is
 * written, or read, by us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guests/control/lib/size.h"
#include "joistctl.h"

#define SECTOR	512

static const char usage[] =
"usage: joistctl create PATH -s SIZE [-F raw|qcow2]\n"
"       joistctl create PATH [-s SIZE] -b BACKING,format=raw|qcow2\n"
"\n"
"Make an empty disk image.  A raw one takes up space as it is written to.\n"
"\n"
"  -s, --size SIZE       as 10G; a bare number is MiB\n"
"  -F, --format FORMAT   raw (the default) or qcow2\n"
"  -b, --backing FILE,format=FORMAT\n"
"                        what has not been written is read from this image,\n"
"                        which must not change any more; makes it qcow2.  A VM\n"
"                        has it by -d PATH,format=qcow2,backing=FILE\n";

struct create {
	const char *path, *format;
	char *backing;
	const char *backing_format;
	u64 size;		/* 0: that of the backing file */
};

static const char *format_of(const char *option, const char *s)
{
	if (strcmp(s, "raw") && strcmp(s, "qcow2"))
		die_usage("create: %s '%s': it is 'raw' or 'qcow2'", option,
			  s);
	return s;
}

/* Guessing would let who writes to a raw image choose what it is taken for. */
static void parse_backing(struct create *c, char *arg)
{
	static const char key[] = ",format=";
	char *p = strstr(arg, key);

	if (!p || p == arg)
		die_usage("create: -b '%s': say which format it has: "
			  "-b FILE,format=raw or -b FILE,format=qcow2", arg);
	*p = 0;
	c->backing = arg;
	c->backing_format = format_of("-b ...,format=", p + strlen(key));
}

static void parse(struct create *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "size", required_argument, NULL, 's' },
		{ "format", required_argument, NULL, 'F' },
		{ "backing", required_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int key;

	opterr = 0;
	while ((key = getopt_long(argc, argv, "s:F:b:h", longs, NULL)) >= 0) {
		if (key == '?')
			die_usage("create: option '%s': not known, or without "
				  "its value", argv[optind - 1]);
		if (key == 'h') {
			fputs(usage, stdout);
			exit(EXIT_OK);
		}
		if (key == 's' && !size_parse(optarg, &c->size))
			die_usage("create: --size '%s': not a size such as "
				  "512M or 4G", optarg);
		if (key == 's' && (!c->size || c->size % SECTOR ||
				   c->size > INT64_MAX))
			die_usage("create: --size '%s': not a number of "
				  "512-byte sectors", optarg);
		if (key == 'F')
			c->format = format_of("--format", optarg);
		if (key == 'b')
			parse_backing(c, optarg);
	}
	if (optind == argc)
		die_usage("create: which file is to be made?");
	if (optind + 1 < argc)
		die_usage("create: what is '%s' for?", argv[optind + 1]);
	c->path = argv[optind];
	if (!c->format)
		c->format = c->backing ? "qcow2" : "raw";
	if (c->backing && strcmp(c->format, "qcow2"))
		die_usage("create: %s: a raw image has no backing file",
			  c->path);
	if (!c->size && !c->backing)
		die_usage("create: %s: how large? (-s SIZE)", c->path);
}

static int create_raw(const struct create *c)
{
	int fd = open(c->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	int err = 0;

	if (fd < 0)
		die("%s: %s", c->path, strerror(errno));
	if (ftruncate(fd, (off_t)c->size) < 0 || fsync(fd) < 0)
		err = errno;
	if (close(fd) < 0 && !err)
		err = errno;
	if (!err)
		return EXIT_OK;
	unlink(c->path);
	die("%s: %s", c->path, strerror(err));
}

/* qemu-img takes a relative backing file as relative to the image. */
static int create_qcow2(const struct create *c)
{
	char *args[] = {
		"qemu-img", "create", "-q", "-f", "qcow2",
		NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
	}, size[32], *backing = NULL;
	int n = 5;

	/* It would write over an image that is there. */
	if (!access(c->path, F_OK))
		die("%s: %s", c->path, strerror(EEXIST));
	if (c->backing) {
		backing = realpath(c->backing, NULL);
		if (!backing)
			die("%s: %s", c->backing, strerror(errno));
		args[n++] = "-b";
		args[n++] = backing;
		args[n++] = "-F";
		args[n++] = (char *)(uintptr_t)c->backing_format;
	}
	args[n++] = "--";
	args[n++] = (char *)(uintptr_t)c->path;
	if (c->size) {
		snprintf(size, sizeof(size), "%llu",
			 (unsigned long long)c->size);
		args[n++] = size;
	}
	execvp(args[0], args);
	free(backing);
	if (errno == ENOENT)
		die("%s: qcow2 images are made by qemu-img, which is not "
		    "installed here (Debian's package qemu-utils)", c->path);
	die("qemu-img: %s", strerror(errno));
}

int cmd_create(int argc, char **argv)
{
	struct create c = { 0 };

	parse(&c, argc, argv);
	return strcmp(c.format, "raw") ? create_qcow2(&c) : create_raw(&c);
}
