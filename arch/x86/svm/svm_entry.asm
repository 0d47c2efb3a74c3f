; SPDX-License-Identifier: BSD-2-Clause
;
; svm_entry.asm -- enter a guest and come back: VMLOAD, VMRUN, VMSAVE.
;
; GIF is 0 in the hypervisor throughout.  VMRUN switches RAX, RSP, RIP, RFLAGS
; and what the save area names first; VMLOAD and VMSAVE move FS, GS, TR, LDTR
; and the SYSCALL and SYSENTER MSRs; the other registers move here.

%include "arch/x86/guard.inc"

section .text
bits 64

; void svm_vmrun(u64 guest_vmcb /* rdi */, u64 *gpr /* rsi */,
;		 u64 host_vmcb /* rdx */, u64 shadow /* rcx */)
global svm_vmrun
; Where #VMEXIT goes on: for the trap handler (cpu.c).
global exit_point, exit_point_shadow
exit_point equ svm_vmrun.exit
exit_point_shadow equ svm_vmrun.exit_shadow
align 16
svm_vmrun:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	push rdx			; [rsp+16] host VMCB
	push rsi			; [rsp+8]  gpr
	push rdi			; [rsp]    guest VMCB
	mov r8d, ecx
	GUARD_ENTRY
	mov rax, rdi
	test r8d, r8d			; the flags stay until the jump below
	mov rcx, [rsi + 1 * 8]
	mov rdx, [rsi + 2 * 8]
	mov rbx, [rsi + 3 * 8]
	mov rbp, [rsi + 5 * 8]
	mov rdi, [rsi + 7 * 8]
	mov r8, [rsi + 8 * 8]
	mov r9, [rsi + 9 * 8]
	mov r10, [rsi + 10 * 8]
	mov r11, [rsi + 11 * 8]
	mov r12, [rsi + 12 * 8]
	mov r13, [rsi + 13 * 8]
	mov r14, [rsi + 14 * 8]
	mov r15, [rsi + 15 * 8]
	mov rsi, [rsi + 6 * 8]
	; With V_INTR_MASKING it is the host's IF that lets a physical interrupt
	; end guest mode (APM, "Virtual Interrupts").  GIF is 0: none comes before
	; VMRUN or after the exit.  QEMU ignores the VMCB's interrupt shadow and
	; takes over the one of an STI before VMRUN: give it what should be there.
	jnz .shadow
	sti
	vmload
	vmrun
.exit:					; #VMEXIT goes on here
	cli
	vmsave				; RAX is what it was before VMRUN
	mov rax, [rsp + 8]
	mov [rax + 1 * 8], rcx
	mov [rax + 2 * 8], rdx
	mov [rax + 3 * 8], rbx
	mov [rax + 5 * 8], rbp
	mov [rax + 6 * 8], rsi
	mov [rax + 7 * 8], rdi
	mov [rax + 8 * 8], r8
	mov [rax + 9 * 8], r9
	mov [rax + 10 * 8], r10
	mov [rax + 11 * 8], r11
	mov [rax + 12 * 8], r12
	mov [rax + 13 * 8], r13
	mov [rax + 14 * 8], r14
	mov [rax + 15 * 8], r15
	mov rax, [rsp + 16]
	vmload
	CLEAR_REGISTERS
	GUARD_EXIT
	add rsp, 24
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret
.shadow:
	vmload
	sti
	vmrun
.exit_shadow:
	jmp .exit

; void svm_take_nmi(void): let a pending NMI in.
global svm_take_nmi
align 16
svm_take_nmi:
	stgi
	nop
	clgi
	ret

; void svm_vmsave(u64 vmcb), svm_clgi(void), svm_stgi(void)
global svm_vmsave, svm_clgi, svm_stgi
svm_vmsave:
	mov rax, rdi
	vmsave
	ret
svm_clgi:
	clgi
	ret
svm_stgi:
	stgi
	ret
