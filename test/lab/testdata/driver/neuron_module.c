// SPDX-License-Identifier: GPL-2.0
/* The module's life: what is set up here is torn down in the opposite order. */
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "neuron_device.h"
#include "neuron_mmap.h"

MODULE_AUTHOR("neuron-kmod lab");
MODULE_DESCRIPTION("Neuron lab driver, built from SHA: /*{ .Commit }*/");
MODULE_LICENSE("GPL");
MODULE_VERSION("/*{ .Version }*/");
MODULE_ALIAS("pci:v00001d0fd00007064sv*sd*bc*sc*i*");

static unsigned int generation = 2;
module_param(generation, uint, 0444);
MODULE_PARM_DESC(generation, "which hardware to pretend to be: 2 or 3");

struct neuron_device neuron_dev;

static int __init neuron_init(void)
{
	struct neuron_device *nd = &neuron_dev;
	int ret, i;

	mutex_init(&nd->lock);
	nd->hal = generation == 3 ? &neuron_hal_v3 : &neuron_hal_v2;
	nd->window = vmalloc_user(NEURON_WINDOW_SIZE);
	if (!nd->window)
		return -ENOMEM;
	neuron_ring_init(&nd->ring);
	neuron_mempool_init(&nd->pool);
	neuron_metrics_init(&nd->metrics);
	neuron_log_init(&nd->log);
	neuron_owner_init(&nd->owner);
	neuron_nq_init(&nd->nq);
	for (i = 0; i < NEURON_CORES; i++)
		neuron_core_init(&nd->cores[i], i);
	ret = ncdev_init(nd);
	if (ret)
		vfree(nd->window);
	return ret;
}

static void __exit neuron_exit(void)
{
	ncdev_exit();
	neuron_mempool_destroy(&neuron_dev.pool);
	vfree(neuron_dev.window);
}

module_init(neuron_init);
module_exit(neuron_exit);
