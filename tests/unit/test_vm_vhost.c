/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_vhost.c -- who serves a network card's queues: the kernel all of
 * them, or joist-vm all of them, and what is said when it is neither.
 *
 * What the other functions of virtio_devices.c call is not there (build.mk):
 * a call of it ends this.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "guests/control/joist-vm/virtio_devices.c"

struct machine machine;
static jmp_buf ended;
static char said[400];
/* The kernel has room for so many, and then refuses with that. */
static unsigned room, watched;
static int refusal;

void machine_end(enum vm_end how, u32 value, const char *fmt, ...)
{
	va_list ap;

	(void)value;
	assert_int_equal(how, END_REFUSED);
	va_start(ap, fmt);
	vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
	longjmp(ended, 1);
}

void machine_watch(struct machine *m, int fd, bool on)
{
	(void)m, (void)fd, (void)on;
	watched++;
}

int vhost_net_init(struct vhost *h, struct virtio *v, unsigned first, int tap)
{
	assert_ptr_equal(h, &machine.vhost[machine.vhosts]);
	/* As after the close() of what there was: an older error, or none. */
	errno = EBADF;
	if (machine.vhosts == room)
		return refusal;
	*h = (struct vhost){ .virtio = v, .first = first, .tap = tap };
	return 0;
}

static struct nic nic;
static struct net net;

/* false: refused, and `said` is what was said. */
static bool start(unsigned pairs, bool allow)
{
	memset(&machine, 0, sizeof(machine));
	nic = (struct nic){ .pairs = pairs, .allow = allow };
	net = (struct net){ .nic = &nic };
	watched = 0;
	said[0] = '\0';
	if (setjmp(ended))
		return false;
	init_vhost_net(&machine, &net);
	return true;
}

static void test_all_or_none(void **state)
{
	(void)state;
	refusal = -ENOENT;
	room = 4;
	assert_true(start(4, true));
	assert_true(net.in_kernel);
	assert_int_equal(machine.vhosts, 4);
	assert_int_equal(watched, 4 * VHOST_QUEUES);
	assert_int_equal(machine.vhost[3].first, NET_RX(3));
	/* None there: joist-vm serves them itself. */
	room = 0;
	assert_true(start(4, true));
	assert_false(net.in_kernel);
	assert_int_equal(machine.vhosts, 0);
	/* A card that may not use any address is never the kernel's. */
	room = 4;
	assert_true(start(4, false));
	assert_int_equal(machine.vhosts, 0);
}

/* Some of them: the error is the one that refused. */
static void test_some(void **state)
{
	(void)state;
	room = 2;
	refusal = -EMFILE;
	assert_false(start(4, true));
	assert_string_equal(said, "network card: vhost-net for 4 pairs of "
			    "queues: Too many open files");
	refusal = -EOPNOTSUPP;
	assert_false(start(3, true));
	assert_string_equal(said, "network card: vhost-net for 3 pairs of "
			    "queues: Operation not supported");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_or_none),
		cmocka_unit_test(test_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
