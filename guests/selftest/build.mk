# SPDX-License-Identifier: BSD-2-Clause
#
# build.mk -- build/selftest.elf, the self-test control VM.  Included by the
# top Makefile; also works alone: make -f guests/selftest/build.mk

SELFTEST	:= guests/selftest
SELFTEST_OUT	:= build/selftest
SELFTEST_CC	?= $(CC)

# Two programs: the self-test itself, and the image it puts into guests.
# Both use general registers only, so vector state is the cases' to play with.
SELFTEST_CFLAGS	:= -std=gnu11 -O2 -g -Wall -Wextra -Werror -ffreestanding \
	-fno-builtin -fno-stack-protector -fno-pic -fno-pie -mno-red-zone \
	-mgeneral-regs-only -mcmodel=small -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fcf-protection=none \
	-I. -Iinclude -MMD -MP
SELFTEST_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack \
	--build-id=none --no-warn-rwx-segments

selftest_main	:= $(wildcard $(SELFTEST)/*.c $(SELFTEST)/cases/*.c)
selftest_pl	:= $(wildcard $(SELFTEST)/payload/*.c)
selftest_obj	:= $(selftest_main:$(SELFTEST)/%.c=$(SELFTEST_OUT)/%.o)
selftest_plobj	:= $(selftest_pl:$(SELFTEST)/%.c=$(SELFTEST_OUT)/%.o)

.PHONY: selftest
selftest: build/selftest.elf

$(SELFTEST_OUT)/%.o: $(SELFTEST)/%.c $(SELFTEST)/build.mk
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(SELFTEST_CC) $(SELFTEST_CFLAGS) -c -o $@ $<

$(SELFTEST_OUT)/payload/head.o: $(SELFTEST)/payload/head.asm $(SELFTEST)/isr.inc
	@mkdir -p $(@D)
	@echo "MAKE $@"
	nasm -f elf64 -I $(SELFTEST)/ -o $@ $<

$(SELFTEST_OUT)/payload.elf: $(SELFTEST)/payload/payload.ld \
		$(SELFTEST_OUT)/payload/head.o $(selftest_plobj)
	ld $(SELFTEST_LDFLAGS) -T $< -o $@ $(filter %.o,$^)

$(SELFTEST_OUT)/payload.bin: $(SELFTEST_OUT)/payload.elf
	objcopy -O binary $< $@

$(SELFTEST_OUT)/entry.o: $(SELFTEST)/entry.asm $(SELFTEST)/isr.inc \
		$(SELFTEST_OUT)/payload.bin
	nasm -f elf64 -I $(SELFTEST)/ \
		-DPAYLOAD64='"$(SELFTEST_OUT)/payload.bin"' -o $@ $<

$(SELFTEST_OUT)/blobs.o: $(SELFTEST)/payload/blobs.asm
	@mkdir -p $(@D)
	@echo "MAKE $@"
	nasm -f elf64 -o $@ $<

build/selftest.elf: $(SELFTEST)/selftest.ld $(SELFTEST_OUT)/entry.o \
		$(SELFTEST_OUT)/blobs.o $(selftest_obj)
	ld $(SELFTEST_LDFLAGS) -T $< -o $@ $(filter %.o,$^)

-include $(selftest_obj:.o=.d) $(selftest_plobj:.o=.d)
