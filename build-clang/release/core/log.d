build-clang/release/core/log.o: core/log.c arch/x86/cpu.h core/lock.h \
  core/types.h arch/x86/insn.h core/log.h core/errno.h core/string.h

arch/x86/cpu.h:

core/lock.h:

core/types.h:

arch/x86/insn.h:

core/log.h:

core/errno.h:

core/string.h:
