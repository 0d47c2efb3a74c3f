/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm_dir.h -- a PROTO_DIR of the test's own, there while its cases run.
 * Before it: TEST_DIR, the path, and no source that knows another PROTO_DIR.
 */
#ifndef TEST_VM_DIR_H
#define TEST_VM_DIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guests/control/lib/proto.h"
#undef PROTO_DIR
#define PROTO_DIR	TEST_DIR

static int dir_setup(void **state)
{
	(void)state;
	/* What a run that was cut off has left is as good. */
	mkdir(PROTO_DIR, 0700);
	return 0;
}

static int dir_teardown(void **state)
{
	(void)state;
	return rmdir(PROTO_DIR);
}

#endif
