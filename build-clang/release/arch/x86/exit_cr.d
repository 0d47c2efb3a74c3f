build-clang/release/arch/x86/exit_cr.o: arch/x86/exit_cr.c \
  arch/x86/exit.h core/vm.h arch/x86/backend.h arch/x86/cpu.h \
  core/lock.h core/types.h arch/x86/decode.h arch/x86/insn.h \
  include/joist.h arch/x86/stage2.h arch/x86/vlapic.h core/page.h \
  arch/x86/guest_mem.h arch/x86/msr.h arch/x86/regs.h

arch/x86/exit.h:

core/vm.h:

arch/x86/backend.h:

arch/x86/cpu.h:

core/lock.h:

core/types.h:

arch/x86/decode.h:

arch/x86/insn.h:

include/joist.h:

arch/x86/stage2.h:

arch/x86/vlapic.h:

core/page.h:

arch/x86/guest_mem.h:

arch/x86/msr.h:

arch/x86/regs.h:
