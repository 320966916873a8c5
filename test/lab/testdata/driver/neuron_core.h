/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_CORE_H
#define NEURON_CORE_H

#include <linux/atomic.h>
#include <linux/types.h>

struct neuron_device;

struct neuron_core {
	u32 index;
	atomic_t resets;
};

void neuron_core_init(struct neuron_core *core, u32 index);
int neuron_core_reset(struct neuron_device *nd, u32 index);

#endif
