build-clang/release/arch/x86/svm/svm_exit.o: arch/x86/svm/svm_exit.c \
  arch/x86/backend.h arch/x86/cpu.h core/lock.h core/types.h \
  arch/x86/decode.h arch/x86/insn.h include/joist.h arch/x86/regs.h \
  arch/x86/svm/vmcb.h core/vm.h arch/x86/stage2.h arch/x86/vlapic.h \
  core/page.h

arch/x86/backend.h:

arch/x86/cpu.h:

core/lock.h:

core/types.h:

arch/x86/decode.h:

arch/x86/insn.h:

include/joist.h:

arch/x86/regs.h:

arch/x86/svm/vmcb.h:

core/vm.h:

arch/x86/stage2.h:

arch/x86/vlapic.h:

core/page.h:
