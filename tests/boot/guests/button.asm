; SPDX-License-Identifier: BSD-2-Clause
; Says hello, waits for the power button, and powers off by ACPI.
%include "elf.inc"
	call say
	db "hello", 10, 0
	mov dx, 0xb000		; PM1 status
wait_button:
	in ax, dx
	test ah, 1		; the power button
	jz wait_button
	mov dx, 0xb004		; PM1 control
	mov ax, 5 << 10 | 1 << 13 ; S5, go
	out dx, ax
	jmp $
image_end:
