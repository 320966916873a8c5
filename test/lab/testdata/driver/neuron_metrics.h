/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_METRICS_H
#define NEURON_METRICS_H

#include <linux/atomic.h>
#include <linux/types.h>

struct neuron_metrics {
	atomic64_t bytes;
};

void neuron_metrics_init(struct neuron_metrics *m);
void neuron_metrics_add(struct neuron_metrics *m, u64 bytes);
u64 neuron_metrics_total(struct neuron_metrics *m);

#endif
