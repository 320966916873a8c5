// SPDX-License-Identifier: GPL-2.0
/* Words between user space and the ring; short transfers are fine, torn words are not. */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/pci.h>
#include <linux/uaccess.h>

#include "neuron_device.h"
#include "neuron_dma.h"

ssize_t neuron_dma_from_user(struct neuron_device *nd, const char __user *buf, size_t len)
{
	size_t done = 0;
	u64 word;

	while (len - done >= sizeof(word)) {
		if (copy_from_user(&word, buf + done, sizeof(word)))
			return done ? done : -EFAULT;
		if (neuron_ring_push(&nd->ring, word))
			break;
		neuron_nq_post(&nd->nq, word);
		done += sizeof(word);
	}
	neuron_metrics_add(&nd->metrics, done);
	neuron_log_add(&nd->log, NEURON_LOG_WRITE, done);
	return done ? done : -EAGAIN;
}

ssize_t neuron_dma_to_user(struct neuron_device *nd, char __user *buf, size_t len)
{
	size_t done = 0;
	u64 word;

	while (len - done >= sizeof(word) && !neuron_ring_pop(&nd->ring, &word)) {
		if (copy_to_user(buf + done, &word, sizeof(word)))
			return done ? done : -EFAULT;
		done += sizeof(word);
	}
	neuron_log_add(&nd->log, NEURON_LOG_READ, done);
	return done;
}
