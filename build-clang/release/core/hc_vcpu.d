build-clang/release/core/hc_vcpu.o: core/hc_vcpu.c core/hypercall.h \
  arch/x86/exit.h core/vm.h arch/x86/backend.h arch/x86/cpu.h \
  core/lock.h core/types.h arch/x86/decode.h arch/x86/insn.h \
  include/joist.h arch/x86/stage2.h arch/x86/vlapic.h core/page.h \
  core/log.h core/errno.h

core/hypercall.h:

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

core/log.h:

core/errno.h:
