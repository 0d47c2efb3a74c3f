; SPDX-License-Identifier: BSD-2-Clause
;
; head.asm -- first bytes of the image that runs in guests, its trap stubs,
; and the real-mode code that brings a vCPU started by SIPI into it.

	section	.head alloc exec nowrite progbits
	bits	64
; RDI = which payload, RSI = vCPU, RSP = its stack; flat long mode.
	global	_start
_start:
	xor	ebp, ebp
	extern	payload_main
	call	payload_main
.stop:	hlt
	jmp	.stop

; A vCPU started by SIPI to vector GUEST_SIPI / 4096: real mode, CS base
; there, IP 0.  The payload copies this code there.
	bits	16
	global	sipi_code, sipi_code_end, sipi_next
SIPI	equ	0x9000
sipi_code:
	cli
	mov	ax, cs
	mov	ds, ax
	o32 lgdt [sipi_gdtr - sipi_code]
	mov	eax, cr4
	or	eax, 0x620		; PAE, OSFXSR, OSXMMEXCPT
	mov	cr4, eax
	mov	eax, 0x1000		; GUEST_PT
	mov	cr3, eax
	mov	ecx, 0xc0000080
	rdmsr
	or	eax, 1 << 8
	wrmsr
	mov	eax, cr0
	or	eax, 0x80010033
	and	eax, 0x9fffffff		; caches on
	mov	cr0, eax
	jmp	dword 8:SIPI + (sipi_long - sipi_code)
	bits	64
sipi_long:
	mov	eax, 16
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	ecx, 1
	mov	edx, SIPI + (sipi_next - sipi_code)
	lock xadd [rdx], ecx		; which vCPU am I
	mov	esi, ecx
	shl	ecx, 13
	mov	esp, 0x80000		; GUEST_STACK(v)
	sub	esp, ecx
	mov	edi, -1
	mov	eax, _start
	jmp	rax
	align	8
sipi_gdt:
	dq	0
	dq	0x00af9b000000ffff
	dq	0x00cf93000000ffff
sipi_gdtr:
	dw	23
	dd	SIPI + (sipi_gdt - sipi_code)
	align	4
sipi_next:
	dd	1
sipi_code_end:

%include "isr.inc"

; int user_run(void (*code)(void)): CODE at CPL 3 until it executes INT 0x80.
; Returns its EAX, or 0x100 | vector of the fault that ended it.
	section	.text
	global	user_run, user_back
user_run:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	[user_rsp], rsp
	push	qword 0x23
	push	qword user_stack + 4096
	push	qword 2
	push	qword 0x2b
	push	rdi
	iretq
user_back:
	mov	rsp, [user_rsp]
	mov	ecx, 16
	mov	ds, ecx
	mov	es, ecx
	mov	ss, ecx
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

	section	.bss align=16
user_stack:	resb	4096
user_rsp:	resq	1
