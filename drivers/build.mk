# SPDX-License-Identifier: BSD-2-Clause
#
# build.mk -- the screen's glyphs, made from a font of Debian's fonts-spleen.

FONT	?= /usr/share/consolefonts/spleen-8x16.psfu.gz

OBJS	+= $(OUT)/font.o
$(ELF): $(OUT)/font.o

$(BUILD)/font.c: drivers/font.py $(FONT)
	@mkdir -p $(@D)
	@echo FONT $(FONT)
	@python3 drivers/font.py $(FONT) > $@.tmp
	@mv $@.tmp $@

$(OUT)/font.o: $(BUILD)/font.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(OUT)/font.d
