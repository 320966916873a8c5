/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_DEVICE_H
#define NEURON_DEVICE_H

#include <linux/atomic.h>
#include <linux/cdev.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include "neuron_abi.h"
#include "neuron_core.h"
#include "neuron_log.h"
#include "neuron_mempool.h"
#include "neuron_metrics.h"
#include "neuron_nq.h"
#include "neuron_owner.h"
#include "neuron_ring.h"

struct neuron_hal {
	u32 generation;
	u32 cores;
	u32 (*doorbell)(u32 core, u32 slot);
};

/* The one device of this driver: there is no hardware behind it. */
struct neuron_device {
	struct mutex lock;
	const struct neuron_hal *hal;
	struct neuron_ring ring;
	struct neuron_mempool pool;
	struct neuron_metrics metrics;
	struct neuron_log log;
	struct neuron_owner owner;
	struct neuron_nq nq;
	struct neuron_core cores[NEURON_CORES];
	void *window;
};

extern struct neuron_device neuron_dev;
extern const struct neuron_hal neuron_hal_v2;
extern const struct neuron_hal neuron_hal_v3;

int ncdev_init(struct neuron_device *nd);
void ncdev_exit(void);

#endif
