build-clang/release/arch/x86/vlapic.o: arch/x86/vlapic.c \
  arch/x86/vlapic.h core/types.h include/joist.h core/errno.h \
  core/string.h

arch/x86/vlapic.h:

core/types.h:

include/joist.h:

core/errno.h:

core/string.h:
