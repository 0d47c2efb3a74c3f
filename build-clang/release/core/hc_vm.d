build-clang/release/core/hc_vm.o: core/hc_vm.c arch/x86/xstate.h \
  core/types.h boot/memory.h boot/mb2.h drivers/screen.h boot/param.h \
  core/forbidden.h core/hypercall.h arch/x86/exit.h core/vm.h \
  arch/x86/backend.h arch/x86/cpu.h core/lock.h arch/x86/decode.h \
  arch/x86/insn.h include/joist.h arch/x86/stage2.h arch/x86/vlapic.h \
  core/page.h core/log.h core/errno.h core/string.h

arch/x86/xstate.h:

core/types.h:

boot/memory.h:

boot/mb2.h:

drivers/screen.h:

boot/param.h:

core/forbidden.h:

core/hypercall.h:

arch/x86/exit.h:

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

core/log.h:

core/errno.h:

core/string.h:
