/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * show.c -- commands that list: status, info, stats, dmesg, version.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guests/control/lib/conf.h"
#include "joistctl.h"

typedef unsigned long long ull;

/* One VM: what the hypervisor knows, and what its joist-vm adds. */
static json_t *describe(const struct joist_info *in, bool asked)
{
	char name[JOIST_NAME_LEN + 1] = "", line[PROTO_LINE];
	json_t *o, *extra = NULL;
	int fd, err;

	memcpy(name, in->name, JOIST_NAME_LEN);
	o = json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I}",
		      "name", name,
		      "id", (json_int_t)in->head.vm,
		      "state", "unattended",
		      "vcpus", (json_int_t)in->vcpus,
		      "memory", (json_int_t)in->memory,
		      "overhead", (json_int_t)in->overhead,
		      "exits", (json_int_t)in->exits);
	if (in->state & JOIST_VM_TERMINATED)
		json_object_set_new(o, "state", json_string("terminated"));
	/* Without its joist-vm, or a right to ask it, that is all there is. */
	err = fd = asked ? proto_connect(name) : -ENOENT;
	if (fd >= 0) {
		err = proto_write(fd, "{\"cmd\": \"status\"}\n", 18);
		if (!err)
			err = proto_read_line(fd, line, sizeof(line));
		if (err > 0)
			extra = json_loads(line, 0, NULL);
		close(fd);
	}
	if (err == -ETIMEDOUT)
		json_object_set_new(o, "state", json_string("no answer"));
	if (extra) {
		json_object_del(extra, "ok");
		/* The hypervisor knows what it has of that now. */
		json_object_set(extra, "configured",
				json_object_get(extra, "memory"));
		json_object_del(extra, "memory");
		json_object_update(o, extra);
		json_decref(extra);
	}
	return o;
}

json_t *list_vms(int control, const char *only, bool asked)
{
	json_t *list = json_array();
	struct joist_info in;
	u32 index = 0;
	int err;

	for (;;) {
		memset(&in, 0, sizeof(in));
		in.index = index;
		err = hv_call(control, JOIST_INFO, &in);
		if (err == -ENOENT)
			return list;
		if (err < 0)
			die("%s: %s", JOIST_CTL_PATH, strerror(-err));
		index = in.index;
		if (!only || !strncmp(in.name, only, JOIST_NAME_LEN))
			json_array_append_new(list, describe(&in, asked));
	}
}

static json_int_t num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

/* Those that are configured and do not run. */
static void add_stopped(json_t *list, const char *only)
{
	struct conf c = { 0 };
	unsigned i;
	size_t k;
	json_t *o;

	conf_read_all(&c, conf_file);
	for (i = 0; i < c.count; i++) {
		if (only && strcmp(only, c.vms[i].name))
			continue;
		json_array_foreach(list, k, o)
			if (!strcmp(text(o, "name"), c.vms[i].name))
				break;
		if (k == json_array_size(list))
			json_array_append_new(list, json_pack("{s:s, s:s}",
				"name", c.vms[i].name, "state", "stopped"));
	}
}

int cmd_status(int argc, char **argv)
{
	struct options opt = { 0 };
	json_t *list, *o;
	size_t i;

	parse_options(&opt, argc, argv, "ja", NAME_MAYBE);
	list = list_vms(hv_open_control(), opt.name, true);
	if (opt.all)
		add_stopped(list, opt.name);
	if (opt.name && !json_array_size(list))
		die("%s: no VM of that name runs", opt.name);
	if (opt.json) {
		print_json(list);
		return EXIT_OK;
	}
	printf("%-20s %4s %-10s %5s %9s %7s %8s %12s\n", "NAME", "ID",
	       "STATE", "VCPUS", "MEMORY", "PID", "UPTIME", "EXITS");
	json_array_foreach(list, i, o)
		printf("%-20s %4lld %-10s %5lld %6lld MB %7lld %8lld %12lld\n",
		       text(o, "name"), num(o, "id"), text(o, "state"),
		       num(o, "vcpus"), num(o, "memory") / (json_int_t)MiB,
		       num(o, "pid"), num(o, "uptime"), num(o, "exits"));
	json_array_foreach(list, i, o)
		if (json_is_string(json_object_get(o, "why_paused")))
			printf("%s is paused: %s\n", text(o, "name"),
			       text(o, "why_paused"));
	json_decref(list);
	return EXIT_OK;
}

static json_t *features(u32 f)
{
	static const struct { u32 bit; const char *name; } names[] = {
		{ JOIST_CAP_NEXT_RIP, "next-rip" },
		{ JOIST_CAP_TIMER, "timer" },
		{ JOIST_CAP_VID, "virtual-interrupt-delivery" },
		{ JOIST_CAP_1G, "1g-pages" },
	};
	json_t *a = json_array();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (f & names[i].bit)
			json_array_append_new(a, json_string(names[i].name));
	return a;
}

/* What is done about each of the CPU's vulnerabilities. */
static json_t *mitigations(int fd)
{
	struct joist_mitigation m = { 0 };
	json_t *o = json_object();

	while (!hv_call(fd, JOIST_MITIGATION, &m)) {
		m.name[sizeof(m.name) - 1] = m.text[sizeof(m.text) - 1] = 0;
		json_object_set_new(o, m.name, json_string(m.text));
	}
	return o;
}

/* For people; numbers to compute with are in the JSON. */
static void print_info(json_t *o)
{
	const json_int_t mib = (json_int_t)MiB;
	const json_t *list = json_object_get(o, "features");
	const char *key;
	json_t *what;
	size_t i;

	printf("version     %s%s, ABI version %lld\n", text(o, "version"),
	       json_is_true(json_object_get(o, "debug")) ? " (debug build)" :
	       "", num(o, "abi"));
	printf("CPUs        %lld, %s, TSC %lld.%03lld MHz\n", num(o, "pcpus"),
	       text(o, "vendor"), num(o, "tsc_khz") / 1000,
	       num(o, "tsc_khz") % 1000);
	printf("features   ");
	for (i = 0; i < json_array_size(list); i++)
		printf(" %s", json_string_value(json_array_get(list, i)));
	printf("%s\n", i ? "" : " none");
	printf("pool        %lld MiB, %lld MiB free\n",
	       num(o, "pool_total") / mib, num(o, "pool_free") / mib);
	printf("control VM  %lld MiB, tried to read memory that is not its own "
	       "%lld times, to write %lld times\n",
	       num(o, "control_bytes") / mib, num(o, "forbidden_reads"),
	       num(o, "forbidden_writes"));
	printf("hypervisor  %lld KiB\n",
	       num(o, "hypervisor_bytes") / (json_int_t)KiB);
	printf("a VM        up to %lld virtual CPUs, memory below %lld GiB; up "
	       "to %lld VMs\n", num(o, "max_vcpus"),
	       num(o, "max_gpa") / (json_int_t)GiB, num(o, "max_vms"));
	printf("vulnerabilities\n");
	json_object_foreach(json_object_get(o, "vulnerabilities"), key, what)
		printf("  %s: %s\n", key, json_string_value(what));
}

int cmd_info(int argc, char **argv)
{
	struct joist_capabilities c = { 0 };
	struct joist_version v = { 0 };
	struct options opt = { 0 };
	int fd, err;
	json_t *o;

	parse_options(&opt, argc, argv, "j", NAME_NONE);
	fd = hv_open_control();
	err = hv_call(fd, JOIST_VERSION, &v);
	if (!err)
		err = hv_call(fd, JOIST_CAPABILITIES, &c);
	if (err < 0)
		die("%s: %s", JOIST_CTL_PATH, strerror(-err));
	v.version[sizeof(v.version) - 1] = 0;
	o = json_pack("{s:s, s:I, s:b, s:s, s:o, s:I, s:I, s:I, s:I, s:I, "
		      "s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
		      "version", v.version,
		      "abi", (json_int_t)v.abi,
		      "debug", (int)v.debug,
		      "vendor", c.vendor == JOIST_VENDOR_VMX ? "vmx" :
				c.vendor == JOIST_VENDOR_SVM ? "svm" : "?",
		      "features", features(c.features),
		      "pcpus", (json_int_t)c.pcpus,
		      "tsc_khz", (json_int_t)c.tsc_khz,
		      "max_vms", (json_int_t)c.max_vms,
		      "max_vcpus", (json_int_t)c.max_vcpus,
		      "pool_total", (json_int_t)c.pool_total,
		      "pool_free", (json_int_t)c.pool_free,
		      "hypervisor_bytes", (json_int_t)c.hypervisor_bytes,
		      "control_bytes", (json_int_t)c.control_bytes,
		      "max_gpa", (json_int_t)c.max_gpa,
		      "forbidden_reads", (json_int_t)c.forbidden_reads,
		      "forbidden_writes", (json_int_t)c.forbidden_writes,
		      "vulnerabilities", mitigations(fd));
	if (opt.json) {
		print_json(o);
		return EXIT_OK;
	}
	print_info(o);
	json_decref(o);
	return EXIT_OK;
}

static const char *const stat_names[JOIST_STAT_COUNT] = {
#define S(name, text) [JOIST_STAT_##name] = text,
	JOIST_STATS(S)
#undef S
};

static json_t *stats_of(int fd, u32 vm, u32 vcpu, u64 total[])
{
	struct joist_stats s = { .head = { vm, vcpu } };
	int err = hv_call(fd, JOIST_STATS_GET, &s);
	json_t *o;
	u32 i, n;

	if (err < 0)
		die("statistics of vCPU %u: %s", vcpu, strerror(-err));
	n = MIN(s.entries, (u32)MIN(JOIST_STAT_COUNT, ARRAY_SIZE(s.count)));
	o = json_pack("{s:I, s:I}", "vcpu", (json_int_t)vcpu,
		      "runs", (json_int_t)s.runs);
	for (i = 0; i < n; i++) {
		json_object_set_new(o, stat_names[i],
				    json_integer((json_int_t)s.count[i]));
		total[i] += s.count[i];
	}
	return o;
}

int cmd_stats(int argc, char **argv)
{
	u64 total[JOIST_STAT_COUNT] = { 0 };
	struct joist_capabilities caps = { 0 };
	struct joist_info in = { 0 };
	struct options opt = { 0 };
	json_t *list = json_array();
	int fd, err;
	u32 v, n, i;
	size_t k;
	json_t *o;

	parse_options(&opt, argc, argv, "j", NAME_MAYBE);
	fd = hv_open_control();
	if (opt.name && hv_find(fd, opt.name, &in) < 0)
		die("%s: no VM of that name runs", opt.name);
	err = hv_call(fd, JOIST_CAPABILITIES, &caps);
	if (err < 0)
		die("%s: %s", JOIST_CTL_PATH, strerror(-err));
	n = opt.name ? in.vcpus : caps.pcpus;
	for (v = 0; v < n; v++)
		json_array_append_new(list,
				      stats_of(fd, in.head.vm, v, total));
	if (opt.json) {
		print_json(list);
		return EXIT_OK;
	}
	printf("%-14s %14s", "EXIT", "TOTAL");
	for (v = 0; v < n; v++)
		printf("      %s%-3u", opt.name ? "vCPU" : "CPU ", v);
	printf("\n%-14s %14s", "runs", "");
	json_array_foreach(list, k, o)
		printf(" %12lld", num(o, "runs"));
	putchar('\n');
	for (i = 0; i < JOIST_STAT_COUNT; i++) {
		if (!total[i])
			continue;
		printf("%-14s %14llu", stat_names[i], (ull)total[i]);
		json_array_foreach(list, k, o)
			printf(" %12lld", num(o, stat_names[i]));
		putchar('\n');
	}
	json_decref(list);
	return EXIT_OK;
}

int cmd_dmesg(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = 200 * 1000 * 1000 };
	struct joist_log log = { 0 };
	struct options opt = { 0 };
	int fd, err;

	parse_options(&opt, argc, argv, "w", NAME_NONE);
	fd = hv_open_control();
	for (;;) {
		err = hv_call(fd, JOIST_LOG, &log);
		if (err < 0)
			die("%s: %s", JOIST_CTL_PATH, strerror(-err));
		if (log.len) {
			fwrite(log.text, 1, MIN(log.len, sizeof(log.text)),
			       stdout);
			continue;
		}
		if (!opt.follow)
			return EXIT_OK;
		fflush(stdout);
		nanosleep(&pause, NULL);
	}
}

/* Without Joist the tool still has one. */
int cmd_version(int argc, char **argv)
{
	struct joist_version v = { 0 };
	struct options opt = { 0 };
	int fd;

	parse_options(&opt, argc, argv, "", NAME_NONE);
	printf("joistctl %s\n", TOOLS_VERSION);
	fd = open(JOIST_CTL_PATH, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && !hv_call(fd, JOIST_VERSION, &v))
		printf("Joist %.*s, ABI version %u%s\n",
		       (int)sizeof(v.version), v.version, v.abi,
		       v.debug ? ", debug build" : "");
	return EXIT_OK;
}
