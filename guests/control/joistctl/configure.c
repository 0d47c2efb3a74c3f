/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * configure.c -- commands about the configuration file.
 *
 * There is no daemon that would keep it: it is read whenever a VM is started.
 * What "load" adds is a checked copy in /run, this user's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guests/control/lib/conf.h"
#include "joistctl.h"

/* Each VM's settings, by joist-vm, which complains; the number of VMs. */
static unsigned check_all(const struct conf *c, const char *path)
{
	unsigned i, bad = 0;
	json_t *o;

	for (i = 0; i < c->count; i++) {
		o = vm_settings(c->vms[i].name, path);
		bad += !o;
		json_decref(o);
	}
	if (bad)
		exit(EXIT_FAIL);
	return c->count;
}

static void copy_file(const char *from, const char *to)
{
	char buf[4096], temp[128];
	int in, out;
	ssize_t n;

	snprintf(temp, sizeof(temp), "%s.new", to);
	in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		die("%s: %s", from, strerror(errno));
	unlink(temp);
	out = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		   0600);
	if (out < 0)
		die("%s: %s", temp, strerror(errno));
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			die("%s: %s", temp, strerror(errno));
	if (n < 0)
		die("%s: %s", from, strerror(errno));
	if (close(out) < 0 || rename(temp, to) < 0)
		die("%s: %s", to, strerror(errno));
	close(in);
}

int cmd_load(int argc, char **argv)
{
	struct options o = { .plain_name = true };
	struct conf c = { 0 };
	unsigned n;
	int err;

	parse_options(&o, argc, argv, "", NAME_MUST);
	if (!conf_read(&c, o.name))
		die("%s: %s", o.name, strerror(ENOENT));
	n = check_all(&c, o.name);
	err = proto_make_dir();
	if (err < 0)
		die("%s: %s", PROTO_DIR, strerror(-err));
	copy_file(o.name, conf_loaded_path());
	printf("%s: %u VM%s loaded\n", o.name, n, n == 1 ? "" : "s");
	return EXIT_OK;
}

static bool is_running(int control, const char *name)
{
	struct joist_info in;

	return hv_find(control, name, &in) == 0;
}

static int start_marked(const struct conf *c)
{
	const struct conf_vm *vm;
	int control = -1, code = EXIT_OK;

	for (vm = c->vms; vm < c->vms + c->count; vm++) {
		if (!vm->autostart)
			continue;
		if (control < 0)
			control = hv_open_control();
		if (is_running(control, vm->name)) {
			printf("%s: runs already\n", vm->name);
			continue;
		}
		/* The reason is on standard error; the others are started. */
		if (vm_start(vm->name) != EXIT_OK)
			code = EXIT_FAIL;
		else
			printf("%s: started\n", vm->name);
		fflush(stdout);
	}
	return code;
}

int cmd_autostart(int argc, char **argv)
{
	struct options o = { 0 };
	struct conf c = { 0 };

	parse_options(&o, argc, argv, "", NAME_NONE);
	conf_read_all(&c, conf_file);
	return start_marked(&c);
}

int cmd_reload(int argc, char **argv)
{
	const char *path = conf_file ? conf_file : CONF_PATH;
	const char *loaded = conf_loaded_path();
	struct options o = { 0 };
	struct conf c = { 0 };
	unsigned n;

	parse_options(&o, argc, argv, "", NAME_NONE);
	if (!conf_read(&c, path))
		die("%s: %s", path, strerror(ENOENT));
	n = check_all(&c, path);
	if (unlink(loaded) < 0 && errno != ENOENT)
		die("%s: %s", loaded, strerror(errno));
	printf("%s: %u VM%s\n", path, n, n == 1 ? "" : "s");
	return start_marked(&c);
}

/* ---- show ---- */

/* As joist.conf has it: what it would take for a word is escaped. */
static void print_value(const char *name, const char *value)
{
	const char *p;

	printf("\t%s = \"", name);
	for (p = value; *p; p++) {
		if (*p == '\n') {
			printf("\\n");
			continue;
		}
		if (strchr("\"\\$", *p))
			putchar('\\');
		putchar(*p);
	}
	printf("\"\n");
}

static void print_section(const char *name, const json_t *o)
{
	const struct setting *s;
	const json_t *v;
	size_t i;

	printf("vm \"%s\" {\n", name);
	for (s = settings; s < settings + settings_count; s++) {
		v = json_object_get(o, setting_word(s));
		if (json_is_string(v))
			print_value(setting_word(s), json_string_value(v));
		else if (json_is_boolean(v))
			print_value(setting_word(s), json_is_true(v) ? "yes" : "no");
		for (i = 0; i < json_array_size(v); i++)
			print_value(setting_word(s), json_string_value(
				    json_array_get(v, i)));
	}
	printf("}\n");
}

/* Of the VM that runs, unless a file is named or it does not. */
int cmd_show(int argc, char **argv)
{
	struct options opt = { 0 };
	json_t *o = NULL, *r;
	bool running = false;
	int fd;

	parse_options(&opt, argc, argv, "j", NAME_MUST);
	fd = conf_file ? -ENOENT : proto_connect(opt.name);
	if (fd == -ETIMEDOUT)
		die("%s: %s", opt.name, ask_why(fd));
	if (fd >= 0) {
		r = ask(fd, opt.name, "show");
		o = json_incref(json_object_get(r, "settings"));
		json_decref(r);
		close(fd);
		running = true;
	} else {
		o = vm_settings(opt.name, conf_file);
	}
	if (!o)
		return EXIT_FAIL;
	json_object_set_new(o, "running", json_boolean(running));
	if (opt.json) {
		print_json(o);
		return EXIT_OK;
	}
	print_section(opt.name, o);
	json_decref(o);
	return EXIT_OK;
}
