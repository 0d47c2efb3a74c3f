build-clang/release/core/forbidden.o: core/forbidden.c arch/x86/paging.h \
  core/types.h core/errno.h core/forbidden.h core/log.h core/string.h \
  core/vm.h arch/x86/backend.h arch/x86/cpu.h core/lock.h \
  arch/x86/decode.h arch/x86/insn.h include/joist.h arch/x86/stage2.h \
  arch/x86/vlapic.h core/page.h

arch/x86/paging.h:

core/types.h:

core/errno.h:

core/forbidden.h:

core/log.h:

core/string.h:

core/vm.h:

arch/x86/backend.h:

arch/x86/cpu.h:

core/lock.h:

arch/x86/decode.h:

arch/x86/insn.h:

include/joist.h:

arch/x86/stage2.h:

arch/x86/vlapic.h:

core/page.h:
