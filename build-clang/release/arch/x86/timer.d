build-clang/release/arch/x86/timer.o: arch/x86/timer.c arch/x86/cpu.h \
  core/lock.h core/types.h arch/x86/insn.h arch/x86/paging.h core/log.h \
  core/errno.h

arch/x86/cpu.h:

core/lock.h:

core/types.h:

arch/x86/insn.h:

arch/x86/paging.h:

core/log.h:

core/errno.h:
