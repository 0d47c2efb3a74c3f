; SPDX-License-Identifier: BSD-2-Clause
;
; blobs.asm -- small payloads in other modes than long mode, or without the
; runtime.  Each is copied to GUEST_CODE16 and entered at its first byte; it
; may reach memory only there, so P() turns its labels into addresses.

BASE	equ	0xa000
DONE	equ	0xe0
SYNC	equ	0xe4

%macro BLOB 2			; name, bits
	section	.rodata
	align	16
	bits	%2
	global	blob_%1, blob_%1_end
blob_%1:
%define CUR blob_%1
%define END blob_%1_end
%endmacro
%macro BLOB_END 0
END:
%endmacro
%define P(x) (BASE + (x) - CUR)

; Real mode: an OUT, an interrupt through the IVT, done.
	BLOB	real16, 16
	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	word [0x60 * 4], P(.isr)
	mov	word [0x60 * 4 + 2], ax
	mov	eax, 0x12345678
	out	SYNC, eax
	int	0x60
	mov	eax, ebx
	out	SYNC, eax
	mov	al, 0
	out	DONE, al
.hang:	hlt
	jmp	.hang
.isr:	mov	ebx, 0x600d
	iret
	BLOB_END

; 32-bit protected mode without paging.
	BLOB	prot32, 32
	mov	eax, 0x87654321
	out	SYNC, eax
	mov	eax, 0xcafe
	push	eax
	pop	ebx
	mov	eax, ebx
	out	SYNC, eax
	mov	al, 0
	out	DONE, al
.hang:	hlt
	jmp	.hang
	BLOB_END

; Long mode without a stack, tables or interrupts: spins for ever.
	BLOB	spin64, 64
	cli
.spin:	inc	rax
	jmp	.spin
	BLOB_END

	BLOB	spin16, 16
	cli
.spin:	inc	eax
	jmp	.spin
	BLOB_END

; HLT with interrupts off, then done.
	BLOB	hlt64, 64
	hlt
	mov	al, 0
	out	DONE, al
	hlt
	BLOB_END

; No IDT, then an undefined instruction: a triple fault.
	BLOB	triple64, 64
	sub	rsp, 16
	mov	qword [rsp], 0
	mov	qword [rsp + 8], 0
	lidt	[rsp]
	ud2
	BLOB_END

; At the reset vector, F000:FFF0: the last 16 bytes below 4 GiB.
	section	.rodata
	bits	16
	global	blob_reset, blob_reset_end
blob_reset:
	mov	eax, 0x5e5e7
	out	SYNC, eax
	mov	al, 0
	out	DONE, al
	hlt
blob_reset_end:
