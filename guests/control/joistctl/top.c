/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * top.c -- what the VMs are doing, as rates over an interval.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "joistctl.h"

#define DELAY	2

struct sample {
	u32 vm;
	u32 vcpus, halted;
	char name[JOIST_NAME_LEN + 1];
	u64 memory;
	int pid;
	u64 cpu;		/* clock ticks of its joist-vm machine process */
	u64 runs, exits, io, stage2, hlt, intr;
};

struct samples {
	u64 ns;
	unsigned count;
	struct sample vm[JOIST_MAX_VMS];
};

static int machine_pid(const char *name)
{
	char line[PROTO_LINE];
	int fd = proto_connect(name), pid = 0;
	json_t *o;

	if (fd < 0)
		return 0;
	if (!proto_write(fd, "{\"cmd\": \"status\"}\n", 18) &&
	    proto_read_line(fd, line, sizeof(line)) > 0) {
		o = json_loads(line, 0, NULL);
		pid = (int)json_integer_value(json_object_get(o, "pid"));
		json_decref(o);
	}
	close(fd);
	return pid;
}

static u64 process_ticks(int pid)
{
	unsigned long long user = 0, system = 0;
	char path[64], line[1024], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	/* The name in parentheses may hold anything: count from its end. */
	if (fgets(line, sizeof(line), f) && (p = strrchr(line, ')')))
		sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
		       "%llu %llu", &user, &system);
	fclose(f);
	return user + system;
}

static void sample_vm(int fd, const struct joist_info *in, struct sample *s)
{
	struct joist_stats st;
	u32 v;

	memset(s, 0, sizeof(*s));
	memcpy(s->name, in->name, JOIST_NAME_LEN);
	s->vm = in->head.vm;
	s->vcpus = in->vcpus;
	s->memory = in->memory;
	s->exits = in->exits;
	for (v = 0; v < in->vcpus && v < JOIST_MAX_VCPUS; v++) {
		if ((in->vcpu_state >> 2 * v & 3) == JOIST_VCPU_HALTED)
			s->halted++;
		memset(&st, 0, sizeof(st));
		st.head.vm = in->head.vm;
		st.head.vcpu = v;
		if (hv_call(fd, JOIST_STATS_GET, &st) < 0)
			continue;	/* gone meanwhile */
		s->runs += st.runs;
		s->io += st.count[JOIST_STAT_IO];
		s->stage2 += st.count[JOIST_STAT_STAGE2];
		s->hlt += st.count[JOIST_STAT_HLT];
		s->intr += st.count[JOIST_STAT_INTR];
	}
	s->pid = machine_pid(s->name);
	if (s->pid)
		s->cpu = process_ticks(s->pid);
}

static void sample_all(int fd, struct samples *all)
{
	struct joist_info in;
	struct timespec t;
	u32 index = 0;
	int err;

	all->count = 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	all->ns = (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
	while (all->count < JOIST_MAX_VMS) {
		memset(&in, 0, sizeof(in));
		in.index = index;
		err = hv_call(fd, JOIST_INFO, &in);
		if (err == -ENOENT)
			return;
		if (err < 0)
			die("%s: %s", JOIST_CTL_PATH, strerror(-err));
		index = in.index;
		sample_vm(fd, &in, &all->vm[all->count++]);
	}
}

static const struct sample *before(const struct samples *old, u32 vm)
{
	static const struct sample nothing;
	unsigned i;

	for (i = 0; i < old->count; i++)
		if (old->vm[i].vm == vm)
			return &old->vm[i];
	return &nothing;
}

static double rate(u64 now, u64 was, double seconds)
{
	return now > was ? (double)(now - was) / seconds : 0;
}

static void print_top(const struct samples *old, const struct samples *now,
		      bool json)
{
	double seconds = (double)(now->ns - old->ns) / 1e9, cpu;
	double tick = (double)sysconf(_SC_CLK_TCK);
	json_t *list = json_array();
	unsigned i;

	if (!json)
		printf("%-20s %5s %6s %9s %6s %9s %9s %9s %9s %9s\n", "NAME",
		       "VCPUS", "HALTED", "MEMORY", "CPU%", "RUNS/S",
		       "EXITS/S", "IO/S", "HLT/S", "INTR/S");
	for (i = 0; i < now->count; i++) {
		const struct sample *s = &now->vm[i];
		const struct sample *b = before(old, s->vm);

		/* After a reset its machine process is another one. */
		cpu = s->pid == b->pid ?
		      100 * rate(s->cpu, b->cpu, seconds) / tick : 0;
		if (json) {
			json_array_append_new(list, json_pack(
				"{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f, "
				"s:f, s:f, s:f}",
				"name", s->name,
				"vcpus", (json_int_t)s->vcpus,
				"halted", (json_int_t)s->halted,
				"memory", (json_int_t)s->memory,
				"cpu_percent", cpu,
				"runs", rate(s->runs, b->runs, seconds),
				"exits", rate(s->exits, b->exits, seconds),
				"io", rate(s->io, b->io, seconds),
				"stage2", rate(s->stage2, b->stage2, seconds),
				"hlt", rate(s->hlt, b->hlt, seconds),
				"intr", rate(s->intr, b->intr, seconds)));
			continue;
		}
		printf("%-20s %5u %6u %6llu MB %6.1f %9.0f %9.0f %9.0f %9.0f "
		       "%9.0f\n", s->name, s->vcpus, s->halted,
		       (unsigned long long)(s->memory / MiB), cpu,
		       rate(s->runs, b->runs, seconds),
		       rate(s->exits, b->exits, seconds),
		       rate(s->io, b->io, seconds),
		       rate(s->hlt, b->hlt, seconds),
		       rate(s->intr, b->intr, seconds));
	}
	if (json)
		print_json(list);
	else
		json_decref(list);
}

int cmd_top(int argc, char **argv)
{
	static struct samples s[2];
	struct options opt = { .seconds = DELAY };
	bool screen;
	unsigned i;
	int fd;

	parse_options(&opt, argc, argv, "jd:n:", NAME_NONE);
	if (!opt.seconds)
		die_usage("top: -d 0: the interval is a second or more");
	if (!opt.count && !isatty(STDOUT_FILENO))
		opt.count = 1;
	screen = !opt.json && opt.count != 1 && isatty(STDOUT_FILENO);
	fd = hv_open_control();
	sample_all(fd, &s[0]);
	for (i = 1; !opt.count || i <= opt.count; i++) {
		sleep(opt.seconds);
		sample_all(fd, &s[i % 2]);
		if (screen)
			printf("\033[H\033[J");
		print_top(&s[(i - 1) % 2], &s[i % 2], opt.json);
		fflush(stdout);
	}
	return EXIT_OK;
}
