/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NEURON_MMAP_H
#define NEURON_MMAP_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/version.h>

#define NEURON_WINDOW_SIZE SZ_2M

int nmmap_mmap(struct file *filep, struct vm_area_struct *vma);

/*{- if .PlacesMappings }*/

/* Who places a mapping moved from the mm's own operation to a function in 6.10. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define NMMAP_PLACED_BY_FUNCTION
#elif defined(RHEL_RELEASE_CODE)
#if RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 5)
#define NMMAP_PLACED_BY_FUNCTION
#endif
#endif

#ifdef NMMAP_PLACED_BY_FUNCTION
#define nmmap_place(filep, addr, len, pgoff, flags) \
	mm_get_unmapped_area(current->mm, filep, addr, len, pgoff, flags)
#else
#define nmmap_place(filep, addr, len, pgoff, flags) \
	current->mm->get_unmapped_area(filep, addr, len, pgoff, flags)
#endif

unsigned long nmmap_get_unmapped_area(struct file *filep, unsigned long addr, unsigned long len, unsigned long pgoff,
				      unsigned long flags);
/*{- end }*/

#endif
