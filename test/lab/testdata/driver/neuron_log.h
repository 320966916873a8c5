/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_LOG_H
#define NEURON_LOG_H

#include <linux/ktime.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#define NEURON_LOG_ENTRIES 256

enum neuron_log_what { NEURON_LOG_READ, NEURON_LOG_WRITE, NEURON_LOG_RESET };

struct neuron_log {
	spinlock_t lock;
	u32 next;
	struct {
		ktime_t when;
		enum neuron_log_what what;
		u64 value;
	} entry[NEURON_LOG_ENTRIES];
};

void neuron_log_init(struct neuron_log *log);
void neuron_log_add(struct neuron_log *log, enum neuron_log_what what, u64 value);

#endif
