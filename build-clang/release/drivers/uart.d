build-clang/release/drivers/uart.o: drivers/uart.c drivers/uart.h \
  core/types.h arch/x86/insn.h core/errno.h

drivers/uart.h:

core/types.h:

arch/x86/insn.h:

core/errno.h:
