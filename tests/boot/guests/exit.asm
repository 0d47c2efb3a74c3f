; SPDX-License-Identifier: BSD-2-Clause
; Says hello, and ends with status 43 by the debug exit port.
%include "elf.inc"
	call say
	db "hello", 10, 0
	mov al, 21
	mov dx, DEBUG_EXIT
	out dx, al
	jmp $
image_end:
