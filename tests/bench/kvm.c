/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm.c -- the least user space that runs the measuring guest under KVM.
 *
 * For the peer's column of the table: loads the PVH ELF, gives it a serial
 * port that is always ready, and ends with its write to the exit port.
 */
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#define MEMORY		(64ul << 20)
#define ROUNDS		5
#define COM1		0x3f8
#define COM1_LSR	(COM1 + 5)
#define LSR_READY	0x60
#define EXIT_PORT	0xf4
#define START_INFO	0x7000ul	/* all zero but for the magic */
#define PVH_MAGIC	0x336ec578u
#define PVH_ENTRY_NOTE	18
#define CPUIDS		256

struct machine {
	int kvm, vm, vcpu;
	uint8_t *mem;
	struct kvm_run *run;
	size_t run_size;
};

__attribute__((noreturn, format(printf, 1, 2)))
static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("bench-kvm: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

static int call(int fd, unsigned long request, void *arg, const char *what)
{
	int ret = ioctl(fd, request, arg);

	if (ret < 0)
		die("%s: %m", what);
	return ret;
}

static struct machine machine_new(int kvm)
{
	struct kvm_userspace_memory_region r = { .memory_size = MEMORY };
	struct machine m = { .kvm = kvm };

	m.vm = call(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
	call(m.vm, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	m.mem = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m.mem == MAP_FAILED)
		die("memory: %m");
	r.userspace_addr = (uintptr_t)m.mem;
	call(m.vm, KVM_SET_USER_MEMORY_REGION, &r, "memory region");
	m.vcpu = call(m.vm, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
	m.run_size = (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL,
				  "KVM_GET_VCPU_MMAP_SIZE");
	m.run = mmap(NULL, m.run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		     m.vcpu, 0);
	if (m.run == MAP_FAILED)
		die("run page: %m");
	return m;
}

static void machine_free(struct machine *m)
{
	munmap(m->run, m->run_size);
	close(m->vcpu);
	close(m->vm);
	munmap(m->mem, MEMORY);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* A VM whose memory is all there, as Joist's is, and its end. */
static void measure_life(int kvm)
{
	uint64_t t[ROUNDS], start;
	struct machine m;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		start = __rdtsc();
		m = machine_new(kvm);
		if (madvise(m.mem, MEMORY, MADV_POPULATE_WRITE))
			die("populate: %m");
		machine_free(&m);
		t[i] = __rdtsc() - start;
	}
	qsort(t, ROUNDS, sizeof(t[0]), compare);
	printf("bench: vm %llu %llu %llu\n",
	       (unsigned long long)t[ROUNDS / 2], (unsigned long long)t[0],
	       (unsigned long long)t[ROUNDS - 1]);
}

static const uint8_t *file_map(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY);
	off_t end;
	void *p;

	if (fd < 0 || (end = lseek(fd, 0, SEEK_END)) <= 0)
		die("%s: cannot be read", path);
	p = mmap(NULL, (size_t)end, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		die("%s: %m", path);
	close(fd);
	*size = (size_t)end;
	return p;
}

/* The entry that the PVH note in this segment names, or 0. */
static uint32_t pvh_entry(const uint8_t *p, size_t size)
{
	Elf64_Nhdr n;
	size_t name, desc;

	while (size >= sizeof(n)) {
		memcpy(&n, p, sizeof(n));
		name = (n.n_namesz + 3ul) & ~3ul;
		desc = (n.n_descsz + 3ul) & ~3ul;
		if (name > size - sizeof(n) || desc > size - sizeof(n) - name)
			break;
		if (n.n_type == PVH_ENTRY_NOTE && n.n_descsz >= 4) {
			uint32_t entry;

			memcpy(&entry, p + sizeof(n) + name, sizeof(entry));
			return entry;
		}
		p += sizeof(n) + name + desc;
		size -= sizeof(n) + name + desc;
	}
	return 0;
}

static uint32_t load(struct machine *m, const char *path)
{
	size_t size;
	const uint8_t *file = file_map(path, &size);
	const Elf64_Ehdr *e = (const void *)file;
	const Elf64_Phdr *ph;
	uint32_t entry = 0;
	unsigned i;

	if (size < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) ||
	    e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_phoff > size ||
	    e->e_phnum * sizeof(*ph) > size - e->e_phoff)
		die("%s: not a 64-bit ELF", path);
	ph = (const void *)(file + e->e_phoff);
	for (i = 0; i < e->e_phnum; i++, ph++) {
		if (ph->p_offset > size || ph->p_filesz > size - ph->p_offset)
			die("%s: segment %u is cut off", path, i);
		if (ph->p_type == PT_NOTE && !entry)
			entry = pvh_entry(file + ph->p_offset, ph->p_filesz);
		if (ph->p_type != PT_LOAD)
			continue;
		if (ph->p_paddr > MEMORY || ph->p_filesz > ph->p_memsz ||
		    ph->p_memsz > MEMORY - ph->p_paddr)
			die("%s: segment %u lies outside memory", path, i);
		memcpy(m->mem + ph->p_paddr, file + ph->p_offset, ph->p_filesz);
	}
	if (!entry)
		die("%s: no PVH entry", path);
	return entry;
}

static void set_cpuid(struct machine *m)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) +
				      CPUIDS * sizeof(c->entries[0]));

	if (!c)
		die("out of memory");
	c->nent = CPUIDS;
	call(m->kvm, KVM_GET_SUPPORTED_CPUID, c, "KVM_GET_SUPPORTED_CPUID");
	call(m->vcpu, KVM_SET_CPUID2, c, "KVM_SET_CPUID2");
	free(c);
}

/* PVH: 32-bit flat segments, paging off, EBX at the start info. */
static void set_start(struct machine *m, uint32_t entry)
{
	struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .db = 1,
		.s = 1, .g = 1,
	}, code = data;
	struct kvm_regs r = { .rip = entry, .rflags = 2, .rbx = START_INFO };
	struct kvm_sregs s;
	uint32_t magic = PVH_MAGIC;

	memcpy(m->mem + START_INFO, &magic, sizeof(magic));
	code.selector = 8;
	code.type = 11;
	call(m->vcpu, KVM_GET_SREGS, &s, "KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x11;
	call(m->vcpu, KVM_SET_SREGS, &s, "KVM_SET_SREGS");
	call(m->vcpu, KVM_SET_REGS, &r, "KVM_SET_REGS");
}

/* One port access; false: the guest has ended. */
static int port(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	if (run->io.direction == KVM_EXIT_IO_IN) {
		memset(data, 0xff, (size_t)run->io.size * run->io.count);
		if (run->io.port == COM1_LSR)
			*data = LSR_READY;
		return 1;
	}
	if (run->io.port == COM1)
		putchar(*data);
	return run->io.port != EXIT_PORT;
}

int main(int argc, char **argv)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct machine m;

	if (argc != 2)
		die("wants the guest's file");
	if (kvm < 0)
		die("/dev/kvm: %m");
	measure_life(kvm);
	m = machine_new(kvm);
	set_cpuid(&m);
	set_start(&m, load(&m, argv[1]));
	for (;;) {
		call(m.vcpu, KVM_RUN, NULL, "KVM_RUN");
		switch (m.run->exit_reason) {
		case KVM_EXIT_IO:
			if (!port(m.run)) {
				fflush(stdout);
				return 0;
			}
			break;
		case KVM_EXIT_MMIO:
			break;
		default:
			die("the guest ended: exit %u", m.run->exit_reason);
		}
	}
}
