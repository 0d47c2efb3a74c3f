// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * main.c -- joist.ko loads and unloads; its device nodes.
 *
 * Minor 0 is /dev/joistctl, the others are /dev/joist/NAME.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cdev.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "ko.h"

static unsigned int gid;
module_param(gid, uint, 0444);
MODULE_PARM_DESC(gid, "group that may use Joist's device nodes (default 0)");

/* What is allocated now, summed over CPUs: nothing may be left behind. */
static DEFINE_PER_CPU(long, objects);

static int objects_get(char *buf, const struct kernel_param *kp)
{
	long sum = 0;
	int cpu;

	/* What RCU frees is as good as gone. */
	rcu_barrier();
	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(objects, cpu));
	return sysfs_emit(buf, "%ld\n", sum);
}

static const struct kernel_param_ops objects_ops = { .get = objects_get };
module_param_cb(objects, &objects_ops, NULL, 0400);
MODULE_PARM_DESC(objects, "allocations and mappings the module holds now");

void *ko_zalloc(size_t size, gfp_t gfp)
{
	void *p = kzalloc(size, gfp);

	if (p)
		this_cpu_inc(objects);
	return p;
}

void ko_free(const void *p)
{
	if (p)
		this_cpu_dec(objects);
	kfree(p);
}

void *ko_map(u64 hpa, size_t len)
{
	void *p = memremap(hpa, len, MEMREMAP_WB);

	if (p)
		this_cpu_inc(objects);
	return p;
}

void ko_unmap(void *p)
{
	if (p)
		this_cpu_dec(objects);
	memunmap(p);
}

struct class *joist_class;
dev_t joist_devt;

static struct cdev ctl_cdev, vm_cdev;
static struct device *ctl_dev;

/* The name's '!' becomes a '/' under /dev. */
static char *node_devnode(devnode_device *dev, umode_t *mode, kuid_t *uid,
			  kgid_t *group)
{
	if (mode)
		*mode = 0660;
	if (group)
		*group = make_kgid(&init_user_ns, gid);
	return NULL;
}

static const struct device_type node_type = {
	.name = "joist",
	.devnode = node_devnode,
};

static void node_release(struct device *dev)
{
	ko_free(dev);
}

struct device *node_add(u32 minor, const char *name)
{
	struct device *dev = ko_zalloc(sizeof(*dev), GFP_KERNEL);
	int ret;

	if (!dev)
		return ERR_PTR(-ENOMEM);
	device_initialize(dev);
	dev->class = joist_class;
	dev->type = &node_type;
	dev->devt = joist_devt + minor;
	dev->release = node_release;
	ret = dev_set_name(dev, minor ? "joist!%s" : "%s", name);
	if (!ret)
		ret = device_add(dev);
	if (ret) {
		put_device(dev);
		return ERR_PTR(ret);
	}
	return dev;
}

void node_del(struct device *dev)
{
	device_unregister(dev);
}

static int __init cdev_start(struct cdev *cdev, u32 minor, u32 count,
			     const struct file_operations *fops)
{
	cdev_init(cdev, fops);
	cdev->owner = THIS_MODULE;
	return cdev_add(cdev, joist_devt + minor, count);
}

/*
 * An image of this kernel would be resumed under a hypervisor that knows none
 * of its VMs.  Suspend needs no refusal: of its kinds Linux finds s2idle only,
 * in which nothing is lost (see "Sleep" in doc/design.md).
 */
static int pm_notify(struct notifier_block *block, unsigned long event,
		     void *data)
{
	if (event != PM_HIBERNATION_PREPARE && event != PM_RESTORE_PREPARE)
		return NOTIFY_DONE;
	pr_err("no hibernation under Joist\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block pm_block = { .notifier_call = pm_notify };

static int __init joist_init(void)
{
	int ret;

	ret = hypercall_init();
	if (ret)
		return ret;
	if (!gid_valid(make_kgid(&init_user_ns, gid))) {
		pr_err("gid=%u is not a valid group\n", gid);
		return -EINVAL;
	}
	vms_destroy_stale();
	ret = pool_map();
	if (ret)
		return ret;
	ret = alloc_chrdev_region(&joist_devt, 0, KO_MINORS, "joist");
	if (ret)
		goto undo_pool;
	joist_class = new_class("joist");
	if (IS_ERR(joist_class)) {
		ret = PTR_ERR(joist_class);
		goto undo_region;
	}
	ret = cdev_start(&ctl_cdev, 0, 1, &ctl_fops);
	if (ret)
		goto undo_class;
	ret = cdev_start(&vm_cdev, 1, KO_MINORS - 1, &vm_fops);
	if (ret)
		goto undo_ctl_cdev;
	ret = register_pm_notifier(&pm_block);
	if (ret)
		goto undo_vm_cdev;
	ctl_dev = node_add(0, "joistctl");
	if (IS_ERR(ctl_dev)) {
		ret = PTR_ERR(ctl_dev);
		goto undo_pm;
	}
	pr_info("%s, %u cores, pool of %llu MiB, %llu MiB free\n",
		caps.vendor == JOIST_VENDOR_SVM ? "SVM" : "VMX", caps.pcpus,
		caps.pool_total >> 20, caps.pool_free >> 20);
	return 0;

undo_pm:
	unregister_pm_notifier(&pm_block);
undo_vm_cdev:
	cdev_del(&vm_cdev);
undo_ctl_cdev:
	cdev_del(&ctl_cdev);
undo_class:
	class_destroy(joist_class);
undo_region:
	unregister_chrdev_region(joist_devt, KO_MINORS);
undo_pool:
	pool_unmap();
	return ret;
}

/* Every VM holds a reference to the module, so there is none now. */
static void __exit joist_exit(void)
{
	node_del(ctl_dev);
	/* doorbell_free() is ours. */
	rcu_barrier();
	unregister_pm_notifier(&pm_block);
	cdev_del(&vm_cdev);
	cdev_del(&ctl_cdev);
	class_destroy(joist_class);
	unregister_chrdev_region(joist_devt, KO_MINORS);
	pool_unmap();
}

module_init(joist_init);
module_exit(joist_exit);
MODULE_DESCRIPTION("Control of the Joist hypervisor");
MODULE_LICENSE("Dual BSD/GPL");
