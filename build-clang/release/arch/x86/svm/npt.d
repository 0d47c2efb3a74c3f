build-clang/release/arch/x86/svm/npt.o: arch/x86/svm/npt.c \
  arch/x86/insn.h core/types.h arch/x86/paging.h arch/x86/stage2.h

arch/x86/insn.h:

core/types.h:

arch/x86/paging.h:

arch/x86/stage2.h:
