; SPDX-License-Identifier: BSD-2-Clause
; An instruction that nobody can carry out on a device.
%include "elf.inc"
	call say
	db "hello", 10, 0
	lgdt [0xfec00000]
	jmp $
image_end:
