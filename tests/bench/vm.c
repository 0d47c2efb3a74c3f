/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.c -- the time that creating and destroying a VM of 64 MiB takes, from
 * the first ioctl to the last, in TSC ticks.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#include "guests/control/lib/err.h"
#include "guests/control/lib/hv.h"

#define MEMORY		(64ull << 20)
#define ROUNDS		9
#define NAME		"bench-vm"

struct times {
	u64 create, alloc, destroy, all;
};

static void must(int err, const char *what)
{
	if (err < 0)
		die("%s: %s", what, strerror(-err));
}

static struct times once(int control)
{
	struct joist_create c = { .vcpus = 1, .name = NAME };
	struct joist_memseg m = { .size = MEMORY };
	struct joist_destroy d = { .name = NAME };
	u64 t0, t1, t2, t3;
	int vm;

	t0 = __rdtsc();
	must(hv_call(control, JOIST_CREATE, &c), "create");
	vm = open(JOIST_VM_DIR "/" NAME, O_RDWR | O_CLOEXEC);
	if (vm < 0)
		die("%s: cannot open", JOIST_VM_DIR "/" NAME);
	t1 = __rdtsc();
	must(hv_call(vm, JOIST_MEMSEG_ALLOC, &m), "memory");
	t2 = __rdtsc();
	must(hv_call(control, JOIST_DESTROY, &d), "destroy");
	close(vm);
	t3 = __rdtsc();
	return (struct times){ t1 - t0, t2 - t1, t3 - t2, t3 - t0 };
}

static int compare(const void *a, const void *b)
{
	u64 x = ((const struct times *)a)->all, y = ((const struct times *)b)->all;

	return x < y ? -1 : x > y;
}

int main(void)
{
	int control = hv_open_control(), i;
	struct times t[ROUNDS], *m;

	for (i = 0; i < ROUNDS; i++)
		t[i] = once(control);
	qsort(t, ROUNDS, sizeof(t[0]), compare);
	m = &t[ROUNDS / 2];
	printf("bench: vm %llu %llu %llu\n", (unsigned long long)m->all,
	       (unsigned long long)t[0].all,
	       (unsigned long long)t[ROUNDS - 1].all);
	printf("bench-part: create %llu, memory %llu, destroy %llu\n",
	       (unsigned long long)m->create, (unsigned long long)m->alloc,
	       (unsigned long long)m->destroy);
	return 0;
}
