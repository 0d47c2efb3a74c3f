; SPDX-License-Identifier: BSD-2-Clause
; Says hello, and powers off by ACPI.
%include "elf.inc"
	call say
	db "hello", 10, 0
	mov dx, 0xb004		; PM1 control
	mov ax, 5 << 10 | 1 << 13 ; S5, go
	out dx, ax
	jmp $
image_end:
