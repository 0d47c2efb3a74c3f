// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * event.c -- eventfds in place of user space: a guest's write that counts one
 * up (a doorbell), and one whose count is an interrupt.
 *
 * Both refer to the eventfd's context, not to its file: closing the file ends
 * nothing.  They go when they are removed, or with the VM.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/hashtable.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "ko.h"

/* Of each kind, a VM. */
#define EVENTS_MAX	1024

/* ---- doorbells ---- */

/* RUN looks for them under RCU: what is taken out is freed later. */
struct doorbell {
	struct hlist_node node;
	struct rcu_head rcu;
	u64 addr;
	u64 value;
	u32 size;
	u32 flags;		/* JOIST_EVENT_PORT, _MATCH */
	struct eventfd_ctx *ctx;
};

static bool doorbell_meets(const struct doorbell *d, bool port, u64 addr,
			   u32 size, u64 value)
{
	return d->addr == addr && d->size == size &&
	       !!(d->flags & JOIST_EVENT_PORT) == port &&
	       (!(d->flags & JOIST_EVENT_MATCH) || d->value == value);
}

static bool ring(struct vm *vm, bool port, u64 addr, u32 size, u64 value)
{
	const struct doorbell *d;
	bool found = false;

	rcu_read_lock();
	hash_for_each_possible_rcu(vm->doorbells, d, node, addr) {
		found = doorbell_meets(d, port, addr, size, value);
		if (found) {
			signal_eventfd(d->ctx);
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

/*
 * The exit was a write to a doorbell: it is done.  What user space writes
 * into the run page meanwhile can only ring its own doorbells.
 */
bool event_exit(struct vcpu *v)
{
	const struct joist_run *r = v->run;
	u32 size;

	if (!READ_ONCE(v->vm->doorbell_count))
		return false;
	if (v->args.exit == JOIST_EXIT_MMIO) {
		size = READ_ONCE(r->mmio.size);
		return READ_ONCE(r->mmio.write) && size <= 8 &&
		       ring(v->vm, false, READ_ONCE(r->mmio.gpa), size,
			    READ_ONCE(r->mmio.data));
	}
	size = READ_ONCE(r->io.size);
	return READ_ONCE(r->io.in) == JOIST_IO_OUT &&
	       !READ_ONCE(r->io.string) &&
	       ring(v->vm, true, READ_ONCE(r->io.port), size,
		    READ_ONCE(r->io.data));
}

static void doorbell_free(struct rcu_head *rcu)
{
	struct doorbell *d = container_of(rcu, struct doorbell, rcu);

	eventfd_ctx_put(d->ctx);
	ko_free(d);
}

/*
 * Who still reads it may be about to signal.  Guests can make this happen as
 * often as they like, so nobody waits, nor is any CPU hurried.
 */
static void doorbell_del_locked(struct vm *vm, struct doorbell *d)
{
	lockdep_assert_held(&vm->events_lock);
	hash_del_rcu(&d->node);
	WRITE_ONCE(vm->doorbell_count, vm->doorbell_count - 1);
	call_rcu(&d->rcu, doorbell_free);
}

static void doorbells_clear_locked(struct vm *vm)
{
	struct hlist_node *next;
	struct doorbell *d;
	int i;

	hash_for_each_safe(vm->doorbells, i, next, d, node)
		doorbell_del_locked(vm, d);
}

static int doorbell_add_locked(struct vm *vm, struct doorbell *d)
{
	const struct doorbell *o;

	lockdep_assert_held(&vm->events_lock);
	hash_for_each_possible(vm->doorbells, o, node, d->addr)
		if (o->addr == d->addr && o->size == d->size &&
		    !((o->flags ^ d->flags) & JOIST_EVENT_PORT) &&
		    (!(o->flags & d->flags & JOIST_EVENT_MATCH) ||
		     o->value == d->value))
			return -EEXIST;
	if (vm->doorbell_count == EVENTS_MAX)
		return -ENOSPC;
	hash_add_rcu(vm->doorbells, &d->node, d->addr);
	WRITE_ONCE(vm->doorbell_count, vm->doorbell_count + 1);
	return 0;
}

static int doorbell_remove_locked(struct vm *vm, const struct doorbell *d)
{
	struct doorbell *o;

	hash_for_each_possible(vm->doorbells, o, node, d->addr)
		if (o->ctx == d->ctx && o->addr == d->addr &&
		    o->size == d->size && o->flags == d->flags &&
		    o->value == d->value) {
			doorbell_del_locked(vm, o);
			return 0;
		}
	return -ENOENT;
}

static bool doorbell_is_good(const struct joist_doorbell *b)
{
	const u32 known = JOIST_EVENT_REMOVE | JOIST_EVENT_PORT |
			  JOIST_EVENT_MATCH;

	if ((b->flags & ~known) || b->reserved || b->head.vcpu ||
	    (b->size != 1 && b->size != 2 && b->size != 4 && b->size != 8))
		return false;
	if (!(b->flags & JOIST_EVENT_MATCH) && b->value)
		return false;
	if (b->flags & JOIST_EVENT_PORT)
		return b->size <= 4 && b->addr <= 0x10000 - b->size;
	return b->addr <= U64_MAX - b->size;
}

int event_doorbell(struct vm *vm, struct joist_doorbell *b)
{
	struct doorbell *d;
	int ret = -ENXIO;

	if (b->flags == JOIST_EVENT_CLEAR) {
		mutex_lock(&vm->events_lock);
		doorbells_clear_locked(vm);
		mutex_unlock(&vm->events_lock);
		return 0;
	}
	if (!doorbell_is_good(b))
		return -EINVAL;
	d = ko_zalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d)
		return -ENOMEM;
	d->addr = b->addr;
	d->value = b->value;
	d->size = b->size;
	d->flags = b->flags & ~JOIST_EVENT_REMOVE;
	d->ctx = eventfd_ctx_fdget(b->fd);
	if (IS_ERR(d->ctx)) {
		ret = PTR_ERR(d->ctx);
		ko_free(d);
		return ret;
	}
	mutex_lock(&vm->events_lock);
	if (!READ_ONCE(vm->dead))
		ret = b->flags & JOIST_EVENT_REMOVE ?
		      doorbell_remove_locked(vm, d) :
		      doorbell_add_locked(vm, d);
	mutex_unlock(&vm->events_lock);
	if (ret || (b->flags & JOIST_EVENT_REMOVE))
		doorbell_free(&d->rcu);
	return ret;
}

/* ---- interrupts ---- */

struct irqfd {
	struct list_head list;
	struct vm *vm;
	struct eventfd_ctx *ctx;
	wait_queue_entry_t wait;
	poll_table table;
	spinlock_t lock;		/* guards what follows */
	u64 address, data;
	struct joist_intr *block;
};

/* Nobody to tell of an error: what the guest programmed wrongly is lost. */
static void irqfd_send(struct irqfd *q)
{
	unsigned long flags;
	u64 wake = 0;

	spin_lock_irqsave(&q->lock, flags);
	memset(q->block, 0, sizeof(*q->block));
	q->block->head.vm = q->vm->id;
	q->block->type = JOIST_INTR_MSI;
	q->block->msi_address = q->address;
	q->block->msi_data = q->data;
	if (!hypercall(HC_INTR, q->block))
		wake = q->block->wake;
	spin_unlock_irqrestore(&q->lock, flags);
	vcpus_wake(q->vm, wake);
}

/* The eventfd's own lock is held, and interrupts are off. */
static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync,
			void *key)
{
	struct irqfd *q = container_of(wait, struct irqfd, wait);
	u64 count;

	if (!(key_to_poll(key) & EPOLLIN))
		return 0;
	eventfd_ctx_do_read(q->ctx, &count);
	irqfd_send(q);
	return 1;
}

static void irqfd_queue(struct file *file, wait_queue_head_t *head,
			poll_table *table)
{
	struct irqfd *q = container_of(table, struct irqfd, table);

	add_wait_queue_priority(head, &q->wait);
}

static void irqfd_free(struct irqfd *q)
{
	eventfd_ctx_put(q->ctx);
	ko_free(q->block);
	ko_free(q);
}

static void irqfd_remove(struct irqfd *q)
{
	u64 count;

	list_del(&q->list);
	/* No wake-up is under way afterwards. */
	eventfd_ctx_remove_wait_queue(q->ctx, &q->wait, &count);
	irqfd_free(q);
}

static struct irqfd *irqfd_find(struct vm *vm, const struct eventfd_ctx *ctx)
{
	struct irqfd *q;

	list_for_each_entry(q, &vm->irqfds, list)
		if (q->ctx == ctx)
			return q;
	return NULL;
}

/* On success the reference to ctx is its own. */
static int irqfd_add(struct vm *vm, struct file *file, struct eventfd_ctx *ctx,
		     const struct joist_irqfd *b)
{
	struct irqfd *q;

	if (vm->irqfd_count == EVENTS_MAX)
		return -ENOSPC;
	q = ko_zalloc(sizeof(*q), GFP_KERNEL_ACCOUNT);
	if (!q)
		return -ENOMEM;
	q->block = block_alloc(sizeof(*q->block));
	if (!q->block) {
		ko_free(q);
		return -ENOMEM;
	}
	q->vm = vm;
	q->ctx = ctx;
	q->address = b->msi_address;
	q->data = b->msi_data;
	spin_lock_init(&q->lock);
	init_waitqueue_func_entry(&q->wait, irqfd_wakeup);
	init_poll_funcptr(&q->table, irqfd_queue);
	list_add(&q->list, &vm->irqfds);
	vm->irqfd_count++;
	/* What was counted before is an interrupt as well. */
	if (vfs_poll(file, &q->table) & EPOLLIN)
		irqfd_send(q);
	return 0;
}

static int irqfd_change_locked(struct vm *vm, struct file *file,
			       struct eventfd_ctx *ctx,
			       const struct joist_irqfd *b)
{
	struct irqfd *q = irqfd_find(vm, ctx);

	lockdep_assert_held(&vm->events_lock);
	if (READ_ONCE(vm->dead))
		return -ENXIO;
	if (b->flags & JOIST_EVENT_REMOVE) {
		if (!q)
			return -ENOENT;
		vm->irqfd_count--;
		irqfd_remove(q);
		return 0;
	}
	if (!q)
		return irqfd_add(vm, file, ctx, b);
	spin_lock_irq(&q->lock);
	q->address = b->msi_address;
	q->data = b->msi_data;
	spin_unlock_irq(&q->lock);
	return 1;
}

static void irqfds_clear(struct vm *vm)
{
	struct irqfd *q, *next;

	list_for_each_entry_safe(q, next, &vm->irqfds, list)
		irqfd_remove(q);
	vm->irqfd_count = 0;
}

int event_irqfd(struct vm *vm, struct joist_irqfd *b)
{
	struct eventfd_ctx *ctx;
	struct file *file;
	int ret;

	if (b->flags == JOIST_EVENT_CLEAR) {
		mutex_lock(&vm->events_lock);
		irqfds_clear(vm);
		mutex_unlock(&vm->events_lock);
		return 0;
	}
	if ((b->flags & ~JOIST_EVENT_REMOVE) || b->head.vcpu)
		return -EINVAL;
	file = eventfd_fget(b->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	ctx = eventfd_ctx_fileget(file);
	if (IS_ERR(ctx)) {
		fput(file);
		return PTR_ERR(ctx);
	}
	mutex_lock(&vm->events_lock);
	ret = irqfd_change_locked(vm, file, ctx, b);
	mutex_unlock(&vm->events_lock);
	/* A new one keeps the reference. */
	if (ret || (b->flags & JOIST_EVENT_REMOVE))
		eventfd_ctx_put(ctx);
	fput(file);
	return ret < 0 ? ret : 0;
}

/* The VM is dead: nothing is added any more. */
void events_fini(struct vm *vm)
{
	mutex_lock(&vm->events_lock);
	doorbells_clear_locked(vm);
	irqfds_clear(vm);
	mutex_unlock(&vm->events_lock);
}
