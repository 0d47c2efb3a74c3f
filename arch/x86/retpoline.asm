; SPDX-License-Identifier: BSD-2-Clause
;
; retpoline.asm -- where the compiler sends its indirect calls and jumps.
;
; A guest can teach the branch predictors where an indirect branch of the
; hypervisor goes.  A RET is predicted from the return stack, which the CALL
; before it has just filled: speculation ends in the loop, while the real target
; is written over the return address.  Intel, "Retpoline: A Branch Target
; Injection Mitigation"; AMD, "Software Techniques for Managing Speculation on
; AMD Processors".

section .text
bits 64

%macro THUNK 1
	align 32
global __x86_indirect_thunk_%1
__x86_indirect_thunk_%1:
	call %%over
%%trap:
	pause
	lfence
	jmp %%trap
%%over:
	mov [rsp], %1
	ret
%endmacro

	THUNK rax
	THUNK rbx
	THUNK rcx
	THUNK rdx
	THUNK rsi
	THUNK rdi
	THUNK rbp
	THUNK r8
	THUNK r9
	THUNK r10
	THUNK r11
	THUNK r12
	THUNK r13
	THUNK r14
	THUNK r15

; Clang's name; it uses this one only.
global __llvm_retpoline_r11
__llvm_retpoline_r11 equ __x86_indirect_thunk_r11
