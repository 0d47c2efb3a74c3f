# SPDX-License-Identifier: BSD-2-Clause
# tools.mk -- build/tools/joistctl, static; joist-vm and joist-net, which are not,
# as Debian has no static libzydis and libslirp.  Needs libconfuse-dev,
# libjansson-dev, liburing-dev, libseccomp-dev, libslirp-dev, libzydis-dev.

TOOLS_DIR := guests/control
TOOLS_OUT := build/tools
TOOLS_CC ?= $(CC)
TOOLS_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -MMD -MP \
	-fstack-protector-strong -D_FORTIFY_SOURCE=2 \
	-I. -Iinclude -DTOOLS_VERSION='"$(VERSION)"'

TOOLS_LIB_SRC := $(wildcard $(TOOLS_DIR)/lib/*.c)
JOIST_VM_SRC := $(wildcard $(TOOLS_DIR)/joist-vm/*.c) $(TOOLS_LIB_SRC)
JOISTCTL_SRC := $(wildcard $(TOOLS_DIR)/joistctl/*.c) $(TOOLS_LIB_SRC)
JOIST_NET_SRC := $(wildcard $(TOOLS_DIR)/joist-net/*.c) \
	$(TOOLS_DIR)/lib/err.c $(TOOLS_DIR)/lib/landlock.c
tools_obj = $(patsubst $(TOOLS_DIR)/%.c,$(TOOLS_OUT)/obj/%.o,$(1))

.PHONY: tools
tools: $(TOOLS_OUT)/joist-vm $(TOOLS_OUT)/joistctl $(TOOLS_OUT)/joist-net

$(TOOLS_OUT)/obj/%.o: $(TOOLS_DIR)/%.c
	@mkdir -p $(@D)
	@echo "MAKE $@"
	$(TOOLS_CC) $(TOOLS_CFLAGS) -c -o $@ $<

$(TOOLS_OUT)/joist-vm: $(call tools_obj,$(JOIST_VM_SRC))
	$(TOOLS_CC) -Wl,-z,now -o $@ $^ -l:libjansson.a -l:libconfuse.a \
		-l:liburing.a -l:libseccomp.a -lZydis -lpthread

$(TOOLS_OUT)/joistctl: $(call tools_obj,$(JOISTCTL_SRC))
	$(TOOLS_CC) -static -o $@ $^ -ljansson -lconfuse

$(TOOLS_OUT)/joist-net: $(call tools_obj,$(JOIST_NET_SRC))
	$(TOOLS_CC) -o $@ $^ -lslirp -l:libseccomp.a

-include $(patsubst %.o,%.d,$(call tools_obj,$(JOIST_VM_SRC) $(JOISTCTL_SRC) \
	$(JOIST_NET_SRC)))
