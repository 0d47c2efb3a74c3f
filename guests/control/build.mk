# SPDX-License-Identifier: BSD-2-Clause
# The control VM: joist.ko, the live image, the ISO, and running them.
#
# Included by the top Makefile, which says where things go: BUILD, and ELF,
# the hypervisor.  The tools come from tools.mk.

CTL		:= guests/control
CTL_IMAGE	:= $(CTL)/image

# The newest generic Debian kernel whose image, modules and headers are here.
ctl_kernels	= $(patsubst /boot/vmlinuz-%,%,$(filter-out %-cloud-amd64 \
			%-rt-amd64,$(wildcard /boot/vmlinuz-*-amd64)))
ctl_usable	= $(foreach v,$(ctl_kernels),$(if $(and \
			$(wildcard /lib/modules/$(v)/modules.dep), \
			$(wildcard /lib/modules/$(v)/build/Makefile)),$(v)))
KERNEL_VERSION	?= $(shell printf '%s\n' $(ctl_usable) | sort -V | tail -n 1)
CTL_VMLINUZ	= /boot/vmlinuz-$(KERNEL_VERSION)

# Linux's command line in the ISO; the last console is where init writes.  The
# image has no policy for the security modules left out, see doc/control-vm.md.
CONTROL_ARGS	?= console=tty0 console=ttyS0,115200 quiet no_timer_check \
			lsm=landlock,lockdown,yama
# The hypervisor's, see doc/.
TUNABLES	?=

ctl_need_kernel	= $(if $(KERNEL_VERSION),,$(error no Debian kernel with \
			modules and headers is installed; try: make deps))

# Packages, as packages.txt names them.  Fast when all is there.
.PHONY: deps
deps:
	@sed 's/#.*//' packages.txt | xargs -n 1 | while read -r p; do \
		dpkg-query -W -f '$${db:Status-Abbrev}' $$p 2>/dev/null \
			| grep -q '^.i' || echo $$p; \
	done > .deps-missing; \
	if [ -s .deps-missing ]; then \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		echo "installing:" $$(cat .deps-missing); \
		$$sudo apt-get update -q && \
		DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -q -y \
			--no-install-recommends \
			-o DPkg::Lock::Timeout=300 $$(cat .deps-missing); \
	fi; \
	rc=$$?; rm -f .deps-missing; exit $$rc

# joist.ko, out of tree, for that kernel.  kbuild writes beside the sources,
# so it works on links to them.
CTL_KO		:= $(BUILD)/module/joist.ko
CTL_KO_SRC	:= $(wildcard $(CTL)/module/*.[ch]) $(CTL)/module/Kbuild \
			$(CTL)/joist_ioctl.h include/joist.h

$(CTL_KO): $(CTL_KO_SRC)
	$(ctl_need_kernel)
	@mkdir -p $(@D)
	@echo "MAKE $@"
	ln -sf $(foreach f,$(CTL_KO_SRC),$(abspath $(f))) $(@D)/
	$(MAKE) -C /lib/modules/$(KERNEL_VERSION)/build M=$(abspath $(@D)) \
		CC=gcc W=1 modules
	@touch $@

.PHONY: module
module: $(CTL_KO)

# A guest for demonstration and tests: the same kernel, and a small initramfs.
$(BUILD)/guest.img: $(CTL_IMAGE)/mkinitrd.py $(wildcard $(CTL_IMAGE)/guest*)
	$(ctl_need_kernel)
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --kernel-version $(KERNEL_VERSION) \
		--modules $(CTL_IMAGE)/guest.list \
		--program /sbin/mke2fs:/sbin/mkfs.ext4 \
		--program /sbin/e2fsck:/sbin/fsck.ext4 \
		--file $(CTL_IMAGE)/guest-init:/init \
		--file $(CTL_IMAGE)/guest-shrc:/etc/shrc \
		--program $(CTL_IMAGE)/guest-power:/etc/acpi/PWRF/00000080 \
		--program $(CTL_IMAGE)/guest-sum:/bin/sum4k \
		--program $(CTL_IMAGE)/guest-durable:/bin/durable

# The kernel unpacked, an ELF with a PVH note: spares emulators the unpacking.
$(BUILD)/vmlinux: $(CTL_IMAGE)/vmlinux.py $(CTL_VMLINUZ)
	$(ctl_need_kernel)
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(CTL_IMAGE)/vmlinux.py $(CTL_VMLINUZ) $@

# The live image.
CTL_TOOLS	:= $(if $(wildcard $(CTL)/tools.mk),$(BUILD)/tools/joistctl \
			$(BUILD)/tools/joist-vm)
CTL_FIRMWARE	:= /usr/share/seabios/bios-256k.bin \
			/usr/share/OVMF/OVMF_CODE_4M.fd \
			/usr/share/OVMF/OVMF_VARS_4M.fd
ctl_etc		= $(foreach f,$(2),--file $(CTL_IMAGE)/$(f):$(1)/$(f))
ctl_live	= --file $(CTL_IMAGE)/init:/init \
		$(call ctl_etc,/etc,rc net-up autorun down udhcpc.script \
			mdev.conf profile passwd group hostname) \
		--file $(CTL_IMAGE)/joist.conf:/etc/joist/joist.conf \
		--program $(CTL_IMAGE)/guest-sum:/bin/sum4k \
		--file $(CTL_IMAGE)/net-bridge:/usr/sbin/net-bridge \
		$(foreach t,$(CTL_TOOLS),--program $(t):/usr/bin/$(notdir $(t)))

$(BUILD)/initrd.img: $(wildcard $(CTL_IMAGE)/*) $(CTL_KO) $(CTL_TOOLS) \
		$(BUILD)/guest.img $(BUILD)/vmlinux $(CTL_VMLINUZ)
	$(ctl_need_kernel)
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --compress zstd \
		--kernel-version $(KERNEL_VERSION) \
		--modules $(CTL_IMAGE)/modules.list --module $(CTL_KO) \
		$(ctl_live) $(call ctl_etc,/usr/share/joist,$(notdir \
			$(wildcard $(CTL_IMAGE)/demo*))) \
		$(foreach f,$(CTL_FIRMWARE),--file $(f):$(f)) \
		--file $(CTL_VMLINUZ):/usr/share/joist/guest/vmlinuz \
		--file $(BUILD)/vmlinux:/usr/share/joist/guest/vmlinux \
		--file $(BUILD)/guest.img:/usr/share/joist/guest/initrd

# The live image with little in it: Bochs is slow.
$(BUILD)/bochs.img: $(wildcard $(CTL_IMAGE)/*) $(CTL_KO) $(CTL_TOOLS) \
		$(BUILD)/guest.img $(BUILD)/vmlinux
	$(ctl_need_kernel)
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --kernel-version $(KERNEL_VERSION) \
		--modules $(CTL_IMAGE)/bochs.list --module $(CTL_KO) \
		$(ctl_live) \
		$(foreach f,$(CTL_FIRMWARE),--file $(f):$(f)) \
		--file $(BUILD)/vmlinux:/usr/share/joist/guest/vmlinux \
		--file $(BUILD)/guest.img:/usr/share/joist/guest/initrd

# A disk image with Debian, its own GRUB, and disk and network tools, for a
# guest.  Root gets in by a key, and on the console by a password; those made
# here are this build's own.  A file of the user's own takes their place.
GUEST_DISK	:= $(BUILD)/debian/disk.img
GUEST_KEY	?= $(BUILD)/debian/key.pub
GUEST_PASSWORD	?= $(BUILD)/debian/password

$(BUILD)/debian/key.pub:
	@mkdir -p $(@D)
	rm -f $(@:.pub=)
	ssh-keygen -q -t ed25519 -N '' -C debian -f $(@:.pub=)

$(BUILD)/debian/password:
	@mkdir -p $(@D)
	(umask 077; head -c 9 /dev/urandom | base64 > $@)

$(GUEST_DISK): $(wildcard guests/debian/*) $(GUEST_KEY) $(GUEST_PASSWORD) \
		$(shell find guests/debian/root -type f)
	@mkdir -p $(@D)
	@echo "MAKE $@"
	guests/debian/mkdisk $@ --key $(GUEST_KEY) \
		--password $(GUEST_PASSWORD) > $(@:.img=.log) 2>&1 || \
		{ tail -n 20 $(@:.img=.log); exit 1; }

.PHONY: guest-disk
guest-disk: deps
	@$(MAKE) --no-print-directory $(GUEST_DISK)
	@echo "$(GUEST_DISK): ssh key $(GUEST_KEY:.pub=)," \
		"console password in $(GUEST_PASSWORD)"

# To be appended to the live image: what opens disks that are not raw, and
# networks that are not taps; with shared libraries.
$(BUILD)/helpers.img: $(CTL_IMAGE)/mkinitrd.py $(BUILD)/tools/joist-net
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --bare --compress zstd \
		--program $(BUILD)/tools/joist-net:/usr/bin/joist-net --program \
		/usr/bin/qemu-storage-daemon:/usr/bin/qemu-storage-daemon

# joist.ko's test, to be appended to the live image: it runs and powers off.
$(BUILD)/ko_test $(BUILD)/ko_hostile: $(BUILD)/%: tests/boot/ko/%.c $(CTL)/joist_ioctl.h \
		include/joist.h
	@mkdir -p $(@D)
	@echo "MAKE $@"
	gcc -O2 -Wall -Wextra -Werror -static -pthread -Iinclude -I$(CTL) \
		-o $@ $<

# Small programs of the boot tests: one makes another process do a system call,
# one speaks through a vsock.
CTL_TEST_TOOLS	:= $(BUILD)/inject $(BUILD)/vsock

$(CTL_TEST_TOOLS): $(BUILD)/%: tests/boot/%
	@mkdir -p $(@D)
	@echo "MAKE $@"
	gcc -O2 -Wall -Wextra -Werror -static -o $@ $</$*.c
$(BUILD)/inject: tests/boot/inject/inject.c
$(BUILD)/vsock: tests/boot/vsock/vsock.c

$(BUILD)/ko_test.img: $(BUILD)/ko_test $(CTL_IMAGE)/mkinitrd.py \
		tests/boot/ko/autorun
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --bare --program $<:/bin/ko_test \
		--file tests/boot/ko/autorun:/joist-autorun

# The ISO.
$(BUILD)/joist.iso: $(ELF) $(BUILD)/initrd.img $(BUILD)/helpers.img \
		$(CTL_VMLINUZ) grub.cfg tests/boot/mkiso
	$(ctl_need_kernel)
	@echo "MAKE $@"
	tests/boot/mkiso $@ --elf $(ELF) --timeout 1 \
		--control $(CTL_VMLINUZ) --control-args '$(CONTROL_ARGS)' \
		--initrd $(BUILD)/initrd.img --initrd $(BUILD)/helpers.img \
		--tunables '$(TUNABLES)'

.PHONY: iso initrd
initrd: $(BUILD)/initrd.img
iso: $(BUILD)/joist.iso

# A machine without Debian's kernel has other prerequisites than one with it,
# so make starts afresh after deps.
# `make run MACHINE=pc FIRMWARE=uefi CPUS=4 MEM=4096 DISK=disk.img`
# `make run VENDOR=intel` is Bochs, which has Intel's VMX; Ctrl-] ends it.
VENDOR		?= amd
MACHINE		?= q35
FIRMWARE	?= bios
CPUS		?= 2
MEM		?= 2048
DISK		?=
FORWARD		?=
GUEST_FIRMWARE	?= bios

.PHONY: run
ifeq ($(VENDOR),intel)
# The unpacked kernel spares the emulator billions of instructions.  CPUID
# there tells the frequency of the CPU that Bochs takes for its model; the TSC
# counts instructions.
BOCHS_ARGS	:= tsc_early_khz=100000 mitigations=off cryptomgr.notests
run: deps
	@$(MAKE) --no-print-directory $(ELF) $(BUILD)/bochs.img $(BUILD)/vmlinux
	@tests/boot/mkiso $(BUILD)/joist-bochs.iso --bios-only --elf $(ELF) \
		--control $(BUILD)/vmlinux --initrd $(BUILD)/bochs.img \
		--control-args '$(CONTROL_ARGS) $(BOCHS_ARGS)' \
		--tunables '$(TUNABLES)'
	@tests/boot/run-bochs --iso $(BUILD)/joist-bochs.iso --cpus $(CPUS) \
		--mem $(MEM) $(if $(DISK),--disk $(DISK))
else
run: deps
	@$(MAKE) --no-print-directory $(BUILD)/joist.iso
	@tests/boot/run-qemu --iso $(BUILD)/joist.iso --machine $(MACHINE) \
		--firmware $(FIRMWARE) --cpus $(CPUS) --mem $(MEM) \
		--scratch $(BUILD) $(if $(DISK),--disk $(DISK)) \
		$(FORWARD:%=--forward %)
endif

# The same unattended, with something to see.  The unpacked kernel saves time
# where the processor is emulated.
.PHONY: demo
demo: deps
	@$(MAKE) --no-print-directory $(ELF) $(BUILD)/initrd.img $(BUILD)/vmlinux \
		$(GUEST_DISK)
	@tests/boot/demo --disk $(GUEST_DISK) --key $(GUEST_KEY:.pub=) \
		--guest-firmware $(GUEST_FIRMWARE) \
		--elf $(ELF) --control $(BUILD)/vmlinux \
		--control-args '$(CONTROL_ARGS)' --tunables '$(TUNABLES)' \
		--initrd $(BUILD)/initrd.img -- --machine $(MACHINE) \
		--firmware $(FIRMWARE) --cpus $(CPUS) --mem $(MEM)

.PHONY: print-vmlinuz
print-vmlinuz:
	@echo $(CTL_VMLINUZ)
