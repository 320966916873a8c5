/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_DMA_H
#define NEURON_DMA_H

#include <linux/types.h>

struct neuron_device;

ssize_t neuron_dma_from_user(struct neuron_device *nd, const char __user *buf, size_t len);
ssize_t neuron_dma_to_user(struct neuron_device *nd, char __user *buf, size_t len);

#endif
