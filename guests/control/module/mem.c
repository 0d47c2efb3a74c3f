// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * mem.c -- run pages and memory segments in user space.
 *
 * A segment is mapped for the control VM while a VMA shows it, or an ioctl
 * has asked for it.  Pages are put into a VMA by faults, never by mmap: only
 * a VMA that is in its file's mapping is found when the VM is destroyed, and
 * during mmap it is not there yet.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/io.h>
#include <linux/printk.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ko.h"

/* JOIST_MMAP_SEG() in pages. */
#define SEG_PGOFF_SHIFT		(44 - PAGE_SHIFT)
/* A fault brings its neighbours: 64 KiB, as Linux does for files. */
#define FAULT_PAGES		16

static int seg_call(struct vm *vm, u32 nr, u32 s)
{
	struct joist_memseg *m = block_alloc(sizeof(*m));
	int ret;

	if (!m)
		return -ENOMEM;
	m->head.vm = vm->id;
	m->seg = s;
	ret = hypercall_again(nr, m);
	ko_free(m);
	return ret;
}

/*
 * All the memory that guests' pages are taken from, in the kernel's address space.
 * Nothing uses the addresses, and most of it cannot be accessed at most times;
 * but user mappings of memory that is not Linux's own are uncached unless
 * somebody holds it as write-back (Documentation/x86/pat.rst).
 */
static void **pool;
static u32 pool_pieces;

void pool_unmap(void)
{
	while (pool_pieces)
		ko_unmap(pool[--pool_pieces]);
	ko_free(pool);
}

/* The pool does not change: what is counted once is there again. */
int __init pool_map(void)
{
	struct joist_pool *p = block_alloc(sizeof(*p));
	u32 count = 0;
	int ret = -ENOMEM;

	if (!p)
		return -ENOMEM;
	while (hypercall(HC_POOL, p) == 0)
		count++;
	pool = ko_zalloc(array_size(count, sizeof(*pool)), GFP_KERNEL);
	p->index = 0;
	while (pool && (ret = hypercall(HC_POOL, p)) == 0) {
		pool[pool_pieces] = ko_map(p->hpa, p->len);
		ret = -ENOMEM;
		if (!pool[pool_pieces])
			break;
		pool_pieces++;
	}
	ko_free(p);
	if (ret == -ENOENT)
		return 0;
	pr_err("the pool's memory cannot be mapped: error %d\n", ret);
	pool_unmap();
	return ret;
}

static void seg_unmap_locked(struct vm *vm, u32 s)
{
	struct seg *seg = &vm->seg[s];
	int ret;

	/* ENOMEM is ours, and will pass. */
	while ((ret = seg_call(vm, HC_MEMSEG_UNMAP, s)) == -ENOMEM)
		cond_resched();
	WARN_ONCE(ret, "joist: unmapping segment %u: error %d\n", s, ret);
	seg->mapped = false;
}

static int seg_map_locked(struct vm *vm, u32 s)
{
	struct seg *seg = &vm->seg[s];
	int ret;

	lockdep_assert_held_write(&vm->segs_lock);
	if (seg->mapped)
		return 0;
	ret = seg_call(vm, HC_MEMSEG_MAP, s);
	if (!ret)
		seg->mapped = true;
	return ret;
}

/* The calls: all vCPUs are outside RUN, and the VM is not dead. */

int seg_alloc(struct vm *vm, struct joist_memseg *m)
{
	u32 s = m->seg;
	int ret;

	if (s >= JOIST_MAX_MEMSEGS || m->offset)
		return -EINVAL;
	down_write(&vm->segs_lock);
	while ((ret = hypercall(HC_MEMSEG_ALLOC, m)) == -EAGAIN) {
		cond_resched();
		if (fatal_signal_pending(current)) {
			seg_call(vm, HC_MEMSEG_FREE, s);
			ret = -EINTR;
			break;
		}
	}
	if (!ret)
		vm->seg[s].size = m->size;
	up_write(&vm->segs_lock);
	return ret;
}

int seg_free(struct vm *vm, struct joist_memseg *m)
{
	struct seg *seg;
	int ret = -EBUSY;

	if (m->seg >= JOIST_MAX_MEMSEGS)
		return -EINVAL;
	seg = &vm->seg[m->seg];
	down_write(&vm->segs_lock);
	if (!seg->mapped)
		ret = vm_call(HC_MEMSEG_FREE, m, vm);
	if (!ret)
		seg->size = 0;
	up_write(&vm->segs_lock);
	return ret;
}

int seg_map(struct vm *vm, struct joist_memseg *m)
{
	struct seg *seg;
	int ret = -ENOENT;

	if (m->seg >= JOIST_MAX_MEMSEGS || m->flags)
		return -EINVAL;
	seg = &vm->seg[m->seg];
	down_write(&vm->segs_lock);
	if (seg->size)
		ret = seg->asked ? -EEXIST : seg_map_locked(vm, m->seg);
	if (!ret)
		seg->asked = true;
	up_write(&vm->segs_lock);
	return ret;
}

int seg_unmap(struct vm *vm, struct joist_memseg *m)
{
	struct seg *seg;
	int ret = 0;

	if (m->seg >= JOIST_MAX_MEMSEGS || m->flags)
		return -EINVAL;
	seg = &vm->seg[m->seg];
	down_write(&vm->segs_lock);
	if (!seg->asked)
		ret = -ENOENT;
	else if (!seg->maps)
		seg_unmap_locked(vm, m->seg);
	if (!ret)
		seg->asked = false;
	up_write(&vm->segs_lock);
	return ret;
}

/*
 * DROP or FILL.  What user space has mapped of these pages goes first; its next
 * access waits for segs_lock, and then finds what there is: a page that was
 * dropped is the VM's scratch page there, so that a guest that drops what a
 * device works on does not hit who serves that device.
 */
int seg_pages(struct vm *vm, u32 nr, struct joist_pages *p)
{
	struct seg *seg;
	u32 i;
	int ret = 0;

	if (p->seg >= JOIST_MAX_MEMSEGS)
		return -ENOENT;
	if (p->ranges > JOIST_PAGE_RANGES)
		return -EINVAL;
	seg = &vm->seg[p->seg];
	down_write(&vm->segs_lock);
	for (i = 0; i < p->ranges && !ret; i++)
		if ((u64)p->range[i].page + p->range[i].count >
		    seg->size >> PAGE_SHIFT)
			ret = -EINVAL;
	if (!seg->size)
		ret = -ENOENT;
	if (!ret && !vm->scratch) {
		vm->scratch = ko_zalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
		if (!vm->scratch)
			ret = -ENOMEM;
	}
	for (i = 0; i < p->ranges && !ret; i++)
		/* A length of 0 would be all the rest. */
		if (p->range[i].count)
			unmap_mapping_range(vm->inode->i_mapping,
					    JOIST_MMAP_SEG(p->seg) +
					    ((u64)p->range[i].page << PAGE_SHIFT),
					    (u64)p->range[i].count << PAGE_SHIFT,
					    1);
	while (!ret && (ret = hypercall(nr, p)) == -EAGAIN) {
		cond_resched();
		ret = fatal_signal_pending(current) ? -EINTR : 0;
	}
	up_write(&vm->segs_lock);
	return ret;
}

/* The VM is dead, or was never whole: user space has no page of it. */
void mem_fini(struct vm *vm)
{
	u32 i;

	down_write(&vm->segs_lock);
	for (i = 0; i < JOIST_MAX_MEMSEGS; i++)
		if (vm->seg[i].mapped)
			seg_unmap_locked(vm, i);
	up_write(&vm->segs_lock);
	for (i = 0; i < vm->vcpus; i++)
		if (vm->vcpu[i]->run) {
			ko_unmap(vm->vcpu[i]->run);
			vm->vcpu[i]->run = NULL;
		}
}

/* VMAs of segments. */

static struct vm *vma_vm(const struct vm_area_struct *vma)
{
	return vma->vm_file->private_data;
}

static u32 vma_seg(const struct vm_area_struct *vma)
{
	return (vma->vm_pgoff >> SEG_PGOFF_SHIFT) - 1;
}

/* Forked or split: the same segment once more. */
static void seg_vma_open(struct vm_area_struct *vma)
{
	struct vm *vm = vma_vm(vma);

	down_write(&vm->segs_lock);
	vm->seg[vma_seg(vma)].maps++;
	up_write(&vm->segs_lock);
}

static void seg_vma_close(struct vm_area_struct *vma)
{
	struct vm *vm = vma_vm(vma);
	u32 s = vma_seg(vma);
	struct seg *seg = &vm->seg[s];
	bool last;

	down_write(&vm->segs_lock);
	last = --seg->maps == 0;
	up_write(&vm->segs_lock);
	if (!last)
		return;
	/* Looked at again under all the locks that unmapping needs. */
	vcpus_lock(vm);
	down_write(&vm->segs_lock);
	if (!seg->maps && !seg->asked && seg->mapped)
		seg_unmap_locked(vm, s);
	up_write(&vm->segs_lock);
	vcpus_unlock(vm);
}

/* One page; *m is the answer to a QUERY for one before, or of no length. */
static vm_fault_t seg_insert_locked(struct vm_area_struct *vma,
				    struct joist_memseg *m, unsigned long addr)
{
	u64 pgoff = vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);
	u64 offset = (pgoff & (BIT_ULL(SEG_PGOFF_SHIFT) - 1)) << PAGE_SHIFT;
	struct vm *vm = vma_vm(vma);
	u64 pa;

	if (offset < m->offset || offset - m->offset >= m->len) {
		memset(m, 0, sizeof(*m));
		m->head.vm = vm->id;
		m->seg = vma_seg(vma);
		m->offset = offset;
		if (hypercall(HC_MEMSEG_QUERY, m) || !m->len)
			return VM_FAULT_SIGBUS;
	}
	if (m->hpa == JOIST_NO_PAGE)
		pa = virt_to_phys(vm->scratch);
	else
		pa = m->hpa + (offset - m->offset);
	return vmf_insert_pfn(vma, addr, pa >> PAGE_SHIFT);
}

static vm_fault_t seg_vma_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct vm *vm = vma_vm(vma);
	const struct seg *seg = &vm->seg[vma_seg(vma)];
	unsigned long start = ALIGN_DOWN(vmf->address, FAULT_PAGES * PAGE_SIZE);
	unsigned long end = start + FAULT_PAGES * PAGE_SIZE;
	struct joist_memseg *m = block_alloc(sizeof(*m));
	unsigned long addr;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	if (!m)
		return VM_FAULT_OOM;
	start = max(start, vma->vm_start);
	end = min(end, vma->vm_end);
	down_read(&vm->segs_lock);
	if (!READ_ONCE(vm->dead) && seg->mapped) {
		ret = seg_insert_locked(vma, m, vmf->address & PAGE_MASK);
		for (addr = start; addr < end && ret == VM_FAULT_NOPAGE;
		     addr += PAGE_SIZE)
			if (seg_insert_locked(vma, m, addr) !=
			    VM_FAULT_NOPAGE)
				break;
	}
	up_read(&vm->segs_lock);
	ko_free(m);
	return ret;
}

static const struct vm_operations_struct seg_vma_ops = {
	.open = seg_vma_open,
	.close = seg_vma_close,
	.fault = seg_vma_fault,
};

/* VMAs of run pages. */

static vm_fault_t run_vma_fault(struct vm_fault *vmf)
{
	struct vm *vm = vma_vm(vmf->vma);
	vm_fault_t ret = VM_FAULT_SIGBUS;

	down_read(&vm->segs_lock);
	if (!READ_ONCE(vm->dead) && vmf->pgoff < vm->vcpus)
		ret = vmf_insert_pfn(vmf->vma, vmf->address & PAGE_MASK,
				     vm->vcpu[vmf->pgoff]->run_hpa >>
				     PAGE_SHIFT);
	up_read(&vm->segs_lock);
	return ret;
}

static const struct vm_operations_struct run_vma_ops = {
	.fault = run_vma_fault,
};

static int seg_mmap(struct vm *vm, struct vm_area_struct *vma)
{
	u64 first = vma->vm_pgoff & (BIT_ULL(SEG_PGOFF_SHIFT) - 1);
	u32 s = vma_seg(vma);
	struct seg *seg;
	u64 pages;
	int ret;

	if ((vma->vm_pgoff >> SEG_PGOFF_SHIFT) > JOIST_MAX_MEMSEGS)
		return -EINVAL;
	seg = &vm->seg[s];
	vcpus_lock(vm);
	down_write(&vm->segs_lock);
	pages = seg->size >> PAGE_SHIFT;
	if (READ_ONCE(vm->dead))
		ret = -ENXIO;
	else if (!pages)
		ret = -ENOENT;
	else if (first > pages || vma_pages(vma) > pages - first)
		ret = -EINVAL;
	else
		ret = seg_map_locked(vm, s);
	if (!ret) {
		seg->maps++;
		vma->vm_ops = &seg_vma_ops;
	}
	up_write(&vm->segs_lock);
	vcpus_unlock(vm);
	return ret;
}

int mem_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vm *vm = file->private_data;

	/* A private writable mapping would be copied on write. */
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (READ_ONCE(vm->dead))
		return -ENXIO;
	add_vm_flags(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	if (vma->vm_pgoff >> SEG_PGOFF_SHIFT)
		return seg_mmap(vm, vma);
	if (vma->vm_pgoff >= vm->vcpus ||
	    vma_pages(vma) > vm->vcpus - vma->vm_pgoff)
		return -EINVAL;
	vma->vm_ops = &run_vma_ops;
	return 0;
}

/*
 * A descriptor of one segment, for another program: to be mapped, and no more.
 * Its file's position is where the segment begins among the VM's offsets;
 * nothing moves it.
 */

static int seg_fd_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (vma->vm_pgoff >> SEG_PGOFF_SHIFT)
		return -EINVAL;
	vma->vm_pgoff += file->f_pos >> PAGE_SHIFT;
	return mem_mmap(file, vma);
}

static const struct file_operations seg_fd_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.mmap = seg_fd_mmap,
};

static struct file *seg_file(struct vm *vm, u32 s, unsigned int access)
{
	struct file *file;
	int ret = 0;

	if (s >= JOIST_MAX_MEMSEGS)
		return ERR_PTR(-EINVAL);
	if (!vm_get_user(vm))
		return ERR_PTR(-ENXIO);
	down_read(&vm->segs_lock);
	if (!vm->seg[s].size)
		ret = -ENOENT;
	up_read(&vm->segs_lock);
	file = ret ? ERR_PTR(ret) :
	       anon_inode_getfile("[joist-segment]", &seg_fd_fops, vm, access);
	if (IS_ERR(file)) {
		vm_put_user(vm);
		return file;
	}
	/* For unmap_mapping_range(), as all other VMAs of the VM. */
	file->f_mapping = vm->inode->i_mapping;
	file->f_pos = JOIST_MMAP_SEG(s);
	return file;
}

long seg_fd_ioctl(struct file *file, unsigned long arg)
{
	struct joist_segment_fd __user *user = (void __user *)arg;
	struct joist_segment_fd a;
	struct file *segment;

	if (copy_from_user(&a, user, sizeof(a)))
		return -EFAULT;
	if (a.head.vcpu || a.fd)
		return -EINVAL;
	a.fd = get_unused_fd_flags(O_CLOEXEC);
	if (a.fd < 0)
		return a.fd;
	segment = seg_file(file->private_data, a.seg,
			   file->f_flags & O_ACCMODE);
	if (IS_ERR(segment)) {
		put_unused_fd(a.fd);
		return PTR_ERR(segment);
	}
	if (copy_to_user(user, &a, sizeof(a))) {
		put_unused_fd(a.fd);
		fput(segment);
		return -EFAULT;
	}
	fd_install(a.fd, segment);
	return 0;
}
