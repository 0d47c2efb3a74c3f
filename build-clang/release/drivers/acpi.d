build-clang/release/drivers/acpi.o: drivers/acpi.c drivers/acpi.h \
  core/types.h core/bytes.h core/string.h core/errno.h

drivers/acpi.h:

core/types.h:

core/bytes.h:

core/string.h:

core/errno.h:
