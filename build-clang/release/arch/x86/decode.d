build-clang/release/arch/x86/decode.o: arch/x86/decode.c \
  arch/x86/decode.h core/types.h core/errno.h include/joist.h

arch/x86/decode.h:

core/types.h:

core/errno.h:

include/joist.h:
