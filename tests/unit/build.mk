# SPDX-License-Identifier: BSD-2-Clause
#
# build.mk -- pure logic on the host: cmocka tests and fuzzers, sanitized.
#
#	make test-unit [FUZZ_RUNS=n] [UNIT_ONLY=name]
#
# Each test_NAME.c is a program of its own that includes the source it tests
# by path from the root, as "arch/x86/decode.c"; so is each fuzz_NAME.c, with
# LLVMFuzzerTestOneInput().  Put one here and it runs.  Works alone, too:
#	make -f tests/unit/build.mk test-unit

UNIT_OUT	:= build/unit
UNIT_ONLY	?= *
FUZZ_RUNS	?= 20000
FUZZ_SEED	?= 1
UNIT_FLAGS	:= -std=gnu11 -g -O1 -Wall -Wextra -Werror -I. -Iinclude \
		   -fno-sanitize-recover=all -fno-pie -no-pie
# What a test needs besides cmocka; the shared liburing 2.3 lacks two calls.
UNIT_LIBS_lock := -lpthread
UNIT_LIBS_vm_sandbox := -l:liburing.a -lseccomp -lpthread
UNIT_LIBS_vm_storage := -lseccomp
UNIT_LIBS_vm_net_user := -lslirp -lseccomp
UNIT_LIBS_vm_emulate := -lZydis
# One function of a source that calls all devices.
UNIT_LIBS_vm_vhost := -Wl,--unresolved-symbols=ignore-in-object-files
# Tables that name all handlers.
UNIT_LIBS_exit := -Wl,--unresolved-symbols=ignore-in-object-files

UNIT_TESTS	:= $(patsubst tests/unit/%.c,$(UNIT_OUT)/%, \
		     $(wildcard tests/unit/test_$(UNIT_ONLY).c))
UNIT_FUZZERS	:= $(patsubst tests/unit/%.c,$(UNIT_OUT)/%, \
		     $(wildcard tests/unit/fuzz_$(UNIT_ONLY).c))
# What a test or a fuzzer of that name needs, too.
UNIT_LIBS_ctl_conf	:= -lconfuse
UNIT_LIBS_ctl_man	:= -ljansson
UNIT_LIBS_vm_manager	:= -ljansson
UNIT_LIBS_ctl_stop	:= -ljansson

.PHONY: test-unit unit-programs
unit-programs: $(UNIT_TESTS) $(UNIT_FUZZERS)
test-unit: $(UNIT_TESTS) $(UNIT_FUZZERS)
	@sh tests/unit/run.sh "$(FUZZ_RUNS)" "$(FUZZ_SEED)" $(sort $^)

$(UNIT_OUT)/test_%: tests/unit/test_%.c tests/unit/build.mk
	@mkdir -p $(@D)
	@echo "MAKE $@"
	gcc $(UNIT_FLAGS) -fsanitize=address,undefined -MMD -MP -MT $@ \
		-MF $@.d -o $@ $< -lcmocka $(UNIT_LIBS_$*)

$(UNIT_OUT)/fuzz_%: tests/unit/fuzz_%.c tests/unit/build.mk
	@mkdir -p $(@D)
	@echo "MAKE $@"
	clang $(UNIT_FLAGS) -fsanitize=fuzzer,address,undefined -MMD -MP \
		-MT $@ -MF $@.d -o $@ $< -lcmocka $(UNIT_LIBS_$*)

-include $(UNIT_TESTS:%=%.d) $(UNIT_FUZZERS:%=%.d)
