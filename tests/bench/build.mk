# SPDX-License-Identifier: BSD-2-Clause
#
# build.mk -- `make bench`: what Joist's paths cost, in instructions; with
# VENDOR=intel on VMX, in Bochs.

BENCH		:= tests/bench
BENCH_OUT	:= $(BUILD)/bench

BENCH_CFLAGS	:= -std=gnu11 -O2 -g -Wall -Wextra -Werror -ffreestanding \
	-fno-builtin -fno-stack-protector -fno-pic -fno-pie -mno-red-zone \
	-mgeneral-regs-only -mcmodel=small -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fcf-protection=none -I. -Iinclude

$(BENCH_OUT)/guest.o: $(BENCH)/guest/guest.c guests/selftest/insn.h
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(CC) $(BENCH_CFLAGS) -c -o $@ $<

$(BENCH_OUT)/head.o: $(BENCH)/guest/head.asm
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(NASM) -f elf64 -o $@ $<

$(BENCH_OUT)/guest.elf: $(BENCH)/guest/guest.ld $(BENCH_OUT)/head.o \
		$(BENCH_OUT)/guest.o
	$(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack \
		--build-id=none --no-warn-rwx-segments -T $< -o $@ \
		$(filter %.o,$^)

$(BENCH_OUT)/now $(BENCH_OUT)/e9: $(BENCH_OUT)/%: $(BENCH)/%.c
	@mkdir -p $(@D)
	@echo "MAKE $@"
	gcc -O2 -Wall -Wextra -Werror -static -o $@ $<

$(BENCH_OUT)/bench-vm: $(BENCH)/vm.c $(TOOLS_DIR)/lib/hv.c $(TOOLS_DIR)/lib/err.c
	@mkdir -p $(@D)
	@echo "MAKE $@"
	gcc -O2 -Wall -Wextra -Werror -static -I. -Iinclude -o $@ $^

$(BENCH_OUT)/initrd.img: $(BENCH)/init $(BENCH_OUT)/now $(BENCH_OUT)/bench-vm \
		$(BENCH_OUT)/e9 \
		$(BENCH_OUT)/guest.elf $(CTL_KO) $(CTL_TOOLS) \
		$(CTL_IMAGE)/mkinitrd.py
	$(CTL_IMAGE)/mkinitrd.py $@ --file $(BENCH)/init:/bench-init \
		--program $(BENCH_OUT)/now:/init \
		--program $(BENCH_OUT)/e9:/usr/bin/e9 \
		--program $(BENCH_OUT)/bench-vm:/usr/bin/bench-vm \
		--file $(BENCH_OUT)/guest.elf:/guest.elf \
		--file $(CTL_KO):/joist.ko \
		$(foreach t,$(CTL_TOOLS),--program $(t):/usr/bin/$(notdir $(t)))

# The same for KVM, appended: a minimal user space and the modules.
$(BENCH_OUT)/bench-kvm: $(BENCH)/kvm.c
	@mkdir -p $(@D)
	@echo "MAKE $@"
	gcc -O2 -Wall -Wextra -Werror -static -o $@ $<

$(BENCH_OUT)/modules.list:
	@mkdir -p $(@D)
	@echo "MAKE $@"
	printf '%s\n' kvm-amd kvm-intel > $@

$(BENCH_OUT)/kvm.img: $(BENCH_OUT)/bench-kvm $(BENCH_OUT)/modules.list \
		$(CTL_IMAGE)/mkinitrd.py
	$(CTL_IMAGE)/mkinitrd.py $@ --bare --program $<:/usr/bin/bench-kvm \
		--kernel-version $(KERNEL_VERSION) \
		--modules $(BENCH_OUT)/modules.list

# Where the figures come from; `make bench-trace EVENT="port mmio"` shows only
# where instructions go.
BENCH_FILES	= --vendor $(VENDOR) --elf $(ELF) --vmlinux $(BUILD)/vmlinux --initrd \
			$(BENCH_OUT)/initrd.img --guest $(BENCH_OUT)/guest.elf \
			--joist-vm $(BUILD)/tools/joist-vm

.PHONY: bench bench-peers bench-trace
bench: $(ELF) $(BENCH_OUT)/initrd.img $(BUILD)/vmlinux
	@$(BENCH)/bench.py --control $(CTL_VMLINUZ) $(BENCH_FILES) \
		--jobs $(BOOT_JOBS)

bench-peers: $(ELF) $(BENCH_OUT)/initrd.img $(BENCH_OUT)/kvm.img \
		$(BUILD)/vmlinux
	@$(BENCH)/bench.py --control $(CTL_VMLINUZ) $(BENCH_FILES) \
		--kvm $(BENCH_OUT)/kvm.img

bench-trace: $(ELF) $(BENCH_OUT)/initrd.img $(BUILD)/vmlinux
	@$(BENCH)/trace.py --control $(BUILD)/vmlinux \
		$(filter-out --vmlinux $(BUILD)/vmlinux,$(BENCH_FILES)) $(EVENT)
