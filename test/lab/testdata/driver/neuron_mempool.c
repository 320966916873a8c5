// SPDX-License-Identifier: GPL-2.0
/* Memory handed to user space by handle, bounded as a whole. */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "neuron_mempool.h"

#define NEURON_POOL_LIMIT SZ_64M

struct chunk {
	u64 size;
	u8 data[];
};

void neuron_mempool_init(struct neuron_mempool *pool)
{
	xa_init_flags(&pool->chunks, XA_FLAGS_ALLOC1);
	mutex_init(&pool->lock);
	pool->used = 0;
}

void neuron_mempool_destroy(struct neuron_mempool *pool)
{
	struct chunk *c;
	unsigned long i;

	xa_for_each(&pool->chunks, i, c)
		kvfree(c);
	xa_destroy(&pool->chunks);
}

int neuron_mempool_alloc(struct neuron_mempool *pool, u64 size, u64 *handle)
{
	struct chunk *c;
	u32 id;
	int ret = -ENOMEM;

	mutex_lock(&pool->lock);
	if (size > NEURON_POOL_LIMIT || pool->used + size > NEURON_POOL_LIMIT)
		goto out;
	c = kvzalloc(sizeof(*c) + size, GFP_KERNEL);
	if (!c)
		goto out;
	c->size = size;
	ret = xa_alloc(&pool->chunks, &id, c, xa_limit_31b, GFP_KERNEL);
	if (ret) {
		kvfree(c);
		goto out;
	}
	pool->used += size;
	*handle = id;
out:
	mutex_unlock(&pool->lock);
	return ret;
}

int neuron_mempool_free(struct neuron_mempool *pool, u64 handle)
{
	struct chunk *c;

	mutex_lock(&pool->lock);
	c = xa_erase(&pool->chunks, handle);
	if (c)
		pool->used -= c->size;
	mutex_unlock(&pool->lock);
	if (!c)
		return -ENOENT;
	kvfree(c);
	return 0;
}
