// SPDX-License-Identifier: GPL-2.0
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/pci.h>

#include "neuron_device.h"
#include "neuron_topsp.h"

void neuron_core_init(struct neuron_core *core, u32 index)
{
	core->index = index;
	atomic_set(&core->resets, 0);
}

int neuron_core_reset(struct neuron_device *nd, u32 index)
{
	if (index >= nd->hal->cores || index >= NEURON_CORES)
		return -EINVAL;
	atomic_inc(&nd->cores[index].resets);
	neuron_log_add(&nd->log, NEURON_LOG_RESET, index);
	return neuron_topsp_kick(nd, index);
}
