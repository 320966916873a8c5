// SPDX-License-Identifier: GPL-2.0
/* A fixture: one test of the kernel's version alone, which a kernel with backports answers wrongly. */
#include <linux/device.h>
#include <linux/version.h>

static struct class *fixture_class;

int fixture_init(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	fixture_class = class_create("fixture");
#else
	fixture_class = class_create(THIS_MODULE, "fixture");
#endif
	return PTR_ERR_OR_ZERO(fixture_class);
}
