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
	lea rsp, [rel tentry]		; this page is read-only, and no stack
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
tentry:	dq 0
trampoline_end:

section .text
extern ap_slots, ap_slot_count, apic_regs, ap_main
MSR_APIC_BASE	equ 0x1b
APIC_BASE_X2	equ 10			; a bit's number
APIC_ID		equ 0x20
MSR_X2APIC_ID	equ 0x802
SLOT_SIZE	equ 24			; struct ap_slot in smp.c
SLOT_APIC_ID	equ 0
SLOT_STATE	equ 4
SLOT_CPU	equ 8
SLOT_STACK	equ 16
AP_WAITED	equ 0
AP_CLAIMED	equ 1

; Many cores may come at once, and one may come that nobody waits for any more:
; each looks up its own slot by its APIC id, and has no stack until it has claimed
; it.  Interrupts are off.
global ap_entry
bits 64
ap_entry:
	mov ecx, MSR_APIC_BASE
	rdmsr
	bt eax, APIC_BASE_X2
	jc .x2
	mov rax, [rel apic_regs]
	mov esi, [rax + APIC_ID]
	shr esi, 24
	jmp .find
.x2:	mov ecx, MSR_X2APIC_ID
	rdmsr
	mov esi, eax
.find:	mov rbx, [rel ap_slots]
	mov edx, [rel ap_slot_count]
.next:	sub edx, 1
	jc .halt
	cmp [rbx + SLOT_APIC_ID], esi
	je .claim
	add rbx, SLOT_SIZE
	jmp .next
.claim:	mov eax, AP_WAITED
	mov ecx, AP_CLAIMED
	lock cmpxchg [rbx + SLOT_STATE], ecx
	jne .halt
	mov rsp, [rbx + SLOT_STACK]
	mov rdi, [rbx + SLOT_CPU]
	xor ebp, ebp
	call ap_main
	ud2
.halt:	hlt
	jmp .halt
