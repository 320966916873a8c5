// SPDX-License-Identifier: GPL-2.0
/* A fixture: two class attributes whose show functions take const arguments on some kernels. */
#include <linux/device.h>
#include <linux/version.h>

#ifndef RHEL_RELEASE_VERSION
#define RHEL_RELEASE_VERSION(major, minor) 1
#endif

#if (!defined(RHEL_RELEASE_CODE) && LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)) || \
	(defined(RHEL_RELEASE_CODE) && RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 5))
static ssize_t red_show(const struct class *c, const struct class_attribute *a, char *buf)
#else
static ssize_t red_show(struct class *c, struct class_attribute *a, char *buf)
#endif
{
	return sysfs_emit(buf, "red\n");
}

#if (!defined(RHEL_RELEASE_CODE) && LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)) || \
	(defined(RHEL_RELEASE_CODE) && RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 5))
static ssize_t blue_show(const struct class *c, const struct class_attribute *a, char *buf)
#else
static ssize_t blue_show(struct class *c, struct class_attribute *a, char *buf)
#endif
{
	return sysfs_emit(buf, "blue\n");
}

static CLASS_ATTR_RO(red);
static CLASS_ATTR_RO(blue);
