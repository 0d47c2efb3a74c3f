build-clang/release/core/page.o: core/page.c arch/x86/paging.h \
  core/types.h core/lock.h core/log.h core/errno.h core/page.h \
  core/string.h

arch/x86/paging.h:

core/types.h:

core/lock.h:

core/log.h:

core/errno.h:

core/page.h:

core/string.h:
