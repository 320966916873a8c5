// SPDX-License-Identifier: GPL-2.0
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/pci.h>
#include <linux/sysfs.h>

#include "neuron_metrics.h"

void neuron_metrics_init(struct neuron_metrics *m)
{
	atomic64_set(&m->bytes, 0);
}

void neuron_metrics_add(struct neuron_metrics *m, u64 bytes)
{
	atomic64_add(bytes, &m->bytes);
}

u64 neuron_metrics_total(struct neuron_metrics *m)
{
	return atomic64_read(&m->bytes);
}
