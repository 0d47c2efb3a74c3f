build-clang/release/drivers/console.o: drivers/console.c boot/mb2.h \
  core/types.h drivers/screen.h boot/param.h core/log.h core/errno.h \
  drivers/console.h drivers/uart.h

boot/mb2.h:

core/types.h:

drivers/screen.h:

boot/param.h:

core/log.h:

core/errno.h:

drivers/console.h:

drivers/uart.h:
