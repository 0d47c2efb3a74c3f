# SPDX-License-Identifier: BSD-2-Clause
# install.mk -- Joist on this Debian: `make install`, `make uninstall`.
#
#	make install DESTDIR=/tmp/root		somewhere else
#	make install KERNEL_VERSION=6.1.0-56-amd64	for another kernel than
#					the newest one that has its headers here
#
# With DESTDIR files are put there and nothing is run: depmod, the group, GRUB's
# configuration are up to whoever made that tree.

INST		:= $(CTL)/install
DESTDIR		?=
inst_updates	= /lib/modules/$(KERNEL_VERSION)/updates

# Mode, file, where to.
inst_files	= \
	644:$(ELF):/boot/joist.elf \
	755:$(BUILD)/tools/joistctl:/usr/bin/joistctl \
	755:$(BUILD)/tools/joist-vm:/usr/bin/joist-vm \
	755:$(BUILD)/tools/joist-net:/usr/bin/joist-net \
	644:$(CTL_KO):$(inst_updates)/joist.ko \
	755:$(INST)/20_linux_joist:/etc/grub.d/20_linux_joist \
	644:$(INST)/modprobe.conf:/etc/modprobe.d/joist.conf \
	644:$(INST)/sysusers.conf:/usr/lib/sysusers.d/joist.conf \
	644:$(INST)/tmpfiles.conf:/usr/lib/tmpfiles.d/joist.conf \
	$(foreach u,$(wildcard $(CTL)/systemd/*), \
		644:$(u):/lib/systemd/system/$(notdir $(u))) \
	$(foreach m,$(wildcard $(CTL)/man/*), \
		644:$(m):/usr/share/man/man$(subst .,,$(suffix $(m)))/$(notdir $(m))) \
	644:$(CTL)/completion/joistctl.bash:/usr/share/bash-completion/completions/joistctl \
	644:$(CTL)/completion/_joistctl:/usr/share/zsh/vendor-completions/_joistctl

.PHONY: install
install: $(ELF) tools module
	@for f in $(inst_files); do \
		to=$(DESTDIR)$${f##*:}; from=$${f#*:}; \
		install -D -m $${f%%:*} $${from%:*} $$to || exit 1; \
	done
	@install -d -m 755 $(DESTDIR)/etc/joist
	@if [ -z "$(DESTDIR)" ]; then \
		depmod $(KERNEL_VERSION) && \
		systemd-sysusers joist.conf && \
		systemd-tmpfiles --create joist.conf && \
		{ [ ! -d /run/systemd/system ] || systemctl daemon-reload; } && \
		update-grub; \
	fi

# /etc/joist stays: it is the user's.
.PHONY: uninstall
uninstall:
	@rm -f $(foreach f,$(inst_files),$(DESTDIR)$(lastword $(subst :, ,$(f))))
	@if [ -z "$(DESTDIR)" ]; then \
		depmod $(KERNEL_VERSION) && \
		{ [ ! -d /run/systemd/system ] || systemctl daemon-reload; } && \
		update-grub; \
	fi
