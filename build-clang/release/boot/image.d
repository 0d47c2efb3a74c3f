build-clang/release/boot/image.o: boot/image.c boot/image.h core/types.h \
  core/bytes.h core/string.h core/errno.h

boot/image.h:

core/types.h:

core/bytes.h:

core/string.h:

core/errno.h:
