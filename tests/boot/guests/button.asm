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
	mov dx, PM1_CONTROL
	mov ax, S5
	out dx, ax
	jmp $
image_end:
