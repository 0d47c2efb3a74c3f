// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * vm.c -- /dev/joist/NAME: a VM's life, and its calls.
 *
 * A VM is in the table from before its node appears until the hypervisor has
 * freed it.  `dead` is set once, by whoever then destroys it; everybody else
 * gets ENXIO.  A call that is under way without a lock meanwhile is harmless:
 * the hypervisor knows no such VM any more, and ids are not used again soon.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ctype.h>
#include <linux/delay.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ko.h"

#define JOIST_FS_MAGIC	0x4a6f6973	/* "Jois" */

static DEFINE_MUTEX(vms_lock);
static DEFINE_IDR(vms);			/* by minor */

/*
 * All VMAs of a VM hang on one inode's mapping, whichever node they came by,
 * so that they can be found when the VM is destroyed.
 */
static int joist_fs_init(struct fs_context *fc)
{
	return init_pseudo(fc, JOIST_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type joist_fs = {
	.name = "joist",
	.owner = THIS_MODULE,
	.init_fs_context = joist_fs_init,
	.kill_sb = kill_anon_super,
};
static struct vfsmount *joist_mnt;
static int joist_mnt_count;

static struct inode *vm_inode_new(void)
{
	struct inode *inode;
	int ret;

	ret = simple_pin_fs(&joist_fs, &joist_mnt, &joist_mnt_count);
	if (ret)
		return ERR_PTR(ret);
	inode = alloc_anon_inode(joist_mnt->mnt_sb);
	if (IS_ERR(inode))
		simple_release_fs(&joist_mnt, &joist_mnt_count);
	return inode;
}

static void vm_inode_free(struct inode *inode)
{
	iput(inode);
	simple_release_fs(&joist_mnt, &joist_mnt_count);
}

/* A call about one VM whose result may be that it is gone. */
long vm_call(u32 nr, void *block, const struct vm *vm)
{
	int ret = hypercall_again(nr, block);

	return ret == -ENOENT && READ_ONCE(vm->dead) ? -ENXIO : ret;
}

/* A call with the two ids only; when it fails there is nobody to tell. */
static int vm_call_simple(u32 nr, u32 id)
{
	struct joist_vm *block = block_alloc(sizeof(*block));
	int ret;

	if (!block)
		return -ENOMEM;
	block->head.vm = id;
	ret = hypercall_again(nr, block);
	ko_free(block);
	return ret;
}

void vcpus_lock(struct vm *vm)
{
	u32 i;

	mutex_lock(&vm->all_lock);
	for (i = 0; i < vm->vcpus; i++)
		vcpu_lock(vm->vcpu[i], &vm->all_lock);
}

void vcpus_unlock(struct vm *vm)
{
	u32 i;

	for (i = vm->vcpus; i-- > 0; )
		vcpu_unlock(vm->vcpu[i]);
	mutex_unlock(&vm->all_lock);
}

static void vm_free(struct kref *ref)
{
	struct vm *vm = container_of(ref, struct vm, ref);
	u32 i;

	for (i = 0; i < vm->vcpus; i++)
		vcpu_free(vm->vcpu[i]);
	if (vm->inode)
		vm_inode_free(vm->inode);
	ko_free(vm->scratch);
	ko_free(vm);
	module_put(THIS_MODULE);
}

/* Free it in the hypervisor, which has nobody inside it any more. */
static void vm_hc_destroy(u32 id)
{
	int ret;

	/* EBUSY: a core is on its way out of it.  ENOMEM: ours; try on. */
	while ((ret = vm_call_simple(HC_DESTROY, id)) == -EBUSY ||
	       ret == -ENOMEM)
		usleep_range(100, 1000);
	WARN_ONCE(ret, "joist: destroying VM %u: error %d\n", id, ret);
}

static void vm_minor_put(struct vm *vm)
{
	mutex_lock(&vms_lock);
	idr_remove(&vms, vm->minor);
	mutex_unlock(&vms_lock);
}

/*
 * Before there is any of ours: those of a kernel that has started this one by
 * itself (kexec).  Nobody can use them, and their memory is wanted.
 */
void __init vms_destroy_stale(void)
{
	struct joist_info *info = block_alloc(sizeof(*info));
	u32 index;

	while (info && !hypercall(HC_INFO, info)) {
		pr_notice("destroying VM %.*s, which another kernel has left\n",
			  JOIST_NAME_LEN, info->name);
		vm_call_simple(HC_TERM, info->head.vm);
		vm_hc_destroy(info->head.vm);
		/* What cannot be destroyed is passed by. */
		index = info->index;
		memset(info, 0, sizeof(*info));
		info->index = index;
	}
	ko_free(info);
}

/* The caller has set dead, and holds a reference that it keeps. */
static void vm_destroy(struct vm *vm)
{
	u32 i;

	vm_call_simple(HC_TERM, vm->id);
	for (i = 0; i < vm->vcpus; i++)
		vcpu_kick(vm->vcpu[i]);
	vcpus_lock(vm);
	/* From here on no fault adds a page, and nothing enters RUN. */
	down_write(&vm->segs_lock);
	up_write(&vm->segs_lock);
	node_del(vm->dev);
	events_fini(vm);
	unmap_mapping_range(vm->inode->i_mapping, 0, 0, 1);
	mem_fini(vm);
	vm_hc_destroy(vm->id);
	vcpus_unlock(vm);

	vm_minor_put(vm);
	kref_put(&vm->ref, vm_free);		/* the table's */
}

/*
 * dead, and off its creator's list.  False if it was dead already.  True
 * leaves the caller with the creator's reference, if there was one, to drop.
 */
static bool vm_set_dead_locked(struct vm *vm, bool *creator)
{
	lockdep_assert_held(&vms_lock);
	if (vm->dead)
		return false;
	WRITE_ONCE(vm->dead, true);
	*creator = !list_empty(&vm->created);
	list_del_init(&vm->created);
	return true;
}

int vm_destroy_name(const char *name)
{
	struct vm *vm = NULL;
	bool creator = false;
	int minor;

	mutex_lock(&vms_lock);
	idr_for_each_entry(&vms, vm, minor)
		if (!strcmp(vm->name, name) &&
		    vm_set_dead_locked(vm, &creator)) {
			kref_get(&vm->ref);
			break;
		}
	mutex_unlock(&vms_lock);
	if (!vm)
		return -ENOENT;
	vm_destroy(vm);
	if (creator)
		kref_put(&vm->ref, vm_free);
	kref_put(&vm->ref, vm_free);
	return 0;
}

/* For who has made it: it is not to be used any further. */
void vm_done(struct vm *vm)
{
	kref_put(&vm->ref, vm_free);
}

/* The same, and it is not to be: somebody may have destroyed it already. */
void vm_undo(struct vm *vm)
{
	bool creator = false, mine;

	mutex_lock(&vms_lock);
	mine = vm_set_dead_locked(vm, &creator);
	mutex_unlock(&vms_lock);
	if (mine)
		vm_destroy(vm);
	if (creator)
		kref_put(&vm->ref, vm_free);
	kref_put(&vm->ref, vm_free);
}

/* A user goes: its creator's descriptor, or one of the VM's own. */
void vm_put_user(struct vm *vm)
{
	bool creator = false, last;

	mutex_lock(&vms_lock);
	last = --vm->users == 0 && !vm->persistent &&
	       vm_set_dead_locked(vm, &creator);
	mutex_unlock(&vms_lock);
	if (last)
		vm_destroy(vm);
	kref_put(&vm->ref, vm_free);
}

void vm_put_creator(struct list_head *created)
{
	struct vm *vm;

	for (;;) {
		mutex_lock(&vms_lock);
		vm = list_first_entry_or_null(created, struct vm, created);
		if (vm)
			list_del_init(&vm->created);
		mutex_unlock(&vms_lock);
		if (!vm)
			return;
		vm_put_user(vm);
	}
}

static bool name_is_good(const char *name)
{
	size_t len = strnlen(name, JOIST_NAME_LEN), i;

	if (len == 0 || len == JOIST_NAME_LEN || !isalnum(name[0]))
		return false;
	for (i = 0; i < len; i++)
		if (!isascii(name[i]) ||
		    (!isalnum(name[i]) && !strchr("._-", name[i])))
			return false;
	return !memchr_inv(name + len, 0, JOIST_NAME_LEN - len);
}

/* Not again soon: an old node that somebody kept must not open another VM. */
static int vm_minor_get(struct vm *vm)
{
	int minor;

	mutex_lock(&vms_lock);
	minor = idr_alloc_cyclic(&vms, vm, 1, KO_MINORS, GFP_KERNEL);
	mutex_unlock(&vms_lock);
	if (minor < 0)
		return minor;
	vm->minor = (u32)minor;
	return 0;
}

/* Where the hypervisor has put the run pages. */
static int vm_run_pages(struct vm *vm)
{
	struct joist_memseg *m = block_alloc(sizeof(*m));
	struct vcpu *v;
	int ret = 0;
	u32 i;

	if (!m)
		return -ENOMEM;
	for (i = 0; i < vm->vcpus && !ret; i++) {
		v = vm->vcpu[i];
		memset(m, 0, sizeof(*m));
		m->head.vm = vm->id;
		m->seg = JOIST_SEG_RUN;
		m->offset = (u64)i * PAGE_SIZE;
		ret = hypercall(HC_MEMSEG_QUERY, m);
		if (ret)
			break;
		v->run_hpa = m->hpa;
		v->run = ko_map(m->hpa, PAGE_SIZE);
		if (!v->run)
			ret = -ENOMEM;
	}
	ko_free(m);
	return ret;
}

static struct vm *vm_new(u32 vcpus)
{
	struct vm *vm;
	u32 i;

	vm = ko_zalloc(struct_size(vm, vcpu, vcpus), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	__module_get(THIS_MODULE);
	kref_init(&vm->ref);
	INIT_LIST_HEAD(&vm->created);
	mutex_init(&vm->all_lock);
	init_rwsem(&vm->segs_lock);
	mutex_init(&vm->events_lock);
	hash_init(vm->doorbells);
	INIT_LIST_HEAD(&vm->irqfds);
	for (i = 0; i < vcpus; i++) {
		vm->vcpu[i] = vcpu_new(vm, i);
		if (!vm->vcpu[i])
			goto fail;
		vm->vcpus = i + 1;
	}
	vm->inode = vm_inode_new();
	if (!IS_ERR(vm->inode))
		return vm;
	vm->inode = NULL;
fail:
	kref_put(&vm->ref, vm_free);
	return ERR_PTR(-ENOMEM);
}

/*
 * On success the VM is known by name, and on its creator's list.  The one
 * reference it starts with is the table's; the caller gets one, to be put by
 * vm_done() or vm_undo().
 */
struct vm *vm_create(struct joist_create *c, bool persistent,
		     struct list_head *created)
{
	struct vm *vm;
	u32 i;
	int ret;

	if (!name_is_good(c->name) || c->vcpus < 1 ||
	    c->vcpus > JOIST_MAX_VCPUS)
		return ERR_PTR(-EINVAL);
	vm = vm_new(c->vcpus);
	if (IS_ERR(vm))
		return vm;
	memcpy(vm->name, c->name, sizeof(vm->name));
	vm->persistent = persistent;
	vm->dead = true;			/* until it is whole */
	ret = vm_minor_get(vm);
	if (ret)
		goto undo_vm;
	ret = hypercall_again(HC_CREATE, c);
	if (ret)
		goto undo_minor;
	vm->id = c->head.vm;
	for (i = 0; i < vm->vcpus; i++)
		vm->vcpu[i]->args.head.vm = vm->id;
	ret = vm_run_pages(vm);
	if (ret)
		goto undo_create;
	vm->dev = node_add(vm->minor, vm->name);
	if (IS_ERR(vm->dev)) {
		ret = PTR_ERR(vm->dev);
		goto undo_create;
	}
	mutex_lock(&vms_lock);
	vm->dead = false;
	vm->users = 1;
	kref_get(&vm->ref);
	kref_get(&vm->ref);
	list_add(&vm->created, created);
	mutex_unlock(&vms_lock);
	return vm;

undo_create:
	mem_fini(vm);
	vm_hc_destroy(vm->id);
undo_minor:
	vm_minor_put(vm);
undo_vm:
	kref_put(&vm->ref, vm_free);
	return ERR_PTR(ret);
}

static bool vm_get_user_locked(struct vm *vm)
{
	lockdep_assert_held(&vms_lock);
	if (vm->dead)
		return false;
	vm->users++;
	kref_get(&vm->ref);
	return true;
}

/* One more file of its own; false: it is dead. */
bool vm_get_user(struct vm *vm)
{
	bool alive;

	mutex_lock(&vms_lock);
	alive = vm_get_user_locked(vm);
	mutex_unlock(&vms_lock);
	return alive;
}

static int vm_open(struct inode *inode, struct file *file)
{
	struct vm *vm;

	mutex_lock(&vms_lock);
	vm = idr_find(&vms, iminor(inode));
	if (vm && !vm_get_user_locked(vm))
		vm = NULL;
	mutex_unlock(&vms_lock);
	if (!vm)
		return -ENXIO;
	file->private_data = vm;
	file->f_mapping = vm->inode->i_mapping;
	return nonseekable_open(inode, file);
}

int vm_release(struct inode *inode, struct file *file)
{
	vm_put_user(file->private_data);
	return 0;
}

/*
 * The calls, and what they want here before the hypervisor is asked: the
 * vCPU named, or all of them, outside RUN.  These mirror its own table.
 */
#define ONE_VCPU	1
#define ALL_VCPUS	2
/* And who may only read the VM may ask. */
#define READS		4

static int call_term(struct vm *vm, void *block)
{
	int ret = vm_call(HC_TERM, block, vm);

	vcpus_wake(vm, ~0ull);
	return ret;
}

static int call_intr(struct vm *vm, void *block)
{
	struct joist_intr *intr = block;
	int ret = vm_call(HC_INTR, block, vm);

	if (!ret)
		vcpus_wake(vm, intr->wake);
	return ret;
}

static int call_kick(struct vm *vm, void *block)
{
	struct joist_vm *b = block;
	struct vcpu *v;

	if (b->head.vcpu >= vm->vcpus)
		return -EINVAL;
	v = vm->vcpu[b->head.vcpu];
	WRITE_ONCE(v->kick, 1);
	vcpu_kick(v);
	return 0;
}

static int call_alloc(struct vm *vm, void *block)
{
	return seg_alloc(vm, block);
}

static int call_free(struct vm *vm, void *block)
{
	return seg_free(vm, block);
}

static int call_map(struct vm *vm, void *block)
{
	return seg_map(vm, block);
}

static int call_unmap(struct vm *vm, void *block)
{
	return seg_unmap(vm, block);
}

static int call_drop(struct vm *vm, void *block)
{
	return seg_pages(vm, HC_MEMSEG_DROP, block);
}

static int call_fill(struct vm *vm, void *block)
{
	return seg_pages(vm, HC_MEMSEG_FILL, block);
}

/* Where in the machine it lies is nobody's business outside the kernel. */
static int call_query(struct vm *vm, void *block)
{
	struct joist_memseg *m = block;
	int ret = vm_call(HC_MEMSEG_QUERY, block, vm);

	if (!ret && m->hpa != JOIST_NO_PAGE) {
		m->hpa = 0;
		m->len = 0;
	}
	return ret;
}

static int call_doorbell(struct vm *vm, void *block)
{
	return event_doorbell(vm, block);
}

static int call_irqfd(struct vm *vm, void *block)
{
	return event_irqfd(vm, block);
}

struct call {
	unsigned int cmd;
	u32 locks;
	int (*fn)(struct vm *vm, void *block);	/* NULL: as it is */
};

static const struct call calls[] = {
	{ JOIST_INTR,		0,		call_intr },
	{ JOIST_KICK,		0,		call_kick },
	{ JOIST_TERM,		0,		call_term },
	{ JOIST_DOORBELL,	0,		call_doorbell },
	{ JOIST_IRQFD,		0,		call_irqfd },
	{ JOIST_RESETCPU,	ONE_VCPU },
	{ JOIST_READREGS,	ONE_VCPU | READS },
	{ JOIST_WRITEREGS,	ONE_VCPU },
	{ JOIST_READXSTATE,	ONE_VCPU | READS },
	{ JOIST_WRITEXSTATE,	ONE_VCPU },
	{ JOIST_READLAPIC,	ONE_VCPU | READS },
	{ JOIST_WRITELAPIC,	ONE_VCPU },
	{ JOIST_ACCESS,		ONE_VCPU },
	{ JOIST_READVMPARAMS,	ONE_VCPU | READS },
	{ JOIST_WRITEVMPARAMS,	ONE_VCPU },
	{ JOIST_MEMSEG_ALLOC,	ALL_VCPUS,	call_alloc },
	{ JOIST_MEMSEG_FREE,	ALL_VCPUS,	call_free },
	{ JOIST_MEMSEG_MAP,	ALL_VCPUS,	call_map },
	{ JOIST_MEMSEG_UNMAP,	ALL_VCPUS,	call_unmap },
	{ JOIST_MEMSEG_PROTECT,	ALL_VCPUS },
	{ JOIST_MEMSEG_DROP,	ALL_VCPUS,	call_drop },
	{ JOIST_MEMSEG_FILL,	ALL_VCPUS,	call_fill },
	{ JOIST_MEMSEG_QUERY,	READS,		call_query },
};

static int vm_call_locked(struct vm *vm, const struct call *c,
			  struct joist_head *head)
{
	if (READ_ONCE(vm->dead))
		return -ENXIO;
	if (c->fn)
		return c->fn(vm, head);
	return vm_call(_IOC_NR(c->cmd), head, vm);
}

static int vm_call_lock(struct vm *vm, const struct call *c,
			struct joist_head *head)
{
	struct vcpu *v;
	int ret;

	head->vm = vm->id;
	switch (c->locks & ~READS) {
	case ONE_VCPU:
		if (head->vcpu >= vm->vcpus)
			return -EINVAL;
		v = vm->vcpu[head->vcpu];
		vcpu_lock(v, NULL);
		ret = vm_call_locked(vm, c, head);
		vcpu_unlock(v);
		return ret;
	case ALL_VCPUS:
		vcpus_lock(vm);
		ret = vm_call_locked(vm, c, head);
		vcpus_unlock(vm);
		return ret;
	default:
		return vm_call_locked(vm, c, head);
	}
}

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vm *vm = file->private_data;
	void __user *user = (void __user *)arg;
	const struct call *c;
	void *block;
	long ret;

	if (cmd == JOIST_SEGMENT)
		return seg_fd_ioctl(file, arg);
	if (cmd == JOIST_RUN)
		return file->f_mode & FMODE_WRITE ? vcpu_run_ioctl(vm, arg) :
						    -EBADF;
	for (c = calls; c->cmd != cmd; )
		if (++c == calls + ARRAY_SIZE(calls))
			return -ENOTTY;
	if (!(file->f_mode & FMODE_WRITE) && !(c->locks & READS))
		return -EBADF;
	block = block_get(user, _IOC_SIZE(cmd));
	if (IS_ERR(block))
		return PTR_ERR(block);
	ret = vm_call_lock(vm, c, block);
	if (ret >= 0 && copy_to_user(user, block, _IOC_SIZE(cmd)))
		ret = -EFAULT;
	ko_free(block);
	return ret;
}

const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.open = vm_open,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = mem_mmap,
};
