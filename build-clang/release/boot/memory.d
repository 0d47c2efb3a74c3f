build-clang/release/boot/memory.o: boot/memory.c arch/x86/paging.h \
  core/types.h boot/memory.h boot/mb2.h drivers/screen.h boot/param.h \
  core/log.h core/errno.h core/page.h core/string.h

arch/x86/paging.h:

core/types.h:

boot/memory.h:

boot/mb2.h:

drivers/screen.h:

boot/param.h:

core/log.h:

core/errno.h:

core/page.h:

core/string.h:
