/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_KERNEL_H
#define NEURON_KERNEL_H

#include <linux/cdev.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <net/sock.h>
#include <rdma/ib_verbs.h>

#endif
