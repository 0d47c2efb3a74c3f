; SPDX-License-Identifier: BSD-2-Clause
;
; start.asm -- from GRUB's 32-bit hand-over to C in long mode.
;
; Entered by the Multiboot2 specification's "I386 machine state": 32-bit
; protected mode, paging off, flat segments, EAX = magic, EBX = information.
; GRUB may have put the image at any 2 MiB boundary; until paging is on, all
; addresses are relative to where we run (EBP).

VIRT		equ 0xffffffff80000000
PTE_P_RW	equ 3
PTE_LARGE	equ 0x83
IMAGE_2M_PAGES	equ 8			; the image may take 16 MiB

%include "boot/modes.inc"

extern early_pml4_off, early_stack_off, gdt_ptr_off, gdt_off, long_mode_off
extern boot_main

section .boot.text progbits alloc exec nowrite align=16
bits 32
global _start
_start:
	cli
	cld
	mov edi, eax			; magic
	mov esi, ebx			; information
	; Find out where we are: the word below ESP is ours for a moment.
	lea esp, [ebx + 8]		; tag list header: total size, reserved
	mov edx, [esp - 4]
	call .here
.here:	pop ebp
	mov [esp - 4], edx
	and ebp, 0xffe00000		; the image starts at a 2 MiB boundary
	lea esp, [ebp + early_stack_off]

	; Long mode there?  Without it nothing below can run.
	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000001
	jb .halt
	mov eax, 0x80000001
	cpuid
	bt edx, 29
	jnc .halt
	ENABLE_NX

	; Tables: 4 GiB identity, and the image at VIRT.
	lea ebx, [ebp + early_pml4_off]
	lea eax, [ebx + 0x1000 + PTE_P_RW]	; low PDPT
	mov [ebx], eax
	lea eax, [ebx + 0x2000 + PTE_P_RW]	; high PDPT
	mov [ebx + 511 * 8], eax
	lea eax, [ebx + 0x3000 + PTE_P_RW]	; image PD
	mov [ebx + 0x2000 + 510 * 8], eax
	mov ecx, 4
	lea eax, [ebx + 0x4000 + PTE_P_RW]	; four identity PDs
	lea edx, [ebx + 0x1000]
.pdpt:	mov [edx], eax
	add eax, 0x1000
	add edx, 8
	loop .pdpt
	mov eax, PTE_LARGE
	lea edx, [ebx + 0x4000]
	mov ecx, 4 * 512
.pd:	mov [edx], eax
	add eax, 0x200000
	add edx, 8
	loop .pd
	lea eax, [ebp + PTE_LARGE]
	lea edx, [ebx + 0x3000]
	mov ecx, IMAGE_2M_PAGES
.image:	mov [edx], eax
	add eax, 0x200000
	add edx, 8
	loop .image

	; Exact values, whatever firmware has left: with LA57 set these tables
	; would be walked as five levels, and it cannot be cleared in long mode.
	mov cr3, ebx
	mov eax, CR4_PAE
	mov cr4, eax
	mov ecx, MSR_EFER
	mov eax, EFER_LME
	xor edx, edx
	wrmsr
	mov eax, CR0_LONG
	mov cr0, eax

	lea eax, [ebp + gdt_off]
	mov [ebp + gdt_ptr_off + 2], eax
	lgdt [ebp + gdt_ptr_off]
	push dword 8
	lea eax, [ebp + long_mode_off]
	push eax
	retf
.halt:	hlt
	jmp .halt

bits 64
global long_mode
long_mode:
	xor eax, eax
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	mov rax, .high
	mov rsp, early_stack_top
	push rax			; no bare indirect branch: retpoline.asm
	ret
.high:
	lgdt [rel early_gdt_high]
	mov edi, edi			; magic
	mov esi, esi			; information, physical
	mov edx, ebp			; image base, physical
	xor ebp, ebp
	call boot_main
	ud2

section .data
align 16
global early_gdt, early_gdt_ptr
early_gdt:
	dq 0
	dq 0x00af9b000000ffff		; 64-bit code
early_gdt_ptr:
	dw 15
	dd 0
align 16
early_gdt_high:
	dw 15
	dq early_gdt

section .bss
alignb 4096
global early_pml4, early_stack_top
early_pml4:
	resb 8 * 4096
early_stack:
	resb 32768
early_stack_top:
