build-clang/release/arch/x86/svm/svm.o: arch/x86/svm/svm.c \
  arch/x86/backend.h arch/x86/cpu.h core/lock.h core/types.h \
  arch/x86/decode.h arch/x86/insn.h include/joist.h \
  arch/x86/msr_policy.h arch/x86/paging.h arch/x86/regs.h \
  arch/x86/stage2.h arch/x86/svm/vmcb.h boot/memory.h boot/mb2.h \
  drivers/screen.h boot/param.h core/log.h core/errno.h core/string.h \
  core/vm.h arch/x86/vlapic.h core/page.h

arch/x86/backend.h:

arch/x86/cpu.h:

core/lock.h:

core/types.h:

arch/x86/decode.h:

arch/x86/insn.h:

include/joist.h:

arch/x86/msr_policy.h:

arch/x86/paging.h:

arch/x86/regs.h:

arch/x86/stage2.h:

arch/x86/svm/vmcb.h:

boot/memory.h:

boot/mb2.h:

drivers/screen.h:

boot/param.h:

core/log.h:

core/errno.h:

core/string.h:

core/vm.h:

arch/x86/vlapic.h:

core/page.h:
