; SPDX-License-Identifier: BSD-2-Clause
;
; vmx_entry.asm -- enter a guest and come back, nothing else.
;
; The VMCS switches RSP, RIP, RFLAGS, segments and control registers; the other
; general registers move here.
;
; An ask for this core that comes between the caller's look at `request` and
; the entry must not wait for the guest's next exit.  Its NMI can hit at three
; places: before the look at `request` below, which then sees the ask; in guest
; mode, where it exits; and between the two, where the NMI handler finds RIP in
; the entry window and makes it go to entry_abandon.

%include "arch/x86/guard.inc"

section .text
bits 64

CPU_REQUEST	equ 64		; offsetof(struct cpu, request)
HOST_RSP	equ 0x6c14	; VMCS field

EXITED		equ 0		; enum vmx_came_back
FAILED		equ 1
ABANDONED	equ 2

; u32 vmx_run(u64 *gpr /* rdi */, bool launched /* esi */)
global vmx_run
align 16
vmx_run:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	push rdi			; [rsp] gpr
	mov eax, HOST_RSP
	vmwrite rax, rsp
	GUARD_ENTRY
	; From here to the entry the stack stays as it is.
global entry_window
entry_window:
	cmp dword [gs:CPU_REQUEST], 0
	jne entry_abandon
	test sil, sil			; no MOV below changes ZF
	mov rax, [rdi + 0 * 8]
	mov rcx, [rdi + 1 * 8]
	mov rdx, [rdi + 2 * 8]
	mov rbx, [rdi + 3 * 8]
	mov rbp, [rdi + 5 * 8]
	mov rsi, [rdi + 6 * 8]
	mov r8, [rdi + 8 * 8]
	mov r9, [rdi + 9 * 8]
	mov r10, [rdi + 10 * 8]
	mov r11, [rdi + 11 * 8]
	mov r12, [rdi + 12 * 8]
	mov r13, [rdi + 13 * 8]
	mov r14, [rdi + 14 * 8]
	mov r15, [rdi + 15 * 8]
	mov rdi, [rdi + 7 * 8]
	; IF stays clear: with external-interrupt exiting it has no say in guest
	; mode, and an entry that the CPU refuses goes on below with IDTR's limit at
	; FFFFh (SDM, "Loading Host Segment and Descriptor-Table Registers"), where
	; no interrupt may come.
	jz .launch
	vmresume
	jmp entry_failed
.launch:
	vmlaunch
global entry_window_end
entry_window_end:

entry_failed:
	mov eax, FAILED
	jmp entry_return

; The guest was not entered: gpr holds its registers still.
global entry_abandon
entry_abandon:
	mov eax, ABANDONED

; EAX: how.
entry_return:
	mov r9d, eax
	GUARD_EXIT
	mov eax, r9d
	add rsp, 8
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

; HOST_RIP: registers are the guest's, RSP is as at the entry.
global vmx_exited
align 16
vmx_exited:
	xchg rdi, [rsp]			; gpr; and the guest's RDI
	mov [rdi + 0 * 8], rax
	mov [rdi + 1 * 8], rcx
	mov [rdi + 2 * 8], rdx
	mov [rdi + 3 * 8], rbx
	mov [rdi + 5 * 8], rbp
	mov [rdi + 6 * 8], rsi
	mov [rdi + 8 * 8], r8
	mov [rdi + 9 * 8], r9
	mov [rdi + 10 * 8], r10
	mov [rdi + 11 * 8], r11
	mov [rdi + 12 * 8], r12
	mov [rdi + 13 * 8], r13
	mov [rdi + 14 * 8], r14
	mov [rdi + 15 * 8], r15
	mov rax, [rsp]
	mov [rdi + 7 * 8], rax
	CLEAR_REGISTERS
	xor eax, eax			; EXITED
	jmp entry_return

; void vmx_take_nmi(void): an exit by an NMI has blocked further ones until the
; IRET of the trap stub, which counts this one.
global vmx_take_nmi
vmx_take_nmi:
	int 2
	ret
