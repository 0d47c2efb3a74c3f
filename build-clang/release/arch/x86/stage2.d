build-clang/release/arch/x86/stage2.o: arch/x86/stage2.c \
  arch/x86/paging.h core/types.h arch/x86/stage2.h core/errno.h \
  core/log.h core/page.h

arch/x86/paging.h:

core/types.h:

arch/x86/stage2.h:

core/errno.h:

core/log.h:

core/page.h:
