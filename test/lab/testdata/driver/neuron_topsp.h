/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_TOPSP_H
#define NEURON_TOPSP_H

#include <linux/types.h>

struct neuron_device;

int neuron_topsp_kick(struct neuron_device *nd, u32 core);

#endif
