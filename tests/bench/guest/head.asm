; SPDX-License-Identifier: BSD-2-Clause
;
; head.asm -- PVH entry of the measuring guest, long mode, and the interrupt
; stubs that read the TSC first thing.

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
	mov	esp, stack_top
	; Identity map of the first 4 GiB with 2 MiB pages.
	mov	dword [pml4], pdpt + 3
	mov	edi, pdpt
	mov	eax, pd + 3
	mov	ecx, 4
.pdpt:	mov	[edi], eax
	add	eax, 4096
	add	edi, 8
	loop	.pdpt
	mov	edi, pd
	mov	eax, 0x83		; present, writable, large
	mov	ecx, 4 * 512
.pd:	mov	[edi], eax
	add	eax, 0x200000
	add	edi, 8
	loop	.pd

	mov	eax, cr4
	or	eax, 1 << 5		; PAE
	mov	cr4, eax
	mov	eax, pml4
	mov	cr3, eax
	mov	ecx, 0xc0000080		; EFER
	rdmsr
	or	eax, 1 << 8		; LME
	wrmsr
	mov	eax, cr0
	or	eax, 1 << 31		; PG
	mov	cr0, eax
	lgdt	[gdtr]
	jmp	8:.long

	bits	64
.long:	mov	eax, 16
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	eax, eax
	mov	fs, eax
	mov	gs, eax
	mov	esp, stack_top
	mov	edi, ebx		; struct hvm_start_info
	xor	ebp, ebp
	extern	guest_main
	call	guest_main
.stop:	cli
	hlt
	jmp	.stop

; The measured interrupt: when it arrived, then EOI (x2APIC MSR 0x80b).
	global	isr_measured
isr_measured:
	push	rax
	push	rdx
	rdtsc
	mov	[irq_tsc], eax
	mov	[irq_tsc + 4], edx
	push	rcx
	mov	ecx, 0x80b
	xor	eax, eax
	xor	edx, edx
	wrmsr
	pop	rcx
	pop	rdx
	pop	rax
	iretq

; Any exception is a mistake of ours; say which by its address and stop.
%assign vec 0
%rep 32
isr_%+vec:
%if vec = 8 || (vec >= 10 && vec <= 14) || vec = 17 || vec = 21 || vec = 29 || vec = 30
	pop	rsi			; the error code
%endif
	mov	edi, vec
	jmp	isr_broken
%assign vec vec + 1
%endrep
isr_broken:
	mov	rdx, [rsp]
	and	rsp, -16
	extern	broken
	call	broken

	section	.rodata
	align	8
	global	isr_table
isr_table:
%assign vec 0
%rep 32
	dq	isr_%+vec
%assign vec vec + 1
%endrep
gdt:	dq	0
	dq	0x00af9b000000ffff	; 8: 64-bit code
	dq	0x00cf93000000ffff	; 16: data
gdt_end:
gdtr:	dw	gdt_end - gdt - 1
	dq	gdt

	section	.bss align=4096
pml4:	resb	4096
pdpt:	resb	4096
pd:	resb	4 * 4096
	resb	16384
stack_top:
	global	irq_tsc
irq_tsc: resq	1
