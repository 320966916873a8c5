// SPDX-License-Identifier: GPL-2.0
/* Mappings of the device's window into user space. */
#include <linux/dma-mapping.h>
#include <linux/pci.h>
#include <linux/vmalloc.h>

#include "neuron_device.h"
#include "neuron_mmap.h"

int nmmap_mmap(struct file *filep, struct vm_area_struct *vma)
{
	struct neuron_device *nd = filep->private_data;

	if (vma->vm_pgoff)
		return -EINVAL;
	return remap_vmalloc_range(vma, nd->window, 0);
}
/*{- if .PlacesMappings }*/

unsigned long nmmap_get_unmapped_area(struct file *filep, unsigned long addr, unsigned long len, unsigned long pgoff,
				      unsigned long flags)
{
	unsigned long got;

	if (len < NEURON_WINDOW_SIZE)
		return nmmap_place(filep, addr, len, pgoff, flags);
	got = nmmap_place(filep, addr, len + NEURON_WINDOW_SIZE, pgoff, flags);
	if (IS_ERR_VALUE(got))
		return got;
	return ALIGN(got, NEURON_WINDOW_SIZE);
}
/*{- end }*/
