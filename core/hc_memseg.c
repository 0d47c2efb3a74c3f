/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hc_memseg.c -- calls about memory segments.
 */
#include "core/hypercall.h"
#include "core/log.h"

int hc_memseg_alloc(struct hc_context *c, void *args)
{
	return memseg_alloc(c->vm, args);
}

/* FREE, MAP and UNMAP take a segment number and nothing else. */
static bool only_seg(const struct joist_memseg *a)
{
	return !a->flags && !a->gpa && !a->size && !a->offset && !a->hpa && !a->len;
}

int hc_memseg_free(struct hc_context *c, void *args)
{
	struct joist_memseg *a = args;

	return only_seg(a) ? memseg_free(c->vm, a->seg) : fail(-EINVAL);
}

int hc_memseg_map(struct hc_context *c, void *args)
{
	struct joist_memseg *a = args;

	return only_seg(a) ? memseg_map(c->vm, a->seg) : fail(-EINVAL);
}

int hc_memseg_unmap(struct hc_context *c, void *args)
{
	struct joist_memseg *a = args;

	return only_seg(a) ? memseg_unmap(c->vm, a->seg) : fail(-EINVAL);
}

int hc_memseg_protect(struct hc_context *c, void *args)
{
	struct joist_memseg *a = args;

	if (a->gpa || a->size || a->hpa || a->len)
		return fail(-EINVAL);
	return memseg_protect(c->vm, a);
}

int hc_memseg_drop(struct hc_context *c, void *args)
{
	return memseg_drop(c->vm, args);
}

int hc_memseg_fill(struct hc_context *c, void *args)
{
	return memseg_fill(c->vm, args);
}

int hc_memseg_query(struct hc_context *c, void *args)
{
	struct joist_memseg *a = args;

	if (a->flags || a->gpa || a->size || a->hpa || a->len)
		return fail(-EINVAL);
	return memseg_query(c->vm, a);
}
