build-clang/release/core/vcpu.o: core/vcpu.c arch/x86/exit.h core/vm.h \
  arch/x86/backend.h arch/x86/cpu.h core/lock.h core/types.h \
  arch/x86/decode.h arch/x86/insn.h include/joist.h arch/x86/stage2.h \
  arch/x86/vlapic.h core/page.h arch/x86/paging.h arch/x86/regs.h \
  arch/x86/xstate.h core/log.h core/errno.h core/string.h

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

arch/x86/paging.h:

arch/x86/regs.h:

arch/x86/xstate.h:

core/log.h:

core/errno.h:

core/string.h:
