/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_NQ_H
#define NEURON_NQ_H

#include <linux/types.h>
#include <linux/wait.h>

struct neuron_nq {
	wait_queue_head_t wait;
	u64 posted;
	u64 last;
};

void neuron_nq_init(struct neuron_nq *nq);
void neuron_nq_post(struct neuron_nq *nq, u64 value);

#endif
