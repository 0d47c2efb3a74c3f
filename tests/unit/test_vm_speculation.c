/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_speculation.c -- what joist-vm asks of Linux for a VM's processes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <errno.h>
#include <cmocka.h>

#include <sys/prctl.h>

static int fake_prctl(int op, ...);
#define prctl	fake_prctl
#include "guests/control/joist-vm/speculation.c"
#undef prctl

static const char *const *texts;
static int indirect, core, refuse;

static int fake_prctl(int op, ...)
{
	unsigned long a, b, c;
	va_list ap;

	va_start(ap, op);
	a = (unsigned long)va_arg(ap, int);
	b = (unsigned long)va_arg(ap, int);
	c = (unsigned long)va_arg(ap, int);
	va_end(ap);
	if (op == PR_SET_SPECULATION_CTRL && a == PR_SPEC_INDIRECT_BRANCH && b == PR_SPEC_DISABLE)
		indirect++;
	else if (op == 62 && a == 1 && !b && c == 1)
		core++;
	else
		fail_msg("prctl %d", op);
	if (!refuse)
		return 0;
	errno = refuse;
	return -1;
}

int hv_call(int fd, unsigned long cmd, void *arg)
{
	struct joist_mitigation *m = arg;

	assert_int_equal(fd, 5);
	assert_int_equal(cmd, JOIST_MITIGATION);
	if (!texts || !texts[m->index])
		return -ENOENT;
	snprintf(m->text, sizeof(m->text), "%s", texts[m->index]);
	m->index++;
	return 0;
}

static void run(const char *const *say, int want_core)
{
	texts = say;
	indirect = core = 0;
	speculation_guard(5);
	assert_int_equal(indirect, 1);
	assert_int_equal(core, want_core);
}

static void test_guard(void **state)
{
	static const char *const leaks[] = {
		"Not affected", "Mitigation: Clear CPU buffers; SMT vulnerable",
		"Mitigation: Clear CPU buffers; SMT vulnerable", NULL,
	};
	static const char *const alone[] = {
		"Not affected", "Mitigation: Clear CPU buffers; SMT disabled", NULL,
	};
	(void)state;

	run(leaks, 1);
	run(alone, 0);
	/* A hypervisor that does not know the call. */
	run(NULL, 0);
	refuse = EPERM;
	run(leaks, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_guard) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
