; SPDX-License-Identifier: BSD-2-Clause
; Instructions on a device that only joist-vm's emulator knows: the I/O APIC's
; index register keeps eight bits.  Says hello and ends with status 43, or with
; the number of the one that went wrong.
%include "elf.inc"
INDEX	equ 0xfec00000

%macro step 1				; number of the check that follows
	mov ebp, %1
%endmacro
%macro want 2				; 32-bit register or memory, value
	cmp %1, %2
	jne bad
%endmacro

	mov eax, cr4
	or eax, 0x600			; OSFXSR, OSXMMEXCPT
	mov cr4, eax
	step 1
	mov dword [INDEX], 5
	mov eax, 3
	xadd [INDEX], eax
	want eax, 5
	want dword [INDEX], 8
	step 2
	mov eax, 8
	mov ecx, 0x12
	cmpxchg [INDEX], ecx
	jne bad
	want dword [INDEX], 0x12
	step 3
	mov eax, 0x33
	cmpxchg [INDEX], ecx
	je bad
	want eax, 0x12
	step 4
	movd xmm1, [INDEX]
	movd edx, xmm1
	want edx, 0x12
	paddd xmm1, xmm1
	movd [INDEX], xmm1
	want dword [INDEX], 0x24
	step 5
	movups xmm2, [INDEX]
	movd edx, xmm2
	want edx, 0x24
	step 6
	shl dword [INDEX], 1
	want dword [INDEX], 0x48
	bsf ecx, [INDEX]
	want ecx, 3
	imul ecx, [INDEX], 3
	want ecx, 0xd8
	step 7
	push dword [INDEX]
	pop eax
	want eax, 0x48
	push dword 0x21
	pop dword [INDEX]
	want dword [INDEX], 0x21
	step 8
	mov edi, INDEX
	mov eax, 0x21
	scasd
	jne bad
	want edi, INDEX + 4
	step 9
	xor eax, eax
	cmovz eax, [INDEX]
	want eax, 0x21
	setz [INDEX]
	want dword [INDEX], 1
	step 10
	mov [INDEX], ds
	mov ax, ds
	movzx eax, al
	want [INDEX], eax
	step 11
	; A stack there: the index register lies at its top.
	mov esi, esp
	mov esp, INDEX + 4
	push dword 0x77
	want esp, INDEX
	pop eax
	mov esp, esi
	want eax, 0x77
	step 12
	movq mm0, [INDEX]
	movd eax, mm0
	emms
	want eax, 0x77

	call say
	db "hello", 10, 0
	mov ebp, 21
	jmp bad.end
bad:	call say
	db "bad", 10, 0
.end:	mov eax, ebp
	mov dx, DEBUG_EXIT
	out dx, al
	jmp $
image_end:
