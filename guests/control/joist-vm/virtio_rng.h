/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_rng.h -- a source of random numbers: the control VM's.
 */
#ifndef VM_VIRTIO_RNG_H
#define VM_VIRTIO_RNG_H

#include "virtio.h"

struct rng {
	struct virtio virtio;
};

int rng_init(struct rng *r, struct pci *pci, const struct guest_mem *mem);

#endif
