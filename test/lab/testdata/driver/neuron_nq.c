// SPDX-License-Identifier: GPL-2.0
/* Notifications: whoever waits is woken for every word that went in. */
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/pci.h>
#include <linux/poll.h>
#include <linux/sched.h>

#include "neuron_nq.h"

void neuron_nq_init(struct neuron_nq *nq)
{
	init_waitqueue_head(&nq->wait);
	nq->posted = 0;
	nq->last = 0;
}

void neuron_nq_post(struct neuron_nq *nq, u64 value)
{
	nq->last = value;
	nq->posted++;
	wake_up_interruptible(&nq->wait);
}
