/* SPDX-License-Identifier: GPL-2.0 */
/* What user space and the driver agree on. */
#ifndef NEURON_ABI_H
#define NEURON_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define NEURON_CORES 4
#define NEURON_RING_SLOTS 64

struct neuron_info {
	__u32 cores;
	__u32 generation;
	__u64 bytes_written;
};

struct neuron_alloc {
	__u64 size;
	__u64 handle;
};

#define NEURON_IOC_INFO _IOR('N', 1, struct neuron_info)
#define NEURON_IOC_ALLOC _IOWR('N', 2, struct neuron_alloc)
#define NEURON_IOC_FREE _IOW('N', 3, __u64)
#define NEURON_IOC_RESET _IOW('N', 4, __u32)

#endif
