/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ko.h -- what the files of joist.ko share.
 *
 * Locks, in the order they are taken:
 *	mmap_lock (Linux's)	held by callers of mmap, open, close, fault
 *	vm.all_lock		by who wants all vCPUs
 *	vcpu.lock		by index; held by RUN and by what excludes it
 *	vm.segs_lock
 *	vm.events_lock		doorbells, irqfds
 *	vms_lock		the table of VMs, users, dead
 * Nothing touches user memory while it holds one of ours: a page fault takes
 * mmap_lock.
 */
#ifndef KO_H
#define KO_H

#include <linux/atomic.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/hrtimer.h>
#include <linux/kdev_t.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rcuwait.h>
#include <linux/rwsem.h>
#include <linux/types.h>
#include <linux/version.h>

#include "joist_ioctl.h"

/* What has changed after Debian 12's kernel. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#include <asm/cpuid/api.h>
#else
#include <asm/processor.h>
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define new_class(name)		class_create(name)
#else
#define new_class(name)		class_create(THIS_MODULE, name)
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#define signal_eventfd(ctx)	eventfd_signal(ctx)
#else
#define signal_eventfd(ctx)	eventfd_signal(ctx, 1)
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define add_vm_flags(vma, f)	vm_flags_set(vma, f)
#else
#define add_vm_flags(vma, f)	((vma)->vm_flags |= (f))
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
typedef const struct device devnode_device;
#else
typedef struct device devnode_device;
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
/* With lazy preemption the tick makes it the other flag, a tick too late. */
#define must_resched() \
	(need_resched() || test_thread_flag(TIF_NEED_RESCHED_LAZY))
#define init_timer(t, f, clock, mode)	hrtimer_setup(t, f, clock, mode)
#else
#define must_resched()		need_resched()
#define init_timer(t, f, clock, mode) \
	do {						\
		hrtimer_init(t, clock, mode);		\
		(t)->function = (f);			\
	} while (0)
#endif

/* Guards: all by vm.segs_lock. */
struct seg {
	u64 size;		/* 0: none */
	u32 maps;		/* VMAs that show it */
	bool asked;		/* mapped by ioctl as well */
	bool mapped;		/* for the control VM, in the hypervisor */
};

/*
 * Guards: [c] set at creation  [l] lock  [a] atomic  [r] the thread in RUN
 *
 * want, kick, wake and vm->dead ask the thread in RUN for something: set
 * first, then vcpu_kick(); it looks at them after it has set in_guest.
 */
struct vcpu {
	struct joist_run_args args ____cacheline_aligned;	/* [l] */
	struct vm *vm;			/* [c] */
	u32 id;				/* [c] */
	struct joist_run *run;		/* [c] the run page */
	u64 run_hpa;			/* [c] */
	struct mutex lock;
	atomic_t runner;		/* [a] 1: a thread is in RUN */
	atomic_t want;			/* [a] threads that want the lock */
	int kick;			/* [a] return EINTR */
	int wake;			/* [a] an event came: do not sleep */
	int in_guest;			/* [a] */
	int cpu;			/* [a] where, while in_guest */
	struct rcuwait wait;		/* the thread in RUN sleeps here */
	struct hrtimer timer;		/* [r] */
	unsigned long since;		/* [r] jiffies, when RUN was called */
	unsigned long noted;		/* [r] jiffies, when RCU was told */
	u64 deadline;			/* [r] host TSC */
	u64 armed;			/* [a] the timer's, if it is armed */
};

/* Guards: [c] set at creation  [s] segs_lock  [e] events_lock  [t] vms_lock */
struct vm {
	struct kref ref;
	u32 id;				/* [c] the hypervisor's */
	u32 vcpus;			/* [c] */
	bool persistent;		/* [c] */
	char name[JOIST_NAME_LEN];	/* [c] */
	u32 minor;			/* [c] */
	u32 users;			/* [t] creator and open files */
	bool dead;			/* [t] one-way; read anywhere */
	struct list_head created;	/* [t] of struct ctl */
	struct device *dev;		/* [c] */
	struct inode *inode;		/* [c] its mapping has all our VMAs */
	struct mutex all_lock;
	struct rw_semaphore segs_lock;
	struct seg seg[JOIST_MAX_MEMSEGS];	/* [s] */
	void *scratch;			/* [s] in place of dropped pages */
	struct mutex events_lock;
	DECLARE_HASHTABLE(doorbells, 8);	/* [e] by address; read by RCU */
	u32 doorbell_count;		/* [e] */
	struct list_head irqfds;	/* [e] */
	u32 irqfd_count;		/* [e] */
	struct vcpu *vcpu[];		/* [c] */
};

/* hypercall.c */
extern struct joist_capabilities caps;
int hypercall_init(void);
int hypercall(u32 nr, void *block);
int hypercall_again(u32 nr, void *block);
void *block_alloc(size_t size);
void *block_get(const void __user *from, size_t size);

/* main.c: kzalloc(), kfree(), memremap() of RAM, memunmap(), counted. */
void *ko_zalloc(size_t size, gfp_t gfp);
#define KO_MINORS	(1u << MINORBITS)	/* more than VMs: see vm_minor_get() */
void ko_free(const void *p);
void *ko_map(u64 hpa, size_t len);
void ko_unmap(void *p);
extern struct class *joist_class;
extern dev_t joist_devt;
struct device *node_add(u32 minor, const char *name);
void node_del(struct device *dev);

/* ctl.c */
extern const struct file_operations ctl_fops;

/* vm.c */
extern const struct file_operations vm_fops;
int vm_release(struct inode *inode, struct file *file);
bool vm_get_user(struct vm *vm);
void vm_put_user(struct vm *vm);
void vms_destroy_stale(void);
struct vm *vm_create(struct joist_create *c, bool persistent,
		     struct list_head *created);
int vm_destroy_name(const char *name);
void vm_undo(struct vm *vm);
void vm_done(struct vm *vm);
void vm_put_creator(struct list_head *created);
void vcpus_lock(struct vm *vm);
void vcpus_unlock(struct vm *vm);
long vm_call(u32 nr, void *block, const struct vm *vm);

/* run.c */
struct vcpu *vcpu_new(struct vm *vm, u32 id);
void vcpu_free(struct vcpu *v);
void vcpu_lock(struct vcpu *v, struct mutex *all);
void vcpu_unlock(struct vcpu *v);
void vcpu_kick(struct vcpu *v);
void vcpus_wake(struct vm *vm, u64 mask);
long vcpu_run_ioctl(struct vm *vm, unsigned long id);

/* event.c */
bool event_exit(struct vcpu *v);
int event_doorbell(struct vm *vm, struct joist_doorbell *b);
int event_irqfd(struct vm *vm, struct joist_irqfd *b);
void events_fini(struct vm *vm);

/* mem.c */
int pool_map(void);
void pool_unmap(void);
int mem_mmap(struct file *file, struct vm_area_struct *vma);
long seg_fd_ioctl(struct file *file, unsigned long arg);
int seg_alloc(struct vm *vm, struct joist_memseg *m);
int seg_free(struct vm *vm, struct joist_memseg *m);
int seg_map(struct vm *vm, struct joist_memseg *m);
int seg_unmap(struct vm *vm, struct joist_memseg *m);
int seg_pages(struct vm *vm, u32 nr, struct joist_pages *p);
void mem_fini(struct vm *vm);

#endif
