// SPDX-License-Identifier: GPL-2.0
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "neuron_device.h"

#define V2_DOORBELL_STRIDE 128

static u32 doorbell_v2(u32 core, u32 slot)
{
	return core * V2_DOORBELL_STRIDE + slot;
}

const struct neuron_hal neuron_hal_v2 = {
	.generation = 2,
	.cores = NEURON_CORES,
	.doorbell = doorbell_v2,
};
