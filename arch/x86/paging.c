/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * paging.c -- the hypervisor's own page tables.
 *
 * Built once at boot; the only later change is that data written during boot
 * becomes read-only.  No page is ever writable and executable.
 */
#include "arch/x86/insn.h"
#include "arch/x86/paging.h"
#include "arch/x86/regs.h"
#include "boot/mb2.h"
#include "boot/memory.h"
#include "core/log.h"
#include "core/string.h"

extern char __image_start[], __text_end[], __rodata_end[], __ro_after_init_end[], __image_end[];

static u64 image_base __ro_after_init;
static u64 *root __ro_after_init;
static bool have_1g __ro_after_init;
static u64 window_next __ro_after_init;
/* Before the final tables, RAM is reached at its physical address. */
static u64 direct_base __ro_after_init;

hpa_t image_hpa(const void *p)
{
	return HPA((u64)p - IMAGE_BASE + image_base);
}

void paging_early(u64 base)
{
	image_base = base;
	window_next = WINDOW_BASE;
	have_1g = cpuid(0x80000000, 0).eax >= 0x80000001 &&
		  (cpuid(0x80000001, 0).edx & BIT(26));
}

static u64 *table_ptr(u64 pa)
{
	return (u64 *)(direct_base + pa);
}

/* The table entry for va at a level (1 = 4 KiB); tables made on the way. */
static u64 *entry_for(u64 va, unsigned level)
{
	u64 *t = root;
	unsigned l;

	for (l = 4; l > level; l--) {
		u64 *e = &t[(va >> (12 + 9 * (l - 1))) & 511];

		if (!(*e & PTE_P))
			*e = early_alloc_table() | PTE_P | PTE_W;
		assert(!(*e & PTE_PS));
		t = table_ptr(*e & PTE_ADDR);
	}
	return &t[(va >> (12 + 9 * (level - 1))) & 511];
}

static void map_range(u64 va, u64 pa, u64 len, u64 prot)
{
	assert(IS_ALIGNED(va | pa | len, PAGE_SIZE));
	while (len) {
		unsigned level = 1;
		u64 size = PAGE_SIZE;

		if (IS_ALIGNED(va | pa, PAGE_SIZE_2M) && len >= PAGE_SIZE_2M) {
			level = 2;
			size = PAGE_SIZE_2M;
		}
		if (have_1g && IS_ALIGNED(va | pa, PAGE_SIZE_1G) && len >= PAGE_SIZE_1G) {
			level = 3;
			size = PAGE_SIZE_1G;
		}
		*entry_for(va, level) = pa | prot | (level > 1 ? PTE_PS : 0);
		va += size;
		pa += size;
		len -= size;
	}
}

static void map_image(const char *from, const char *to, u64 prot)
{
	u64 va = (u64)from;

	for (; va < (u64)to; va += PAGE_SIZE)
		*entry_for(va, 1) = image_hpa((void *)va).v | prot;
}

/* RAM at DIRECT_BASE, but for the image: its text must have no writable alias. */
static void map_direct(u64 base, u64 end)
{
	u64 image_end = ALIGN_UP(image_hpa(__image_end).v, PAGE_SIZE);

	base = ALIGN_UP(base, PAGE_SIZE);
	end = ALIGN_DOWN(end, PAGE_SIZE);
	if (base >= end)
		return;
	if (base < image_end && image_base < end) {
		if (base < image_base)
			map_range(DIRECT_BASE + base, base, image_base - base, MAP_RAM);
		base = image_end;
	}
	if (base < end)
		map_range(DIRECT_BASE + base, base, end - base, MAP_RAM);
}

void paging_init(const struct boot_info *bi)
{
	u64 pa = early_alloc_table();
	unsigned i;

	root = table_ptr(pa);
	for (i = 0; i < bi->mem.count; i++)
		if (bi->mem.range[i].type == MEM_RAM)
			map_direct(bi->mem.range[i].base,
				   bi->mem.range[i].base + bi->mem.range[i].len);
	map_image(__image_start, __text_end, PTE_P);
	map_image(__text_end, __rodata_end, PTE_P | PTE_NX);
	map_image(__rodata_end, __image_end, PTE_P | PTE_W | PTE_NX);

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr3(pa);
	direct_base = DIRECT_BASE;
	root = hpa_ptr(HPA(pa));
}

u64 paging_root(void)
{
	return ptr_hpa(root).v;
}

void paging_seal(void)
{
	u64 va;

	for (va = (u64)__rodata_end; va < (u64)__ro_after_init_end; va += PAGE_SIZE) {
		*entry_for(va, 1) &= ~PTE_W;
		invlpg((void *)va);
	}
}

void *map_window(u64 pa, u64 len, u64 prot)
{
	u64 start = ALIGN_DOWN(pa, PAGE_SIZE);
	u64 size = ALIGN_UP(pa - start + len, PAGE_SIZE);
	u64 va = window_next;

	/* An unmapped page after each window, and no large pages: short. */
	window_next += size + PAGE_SIZE;
	for (len = 0; len < size; len += PAGE_SIZE)
		*entry_for(va + len, 1) = (start + len) | prot;
	return (void *)(va + (pa - start));
}

void *map_stack(u64 size)
{
	u64 va = window_next + PAGE_SIZE, pa = early_alloc(size).v, off;

	window_next += size + 2 * PAGE_SIZE;
	for (off = 0; off < size; off += PAGE_SIZE)
		*entry_for(va + off, 1) = (pa + off) | MAP_RAM;
	return (void *)(va + size);
}

void map_trampoline(u64 pa)
{
	*entry_for(pa, 1) = pa | PTE_P;
}

void unmap_trampoline(u64 pa)
{
	*entry_for(pa, 1) = 0;
	invlpg((void *)pa);
}

void page_clear(void *p, u64 len)
{
	char save[16] __aligned(16);
	char *c = p, *end = c + len;

	/* XMM0 may hold a guest's or the control VM's value. */
	__asm__ volatile("movaps %%xmm0, %0\n\txorps %%xmm0, %%xmm0" : "=m"(save));
	for (; c < end; c += 256)
		__asm__ volatile(
			"movntps %%xmm0, 0(%0)\n\tmovntps %%xmm0, 16(%0)\n\t"
			"movntps %%xmm0, 32(%0)\n\tmovntps %%xmm0, 48(%0)\n\t"
			"movntps %%xmm0, 64(%0)\n\tmovntps %%xmm0, 80(%0)\n\t"
			"movntps %%xmm0, 96(%0)\n\tmovntps %%xmm0, 112(%0)\n\t"
			"movntps %%xmm0, 128(%0)\n\tmovntps %%xmm0, 144(%0)\n\t"
			"movntps %%xmm0, 160(%0)\n\tmovntps %%xmm0, 176(%0)\n\t"
			"movntps %%xmm0, 192(%0)\n\tmovntps %%xmm0, 208(%0)\n\t"
			"movntps %%xmm0, 224(%0)\n\tmovntps %%xmm0, 240(%0)"
			: : "r"(c) : "memory");
	__asm__ volatile("sfence\n\tmovaps %0, %%xmm0" : : "m"(save) : "memory");
}
