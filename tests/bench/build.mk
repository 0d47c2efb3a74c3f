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

# What is compared with the same Linux bare and with KVM: boot, disk, network.
COMPARE		:= $(BENCH)/compare
COMPARE_OUT	:= $(BENCH_OUT)/compare

COMPARE_TOOLS	:= $(addprefix $(COMPARE_OUT)/,rr await)
$(COMPARE_TOOLS): $(COMPARE_OUT)/%: $(COMPARE)/%.c
	@mkdir -p $(@D)
	@echo "MAKE $@"
	gcc -O2 -Wall -Wextra -Werror -static -o $@ $<

$(COMPARE_OUT)/boot.img: $(COMPARE)/boot-init $(BENCH_OUT)/now \
		$(CTL_IMAGE)/mkinitrd.py
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --program $(BENCH_OUT)/now:/init \
		--file $<:/bench-init

$(COMPARE_OUT)/work.img: $(COMPARE_OUT)/rr $(addprefix $(COMPARE)/,guest-init \
		work work.list block.fio) $(CTL_IMAGE)/mkinitrd.py
	$(ctl_need_kernel)
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --kernel-version $(KERNEL_VERSION) \
		--modules $(COMPARE)/work.list \
		--file $(COMPARE)/guest-init:/init \
		--file $(COMPARE)/work:/usr/bin/work \
		--file $(COMPARE)/block.fio:/etc/block.fio \
		--program $(COMPARE_OUT)/rr:/usr/bin/rr \
		--program /usr/bin/iperf3:/usr/bin/iperf3 \
		--program /usr/bin/fio:/usr/bin/fio

$(COMPARE_OUT)/host.img: $(COMPARE_TOOLS) \
		$(addprefix $(COMPARE_OUT)/,boot.img work.img) \
		$(addprefix $(COMPARE)/,init guest modules.list) $(CTL_KO) \
		$(CTL_TOOLS) $(BUILD)/vmlinux $(CTL_IMAGE)/mkinitrd.py
	$(ctl_need_kernel)
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --kernel-version $(KERNEL_VERSION) \
		--modules $(COMPARE)/modules.list \
		--file $(COMPARE)/init:/init \
		--file $(COMPARE)/guest:/usr/bin/guest \
		--file $(COMPARE_OUT)/boot.img:/boot.img \
		--file $(COMPARE_OUT)/work.img:/guest.img \
		--file $(BUILD)/vmlinux:/vmlinux --file $(CTL_KO):/joist.ko \
		--program /usr/bin/iperf3:/usr/bin/iperf3 \
		$(foreach t,$(COMPARE_TOOLS) $(CTL_TOOLS),--program $(t):/usr/bin/$(notdir $(t)))

# Appended for the bare machine: Debian's QEMU.
COMPARE_ROMS	:= $(addprefix /usr/share/seabios/,bios-256k.bin) \
			$(addprefix /usr/share/qemu/,pvh.bin linuxboot_dma.bin \
			kvmvapic.bin)
$(COMPARE_OUT)/peer.img: $(CTL_IMAGE)/mkinitrd.py
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --bare --program \
		/usr/bin/qemu-system-x86_64:/usr/bin/qemu-system-x86_64 \
		$(foreach f,$(COMPARE_ROMS),--file $(f):$(f))

# Where the figures come from; `make bench-trace EVENT="port mmio"` shows only
# where instructions go.
BENCH_FILES	= --vendor $(VENDOR) --elf $(ELF) --vmlinux $(BUILD)/vmlinux --initrd \
			$(BENCH_OUT)/initrd.img --guest $(BENCH_OUT)/guest.elf \
			--joist-vm $(BUILD)/tools/joist-vm

# BENCH_ONLY="exits boot block net": only these.
BENCH_ONLY	?=
bench_compare	= $(addprefix $(COMPARE_OUT)/,host.img peer.img boot.img)

.PHONY: bench bench-peers bench-trace
bench: $(ELF) $(BENCH_OUT)/initrd.img $(BUILD)/vmlinux \
		$(if $(filter amd,$(VENDOR)),$(bench_compare))
	@$(BENCH)/bench.py --control $(CTL_VMLINUZ) $(BENCH_FILES) \
		--host $(COMPARE_OUT)/host.img --peer $(COMPARE_OUT)/peer.img \
		--boot $(COMPARE_OUT)/boot.img --out $(BUILD) \
		--only '$(BENCH_ONLY)' --jobs $(BOOT_JOBS)

bench-peers: $(ELF) $(BENCH_OUT)/initrd.img $(BENCH_OUT)/kvm.img \
		$(BUILD)/vmlinux
	@$(BENCH)/bench.py --control $(CTL_VMLINUZ) $(BENCH_FILES) \
		--kvm $(BENCH_OUT)/kvm.img

bench-trace: $(ELF) $(BENCH_OUT)/initrd.img $(BUILD)/vmlinux
	@$(BENCH)/trace.py --control $(BUILD)/vmlinux \
		$(filter-out --vmlinux $(BUILD)/vmlinux,$(BENCH_FILES)) $(EVENT)
