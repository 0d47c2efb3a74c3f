# SPDX-License-Identifier: BSD-2-Clause
#
# build.mk -- tests that boot the real image, and all tests together.
#
#	make test		everything, with what it needs installed first
#	make test-svm		the self-test control VM on SVM, in QEMU
#	make test-vmx		the same on VMX and SVM in Bochs, and Linux there
#	make test-boot		Linux as control VM, refusals, virtual machines
#	make test-machines	these three at once
#	make test-nested	Joist under KVM, all of it: self-test, Linux
#	make test-all		all of this, and the platforms that take long, with a
#				table of them at its end
#
# Variables: BOOT_JOBS=n emulators at once, BOOT_ARGS= for pytest, such as
# BOOT_ARGS="-k refusal".  Logs of every boot are in build/test-logs.

BOOT_JOBS	?= 2
BOOT_ARGS	?=
BOOT_PYTEST	= /usr/bin/python3 -m pytest -n $(BOOT_JOBS) --dist loadgroup \
			-p no:cacheprovider -q -rfE --tb=short
TEST_RUNNERS	:= test-unit test-machines
BOCHS_TESTS	:= $(wildcard tests/boot/test_bochs*.py)

BOOT_GUESTS	:= $(patsubst tests/boot/guests/%.asm,$(BUILD)/guests/%, \
			$(wildcard tests/boot/guests/*.asm))

$(BUILD)/guests/%: tests/boot/guests/%.asm tests/boot/guests/elf.inc
	@mkdir -p $(@D)
	@echo "MAKE $@"
	nasm -f bin -w+error -I tests/boot/guests/ -o $@ $<

# A machine without Debian's kernel has other prerequisites than one with it,
# so make starts afresh after deps.  What does not build is told of once more by
# the runner that needs it, and fails there.
.PHONY: test
test: deps
	-@$(MAKE) --no-print-directory -j$$(nproc) -k test-build
	@/usr/bin/python3 tests/boot/runall.py $(TEST_RUNNERS)

# The disk first: one core is busy with it while the other builds the rest.
.PHONY: test-build
test-build: $(GUEST_DISK) $(DEB13)/emulators.stamp unit-programs test-images

# Joist in QEMU with KVM: the Linux around it, to be completed by each test.
NESTED		:= tests/boot/nested
NESTED_ROMS	:= /usr/share/seabios/bios-256k.bin

$(BUILD)/nested.img: $(NESTED)/init $(NESTED)/modules.list \
		$(CTL_IMAGE)/mkinitrd.py
	$(ctl_need_kernel)
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(CTL_IMAGE)/mkinitrd.py $@ --kernel-version $(KERNEL_VERSION) \
		--modules $(NESTED)/modules.list --file $(NESTED)/init:/init \
		--program /usr/bin/qemu-system-x86_64:/usr/bin/qemu-system-x86_64 \
		$(foreach f,$(NESTED_ROMS),--file $(f):$(f))
	@echo $(KERNEL_VERSION) > $(BUILD)/nested.version

TEST_IMAGES	:= $(BUILD)/joist.iso $(BUILD)/vmlinux $(BUILD)/initrd.img \
		$(BUILD)/helpers.img $(BUILD)/bochs.img $(BUILD)/ko_test.img \
		$(BUILD)/ko_hostile \
		$(BUILD)/nested.img \
		$(CTL_TEST_TOOLS) $(BUILD)/selftest.elf $(BOOT_GUESTS)

.PHONY: test-images test-parts
test-parts: $(TEST_IMAGES)
test-images: test-parts $(GUEST_DISK) $(DEB13)/emulators.stamp
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory DEBUG=1 all

.PHONY: test-svm
test-svm: $(BUILD)/selftest.elf $(DEB13)/emulators.stamp
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory DEBUG=1 all
	@$(BOOT_PYTEST) $(BOOT_ARGS) tests/boot/test_selftest.py tests/boot/test_work.py

# Linux there needs the live image, the self-test does not.
.PHONY: test-vmx
test-vmx: $(BUILD)/selftest.elf \
		$(if $(filter-out %/test_bochs.py,$(BOCHS_TESTS)),test-images)
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory DEBUG=1 all
	@$(BOOT_PYTEST) $(BOOT_ARGS) $(BOCHS_TESTS)

.PHONY: test-nested
test-nested: test-images
	@$(BOOT_PYTEST) --long $(BOOT_ARGS) tests/boot/test_nested.py

.PHONY: test-boot
test-boot: test-images
	@$(BOOT_PYTEST) $(BOOT_ARGS) --ignore=tests/boot/test_selftest.py \
		--ignore=tests/boot/test_work.py $(BOCHS_TESTS:%=--ignore=%) tests/boot

# In one run no core waits at the end of each part; conftest.py has the order.
.PHONY: test-machines
test-machines: test-images
	@$(BOOT_PYTEST) $(BOOT_ARGS) tests/boot

# What has a marker "long", too.
.PHONY: test-machines-long
test-machines-long: test-images
	@$(BOOT_PYTEST) --long $(BOOT_ARGS) tests/boot

TEST_ALL	:= test-unit='this machine:unit tests' test-machines-long \
			test-deb13-unit='Debian 13:unit tests' test-deb13-machines

.PHONY: test-all
test-all: deps
	-@$(MAKE) --no-print-directory -j$$(nproc) -k test-build
	@/usr/bin/python3 tests/boot/runall.py --table $(TEST_ALL)
