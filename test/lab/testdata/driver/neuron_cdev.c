// SPDX-License-Identifier: GPL-2.0
/*
 * The character device. Which signature a class attribute's show function
 * has, and whether the device may place its mappings, depends on the kernel
 * and, with Red Hat's backports, on the RHEL release.
 */
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#include "neuron_device.h"
#include "neuron_dma.h"
#include "neuron_mmap.h"

static dev_t ncdev_number;
static struct cdev ncdev_cdev;

/*{- if .TestsKernelOnly }*/
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define node_id_const const
#define server_id_const const
#else
#define node_id_const
#define server_id_const
#endif
/*{- else }*/
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define node_id_const const
#elif defined(RHEL_RELEASE_CODE)
#if RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 5)
#define node_id_const const
#endif
#endif
#ifndef node_id_const
#define node_id_const
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define server_id_const const
#elif defined(RHEL_RELEASE_CODE)
#if RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 5)
#define server_id_const const
#endif
#endif
#ifndef server_id_const
#define server_id_const
#endif
/*{- end }*/

static ssize_t node_id_show(node_id_const struct class *class, node_id_const struct class_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", neuron_dev.hal->generation);
}
static CLASS_ATTR_RO(node_id);

static ssize_t server_id_show(server_id_const struct class *class, server_id_const struct class_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", neuron_metrics_total(&neuron_dev.metrics));
}
static CLASS_ATTR_RO(server_id);

static struct attribute *ncdev_class_attrs[] = {
	&class_attr_node_id.attr,
	&class_attr_server_id.attr,
	NULL,
};
ATTRIBUTE_GROUPS(ncdev_class);

static struct class ncdev_class = {
	.name = "neuron_device",
	.class_groups = ncdev_class_groups,
};

static int ncdev_open(struct inode *inode, struct file *filep)
{
	filep->private_data = &neuron_dev;
	return neuron_owner_take(&neuron_dev.owner);
}

static int ncdev_release(struct inode *inode, struct file *filep)
{
	neuron_owner_drop(&neuron_dev.owner);
	return 0;
}

static ssize_t ncdev_write(struct file *filep, const char __user *buf, size_t len, loff_t *off)
{
	struct neuron_device *nd = filep->private_data;

	return neuron_dma_from_user(nd, buf, len);
}

static ssize_t ncdev_read(struct file *filep, char __user *buf, size_t len, loff_t *off)
{
	struct neuron_device *nd = filep->private_data;

	return neuron_dma_to_user(nd, buf, len);
}

static long ncdev_alloc(struct neuron_device *nd, void __user *arg)
{
	struct neuron_alloc req;
	int ret;

	if (copy_from_user(&req, arg, sizeof(req)))
		return -EFAULT;
	ret = neuron_mempool_alloc(&nd->pool, req.size, &req.handle);
	if (ret)
		return ret;
	if (copy_to_user(arg, &req, sizeof(req))) {
		neuron_mempool_free(&nd->pool, req.handle);
		return -EFAULT;
	}
	return 0;
}

static long ncdev_info(struct neuron_device *nd, void __user *arg)
{
	struct neuron_info info = {
		.cores = nd->hal->cores,
		.generation = nd->hal->generation,
		.bytes_written = neuron_metrics_total(&nd->metrics),
	};

	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static long ncdev_ioctl(struct file *filep, unsigned int cmd, unsigned long param)
{
	struct neuron_device *nd = filep->private_data;
	void __user *arg = (void __user *)param;
	u64 handle;

	switch (cmd) {
	case NEURON_IOC_INFO:
		return ncdev_info(nd, arg);
	case NEURON_IOC_ALLOC:
		return ncdev_alloc(nd, arg);
	case NEURON_IOC_FREE:
		if (copy_from_user(&handle, arg, sizeof(handle)))
			return -EFAULT;
		return neuron_mempool_free(&nd->pool, handle);
	case NEURON_IOC_RESET:
		return neuron_core_reset(nd, (u32)param);
	}
	return -ENOTTY;
}

/*{- if .PlacesMappings }*/

static unsigned long ncdev_get_unmapped_area(struct file *filep, unsigned long addr, unsigned long len,
					     unsigned long pgoff, unsigned long flags)
{
	return nmmap_get_unmapped_area(filep, addr, len, pgoff, flags);
}
/*{- end }*/

static const struct file_operations ncdev_fops = {
	.owner = THIS_MODULE,
	.open = ncdev_open,
	.release = ncdev_release,
	.read = ncdev_read,
	.write = ncdev_write,
	.unlocked_ioctl = ncdev_ioctl,
	.mmap = nmmap_mmap,
/*{- if .PlacesMappings }*/
	.get_unmapped_area = ncdev_get_unmapped_area,
/*{- end }*/
};

int ncdev_init(struct neuron_device *nd)
{
	struct device *dev;
	int ret;

	ret = class_register(&ncdev_class);
	if (ret)
		return ret;
	ret = alloc_chrdev_region(&ncdev_number, 0, 1, "neuron");
	if (ret)
		goto unregister_class;
	cdev_init(&ncdev_cdev, &ncdev_fops);
	ret = cdev_add(&ncdev_cdev, ncdev_number, 1);
	if (ret)
		goto release_number;
	dev = device_create(&ncdev_class, NULL, ncdev_number, nd, "neuron0");
	if (!IS_ERR(dev))
		return 0;
	ret = PTR_ERR(dev);
	cdev_del(&ncdev_cdev);
release_number:
	unregister_chrdev_region(ncdev_number, 1);
unregister_class:
	class_unregister(&ncdev_class);
	return ret;
}

void ncdev_exit(void)
{
	device_destroy(&ncdev_class, ncdev_number);
	cdev_del(&ncdev_cdev);
	unregister_chrdev_region(ncdev_number, 1);
	class_unregister(&ncdev_class);
}
