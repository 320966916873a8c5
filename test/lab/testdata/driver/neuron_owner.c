// SPDX-License-Identifier: GPL-2.0
/* One process at a time may hold the device, as often as it likes. */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "neuron_owner.h"

void neuron_owner_init(struct neuron_owner *owner)
{
	mutex_init(&owner->lock);
	owner->pid = 0;
	owner->opens = 0;
}

int neuron_owner_take(struct neuron_owner *owner)
{
	int ret = 0;

	mutex_lock(&owner->lock);
	if (owner->opens && owner->pid != task_tgid_nr(current)) {
		ret = -EBUSY;
	} else {
		owner->pid = task_tgid_nr(current);
		owner->opens++;
	}
	mutex_unlock(&owner->lock);
	return ret;
}

void neuron_owner_drop(struct neuron_owner *owner)
{
	mutex_lock(&owner->lock);
	owner->opens--;
	mutex_unlock(&owner->lock);
}
