/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_MEMPOOL_H
#define NEURON_MEMPOOL_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct neuron_mempool {
	struct xarray chunks;
	u64 used;
	struct mutex lock;
};

void neuron_mempool_init(struct neuron_mempool *pool);
void neuron_mempool_destroy(struct neuron_mempool *pool);
int neuron_mempool_alloc(struct neuron_mempool *pool, u64 size, u64 *handle);
int neuron_mempool_free(struct neuron_mempool *pool, u64 handle);

#endif
