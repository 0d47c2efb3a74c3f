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

; Real mode: what a #GP that exits leaves on the stack, and where it points.
	BLOB	gp16, 16
	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	word [13 * 4], P(.isr)
	mov	word [13 * 4 + 2], ax
	mov	[P(.sp)], sp
	mov	ecx, 0x12345678
.bad:	rdmsr
.hang:	hlt
	jmp	.hang
.isr:	movzx	eax, word [P(.sp)]
	sub	ax, sp			; IP, CS and FLAGS: six bytes
	out	SYNC, eax
	pop	ax
	movzx	eax, ax
	sub	ax, P(.bad)
	out	SYNC, eax
	mov	al, 0
	out	DONE, al
	jmp	.hang
.sp:	dw	0
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

; Real mode: string I/O with 16 and 32-bit addresses, and the memory of a VGA
; card, where nothing is mapped.
	BLOB	real_io, 16
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	si, P(.text)
	mov	cx, 10
	mov	dx, 0x321
	rep outsb
	movzx	eax, si
	sub	eax, P(.text)
	out	SYNC, eax		; 10
	mov	esi, P(.text)
	mov	ecx, 3
	mov	dx, 0x322
	a32 rep outsd
	mov	eax, ecx
	out	SYNC, eax		; 0
	mov	di, P(.buf)
	mov	cx, 4
	mov	dx, 0x331
	rep insw
	mov	eax, [P(.buf)]
	out	SYNC, eax		; 0x03020100
	mov	eax, [P(.buf) + 4]
	out	SYNC, eax		; 0x07060504
	; SI wraps at 64 KiB.
	mov	ax, 0x0fff
	mov	ds, ax			; DS:0xffff is 0x1ffef
	mov	si, 0xffff
	mov	cx, 2
	mov	dx, 0x323
	rep outsb
	movzx	eax, si
	out	SYNC, eax		; 1
	; B8000: MOV, STOS, LODS, a compare.
	mov	ax, 0xb800
	mov	es, ax
	mov	ds, ax
	mov	word [0], 0x0741
	mov	di, 2
	mov	ax, 0x0742
	mov	cx, 3
	cld
	rep stosw
	movzx	eax, di
	out	SYNC, eax		; 8
	mov	eax, [0]
	out	SYNC, eax		; 0x07420741
	mov	si, 6
	lodsw
	movzx	eax, ax
	out	SYNC, eax		; 0x0742
	cmp	byte [2], 0x42
	sete	al
	movzx	eax, al
	out	SYNC, eax		; 1
	mov	al, 0
	out	DONE, al
.hang:	hlt
	jmp	.hang
.text:	db	"0123456789abcdef"
	align	4
.buf:	dd	0, 0
	BLOB_END

; 32-bit paging with 4 MiB pages, then PAE with 2 MiB pages; MMIO in both.
; Tables in the first 32 KiB, which the 64-bit payloads' tables leave to us.
	BLOB	paging32, 32
	mov	edi, 0x1000
	mov	eax, 0x83
.pd:	mov	[edi], eax
	add	eax, 0x400000
	add	edi, 4
	cmp	edi, 0x2000
	jb	.pd
	mov	eax, cr4
	or	eax, 0x10		; PSE
	mov	cr4, eax
	mov	eax, 0x1000
	mov	cr3, eax
	mov	eax, cr0
	or	eax, 0x80000000
	mov	cr0, eax
	jmp	.on
.on:	mov	dword [0xd0000010], 0x11223344
	movzx	eax, byte [0xd0000012]
	out	SYNC, eax		; 0x22
	mov	edi, 0xd0000020
	mov	ecx, 2
	mov	eax, 0x55667788
	rep stosd
	mov	eax, [0xd0000024]
	out	SYNC, eax		; 0x55667788
	mov	esi, P(.data)
	mov	ecx, 4
	mov	edx, 0x321
	rep outsb
	; Paging off, PAE tables, on again.
	mov	eax, cr0
	and	eax, 0x7fffffff
	mov	cr0, eax
	mov	edi, 0x1000
	mov	eax, 0x2001
	xor	edx, edx
.pdpt:	mov	[edi], eax
	mov	[edi + 4], edx
	add	eax, 0x1000
	add	edi, 8
	cmp	edi, 0x1020
	jb	.pdpt
	mov	edi, 0x2000
	mov	eax, 0x83
.pae:	mov	[edi], eax
	mov	[edi + 4], edx
	add	eax, 0x200000
	add	edi, 8
	cmp	edi, 0x6000
	jb	.pae
	mov	eax, cr4
	or	eax, 0x20		; PAE
	mov	cr4, eax
	mov	eax, 0x1000
	mov	cr3, eax
	mov	eax, cr0
	or	eax, 0x80000000
	mov	cr0, eax
	jmp	.on2
.on2:	mov	dword [0xd0000030], 0x99aabbcc
	movsx	eax, word [0xd0000030]
	out	SYNC, eax		; 0xffffbbcc
	mov	esi, P(.data)
	mov	ecx, 4
	mov	edx, 0x322
	rep outsb
	mov	al, 0
	out	DONE, al
.hang:	hlt
	jmp	.hang
.data:	db	"wxyz"
	BLOB_END

; PAE paging with page-directory-pointer entries that have reserved bits set:
; EBX counts the #GPs that instructions get which would load them.
	BLOB	pdpte32, 32
	lgdt	[P(.gdtr)]
	jmp	8:P(.cs)
.cs:	mov	ax, 16
	mov	ds, ax
	mov	ss, ax
	mov	dword [0x7000 + 13 * 8], P(.gp) + (8 << 16)
	mov	dword [0x7000 + 13 * 8 + 4], 0x8e00
	lidt	[P(.idtr)]
	xor	ebx, ebx
	; The first GiB is mapped, the other entries are not present.
	mov	edi, 0x1000
	mov	ecx, 4 * 2
	xor	eax, eax
	rep	stosd
	mov	dword [0x1000], 0x2001
	mov	eax, 0x83
	mov	edi, 0x2000
.pd:	mov	[edi], eax
	mov	dword [edi + 4], 0
	add	eax, 0x200000
	add	edi, 8
	cmp	edi, 0x3000
	jb	.pd
	mov	eax, cr4
	or	eax, 0x20		; PAE
	mov	cr4, eax
	mov	eax, 0x1000
	mov	cr3, eax
	; Without P any bits will do.
	mov	dword [0x1018], 0x2006
	; A reserved bit: on with paging alone, with caches off at once.
	mov	dword [0x1010], 0x2003
	mov	eax, cr0
	mov	edx, eax
	or	eax, 0x80000000
	mov	cr0, eax		; #GP
	mov	eax, edx
	or	eax, 0xc0000000
	mov	cr0, eax		; #GP
	mov	eax, cr0
	xor	eax, edx
	out	SYNC, eax		; 0: nothing has changed
	mov	eax, ebx
	out	SYNC, eax		; 2
	; One above all of memory.
	mov	dword [0x1010], 0x2001
	mov	dword [0x1014], 0x80000000
	mov	eax, edx
	or	eax, 0xc0000000
	mov	cr0, eax		; #GP
	mov	dword [0x1014], 0
	mov	cr0, eax
	jmp	.on
.on:	mov	eax, ebx
	out	SYNC, eax		; 3
	; Bad again: only what loads them minds.  Registers are read before, since
	; a KVM outside that emulates MOV from CRn loads them all to fetch it.
	mov	ecx, cr0
	xor	ecx, 0x40000000		; CD
	mov	esi, cr4
	xor	esi, 0x10		; PSE
	mov	dword [0x1010], 0x2005
	mov	eax, [0x1010]
	mov	cr0, ecx		; #GP
	mov	cr4, esi		; #GP
	mov	eax, ebx
	out	SYNC, eax		; 5
	; Here the other side writes CR3 as it is.
	mov	edx, 0x320
	in	eax, dx
	mov	eax, ebx
	out	SYNC, eax		; 5
	mov	al, 0
	out	DONE, al
.hang:	hlt
	jmp	.hang
.gp:	inc	ebx
	add	esp, 4			; the error code
	add	dword [esp], 3		; MOV to CRn
	iret
	align	8
.gdt:	dq	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
.gdtr:	dw	.gdtr - .gdt - 1
	dd	P(.gdt)
.idtr:	dw	14 * 8 - 1
	dd	0x7000
	BLOB_END

; Into compatibility mode and back, EFER.LME set before CR4.PAE and left set
; behind it: legal, if not the order of the manuals.
	BLOB	lme32, 32
	mov	ecx, 0xc0000080
	rdmsr
	or	eax, 0x100
	wrmsr
	mov	eax, 1
	out	SYNC, eax
	xor	eax, eax
	cpuid
	mov	eax, cr4
	or	eax, 0x20
	mov	cr4, eax
	mov	eax, 0x1000
	mov	cr3, eax
	mov	eax, cr0
	or	eax, 0x80000000
	mov	cr0, eax
	jmp	.on
.on:	mov	ecx, 0xc0000080
	rdmsr
	out	SYNC, eax		; LME and LMA
	mov	eax, cr0
	and	eax, 0x7fffffff
	mov	cr0, eax
	mov	eax, cr4
	and	eax, ~0x20
	mov	cr4, eax
	mov	ecx, 0xc0000080
	rdmsr
	out	SYNC, eax		; LME
	mov	al, 0
	out	DONE, al
.hang:	hlt
	jmp	.hang
	BLOB_END

; A hardware task switch by a far jump to a TSS.
	BLOB	task32, 32
	lgdt	[P(.gdtr)]
	mov	eax, P(.tss1)
	mov	[P(.d1) + 2], ax
	shr	eax, 16
	mov	[P(.d1) + 4], al
	mov	eax, P(.tss2)
	mov	[P(.d2) + 2], ax
	shr	eax, 16
	mov	[P(.d2) + 4], al
	mov	eax, 0x10
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	eax, 0x18
	ltr	ax
	jmp	0x20:0
.task:	mov	eax, ebx
	out	SYNC, eax		; 0x7a5c
	str	ax
	movzx	eax, ax
	out	SYNC, eax		; 0x20
	mov	al, 0
	out	DONE, al
.hang:	hlt
	jmp	.hang
	align	8
.gdt:	dq	0
	dq	0x00cf9b000000ffff
	dq	0x00cf93000000ffff
.d1:	dq	0x0000890000000067
.d2:	dq	0x0000890000000067
.gdtr:	dw	39
	dd	P(.gdt)
	align	4
.tss1:	times 26 dd 0
.tss2:	dd	0, 0, 0, 0, 0, 0, 0	; link, stacks
	dd	0			; CR3
	dd	P(.task)		; EIP
	dd	2			; EFLAGS
	dd	0, 0, 0, 0x7a5c		; EAX ECX EDX EBX
	dd	0x9f00, 0, 0, 0		; ESP EBP ESI EDI
	dd	0x10, 8, 0x10, 0x10, 0, 0
	dd	0, 104 << 16
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

; 32-bit code at CPL 3 with alignment checks.  A #UD whose gate leads to CPL 3
; meets #AC when its frame is pushed on an odd stack; then so does #AC itself,
; for ever.  SYNC 0: this CPU has no such checks; 1: it has; 2: the #AC came in
; the #UD's place.
	BLOB	ac32, 32
	mov	word [P(.gdt_tss) + 2], P(.tss)
	lgdt	[P(.gdtr)]
	jmp	8:P(.start)
.start:	mov	ax, 0x10
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	ax, 0x28
	ltr	ax
	lidt	[P(.idtr)]
	mov	eax, cr0
	or	eax, 1 << 18		; AM
	mov	cr0, eax
	push	0x23
	push	P(.stack3) + 1
	push	1 << 18 | 3 << 12 | 2	; AC, IOPL 3
	push	0x1b
	push	P(.user)
	iretd
.user:	mov	ax, 0x23
	mov	ds, ax
	mov	es, ax
	mov	ebx, P(.checked)
	mov	eax, [P(.data) + 1]
	mov	eax, 0
	out	SYNC, eax
	jmp	.end
.checked:
	mov	eax, 1
	out	SYNC, eax
	mov	ebx, P(.in_place)
.bad:	ud2
.in_place:
	mov	eax, 2
	cmp	ecx, P(.bad)		; where the #AC says it came
	je	.told
	mov	eax, ecx
.told:	out	SYNC, eax
	mov	word [P(.idt) + 17 * 8], P(.user)
	mov	word [P(.idt) + 17 * 8 + 2], 0x1b
	mov	eax, [P(.data) + 1]
.end:	mov	al, 0
	out	DONE, al
.hang:	jmp	.hang
; #AC: on at EBX, with where it came in ECX.
.ac:	add	esp, 4
	mov	ecx, [esp]
	mov	[esp], ebx
	iretd
	align	8
.gdt:	dq	0
	dq	0x00cf9b000000ffff
	dq	0x00cf93000000ffff
	dq	0x00cffb000000ffff
	dq	0x00cff3000000ffff
.gdt_tss:
	dq	0x0000890000000067
.gdtr:	dw	6 * 8 - 1
	dd	P(.gdt)
	align	8
.idt:	times 6 dq 0
	dw	P(.user), 0x1b, 0xee00, 0	; #UD, at CPL 3
	times 10 dq 0
	dw	P(.ac), 8, 0x8e00, 0
.idtr:	dw	18 * 8 - 1
	dd	P(.idt)
	align	8
.data:	dd	0, 0
.tss:	dd	0, BASE - 16, 0x10
	times 23 dd 0
	align	16
	times 64 dd 0
.stack3:
	BLOB_END
