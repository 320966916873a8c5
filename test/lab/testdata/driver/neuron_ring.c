// SPDX-License-Identifier: GPL-2.0
/* A ring of descriptors; full and empty are told apart by free-running counters. */
#include <linux/dma-mapping.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/pci.h>

#include "neuron_ring.h"

void neuron_ring_init(struct neuron_ring *ring)
{
	spin_lock_init(&ring->lock);
	ring->head = 0;
	ring->tail = 0;
}

int neuron_ring_push(struct neuron_ring *ring, u64 value)
{
	int ret = -ENOSPC;

	spin_lock(&ring->lock);
	if (ring->head - ring->tail < NEURON_RING_SLOTS) {
		ring->slot[ring->head++ % NEURON_RING_SLOTS] = value;
		ret = 0;
	}
	spin_unlock(&ring->lock);
	return ret;
}

int neuron_ring_pop(struct neuron_ring *ring, u64 *value)
{
	int ret = -EAGAIN;

	spin_lock(&ring->lock);
	if (ring->head != ring->tail) {
		*value = ring->slot[ring->tail++ % NEURON_RING_SLOTS];
		ret = 0;
	}
	spin_unlock(&ring->lock);
	return ret;
}
