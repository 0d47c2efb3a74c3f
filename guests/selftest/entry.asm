; SPDX-License-Identifier: BSD-2-Clause
;
; entry.asm -- PVH entry, long mode, and the way in for the other cores.
;
; PVH (the x86/HVM direct boot ABI) enters in 32-bit protected mode with
; paging off and EBX pointing at struct hvm_start_info.

%include "isr.inc"

STACK_SIZE	equ 32768

	section	.note.Xen note alloc noexec nowrite align=4
	dd	4			; name size
	dd	8			; descriptor size
	dd	18			; XEN_ELFNOTE_PHYS32_ENTRY
	db	"Xen", 0
	dq	pvh_entry

	section	.text
	bits	32
	global	pvh_entry
pvh_entry:
	cli
	cld
	mov	esp, boot_stack + STACK_SIZE
	; Identity map of the first 4 GiB with 2 MiB pages; C extends it.
	; All of it is open to CPL 3: some cases run code there.
	mov	edi, boot_pml4
	mov	eax, boot_pdpt + 7
	mov	[edi], eax
	mov	edi, boot_pdpt
	mov	eax, boot_pd + 7
	mov	ecx, 4
.pdpt:	mov	[edi], eax
	add	eax, 4096
	add	edi, 8
	loop	.pdpt
	mov	edi, boot_pd
	mov	eax, 0x87		; present, writable, user, large
	mov	ecx, 4 * 512
.pd:	mov	[edi], eax
	add	eax, 0x200000
	add	edi, 8
	loop	.pd

	mov	eax, cr4
	or	eax, 1 << 5		; PAE
	mov	cr4, eax
	mov	eax, boot_pml4
	mov	cr3, eax
	mov	ecx, 0xc0000080		; EFER
	rdmsr
	or	eax, 1 << 8		; LME
	wrmsr
	mov	eax, cr0
	or	eax, 1 << 31		; PG
	mov	cr0, eax
	lgdt	[boot_gdtr]
	jmp	8:.long

	bits	64
.long:	mov	eax, 16
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	eax, eax
	mov	fs, eax
	mov	gs, eax
	mov	esp, boot_stack + STACK_SIZE
	mov	edi, ebx
	xor	ebp, ebp
	extern	selftest_main
	call	selftest_main
.stop:	cli
	hlt
	jmp	.stop

; The other cores arrive here by the wakeup mailbox: 64-bit mode, identity
; map, interrupts off, no stack.  They come one at a time.
	global	ap_entry
ap_entry:
	cli
	cld
	mov	eax, boot_pml4
	mov	cr3, rax
	extern	ap_stack
	mov	rsp, [ap_stack]
	lgdt	[boot_gdtr]
	push	qword 8
	lea	rax, [rel .cs]
	push	rax
	db	0x48			; REX.W: 64-bit far return
	retf
.cs:	mov	eax, 16
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	ebp, ebp
	extern	ap_main
	call	ap_main
.stop:	cli
	hlt
	jmp	.stop

; int jump_set(struct jump *): 0 at first, then what jump_to() says.
	global	jump_set
jump_set:
	mov	[rdi], rbx
	mov	[rdi + 8], rbp
	mov	[rdi + 16], r12
	mov	[rdi + 24], r13
	mov	[rdi + 32], r14
	mov	[rdi + 40], r15
	lea	rax, [rsp + 8]
	mov	[rdi + 48], rax
	mov	rax, [rsp]
	mov	[rdi + 56], rax
	xor	eax, eax
	ret

; void jump_to(struct jump *, int val)
	global	jump_to
jump_to:
	mov	eax, esi
	mov	rbx, [rdi]
	mov	rbp, [rdi + 8]
	mov	r12, [rdi + 16]
	mov	r13, [rdi + 24]
	mov	r14, [rdi + 32]
	mov	r15, [rdi + 40]
	mov	rsp, [rdi + 48]
	jmp	[rdi + 56]

; u64 user_hypercall(u32 nr, u64 block, u32 vmmcall): the hypercall at CPL 3.
; Returns its RAX, or whatever the trap handler puts there (see trap()).  The
; code in between ends with INT 0x80, whose gate CPL 3 may use and whose
; handler goes on at user_back with the stack of user_rsp.
	global	user_hypercall
user_hypercall:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	eax, edi
	mov	rdi, rsi
	mov	[user_rsp], rsp
	lea	rcx, [rel user_code]
	lea	r8, [rel user_code_vmcall]
	test	edx, edx
	cmovz	rcx, r8
	push	qword 0x23		; SS, user data
	push	qword user_stack + 4096
	push	qword 2			; RFLAGS
	push	qword 0x2b		; CS, user code
	push	rcx
	iretq
user_code:
	vmmcall
	int	0x80
user_code_vmcall:
	vmcall
	int	0x80
	global	user_back
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

	section	.rodata
	align	8
boot_gdt:
	dq	0
	dq	0x00af9b000000ffff	; 8: 64-bit code
	dq	0x00cf93000000ffff	; 16: data
boot_gdt_end:
boot_gdtr:
	dw	boot_gdt_end - boot_gdt - 1
	dq	boot_gdt

; The image that runs in guests, and the payloads of the other CPU modes.
	align	16
	global	payload64, payload64_end
payload64:
	incbin	PAYLOAD64
payload64_end:

	section	.bss align=4096
	global	boot_pml4, boot_pdpt, boot_pd
boot_pml4:	resb	4096
boot_pdpt:	resb	4096
boot_pd:	resb	64 * 4096
	alignb	16
boot_stack:	resb	STACK_SIZE
user_stack:	resb	4096
user_rsp:	resq	1
