; SPDX-License-Identifier: BSD-2-Clause
; A triple fault: an exception without a single gate.
%include "elf.inc"
	lidt [none]
	int3
none:
	dw 0
	dd 0
image_end:
