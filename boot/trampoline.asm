; SPDX-License-Identifier: BSD-2-Clause
;
; trampoline.asm -- where the other cores wake up: real mode to C.
;
; smp.c copies this to a page below 1 MiB, fills in the words at the end and
; sends INIT-SIPI-SIPI.  CS = page >> 4, IP = 0.  The page is mapped at its
; own address in `cr3` while cores are being started.

%include "boot/modes.inc"

section .rodata
global trampoline, trampoline_end
align 16
bits 16
trampoline:
	cli
	cld
	mov ax, cs
	mov ds, ax
	movzx ebx, ax
	shl ebx, 4			; linear address of this page
	lea eax, [ebx + tgdt - trampoline]
	mov [tgdt_ptr - trampoline + 2], eax
	lea eax, [ebx + tlong - trampoline]
	mov [tfar - trampoline], eax

	ENABLE_NX			; EAX to EDX are lost
	mov eax, CR4_PAE
	mov cr4, eax
	mov eax, [tcr3 - trampoline]
	mov cr3, eax
	mov ecx, MSR_EFER
	mov eax, EFER_LME | EFER_NXE
	xor edx, edx
	wrmsr
	o32 lgdt [tgdt_ptr - trampoline]
	mov eax, CR0_LONG		; caches on, too
	mov cr0, eax
	jmp far dword [tfar - trampoline]

bits 64
tlong:
	xor eax, eax
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	mov rsp, [rel tstack]
	mov rdi, [rel targ]
	xor ebp, ebp
	push rbp			; it does not return
	push qword [rel tentry]
	ret

align 8
tgdt:	dq 0
	dq 0x00af9b000000ffff		; 64-bit code
tgdt_ptr:
	dw 15
	dd 0
align 4
tfar:	dd 0
	dw 8
align 8
; Filled in by smp.c: struct trampoline_args, at the end of the copy.
tcr3:	dq 0
tstack:	dq 0
targ:	dq 0
tentry:	dq 0
trampoline_end:
