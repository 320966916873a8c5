/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_RING_H
#define NEURON_RING_H

#include <linux/spinlock.h>
#include <linux/types.h>

#include "neuron_abi.h"

struct neuron_ring {
	spinlock_t lock;
	u32 head;
	u32 tail;
	u64 slot[NEURON_RING_SLOTS];
};

void neuron_ring_init(struct neuron_ring *ring);
int neuron_ring_push(struct neuron_ring *ring, u64 value);
int neuron_ring_pop(struct neuron_ring *ring, u64 *value);

#endif
