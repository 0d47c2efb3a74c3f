build-clang/release/core/main.o: core/main.c arch/x86/backend.h \
  arch/x86/cpu.h core/lock.h core/types.h arch/x86/decode.h \
  arch/x86/insn.h include/joist.h arch/x86/exit.h core/vm.h \
  arch/x86/stage2.h arch/x86/vlapic.h core/page.h arch/x86/paging.h \
  arch/x86/xstate.h boot/control.h boot/mb2.h drivers/screen.h \
  boot/memory.h boot/param.h core/log.h core/errno.h drivers/acpi.h \
  drivers/apic.h drivers/console.h

arch/x86/backend.h:

arch/x86/cpu.h:

core/lock.h:

core/types.h:

arch/x86/decode.h:

arch/x86/insn.h:

include/joist.h:

arch/x86/exit.h:

core/vm.h:

arch/x86/stage2.h:

arch/x86/vlapic.h:

core/page.h:

arch/x86/paging.h:

arch/x86/xstate.h:

boot/control.h:

boot/mb2.h:

drivers/screen.h:

boot/memory.h:

boot/param.h:

core/log.h:

core/errno.h:

drivers/acpi.h:

drivers/apic.h:

drivers/console.h:
