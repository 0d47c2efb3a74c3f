# SPDX-License-Identifier: BSD-2-Clause
#
# build.mk -- Debian 13's emulators, and a Debian 13 to build in, both unpacked
# below build/deb13 out of Debian's archive; nothing is installed.
#
#	make deb13		QEMU 10 and Bochs 3 (what make test needs)
#	make test-deb13		build Joist and run its unit tests in a Debian 13

DEB13		:= $(BUILD)/deb13
DEB13_SRC	:= tests/deb13
DEB13_TREE	= $(DEB13_SRC)/mktree $(@:.stamp=) $(1) > $(@:.stamp=.log) 2>&1 \
			|| { tail -n 20 $(@:.stamp=.log); exit 1; }

.PHONY: deb13
deb13: deps
	@$(MAKE) --no-print-directory $(DEB13)/emulators.stamp

$(DEB13)/emulators.stamp: $(DEB13_SRC)/emulators $(DEB13_SRC)/mktree \
		guests/debian/archive.py
	@mkdir -p $(@D)
	@echo "MAKE $(@:.stamp=)"
	$(call DEB13_TREE,$<)
	touch $@

# All of packages.txt: what is not in Debian 13 fails here.
$(DEB13)/builder.stamp: packages.txt $(DEB13_SRC)/base $(DEB13_SRC)/mktree \
		guests/debian/archive.py
	@mkdir -p $(@D)
	@echo "MAKE $(@:.stamp=)"
	$(call DEB13_TREE,packages.txt $(DEB13_SRC)/base)
	touch $@

# A copy of the sources, which tests in it take for their own: the products of
# one release do not get in the way of the other's.
DEB13_COPY	= $(abspath $(DEB13)/joist)
DEB13_MAKE	= $(DEB13_SRC)/enter $(DEB13)/builder $(DEB13_COPY) make

.PHONY: deb13-copy
deb13-copy: $(DEB13)/builder.stamp
	@$(DEB13_SRC)/copy $(DEB13_COPY)

.PHONY: deb13-images
deb13-images: deb13-copy
	@$(DEB13_MAKE) -j$$(nproc) --no-print-directory deb13-inside

# In there: what test-images makes, but for Debian's own disk and trees.
.PHONY: deb13-inside
deb13-inside: test-parts unit-programs
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory DEBUG=1 all

.PHONY: test-deb13-unit
test-deb13-unit: deb13-images
	@$(DEB13_MAKE) --no-print-directory test-unit

# Run here, of what was built there: its Linux as control VM and as guest.
DEB13_TESTS	:= test_linux.py test_vms.py
.PHONY: test-deb13-machines
test-deb13-machines: deb13-images
	@cd $(DEB13_COPY) && JOIST_PLATFORM="Linux 6.12, gcc 14" \
		$(BOOT_PYTEST) $(BOOT_ARGS) $(DEB13_TESTS:%=tests/boot/%)
