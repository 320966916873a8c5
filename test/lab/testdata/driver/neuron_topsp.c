// SPDX-License-Identifier: GPL-2.0
/* The scheduler in front of the cores: rings the doorbell that the generation has. */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/pci.h>
#include <linux/workqueue.h>

#include "neuron_device.h"
#include "neuron_mmap.h"
#include "neuron_topsp.h"

int neuron_topsp_kick(struct neuron_device *nd, u32 core)
{
	u32 at = nd->hal->doorbell(core, nd->ring.head % NEURON_RING_SLOTS);

	if (at >= NEURON_WINDOW_SIZE / sizeof(u32))
		return -ERANGE;
	mutex_lock(&nd->lock);
	((u32 *)nd->window)[at] = core;
	mutex_unlock(&nd->lock);
	return 0;
}
