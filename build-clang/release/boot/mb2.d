build-clang/release/boot/mb2.o: boot/mb2.c boot/mb2.h core/types.h \
  drivers/screen.h core/bytes.h core/string.h core/errno.h

boot/mb2.h:

core/types.h:

drivers/screen.h:

core/bytes.h:

core/string.h:

core/errno.h:
