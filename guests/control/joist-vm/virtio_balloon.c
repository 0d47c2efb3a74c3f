/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_balloon.c -- virtio's "Traditional Memory Balloon Device".
 *
 * A page in the balloon is not the VM's any more: another VM may have got it.
 * So the driver must tell before it uses one again (a driver that would not is
 * refused), and there is no deflating without being asked when the guest runs
 * out of memory, since the pool may have none to give: a request for pages waits
 * for it, unanswered.
 *
 * A guest may give away what it needs itself, and finds no memory there then;
 * nothing in joist-vm depends on what is in it.  A reset of the device leaves
 * the pages where they are: the standard gives them no way back but deflateq,
 * and drivers empty the balloon before they leave.  A reset of the VM brings
 * all back (machine.c).
 */
#include <errno.h>
#include <string.h>

#include "board.h"
#include "vm.h"

#define Q_INFLATE	0
#define Q_DEFLATE	1
#define Q_STATS		2
#define QUEUE_COUNT	3

#define F_MUST_TELL_HOST	BIT(0)
#define F_STATS_VQ	BIT(1)

/* "Device configuration layout". */
#define BN_NUM_PAGES	0	/* what we want it to give back */
#define BN_ACTUAL	4	/* what it says it has given */
#define BN_LEN		8

#define CLASS_OTHER	0x00ff00
#define STAT_LEN	10
#define STATS_MOST	64	/* more there are not in any version */
#define TURN_STEPS		48	/* of a request, until others get their turn */
#define RETRY_NS	1000000000ull
#define ANSWER_NS	1000000000ull

#define HIGH_PFN	(u32)(MEM_HIGH_BASE / PAGE_SIZE)

/* ---- pages ---- */

/*
 * Ascending, by Shell's method.  Of glibc's qsort() we cannot be sure what calls it
 * makes: for a kilobyte it asks the system how much memory there is, and the
 * sandbox knows no such question.
 */
static void sort(u32 *p, unsigned count)
{
	unsigned gap, i, k;
	u32 val;

	for (gap = count / 2; gap; gap /= 2)
		for (i = gap; i < count; i++) {
			val = p[i];
			for (k = i; k >= gap && p[k - gap] > val; k -= gap)
				p[k] = p[k - gap];
			p[k] = val;
		}
}

/* The chain's next page numbers; false: one that is not the guest's. */
static bool read_batch(const struct balloon *b, struct balloon_request *r)
{
	u8 raw[4 * BALLOON_BATCH];
	size_t len = MIN(sizeof(raw), iov_len(r->iov, r->count));
	unsigned i;

	iov_take(&r->iov, &r->count, raw, len);
	r->at = 0;
	r->pfns = (unsigned)len / 4;
	for (i = 0; i < r->pfns; i++) {
		r->pfn[i] = get32(raw + 4 * i);
		if (!guest_ptr(b->virtio.mem, (u64)r->pfn[i] * PAGE_SIZE,
			       PAGE_SIZE))
			return false;
	}
	sort(r->pfn, r->pfns);
	return true;
}

/* The next of the batch that lie in one segment, as ranges of its pages. */
static void make_ranges(struct balloon_request *r)
{
	struct joist_pages *p = &r->pages;
	bool high = r->pfn[r->at] >= HIGH_PFN;
	struct joist_page_range *last;
	u32 page;

	*p = (struct joist_pages){ .seg = high ? SEG_HIGH : SEG_LOW };
	for (; r->at < r->pfns; r->at++) {
		if ((r->pfn[r->at] >= HIGH_PFN) != high)
			break;
		page = r->pfn[r->at] - (high ? HIGH_PFN : 0);
		last = p->ranges ? &p->range[p->ranges - 1] : NULL;
		/* The next one, or the same once more. */
		if (last && page <= last->page + last->count)
			last->count = page - last->page + 1;
		else
			p->range[p->ranges++] =
				(struct joist_page_range){ page, 1 };
	}
}

/*
 * A bounded part of a request, which may be as long as its driver likes: 0 if
 * it is done now, -EAGAIN if not, -ENOMEM if the pool is empty, -EINVAL if no
 * driver may send that.
 */
static int advance(struct balloon *b, unsigned queue)
{
	struct balloon_request *r = &b->request[queue];
	unsigned step;
	int err;

	for (step = 0; step < TURN_STEPS; step++) {
		if (r->pages.ranges) {
			err = board_pages(queue == Q_INFLATE, &r->pages);
			if (err)
				return err;
			r->pages.ranges = 0;
		} else if (r->at < r->pfns) {
			make_ranges(r);
		} else if (!r->count) {
			return 0;
		} else if (!read_batch(b, r)) {
			return -EINVAL;
		}
	}
	return -EAGAIN;
}

/* A chain has been taken: page numbers, and nothing to be written to. */
static int begin(struct balloon_request *r)
{
	r->iov = r->chain.iov;
	r->count = r->chain.out;
	r->at = r->pfns = 0;
	r->pages.ranges = 0;
	return r->chain.in || !r->chain.out || r->chain.out_len % 4 ? -EINVAL :
	       0;
}

static void serve_pages(struct balloon *b, unsigned queue)
{
	struct balloon_request *r = &b->request[queue];
	struct virtio *v = &b->virtio;
	unsigned n = 0;
	int err;

	while (r->busy || virtq_next(v, queue, &r->chain, &n)) {
		err = r->busy ? 0 : begin(r);
		if (!err)
			err = advance(b, queue);
		r->starved = err == -ENOMEM;
		r->busy = r->starved || err == -EAGAIN;
		if (err == -EAGAIN)
			board_kick(v->slot);
		if (r->starved)
			board_timer(TIMER_BALLOON, board_ns() + RETRY_NS);
		if (r->busy)
			break;
		if (err)
			virtio_break(v);
		virtq_put(v, queue, r->chain.head, 0);
	}
	virtq_signal(v, queue);
}

void balloon_retry(struct balloon *b)
{
	/* What another VM has given back may be enough by now. */
	if (virtio_runs(&b->virtio)) {
		serve_pages(b, Q_INFLATE);
		serve_pages(b, Q_DEFLATE);
	}
}

/* ---- statistics ---- */

void balloon_answer(struct balloon *b)
{
	struct balloon_state s = {
		.driver = virtio_runs(&b->virtio),
		.starved = b->request[Q_INFLATE].starved ||
			   b->request[Q_DEFLATE].starved,
		.actual = get32(b->virtio.config + BN_ACTUAL),
		.age = b->said ? board_ns() - b->said : BALLOON_NOT_SAID,
	};

	if (!b->asked)
		return;
	b->asked = false;
	board_timer(TIMER_BALLOON_ANSWER, TIMER_OFF);
	memcpy(s.stat, b->stat, sizeof(s.stat));
	board_balloon(&s);
}

static void read_stats(struct balloon *b)
{
	struct iovec *iov = b->stats.iov;
	unsigned count = b->stats.out, i;
	u8 raw[STAT_LEN];

	memset(b->stat, 0xff, sizeof(b->stat));
	for (i = 0; i < STATS_MOST; i++) {
		if (!iov_take(&iov, &count, raw, sizeof(raw)))
			break;
		if (get16(raw) < BALLOON_STAT_COUNT)
			b->stat[get16(raw)] = get64(raw + 2);
	}
	b->said = board_ns();
}

/*
 * "Memory Statistics": the driver's buffer stays here until we want to know
 * more; one at a time.
 */
static void serve_stats(struct balloon *b)
{
	struct virtio *v = &b->virtio;
	unsigned n = 0;

	while (!b->has_stats && virtq_next(v, Q_STATS, &b->stats, &n)) {
		if (b->stats.in) {
			virtio_break(v);
			virtq_put(v, Q_STATS, b->stats.head, 0);
			break;
		}
		b->has_stats = true;
		read_stats(b);
		balloon_answer(b);
	}
}

void balloon_ask(struct balloon *b, u64 target)
{
	struct virtio *v = &b->virtio;
	u32 want = (u32)(b->pages - target);

	if (want != get32(v->config + BN_NUM_PAGES)) {
		put32(v->config + BN_NUM_PAGES, want);
		virtio_config_changed(v);
	}
	b->asked = true;
	if (!virtio_runs(v) || !virtio_has(v, F_STATS_VQ)) {
		balloon_answer(b);
		return;
	}
	board_timer(TIMER_BALLOON_ANSWER, board_ns() + ANSWER_NS);
	if (!b->has_stats)
		return;			/* it has been asked already */
	b->has_stats = false;
	virtq_put(v, Q_STATS, b->stats.head, 0);
	virtq_signal(v, Q_STATS);
	serve_stats(b);
}

/* ---- set-up ---- */

static void balloon_serve(struct virtio *v, unsigned queue)
{
	struct balloon *b = (struct balloon *)v;

	if (queue == Q_STATS)
		serve_stats(b);
	else
		serve_pages(b, queue);
}

static void balloon_reset(struct virtio *v)
{
	struct balloon *b = (struct balloon *)v;
	unsigned i;

	for (i = Q_INFLATE; i <= Q_DEFLATE; i++) {
		if (b->request[i].busy)
			virtq_unget(v, i);
		b->request[i].busy = b->request[i].starved = false;
	}
	if (b->has_stats)
		virtq_unget(v, Q_STATS);
	b->has_stats = false;
	b->said = 0;
	put32(v->config + BN_ACTUAL, 0);
	board_timer(TIMER_BALLOON, TIMER_OFF);
	balloon_answer(b);
}

/* "The driver MUST update actual": for people to read, nothing else. */
static void balloon_configure(struct virtio *v, unsigned at, unsigned size,
			      u64 val)
{
	if (at == BN_ACTUAL && size == 4)
		put32(v->config + BN_ACTUAL, (u32)val);
}

static const struct virtio_model balloon_model = {
	.id = VIRTIO_ID_BALLOON,
	.class = CLASS_OTHER,
	.needs = F_MUST_TELL_HOST,
	.serve = balloon_serve,
	.reset = balloon_reset,
	.configure = balloon_configure,
};

int balloon_init(struct balloon *b, u64 target, struct pci *pci,
		 const struct guest_mem *mem)
{
	struct virtio *v = &b->virtio;

	memset(b, 0, sizeof(*b));
	memset(b->stat, 0xff, sizeof(b->stat));
	b->pages = (mem->low_size + mem->high_size) / PAGE_SIZE;
	v->queues = QUEUE_COUNT;
	v->offered = F_MUST_TELL_HOST | F_STATS_VQ;
	v->config_len = BN_LEN;
	put32(v->config + BN_NUM_PAGES, (u32)(b->pages - target));
	return virtio_init(v, &balloon_model, pci, mem);
}
