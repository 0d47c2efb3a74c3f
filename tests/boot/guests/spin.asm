; SPDX-License-Identifier: BSD-2-Clause
; Says hello, then spins with interrupts off.
%include "elf.inc"
	call say
	db "hello", 10, 0
	cli
	jmp $
image_end:
