build-clang/release/arch/x86/paging.o: arch/x86/paging.c arch/x86/insn.h \
  core/types.h arch/x86/paging.h arch/x86/regs.h boot/mb2.h \
  drivers/screen.h boot/memory.h boot/param.h core/log.h core/errno.h \
  core/string.h

arch/x86/insn.h:

core/types.h:

arch/x86/paging.h:

arch/x86/regs.h:

boot/mb2.h:

drivers/screen.h:

boot/memory.h:

boot/param.h:

core/log.h:

core/errno.h:

core/string.h:
