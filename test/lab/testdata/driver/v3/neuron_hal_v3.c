// SPDX-License-Identifier: GPL-2.0
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "neuron_device.h"

#define V3_DOORBELL_STRIDE 192

static u32 doorbell_v3(u32 core, u32 slot)
{
	return core * V3_DOORBELL_STRIDE + slot;
}

const struct neuron_hal neuron_hal_v3 = {
	.generation = 3,
	.cores = NEURON_CORES,
	.doorbell = doorbell_v3,
};
