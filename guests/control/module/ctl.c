// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * ctl.c -- /dev/joistctl: VMs come and go, and what the hypervisor tells.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ko.h"

/* One open /dev/joistctl: the VMs made by it that are still there. */
struct ctl {
	struct list_head created;
};

static int ctl_open(struct inode *inode, struct file *file)
{
	struct ctl *ctl = ko_zalloc(sizeof(*ctl), GFP_KERNEL_ACCOUNT);

	if (!ctl)
		return -ENOMEM;
	INIT_LIST_HEAD(&ctl->created);
	file->private_data = ctl;
	return nonseekable_open(inode, file);
}

static int ctl_release(struct inode *inode, struct file *file)
{
	struct ctl *ctl = file->private_data;

	vm_put_creator(&ctl->created);
	ko_free(ctl);
	return 0;
}

static int ctl_create(struct ctl *ctl, struct joist_create *c, void __user *arg)
{
	bool persistent = c->flags & JOIST_CREATE_PERSISTENT;
	struct vm *vm;

	if (c->flags & ~JOIST_CREATE_PERSISTENT)
		return -EINVAL;
	c->flags = 0;
	vm = vm_create(c, persistent, &ctl->created);
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	c->flags = persistent ? JOIST_CREATE_PERSISTENT : 0;
	if (copy_to_user(arg, c, sizeof(*c))) {
		vm_undo(vm);
		return -EFAULT;
	}
	vm_done(vm);
	return 0;
}

static int ctl_destroy(struct joist_destroy *d)
{
	if (d->head.vm || d->head.vcpu)
		return -EINVAL;
	if (!memchr(d->name, 0, sizeof(d->name)))
		return -EINVAL;
	return vm_destroy_name(d->name);
}

/* Calls that are the hypervisor's as they are. */
static bool ctl_passes(unsigned int cmd)
{
	switch (cmd) {
	case JOIST_VERSION:
	case JOIST_CAPABILITIES:
	case JOIST_INFO:
	case JOIST_STATS_GET:
	case JOIST_LOG:
	case JOIST_MITIGATION:
		return true;
	}
	return false;
}

static long ctl_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	void *block;
	long ret;

	if (!ctl_passes(cmd)) {
		if (cmd != JOIST_CREATE && cmd != JOIST_DESTROY)
			return -ENOTTY;
		if (!(file->f_mode & FMODE_WRITE))
			return -EBADF;
	}
	block = block_get(user, _IOC_SIZE(cmd));
	if (IS_ERR(block))
		return PTR_ERR(block);
	if (cmd == JOIST_CREATE) {
		ret = ctl_create(file->private_data, block, user);
	} else if (cmd == JOIST_DESTROY) {
		ret = ctl_destroy(block);
	} else {
		ret = hypercall(_IOC_NR(cmd), block);
		if (ret >= 0 && copy_to_user(user, block, _IOC_SIZE(cmd)))
			ret = -EFAULT;
	}
	ko_free(block);
	return ret;
}

const struct file_operations ctl_fops = {
	.owner = THIS_MODULE,
	.open = ctl_open,
	.release = ctl_release,
	.unlocked_ioctl = ctl_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
