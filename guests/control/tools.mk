# SPDX-License-Identifier: BSD-2-Clause
# tools.mk -- build/tools/joist-vm and build/tools/joistctl, both static: they
# go into an initramfs as they are.  Needs libconfuse-dev, libjansson-dev,
# liburing-dev, libseccomp-dev.

TOOLS_DIR := guests/control
TOOLS_OUT := build/tools
TOOLS_CC ?= $(CC)
TOOLS_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -MMD -MP \
	-fstack-protector-strong -D_FORTIFY_SOURCE=2 \
	-I. -Iinclude

TOOLS_LIB_SRC := $(wildcard $(TOOLS_DIR)/lib/*.c)
JOIST_VM_SRC := $(wildcard $(TOOLS_DIR)/joist-vm/*.c) $(TOOLS_LIB_SRC)
JOISTCTL_SRC := $(wildcard $(TOOLS_DIR)/joistctl/*.c) $(TOOLS_LIB_SRC)
tools_obj = $(patsubst $(TOOLS_DIR)/%.c,$(TOOLS_OUT)/obj/%.o,$(1))

.PHONY: tools
tools: $(TOOLS_OUT)/joist-vm $(TOOLS_OUT)/joistctl

$(TOOLS_OUT)/obj/%.o: $(TOOLS_DIR)/%.c
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(TOOLS_CC) $(TOOLS_CFLAGS) -c -o $@ $<

$(TOOLS_OUT)/joist-vm: $(call tools_obj,$(JOIST_VM_SRC))
	$(TOOLS_CC) -static -o $@ $^ -ljansson -lconfuse -luring -lseccomp -lpthread

$(TOOLS_OUT)/joistctl: $(call tools_obj,$(JOISTCTL_SRC))
	$(TOOLS_CC) -static -o $@ $^ -ljansson -lconfuse

-include $(patsubst %.o,%.d,$(call tools_obj,$(JOIST_VM_SRC) $(JOISTCTL_SRC)))
