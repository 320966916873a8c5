// SPDX-License-Identifier: GPL-2.0
/* The last things that happened, for a crash dump to find. */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/pci.h>
#include <linux/timekeeping.h>

#include "neuron_log.h"

void neuron_log_init(struct neuron_log *log)
{
	spin_lock_init(&log->lock);
	log->next = 0;
}

void neuron_log_add(struct neuron_log *log, enum neuron_log_what what, u64 value)
{
	u32 at;

	spin_lock(&log->lock);
	at = log->next++ % NEURON_LOG_ENTRIES;
	log->entry[at].when = ktime_get();
	log->entry[at].what = what;
	log->entry[at].value = value;
	spin_unlock(&log->lock);
}
