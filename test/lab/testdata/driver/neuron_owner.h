/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_OWNER_H
#define NEURON_OWNER_H

#include <linux/mutex.h>
#include <linux/types.h>

struct neuron_owner {
	struct mutex lock;
	pid_t pid;
	u32 opens;
};

void neuron_owner_init(struct neuron_owner *owner);
int neuron_owner_take(struct neuron_owner *owner);
void neuron_owner_drop(struct neuron_owner *owner);

#endif
