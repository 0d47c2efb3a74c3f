; SPDX-License-Identifier: BSD-2-Clause
;
; entry.asm -- trap stubs.  The hypervisor runs with interrupts off, so a trap
; is an NMI, a fault with a fixup (MSRs), or a bug.
;
; At trap_common the stack holds: vector, error code, RIP, CS, RFLAGS, RSP, SS.

section .text
extern trap_handle
bits 64

%macro STUB 1
	align 16
%if %1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17 || %1 == 21 || %1 == 29 || %1 == 30
	db 0x90, 0x90		; the CPU pushed an error code
%else
	push 0
%endif
	push %1
	jmp trap_common
%endmacro

align 16
global trap_stubs
trap_stubs:			; 16 bytes each
%assign i 0
%rep 32
	STUB i
%assign i i+1
%endrep

trap_common:
	push rax
	push rcx
	push rdx
	push rbx
	push rbp
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	push r12
	push r13
	push r14
	push r15
	mov rdi, rsp
	cld
	call trap_handle
	pop r15
	pop r14
	pop r13
	pop r12
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rbp
	pop rbx
	pop rdx
	pop rcx
	pop rax
	add rsp, 16
	iretq
