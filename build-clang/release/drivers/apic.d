build-clang/release/drivers/apic.o: drivers/apic.c arch/x86/cpu.h \
  core/lock.h core/types.h arch/x86/insn.h arch/x86/paging.h \
  arch/x86/regs.h drivers/apic.h

arch/x86/cpu.h:

core/lock.h:

core/types.h:

arch/x86/insn.h:

arch/x86/paging.h:

arch/x86/regs.h:

drivers/apic.h:
