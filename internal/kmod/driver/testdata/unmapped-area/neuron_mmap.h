/* SPDX-License-Identifier: GPL-2.0 */
/* A fixture: a helper with one form for each kernel interface. */
#ifndef FIXTURE_MMAP_H
#define FIXTURE_MMAP_H

#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define fixture_area(filep, addr, len, pgoff, flags) \
	mm_get_unmapped_area(filep, addr, len, pgoff, flags)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define fixture_area(filep, addr, len, pgoff, flags) \
	mm_get_unmapped_area(current->mm, filep, addr, len, pgoff, flags)
#else
#define fixture_area(filep, addr, len, pgoff, flags) \
	current->mm->get_unmapped_area(filep, addr, len, pgoff, flags)
#endif

#endif
