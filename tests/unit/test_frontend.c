/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is woken up by what happens to the devices. */

#include <criterion/criterion.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "frontend.h"
#include "support/small_store.h"

/* True once for each wake-up. */
static bool is_woken(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

Test(frontend, a_device_that_is_removed_is_a_change_for_all_who_wait_for_one)
{
	int activity = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), change = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct zs_store *store = test_store_create(0);
	struct zsd_frontend *frontend;

	cr_assert_eq(zsd_frontend_create(store, &frontend), 0);
	zsd_frontend_watch_activity(frontend, ZSD_WATCHER_COLD, activity);
	zsd_frontend_watch_changes(frontend, change);
	cr_assert(!is_woken(activity) && !is_woken(change));
	zsd_frontend_directory_changed(frontend);
	cr_assert(is_woken(activity) && is_woken(change));
	/* Not again until asked again. */
	zsd_frontend_directory_changed(frontend);
	cr_assert(!is_woken(activity) && !is_woken(change));
	zsd_frontend_destroy(frontend);
	zs_store_close(store);
	close(activity);
	close(change);
}
