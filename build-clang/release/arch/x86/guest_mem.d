build-clang/release/arch/x86/guest_mem.o: arch/x86/guest_mem.c \
  arch/x86/guest_mem.h arch/x86/decode.h core/types.h arch/x86/paging.h \
  arch/x86/regs.h core/log.h core/errno.h core/string.h core/vm.h \
  arch/x86/backend.h arch/x86/cpu.h core/lock.h arch/x86/insn.h \
  include/joist.h arch/x86/stage2.h arch/x86/vlapic.h core/page.h

arch/x86/guest_mem.h:

arch/x86/decode.h:

core/types.h:

arch/x86/paging.h:

arch/x86/regs.h:

core/log.h:

core/errno.h:

core/string.h:

core/vm.h:

arch/x86/backend.h:

arch/x86/cpu.h:

core/lock.h:

arch/x86/insn.h:

include/joist.h:

arch/x86/stage2.h:

arch/x86/vlapic.h:

core/page.h:
