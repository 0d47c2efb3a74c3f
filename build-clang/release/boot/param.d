build-clang/release/boot/param.o: boot/param.c boot/param.h core/types.h \
  core/errno.h core/string.h

boot/param.h:

core/types.h:

core/errno.h:

core/string.h:
