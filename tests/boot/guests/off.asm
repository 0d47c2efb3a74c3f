; SPDX-License-Identifier: BSD-2-Clause
; Says hello, and powers off by ACPI.
%include "elf.inc"
	call say
	db "hello", 10, 0
	mov dx, PM1_CONTROL
	mov ax, S5
	out dx, ax
	jmp $
image_end:
