; SPDX-License-Identifier: BSD-2-Clause
; Says hello on COM1; what comes in by COM2 goes out there again.
%include "elf.inc"
COM2		equ 0x2f8

	call say
	db "hello", 10, 0
again:
	mov dx, COM2 + 5
	in al, dx
	test al, 1		; a byte has come
	jz again
	mov dx, COM2
	in al, dx
	out dx, al
	jmp again
image_end:
