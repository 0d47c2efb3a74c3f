/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_identity.c -- joist-vm's addresses of network cards, and the hosts
 * that they differ between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "guests/control/joist-vm/identity.c"

static u64 salt_of(const char *text)
{
	char path[] = "/tmp/joist-id-XXXXXX";
	int fd = mkstemp(path);
	u64 salt;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	salt = identity_salt(path);
	unlink(path);
	return salt;
}

static void test_salt(void **state)
{
	u64 one = salt_of("0123456789abcdef0123456789abcdef\n");

	(void)state;
	assert_true(one);
	assert_true(one == salt_of("0123456789abcdef0123456789abcdef"));
	assert_true(one != salt_of("0123456789abcdef0123456789abcdee\n"));
	/* A first boot that has not ended, and other nonsense. */
	assert_true(!salt_of(""));
	assert_true(!salt_of("uninitialized\n"));
	assert_true(!salt_of("0123\n"));
	assert_true(!identity_salt("/nonexistent"));
}

static void test_mac(void **state)
{
	u8 one[NET_MAC], other[NET_MAC];

	(void)state;
	identity_mac(one, 1, "web", 0);
	assert_int_equal(one[0] & 3, 2);
	identity_mac(other, 1, "web", 0);
	assert_memory_equal(one, other, NET_MAC);
	identity_mac(other, 2, "web", 0);
	assert_memory_not_equal(one, other, NET_MAC);
	identity_mac(other, 1, "web", 1);
	assert_memory_not_equal(one, other, NET_MAC);
	identity_mac(other, 1, "wec", 0);
	assert_memory_not_equal(one, other, NET_MAC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_salt),
		cmocka_unit_test(test_mac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
