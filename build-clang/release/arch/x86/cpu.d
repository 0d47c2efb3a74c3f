build-clang/release/arch/x86/cpu.o: arch/x86/cpu.c arch/x86/cpu.h \
  core/lock.h core/types.h arch/x86/insn.h arch/x86/paging.h \
  arch/x86/regs.h boot/memory.h boot/mb2.h drivers/screen.h boot/param.h \
  core/log.h core/errno.h

arch/x86/cpu.h:

core/lock.h:

core/types.h:

arch/x86/insn.h:

arch/x86/paging.h:

arch/x86/regs.h:

boot/memory.h:

boot/mb2.h:

drivers/screen.h:

boot/param.h:

core/log.h:

core/errno.h:
