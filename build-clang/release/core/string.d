build-clang/release/core/string.o: core/string.c core/string.h \
  core/types.h

core/string.h:

core/types.h:
