; SPDX-License-Identifier: BSD-2-Clause
;
; header.asm -- Multiboot2 header.  It must lie in the first 32 KiB of the
; file; linker.ld puts it first.

MB2_MAGIC	equ 0xe85250d6
ARCH_I386	equ 0
TAG_INFO_REQ	equ 1
TAG_FRAMEBUFFER	equ 5
TAG_ALIGN	equ 6
TAG_RELOC	equ 10
OPTIONAL	equ 1
PREFER_HIGH	equ 2

section .multiboot2 progbits alloc noexec nowrite align=8
header:
	dd MB2_MAGIC
	dd ARCH_I386
	dd header_end - header
	dd -(MB2_MAGIC + ARCH_I386 + (header_end - header))

	align 8
	dw TAG_INFO_REQ, 0
	dd 8 + 2 * 4
	dd 1			; command line
	dd 6			; memory map

	align 8
	dw TAG_ALIGN, 0
	dd 8

	; Any size and depth will do: the screen driver takes what there is.
	align 8
	dw TAG_FRAMEBUFFER, OPTIONAL
	dd 20
	dd 0, 0, 0

	align 8
	dw TAG_RELOC, 0
	dd 24
	dd 0x200000		; lowest address
	dd 0xffffffff		; highest address
	dd 0x200000		; alignment
	dd PREFER_HIGH		; leave low memory to the control VM

	align 8
	dw 0, 0
	dd 8
header_end:
