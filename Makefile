# SPDX-License-Identifier: BSD-2-Clause
#
# Makefile -- builds the hypervisor; includes what each folder builds.
#
#	make deps	install Debian's packages that packages.txt lists
#	make		build/joist.elf
#	make help	all targets
#
# Variables: CC=gcc|clang  DEBUG=1 (lock order, page ownership checks)
#	     V=1 (show the commands)

CC	:= $(if $(filter default,$(origin CC)),gcc,$(CC))
NASM	?= nasm
BUILD	:= build
OUT	:= $(BUILD)/$(if $(DEBUG),debug,release)
ELF	:= $(BUILD)/joist$(if $(DEBUG),-debug).elf
VERSION	:= 0.1

CFLAGS	:= -std=gnu11 -O2 -g -I. -Iinclude -I$(OUT) -I$(BUILD) -Wall -Wextra -Werror \
	   -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter -Wno-missing-field-initializers \
	   -ffreestanding -fno-builtin -fno-common -fno-pic -mcmodel=kernel \
	   -mno-red-zone -mgeneral-regs-only -fstack-protector-strong \
	   -mstack-protector-guard=global \
	   -fno-asynchronous-unwind-tables -fno-strict-aliasing \
	   $(if $(DEBUG),-fno-omit-frame-pointer,-fomit-frame-pointer) -fcf-protection=none -DJOIST_VERSION='"$(VERSION)"'
# No indirect call or jump but by arch/x86/retpoline.asm; tests/boot/test_image.py looks.
CFLAGS	+= $(if $(findstring clang,$(CC)),-mretpoline-external-thunk, \
	   -mindirect-branch=thunk-extern -mindirect-branch-register -fno-jump-tables)
CFLAGS	+= $(if $(DEBUG),-DJOIST_DEBUG) -DBUILD_DEBUG=$(if $(DEBUG),1,0)
LDFLAGS	:= -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none

C_SRCS	:= $(wildcard boot/*.c core/*.c drivers/*.c arch/x86/*.c arch/x86/svm/*.c \
	     arch/x86/vmx/*.c arch/x86/iommu/*.c)
C_SRCS	:= $(filter-out $(if $(DEBUG),,core/lock.c core/verify.c arch/x86/audit.c \
	     arch/x86/svm/svm_audit.c arch/x86/vmx/vmx_audit.c),$(C_SRCS))
ASMS	:= $(wildcard boot/*.asm arch/x86/*.asm arch/x86/svm/*.asm arch/x86/vmx/*.asm)
OBJS	:= $(C_SRCS:%.c=$(OUT)/%.o) $(ASMS:%.asm=$(OUT)/%.asm.o)

.DEFAULT_GOAL := all
$(if $(V),,.SILENT:)
.PHONY: all clean help
all: $(ELF)

$(ELF): $(OBJS) linker.ld
	@echo "LD $@"
	@$(LD) $(LDFLAGS) -T linker.ld -o $@ $(OBJS)

$(OUT)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "CC $<"
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/%.asm.o: %.asm
	@mkdir -p $(@D)
	@echo "NASM $<"
	@$(NASM) -f elf64 -w+error -I./ -MD $(@:.o=.d) -MP -o $@ $<

clean:
	rm -rf $(BUILD)

# Without blank lines and comments.
.PHONY: lines
lines:
	@for d in boot arch/x86 arch/x86/svm arch/x86/vmx core drivers; do \
		{ cat $$d/*.c $$d/*.h | $(CC) -w -fpreprocessed -dD -E -P -x c -; \
		  cat $$d/*.asm 2>/dev/null | sed 's/;.*//'; } | \
		grep '[^[:space:]]' | sed "s|.*|$$d|"; \
	done | sort | uniq -c | awk '{ n += $$1; print } END { print n, "code lines" }'

help:
	@sed -nE 's/^#H ?//p' $(firstword $(MAKEFILE_LIST))

#H make                 build/joist.elf, the hypervisor
#H make deps            install the Debian packages in packages.txt that are missing
#H make iso             build/joist.iso: CD or USB stick, BIOS or UEFI
#H make run             boot it in QEMU; this terminal is the control VM's console
#H                      MACHINE=q35|pc FIRMWARE=bios|uefi CPUS=2 MEM=2048 DISK=image
#H                      FORWARD=PORT:ADDRESS:PORT a port here, and where it leads
#H                      VENDOR=intel: in Bochs, which has VMX; Ctrl-] ends it
#H make guest-disk      build/debian/disk.img: Debian for a guest, by its own GRUB
#H make demo            the same unattended, with something to see
#H                      GUEST_FIRMWARE=bios|uefi its Debian guest's
#H make test            every test: the next ones, on all cores
#H make test-unit       pure logic on the host [UNIT_ONLY=name FUZZ_RUNS=n]
#H make test-svm        every hypercall and exit, in QEMU
#H make test-vmx        the same in Bochs, which has VMX, and Linux there
#H make test-boot       Linux as control VM, guests, refusals, in QEMU
#H make test-all        the platforms that take long, too; a table at its end
#H make deb13           build/deb13: Debian 13's QEMU and Bochs, for tests
#H make bench           what exits and the work of guests cost, beside KVM and bare
#H                      [BENCH_ONLY="exits boot block net"], build/bench.svg
#H make bench-trace     where the instructions go [EVENT="port mmio"]
#H make bench-peers     KVM's figures again, with the same guest
#H                      all three on VMX, in Bochs: VENDOR=intel
#H make install         on this Debian: hypervisor, joist.ko, tools, an entry in GRUB
#H make uninstall       all of that away again [both: DESTDIR=]
#H make selftest module tools initrd    parts: build/selftest.elf and so on
#H make lines           how many lines of code the hypervisor is
#H make clean           remove build/
#H
#H CC=gcc|clang         the compiler
#H V=1                  show every command
#H DEBUG=1              build/joist-debug.elf: checks locks and page owners
#H TUNABLES='...'       the hypervisor's command line in the ISO, see doc/tunables.md
#H CONTROL_ARGS='...'   the control VM's, see doc/control-vm.md

-include $(OBJS:.o=.d)
-include $(wildcard drivers/build.mk guests/control/build.mk guests/control/tools.mk \
	   guests/control/install.mk guests/selftest/build.mk \
	   tests/deb13/build.mk tests/unit/build.mk tests/boot/build.mk \
	   tests/bench/build.mk)
