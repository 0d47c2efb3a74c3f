; SPDX-License-Identifier: BSD-2-Clause
;
; A driver that does anything: writes to configuration space, registers,
; doorbells, MSI-X tables and rings at random, onto devices in slots 2 to 9.
; Meanwhile a second processor changes what lies in rings and descriptors.
; Then it behaves, and reads the first sector of the disk in slot 2.  Ends
; with status 3 if that sector begins with "JOIST", with 5 if not.
;
; What devices are told to write goes to between 2 and 6 MiB, or to no memory
; at all: this program is not to be hit.
%include "elf.inc"

ROUNDS		equ 6000
SLOT		equ 2
BARS		equ 0xd0000000	; that slot's; 32 KiB a slot
QUEUES		equ 0x200000	; 64 KiB a slot, 4 KiB a queue
AVAIL		equ 0x400
USED		equ 0x800
BUFFERS		equ 0x280000

BARS_STEP	equ 15		; log2 of what a slot's take
IOAPIC		equ 0xfec00000
ICR		equ 0xfee00300	; of the local APIC
SVR		equ 0xfee000f0
TRAMPOLINE	equ 0x8000

COMMON_FEATURES	equ 12
COMMON_STATUS	equ 20
NOTIFY		equ 0x3000
MSIX		equ 0x4000

	cld
	mov esi, ap16
	mov edi, TRAMPOLINE
	mov ecx, ap16_end - ap16
	rep movsb
	mov dword [SVR], 0x1ff
	mov dword [ICR + 0x10], 1 << 24
	mov dword [ICR], 0x4500			; INIT, then start-up
.start:
	mov dword [ICR], 0x4600 | TRAMPOLINE >> 12
	mov ecx, 100000
.alive:
	pause
	cmp byte [vandal], RUNS
	loopne .alive
	jne .start
	call say
	db "virtio", 10, 0
	mov edi, ROUNDS
round:
	call random
	mov ebx, eax
	and ebx, 7		; slot - SLOT
	mov ebp, ebx
	shl ebp, BARS_STEP
	add ebp, BARS		; its registers, unless they were moved
	shr eax, 3
	and eax, 15
	call [jumps + eax * 4]
	dec edi
	jnz round

	mov byte [vandal], STOP
.stopped:
	pause
	cmp byte [vandal], STOPPED
	jne .stopped
	call say
	db "a good one", 10, 0
	xor ebx, ebx		; the first slot's windows win
	mov ebp, BARS
	mov dword [patience], -1
	call behave
	call say
	db "is ready", 10, 0
	mov edx, QUEUES
	mov dword [BUFFERS], 0	; a read of sector 0
	mov dword [BUFFERS + 4], 0
	mov dword [BUFFERS + 8], 0
	mov dword [BUFFERS + 12], 0
	mov byte [BUFFERS + 0x800], 0xff
	mov dword [edx], BUFFERS
	mov dword [edx + 4], 0
	mov dword [edx + 8], 16
	mov dword [edx + 12], 0x00010001
	mov dword [edx + 16], BUFFERS + 0x1000
	mov dword [edx + 20], 0
	mov dword [edx + 24], 512
	mov dword [edx + 28], 0x00020003
	mov dword [edx + 32], BUFFERS + 0x800
	mov dword [edx + 36], 0
	mov dword [edx + 40], 1
	mov dword [edx + 44], 2
	mov word [edx + AVAIL + 4], 0
	mov word [edx + AVAIL + 2], 1
	mov word [ebp + NOTIFY], 0
.wait:
	cmp byte [BUFFERS + 0x800], 0xff
	je .wait
	mov al, 2
	cmp byte [BUFFERS + 0x800], 0
	jne .end
	cmp dword [BUFFERS + 0x1000], "JOIS"
	jne .end
	mov al, 1
.end:
	mov dx, DEBUG_EXIT
	out dx, al
	jmp $

; What the other processor does; [vandal] says which of these holds.
RUNS		equ 1
STOP		equ 2
STOPPED		equ 3

bits 16
ap16:
	cli
	o32 lgdt [cs:ap_gdtr - ap16]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword 8:ap32
ap_gdtr:
	dw 23
	dd gdt
ap16_end:
bits 32
ap32:
	mov eax, 16
	mov ds, eax
	mov ebx, 0x2545f491
	mov byte [vandal], RUNS
.next:
	next_random
	; Into the first KiB and a half of some queue, and nothing that would
	; have a device write where this program is.
	mov ecx, ebx
	and ecx, 0x775fc
	and ebx, ebx
	js .half
	mov eax, ebx
	and eax, 0xfffff
	or eax, QUEUES
	mov [QUEUES + ecx], eax
	jmp .end
.half:
	mov eax, ebx
	shr eax, 16
	and eax, 0x1f		; an index, flags, a length
	mov [QUEUES + 8 + ecx], ax
.end:
	pause
	cmp byte [vandal], STOP
	jne .next
	mov byte [vandal], STOPPED
	cli
	hlt
	jmp $ - 1

align 8
gdt:
	dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
vandal:
	dd 0

; xorshift; only EAX and EDX change.
random:
	mov eax, [seed]
	mov edx, eax
	shl edx, 13
	xor eax, edx
	mov edx, eax
	shr edx, 17
	xor eax, edx
	mov edx, eax
	shl edx, 5
	xor eax, edx
	mov [seed], eax
	ret

; An address, or a length, that does no harm here.
harmless:
	call random
	and eax, 0xfffff
	or eax, QUEUES
	ret

; Dword EAX to register CL of slot SLOT + EBX.
config:
	push eax
	mov eax, ebx
	add eax, SLOT
	shl eax, 11
	or eax, 0x80000000
	mov al, cl
	mov dx, 0xcf8
	out dx, eax
	pop eax
	mov dx, 0xcfc
	out dx, eax
	ret

any_config:
	call random
	mov ecx, eax
	and ecx, 0xfc
	call random
	jmp config

; A window onto another's, onto memory, or onto the I/O APIC.
any_bar:
	call random
	mov esi, eax
	mov cl, 0x10
	test esi, 8
	jz .which
	mov cl, 0x14
.which:
	call random
	and eax, 7
	shl eax, BARS_STEP
	add eax, BARS
	test esi, 0x30
	jnz config
	mov eax, IOAPIC
	test esi, 0x40
	jnz config
	mov eax, QUEUES
	jmp config

any_dword:
	call random
	mov ecx, eax
	and ecx, 0x3c
	call harmless
	mov [ebp + ecx], eax
	ret

any_word:
	call random
	mov ecx, eax
	and ecx, 0x3e
	call random
	and eax, 0x1f
	mov [ebp + ecx], ax
	ret

any_byte:
	call random
	mov ecx, eax
	and ecx, 0x3fff
	call random
	mov [ebp + ecx], al
	mov al, [ebp + ecx]
	ret

; Fixed interrupts only: an NMI would end this program.
any_message:
	call random
	mov ecx, eax
	and ecx, 0x3c
	call random
	and eax, 0xff
	mov [ebp + MSIX + ecx], eax
	mov eax, [ebp + MSIX + ecx]
	ret

; EAX: a queue's memory.
queue:
	call random
	and eax, 7
	shl eax, 12
	mov ecx, ebx
	shl ecx, 16
	lea eax, [eax + ecx + QUEUES]
	ret

any_memory:
	call queue
	mov esi, eax
	call random
	and eax, 0xffc
	add esi, eax
	call harmless
	mov [esi], eax
	ret

; A descriptor that looks like one, nearly always.
descriptor:
	call queue
	mov esi, eax
	call random
	and eax, 0xf0
	add esi, eax
	call random
	and eax, 0x7fff0
	or eax, BUFFERS
	mov [esi], eax
	call random
	xor ecx, ecx
	test al, 0x1f
	setz cl
	mov [esi + 4], ecx
	and eax, 0x61f0
	mov [esi + 8], eax
	call random
	and eax, 0x000f0003
	mov [esi + 12], eax
	call random
	test al, 0x1f
	jnz .end
	or word [esi + 12], 4	; indirect
.end:
	ret

; What a disk request begins with; to a balloon, pages of the buffers, behind
; those that are needed in the end.
header:
	call random
	and eax, 0x7fff0
	or eax, BUFFERS
	mov esi, eax
	call random
	mov ecx, eax
	and eax, 15
	mov [esi], eax
	and ecx, 0x10000
	mov [esi + 12], ecx
	call random
	and eax, 0x3f
	mov [esi + 8], eax
	add eax, (BUFFERS >> 12) + 4
	mov [esi + 4], eax
	ret

; One more entry, and the doorbell.
publish:
	call queue
	mov esi, eax
	call random
	and eax, 15
	movzx ecx, word [esi + AVAIL + 2]
	and ecx, 15
	mov [esi + AVAIL + 4 + ecx * 2], ax
	inc word [esi + AVAIL + 2]
	shr esi, 12
	and esi, 7
	mov [ebp + NOTIFY + esi * 4], si
	ret

; Set the device up as a driver does.
behave:
	mov eax, ebp
	mov cl, 0x10
	call config
	lea eax, [ebp + MSIX]
	mov cl, 0x14
	call config
	mov eax, 6
	mov cl, 4
	call config
	mov byte [ebp + COMMON_STATUS], 0
	mov ecx, [patience]	; what is under way ends first
.reset:
	cmp byte [ebp + COMMON_STATUS], 0
	je .is_reset
	loop .reset
	ret			; or another's window lies over this one
.is_reset:
	mov byte [ebp + COMMON_STATUS], 3
	mov dword [ebp + 0], 0
	mov dword [ebp + 8], 0
	call random
	and eax, [ebp + 4]
	mov [ebp + COMMON_FEATURES], eax
	mov dword [ebp + 8], 1
	mov dword [ebp + COMMON_FEATURES], 1
	mov byte [ebp + COMMON_STATUS], 11
	mov eax, ebx
	shl eax, 16
	add eax, QUEUES
	xor ecx, ecx
.queue:
	mov dword [eax + AVAIL], 0
	mov dword [eax + USED], 0
	mov [ebp + 22], cx
	mov word [ebp + 24], 16
	mov word [ebp + 26], cx
	mov [ebp + 32], eax
	mov dword [ebp + 36], 0
	lea edx, [eax + AVAIL]
	mov [ebp + 40], edx
	mov dword [ebp + 44], 0
	lea edx, [eax + USED]
	mov [ebp + 48], edx
	mov dword [ebp + 52], 0
	mov word [ebp + 28], 1
	add eax, 0x1000
	inc ecx
	cmp ecx, 5		; of a card with two pairs; others have fewer
	jb .queue
	mov byte [ebp + COMMON_STATUS], 15
	ret

align 4
seed:
	dd 0x12345678
patience:
	dd 100
jumps:
	dd any_config, any_dword, any_word, any_byte, any_message, any_memory
	dd descriptor, descriptor, descriptor, header, any_bar
	dd publish, publish, publish, publish, behave
image_end:
