#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a page is in the page tables of this process: pagemap, Documentation/admin-guide/mm/pagemap.rst of Linux. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "base/bits.h"

/* Its memory may be there without. */
static inline bool test_is_mapped(const void *page)
{
	const uint64_t present = UINT64_C(1) << 63;
	uint64_t entry;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / ZS_PAGE_SIZE * sizeof(entry))),
		     sizeof(entry));
	close(fd);
	return entry & present;
}
