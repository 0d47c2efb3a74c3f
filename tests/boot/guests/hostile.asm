; SPDX-License-Identifier: BSD-2-Clause
;
; Does what no kernel does: privileged instructions with bad operands, every
; MSR of the usual ranges, every MiB of memory that is not there, every port.
; Faults go on where EBP points.  Ends with status 3, if none of the ports
; ended it before.
%include "elf.inc"

ERROR_CODES	equ 0x60227d00	; exceptions that push one: 8, 10 to 14, ...

	cld
	lgdt [gdtr]
	jmp 8:.flat
.flat:
	mov eax, 16
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov edi, idt
	xor ecx, ecx
.gate:
	mov eax, fault_plain
	mov edx, ERROR_CODES
	bt edx, ecx
	jnc .store
	mov eax, fault_error
.store:
	mov [edi], ax
	mov word [edi + 2], 8
	mov word [edi + 4], 0x8e00
	shr eax, 16
	mov [edi + 6], ax
	add edi, 8
	inc ecx
	cmp ecx, 32
	jb .gate
	lidt [idtr]

	call say
	db "instructions", 10, 0
%macro try 1+
	mov ebp, %%next
	%1
%%next:
%endmacro
	mov eax, -1
	mov ecx, -1
	mov edx, -1
	mov ebx, image_end + 0x9000
	; VMCALL, VMLAUNCH, MONITOR, MWAIT, XSETBV, VMRUN, STGI, INVLPGA, ...
%assign modrm 0xc0
%rep 0x20
	try db 0x0f, 0x01, modrm
%assign modrm modrm + 1
%endrep
	try vmxon [ebx]
	try vmclear [ebx]
	try rsm
	try invd
	try wbinvd
	try mov cr4, eax
	try mov cr3, eax
	try mov cr0, eax
	try mov dr7, eax
	try mov dr6, eax
	try ltr ax
	try lldt ax
	try int 0x80
	try ud2
	xor eax, eax
	try div eax
	try lgdt [ebx]
	lgdt [gdtr]

	call say
	db "msrs", 10, 0
	mov esi, ranges
.range:
	mov ecx, [esi]
.msr:
	mov edi, ecx
	mov ebp, .read
	rdmsr
.read:
	mov ecx, edi
	mov ebp, .written
	wrmsr
.written:
	mov ecx, edi
	mov eax, -1
	mov edx, -1
	mov ebp, .skip
	wrmsr
.skip:
	mov ecx, edi
	inc ecx
	cmp ecx, [esi + 4]
	jb .msr
	add esi, 8
	cmp esi, ranges_end
	jb .range

	call say
	db "memory", 10, 0
	mov ebx, 0x10000000
.memory:
	mov ebp, .r1
	mov eax, [ebx]
.r1:
	mov ebp, .r2
	mov [ebx], eax
.r2:
	mov ebp, .r3
	mov al, [ebx + 0x3]
.r3:
	mov ebp, .r4
	lock inc dword [ebx + 0x20]
.r4:
	add ebx, 0x100000
	jnc .memory

	call say
	db "ports", 10, 0
	xor edx, edx
.in:
	in al, dx
	in ax, dx
	in eax, dx
	inc dx
	jnz .in
	mov ebx, 0x12345678
.out:
	cmp dx, DEBUG_EXIT - 4
	jb .write
	cmp dx, DEBUG_EXIT
	jbe .no_write
.write:
	next_random
	mov eax, ebx
	out dx, al
	out dx, ax
	out dx, eax
.no_write:
	inc dx
	jnz .out

	mov al, 1
	mov dx, DEBUG_EXIT
	out dx, al
	jmp $


fault_error:
	add esp, 4
fault_plain:
	mov [esp], ebp
	iretd

align 8
gdt:
	dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:
	dw 23
	dd gdt
idtr:
	dw 32 * 8 - 1
	dd idt
ranges:
	dd 0, 0x2000, 0x40000000, 0x40000200, 0x4b564d00, 0x4b564d10
	dd 0xc0000000, 0xc0000200, 0xc0010000, 0xc0011100
ranges_end:
align 8
idt:
	times 32 dq 0
image_end:
